/** Which hardened container has which number, here and in the kernel's `hardened_subjects`. */
import { Allocator, type Quarantine } from '../allocator.ts';
import type { MountRoot } from '../hardening-port.ts';
import { type HardenedSubject, SubjectFlags } from '../layouts.gen.ts';
import type { HardeningMaps } from './tables.ts';

/** 0 stands for everybody, in `anchors`. */
const FIRST_SUBJECT = 1;

/** Minutes in which a record under way may still name a number that was given up. */
const QUARANTINE: Quarantine = { rest: 10 * 60_000, now: () => performance.now() };

const NOBODY: HardenedSubject = { instance: 0n, rootInode: 0n, rootDevice: 0, flags: 0, cgroups: 0 };
const UNSETTLED: HardenedSubject = { ...NOBODY, flags: SubjectFlags.SubjectUnsettled };

/**
 * A number belongs to one life of a container. What still bears it when that life has ended bears the instance too,
 * and is never taken for the next owner's.
 */
export class Subjects {
  readonly #table: HardeningMaps['subjects'];
  readonly #numbers: Allocator<bigint>;
  /** Those in the kernel: their programs judge by them. */
  readonly #standing = new Map<bigint, number>();
  readonly #unsettled = new Set<number>();

  /** Takes over what an earlier agent has left. */
  constructor(table: HardeningMaps['subjects'], quarantine = QUARANTINE) {
    this.#table = table;
    this.#numbers = new Allocator(FIRST_SUBJECT, table.map.maxEntries, quarantine);
    for (const [subject, { instance, flags }] of table.entries()) {
      if (flags === SubjectFlags.SubjectUnsettled) this.#unsettled.add(subject);
      if (instance === 0n || subject < FIRST_SUBJECT) continue;
      this.#numbers.adopt(instance, subject);
      if (this.#numbers.numberOf(instance) === subject) this.#standing.set(instance, subject);
    }
  }

  /** By instance. */
  get standing(): ReadonlyMap<bigint, number> {
    return this.#standing;
  }

  /** Those of which something may be in the kernel although they are nobody's. */
  get unsettled(): ReadonlySet<number> {
    return this.#unsettled;
  }

  /** The instance's number, a new one where it has none; undefined where all are taken or were until a moment ago. */
  number(instance: bigint): number | undefined {
    return this.#numbers.assign(instance);
  }

  instanceOf(subject: number): bigint | undefined {
    return this.#numbers.keyOf(subject);
  }

  /** What there is in the kernel; `instance` 0 where it is nobody's. */
  read(subject: number): HardenedSubject {
    return this.#table.get(subject) ?? NOBODY;
  }

  /** To be called before anything is written that belongs to the number. */
  prepare(subject: number): void {
    this.#table.set(subject, UNSETTLED);
    this.#unsettled.add(subject);
  }

  /** From now on what bears the number and the instance is judged by the number's profile. */
  stand(instance: bigint, subject: number, root: MountRoot): void {
    this.#table.set(subject, { instance, rootInode: root.inode, rootDevice: root.device, flags: 0, cgroups: 0 });
    this.#unsettled.delete(subject);
    this.#standing.set(instance, subject);
  }

  /** From now on whatever bears it is an orphan. */
  fall(instance: bigint): void {
    const subject = this.#standing.get(instance);
    if (subject !== undefined) this.prepare(subject);
    this.#standing.delete(instance);
  }

  /** To be called when nothing is in the kernel that belongs to them. */
  settle(): void {
    for (const subject of this.#unsettled) this.#table.set(subject, NOBODY);
    this.#unsettled.clear();
  }

  /** To be called after that. */
  release(instance: bigint): void {
    this.#numbers.release(instance);
  }
}
