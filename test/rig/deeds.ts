/** A program that does what hardening rules are about (`deeds/*.c`, static), one thing at a time. */

import { compiled, WITH_LIBC } from './program.ts';

const DEEDS = compiled('deed', 'deeds', WITH_LIBC);

/** Path of the program; called with nothing, it lists what it can do. */
export const DEED = DEEDS.path;

export const buildDeeds = DEEDS.build;
