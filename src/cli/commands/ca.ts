import { join } from 'node:path';
import { Command, Option } from 'commander';
import type { CertificateView } from '../../trust/certificate.ts';
import { type Io, readSource } from '../io.ts';
import { printList, type Resource } from '../output/print.ts';
import { examples, group, printing, wholeNumber, withPrinting } from '../session.ts';
import { withTrust } from '../trust-failure.ts';

const DIRECTORY = '/etc/sallyport/ca';
const NAMES = { certificate: 'authority.crt', key: 'authority.key' } as const;

const collect = (value: string, previous: readonly string[] = []): string[] => [...previous, value];

const directoryOption = (): Option =>
  new Option('--directory <path>', 'where the authority is kept').default(DIRECTORY);
const forceOption = (): Option => new Option('--force', 'overwrite what is there');

interface CertificateLine extends CertificateView {
  readonly file: string;
}

function certificateResource(io: Io): Resource<CertificateLine> {
  const over = ({ notBefore, notAfter }: CertificateLine): boolean =>
    io.now() < Date.parse(notBefore) || io.now() >= Date.parse(notAfter);
  return {
    kind: 'certificate',
    name: ({ serial }) => serial,
    columns: [
      { header: 'SUBJECT', value: ({ subject }) => subject },
      { header: 'URI', value: ({ uri }) => uri ?? '' },
      { header: 'AUTHORITY', value: ({ authority }) => String(authority) },
      { header: 'NOT BEFORE', value: ({ notBefore }) => notBefore },
      { header: 'NOT AFTER', value: ({ notAfter }) => notAfter, color: (one) => (over(one) ? 'red' : undefined) },
      { header: 'SERIAL', value: ({ serial }) => serial },
      { header: 'NAMES', wide: true, value: ({ names }) => names.join(',') },
      { header: 'ISSUER', wide: true, value: ({ issuer }) => issuer },
      { header: 'FINGERPRINT', wide: true, value: ({ fingerprint }) => fingerprint },
      { header: 'FILE', wide: true, value: ({ file }) => file },
    ],
  };
}

interface InitOptions {
  readonly directory: string;
  readonly domain: string;
  readonly years: number;
  readonly force?: boolean;
}

function initCommand(io: Io): Command {
  const command = new Command('init')
    .description("make the domain's authority: a key that never leaves this directory, and its certificate")
    .addOption(directoryOption())
    .addOption(new Option('--domain <name>', 'the domain, as in the configuration of its agents').default('local'))
    .addOption(new Option('--years <count>', 'how long it is valid').argParser(wholeNumber).default(10))
    .addOption(forceOption());
  return examples(command, [
    ['ca init', `for the domain "local", in ${DIRECTORY}`],
    ['ca init --domain prod.example --directory ./ca', 'for another, elsewhere'],
  ]).action(async ({ directory, domain, years, force = false }: InitOptions) => {
    const [{ createAuthority }, { writeTrusted }] = await Promise.all([
      import('../../trust/authority.ts'),
      import('../../trust/files.ts'),
    ]);
    const certificate = join(directory, NAMES.certificate);
    await withTrust(async () => {
      const authority = await createAuthority({ domain, years, now: io.now() });
      const key = { path: join(directory, NAMES.key), text: authority.key, mode: 0o600 } as const;
      writeTrusted([key, { path: certificate, text: authority.certificate, mode: 0o644 }], { force });
    });
    await io.write(`${certificate}\n`);
    io.complain(`The authority of ${domain} was made. Keep ${join(directory, NAMES.key)} to yourself.`);
  });
}

interface IssueOptions {
  readonly directory: string;
  readonly out?: string;
  readonly days: number;
  readonly address?: readonly string[];
  readonly name?: readonly string[];
  readonly force?: boolean;
}

function issueCommand(io: Io): Command {
  const command = new Command('issue')
    .description('issue a certificate and a key for the agent of a node')
    .argument('<node>', "the node's name, as its agent has it")
    .addOption(directoryOption())
    .option('--out <directory>', 'where agent.crt, agent.key and authority.crt go (issued/NODE beside the authority)')
    .addOption(new Option('--days <count>', 'how long it is valid').argParser(wholeNumber).default(365))
    .option('--address <ip>', 'an IP address it is good for, too; may be given again', collect)
    .option('--name <dns>', 'a DNS name it is good for, too; may be given again', collect)
    .addOption(forceOption());
  return examples(command, [
    ['ca issue node2', `into ${DIRECTORY}/issued/node2; copy it to /etc/sallyport/tls of node2`],
    ['ca issue node1 --out /etc/sallyport/tls', 'for the agent of this node'],
    ['ca issue node1 --out /etc/sallyport/tls --force', 'renew it: the agent takes the new one without a restart'],
  ]).action(async (node: string, options: IssueOptions) => {
    const { directory, days, address = [], name = [], force = false } = options;
    const [{ domainOfAuthority, issueCertificate }, { readTrusted, writeTrusted }, { TrustError }] = await Promise.all([
      import('../../trust/authority.ts'),
      import('../../trust/files.ts'),
      import('../../trust/error.ts'),
    ]);
    const paths = await withTrust(async () => {
      const file = join(directory, NAMES.certificate);
      const authority = {
        certificate: readTrusted(file, 'anybody-reads'),
        key: readTrusted(join(directory, NAMES.key), 'owner-only'),
      };
      const domain = domainOfAuthority(authority.certificate, file);
      if (domain === undefined) {
        const message = `Cannot issue with ${file}: it does not say of which domain it is, as those of "ca init" do`;
        throw new TrustError('INVALID', message);
      }
      const request = { domain, node, days, addresses: address, names: name, now: io.now() };
      const issued = await issueCertificate(authority, request);
      const out = options.out ?? join(directory, 'issued', node);
      const files = [
        { path: join(out, 'agent.key'), text: issued.key, mode: 0o600 },
        { path: join(out, 'agent.crt'), text: issued.certificate, mode: 0o644 },
        { path: join(out, 'authority.crt'), text: issued.authority, mode: 0o644 },
      ] as const;
      writeTrusted(files, { force });
      return files.map(({ path }) => path);
    });
    await io.write(paths.map((path) => `${path}\n`).join(''));
  });
}

function showCommand(io: Io): Command {
  const command = new Command('show')
    .description('show the certificates of a file')
    .argument('[file]', `the file; else ${NAMES.certificate} of --directory`)
    .addOption(directoryOption());
  return examples(printing(command), [
    ['ca show', 'the authority'],
    ['ca show /etc/sallyport/tls/agent.crt -o wide', 'what this agent shows others, with its fingerprint'],
    ['ca show agent.crt -o json', 'for programs'],
  ]).action((file: string | undefined, { directory }: { directory: string }, self: Command) =>
    withPrinting(io, self, async (options) => {
      const { describeCertificate, parseCertificates } = await import('../../trust/certificate.ts');
      const path = file ?? join(directory, NAMES.certificate);
      const text = await readSource(io, path);
      const lines = await withTrust(() =>
        parseCertificates(text, path).map((one) => ({ ...describeCertificate(one), file: path })),
      );
      await printList(io, certificateResource(io), lines, options);
    }),
  );
}

export function caCommand(io: Io): Command {
  return group('ca', "the domain's certificates, where no other authority issues them")
    .addCommand(initCommand(io))
    .addCommand(issueCommand(io))
    .addCommand(showCommand(io));
}
