import type { VerifiedPeer } from '../../datapath/peer-port.ts';
import { formatAddress, networkContains, parseAddress, parseNetwork } from '../../model/address.ts';
import type { Agent } from '../agent.ts';
import type {
  HandshakeDetailView,
  HandshakeView,
  PeerAgentView,
  PeerView,
  RecordPageView,
  RecordQuery,
  RevokeRequest,
  RevokeView,
} from '../api/between-contract.ts';
import type { BetweenService } from '../api/between-routes.ts';
import { isoTime } from '../api/views.ts';
import { AgentError } from '../errors.ts';
import { describeIdentity } from '../names.ts';
import { peerView, recordView, underWayView, type Vouched } from './views.ts';
import { Vouchers } from './vouchers.ts';

/** The API's answers about other nodes. */
export class BetweenAnswers implements BetweenService {
  readonly #agent: Agent;

  constructor(agent: Agent) {
    this.#agent = agent;
  }

  handshakes(): readonly HandshakeView[] {
    const { deadline } = this.#agent.parts.config.handshake;
    const { handshake } = this.#agent.between;
    return (handshake?.underWay() ?? []).map((one) => underWayView(one, this.#name, deadline));
  }

  handshake(id: string): HandshakeDetailView {
    const underWay = this.handshakes().find((one) => one.id === id);
    const records = (this.#agent.between.store?.get(id) ?? []).map(recordView);
    const peers = this.peers().filter((peer) => peer.handshake === id);
    if (underWay === undefined && records.length === 0 && peers.length === 0) {
      throw new AgentError('NOT_FOUND', `There is no handshake ${id}`, { hint: 'see "sallyport handshake records"' });
    }
    return { id, ...(underWay === undefined ? {} : { underWay }), records, peers };
  }

  records(query: RecordQuery): RecordPageView {
    const { store } = this.#agent.between;
    if (store === undefined) return { records: [] };
    const { identity, ...rest } = query;
    try {
      const page = store.list({ ...rest, ...(identity === undefined ? {} : { identity: BigInt(`0x${identity}`) }) });
      return { records: page.records.map(recordView), ...(page.after === undefined ? {} : { after: page.after }) };
    } catch (error) {
      throw new AgentError('USAGE', error instanceof Error ? error.message : String(error), { cause: error });
    }
  }

  peers(): readonly PeerView[] {
    return this.#known().map(({ view }) => view);
  }

  peerAgents(): readonly PeerAgentView[] {
    const { handshake } = this.#agent.between;
    return (handshake?.agents() ?? []).map(({ since, ...agent }) => ({ ...agent, since: isoTime(since) }));
  }

  revoke({ selector, all, dryRun }: RevokeRequest, caller: string): RevokeView {
    const { between, parts } = this.#agent;
    const meant = this.#known().filter(({ view }) => all || means(selector ?? '', view));
    if (!all && meant.length === 0) {
      throw new AgentError('NOT_FOUND', `No verified peer is ${JSON.stringify(selector)}`, {
        hint: 'see "sallyport peer list -o wide"',
      });
    }
    if (!dryRun) {
      parts.logger.info({ caller, selector, all, peers: meant.length }, 'Peers were revoked through the API');
      // All of them: an entry stays for as long as one handshake stands behind it.
      const ids = new Set(meant.flatMap(({ vouched }) => vouched.map(({ id }) => id)));
      for (const id of ids) between.handshake?.revoke({ id });
      // What no handshake of this agent's answers for: of an earlier one, or not verified but refused.
      parts.datapath.peers.forget(meant.filter(({ vouched }) => vouched.length === 0).map(({ peer }) => peer));
    }
    return { revoked: meant.map(({ view }) => view), dryRun };
  }

  readonly #name = (identity: bigint): string | undefined => {
    const known = this.#agent.enforcement.identities.get(identity);
    return known === undefined ? undefined : describeIdentity(known);
  };

  #known(): { readonly peer: VerifiedPeer; readonly vouched: readonly Vouched[]; readonly view: PeerView }[] {
    const { enforcement, between, parts } = this.#agent;
    const endpoints = new Map(enforcement.applied.endpoints.map((endpoint) => [endpoint.id, endpoint]));
    const vouchers = new Vouchers(between.handshake?.verified() ?? []);
    return parts.datapath.peers.verified().map((peer) => {
      const endpoint = endpoints.get(peer.endpoint);
      const sender = peer.local === undefined ? undefined : this.#name(peer.local);
      const workload = sender ?? (endpoint === undefined ? '' : describeIdentity(endpoint.identity));
      const vouched = vouchers.of(peer);
      return { peer, vouched, view: peerView(peer, workload, this.#name, vouched.at(-1)) };
    });
  }
}

/** Whether a peer is what people wrote: an address or CIDR, a workload, an identity, an endpoint, an agent. */
function means(selector: string, peer: PeerView): boolean {
  if ([peer.identity, peer.endpoint, peer.agent, peer.handshake].includes(selector)) return true;
  const address = parseAddress(peer.address);
  const wanted = parseAddress(selector);
  if (wanted !== undefined) return address !== undefined && formatAddress(wanted) === formatAddress(address);
  const network = parseNetwork(selector);
  if ('prefix' in network) return address !== undefined && networkContains(network, address);
  return [peer.workload, peer.remoteWorkload].some(
    (workload) => workload !== undefined && (workload === selector || workload.replace(/\[.*\]$/, '') === selector),
  );
}
