import cluster from 'node:cluster';
import { createServer as createHttpServer, type Server, type ServerOptions } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import type { Env } from './answer.ts';

export interface ListenOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Certificate chain and key as PEM text; absent: plain HTTP. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
}

export interface Listener {
  /** The port that was bound. */
  readonly port: number;
  /**
   * Stops accepting, ends idle connections, waits for requests under way, and cuts them off after
   * `drainSeconds`. True: nothing was cut off.
   */
  close(drainSeconds: number): Promise<boolean>;
}

// Every wait and size has a limit (R21). The largest request line and headers are far above an
// authorization request; what is larger comes as a POST.
const limits: ServerOptions = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 15_000,
  requestTimeout: 30_000,
  // Longer than the 60 s of common load balancers, so that they never write into a closing socket.
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 5_000,
};
const connectionsMax = 20_000;
const handshakeTimeoutMs = 10_000;
const idleSweepMs = 20;

/** Starts to listen. Throws what the operating system says, for instance EADDRINUSE. */
export async function listen(app: Hono<Env>, options: ListenOptions): Promise<Listener> {
  // HTTP/1.0 has no Host, and the health checks of some load balancers speak it.
  const answer = getRequestListener(app.fetch, { hostname: 'localhost' });
  const server: Server = options.tls
    ? createHttpsServer(
        { ...limits, ...options.tls, minVersion: 'TLSv1.2', handshakeTimeout: handshakeTimeoutMs },
        answer,
      )
    : createHttpServer(limits, answer);
  server.maxConnections = connectionsMax;
  const silent = silentSockets(server, options.tls !== undefined);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    const { port, host } = options;
    server.listen({ port, host, ...ownSocket(port) }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : options.port,
    close: (drainSeconds) => closed(server, silent, drainSeconds),
  };
}

/**
 * Workers listen by themselves, and the kernel deals out connections. Dealt out by the primary, as
 * node:cluster does it, a connection on its way to a worker that is killed stays open and is never
 * answered (27 of 15,000 with a kill each 0.4 s; by the kernel none, and 2.7 times as many answers).
 * Elsewhere than on Linux, and where each worker would get another port, the primary deals.
 */
function ownSocket(port: number) {
  const can = cluster.isWorker && process.platform === 'linux' && port !== 0;
  return can ? { reusePort: true, exclusive: true } : {};
}

/** The connections that have not made a request yet; Node counts those as busy, we do not. */
function silentSockets(server: Server, encrypted: boolean): ReadonlySet<Socket> {
  const silent = new Set<Socket>();
  server.on(encrypted ? 'secureConnection' : 'connection', (socket: Socket) => {
    silent.add(socket);
    socket.once('close', () => silent.delete(socket));
  });
  server.on('request', (request) => silent.delete(request.socket));
  return silent;
}

function closed(
  server: Server,
  silent: ReadonlySet<Socket>,
  drainSeconds: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    let drained = true;
    // A connection becomes idle when its answer has been sent, and nobody tells us.
    const sweep = setInterval(() => server.closeIdleConnections(), idleSweepMs);
    const deadline = setTimeout(() => {
      drained = false;
      server.closeAllConnections();
    }, drainSeconds * 1000);
    server.close(() => {
      clearInterval(sweep);
      clearTimeout(deadline);
      resolve(drained);
    });
    server.closeIdleConnections();
    for (const socket of silent) socket.destroy();
  });
}
