/**
 * Truth tables: worlds, policies, and what each question must come to. The same cases are asked of the evaluator, of
 * the compiled tables, and of the kernel.
 *
 * A file under cases/ holds one YAML document a case; world.yaml the identities that all of them have. In a row,
 * `from` asks about ingress and `to` about egress of `at`; a peer is the name of an identity, `host`, `world` or
 * `unlisted` (some identity that no set lists), with another address than its own behind it where that matters. `by`
 * is policy/rule, `nothing` where no rule decided. What is staged is as enforced where it is not given.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments, stringify } from 'yaml';
import * as z from 'zod';
import type { KnownIdentity, Question } from '../../src/compile/input.ts';
import { type Address, parseAddress } from '../../src/model/address.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import { API_VERSION, type Direction, type Policy } from '../../src/model/policy.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';
import { formatProblem } from '../../src/model/problem.ts';
import { parseProtocol } from '../../src/model/protocol.ts';
import { Slot } from '../../src/model/slot.ts';
import type { Action } from '../../src/model/verdict.ts';
import { parseWorkload } from '../../src/model/workload.ts';

/** A rule by its policy's name, with or without namespace, and its own; `direction` is the question's. */
export interface ExpectedRule {
  readonly policy: string;
  readonly rule: string;
}

export interface Check {
  /** As written, for messages. */
  readonly text: string;
  readonly direction: Direction;
  /** Name of the identity at which is asked. */
  readonly at: string;
  /** Name of an identity, `host`, `world` or `unlisted`. */
  readonly peer: string;
  readonly question: Question & { readonly peer: { readonly address: Address } };
  readonly verdict: Action;
  /** Absent where no rule decides. */
  readonly by?: ExpectedRule;
  readonly stagedVerdict: Action;
  readonly stagedBy?: ExpectedRule;
}

export interface Case {
  readonly file: string;
  readonly name: string;
  /** By slot. */
  readonly identities: ReadonlyMap<number, KnownIdentity>;
  /** By name. */
  readonly slots: ReadonlyMap<string, number>;
  readonly addresses: ReadonlyMap<string, Address>;
  readonly policies: readonly Policy[];
  readonly checks: readonly Check[];
}

const identitySchema = z.strictObject({
  workload: z.string(),
  container: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  /** name: TCP/80 */
  ports: z.record(z.string(), z.string()).optional(),
  address: z.string(),
});

const actionSchema = z.enum(['Allow', 'Deny', 'Alert']);

const rowSchema = z.strictObject({
  at: z.string(),
  from: z.string().optional(),
  to: z.string().optional(),
  port: z.string(),
  is: actionSchema,
  by: z.string(),
  staged: actionSchema.optional(),
  stagedBy: z.string().optional(),
});

const caseSchema = z.strictObject({
  case: z.string(),
  identities: z.record(z.string(), identitySchema).optional(),
  policies: z.array(z.looseObject({ name: z.string(), namespace: z.string().optional(), kind: z.string().optional() })),
  truth: z.array(rowSchema).min(1),
});

type Row = z.infer<typeof rowSchema>;

/** The slot of an identity that no set lists. */
export const UNLISTED_SLOT = 60_000;

const RESERVED: Readonly<Record<string, number>> = { host: Slot.Host, world: Slot.World, unlisted: UNLISTED_SLOT };

const DIRECTORY = path.join(path.dirname(fileURLToPath(import.meta.url)), 'cases');

/** Every case of every file, in the order of the files' names. */
export function loadCases(): Case[] {
  const world = z
    .record(z.string(), identitySchema)
    .parse(parse(readFileSync(path.join(DIRECTORY, 'world.yaml'), 'utf8')));
  const files = readdirSync(DIRECTORY).filter((file) => file.endsWith('.yaml') && file !== 'world.yaml');
  return files.sort().flatMap((file) =>
    parseAllDocuments(readFileSync(path.join(DIRECTORY, file), 'utf8')).map((document) => {
      const written = caseSchema.parse(document.toJS());
      try {
        return toCase(file, { ...world, ...written.identities }, written);
      } catch (error) {
        throw new TypeError(`case "${written.case}" of ${file}: ${String(error)}`, { cause: error });
      }
    }),
  );
}

