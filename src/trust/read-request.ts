import { createPublicKey } from 'node:crypto';
import { TrustError } from './error.ts';

/** What a request for a certificate asks for; that it has its key is proven. */
export interface ReadRequest {
  /** SPKI, DER; of the curve P-256. */
  readonly publicKey: Uint8Array;
  /** The only name it asks for. */
  readonly uri: string;
}

/** One of ours has 500. */
const CHARACTERS_MOST = 8_192;
const PEM = /^-----BEGIN CERTIFICATE REQUEST-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE REQUEST-----\s*$/;
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';

/**
 * Reads a PKCS#10 request of a stranger. It may ask for one URI name and nothing else; its subject is not looked at, nor
 * is anything of it but name and key to be copied.
 * @param text PEM
 * @throws TrustError INVALID
 */
export async function readRequest(text: string): Promise<ReadRequest> {
  if (text.length > CHARACTERS_MOST) throw invalid(`it has more than ${CHARACTERS_MOST} characters`);
  const base64 = PEM.exec(text)?.[1];
  if (base64 === undefined) throw invalid('it is no single certificate request in PEM');
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const request = await reading(async () => new x509.Pkcs10CertificateRequest(Buffer.from(base64, 'base64')));
  const publicKey = new Uint8Array(request.publicKey.rawData);
  wantCurve(publicKey);
  if (!(await reading(() => request.verify()))) throw invalid('it is not signed with the key it is for');
  const strange = [
    ...request.attributes.map(({ type }) => type).filter((type) => type !== EXTENSION_REQUEST),
    ...request.extensions.map(({ type }) => type).filter((type) => type !== SUBJECT_ALTERNATIVE_NAME),
  ];
  if (strange.length > 0) throw invalid(`it asks for ${strange.slice(0, 3).join(', ')}, wanted names alone`);
  const names = await reading(async () =>
    request.extensions.flatMap((extension) => new x509.SubjectAlternativeNameExtension(extension.rawData).names.items),
  );
  const [name] = names;
  if (names.length !== 1 || name?.type !== 'url') {
    const found = names.slice(0, 4).map(({ type, value }) => `${type} ${JSON.stringify(value.slice(0, 100))}`);
    throw invalid(`its names are ${found.join(', ') || 'none'}, wanted one URI`);
  }
  return { publicKey, uri: name.value };
}

/** Whatever a library throws at what a stranger wrote. */
async function reading<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.slice(0, 200) : String(cause);
    throw new TrustError('INVALID', `Cannot use the request: ${reason}`, { cause });
  }
}

function wantCurve(spki: Uint8Array): void {
  const curve = (): string | undefined => {
    try {
      const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
      return key.asymmetricKeyDetails?.namedCurve;
    } catch {
      return undefined; // no key at all
    }
  };
  if (curve() !== 'prime256v1') throw invalid('its key is not of the curve P-256');
}

function invalid(reason: string): TrustError {
  return new TrustError('INVALID', `Cannot use the request: ${reason}`);
}
