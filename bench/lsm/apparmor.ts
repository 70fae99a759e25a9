/** AppArmor's profiles, compiled on this machine: under emulation it would take minutes. */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attempt, run } from '../../test/rig/process.ts';
import { appArmorProfile } from './rules.ts';

const CACHE = join(import.meta.dirname, '../../.cache');

/**
 * AppArmor's compiler: the machine's own, else that of Debian's package, unpacked and not installed.
 * @returns undefined where there is none to be had
 */
async function findParser(): Promise<string | undefined> {
  const own = await attempt(['sh', '-c', 'command -v apparmor_parser']);
  if (own.status === 0) return own.stdout.trim();
  const unpacked = join(CACHE, 'apparmor');
  const parser = join(unpacked, 'sbin/apparmor_parser');
  if (existsSync(parser)) return parser;
  mkdirSync(CACHE, { recursive: true });
  const partial = mkdtempSync(join(CACHE, 'apparmor-'));
  try {
    const { status } = await attempt(['apt-get', '-q', 'download', 'apparmor'], { cwd: partial, timeout: 120_000 });
    const [file] = readdirSync(partial).filter((name) => name.endsWith('.deb'));
    if (status !== 0 || file === undefined) return undefined;
    await run(['dpkg', '-x', join(partial, file), join(partial, 'root')]);
    renameSync(join(partial, 'root'), unpacked);
    return parser;
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

/** What kernels since 5.4 mediate: newer ones load it. */
const FEATURES = 'etc/apparmor.d/abi/kernel-5.4-vanilla';

/**
 * Writes the profile of N rules as the kernel loads it.
 * @returns false where AppArmor's compiler is not to be had
 */
export async function compileAppArmor(rules: number, output: string): Promise<boolean> {
  const parser = await findParser();
  if (parser === undefined) return false;
  const features = [join(CACHE, 'apparmor', FEATURES), `/${FEATURES}`].find((path) => existsSync(path));
  const source = `${output}.txt`;
  writeFileSync(source, appArmorProfile(rules));
  const words = [parser, ...(features === undefined ? [] : ['-M', features]), '-Q', '-K', '-o', output, source];
  await run(words, { timeout: 300_000 });
  return existsSync(output);
}
