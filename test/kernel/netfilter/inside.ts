/**
 * Tests that run inside a network namespace: a queue belongs to the namespace of its process. mocha runs the file a
 * second time, in a namespace of its own, and what came of each test there is told here under its name.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Namespace } from '../../rig/netns.ts';
import { type Kind, ResidueError, residue, type Snapshot, takeSnapshot } from '../../rig/residue.ts';

const INSIDE = 'SALLYPORT_TEST_INSIDE';
const MOCHA = resolve(import.meta.dirname, '../../../node_modules/mocha/bin/mocha.js');

interface Result {
  readonly fullTitle: string;
  readonly err: { readonly message?: string; readonly stack?: string };
}

interface Report {
  readonly tests: readonly Result[];
  readonly passes: readonly Result[];
  readonly failures: readonly Result[];
  readonly pending: readonly Result[];
}

/** As `describe`, in a namespace of its own. `file` is the test file's name. */
export function describeInside(title: string, file: string, body: (this: Mocha.Suite) => void): void {
  // A VM's own namespace is as good, and a second mocha takes minutes there.
  if (process.env[INSIDE] !== undefined || process.env.SALLYPORT_VM !== undefined) {
    describe(title, function () {
      const { beforeAll, afterAll } = namespaceHooks();
      before(beforeAll);
      body.call(this);
      after(afterAll);
    });
    return;
  }
  describe(title, function () {
    body.call(this);
    forgetHooks(this);
    let report: Report | undefined;
    let said = '';
    before(async function () {
      this.timeout(900_000);
      const namespace = await Namespace.create('inside');
      const directory = mkdtempSync(join(tmpdir(), 'sallyport-test-inside-'));
      try {
        const output = join(directory, 'report.json');
        const reporter = ['--reporter', 'json', '--reporter-option', `output=${output}`];
        const limits = ['--timeout', String(Math.max(60_000, this.test?.parent?.timeout() ?? 0))];
        // A fault that stops one test must not be taken for one of the others'.
        const mocha = [process.execPath, ...process.execArgv, MOCHA, ...limits, ...reporter, file];
        const outcome = await namespace.attempt(mocha, { timeout: 890_000, env: { [INSIDE]: '1' } });
        said = `${outcome.signal ?? ''} ${outcome.stdout}${outcome.stderr}`.trim();
        report = JSON.parse(readFileSync(output, 'utf8')) as Report;
      } catch (error) {
        throw new Error(`the tests did not run inside the namespace: ${said || String(error)}`);
      } finally {
        rmSync(directory, { recursive: true, force: true });
        namespace.close();
      }
      // A hook that failed has no test of its own.
      const tests = new Set(report.tests.map((test) => test.fullTitle));
      const hook = report.failures.find((failure) => !tests.has(failure.fullTitle));
      if (hook !== undefined) throw raised(hook);
    });
    for (const test of testsOf(this)) {
      test.fn = function (this: Mocha.Context) {
        const mine = (result: Result): boolean => result.fullTitle === test.fullTitle();
        if (report?.pending.some(mine)) return this.skip();
        const failure = report?.failures.find(mine);
        if (failure !== undefined) throw raised(failure);
        if (!report?.passes.some(mine)) throw new Error(`it did not run inside the namespace: ${said}`);
      };
    }
  });
}

/** What belongs to the namespace is looked at inside; the rest by the hooks of the whole run, outside. */
function namespaceHooks(): { beforeAll(): Promise<void>; afterAll(): Promise<void> } {
  const kinds: ReadonlySet<Kind> = new Set([
    'interface',
    'address',
    'route',
    'qdisc',
    'iptables rule',
    'nftables rule',
  ]);
  let start: Snapshot = new Map();
  return {
    async beforeAll() {
      start = await takeSnapshot();
    },
    async afterAll() {
      const traces = residue(start, await takeSnapshot()).filter(({ kind }) => kinds.has(kind));
      if (traces.length > 0) throw new ResidueError(traces);
    },
  };
}

function raised({ fullTitle, err }: Result): Error {
  const error = new Error(err.message ?? fullTitle);
  if (err.stack !== undefined) error.stack = `${fullTitle}: ${err.stack}`;
  return error;
}

/** Suites of mocha keep their hooks in these; those of the body are for the inside only. */
interface Hooks {
  _beforeAll: unknown[];
  _beforeEach: unknown[];
  _afterAll: unknown[];
  _afterEach: unknown[];
}

function forgetHooks(suite: Mocha.Suite): void {
  Object.assign(suite as unknown as Hooks, { _beforeAll: [], _beforeEach: [], _afterAll: [], _afterEach: [] });
  for (const inner of suite.suites) forgetHooks(inner);
}

function testsOf(suite: Mocha.Suite): Mocha.Test[] {
  return [...suite.tests, ...suite.suites.flatMap(testsOf)];
}
