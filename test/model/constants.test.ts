import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { RANK_DEFAULT, RANK_NONE } from '../../src/compile/rank.ts';
import { Slot } from '../../src/model/slot.ts';
import { Verdict } from '../../src/model/verdict.ts';

/** The values of an enum of the kernel's headers, names without their common prefix. */
function kernelEnum(header: string, name: string, prefix: string): Record<string, number> {
  const text = readFileSync(new URL(`../../bpf/api/${header}`, import.meta.url), 'utf8');
  const body = new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(text)?.[1];
  assert.ok(body, `no enum ${name} in ${header}`);
  const values: Record<string, number> = {};
  for (const [, key = '', value] of body.matchAll(/^\s*(\w+) = (\w+)/gm)) {
    assert.ok(key.startsWith(prefix));
    values[key.slice(prefix.length)] = Number(value);
  }
  return values;
}

function upperCased(values: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name.toUpperCase(), value]));
}

describe('numbers shared with the kernel', () => {
  it('of slots are the same on both sides', () => {
    assert.deepEqual(upperCased(Slot), kernelEnum('types.h', 'slot', 'SLOT_'));
  });

  it('of verdicts are the same on both sides', () => {
    assert.deepEqual(upperCased(Verdict), kernelEnum('types.h', 'verdict', 'VERDICT_'));
  });

  it('of ranks are the same on both sides', () => {
    assert.deepEqual({ DEFAULT: RANK_DEFAULT, NONE: RANK_NONE }, kernelEnum('policy.h', 'rank', 'RANK_'));
  });
});
