/** What is done to files, names and attributes of a container, by the programs alone. */
import assert from 'node:assert/strict';
import { buildIntruder } from '../../rig/intruder.ts';
import { canHarden, profileOf } from './cage.ts';
import { Compound, type Engine, giveEngineBack, type Intruder, takeEngine } from './engine.ts';

const RULES = `[
  {name: secret, action: Deny, files: {paths: [/etc/secret, /etc/keep/**, /data/closed]}},
  {name: frozen, action: Deny, files: {paths: [/opt/**], access: [create, delete]}},
  {name: stamped, action: Deny, files: {paths: [/etc/secrets], access: [attributes]}},
  {name: tools, action: Deny, files: {paths: [/bin/tool], access: [execute]}},
  {name: modes, action: Deny, operations: [setuid-mode, device-node, memfd-execute]},
  ]`;

/** Each try, and what it is refused with. */
const REFUSED: readonly (readonly [attempt: string, error: string])[] = [
  ['read /etc/secret', 'EACCES'],
  ['write /etc/secret', 'EACCES'],
  ['append /etc/secret', 'EACCES'],
  ['cut-on-open /etc/secret', 'EACCES'],
  ['cut /etc/secret', 'EACCES'],
  ['cut-open /etc/secret', 'EACCES'],
  ['unlink /etc/secret', 'EACCES'],
  ['rename /etc/secret /tmp/moved', 'EACCES'],
  ['rename /etc/plain /etc/secret', 'EACCES'],
  ['exchange /etc/plain /etc/secret', 'EACCES'],
  ['exchange /etc/secret /etc/plain', 'EACCES'],
  ['link /etc/secret /tmp/linked', 'EACCES'],
  ['chmod /etc/secret 666', 'EACCES'],
  ['chown /etc/secret', 'EACCES'],
  ['setxattr /etc/secret trusted.name', 'EACCES'],
  ['change-flags /etc/secrets', 'EACCES'],
  ['change-project /etc/secrets', 'EACCES'],
  ['read /etc/keep', 'EACCES'],
  ['read /etc/keep/inner/one', 'EACCES'],
  ['create /etc/keep/inner/two', 'EACCES'],
  ['mkdir /etc/keep/more', 'EACCES'],
  ['symlink /etc/plain /etc/keep/way', 'EACCES'],
  ['mknod /etc/keep/pipe p', 'EACCES'],
  ['rmdir /etc/keep/inner', 'EACCES'],
  ['rename /etc/keep /etc/kept', 'EACCES'],
  ['rename /etc /etcetera', 'EACCES'],
  ['read /data/closed', 'EACCES'],
  ['create /opt/own/file', 'EACCES'],
  ['mkdir /opt/more', 'EACCES'],
  ['rmdir /opt/own', 'EACCES'],
  ['run /bin/tool nothing', 'EACCES'],
  ['run /bin/script', 'EACCES'],
  ['run-descriptor /bin/tool nothing', 'EACCES'],
  ['map /bin/tool', 'EACCES'],
  ['protect /bin/tool', 'EACCES'],
  ['run-memory /bin/other nothing', 'EACCES'],
  ['chmod /etc/other 4755', 'EPERM'],
  ['setxattr /etc/other security.capability', 'EPERM'],
  ['mknod /tmp/disk b', 'EPERM'],
  ['mknod /tmp/device c', 'EPERM'],
];

/** What goes on, beside it. */
const ALLOWED: readonly string[] = [
  'read /etc/plain',
  'read /etc/secrets',
  'read /etc',
  'read /data/open',
  'read /',
  'write /etc/plain',
  'cut /etc/plain',
  'create /etc/secretly',
  'rename /etc/secretly /etc/secre',
  'unlink /etc/secre',
  'link /etc/plain /tmp/linked',
  'rename /tmp/linked /tmp/again',
  'exchange /tmp/again /etc/plain',
  'unlink /tmp/again',
  'mkdir /tmp/kept',
  'rmdir /tmp/kept',
  'mknod /tmp/pipe p',
  'mknod /tmp/socket s',
  'symlink /etc/secret /tmp/way',
  'chmod /etc/other 755',
  'chown /etc/other',
  'setxattr /etc/other trusted.name',
  'removexattr /etc/other trusted.name',
  'write /opt/own',
  'read /bin/tool',
  'run /bin/other nothing',
  'run-descriptor /bin/other nothing',
  'map /bin/other',
  'protect /bin/other',
  'read /proc/self/status',
];

