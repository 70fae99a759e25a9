import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { waitFor } from '../../rig/cleanup.ts';
import type { Background } from '../../rig/process.ts';
import { connect } from '../../rig/traffic.ts';
import { Region, servicePolicy } from './region.ts';
import { Ear } from './watch.ts';

const POLICIES = ['db', 'deaf', 'web'].map((name) =>
  servicePolicy(
    name,
    name,
    `  ingress:
    - name: web
      action: Allow
      from: [{workload: Service/web}, {workload: Service/deaf}]`,
  ),
);

const Report = z.object({ opened: z.number(), failed: z.array(z.string()), slowest: z.number() });

/** Opens a connection every 15 ms, exchanges a byte and closes it, until it is told to stop. */
const OPENER = `import json, signal, socket, sys, time
going, opened, failed, slowest = True, 0, [], 0.0
def stop(*_):
  global going
  going = False
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while going:
  host = sys.argv[1 + opened % 2]
  begun = time.monotonic()
  try:
    with socket.create_connection((host, 8080), timeout=4) as s:
      s.send(b"x"); s.recv(1)
  except OSError as error:
    failed.append(f"{opened} {host}: {error}")
  slowest = max(slowest, time.monotonic() - begun)
  opened += 1
  time.sleep(0.015)
print(json.dumps({"opened": opened, "failed": failed, "slowest": slowest}), flush=True)`;

describe('tag keys', function () {
  this.timeout(120_000);
  let region: Region;

  before(async () => {
    region = await Region.create({
      nodes: { west: ['web'], east: ['db'], mute: ['deaf'] },
      settings: ({ name }) => (name === 'mute' ? { tags: { keys: 'off' } } : {}),
    });
    await region.start();
  });
  beforeEach(() => region.apply(POLICIES.join('---\n')));
  after(() => region?.close());

  async function report(opener: Background): Promise<z.infer<typeof Report>> {
    opener.kill('SIGTERM');
    const { stdout } = await opener.exited;
    return Report.parse(JSON.parse(stdout.trim().split('\n').at(-1)!));
  }

  it('are rotated, through all epochs and round again, without a connection that is lost or waits', async () => {
    const { ipv4, ipv6 } = region.endpoint('east/db');
    const ear = await Ear.at(region.endpoint('east/db'));
    const opener = region.endpoint('west/web').start(['python3', '-c', OPENER, ipv4, ipv6]);
    await opener.output(/ready/);
    const handshakes = await region
      .station('west')
      .metric('sallyport_handshakes_total{result="verified",step="confirm"}');
    const epochs = new Set<number>();
    const listen = (): void => {
      for (const { frame } of ear.heard()) {
        const at = frame.indexOf(Buffer.from([254, 20, 0x5a, 0x11]));
        if (at > 0) epochs.add(frame[at + 12]! >> 6);
      }
    };
    for (let turn = 0; turn < 5; turn++) {
      // It signs once every agent has seen the file, and the one before is not accepted for long after that.
      const rotate = ['keys', 'rotate', '--file', region.tagKeys, '--activate-in', '1500ms', '--keep', '1s'];
      const { status, stderr } = await region.station('west').cli(rotate);
      assert.equal(status, 0, stderr);
      await sleep(2_600);
      listen();
    }
    ear.close();
    const { opened, failed, slowest } = await report(opener);
    assert.deepEqual(failed, []);
    assert.ok(opened > 100, `${opened} connections`);
    assert.ok(slowest < 0.9, `the slowest took ${slowest} s`);
    assert.equal(JSON.parse(readFileSync(region.tagKeys, 'utf8')).signing, 6);
    assert.deepEqual([...epochs].sort(), [0, 1, 2, 3], 'each of the four has signed');
    const after = await region.station('west').metric('sallyport_handshakes_total{result="verified",step="confirm"}');
    assert.equal(after, handshakes, 'no handshake took the place of a tag');
  });

  for (const family of ['ipv4', 'ipv6'] as const) {
    it(`that a node does not have are made up for by handshakes, whoever opens (${family})`, async () => {
      const to = (name: string) => ({ address: region.endpoint(name)[family], port: 8080 });
      const opened = await connect(region.endpoint('mute/deaf'), to('west/web'), { timeoutMs: 5_000 });
      assert.equal(opened.result, 'ok');
      assert.ok(opened.elapsedNs < 1e9, 'what bears no tag is held at once');
      // Both directions are verified by now.
      assert.equal((await connect(region.endpoint('west/web'), to('mute/deaf'), { timeoutMs: 5_000 })).result, 'ok');
    });

    it(`that the other node does not have cost the first connection one SYN that is sent again (${family})`, async () => {
      const to = { address: region.endpoint('mute/deaf')[family], port: 8080 };
      await region.station('mute').apply(POLICIES.join('---\n').replaceAll('Service/web}', 'Service/db}'));
      const verified = async () =>
        await region.station('east').metric('sallyport_handshakes_total{result="verified",step="confirm"}');
      const before = await verified();
      await waitFor('it is opened', async () => {
        const { result } = await connect(region.endpoint('east/db'), to, { timeoutMs: 5_000, exchange: true });
        return result === 'ok';
      });
      assert.ok((await verified()) > before);
    });
  }
});
