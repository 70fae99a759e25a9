import type { KnownIdentity } from '../compile/input.ts';
import type { LocalEnd, LocalNode } from '../handshake/port.ts';
import { formatAddress, parseAddress } from '../model/address.ts';
import type { Side } from '../model/conversation.ts';
import type { Endpoint, Frontend } from '../model/endpoint.ts';
import { PROTOCOLS } from '../model/protocol.ts';

export interface LocalNodeOptions {
  /** Addresses that NAT boxes rewrite to endpoints of this node. */
  readonly publicAddresses: readonly string[];
  /** Which of the containers that share an address, an endpoint's or the host's, has sent from there. */
  readonly senderOf: (side: Side, protocol: number) => Party | undefined;
  /** Which container listens there, where the address is the host's. */
  readonly listenerAt: (side: Side, protocol: number) => Party | undefined;
}

interface Party {
  readonly endpoint: string;
  readonly identity: bigint;
}

/** This node's endpoints by the addresses others reach and see them at. */
export class EndpointBook implements LocalNode {
  readonly #options: LocalNodeOptions;
  readonly #public: ReadonlySet<string>;
  readonly #byId = new Map<string, LocalEnd>();
  readonly #byAddress = new Map<string, LocalEnd>();
  /** Ids of those that have the host's addresses. */
  readonly #onHost = new Set<string>();
  readonly #frontends = new Map<string, LocalEnd & { readonly port: number }>();
  #identities: readonly KnownIdentity[] = [];
  /** The containers of each sandbox that several share. */
  readonly #members = new Map<bigint, readonly bigint[]>();

  constructor(options: LocalNodeOptions) {
    this.#options = options;
    this.#public = new Set(options.publicAddresses.map(canonical));
  }

  /** Takes what the kernel was told last. */
  update(endpoints: readonly Endpoint[], frontends: readonly Frontend[]): void {
    for (const table of [this.#byId, this.#byAddress, this.#onHost, this.#frontends, this.#members]) table.clear();
    const identities = new Map<bigint, KnownIdentity>();
    for (const { id, mode, identity, containers, addresses, ports } of endpoints) {
      if (mode === 'unprotected') continue;
      const shared = containers.length > 1 || mode === 'cgroup';
      const end: LocalEnd = { endpoint: id, identity: identity.id, shared };
      this.#byId.set(id, end);
      for (const one of [identity, ...containers.map((container) => container.identity)]) {
        identities.set(one.id, { ...one, ports: [...(identities.get(one.id)?.ports ?? []), ...ports] });
      }
      if (containers.length > 1) {
        const members = containers.map((container) => container.identity.id);
        this.#members.set(identity.id, members);
      }
      if (mode === 'cgroup') this.#onHost.add(id);
      if (mode !== 'interface') continue;
      for (const address of addresses) this.#byAddress.set(canonical(address), end);
    }
    for (const { address, protocol, port, endpoint, targetPort } of frontends) {
      const end = this.#byId.get(endpoint);
      if (end === undefined) continue;
      this.#frontends.set(frontendKey({ address, port }, PROTOCOLS[protocol]), { ...end, port: targetPort });
    }
    this.#identities = [...identities.values()];
  }

  senderAt(side: Side, protocol: number): LocalEnd | undefined {
    const end = this.#byAddress.get(side.address);
    if (end !== undefined && !end.shared) return end;
    const sender = this.#options.senderOf(side, protocol);
    if (end !== undefined) return sender?.endpoint === end.endpoint ? { ...end, identity: sender.identity } : end;
    return this.#ofHost(sender);
  }

  receiverAt(side: Side, protocol: number): (LocalEnd & { readonly port: number }) | undefined {
    const end = this.#byAddress.get(side.address);
    if (end !== undefined) return { ...end, port: side.port };
    const published = this.#frontends.get(frontendKey(side, protocol));
    if (published !== undefined || this.#onHost.size === 0) return published;
    const listener = this.#ofHost(this.#options.listenerAt(side, protocol));
    return listener && { ...listener, port: side.port };
  }

  #ofHost(party: Party | undefined): LocalEnd | undefined {
    return party !== undefined && this.#onHost.has(party.endpoint) ? { ...party, shared: true } : undefined;
  }

  mayLeadHere(address: string): boolean {
    return this.#public.has(address);
  }

  endpoint(id: string): LocalEnd | undefined {
    return this.#byId.get(id);
  }

  /** The endpoint's id, by an address of its own. */
  endpointOf(address: string): string | undefined {
    return this.#byAddress.get(address)?.endpoint;
  }

  identities(): readonly KnownIdentity[] {
    return this.#identities;
  }

  /** Whose policies count where an identity is reached: its own, or those of the containers that share its address. */
  subjectsOf(identity: bigint): readonly bigint[] {
    return this.#members.get(identity) ?? [identity];
  }
}

function canonical(address: string): string {
  const bytes = parseAddress(address);
  return bytes === undefined ? address : formatAddress(bytes);
}

function frontendKey({ address, port }: Side, protocol: number): string {
  return `${canonical(address)} ${protocol} ${port}`;
}
