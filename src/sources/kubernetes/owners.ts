import { isDeepStrictEqual } from 'node:util';
import type { Workload } from '../../model/workload.ts';
import type { Pod, PodOwner } from '../cri/pod.ts';
import { makeWorkload } from '../naming.ts';
import type { Source } from '../source.ts';
import type { KubernetesClient } from './client.ts';
import { type KnownPod, makerOf } from './pods.ts';
import type { ResourceType } from './resource.ts';
import { JOBS, keyOf, REPLICA_SETS } from './resource.ts';

/** What a pod's maker may have been made by: others are the top. */
const MIDDLE: Readonly<Record<string, ResourceType>> = { ReplicaSet: REPLICA_SETS, Job: JOBS };

/** A pod no runtime has asked for this long is gone, milliseconds. */
const FORGET_MS = 600_000;
/** Who could not be asked about is asked again after this long, milliseconds. */
const RETRY_MS = 30_000;

export interface PodOwnersOptions {
  readonly client: KubernetesClient;
  /** This node's pods. */
  readonly pods: Source<ReadonlyMap<string, KnownPod>>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** How long a new pod waits to be told of, milliseconds. */
  readonly waitMs: number;
  /** There is a new answer that should be remembered. */
  readonly onGiven?: () => void;
}

type Controller = NonNullable<KnownPod['controller']>;

/** Asked about one ReplicaSet or Job. */
interface Inquiry {
  /** Of its owner; itself where it has none. Undefined: not known. */
  readonly workload?: Workload;
  readonly pending: boolean;
  readonly retryAt: number;
}

/** An answer, and whether the API server gave it. */
export interface GivenOwner extends PodOwner {
  readonly sure: boolean;
}

/**
 * Who owns the pods of this node. An answer, once given, stays for the pod's life, also when the API server is away or
 * has forgotten the pod, and for the next agent: identities must not change under a running container.
 *
 * A pod nobody has told of is not answered for at first: its containers have no identity yet, and wait at the gate.
 * After `waitMs`, or when its owner cannot be asked for, the owner is guessed from the labels that controllers set; a
 * guess is corrected, once, when the API server says otherwise.
 */
export class PodOwners {
  readonly #options: PodOwnersOptions;
  /** By uid of the pod. */
  readonly #given = new Map<string, GivenOwner>();
  /** When a pod was first asked for, and last. */
  readonly #asked = new Map<string, { readonly first: number; last: number }>();
  /** By all that a pod says of its controller: anybody may write another's uid beside his own names. */
  readonly #inquiries = new Map<string, Inquiry>();
  readonly #listeners = new Set<() => void>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #unsubscribe: () => void = () => {};
  #closed = false;

  constructor(options: PodOwnersOptions) {
    this.#options = options;
    this.#unsubscribe = options.pods.onChange(() => this.#tell());
  }

  /** All answers, to be remembered. */
  get given(): ReadonlyMap<string, GivenOwner> {
    return this.#given;
  }

  /** Takes the answers of a former agent. */
  remember(given: ReadonlyMap<string, GivenOwner>): void {
    for (const [uid, owner] of given) if (!this.#given.has(uid)) this.#given.set(uid, owner);
  }

  /** Calls the listener when `resolve` may answer otherwise. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  resolve(pod: Pod): PodOwner | 'not yet' {
    const { now, waitMs } = this.#options;
    const asked = this.#asked.get(pod.uid) ?? { first: now(), last: 0 };
    asked.last = now();
    if (!this.#asked.has(pod.uid)) this.#first(pod.uid, asked);
    const waiting = now() - asked.first < waitMs;
    const known = this.#options.pods.snapshot().get(keyOf(pod));
    if (known !== undefined && isSame(known, pod)) return this.#ofKnown(known, pod.uid, waiting);
    const former = this.#given.get(pod.uid);
    if (former !== undefined) return former;
    if (waiting) return 'not yet';
    return this.#give(pod.uid, this.#guess(pod));
  }

  /** A pod made from the template of another one is in all that the template says what that one is. */
  #guess(pod: Pod): GivenOwner {
    const workload = guessOwner(pod) ?? itself(pod);
    for (const { sure, labels, ports, credentials, workload: other } of this.#given.values()) {
      const isSibling = sure && labels !== undefined && isDeepStrictEqual(other, workload) && isOfTemplate(labels, pod);
      if (isSibling) return { workload, ports, ...(credentials === undefined ? {} : { credentials }), sure: false };
    }
    return { workload, ports: [], sure: false };
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #ofKnown(pod: KnownPod, uid: string, waiting: boolean): PodOwner | 'not yet' {
    const { namespace, controller, labels, ports, credentials } = pod;
    const give = (workload: Workload, sure: boolean): PodOwner =>
      this.#give(uid, { workload, ports, labels, credentials, sure });
    if (controller === undefined) return give(itself(pod), true);
    const direct = makeWorkload(namespace, controller.kind, controller.name) ?? itself(pod);
    if (!Object.hasOwn(MIDDLE, controller.kind)) return give(direct, true);
    const { workload, pending } = this.#inquire(namespace, controller);
    if (workload !== undefined) return give(workload, true);
    const former = this.#given.get(uid);
    if (former !== undefined) return give(former.workload, former.sure);
    if (pending && waiting) return 'not yet';
    return give(guessMiddle(namespace, controller, labels) ?? direct, false);
  }

