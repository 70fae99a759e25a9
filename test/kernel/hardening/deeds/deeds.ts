/**
 * Rules, and what they are about, tried in a hardened process group: each deed first with nothing in its way, then with
 * the rule, and beside it what the rule must not touch.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProfilePages } from '../../../../src/datapath/hardening-port.ts';
import { openDatapath } from '../../../../src/datapath/index.ts';
import type { Datapath } from '../../../../src/datapath/port.ts';
import { mountBpffs } from '../../../../src/libbpf/index.ts';
import { cgroup2Mount } from '../../../rig/cgroup.ts';
import { buildDeeds, DEED } from '../../../rig/deeds.ts';
import type { Background } from '../../../rig/process.ts';
import { residue, type Snapshot, takeSnapshot } from '../../../rig/residue.ts';
import { OBJECTS, SIZES } from '../../datapath/laboratory.ts';
import { Cage, canHarden, profileOf } from '../cage.ts';

/** What is to be done, what the kernel answers where nothing refuses (`ok` unless told), and where the rule does. */
export type Deed = string | { readonly act: string; readonly free?: string; readonly refused?: string };

export interface Trial {
  readonly title: string;
  /** Of a hardening policy. `{name}` stands for a place of the stage, here and in deeds. */
  readonly rules: string;
  readonly defaults?: string;
  /** `EPERM` unless told. */
  readonly refusal?: string;
  readonly attack: Deed;
  /** Other ways to the same. */
  readonly around: readonly Deed[];
  /** What goes on as ever. */
  readonly neighbours: readonly Deed[];
}

/** What the deeds of a file need beside the machine. */
export interface Stage {
  readonly names: Readonly<Record<string, string>>;
  close(): void;
}

/** Starts a process in the group that does deeds, one a line. */
export class Doer {
  readonly process: Background;
  #lines = 1;

  private constructor(process: Background) {
    this.process = process;
  }

  static async start(cage: Cage): Promise<Doer> {
    // What deeds mount is seen by nobody else, and gone with them.
    const command = ['unshare', '--mount', '--propagation', 'private', DEED, 'wait'];
    const process = await cage.start('import os, sys; os.execvp(sys.argv[1], sys.argv[1:])', ...command);
    await process.output(/ready\n/, 60_000);
    return new Doer(process);
  }

  /** `ok`, the name of the error, or `killed`. */
  async do(act: string): Promise<string> {
    this.process.write(`${act}\n`);
    this.#lines += 1;
    const lines = await this.process.output(new RegExp(`^(?:.*\n){${this.#lines}}`), 60_000);
    return lines[0].split('\n')[this.#lines - 1]!;
  }
}

/** Trials of one kind, in a cage of their own. */
export interface Deeds {
  readonly what: string;
  readonly prepare: (directory: string) => Promise<Stage>;
  readonly trials: readonly Trial[];
}

const NOTHING = profileOf('[{name: nothing, operations: [kexec], executables: [/nowhere]}]');

/** All of them on this kernel, on one datapath: to load it is what takes long in an emulated machine. */
export function describeDeeds(all: readonly Deeds[]): void {
  describe('deeds of hardened processes', function () {
    this.timeout(600_000);
    let directory: string | undefined;
    let pins: string | undefined;
    let datapath: Datapath | undefined;
    let untouched: Snapshot;

    before(async function () {
      if (!canHarden()) this.skip();
      untouched = await takeSnapshot();
      await buildDeeds();
      mountBpffs('/sys/fs/bpf');
      directory = mkdtempSync(join(tmpdir(), 'sallyport-test-deeds-'));
      pins = mkdtempSync('/sys/fs/bpf/sallyport-test-');
      datapath = openDatapath({
        objects: OBJECTS,
        pins,
        cgroupRoot: cgroup2Mount(),
        sizes: SIZES,
        events: { ratePerSecond: 100, burst: 100 },
      });
    });
    after(async () => {
      datapath?.remove();
      for (const made of [pins, directory]) if (made !== undefined) rmSync(made, { recursive: true, force: true });
      // An emulated machine takes its time to let go of so many programs; then the suite's own hooks look.
      const deadline = Date.now() + 60_000;
      while (untouched !== undefined && residue(untouched, await takeSnapshot()).length > 0 && Date.now() < deadline)
        await new Promise((resolve) => setTimeout(resolve, 500));
    });

    for (const { what, prepare, trials } of all) {
      describe(what, () => describeTrials(prepare, trials, () => ({ datapath: datapath!, directory: directory! })));
    }
  });
}

interface Ground {
  readonly datapath: Datapath;
  readonly directory: string;
}

function describeTrials(prepare: Deeds['prepare'], trials: readonly Trial[], ground: () => Ground): void {
  let stage: Stage;
  let cage: Cage;
  let doer: Doer;

  before(async () => {
    stage = await prepare(ground().directory);
    cage = new Cage();
    await harden(NOTHING);
    doer = await Doer.start(cage);
  });
  after(async () => {
    cage?.close();
    stage?.close();
    await ground().datapath?.hardening.apply([]);
  });

  const harden = async (profile: ProfilePages): Promise<void> => {
    for (const { error } of await ground().datapath.hardening.apply([cage.container(profile)]))
      assert.equal(error, undefined);
  };
  const staged = (text: string): string =>
    text.replaceAll(/\{(\w+)\}/g, (whole, name: string) => stage.names[name] ?? whole);
  const actOf = (deed: Deed): string => staged(typeof deed === 'string' ? deed : deed.act);
  const freeOf = (deed: Deed): string => (typeof deed === 'string' ? 'ok' : (deed.free ?? 'ok'));
  const refusedOf = (deed: Deed, refusal: string): string =>
    typeof deed === 'string' ? refusal : (deed.refused ?? refusal);

  for (const { title, rules, defaults, refusal = 'EPERM', attack, around, neighbours } of trials) {
    it(title, async () => {
      const outcomes = async (deeds: readonly Deed[]): Promise<Record<string, string>> => {
        const found: Record<string, string> = {};
        for (const deed of deeds) found[actOf(deed)] = await doer.do(actOf(deed));
        return found;
      };
      const expected = (deeds: readonly Deed[], refused?: string): Record<string, string> =>
        Object.fromEntries(
          deeds.map((deed) => [actOf(deed), refused === undefined ? freeOf(deed) : refusedOf(deed, refused)]),
        );
      const all = [attack, ...around, ...neighbours];

      await harden(NOTHING);
      assert.deepEqual(await outcomes(all), expected(all), 'with nothing in the way');

      await harden(profileOf(staged(rules), defaults));
      assert.deepEqual(
        await outcomes(all),
        { ...expected([attack, ...around], refusal), ...expected(neighbours) },
        'with the rule',
      );
      const rulesTold = ground()
        .datapath.hardening.counters()
        .filter(({ staged }) => !staged);
      assert.ok(
        rulesTold.some(({ container, count }) => container === cage.cgroup.name && count > 0n),
        'what is refused is counted',
      );
    });
  }
}

/** Nothing is needed. */
export async function emptyStage(directory: string): Promise<Stage> {
  return { names: { directory }, close: () => {} };
}
