import { asTrustError, type TrustError } from './error.ts';
import { readTrusted, writeTrusted } from './files.ts';
import { formatTagKeys, nextChange, parseTagKeys, type TagKeyFile, type TagKeysNow, tagKeysAt } from './tag-keys.ts';
import { FileWatch, type FileWatchOptions } from './watch.ts';

/** @throws TrustError MISSING, UNREADABLE, EXPOSED where others than the owner have access to it, INVALID */
export function readTagKeys(path: string): TagKeyFile {
  return parseTagKeys(readTrusted(path, 'owner-only'), path);
}

/** @throws TrustError EXISTS, UNWRITABLE */
export function writeTagKeys(path: string, file: TagKeyFile, { force }: { readonly force: boolean }): void {
  writeTrusted([{ path, text: formatTagKeys(file), mode: 0o600 }], { force });
}

export interface TagKeysWatchOptions extends FileWatchOptions {
  readonly now?: () => number;
}

/**
 * Follows a key file: told are the first keys (before this returns), and every change of what is accepted or of what
 * signs, be it by the file or by time alone. A file that is bad leaves the former keys to live and expire as they
 * were, and is told once.
 */
export function watchTagKeys(
  path: string,
  onChange: (keys: TagKeysNow) => void,
  onError: (error: TrustError) => void,
  options: TagKeysWatchOptions = {},
): { close(): void } {
  const now = options.now ?? Date.now;
  let file: TagKeyFile | undefined;
  let given = '';
  let told = '';

  const look = (): number | undefined => {
    try {
      file = readTagKeys(path);
      told = '';
    } catch (thrown) {
      const error = asTrustError(thrown, 'UNREADABLE', `read ${path}`);
      if (error.message !== told) onError(error);
      told = error.message;
    }
    if (file === undefined) return undefined;
    const time = now();
    const keys = tagKeysAt(file, time);
    const shown = JSON.stringify([keys.signing, keys.keys.map(({ epoch, key }) => [epoch, ...key])]);
    if (shown !== given) {
      given = shown;
      onChange(keys);
    }
    const next = nextChange(file, time);
    return next === undefined ? undefined : next - time;
  };
  const watch = new FileWatch([path], look, options);
  watch.start();
  return watch;
}
