import { fail } from './errors.ts';
import { kindName, LINK_TYPES, type LinkType } from './kinds.ts';
import { openedById, openPin, pinAt, removePin } from './map.ts';
import { type LinkHandle, type NativeLinkInfo, native } from './native.ts';
import type { NamespaceOptions } from './netlink.ts';
import type { BpfProgram } from './program.ts';
import { checkInteger, checkPath, expectOk, MAX_U32, opened, Resource } from './resource.ts';

const ENOENT = -2;
const EINVAL = -22;
const EOVERFLOW = -75;
const EOPNOTSUPP = -95;

export interface LinkInfo {
  readonly id: number;
  readonly type: LinkType | `type ${number}`;
  readonly programId: number;
  /** TCX and XDP; 0 when the interface has gone. */
  readonly ifindex?: number;
  /** Cgroup links; 0 when the cgroup has gone. */
  readonly cgroupId?: bigint;
  /** enum bpf_attach_type of TCX, cgroup and tracing links. */
  readonly attachType?: number;
}

export interface IterateOptions extends NamespaceOptions {
  /** What it may print, in bytes; default 1 MiB. What it has not come to by then it does not see. */
  readonly most?: number;
}

/** Collecting a link would detach its program at some moment: only close() and detach() may do that. */
const alive = new Set<BpfLink>();

/**
 * Keeps a program attached: until `detach()`, or until neither this process nor a pin holds it. Garbage collection
 * never detaches.
 */
export class BpfLink extends Resource<LinkHandle> {
  readonly #what: string;
  #pinPath: string | undefined;

  /** Takes over a handle of the addon; use the `attach…` methods of `BpfProgram`, `openPinned` or `openById`. */
  constructor(handle: LinkHandle, what: string, pinPath?: string) {
    super(handle);
    this.#what = what;
    this.#pinPath = pinPath;
    alive.add(this);
  }

  static openPinned(path: string): BpfLink {
    return new BpfLink(
      openPin(path, 'link', (at) => native.openPinned(at, 'link')),
      `link "${path}"`,
      path,
    );
  }

  static openById(id: number): BpfLink {
    const handle = native.openLinkById(checkInteger(id, 0, MAX_U32, 'a link id'));
    return new BpfLink(openedById(handle, 'link', id), `link ${id}`);
  }

  protected override describe(): string {
    return this.#what;
  }

  get id(): number {
    return this.info().id;
  }

  get pinPath(): string | undefined {
    return this.#pinPath;
  }

  info(): LinkInfo {
    const handle = this.live('ask about');
    const info = opened<NativeLinkInfo>(native.linkInfo(handle), 'LINK', `ask about ${this.#what}`);
    const type = kindName(LINK_TYPES, info.type);
    const head = { id: info.id, type, programId: info.programId };
    switch (type) {
      case 'tcx':
        return { ...head, ifindex: info.first, attachType: info.second };
      case 'xdp':
        return { ...head, ifindex: info.first };
      case 'cgroup':
        return { ...head, cgroupId: info.cgroupId, attachType: info.third };
      case 'tracing':
        return { ...head, attachType: info.first };
      default:
        return head;
    }
  }

  /** Replaces the program in one step: no packet meets neither (TCX, cgroup, XDP; not tracing links). */
  update(program: BpfProgram): void {
    const attempted = `update ${this.#what} to "${program.name}"`;
    const errno = native.updateLink(this.live('update'), program.handle('attach'));
    const hint =
      errno === EINVAL ? 'the program must be of the same type, and the link of a kind that can be updated' : undefined;
    expectOk(errno, 'LINK', attempted, hint);
  }

  /**
   * Runs an iterator's program over everything there is, off this thread, and tells what it printed. What belongs to
   * network namespaces (`iter/tcp`, …) it goes over in `netns`, which may go meanwhile, as may this link be closed.
   * Rejects with `BpfError` LINK, or NOT_FOUND where there is no such namespace.
   */
  async iterate(options: IterateOptions = {}): Promise<string> {
    const { netns, most = 1 << 20 } = options;
    if (netns !== undefined) checkPath(netns, 'a network namespace');
    checkInteger(most, 1, MAX_U32, 'a number of bytes');
    const attempted = `iterate by ${this.#what}${netns === undefined ? '' : ` in network namespace "${netns}"`}`;
    const printed = await native.readIterator(this.live('iterate by'), netns, most);
    if (printed === ENOENT && netns !== undefined) fail('NOT_FOUND', printed, attempted);
    const hint = printed === EOVERFLOW ? `it prints more than ${most} bytes` : undefined;
    return opened(printed, 'LINK', attempted, hint).toString('latin1');
  }

  pin(path: string): void {
    pinAt(this.live('pin'), path, this.#what);
    this.#pinPath = path;
  }

  /** Removes the pin it was opened from or last pinned to. */
  unpin(): void {
    this.live('unpin');
    removePin(this.#pinPath, this.#what);
    this.#pinPath = undefined;
  }

  /** Takes the program off, whoever else holds the link, and closes it. A pin stays as an empty shell. */
  detach(): void {
    const errno = native.detachLink(this.live('detach'));
    // Tracing links have no such operation; letting go is all there is, which a pin would undo.
    if (errno === EOPNOTSUPP && this.#pinPath !== undefined) {
      fail('LINK', errno, `detach ${this.#what}`, {
        reason: 'it is pinned, and links of its kind only end with their last holder',
        hint: 'unpin() it first',
      });
    }
    if (errno !== EOPNOTSUPP) expectOk(errno, 'LINK', `detach ${this.#what}`);
    this.close();
  }

  override close(): void {
    alive.delete(this);
    super.close();
  }
}
