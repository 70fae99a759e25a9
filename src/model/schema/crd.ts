/** The CustomResourceDefinitions, from the schema. */
import { stringify } from 'yaml';
import { API_VERSION } from '../policy.ts';
import { RESOURCES, type ResourceDefinition } from './resources.ts';
import { type Structural, structuralSchema } from './structural.ts';

const [GROUP = '', VERSION = ''] = API_VERSION.split('/');

/** File name below k8s/crds/ and content. */
export function customResourceDefinitions(): ReadonlyMap<string, string> {
  return new Map(
    RESOURCES.map((resource) => {
      const head = '# Generated from src/model/schema/ by src/model/schema/generate.ts --write.\n';
      const body = stringify(customResourceDefinition(resource), { lineWidth: 120, aliasDuplicateObjects: false });
      return [`${resource.plural}.yaml`, head + body];
    }),
  );
}

export function customResourceDefinition(resource: ResourceDefinition) {
  const { kind, plural, shortName, namespaced, columns } = resource;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}`, labels: { 'app.kubernetes.io/part-of': 'sallyport' } },
    spec: {
      group: GROUP,
      scope: namespaced ? 'Namespaced' : 'Cluster',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames: [shortName],
        categories: ['sallyport'],
      },
      preserveUnknownFields: false,
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns,
          schema: { openAPIV3Schema: rootSchema(resource) },
        },
      ],
    },
  };
}

/** The schema of the whole object: Kubernetes says itself what version, kind and metadata are. */
export function rootSchema(resource: ResourceDefinition): Structural {
  const root = structuralSchema(resource.schema, { keepUnknown: resource.written });
  const { spec, status } = root.properties ?? {};
  if (spec === undefined) throw new Error(`${resource.kind} has no spec`);
  const described = resource.status === undefined ? status : structuralSchema(resource.status, { keepUnknown: false });
  const validations = root['x-kubernetes-validations'];
  return {
    type: 'object',
    ...(root.description === undefined ? {} : { description: root.description }),
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string', description: `Version of the format: ${API_VERSION}.` },
      kind: { type: 'string', description: 'Kind of the object.' },
      metadata: { type: 'object' },
      spec: { description: `What it says${resource.written ? '' : '; generated'}.`, ...spec },
      ...(described === undefined ? {} : { status: described }),
    },
    ...(validations === undefined ? {} : { 'x-kubernetes-validations': validations }),
  };
}
