import type { Address, Network } from '../model/address.ts';
import { addressFamily, formatAddress, maskAddress, networkContains, parseAddress } from '../model/address.ts';
import type { SeenAddress, Warning } from './source.ts';

/**
 * Which addresses are whose. A container that may administer its network namespace can give itself any address; that
 * must not give it another's identity. So an address belongs to
 *   1. whom a runtime says it assigned it to; else
 *   2. whoever has it already; else
 *   3. whoever shows it on an interface that is new, or inside a network that was there when the interface was
 * and never to anybody while the node has it, nor newly while it is a gateway.
 */

/** Somebody with addresses: an endpoint's instance. */
export interface Claimant {
  readonly instance: string;
  /** Endpoint id, for warnings. */
  readonly id: string;
  readonly startedAt: number;
  readonly seen: readonly SeenAddress[];
  readonly gateways: readonly string[];
}

/** What one instance was given. */
export interface Claim {
  readonly addresses: ReadonlySet<string>;
  /** Networks its interfaces had from the start, where it may add addresses. */
  readonly networks: readonly Network[];
  /** Interfaces that had an address, so that others on them are additions. */
  readonly interfaces: ReadonlySet<string>;
}

/** By instance. What the last call returned goes into the next one. */
export type Claims = ReadonlyMap<string, Claim>;

export interface Admission {
  readonly claims: Claims;
  readonly warnings: readonly Warning[];
}

/** Addresses one endpoint may have; each is an entry of kernel tables (80 B). */
export const MOST_ADDRESSES = 64;

/** A network wider than this is no local network: a prefix length is the container's to choose. */
const WIDEST = { 4: 96 + 8, 6: 32 } as const;
const LINK_LOCAL: Network = { family: 6, address: parseAddress('fe80::') ?? new Uint8Array(16), prefix: 64 };

/** Decides whose every address is. Pure; the order of claimants does not matter. */
export function admitAddresses(
  claimants: readonly Claimant[],
  previous: Claims,
  nodeAddresses: readonly string[],
): Admission {
  return new Round(previous, nodeAddresses).run(claimants);
}

interface Bid {
  readonly claimant: Claimant;
  readonly address: Address;
  readonly text: string;
  readonly seen: SeenAddress;
  readonly rank: number;
}

class Round {
  readonly #previous: Claims;
  readonly #node: ReadonlySet<string>;
  readonly #owners = new Map<string, Claimant>();
  readonly #given = new Map<string, Set<string>>();
  readonly #warnings: Warning[] = [];

  constructor(previous: Claims, nodeAddresses: readonly string[]) {
    this.#previous = previous;
    this.#node = new Set(nodeAddresses.map(canonical));
  }

  run(claimants: readonly Claimant[]): Admission {
    const gateways = new Set(claimants.flatMap((claimant) => claimant.gateways.map(canonical)));
    const bids = claimants.flatMap((claimant) => this.#bids(claimant)).sort(byPrecedence);
    for (const bid of bids) this.#judge(bid, gateways);
    const claims = new Map(
      claimants.map((claimant) => [
        claimant.instance,
        {
          addresses: this.#given.get(claimant.instance) ?? new Set<string>(),
          networks: this.#networksOf(claimant),
          interfaces: this.#interfacesOf(claimant),
        },
      ]),
    );
    return { claims, warnings: this.#warnings };
  }

  #bids(claimant: Claimant): Bid[] {
    const had = this.#previous.get(claimant.instance)?.addresses;
    return claimant.seen.flatMap((seen): Bid[] => {
      const address = parseAddress(seen.address);
      if (address === undefined || !isOwnable(address)) return [];
      const text = formatAddress(address);
      return [{ claimant, address, text, seen, rank: seen.declared ? 0 : had?.has(text) ? 1 : 2 }];
    });
  }

  #judge(bid: Bid, gateways: ReadonlySet<string>): void {
    const { claimant, text } = bid;
    const given = this.#given.get(claimant.instance) ?? new Set();
    if (given.has(text)) return;
    const refusal = this.#refusal(bid, given.size, gateways);
    if (refusal !== undefined) {
      this.#warnings.push(refusal);
      return;
    }
    this.#owners.set(text, claimant);
    this.#given.set(claimant.instance, given.add(text));
  }

  /** Why a claimant with `count` addresses cannot have this one too; undefined where it can. */
  #refusal(bid: Bid, count: number, gateways: ReadonlySet<string>): Warning | undefined {
    const { text, rank } = bid;
    const owner = this.#owners.get(text);
    if (owner !== undefined) return refuse('ADDRESS_TAKEN', bid, `endpoint ${owner.id} has it`);
    if (this.#node.has(text)) return refuse('ADDRESS_TAKEN', bid, 'the node has it');
    if (rank === 2 && gateways.has(text)) return refuse('ADDRESS_TAKEN', bid, 'it is a gateway’s');
    if (rank === 2 && !this.#isInside(bid)) {
      return refuse('ADDRESS_OUTSIDE', bid, 'it is in no network the endpoint had from the start');
    }
    if (count >= MOST_ADDRESSES) return refuse('ADDRESSES_TOO_MANY', bid, `an endpoint may have ${MOST_ADDRESSES}`);
    return undefined;
  }

