/** The kernel's readers of tags (`bpf/lib/tag.h`) on made-up packets: `tags.bpf.c` with maps of its own, in test runs. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  DomainKeyLayout,
  DomainLayout,
  Incident,
  Reason,
  ReasonName,
  type Settings,
  SettingsLayout,
  TagKeyLayout,
} from '../../../src/datapath/layouts.gen.ts';
import {
  enableStatistics,
  type LoadedObject,
  openObject,
  PerCpuMap,
  TypedMap,
  U32,
  U64,
} from '../../../src/libbpf/index.ts';
import { compile } from '../../libbpf/compile.ts';
import { RememberedTags } from './remembered-tags.ts';

const SOURCE = join(import.meta.dirname, 'tags.bpf.c');
const HEADERS = ['lib', 'api'].flatMap((directory) => {
  const path = join(import.meta.dirname, '../../../bpf', directory);
  return readdirSync(path).map((name) => join(path, name));
});

/** Seconds of a window in tests: none ends while a test runs, however slow the machine is. */
export const WINDOW_SECONDS = 3600;
/** The window that tests are in, unless they move the clock: its low bits are in the middle of their range. */
export const WINDOW = 500_000 + 16;

/** Keys by epoch, as user space has them: 16 bytes. */
export const KEYS: Readonly<Record<number, Buffer>> = {
  1: Buffer.from('0f0e0d0c0b0a09080706050403020100', 'hex'),
  2: Buffer.from('00112233445566778899aabbccddeeff', 'hex'),
};

/** Wall clock minus monotonic, ns, with which the middle of `window` is now. */
export function clockOffsetOf(window: number, seconds = WINDOW_SECONDS): bigint {
  return BigInt(Math.round((window + 0.5) * seconds)) * 1_000_000_000n - process.hrtime.bigint();
}

export const NO_SETTINGS: Settings = {
  revision: 0,
  observe: 0,
  heartbeat: 0n,
  eventRate: 0,
  eventBurst: 0,
  clockOffset: 0n,
  tagWindow: 0,
  tagEpoch: 0,
  holdMark: 0,
  answerMark: 0,
  holdRate: 0,
  refusal: 0,
  holdOpen: 0,
};

/** The tables that tags are made and read with, in an object that has them. */
export class TagTables {
  readonly settings: TypedMap<number, Settings>;
  readonly domains;
  readonly replays: RememberedTags;
  readonly #keys;
  readonly #incidents;

  constructor(loaded: LoadedObject) {
    this.settings = new TypedMap(loaded.map('settings'), U32, SettingsLayout);
    this.domains = new TypedMap(loaded.map('domains'), DomainKeyLayout, DomainLayout);
    this.#keys = new TypedMap(loaded.map('tag_keys'), U32, TagKeyLayout);
    this.#incidents = new PerCpuMap(loaded.map('incidents'), U32, U64);
    this.replays = new RememberedTags(loaded.map('replays'), () => this.incident(Incident.TagVerified));
  }

  /** Tags are on, epoch 1 signs and is the only one accepted, and it is the middle of `WINDOW`. */
  reset(): void {
    for (let epoch = 0; epoch < 4; epoch += 1) this.revoke(epoch);
    this.accept(1);
    this.set({ ...NO_SETTINGS, tagWindow: WINDOW_SECONDS, tagEpoch: 1, clockOffset: clockOffsetOf(WINDOW) });
  }

  set(some: Partial<Settings>): void {
    this.settings.set(0, { ...(this.settings.get(0) ?? NO_SETTINGS), ...some });
  }

  accept(epoch: number): void {
    const key = KEYS[epoch]!;
    this.#keys.set(epoch & 3, { halves: [key.readBigUInt64LE(0), key.readBigUInt64LE(8)], epoch, valid: 1 });
  }

  revoke(epoch: number): void {
    this.#keys.set(epoch & 3, { halves: [0n, 0n], epoch, valid: 0 });
  }

  incident(number: number): number {
    return Number((this.#incidents.get(number) ?? []).reduce((sum, value) => sum + value, 0n));
  }
}

/** What a reader said of a packet. */
export interface Reading {
  /** `none` where it may pass. */
  readonly reason: string;
  /** 0 where no tag told one. */
  readonly identity: bigint;
}

export class TagReader {
  readonly tables: TagTables;
  readonly #loaded: LoadedObject;

  constructor() {
    const object = openObject(compile(SOURCE, HEADERS));
    this.#loaded = object.load();
    this.tables = new TagTables(this.#loaded);
    this.tables.reset();
  }

  /** What the check says where a packet arrives. */
  verify(frame: Buffer): Reading {
    return this.#read('verified_tag', frame);
  }

  /** What the check says where a packet leaves. */
  carried(frame: Buffer): Reading {
    return this.#read('carried', frame);
  }

  /** Whether a cgroup's program, which sees no link header, reads the frame as good. */
  verifiesAtCgroup(frame: Buffer): boolean {
    return this.#loaded.program('verified_at_cgroup').testRun({ data: frame }).retval === 1;
  }

  hash(key: Buffer, message: Buffer): bigint {
    const { retval, data } = this.#loaded.program('hash').testRun({ data: Buffer.concat([key, message]) });
    if (retval !== 0) throw new Error(`hash returned ${retval}`);
    return data.readBigUInt64LE(0);
  }

  /** Mean ns of `count` readings of one packet. */
  time(name: 'carried' | 'verified_tag', frame: Buffer, count: number): number {
    return this.#loaded.program(name).testRun({ data: frame, repeat: count }).durationNs;
  }

  /** Mean ns of one reading of each packet, by the kernel's statistics. */
  cost(name: 'carried' | 'verified_tag', frames: Iterable<Buffer>): number {
    const program = this.#loaded.program(name);
    const statistics = enableStatistics();
    try {
      const before = program.info();
      for (const data of frames) program.testRun({ data });
      const after = program.info();
      return Number(after.runTimeNs - before.runTimeNs) / Number(after.runCount - before.runCount);
    } finally {
      statistics.close();
    }
  }

  close(): void {
    this.#loaded.close();
  }

  #read(name: string, frame: Buffer): Reading {
    const { retval, data } = this.#loaded.program(name).testRun({ data: frame });
    const reason = retval | 0;
    if (reason < 0) return { reason: `parse: ${ReasonName(-reason)}`, identity: 0n };
    return { reason: reason === Reason.None ? 'none' : ReasonName(reason), identity: data.readBigUInt64LE(6) };
  }
}
