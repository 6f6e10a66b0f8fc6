import { once } from 'node:events';
import { startChild } from '../deployments/child.ts';
import { openConnection } from '../driver/connection.ts';
import { createLatencies } from '../driver/latencies.ts';
import { closedLoop } from '../driver/load.ts';
import { get } from '../driver/message.ts';
import { cpuSecondsOf } from './processes.ts';

/** A bare node:http server: what one request costs on this machine at this moment. */
export interface Echo {
  /** CPU microseconds of the echo server per request, 32 in flight. */
  measure(seconds: number): Promise<number>;
  stop(): Promise<void>;
}

const lanes = 32;

/** Starts it, and warms it up. */
export async function startEcho(warmSeconds: number): Promise<Echo> {
  const child = startChild(['bench/echo-server.ts']);
  const [port] = await once(child.process, 'message');
  async function measure(seconds: number): Promise<number> {
    const connections = Array.from({ length: lanes }, () => openConnection(Number(port)));
    const request = get('/');
    const before = cpuSecondsOf(child.pid);
    const load = await closedLoop({
      lanes,
      seconds,
      latencies: createLatencies(),
      async operation(lane) {
        const answer = await connections[lane]?.send(request);
        if (answer?.body !== '{}') throw new Error(`the echo answered ${answer?.status}`);
        return true;
      },
    });
    const cpuSeconds = cpuSecondsOf(child.pid) - before;
    for (const connection of connections) connection.close();
    if (load.errors > 0) throw new Error(`the echo failed: ${load.firstError}`);
    return (cpuSeconds / load.operations) * 1e6;
  }
  await measure(warmSeconds);
  return { measure, stop: () => child.stop() };
}
