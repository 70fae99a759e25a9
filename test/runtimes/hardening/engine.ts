/** Docker's API, without its command: where machines are emulated a command takes seconds to begin. */
import { request } from 'node:http';
import type { Docker } from '../../rig/docker.ts';
import { IMAGE } from '../../rig/image.ts';

export interface Start {
  readonly service: string;
  readonly privileged: boolean;
  readonly command: readonly string[];
}

export class Engine {
  readonly #socket: string;

  constructor({ socket }: Docker) {
    this.#socket = socket;
  }

  /** A container of a service, without a network of its own, from its first instruction on; its id. */
  async start({ service, privileged, command }: Start): Promise<string> {
    const { Id: id } = await this.#ask<{ Id: string }>('POST', '/containers/create', {
      Image: IMAGE,
      Cmd: command,
      Labels: { 'com.docker.compose.project': 'shop', 'com.docker.compose.service': service },
      NetworkDisabled: true,
      HostConfig: { Privileged: privileged, NetworkMode: 'none' },
    });
    await this.#ask('POST', `/containers/${id}/start`);
    return id;
  }

  /** Its exit status, when it has ended. */
  async ended(id: string): Promise<number> {
    const { StatusCode } = await this.#ask<{ StatusCode: number }>('POST', `/containers/${id}/wait`);
    await this.#ask('DELETE', `/containers/${id}?force=1`);
    return StatusCode;
  }

  async run(start: Start): Promise<number> {
    return await this.ended(await this.start(start));
  }

  /** Runs a command in a running container; its exit status. */
  async exec(id: string, command: readonly string[]): Promise<number> {
    const { Id: exec } = await this.#ask<{ Id: string }>('POST', `/containers/${id}/exec`, {
      Cmd: command,
      AttachStdout: true,
    });
    await this.#read('POST', `/exec/${exec}/start`, { Detach: false });
    return (await this.#ask<{ ExitCode: number }>('GET', `/exec/${exec}/json`)).ExitCode;
  }

  /** To its first process. */
  async signal(id: string, signal: string): Promise<void> {
    await this.#ask('POST', `/containers/${id}/kill?signal=${signal}`);
  }

  /** All it has said, with what Docker puts between. */
  async said(id: string): Promise<string> {
    return await this.#read('GET', `/containers/${id}/logs?stdout=1&stderr=1`);
  }

  async #ask<T>(method: string, path: string, body?: object): Promise<T> {
    return JSON.parse((await this.#read(method, path, body)) || '{}') as T;
  }

  #read(method: string, path: string, body?: object): Promise<string> {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const headers = payload === undefined ? {} : { 'content-type': 'application/json' };
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.#socket, method, path, headers }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          if ((answer.statusCode ?? 500) >= 400) reject(new Error(`${method} ${path}: ${text}`));
          else resolve(text);
        });
      });
      asked.on('error', reject);
      asked.end(payload);
    });
  }
}