/** Where nothing is allowed but these. */
const NAMES = `[
  {name: names, action: Allow, files: {paths: [/etc/plain, /etc/other, /opt/one, /opt/two, "/tmp/**"]}},
  {name: seen, action: Allow, files: {paths: [/etc/secrets], access: [read, delete]}},
  {name: pages, action: Allow, executables: [/bin/intruder], files: {paths: [/mnt/old, /mnt/new]}},
  ]`;

/** Who may call what by another name there, in this order. */
const MOVES: readonly (readonly [attempt: string, outcome: string])[] = [
  ['rename /etc/plain /etc/other', 'ok'],
  ['rename /etc/other /tmp/plain', 'ok'],
  ['link /tmp/plain /etc/plain', 'ok'],
  ['exchange /tmp/plain /etc/plain', 'ok'],
  ['rename /etc/secrets /tmp/secrets', 'EACCES'],
  ['rename /tmp/plain /etc/secrets', 'EACCES'],
  ['link /etc/secret /tmp/secret', 'EACCES'],
  ['mkdir /opt/one', 'ok'],
  ['rename /opt/one /opt/two', 'ok'],
  ['rename /opt/two /tmp/two', 'EACCES'],
  ['exchange /tmp/plain /opt/two', 'EACCES'],
  ['create /mnt/new', 'ok'],
  ['rename /mnt/new /mnt/old', 'ok'],
  ['mkdir /tmp/three', 'ok'],
  ['rename /tmp/three /tmp/four', 'ok'],
  ['rename /tmp/four /opt/one', 'ok'],
];

describe('files of a hardened container', function () {
  this.timeout(600_000);
  let engine: Engine;
  let compound: Compound;
  let inside: Intruder;
  let outside: Intruder;

  before(async function () {
    if (!canHarden()) this.skip();
    await buildIntruder();
    engine = takeEngine();
    compound = new Compound(engine, 3);
    await compound.mount();
    outside = await compound.intruder(true);
    inside = await compound.intruder();
    compound.harden(inside, profileOf(RULES));
  });
  after(async () => {
    await compound?.close();
    giveEngineBack();
  });

  for (const [attempt, error] of REFUSED) {
    it(`refuse: ${attempt}`, async () => assert.equal(await inside.try(...attempt.split(' ')), error));
  }
  for (const attempt of ALLOWED) {
    const wanted = attempt === 'write /opt/own' ? 'EISDIR' : 'ok';
    it(`let be: ${attempt}`, async () => assert.equal(await inside.try(...attempt.split(' ')), wanted));
  }

  for (const attempt of ['change-flags /etc/plain', 'change-project /etc/plain']) {
    // Not every file system has them.
    it(`let be: ${attempt}`, async () => assert.notEqual(await inside.try(...attempt.split(' ')), 'EACCES'));
  }

  for (const [attempt, outcome] of MOVES) {
    it(`where names are allowed one by one: ${attempt}: ${outcome}`, async () => {
      compound.harden(inside, profileOf(NAMES, '{files: Deny}'));
      assert.equal(await inside.try(...attempt.split(' ')), outcome);
    });
  }

  it('are refused to nobody outside', async () => {
    for (const attempt of [
      'read /etc/secret',
      'write /data/closed',
      'run /bin/tool nothing',
      'read /etc/keep/inner/one',
    ])
      assert.equal(await outside.try(...attempt.split(' ')), 'ok', attempt);
  });
});
