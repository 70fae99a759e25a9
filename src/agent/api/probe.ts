import { connect } from 'node:net';

/** A socket that does not accept in this time counts as dead, milliseconds. */
const PATIENCE_MS = 2_000;

/** Whether somebody accepts connections on a UNIX socket. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const settle = (result: boolean) => () => {
      probe.destroy();
      resolve(result);
    };
    probe.setTimeout(PATIENCE_MS, settle(false));
    probe.once('connect', settle(true));
    probe.once('error', settle(false));
  });
}
