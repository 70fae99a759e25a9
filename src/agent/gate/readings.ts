import type { Gate } from '../../datapath/gate/port.ts';
import type { Reading, Sample } from '../metrics/registry.ts';
import type { Gatekeeper } from './gatekeeper.ts';

export interface GateSources {
  readonly gate: Gate;
  readonly gatekeeper: Gatekeeper;
}

/** What a scrape reads of the gate. Label values come from closed sets. */
export function gateReadings({ gate, gatekeeper }: GateSources): Reading[] {
  const one = (value: number | bigint): readonly Sample[] => [{ labels: {}, value }];
  return [
    {
      name: 'sallyport_gate_active',
      help: 'Whether new containers can be stopped before they begin: 0 without BTF tracepoints.',
      type: 'gauge',
      labels: [],
      read: () => one(gate.missing === undefined && gatekeeper.enabled ? 1 : 0),
    },
    {
      name: 'sallyport_gate_waiting',
      help: 'Containers that wait to begin.',
      type: 'gauge',
      labels: [],
      read: () => one(gatekeeper.waiting.length),
    },
    {
      name: 'sallyport_gate_stops_total',
      help: 'Processes stopped before their first instruction.',
      type: 'counter',
      labels: [],
      read: () => one(gate.counters().stopped),
    },
    {
      name: 'sallyport_gate_bypasses_total',
      help: 'Containers the kernel let begin unjudged: without an agent, without room, or because it could not stop them.',
      type: 'counter',
      labels: ['reason'],
      read: () => {
        const { stale, full, unstoppable } = gate.counters();
        return Object.entries({ stale, full, unstoppable }).map(([reason, value]) => ({ labels: { reason }, value }));
      },
    },
    {
      name: 'sallyport_gate_disturbances_total',
      help: 'Attempts of others at letting a waiting process go, by what came of them.',
      type: 'counter',
      labels: ['outcome'],
      read: () => {
        const { continued: stopped, condemned: killed, refused } = gate.counters();
        return Object.entries({ stopped, killed, refused }).map(([outcome, value]) => ({ labels: { outcome }, value }));
      },
    },
  ];
}
