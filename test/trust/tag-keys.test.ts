import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import * as fc from 'fast-check';
import { TrustError } from '../../src/trust/error.ts';
import { readTagKeys, watchTagKeys, writeTagKeys } from '../../src/trust/tag-key-file.ts';
import {
  firstTagKeys,
  formatTagKeys,
  nextChange,
  parseTagKeys,
  rotateTagKeys,
  type TagKeyFile,
  type TagKeysNow,
  tagKeyFingerprint,
  tagKeyState,
  tagKeysAt,
} from '../../src/trust/tag-keys.ts';
import { waitFor } from '../rig/cleanup.ts';

const SECRET = '00112233445566778899aabbccddeeff';
const at = (text: string): number => Date.parse(`2027-01-01T${text}Z`);
const iso = (text: string): string => `2027-01-01T${text}Z`;
const key = (epoch: number, rest: object = {}) => ({ epoch, key: epoch.toString(16).padStart(32, 'a'), ...rest });
const fileOf = (keys: object[], signing?: number): TagKeyFile =>
  parseTagKeys(JSON.stringify({ ...(signing === undefined ? {} : { signing }), keys }), 'keys.json');
const shown = ({ keys, signing }: TagKeysNow): string =>
  `${keys.map(({ epoch }) => epoch).join(',')}/${signing ?? '-'}`;

