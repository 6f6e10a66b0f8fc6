import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { expect, it } from 'vitest';
import { connectionsTo } from '../measure/processes.ts';
import { type Sample, seriesOf } from './samples.ts';

const sampleAt = (minutes: number, over: Partial<Sample>): Sample => ({
  minutes,
  rssMb: 400,
  heapMb: 60,
  handles: 100,
  clients: 40,
  connections: 8,
  p50: 4,
  p99: 70,
  perSecond: 400,
  load: 2,
  ...over,
});

it('p99 is of samples in which no process was made to collect, and handles are not those of clients', () => {
  const samples = [
    sampleAt(1, {}),
    sampleAt(2, { p99: 190, handles: 150, clients: 90 }),
    sampleAt(3, { p99: 71 }),
    // The collection was just before, and what it delayed ends in this one.
    sampleAt(4, { p99: 110 }),
  ];
  const readings = [1.5, 2.995].map((minutes) => ({ atMs: minutes * 60_000, rss: 1, heapUsed: 1 }));
  const series = seriesOf(samples, [{ name: 'worker 1', readings }], 0);
  const points = (name: string) => series.find((one) => one.name === name)?.points;
  expect(points('p99')).toEqual([[1, 70]]);
  expect(points('handles but those of clients')?.map(([, handles]) => handles)).toEqual([
    60, 60, 60, 60,
  ]);
});

it('connections of clients are counted until either end has ended them', async () => {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const clients = [1, 2, 3].map(() => connect(port, '127.0.0.1'));
  await Promise.all(clients.map((client) => once(client, 'connect')));
  try {
    expect(connectionsTo([port])).toBe(3);
    // The server keeps its half: that is a handle of its own from now on.
    clients[0]?.end();
    await expect.poll(() => connectionsTo([port])).toBe(2);
  } finally {
    for (const client of clients) client.destroy();
    server.close();
  }
});
