import { parseAddress } from '../model/address.ts';
import type { Container, Endpoint, Frontend } from '../model/endpoint.ts';
import { deriveIdentity } from '../model/identity.ts';
import type { Attachment } from './attachment.ts';
import { ON_THE_NODE, SCATTERED } from './attachment.ts';
import type { Inhabited } from './attachments.ts';
import { Attachments } from './attachments.ts';
import type { Candidate } from './candidate.ts';
import type { SourceError } from './error.ts';
import type { Host } from './host.ts';
import { nodeAddresses } from './host.ts';
import type { ProcessFacts } from './process.ts';
import { findContainerCgroup, readProcess, readStartTime, startedAt } from './process.ts';
import { Remembered } from './remembered.ts';
import type { Sighting, Sightings, Warning } from './source.ts';

/** A process this much younger than its container is another one that got the pid. */
const REUSED_AFTER_MS = 5_000;

/** A process this old has entered the namespaces it will live in: some are in their cgroup before. */
const SETTLED_MS = 2_000;

const NO_CGROUP: Container['cgroup'] = { id: 0n, path: '', level: 0 };

/** A candidate whose process the kernel confirms. */
interface Member {
  readonly candidate: Candidate;
  readonly process: ProcessFacts;
  readonly container: Container;
}

/** Containers of one network sandbox. */
interface Group extends Inhabited {
  /** Whose name the sandbox has. */
  readonly owner: Candidate;
  /** Oldest first. */
  readonly members: readonly Member[];
  /** Known without a look at the namespace. */
  readonly attachment: Attachment | undefined;
}

/**
 * Turns what a runtime says into what the kernel confirms: processes that are there and in their containers' cgroups,
 * and how their network namespaces are attached to this node.
 */
export class Surveyor {
  readonly #host: Host;
  readonly #domain: string;
  readonly #attachments: Attachments;
  readonly #nodeAddresses: Remembered<readonly string[]>;
  /** By what was said of them: looked at anew when they may have moved. */
  #confirmed = new WeakMap<Candidate, Member>();
  #settledIn: number | undefined;

  constructor(host: Host, domain: string) {
    this.#host = host;
    this.#domain = domain;
    this.#attachments = new Attachments(host);
    this.#nodeAddresses = new Remembered(() => nodeAddresses(host));
  }

  /** Everything may have changed, also inside the namespaces. */
  forget(): void {
    this.#confirmed = new WeakMap();
    this.#nodeAddresses.forget();
    this.#attachments.forget();
  }

  /** The node's links or addresses may have changed. */
  linksChanged(): void {
    this.#nodeAddresses.forget();
    this.#attachments.linksChanged();
  }

  /** Milliseconds until the next survey is worth while though nothing changed; undefined: it is not. */
  lookAgainIn(): number | undefined {
    const waits = [this.#attachments.lookAgainIn(), this.#settledIn].filter((wait) => wait !== undefined);
    return waits.length === 0 ? undefined : Math.min(...waits);
  }

  async survey(candidates: readonly Candidate[]): Promise<Sightings> {
    const warnings: Warning[] = [];
    const youngest = candidates.reduce((latest, candidate) => Math.max(latest, candidate.startedAt), 0);
    const wait = youngest + SETTLED_MS - this.#host.now();
    this.#settledIn = wait > 0 ? Math.min(wait, SETTLED_MS) : undefined;
    const groups = this.#group(candidates, warnings);
    const found = await this.#attachments.find(groups.filter((group) => group.attachment === undefined));
    const ownAddresses = await this.#nodeAddresses.get();
    const endpoints: Sighting[] = [];
    const frontends: Frontend[] = [];
    for (const group of groups) {
      const attachment = group.attachment ?? found.get(group.instance);
      if (attachment === undefined) continue;
      endpoints.push(this.#sight(group, attachment, warnings));
      frontends.push(...publishedOf(group, ownAddresses));
    }
    return { endpoints, frontends, warnings };
  }

  #group(candidates: readonly Candidate[], warnings: Warning[]): Group[] {
    const members = candidates.flatMap((candidate) => this.#confirm(candidate, warnings) ?? []);
    const unnamed = new Map(
      candidates.filter(({ role, pid }) => role === 'sandbox' && pid === 0).map((one) => [one.sandbox, one]),
    );
    const byNamespace = Map.groupBy(members, (member) =>
      this.#known(member) === undefined ? `netns ${member.process.netns}` : `sandbox ${member.candidate.sandbox}`,
    );
    return [...byNamespace.values()].map((group) => {
      group.sort((a, b) => byAge(a.candidate, b.candidate));
      const holder = group.find((member) => member.candidate.role !== 'member') ?? group[0]!;
      const { pid, startTime, netns } = holder.process;
      return {
        // A sandbox without a process of its own is found by its containers.
        owner: unnamed.get(holder.candidate.sandbox) ?? holder.candidate,
        netns,
        members: group,
        processes: group.map((member) => member.process),
        instance: `${netns}:${pid}:${startTime}`,
        attachment: this.#known(holder),
      };
    });
  }

  /** The attachment of what has no namespace of its own. */
  #known({ candidate, process }: Member): Attachment | undefined {
    if (candidate.scattered) return SCATTERED;
    return process.netns === this.#host.namespaces.node ? ON_THE_NODE : undefined;
  }

  /** Checks a candidate against the kernel; undefined where its process is gone or not its own. */
  #confirm(candidate: Candidate, warnings: Warning[]): Member | undefined {
    const { proc, now } = this.#host;
    const known = this.#confirmed.get(candidate);
    if (known !== undefined && readStartTime(proc, known.process.pid) === known.process.startTime) return known;
    const process = readProcess(proc, candidate.pid);
    if (process === undefined) return undefined;
    const cgroup = this.#ownCgroup(candidate, process, warnings);
    if (cgroup === undefined) return undefined;
    const member = { candidate, process, container: this.#container(candidate, process, cgroup) };
    if (now() - candidate.startedAt > SETTLED_MS) this.#confirmed.set(candidate, member);
    return member;
  }

  /** The candidate's cgroup, in which its process must be; undefined where it is not. */
  #ownCgroup(candidate: Candidate, process: ProcessFacts, warnings: Warning[]): Container['cgroup'] | undefined {
    if (candidate.cgroup !== undefined) {
      return `${process.unified}/`.startsWith(`${candidate.cgroup}/`) ? this.#cgroup(candidate.cgroup) : undefined;
    }
    const inside = process.cgroups.some((path) => findContainerCgroup(path, candidate.id) !== undefined);
    if (inside) {
      const found = findContainerCgroup(process.unified ?? '', candidate.id);
      return found === undefined ? NO_CGROUP : this.#cgroup(found.path);
    }
    const age = startedAt(this.#host.proc, process.startTime) - candidate.startedAt;
    if (candidate.startedAt > 0 && age > REUSED_AFTER_MS) return undefined;
    const message = `process ${candidate.pid} of container ${candidate.name} is in no cgroup of that container`;
    warnings.push({ code: 'PROCESS_UNVERIFIED', subject: candidate.id, message });
    return undefined;
  }

  #cgroup(path: string): Container['cgroup'] {
    const id = this.#host.cgroups?.id(path);
    return id === undefined ? NO_CGROUP : { id, path, level: path.split('/').filter((part) => part !== '').length };
  }

