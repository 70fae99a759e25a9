import assert from 'node:assert/strict';
import { borrowSysctls, readSysctl } from './sysctls.ts';

const KEY = 'net.ipv4.ip_forward';

describe('settings of the machine that tests borrow', () => {
  it('are as they were when the last of several has given them back, whoever that is', () => {
    const before = readSysctl(KEY);
    const other = 1 - Number(before);
    const first = borrowSysctls({ [KEY]: other });
    const second = borrowSysctls({ [KEY]: other });
    first();
    first();
    assert.equal(readSysctl(KEY), String(other));
    second();
    assert.equal(readSysctl(KEY), before);
  });
});
