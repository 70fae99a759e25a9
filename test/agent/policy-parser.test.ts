import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { PolicyParser, THREAD_BYTES } from '../../src/agent/policy-parser.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';

function policy(rules: number): string {
  const list = Array.from(
    { length: rules },
    (_, i) =>
      `    - {from: [{cidr: 10.${i >> 8}.${i & 255}.0/24, except: [10.${i >> 8}.${i & 255}.7/32]}], ports: [{protocol: TCP, port: ${1 + i}}]}`,
  );
  return `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: large, namespace: shop, labels: {constructor: x}, annotations: {note: "1"}}
spec:
  subject: {workload: Service/api, labels: {tier: db}}
  priority: 7
  egress: [{name: all, to: [{workload: '*/*/*'}, {entity: world}], action: Alert, ports: [{protocol: ICMP, type: 8}, {protocol: UDP, port: dns}]}]
  ingress:
${list.join('\n')}
`;
}

function hardening(rules: number): string {
  const list = Array.from(
    { length: rules },
    (_, i) => `    - {name: r${i}, files: {paths: ["/srv/${i}/{a,b}/**"], access: [modify]}, sockets: [{type: raw}]}`,
  );
  return `apiVersion: sallyport.dev/v1alpha1
kind: ClusterHardeningPolicy
metadata: {name: large}
spec:
  subject: {workload: '*/*/*'}
  defaults: {files: Alert}
  rules:
    - ready: [baseline]
${list.join('\n')}
`;
}

const bytes = (text: string): Buffer => Buffer.from(text);

describe('the reading of large policy files', function () {
  this.timeout(60_000);

  let parser: PolicyParser;
  beforeEach(() => {
    parser = new PolicyParser();
  });
  afterEach(() => parser.close());

  const inputs = {
    'a good one': policy(1_500),
    'several documents': `${policy(900)}---\n${policy(900).replace('name: large', 'name: other')}`,
    'one with errors in many places': policy(1_500).replaceAll('port: 12', 'port: 70000'),
    'one with a good and a bad document': `${policy(900)}---\n{kind: Nonsense}`,
    'one of both families': `${hardening(700)}---\n${policy(100)}`,
    'a hardening policy with errors': hardening(900).replaceAll('/srv/1', '/srv//1'),
    'one that is no YAML': `${policy(900)}\n  ]`,
    'a bomb': `a: &a [${'x, '.repeat(30_000)}]\nb: [${'*a, '.repeat(30)}]\n`,
    'one that is no text': `${policy(900)}\0`,
  };
  for (const [what, text] of Object.entries(inputs)) {
    it(`finds in ${what} what is found in the agent's own thread`, async () => {
      assert.ok(text.length > THREAD_BYTES);
      assert.deepEqual(await parser.parse('/p/a.yaml', bytes(text)), parsePolicyFile('/p/a.yaml', bytes(text)));
    });
  }

  it('refuses what is longer than files may be, as it would without a thread', async () => {
    const long = Buffer.alloc((1 << 20) + 1, ' ');
    assert.deepEqual(await parser.parse('a', long), parsePolicyFile('a', long));
  });

  it('lets others work meanwhile', async () => {
    const text = bytes(policy(7_000));
    const delays = monitorEventLoopDelay({ resolution: 5 });
    delays.enable();
    const begun = performance.now();
    await parser.parse('a', text);
    const took = performance.now() - begun;
    delays.disable();
    assert.ok(delays.max / 1e6 < took / 2, `${delays.max / 1e6} ms of ${took} ms nobody else could work`);
  });

  it('reads several, asked for at once, each by itself', async () => {
    const texts = [policy(900), policy(901), policy(902)];
    const found = await Promise.all(texts.map((text, i) => parser.parse(`${i}.yaml`, bytes(text))));
    assert.deepEqual(
      found.map((file) => [file?.file, file?.policies[0]?.policy.ingress?.rules.length]),
      [
        ['0.yaml', 900],
        ['1.yaml', 901],
        ['2.yaml', 902],
      ],
    );
  });

  it('ends when it is closed, with nothing to say of what it had not read', async () => {
    const text = bytes(policy(7_000));
    const reading = Promise.all([parser.parse('a', text), parser.parse('b', text)]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const begun = performance.now();
    await parser.close();
    assert.deepEqual(await reading, [undefined, undefined]);
    assert.equal(await parser.parse('c', text), undefined);
    assert.equal(await parser.parse('d', bytes('')), undefined);
    assert.ok(!process.getActiveResourcesInfo().includes('MessagePort'), 'a thread is left');
    assert.ok(performance.now() - begun < 5_000);
  });
});
