/**
 * The one description of hardening policies, as `policy.ts` has that of network policies. Objects are strict; what is
 * named in a rule is one target each (`../hardening-manifest.ts`).
 */
import * as z from 'zod';
import { POSTURES } from '../hardening.ts';
import { hasPorts, parseProtocol, protocolName } from '../protocol.ts';
import {
  apiVersion,
  CLUSTER_SUBJECT,
  checkReference,
  checkSubject,
  clusterMetadata,
  issue,
  kind,
  mode,
  namespacedMetadata,
  priority,
  ruleName,
  rules,
  subjectSchema,
} from './document.ts';
import * as common from './fields.ts';
import * as field from './hardening-fields.ts';
import { kubernetes } from './structural.ts';

const { LIMITS } = field;

const paths = field.listOf(field.path, LIMITS.paths, 'paths');
const except = field.listOf(field.path, LIMITS.except, 'paths').optional();

const filesSchema = z
  .strictObject(
    {
      paths: paths.describe(
        "Paths in the container's own tree, by whatever way they are reached. `*` is any run of characters of one name, " +
          '`?` one character, `[a-c]` one of these, `[!a-c]` one of the others, `{a,b}` either; `**` as a whole name is ' +
          'any number of names, also none: `/etc/**` is `/etc` and all that lies in it. What is meant as it stands is ' +
          'put in brackets: `[*]`.',
      ),
      except: except.describe('Paths among them that are not meant.'),
      access: field
        .listOf(field.access, 9, 'read, write, create, delete, attributes, execute, mount, modify or all')
        .optional()
        .meta({
          description:
            'What is done to them. `write` is their content; `create` and `delete` are names, renaming is both; ' +
            '`attributes` are mode, owner and extended attributes; `execute` is also mapping as code; `mount` is mounting ' +
            'on them and unmounting. `modify` is write, create, delete and attributes; `all` is everything, connecting ' +
            'to sockets too.',
          default: '[all]',
        }),
    },
    { error: 'a mapping with the fields paths, access' },
  )
  .meta({ title: 'Files' });

const executionSchema = z
  .strictObject(
    {
      paths: paths.describe('Paths of executables, and of libraries mapped as code.'),
      except: except.describe('Paths among them that are not meant.'),
    },
    { error: 'a mapping with the field paths' },
  )
  .meta({ title: 'Execution' });

const capabilitiesSchema = z
  .strictObject(
    {
      names: field
        .listOf(field.capability, 128, 'capabilities')
        .describe('Capabilities, with or without `CAP_` (capabilities(7)); `*` is all, those of later kernels too.'),
      within: field.within.optional().meta({
        description:
          'Where they are used: in the user namespace the container was started in, in one that was made in it, or both.',
        default: 'Any',
      }),
    },
    { error: 'a mapping with the field names' },
  )
  .meta({ title: 'Capabilities' });

const socketSchema = z
  .strictObject(
    {
      family: field.family.optional().describe('Address family by name or number. Absent: any.'),
      type: field.socketType.optional().describe('Absent: any.'),
      protocol: field.socketProtocol
        .optional()
        .describe('Protocol by name (of `inet` and `inet6`) or number. Absent: any.'),
    },
    { error: 'a mapping with some of the fields family, type, protocol' },
  )
  .superRefine(({ family, protocol }, context) => {
    const named = typeof protocol === 'string';
    if (named && family !== undefined && family !== 'inet' && family !== 'inet6' && family !== 2 && family !== 10) {
      issue(context, ['protocol'], 'a number', `the name is one of inet and inet6, not of ${family}`);
    }
  })
  .meta({ title: 'Socket' })
  .register(kubernetes, {
    validations: [
      {
        rule:
          '!has(self.protocol) || type(self.protocol) == int || !has(self.family) || ' +
          "string(self.family) in ['inet', 'inet6', '2', '10']",
        message: 'a protocol by name goes with the families inet and inet6 only',
      },
    ],
  });

