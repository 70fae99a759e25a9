/** Where a cluster of the tests lives: its addresses, all told by one number, so that two of them do not meet. */

export interface WorkerPlan {
  readonly name: string;
  readonly address: string;
  /** Of its pods. */
  readonly pods: string;
}

export interface Plan {
  /** Of the control plane, on the machine's own side of the wire. */
  readonly address: string;
  readonly prefix: number;
  readonly server: string;
  readonly services: string;
  /** All pods of all nodes. */
  readonly pods: string;
  readonly workers: readonly WorkerPlan[];
}

/** The second parts of 10.0.0.0/8 that clusters use; below are those that people and their tools like. */
const [FIRST, COUNT] = [128, 120];

/**
 * Plans a cluster in 10.N.0.0/16: nodes in 10.N.0.0/24, services in 10.N.128.0/20, each node's pods in 10.N.64+.0/24.
 * @param seed any number, such as the process id; where N is in use, the next is taken
 * @param taken networks in use, as `ip route` prints them
 */
export function planCluster(workers: number, seed: number, taken: readonly string[]): Plan {
  const candidates = Array.from({ length: COUNT }, (_, step) => FIRST + ((seed + step) % COUNT));
  const second = candidates.find((number) => !taken.some((network) => network.startsWith(`10.${number}.`)));
  if (second === undefined) throw new Error('cluster: no network of 10.128.0.0/9 is free on this machine');
  const net = `10.${second}`;
  return {
    address: `${net}.0.1`,
    prefix: 24,
    server: `https://${net}.0.1:6443`,
    services: `${net}.128.0/20`,
    pods: `${net}.64.0/18`,
    workers: Array.from({ length: workers }, (_, index) => ({
      name: `node${index + 1}`,
      address: `${net}.0.${11 + index}`,
      pods: `${net}.${64 + index}.0/24`,
    })),
  };
}
