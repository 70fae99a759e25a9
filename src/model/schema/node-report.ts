/** NodeReport: what the agent of one node enforces; written by it. */
import * as z from 'zod';
import { count, time } from './status.ts';

/** Most policies of a report; those nothing on the node is selected by are left out anyway. */
export const NODE_REPORT_POLICIES = 5_000;

/**
 * `Enforced` and `Staged`: the kernel has it. `Rejected`: it does not mean anything, or not together with others.
 * `Failed`: the kernel would not take it. `Idle`: nothing here is selected.
 */
export const POLICY_STATES = ['Enforced', 'Staged', 'Rejected', 'Failed', 'Idle'] as const;
export type PolicyState = (typeof POLICY_STATES)[number];

const policySchema = z.object({
  kind: z.string().max(63).describe('Kind of the policy.'),
  namespace: z.string().max(63).optional().describe('Its namespace; absent for cluster-wide ones.'),
  name: z.string().max(253).describe('Its name.'),
  generation: count.describe('The generation the agent has; 0 where the policy is not of the cluster.'),
  state: z.enum(POLICY_STATES).describe('What became of it here. Idle: it selects nothing on this node.'),
  containers: count.describe('Containers of this node it selects.'),
  message: z.string().max(1024).optional().describe('What is wrong, or why an older generation is in force.'),
});

export const nodeReportSchema = z
  .object({
    spec: z.object({ node: z.string().max(253).describe('Name of the node.') }),
    status: z
      .object({
        observedAt: time.describe('When the agent looked. Reports older than three minutes count for nothing.'),
        agent: z
          .object({
            version: z.string().max(64).describe('Version of the agent.'),
            startedAt: time.describe('When it started.'),
            ready: z.boolean().describe('Whether all it was asked to enforce is in the kernel.'),
          })
          .describe('The agent.'),
        kernel: z.string().max(256).describe("The node's kernel, as uname -r says."),
        hardening: z
          .object({
            active: z.boolean().describe('Whether this kernel can enforce hardening policies.'),
            reason: z.string().max(1024).optional().describe('Why not.'),
          })
          .describe('Hardening on this node.'),
        endpoints: z
          .object({
            total: count.describe('Endpoints of the node.'),
            enforced: count.describe('Those with programs at their doors.'),
            unprotected: count.describe('Those that nothing is enforced on.'),
          })
          .describe('Its network endpoints.'),
        policiesSeen: count.optional().describe('All policies the agent knows, also those that select nothing here.'),
        policies: z
          .array(policySchema)
          .max(NODE_REPORT_POLICIES)
          .describe('Those that select a container here, or are wrong.'),
      })
      .optional(),
  })
  .meta({ title: 'NodeReport', description: 'What the agent of one node enforces. Written by Sallyport.' });

export type NodeReportResource = z.infer<typeof nodeReportSchema>;
export type NodeReportStatus = NonNullable<NodeReportResource['status']>;
export type ReportedPolicy = z.infer<typeof policySchema>;
