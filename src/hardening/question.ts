import { type Address, formatAddress, parseAddress } from '../model/address.ts';
import { capabilityName, parseCapability } from '../model/capabilities.ts';
import {
  FILE_ACCESSES,
  type FileAccess,
  MOUNT_OPERATIONS,
  type MountOperation,
  OPERATIONS,
  type Operation,
} from '../model/hardening.ts';
import { parseProtocol, protocolName } from '../model/protocol.ts';
import { SOCKET_FAMILIES, SOCKET_TYPES, socketFamilyName, socketTypeName } from '../model/sockets.ts';

/** Something a process may try to do. */
export type Question =
  | { readonly type: 'path'; readonly access: FileAccess; readonly path: string }
  | { readonly type: 'rename'; readonly from: string; readonly to: string; readonly directory: boolean }
  | { readonly type: 'capability'; readonly capability: number; readonly inUserNamespace: boolean }
  | { readonly type: 'operation'; readonly operation: Operation }
  | { readonly type: 'socket'; readonly family: number; readonly kind: number; readonly protocol: number }
  | { readonly type: 'mount'; readonly operation: MountOperation; readonly fileSystem: string }
  | { readonly type: 'connection'; readonly address: Address; readonly protocol: number; readonly port: number };

/** What cannot be asked, as a sentence. */
export interface QuestionProblem {
  readonly problem: string;
}

const ABOUT_FILES = FILE_ACCESSES.filter((access) => access !== 'connect' && access !== 'bind');

/** By the first word: the others it wants, as help shows them, and what is made of them. */
const VERBS: Readonly<Record<string, { readonly words: string; readonly read: (words: string[]) => Reading }>> = {
  file: {
    words: 'ACCESS PATH',
    read: ([access, path, ...more]) => {
      if (path === undefined || more.length > 0) return undefined;
      const found = oneOf(ABOUT_FILES, access, 'access');
      return typeof found === 'string' ? pathQuestion(found, path) : found;
    },
  },
  exec: {
    words: 'PATH',
    read: ([path, ...more]) => (path === undefined || more.length > 0 ? undefined : pathQuestion('execute', path)),
  },
  unix: {
    words: 'connect|bind NAME',
    read: ([access, name, ...more]) => {
      if (name === undefined || more.length > 0) return undefined;
      const found = oneOf(['connect', 'bind'] as const, access, 'access');
      return typeof found === 'string' ? pathQuestion(found, name) : found;
    },
  },
  rename: {
    words: 'FROM TO [directory]',
    read: ([from, to, what, ...more]) => {
      if (from === undefined || to === undefined || more.length > 0 || (what ?? 'directory') !== 'directory')
        return undefined;
      return wrongPath(from) ?? wrongPath(to) ?? { type: 'rename', from, to, directory: what !== undefined };
    },
  },
  capability: {
    words: 'NAME [user-namespace]',
    read: ([name, within, ...more]) => {
      if (name === undefined || more.length > 0 || (within ?? 'user-namespace') !== 'user-namespace') return undefined;
      const capability = parseCapability(name.toUpperCase());
      if (capability === undefined) return { problem: `There is no capability "${name}"` };
      return { type: 'capability', capability, inUserNamespace: within !== undefined };
    },
  },
  operation: {
    words: 'NAME',
    read: ([name, ...more]) => {
      if (name === undefined || more.length > 0) return undefined;
      const operation = oneOf(OPERATIONS, name, 'operation');
      return typeof operation === 'string' ? { type: 'operation', operation } : operation;
    },
  },
  socket: {
    words: 'FAMILY [TYPE [PROTOCOL]]',
    read: ([family, kind = 'stream', protocol = '0', ...more]) => {
      if (family === undefined || more.length > 0) return undefined;
      const f = numbered(SOCKET_FAMILIES, family);
      const k = numbered(SOCKET_TYPES, kind);
      const p = protocolOf(protocol);
      if (f === undefined) return { problem: `There is no socket family "${family}"` };
      if (k === undefined) return { problem: `There is no type of sockets "${kind}"` };
      if (p === undefined) return { problem: `There is no protocol "${protocol}"` };
      return { type: 'socket', family: f, kind: k, protocol: p };
    },
  },
  mount: {
    words: 'OPERATION [FILESYSTEM]',
    read: ([name, fileSystem = '', ...more]) => {
      if (name === undefined || more.length > 0) return undefined;
      const operation = oneOf(MOUNT_OPERATIONS, name, 'operation');
      return typeof operation === 'string' ? { type: 'mount', operation, fileSystem } : operation;
    },
  },
  connect: {
    words: 'ADDRESS PORT [PROTOCOL]',
    read: ([text, port, protocol = 'TCP', ...more]) => {
      if (text === undefined || port === undefined || more.length > 0) return undefined;
      const address = parseAddress(text);
      const p = protocolOf(protocol);
      if (address === undefined) return { problem: `"${text}" is no IPv4 or IPv6 address` };
      if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) return { problem: `"${port}" is no port` };
      if (p === undefined) return { problem: `There is no protocol "${protocol}"` };
      return { type: 'connection', address, protocol: p, port: Number(port) };
    },
  },
};

