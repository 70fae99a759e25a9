/** Most of a body, bytes: some ten thousand rules. */
export const BODY_BYTES_MOST = 4 * 1024 * 1024;
/** A stream says at least this often that it lives, milliseconds. */
export const STREAM_HEARTBEAT_MS = 15_000;
export const NDJSON = 'application/x-ndjson';
