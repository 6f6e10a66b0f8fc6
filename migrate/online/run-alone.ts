import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { quoted, type Wanted } from './blockers.ts';
import { MigrationRefused } from './refused.ts';
import type { Judged } from './script.ts';
import { backOff, codeOf, isContention, type Session } from './session.ts';
import { nameOf, optionOf } from './tree.ts';

/**
 * Runs a statement that PostgreSQL wants outside of any transaction. It may have run before, wholly
 * or half: an INVALID index is dropped and built again. Nobody waits for most of them, so there is
 * no lock timeout: they wait for older transactions to end, and tell for whom. `wanted`: what an
 * excused one keeps others out of (`vacuum full`), which is asked for in short turns.
 */
export async function runAlone(
  session: Session,
  what: string,
  wanted: readonly Wanted[],
  one: Judged,
): Promise<void> {
  const { client, limits, tell } = session;
  const lockMs = wanted.length > 0 ? limits.lockMsMax : 0;
  for (let attempt = 1; ; attempt += 1) {
    await clean(session, one);
    try {
      await client.query(`select set_config('lock_timeout', $1, false)`, [`${lockMs}ms`]);
      await watched(session, what, () => client.query(one.text));
      break;
    } catch (error) {
      if (!isContention(error) || attempt >= limits.attemptsMax) throw error;
      const why = codeOf(error) === '55P03' ? 'its tables are busy' : 'a deadlock';
      const sentence = `${what}: ${why} (attempt ${attempt} of ${limits.attemptsMax})`;
      tell({ kind: 'blocked', sentence, data: { what, attempt } });
      await backOff(limits, attempt);
    } finally {
      await client.query('set lock_timeout = 0').catch(() => {});
    }
  }
  const index = indexOf(one);
  if (index === undefined || (await invalid(client, [index])).length === 0) return;
  throw new MigrationRefused(
    `${what}: index ${index} is INVALID although nothing failed. Run it again.`,
  );
}

/** Removes what an attempt that was broken off has left. */
async function clean({ client, tell }: Session, one: Judged): Promise<void> {
  const index = indexOf(one);
  const left =
    index === undefined ? await rebuiltHalf(client, one) : await invalid(client, [index]);
  for (const name of left) {
    const sentence = `index ${name} is INVALID: an attempt was broken off; dropping it`;
    tell({ kind: 'rebuild', sentence, data: { index: name } });
    await client.query(`drop index concurrently if exists ${name}`);
  }
}

/** The index that a `create index concurrently` makes, with its schema. */
function indexOf({ node }: Judged): string | undefined {
  if (!('IndexStmt' in node)) return undefined;
  const { idxname, relation } = node.IndexStmt;
  if (idxname === undefined) return undefined;
  return relation?.schemaname === undefined
    ? quoted(idxname)
    : quoted(`${relation.schemaname}.${idxname}`);
}

/** Those of the indexes that are there and not valid. */
async function invalid(client: pg.Client, names: readonly string[]): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select t.name from unnest($1::text[]) t (name)
     join pg_index i on i.indexrelid = to_regclass(t.name)
     where not i.indisvalid or not i.indisready`,
    [names],
  );
  return rows.map(({ name }) => name);
}

/** What `reindex concurrently` leaves when it is broken off: copies by names of its own. */
async function rebuiltHalf(client: pg.Client, { node }: Judged): Promise<readonly string[]> {
  if (!('ReindexStmt' in node) || !optionOf(node.ReindexStmt.params, 'concurrently')) return [];
  const { rows } = await client.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name
     from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
     where not i.indisvalid and c.relname ~ '_cc(new|old)[0-9]*$'
       and to_regclass($1) in (i.indrelid, (
         select o.indexrelid from pg_index o where o.indrelid = i.indrelid and o.indexrelid = to_regclass($1)))`,
    [quoted(nameOf(node.ReindexStmt.relation))],
  );
  return rows.map(({ name }) => name);
}

const watchMs = 2_000;

/** Runs `work` and tells every two seconds how far an index build is, and for whom any of them waits. */
async function watched(
  session: Session,
  what: string,
  work: () => Promise<unknown>,
): Promise<void> {
  const over = new AbortController();
  const watching = watch(session, what, over.signal).catch(() => {});
  try {
    await work();
  } finally {
    over.abort();
    await watching;
  }
}

async function watch(session: Session, what: string, over: AbortSignal): Promise<void> {
  const asleep = () => sleep(watchMs, undefined, { signal: over }).catch(() => {});
  const { rows: me } = await session.client.query<{ pid: number }>(
    'select pg_backend_pid() as pid',
  );
  await asleep();
  if (over.aborted) return;
  const beside = await session.beside();
  try {
    while (!over.aborted) {
      const progress = await progressOf(beside, me[0]?.pid ?? 0);
      if (progress !== undefined) {
        const { sentence, ...data } = progress;
        session.tell({ kind: 'index', sentence: `${what}: ${sentence}`, data });
      }
      await asleep();
    }
  } finally {
    await beside.end();
  }
}

async function progressOf(client: pg.Client, pid: number) {
  const { rows } = await client.query<{
    phase: string;
    done: string;
    total: string;
    waits: number | null;
    application_name: string | null;
  }>(
    `select coalesce(p.phase, 'waiting') as phase, coalesce(p.blocks_done, 0)::text as done,
       coalesce(p.blocks_total, 0)::text as total, w.waits, a.application_name
     from (select $1::int as pid) own
     left join pg_stat_progress_create_index p using (pid)
     cross join lateral (select coalesce(
       nullif(p.current_locker_pid, 0)::int, nullif((pg_blocking_pids(own.pid))[1], 0)) as waits) w
     left join pg_stat_activity a on a.pid = w.waits
     where p.pid is not null or w.waits is not null`,
    [pid],
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const share =
    Number(row.total) > 0 ? `, ${Math.floor((Number(row.done) / Number(row.total)) * 100)} %` : '';
  const whom =
    row.waits === null ? '' : `, for pid ${row.waits} (${row.application_name || 'no name'})`;
  return { sentence: `${row.phase}${share}${whom}`, phase: row.phase, waitsFor: row.waits };
}
