/** Whom a port of the host's own addresses leads to: `find_receiver` of bpf/host.bpf.c. */
import { BpfError, type BpfProgram } from '../libbpf/index.ts';
import { type Receiver, ReceiverLayout, type ReceiverQuestion, ReceiverQuestionLayout } from './layouts.gen.ts';

/** Stands for a link's header. */
const HEAD = 14;
/** Room for `struct __sk_buff`, which the kernel tells whole, and where its `cb` is. */
const CONTEXT = 256;
const CONTROL = 48;

/** What the kernel calls the container whose socket it is; undefined: none of those it knows, or it cannot be asked. */
export function findReceiver(program: BpfProgram, question: ReceiverQuestion): Receiver | undefined {
  const data = Buffer.alloc(HEAD + ReceiverQuestionLayout.size);
  ReceiverQuestionLayout.write(question, data, HEAD);
  try {
    const { retval, context } = program.testRun({ data, context: Buffer.alloc(CONTEXT) });
    return retval === 1 ? ReceiverLayout.read(context, CONTROL) : undefined;
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}
