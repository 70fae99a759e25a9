import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { type Completion, complete } from '../../src/cli/completion/complete.ts';
import { SCRIPTS } from '../../src/cli/completion/scripts.ts';
import { makeProgram } from '../../src/cli/program.ts';
import { sallyport } from './terminal.ts';

const program = makeProgram({ environment: {} } as never);
const at = (...words: string[]): Completion => complete(program, words);
const texts = (completion: Completion): string[] => completion.candidates.map(({ text }) => text);

describe('completion', () => {
  it('offers commands, with what they do', () => {
    const { candidates } = at('');
    assert.ok(
      candidates.some(
        ({ text, description }) =>
          text === 'policy' && description === 'who may talk to whom, and what containers may do',
      ),
    );
    assert.ok(!texts(at('')).includes('__complete'));
    assert.deepEqual(texts(at('po')), ['policy']);
  });

  it('offers the commands of a noun, also by its short name', () => {
    assert.deepEqual(texts(at('map', '')), ['list', 'dump', 'get', 'update', 'delete']);
    assert.deepEqual(texts(at('pol', 'ex')), ['explain']);
    assert.deepEqual(at('map', 'list', '').candidates, []);
  });

  it('offers options of the command and of the program', () => {
    const options = texts(at('endpoint', 'list', '--'));
    for (const option of ['--output', '--no-headers', '--namespace', '--socket'])
      assert.ok(options.includes(option), option);
  });

  it('offers the values an option may have', () => {
    assert.deepEqual(texts(at('endpoint', 'list', '-o', '')), ['table', 'wide', 'json', 'yaml', 'name']);
    assert.deepEqual(texts(at('status', '--output', 'j')), ['json']);
    assert.deepEqual(texts(at('completion', '')), ['bash', 'zsh', 'fish']);
  });

  it('asks for the names that belong in a place', () => {
    assert.equal(at('endpoint', 'get', '').names, 'endpoint');
    assert.equal(at('policy', 'delete', 'a', '').names, 'policy');
    assert.equal(at('policy', 'explain', 'web', '').names, 'workload');
    assert.equal(at('endpoint', 'list', '-n', '').names, 'namespace');
    assert.equal(at('map', 'dump', '').names, 'map');
    assert.equal(at('policy', 'explain', 'web', 'api', '').names, undefined);
  });

  it('leaves files to the shell', () => {
    assert.equal(at('policy', 'apply', '-f', '').files, true);
    assert.equal(at('agent', '--config', '').files, true);
  });

  it('answers shells in lines, without an agent too', async () => {
    const { exit, out } = await sallyport(['--socket', '/nonexistent', '__complete', '--', 'map', 'du']);
    assert.equal(exit, 0);
    assert.equal(out, 'dump\tprint the entries of a map\n');
    assert.equal((await sallyport(['__complete', '--', 'policy', 'apply', '-f', ''])).out, ':files\n');
    const maps = (await sallyport(['__complete', '--', 'map', 'get', 'po'])).out;
    assert.equal(maps, 'ports\t\nport_ranges\t\n');
    const none = await sallyport(['--socket', '/nonexistent', '__complete', '--', 'endpoint', 'get', '']);
    assert.deepEqual(none, { exit: 0, out: '', err: '' });
  });

  it('works in bash', () => {
    const script = `${SCRIPTS.bash}
      sallyport() { [ "$*" = "__complete -- policy ap" ] && printf 'apply\\tx\\nap ple\\ty\\n'; }
      COMP_WORDS=(sallyport policy ap); COMP_CWORD=2; _sallyport; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
    assert.equal(stderr, '');
    assert.equal(stdout, 'apply\nap\\ ple\n');
  });
});
