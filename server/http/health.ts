import type { Hono } from 'hono';
import { type Env, json } from './frame/answer.ts';

/** What keeps the server from answering, by part (`database`, `keys`, `schema`); empty: ready. */
export type Readiness = () => Promise<Readonly<Record<string, string>>>;

/** Hydra's health doors, on both listeners. Alive: the process answers. Ready: it can decide. */
export function addHealth(app: Hono<Env>, version: string, readiness: Readiness): void {
  app.get('/health/alive', () => json(200, { status: 'ok' }));
  app.get('/health/ready', async () => {
    const errors = await readiness();
    return Object.keys(errors).length === 0
      ? json(200, { status: 'ok' })
      : json(503, { errors }, { 'cache-control': 'no-store', 'retry-after': '1' });
  });
  app.get('/version', () => json(200, { version }));
}
