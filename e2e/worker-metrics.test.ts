import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  basic,
  call,
  type Deployment,
  deploy,
  formOf,
  type RegisteredClient,
} from './deployment.ts';

const workers = 3;
let deployment: Deployment;
let client: RegisteredClient;
beforeAll(async () => {
  deployment = await deploy({ workers });
  client = await deployment.register();
});
afterAll(() => deployment?.close());

async function scrape(): Promise<string> {
  const headers = { authorization: `Bearer ${deployment.server.adminToken}`, connection: 'close' };
  const answer = await call(`${deployment.server.adminUrl}/metrics`, { headers });
  expect(answer.status).toBe(200);
  return answer.text;
}

const numberOf = (text: string, name: string) =>
  Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.slice(name.length + 1),
  );

test('a scrape of one of several workers is answered with the sum of all', async () => {
  const requests = 120;
  const ask = () =>
    call(`${deployment.server.publicUrl}/oauth2/token`, {
      method: 'POST',
      // A connection each, so that every worker gets some.
      headers: { ...basic(client), connection: 'close' },
      body: formOf({ grant_type: 'client_credentials' }),
    });
  for (let n = 0; n < requests; n += 12) {
    await Promise.all(Array.from({ length: 12 }, ask));
  }
  const name = 'gatehouse_request_seconds_count{route="/oauth2/token",method="POST",status="200"}';
  // Whichever worker answers.
  for (let n = 0; n < 2 * workers; n += 1) expect(numberOf(await scrape(), name)).toBe(requests);
  const text = await scrape();
  expect(numberOf(text, 'gatehouse_clients_in_memory')).toBe(1);
  expect(numberOf(text, 'gatehouse_requests_in_flight')).toBeGreaterThanOrEqual(1);
  expect(numberOf(text, 'gatehouse_database_connections')).toBeGreaterThanOrEqual(workers);
  expect(text.match(/^# TYPE gatehouse_request_seconds /gm)).toHaveLength(1);

  // A counter that fell would be taken for one that began anew, and all of it counted again.
  const { stdout } = spawnSync('ps', ['--ppid', String(deployment.server.pid), '-o', 'pid=']);
  const [worker = 0] = String(stdout).trim().split(/\s+/).map(Number);
  process.kill(worker, 'SIGKILL');
  while (!deployment.server.output().includes('worker_died')) await sleep(20);
  const connections = 'gatehouse_database_connections';
  const left = await scrape();
  expect(numberOf(left, name)).toBe(requests);
  expect(numberOf(left, connections)).toBeLessThan(numberOf(text, connections));
  while (!deployment.server.output().includes('worker_replaced')) await sleep(20);
  expect(numberOf(await scrape(), name)).toBe(requests);
});
