import { fail } from './errors.ts';
import { checkDirection, type Direction } from './kinds.ts';
import { type NativeFilter, native } from './native.ts';
import type { BpfProgram } from './program.ts';
import { checkInteger, expectOk, MAX_U32, opened } from './resource.ts';

const ENOENT = -2;
const ENODEV = -19;
const EEXIST = -17;
const EINVAL = -22;

const POINTS = { ingress: 1, egress: 2 } as const;
const BOTH = 3;

export interface ClsactPlace {
  /** In the caller's network namespace. */
  readonly ifindex: number;
  readonly direction: Direction;
  /** 1–65535, lower runs first. */
  readonly priority: number;
  /** 1–0xffffffff; with the priority, the filter's name. */
  readonly handle: number;
}

function checkPlace(place: ClsactPlace): string {
  const { ifindex, direction, priority, handle } = place;
  checkInteger(ifindex, 1, 0x7fffffff, 'an interface index');
  checkDirection(direction);
  checkInteger(priority, 1, 0xffff, 'a filter priority');
  checkInteger(handle, 1, MAX_U32, 'a filter handle');
  return `${direction} of interface ${ifindex} (clsact, priority ${priority})`;
}

/** A TC filter on a clsact qdisc. It stays when this process ends; `detach()` takes it off. */
export class ClsactFilter {
  readonly place: ClsactPlace;
  readonly programId: number;
  #attached = true;

  private constructor(place: ClsactPlace, programId: number) {
    this.place = place;
    this.programId = programId;
  }

  /** Attaches, making the qdisc where there is none; a filter of the same priority and handle is replaced in one step. */
  static attach(program: BpfProgram, place: ClsactPlace): ClsactFilter {
    const where = checkPlace(place);
    const { ifindex, direction, priority, handle } = place;
    const point = POINTS[direction];
    const attached = program.handle('attach');
    const made = native.createClsact(ifindex, point);
    if (made !== EEXIST) expectOk(made, 'ATTACH', `make a clsact qdisc on interface ${ifindex}`);
    const filter = native.attachClsact(ifindex, point, attached, priority, handle, true);
    const { programId } = opened<NativeFilter>(filter, 'ATTACH', `attach "${program.name}" to ${where}`);
    return new ClsactFilter(place, programId);
  }

  /** The filter that is there, whoever made it; undefined when none is. */
  static find(place: ClsactPlace): ClsactFilter | undefined {
    const where = checkPlace(place);
    const found = native.queryClsact(place.ifindex, POINTS[place.direction], place.priority, place.handle);
    // No filter, no qdisc, no interface.
    if (found === ENOENT || found === EINVAL || found === ENODEV) return undefined;
    return new ClsactFilter(place, opened<NativeFilter>(found, 'ATTACH', `look for ${where}`).programId);
  }

  /** Takes the filter off; that it or its interface has gone already is no error. Idempotent. */
  detach(): void {
    if (!this.#attached) return;
    const { ifindex, direction, priority, handle } = this.place;
    const errno = native.detachClsact(ifindex, POINTS[direction], priority, handle);
    if (errno < 0 && errno !== ENOENT && errno !== ENODEV && errno !== EINVAL) {
      fail('ATTACH', errno, `detach ${checkPlace(this.place)}`);
    }
    this.#attached = false;
  }
}

/** Removes an interface's clsact qdisc with everybody's filters. That there is none is no error. */
export function removeClsact(ifindex: number): void {
  const errno = native.destroyClsact(checkInteger(ifindex, 1, 0x7fffffff, 'an interface index'), BOTH);
  if (errno === ENOENT || errno === EINVAL || errno === ENODEV) return;
  expectOk(errno, 'ATTACH', `remove the clsact qdisc of interface ${ifindex}`);
}
