/** Targets of ready rules in words, for pages and terminals. */
import { formatNetwork } from '../../model/address.ts';
import { CAPABILITIES as ALL_CAPABILITIES, capabilityName } from '../../model/capabilities.ts';
import type { Target } from '../../model/hardening.ts';
import { socketFamilyName, socketTypeName } from '../../model/sockets.ts';

/** One target: what of it, and the list where it has one. */
export interface Description {
  readonly what: string;
  /** Patterns, addresses, names; in the order of the rule. */
  readonly list: readonly string[];
  readonly except: readonly string[];
}

const PROTOCOLS: Readonly<Record<number, string>> = { 6: 'TCP', 17: 'UDP', 33: 'DCCP', 132: 'SCTP' };
const NETLINK: Readonly<Record<number, string>> = {
  6: 'xfrm',
  9: 'audit',
  11: 'connector',
  12: 'netfilter',
  15: 'uevent',
};
const NETLINK_FAMILY = 16;

export function describeTarget(target: Target): Description {
  const plain = (what: string, list: readonly string[] = []): Description => ({ what, list, except: [] });
  switch (target.type) {
    case 'paths':
      return { what: target.access.join(', '), list: target.paths, except: target.except };
    case 'capabilities': {
      const { capabilities, within } = target;
      const where = { container: '', 'user-namespace': ' in user namespaces', any: ', in user namespaces too' }[within];
      const all = capabilities.length >= ALL_CAPABILITIES.length;
      return plain(`use of capabilities${where}`, all ? ['all'] : capabilities.map(capabilityName));
    }
    case 'socket':
      return plain('creation of sockets', [socketWords(target)]);
    case 'mounts': {
      const { operations, fileSystems, writable, devices } = target;
      const which = [writable ? 'read-write' : '', devices ? 'of block devices' : ''].filter((word) => word !== '');
      return plain([`mounts (${operations.join(', ')})`, ...which].join(' '), fileSystems);
    }
    case 'network': {
      const { networks, protocol, port } = target;
      const how = protocol === undefined ? '' : ` by ${PROTOCOLS[protocol] ?? `protocol ${protocol}`}`;
      const where = port === undefined ? '' : ` to port ${port}`;
      return plain(`connections and datagrams${how}${where}`, networks.map(formatNetwork));
    }
    case 'operations':
      return plain('operations', target.operations);
  }
}

function socketWords({ family, kind, protocol }: Extract<Target, { type: 'socket' }>): string {
  const names = family === NETLINK_FAMILY ? NETLINK : PROTOCOLS;
  return [
    family === undefined ? 'any family' : (socketFamilyName(family) ?? `family ${family}`),
    kind === undefined ? '' : (socketTypeName(kind) ?? `type ${kind}`),
    protocol === undefined ? '' : (names[protocol] ?? `protocol ${protocol}`),
  ]
    .filter((word) => word !== '')
    .join(' ');
}

/** Descriptions that differ in their lists only, made one. */
export function describeTargets(targets: readonly Target[]): readonly Description[] {
  const merged = new Map<string, Description>();
  for (const one of targets.map(describeTarget)) {
    const key = `${one.what}\0${one.except.join()}`;
    const before = merged.get(key);
    merged.set(key, before === undefined ? one : { ...before, list: [...before.list, ...one.list] });
  }
  return [...merged.values()];
}
