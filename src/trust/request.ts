import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { agentUri, isDomain, isNodeName } from './certificate.ts';
import { contextTag, DerTag, der, objectIdentifier } from './der.ts';
import { TrustError } from './error.ts';

/** A key that was just made, and the request to have it signed (PKCS#10, RFC 2986). */
export interface NewRequest {
  /** PEM, PKCS#8. It goes nowhere. */
  readonly key: string;
  /** PEM. */
  readonly request: string;
}

const COMMON_NAME = '2.5.4.3';
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const URI = 6;
/** X.520's bound of a common name. */
const COMMON_NAME_MOST = 64;

/**
 * A new key of the curve P-256 for the agent of a node, and the request for its certificate. Written by hand: the library
 * that reads them takes 20 MB, and every agent would pay for it.
 * @throws TrustError INVALID
 */
export function makeRequest(domain: string, node: string): NewRequest {
  if (!isDomain(domain) || !isNodeName(node)) {
    throw new TrustError('INVALID', `Cannot ask for a certificate of ${JSON.stringify(agentUri(domain, node))}`);
  }
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  return { key, request: requestOf(privateKey, publicKey, { name: node, uris: [agentUri(domain, node)] }) };
}

/** What is asked for. */
export interface RequestedNames {
  /** Of the subject; cut where it is too long. */
  readonly name: string;
  readonly uris: readonly string[];
}

/** A request for any names, PEM: whoever reads it has to look at them. */
export function requestOf(privateKey: KeyObject, publicKey: KeyObject, { name, uris }: RequestedNames): string {
  const subject = der(
    DerTag.Sequence,
    der(
      DerTag.Set,
      der(DerTag.Sequence, objectIdentifier(COMMON_NAME), der(DerTag.Utf8String, name.slice(0, COMMON_NAME_MOST))),
    ),
  );
  const names = der(DerTag.Sequence, ...uris.map((uri) => der(contextTag(URI, false), uri)));
  const extension = der(DerTag.Sequence, objectIdentifier(SUBJECT_ALTERNATIVE_NAME), der(DerTag.OctetString, names));
  const attribute = der(
    DerTag.Sequence,
    objectIdentifier(EXTENSION_REQUEST),
    der(DerTag.Set, der(DerTag.Sequence, extension)),
  );
  const version = der(DerTag.Integer, Buffer.from([0]));
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const wanted = der(DerTag.Sequence, version, subject, spki, der(contextTag(0, true), attribute));
  const signature = sign('sha256', wanted, privateKey);
  const algorithm = der(DerTag.Sequence, objectIdentifier(ECDSA_WITH_SHA256));
  const whole = der(DerTag.Sequence, wanted, algorithm, der(DerTag.BitString, Buffer.from([0]), signature));
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}
