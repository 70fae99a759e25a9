import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { FeatureFact } from './facts.ts';
import type { Check } from './judge.ts';

/** What was found out about the kernel's security hooks. */
export interface HardeningFacts {
  /** The modules that are asked, in their order; undefined: securityfs is not mounted. */
  readonly modules: readonly string[] | undefined;
  /** What the kernel was told at boot: `lsm=`. */
  readonly parameter: string | undefined;
  /** CONFIG_BPF_LSM; undefined: the kernel's configuration was not found. */
  readonly compiled: boolean | undefined;
  /** CONFIG_LSM: what is asked where no parameter says otherwise. */
  readonly preset: readonly string[] | undefined;
  /** Hooks that our programs want and the kernel does not have; a text: why that could not be found out. */
  readonly hooks: readonly string[] | string;
}

/** Looks around; changes nothing. @param objects directory of the compiled programs */
export async function gatherHardening(objects: string | undefined): Promise<HardeningFacts> {
  const list = await text('/sys/kernel/security/lsm');
  const parameter = /(?:^|\s)lsm=(\S*)/.exec(await text('/proc/cmdline'))?.[1];
  const config = await kernelConfig();
  const preset = /^CONFIG_LSM="(.*)"$/m.exec(config ?? '')?.[1];
  return {
    modules: list === '' ? undefined : names(list),
    parameter,
    compiled: config === undefined ? undefined : /^CONFIG_BPF_LSM=y$/m.test(config),
    preset: preset === undefined ? undefined : names(preset),
    hooks: await missingHooks(objects),
  };
}

const names = (list: string): string[] =>
  list
    .trim()
    .split(',')
    .filter((name) => name !== '');

async function kernelConfig(): Promise<string | undefined> {
  const packed = await readFile('/proc/config.gz').catch(() => undefined);
  if (packed !== undefined) return gunzipSync(packed).toString('latin1');
  const plain = await text(`/boot/config-${release()}`);
  return plain === '' ? undefined : plain;
}

async function missingHooks(objects: string | undefined): Promise<readonly string[] | string> {
  const path = join(objects ?? '', 'harden.bpf.o');
  if (objects === undefined || !existsSync(path)) return 'the program is not built';
  const btf = await readFile('/sys/kernel/btf/vmlinux').catch(() => undefined);
  if (btf === undefined) return 'the kernel does not tell its types';
  try {
    const { openObject } = await import('../../libbpf/index.ts');
    const object = openObject(path);
    try {
      const hooks = [...object.programs.values()].flatMap(
        ({ section }) => /^lsm(?:\.s)?\/(\w+)/.exec(section)?.[1] ?? [],
      );
      // A hook is a function that BPF programs can take the place of; its name stands among the kernel's.
      return [...new Set(hooks)].filter((hook) => btf.indexOf(`\0bpf_lsm_${hook}\0`, 0, 'latin1') < 0).sort();
    } finally {
      object.close();
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function text(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '');
}

/** What it means: pure. @param probe what came of attaching a program to a hook and going through it */
export function judgeHardening(facts: HardeningFacts, probe: FeatureFact | undefined): Check[] {
  const name = 'hardening';
  if (probe === undefined) return []; // without the binding, which is said elsewhere
  if (!probe.supported) return [{ name, state: 'warn', ...reasonOf(facts, probe) }];
  const { hooks, modules } = facts;
  const order = modules === undefined ? '' : `; asked are ${modules.join(', ')}`;
  const checks: Check[] = [{ name, state: 'ok', found: `BPF LSM programs load, attach and are asked${order}` }];
  if (typeof hooks === 'string') checks.push({ name: 'hardening hooks', state: 'info', found: `not known: ${hooks}` });
  else if (hooks.length === 0) checks.push({ name: 'hardening hooks', state: 'ok', found: 'all there' });
  else {
    checks.push({
      name: 'hardening hooks',
      state: 'info',
      found: `the kernel has no ${hooks.join(', ')}: what only they would see is judged elsewhere, or not`,
    });
  }
  return checks;
}

const NOT = 'hardening policies are not enforced';

function reasonOf(facts: HardeningFacts, probe: FeatureFact): Pick<Check, 'found' | 'hint'> {
  if (facts.compiled === false) {
    return {
      found: `${NOT}: the kernel was built without BPF LSM`,
      hint: 'run a kernel with CONFIG_BPF_LSM=y, as those of Debian, Ubuntu and Fedora are',
    };
  }
  const asked = facts.modules ?? (facts.parameter === undefined ? facts.preset : names(facts.parameter));
  if (asked !== undefined && !asked.includes('bpf')) {
    const where = facts.parameter === undefined ? 'add to the kernel parameters' : 'change the kernel parameter to';
    const wanted = `lsm=${[...asked.filter((one) => one !== 'capability'), 'bpf'].join(',')}`;
    return {
      found: `${NOT}: bpf is not among the security modules that are asked (${asked.join(', ') || 'none'})`,
      hint: `${where} ${wanted} (Debian: GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub) and boot`,
    };
  }
  const reason = probe.reason ?? 'not there';
  return {
    found: `${NOT}: ${reason}`,
    ...(asked === undefined
      ? {
          hint: 'mount -t securityfs securityfs /sys/kernel/security, and look again: it tells the modules that are asked',
        }
      : {
          hint: 'bpf is among the security modules; the kernel refuses its programs: it may have been built without patching of its text (fentry), or be locked down',
        }),
  };
}
