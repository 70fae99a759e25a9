import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { parse } from 'yaml';
import { wantsColor } from '../../src/cli/io.ts';
import { type Format, printList, printStream, type Resource } from '../../src/cli/output/print.ts';
import { formatTable } from '../../src/cli/output/table.ts';
import { humanBytes, humanCount, paint, safe, safeJson } from '../../src/cli/output/text.ts';

interface Thing {
  readonly name: string;
  readonly size: number;
}

const THING: Resource<Thing> = {
  kind: 'thing',
  name: ({ name }) => name,
  columns: [
    { header: 'NAME', value: ({ name }) => name },
    { header: 'SIZE', value: ({ size }) => String(size), right: true, color: () => 'red' },
    { header: 'MORE', value: () => 'x', wide: true },
  ],
};
const things: Thing[] = [
  { name: 'a', size: 5 },
  { name: 'longer', size: 12345 },
];

async function print(items: readonly Thing[], output: Format, headers = true): Promise<{ out: string; err: string }> {
  let out = '';
  let err = '';
  const io = {
    write: async (text: string) => {
      out += text;
    },
    complain: (text: string) => {
      err += text;
    },
    color: false,
  };
  await printList(io as never, THING, items, { output, headers });
  return { out, err };
}

describe('a table', () => {
  it('has columns as wide as their widest cell', async () => {
    assert.equal((await print(things, 'table')).out, 'NAME      SIZE\na            5\nlonger   12345\n');
    assert.equal((await print(things, 'wide')).out, 'NAME      SIZE   MORE\na            5   x\nlonger   12345   x\n');
    assert.equal((await print(things, 'table', false)).out, 'a            5\nlonger   12345\n');
  });

  it('shows a dash for nothing, so that columns can be cut', () => {
    const options = { wide: false, headers: false, color: false };
    assert.equal(formatTable(THING.columns, [{ name: '', size: 1 }], options), '-   1\n');
  });

  it('is padded by what is seen, not by colours', () => {
    const colored = formatTable(THING.columns, things, { wide: false, headers: true, color: true });
    assert.ok(colored.includes('\u001b[31m12345\u001b[0m'));
    assert.equal(
      colored.replaceAll('\u001b[31m', '').replaceAll('\u001b[0m', ''),
      'NAME      SIZE\na            5\nlonger   12345\n',
    );
  });

  it('says to people that there is nothing, and nothing to programs', async () => {
    assert.deepEqual(await print([], 'table'), { out: '', err: 'No thing found.' });
    assert.deepEqual(await print([], 'json'), { out: '[]\n', err: '' });
  });
});

describe('the other formats', () => {
  it('are data that reads back, and names one a line', async () => {
    assert.deepEqual(JSON.parse((await print(things, 'json')).out), things);
    assert.deepEqual(parse((await print(things, 'yaml')).out), things);
    assert.equal((await print(things, 'name')).out, 'thing/a\nthing/longer\n');
  });

  it('print streams as lines of JSON, and the header of a table once', async () => {
    let out = '';
    const write = async (text: string): Promise<void> => {
      out += text;
    };
    const io = { write, color: false } as never;
    const json = printStream(io, THING, { output: 'json', headers: true });
    await json(things.slice(0, 1));
    await json(things.slice(1));
    assert.deepEqual(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Thing),
      things,
    );
    out = '';
    const table = printStream(io, THING, { output: 'table', headers: true });
    await table(things.slice(0, 1));
    await table(things.slice(1));
    assert.equal(out.match(/NAME/g)?.length, 1);
  });
});

describe('text of others', () => {
  const hostile: [name: string, text: string][] = [
    ['an escape sequence', 'a\u001b[2Jb'],
    ['a carriage return', 'a\rb'],
    ['a line feed', 'a\nb'],
    ['a C1 control', 'a\u009b31mb'],
    ['a change of direction', 'a\u202eb'],
    ['a zero-width space', 'a\u200bb'],
    ['a tag character', 'a\u{e0041}b'],
  ];
  for (const [name, text] of hostile) {
    it(`reaches the terminal without ${name}`, () => {
      assert.match(safe(text), /^a(\\u[0-9a-f]{4})+/);
      assert.deepEqual(JSON.parse(safeJson({ text })), { text });
      assert.doesNotMatch(safeJson({ text }), /[\p{Cc}\p{Cf}]/u);
    });
  }

  it('reads back from JSON whatever it is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        assert.deepEqual(JSON.parse(safeJson(value, 2)), JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('keeps letters of every script', () => {
    assert.equal(safe('Grüße, 世界 ✓'), 'Grüße, 世界 ✓');
  });
});

describe('colours', () => {
  const cases: [terminal: boolean, environment: Record<string, string>, expected: boolean][] = [
    [true, {}, true],
    [false, {}, false],
    [true, { NO_COLOR: '1' }, false],
    [true, { NO_COLOR: '' }, true],
    [true, { TERM: 'dumb' }, false],
  ];
  for (const [terminal, environment, expected] of cases) {
    it(`are ${expected ? 'on' : 'off'} with ${JSON.stringify(environment)}${terminal ? '' : ' and no terminal'}`, () => {
      assert.equal(wantsColor(terminal, environment), expected);
    });
  }
  it('leave the text alone when they are off', () => {
    assert.equal(paint('x', 'red', false), 'x');
    assert.equal(paint('x', undefined, true), 'x');
  });
});

describe('amounts', () => {
  const cases: [text: string, expected: string][] = [
    [humanCount(0), '0'],
    [humanCount(9_999), '9999'],
    [humanCount(12_345), '12.3k'],
    [humanCount(999_999), '1000k'],
    [humanCount(5_400_000), '5.4M'],
    [humanBytes(1_023), '1023B'],
    [humanBytes(1_536), '1.5KiB'],
    [humanBytes(300 * 1024 ** 3), '300GiB'],
  ];
  for (const [text, expected] of cases) it(`are short: ${expected}`, () => assert.equal(text, expected));
});
