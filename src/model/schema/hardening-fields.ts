/** The small values hardening policies are made of, as `fields.ts` has those of all policies. */
import * as z from 'zod';
import { CAPABILITIES } from '../capabilities.ts';
import { FILE_ACCESSES, MOUNT_OPERATIONS, OPERATIONS } from '../hardening.ts';
import { parsePathGlob } from '../path-glob.ts';
import { SOCKET_FAMILIES, SOCKET_TYPES, type SocketFamilyName, type SocketTypeName } from '../sockets.ts';
import { issue } from './document.ts';
import { integer, namesOf, oneOf, PROTOCOL_NAMES, text } from './fields.ts';

/** Most entries of each list. The kernel's tables have bounds of their own, for all policies of a container together. */
export const LIMITS = { ready: 256, paths: 10_000, except: 1_000, executables: 64, sockets: 64, cidrs: 64 } as const;

/** A list with at least one entry and no entry twice. */
export function listOf<T extends z.ZodType<string>>(entry: T, most: number, what: string) {
  return z
    .array(entry, { error: `a list of ${what}` })
    .min(1, { error: `at least one of ${what}` })
    .max(most, { error: `at most ${most} ${what}`, abort: true })
    .superRefine((list, context) => {
      const seen = new Map<string, number>();
      for (const [i, value] of list.entries()) {
        const first = seen.get(value);
        if (first === undefined) seen.set(value, i);
        else issue(context, [i], 'something new', `entry ${first} says it already`);
      }
    })
    .meta({ uniqueItems: true });
}

function glob(wanted: string, accepts: (pattern: string) => boolean): z.ZodString {
  return z.string({ error: wanted }).superRefine((value, context) => {
    const parsed = parsePathGlob(value);
    if (parsed.ok && accepts(value)) return;
    const reason = parsed.ok ? 'an abstract socket is no file' : parsed.reason;
    const suggestion = parsed.ok ? undefined : parsed.suggestion;
    const hint = suggestion === undefined ? reason : `${reason}, did you mean ${suggestion}`;
    context.addIssue({ code: 'custom', message: wanted, params: { hint } });
  });
}

export const path = glob(
  "a path in the container's own tree, as /etc/passwd, /var/log/** or /home/*/.ssh",
  (pattern) => !pattern.startsWith('@'),
).meta({ title: 'path', pattern: '^/' });

export const socketName = glob(
  'the path of a UNIX socket, as /run/docker.sock, or an abstract name, as @name',
  () => true,
).meta({ title: 'path or @name', pattern: '^[/@]' });

export const readyName = text(
  /^[a-z0-9]+(-[a-z0-9]+)*$/,
  63,
  'the name of a ready rule: lower-case words with "-" between them (see "sallyport profile catalogue")',
);

/** What one word stands for beside the accesses themselves. */
export const ACCESS_WORDS = {
  modify: ['write', 'create', 'delete', 'attributes'],
  all: FILE_ACCESSES,
} as const satisfies Record<string, readonly (typeof FILE_ACCESSES)[number][]>;

/** `connect` and `bind` are the field unix's own. */
export const access = oneOf(['read', 'write', 'create', 'delete', 'attributes', 'execute', 'mount', 'modify', 'all']);
export const socketAccess = oneOf(['connect', 'bind']);
export const operation = oneOf(
  OPERATIONS,
  'an operation, as ptrace, bpf or kernel-module (docs/hardening-reference.md has all)',
);
export const mountOperation = oneOf(MOUNT_OPERATIONS);
export const within = oneOf(['Container', 'UserNamespace', 'Any']);

const CAPABILITY_WANTED = 'a capability, as SYS_ADMIN or CAP_SYS_ADMIN, or "*" for all';
type CapabilityWord = (typeof CAPABILITIES)[number] | `CAP_${(typeof CAPABILITIES)[number]}` | '*';
const CAPABILITY_WORDS: [CapabilityWord, ...CapabilityWord[]] = [
  '*',
  ...CAPABILITIES,
  ...CAPABILITIES.map((name): CapabilityWord => `CAP_${name}`),
];
export const capability = oneOf(CAPABILITY_WORDS, CAPABILITY_WANTED).meta({ title: 'capability' });

const FAMILIES = Object.keys(SOCKET_FAMILIES) as [SocketFamilyName, ...SocketFamilyName[]];
const FAMILY_WANTED = 'a socket family, as inet, unix, netlink or alg, or its number from 1 to 255';
export const family = z.union([oneOf(FAMILIES, FAMILY_WANTED), integer(1, 255, FAMILY_WANTED)], {
  error: FAMILY_WANTED,
});

const TYPES = Object.keys(SOCKET_TYPES) as [SocketTypeName, ...SocketTypeName[]];
export const socketType = oneOf(TYPES);

const PROTOCOL_WANTED = `${namesOf(PROTOCOL_NAMES)}, or a number from 0 to 65534`;
export const socketProtocol = z.union([oneOf(PROTOCOL_NAMES, PROTOCOL_WANTED), integer(0, 65_534, PROTOCOL_WANTED)], {
  error: PROTOCOL_WANTED,
});

export const fileSystem = text(
  /^[a-z0-9][a-z0-9_.-]{0,14}$/,
  15,
  'the name of a file system as in /proc/filesystems, at most 15 lower-case letters, digits and "-", "_", "."',
);
export const flag = z.boolean({ error: 'true or false' });
