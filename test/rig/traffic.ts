/** Our traffic tool (`traffic/*.c`, one static program), and its results as types. */

import { z } from 'zod';
import { waitFor } from './cleanup.ts';
import { type Background, CommandError, type Outcome, type RunOptions } from './process.ts';
import { compiled, WITH_LIBC } from './program.ts';

const PROGRAM = compiled('traffic', 'traffic', [...WITH_LIBC, '-pthread']);

/** Path of the program; in our image it is `/bin/traffic`. */
export const TRAFFIC = PROGRAM.path;

export const buildTraffic = PROGRAM.build;

/** Anything a command can be run in: a `Place`, a `Namespace`, a `Container`. */
export interface Runner {
  /** It runs our image, where the tool is in the PATH. */
  readonly inImage?: boolean;
  attempt(command: readonly string[], options?: RunOptions): Promise<Outcome>;
  start(command: readonly string[]): Background;
}

export interface Target {
  readonly address: string;
  readonly port: number;
  readonly udp?: boolean;
  /** Local address and port; any unless told. */
  readonly bind?: string;
  readonly sourcePort?: number;
}

/** Bounds of a run; it ends at the first that is reached. One second unless told. */
export interface Bounds {
  readonly count?: number;
  readonly durationMs?: number;
  /** Of one operation. One second unless told. */
  readonly timeoutMs?: number;
  /** Bytes of one message. */
  readonly size?: number;
}

const Latencies = z.object({
  operations: z.number(),
  errors: z.number(),
  elapsedNs: z.number(),
  perSecond: z.number(),
  minNs: z.number(),
  p50Ns: z.number(),
  p90Ns: z.number(),
  p99Ns: z.number(),
  maxNs: z.number(),
});
/** Latencies of operations in ns. */
export type Latencies = z.infer<typeof Latencies>;

const Throughput = z.object({ bytes: z.number(), elapsedNs: z.number(), bitsPerSecond: z.number() });
export type Throughput = z.infer<typeof Throughput>;

const Sent = z.object({ sent: z.number(), refused: z.number(), elapsedNs: z.number(), perSecond: z.number() });
export type Sent = z.infer<typeof Sent>;

const Received = z.object({
  received: z.number(),
  lost: z.number(),
  duplicates: z.number(),
  reordered: z.number(),
  elapsedNs: z.number(),
  perSecond: z.number(),
});
export type Received = z.infer<typeof Received>;

const RESULTS = ['ok', 'refused', 'timeout', 'unreachable', 'error'] as const;
const Attempt = z.object({ result: z.enum(RESULTS), error: z.string(), elapsedNs: z.number() });
/** How a connection attempt ended; `error` is the errno's name. */
export type Attempt = z.infer<typeof Attempt>;

const Conversation = z.object({
  exchanges: z.number(),
  lost: z.number(),
  maxGapNs: z.number(),
  /** When the last answer before the first loss came, since the start. */
  cutAtNs: z.number().nullable(),
  result: z.enum(RESULTS),
});
/** What became of a conversation that was kept up. */
export type Conversation = z.infer<typeof Conversation>;

const Change = z.object({ atNs: z.number(), passes: z.boolean() });
/** Traffic began or ceased to pass. `atNs` is of `process.hrtime.bigint()`, as a number. */
export type Change = z.infer<typeof Change>;

const Firsts = z.object({
  sent: z.number(),
  elapsedNs: z.number(),
  firstNs: z.array(z.number()),
  secondNs: z.array(z.number()),
});
/** How long the answers to first and second datagrams of conversations took; what was not answered is not there. */
export type Firsts = z.infer<typeof Firsts>;

const RawSent = z.object({ sent: z.number(), refused: z.number() });

function program(where: Runner): string {
  return where.inImage ? 'traffic' : TRAFFIC;
}

function targetArgs(target: Target): string[] {
  const args = ['--address', target.address, '--port', String(target.port)];
  if (target.udp) args.push('--udp');
  if (target.bind !== undefined) args.push('--bind', target.bind);
  if (target.sourcePort !== undefined) args.push('--source-port', String(target.sourcePort));
  return args;
}

