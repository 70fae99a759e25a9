import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { AgentError } from '../../src/agent/errors.ts';
import { fieldsOf, jsonOf, withFields } from '../../src/cli/maps/fields.ts';
import { TABLE_LAYOUTS, type TableName } from '../../src/datapath/maps.ts';
import type { Layout } from '../../src/libbpf/layout.ts';

const layouts = Object.entries(TABLE_LAYOUTS).flatMap(([name, [key, value]]): [string, Layout<unknown>][] => [
  [`key of ${name}`, key as Layout<unknown>],
  [`value of ${name}`, value as Layout<unknown>],
]);

const zero = (name: TableName, part: 0 | 1): unknown => {
  const layout = TABLE_LAYOUTS[name][part] as Layout<unknown>;
  return layout.read(Buffer.alloc(layout.size), 0);
};

const texts = (value: unknown): string[] =>
  fieldsOf(value).map(({ path, text }) => (path === '' ? text : `${path}=${text}`));

describe('a field of a kernel table', () => {
  for (const [name, layout] of layouts) {
    it(`is written and read back the same in every ${name}`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ minLength: layout.size, maxLength: layout.size }), (bytes) => {
          const value = layout.read(Buffer.from(bytes), 0);
          const empty = layout.read(Buffer.alloc(layout.size), 0);
          assert.deepEqual(withFields(empty, texts(value), true), value);
          const json = jsonOf(value);
          if (typeof json === 'object') assert.deepEqual(withFields(empty, [JSON.stringify(json)], true), value);
        }),
        { numRuns: 30 },
      );
    });
  }

  it('has names where people have them', () => {
    const key = withFields(zero('ports', 0), ['class=00000000000000ff', 'protocol=TCP', 'port=8080'], true);
    assert.deepEqual(key, { class: 255n, protocol: 6, port: 8080 });
    assert.deepEqual(jsonOf(key), { class: '00000000000000ff', protocol: 'TCP', port: 8080 });
    const subject = withFields(zero('subjects', 1), ['sets.ingress=0xab'], false);
    assert.ok(texts(subject).includes('sets.ingress=00000000000000ab'));
    const decision = withFields(zero('ports', 1), ['verdict=deny', 'rank=7'], false);
    assert.ok(texts(decision).includes('verdict=Deny'));
    assert.deepEqual(
      texts(
        withFields(
          zero('addresses', 0),
          ['bytes=10.0.0.1'].map(() => '10.0.0.1'),
          true,
        ),
      ),
      ['10.0.0.1'],
    );
  });

  it('keeps what is not given when a value is changed', () => {
    const before = withFields(zero('peers', 1), ['id=1', 'any.verdict=Allow', 'any.rank=9'], false);
    const after = withFields(before, ['any.verdict=Deny'], false);
    assert.ok(texts(after).includes('any.rank=9'));
    assert.ok(texts(after).includes('any.verdict=Deny'));
    assert.ok(texts(before).includes('any.verdict=Allow'));
  });

  const wrong: [name: string, run: () => unknown, message: RegExp][] = [
    [
      'an unknown field',
      () => withFields(zero('ports', 0), ['prot=1'], false),
      /no field "prot": wanted class, protocol, port/,
    ],
    ['a key with a part left out', () => withFields(zero('ports', 0), ['port=1'], true), /also needs class, protocol/],
    [
      'a word for a number',
      () => withFields(zero('ports', 0), ['port=http'], false),
      /port: found "http", wanted a number/,
    ],
    [
      'an unknown verdict',
      () => withFields(zero('ports', 1), ['verdict=maybe'], false),
      /wanted none, allow, deny, alert, hold/,
    ],
    ['a bad address', () => withFields(zero('addresses', 0), ['10.0.0'], true), /wanted an IPv4 or IPv6 address/],
    ['a bad digest', () => withFields(zero('subjects', 1), ['identity=xyz'], false), /wanted 16 hexadecimal digits/],
    ['broken JSON', () => withFields(zero('ports', 1), ['{'], false), /Not JSON/],
    ['two values for a plain number', () => withFields(0, ['1', 'x=2'], true), /no field "x": wanted a number/],
  ];
  for (const [name, run, message] of wrong) {
    it(`refuses ${name}`, () => {
      assert.throws(run, (error) => {
        assert.ok(error instanceof AgentError);
        assert.equal(error.code, 'USAGE');
        assert.match(error.message, message);
        return true;
      });
    });
  }
});
