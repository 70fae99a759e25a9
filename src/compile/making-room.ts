import { sameSet } from './diff.ts';
import { type Class, type PolicySet, type PolicyTables, SET_ELSEWHERE, type Subject } from './tables.ts';

/** A set of so few peers, no network and no port takes next to no room: closed ones are like that. */
const FEW_PEERS = 4;

/**
 * Tables on the way from the current to the desired ones, for which nothing has to be written where tables are full: what
 * the desired ones have not is gone, and what is new in them is not there yet. `sparing`, whoever waits for new rules is
 * judged by his former ones meanwhile, and sets that take next to no room are there; else he is denied everything, because
 * his former rules go first.
 */
export function roomMade(current: PolicyTables, desired: PolicyTables, sparing: boolean): PolicyTables {
  const sets = new Map<bigint, PolicySet>();
  const classes = new Map<bigint, Class>();
  /** Whether the set is there, or can be, as it is wanted. */
  const ready = (id: bigint): boolean => {
    const [before, after] = [current.sets.get(id), desired.sets.get(id)];
    if (after === undefined) return id === 0n || id === SET_ELSEWHERE;
    return (before !== undefined && sameSet(before, after)) || (sparing && takesNoRoom(after, desired));
  };
  const keep = (id: bigint): void => {
    const from = desired.sets.has(id) && ready(id) ? desired : current;
    const set = from.sets.get(id);
    if (set === undefined || sets.has(id)) return;
    sets.set(id, set);
    for (const kind of [...set.peers.values(), ...set.networks.map((network) => network.class)]) {
      const found = from.classes.get(kind);
      if (found !== undefined) classes.set(kind, found);
    }
  };
  const subjects = new Map<number, Subject>();
  for (const [slot, wanted] of desired.subjects) {
    const former = current.subjects.get(slot);
    const sideOf = (direction: 'egress' | 'ingress'): bigint => {
      const id = wanted[direction];
      const before = former?.identity === wanted.identity && sparing ? former[direction] : SET_ELSEWHERE;
      const meanwhile = ready(id) ? id : before;
      keep(meanwhile);
      return meanwhile;
    };
    subjects.set(slot, { ...wanted, egress: sideOf('egress'), ingress: sideOf('ingress') });
  }
  const rules = new Map([...current.rules].filter(([id]) => desired.rules.has(id)));
  return { subjects, sets, classes, rules };
}

function takesNoRoom({ peers, networks }: PolicySet, { classes }: PolicyTables): boolean {
  if (peers.size > FEW_PEERS || networks.length > 0) return false;
  return [...peers.values()].every((id) => classes.get(id)?.ports.length === 0);
}
