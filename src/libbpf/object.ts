import { type Btf, type BtfType, parseBtf } from './btf.ts';
import { argumentError, BpfError } from './errors.ts';
import { kindName, MAP_TYPES, type MapType, PROGRAM_TYPES, type ProgramType } from './kinds.ts';
import type { Layout } from './layout.ts';
import { BpfMap } from './map.ts';
import { type NativeMap, type NativeProgram, native, type ObjectHandle } from './native.ts';
import { BpfProgram } from './program.ts';
import { checkBytes, checkInteger, checkPath, expectOk, MAX_U32, opened, Resource } from './resource.ts';
import { summarizeLog } from './verifier-log.ts';

export interface OpenOptions {
  /** The kernel's types, for kernels without /sys/kernel/btf/vmlinux. */
  readonly btfPath?: string;
}

/** Reads a compiled object. Throws `BpfError` OBJECT_OPEN. The file must be trusted: libelf is no fortress. */
export function openObject(path: string, options: OpenOptions = {}): OpenObject {
  const { btfPath } = options;
  if (btfPath !== undefined) checkPath(btfPath, 'the kernel types');
  const handle = native.openObject(checkPath(path, 'a BPF object'), btfPath);
  if (typeof handle !== 'number') return new OpenObject(handle, path);
  const log = native.takeLog();
  const reason = summarizeLog(log)?.message;
  const code = handle === -2 ? 'NOT_FOUND' : 'OBJECT_OPEN';
  throw new BpfError(code, { attempted: `open BPF object "${path}"`, errno: handle, reason, log });
}

/** An object that is read and not yet in the kernel: the phase in which it can be changed. */
export class OpenObject extends Resource<ObjectHandle> {
  readonly path: string;
  readonly maps: ReadonlyMap<string, OpenMap>;
  readonly programs: ReadonlyMap<string, OpenProgram>;
  #loaded = false;
  #btf: Btf | undefined;

  constructor(handle: ObjectHandle, path: string) {
    super(handle);
    this.path = path;
    const use: Use = (attempted) => this.#editable(attempted);
    this.maps = new Map(native.objectMaps(handle).map((map, index) => [map.name, new OpenMap(use, map, index)]));
    this.programs = new Map(
      native.objectPrograms(handle).map((program) => [program.name, new OpenProgram(use, program)]),
    );
  }

  protected override describe(): string {
    return `object "${this.path}"`;
  }

