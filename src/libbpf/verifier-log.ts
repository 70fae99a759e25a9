/** What a log of libbpf and the verifier comes down to. */
export interface LogSummary {
  /** The program that was refused, where one was. */
  readonly program: string | undefined;
  /** The verifier's last word, or libbpf's when the verifier was not asked. */
  readonly message: string;
  /** The instruction it was at: `12: (79) r1 = *(u64 *)(r0 +8)`. */
  readonly instruction: string | undefined;
  /** The C source of that instruction, where the log has it. */
  readonly source: string | undefined;
  /** Whether the verifier spoke. */
  readonly verifier: boolean;
}

const BEGIN = /^libbpf: prog '([^']*)': -- BEGIN PROG LOAD LOG --$/;
const END = /^-- END PROG LOAD LOG --$/;
const INSTRUCTION = /^\d+: \([0-9a-f]{2}\) /;
const SOURCE = /^; (.+)$/;
/** States, statistics, and remarks that follow the reason. */
const NOISE =
  /^(processed \d+ insns|verification time|stack depth|insns processed|mark_precise:|\d+: R\d|\d+: safe$|from \d+ to \d+|R\d+_?\w*=|func#\d+ @|Live regs before|max_states|peak_states|last_idx|regs=|parent )/;

/** The short form of a log; undefined when there is nothing in it. */
export function summarizeLog(log: string): LogSummary | undefined {
  const lines = log.split('\n').map((line) => line.trimEnd());
  const begin = lines.findLastIndex((line) => BEGIN.test(line));
  if (begin === -1) {
    const last = lines.findLast(
      (line) => line.startsWith('libbpf: ') && !/failed to load object|failed to load: -/.test(line),
    );
    const message = last?.slice('libbpf: '.length) ?? verdict(lines);
    if (message === undefined) return undefined;
    return { program: undefined, message, instruction: undefined, source: undefined, verifier: false };
  }
  const end = lines.findIndex((line, index) => index > begin && END.test(line));
  const body = lines.slice(begin + 1, end === -1 ? undefined : end);
  const message = verdict(body);
  const program = BEGIN.exec(lines[begin]!)?.[1];
  if (message === undefined) {
    // An empty log: the kernel refused before verifying.
    return {
      program,
      message: 'the kernel refused it without a word',
      instruction: undefined,
      source: undefined,
      verifier: false,
    };
  }
  const instruction = body.findLast((line) => INSTRUCTION.test(line));
  const source = SOURCE.exec(body.findLast((line) => SOURCE.test(line)) ?? '')?.[1];
  return { program, message, instruction, source, verifier: true };
}

function verdict(lines: readonly string[]): string | undefined {
  return lines.findLast((line) => line !== '' && !NOISE.test(line) && !INSTRUCTION.test(line) && !SOURCE.test(line));
}
