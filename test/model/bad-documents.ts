/** Documents that are wrong in one way each, and the one problem each must give. */
import { MAX_FILE_BYTES } from '../../src/model/policy-file.ts';
import type { ProblemCode } from '../../src/model/problem.ts';
import { CLUSTER, GOOD, spoiled } from './documents.ts';

/** What is wrong, where, and a word the message must have in what it wants or hints. */
export type Expected = [code: ProblemCode, line: number, column: number, path: string, says: RegExp];

const LONG = 'x'.repeat(300);

export const BAD_DOCUMENTS: Record<string, [text: string, expected: Expected]> = {
  'an unknown field': [
    spoiled('mode: Enforce', 'mood: Enforce'),
    ['UNKNOWN_FIELD', 9, 3, 'spec.mood', /did you mean mode/],
  ],
  'an unknown field in a rule': [
    spoiled('from:', 'form:'),
    ['UNKNOWN_FIELD', 14, 7, 'spec.ingress[0].form', /did you mean from/],
  ],
  'a field of the other direction': [
    spoiled('from:', 'to:'),
    ['UNKNOWN_FIELD', 14, 7, 'spec.ingress[0].to', /one of the fields name, action, from, ports/],
  ],
  'a field named __proto__': [
    spoiled('spec:', '__proto__: {a: 1}\nspec:'),
    ['UNKNOWN_FIELD', 6, 1, '__proto__', /metadata/],
  ],
  'a wrong kind': [
    spoiled('kind: Work', 'kind: Walk'),
    ['UNKNOWN_KIND', 2, 7, 'kind', /did you mean WorkloadNetworkPolicy/],
  ],
  'a wrong version': [spoiled('v1alpha1', 'v1'), ['UNKNOWN_KIND', 1, 13, 'apiVersion', /sallyport.dev\/v1alpha1/]],
  'no kind': [
    spoiled('kind: WorkloadNetworkPolicy\n', ''),
    ['MISSING_FIELD', 1, 1, 'kind', /ClusterWorkloadNetworkPolicy/],
  ],
  'a list for a policy': ['- a\n', ['BAD_VALUE', 1, 1, '', /a mapping with apiVersion/]],
  'a missing name': [spoiled('  name: web-to-api\n', ''), ['MISSING_FIELD', 3, 1, 'metadata.name', /lower-case/]],
  'a name in capitals': [spoiled('web-to-api', 'Web'), ['BAD_VALUE', 4, 9, 'metadata.name', /lower-case/]],
  'a name too long': [spoiled('web-to-api', LONG), ['BAD_VALUE', 4, 9, 'metadata.name', /at most 253/]],
  'a namespace on a cluster-wide policy': [
    spoiled('everyone', 'everyone, namespace: shop', CLUSTER),
    ['UNKNOWN_FIELD', 3, 28, 'metadata.namespace', /name, labels/],
  ],
  'a label value that is a number': [
    spoiled('tier: front', 'tier: 1'),
    ['BAD_VALUE', 15, 66, 'spec.ingress[0].from[0].labels.tier', /in quotes/],
  ],
  'a bad label key': [
    spoiled('tier: front', '"ti er": front'),
    ['BAD_VALUE', 15, 60, 'spec.ingress[0].from[0].labels["ti er"]', /label key/],
  ],
  'a bad CIDR': [
    spoiled('10.0.0.0/8', '10.0.0/8'),
    ['BAD_VALUE', 16, 18, 'spec.ingress[0].from[1].cidr', /not an IPv4/],
  ],
  'a CIDR with host bits': [
    spoiled('10.0.0.0/8', '10.0.0.1/8'),
    ['BAD_VALUE', 16, 18, 'spec.ingress[0].from[1].cidr', /did you mean 10.0.0.0\/8/],
  ],
  'an exception outside': [
    spoiled('10.1.0.0/16', '11.0.0.0/16'),
    ['BAD_VALUE', 16, 39, 'spec.ingress[0].from[1].except[0]', /inside 10.0.0.0\/8/],
  ],
  'an exception of everything': [
    spoiled('10.1.0.0/16', '10.0.0.0/8'),
    ['BAD_VALUE', 16, 39, 'spec.ingress[0].from[1].except[0]', /not all of it/],
  ],
  'an exception without a network': [
    spoiled('{entity: host}', '{entity: host, except: [10.1.0.0/16]}'),
    ['BAD_VALUE', 17, 34, 'spec.ingress[0].from[2].except', /without cidr/],
  ],
  'a peer of two kinds': [
    spoiled('{entity: host}', '{entity: host, cidr: 10.0.0.0/8}'),
    ['BAD_VALUE', 17, 11, 'spec.ingress[0].from[2]', /both given: cidr, entity/],
  ],
  'an empty peer': [
    spoiled('{entity: host}', '{}'),
    ['BAD_VALUE', 17, 11, 'spec.ingress[0].from[2]', /leave the list out/],
  ],
  'an empty list of peers': [
    spoiled('[{entity: world}]', '[]'),
    ['BAD_VALUE', 24, 11, 'spec.egress[0].to', /or no such field to mean any peer/],
  ],
  'labels on a network': [
    spoiled('{cidr: 10.0.0.0/8', '{labels: {a: b}, cidr: 10.0.0.0/8'),
    ['BAD_VALUE', 16, 20, 'spec.ingress[0].from[1].labels', /beside cidr/],
  ],
  'an unknown entity': [
    spoiled('entity: host', 'entity: hosts'),
    ['BAD_VALUE', 17, 20, 'spec.ingress[0].from[2].entity', /did you mean host/],
  ],
  'port 70000': [
    spoiled('port: 8080', 'port: 70000'),
    ['BAD_VALUE', 19, 33, 'spec.ingress[0].ports[0].port', /1 to 65535/],
  ],
  'port 0': [spoiled('port: 8080', 'port: 0'), ['BAD_VALUE', 19, 33, 'spec.ingress[0].ports[0].port', /1 to 65535/]],
  'a port that is no number': [
    spoiled('port: 8080', 'port: 80.5'),
    ['BAD_VALUE', 19, 33, 'spec.ingress[0].ports[0].port', /1 to 65535/],
  ],
  'a port number in quotes': [
    spoiled('port: 8080', 'port: "80"'),
    ['BAD_VALUE', 19, 33, 'spec.ingress[0].ports[0].port', /port name/],
  ],
  'a range backwards': [
    spoiled('endPort: 8090', 'endPort: 80'),
    ['BAD_VALUE', 19, 48, 'spec.ingress[0].ports[0].endPort', /8080 or more/],
  ],
  'a range from a name': [
    spoiled('port: 8080', 'port: http'),
    ['BAD_VALUE', 19, 48, 'spec.ingress[0].ports[0].endPort', /port number in port/],
  ],
  'a port of a protocol without ports': [
    spoiled('{protocol: 47}', '{protocol: 47, port: 1}'),
    ['BAD_VALUE', 22, 32, 'spec.ingress[0].ports[3].port', /protocol 47/],
  ],
  'a type of a protocol without types': [
    spoiled('{protocol: 47}', '{protocol: TCP, type: 8}'),
    ['BAD_VALUE', 22, 33, 'spec.ingress[0].ports[3].type', /protocol TCP/],
  ],
  'a protocol in small letters': [
    spoiled('protocol: UDP', 'protocol: udp'),
    ['BAD_VALUE', 20, 22, 'spec.ingress[0].ports[1].protocol', /did you mean UDP/],
  ],
  'protocol 256': [
    spoiled('protocol: 47', 'protocol: 256'),
    ['BAD_VALUE', 22, 22, 'spec.ingress[0].ports[3].protocol', /0 to 255/],
  ],
  'a port without a protocol': [
    spoiled('{protocol: 47}', '{port: 80}'),
    ['MISSING_FIELD', 22, 11, 'spec.ingress[0].ports[3].protocol', /TCP/],
  ],
  'a priority too high': [spoiled('500', '65536'), ['BAD_VALUE', 8, 13, 'spec.priority', /0 to 65535/]],
  'an unknown action': [
    spoiled('action: Allow', 'action: Permit'),
    ['BAD_VALUE', 13, 15, 'spec.ingress[0].action', /Allow, Deny or Alert/],
  ],
  'a rule named default': [
    spoiled('from-web', 'default'),
    ['BAD_VALUE', 12, 13, 'spec.ingress[0].name', /other than "default"/],
  ],
  'a rule named by a number': [
    spoiled('from-web', '"0"'),
    ['BAD_VALUE', 12, 13, 'spec.ingress[0].name', /starting with a letter/],
  ],
  'two rules of one name': [
    spoiled('  egress:', '    - {name: from-web}\n  egress:'),
    ['BAD_VALUE', 23, 14, 'spec.ingress[1].name', /rule 0 has it/],
  ],
  'a subject of another namespace': [
    spoiled('Service/api', 'other/Service/api'),
    ['BAD_VALUE', 7, 23, 'spec.subject.workload', /ClusterWorkloadNetworkPolicy/],
  ],
  'a subject of all namespaces': [
    spoiled('Service/api', '"*/Service/api"'),
    ['BAD_VALUE', 7, 23, 'spec.subject.workload', /several namespaces/],
  ],
  'a cluster-wide subject without a namespace': [
    spoiled("'*/*/*'", 'Service/api', CLUSTER),
    ['BAD_VALUE', 5, 23, 'spec.subject.workload', /namespace\/kind\/name/],
  ],
  'no direction at all': [
    spoiled('  defaults: {egress: Allow}\n', '', CLUSTER),
    ['BAD_VALUE', 5, 3, 'spec', /would do nothing/],
  ],
  'nothing where a list belongs': [
    spoiled('  defaults: {egress: Allow}', '  ingress:', CLUSTER),
    ['BAD_VALUE', 6, 3, 'spec.ingress', /written \[\]/],
  ],
  'a key given twice': [
    spoiled('  mode: Enforce', '  mode: Enforce\n  mode: Stage'),
    ['DUPLICATE_KEY', 10, 3, 'spec.mode', /once/],
  ],
  'a key that is no text': [spoiled('spec:', '1: 2\nspec:'), ['SYNTAX', 6, 1, '', /a text/]],
  'broken YAML': [spoiled('{entity: host}', '{entity: host'), ['SYNTAX', 18, 7, '', /valid YAML/]],
  'a tag': [spoiled('mode: Enforce', 'mode: !secret Enforce'), ['SYNTAX', 9, 9, '', /valid YAML/]],
  'a directive': [`%YAML 1.1\n---\n${GOOD}`, ['SYNTAX', 1, 1, '', /none/]],
  'an alias of nothing': [
    spoiled('{entity: host}', '*host'),
    ['SYNTAX', 17, 11, 'spec.ingress[0].from[2]', /anchor before it/],
  ],
  'a value inside itself': ['a: &a [*a]\n', ['ALIASES', 1, 8, 'a[0]', /circle/]],
  'a YAML bomb': [bomb(), ['ALIASES', 4, 36, 'd[7]', /fewer/]],
  'brackets without end': ['['.repeat(MAX_FILE_BYTES), ['TOO_DEEP', 1, 33, '', /32 levels/]],
  'lists without end': ['- '.repeat(1_000), ['TOO_DEEP', 1, 67, '[0]'.repeat(33), /32 levels/]],
  'tokens without end': [`[${'0,'.repeat(MAX_FILE_BYTES / 2 - 1)}`, ['FILE_TOO_LARGE', 1, 400000, '', /fewer/]],
  'documents without end': ['---\n'.repeat(20_000), ['TOO_MANY_DOCUMENTS', 10_001, 1, '', /fewer/]],
  'a control character': [`${GOOD}# \x07`, ['FILE_NOT_TEXT', 25, 3, '', /UTF-8/]],
};

function bomb(): string {
  const lines = ['a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]'];
  for (const [name, inner] of ['ba', 'cb', 'dc', 'ed', 'fe']) {
    lines.push(`${name}: &${name} [${Array.from({ length: 10 }, () => `*${inner}`).join(', ')}]`);
  }
  return `${lines.join('\n')}\n`;
}
