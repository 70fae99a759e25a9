// Loaded here, because they make globals, and mocha would blame the test that first loads them.
import 'reflect-metadata';
import '@peculiar/x509';
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Authority,
  createAuthority,
  type IssuedCertificate,
  issueCertificate,
} from '../../src/trust/authority.ts';
import {
  type CredentialFiles,
  type Credentials,
  type CredentialsWatch,
  loadCredentials,
  watchCredentials,
} from '../../src/trust/credentials.ts';
import { TrustError } from '../../src/trust/error.ts';
import { waitFor } from '../rig/cleanup.ts';

const OWNER = { domain: 'local', node: 'n1' };
const DAY_MS = 86_400_000;

describe('credentials', () => {
  let root: string;
  let files: CredentialFiles;
  let authority: Authority;
  let other: Authority;
  let first: IssuedCertificate;
  let second: IssuedCertificate;
  before(async () => {
    authority = await createAuthority({ domain: 'local', years: 10 });
    other = await createAuthority({ domain: 'local', years: 10 });
    first = await issueCertificate(authority, { ...OWNER, days: 30 });
    second = await issueCertificate(authority, { ...OWNER, days: 30 });
  });
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'sallyport-test-trust-'));
    files = {
      certificate: join(root, 'agent.crt'),
      key: join(root, 'agent.key'),
      authority: join(root, 'authority.crt'),
    };
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const replace = (path: string, text: string, mode = 0o600): void => {
    writeFileSync(`${path}.new`, text, { mode });
    renameSync(`${path}.new`, path);
  };
  const write = (issued: IssuedCertificate): void => {
    replace(files.authority, issued.authority);
    replace(files.key, issued.key);
    replace(files.certificate, issued.certificate);
  };
  const fails = (
    code: string,
    message: RegExp,
    owner: { domain: string; node?: string } = OWNER,
    now?: number,
  ): void => {
    assert.throws(
      () => loadCredentials(files, owner, now),
      (error) => {
        assert.ok(error instanceof TrustError);
        assert.match(error.message, message);
        assert.equal(error.code, code);
        return true;
      },
    );
  };

  it('are loaded with what they say', () => {
    write(first);
    const credentials = loadCredentials(files, OWNER);
    assert.equal(credentials.node, 'n1');
    assert.equal(credentials.uri, 'spiffe://local/agent/n1');
    assert.equal(credentials.key, first.key);
    assert.ok(Math.abs(credentials.notAfter - Date.now() - 30 * DAY_MS) < 60_000);
    assert.equal(loadCredentials(files, { domain: 'local' }).node, 'n1');
  });

  it('may be of one of several authorities, and have others between them and it', async () => {
    write(first);
    replace(files.authority, other.certificate + authority.certificate);
    loadCredentials(files, OWNER);
    // What stands behind the certificate is used only where it leads to an authority.
    replace(files.certificate, first.certificate + other.certificate);
    loadCredentials(files, OWNER);
    replace(files.authority, other.certificate);
    fails('MISMATCH', /none in .*authority\.crt has signed it/);
  });

  it('are refused where they do not belong together', () => {
    write(first);
    replace(files.key, second.key);
    fails('MISMATCH', /agent\.key: it does not belong to .*agent\.crt/);
    write(first);
    replace(files.authority, first.certificate);
    fails('INVALID', /CN=n1 is not an authority/);
    write(first);
    replace(files.certificate, authority.certificate);
    fails('INVALID', /it is an authority's, not an agent's/);
  });

  it('are refused for another domain or another node', () => {
    write(first);
    fails('WRONG_DOMAIN', /its URI is spiffe:\/\/local\/agent\/n1, wanted spiffe:\/\/prod\/agent\/n1/, {
      domain: 'prod',
      node: 'n1',
    });
    fails('WRONG_DOMAIN', /it is of node n1, wanted spiffe:\/\/local\/agent\/n2/, { domain: 'local', node: 'n2' });
  });

  it('are refused before their time and after it', () => {
    write(first);
    fails('EXPIRED', /it ended at 20/, OWNER, Date.now() + 31 * DAY_MS);
    fails('EXPIRED', /it begins at 20/, OWNER, Date.now() - DAY_MS);
  });

  it('are refused where they are not what they should be, without a word of the key', () => {
    write(first);
    replace(files.certificate, 'hello');
    fails('INVALID', /agent\.crt: it has no certificate in PEM/);
    replace(files.certificate, first.certificate.replace(/[A-Za-z]{20}/, 'A'.repeat(20)));
    fails('INVALID', /agent\.crt/);
    write(first);
    const broken = first.key.replace(/\n.{10}/, '\n!!!!!!!!!!');
    replace(files.key, broken);
    assert.throws(
      () => loadCredentials(files, OWNER),
      (error) => !JSON.stringify([String(error), error]).includes(first.key.split('\n')[1]!.slice(20)),
    );
    write(first);
    chmodSync(files.key, 0o644);
    fails('EXPOSED', /agent\.key: its mode is 0644/);
    unlinkSync(files.authority);
    fails('EXPOSED', /agent\.key/);
    chmodSync(files.key, 0o600);
    fails('MISSING', /authority\.crt/);
  });

  describe('that are watched', () => {
    let watch: CredentialsWatch | undefined;
    let changes: Credentials[];
    let errors: TrustError[];
    let time: number;
    beforeEach(() => {
      changes = [];
      errors = [];
      time = Date.now();
    });
    afterEach(() => watch?.close());
    const start = (intervalMs = 3_600_000, patienceMs = 200): void => {
      watch = watchCredentials(
        files,
        OWNER,
        (credentials) => changes.push(credentials),
        (error) => errors.push(error),
        { intervalMs, patienceMs, quietMs: 20, now: () => time },
      );
    };
    const keys = (): string[] => changes.map(({ key }) => key);

    it('are told at once, and when they are replaced, whichever file comes first', async () => {
      write(first);
      start(3_600_000, 20_000);
      assert.deepEqual(keys(), [first.key]);
      assert.equal(watch?.current?.key, first.key);
      // The pair does not fit for longer than changes are gathered.
      replace(files.key, second.key);
      await new Promise((resolve) => setTimeout(resolve, 150));
      assert.equal(watch?.current?.key, first.key);
      replace(files.certificate, second.certificate);
      await waitFor('the second are in use', () => watch?.current?.key === second.key);
      assert.deepEqual(keys(), [first.key, second.key]);
      assert.deepEqual(errors, []);
    });

    it('stay as they were while the new ones are bad, which is told once', async () => {
      write(first);
      start(50);
      replace(files.key, second.key);
      await waitFor('it is told', () => errors.length > 0);
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.deepEqual(
        errors.map(({ code }) => code),
        ['MISMATCH'],
      );
      assert.equal(watch?.current?.key, first.key);
      // Good again, then bad again in the same way: that is news.
      write(second);
      await waitFor('the second are in use', () => watch?.current?.key === second.key);
      replace(files.key, first.key);
      await waitFor('it is told again', () => errors.length === 2);
      assert.equal(watch?.current?.key, second.key);
    });

    it('are found when they come later, in a directory that was not there', async () => {
      const directory = join(root, 'later');
      files = {
        certificate: join(directory, 'agent.crt'),
        key: join(directory, 'agent.key'),
        authority: join(directory, 'authority.crt'),
      };
      start(50);
      assert.deepEqual(
        errors.map(({ code }) => code),
        ['MISSING'],
      );
      assert.equal(watch?.current, undefined);
      mkdirSync(directory);
      write(first);
      await waitFor('they are in use', () => watch?.current !== undefined);
      assert.deepEqual(keys(), [first.key]);
    });

    it('are followed behind one link, as a secret is mounted', async () => {
      for (const [name, issued] of [
        ['one', first],
        ['two', second],
      ] as const) {
        const directory = join(root, `..${name}`);
        mkdirSync(directory);
        for (const [file, text] of [
          ['agent.crt', issued.certificate],
          ['agent.key', issued.key],
          ['authority.crt', issued.authority],
        ] as const)
          writeFileSync(join(directory, file), text, { mode: 0o600 });
      }
      symlinkSync('..one', join(root, '..data'));
      for (const file of ['agent.crt', 'agent.key', 'authority.crt']) symlinkSync(`..data/${file}`, join(root, file));
      start(3_600_000, 20_000);
      assert.deepEqual(keys(), [first.key]);
      symlinkSync('..two', join(root, '..data_tmp'));
      renameSync(join(root, '..data_tmp'), join(root, '..data'));
      await waitFor('the second are in use', () => watch?.current?.key === second.key);
      assert.deepEqual(errors, []);
    });

    it('tell once that they end soon, and once that they have', async () => {
      write(first);
      start(30);
      assert.deepEqual(errors, []);
      const codes = (): string[] => errors.map(({ code }) => code);
      time += 29 * DAY_MS;
      await waitFor('it is told', () => errors.length === 1);
      await new Promise((resolve) => setTimeout(resolve, 120));
      assert.deepEqual(codes(), ['EXPIRING']);
      time += 2 * DAY_MS;
      await waitFor('it is told', () => errors.length === 2);
      await new Promise((resolve) => setTimeout(resolve, 120));
      assert.deepEqual(codes(), ['EXPIRING', 'EXPIRED']);
      assert.equal(watch?.current?.key, first.key);
    });

    it('are not looked at any more once closed', async () => {
      write(first);
      start(30);
      watch?.close();
      watch?.close();
      write(second);
      await new Promise((resolve) => setTimeout(resolve, 150));
      assert.deepEqual(keys(), [first.key]);
    });
  });
});
