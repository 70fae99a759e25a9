import { contentId } from '../compile/hash.ts';
import type { HardeningPolicy } from '../model/hardening.ts';

/**
 * On a staged policy: whoever it selects is to tell each different thing it does, however many they are. The value names
 * the recording: with another one, all is told anew.
 */
export const LEARNING_ANNOTATION = 'sallyport.dev/learning';

/** The recording's number for the kernel, of 32 bits; 0 where nothing is recorded. */
export function learningOf(policies: readonly HardeningPolicy[]): number {
  const recordings = policies.flatMap(({ annotations, mode }) => {
    const name = annotations[LEARNING_ANNOTATION];
    return name === undefined || mode !== 'Stage' ? [] : [name];
  });
  if (recordings.length === 0) return 0;
  return Number(contentId(Buffer.from(recordings.join('\0'))) & 0xffff_ffffn) || 1;
}
