import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { drain } from '../../src/agent/api/drain.ts';

const BOUNDS = { bytesMost: 1000, msMost: 100 };

describe('a body that has been refused', () => {
  let server: Server;
  let drained: Promise<boolean>;
  let caller: Socket;

  beforeEach(async () => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    drained = promise;
    server = createServer((request, response) => {
      void drain(request, BOUNDS).then((whole) => {
        response.setHeader('connection', 'close').end('no');
        resolve(whole);
      });
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    caller = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {});
  });
  afterEach(() => {
    caller.destroy();
    server.close();
  });

  const begin = (...headers: string[]) =>
    caller.write(`${['POST / HTTP/1.1', 'host: x', ...headers].join('\r\n')}\r\n\r\n`);

  it('is read to its end before the answer is closed behind', async () => {
    begin('content-length: 1000');
    caller.write('x'.repeat(400));
    await new Promise((later) => setTimeout(later, 20));
    caller.write('x'.repeat(600));
    assert.equal(await drained, true);
  });

  it('may be none', async () => {
    begin();
    assert.equal(await drained, true);
  });

  it('is not read where it says that it is too long', async () => {
    begin('content-length: 1001');
    assert.equal(await drained, false);
  });

  it('is not read on when it turns out too long', async () => {
    begin('transfer-encoding: chunked');
    for (let count = 0; count < 3; count++) caller.write(`190\r\n${'x'.repeat(400)}\r\n`);
    assert.equal(await drained, false);
  });

  it('is not waited for longer than the bound', async () => {
    begin('content-length: 1000');
    caller.write('x');
    assert.equal(await drained, false);
  });

  it('is not waited for when its caller has gone', async () => {
    begin('content-length: 1000');
    caller.write('x', () => caller.destroy());
    assert.equal(await drained, false);
  });
});
