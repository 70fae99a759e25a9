import { mkdtempSync, rmSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import {
  BpfMap,
  type Layout,
  type LoadedObject,
  type MapDefinition,
  mountBpffs,
  type OpenObject,
  openObject,
  U32,
  U64,
} from '../../../src/libbpf/index.ts';
import { compile } from '../../libbpf/compile.ts';

/** `struct pair` of sampler.bpf.c. */
export interface Pair {
  readonly left: bigint;
  readonly right: number;
}

export const PairLayout: Layout<Pair> = {
  name: 'pair',
  size: 16,
  read: (buffer, offset) => ({ left: U64.read(buffer, offset), right: U32.read(buffer, offset + 8) }),
  write: ({ left, right }, buffer, offset) => {
    U64.write(left, buffer, offset);
    U32.write(right, buffer, offset + 8);
    U32.write(0, buffer, offset + 12);
  },
};

export const SAMPLER = join(import.meta.dirname, 'sampler.bpf.c');
export const REFUSED = join(import.meta.dirname, 'refused.bpf.c');

/** Compiles before the suite: the first compilation takes its time in a VM. */
export function compileBefore(...sources: readonly string[]): void {
  before(function () {
    this.timeout(120_000);
    for (const source of sources) compile(source);
  });
}

/** The sampler with only these programs. */
export function openSampler(...programs: readonly string[]): OpenObject {
  const object = openObject(compile(SAMPLER));
  for (const program of object.programs.values()) program.autoload = programs.includes(program.name);
  return object;
}

export function loadSampler(...programs: readonly string[]): LoadedObject {
  return openSampler(...programs).load();
}

const kept: { close(): void }[] = [];

/** Closes it after the test, whatever happens. */
export function keep<T extends { close(): void } | undefined>(resource: T): T {
  if (resource !== undefined) kept.push(resource);
  return resource;
}

afterEach(() => {
  for (const resource of kept.splice(0).reverse()) resource.close();
});

/** Whether this kernel is that release (`6.6`) or a later one. */
export function isAtLeast(version: string): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = version.split('.').map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

/** The smallest packet that TC programs run on. */
export const PACKET = Buffer.alloc(64);

/** A directory on a bpffs, made for each test and removed after it. */
export function useBpffs(): { path(name: string): string } {
  let directory = '';
  before(() => mountBpffs('/sys/fs/bpf'));
  beforeEach(() => {
    directory = mkdtempSync(`/sys/fs/bpf/sallyport-test-${process.pid}-`);
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  return { path: (name) => join(directory, name) };
}

/** A small hash map, but for what is said otherwise; closed after the test. */
export function create(definition: Partial<MapDefinition>): BpfMap {
  return keep(BpfMap.create({ type: 'hash', name: 'test', keySize: 4, valueSize: 8, maxEntries: 64, ...definition }));
}

/** A number as a key of 4 bytes. */
export function key(number: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(number);
  return bytes;
}
