/**
 * In the virtual machine: measures, in rounds in which everybody has a turn, and prints readings. Argument: the plan.
 * What is opened and run lies on an overlay, as a container's files do, over memory: no device is waited for.
 */

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readAnchors } from '../../src/sources/anchors.ts';
import { Cgroup, cgroup2Mount } from '../../test/rig/cgroup.ts';
import { median } from '../statistics.ts';
import { type Deed, MARK, type Plan, type Reading, type Turn } from './plan.ts';
import { appArmorName } from './rules.ts';
import { SecurityPrograms } from './security-programs.ts';

/** Where everything lies that is measured, and what of it is opened: as deep as libraries lie. */
const ROOT = '/bench';

const plan = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as Plan;
const program = join(ROOT, 'usr/bin/load');

function prepare(): void {
  const mount = (...words: readonly string[]): unknown => execFileSync('mount', words);
  mkdirSync('/layers');
  mount('-t', 'tmpfs', 'none', '/layers');
  for (const name of ['lower', 'upper', 'work']) mkdirSync(join('/layers', name));
  for (const path of [program, ...plan.deeds.flatMap(({ path, what }) => (what === 'build' ? [] : (path ?? [])))]) {
    const below = join('/layers/lower', path.slice(ROOT.length));
    mkdirSync(dirname(below), { recursive: true });
    copyFileSync(join(plan.directory, 'load'), below);
  }
  mkdirSync(ROOT);
  mount('-t', 'overlay', '-o', 'lowerdir=/layers/lower,upperdir=/layers/upper,workdir=/layers/work', 'none', ROOT);
  for (const { subject, rules } of plan.turns) {
    // The kernel takes a profile by one write.
    if (subject === 'apparmor') {
      const profile = readFileSync(join(plan.directory, `apparmor-${rules}`));
      writeFileSync('/sys/kernel/security/apparmor/.load', profile);
    }
  }
}

function samples({ what, samples: count, operations, path }: Deed, before: readonly string[]): number[] {
  const words = [...before, what, String(count), String(operations), ...(path === undefined ? [] : [path])];
  const printed = execFileSync(program, words, { encoding: 'utf8' });
  return printed.split('\n').filter(Boolean).map(Number);
}

const cgroups = new Map<string, Cgroup>();

/** Everybody runs in a cgroup of his own; only Sallyport's are told to the kernel. */
function cgroupOf({ subject, rules }: Turn): Cgroup {
  const name = `bench-${subject}-${rules}`;
  const cgroup = cgroups.get(name) ?? new Cgroup(name);
  cgroups.set(name, cgroup);
  return cgroup;
}

function options(turn: Turn): string[] {
  const confined = turn.subject === 'apparmor' ? ['--confine', appArmorName(turn.rules)] : [];
  return ['--cgroup', cgroupOf(turn).path, ...confined];
}

async function harden(): Promise<SecurityPrograms> {
  const hardened = plan.turns.filter(({ subject, rules }) => subject === 'sallyport' && rules > 0);
  const programs = new SecurityPrograms(plan.objects, cgroup2Mount());
  const containers = hardened.map((turn) => {
    const cgroup = cgroupOf(turn);
    const bytes = readFileSync(join(plan.directory, `sallyport-${turn.rules}`));
    return { rules: turn.rules, path: cgroup.name, id: cgroup.id, bytes };
  });
  await programs.harden(containers, () => readAnchors('/proc', [process.pid], ownCgroup()));
  return programs;
}

function ownCgroup(): string {
  const line = readFileSync('/proc/self/cgroup', 'latin1')
    .split('\n')
    .find((one) => one.startsWith('0::'));
  return line!.slice(3);
}

async function main(): Promise<void> {
  prepare();
  const programs = plan.turns.some(({ subject }) => subject === 'sallyport') ? await harden() : undefined;
  for (let round = 0; round < plan.rounds; round++) {
    const first = round % plan.turns.length;
    for (const turn of [...plan.turns.slice(first), ...plan.turns.slice(0, first)]) {
      // Whoever else is measured is measured without our programs, as if they had never been loaded.
      if (turn.subject === 'sallyport') programs?.attach();
      else programs?.detach();
      for (const deed of plan.deeds) {
        const nanoseconds = median(samples(deed, options(turn)));
        const reading: Reading = { ...turn, scenario: deed.scenario, round, nanoseconds };
        console.log(`${MARK}${JSON.stringify(reading)}`);
      }
    }
  }
  programs?.close();
}

await main();