const unixSchema = z
  .strictObject(
    {
      names: field
        .listOf(field.socketName, LIMITS.paths, 'names')
        .describe(
          'Paths of UNIX sockets, and abstract names as `@name`; wildcards as in files. In abstract names `*` is any run of characters.',
        ),
      except: field
        .listOf(field.socketName, LIMITS.except, 'names')
        .optional()
        .describe('Names among them that are not meant.'),
      access: field
        .listOf(field.socketAccess, 2, 'connect or bind')
        .optional()
        .meta({ description: '`connect` is also sending to them.', default: '[connect, bind]' }),
    },
    { error: 'a mapping with the field names' },
  )
  .meta({ title: 'Unix' });

const mountsSchema = z
  .strictObject(
    {
      operations: field
        .listOf(field.mountOperation, 6, 'new, bind, remount, move, propagation or unmount')
        .optional()
        .describe('What is done. `new` mounts a file system. Absent: any.'),
      fileSystems: field
        .listOf(field.fileSystem, 64, 'file systems')
        .optional()
        .describe('Types of file systems, as `/proc/filesystems` has them. Absent: any.'),
      writable: field.flag.optional().meta({ description: 'Only mounts that are not read-only.', default: false }),
      devices: field.flag.optional().meta({ description: 'Only file systems on block devices.', default: false }),
    },
    { error: 'a mapping ({} for any mount)' },
  )
  .meta({ title: 'Mounts' });

const networkSchema = z
  .strictObject(
    {
      cidrs: field
        .listOf(common.cidr, LIMITS.cidrs, 'networks')
        .optional()
        .describe('Networks of destinations; an IPv6 network never means IPv4 addresses. Absent: any address.'),
      protocol: common.protocol.optional().describe('Protocol by name or number. Absent: any.'),
      port: common.endPort.optional().describe('Destination port. Absent: any.'),
      endPort: common.endPort.optional().describe('Last port of a range that starts at `port`.'),
    },
    { error: 'a mapping with some of the fields cidrs, protocol, port' },
  )
  .superRefine(({ protocol: written, port, endPort }, context) => {
    const protocol = written === undefined ? undefined : parseProtocol(written);
    if (protocol === 0) issue(context, ['protocol'], 'no such field to mean any protocol', 'protocol 0 is no protocol');
    if (port !== undefined && protocol !== undefined && !hasPorts(protocol)) {
      issue(context, ['port'], `no port with protocol ${protocolName(protocol)}`);
    } else if (endPort !== undefined) {
      if (port === undefined) issue(context, ['endPort'], 'a port number in port beside it');
      else if (endPort < port) issue(context, ['endPort'], `${port} or more, as in port`);
    }
  })
  .meta({ title: 'Network' })
  .register(kubernetes, {
    validations: [
      {
        rule: '!has(self.endPort) || (has(self.port) && self.endPort >= self.port)',
        message: 'endPort goes with a port number in port that is not larger',
      },
    ],
  });

const TARGETS = {
  ready: field
    .listOf(field.readyName, LIMITS.ready, 'names of ready rules')
    .optional()
    .describe('Ready rules, by name: `sallyport profile catalogue` lists them.'),
  files: filesSchema.optional().describe('Files and directories.'),
  execution: executionSchema.optional().describe('What is run.'),
  capabilities: capabilitiesSchema.optional().describe('Capabilities that are used.'),
  sockets: z
    .array(socketSchema, { error: 'a list of sockets' })
    .min(1, { error: 'at least one socket ({} is any)' })
    .max(LIMITS.sockets, { error: `at most ${LIMITS.sockets} sockets` })
    .optional()
    .describe('Sockets that are made; each entry is one kind of them.'),
  unix: unixSchema.optional().describe('UNIX sockets that are connected to or bound.'),
  mounts: mountsSchema.optional().describe('Mounts that are made, changed or taken away.'),
  network: networkSchema
    .optional()
    .describe('Connections and datagrams to addresses, refused before there is a packet.'),
  operations: field
    .listOf(field.operation, 64, 'operations')
    .optional()
    .describe('What else a process asks of the kernel.'),
} as const;

const TARGET_NAMES = Object.keys(TARGETS) as (keyof typeof TARGETS)[];

