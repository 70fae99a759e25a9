import type { ViolationEvent } from '../../events/event.ts';
import type { Observation } from '../../hardening/learn/observation.ts';
import { parseCapability } from '../../model/capabilities.ts';
import { FILE_ACCESSES, MOUNT_OPERATIONS, OPERATIONS } from '../../model/hardening.ts';
import { parseProtocol } from '../../model/protocol.ts';
import { SOCKET_FAMILIES, SOCKET_TYPES } from '../../model/sockets.ts';

/** In front of a path whose beginning is missing. */
const CUT = '…';
const IN_USER_NAMESPACE = ' in a user namespace';

/** What a container did, as the events tell it. None for what no policy can say, such as orphans. */
export function observationsOf({ class: what, action, object }: ViolationEvent): Observation[] {
  switch (what) {
    case 'file':
      return named(FILE_ACCESSES, action, (access) => {
        if (object === undefined) return [];
        const cut = object.startsWith(CUT);
        return [{ type: 'path', access, path: cut ? object.slice(CUT.length) : object, cut }];
      });
    case 'capability': {
      const inside = action.endsWith(IN_USER_NAMESPACE);
      const name = inside ? action.slice(0, -IN_USER_NAMESPACE.length) : action;
      const capability = parseCapability(name) ?? numberOf(name);
      if (capability === undefined) return [];
      return [{ type: 'capability', capability, within: inside ? 'user-namespace' : 'container' }];
    }
    case 'operation':
      return named(OPERATIONS, action, (operation) => [{ type: 'operation', operation }]);
    case 'mount':
      return action
        .split(' ')
        .flatMap((word) => named(MOUNT_OPERATIONS, word, (operation) => [{ type: 'mount', operation }]));
    case 'socket': {
      const [family = '', kind = '', protocol = '0'] = action.split(' ');
      const [f, k] = [numbered(SOCKET_FAMILIES, family), numbered(SOCKET_TYPES, kind)];
      if (f === undefined || k === undefined) return [];
      return [{ type: 'socket', family: f, kind: k, protocol: Number(protocol) }];
    }
    case 'network': {
      const [, address = '', port = ''] = /^\[?([0-9a-f.:]+?)\]?:(\d+)$/.exec(object ?? '') ?? [];
      const protocol = parseProtocol(action) ?? numberOf(action);
      return address === '' || protocol === undefined
        ? []
        : [{ type: 'network', protocol, port: Number(port), address }];
    }
    default:
      return [];
  }
}

function named<T extends string>(names: readonly T[], word: string, make: (name: T) => Observation[]): Observation[] {
  const found = names.find((name) => name === word);
  return found === undefined ? [] : make(found);
}

function numberOf(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function numbered(names: Readonly<Record<string, number>>, word: string): number | undefined {
  return Object.hasOwn(names, word) ? names[word] : numberOf(word);
}