  /** Sets a global variable (`const volatile` ones become constants the verifier knows). Throws `BpfError` NOT_FOUND or LAYOUT. */
  setGlobal<T>(name: string, layout: Layout<T>, value: T): void {
    const attempted = `set global "${name}" of ${this.describe()}`;
    const handle = this.#editable(attempted);
    this.#btf ??= parseBtf(opened(native.objectBtf(handle), 'BTF', attempted), this.describe());
    const place = findVariable(this.#btf, name);
    const map =
      place === undefined ? undefined : [...this.maps.values()].find((candidate) => candidate.holds(place.section));
    if (place === undefined || map === undefined) {
      throw new BpfError('NOT_FOUND', {
        attempted,
        reason: 'it has no such variable',
        hint: 'is it declared, used and not static?',
      });
    }
    if (place.size !== layout.size) {
      throw new BpfError('LAYOUT', {
        attempted,
        reason: `it has ${place.size} bytes, layout "${layout.name}" ${layout.size}`,
      });
    }
    const bytes = map.initialValue();
    layout.write(value, bytes, place.offset);
    map.setInitialValue(bytes);
  }

  /**
   * Loads maps and programs into the kernel. The object becomes the returned one's: this one cannot be edited any more,
   * and closing it does nothing. Throws `BpfError` VERIFIER (with the whole log), PERMISSION or OBJECT_LOAD.
   */
  load(): LoadedObject {
    const handle = this.#editable('load');
    const errno = native.loadObject(handle);
    // libbpf keeps nothing of an object it could not load, and it cannot be tried again.
    if (errno < 0) {
      const error = loadError(this.path, errno, native.takeLog());
      this.close();
      throw error;
    }
    this.#loaded = true;
    const sections = new Map(
      [...this.programs.values()].filter((one) => one.autoloaded).map((one) => [one.name, one.section]),
    );
    return new LoadedObject(handle, this.path, [...this.maps.keys()], sections);
  }

  override close(): void {
    if (!this.#loaded) super.close();
  }

  #editable(attempted: string): ObjectHandle {
    if (this.#loaded)
      throw new BpfError('CLOSED', { attempted: `${attempted} ${this.describe()}`, reason: 'it is loaded already' });
    return this.live(attempted);
  }
}

type Use = (attempted: string) => ObjectHandle;

/** A map of an object that is not loaded yet. */
export class OpenMap {
  readonly name: string;
  readonly type: MapType | `type ${number}`;
  /** Bytes. */
  readonly keySize: number;
  /** Bytes. */
  readonly valueSize: number;
  readonly #use: Use;
  readonly #index: number;

  constructor(use: Use, map: NativeMap, index: number) {
    this.#use = use;
    this.#index = index;
    this.name = map.name;
    this.type = kindName(MAP_TYPES, map.type);
    this.keySize = map.keySize;
    this.valueSize = map.valueSize;
  }

  get maxEntries(): number {
    return native.objectMapMaxEntries(this.#use('ask about'), this.#index);
  }

  set maxEntries(entries: number) {
    checkInteger(entries, 1, MAX_U32, 'a number of entries');
    const errno = native.objectMapSetMaxEntries(this.#use('edit'), this.#index, entries);
    expectOk(errno, 'OBJECT_EDIT', `set the size of map "${this.name}" to ${entries}`);
  }

  /** Where `load()` will pin it, or find it pinned and use that one if it has the same shape. */
  get pinPath(): string | undefined {
    return native.objectMapPinPath(this.#use('ask about'), this.#index);
  }

  set pinPath(path: string | undefined) {
    if (path !== undefined) checkPath(path, 'a pin');
    expectOk(native.objectMapSetPinPath(this.#use('edit'), this.#index, path), 'OBJECT_EDIT', `pin map "${this.name}"`);
  }

  /** Uses a map that exists. Throws `BpfError` OBJECT_EDIT when it has another shape. */
  reuse(map: BpfMap): void {
    const handle = this.#use('edit');
    const attempted = `use map ${map.id} as "${this.name}"`;
    if (map.type !== this.type || map.keySize !== this.keySize || map.valueSize !== this.valueSize) {
      const shape = (one: OpenMap | BpfMap): string => `${one.type}, key ${one.keySize}, value ${one.valueSize} bytes`;
      throw new BpfError('OBJECT_EDIT', { attempted, reason: `it is ${shape(map)}; wanted is ${shape(this)}` });
    }
    expectOk(native.objectMapReuse(handle, this.#index, map.handle('reuse')), 'OBJECT_EDIT', attempted);
  }

  /** The shape of the maps in this map of maps, where the object does not define it. */
  setInnerShape(map: BpfMap): void {
    const errno = native.objectMapSetInner(this.#use('edit'), this.#index, map.handle('use'));
    expectOk(errno, 'OBJECT_EDIT', `set the inner map of "${this.name}"`);
  }

  /** Leaves the map out: for programs that are not loaded either. */
  skip(): void {
    expectOk(
      native.objectMapSetAutocreate(this.#use('edit'), this.#index, false),
      'OBJECT_EDIT',
      `leave out map "${this.name}"`,
    );
  }

  /** A copy of the bytes of .rodata, .data or .bss. */
  initialValue(): Buffer {
    return opened(
      native.objectMapInitialValue(this.#use('ask about'), this.#index),
      'OBJECT_EDIT',
      `read the variables of map "${this.name}"`,
    );
  }

  setInitialValue(bytes: Uint8Array): void {
    checkBytes(bytes, this.valueSize, `set the variables of map "${this.name}"`);
    const errno = native.objectMapSetInitialValue(this.#use('edit'), this.#index, bytes);
    expectOk(errno, 'OBJECT_EDIT', `set the variables of map "${this.name}"`);
  }

  /** Whether it is the map of that ELF section; libbpf calls it by the object's name and the section's. */
  holds(section: string): boolean {
    return this.name === section || this.name.endsWith(section);
  }
}

/** A program of an object that is not loaded yet. */
export class OpenProgram {
  readonly name: string;
  /** Says what it attaches to: `tc`, `tp_btf/sched_process_exec`. */
  readonly section: string;
  readonly type: ProgramType | `type ${number}`;
  readonly #use: Use;
  #autoload: boolean;

  constructor(use: Use, program: NativeProgram) {
    this.#use = use;
    this.name = program.name;
    this.section = program.section;
    this.type = kindName(PROGRAM_TYPES, program.type);
    this.#autoload = native.objectProgramAutoload(use('ask about'), program.name);
  }

  get autoload(): boolean {
    this.#use('ask about');
    return this.#autoload;
  }

  /** Whether `load()` loads it. */
  set autoload(load: boolean) {
    if (typeof load !== 'boolean') throw argumentError(`set autoload of program "${this.name}"`, 'it is true or false');
    const errno = native.objectProgramSetAutoload(this.#use('edit'), this.name, load);
    expectOk(errno, 'OBJECT_EDIT', `set autoload of program "${this.name}"`);
    this.#autoload = load;
  }

  /** What `autoload` was last, also after loading. */
  get autoloaded(): boolean {
    return this.#autoload;
  }
}

/** An object in the kernel. Closing it closes the maps and programs got from it; links, pins and filters stay. */
export class LoadedObject extends Resource<ObjectHandle> {
  readonly path: string;
  readonly mapNames: readonly string[];
  /** Those that were loaded. */
  readonly programNames: readonly string[];
  readonly #sections: ReadonlyMap<string, string>;
  readonly #maps = new Map<string, BpfMap>();
  readonly #programs = new Map<string, BpfProgram>();

  constructor(handle: ObjectHandle, path: string, maps: readonly string[], sections: ReadonlyMap<string, string>) {
    super(handle);
    this.path = path;
    this.mapNames = maps;
    this.programNames = [...sections.keys()];
    this.#sections = sections;
  }

  protected override describe(): string {
    return `object "${this.path}"`;
  }

  /** The same object every time. Throws `BpfError` NOT_FOUND with the names there are. */
  map(name: string): BpfMap {
    const handle = this.live('use');
    let map = this.#maps.get(name);
    if (map === undefined || map.closed) {
      const index = this.mapNames.indexOf(name);
      if (index === -1) throw this.#unknown('map', name, this.mapNames);
      const opening = `open map "${name}" of ${this.describe()}`;
      const pin = native.objectMapPinPath(handle, index);
      map = new BpfMap(opened(native.objectMap(handle, index), 'MAP_READ', opening), name, pin);
      this.#maps.set(name, map);
    }
    return map;
  }

  /** The same object every time. Throws `BpfError` NOT_FOUND with the names there are. */
  program(name: string): BpfProgram {
    const object = this.live('use');
    let program = this.#programs.get(name);
    if (program === undefined || program.closed) {
      const section = this.#sections.get(name);
      if (section === undefined) throw this.#unknown('program', name, this.programNames);
      const handle = opened(
        native.objectProgram(object, name),
        'PROGRAM',
        `open program "${name}" of ${this.describe()}`,
      );
      program = new BpfProgram(handle, name, { object, section });
      this.#programs.set(name, program);
    }
    return program;
  }

  /** What a loaded program attaches to: `lsm/file_open`. Throws `BpfError` NOT_FOUND with the names there are. */
  section(name: string): string {
    const section = this.#sections.get(name);
    if (section === undefined) throw this.#unknown('program', name, this.programNames);
    return section;
  }

  override close(): void {
    for (const map of this.#maps.values()) map.close();
    for (const program of this.#programs.values()) program.close();
    super.close();
  }

  #unknown(what: string, name: string, known: readonly string[]): BpfError {
    const reason = `it has no such ${what} loaded, only ${known.join(', ') || 'none'}`;
    return new BpfError('NOT_FOUND', { attempted: `find ${what} "${name}" in ${this.describe()}`, reason });
  }
}

function loadError(path: string, errno: number, log: string): BpfError {
  const summary = summarizeLog(log);
  const program = summary?.program === undefined ? '' : `, program "${summary.program}"`;
  const where = summary?.source ?? summary?.instruction;
  const reason = summary === undefined ? undefined : `${summary.message}${where === undefined ? '' : `, at: ${where}`}`;
  const refused = errno === -1 || errno === -13;
  const code = summary?.verifier ? 'VERIFIER' : refused ? 'PERMISSION' : 'OBJECT_LOAD';
  return new BpfError(code, { attempted: `load BPF object "${path}"${program}`, errno, reason, log });
}

function findVariable(btf: Btf, name: string): { section: string; offset: number; size: number } | undefined {
  for (const section of btf.types) {
    if (section.kind !== 'section') continue;
    for (const { type, offset, size } of section.variables) {
      const variable: BtfType | undefined = btf.types[type];
      if (variable?.kind === 'variable' && variable.name === name) return { section: section.name, offset, size };
    }
  }
  return undefined;
}
