/** Nodes themselves: containers on their network show tags, and all else there is of the world. */
import assert from 'node:assert/strict';
import { DomainFlags } from '../../../src/datapath/layouts.gen.ts';
import { openLaboratory, POLICY, segment, settle, synAck, synIn, WEB } from './elsewhere.ts';
import type { Laboratory } from './laboratory.ts';

const NODE = '198.18.7.7';

describe('a node of the domain', () => {
  let lab: Laboratory;

  before(() => {
    lab = openLaboratory();
  });
  beforeEach(() => {
    lab.policy(POLICY);
    lab.forget();
    settle(lab);
    lab.domain(NODE, 32, DomainFlags.Tag | DomainFlags.Node);
  });
  after(() => lab.close());

  it('is told that it is refused: nobody says later who it was', () => {
    assert.equal(lab.receives(synIn({ from: NODE })).reason, 'Policy');
  });

  it('is whoever its tag says', () => {
    assert.equal(lab.receives(synIn({ from: NODE, tag: lab.identity('api') })).rule, 'shop/web ingress from-api');
  });

  it('is opened to with a tag, and is who answers with one', () => {
    assert.deepEqual(lab.sends(segment({ to: NODE, tag: lab.identity('web') })), { passed: true });
    const answer = { from: NODE, to: WEB };
    assert.equal(lab.receives(synAck({ ...answer })).reason, 'Policy', 'nobody whom the policy lets web open to');
    assert.equal(lab.receives(synAck({ ...answer, tag: lab.identity('api') })).rule, 'shop/web egress to-api');
  });
});
