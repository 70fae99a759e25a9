import { ProtocolError } from './errors.ts';

/** Most bytes of an Announce. */
export const FRAME_MOST = 1 << 20;

/** Most bytes of any other message. */
export const MESSAGE_MOST = 64 << 10;

/** Most bytes of the first message of a peer, which is Hello. */
export const FIRST_FRAME_MOST = 4 << 10;

/** Bytes of a varint that can tell a length up to {@link FRAME_MOST}. */
const LENGTH_BYTES_MOST = 3;

/**
 * Cuts a stream into frames: a length as a varint, then as many bytes. What has not ended yet is kept in a buffer that
 * grows with what has come, not with what was promised, so that a large length costs its sender as much as us.
 */
export class FrameReader {
  /** Most bytes of the next frame; may be set between frames. */
  limit: number;
  #length = 0;
  #lengthBytes = 0;
  /** Undefined while the length is read. */
  #wanted: number | undefined;
  #partial: Buffer = EMPTY;
  #have = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Bytes kept for a frame that has not ended. */
  get buffered(): number {
    return this.#have;
  }

  /** Whether a frame has begun and not ended. */
  get unfinished(): boolean {
    return this.#wanted !== undefined || this.#lengthBytes > 0;
  }

  /**
   * The frames that end in this chunk. Each is valid until the next is asked for. Nothing may follow a frame that the
   * caller stopped at.
   * @throws ProtocolError FRAME
   */
  *push(chunk: Uint8Array): Generator<Uint8Array, void, void> {
    let at = 0;
    while (at < chunk.length) {
      if (this.#wanted === undefined) {
        at = this.#readLength(chunk, at);
        if (this.#wanted !== 0) continue;
      }
      const wanted: number = this.#wanted ?? 0;
      const take = Math.min(wanted - this.#have, chunk.length - at);
      if (this.#have === 0 && take === wanted) {
        this.#begin();
        yield chunk.subarray(at, at + take);
      } else {
        this.#keep(chunk.subarray(at, at + take), wanted);
        if (this.#have === wanted) {
          const frame = this.#partial.subarray(0, wanted);
          this.#begin();
          yield frame;
        }
      }
      at += take;
    }
  }

  #readLength(chunk: Uint8Array, from: number): number {
    let at = from;
    while (at < chunk.length) {
      const byte = chunk[at++] ?? 0;
      this.#length |= (byte & 0x7f) << (7 * this.#lengthBytes++);
      if ((byte & 0x80) === 0) {
        if (byte === 0 && this.#lengthBytes > 1) throw new ProtocolError('FRAME', 'A length is longer than it need be');
        if (this.#length > this.limit) {
          throw new ProtocolError('FRAME', `A frame of ${this.#length} bytes, wanted at most ${this.limit}`);
        }
        this.#wanted = this.#length;
        return at;
      }
      if (this.#lengthBytes === LENGTH_BYTES_MOST) throw new ProtocolError('FRAME', 'A length has too many bytes');
    }
    return at;
  }

  #keep(bytes: Uint8Array, wanted: number): void {
    const needed = this.#have + bytes.length;
    if (this.#partial.length < needed) {
      const grown = Buffer.allocUnsafe(Math.min(wanted, Math.max(needed, 2 * this.#partial.length, 512)));
      grown.set(this.#partial.subarray(0, this.#have));
      this.#partial = grown;
    }
    this.#partial.set(bytes, this.#have);
    this.#have = needed;
  }

  #begin(): void {
    this.#length = 0;
    this.#lengthBytes = 0;
    this.#wanted = undefined;
    this.#partial = EMPTY;
    this.#have = 0;
  }
}

const EMPTY = Buffer.alloc(0);
