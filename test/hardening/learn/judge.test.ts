import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ExecutableBits } from '../../../src/hardening/executables.ts';
import { type Judgement, ProfileReader } from '../../../src/hardening/judge.ts';
import type { Observation } from '../../../src/hardening/learn/observation.ts';
import { learnPolicy } from '../../../src/hardening/learn/policy.ts';
import { compileProfile } from '../../../src/hardening/profile.ts';
import { parseAddress } from '../../../src/model/address.ts';
import { Verdict } from '../../../src/model/verdict.ts';
import { OPTIONS, observation } from './observations.ts';

/** The profile of the policy that is learnt of these. */
function profileOf(seen: readonly Observation[]): ProfileReader {
  const policy = learnPolicy(seen, { ...OPTIONS, mode: 'Enforce' });
  return new ProfileReader(compileProfile([policy], { executables: new ExecutableBits(), ready: new Map() }).pages);
}

function judge(profile: ProfileReader, one: Observation): Judgement {
  switch (one.type) {
    case 'path':
      return profile.path(one.access, one.cut ? `/lost/${one.path}` : one.path);
    case 'capability':
      return profile.capability(one.capability, one.within === 'user-namespace');
    case 'operation':
      return profile.operation(one.operation);
    case 'socket':
      return profile.socket(one.family, one.kind, one.protocol);
    case 'mount':
      return profile.mount(one.operation, 'tmpfs', { writable: true, device: false });
    case 'network':
      return profile.network(parseAddress(one.address) ?? assert.fail(one.address), one.protocol, one.port);
  }
}

describe('the profile of what was learnt', () => {
  it('allows all that was seen', () => {
    fc.assert(
      fc.property(fc.array(observation, { maxLength: 40 }), (seen) => {
        const profile = profileOf(seen);
        for (const one of seen) assert.equal(judge(profile, one).verdict, Verdict.Allow, JSON.stringify(one));
      }),
      { numRuns: 150 },
    );
  });

  it('denies what was not: of paths in other directories, and of what has no name that varies', () => {
    const below = (directory: string, one: Observation): Observation =>
      one.type === 'path' && !one.path.startsWith('@') ? { ...one, path: `/${directory}${one.path}` } : one;
    fc.assert(
      fc.property(fc.array(observation, { maxLength: 30 }), observation, (all, other) => {
        const seen = all.map((one) => below('seen', one));
        const unseen = below('unseen', other);
        // What varies is left open on purpose: other names of abstract sockets, ports and addresses of many.
        if (unseen.type === 'network' || (unseen.type === 'path' && unseen.path.startsWith('@'))) return;
        // The usual protocol of a kind of socket and 0 are the same; every mount of a kind is.
        const same = (one: Observation): boolean =>
          one.type === unseen.type && (one.type === 'socket' || JSON.stringify(one) === JSON.stringify(unseen));
        if (seen.some(same)) return;
        assert.equal(judge(profileOf(seen), unseen).verdict, Verdict.Deny, JSON.stringify(unseen));
      }),
      { numRuns: 150 },
    );
  });

  it('allows files to be written under another name and renamed', () => {
    const path = (access: 'read' | 'write' | 'create' | 'delete', name: string): Observation => ({
      type: 'path',
      access,
      path: `/data/${name}`,
      cut: false,
    });
    const seen = [path('create', 'x.tmp'), path('write', 'x.tmp'), path('delete', 'x.tmp'), path('create', 'x')];
    const profile = profileOf([...seen, path('read', 'x'), path('read', 'other'), path('delete', 'lock')]);
    assert.equal(profile.path('read', '/data/x.tmp').verdict, Verdict.Allow);
    assert.equal(profile.moving('/data/x.tmp', '/data/x', { directory: false }).verdict, Verdict.Allow);
    assert.equal(profile.moving('/data/lost', '/data/x', { directory: false }).verdict, Verdict.Deny);
    assert.equal(profile.path('write', '/data/x').verdict, Verdict.Deny);
    assert.equal(profile.path('write', '/data/other').verdict, Verdict.Deny);
  });
});
