import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openBank } from '#migrate/testing/bank.ts';
import { type Pair, query } from '#migrate/testing/databases.ts';
import { type App, startApp } from '#migrate/testing/processes.ts';
import { openProxy, type TestProxy } from '#server/testing/proxy.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let pair: Pair;
let proxy: TestProxy;
beforeAll(async () => {
  pair = await openBank(20);
  proxy = await openProxy(Number(new URL(pair.blue).port));
});
afterAll(async () => {
  await proxy.close();
  await pair.close();
});

const endsWithin = async (app: App, ms: number) => {
  const ended = await Promise.race([app.ended, sleep(ms, 'it goes on' as const)]);
  if (ended === 'it goes on') app.kill('SIGKILL');
  return ended;
};

/** The status of an answer, or undefined where none came. */
const ask = (agent: Agent, url: string) =>
  new Promise<number | undefined>((resolve) => {
    const sent = request(url, { agent, method: 'PUT' }, (answer) => {
      answer.resume().on('end', () => resolve(answer.statusCode));
    });
    sent.on('error', () => resolve(undefined));
    sent.end(JSON.stringify({ given: 'Ada', family: 'Byron', bio: 'here' }));
  });

describe('the bank ends at SIGTERM', () => {
  it('after the request under way, also for a client that asks on and on', async () => {
    const app = await startApp({ blue: pair.blue, green: pair.green });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const holder = new pg.Client({ connectionString: pair.blue });
    await holder.connect();
    await holder.query('begin; update customer set full_name = full_name where id = 1');
    const first = ask(agent, `${app.url}/customers/1`);
    const waits = `select 1 from pg_stat_activity a
      where a.datname = current_database() and a.wait_event_type = 'Lock'`;
    await expect.poll(() => query(pair.blue, waits)).toHaveLength(1);
    app.kill('SIGTERM');
    await sleep(200);
    await holder.query('commit');
    await holder.end();
    expect(await first).toBe(200);
    const asking = (async () => {
      while ((await ask(agent, `${app.url}/customers/2`)) !== undefined);
    })();
    expect(await endsWithin(app, 10_000)).toBe(0);
    await asking;
    agent.destroy();
  });

  it('within a limit where its databases hang', async () => {
    const through = { blue: proxy.through(pair.blue), green: proxy.through(pair.green) };
    const app = await startApp(through, '--wait-ms', '500');
    const agent = new Agent();
    expect(await ask(agent, `${app.url}/customers/1`)).toBe(200);
    proxy.hold();
    const answered = ask(agent, `${app.url}/customers/1`);
    // It has to be under way when the signal comes.
    await sleep(300);
    app.kill('SIGTERM');
    expect(await endsWithin(app, 10_000)).toBe(1);
    expect(await answered).toBeUndefined();
    proxy.release();
  });
});
