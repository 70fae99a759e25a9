import type { Attachment } from './attachment.ts';
import { findAttachment } from './attachment.ts';
import type { SourceError } from './error.ts';
import { asSourceError } from './error.ts';
import type { Host, Link, NamespaceView } from './host.ts';
import type { ProcessFacts } from './process.ts';
import { readProcess } from './process.ts';

/** A network namespace with processes known to be in it. */
export interface Inhabited {
  readonly netns: number;
  /** Another one for another namespace, also where the inode number was used again. */
  readonly instance: string;
  readonly processes: readonly ProcessFacts[];
}

/** A namespace is read once more this long after the first time: IPv6 addresses come after the link is up. */
const SETTLED_MS = 2_000;

interface Kept {
  readonly instance: string;
  readonly firstAt: number;
  readonly readAt: number;
  readonly view: NamespaceView;
  readonly attachment: Attachment;
}

/**
 * How namespaces are attached to this node. Reading one means to enter it (0.3 ms), so what was read is kept:
 * until `forget`, or until the node's links into it are others than when it was read.
 */
export class Attachments {
  readonly #host: Host;
  #kept = new Map<number, Kept>();
  #forgotten = true;
  #linksChanged = true;

  constructor(host: Host) {
    this.#host = host;
  }

  /** Everything may have changed, also inside the namespaces. */
  forget(): void {
    this.#forgotten = true;
  }

  /** The node's links may have changed. */
  linksChanged(): void {
    this.#linksChanged = true;
  }

  /**
   * Finds all attachments; namespaces not asked for are no longer remembered. The answer lacks those whose processes
   * ended meanwhile and has an error for those that could not be read and are not remembered either.
   */
  async find(namespaces: readonly Inhabited[]): Promise<Map<string, Attachment | SourceError>> {
    const [forgotten, linksChanged] = [this.#forgotten, this.#linksChanged];
    this.#forgotten = false;
    this.#linksChanged = false;
    try {
      return await this.#find(namespaces, forgotten, linksChanged);
    } catch (thrown) {
      this.#forgotten = true;
      throw thrown;
    }
  }

  async #find(
    namespaces: readonly Inhabited[],
    forgotten: boolean,
    linksChanged: boolean,
  ): Promise<Map<string, Attachment | SourceError>> {
    const before = linksChanged ? endsByNetnsid(await this.#host.namespaces.links()) : undefined;
    const found = new Map<string, Attachment | SourceError>();
    const kept = new Map<number, Kept>();
    const fresh = new Map<Inhabited, NamespaceView>();
    for (const namespace of namespaces) {
      const known = this.#known(namespace);
      if (known !== undefined && !forgotten && !this.#isDue(known) && !(before && isOther(known, before))) {
        kept.set(namespace.netns, known);
        continue;
      }
      const view = await this.#read(namespace);
      if (view === undefined) continue;
      if (!(view instanceof Error)) fresh.set(namespace, view);
      else if (known !== undefined) kept.set(namespace.netns, { ...known, readAt: this.#host.now() });
      else found.set(namespace.instance, view);
    }
    // The node's links are listed after the namespaces' own, to have the other end of whatever was found in them.
    const links = fresh.size === 0 ? [] : await this.#host.namespaces.links();
    const readAt = this.#host.now();
    for (const [namespace, view] of fresh) {
      const { netns, instance } = namespace;
      const firstAt = this.#known(namespace)?.firstAt ?? readAt;
      kept.set(netns, { instance, firstAt, readAt, view, attachment: findAttachment(links, view) });
    }
    for (const { instance, attachment } of kept.values()) found.set(instance, attachment);
    this.#kept = kept;
    return found;
  }

  /** Milliseconds until a namespace is to be read once more; undefined when none is. */
  lookAgainIn(): number | undefined {
    const unsettled = [...this.#kept.values()].filter((kept) => kept.readAt - kept.firstAt < SETTLED_MS);
    if (unsettled.length === 0) return undefined;
    const earliest = Math.min(...unsettled.map((kept) => kept.firstAt + SETTLED_MS));
    // Clocks are set back.
    return Math.min(SETTLED_MS, Math.max(0, earliest - this.#host.now()));
  }

  #isDue({ firstAt, readAt }: Kept): boolean {
    return readAt - firstAt < SETTLED_MS && this.#host.now() - firstAt >= SETTLED_MS;
  }

  #known({ netns, instance }: Inhabited): Kept | undefined {
    const known = this.#kept.get(netns);
    return known?.instance === instance ? known : undefined;
  }

  /** Reads a namespace through a process that is still in it afterwards; undefined where none is. */
  async #read({ netns, processes }: Inhabited): Promise<NamespaceView | SourceError | undefined> {
    const { namespaces, proc } = this.#host;
    for (const { pid, startTime } of processes) {
      const path = `${proc}/${pid}/ns/net`;
      const isInside = (): boolean => {
        const now = readProcess(proc, pid);
        return now?.startTime === startTime && now.netns === netns;
      };
      try {
        const view = await namespaces.view(path);
        if (isInside()) return view;
      } catch (thrown) {
        if (!isInside()) continue;
        return asSourceError(thrown, 'UNREADABLE', `read the network namespace of process ${pid}`);
      }
    }
    return undefined;
  }
}

/** The node's ends of veths by the namespace they lead to: name by interface index. */
type Ends = ReadonlyMap<number, ReadonlyMap<number, string>>;

function endsByNetnsid(links: readonly Link[]): Ends {
  const ends = new Map<number, Map<number, string>>();
  for (const { kind, linkNetnsid, ifindex, name } of links) {
    if (kind !== 'veth' || linkNetnsid === undefined) continue;
    const into = ends.get(linkNetnsid) ?? new Map<number, string>();
    ends.set(linkNetnsid, into.set(ifindex, name));
  }
  return ends;
}

/** Whether the node's links into a namespace are others than when it was read. */
function isOther({ view, attachment }: Kept, ends: Ends): boolean {
  // A namespace without a number had no link to it; whether it has one now is not seen from the node's links.
  if (view.netnsid === undefined) return true;
  const now = ends.get(view.netnsid);
  return (
    (now?.size ?? 0) !== attachment.interfaces.length ||
    attachment.interfaces.some(({ ifindex, name }) => now?.get(ifindex) !== name)
  );
}
