import type { Handshake } from '../../handshake/index.ts';
import type { HoldStatistics } from '../../hold/port.ts';
import type { Store } from '../../store/index.ts';
import type { TagKeysNow } from '../../trust/tag-keys.ts';
import type { BetweenView } from '../api/contract.ts';
import type { WaitingRoom } from './waiting-room.ts';

/** The parts of it that are there, and what is wrong with the others. */
export interface OutlookParts {
  readonly room: WaitingRoom | undefined;
  readonly handshake: Handshake | undefined;
  readonly store: Store | undefined;
  readonly keys: TagKeysNow;
  readonly holdsOpen: boolean;
  /** What does not work, and why. */
  readonly faults: ReadonlyMap<string, string>;
  /** What the kernel does not do, and why. */
  readonly missing: ReadonlyMap<string, string>;
}

/** How this node stands among others, for people and for Prometheus. */
export class Outlook {
  readonly #parts: OutlookParts;

  constructor(parts: OutlookParts) {
    this.#parts = parts;
  }

  status(): BetweenView {
    const { room, handshake, keys, holdsOpen, faults, missing } = this.#parts;
    const held = room?.hold.statistics();
    const agents = handshake?.agents() ?? [];
    const { signing } = keys;
    return {
      tags: { on: keys.keys.length > 0, keys: keys.keys.length, ...(signing === undefined ? {} : { signing }) },
      hold: {
        on: room !== undefined,
        ...(room === undefined ? {} : { backend: room.backend }),
        open: holdsOpen,
        flows: held?.flows ?? 0,
        packets: held?.packets ?? 0,
        oldest: held?.oldest ?? 0,
      },
      handshake: {
        on: handshake !== undefined,
        agents: agents.length,
        connected: agents.filter(({ state }) => state === 'connected').length,
        ...this.handshakes(),
      },
      missing: [...faults, ...missing].map(([what, why]) => ({ what, why })),
    };
  }

  /** What of it wants a person's eye. */
  problems(): string[] {
    const { handshake, faults } = this.#parts;
    const away = (handshake?.agents() ?? []).filter(({ state }) => state !== 'connected');
    return [
      ...[...faults].map(([what, why]) => `${what}: ${why}`),
      ...away.map(({ name, error }) => `agent ${name} is not connected${error === undefined ? '' : `: ${error}`}`),
    ];
  }

  /** Undefined: nothing is held on this node. */
  hold(): HoldStatistics | undefined {
    return this.#parts.room?.hold.statistics();
  }

  /** Configured agents by state. */
  agents(): ReadonlyMap<string, number> {
    const states = new Map([['connected', 0]]);
    for (const { state } of this.#parts.handshake?.agents() ?? []) states.set(state, (states.get(state) ?? 0) + 1);
    return states;
  }

  /** Handshakes refused for limits and messages that were none, by what was wrong. */
  faults(): ReadonlyMap<string, number> {
    const statistics = this.#parts.handshake?.statistics();
    if (statistics === undefined) return new Map();
    return new Map([...statistics.ignored, ...statistics.limited, ...statistics.protocolErrors]);
  }

  recordsLost(): number {
    return this.#parts.store?.statistics().lost ?? 0;
  }

  handshakes(): { readonly underWay: number; readonly verified: number } {
    const statistics = this.#parts.handshake?.statistics();
    if (statistics === undefined) return { underWay: 0, verified: 0 };
    const { source, destination } = statistics.underWay;
    return { underWay: source + destination, verified: statistics.verified };
  }
}