type Reading = Question | QuestionProblem | undefined;

/** The ways to ask, one a line. */
export const QUESTIONS: readonly string[] = Object.entries(VERBS).map(([verb, { words }]) => `${verb} ${words}`);

/** The first words of questions. */
export const QUESTION_VERBS: readonly string[] = Object.keys(VERBS);

/** Reads a question as people write it: `file write /etc/passwd`. */
export function parseQuestion(words: readonly string[]): Question | QuestionProblem {
  const [verb = '', ...rest] = words;
  const known = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined;
  if (known === undefined) return { problem: `"${verb}" is none of ${QUESTION_VERBS.join(', ')}` };
  return known.read(rest) ?? { problem: `${verb} wants ${known.words}` };
}

/** The question as people write it. */
export function formatQuestion(question: Question): string {
  switch (question.type) {
    case 'path':
      if (question.access === 'execute') return `exec ${question.path}`;
      return question.access === 'connect' || question.access === 'bind'
        ? `unix ${question.access} ${question.path}`
        : `file ${question.access} ${question.path}`;
    case 'rename':
      return `rename ${question.from} ${question.to}${question.directory ? ' directory' : ''}`;
    case 'capability':
      return `capability ${capabilityName(question.capability)}${question.inUserNamespace ? ' user-namespace' : ''}`;
    case 'operation':
      return `operation ${question.operation}`;
    case 'socket': {
      const { family, kind, protocol } = question;
      return `socket ${socketFamilyName(family) ?? family} ${socketTypeName(kind) ?? kind} ${protocol}`;
    }
    case 'mount':
      return `mount ${question.operation}${question.fileSystem === '' ? '' : ` ${question.fileSystem}`}`;
    case 'connection':
      return `connect ${formatConnection(question)}`;
  }
}

function formatConnection({ address, port, protocol }: Extract<Question, { type: 'connection' }>): string {
  return `${formatAddress(address)} ${port} ${protocolName(protocol)}`;
}

function pathQuestion(access: FileAccess, path: string): Question | QuestionProblem {
  const abstract = path.startsWith('@') && path.length > 1 && (access === 'connect' || access === 'bind');
  return (abstract ? undefined : wrongPath(path)) ?? { type: 'path', access, path };
}

function wrongPath(path: string): QuestionProblem | undefined {
  const names = path.split('/').slice(1);
  const canonical = path === '/' || names.every((name) => name !== '' && name !== '.' && name !== '..');
  if (path.startsWith('/') && canonical) return undefined;
  return { problem: `"${path}" is not where something lies in the container's tree: /, and names without . and ..` };
}

function oneOf<const T extends string>(
  names: readonly T[],
  word: string | undefined,
  what: string,
): T | QuestionProblem {
  const found = names.find((name) => name === word);
  return found ?? { problem: `There is no ${what} "${word ?? ''}"; there are ${names.join(', ')}` };
}

function numbered(names: Readonly<Record<string, number>>, word: string): number | undefined {
  if (/^\d{1,3}$/.test(word)) return Number(word);
  return Object.hasOwn(names, word) ? names[word] : undefined;
}

function protocolOf(word: string): number | undefined {
  return /^\d{1,5}$/.test(word) && Number(word) < 65_535 ? Number(word) : parseProtocol(word);
}
