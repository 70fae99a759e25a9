import assert from 'node:assert/strict';
import { ExecutableBits } from '../../src/hardening/executables.ts';
import { ProfileReader } from '../../src/hardening/judge.ts';
import { type CompiledProfile, compileProfile } from '../../src/hardening/profile.ts';
import type { HardeningPolicy } from '../../src/model/hardening.ts';
import { verdictName } from '../../src/model/verdict.ts';
import { paths, policy, rule } from './policies.ts';

function compiled(...policies: readonly HardeningPolicy[]): CompiledProfile & { reader: ProfileReader } {
  const profile = compileProfile(policies, { executables: new ExecutableBits(), ready: new Map() });
  return { ...profile, reader: new ProfileReader(profile.pages) };
}

const MIB = 1 << 20;

describe('a compiled profile', function () {
  this.timeout(240_000);

  it('holds 10,000 literal path rules in a few megabytes, and finds each', () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `/srv/data/${i % 97}/file-${i}.conf`);
    const { reader, pages, rules } = compiled(
      policy({ rules: names.map((name) => rule({ action: 'Deny', targets: [paths([name])] })) }),
    );
    assert.ok(pages.length * 16384 < 5 * MIB, `${pages.length} pages`);
    for (const [i, name] of names.entries()) {
      assert.equal(rules.get(reader.path('read', name).rule)?.rule, String(i));
      assert.equal(reader.path('read', `${name}x`).rule, 0);
    }
  });

  it('holds 10,000 patterns of path rules in a few megabytes, and finds each', () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `/home/*/app-${i}/**/key-${i}*.pem`);
    const { reader, pages, rules } = compiled(
      policy({ rules: names.map((name) => rule({ action: 'Deny', targets: [paths([name])] })) }),
    );
    assert.ok(pages.length * 16384 < 16 * MIB, `${pages.length} pages`);
    for (let i = 0; i < names.length; i += 7) {
      const judged = reader.path('read', `/home/eve/app-${i}/a/b/key-${i}zé.pem`);
      assert.equal(verdictName(judged.verdict), 'Deny');
      assert.equal(rules.get(judged.rule)?.rule, String(i));
      assert.equal(reader.path('read', `/home/eve/app-${i}/a/b/key-x${i}.pem`).rule, 0);
    }
  });
});
