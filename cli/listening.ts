import { createServer } from 'node:net';
import type { Config } from '#server/config/config.ts';
import { variableName } from '#server/config/names.ts';
import { Failure } from './command.ts';
import { cannotListen } from './failure.ts';

/**
 * Throws {@link Failure} where a listener could not be opened: said before anything was started,
 * and with the setting that changes it.
 */
export async function ensureFreePorts(config: Config, withSample: boolean): Promise<void> {
  const { publicHost, publicPort, adminHost, adminPort, samplePort } = config;
  await probe(publicHost, publicPort, variableName('publicPort'), variableName('publicHost'));
  await probe(adminHost, adminPort, variableName('adminPort'), variableName('adminHost'));
  if (withSample && samplePort !== undefined) {
    const setting = `${variableName('samplePort')} (off: no sample app)`;
    await probe('127.0.0.1', samplePort, setting, variableName('samplePort'));
  }
}

function probe(host: string, port: number, portName: string, hostName: string): Promise<void> {
  if (port === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      const setting = { port: portName, host: hostName };
      reject(new Failure(cannotListen(host, port, error.code, setting), { cause: error }));
    });
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve()));
  });
}

/** A listener's URL as programs on this machine reach it. */
export function urlOf(config: Config, listener: 'public' | 'admin', port: number): string {
  const scheme = config.tlsCert === undefined ? 'http' : 'https';
  const bound = listener === 'public' ? config.publicHost : config.adminHost;
  const bare = bound.replace(/^\[|\]$/g, '');
  const reachable = bare === '0.0.0.0' ? '127.0.0.1' : bare === '::' ? '::1' : bare;
  return `${scheme}://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}
