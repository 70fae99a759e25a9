import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { parseBtf, readBtf } from '../../src/libbpf/btf.ts';
import { generateLayouts } from '../../src/libbpf/generate-layouts.ts';
import { BpfError, type Layout } from '../../src/libbpf/index.ts';
import type { Selection } from '../../src/libbpf/layout-shapes.ts';
import { compile } from './compile.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const SUPPORT = join(ROOT, 'src/libbpf/layout.ts');
const GENERATOR = join(ROOT, 'src/libbpf/generate-layouts.ts');
const EVERYTHING: Selection = { maps: true, variables: true, structs: [], enums: [] };

type Value = Readonly<Record<string, unknown>>;

interface Generated {
  readonly NumbersLayout: Layout<Value>;
  readonly EverythingLayout: Layout<Value>;
  readonly PackedKeyLayout: Layout<Value>;
  readonly InnerLayout: Layout<Value>;
  readonly Color: Readonly<Record<string, number>>;
  readonly ColorName: (value: number) => string;
  readonly Shade: Readonly<Record<string, number>>;
  readonly Limits: Readonly<Record<string, number>>;
}

const inner = fc.record(
  {
    bytes: fc.uint8Array({ minLength: 4, maxLength: 4 }),
    port: fc.integer({ min: 0, max: 0xffff }),
  },
  { noNullPrototype: true },
);
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });

