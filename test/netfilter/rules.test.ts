import assert from 'node:assert/strict';
import { parseLines, ruleText } from '../../src/netfilter/iptables.ts';
import { isReplacedBy, nameOf, parseName } from '../../src/netfilter/rule-name.ts';

const RULE = { mark: 0x1000, queue: 5114, bypass: true };

describe('The name of a queue rule', () => {
  it('says owner, queue and mark, and nothing else is taken for one', () => {
    assert.equal(nameOf(RULE), 'sallyport_5114_1000');
    assert.equal(nameOf({ ...RULE, owner: 'other', mark: 0x80000000 }), 'other_5114_80000000');
    assert.deepEqual(parseName('sallyport_5114_1000'), {
      name: 'sallyport_5114_1000',
      owner: 'sallyport',
      queue: 5114,
      mark: 0x1000,
    });
    for (const name of [
      '',
      'sallyport',
      'sallyport_5114',
      'sallyport_5114_',
      'sallyport_5114_1000_1',
      'sallyport__1000',
      '_5114_1000',
      'sallyport_5114_0x1000',
      'sallyport_5114_100000000',
      'sallyport_511400_1000',
      'sally port_5114_1000',
      'sallyport_5114_1000 ',
    ]) {
      assert.equal(parseName(name), undefined, name);
    }
  });

  it('decides what a new rule takes the place of: the same queue or mark of the same owner', () => {
    const cases: [string, boolean][] = [
      ['sallyport_5114_1000', true],
      ['sallyport_5114_2', true],
      ['sallyport_1_1000', true],
      ['sallyport_1_2', false],
      ['other_5114_1000', false],
    ];
    for (const [name, replaced] of cases) assert.equal(isReplacedBy(RULE, parseName(name)!), replaced, name);
    assert.equal(isReplacedBy({ ...RULE, owner: 'other' }, parseName('other_5114_1000')!), true);
  });
});

describe('The rules that iptables lists', () => {
  const line = `-A POSTROUTING ${ruleText(RULE)}`;

  it('are ours by their comment and target, quoted or not, wherever they stand', () => {
    const listing = [
      '-P POSTROUTING ACCEPT',
      '-A POSTROUTING -o eth0 -j MASQUERADE',
      line,
      line.replace('sallyport_5114_1000', '"sallyport_9_2"'),
      '',
    ].join('\n');
    assert.deepEqual(
      parseLines(listing, 'mangle').map(({ named, text }) => [
        named.name,
        text.startsWith('POSTROUTING -m mark --mark 0x1000/0x1000 '),
      ]),
      [
        ['sallyport_5114_1000', true],
        ['sallyport_9_2', true],
      ],
    );
  });

  it('are not ours in another chain, with another target or with a comment that only contains our name', () => {
    for (const other of [
      line.replace('POSTROUTING', 'OUTPUT'),
      line.replace('-j NFQUEUE', '-j ACCEPT'),
      line.replace('sallyport_5114_1000', 'sallyport'),
      line.replace('sallyport_5114_1000', '"not sallyport_5114_1000"'),
      line.replace('sallyport_5114_1000', '"sallyport_5114_1000 -j NFQUEUE"'),
      line.replace('-A', '-N'),
    ]) {
      assert.deepEqual(parseLines(other, 'mangle'), [], other);
    }
  });
});
