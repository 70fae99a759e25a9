/** What the manager says of policies, in their `status`. */
import * as z from 'zod';
import { kubernetes } from './structural.ts';

export const count = z.int().min(0).max(0x7fffffff);
export const time = z.iso.datetime({ offset: true });

/** @param types those of the kind */
export function conditions<const T extends readonly [string, ...string[]]>(types: T) {
  return z
    .array(
      z.object({
        type: z.enum(types).describe('What the condition is about.'),
        status: z.enum(['True', 'False', 'Unknown']).describe('Whether it is so.'),
        reason: z
          .string()
          .max(64)
          .regex(/^[A-Za-z]([A-Za-z0-9]*)$/)
          .describe('Why, in one word.'),
        message: z.string().max(32_768).describe('Why, for people.'),
        lastTransitionTime: time.describe('Since when its status is what it is.'),
        observedGeneration: count.optional().describe('Of which generation of the object it is said.'),
      }),
    )
    .max(8)
    .register(kubernetes, { mapKeys: ['type'] });
}

export const observedGeneration = count.describe('The generation of the object that all this is said of.');

export const nodeCounts = z
  .object({
    total: count.describe('Nodes where it selects a container.'),
    enforced: count.describe('Nodes of them whose kernel has it in this generation.'),
    failed: count.describe('Nodes of them that could not put it in force.'),
  })
  .describe('Counted by what agents reported in the last minutes.');

export const policyStatusSchema = z
  .object({
    observedGeneration: observedGeneration.optional(),
    conditions: conditions(['Accepted', 'Enforced'])
      .optional()
      .describe('Accepted: it means something, and goes with all others. Enforced: every node it is for has it.'),
    nodes: nodeCounts.optional(),
    containers: z
      .object({
        selected: count.describe('Containers it selects.'),
        enforced: count.describe('Containers of them on nodes that have it in force.'),
      })
      .optional()
      .describe('Counted the same way.'),
  })
  .describe('What became of it. Written by Sallyport.');

export type PolicyStatus = z.infer<typeof policyStatusSchema>;
export type Condition = NonNullable<PolicyStatus['conditions']>[number];
