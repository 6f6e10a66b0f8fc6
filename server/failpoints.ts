import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MiddlewareHandler } from 'hono';
import {
  type Failpoint,
  failpointAnswers,
  failpointStatements,
  readFailpoint,
} from '#server/config/failpoint.ts';
import type { Env } from '#server/http/frame/answer.ts';
import { type Database, DatabaseUnavailable, type Statement } from '#server/store/database.ts';

/** The failpoints that are armed in this process; what reaches none of them is not changed. */
export interface Failpoints {
  /** Does what is armed at this point: nothing, sleep, refuse as an outage does, or end the process. */
  reach(name: string, answerLost: boolean): Promise<void>;
  isArmed(name: string): boolean;
}

/** By then the statement has left this process, and PostgreSQL may or may not have committed. */
const sentMs = 1;

/** Arms what the setting lists; undefined where it lists nothing, so that nothing is wrapped. */
export function armFailpoints(given: readonly string[]): Failpoints | undefined {
  const armed = given.flatMap((text) => {
    const failpoint = readFailpoint(text);
    return 'wrong' in failpoint ? [] : [failpoint];
  });
  if (armed.length === 0) return undefined;
  const visits = new Map<Failpoint, number>();

  function isDue(failpoint: Failpoint): boolean {
    const visit = (visits.get(failpoint) ?? 0) + 1;
    visits.set(failpoint, visit);
    if (failpoint.visit !== undefined && failpoint.visit !== visit) return false;
    return failpoint.probability === 1 || randomInt(2 ** 32) < failpoint.probability * 2 ** 32;
  }

  return {
    isArmed: (name) => armed.some((failpoint) => failpoint.name === name),
    async reach(name, answerLost) {
      for (const failpoint of armed) {
        if (failpoint.name !== name || !isDue(failpoint)) continue;
        const { action } = failpoint;
        if (action.does === 'kill') process.kill(process.pid, 'SIGKILL');
        if (action.does === 'error')
          throw new DatabaseUnavailable(`failpoint ${name}`, { answerLost });
        if (action.does === 'sleep') await sleep(action.ms);
      }
    },
  };
}

/** The database with failpoints around the statements that write. */
export function withFailpoints<Pool extends Pick<Database, 'query'>>(
  pool: Pool,
  failpoints: Failpoints | undefined,
): Pool {
  if (failpoints === undefined) return pool;
  return {
    ...pool,
    async query<Row extends Record<string, unknown>>(
      statement: Statement,
      values: readonly unknown[],
    ) {
      const { name } = statement;
      if (!Object.hasOwn(failpointStatements, name)) return pool.query<Row>(statement, values);
      await failpoints.reach(`${name}.before`, false);
      const answer = pool.query<Row>(statement, values);
      if (failpoints.isArmed(`${name}.sent`)) {
        // What it says is heard below, or nobody asks any more.
        answer.catch(() => {});
        await sleep(sentMs);
        await failpoints.reach(`${name}.sent`, true);
      }
      const rows = await answer;
      await failpoints.reach(`${name}.after`, true);
      return rows;
    },
  };
}

/** Reaches the point of the door that was asked, once its answer is made and before it leaves. */
export function answerFailpoints(failpoints: Failpoints): MiddlewareHandler<Env> {
  const doors = Object.entries(failpointAnswers)
    .flatMap(([name, paths]) => paths.map((path) => ({ name, path })))
    .sort((a, b) => b.path.length - a.path.length);
  return async (c, next) => {
    await next();
    const door = doors.find(({ path }) => c.req.path.startsWith(path));
    if (door !== undefined) await failpoints.reach(door.name, true);
  };
}
