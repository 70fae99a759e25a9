/**
 * A second node behind a NAT box: one unit, `db`, in a cgroup of its own, and an agent. What is between it and the Docker
 * host: a segment, the box, and Docker's own masquerading.
 */
import { join } from 'node:path';
import { closeOnExit } from '../../test/rig/cleanup.ts';
import { type BehindNat, putBehindNat } from '../../test/rig/nat.ts';
import { createNode, type Endpoint, type Node } from '../../test/rig/node.ts';
import { attempt } from '../../test/rig/process.ts';
import { createSegment, type Segment, type Uplink } from '../../test/rig/segment.ts';
import { Agent, SALLYPORT } from './agent.ts';
import type { Stage } from './stage.ts';

export const DB_PORT = 5432;
const AGENT_PORT = 7350;

export class Annex {
  readonly node: Node;
  readonly agent: Agent;
  readonly db: Endpoint;
  /** Where the Docker host can be reached. */
  readonly dockerUplink: Uplink;
  readonly close: () => void;
  readonly #stage: Stage;
  readonly #nat: BehindNat;

  private constructor(stage: Stage, node: Node, db: Endpoint, dockerUplink: Uplink, nat: BehindNat, segment: Segment) {
    this.node = node;
    this.db = db;
    this.dockerUplink = dockerUplink;
    this.#stage = stage;
    this.#nat = nat;
    const { directory, report } = stage;
    const cgroups = [{ path: `/${node.cgroup.name}/*`, workload: 'annex/Unit/{name}' }];
    const settings = { sources: { docker: { enabled: 'false' }, cri: { enabled: 'false' }, cgroups } };
    this.agent = new Agent({ name: 'annex', host: node.host, directory, report, settings });
    this.close = closeOnExit(() => {
      this.agent.close();
      nat.close();
      node.close();
      segment.close();
    });
  }

  /** Builds it, and joins it to the Docker host. */
  static async open(stage: Stage): Promise<Annex> {
    const segment = await createSegment();
    const dockerUplink = await segment.connect(stage.node);
    const node = await createNode({ name: 'annex' });
    const db = await node.createEndpoint('db');
    const nat = await putBehindNat(node, segment);
    await nat.forward(AGENT_PORT, { ...nat.uplink, port: AGENT_PORT });
    await nat.forward(DB_PORT, { ipv4: db.ipv4, ipv6: db.ipv6, port: DB_PORT });
    return new Annex(stage, node, db, dockerUplink, nat, segment);
  }

  /** What everybody else sees: the NAT box. */
  get address(): string {
    return this.#nat.visible.ipv4;
  }

  /** Who is where. */
  get map(): string {
    const { ipv4 } = this.dockerUplink;
    const inside = this.#nat.uplink.ipv4;
    return [
      `web, api, db ── Docker host ══ segment ══ NAT box ══ annex ── db`,
      `172.17.0.0/16   ${ipv4}            ${this.address}  ${inside}  ${this.db.ipv4}`,
      `The box leads ${this.address}:${DB_PORT} to the annex's db and ${this.address}:${AGENT_PORT} to its agent.`,
    ].join('\n');
  }

  /** Makes certificates and tag keys as a reader would, in the demonstration's directory. */
  async makeTrust(): Promise<void> {
    const commands = [
      ['ca', 'init', '--directory', 'ca', '--domain', 'demo'],
      ['ca', 'issue', 'docker', '--directory', 'ca', '--out', 'docker/tls'],
      ['ca', 'issue', 'annex', '--directory', 'ca', '--out', 'annex/tls'],
      ['keys', 'init', '--file', 'tag-keys.json'],
    ];
    for (const args of commands) {
      const { status, stdout, stderr } = await attempt([SALLYPORT, ...args], { cwd: this.#stage.directory });
      this.#stage.report.command(`sallyport ${args.join(' ')}`, stdout + stderr);
      if (status !== 0) throw new Error(`sallyport ${args[0]} ${args[1]} failed`);
    }
  }

  /** What the Docker host's agent.yaml has to say of the annex. */
  get dockerSettings(): Readonly<Record<string, unknown>> {
    const { ipv4 } = this.dockerUplink;
    return this.#settings('docker', ipv4, { name: 'annex', seenAt: this.address });
  }

  /** What the annex's has to say of the Docker host, and of itself. */
  get ownSettings(): Readonly<Record<string, unknown>> {
    const { ipv4 } = this.dockerUplink;
    return this.#settings('annex', this.#nat.uplink.ipv4, {
      name: 'docker',
      seenAt: ipv4,
      publicAddresses: [this.address],
    });
  }

  #settings(own: string, listen: string, other: OtherNode): Readonly<Record<string, unknown>> {
    const at = (path: string) => join(this.#stage.directory, path);
    const { name, seenAt, publicAddresses } = other;
    return {
      ...(publicAddresses === undefined ? {} : { network: { publicAddresses } }),
      tags: { keys: at('tag-keys.json') },
      handshake: {
        listen: `${listen}:${AGENT_PORT}`,
        certificate: at(`${own}/tls/agent.crt`),
        key: at(`${own}/tls/agent.key`),
        authority: at(`${own}/tls/authority.crt`),
        agents: [{ name, address: `${seenAt}:${AGENT_PORT}`, cidrs: [`${seenAt}/32`] }],
      },
    };
  }
}

interface OtherNode {
  readonly name: string;
  readonly seenAt: string;
  readonly publicAddresses?: readonly string[];
}
