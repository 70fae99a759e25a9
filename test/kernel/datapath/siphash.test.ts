import assert from 'node:assert/strict';
import fc from 'fast-check';
import { siphash } from '../../rig/tag.ts';
import { TagReader } from './tag-reader.ts';

/** `vectors_sip64` of the reference implementation: key 00 … 0f, messages of 0, 1, 2, … bytes 00 01 02 … */
const VECTORS = [
  '310e0edd47db6f72',
  'fd67dc93c539f874',
  '5a4fa9d909806c0d',
  '2d7efbd796666785',
  'b7877127e09427cf',
  '8da699cd64557618',
  'cee3fe586e46c9cb',
  '37d1018bf50002ab',
  '6224939a79f5f593',
  'b0e4a90bdf82009e',
  'f3b9dd94c5bb5d7a',
  'a7ad6b22462fb3f4',
  'fbe50e86bc8f1e75',
  '903d84c02756ea14',
  'eef27a8e90ca23f7',
  'e545be4961ca29a1',
  'db9bc2577fcc2a3f',
  '9447be2cf5e99a69',
  '9cd38d96f0b3c14b',
  'bd6179a71dc96dbb',
  '98eea21af25cd6be',
  'c7673b2eb0cbf2d0',
  '883ea3e395675393',
  'c8ce5ccd8c030ca8',
  '94af49f6c650adb8',
  'eab8858ade92e1bc',
];

const counting = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, index) => index));
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map((b) => Buffer.from(b));

describe('SipHash-2-4', () => {
  let reader: TagReader;
  before(function () {
    this.timeout(120_000);
    reader = new TagReader();
  });
  after(() => reader.close());

  it('gives the vectors of the reference in the second implementation', () => {
    for (const [length, vector] of VECTORS.entries()) {
      const hash = Buffer.alloc(8);
      hash.writeBigUInt64LE(siphash(counting(16), counting(length)));
      assert.equal(hash.toString('hex'), vector, `${length} bytes`);
    }
  });

  it('gives the vector of 24 bytes in the kernel', () => {
    const hash = Buffer.alloc(8);
    hash.writeBigUInt64LE(reader.hash(counting(16), counting(24)));
    assert.equal(hash.toString('hex'), VECTORS[24]);
  });

  it('is the same in the kernel and in the second implementation for any key and message', () => {
    fc.assert(
      fc.property(bytes(16), bytes(24), (key, message) => {
        assert.equal(reader.hash(key, message), siphash(key, message));
      }),
      { numRuns: 300 },
    );
  });
});
