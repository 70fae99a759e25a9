/** A certificate authority as tests need one: small, and ready to sign what it should not. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { Credentials } from '../../src/handshake/index.ts';

x509.cryptoProvider.set(webcrypto as never);

type KeyPair = webcrypto.CryptoKeyPair;

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const HOUR = 3_600_000;

export interface Wanted {
  /** Default one: `spiffe://DOMAIN/agent/NODE`. */
  readonly uris?: readonly string[];
  readonly dns?: readonly string[];
  readonly from?: number;
  readonly to?: number;
  /** Signed by itself. */
  readonly selfSigned?: boolean;
}

let serial = 1;

export class Authority {
  readonly domain: string;
  readonly certificate: string;
  readonly #keys: KeyPair;
  readonly #name: string;

  private constructor(domain: string, keys: KeyPair, certificate: string, name: string) {
    this.domain = domain;
    this.certificate = certificate;
    this.#keys = keys;
    this.#name = name;
  }

  static async create(domain: string, name = 'CN=test authority'): Promise<Authority> {
    const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as KeyPair;
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: (serial++).toString(16).padStart(4, '0'),
      name,
      notBefore: new Date(Date.now() - HOUR),
      notAfter: new Date(Date.now() + HOUR),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      ],
    });
    return new Authority(domain, keys, certificate.toString('pem'), name);
  }

  /** For a node's agent, unless told otherwise. */
  async issue(node: string, wanted: Wanted = {}): Promise<Credentials> {
    const { uris = [`spiffe://${this.domain}/agent/${node}`], dns = [], selfSigned = false } = wanted;
    const { from = Date.now() - 60_000, to = Date.now() + HOUR } = wanted;
    const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as KeyPair;
    const names = [
      ...uris.map((value) => ({ type: 'url' as const, value })),
      ...dns.map((value) => ({ type: 'dns' as const, value })),
    ];
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: (serial++).toString(16).padStart(4, '0'),
      subject: `CN=${node}`,
      issuer: selfSigned ? `CN=${node}` : this.#name,
      notBefore: new Date(from),
      notAfter: new Date(to),
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: selfSigned ? keys.privateKey : this.#keys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
        ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
      ],
    });
    const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
    return {
      certificate: certificate.toString('pem'),
      key: x509.PemConverter.encode(key, 'PRIVATE KEY'),
      authority: this.certificate,
    };
  }
}
