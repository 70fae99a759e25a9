import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import type { RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../src/sources/docker/engine.ts';

/** What a real engine never does: these answers come from a server of the test's own. */
describe('an engine that misbehaves', () => {
  let directory: string;
  let server: Server | undefined;
  let engine: Engine;
  const signal = new AbortController().signal;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sallyport-test-engine-'));
  });

  afterEach(async () => {
    await engine.close();
    server?.closeAllConnections();
    server?.close();
    server = undefined;
    rmSync(directory, { recursive: true });
  });

  async function answerWith(listener: RequestListener, timeoutMs = 2_000): Promise<void> {
    const socket = join(directory, 'engine.sock');
    const started = createServer(listener);
    server = started;
    await new Promise<void>((resolve) => started.listen(socket, resolve));
    engine = new Engine({ socket, timeoutMs });
  }

  const say =
    (text: string, status = 200): RequestListener =>
    (_, response) => {
      response.statusCode = status;
      response.end(text);
    };

  const version = (api: string, least?: string): string =>
    JSON.stringify({ ApiVersion: api, ...(least === undefined ? {} : { MinAPIVersion: least }) });

  const versions: readonly { answer: string; agreed?: string; code?: string }[] = [
    { answer: version('1.41', '1.12'), agreed: '1.41' },
    { answer: version('1.24'), agreed: '1.24' },
    { answer: version('1.99', '1.44'), agreed: '1.51' },
    { answer: version('1.99', '1.60'), code: 'VERSION' },
    { answer: version('1.23', '1.12'), code: 'VERSION' },
    { answer: version('one'), code: 'MALFORMED' },
    { answer: '{}', code: 'MALFORMED' },
    { answer: '<html>', code: 'MALFORMED' },
    { answer: '', code: 'MALFORMED' },
  ];
  for (const { answer, agreed, code } of versions) {
    it(`is answered to ${JSON.stringify(answer)} with ${agreed ?? code}`, async () => {
      await answerWith(say(answer));
      if (agreed !== undefined) assert.equal(await engine.negotiate(signal), agreed);
      else await assert.rejects(engine.negotiate(signal), { name: 'SourceError', code });
    });
  }

  it('is quoted when it refuses', async () => {
    await answerWith(say('{"message":"page not found"}', 500));
    await assert.rejects(engine.list(signal), {
      code: 'REFUSED',
      message: /refuses \/containers\/json: page not found/,
    });
  });

  it('does not know a container when it says 404', async () => {
    await answerWith(say('{"message":"No such container"}', 404));
    assert.equal(await engine.inspect('x', signal), undefined);
  });

  it('cannot make us read for ever', async () => {
    const chunk = Buffer.alloc(1 << 20, 'a');
    let sent = 0;
    await answerWith((_, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(chunk)) sent += chunk.length;
        response.once('drain', more);
      };
      more();
    });
    await assert.rejects(engine.inspect('x', signal), { code: 'TOO_LARGE' });
    assert.ok(sent < 64 << 20, `${sent} bytes were taken`);
  });

  it('cannot make us wait for ever, before its answer or within it', async () => {
    let drip: NodeJS.Timeout | undefined;
    await answerWith((request, response) => {
      // A byte now and then keeps a connection from being idle, not an answer from being late.
      if (request.url?.includes('within')) drip = setInterval(() => response.write(' '), 20);
    }, 200);
    await assert.rejects(engine.list(signal), { code: 'TIMEOUT' });
    await assert.rejects(engine.inspect('within', signal), { code: 'TIMEOUT' });
    clearInterval(drip);
  });

  it('that is not there is said to be so, with what to do', async () => {
    engine = new Engine({ socket: join(directory, 'nothing.sock') });
    await assert.rejects(engine.list(signal), { code: 'UNREACHABLE', message: /ENOENT/, hint: /running/ });
  });

  it('is not followed into a path by a strange container id', async () => {
    const paths: string[] = [];
    await answerWith((request, response) => {
      paths.push(request.url ?? '');
      say('{}', 404)(request, response);
    });
    await engine.inspect('../../secrets?x=', signal);
    assert.deepEqual(paths, ['/containers/..%2F..%2Fsecrets%3Fx%3D/json']);
  });

  async function eventsOf(listener: RequestListener): Promise<string[]> {
    await answerWith(listener);
    const actions: string[] = [];
    for await (const event of await engine.subscribe(0, signal)) actions.push(event.Action);
    return actions;
  }

  const event = (action: string): string => JSON.stringify({ Type: 'container', Action: action, Actor: { ID: 'x' } });

  it('may send its events in any pieces', async () => {
    const text = `${event('start')}\n\n${event('dïe')}\r\n`;
    const actions = await eventsOf(async (_, response) => {
      for (const byte of Buffer.from(text)) {
        response.write(Buffer.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    });
    assert.deepEqual(actions, ['start', 'dïe']);
  });

  it('ends the subscription with nonsense', async () => {
    await assert.rejects(eventsOf(say(`${event('start')}\n[1]\n`)), { code: 'MALFORMED' });
  });

  it('ends the subscription with a line without end', async () => {
    await assert.rejects(eventsOf(say('x'.repeat(3 << 20))), { code: 'TOO_LARGE' });
  });

  it('is told to have hung up in the middle of an answer', async () => {
    const listener: RequestListener = (_, response) => {
      response.write(`${event('start')}\n`, () => response.destroy());
    };
    await assert.rejects(eventsOf(listener), { code: 'UNREACHABLE' });
  });

  it('is left at once on a signal', async () => {
    await answerWith(() => {});
    const controller = new AbortController();
    const subscription = engine.subscribe(0, controller.signal);
    controller.abort();
    await assert.rejects(subscription, { name: 'AbortError' });
  });
});
