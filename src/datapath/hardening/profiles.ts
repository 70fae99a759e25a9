/** Profiles in the kernel: an inner map for each content, shared by all subjects that are judged by it. */
import { BPF_F_INNER_MAP, BpfMap } from '../../libbpf/index.ts';
import type { ProfilePages } from '../hardening-port.ts';
import { ProfileFormat } from '../layouts.gen.ts';
import type { HardeningMaps } from './tables.ts';

const PAGE = ProfileFormat.ProfilePageBytes;

/**
 * A profile is written whole into a map that nobody knows yet, frozen, and put in the place of a subject's former one
 * in one step: whatever goes wrong before that step changes nothing. After it the kernel waits until no program runs
 * by the former any more. Kernels before 6.8 wait so for whoever reads, too: not to be done where it is not expedited.
 */
export class Profiles {
  readonly #table: HardeningMaps['profiles'];
  /** By profile id, while a subject has it. */
  readonly #maps = new Map<bigint, BpfMap>();
  readonly #users = new Map<bigint, Set<number>>();
  readonly #profileOf = new Map<number, bigint>();

  /** Takes over what the kernel has for these subjects. */
  constructor(table: HardeningMaps['profiles'], subjects: Iterable<number>) {
    this.#table = table;
    for (const subject of subjects) {
      const map = table.get(subject);
      const id = map === undefined ? undefined : idOf(map);
      if (map === undefined) continue;
      if (id === undefined || this.#maps.has(id)) map.close();
      else this.#maps.set(id, map);
      if (id !== undefined) this.#use(subject, id);
    }
  }

  /** How many different ones there are. */
  get size(): number {
    return this.#maps.size;
  }

  /**
   * Makes the kernel judge a subject by this one.
   * @throws BpfError where there is no memory for it; the former stays in force
   */
  put(subject: number, profile: ProfilePages): void {
    // The kernel's word counts, not what is remembered here.
    if (this.read(subject) === profile.id) {
      if (this.#profileOf.get(subject) !== profile.id) this.#adopt(subject, profile.id);
      return;
    }
    let map = this.#maps.get(profile.id);
    if (map === undefined) {
      map = createInner(profile);
      this.#maps.set(profile.id, map);
    }
    try {
      this.#table.set(subject, map);
    } catch (error) {
      this.#release(profile.id);
      throw error;
    }
    this.#leave(subject);
    this.#use(subject, profile.id);
  }

  /** The id of the profile a subject is judged by, as its page says; undefined where it has none. */
  read(subject: number): bigint | undefined {
    const map = this.#table.get(subject);
    if (map === undefined) return undefined;
    try {
      return idOf(map);
    } finally {
      map.close();
    }
  }

  /** All pages of the profile a subject is judged by. */
  readPages(subject: number): readonly Uint8Array[] | undefined {
    const map = this.#table.get(subject);
    if (map === undefined) return undefined;
    try {
      return Array.from({ length: map.maxEntries }, (_, page) => map.get(pageKey(page)) ?? new Uint8Array(PAGE));
    } finally {
      map.close();
    }
  }

  remove(subject: number): void {
    this.#table.delete(subject);
    this.#leave(subject);
  }

  close(): void {
    for (const map of this.#maps.values()) map.close();
    this.#maps.clear();
  }

  #adopt(subject: number, id: bigint): void {
    this.#leave(subject);
    this.#use(subject, id);
    if (this.#maps.has(id)) return;
    const map = this.#table.get(subject);
    if (map !== undefined) this.#maps.set(id, map);
  }

  #use(subject: number, id: bigint): void {
    const users = this.#users.get(id) ?? new Set();
    users.add(subject);
    this.#users.set(id, users);
    this.#profileOf.set(subject, id);
  }

  #leave(subject: number): void {
    const id = this.#profileOf.get(subject);
    if (id === undefined) return;
    this.#profileOf.delete(subject);
    this.#users.get(id)?.delete(subject);
    this.#release(id);
  }

  /** Nobody has it: the kernel frees it once no program runs by it. */
  #release(id: bigint): void {
    if ((this.#users.get(id)?.size ?? 0) > 0) return;
    this.#users.delete(id);
    this.#maps.get(id)?.close();
    this.#maps.delete(id);
  }
}

function createInner({ id, pages }: ProfilePages): BpfMap {
  if (pages.length === 0 || pages.some((page) => page.length !== PAGE))
    throw new RangeError(`A profile is one or more pages of ${PAGE} bytes`);
  if (Buffer.from(pages[0]!.buffer, pages[0]!.byteOffset, 8).readBigUInt64LE() !== id || id === 0n)
    throw new RangeError('Page 0 of a profile begins with its id, which is not 0');
  const map = BpfMap.create({
    type: 'array',
    name: 'profile',
    keySize: 4,
    valueSize: PAGE,
    maxEntries: pages.length,
    flags: BPF_F_INNER_MAP,
  });
  try {
    for (const [page, bytes] of pages.entries()) map.set(pageKey(page), bytes);
    // Whoever opens it later, by its id or through the table, can read it and nothing else.
    map.freeze();
    return map;
  } catch (error) {
    map.close();
    throw error;
  }
}

function pageKey(page: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(page);
  return key;
}

function idOf(map: BpfMap): bigint | undefined {
  const id = map.get(pageKey(0))?.readBigUInt64LE();
  return id === 0n ? undefined : id;
}
