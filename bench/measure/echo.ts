import { once } from 'node:events';
import { type Child, startChild } from '../deployments/child.ts';
import { openConnection } from '../driver/connection.ts';
import { createLatencies } from '../driver/latencies.ts';
import { closedLoop } from '../driver/load.ts';
import { get } from '../driver/message.ts';
import { cpuSecondsOf } from './processes.ts';

/** Bare node:http servers: what one request costs on this machine at this moment. */
export interface Echo {
  /**
   * CPU microseconds per request of so many servers that are busy at once, 32 in flight at each.
   * Refuses more of them than were started.
   */
  measure(seconds: number, servers?: number): Promise<number>;
  stop(): Promise<void>;
}

const lanesPerServer = 32;

/** Starts `count` of them, and warms them up. */
export async function startEcho(warmSeconds: number, count = 1): Promise<Echo> {
  const servers: { readonly child: Child; readonly port: number }[] = [];
  for (let started = 0; started < count; started += 1) {
    const child = startChild(['bench/echo-server.ts']);
    const [port] = await once(child.process, 'message');
    servers.push({ child, port: Number(port) });
  }
  async function measure(seconds: number, busy = 1): Promise<number> {
    if (busy > count) throw new Error(`${busy} echoes of ${count} that were started`);
    const asked = servers.slice(0, busy);
    const connections = asked.flatMap(({ port }) =>
      Array.from({ length: lanesPerServer }, () => openConnection(port)),
    );
    const request = get('/');
    const cpuSeconds = () => asked.reduce((sum, { child }) => sum + cpuSecondsOf(child.pid), 0);
    const before = cpuSeconds();
    const load = await closedLoop({
      lanes: connections.length,
      seconds,
      latencies: createLatencies(),
      async operation(lane) {
        const answer = await connections[lane]?.send(request);
        if (answer?.body !== '{}') throw new Error(`the echo answered ${answer?.status}`);
        return true;
      },
    });
    const spent = cpuSeconds() - before;
    for (const connection of connections) connection.close();
    if (load.errors > 0) throw new Error(`the echo failed: ${load.firstError}`);
    return (spent / load.operations) * 1e6;
  }
  await measure(warmSeconds * count, count);
  return {
    measure,
    async stop() {
      await Promise.all(servers.map(({ child }) => child.stop()));
    },
  };
}
