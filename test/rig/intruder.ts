/** A program that tries ways into and out of containers (`intruder/*.c`, static): see its head. */

import { compiled } from './program.ts';

const PROGRAM = compiled('intruder', 'intruder', ['-static', '-O0']);

export const INTRUDER = PROGRAM.path;

export const buildIntruder = PROGRAM.build;
