import type pg from 'pg';
import { z } from 'zod';
import { readControl } from './control.ts';
import { type Database, withSession } from './database.ts';
import type { Run } from './migration.ts';

const figures = z.record(z.string(), z.number());

/** What a database does in a few seconds, from its own statistics. */
export async function sample(database: Database, seconds: number): Promise<Record<string, number>> {
  return withSession(database, async (client) => {
    const before = await counters(client);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const after = await counters(client);
    const rates = Object.entries(after).map(([name, value]) => {
      const rate = (value - (before[name] ?? 0)) / seconds;
      return [name, Math.round(rate * 10) / 10] as const;
    });
    return Object.fromEntries(rates);
  });
}

async function counters(client: pg.Client): Promise<Record<string, number>> {
  const { rows } = await client.query(
    `select d.xact_commit::float8 as "commits/s", d.xact_rollback::float8 as "rollbacks/s",
       d.tup_returned::float8 as "rows read/s", d.tup_fetched::float8 as "rows fetched/s",
       (d.tup_inserted + d.tup_updated + d.tup_deleted)::float8 as "rows written/s",
       d.blks_read::float8 as "blocks read/s", d.temp_bytes::float8 as "temporary bytes/s",
       d.deadlocks::float8 as "deadlocks/s"
     from pg_stat_database d where d.datname = current_database()`,
  );
  return figures.parse(rows[0] ?? {});
}

/** Everything that was noted, and what both databases do now. */
export async function reportLines(run: Run): Promise<{
  readonly lines: readonly string[];
  readonly figures: Readonly<Record<string, unknown>>;
}> {
  const [blue, green] = await Promise.all([sample(run.blue, 2), sample(run.green, 2)]);
  const lines = ['What each database does now, over 2 s:', ...sideBySide('', blue, green)];
  const events = (await readControl(run.green.main)) ? await eventsOf(run.green.main) : [];
  const further = (await readControl(run.blue.main)) ? await eventsOf(run.blue.main) : [];
  const all = [...events, ...further].sort((a, b) => a.at.localeCompare(b.at));
  const before = all.findLast(({ kind }) => kind === 'figures before');
  const after = all.findLast(({ kind }) => kind === 'figures after');
  if (before !== undefined && after !== undefined) {
    lines.push('Before and after the last switch:');
    lines.push(
      ...sideBySide('', figures.parse(before.detail), figures.parse(after.detail), [
        'before',
        'after',
      ]),
    );
  }
  lines.push('What happened:');
  for (const { at, kind, detail } of all) {
    if (!kind.startsWith('figures')) lines.push(`  ${at}  ${kind} ${JSON.stringify(detail)}`);
  }
  return {
    lines,
    figures: { blue, green, before: before?.detail, after: after?.detail, events: all },
  };
}

function sideBySide(
  indent: string,
  left: Readonly<Record<string, number>>,
  right: Readonly<Record<string, number>>,
  heading: readonly [string, string] = ['blue', 'green'],
): readonly string[] {
  const row = (name: string, one: string, other: string) =>
    `${indent}  ${name.padEnd(24)}${one.padStart(14)}${other.padStart(14)}`;
  const names = [...new Set([...Object.keys(left), ...Object.keys(right)])];
  return [
    row('', ...heading),
    ...names.map((name) => row(name, String(left[name] ?? '-'), String(right[name] ?? '-'))),
  ];
}

async function eventsOf(client: pg.Client) {
  const { rows } = await client.query<{ at: string; kind: string; detail: unknown }>(
    `select to_char(e.happened_at, 'YYYY-MM-DD HH24:MI:SS.MS') as at, e.kind, e.detail
     from migrate.event e order by e.id desc limit 200`,
  );
  return rows;
}