describe('Generated layouts', () => {
  let directory: string;
  let object: string;
  let source: string;
  let layouts: Generated;

  before(async function () {
    this.timeout(60_000);
    object = compile(join(import.meta.dirname, 'layouts.bpf.c'));
    directory = mkdtempSync(join(tmpdir(), 'layouts-'));
    source = generateLayouts([object], EVERYTHING, SUPPORT);
    const file = join(directory, 'layouts.gen.ts');
    writeFileSync(file, source);
    layouts = (await import(file)) as Generated;
  });

  after(() => rmSync(directory, { recursive: true }));

  it('have the sizes the compiler gave the structs, packed ones too', () => {
    assert.equal(layouts.NumbersLayout.size, 64);
    assert.equal(layouts.EverythingLayout.size, 160);
    assert.equal(layouts.PackedKeyLayout.size, 15);
  });

  it('put every number where and as the compiler does', () => {
    const value = {
      u8: 0x12,
      s8: -2,
      u16: 0x1234,
      s16: -3,
      u32: 0x12345678,
      s32: -4,
      u64: 0x1122334455667788n,
      s64: -5n,
      be16: 0x1234,
      be32: 0x12345678,
      be64: 0x1122334455667788n,
      flag: true,
      color: 2,
      shade: -1,
    };
    const bytes = Buffer.alloc(64, 0xff);
    layouts.NumbersLayout.write(value, bytes, 0);
    assert.equal(
      bytes.toString('hex'),
      // u8 s8 u16 s16, hole, u32 s32, hole, u64, s64, be16, hole, be32, be64, flag, hole, color, shade, end
      '12fe3412fdff000078563412fcffffff8877665544332211fbffffffffffffff' +
        '12340000123456781122334455667788010000000200000' +
        '0ffffffff00000000',
    );
    assert.deepEqual(layouts.NumbersLayout.read(bytes, 0), value);
  });

  it('keep unaligned fields of packed structs', () => {
    const bytes = Buffer.alloc(16);
    layouts.PackedKeyLayout.write({ prefix: 0x01020304, tag: 5, port: 0x0607, id: 0x08090a0b0c0d0e0fn }, bytes, 1);
    assert.equal(bytes.toString('hex'), '000403020105060' + '70f0e0d0c0b0a0908');
  });

  it('read back what they wrote, at any offset, with padding and holes as zeros', () => {
    const value = fc.record(
      {
        first: fc.integer({ min: 0, max: 255 }),
        counters: fc.array(u64, { minLength: 2, maxLength: 2 }),
        many: fc.array(u32, { minLength: 20, maxLength: 20 }),
        nested: inner,
        both: fc.array(inner, { minLength: 2, maxLength: 2 }),
        name: fc.stringMatching(/^[a-z]{0,8}$/),
        address: fc.uint8Array({ minLength: 16, maxLength: 16 }),
        left: fc.integer({ min: 0, max: 0xffff }),
        right: fc.integer({ min: 0, max: 0xffff }),
        lastOne: u32,
      },
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(value, fc.integer({ min: 0, max: 9 }), (written, offset) => {
        const bytes = Buffer.alloc(180, 0xee);
        layouts.EverythingLayout.write(written, bytes, offset);
        assert.deepEqual(layouts.EverythingLayout.read(bytes, offset), written);
        assert.equal(bytes.subarray(offset + 1, offset + 8).toString('hex'), '00000000000000');
        assert.ok(bytes.subarray(0, offset).every((byte) => byte === 0xee));
        assert.ok(bytes.subarray(offset + 160).every((byte) => byte === 0xee));
      }),
    );
  });

  it('refuse what does not fit instead of cutting it off', () => {
    const good = { bytes: new Uint8Array(4), port: 1 };
    for (const bad of [
      { port: 65536 },
      { port: -1 },
      { port: 1.5 },
      { port: Number.NaN },
      { port: '1' },
      { bytes: new Uint8Array(5) },
    ]) {
      assert.throws(
        () => layouts.InnerLayout.write({ ...good, ...bad }, Buffer.alloc(8), 0),
        { code: 'LAYOUT' },
        JSON.stringify(bad),
      );
    }
  });

  it('refuse to read past the end of a buffer', () => {
    for (const layout of [layouts.InnerLayout, layouts.EverythingLayout, layouts.PackedKeyLayout]) {
      assert.throws(() => layout.read(Buffer.alloc(layout.size), 8), RangeError, layout.name);
    }
  });

  it('strip what the names of an enum have in common', () => {
    assert.deepEqual(layouts.Color, { Red: 1, DarkBlue: 2 });
    assert.deepEqual(layouts.Shade, { Light: -1, None: 0 });
    assert.deepEqual(layouts.Limits, { Smallest: 0, Largest: 0x7fffffff });
  });

  it('name the values of an enum, and show numbers it does not have', () => {
    assert.equal(layouts.ColorName(2), 'DarkBlue');
    assert.equal(layouts.ColorName(77), '77');
  });

  it('leave out types that neither maps nor variables use', () => {
    assert.doesNotMatch(source, /Unseen/);
    assert.match(source, /interface Inner\b/, 'the value of a map in a map of maps');
  });

  it('hold only what was asked for when names are given', () => {
    const only = generateLayouts(
      [object],
      { maps: false, variables: false, structs: ['inner'], enums: ['color'] },
      SUPPORT,
    );
    assert.deepEqual(only.match(/^export interface (\w+)/gm), ['export interface Inner']);
    assert.match(only, /export const Color\b/);
  });

  it('say which asked-for types no object has', () => {
    const selection = { maps: false, variables: false, structs: ['unseen', 'inner'], enums: ['nothing'] };
    assert.throws(() => generateLayouts([object], selection, SUPPORT), /Cannot find struct unseen, enum nothing/);
  });

  describe('from the command line', () => {
    const run = (...args: string[]) => spawnSync(process.execPath, [GENERATOR, ...args], { encoding: 'utf8' });

    it('are checked: fresh is silent, stale and missing exit 1', () => {
      const file = join(directory, 'checked.gen.ts');
      assert.equal(run('--check', '--out', file, object).status, 1);
      assert.equal(run('--out', file, object).status, 0);
      assert.deepEqual(
        [run('--check', '--out', file, object).status, run('--check', '--out', file, object).stderr],
        [0, ''],
      );
      writeFileSync(file, `${readFileSync(file, 'utf8')}// edited\n`);
      const stale = run('--check', '--out', file, object);
      assert.equal(stale.status, 1);
      assert.match(stale.stderr, /stale/);
    });

    it('need to know where to write', () => {
      assert.equal(run(object).status, 64);
    });

    it('fail on what is no BPF object, with its name', () => {
      const result = run('--out', join(directory, 'none.ts'), GENERATOR);
      assert.equal(result.status, 65);
      assert.match(result.stderr, /Cannot read the BTF of ".*generate-layouts.ts"/);
    });
  });

  it('come from damaged objects as a BpfError or not at all', function () {
    this.timeout(60_000);
    const original = readFileSync(object);
    const damage = fc.array(
      fc.tuple(fc.integer({ min: 0, max: original.length - 1 }), fc.integer({ min: 0, max: 255 })),
      {
        minLength: 1,
        maxLength: 20,
      },
    );
    fc.assert(
      fc.property(
        damage,
        fc.option(fc.integer({ min: 0, max: original.length }), { nil: undefined }),
        (changes, length) => {
          const bytes = Buffer.from(original.subarray(0, length));
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
          try {
            readBtf(bytes, 'damaged.o');
          } catch (error) {
            assert.ok(error instanceof BpfError, String(error));
            assert.equal(error.code, 'BTF');
          }
        },
      ),
    );
    assert.throws(() => parseBtf(Buffer.alloc(4), 'nothing'), { code: 'BTF' });
  });
});