function boundArgs(bounds: Bounds & Readonly<Record<string, number | undefined>>): string[] {
  const { durationMs, timeoutMs, ...rest } = bounds;
  return Object.entries({ duration: durationMs, timeout: timeoutMs, ...rest }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, String(value)],
  );
}

function parse<T>(schema: z.ZodType<T>, command: readonly string[], outcome: Outcome): T {
  const line = outcome.stdout.split('\n').findLast((text) => text.startsWith('{'));
  if (line === undefined) throw new CommandError(command, outcome);
  return schema.parse(JSON.parse(line));
}

async function measure<T>(where: Runner, schema: z.ZodType<T>, args: readonly string[]): Promise<T> {
  const command = [program(where), ...args];
  return parse(schema, command, await where.attempt(command, { timeout: 120_000 }));
}

/** What to listen on, as `80,443,8000-8010`. */
export interface Services {
  /** Echo what comes. */
  readonly tcp?: string;
  /** Answer the first bytes, then close: for `crr`. */
  readonly tcpOnce?: string;
  /** Swallow what comes: for `stream`. */
  readonly tcpSink?: string;
  readonly udp?: string;
  /** One address; all of IPv4 and IPv6 unless told. */
  readonly address?: string;
}

/** The arguments of `traffic` that serve these. */
export function serveArgs(services: Services): string[] {
  const { tcp, tcpOnce, tcpSink, udp, address } = services;
  const options = { tcp, 'tcp-once': tcpOnce, 'tcp-sink': tcpSink, udp, address };
  return ['serve', ...Object.entries(options).flatMap(([name, value]) => (value ? [`--${name}`, value] : []))];
}

/** Starts a server and waits until it listens; `close()` it in the end. */
export async function serve(where: Runner, services: Services): Promise<Background> {
  const server = where.start([program(where), ...serveArgs(services)]);
  await server.output(/ready/);
  return server;
}

/** One attempt to connect; over UDP, or with `exchange`, one byte must come back. */
export function connect(
  where: Runner,
  target: Target,
  options: Bounds & { exchange?: boolean } = {},
): Promise<Attempt> {
  const { exchange, ...bounds } = options;
  const flags = exchange ? ['--exchange'] : [];
  return measure(where, Attempt, ['connect', ...targetArgs(target), ...flags, ...boundArgs({ ...bounds })]);
}

/** Connect, request, response, close, again and again, against `tcpOnce`. */
export function crr(where: Runner, target: Target, bounds: Bounds = {}): Promise<Latencies> {
  return measure(where, Latencies, ['crr', ...targetArgs(target), ...boundArgs({ ...bounds })]);
}

/** Request and response on one connection, against `tcp` or `udp`. */
export function rr(where: Runner, target: Target, bounds: Bounds = {}): Promise<Latencies> {
  return measure(where, Latencies, ['rr', ...targetArgs(target), ...boundArgs({ ...bounds })]);
}

/** Throughput of `parallel` connections, against `tcpSink`. */
export function stream(
  where: Runner,
  target: Target,
  bounds: Bounds & { parallel?: number } = {},
): Promise<Throughput> {
  return measure(where, Throughput, ['stream', ...targetArgs(target), ...boundArgs({ ...bounds })]);
}

/** Numbered datagrams, `rate` a second or as fast as can be. */
export function udpSend(where: Runner, target: Target, bounds: Bounds & { rate?: number } = {}): Promise<Sent> {
  return measure(where, Sent, ['udp-send', ...targetArgs(target), ...boundArgs({ ...bounds })]);
}

/** Starts counting numbered datagrams for `durationMs`; resolves when it listens. */
export async function udpReceive(
  where: Runner,
  options: { port: number; address?: string; durationMs: number; count?: number },
): Promise<{ result(): Promise<Received>; process: Background }> {
  const { port, address, ...bounds } = options;
  const at = address === undefined ? [] : ['--address', address];
  const command = [program(where), 'udp-recv', '--port', String(port), ...at, ...boundArgs({ ...bounds })];
  const process = where.start(command);
  await process.output(/ready/);
  return { process, result: async () => parse(Received, command, await process.exited) };
}

