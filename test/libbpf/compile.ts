import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

const OUT = resolve(import.meta.dirname, '../../build/test-bpf');

/** Compiles a BPF program of the tests unless that was done since it, or a header, changed; returns the object's path. */
export function compile(source: string, headers: readonly string[] = []): string {
  const object = join(OUT, basename(source).replace(/\.c$/, '.o'));
  const newest = Math.max(...[source, ...headers].map((path) => statSync(path).mtimeMs));
  if (existsSync(object) && statSync(object).mtimeMs > newest) return object;
  mkdirSync(OUT, { recursive: true });
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const flags = ['-g', '-O2', '-mcpu=v3', '-target', 'bpf', '-Wall', '-Werror', `-I/usr/include/${machine}-linux-gnu`];
  execFileSync('clang-19', [...flags, '-c', source, '-o', object], { stdio: ['ignore', 'ignore', 'inherit'] });
  return object;
}
