import assert from 'node:assert/strict';
import { summarizeLog } from '../../src/libbpf/index.ts';

const REFUSED = `libbpf: prog 'wild': BPF program load failed: Permission denied
libbpf: prog 'wild': -- BEGIN PROG LOAD LOG --
0: R1=ctx(off=0,imm=0) R10=fp0
; int wild(struct __sk_buff *skb) @ refused.bpf.c:9
0: (b7) r1 = 0                        ; R1_w=0
; return *(volatile int *)0; @ refused.bpf.c:11
1: (61) r0 = *(u32 *)(r1 +0)
R1 invalid mem access 'scalar'
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'wild': failed to load: -13
libbpf: failed to load object 'refused.bpf.o'
`;

const UNKNOWN_TARGET = `libbpf: prog 'on_nothing': failed to find kernel BTF type ID of 'no_such_hook': -3
libbpf: prog 'on_nothing': failed to prepare load attributes: -3
libbpf: prog 'on_nothing': failed to load: -3
libbpf: failed to load object 'x.bpf.o'
`;

describe('The summary of a log', () => {
  it("is the verifier's reason with the instruction and the source it was about", () => {
    assert.deepEqual(summarizeLog(REFUSED), {
      program: 'wild',
      message: "R1 invalid mem access 'scalar'",
      instruction: '1: (61) r0 = *(u32 *)(r1 +0)',
      source: 'return *(volatile int *)0; @ refused.bpf.c:11',
      verifier: true,
    });
  });

  it("is libbpf's reason where the verifier was not asked", () => {
    const summary = summarizeLog(UNKNOWN_TARGET);
    assert.equal(summary?.verifier, false);
    assert.match(summary.message, /failed to prepare load attributes/);
  });

  it('is nothing where nothing was said', () => {
    assert.equal(summarizeLog(''), undefined);
    assert.equal(summarizeLog('\n\n'), undefined);
  });

  it('survives a log that was cut off', () => {
    for (let length = 0; length < REFUSED.length; length += 7) summarizeLog(REFUSED.slice(0, length));
    assert.equal(
      summarizeLog(REFUSED.slice(0, REFUSED.indexOf('processed')))?.message,
      "R1 invalid mem access 'scalar'",
    );
  });
});