  /** Whether an address nobody has may be this claimant's by where it lies. */
  #isInside({ claimant, address, seen }: Bid): boolean {
    const before = this.#previous.get(claimant.instance);
    const networks = [LINK_LOCAL, ...(before?.networks ?? []), ...declaredNetworks(claimant)];
    if (networks.some((network) => networkContains(network, address))) return true;
    return !before?.interfaces.has(interfaceOf(seen)) && isUnassigned(claimant, seen);
  }

  /** Where it may add addresses later: what was declared, and what its interfaces had when they were new. */
  #networksOf(claimant: Claimant): Network[] {
    const before = this.#previous.get(claimant.instance);
    const declared = declaredNetworks(claimant);
    const first = claimant.seen.flatMap((seen) => {
      if (before?.interfaces.has(interfaceOf(seen)) || !isUnassigned(claimant, seen)) return [];
      const address = parseAddress(seen.address);
      // Whether another endpoint has the address says nothing of its network, but the node's networks are its own.
      if (address === undefined || !isOwnable(address) || this.#node.has(formatAddress(address))) return [];
      // Inside a declared network the runtime's prefix length counts, not the one the container shows.
      return declared.some((outer) => networkContains(outer, address)) ? [] : (networkOf(seen) ?? []);
    });
    return distinct([...(before?.networks ?? []), ...first, ...declared]);
  }

  #interfacesOf(claimant: Claimant): Set<string> {
    const addressed = claimant.seen.filter((seen) => {
      const address = parseAddress(seen.address);
      return !seen.declared && address !== undefined && !networkContains(LINK_LOCAL, address);
    });
    return new Set([...(this.#previous.get(claimant.instance)?.interfaces ?? []), ...addressed.map(interfaceOf)]);
  }
}

/** What tells an interface from others: this node's end of it, which the container cannot choose, where there is one. */
function interfaceOf({ via, device }: SeenAddress): string {
  return via === undefined ? `device ${device}` : `interface ${via}`;
}

/** Whether it was seen on an interface the runtime assigned nothing to; where it did, it assigned all it wants there. */
function isUnassigned(claimant: Claimant, seen: SeenAddress): boolean {
  const assigned = new Set(claimant.seen.filter((one) => one.declared).map((one) => canonical(one.address)));
  return !claimant.seen.some(
    (one) => !one.declared && interfaceOf(one) === interfaceOf(seen) && assigned.has(canonical(one.address)),
  );
}

function refuse(code: Warning['code'], { claimant, text, seen }: Bid, why: string): Warning {
  const where = seen.device === undefined ? '' : ` on ${seen.device}`;
  const message = `address ${text}${where} of endpoint ${claimant.id} is not accepted: ${why}`;
  return { code, subject: claimant.id, message };
}

/** Declared before kept before new; then the older claimant; ties are broken so that the order is total. */
function byPrecedence(a: Bid, b: Bid): number {
  return (
    a.rank - b.rank ||
    a.claimant.startedAt - b.claimant.startedAt ||
    compare(a.claimant.instance, b.claimant.instance) ||
    compare(a.text, b.text)
  );
}

function declaredNetworks(claimant: Claimant): Network[] {
  return claimant.seen.flatMap((seen) => (seen.declared ? (networkOf(seen) ?? []) : []));
}

/** The network around an address; the address alone where the prefix is impossibly wide. */
function networkOf(seen: SeenAddress): Network | undefined {
  const address = parseAddress(seen.address);
  if (address === undefined) return undefined;
  const family = addressFamily(address);
  const prefix = seen.prefix + (family === 4 ? 96 : 0);
  const wide = !Number.isInteger(prefix) || prefix < WIDEST[family] || prefix > 128;
  return { family, address: maskAddress(address, wide ? 128 : prefix), prefix: wide ? 128 : prefix };
}

function distinct(networks: readonly Network[]): Network[] {
  const byText = new Map(networks.map((network) => [`${formatAddress(network.address)}/${network.prefix}`, network]));
  return [...byText.values()].slice(0, MOST_ADDRESSES);
}

/** Not unspecified, loopback, multicast or broadcast. */
function isOwnable(address: Address): boolean {
  if (addressFamily(address) === 4) {
    const first = address[12] ?? 0;
    return first !== 0 && first !== 127 && first < 224;
  }
  return address[0] !== 0xff && address.subarray(0, 15).some((byte) => byte !== 0);
}

function canonical(text: string): string {
  const address = parseAddress(text);
  return address === undefined ? text : formatAddress(address);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