const ruleSchema = z
  .strictObject(
    {
      name: ruleName,
      action: common.action.optional().meta({ description: '`Alert` allows and reports.', default: 'Deny' }),
      executables: field
        .listOf(field.path, LIMITS.executables, 'paths')
        .optional()
        .describe('Paths of executables: the rule is for what one of them is, or has started. Absent: whatever runs.'),
      ...TARGETS,
    },
    { error: 'a mapping' },
  )
  .superRefine((rule, context) => {
    if (TARGET_NAMES.every((name) => rule[name] === undefined)) {
      issue(context, [], `one of the fields ${TARGET_NAMES.join(', ')}`, 'the rule would do nothing');
    }
  })
  .meta({ title: 'Hardening rule' })
  .register(kubernetes, {
    validations: [
      {
        rule: TARGET_NAMES.map((name) => `has(self.${name})`).join(' || '),
        message: `wanted one of the fields ${TARGET_NAMES.join(', ')} (the rule would do nothing)`,
      },
    ],
  });

const posture = (description: string) => common.action.optional().meta({ description, default: 'Allow' });

const specSchema = z
  .strictObject(
    {
      subject: subjectSchema,
      priority,
      mode,
      defaults: z
        .strictObject(
          {
            files: posture('Files and directories, whatever is done to them but running and mounting.'),
            execution: posture('What is run.'),
            capabilities: posture('Capabilities that are used.'),
            sockets: posture('Sockets that are made, and UNIX sockets that are connected to or bound.'),
            mounts: posture('Mounts that are made, changed or taken away, and the paths they are mounted on.'),
            network: posture('Connections and datagrams to addresses.'),
            operations: posture('What else a process asks of the kernel.'),
          },
          {
            error:
              'a mapping with some of the fields files, execution, capabilities, sockets, mounts, network, operations',
          },
        )
        .optional()
        .describe('What happens where no rule of any policy speaks. Of several policies the strictest counts.'),
      rules: rules(ruleSchema).describe('What they may or may not do.'),
    },
    { error: 'a mapping with the field subject' },
  )
  .superRefine(({ rules: list = [], defaults = {} }, context) => {
    if (list.length > 0 || Object.values(defaults).some((action) => action !== undefined)) return;
    issue(context, [], 'rules, or one of defaults', 'the policy would do nothing');
  })
  .meta({ title: 'Hardening spec' })
  .register(kubernetes, {
    validations: [
      {
        // An object with fields of its own has no size there.
        rule:
          '(has(self.rules) && size(self.rules) > 0) || ' +
          `(has(self.defaults) && (${POSTURES.map((name) => `has(self.defaults.${name})`).join(' || ')}))`,
        message: 'wanted rules, or one of defaults (the policy would do nothing)',
      },
    ],
  });

const hardeningPolicySchema = z
  .strictObject({ apiVersion, kind: kind('HardeningPolicy'), metadata: namespacedMetadata, spec: specSchema })
  .superRefine(({ metadata, spec }, context) => {
    checkSubject(context, metadata.namespace, spec.subject.workload, 'ClusterHardeningPolicy');
  })
  .meta({
    title: 'HardeningPolicy',
    description: 'Says what the containers of workloads of one namespace may do to their host.',
  });

const clusterHardeningPolicySchema = z
  .strictObject({ apiVersion, kind: kind('ClusterHardeningPolicy'), metadata: clusterMetadata, spec: specSchema })
  .superRefine(({ spec }, context) => {
    checkReference(context, spec.subject.workload, ['spec', 'subject', 'workload']);
  })
  .meta({
    title: 'ClusterHardeningPolicy',
    description: 'The same for workloads of any namespace; workloads are always written namespace/kind/name.',
  })
  .register(kubernetes, { validations: [CLUSTER_SUBJECT] });

/** By kind. */
export const HARDENING_SCHEMAS = {
  HardeningPolicy: hardeningPolicySchema,
  ClusterHardeningPolicy: clusterHardeningPolicySchema,
} as const;

export type HardeningManifest = z.infer<typeof hardeningPolicySchema> | z.infer<typeof clusterHardeningPolicySchema>;
export type HardeningRuleManifest = z.infer<typeof ruleSchema>;
