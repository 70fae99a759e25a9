import { createHash, randomBytes } from 'node:crypto';
import * as z from 'zod';
import { TrustError } from './error.ts';

/** The keys of the tags on SYN and SYN-ACK: what a key file says, and what that means at a time. Pure. */

export interface TagKeyEntry {
  /** Counts up with each key. Two bits of it stand in a tag. */
  readonly epoch: number;
  /** 16 bytes. */
  readonly key: Uint8Array;
  /** Milliseconds since the epoch: signs from then on; undefined: always. It is accepted before. */
  readonly activates?: number;
  /** Neither signs nor is accepted from then on. */
  readonly expires?: number;
}

export interface TagKeyFile {
  /** Which one is meant to sign, as soon as it may. Undefined: the one that was activated last. */
  readonly signing?: number;
  readonly keys: readonly TagKeyEntry[];
}

/** What the kernel is told, but for the window. */
export interface TagKeysNow {
  readonly keys: readonly { readonly epoch: number; readonly key: Uint8Array }[];
  readonly signing?: number;
}

/** `waits`: accepted, and will sign. */
export type TagKeyState = 'signs' | 'accepted' | 'waits' | 'expired';

const EPOCHS = 4;
const KEY_BYTES = 16;

const time = z.iso.datetime({ offset: true, error: 'wanted a time as 2027-01-31T12:00:00Z' });
const schema = z.strictObject({
  signing: z.int().min(1).max(0xffff_ffff).exactOptional(),
  keys: z
    .array(
      z.strictObject({
        epoch: z.int().min(1).max(0xffff_ffff),
        key: z.string().regex(/^[0-9a-fA-F]{32}$/, 'wanted 32 hexadecimal digits'),
        activates: time.exactOptional(),
        expires: time.exactOptional(),
      }),
    )
    .min(1, 'wanted at least one key')
    .max(EPOCHS, `wanted at most ${EPOCHS} keys`),
});

/** @param file for messages, which never quote what stands in it. @throws TrustError INVALID */
export function parseTagKeys(text: string, file: string): TagKeyFile {
  const invalid = (reason: string): TrustError =>
    new TrustError('INVALID', `Cannot use the tag keys ${file}: ${reason}`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which is a secret.
    throw invalid('it is not JSON');
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw invalid(`${issue?.path.join('.') || 'the file'}: ${issue?.message ?? 'malformed'}`);
  }
  const keys = parsed.data.keys.map(
    ({ epoch, key, activates, expires }): TagKeyEntry => ({
      epoch,
      key: Uint8Array.from(Buffer.from(key, 'hex')),
      ...(activates === undefined ? {} : { activates: Date.parse(activates) }),
      ...(expires === undefined ? {} : { expires: Date.parse(expires) }),
    }),
  );
  for (const [index, { epoch, key, activates, expires }] of keys.entries()) {
    const before = keys.slice(0, index);
    const clash = before.find((other) => (other.epoch & 3) === (epoch & 3));
    if (clash !== undefined) throw invalid(clashText(clash.epoch, epoch));
    const twin = before.find((other) => Buffer.compare(other.key, key) === 0);
    if (twin !== undefined) throw invalid(`epochs ${twin.epoch} and ${epoch} have the same key`);
    if (key.every((byte) => byte === 0)) throw invalid(`the key of epoch ${epoch} is all zeros`);
    if (activates !== undefined && expires !== undefined && expires <= activates) {
      throw invalid(`epoch ${epoch} expires before it activates`);
    }
  }
  const { signing } = parsed.data;
  if (signing !== undefined && !keys.some(({ epoch }) => epoch === signing)) {
    throw invalid(`signing is ${signing}, and there is no key of that epoch`);
  }
  return { ...(signing === undefined ? {} : { signing }), keys };
}

export function formatTagKeys({ signing, keys }: TagKeyFile): string {
  const at = (milliseconds: number): string => new Date(milliseconds).toISOString();
  const written = keys.map(({ epoch, key, activates, expires }) => ({
    epoch,
    key: Buffer.from(key).toString('hex'),
    ...(activates === undefined ? {} : { activates: at(activates) }),
    ...(expires === undefined ? {} : { expires: at(expires) }),
  }));
  return `${JSON.stringify({ ...(signing === undefined ? {} : { signing }), keys: written }, undefined, 2)}\n`;
}

