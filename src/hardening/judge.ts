import { samePrefix } from '../model/address.ts';
import {
  FILE_ACCESSES,
  type FileAccess,
  MOUNT_OPERATIONS,
  type MountOperation,
  OPERATIONS,
  type Operation,
} from '../model/hardening.ts';
import { Verdict } from '../model/verdict.ts';
import {
  ANY_NUMBER,
  CELL_BITS,
  CELL_BYTES,
  CELLS,
  FILE_SYSTEM_BYTES,
  LIST_ENTRIES,
  MATCH_BITS,
  MATCH_BYTES,
  MATCH_HEAD,
  MATCH_SINK,
  MatchOffset,
  MountFlag,
  MountOffset,
  mountOperationBit,
  NetworkOffset,
  ProfileOffset,
  REFERENCE_SHIFT,
  RULING_BYTES,
  RulingOffset,
  SocketOffset,
  viewOfPage,
} from './format.ts';
import { USES } from './moving.ts';

/** What a profile says, in both layers. Rule 0 is a default's. */
export interface Judgement {
  readonly verdict: number;
  readonly rule: number;
  readonly stagedVerdict: number;
  readonly stagedRule: number;
}

const ALLOWED: Judgement = { verdict: Verdict.Allow, rule: 0, stagedVerdict: Verdict.Allow, stagedRule: 0 };

/** Reads the pages of a profile exactly as the kernel does. */
export class ProfileReader {
  readonly #views: readonly DataView[];
  readonly #head: DataView;

  constructor(pages: readonly Uint8Array[]) {
    this.#views = pages.map(viewOfPage);
    this.#head = this.#views[0]!;
  }

  get id(): bigint {
    return this.#head.getBigUint64(ProfileOffset.id, true);
  }

  /** Bits that what a task starts keeps. */
  get lasting(): bigint {
    return this.#head.getBigUint64(ProfileOffset.lasting, true);
  }

  /** Whether any rule or default is about this access. */
  concerns(access: FileAccess): boolean {
    return (this.#word(ProfileOffset.accesses) & (1 << FILE_ACCESSES.indexOf(access))) !== 0;
  }

  /** @param path canonical: `/`, `/a/b` or `@name` */
  path(access: FileAccess, path: string | Uint8Array, executables = 0n): Judgement {
    const number = FILE_ACCESSES.indexOf(access);
    const match = this.#match(this.#word(ProfileOffset.start), path);
    const own = match === undefined ? 0 : match.view.getUint32(match.offset + MatchOffset.rulings + 4 * number, true);
    return this.#judge(own || this.#word(ProfileOffset.defaults + 4 * number), executables);
  }

  /** A link or rename, as far as it takes the object from where rules guard it. A directory takes along what it holds. */
  moving(
    source: string | Uint8Array,
    destination: string | Uint8Array,
    { directory, executables = 0n }: { readonly directory: boolean; readonly executables?: bigint },
  ): Judgement {
    for (const access of USES) {
      const here = this.path(access, source, executables);
      if (here.verdict !== Verdict.Deny) continue;
      if (this.path(access, destination, executables).verdict !== Verdict.Deny) return here;
    }
    if (!directory) return ALLOWED;
    const start = this.#word(ProfileOffset.start);
    const [from, to] = [this.#movingOf(start, source), this.#movingOf(start, destination)];
    if ((from.guards & ~to.keeps) === 0) return ALLOWED;
    return this.#judge(from.rulings, executables);
  }

  /** The bits of an executable. */
  executables(path: string | Uint8Array): bigint {
    const match = this.#match(this.#word(ProfileOffset.startExecutables), path);
    return match === undefined ? 0n : match.view.getBigUint64(match.offset + MatchOffset.executables, true);
  }

  /** @param within true in a user namespace of the container's own */
  capability(number: number, within: boolean, executables = 0n): Judgement {
    return this.#judge(this.#word(ProfileOffset.capabilities + 4 * ((within ? 64 : 0) + number)), executables);
  }

  operation(operation: Operation, executables = 0n): Judgement {
    return this.#judge(this.#word(ProfileOffset.operations + 4 * OPERATIONS.indexOf(operation)), executables);
  }

  socket(family: number, kind: number, protocol: number, executables = 0n): Judgement {
    const fits = (at: number, value: number): boolean =>
      this.#head.getUint16(at, true) === ANY_NUMBER || this.#head.getUint16(at, true) === value;
    const found = this.#entry(ProfileOffset.sockets, SocketOffset.size, SocketOffset.rulings, (at) => {
      const { family: f, type, protocol: p } = SocketOffset;
      return fits(at + f, family) && fits(at + type, kind) && fits(at + p, protocol);
    });
    return this.#judge(found ?? this.#word(ProfileOffset.socketDefault), executables);
  }

