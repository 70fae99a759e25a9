import type { Address } from '../model/address.ts';
import type { NamedPort } from '../model/endpoint.ts';
import type { Identity } from '../model/identity.ts';
import type { Direction, Policy } from '../model/policy.ts';
import type { TableRows } from './rows.ts';

/** An identity that is present on this node or known to it, with the names its ports have. */
export interface KnownIdentity extends Identity {
  readonly ports: readonly NamedPort[];
}

/** Everything the tables are made from. Order means nothing. */
export interface CompileInput {
  /** Validated, no two with the same kind, namespace and name. */
  readonly policies: readonly Policy[];
  /** By slot; slots are `Slot.First` or more. */
  readonly identities: ReadonlyMap<number, KnownIdentity>;
  /** Slots of those who are judged here: nobody else gets rules, only names. Absent: all of them are. */
  readonly here?: ReadonlySet<number>;
  /** Rows the tables may have; where more are wanted they are divided by namespace, see `beyondShares`. Absent: any number. */
  readonly room?: TableRows;
}

/** What the kernel asks the tables about the first packet of a flow. */
export interface Question {
  /** Slot of the endpoint at which the packet is judged. */
  readonly subject: number;
  readonly direction: Direction;
  /** The other end. Without an address no CIDR rule matches; the kernel always has one. */
  readonly peer: { readonly slot: number; readonly address?: Address };
  readonly protocol: number;
  /** Destination port, or ICMP type; 0 for protocols that have neither. */
  readonly port: number;
}

/** Input no tables can be made from. Validation and slot assignment keep it from happening. */
export class CompileError extends Error {
  readonly code: 'DUPLICATE_POLICY' | 'RESERVED_SLOT';

  constructor(code: 'DUPLICATE_POLICY' | 'RESERVED_SLOT', message: string) {
    super(message);
    this.name = 'CompileError';
    this.code = code;
  }
}