describe('tag keys', () => {
  const rotation = [key(1, { expires: iso('02:00:00') }), key(2, { activates: iso('01:00:00') })];
  const times: [name: string, keys: object[], signing: number | undefined, time: string, expected: string][] = [
    ['one key signs', [key(1)], undefined, '00:00:00', '1/1'],
    ['a new key is accepted before it signs', rotation, 2, '00:59:59', '1,2/1'],
    ['a new key signs from its time on', rotation, 2, '01:00:00', '1,2/2'],
    ['an old key is accepted until its time', rotation, 2, '01:59:59', '1,2/2'],
    ['an old key ends at its time', rotation, 2, '02:00:00', '2/2'],
    ['the one activated last signs', rotation, undefined, '01:00:00', '1,2/2'],
    [
      'activation counts, not the number',
      [key(3, { activates: iso('00:00:00') }), key(2, { activates: iso('00:30:00') })],
      undefined,
      '01:00:00',
      '2,3/2',
    ],
    ['of those that always could, the highest epoch', [key(1), key(2)], undefined, '00:00:00', '1,2/2'],
    ['the one that is meant to', [key(1), key(2)], 1, '00:00:00', '1,2/1'],
    [
      'not one that has expired, whatever is meant',
      [key(1, { expires: iso('00:00:00') }), key(2)],
      1,
      '00:00:00',
      '2/2',
    ],
    ['nobody before the first activates', [key(1, { activates: iso('01:00:00') })], 1, '00:00:00', '1/-'],
    ['nobody after the last expired', [key(1, { expires: iso('01:00:00') })], 1, '01:00:00', '/-'],
    ['four at once', [key(4), key(5), key(6), key(7)], 6, '00:00:00', '4,5,6,7/6'],
  ];
  for (const [name, keys, signing, time, expected] of times) {
    it(`at a time: ${name}`, () => assert.equal(shown(tagKeysAt(fileOf(keys, signing), at(time))), expected));
  }

  it('change by time exactly when it is said', () => {
    const moment = fc.integer({ min: 0, max: 40 });
    const entry = fc.record({ activates: fc.option(moment), expires: fc.option(moment) });
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 4 }), fc.option(fc.nat(3)), (entries, signing) => {
        const file: TagKeyFile = {
          ...(signing === null ? {} : { signing: signing + 1 }),
          keys: entries.map(({ activates, expires }, index) => ({
            epoch: index + 1,
            key: Uint8Array.from(Buffer.alloc(16, index + 1)),
            ...(activates === null ? {} : { activates }),
            ...(expires === null ? {} : { expires }),
          })),
        };
        for (let now = -1; now < 42; now++) {
          const next = nextChange(file, now);
          for (let later = now; later < (next ?? 42); later++) {
            assert.equal(shown(tagKeysAt(file, later)), shown(tagKeysAt(file, now)));
          }
          const { keys, signing: signs } = tagKeysAt(file, now);
          if (signs !== undefined) assert.ok(keys.some(({ epoch }) => epoch === signs));
        }
      }),
    );
  });

  it('read back as they were written', () => {
    const file = fileOf(rotation, 2);
    assert.deepEqual(parseTagKeys(formatTagKeys(file), 'x'), file);
    assert.deepEqual(JSON.parse(formatTagKeys(fileOf(rotation, 2))), {
      signing: 2,
      keys: [key(1, { expires: '2027-01-01T02:00:00.000Z' }), key(2, { activates: '2027-01-01T01:00:00.000Z' })],
    });
  });

  const bad: [name: string, text: string, message: RegExp][] = [
    ['no JSON', `{"keys": [{"epoch": 1, "key": "${SECRET}"`, /not JSON/],
    ['something before the JSON', `${SECRET} {}`, /not JSON/],
    ['a key where none belongs', JSON.stringify({ keys: [{ epoch: 1, key: SECRET, keys: SECRET }] }), /keys\.0: /],
    [
      'a short key',
      JSON.stringify({ keys: [{ epoch: 1, key: SECRET.slice(1) }] }),
      /keys\.0\.key: wanted 32 hexadecimal/,
    ],
    ['a key of other letters', JSON.stringify({ keys: [{ epoch: 1, key: `${SECRET.slice(1)}g` }] }), /wanted 32 hex/],
    ['an epoch of zero', JSON.stringify({ keys: [{ epoch: 0, key: SECRET }] }), /keys\.0\.epoch/],
    ['no keys', '{"keys": []}', /wanted at least one key/],
    ['five keys', JSON.stringify({ keys: [1, 2, 3, 4, 5].map((epoch) => key(epoch)) }), /at most 4 keys/],
    ['a time that is none', JSON.stringify({ keys: [key(1, { expires: 'tomorrow' })] }), /expires: wanted a time as/],
    ['equal epochs', JSON.stringify({ keys: [key(1), { epoch: 1, key: SECRET }] }), /epochs 1 and 1 are the same/],
    ['epochs that look the same', JSON.stringify({ keys: [key(2), key(6)] }), /epochs 2 and 6 are the same modulo 4/],
    [
      'one key twice',
      JSON.stringify({
        keys: [
          { epoch: 1, key: SECRET },
          { epoch: 2, key: SECRET.toUpperCase() },
        ],
      }),
      /1 and 2 have the same key/,
    ],
    ['a key of zeros', JSON.stringify({ keys: [{ epoch: 1, key: '0'.repeat(32) }] }), /all zeros/],
    [
      'an end before the beginning',
      JSON.stringify({ keys: [key(1, { activates: iso('02:00:00'), expires: iso('01:00:00') })] }),
      /expires before it activates/,
    ],
    ['a signer that is not there', JSON.stringify({ signing: 2, keys: [key(1)] }), /signing is 2, and there is no key/],
    ['an unknown field', JSON.stringify({ keys: [key(1)], [SECRET.slice(0, 8)]: 1 }), /the file: /],
  ];
  for (const [name, text, message] of bad) {
    it(`are refused with ${name}, and no error shows a key`, () => {
      assert.throws(
        () => parseTagKeys(text, 'keys.json'),
        (error) => {
          assert.ok(error instanceof TrustError);
          assert.match(error.message, message);
          assert.equal(inspect(error, { depth: 9 }).includes(SECRET.slice(0, 12)), false);
          return true;
        },
      );
    });
  }

  it('rotate without a moment in which a tag is refused', () => {
    const hour = 3_600_000;
    const request = { activateInMs: 60_000, keepMs: hour };
    let file = firstTagKeys();
    let now = at('00:00:00');
    for (let round = 0; round < 12; round++) {
      const next = rotateTagKeys(file, { ...request, now });
      // Nodes have the old file or the new one, until the new key signs; afterwards all have the new one.
      for (let time = now; time < now + 3 * hour; time += 10_000) {
        const files = time < now + request.activateInMs ? [file, next] : [next];
        for (const writer of files) {
          const { signing } = tagKeysAt(writer, time);
          for (const reader of files) {
            assert.ok(
              tagKeysAt(reader, time).keys.some(({ epoch }) => epoch === signing),
              `${round} ${time}`,
            );
          }
        }
      }
      // Long enough for the old one to have expired, now and then not.
      now += round % 3 === 0 ? 2 * hour : hour / 2;
      file = next;
      assert.equal(file.signing, round + 2);
    }
  });

  it('rotate with times as asked, and drop what has expired', () => {
    const now = at('00:00:00');
    const once = rotateTagKeys(firstTagKeys(), { now, activateInMs: 60_000, keepMs: 3_600_000 });
    assert.deepEqual(
      once.keys.map(({ epoch, activates, expires }) => [epoch, activates, expires]),
      [
        [1, undefined, at('01:01:00')],
        [2, at('00:01:00'), undefined],
      ],
    );
    assert.equal(once.signing, 2);
    const twice = rotateTagKeys(once, { now: at('01:01:00'), activateInMs: 0, keepMs: 0 });
    assert.deepEqual(
      twice.keys.map(({ epoch }) => epoch),
      [3],
    );
    assert.deepEqual(
      once.keys.map((one) => tagKeyState(once, one, now)),
      ['signs', 'waits'],
    );
    assert.deepEqual(
      once.keys.map((one) => tagKeyState(once, one, at('01:01:00'))),
      ['expired', 'signs'],
    );
    assert.equal(tagKeyState(once, once.keys[0]!, at('00:01:00')), 'accepted');
  });

  it('do not rotate so often that two keys look the same', () => {
    const now = at('00:00:00');
    let file = firstTagKeys();
    for (let round = 0; round < 3; round++)
      file = rotateTagKeys(file, { now, activateInMs: 60_000, keepMs: 3_600_000 });
    assert.equal(file.keys.length, 4);
    const rotate = (): TagKeyFile => rotateTagKeys(file, { now, activateInMs: 60_000, keepMs: 3_600_000 });
    assert.throws(rotate, /Cannot add a key: epochs 1 and 5 are the same modulo 4.*accepted until 2027-01-01T01:01:00/);
    const later = rotateTagKeys(file, { now: at('01:01:00'), activateInMs: 0, keepMs: 1_000 });
    assert.deepEqual(later.keys.map(({ epoch }) => epoch).at(-1), 5);
  });

  it('are told apart by fingerprints that do not tell them', () => {
    const bytes = Uint8Array.from(Buffer.from(SECRET, 'hex'));
    assert.match(tagKeyFingerprint(bytes), /^[0-9a-f]{16}$/);
    assert.notEqual(tagKeyFingerprint(bytes), tagKeyFingerprint(Uint8Array.from(bytes).fill(1)));
    assert.ok(!SECRET.includes(tagKeyFingerprint(bytes).slice(0, 8)));
  });
});

