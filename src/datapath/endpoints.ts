/** Endpoints in the kernel: their numbers, the tables of who is who, and the programs at their doors. */

import { formatAddress } from '../model/address.ts';
import type { Endpoint, Frontend, ServiceAddress } from '../model/endpoint.ts';
import { Allocator } from './allocator.ts';
import type { Doors, Trouble, Watchmen } from './doors.ts';
import { type EndpointRows, endpointRows, type HostFacts } from './endpoint-rows.ts';
import type { FrontendKey } from './layouts.gen.ts';
import type { Tables } from './maps.ts';
import type { Counter, EndpointStatus } from './port.ts';

/** Below `SCOPE_CONTAINER`; 0 is the host. */
const FIRST_ENDPOINT = 1;
const ENDPOINT_LIMIT = 0x80000000;

export interface EndpointsOptions {
  readonly tables: Tables;
  readonly doors: Doors;
  readonly burst: number;
  readonly slotOf: (identity: bigint) => number | undefined;
  /** Flows decided before are decided again: who is who has changed. */
  readonly bumpRevision: () => void;
  /** Endpoints have gone: what the kernel knows of all but these numbers is to go before the others are free. */
  readonly onGone: (present: ReadonlySet<number>) => void;
}

interface Standing {
  readonly endpoint: Endpoint;
  readonly number: number;
  readonly enforced: boolean;
  readonly error?: string;
}

/** What was last asked for. */
interface Arrangement {
  readonly endpoints: readonly Endpoint[];
  readonly uplinks: readonly number[];
  /** There are no others. */
  readonly alone: boolean;
}

/** One table as it was last written: the text of each key and value. */
interface Written<K> {
  readonly keys: Map<string, K>;
  readonly values: Map<string, string>;
}

export class Endpoints {
  readonly #options: EndpointsOptions;
  readonly #numbers = new Allocator<string>(FIRST_ENDPOINT, ENDPOINT_LIMIT);
  readonly #standing = new Map<string, Standing>();
  readonly #interfaces: Written<number>;
  readonly #containers: Written<bigint>;
  readonly #addresses: Written<{ bytes: Uint8Array }>;
  readonly #frontends: Written<FrontendKey>;
  #last: Arrangement | undefined;
  /** Numbers found in the tables of an earlier agent, by the interface or cgroup that had them. */
  readonly #adoptable = new Map<string, number>();

  constructor(options: EndpointsOptions) {
    this.#options = options;
    const { interfaces, containers, addresses, frontends } = options.tables;
    this.#interfaces = written(interfaces.entries(), String);
    this.#containers = written(containers.entries(), String);
    this.#addresses = written(addresses.entries(), (key) => formatAddress(key.bytes));
    this.#frontends = written(frontends.entries(), frontendText);
    for (const [ifindex, { endpoint }] of interfaces.entries()) this.#foundNumber(`interface ${ifindex}`, endpoint);
    for (const [cgroup, { endpoint }] of containers.entries()) this.#foundNumber(`cgroup ${cgroup}`, endpoint);
    // Whose rows an earlier agent had begun to delete: flows and verified peers may still name it.
    for (const number of options.tables.endpoint_states.keys()) this.#numbers.reserve(number);
  }

