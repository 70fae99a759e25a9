import type { HardeningPolicy } from '../../model/hardening.ts';
import { FILE_ACCESSES, MOUNT_OPERATIONS, OPERATIONS } from '../../model/hardening.ts';
import type { WorkloadSelector } from '../../model/selector.ts';
import type { Workload } from '../../model/workload.ts';
import { LEARNING_ANNOTATION } from '../learning.ts';
import { networkRules } from './networks.ts';

/**
 * The policy that lets a workload do everything and has all of it reported, each thing once. Staged, so that it allows
 * nothing new.
 * @param recording another one for each recording
 */
export function recordingPolicy(workload: Workload, subject: WorkloadSelector, recording: string): HardeningPolicy {
  const paths = (list: readonly string[], access: (typeof FILE_ACCESSES)[number][]) => ({
    type: 'paths' as const,
    paths: list,
    except: [],
    access,
  });
  const anybody = [4, 6].map((family) => ({
    type: 'network' as const,
    protocol: 0,
    port: 0,
    address: family === 4 ? '0.0.0.0' : '::',
  }));
  const [network] = networkRules(anybody, 0);
  const rule = (name: string, targets: HardeningPolicy['rules'][number]['targets']) => ({
    name,
    action: 'Alert' as const,
    ready: [],
    targets,
  });
  return {
    kind: 'HardeningPolicy',
    namespace: workload.namespace,
    name: `sallyport-learning-${workload.kind}-${workload.name}`
      .toLowerCase()
      .replaceAll(/[^a-z0-9.-]/g, '-')
      .slice(0, 253),
    labels: {},
    annotations: { [LEARNING_ANNOTATION]: recording },
    subject,
    priority: 0,
    explicitPriority: true,
    mode: 'Stage',
    defaults: {},
    rules: [
      rule('files', [paths(['/**'], [...FILE_ACCESSES])]),
      rule('abstract-sockets', [paths(['@*'], ['connect', 'bind'])]),
      rule('capabilities', [
        { type: 'capabilities', capabilities: Array.from({ length: 64 }, (_, number) => number), within: 'any' },
      ]),
      rule('operations', [{ type: 'operations', operations: [...OPERATIONS] }]),
      rule('sockets', [{ type: 'socket' }]),
      rule('mounts', [
        { type: 'mounts', operations: [...MOUNT_OPERATIONS], fileSystems: [], writable: false, devices: false },
      ]),
      rule('network', network === undefined ? [] : [network.target]),
    ],
  };
}
