import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EndpointView } from '../../../src/agent/api/contract.ts';
import { createAuthority, issueCertificate } from '../../../src/trust/authority.ts';
import { writeTrusted } from '../../../src/trust/files.ts';
import { waitFor } from '../../rig/cleanup.ts';
import type { Place } from '../../rig/netns.ts';
import { ipv4, type Transport } from '../../rig/packets.ts';
import { tagOption } from '../../rig/tag.ts';
import { connect, sendRaw, udpReceive, udpSend } from '../../rig/traffic.ts';
import { tcp, udp } from '../../rig/transports.ts';
import { DOMAIN, HANDSHAKE_PORT, Region, servicePolicy } from './region.ts';
import { ask, Ear, forgetAll, MAGIC, peers, records, underWay } from './watch.ts';

const CHILD = join(import.meta.dirname, 'stranger.child.ts');
const PORT = 8080;
const WINDOW_S = 30;

/** `web` may open to `db`; `rogue` runs somebody who calls himself `web`, and may speak for `ghost` only. */
const POLICIES = [
  servicePolicy(
    'db',
    'db',
    `  ingress:
    - name: web
      action: Allow
      from: [{workload: Service/web}, {workload: Service/ghost}]`,
  ),
  servicePolicy('sink', 'sink', '  ingress: [{name: web, action: Allow, from: [{workload: Service/web}]}]'),
].join('---\n');