  #give(uid: string, owner: GivenOwner): PodOwner {
    const former = this.#given.get(uid);
    if (former !== undefined && isDeepStrictEqual(former, owner)) return former;
    this.#given.set(uid, owner);
    this.#options.onGiven?.();
    return owner;
  }

  /** The owner of a ReplicaSet or Job, asked for once: it does not change while that lives. */
  #inquire(namespace: string, controller: Controller): Inquiry {
    const key = inquiryKey(namespace, controller);
    const known = this.#inquiries.get(key);
    if (known !== undefined && (known.pending || known.workload !== undefined || this.#options.now() < known.retryAt)) {
      return known;
    }
    const pending: Inquiry = { pending: true, retryAt: 0 };
    this.#inquiries.set(key, pending);
    void this.#ask(key, namespace, controller);
    return pending;
  }

  async #ask(key: string, namespace: string, { kind, name, uid }: Controller): Promise<void> {
    const { client, now } = this.#options;
    const answer: Inquiry = { pending: false, retryAt: now() + RETRY_MS };
    const resource = MIDDLE[kind];
    if (resource === undefined) return;
    try {
      const { metadata } = await client.getMetadata(resource, { namespace, name });
      const top = makerOf(metadata);
      const same = metadata.uid === undefined || metadata.uid === uid;
      const workload = same ? makeWorkload(namespace, top?.kind ?? kind, top?.name ?? name) : undefined;
      this.#inquiries.set(key, workload === undefined ? answer : { ...answer, workload });
    } catch {
      // Whoever asks meanwhile gets a guess; why it cannot be asked the source of pods shows, and the doctor.
      this.#inquiries.set(key, answer);
      this.#later(RETRY_MS);
    }
    this.#tell();
  }

  #first(uid: string, asked: { readonly first: number; last: number }): void {
    this.#asked.set(uid, asked);
    this.#forget();
    this.#later(this.#options.waitMs);
  }

  /** Tells listeners after a while, when an answer may have become a guess or is to be asked for again. */
  #later(ms: number): void {
    if (this.#closed) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#tell();
    }, ms + 1);
    this.#timers.add(timer);
  }

  #forget(): void {
    const before = this.#options.now() - FORGET_MS;
    for (const [uid, { last }] of this.#asked) {
      if (last >= before) continue;
      this.#asked.delete(uid);
      this.#given.delete(uid);
    }
    const inUse = new Set<string>();
    for (const { namespace, controller } of this.#options.pods.snapshot().values()) {
      if (controller !== undefined) inUse.add(inquiryKey(namespace, controller));
    }
    for (const key of this.#inquiries.keys()) if (!inUse.has(key)) this.#inquiries.delete(key);
  }

  #tell(): void {
    if (!this.#closed) for (const listener of [...this.#listeners]) listener();
  }
}

/** Labels in which controllers write which version of a template a pod is made from. */
const TEMPLATE_LABELS = ['pod-template-hash', 'controller-revision-hash'] as const;

function isOfTemplate(labels: Readonly<Record<string, string>>, pod: Pod): boolean {
  return TEMPLATE_LABELS.every((key) => labels[key] === pod.labels[key]);
}

/** Whether the server's pod of a name is the one that runs: only of its own name is what it says of uids believed. */
function isSame({ uid, hash }: KnownPod, pod: Pod): boolean {
  return pod.uid === uid || pod.uid === hash;
}

function inquiryKey(namespace: string, { kind, name, uid }: Controller): string {
  return JSON.stringify([namespace, kind, name, uid]);
}

function itself({ namespace, name }: Pick<Pod, 'namespace' | 'name'>): Workload {
  return { namespace, kind: 'Pod', name };
}

/**
 * A pod's owner by the labels and names controllers give it, for when nobody can be asked. A Deployment names a
 * ReplicaSet after itself and the hash of its template, and labels both its pods and the ReplicaSet with that hash; a
 * pod's own name adds five characters.
 */
export function guessOwner({ namespace, name, labels }: Omit<Pod, 'uid'>): Workload | undefined {
  const withoutSuffix = /^(.+)-[a-z0-9]{5}$/.exec(name)?.[1];
  const hash = labels['pod-template-hash'];
  if (hash !== undefined && withoutSuffix !== undefined) {
    return guessMiddle(namespace, { kind: 'ReplicaSet', name: withoutSuffix }, labels);
  }
  const job = labels['batch.kubernetes.io/job-name'] ?? labels['job-name'];
  if (job !== undefined) return guessMiddle(namespace, { kind: 'Job', name: job }, labels);
  if (labels['statefulset.kubernetes.io/pod-name'] === name) {
    return makeWorkload(namespace, 'StatefulSet', name.replace(/-\d+$/, ''));
  }
  const daemon = labels['controller-revision-hash'] !== undefined && labels['pod-template-generation'] !== undefined;
  return daemon && withoutSuffix !== undefined ? makeWorkload(namespace, 'DaemonSet', withoutSuffix) : undefined;
}

/** The owner of a ReplicaSet or Job by its name: a CronJob adds the time, in minutes or seconds since the epoch. */
function guessMiddle(
  namespace: string,
  { kind, name }: { readonly kind: string; readonly name: string },
  labels: Readonly<Record<string, string>>,
): Workload | undefined {
  const hash = labels['pod-template-hash'];
  if (kind === 'ReplicaSet' && hash !== undefined && name.endsWith(`-${hash}`)) {
    return makeWorkload(namespace, 'Deployment', name.slice(0, -hash.length - 1));
  }
  const scheduled = kind === 'Job' ? /^(.+)-\d{8,10}$/.exec(name)?.[1] : undefined;
  if (scheduled !== undefined) return makeWorkload(namespace, 'CronJob', scheduled);
  return makeWorkload(namespace, kind, name);
}
