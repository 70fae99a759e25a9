import assert from 'node:assert/strict';
import { EventJournal } from '../../src/events/journal.ts';
import { logRepeats, logSink, makeLogger } from '../../src/events/log.ts';
import { denied, names } from './record.ts';

interface Line {
  level: string;
  time: string;
  msg: string;
  repeats?: number;
  [name: string]: unknown;
}

function recorder(level = 'info'): { lines: Line[]; logger: ReturnType<typeof makeLogger> } {
  const lines: Line[] = [];
  const logger = makeLogger(level, { write: (text: string) => void lines.push(JSON.parse(text) as Line) });
  return { lines, logger };
}

function journalWith(sink: ReturnType<typeof logSink>): EventJournal {
  const options = { names, now: () => 0, keep: 16, queue: 4, followers: 2, observe: () => {} };
  return new EventJournal({ ...options, sinks: [sink] });
}

describe('the log', () => {
  it('writes a different event at once, and its repeats as one line with their number', () => {
    const { lines, logger } = recorder();
    const journal = journalWith(logSink(logger, 'refused'));
    journal.addRecords([denied, denied, denied]);
    assert.equal(lines.length, 1);
    assert.equal(lines[0]?.level, 'warn');
    assert.match(
      lines[0]?.msg ?? '',
      /^Deny TCP egress shop\/Service\/web \(10\.0\.0\.2:40000\) → .* by shop\/api#from-web$/,
    );
    logRepeats(logger, journal.digest, 'refused');
    logRepeats(logger, journal.digest, 'refused');
    assert.equal(lines.length, 2);
    assert.equal(lines[1]?.repeats, 2);
  });

  it('leaves out plain news unless all is wanted', () => {
    const news = { type: 'endpoint', severity: 'info', action: 'appeared', subject: 'web', message: 'm' } as const;
    for (const [which, expected] of [
      ['refused', 0],
      ['all', 1],
      ['none', 0],
    ] as const) {
      const { lines, logger } = recorder();
      journalWith(logSink(logger, which)).addNotice(news);
      assert.equal(lines.length, expected, which);
    }
  });

  it('never writes secrets', () => {
    const { lines, logger } = recorder();
    logger.info({ token: 'a', headers: { authorization: 'b' }, deep: { er: { password: 'c' } } }, 'x');
    assert.doesNotMatch(JSON.stringify(lines), /"[abc]"/);
  });

  it('brackets IPv6 addresses', () => {
    const { lines, logger } = recorder();
    journalWith(logSink(logger, 'refused')).addRecords([{ ...denied, destination: { address: 'fd00::3', port: 80 } }]);
    assert.match(lines[0]?.msg ?? '', /\(\[fd00::3\]:80\)/);
  });
});
