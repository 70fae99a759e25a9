import assert from 'node:assert/strict';
import { BpfError, ERROR_TABLE, errnoMessage, errnoName } from '../../src/libbpf/index.ts';

describe('BpfError', () => {
  it('says what was attempted, why it failed and under which name the kernel knows the failure', () => {
    const error = new BpfError('ATTACH', {
      attempted: 'attach "from_endpoint" to interface 7',
      errno: -22,
      hint: 'use clsact',
    });
    assert.equal(error.message, 'Cannot attach "from_endpoint" to interface 7: invalid argument (EINVAL)');
    assert.equal(error.errno, 'EINVAL');
    assert.equal(error.hint, 'use clsact');
    assert.equal(error.exitCode, ERROR_TABLE.ATTACH.exitCode);
  });

  it('prefers the reason it is given over what errno says', () => {
    const error = new BpfError('MAP_FULL', {
      attempted: 'write to map "flows"',
      errno: -7,
      reason: 'it holds at most 4 elements',
    });
    assert.equal(error.message, 'Cannot write to map "flows": it holds at most 4 elements (E2BIG)');
  });

  it("falls back to its code's meaning and hint", () => {
    const error = new BpfError('PERMISSION', { attempted: 'load' });
    assert.equal(error.message, 'Cannot load: the process may not do this');
    assert.equal(error.hint, ERROR_TABLE.PERMISSION.hint);
    assert.equal(error.errno, undefined);
  });

  it('has an exit code of sysexits(3) for every code', () => {
    for (const [code, { meaning, exitCode }] of Object.entries(ERROR_TABLE)) {
      assert.ok(exitCode >= 64 && exitCode <= 78, code);
      assert.match(meaning, /^[a-z]/, code);
    }
  });
});

describe('errno names', () => {
  it('know what libuv knows and what only the kernel knows', () => {
    assert.equal(errnoName(-2), 'ENOENT');
    assert.equal(errnoName(2), 'ENOENT');
    assert.equal(errnoName(-524), 'ENOTSUPP');
    assert.equal(errnoMessage(-524), 'the operation is not supported');
    assert.equal(errnoName(-4000), 'errno 4000');
  });
});
