/**
 * Reads one large policy file in a thread of its own: the other end of `PolicyParser`. Takes what is to be read from
 * `workerData`, sends one text, and ends.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { toDocuments } from '../model/located-policy.ts';
import { parsePolicyFile } from '../model/policy-file.ts';
import type { ParsedText, ParseTask } from './policy-parser.ts';

const { file, bytes } = workerData as ParseTask;
const { problems, ...policies } = parsePolicyFile(file, bytes);
const documents = toDocuments(policies);
// Text, because cloning the tens of thousands of objects of a policy costs several times as much, time and memory.
parentPort?.postMessage(JSON.stringify({ documents, problems } satisfies ParsedText));