describe('whoever attacks between nodes', function () {
  this.timeout(120_000);
  let region: Region;
  let ear: Ear;
  /** On the wire that leads to east. */
  let wire: Ear;
  /** Tokens that were on it. */
  const sent = new Set<string>();
  let port = 40_000;

  const at = (path: string) => region.endpoint(path);
  const [west, east] = [() => region.station('west'), () => region.station('east')];
  const db = () => at('east/db');
  /** The host of `rogue`: on the network, and nobody's endpoint. */
  const network = () => region.member('rogue').node.host;
  const allowed = () => connect(at('west/web'), { address: db().ipv4, port: PORT, udp: true }, { timeoutMs: 4_000 });
  const dropped = (station: ReturnType<typeof west>, reason: string) =>
    station.metric(`sallyport_drop_packets_total{reason="${reason}"}`);
  const newPort = () => {
    port += 1;
    return port;
  };

  before(async () => {
    region = await Region.create({
      nodes: { west: ['web', 'evil'], east: ['db', 'sink'], rogue: ['web'] },
      settings: (member, whole) => {
        const { handshake } = whole.settingsOf(member) as { handshake: { agents: { name: string }[] } };
        const agents = handshake.agents.map((agent) =>
          agent.name === 'rogue' ? { ...agent, workloads: ['shop/Service/ghost'] } : agent,
        );
        return { handshake: { agents }, log: { level: 'trace' } } as object;
      },
    });
    await region.start();
    await region.apply(POLICIES);
    ear = await Ear.at(db());
    const { node, uplink } = region.member('east');
    wire = await Ear.at(node.host, uplink.interface.name);
  });
  after(() => {
    ear?.close();
    wire?.close();
    region?.close();
  });
  beforeEach(() => forgetAll(west(), east()));
  afterEach(() => {
    for (const token of wire.tokens()) sent.add(token);
    assert.deepEqual(ear.tokens(), [], 'no token ever reaches a container');
  });

  async function identityOf(station: ReturnType<typeof west>, name: string): Promise<bigint> {
    const endpoints = await ask<readonly EndpointView[]>(station, '/v1/endpoints');
    const found = endpoints.find((endpoint) => endpoint.name === name)!;
    return BigInt(`0x${found.containers[0]?.identity ?? found.identity}`);
  }

  /** A SYN to db with the tag of an identity, made with the domain's own key. */
  async function syn(source: string, identity: bigint, broken = false): Promise<{ packet: Buffer; from: number }> {
    const { signing, keys } = JSON.parse(readFileSync(region.tagKeys, 'utf8'));
    const { key } = keys.find(({ epoch }: { epoch: number }) => epoch === signing);
    const sequence = randomBytes(4).readUInt32BE();
    const window = Math.floor(Date.now() / 1_000 / WINDOW_S);
    const options = tagOption({ key: Buffer.from(key, 'hex'), epoch: signing, identity, window, sequence });
    if (broken) options[19]! ^= 1;
    const from = newPort();
    const segment = tcp({ sourcePort: from, destinationPort: PORT, sequence, flags: ['SYN'], options });
    return { packet: ipv4({ source, destination: db().ipv4 }, segment).bytes, from };
  }

  const arrived = (from: string) => ear.heard(from).length;

  /** Sends a packet and tells whether it, or anything else of this source, has reached db. */
  async function reaches(where: Place, source: string, packet: Buffer): Promise<boolean> {
    const before = arrived(source);
    await sendRaw(where, [packet]);
    await sleep(150);
    return arrived(source) > before;
  }

  const toDb = (source: string, transport: Transport) => ipv4({ source, destination: db().ipv4 }, transport).bytes;

  describe('from a container', () => {
    it('sends no tag but its own: not another’s, though it were made with the key itself', async () => {
      const evil = at('west/evil');
      const before = await dropped(west(), 'TagForged');
      const { packet } = await syn(evil.ipv4, await identityOf(west(), 'web'));
      assert.equal(await reaches(evil, evil.ipv4, packet), false);
      assert.equal(await dropped(west(), 'TagForged'), before + 1);
    });

    it('starts no handshake in another’s name', async () => {
      const [evil, web] = [at('west/evil'), at('west/web')];
      const before = await dropped(west(), 'Spoofed');
      const packet = toDb(web.ipv4, udp({ sourcePort: newPort(), destinationPort: PORT }, Buffer.from('spoofed')));
      assert.equal(await reaches(evil, web.ipv4, packet), false);
      assert.deepEqual([await underWay(west()), await underWay(east())], [[], []]);
      assert.equal(await dropped(west(), 'Spoofed'), before + 1);
    });

    it('gets nothing to anybody that looks like a token, whoever it is and to whom he may speak', async () => {
      assert.equal((await allowed()).result, 'ok');
      const web = at('west/web');
      const before = await dropped(east(), 'Claim');
      const token = () => Buffer.concat([Buffer.from(MAGIC, 'hex'), randomBytes(16)]);
      const guesses = Array.from({ length: 200 }, () =>
        toDb(web.ipv4, udp({ sourcePort: newPort(), destinationPort: PORT }, token())),
      );
      await sendRaw(web, guesses);
      await waitFor('they are dropped', async () => (await dropped(east(), 'Claim')) >= before + 200);
      assert.deepEqual(ear.tokens(), []);
      assert.equal((await allowed()).result, 'ok');
    });

    it('with thousands of new peers starves neither another endpoint nor what is verified', async () => {
      const [web, sink] = [at('west/web'), at('east/sink')];
      const verified = { address: sink.ipv4, port: 9_000 };
      assert.equal((await connect(web, { ...verified, port: PORT, udp: true }, { timeoutMs: 4_000 })).result, 'ok');
      const receiver = await udpReceive(sink, { port: 9_000, durationMs: 5_000, count: 300 });
      const flow = udpSend(web, verified, { count: 300, rate: 100, durationMs: 4_000 });
      const [a, b] = region.member('east').node.ipv4Network.split('.');
      const strangers = Array.from(
        { length: 20_000 },
        (_, i) =>
          ipv4(
            { source: at('west/evil').ipv4, destination: `${a}.${b}.${100 + (i >> 8)}.${i & 255}` },
            udp({ sourcePort: 5_000, destinationPort: 1 + (i % 60_000) }, Buffer.from('flood')),
          ).bytes,
      );
      const flood = sendRaw(at('west/evil'), strangers);
      await sleep(100);
      const [first, most] = await Promise.all([allowed(), underWay(west()).then(({ length }) => length)]);
      assert.equal(first.result, 'ok', 'a first datagram of another endpoint');
      assert.ok(most <= 4_096, `${most} handshakes under way`);
      await flood;
      assert.equal((await flow).sent, 300);
      const { received, lost } = await receiver.result();
      assert.deepEqual({ received, lost }, { received: 300, lost: 0 });
      assert.ok((await dropped(west(), 'HoldRate')) > 0);
      await waitFor('all is over', async () => (await underWay(west())).length === 0);
      await waitFor('nothing waits', async () => (await west().metric('sallyport_hold_packets')) === 0);
    });
  });

  describe('from the network', () => {
    it('gets in by a tag only with the key, at the right time, and only once', async () => {
      const source = region.member('rogue').uplink.ipv4;
      const web = await identityOf(west(), 'web');
      // That it is the tag that is looked at: with the key one may be anybody.
      assert.equal(await reaches(network(), source, (await syn(source, web)).packet), true);

      const mac = await dropped(east(), 'TagMac');
      assert.equal(await reaches(network(), source, (await syn(source, web, true)).packet), false);
      assert.equal(await dropped(east(), 'TagMac'), mac + 1);

      const replays = await dropped(east(), 'TagReplay');
      assert.equal((await connect(at('west/web'), { address: db().ipv4, port: PORT })).result, 'ok');
      const { ipv4: opener } = at('west/web');
      const tagged = () => ear.heard(opener).findLast(({ flags }) => (flags & 0x12) === 0x02);
      await waitFor('its SYN is caught', () => tagged() !== undefined);
      const header = tagged()!.frame.subarray(34);
      const segment = tcp({
        sourcePort: header.readUInt16BE(0),
        destinationPort: PORT,
        sequence: header.readUInt32BE(4),
        flags: ['SYN'],
        options: header.subarray(20, (header[12]! >> 4) * 4),
      });
      assert.equal(await reaches(network(), source, toDb(source, segment)), false);
      assert.equal(await dropped(east(), 'TagReplay'), replays + 1);
    });

    it('starts no handshake, and uses no token that it has seen', async () => {
      const { ipv4: web } = at('west/web');
      const spoofed = toDb(web, udp({ sourcePort: newPort(), destinationPort: PORT }, Buffer.from('spoofed')));
      assert.equal(await reaches(network(), web, spoofed), false);
      assert.deepEqual(await underWay(east()), []);
      assert.equal((await allowed()).result, 'ok');
      const tokens = wire.tokens();
      assert.ok(tokens.length > 0, 'tokens are on the wire');
      await forgetAll(west(), east());
      const source = region.member('rogue').uplink.ipv4;
      const already = arrived(source);
      const seen = tokens.map((token) => {
        const payload = Buffer.from(MAGIC + token, 'hex');
        return toDb(source, udp({ sourcePort: newPort(), destinationPort: PORT }, payload));
      });
      await sendRaw(network(), seen);
      await sleep(200);
      assert.equal(arrived(source), already);
      assert.deepEqual(await peers(east()), []);
    });

    it('as an agent, speaks for nobody but whom it may, which is on record', async () => {
      const { ipv4: source } = at('rogue/web');
      const before = arrived(source);
      const outcome = await connect(
        at('rogue/web'),
        { address: db().ipv4, port: PORT, udp: true },
        { timeoutMs: 1_500 },
      );
      assert.notEqual(outcome.result, 'ok');
      assert.equal(arrived(source), before);
      await waitFor('it is on record', async () =>
        (await records(east(), '&result=refused')).some(
          (record) => record.reason === 'not-yours' && record.source.node === 'rogue',
        ),
      );
      const agent = (await ask<readonly { name: string; identities: number }[]>(east(), '/v1/peers/agents')).find(
        ({ name }) => name === 'rogue',
      );
      assert.equal(agent?.identities, 0);
    });

    const dial = async (directory: string, ...more: string[]) => {
      const files = ['agent.crt', 'agent.key', 'authority.crt'].map((name) => join(region.directory, directory, name));
      const { ipv4: host } = region.member('east').uplink;
      const args = [host, String(HANDSHAKE_PORT), ...files, 'rogue', DOMAIN, ...more];
      const child = network().start([process.execPath, '--disable-warning=ExperimentalWarning', CHILD, ...args]);
      const [line] = await child.output(/^\{.*\}$/m, 20_000);
      return { child, ...(JSON.parse(line) as { heard: Record<string, number>; ended: string | null }) };
    };

    it('as an agent of another domain, or of another authority of the same name, hears not even a Hello', async () => {
      for (const domain of ['elsewhere', DOMAIN]) {
        const authority = await createAuthority({ domain, years: 1 });
        const issued = await issueCertificate(authority, { domain, node: 'rogue', days: 1 });
        const directory = `forged-${domain}`;
        const file = (name: string, text: string) =>
          ({ path: join(region.directory, directory, name), text, mode: 0o600 }) as const;
        writeTrusted(
          [
            file('agent.crt', issued.certificate),
            file('agent.key', issued.key),
            file('authority.crt', issued.authority),
          ],
          { force: false },
        );
        const { child, heard, ended } = await dial(directory);
        child.close();
        assert.deepEqual(heard, {}, domain);
        assert.notEqual(ended, null, domain);
      }
    });

    it('with a thousand connections that say nothing keeps no agent from another', async () => {
      const { ipv4: host } = region.member('east').uplink;
      const loris = network().start([
        'python3',
        '-c',
        `import socket, time
all = []
for i in range(300):
  s = socket.create_connection(("${host}", ${HANDSHAKE_PORT}), timeout=2)
  if i % 2: s.send(b"\\x16\\x03\\x01\\x02\\x00\\x01")
  all.append(s)
print("ready", flush=True)
open_ = len(all); begun = time.time()
while open_ > 0 and time.time() - begun < 20:
  for s in all:
    s.setblocking(False)
    try:
      if s.recv(1) == b"": raise OSError
    except BlockingIOError: pass
    except OSError:
      if s.fileno() >= 0: s.close(); open_ -= 1
  all = [s for s in all if s.fileno() >= 0]
  time.sleep(0.1)
print(f"left {open_}", flush=True)
time.sleep(60)`,
      ]);
      await loris.output(/ready/);
      assert.equal((await allowed()).result, 'ok');
      // One that must come in anew, too.
      await west().kill();
      await west().start();
      await region.connected();
      await forgetAll(west(), east());
      assert.equal((await allowed()).result, 'ok');
      const [, left] = await loris.output(/left (\d+)/, 25_000);
      assert.equal(left, '0', 'connections of strangers that are still open');
      loris.close();
    });

    it('with thousands of handshakes that it does not go on with takes no more than its share', async () => {
      await region.station('rogue').kill();
      const source = at('rogue/web').ipv4;
      const { child, heard, ended } = await dial('rogue', '3000', source, db().ipv4, String(PORT));
      assert.equal(ended, null);
      assert.equal(heard.accept, 1_024, JSON.stringify(heard));
      assert.equal(heard['refuse busy'], 3_000 - 1_024);
      const ghosts = (await underWay(east())).filter(({ agent }) => agent === 'rogue').length;
      assert.ok(ghosts <= 1_024, `${ghosts} under way`);
      assert.equal((await allowed()).result, 'ok', 'another agent');
      await waitFor(
        'they are over',
        async () => (await underWay(east())).every(({ agent }) => agent !== 'rogue'),
        15_000,
      );
      child.close();
    });
  });

  describe('and has the agents’ output', () => {
    it('reads neither keys nor tokens in it', () => {
      const secrets = new Map<string, string>();
      for (const { key, epoch } of JSON.parse(readFileSync(region.tagKeys, 'utf8')).keys) {
        for (const encoding of ['hex', 'base64', 'base64url'] as const) {
          secrets.set(Buffer.from(key, 'hex').toString(encoding).replace(/=+$/, ''), `the tag key of epoch ${epoch}`);
        }
      }
      for (const name of region.members.keys()) {
        const pem = readFileSync(join(region.directory, name, 'agent.key'), 'utf8');
        for (const line of pem.split('\n')) if (line.length >= 40) secrets.set(line, `the private key of ${name}`);
      }
      assert.ok(sent.size > 2);
      for (const token of sent) {
        for (const encoding of ['hex', 'base64', 'base64url'] as const) {
          secrets.set(Buffer.from(token, 'hex').toString(encoding).replace(/=+$/, ''), 'a token');
        }
      }
      for (const { station, name } of region.members.values()) {
        const said = station.agent.stdout + station.agent.stderr;
        assert.ok(said.length > 200, 'it has said something');
        for (const [secret, what] of secrets) assert.ok(!said.includes(secret), `${name} has told ${what}`);
      }
    });
  });
});
