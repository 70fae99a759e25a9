/**
 * What hardening costs who is hardened: in one virtual machine, because not every kernel lets security programs be
 * loaded. The emulator counts instructions, and its clock goes by them: one nanosecond each.
 */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ExecutableBits } from '../../src/hardening/executables.ts';
import { compileProfile } from '../../src/hardening/profile.ts';
import { run } from '../../test/rig/process.ts';
import { compileAppArmor } from '../lsm/apparmor.ts';
import { type Deed, MARK, type Plan, type Reading, type Turn } from '../lsm/plan.ts';
import { hardeningPolicy, RULE_COUNTS } from '../lsm/rules.ts';
import type { BenchRecord, ScenarioName, SubjectName } from '../record.ts';
import { median, round } from '../statistics.ts';

const LIBRARY = '/bench/usr/lib/x86_64-linux-gnu/libapp.so.6';

const DEEDS: readonly Deed[] = [
  { scenario: 'lsm-open', what: 'open', samples: 7, operations: 100, path: LIBRARY },
  { scenario: 'lsm-stat', what: 'stat', samples: 7, operations: 100, path: LIBRARY },
  { scenario: 'lsm-exec', what: 'exec', samples: 7, operations: 4 },
  { scenario: 'lsm-connect', what: 'connect', samples: 7, operations: 20 },
  { scenario: 'lsm-build', what: 'build', samples: 3, operations: 1, path: '/bench/src' },
];
export const LSM_SCENARIOS: readonly ScenarioName[] = DEEDS.map(({ scenario }) => scenario);

const REPOSITORY = join(import.meta.dirname, '../..');
const BUILD = join(REPOSITORY, 'build/bench-lsm');
const KERNEL = '6.12';
const ROUNDS = 5;
const TIMEOUT_MS = 1_800_000;

export async function lsm(
  scenarios: readonly ScenarioName[],
  subjects: readonly SubjectName[],
  rounds: number = ROUNDS,
): Promise<BenchRecord[]> {
  rmSync(BUILD, { recursive: true, force: true });
  mkdirSync(BUILD, { recursive: true });
  const plan: Plan = {
    directory: BUILD,
    objects: join(REPOSITORY, 'dist/bpf'),
    turns: await prepare(subjects),
    deeds: DEEDS.filter(({ scenario }) => scenarios.includes(scenario)),
    rounds,
  };
  return summarize(await measure(plan), plan);
}

/** Puts together what each turn needs, and says whose turn it can be. */
async function prepare(subjects: readonly SubjectName[]): Promise<Turn[]> {
  const flags = ['-std=gnu17', '-D_GNU_SOURCE', '-O2', '-Wall', '-Wextra', '-Werror', '-static'];
  await run(['gcc', ...flags, '-o', join(BUILD, 'load'), join(REPOSITORY, 'bench/lsm/load.c')]);
  const turns: Turn[] = [{ subject: 'nothing', rules: 0 }];
  if (subjects.includes('sallyport')) {
    turns.push({ subject: 'sallyport', rules: 0 });
    for (const rules of RULE_COUNTS) {
      const { pages } = compileProfile([hardeningPolicy(rules)], {
        executables: new ExecutableBits(),
        ready: new Map(),
      });
      writeFileSync(join(BUILD, `sallyport-${rules}`), Buffer.concat(pages));
      turns.push({ subject: 'sallyport', rules });
    }
  }
  if (subjects.includes('apparmor')) {
    for (const rules of RULE_COUNTS) {
      if (await compileAppArmor(rules, join(BUILD, `apparmor-${rules}`))) turns.push({ subject: 'apparmor', rules });
      else process.stderr.write(`  apparmor with ${rules} rules is left out: its compiler is not to be had\n`);
    }
  }
  return turns;
}

async function measure(plan: Plan): Promise<Reading[]> {
  const file = join(BUILD, 'plan.json');
  writeFileSync(file, JSON.stringify(plan));
  // One CPU: its instructions are those of the program that is measured, and of nobody beside it.
  const env = {
    SMP: '1',
    QEMU: '-icount shift=0,sleep=off',
    APPEND: 'lsm=landlock,lockdown,yama,apparmor,bpf',
    TIMEOUT: String(TIMEOUT_MS / 1000),
  };
  const command = `node bench/lsm/guest.ts ${file}`;
  const printed = await run([join(REPOSITORY, 'test/vm/run'), KERNEL, command], {
    cwd: REPOSITORY,
    env,
    timeout: TIMEOUT_MS,
  });
  return printed
    .split('\n')
    .filter((line) => line.startsWith(MARK))
    .map((line) => JSON.parse(line.slice(MARK.length)) as Reading);
}

function summarize(readings: readonly Reading[], { deeds, turns }: Plan): BenchRecord[] {
  return deeds.flatMap(({ scenario }) =>
    turns.map((turn): BenchRecord => {
      const own = readings.filter(
        (one) => one.scenario === scenario && one.subject === turn.subject && one.rules === turn.rules,
      );
      const ratios = own.flatMap(({ round: number, nanoseconds }) => {
        const reference = readings.find(
          (one) => one.scenario === scenario && one.subject === 'nothing' && one.round === number,
        );
        return reference === undefined ? [] : [nanoseconds / reference.nanoseconds];
      });
      return {
        scenario,
        ...turn,
        metric: 'instructions',
        unit: '',
        value: round(median(own.map(({ nanoseconds }) => nanoseconds))),
        ratio: ratios.length === 0 ? null : round(median(ratios)),
      };
    }),
  );
}