/** Keeps a conversation up; resolves when it is open. `result()` resolves when it is cut or its time is over. */
export async function holdOpen(
  where: Runner,
  target: Target,
  options: Bounds & { interval?: number } = {},
): Promise<{ result(): Promise<Conversation>; process: Background }> {
  const command = [program(where), 'hold-open', ...targetArgs(target), ...boundArgs({ ...options })];
  const process = where.start(command);
  await process.output(/ready/);
  return { process, result: async () => parse(Conversation, command, await process.exited) };
}

/**
 * Sends numbered datagrams to an echo server at a steady `rate` per second, until closed. `change(n)` resolves when the
 * n-th change is known; change 0 is how it began. A datagram is lost after `timeoutMs`.
 */
export function probe(
  where: Runner,
  target: Target,
  options: { readonly rate: number; readonly timeoutMs: number },
): { change(n: number, withinMs?: number): Promise<Change>; close(): void } {
  const args = ['probe', ...targetArgs(target), ...boundArgs({ ...options, durationMs: 3_600_000 })];
  const process = where.start([program(where), ...args]);
  return {
    async change(n, withinMs = 10_000) {
      const [text] = await process.output(new RegExp(`^(.+\\n){${n + 1}}`), withinMs);
      return Change.parse(JSON.parse(text.trimEnd().split('\n').at(-1)!));
    },
    close: () => process.close(),
  };
}

/**
 * Begins `count` conversations of datagrams with an echo server, `rate` a second, each from a port of its own: the next
 * after the one before. The first datagram is sent once; a second follows its answer. At most `parallel` (64 at most) wait
 * for their first answer at one time; all, unless told. Ends `timeoutMs` after the last should have begun.
 */
export function firsts(
  where: Runner,
  target: Target & { readonly sourcePort: number },
  bounds: { readonly count: number; readonly rate: number; readonly timeoutMs: number; readonly parallel?: number },
): Promise<Firsts> {
  return measure(where, Firsts, ['first', ...targetArgs(target), ...boundArgs({ ...bounds })]);
}

/** Sends the first half of `count` TCP handshakes, as fast as can be, and takes no part in the rest. */
export function syns(where: Runner, target: Target, count: number): Promise<Sent> {
  return measure(where, Sent, ['syn', ...targetArgs(target), ...boundArgs({ count })]);
}

/** Sends packets as they are: whole frames where an `interface` is named, else IP packets. */
export async function sendRaw(
  where: Runner,
  packets: readonly Buffer[],
  options: { interface?: string; count?: number } = {},
): Promise<{ sent: number; refused: number }> {
  const at = options.interface === undefined ? [] : ['--interface', options.interface];
  const command = [
    program(where),
    'raw',
    ...at,
    ...boundArgs(options.count === undefined ? {} : { count: options.count }),
  ];
  const input = packets.map((packet) => `${packet.toString('hex')}\n`).join('');
  return parse(RawSent, command, await where.attempt(command, { input }));
}

export interface Sniffer {
  /** Resolves when one like this was seen; rejects when none was in ten seconds. */
  seen(wanted: (frame: Buffer) => boolean): Promise<void>;
  /** Ends, and tells all that was seen. */
  frames(): Promise<Buffer[]>;
}

/** Starts listening to the frames an interface receives; `frames()` ends that and returns them. */
export async function sniff(where: Runner, ifname: string): Promise<Sniffer> {
  const process = where.start([program(where), 'sniff', '--interface', ifname, '--duration', '60000']);
  await process.output(/ready/);
  return {
    seen: (wanted) => waitFor('a frame', () => framesOf(process.stdout).some(wanted)),
    async frames() {
      process.close();
      return framesOf((await process.exited).stdout);
    },
  };
}

/** Whole lines only: the last one may still be on its way. */
function framesOf(stdout: string): Buffer[] {
  const lines = stdout.slice(0, stdout.lastIndexOf('\n') + 1).split('\n');
  return lines.flatMap((line) => (/^[0-9a-f]+$/.test(line) ? [Buffer.from(line, 'hex')] : []));
}