describe('the file of tag keys', () => {
  let root: string;
  let path: string;
  let told: string[];
  let errors: TrustError[];
  let time: number;
  let watch: { close(): void } | undefined;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'sallyport-test-trust-'));
    path = join(root, 'keys', 'tag-keys.json');
    told = [];
    errors = [];
    time = Date.now();
  });
  afterEach(() => {
    watch?.close();
    rmSync(root, { recursive: true, force: true });
  });
  const start = (intervalMs = 3_600_000): void => {
    watch = watchTagKeys(
      path,
      (keys) => told.push(shown(keys)),
      (error) => errors.push(error),
      { intervalMs, quietMs: 10, now: () => time },
    );
  };
  const replace = (file: TagKeyFile): void => {
    writeTagKeys(`${path}.new`, file, { force: true });
    renameSync(`${path}.new`, path);
  };

  it("is its owner's alone, and read only then", () => {
    writeTagKeys(path, firstTagKeys(), { force: false });
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(readTagKeys(path).keys.length, 1);
    for (const mode of [0o640, 0o604, 0o622]) {
      chmodSync(path, mode);
      assert.throws(() => readTagKeys(path), { code: 'EXPOSED' });
    }
  });

  it('is followed as it is replaced', async () => {
    const first = firstTagKeys();
    writeTagKeys(path, first, { force: false });
    start();
    assert.deepEqual(told, ['1/1']);
    replace(rotateTagKeys(first, { now: time, activateInMs: 3_600_000, keepMs: 3_600_000 }));
    await waitFor('the second is accepted', () => told.length === 2);
    assert.deepEqual(told, ['1/1', '1,2/1']);
  });

  it('changes what signs by time alone, on time', async () => {
    time = Date.now();
    const file = rotateTagKeys(firstTagKeys(), { now: Date.now(), activateInMs: 800, keepMs: 400 });
    writeTagKeys(path, file, { force: false });
    watch = watchTagKeys(
      path,
      (keys) => told.push(shown(keys)),
      (error) => errors.push(error),
      { intervalMs: 3_600_000, quietMs: 10 },
    );
    await waitFor('the old one expired', () => told.length === 3);
    assert.deepEqual(told, ['1,2/1', '1,2/2', '2/2']);
  });

  it('that turns bad leaves the keys that were, which go on by time, and is told once', async () => {
    const file = rotateTagKeys(firstTagKeys(), { now: time, activateInMs: 60_000, keepMs: 60_000 });
    writeTagKeys(path, file, { force: false });
    start(30);
    writeFileSync(path, '{');
    await waitFor('it is told', () => errors.length > 0);
    time += 60_000;
    await waitFor('the second signs', () => told.length === 2);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.deepEqual(told, ['1,2/1', '1,2/2']);
    assert.equal(errors.length, 1);
    replace(file);
    time += 60_000;
    await waitFor('the first expired', () => told.length === 3);
    writeFileSync(path, '{');
    await waitFor('it is told again', () => errors.length === 2);
  });

  it('may come later', async () => {
    start(30);
    assert.deepEqual([told.length, errors.map(({ code }) => code)], [0, ['MISSING']]);
    writeTagKeys(path, firstTagKeys(), { force: false });
    await waitFor('it is found', () => told.length === 1);
  });
});
