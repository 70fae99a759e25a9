/** Hardening documents for tests: good ones, and documents that are wrong in one way each with what must be said. */
import type { Expected } from './bad-documents.ts';
import { spoiled as spoil } from './documents.ts';

export const HARDENING = `apiVersion: sallyport.dev/v1alpha1
kind: HardeningPolicy
metadata:
  name: web
  namespace: shop
spec:
  subject: {workload: Service/web, container: app}
  priority: 500
  mode: Enforce
  defaults: {files: Deny, execution: Alert}
  rules:
    - name: usual
      ready: [no-module-load, baseline]
    - name: config
      action: Deny
      executables: ["/usr/sbin/nginx*"]
      files: {paths: [/etc/**], except: [/etc/nginx/**], access: [modify, read]}
      execution: {paths: ["/{,usr/}bin/*sh"], except: [/bin/sh]}
      capabilities: {names: [SYS_ADMIN, CAP_BPF], within: Container}
      sockets: [{family: alg}, {family: inet, type: raw, protocol: ICMP}, {family: 16, protocol: 12}]
      unix: {names: [/run/docker.sock, "@x*"], except: ["@xy"], access: [connect]}
      mounts: {operations: [new, bind], fileSystems: [proc], writable: true, devices: true}
      network: {cidrs: [169.254.169.254/32], protocol: TCP, port: 80, endPort: 90}
      operations: [bpf, ptrace]
    - operations: [kexec]
`;

export const CLUSTER_HARDENING = `apiVersion: sallyport.dev/v1alpha1
kind: ClusterHardeningPolicy
metadata: {name: everyone}
spec:
  subject: {workload: '*/*/*'}
  defaults: {operations: Deny}
`;

function spoiled(from: string, to: string, document = HARDENING): string {
  return spoil(from, to, document);
}

const RULE = 'spec.rules[1]';

