import { readFileSync } from 'node:fs';
import { compileGatePatterns, isContainerPath } from '../../datapath/gate/automaton.ts';
import type { Datapath } from '../../datapath/port.ts';
import type { Notice } from '../../events/journal.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { Config } from '../config.ts';
import type { Enforcement } from '../enforcement.ts';
import type { ContainerHardening } from '../hardening/containers.ts';
import type { Measurements } from '../metrics/registry.ts';
import type { WorldSource } from '../world.ts';
import { Gatekeeper, ownCgroups } from './gatekeeper.ts';

export interface GateSurroundings {
  readonly config: Config;
  readonly datapath: Datapath;
  readonly world: WorldSource;
  readonly enforcement: Enforcement;
  readonly hardening: ContainerHardening;
  readonly measurements: Measurements;
  readonly note: (notice: Notice) => void;
  readonly now: () => number;
}

/** The gatekeeper with its real surroundings. */
export function openGatekeeper(surroundings: GateSurroundings): Gatekeeper {
  const { config, datapath, world, enforcement, hardening, measurements, note, now } = surroundings;
  return new Gatekeeper({
    gate: datapath.gate,
    config,
    own: ownCgroupsOf(config.gate.cgroups),
    now,
    note,
    hint: (hint) => world.hint(hint),
    standing: () => standingOf(enforcement.applied.endpoints, datapath, hardening),
    hasSources: () => world.sources().length > 0,
    onOpened: (reason, heldMs) => {
      measurements.gateOpened.inc({ reason });
      if (heldMs !== undefined) measurements.gateHold.observe(heldMs / 1000);
    },
    onTimeout: (outcome) => measurements.gateTimeouts.inc({ outcome }),
  });
}

/** Those of the endpoints for which all is in the kernel that ever will be. */
function standingOf(
  endpoints: readonly Endpoint[],
  datapath: Datapath,
  hardening: ContainerHardening,
): readonly Endpoint[] {
  if (endpoints.length === 0) return endpoints;
  const enforced = new Map(datapath.endpointStatus().map((status) => [status.id, status.enforced]));
  const unhardened = new Set<string>();
  if (datapath.hardening.active) {
    for (const { container, status } of hardening.protections()) if (!status.enforced) unhardened.add(container.id);
  }
  return endpoints.filter(
    ({ id, mode, containers }) =>
      (mode === 'unprotected' || enforced.get(id) === true) && !containers.some((one) => unhardened.has(one.id)),
  );
}

function ownCgroupsOf(containers: readonly string[]): readonly string[] {
  const line = readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .find((text) => text.startsWith('0::'));
  if (line === undefined) return [];
  const automaton = compileGatePatterns({ containers, exceptions: [] });
  return ownCgroups(line.slice('0::'.length), (path) => isContainerPath(automaton, path));
}
