import { SourceError } from './error.ts';

const NEWLINE = 10;

/** Reads a body to its end. Throws SourceError TOO_LARGE beyond `longest` bytes, having ended the body. */
export async function readBounded(body: AsyncIterable<Uint8Array>, longest: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > longest) throw new SourceError('TOO_LARGE', `The answer is longer than ${longest} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The lines of a body as they arrive, without empty ones. Throws SourceError TOO_LARGE beyond `longest` bytes in one. */
export async function* readLines(body: AsyncIterable<Uint8Array>, longest: number): AsyncGenerator<string> {
  // A long line comes in many pieces, each of which is looked at once.
  let pieces: Uint8Array[] = [];
  let length = 0;
  const add = (piece: Uint8Array): void => {
    pieces.push(piece);
    length += piece.length;
    if (length > longest) throw new SourceError('TOO_LARGE', `A line is longer than ${longest} bytes`);
  };
  for await (const chunk of body) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      add(chunk.subarray(start, end));
      const line = Buffer.concat(pieces).toString('utf8').trim();
      [pieces, length, start] = [[], 0, end + 1];
      if (line !== '') yield line;
    }
    add(chunk.subarray(start));
  }
}
