import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { makeProgram } from '../../src/cli/program.ts';
import { sallyport } from './terminal.ts';

const GOOD = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {namespace: shop, name: api}
spec:
  subject: {workload: Service/api}
  ingress: [{action: Allow, from: [{workload: Service/web}], ports: [{protocol: TCP, port: 80}]}]
`;

function everyCommand(command: Command, path: string[] = []): [path: string[], command: Command][] {
  return command.commands
    .filter((child) => !child.name().startsWith('_'))
    .flatMap((child): [string[], Command][] => {
      const here = [...path, child.name()];
      return child.commands.length > 0 ? everyCommand(child, here) : [[here, child]];
    });
}

describe('every command', () => {
  const program = makeProgram({ environment: {} } as never);
  for (const [path, command] of everyCommand(program)) {
    it(`${path.join(' ')} explains itself with examples that exist`, async () => {
      const { exit, out } = await sallyport([...path, '--help']);
      assert.equal(exit, 0);
      assert.match(out, /\nExamples:\n {2}sallyport /);
      assert.notEqual(command.description(), '');
      for (const option of command.options) assert.notEqual(option.description, '', option.flags);
      const [first] = /Examples:\n {2}sallyport ([a-z ]+)/.exec(out)?.slice(1) ?? [];
      assert.ok(first?.startsWith(path[0] ?? ''), first);
    });
  }
});

describe('the command line', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'sallyport-cli-'));
    writeFileSync(join(directory, 'good.yaml'), GOOD);
    writeFileSync(join(directory, 'bad.yaml'), GOOD.replace('port: 80', 'port: 70000'));
    writeFileSync(join(directory, 'ignored.txt'), 'not a policy');
  });
  after(() => rmSync(directory, { recursive: true }));
  const socket = (): string[] => ['--socket', join(directory, 'none.sock')];

  const usage: [name: string, words: string[], message: RegExp][] = [
    ['an unknown command', ['frobnicate'], /unknown command 'frobnicate'/],
    ['a misspelt one, with what was meant', ['statsu'], /Did you mean status\?/],
    ['an unknown option', ['status', '--frob'], /unknown option '--frob'/],
    ['a format that is none', ['status', '-o', 'xml'], /Allowed choices are table, wide, json, yaml, name/],
    ['a missing argument', ['endpoint', 'get'], /missing required argument 'name'/],
    ['an argument too many', ['status', 'now'], /too many arguments/],
    ['a time that is none', ['--timeout', 'soon', 'status'], /A whole number from 1 on is wanted/],
    ['a shell nobody has', ['completion', 'csh'], /Allowed choices are bash, zsh, fish/],
    ['no policy', ['policy', 'validate'], /No policy was given/],
    ['an unknown setting', ['agent', '--print-config', '--set', 'frob=1'], /no such setting/],
  ];
  for (const [name, words, message] of usage) {
    it(`refuses ${name} with exit code 2 and nothing on its output`, async () => {
      const { exit, out, err } = await sallyport(words);
      assert.equal(exit, 2, err);
      assert.equal(out, '');
      assert.match(err, message);
    });
  }

  it('says that no agent answers, what to do about it, and exits with 4', async () => {
    for (const words of [['status'], ['endpoint', 'list'], ['event', 'follow'], ['policy', 'get', 'x'], ['metrics']]) {
      const { exit, err } = await sallyport([...socket(), ...words]);
      assert.equal(exit, 4, words.join(' '));
      assert.match(err, /^error: The agent does not answer on .*none\.sock: .*ENOENT.*\nhint: is it running\?/);
    }
  });

  it('validates without an agent', async () => {
    const good = await sallyport(['policy', 'validate', join(directory, 'good.yaml')]);
    assert.deepEqual([good.exit, good.out], [0, '1 files with 1 policies are valid\n']);
    const stdin = await sallyport(['policy', 'validate', '-'], { input: GOOD });
    assert.equal(stdin.exit, 0);
    const bad = await sallyport(['policy', 'validate', directory]);
    assert.equal(bad.exit, 6);
    assert.match(bad.err, /bad\.yaml:6:\d+: spec\.ingress\[0\]\.ports\[0\]\.port: found 70000, wanted a port number/);
    assert.doesNotMatch(bad.err, /ignored/);
    assert.equal((await sallyport(['policy', 'validate', join(directory, 'absent.yaml')])).exit, 3);
  });

  it('takes warnings for errors when told to', async () => {
    const shadowed = GOOD.replace('ingress: [', 'ingress: [{action: Allow}, ');
    const lenient = await sallyport(['policy', 'validate', '-'], { input: shadowed });
    assert.equal(lenient.exit, 0);
    assert.match(lenient.err, /warning: .*rule/);
    assert.equal((await sallyport(['policy', 'validate', '--strict', '-'], { input: shadowed })).exit, 6);
  });

  it('prints the settings with the place each comes from', async () => {
    const words = ['agent', '--print-config', '--node', 'n1', '--set', 'metrics.topRules=3'];
    const { exit, out } = await sallyport(words, { environment: { SALLYPORT_DOMAIN: 'prod' } });
    assert.equal(exit, 0);
    assert.match(out, /^node: n1 # --set$/m);
    assert.match(out, /^domain: prod # SALLYPORT_DOMAIN$/m);
    assert.match(out, /^ {2}topRules: 3 # --set$/m);
    assert.match(out, /^ {2}address: 127\.0\.0\.1:9464$/m);
  });

  it('knows its version', async () => {
    assert.match((await sallyport(['--version'])).out, /^\d+\.\d+\.\d+\n$/);
    const { out } = await sallyport(['version', '--client', '-o', 'json']);
    assert.equal((JSON.parse(out) as { client: { node: string } }).client.node, process.version);
  });
});

describe('answers of an agent', () => {
  let directory: string;
  let server: Server;
  let answer: (response: ServerResponse) => void;
  before((done) => {
    directory = mkdtempSync(join(tmpdir(), 'sallyport-cli-'));
    server = createServer((_request, response) => answer(response)).listen(join(directory, 's'), done);
  });
  after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  });
  const ask = (...words: string[]) => sallyport(['--socket', join(directory, 's'), ...words]);
  const json = (status: number, value: unknown) => (response: ServerResponse) =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));

  const errors: [code: string, status: number, exit: number][] = [
    ['NOT_FOUND', 404, 3],
    ['AMBIGUOUS', 409, 3],
    ['FORBIDDEN', 403, 7],
    ['INVALID', 422, 6],
    ['NOT_READY', 503, 4],
    ['INTERNAL', 500, 1],
  ];
  for (const [code, status, exit] of errors) {
    it(`of code ${code} become exit code ${exit}, in the agent's words`, async () => {
      const faults = [{ file: 'a.yaml', line: 3, message: 'bad\u001b[2J' }];
      answer = json(status, { error: { code, message: 'no such thing', hint: 'look there', faults } });
      const shown = await ask('status');
      assert.equal(shown.exit, exit);
      assert.equal(shown.err, 'error: no such thing\n  a.yaml:3: bad\\u001b[2J\nhint: look there\n');
    });
  }

  it('that are no words of ours are shown as they are', async () => {
    answer = (response) => void response.writeHead(502).end('<html>proxy</html>');
    const { exit, err } = await ask('status');
    assert.equal(exit, 1);
    assert.match(err, /The agent answered 502: <html>proxy/);
  });

  it('that are cut short are an error, not an empty list', async () => {
    answer = (response) => {
      response.writeHead(200, { 'content-length': 100 }).write('[');
      response.socket?.destroy();
    };
    assert.equal((await ask('endpoint', 'list')).exit, 4);
  });

  it('that stream are printed as they come; what was lost is said', async () => {
    const event = { sequence: 1, time: 't', type: 'agent', severity: 'info', action: 'a', subject: 's', message: 'm' };
    answer = (response) => {
      const lines = [
        event,
        { type: 'heartbeat', time: 't' },
        { type: 'lost', time: 't', count: 7 },
        { ...event, sequence: 2 },
      ];
      response.writeHead(200);
      // In pieces that do not respect lines.
      for (const piece of lines
        .map((line) => `${JSON.stringify(line)}\n`)
        .join('')
        .match(/.{1,17}/gs) ?? [])
        response.write(piece);
      response.end();
    };
    const { exit, out, err } = await ask('event', 'follow', '-o', 'json');
    assert.equal(exit, 0);
    assert.deepEqual(
      out
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { sequence: number }).sequence),
      [1, 2],
    );
    assert.match(err, /^7 events were lost here/);
  });
});
