/** Loading `harden.bpf.o` with what this kernel has of it, and hanging it up. */
import { join } from 'node:path';
import { BpfError, hasKernelFunction, type LoadedObject, type OpenObject } from '../../libbpf/index.ts';
import { mapDirectory } from '../maps.ts';
import type { Programs } from '../programs.ts';
import { ADOPTER } from './bearers.ts';
import { HOOKS, HookLinks } from './links.ts';

const OBJECT = 'harden.bpf.o';
const LSM = /^lsm(?:\.s)?\//;
/** Loading is tried again without the program the kernel would not have, at most so often. */
const REFUSALS_MOST = 16;

/** Without one of these a task could be rid of its bearer, or never have got one. */
const NEEDED: ReadonlySet<string> = new Set([
  ADOPTER,
  'inherit_bearer',
  'enter_by_birth',
  'enter_cgroup',
  'harden_cgroup',
]);

export interface HardeningPrograms {
  /** By program: `lsm/file_open`. */
  readonly attached: ReadonlyMap<string, string>;
  readonly missing: ReadonlyMap<string, string>;
}

/** Why the kernel judges nothing. */
export class Inactive extends Error {}

/**
 * Loads the programs and attaches them, in the place of an earlier agent's.
 * @throws Inactive where the kernel would not have one that all others need
 */
export function loadHardening(programs: Programs, pins: string): HardeningPrograms {
  const missing = new Map<string, string>();
  const object = loadWhatThereIs(programs, missing);
  const links = new HookLinks(join(mapDirectory(pins), HOOKS));
  for (const name of object.programNames) {
    if (name === ADOPTER) continue;
    try {
      links.attach(object.program(name), object.section(name));
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      missing.set(name, error.message);
    }
  }
  for (const name of NEEDED) {
    const why = missing.get(name);
    if (why !== undefined) throw new Inactive(`the kernel would not have ${name}: ${why}`);
  }
  links.retain(missing);
  return { attached: links.attached, missing };
}

function loadWhatThereIs(programs: Programs, missing: Map<string, string>): LoadedObject {
  for (let refusals = 0; ; refusals++) {
    try {
      return programs.load(OBJECT, (object) => leaveOut(object, missing));
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      const name = programIn(error);
      if (name === undefined || missing.has(name) || refusals >= REFUSALS_MOST) throw new Inactive(error.message);
      missing.set(name, error.message);
    }
  }
}

/** Hooks come and go with kernels: `bpf_lsm_NAME` is where a program would hang. */
function leaveOut(object: OpenObject, missing: Map<string, string>): void {
  for (const program of object.programs.values()) {
    const { name, section } = program;
    if (LSM.test(section) && !hasKernelFunction(`bpf_lsm_${section.replace(LSM, '')}`)) {
      missing.set(name, `this kernel has no hook ${section}`);
    }
    if (missing.has(name)) program.autoload = false;
  }
}

/** Which program a log speaks of last: `libbpf: prog 'NAME': failed to load`. */
function programIn({ log }: BpfError): string | undefined {
  return [...(log ?? '').matchAll(/^libbpf: prog '([^']+)': /gm)].at(-1)?.[1];
}
