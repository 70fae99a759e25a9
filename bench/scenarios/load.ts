/** How long it takes to bring a whole rule set into force: the decision tables alone, and the others' loaders. */

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Compiler } from '../../src/compile/compiler.ts';
import { diff, EMPTY_TABLES } from '../../src/compile/diff.ts';
import type { KnownIdentity } from '../../src/compile/input.ts';
import type { PolicyTables } from '../../src/compile/tables.ts';
import { applyPolicyPlan } from '../../src/datapath/policy-tables.ts';
import { loadPrograms } from '../../src/datapath/programs.ts';
import { mountBpffs } from '../../src/libbpf/index.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';
import { Slot } from '../../src/model/slot.ts';
import { parseWorkload } from '../../src/model/workload.ts';
import { uniqueName } from '../../test/rig/names.ts';
import { manyRules } from '../policies.ts';
import type { BenchRecord, SubjectName } from '../record.ts';
import { median, round } from '../statistics.ts';
import { type Subject, timed } from '../subject.ts';
import { iptables } from '../subjects/iptables.ts';
import { nftables } from '../subjects/nftables.ts';
import { CLIENT, SERVER, sizesFor } from '../subjects/sallyport.ts';
import { createTopology } from '../topology.ts';

const ROUNDS = 5;
const OBJECTS = join(import.meta.dirname, '../../dist/bpf');

export async function load(subjects: readonly SubjectName[]): Promise<BenchRecord[]> {
  const records: BenchRecord[] = [];
  for (const rules of [1_000, 10_000, 100_000]) {
    if (subjects.includes('sallyport')) records.push(...(await loadTables(rules)));
    if (subjects.includes('iptables')) records.push(await loadWith(iptables(rules)));
    if (subjects.includes('nftables')) records.push(await loadWith(nftables(rules)));
  }
  return records;
}

/** Policies to values, and values to the kernel, each by itself; every time into new, empty maps. */
async function loadTables(rules: number): Promise<BenchRecord[]> {
  const identities = new Map([CLIENT, SERVER].map((name, index) => [Slot.First + index, identityOf(name)]));
  const policies = manyRules(rules, SERVER, CLIENT.split('/').slice(1).join('/')).flatMap(({ file, text }) => {
    const parsed = parsePolicyFile(file, Buffer.from(text));
    if (parsed.problems.length > 0) throw new Error(`bench: ${JSON.stringify(parsed.problems[0])}`);
    return parsed.policies.map(({ policy }) => policy);
  });
  const compiled: number[] = [];
  const applied: number[] = [];
  for (let turn = 0; turn < ROUNDS; turn += 1) {
    let tables: PolicyTables = EMPTY_TABLES;
    compiled.push(
      await timed(async () => {
        tables = new Compiler().compile({ policies, identities });
      }),
    );
    applied.push(intoKernel(rules, tables));
  }
  const common = { scenario: 'load', subject: 'sallyport', rules, unit: 'ms', ratio: null } as const;
  return [
    { ...common, metric: 'apply', value: round(median(applied)) },
    { ...common, metric: 'compile', value: round(median(compiled)) },
  ];
}

function identityOf(name: string): KnownIdentity {
  const workload = parseWorkload(name);
  if (!workload) throw new Error(`bench: not a workload: ${name}`);
  return { ...deriveIdentity('bench', { workload, container: workload.name, labels: {} }), ports: [] };
}

/** Milliseconds to write whole tables. */
function intoKernel(rules: number, tables: PolicyTables): number {
  mountBpffs('/sys/fs/bpf');
  const pins = join('/sys/fs/bpf', uniqueName('load'));
  mkdirSync(pins);
  const sizes = {
    flows: 1024,
    subjects: 1024,
    endpoints: 64,
    peers: 262_144,
    networks: 0,
    ports: 0,
    ...sizesFor(rules),
  };
  const events = { ratePerSecond: 1, burst: 1 };
  const programs = loadPrograms({ objects: OBJECTS, pins, cgroupRoot: '/', sizes, events });
  try {
    const start = process.hrtime.bigint();
    applyPolicyPlan(programs.tables, diff(EMPTY_TABLES, tables), () => {});
    return Number(process.hrtime.bigint() - start) / 1e6;
  } finally {
    programs.close();
    rmSync(pins, { recursive: true, force: true });
  }
}

async function loadWith(subject: Subject): Promise<BenchRecord> {
  const took: number[] = [];
  for (let turn = 0; turn < ROUNDS; turn += 1) {
    const topology = await createTopology(`${subject.name}-load`);
    try {
      took.push(await subject.setUp(topology));
    } finally {
      subject.tearDown();
      topology.close();
    }
  }
  const { name, rules } = subject;
  return {
    scenario: 'load',
    subject: name,
    rules,
    metric: 'apply',
    unit: 'ms',
    value: round(median(took)),
    ratio: null,
  };
}
