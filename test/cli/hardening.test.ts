import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { PolicyView } from '../../src/agent/api/contract.ts';
import { policyView } from '../../src/agent/api/views.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';
import { sallyport } from './terminal.ts';

const HARDENING = `apiVersion: sallyport.dev/v1alpha1
kind: HardeningPolicy
metadata: {namespace: shop, name: api}
spec:
  subject: {workload: Service/api}
  mode: Stage
  defaults: {execution: Deny, files: Alert, sockets: Allow}
  rules:
    - {name: usual, ready: [baseline]}
    - {action: Allow, executables: [/bin/sh], files: {paths: [/tmp/**]}, capabilities: {names: [NET_RAW]}}
`;

const NETWORK = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {namespace: shop, name: api}
spec:
  subject: {workload: Service/api}
  ingress: [{action: Allow, from: [{workload: Service/web}], ports: [{protocol: TCP, port: 80}]}]
`;

describe('policies of both families, from the command line', () => {
  let directory: string;
  let server: Server;
  const asked: string[] = [];
  let views: readonly PolicyView[];

  before((done) => {
    const file = parsePolicyFile('shop.yaml', Buffer.from(`${HARDENING}---\n${NETWORK}`));
    const workload = { namespace: 'shop', kind: 'Service', name: 'api' };
    const identities = [deriveIdentity('test', { workload, container: 'app', labels: {} })];
    views = [...file.policies, ...file.hardening].map(({ policy, origin }) =>
      policyView({ policy, file: origin.file, identities, rules: [], counters: new Map() }),
    );
    directory = mkdtempSync(join(tmpdir(), 'sallyport-cli-'));
    writeFileSync(join(directory, 'shop.yaml'), `${HARDENING}---\n${NETWORK}`);
    server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      const one = /^\/v1\/policies\/[^?]/.test(request.url ?? '');
      const value = request.method === 'DELETE' ? { changes: [], dryRun: false, plan: '' } : one ? views[1] : views;
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    }).listen(join(directory, 's'), done);
  });
  beforeEach(() => {
    asked.length = 0;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  });
  const ask = (...words: string[]) => sallyport(['--socket', join(directory, 's'), ...words]);

  it('stand in one table, each with what it is about', async () => {
    const { out } = await ask('policy', 'get', '-o', 'wide');
    const [head = '', ...rows] = out.trimEnd().split('\n');
    assert.deepEqual(head.split(/ {2,}/), [
      'NAMESPACE',
      'NAME',
      'MODE',
      'PRIORITY',
      'SUBJECT',
      'SELECTED',
      'INGRESS',
      'EGRESS',
      'HARDENING',
      'HITS',
      'KIND',
      'FILE',
      'MANAGED',
    ]);
    assert.deepEqual(
      rows.map((row) => row.trim().split(/ {2,}/).slice(5, 11)),
      [
        ['1', '1 rules, else Deny', '-', '-', '0', 'WorkloadNetworkPolicy'],
        ['1', '-', '-', '2 rules, else files Alert, execution Deny', '-', 'HardeningPolicy'],
      ],
    );
  });

  it('come as data with their rules and the document as it was written', async () => {
    const { out } = await ask('policy', 'get', 'shop/api', '--kind', 'HardeningPolicy', '-o', 'yaml');
    assert.deepEqual(asked, ['GET /v1/policies/shop%2Fapi?kind=HardeningPolicy']);
    const view = parse(out) as PolicyView;
    assert.deepEqual(view.hardening, {
      defaults: { execution: 'Deny', files: 'Alert', sockets: 'Allow' },
      rules: [
        { name: 'usual', action: 'Deny', executables: [], about: [], ready: ['baseline'] },
        { name: '1', action: 'Allow', executables: ['/bin/sh'], about: ['files', 'capabilities'], ready: [] },
      ],
    });
    const again = parsePolicyFile('again', Buffer.from(view.source));
    assert.deepEqual(again.problems, []);
    assert.deepEqual(
      again.hardening.map(({ policy }) => policy),
      parsePolicyFile('x', Buffer.from(HARDENING)).hardening.map(({ policy }) => policy),
    );
  });

  it('can be asked for by their kind, which must be one', async () => {
    await ask('policy', 'get', '--kind', 'ClusterHardeningPolicy', '-n', 'shop');
    assert.deepEqual(asked, ['GET /v1/policies?namespace=shop&kind=ClusterHardeningPolicy']);
    const wrong = await ask('policy', 'get', '--kind', 'Hardening');
    assert.equal(wrong.exit, 2);
    assert.match(wrong.err, /ClusterHardeningPolicy/);
  });

  it('are deleted by the file that names them, each kind by itself', async () => {
    const { exit, err } = await ask('policy', 'delete', '-f', join(directory, 'shop.yaml'));
    assert.equal(exit, 0, err);
    assert.deepEqual(asked, [
      'DELETE /v1/policies/api?namespace=shop&kind=WorkloadNetworkPolicy',
      'DELETE /v1/policies/api?namespace=shop&kind=HardeningPolicy',
    ]);
  });

  it('are validated together without an agent', async () => {
    const good = await sallyport(['policy', 'validate', join(directory, 'shop.yaml')]);
    assert.deepEqual([good.exit, good.out, good.err], [0, '1 files with 2 policies are valid\n', '']);
    const bad: [from: string, to: string, says: RegExp][] = [
      [
        '[baseline]',
        '[basline]',
        /stdin:9:29: spec\.rules\[0\]\.ready\[0\]: found "basline" in rule usual.*did you mean baseline/,
      ],
      [
        '[/tmp/**]',
        '[/tmp/]',
        /stdin:10:63: spec\.rules\[1\]\.files\.paths\[0\]: found "\/tmp\/".*did you mean \/tmp\/\*\*/,
      ],
      ['execution: Deny', 'exec: Deny', /stdin:7:14: spec\.defaults\.exec: .*one of the fields files, execution/],
    ];
    for (const [from, to, says] of bad) {
      const { exit, err } = await sallyport(['policy', 'validate', '-'], { input: HARDENING.replace(from, to) });
      assert.equal(exit, 6);
      assert.match(err, says);
    }
  });
});
