/** A policy with more networks than are written one by one: its rows are made once, and used again under other names. */
import assert from 'node:assert/strict';
import { LONG_LIST } from '../../../src/datapath/network-rows.ts';
import { ethernet, ipv4 } from '../../rig/packets.ts';
import { udp } from '../../rig/transports.ts';
import { Laboratory } from './laboratory.ts';
import { shopPolicy } from './town.ts';

const NETWORKS = LONG_LIST + 100;
const addressOf = (n: number): string => `198.18.${n >> 8}.${n & 0xff}`;

function manyNetworks(but = -1): string {
  const rules = Array.from({ length: NETWORKS }, (_, n) => n)
    .filter((n) => n !== but)
    .map((n) => `    - {to: [{cidr: ${addressOf(n)}/32}], ports: [{protocol: UDP, port: ${1_000 + n}}]}`);
  return shopPolicy('many', 'web', `  egress:\n${rules.join('\n')}`);
}

const denyPort = (port: number): string =>
  shopPolicy(
    'blocked',
    'web',
    `  priority: 1\n  egress:\n    - {action: Deny, ports: [{protocol: UDP, port: ${port}}]}`,
  );

describe('a policy with more than a thousand networks', function () {
  this.timeout(60_000);
  let lab: Laboratory;
  const passes = (n: number): boolean => {
    lab.forget();
    const packet = udp({ sourcePort: 40_000, destinationPort: 1_000 + n });
    return lab.sends(ethernet({}, ipv4({ source: '172.17.0.2', destination: addressOf(n) }, packet))).passed;
  };

  before(() => {
    lab = new Laboratory([{ workload: 'shop/Service/web', addresses: ['172.17.0.2'] }]);
  });
  after(() => lab.close());

  it('is in the kernel as it was compiled', () => {
    lab.policy(manyNetworks());
    assert.deepEqual(lab.drift(), []);
    assert.ok(passes(0) && passes(NETWORKS - 1));
    assert.equal(passes(NETWORKS), false);
  });

  it('is there under another name when a policy beside it comes and goes, and no more under the old one', () => {
    for (const n of [0, 700, NETWORKS - 1]) {
      lab.policy(manyNetworks() + denyPort(1_000 + n));
      assert.deepEqual(lab.drift(), []);
      assert.equal(passes(n), false);
      assert.ok(passes(1));
      lab.policy(manyNetworks());
      assert.deepEqual(lab.drift(), []);
      assert.ok(passes(n));
    }
  });

  it('follows a change of one of its networks', () => {
    lab.policy(manyNetworks(5) + denyPort(1));
    assert.deepEqual(lab.drift(), []);
    assert.equal(passes(5), false);
    assert.ok(passes(6));
    lab.policy('');
    assert.deepEqual(lab.drift(), []);
    assert.ok(passes(5), 'nothing selects it any more');
  });
});
