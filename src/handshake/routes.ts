import { addressFamily, maskAddress, parseAddress, parseNetwork } from '../model/address.ts';
import { parseWorkload, type Workload } from '../model/workload.ts';
import { HandshakeError } from './errors.ts';

/** Another node's agent, as it is configured. */
export interface AgentSettings {
  /** As in its certificate: `spiffe://DOMAIN/agent/NAME`. */
  readonly name: string;
  /** `host:port`; empty: it dials us. */
  readonly address: string;
  /** What it speaks for; the longest network counts. */
  readonly cidrs: readonly string[];
  /** Patterns `namespace/kind/name` of the workloads it may announce. */
  readonly workloads: readonly string[];
  /** No token is needed between the two: nothing on the way rewrites addresses. */
  readonly direct: boolean;
}

/** Which agent speaks for an address: by the longest network it lies in. One look-up for each length that occurs. */
export class Routes {
  /** Longest first. */
  readonly #lengths: { readonly family: 4 | 6; readonly prefix: number; readonly agents: Map<string, string> }[] = [];

  /** @throws HandshakeError SETTINGS */
  constructor(agents: readonly AgentSettings[]) {
    for (const { name, cidrs } of agents) {
      for (const cidr of cidrs) {
        const network = parseNetwork(cidr);
        if ('reason' in network) {
          const hint = network.suggestion === undefined ? {} : { hint: `did you mean ${network.suggestion}?` };
          throw new HandshakeError('SETTINGS', `Cannot use "${cidr}" of agent ${name}: ${network.reason}`, hint);
        }
        const { family, prefix, address } = network;
        let length = this.#lengths.find((one) => one.family === family && one.prefix === prefix);
        if (length === undefined) {
          length = { family, prefix, agents: new Map() };
          this.#lengths.push(length);
        }
        const key = keyOf(address);
        const other = length.agents.get(key);
        if (other !== undefined && other !== name) {
          throw new HandshakeError('SETTINGS', `Both ${other} and ${name} are said to speak for ${cidr}`);
        }
        length.agents.set(key, name);
      }
    }
    this.#lengths.sort((a, b) => b.prefix - a.prefix);
  }

  agentAt(text: string): string | undefined {
    const address = parseAddress(text);
    if (address === undefined) return undefined;
    const family = addressFamily(address);
    for (const length of this.#lengths) {
      if (length.family !== family) continue;
      const agent = length.agents.get(keyOf(maskAddress(address, length.prefix)));
      if (agent !== undefined) return agent;
    }
    return undefined;
  }
}

/** The workloads an agent may speak for. @throws HandshakeError SETTINGS */
export function workloadPatterns({ name, workloads }: AgentSettings): readonly Workload[] {
  return workloads.map((text) => {
    const pattern = parseWorkload(text);
    if (pattern !== undefined) return pattern;
    const hint = 'wanted namespace/kind/name, * and ? allowed in each';
    throw new HandshakeError('SETTINGS', `Cannot use "${text}" of agent ${name}`, { hint });
  });
}

function keyOf(address: Uint8Array): string {
  return Buffer.from(address).toString('latin1');
}
