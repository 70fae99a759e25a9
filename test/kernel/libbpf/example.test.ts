import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { isAtLeast } from './sampler.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

/** The code of the document that begins with a comment naming its file. */
function block(document: string, file: string): string {
  const start = document.indexOf(`// ${file}\n`);
  assert.notEqual(start, -1, file);
  return document.slice(start, document.indexOf('\n```', start) + 1);
}

describe('The example of docs/libbpf-ts.md', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'example-'));
  });
  after(() => rmSync(directory, { recursive: true }));

  it('compiles, counts and tells of large packets', async function () {
    if (!isAtLeast('6.6')) this.skip(); // TCX
    this.timeout(60_000);
    const document = readFileSync(join(ROOT, 'docs/libbpf-ts.md'), 'utf8');
    symlinkSync(join(ROOT, 'src'), join(directory, 'src'));
    for (const file of ['example.bpf.c', 'example.ts']) writeFileSync(join(directory, file), block(document, file));
    const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
    const run = (command: string, ...args: string[]) =>
      execFileSync(command, args, { cwd: directory, encoding: 'utf8' });
    run(
      'clang-19',
      '-g',
      '-O2',
      '-target',
      'bpf',
      `-I/usr/include/${machine}-linux-gnu`,
      '-c',
      'example.bpf.c',
      '-o',
      'example.bpf.o',
    );
    run(process.execPath, join(ROOT, 'src/libbpf/generate-layouts.ts'), '--out', 'example.gen.ts', 'example.bpf.o');

    const child = spawn(process.execPath, [...process.execArgv, 'example.ts'], {
      cwd: directory,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
    const socket = createSocket('udp4');
    const traffic = setInterval(() => socket.send(Buffer.alloc(800), 9, '127.0.0.1'), 20);
    const [status] = await once(child, 'close');
    clearInterval(traffic);
    socket.close();
    assert.equal(status, 0, output);
    assert.match(output, /^interface 1: a packet of 842 bytes$/m);
    assert.match(output, /^interface 1: \d+ packets, \d+ bytes$/m);
  });
});
