/** Whose pods are: the top owner, as users name it. */
import type { Workload } from '../model/workload.ts';
import { makerOf } from '../sources/kubernetes/pods.ts';
import type { ApiObject } from '../sources/kubernetes/resource.ts';
import { makeWorkload } from '../sources/naming.ts';

/** Who controls an object. */
export interface Controller {
  readonly kind: string;
  readonly name: string;
}

/** What is kept of an object that stands between pods and what users name. */
export interface Middle {
  readonly controller?: Controller;
}

/** By `namespace/name`. */
export interface Between {
  readonly replicaSets: ReadonlyMap<string, Middle>;
  readonly jobs: ReadonlyMap<string, Middle>;
}

/** Who made an object; undefined where nobody did, or the node itself, which keeps static pods. */
export function controllerOf({ metadata }: ApiObject): Controller | undefined {
  const owner = makerOf(metadata);
  return owner === undefined ? undefined : { kind: owner.kind, name: owner.name };
}

export function middleOf(object: ApiObject): Middle {
  const controller = controllerOf(object);
  return controller === undefined ? {} : { controller };
}

/**
 * The workload of a pod.
 * @returns undefined where its replica set or job has not been heard of yet, and for names policies could not write
 */
export function workloadOf(
  namespace: string,
  pod: string,
  controller: Controller | undefined,
  between: Between,
): Workload | undefined {
  if (controller === undefined) return makeWorkload(namespace, 'Pod', pod);
  const { kind, name } = controller;
  if (kind !== 'ReplicaSet' && kind !== 'Job') return makeWorkload(namespace, kind, name);
  const middle = (kind === 'Job' ? between.jobs : between.replicaSets).get(`${namespace}/${name}`);
  if (middle === undefined) return undefined;
  const top = middle.controller ?? controller;
  return makeWorkload(namespace, top.kind, top.name);
}
