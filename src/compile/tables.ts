/**
 * What `compile` returns and `diff` compares: the kernel's tables as values. Names and meaning are those of
 * `bpf/api/policy.h` and `bpf/api/endpoint.h`.
 */
import type { RuleAction } from '../model/verdict.ts';

export interface Decision {
  /** Lower wins; see `rankOf`. */
  readonly rank: number;
  readonly rule: number;
  readonly stagedRank: number;
  readonly stagedRule: number;
  readonly verdict: number;
  readonly stagedVerdict: number;
}

/** Decisions for single ports and prefixes of ports; `port` is an ICMP type where the protocol is ICMP(v6). */
export interface PortEntry {
  readonly protocol: number;
  readonly port: number;
  /** 16: this one port, found in `ports`; less: a range in `port_ranges`; 0: the whole protocol. */
  readonly prefix: number;
  readonly decision: Decision;
}

/** What one kind of peer may do on each port. Named by its content, never changed in place. */
export interface Class {
  readonly id: bigint;
  readonly any: Decision;
  readonly ports: readonly PortEntry[];
}

export interface NetworkEntry {
  /** 16 bytes, IPv4 as ::ffff:a.b.c.d. */
  readonly address: Uint8Array;
  /** 0–128. */
  readonly prefix: number;
  readonly class: bigint;
}

/** A subject's rules in one direction, named by its content. `peers` follows the identities that exist. */
export interface PolicySet {
  readonly id: bigint;
  /** Slot → class. Always has SLOT_ANY, SLOT_HOST and SLOT_WORLD, and for egress SLOT_SOME. */
  readonly peers: ReadonlyMap<number, bigint>;
  readonly networks: readonly NetworkEntry[];
  /** Why it denies everything instead of what its rules say. Not known of sets read from the kernel. */
  readonly closed?: Closed;
}

/** The rules come to more than a set may have by itself, or its owner's sets to more than his share of the room. */
export type Closed = 'size' | 'share';

/**
 * In place of the sets of who is judged on other nodes only. None has this name, and by a set that is not there the kernel
 * lets nothing pass: should one of them ever stand at a door here, he waits for his rules.
 */
export const SET_ELSEWHERE = 0xffff_ffff_ffff_ffffn;

export interface Subject {
  readonly slot: number;
  readonly identity: bigint;
  readonly egress: bigint;
  readonly ingress: bigint;
}

/** A rule as people know it. */
export interface RuleInfo {
  readonly id: number;
  /** `namespace/policy`, `policy` for cluster-wide ones; by `policyTitle`. */
  readonly policy: string;
  readonly direction: 'egress' | 'ingress';
  /** The rule's name, or its index in the list; `default` for the policy's default. */
  readonly name: string;
  readonly action: RuleAction;
  readonly mode: 'Enforce' | 'Stage';
  readonly priority: number;
}

/** The decision tables of one node. */
export interface PolicyTables {
  readonly subjects: ReadonlyMap<number, Subject>;
  readonly sets: ReadonlyMap<bigint, PolicySet>;
  readonly classes: ReadonlyMap<bigint, Class>;
  readonly rules: ReadonlyMap<number, RuleInfo>;
}