  /**
   * Makes the kernel know exactly these, or these beside the others it has. An endpoint that fails does not keep
   * others from being judged.
   */
  apply(
    endpoints: readonly Endpoint[],
    frontends: readonly Frontend[],
    host: HostFacts,
    keepOthers: boolean,
    services: readonly ServiceAddress[] = [],
  ): readonly EndpointStatus[] {
    const { tables, slotOf } = this.#options;
    for (const endpoint of endpoints) this.#number(endpoint);
    const numbering = { endpoint: (id: string) => this.#numbers.numberOf(id), slot: slotOf };
    const rows = endpointRows(endpoints, frontends, host, numbering, services);

    this.#prepareStates(endpoints);
    // Before a program runs at an interface, everything it looks up must be in.
    const changes = [
      put(tables.containers, this.#containers, rows.containers.entries(), String),
      put(tables.addresses, this.#addresses, pairs(rows.addresses), (key) => formatAddress(key.bytes)),
      put(tables.frontends, this.#frontends, pairs(rows.frontends), frontendText),
      put(tables.interfaces, this.#interfaces, rows.interfaces.entries(), String),
    ];
    // At once: attaching takes its time, and flows of an address that has changed hands pass until then.
    if (changes.some((count) => count > 0)) this.#options.bumpRevision();
    this.#last = { endpoints, uplinks: host.uplinks, alone: !keepOthers };
    this.#arrange(this.#last);
    if (!keepOthers) {
      if (this.#forget(rows, new Set(endpoints.map(({ id }) => id))) > 0) this.#options.bumpRevision();
      this.#adoptable.clear();
    }
    return this.status();
  }

  /** Whether tags are written and guards stand, for those there are now and those to come. */
  set watchmen(watchmen: Watchmen) {
    this.#options.doors.watchmen = watchmen;
    if (this.#last !== undefined) this.#arrange(this.#last);
  }

  status(): readonly EndpointStatus[] {
    const denied = new Map<number, Counter>();
    for (const [number, state] of this.#options.tables.endpoint_states.entries()) {
      denied.set(number, { packets: state.deniedPackets, bytes: state.deniedBytes });
    }
    return [...this.#standing.values()].map(({ endpoint, number, enforced, error }) => ({
      id: endpoint.id,
      number,
      enforced,
      denied: denied.get(number) ?? { packets: 0n, bytes: 0n },
      ...(error === undefined ? {} : { error }),
    }));
  }

  /** The endpoint's id; `#7` for one that is not there any more. */
  nameOf(number: number): string {
    return this.#numbers.keyOf(number) ?? `#${number}`;
  }

  /** Ifindexes of endpoints' interfaces, as the kernel's table has them. */
  get interfaces(): ReadonlySet<number> {
    const entries = [...this.#options.tables.interfaces.entries()];
    return new Set(entries.filter(([, { endpoint }]) => endpoint !== 0).map(([ifindex]) => ifindex));
  }

  numberOf(id: string): number | undefined {
    return this.#numbers.numberOf(id);
  }

  idOf(number: number): string | undefined {
    return this.#numbers.keyOf(number);
  }

  #foundNumber(where: string, number: number): void {
    this.#adoptable.set(where, number);
    this.#numbers.reserve(number);
  }

  /** An endpoint keeps the number it had under an earlier agent if all its interfaces and cgroups say the same. */
  #number({ id, interfaces, containers }: Endpoint): void {
    const found = new Set<number | undefined>();
    for (const { ifindex } of interfaces) found.add(this.#adoptable.get(`interface ${ifindex}`));
    for (const { cgroup } of containers) found.add(this.#adoptable.get(`cgroup ${cgroup.id}`));
    const [number] = found;
    if (found.size === 1 && number !== undefined) this.#numbers.adopt(id, number);
    this.#numbers.assign(id);
  }

  #arrange({ endpoints, uplinks, alone }: Arrangement): void {
    const troubles = this.#options.doors.arrange(endpoints, uplinks, alone);
    for (const endpoint of endpoints) this.#stand(endpoint, troubles.get(endpoint.id) ?? {});
  }

  #stand(endpoint: Endpoint, { judged, tagged }: Trouble): void {
    const number = this.#numbers.numberOf(endpoint.id) ?? 0;
    const why =
      judged ??
      (endpoint.mode === 'unprotected' ? endpoint.reason : undefined) ??
      (number === 0 ? 'no number is free' : undefined) ??
      (tagged === undefined ? undefined : `its connections have no tags: ${tagged}`);
    const enforced = judged === undefined && endpoint.mode !== 'unprotected' && number !== 0;
    this.#standing.set(endpoint.id, { endpoint, number, enforced, ...(why === undefined ? {} : { error: why }) });
  }

  #prepareStates(endpoints: readonly Endpoint[]): void {
    const { tables, burst } = this.#options;
    for (const { id } of endpoints) {
      const number = this.#numbers.numberOf(id);
      if (number === undefined || tables.endpoint_states.get(number) !== undefined) continue;
      const fresh = {
        refilled: 0n,
        budget: burst,
        suppressed: 0,
        deniedPackets: 0n,
        deniedBytes: 0n,
        holdRefilled: 0n,
        holdBudget: 0,
      };
      tables.endpoint_states.set(number, fresh);
    }
  }

  /** Deletes what is no longer true, after nothing is judged by it any more. Returns the number of rows. */
  #forget(rows: EndpointRows, present: ReadonlySet<string>): number {
    const { tables } = this.#options;
    const gone = [...this.#standing.keys()].filter((id) => !present.has(id));
    for (const id of gone) this.#standing.delete(id);
    const deleted = [
      trim(tables.interfaces, this.#interfaces, new Set([...rows.interfaces.keys()].map(String))),
      trim(tables.addresses, this.#addresses, new Set(rows.addresses.keys())),
      trim(tables.frontends, this.#frontends, new Set(rows.frontends.keys())),
      trim(tables.containers, this.#containers, new Set([...rows.containers.keys()].map(String))),
    ];
    const known = new Set([...this.#standing.values()].map(({ number }) => number));
    const stale = [...tables.endpoint_states.entries()]
      .map(([number]) => number)
      .filter((number) => !known.has(number));
    if (stale.length + gone.length > 0) this.#options.onGone(known);
    if (stale.length > 0) this.#forgetSenders(new Set(stale));
    // Last: where this is cut short, the next round finds by the states what else is to go.
    tables.endpoint_states.deleteAll(stale);
    for (const id of gone) this.#numbers.release(id);
    return deleted.reduce((sum, count) => sum + count, gone.length);
  }

  /** A port that a gone container sent from must not lend its name to the next that uses it. */
  #forgetSenders(numbers: ReadonlySet<number>): void {
    const { senders } = this.#options.tables;
    const stale = [...senders.entries()].filter(([, sender]) => numbers.has(sender.endpoint));
    senders.deleteAll(stale.map(([key]) => key));
  }
}

interface Table<K, V> {
  setAll(entries: Iterable<readonly [K, V]>): number;
  deleteAll(keys: Iterable<K>): number;
}

function written<K, V>(entries: Iterable<readonly [K, V]>, text: (key: K) => string): Written<K> {
  const keys = new Map<string, K>();
  const values = new Map<string, string>();
  for (const [key, value] of entries) {
    keys.set(text(key), key);
    values.set(text(key), JSON.stringify(value));
  }
  return { keys, values };
}

/** Writes rows that are new or other than before; returns their number. */
function put<K, V>(
  table: Table<K, V>,
  before: Written<K>,
  rows: Iterable<readonly [K, V]>,
  text: (key: K) => string,
): number {
  const fresh: [K, V][] = [];
  for (const [key, value] of rows) {
    const name = text(key);
    const form = JSON.stringify(value);
    if (before.values.get(name) === form) continue;
    fresh.push([key, value]);
    before.keys.set(name, key);
    before.values.set(name, form);
  }
  table.setAll(fresh);
  return fresh.length;
}

/** Deletes rows that are not wanted any more; returns their number. */
function trim<K, V>(table: Table<K, V>, before: Written<K>, wanted: ReadonlySet<string>): number {
  const stale = [...before.keys].filter(([name]) => !wanted.has(name));
  table.deleteAll(stale.map(([, key]) => key));
  for (const [name] of stale) {
    before.keys.delete(name);
    before.values.delete(name);
  }
  return stale.length;
}

function* pairs<K, V>(rows: ReadonlyMap<string, { readonly key: K; readonly value: V }>): Generator<[K, V]> {
  for (const { key, value } of rows.values()) yield [key, value];
}

function frontendText(key: FrontendKey): string {
  return `${formatAddress(key.address.bytes)} ${key.protocol} ${key.port}`;
}
