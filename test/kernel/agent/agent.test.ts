import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EndpointView, FlowView, PolicyView } from '../../../src/agent/api/contract.ts';
import type { ExplainView } from '../../../src/agent/api/explanation.ts';
import type { TrafficEvent } from '../../../src/events/event.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { connect, probe } from '../../rig/traffic.ts';
import { Station, unitPolicy } from './station.ts';

const allowWeb = unitPolicy(
  'api',
  'api',
  `  ingress:
    - name: web
      action: Allow
      from: [{workload: Unit/web}]
      ports: [{protocol: TCP, port: 8080}]`,
);

describe('the agent on a real node', function () {
  this.timeout(120_000);
  let station: Station;

  before(async () => {
    station = await Station.create(['web', 'api', 'db']);
    await station.start();
  });
  after(() => station?.close());
  afterEach(async () => {
    for (const { namespace, name } of await station.json<PolicyView[]>(['policy', 'get'])) {
      await station.cli(['policy', 'delete', `${namespace}/${name}`]);
    }
  });

  const attempt = async (from: string, to: string, port: number): Promise<string> => {
    const target = { address: station.endpoint(to).ipv4, port };
    return (await connect(station.endpoint(from), target, { timeoutMs: 300 })).result;
  };

  it('knows each container by name, with its identity, cgroup, addresses and mode, as enforced', async () => {
    const endpoints = await station.json<EndpointView[]>(['endpoint', 'list']);
    assert.deepEqual(endpoints.map(({ namespace, kind, name }) => `${namespace}/${kind}/${name}`).sort(), [
      'test/Unit/api',
      'test/Unit/db',
      'test/Unit/web',
    ]);
    const web = endpoints.find(({ name }) => name === 'web') ?? assert.fail();
    assert.match(web.identity, /^[0-9a-f]{16}$/);
    assert.equal(web.mode, 'interface');
    assert.equal(web.enforced, true);
    assert.equal(web.containers[0]?.cgroup.id, String(station.endpoint('web').cgroup.id));
    assert.ok(web.addresses.includes(station.endpoint('web').ipv4));
    assert.ok(web.addresses.includes(station.endpoint('web').ipv6));
  });

  it('lets everything pass that no policy selects', async () => {
    assert.equal(await attempt('web', 'api', 8080), 'ok');
    assert.equal(await attempt('db', 'api', 80), 'ok');
  });

  it('enforces an applied policy from the next packet on, and explains it as the kernel does it', async () => {
    await station.apply(allowWeb);
    const cases: [from: string, port: number, allowed: boolean][] = [
      ['web', 8080, true],
      ['web', 80, false],
      ['db', 8080, false],
    ];
    for (const [from, port, allowed] of cases) {
      assert.equal(await attempt(from, 'api', port), allowed ? 'ok' : 'refused', `${from} ${port}`);
      const view = await station.json<ExplainView>(
        ['policy', 'explain', from, 'api', '--port', String(port)],
        [allowed ? 0 : 5],
      );
      assert.equal(view.verdict, allowed ? 'Allow' : 'Deny');
      const ingress = view.sides.find(({ direction }) => direction === 'ingress');
      assert.deepEqual([ingress?.rule?.policy, ingress?.rule?.name], ['test/api', allowed ? 'web' : 'default']);
      assert.equal(ingress?.disagreement, undefined);
    }
  });

  it('tells of a refusal with both names and the rule, in the list, in the counters and in the metrics', async () => {
    await station.apply(allowWeb);
    const refused =
      'sallyport_rule_packets_total{policy="test/api",rule="default",direction="ingress",action="Deny",mode="Enforce"}';
    const before = await station.metric(refused);
    assert.equal(await attempt('db', 'api', 8080), 'refused');
    await waitFor('the event', async () => {
      const events = await station.json<TrafficEvent[]>(['event', 'list', '--raw', '--type', 'verdict']);
      return events.some(
        ({ verdict, source, destination, rule }) =>
          verdict === 'Deny' &&
          source.name === 'test/Unit/db' &&
          destination.name === 'test/Unit/api' &&
          rule?.policy === 'test/api' &&
          rule.name === 'default',
      );
    });
    assert.ok((await station.metric(refused)) > before);
    assert.ok((await station.metric('sallyport_drop_packets_total{reason="Policy"}')) > 0);
    const endpoint = await station.json<EndpointView>(['endpoint', 'get', 'api']);
    assert.ok(endpoint.denied.packets > 0);
  });

  it('follows policy files: written, changed, removed', async () => {
    const place = join(station.policies, 'mine.yaml');
    writeFileSync(place, allowWeb);
    await waitFor(
      'the policy is in force',
      async () => (await station.json<PolicyView[]>(['policy', 'get'])).length === 1,
    );
    assert.equal(await attempt('db', 'api', 8080), 'refused');
    writeFileSync(place, allowWeb.replace('Unit/web', 'Unit/db'));
    await waitFor('db is allowed', async () => (await attempt('db', 'api', 8080)) === 'ok');
    assert.equal(await attempt('web', 'api', 8080), 'refused');
    assert.equal((await station.cli(['policy', 'delete', 'test/api'])).status, 1);
    rmSync(place);
    await waitFor('the policy ended', async () => (await station.json<PolicyView[]>(['policy', 'get'])).length === 0);
    assert.equal(await attempt('web', 'api', 80), 'ok');
    assert.ok((await station.metric('sallyport_policy_latency_seconds_count')) >= 3);
  });

  it('cuts an open conversation when its policy changes', async () => {
    await station.apply(allowWeb);
    const target = { address: station.endpoint('api').ipv4, port: 8080, udp: true };
    await station.apply(allowWeb.replace('TCP', 'UDP'));
    const running = probe(station.endpoint('web'), target, { rate: 200, timeoutMs: 500 });
    assert.equal((await running.change(0)).passes, true);
    await station.apply(allowWeb);
    assert.equal((await running.change(1)).passes, false);
    running.close();
  });

  it('reports what a staged policy would do, and does nothing', async () => {
    await station.apply(allowWeb.replace('spec:\n', 'spec:\n  mode: Stage\n'));
    assert.equal(await attempt('db', 'api', 8080), 'ok');
    await waitFor('the event', async () => {
      const events = await station.json<TrafficEvent[]>(['event', 'list', '--raw', '--type', 'verdict']);
      return events.some(
        ({ verdict, staged, source }) =>
          verdict === 'Allow' && staged?.verdict === 'Deny' && source.name === 'test/Unit/db',
      );
    });
  });

  it('lists flows with names, rule and both counters', async () => {
    await station.apply(allowWeb);
    assert.equal(await attempt('web', 'api', 8080), 'ok');
    const flows = await station.json<FlowView[]>(['flow', 'list', '--about', 'test/Unit/api']);
    const flow = flows.find(
      ({ direction, current, destination }) => direction === 'ingress' && current && destination.port === 8080,
    );
    assert.equal(flow?.source.name, 'test/Unit/web');
    assert.equal(flow?.rule?.name, 'web');
    assert.ok((flow?.forward.packets ?? 0) > 0 && (flow?.backward.packets ?? 0) > 0);
  });

  it('judges the next packet by what somebody wrote into a map, and shows it as drift', async () => {
    await station.apply(allowWeb);
    assert.equal(await attempt('web', 'api', 8080), 'ok');
    const ports = await station.json<{ key: Record<string, string | number> }[]>(['map', 'dump', 'ports']);
    const key = ports.find((entry) => entry.key.port === 8080)?.key ?? assert.fail('no entry for port 8080');
    const fields = Object.entries(key).map(([name, value]) => `${name}=${value}`);
    const update = await station.cli(['map', 'update', 'ports', ...fields, '--set', 'verdict=Deny']);
    assert.equal(update.stderr, '');
    assert.equal(await attempt('web', 'api', 8080), 'refused');
    const status = await station.cli(['status']);
    assert.equal(status.status, 8);
    assert.match(status.stdout, /Drift: .*\n.*MAP.*\n\s+ports/);
    await station.cli(['map', 'update', 'ports', ...fields, '--set', 'verdict=Allow']);
    assert.equal(await attempt('web', 'api', 8080), 'ok');
    await waitFor('no drift', async () => (await station.cli(['status'])).status === 0);
  });

  it('answers what it does not know with a hint and its own exit code', async () => {
    const cases: [args: string[], status: number, message: RegExp][] = [
      [['endpoint', 'get', 'we'], 3, /"we" was not found\nhint: did you mean test\/Unit\/web/],
      [['policy', 'explain', 'web', 'nobody'], 3, /"nobody" was not found/],
      [['policy', 'get', 'nothing'], 3, /"nothing" was not found/],
      [['map', 'get', 'subjects', '4000000000'], 3, /subjects has no entry 4000000000/],
      [['map', 'dump', 'nonsense'], 3, /no map "nonsense": wanted interfaces/],
      [['flow', 'list', '--limit', 'x'], 2, /limit/],
      [['event', 'list', '--type', 'x'], 2, /no events of type "x"/],
      [['nonsense'], 2, /unknown command/],
    ];
    for (const [args, expected, message] of cases) {
      const { status, stderr, stdout } = await station.cli(args);
      assert.equal(stdout, '', args.join(' '));
      assert.match(stderr, message);
      assert.equal(status, expected, args.join(' '));
    }
  });
});
