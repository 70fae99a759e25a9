import * as z from 'zod';
import { formatAddress, parseAddress } from '../../model/address.ts';
import type { LooseObject } from './resource.ts';

/** Addresses that somebody has written for a Service. Plain data. */
export interface KnownSlice {
  readonly namespace: string;
  readonly service: string;
  /** Canonical text, ready or not, each once. */
  readonly addresses: readonly string[];
}

/** Of one slice; what is beyond is left out. */
const MOST_ADDRESSES = 1_000;

const SERVICE_NAME = 'kubernetes.io/service-name';
const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';

/**
 * Those that no selector has made: written by hand, or copied from Endpoints that were. The others, nearly all there are,
 * nobody needs to send us.
 */
export const WRITTEN_SLICES = `${SERVICE_NAME},${MANAGED_BY}!=endpointslice-controller.k8s.io`;

const sliceSchema = z.object({
  endpoints: z.array(z.object({ addresses: z.array(z.string()).catch([]) })).catch([]),
});

/** What is known of a slice. Whose its addresses are nobody asks: neither `targetRef` nor `nodeName` decide anything. */
export function projectSlice(object: LooseObject): KnownSlice | undefined {
  const { namespace = 'default', labels } = object.metadata;
  const service = labels?.[SERVICE_NAME];
  if (service === undefined || service === '') return undefined;
  const { endpoints } = sliceSchema.parse(object);
  const addresses = new Set<string>();
  for (const text of endpoints.flatMap((endpoint) => endpoint.addresses)) {
    // Of addressType FQDN it is a name.
    const address = parseAddress(text);
    if (address !== undefined) addresses.add(formatAddress(address));
    if (addresses.size === MOST_ADDRESSES) break;
  }
  return { namespace, service, addresses: [...addresses] };
}
