import pg from 'pg';

/** Sessions that use a table all the time, and how long one of their statements took at most. */
export interface Load {
  readonly pids: readonly number[];
  /** Begins a new measurement. */
  reset(): void;
  /** The longest statement since then, also one that has not ended, in milliseconds. */
  longestMs(): number;
  /** What went wrong for them since then. */
  readonly failures: string[];
  /** How many statements they have done since then. */
  done(): number;
  close(): Promise<void>;
}

interface User {
  begunAt: number;
  longestMs: number;
  done: number;
}

/** Opens `count` sessions that run `statement(n)` one after the other. */
export async function openLoad(
  url: string,
  count: number,
  statement: (n: number) => string,
): Promise<Load> {
  const failures: string[] = [];
  const users: User[] = [];
  const clients: pg.Client[] = [];
  const pids: number[] = [];
  const state = { closed: false };
  const loops: Promise<void>[] = [];
  for (let index = 0; index < count; index += 1) {
    const client = new pg.Client({ connectionString: url, application_name: 'load' });
    client.on('error', () => {});
    await client.connect();
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    pids.push(rows[0]?.pid ?? 0);
    const user = { begunAt: performance.now(), longestMs: 0, done: 0 };
    users.push(user);
    clients.push(client);
    loops.push(use(client, user, index));
  }

  async function use(client: pg.Client, user: User, index: number): Promise<void> {
    for (let n = index; !state.closed; n += count) {
      user.begunAt = performance.now();
      await client.query(statement(n)).catch((error: unknown) => {
        if (!state.closed) failures.push(error instanceof Error ? error.message : 'unknown');
      });
      user.longestMs = Math.max(user.longestMs, performance.now() - user.begunAt);
      user.done += 1;
      // A person's pace: the table is in use at every moment, and the machine is not used up.
      await new Promise((resolve) => setTimeout(resolve, 2));
      user.begunAt = Number.POSITIVE_INFINITY;
    }
  }

  return {
    pids,
    failures,
    reset() {
      failures.length = 0;
      for (const user of users) Object.assign(user, { longestMs: 0, done: 0 });
    },
    longestMs: () =>
      Math.max(
        ...users.map(({ longestMs, begunAt }) => Math.max(longestMs, performance.now() - begunAt)),
      ),
    done: () => users.reduce((sum, { done }) => sum + done, 0),
    async close() {
      state.closed = true;
      await Promise.all(loops);
      await Promise.all(clients.map((client) => client.end()));
    },
  };
}
