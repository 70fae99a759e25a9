import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Client, ServiceError } from '@grpc/grpc-js';
import type protobuf from 'protobufjs';
import * as z from 'zod';
import type { SourceErrorCode } from '../error.ts';
import { SourceError } from '../error.ts';

const load = createRequire(import.meta.url);

/** Of the status codes of gRPC those that mean something here. */
const STATUS = {
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;

/** 10,000 containers with their labels and annotations. */
const LONGEST_ANSWER = 64 << 20;

export interface PodSandbox {
  readonly id: string;
  readonly metadata: { readonly name: string; readonly uid: string; readonly namespace: string } | null;
  readonly state: 'SANDBOX_READY' | 'SANDBOX_NOTREADY';
  /** Nanoseconds since the epoch, rounded. */
  readonly createdAt: number;
  readonly labels: Readonly<Record<string, string>>;
}

export interface PodContainer {
  readonly id: string;
  readonly podSandboxId: string;
  readonly metadata: { readonly name: string } | null;
  readonly image: { readonly image: string } | null;
  readonly state: 'CONTAINER_CREATED' | 'CONTAINER_RUNNING' | 'CONTAINER_EXITED' | 'CONTAINER_UNKNOWN';
}

interface Info {
  readonly info: Readonly<Record<string, string>>;
}

interface SandboxAnswer extends Info {
  readonly status: {
    readonly network: { readonly ip: string; readonly additionalIps: readonly { readonly ip: string }[] } | null;
  } | null;
}

interface ContainerAnswer extends Info {
  readonly status: {
    readonly startedAt: number;
    readonly state: PodContainer['state'];
    readonly image: { readonly image: string } | null;
  } | null;
}

export interface SandboxStatus {
  /** Of the process that holds the namespaces; 0 where the runtime needs none. */
  readonly pid: number;
  readonly addresses: readonly string[];
}

export interface ContainerStatus {
  readonly pid: number;
  readonly running: boolean;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly image: string;
}

export interface RuntimeOptions {
  /** Path of the runtime's UNIX socket. */
  readonly socket: string;
  /** How long any answer may take, milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
}

let parsed: protobuf.Root | undefined;

function schema(): protobuf.Root {
  const { parse } = load('protobufjs') as typeof protobuf;
  parsed ??= parse(readFileSync(new URL('./runtime.proto', import.meta.url), 'utf8')).root;
  return parsed;
}

const CONVERSION: protobuf.IConversionOptions = {
  longs: Number,
  enums: String,
  defaults: true,
  arrays: true,
  objects: true,
};

/** What containerd and CRI-O put under `info`, as JSON in a string. */
const infoSchema = z.object({ pid: z.int().nonnegative().optional() });

/**
 * A runtime's CRI service (runtime.v1), as far as it is read. One connection; made anew after it broke. The libraries
 * are loaded with the first one: 20 MB that a node without such a runtime does not pay.
 */
export class Runtime {
  readonly #socket: string;
  readonly #timeoutMs: number;
  readonly #client: Client;

  constructor({ socket, timeoutMs = 10_000 }: RuntimeOptions) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    const { Client, credentials } = load('@grpc/grpc-js') as typeof import('@grpc/grpc-js');
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': LONGEST_ANSWER,
      // Waits between attempts are the source's business; those of a former connection must not delay this one.
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /** Throws SourceError VERSION where the runtime does not speak version 1. */
  async version(signal: AbortSignal): Promise<string> {
    const answer = await this.#call<{ runtimeName: string; runtimeVersion: string }>('Version', {}, signal);
    return `${answer?.runtimeName} ${answer?.runtimeVersion}`;
  }

  async sandboxes(signal: AbortSignal): Promise<readonly PodSandbox[]> {
    const answer = await this.#call<{ items: readonly PodSandbox[] }>('ListPodSandbox', {}, signal);
    return answer?.items ?? [];
  }

  async containers(signal: AbortSignal): Promise<readonly PodContainer[]> {
    const answer = await this.#call<{ containers: readonly PodContainer[] }>('ListContainers', {}, signal);
    return answer?.containers ?? [];
  }

  /** Undefined where there is no such sandbox. */
  async sandbox(podSandboxId: string, signal: AbortSignal): Promise<SandboxStatus | undefined> {
    const answer = await this.#call<SandboxAnswer>('PodSandboxStatus', { podSandboxId, verbose: true }, signal);
    if (!answer?.status) return undefined;
    const { ip, additionalIps } = answer.status.network ?? { ip: '', additionalIps: [] };
    const addresses = [ip, ...additionalIps.map((more) => more.ip)].filter((one) => one !== '');
    return { pid: this.#pid(answer, podSandboxId), addresses };
  }

  /** Undefined where there is no such container. */
  async container(containerId: string, signal: AbortSignal): Promise<ContainerStatus | undefined> {
    const answer = await this.#call<ContainerAnswer>('ContainerStatus', { containerId, verbose: true }, signal);
    if (!answer?.status) return undefined;
    const { startedAt, state, image } = answer.status;
    return {
      pid: this.#pid(answer, containerId),
      running: state === 'CONTAINER_RUNNING',
      startedAt: Math.floor(startedAt / 1e6),
      image: image?.image ?? '',
    };
  }

  /**
   * Calls the listener at every container's event until the signal aborts.
   * @returns false, at once, where the runtime has no events
   */
  events(listener: () => void, signal: AbortSignal): Promise<boolean> {
    const { path, encode, decode } = this.#method('GetContainerEvents');
    return new Promise((resolve, reject) => {
      const stream = this.#client.makeServerStreamRequest(path, encode, decode, {});
      const cancel = (): void => stream.cancel();
      signal.addEventListener('abort', cancel, { once: true });
      const settle = (outcome: () => void): void => {
        signal.removeEventListener('abort', cancel);
        outcome();
      };
      stream.on('data', listener);
      stream.on('end', () => settle(() => resolve(true)));
      stream.on('error', (error: ServiceError) => {
        if (error.code === STATUS.UNIMPLEMENTED) settle(() => resolve(false));
        else settle(() => reject(this.#failure(error, 'GetContainerEvents')));
      });
      if (signal.aborted) cancel();
    });
  }

  close(): void {
    this.#client.close();
  }

  #method(name: string): { path: string; encode: (value: object) => Buffer; decode: (bytes: Buffer) => object } {
    const root = schema();
    const method = root.lookupService('runtime.v1.RuntimeService').methods[name];
    if (method === undefined) throw new Error(`runtime.proto has no method ${name}`);
    const [request, answer] = [method.requestType, method.responseType].map((type) =>
      root.lookupType(`runtime.v1.${type}`),
    );
    return {
      path: `/runtime.v1.RuntimeService/${name}`,
      encode: (value) => Buffer.from(request!.encode(request!.fromObject(value)).finish()),
      decode: (bytes) => answer!.toObject(answer!.decode(bytes), CONVERSION),
    };
  }

  /** Makes one call; undefined where the runtime says there is no such thing. */
  #call<Answer>(name: string, request: object, signal: AbortSignal): Promise<Answer | undefined> {
    const { path, encode, decode } = this.#method(name);
    return new Promise((resolve, reject) => {
      const cancel = (): void => call.cancel();
      const deadline = { deadline: Date.now() + this.#timeoutMs };
      const call = this.#client.makeUnaryRequest(path, encode, decode, request, deadline, (error, answer) => {
        signal.removeEventListener('abort', cancel);
        if (error === null) resolve(answer as Answer);
        else if (error.code === STATUS.NOT_FOUND) resolve(undefined);
        else reject(signal.aborted ? signal.reason : this.#failure(error, name));
      });
      signal.addEventListener('abort', cancel, { once: true });
      if (signal.aborted) cancel();
    });
  }

  #pid({ info }: Info, id: string): number {
    const text = info.info;
    if (text === undefined) return 0;
    const parsed = infoSchema.safeParse(parseJson(text));
    if (parsed.success) return parsed.data.pid ?? 0;
    throw new SourceError('MALFORMED', `Cannot understand what the runtime on ${this.#socket} says of ${id}`);
  }

  #failure(error: ServiceError, name: string): SourceError {
    const code = CODES[error.code] ?? 'REFUSED';
    const message = `Cannot call ${name} of the runtime on ${this.#socket}: ${error.details.slice(0, 500)}`;
    const hint = HINTS[code];
    return new SourceError(code, message, hint === undefined ? { cause: error } : { cause: error, hint });
  }
}

const CODES: Readonly<Partial<Record<number, SourceErrorCode>>> = {
  [STATUS.UNAVAILABLE]: 'UNREACHABLE',
  [STATUS.DEADLINE_EXCEEDED]: 'TIMEOUT',
  [STATUS.UNIMPLEMENTED]: 'VERSION',
  [STATUS.RESOURCE_EXHAUSTED]: 'TOO_LARGE',
  [STATUS.INTERNAL]: 'MALFORMED',
};

const HINTS: Readonly<Partial<Record<SourceErrorCode, string>>> = {
  UNREACHABLE: 'is the runtime running, and may this user open its socket?',
  VERSION: 'a runtime with CRI v1 is needed: containerd 1.6 or CRI-O 1.23, or newer',
};

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the schema refuses it
  }
}
