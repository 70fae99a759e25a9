/** Every ready rule against what it is there for: the attack, ways round it, and its neighbours. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { compileWithCatalogue } from '../../../../src/agent/hardening/open.ts';
import type { ProfilePages } from '../../../../src/datapath/hardening-port.ts';
import { openDatapath } from '../../../../src/datapath/index.ts';
import type { Datapath } from '../../../../src/datapath/port.ts';
import { ExecutableBits } from '../../../../src/hardening/executables.ts';
import { mountBpffs } from '../../../../src/libbpf/index.ts';
import { policyOf } from '../../../hardening/ready.ts';
import { cgroup2Mount } from '../../../rig/cgroup.ts';
import { buildDeeds } from '../../../rig/deeds.ts';
import { OBJECTS, SIZES } from '../../datapath/laboratory.ts';
import { canHarden } from '../cage.ts';
import { SCENARIOS } from './all.ts';
import { Room } from './room.ts';
import { type Attempt, actOf, freeOf, isRefusal } from './scenario.ts';

const NEUTRAL = { ...policyOf([]), rules: [] };
/** Only those, while one is looked into: `ONLY=no-bpf,no-perf`. */
const ONLY = process.env.ONLY?.split(',');

describe('ready rules', function () {
  this.timeout(600_000);
  let pins: string | undefined;
  let datapath: Datapath;
  let room: Room;

  before(async function () {
    if (!canHarden()) this.skip();
    await buildDeeds();
    mountBpffs('/sys/fs/bpf');
    pins = mkdtempSync('/sys/fs/bpf/sallyport-test-');
    const events = { ratePerSecond: 100, burst: 100 };
    datapath = openDatapath({ objects: OBJECTS, pins, cgroupRoot: cgroup2Mount(), sizes: SIZES, events });
    room = await Room.open();
    await harden(compileWithCatalogue([NEUTRAL], { executables: new ExecutableBits() }));
  });
  after(async () => {
    await room?.close();
    await datapath?.hardening.apply([]);
    datapath?.remove();
    if (pins !== undefined) rmSync(pins, { recursive: true, force: true });
  });

  const harden = async (profile: ProfilePages): Promise<void> => {
    for (const { error } of await datapath.hardening.apply([room.container(profile)])) assert.equal(error, undefined);
  };
  const staged = (text: string): string =>
    text.replaceAll(/\{(\w+)\}/g, (whole, name: string) => room.names[name] ?? whole);
  const outcomes = async (attempts: readonly Attempt[]): Promise<Record<string, string>> => {
    const found: Record<string, string> = {};
    for (const attempt of attempts) found[actOf(attempt)] = await room.do(staged(actOf(attempt)));
    return found;
  };
  const expected = (attempts: readonly Attempt[]): Record<string, string> =>
    Object.fromEntries(attempts.map((attempt) => [actOf(attempt), freeOf(attempt)]));
  /** What was not refused, of what should have been. */
  const through = async (attempts: readonly Attempt[]): Promise<string[]> => {
    const found = await outcomes(attempts);
    return attempts
      .filter((attempt) => !isRefusal(attempt, found[actOf(attempt)]!))
      .map((attempt) => `${actOf(attempt)}: ${found[actOf(attempt)]}`);
  };

  for (const { rule, attack, around, neighbours } of SCENARIOS) {
    if (ONLY !== undefined && !ONLY.includes(rule)) continue;
    it(`${rule} stops what it is there for, and nothing beside it`, async () => {
      const executables = new ExecutableBits();
      await harden(compileWithCatalogue([NEUTRAL], { executables }));
      const all = [attack, ...around, ...neighbours];
      assert.deepEqual(await outcomes(all), expected(all), 'with no rule');
      await harden(compileWithCatalogue([policyOf([rule])], { executables }));
      assert.deepEqual(await through([attack, ...around]), [], 'is not refused');
      assert.deepEqual(await outcomes(neighbours), expected(neighbours), 'beside the rule');
    });
  }
});
