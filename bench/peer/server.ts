// The peer: `oidc-provider` as its documentation says to run it. Told what to be over IPC; ends with
// whoever started it.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';
import pg from 'pg';
import { createAdapterFactory } from './adapter.ts';
import { configurationOf, type PeerOrder } from './configuration.ts';
import { interact } from './interactions.ts';

/** Enough that 32 requests seldom wait for one, and their commits share a flush. */
const connectionsMax = 16;
/** As long as Gatehouse keeps idle connections. */
const keepAliveMs = 65_000;

async function run(order: PeerOrder): Promise<void> {
  const pool = new pg.Pool({ connectionString: order.databaseUrl, max: connectionsMax });
  pool.on('error', () => {});
  const provider = new Provider(order.issuer, configurationOf(order, createAdapterFactory(pool)));
  provider.on('server_error', (_context, error) => console.error(error));
  const answer = provider.callback();
  const server = createServer({ keepAliveTimeout: keepAliveMs }, (request, response) => {
    if (request.url === '/heap') {
      response.end(String(process.memoryUsage().heapUsed));
    } else if (request.url?.startsWith('/interaction/') === true) {
      interact(provider, request, response).catch((error: unknown) => {
        console.error(error);
        response.writeHead(500).end(String(error));
      });
    } else void answer(request, response);
  });
  server.listen(order.port, '127.0.0.1', () => process.send?.('ready'));
}

process.once('disconnect', () => process.exit(0));
process.once('message', (order: PeerOrder) => {
  run(order).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