/** What is accepted and what signs at a time. No key signs where none is both activated and not expired. */
export function tagKeysAt(file: TagKeyFile, now: number): TagKeysNow {
  const accepted = file.keys.filter((key) => !isExpired(key, now));
  const activated = accepted.filter(({ activates }) => activates === undefined || activates <= now);
  const signing = activated.find(({ epoch }) => epoch === file.signing) ?? activated.toSorted(byActivation).at(-1);
  const keys = accepted.map(({ epoch, key }) => ({ epoch, key })).sort((a, b) => a.epoch - b.epoch);
  return { keys, ...(signing === undefined ? {} : { signing: signing.epoch }) };
}

/** When `tagKeysAt` next gives another answer by time alone; undefined: never. */
export function nextChange(file: TagKeyFile, now: number): number | undefined {
  const times = file.keys.flatMap(({ activates, expires }) => [activates, expires]);
  const coming = times.filter((at) => at !== undefined).filter((at) => at > now);
  return coming.length === 0 ? undefined : Math.min(...coming);
}

export function tagKeyState(file: TagKeyFile, key: TagKeyEntry, now: number): TagKeyState {
  if (isExpired(key, now)) return 'expired';
  if (tagKeysAt(file, now).signing === key.epoch) return 'signs';
  return key.activates !== undefined && key.activates > now ? 'waits' : 'accepted';
}

/** Tells keys apart without telling them: the first 64 bits of a SHA-256 over the key, 16 hexadecimal digits. */
export function tagKeyFingerprint(key: Uint8Array): string {
  return createHash('sha256').update('sallyport tag key\0').update(key).digest('hex').slice(0, 16);
}

/** One key, which signs at once. */
export function firstTagKeys(): TagKeyFile {
  return { signing: 1, keys: [{ epoch: 1, key: newKey() }] };
}

export interface Rotation {
  readonly now: number;
  /** Milliseconds until the new key signs: time to bring the file to every node. */
  readonly activateInMs: number;
  /** Milliseconds from then on in which the old ones are still accepted. */
  readonly keepMs: number;
}

/**
 * The next epoch beside the ones there are. Expired keys go.
 * @throws TrustError INVALID where the new key could not be told from one that is still accepted
 */
export function rotateTagKeys(file: TagKeyFile, { now, activateInMs, keepMs }: Rotation): TagKeyFile {
  const epoch = Math.max(...file.keys.map((key) => key.epoch)) + 1;
  const living = file.keys.filter((key) => !isExpired(key, now));
  const clash = living.find((other) => (other.epoch & 3) === (epoch & 3));
  if (clash !== undefined) {
    const until =
      clash.expires === undefined
        ? 'which never expires'
        : `which is accepted until ${new Date(clash.expires).toISOString()}`;
    throw new TrustError('INVALID', `Cannot add a key: ${clashText(clash.epoch, epoch)}, ${until}`, {
      hint: 'wait until then, or take that key out of the file on every node',
    });
  }
  const activates = now + activateInMs;
  const old = living.map((key) => ({
    ...key,
    expires: Math.min(key.expires ?? Number.POSITIVE_INFINITY, activates + keepMs),
  }));
  // A key that was to activate later than it now expires would never have signed.
  const kept = old.filter((key) => !isExpired(key, now) && (key.activates ?? now) < key.expires);
  return { signing: epoch, keys: [...kept, { epoch, key: newKey(), activates }] };
}

function isExpired({ expires }: TagKeyEntry, now: number): boolean {
  return expires !== undefined && expires <= now;
}

function byActivation(a: TagKeyEntry, b: TagKeyEntry): number {
  const from = (key: TagKeyEntry): number => key.activates ?? 0;
  return from(a) - from(b) || a.epoch - b.epoch;
}

function clashText(one: number, other: number): string {
  return `epochs ${one} and ${other} are the same modulo ${EPOCHS}, so that a tag could be of either`;
}

function newKey(): Uint8Array {
  return Uint8Array.from(randomBytes(KEY_BYTES));
}
