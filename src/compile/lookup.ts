import { samePrefix } from '../model/address.ts';
import { Slot } from '../model/slot.ts';
import { Verdict } from '../model/verdict.ts';
import type { Question } from './input.ts';
import { RANK_DEFAULT } from './rank.ts';
import {
  type Class,
  type Decision,
  type NetworkEntry,
  type PolicySet,
  type PolicyTables,
  SET_ELSEWHERE,
} from './tables.ts';

/** What holds where no policy selects the subject in a direction (set 0). */
export const UNSELECTED: Decision = {
  rank: RANK_DEFAULT,
  rule: 0,
  stagedRank: RANK_DEFAULT,
  stagedRule: 0,
  verdict: Verdict.Allow,
  stagedVerdict: Verdict.Allow,
};

/** Whether the tables say what becomes of a subject's packets: not so of those that are judged on other nodes. */
export function isJudgedHere(tables: PolicyTables, slot: number): boolean {
  const subject = tables.subjects.get(slot);
  return subject !== undefined && subject.egress !== SET_ELSEWHERE && subject.ingress !== SET_ELSEWHERE;
}

/**
 * Reads the tables as the kernel program does, one lookup after the other: the reference for it, and the ground
 * for `explain`.
 * @throws TypeError where the tables refer to a set or class they do not have, or do not know the subject
 */
export function lookup(tables: PolicyTables, question: Question): Decision {
  const subject = tables.subjects.get(question.subject);
  if (subject === undefined) throw new TypeError(`tables have no subject in slot ${question.subject}`);
  const id = subject[question.direction];
  if (id === 0n) return UNSELECTED;
  const set = tables.sets.get(id);
  if (set === undefined) throw new TypeError(`tables have no set ${id.toString(16)}`);
  const byPeer = refine(peerClass(tables, set, question.peer.slot), question);
  const network = longestMatch(set.networks, question.peer.address);
  return network === undefined ? byPeer : lower(byPeer, refine(classOf(tables, network.class), question));
}

/** The class of a peer's slot, or that of the ones not listed. */
function peerClass(tables: PolicyTables, set: PolicySet, slot: number): Class {
  const id = set.peers.get(slot) ?? set.peers.get(Slot.Any);
  if (id === undefined) throw new TypeError(`set ${set.id.toString(16)} has no class for slot ${slot} nor for any`);
  return classOf(tables, id);
}

function classOf(tables: PolicyTables, id: bigint): Class {
  const found = tables.classes.get(id);
  if (found === undefined) throw new TypeError(`tables have no class ${id.toString(16)}`);
  return found;
}

/** The exact port, else the longest range it lies in, else what holds for any port. */
function refine(from: Class, question: Question): Decision {
  let best: Decision = from.any;
  let longest = -1;
  for (const entry of from.ports) {
    if (entry.protocol !== question.protocol || entry.prefix <= longest) continue;
    if (entry.port >>> (16 - entry.prefix) !== question.port >>> (16 - entry.prefix)) continue;
    best = entry.decision;
    longest = entry.prefix;
  }
  return best;
}

function longestMatch(networks: readonly NetworkEntry[], address: Uint8Array | undefined): NetworkEntry | undefined {
  let best: NetworkEntry | undefined;
  if (address === undefined) return undefined;
  for (const entry of networks) {
    if (best !== undefined && entry.prefix <= best.prefix) continue;
    if (samePrefix(entry.address, address, entry.prefix)) best = entry;
  }
  return best;
}

/** Per layer the lower rank; between equal ranks, which give equal verdicts, the lower rule id. */
export function lower(a: Decision, b: Decision): Decision {
  const enforced = b.rank < a.rank || (b.rank === a.rank && b.rule < a.rule) ? b : a;
  const staged = b.stagedRank < a.stagedRank || (b.stagedRank === a.stagedRank && b.stagedRule < a.stagedRule) ? b : a;
  return {
    rank: enforced.rank,
    rule: enforced.rule,
    verdict: enforced.verdict,
    stagedRank: staged.stagedRank,
    stagedRule: staged.stagedRule,
    stagedVerdict: staged.stagedVerdict,
  };
}