  #sight(group: Group, found: Attachment | SourceError, warnings: Warning[]): Sighting {
    const { owner, members, netns, instance } = group;
    const attachment = found instanceof Error ? unreadable(found) : found;
    const running = members.filter((member) => member.candidate.role !== 'sandbox');
    const containers = running.map((member) => member.container);
    const only = containers.length === 1 ? containers[0] : undefined;
    const parts = partsOf(group);
    const endpoint: Endpoint = {
      id: owner.id,
      ...modeOf(attachment, containers),
      identity: only?.identity ?? deriveIdentity(this.#domain, { ...owner.attributes, container: '' }),
      containers,
      netns: group.attachment === undefined ? netns : this.#host.namespaces.node,
      interfaces: attachment.interfaces,
      addresses: [],
      ports: parts.flatMap((part) => part.ports),
    };
    if (found instanceof Error) {
      warnings.push({ code: 'NAMESPACE_UNREADABLE', subject: owner.id, message: found.message });
    } else if (attachment.mode === 'interface' && attachment.reason !== undefined) {
      const message = `endpoint ${owner.id}: ${attachment.reason}`;
      warnings.push({ code: 'PARTLY_JUDGED', subject: owner.id, message });
    }
    // On the node's own network no address is the container's.
    const declared = group.attachment === undefined ? parts.flatMap((part) => part.declared) : [];
    return {
      endpoint,
      seen: [...declared, ...attachment.seen],
      gateways: attachment.gateways,
      instance,
      startedAt: members[0]?.candidate.startedAt ?? 0,
    };
  }

  #container(candidate: Candidate, process: ProcessFacts, cgroup: Container['cgroup']): Container {
    const { id, name, runtime, attributes, image } = candidate;
    const identity = deriveIdentity(this.#domain, attributes);
    const container = { id, name, runtime, identity, cgroup, pid: process.pid, startedAt: candidate.startedAt };
    return image === undefined ? container : { ...container, image };
  }
}

/** Sockets can be judged only in a cgroup that the kernel's programs can name. */
function modeOf({ mode, reason }: Attachment, containers: readonly Container[]): Pick<Endpoint, 'mode' | 'reason'> {
  const nameless = containers.find((container) => container.cgroup.id === 0n);
  if (mode === 'cgroup' && nameless !== undefined) {
    return { mode: 'unprotected', reason: `${reason}, and container ${nameless.name} has no cgroup2` };
  }
  return reason === undefined ? { mode } : { mode, reason };
}

function unreadable(error: SourceError): Attachment {
  return { mode: 'cgroup', reason: error.message, interfaces: [], seen: [], gateways: [] };
}

/** All that was said of a group: of its members, and of an owner without a process. */
function partsOf({ owner, members }: Group): readonly Candidate[] {
  return [...new Set([owner, ...members.map((member) => member.candidate)])];
}

function publishedOf(group: Group, ownAddresses: readonly string[]): Frontend[] {
  const endpoint = group.owner.id;
  const published = partsOf(group).flatMap((part) => part.published);
  return published.flatMap(({ address, protocol, port, targetPort }) =>
    expand(address, ownAddresses).map((one) => ({ address: one, protocol, port, endpoint, targetPort })),
  );
}

/** All the node's addresses of a family for its unspecified one; link-local ones mean nothing without an interface. */
function expand(address: string, ownAddresses: readonly string[]): readonly string[] {
  if (address === '0.0.0.0') return ownAddresses.filter((one) => !one.includes(':'));
  if (address === '::') return ownAddresses.filter((one) => one.includes(':') && !/^fe[89ab]/i.test(one));
  return parseAddress(address) === undefined ? [] : [address];
}

function byAge(a: Candidate, b: Candidate): number {
  return a.startedAt - b.startedAt || (a.id < b.id ? -1 : 1);
}