  mount(
    operation: MountOperation,
    fileSystem: string,
    is: { writable: boolean; device: boolean },
    executables = 0n,
  ): Judgement {
    const bit = mountOperationBit(MOUNT_OPERATIONS.indexOf(operation));
    const flags = (is.writable ? MountFlag.Writable : 0) | (is.device ? MountFlag.Device : 0);
    const found = this.#entry(ProfileOffset.mounts, MountOffset.size, MountOffset.rulings, (at) => {
      const type = this.#bytes(at + MountOffset.type, FILE_SYSTEM_BYTES);
      const name = Buffer.from(type).toString().replace(/\0.*$/s, '');
      return (
        (this.#word(at + MountOffset.operations) & bit) !== 0 &&
        (this.#word(at + MountOffset.flags) & ~flags) === 0 &&
        (name === '' || name === fileSystem)
      );
    });
    return this.#judge(found ?? this.#word(ProfileOffset.mountDefault), executables);
  }

  /** @param address 16 bytes */
  network(address: Uint8Array, protocol: number, port: number, executables = 0n): Judgement {
    const found = this.#entry(ProfileOffset.networks, NetworkOffset.size, NetworkOffset.rulings, (at) => {
      const wanted = this.#head.getUint8(at + NetworkOffset.protocol);
      return (
        samePrefix(this.#bytes(at, 16), address, this.#head.getUint16(at + NetworkOffset.prefix, true)) &&
        (wanted === 0 || wanted === protocol) &&
        this.#head.getUint16(at + NetworkOffset.port, true) <= port &&
        port <= this.#head.getUint16(at + NetworkOffset.endPort, true)
      );
    });
    return this.#judge(found ?? this.#word(ProfileOffset.networkDefault), executables);
  }

  /** What a list of rulings says; 0 is allowed. */
  #judge(reference: number, executables: bigint): Judgement {
    if (reference === 0) return ALLOWED;
    const view = this.#views[reference >>> REFERENCE_SHIFT]!;
    let at = (reference & ((1 << REFERENCE_SHIFT) - 1)) * RULING_BYTES;
    let enforced: { verdict: number; rule: number } | undefined;
    let staged: { verdict: number; rule: number } | undefined;
    for (;;) {
      const mask = view.getBigUint64(at + RulingOffset.executables, true);
      if (mask === 0n || (mask & executables) !== 0n) {
        const verdict = view.getUint8(at + RulingOffset.verdict);
        const stagedVerdict = view.getUint8(at + RulingOffset.stagedVerdict);
        if (verdict !== Verdict.None) enforced ??= { verdict, rule: view.getUint32(at + RulingOffset.rule, true) };
        if (stagedVerdict !== Verdict.None) {
          staged ??= { verdict: stagedVerdict, rule: view.getUint32(at + RulingOffset.stagedRule, true) };
        }
      }
      if (mask === 0n) break;
      at += RULING_BYTES;
    }
    return {
      verdict: enforced!.verdict,
      rule: enforced!.rule,
      stagedVerdict: staged!.verdict,
      stagedRule: staged!.rule,
    };
  }

  /** Where the match of a path lies. */
  #match(start: number, path: string | Uint8Array): { view: DataView; offset: number } | undefined {
    let state = start;
    for (const byte of typeof path === 'string' ? Buffer.from(path) : path) {
      if (state === 0) return undefined;
      const view = this.#views[state >>> CELL_BITS]!;
      const base = state & (CELLS - 1);
      const cell = CELL_BYTES * (base + byte);
      if (view.getUint32(cell + 4, true) === base) state = view.getUint32(cell, true);
      else if ((view.getUint32(CELL_BYTES * base + 4, true) & MATCH_SINK) !== 0) break;
      else state = view.getUint32(CELL_BYTES * base, true);
    }
    if (state === 0) return undefined;
    const owner = this.#views[state >>> CELL_BITS]!.getUint32(CELL_BYTES * (state & (CELLS - 1)) + 4, true);
    if ((owner & MATCH_HEAD) === 0) throw new RangeError(`state ${state} has no head`);
    const match = owner & MATCH_BITS;
    if (match === 0) return undefined;
    return { view: this.#views[match >>> REFERENCE_SHIFT]!, offset: (match & 0xffff) * MATCH_BYTES };
  }

  #movingOf(start: number, path: string | Uint8Array): { rulings: number; guards: number; keeps: number } {
    const match = this.#match(start, path);
    const { view, offset } = match ?? { view: this.#head, offset: ProfileOffset.movingDefault };
    const { moving, guards, keeps } = MatchOffset;
    return match === undefined
      ? {
          rulings: view.getUint32(offset, true),
          guards: view.getUint32(offset + 4, true),
          keeps: view.getUint32(offset + 8, true),
        }
      : {
          rulings: view.getUint32(offset + moving, true),
          guards: view.getUint32(offset + guards, true),
          keeps: view.getUint32(offset + keeps, true),
        };
  }

  #entry(list: number, size: number, rulings: number, fits: (at: number) => boolean): number | undefined {
    for (let i = 0; i < LIST_ENTRIES; i++) {
      const at = list + i * size;
      const reference = this.#word(at + rulings);
      if (reference === 0) return undefined;
      if (fits(at)) return reference;
    }
    return undefined;
  }

  #bytes(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.#head.buffer, this.#head.byteOffset + offset, length);
  }

  #word(offset: number): number {
    return this.#head.getUint32(offset, true);
  }
}
