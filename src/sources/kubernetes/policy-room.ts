/** Which policies are taken where the cluster has more than can be: nobody keeps another namespace's from being taken. Pure. */
import type { PolicyFile } from '../policies.ts';

export interface Room {
  readonly files: number;
  readonly bytes: number;
}

export interface TakenPolicies {
  readonly files: readonly PolicyFile[];
  /** Namespaces that stay as they were, because they have more than their share; empty for cluster-wide policies. */
  readonly over: readonly string[];
}

/**
 * All of them where there is room. Else cluster-wide ones come first, then those of namespaces, of who has least first: who has
 * too many stays as he was. What was taken while there was room is kept, so that all together may be more than the room, as
 * often as another namespace has had the most of it.
 * @param former what was taken before
 */
export function takePolicies(present: readonly PolicyFile[], former: readonly PolicyFile[], room: Room): TakenPolicies {
  if (fits(demandOf(present), room)) return { files: present, over: [] };
  const before = Map.groupBy(former, namespaceOf);
  const groups = [...Map.groupBy(present, namespaceOf)].map(([namespace, files]) => {
    const demand = demandOf(files);
    const part = Math.max(demand.files / room.files, demand.bytes / room.bytes);
    return { namespace, files, demand, part: namespace === '' ? 0 : part };
  });
  groups.sort((a, b) => a.part - b.part || (a.namespace < b.namespace ? -1 : 1));
  const over: string[] = [];
  let left = room;
  const taken = groups.flatMap(({ namespace, files, demand }) => {
    if (!fits(demand, left)) {
      over.push(namespace);
      return before.get(namespace) ?? [];
    }
    left = { files: left.files - demand.files, bytes: left.bytes - demand.bytes };
    return files;
  });
  return { files: taken, over };
}

/** `kubernetes/WorkloadNetworkPolicy/shop/web.json` is of `shop`, `kubernetes/ClusterHardeningPolicy/all.json` of none. */
function namespaceOf({ name }: PolicyFile): string {
  const [, , namespace = '', last] = name.split('/');
  return last === undefined ? '' : namespace;
}

function demandOf(files: readonly PolicyFile[]): Room {
  const bytes = files.reduce((sum, { content }) => sum + (content.ok ? content.bytes.length : 0), 0);
  return { files: files.length, bytes };
}

function fits({ files, bytes }: Room, room: Room): boolean {
  return files <= room.files && bytes <= room.bytes;
}
