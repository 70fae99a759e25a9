import { executing, read, type Scenario, write, writingKernel } from './scenario.ts';

const USUAL = '/usr/bin/basename';

export const EXECUTION: readonly Scenario[] = [
  {
    rule: 'no-memfd-execution',
    attack: `execute memory ${USUAL}`,
    around: [
      `execute memory-name ${USUAL}`,
      `execute memory-loader ${USUAL}`,
      `execute nameless ${USUAL}`,
      `execute removed ${USUAL}`,
      `usual execute memory ${USUAL}`,
    ],
    neighbours: [
      ...['memfd', 'two-views', `execute descriptor ${USUAL}`],
      ...[`execute copy ${USUAL}`, `execute loader ${USUAL}`, `execute mount-of-removed ${USUAL}`],
    ],
  },
  {
    rule: 'no-temporary-execution',
    attack: 'execute name /tmp/program',
    around: [
      'execute descriptor /tmp/program',
      'execute bind-mount /tmp/program',
      'execute loader /tmp/program',
      'execute mapping /tmp/program',
      'execute name /dev/shm/program',
      'execute hard-link /tmp/program',
    ],
    neighbours: [`execute name ${USUAL}`, 'execute name /var/program', read('/tmp/program'), write('/tmp/program')],
  },
  {
    rule: 'no-hidden-execution',
    attack: 'execute name /var/tmp/.hidden',
    around: [
      'execute descriptor /var/tmp/.hidden',
      'execute name /usr/bin/.dir/program',
      'execute interpreter /var/tmp/.hidden',
    ],
    neighbours: [`execute name ${USUAL}`, 'execute name /var/program', read('/var/tmp/.hidden')],
  },
  {
    rule: 'no-writable-executable-memory',
    attack: 'map-writable-executable',
    around: ['write-then-execute', 'two-views', 'shared-segment', `changed-text ${USUAL}`],
    neighbours: [`mapped-text ${USUAL}`, 'sealed-data', `execute name ${USUAL}`],
  },
  executing('no-package-managers', '/usr/bin/apt', ['/usr/local/bin/pip3', '/usr/bin/npm'], [USUAL, '/usr/bin/apter']),
  executing('no-compilers', '/usr/bin/gcc', ['/usr/bin/clang-19', '/usr/local/bin/go'], [USUAL, '/usr/bin/gccs']),
  executing(
    'no-interpreters',
    '/usr/bin/python3',
    ['/usr/bin/perl5.36', '/opt/own/bin/node'],
    [USUAL, '/usr/bin/pythonic'],
  ),
  executing('no-network-tools', '/usr/bin/nc', ['/usr/sbin/tcpdump', '/bin/socat'], [USUAL, '/usr/bin/ncs']),
  executing('no-debuggers', '/usr/bin/gdb', ['/usr/bin/strace'], [USUAL, '/usr/bin/gdbs']),
  executing(
    'no-container-tools',
    '/usr/bin/kubectl',
    ['/usr/bin/nsenter', '/usr/local/bin/docker'],
    [USUAL, '/usr/bin/kubectx'],
  ),
  executing('no-privilege-tools', '/usr/bin/sudo', ['/usr/bin/su', '/usr/sbin/useradd'], [USUAL, '/usr/bin/sudoku']),
  executing('no-miners', '/usr/bin/xmrig', ['/tmp/xmrig-6.2', '/dev/shm/kinsing'], [USUAL, '/usr/bin/xmr']),
  writingKernel(
    'no-miner-tuning',
    '/proc/sys/vm/nr_hugepages',
    [write('/sys/kernel/mm/transparent_hugepage/enabled')],
    [write('/proc/sys/vm/swappiness')],
  ),
];