export const BAD_HARDENING: Record<string, [text: string, expected: Expected]> = {
  'a wrong kind': [
    spoiled('kind: HardeningPolicy', 'kind: HardeningPolcy'),
    ['UNKNOWN_KIND', 2, 7, 'kind', /did you mean HardeningPolicy/],
  ],
  'a field of network policies': [
    spoiled('  rules:\n', '  ingress: []\n  rules:\n'),
    ['UNKNOWN_FIELD', 11, 3, 'spec.ingress', /one of the fields subject, priority, mode, defaults, rules/],
  ],
  'an unknown field of a rule': [
    spoiled('execution: {', 'executoin: {'),
    ['UNKNOWN_FIELD', 18, 7, `${RULE}.executoin`, /did you mean execution/],
  ],
  'an unknown class among the defaults': [
    spoiled('files: Deny,', 'file: Deny,'),
    ['UNKNOWN_FIELD', 10, 14, 'spec.defaults.file', /did you mean files/],
  ],
  'an unknown action': [
    spoiled('action: Deny', 'action: Forbid'),
    ['BAD_VALUE', 15, 15, `${RULE}.action`, /Allow, Deny or Alert/],
  ],
  'a subject of another namespace': [
    spoiled('Service/web', 'bank/Service/web'),
    ['BAD_VALUE', 7, 23, 'spec.subject.workload', /ClusterHardeningPolicy/],
  ],
  'a cluster-wide subject without a namespace': [
    spoiled("'*/*/*'", 'Service/web', CLUSTER_HARDENING),
    ['BAD_VALUE', 5, 23, 'spec.subject.workload', /namespace\/kind\/name/],
  ],
  'nothing to do': [
    spoiled('  defaults: {operations: Deny}\n', '  defaults: {}\n  rules: []\n', CLUSTER_HARDENING),
    ['BAD_VALUE', 5, 3, 'spec', /would do nothing/],
  ],
  'a rule without a target': [
    spoiled('operations: [kexec]', 'name: idle'),
    ['BAD_VALUE', 25, 7, 'spec.rules[2]', /one of the fields ready, files, .*do nothing/],
  ],
  'two rules of one name': [
    spoiled('name: config', 'name: usual'),
    ['BAD_VALUE', 14, 13, `${RULE}.name`, /rule 0 has it/],
  ],
  'a ready rule in capitals': [
    spoiled('no-module-load', 'No-Module-Load'),
    ['BAD_VALUE', 13, 15, 'spec.rules[0].ready[0]', /lower-case words/],
  ],
  'an empty list of ready rules': [
    spoiled('[no-module-load, baseline]', '[]'),
    ['BAD_VALUE', 13, 14, 'spec.rules[0].ready', /at least one/],
  ],
  'a ready rule twice': [
    spoiled('no-module-load, baseline', 'baseline, baseline'),
    ['BAD_VALUE', 13, 25, 'spec.rules[0].ready[1]', /entry 0 says it already/],
  ],
  'a path that is not absolute': [
    spoiled('[/etc/**]', '[etc]'),
    ['BAD_VALUE', 17, 23, `${RULE}.files.paths[0]`, /did you mean \/etc/],
  ],
  'a path through the parent': [
    spoiled('[/etc/**]', '[/var/../etc]'),
    ['BAD_VALUE', 17, 23, `${RULE}.files.paths[0]`, /there is "\.\." in it/],
  ],
  'a bad exception': [
    spoiled('[/etc/nginx/**]', '[/etc//nginx]'),
    ['BAD_VALUE', 17, 42, `${RULE}.files.except[0]`, /did you mean \/etc\/nginx/],
  ],
  'an abstract socket among files': [
    spoiled('[/etc/**]', '["@etc"]'),
    ['BAD_VALUE', 17, 23, `${RULE}.files.paths[0]`, /an abstract socket is no file/],
  ],
  'braces that blow up': [
    spoiled('[/etc/**]', `["/${'{a,b}{c,d}'.repeat(8)}"]`),
    ['BAD_VALUE', 17, 23, `${RULE}.files.paths[0]`, /more than 256 texts/],
  ],
  'a pattern an automaton would explode of': [
    spoiled('[/etc/**]', `["/*a${'?'.repeat(20)}"]`),
    ['BAD_VALUE', 17, 23, `${RULE}.files.paths[0]`, /follow a star/],
  ],
  'an unknown access': [
    spoiled('[modify, read]', '[modify, reed]'),
    ['BAD_VALUE', 17, 75, `${RULE}.files.access[1]`, /did you mean read/],
  ],
  'an access that is no list': [
    spoiled('[modify, read]', 'modify'),
    ['BAD_VALUE', 17, 66, `${RULE}.files.access`, /a list of read/],
  ],
  'files without paths': [
    spoiled('paths: [/etc/**], except: [/etc/nginx/**], ', ''),
    ['MISSING_FIELD', 17, 7, `${RULE}.files.paths`, /a list of paths/],
  ],
  'no executables': [
    spoiled('["/usr/sbin/nginx*"]', '[]'),
    ['BAD_VALUE', 16, 20, `${RULE}.executables`, /at least one/],
  ],
  'too many executables': [
    spoiled('["/usr/sbin/nginx*"]', `[${Array.from({ length: 65 }, (_, i) => `/bin/${i}`)}]`),
    ['BAD_VALUE', 16, 20, `${RULE}.executables`, /at most 64/],
  ],
  'a misspelt capability': [
    spoiled('SYS_ADMIN', 'SYS_ADMN'),
    ['BAD_VALUE', 19, 30, `${RULE}.capabilities.names[0]`, /did you mean SYS_ADMIN/],
  ],
  'a capability in small letters': [
    spoiled('SYS_ADMIN', 'sys_admin'),
    ['BAD_VALUE', 19, 30, `${RULE}.capabilities.names[0]`, /did you mean SYS_ADMIN/],
  ],
  'an unknown place of capabilities': [
    spoiled('within: Container', 'within: Host'),
    ['BAD_VALUE', 19, 59, `${RULE}.capabilities.within`, /Container, UserNamespace or Any/],
  ],
  'an unknown socket family': [
    spoiled('{family: alg}', '{family: algg}'),
    ['BAD_VALUE', 20, 26, `${RULE}.sockets[0].family`, /did you mean alg/],
  ],
  'a socket family out of range': [
    spoiled('{family: alg}', '{family: 256}'),
    ['BAD_VALUE', 20, 26, `${RULE}.sockets[0].family`, /1 to 255/],
  ],
  'a socket type by number': [
    spoiled('type: raw', 'type: 3'),
    ['BAD_VALUE', 20, 53, `${RULE}.sockets[1].type`, /stream, dgram/],
  ],
  'a protocol of another family': [
    spoiled('{family: 16, protocol: 12}', '{family: netlink, protocol: TCP}'),
    ['BAD_VALUE', 20, 103, `${RULE}.sockets[2].protocol`, /not of netlink/],
  ],
  'a connection as an access of files': [
    spoiled('[modify, read]', '[connect]'),
    ['BAD_VALUE', 17, 67, `${RULE}.files.access[0]`, /modify or all/],
  ],
  'an unknown mount operation': [
    spoiled('[new, bind]', '[new, rebind]'),
    ['BAD_VALUE', 22, 34, `${RULE}.mounts.operations[1]`, /did you mean bind/],
  ],
  'a file system with a long name': [
    spoiled('[proc]', '[averyveryverylongone]'),
    ['BAD_VALUE', 22, 55, `${RULE}.mounts.fileSystems[0]`, /at most 15/],
  ],
  'a flag that is no flag': [
    spoiled('writable: true', 'writable: yes'),
    ['BAD_VALUE', 22, 72, `${RULE}.mounts.writable`, /true or false/],
  ],
  'a bad network': [
    spoiled('169.254.169.254/32', '169.254.169.254'),
    ['BAD_VALUE', 23, 25, `${RULE}.network.cidrs[0]`, /did you mean 169.254.169.254\/32/],
  ],
  'a port of a protocol without ports': [
    spoiled('protocol: TCP, port: 80, endPort: 90', 'protocol: ICMP, port: 80'),
    ['BAD_VALUE', 23, 68, `${RULE}.network.port`, /no port with protocol ICMP/],
  ],
  'a range of ports backwards': [
    spoiled('endPort: 90', 'endPort: 9'),
    ['BAD_VALUE', 23, 80, `${RULE}.network.endPort`, /80 or more/],
  ],
  'a range of ports without a first': [
    spoiled('port: 80, ', ''),
    ['BAD_VALUE', 23, 70, `${RULE}.network.endPort`, /port number in port/],
  ],
  'protocol 0': [
    spoiled('protocol: TCP, port: 80, endPort: 90', 'protocol: 0'),
    ['BAD_VALUE', 23, 56, `${RULE}.network.protocol`, /any protocol/],
  ],
  'an unknown operation': [
    spoiled('[bpf, ptrace]', '[bpf, ptrase]'),
    ['BAD_VALUE', 24, 25, `${RULE}.operations[1]`, /did you mean ptrace/],
  ],
  'a mapping where a list belongs': [
    spoiled('operations: [bpf, ptrace]', 'operations: {bpf: true}'),
    ['BAD_VALUE', 24, 19, `${RULE}.operations`, /a list of operations/],
  ],
};
