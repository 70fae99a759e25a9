/**
 * An agent that keeps to no protocol: run in the namespace of a node, told what to do by its arguments, it says what
 * became of it in one line of JSON.
 *
 *   HOST PORT CERTIFICATE KEY AUTHORITY NODE DOMAIN       dials, says Hello, and tells who answered
 *   … COUNT SOURCE DESTINATION DESTINATION_PORT           announces shop/Service/ghost and asks so often for it, and goes
 *                                                         on with none of it
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { decode } from '../../../src/handshake/decode.ts';
import { encode } from '../../../src/handshake/encode.ts';
import { FrameReader } from '../../../src/handshake/frames.ts';
import type { Message } from '../../../src/handshake/messages.ts';
import { deriveIdentity } from '../../../src/model/identity.ts';

const [host, port, certificate, key, authority, node, domain, count = '0', source, destination, destinationPort] =
  process.argv.slice(2);

const GHOST = { workload: { namespace: 'shop', kind: 'Service', name: 'ghost' }, container: '', labels: {} };
const heard = new Map<string, number>();
let ended: string | undefined;

const socket = connect({
  host: host!,
  port: Number(port),
  cert: readFileSync(certificate!),
  key: readFileSync(key!),
  ca: readFileSync(authority!),
  rejectUnauthorized: false,
});
const reader = new FrameReader(1 << 20);
socket.on('data', (chunk: Buffer) => {
  for (const frame of reader.push(chunk)) {
    const message = decode(frame);
    const name = message.kind === 'refuse' ? `refuse ${message.reason}` : message.kind;
    heard.set(name, (heard.get(name) ?? 0) + 1);
    if (message.kind === 'ping') say({ kind: 'pong', nonce: message.nonce });
  }
});
socket.on('error', (error) => {
  ended ??= error.message;
});
socket.on('close', () => {
  ended ??= 'closed';
});

function say(...messages: Message[]): void {
  socket.write(Buffer.concat(messages.map(encode)));
}

say({ kind: 'hello', versionLeast: 1, versionMost: 1, domain: domain!, node: node!, instance: 7n, time: Date.now() });
await sleep(700);
if (Number(count) > 0) {
  say({
    kind: 'announce',
    complete: true,
    more: false,
    revision: 1,
    workloads: [{ ...GHOST, ports: [] }],
    withdrawn: [],
  });
  const { id } = deriveIdentity(domain!, GHOST);
  for (let i = 1; i <= Number(count); i++) {
    const conversation = {
      protocol: 17,
      source: { address: source!, port: 1 + (i % 65_000) },
      destination: { address: destination!, port: Number(destinationPort) },
    };
    say({ kind: 'request', id: BigInt(i), source: id, conversation, shared: false, direct: false });
  }
  const begun = Date.now();
  const answers = (): number =>
    [...heard].filter(([name]) => name === 'accept' || name.startsWith('refuse')).reduce((sum, [, n]) => sum + n, 0);
  while (ended === undefined && answers() < Number(count) && Date.now() - begun < 8_000) await sleep(50);
}
process.stdout.write(`${JSON.stringify({ heard: Object.fromEntries(heard), ended: ended ?? null })}\n`);
// What was promised stays promised while the connection stands.
if (Number(count) > 0) await sleep(60_000);
process.exit(0);
