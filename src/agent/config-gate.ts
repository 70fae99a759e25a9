import * as z from 'zod';
import { readPatterns } from '../datapath/gate/patterns.ts';
import { CONTAINER_CGROUPS } from '../datapath/gate/standard.ts';
import { duration, flag } from './config-types.ts';

/** Settings of the gate, where new containers wait until their tables are in the kernel. */

const patterns = (standard: readonly string[]) =>
  z
    .array(z.string().max(1_024))
    .max(128)
    .superRefine((list, context) => {
      try {
        readPatterns(list);
      } catch (error) {
        context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
      }
    })
    .default([...standard]);

export const gate = z
  .strictObject({
    enabled: flag(true).describe('A new container’s first instruction runs only once its tables are in the kernel'),
    cgroups: patterns(CONTAINER_CGROUPS).describe(
      'Cgroups that are containers’, below the cgroup2 mount: * and ? within a part, ** for any parts, {id} for 64 ' +
        'hexadecimal digits. Those of sources.cgroups are added',
    ),
    except: patterns([]).describe('Cgroups that never wait, nor what lies below them'),
    timeout: duration('10s', 100, 600_000).describe('How long a container waits, once it is about to begin'),
    onTimeout: z
      .enum(['open', 'kill'])
      .default('open')
      .describe('What a container gets that no source has told of by then, or that could not be protected'),
    whenStale: z
      .enum(['open', 'closed'])
      .default('open')
      .describe('Without an agent. open: new containers begin unjudged; closed: they wait for the next agent'),
    staleAfter: duration('10s', 200, 600_000).describe(
      'The agent counts as gone this long after it last said it lives',
    ),
    whenFull: z
      .enum(['open', 'kill'])
      .default('open')
      .describe('What a container gets for which there is no room among those that wait (datapath.sizes.gates)'),
  })
  .prefault({});