function toCase(
  file: string,
  people: Record<string, z.infer<typeof identitySchema>>,
  written: z.infer<typeof caseSchema>,
): Case {
  const names = Object.keys(people);
  const slots = new Map(names.map((name, i) => [name, Slot.First + i]));
  const addresses = new Map(Object.entries(people).map(([name, one]) => [name, addressOf(one.address)]));
  const identities = new Map(Object.values(people).map((one, i) => [Slot.First + i, toIdentity(one)]));
  const policies = toPolicies(written.policies);
  const checks = written.truth.map((row) => toCheck(row, slots, addresses));
  return { file, name: written.case, identities, slots, addresses, policies, checks };
}

function toIdentity(written: z.infer<typeof identitySchema>): KnownIdentity {
  const workload = parseWorkload(written.workload);
  if (workload === undefined) throw new TypeError(`bad workload ${written.workload}`);
  const { container = 'app', labels = {} } = written;
  const ports = Object.entries(written.ports ?? {}).map(([name, text]) => {
    const [protocol, port] = text.split('/');
    if (protocol !== 'TCP' && protocol !== 'UDP' && protocol !== 'SCTP') throw new TypeError(`bad port ${text}`);
    return { name, protocol, port: Number(port) } as const;
  });
  return { ...deriveIdentity('cases', { workload, container, labels }), ports };
}

/** `name`, `namespace` and `kind` beside the fields of the spec. */
function toPolicies(written: z.infer<typeof caseSchema>['policies']): Policy[] {
  const text = written
    .map(({ name, namespace, kind = 'WorkloadNetworkPolicy', ...spec }) => {
      const metadata = kind === 'WorkloadNetworkPolicy' ? { name, namespace: namespace ?? 'shop' } : { name };
      return stringify({ apiVersion: API_VERSION, kind, metadata, spec });
    })
    .join('---\n');
  const { policies, problems } = parsePolicyFile('policies', Buffer.from(text));
  if (problems.length > 0) throw new TypeError(problems.map(formatProblem).join('\n'));
  return policies.map(({ policy }) => policy);
}

function toCheck(row: Row, slots: ReadonlyMap<string, number>, addresses: ReadonlyMap<string, Address>): Check {
  const [peer = '', address] = (row.from ?? row.to ?? '').split(' ');
  const subject = slots.get(row.at);
  const slot = RESERVED[peer] ?? slots.get(peer);
  const at = address === undefined ? addresses.get(peer) : addressOf(address);
  if ((row.from === undefined) === (row.to === undefined)) throw new TypeError('a row needs one of from and to');
  if (subject === undefined || slot === undefined) throw new TypeError(`nobody is called ${row.at} or ${peer}`);
  if (at === undefined) throw new TypeError(`${peer} needs an address`);
  const [by, stagedBy] = [toRule(row.by), toRule(row.stagedBy ?? row.by)];
  return {
    text: JSON.stringify(row),
    direction: row.from === undefined ? 'egress' : 'ingress',
    at: row.at,
    peer,
    question: {
      subject,
      direction: row.from === undefined ? 'egress' : 'ingress',
      peer: { slot, address: at },
      ...toPort(row.port),
    },
    verdict: row.is,
    stagedVerdict: row.staged ?? row.is,
    ...(by === undefined ? {} : { by }),
    ...(stagedBy === undefined ? {} : { stagedBy }),
  };
}

/** `TCP/80`, `ICMP/8` (type), `47` (protocol without ports). */
function toPort(text: string): { protocol: number; port: number } {
  const [name = '', port = '0'] = text.split('/');
  const protocol = parseProtocol(/^\d+$/.test(name) ? Number(name) : name);
  if (protocol === undefined) throw new TypeError(`bad port ${text}`);
  return { protocol, port: Number(port) };
}

function toRule(text: string): ExpectedRule | undefined {
  if (text === 'nothing') return undefined;
  const slash = text.lastIndexOf('/');
  if (slash < 0) throw new TypeError(`a rule is policy/rule: ${text}`);
  return { policy: text.slice(0, slash), rule: text.slice(slash + 1) };
}

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(`bad address ${text}`);
  return address;
}

/** Whether a rule of the tables or of an evaluation is the expected one. */
export function isExpected(expected: ExpectedRule, found: { readonly policy: string; readonly name: string }): boolean {
  const named = found.policy === expected.policy || found.policy.endsWith(`/${expected.policy}`);
  return named && found.name === expected.rule;
}
