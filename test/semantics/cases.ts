/**
 * Cases of policies in a cluster. A file under cases/ holds one YAML document a case, which begins with the cluster of
 * `threeByThree` and takes steps; after each, every line of `expect` says who may talk to whom, the later over the
 * earlier, and everybody else may:
 *
 *   deny|allow FROM -> TO [PROBE…]      patterns: pods are `x/a`, outsiders `@far`, `?/?` every pod of the beginning
 *
 * Policies are written `{kind, name, ns, spec}`; without a kind they are NetworkPolicies.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import * as z from 'zod';
import { globMatch } from '../../src/model/glob.ts';
import type { Cluster } from './cluster.ts';
import type { Probe } from './upstream.ts';

const labels = z.record(z.string(), z.string());

const policySchema = z.strictObject({
  kind: z.enum(['NetworkPolicy', 'ANP', 'BANP', 'WNP', 'CWNP']).default('NetworkPolicy'),
  name: z.string(),
  ns: z.string().optional(),
  spec: z.unknown(),
});

const podSchema = z.strictObject({
  pod: z.string(),
  labels: labels.optional(),
  address: z.string().optional(),
  owner: z.string().optional(),
  /** name: TCP/80 */
  ports: z.record(z.string(), z.string()).optional(),
});

const stepSchema = z.strictObject({
  /** Written anew where there is one of the name. */
  apply: z.array(policySchema).optional(),
  /** `name` or `ns/name`; of our kinds `WNP ns/name`. */
  remove: z.array(z.string()).optional(),
  pods: z.array(podSchema).optional(),
  gone: z.array(z.string()).optional(),
  namespaces: z.record(z.string(), labels).optional(),
  nodes: z.record(z.string(), z.strictObject({ labels, addresses: z.array(z.string()) })).optional(),
  expect: z.array(z.string()),
});

const caseSchema = stepSchema.partial().extend({
  case: z.string(),
  outsiders: z.record(z.string(), z.string()).optional(),
  probes: z.array(z.string()).optional(),
  /** Words of the problems that must be told; none may be told otherwise. */
  problems: z.array(z.string()).optional(),
  /** Why the reference is not asked. */
  beyond: z.string().optional(),
  /** The tables may deny what the policies allow. */
  stricter: z.boolean().default(false),
  steps: z.array(stepSchema).optional(),
});

export type Step = z.infer<typeof stepSchema>;
export type WrittenPolicy = z.infer<typeof policySchema>;

export interface Case {
  readonly file: string;
  readonly name: string;
  readonly outsiders: Readonly<Record<string, string>>;
  readonly probes: readonly Probe[];
  readonly problems: readonly string[];
  readonly beyond?: string;
  readonly stricter: boolean;
  readonly steps: readonly Step[];
}

const DIRECTORY = path.join(import.meta.dirname, 'cases');
const PROBES = ['TCP/80', 'TCP/81', 'UDP/80'];

export function loadCases(): Case[] {
  const files = readdirSync(DIRECTORY).filter((file) => file.endsWith('.yaml'));
  return files.sort().flatMap((file) =>
    parseAllDocuments(readFileSync(path.join(DIRECTORY, file), 'utf8')).map((document) => {
      const { error, data } = caseSchema.safeParse(document.toJS());
      if (error !== undefined) throw new TypeError(`${file}: ${String(document.toJS()?.case)}: ${error.message}`);
      const {
        case: name,
        outsiders = {},
        probes = PROBES,
        problems = [],
        beyond,
        stricter,
        steps = [],
        ...first
      } = data;
      const { expect } = first;
      const all = expect === undefined ? steps : [{ ...first, expect }, ...steps];
      const made = { file, name, outsiders, probes: probes.map(toProbe), problems, stricter, steps: all };
      return beyond === undefined ? made : { ...made, beyond };
    }),
  );
}

export function toProbe(text: string): Probe {
  const [protocol, port = '0'] = text.split('/');
  if (protocol !== 'TCP' && protocol !== 'UDP' && protocol !== 'SCTP' && protocol !== 'ICMP') {
    throw new TypeError(`no probe: ${text}`);
  }
  return { protocol, port: Number(port) };
}

export function formatProbe({ protocol, port }: Probe): string {
  return protocol === 'ICMP' ? protocol : `${protocol}/${port}`;
}

const LINE = /^(deny|allow) (\S+) -> (\S+)((?: \S+)*)$/;

/** The whole truth table, `from -> to probe` and whether they may; nobody talks to himself. */
export function expectedTable(
  cluster: Cluster,
  probes: readonly Probe[],
  lines: readonly string[],
): Map<string, boolean> {
  const table = new Map<string, boolean>();
  for (const [from, to, probe] of conversations(cluster, probes))
    table.set(`${from} -> ${to} ${formatProbe(probe)}`, true);
  for (const line of lines) {
    const [, verdict, source = '', destination = '', only = ''] = LINE.exec(line) ?? [];
    if (verdict === undefined) throw new TypeError(`not a line of a truth table: ${line}`);
    let met = 0;
    for (const [from, to, probe] of conversations(cluster, probes)) {
      const wanted = only.trim() === '' || only.trim().split(' ').includes(formatProbe(probe));
      if (!wanted || !globMatch(source, from) || !globMatch(destination, to)) continue;
      table.set(`${from} -> ${to} ${formatProbe(probe)}`, verdict === 'allow');
      met++;
    }
    if (met === 0) throw new TypeError(`a line of a truth table that is about nobody: ${line}`);
  }
  return table;
}

/** Between everybody and everybody else, outsiders among themselves left out. */
export function* conversations(cluster: Cluster, probes: readonly Probe[]): Generator<[string, string, Probe]> {
  for (const from of cluster.everybody) {
    for (const to of cluster.everybody) {
      if (from === to || !(cluster.pods.has(from.key) || cluster.pods.has(to.key))) continue;
      for (const probe of probes) yield [from.key, to.key, probe];
    }
  }
}
