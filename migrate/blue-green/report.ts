import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { z } from 'zod';
import { tableShape } from './catalog.ts';
import { readControl } from './control.ts';
import { prepared, type Side, withSession } from './database.ts';
import type { Run } from './migration.ts';
import { quoted, quotedTable, type TableName } from './names.ts';
import { mappedTables } from './resolve.ts';

const figures = z.record(z.string(), z.number());

/**
 * What a database does in a few seconds, from its own statistics, and how fast it answers meanwhile:
 * a row by its key, of each mapped table in turn, and a commit that waits for the disk.
 */
export async function sample(
  run: Run,
  side: Side,
  seconds: number,
): Promise<Record<string, number>> {
  const database = side === 'blue' ? run.blue : run.green;
  return withSession(database, async (client) => {
    const questions = await questionsOf(client, mappedTables(run.routes, side));
    const before = await counters(client);
    const answers = await ask(client, questions, seconds * 1000);
    const after = await counters(client);
    const rates = Object.entries(after).map(([name, value]) => {
      const rate = (value - (before[name] ?? 0)) / seconds;
      return [name, Math.round(rate * 10) / 10] as const;
    });
    return { ...answers, ...Object.fromEntries(rates) };
  });
}

interface Question {
  readonly text: string;
  readonly keys: readonly (readonly string[])[];
}

const rowsAsked = 200;
const restMs = 3;

async function questionsOf(
  client: pg.Client,
  tables: readonly TableName[],
): Promise<readonly Question[]> {
  const found: Question[] = [];
  for (const table of tables) {
    const shape = await tableShape(client, table);
    const key = (shape?.primaryKey ?? []).flatMap((name) =>
      (shape?.columns ?? []).filter((column) => column.name === name),
    );
    if (key.length === 0) continue;
    const names = key.map(({ name }) => `t.${quoted(name)}::text`);
    const where = key.map(({ name, type }, at) => `t.${quoted(name)} = $${at + 1}::text::${type}`);
    const { rows } = await client.query<string[]>({
      text: `select ${names.join(', ')} from ${quotedTable(table)} t limit ${rowsAsked}`,
      rowMode: 'array',
    });
    const text = `select t.ctid from ${quotedTable(table)} t where ${where.join(' and ')}`;
    if (rows.length > 0) found.push({ text, keys: rows });
  }
  return found;
}

async function ask(client: pg.Client, questions: readonly Question[], forMs: number) {
  const reads: number[] = [];
  const commits: number[] = [];
  const timed = async (into: number[], question: pg.QueryConfig) => {
    const startedMs = performance.now();
    await client.query(question);
    into.push(performance.now() - startedMs);
  };
  const endMs = performance.now() + forMs;
  for (let at = 0; performance.now() < endMs; at += 1) {
    const question = questions[at % Math.max(1, questions.length)];
    const key = question?.keys[at % question.keys.length];
    if (question && key) await timed(reads, prepared(question.text, key));
    // Changes nothing, and is flushed like any commit.
    await timed(commits, prepared("select pg_logical_emit_message(true, 'migrate', '')", []));
    await sleep(restMs);
  }
  return {
    'read P95, ms': percentile(reads, 0.95),
    'read P99, ms': percentile(reads, 0.99),
    'commit P95, ms': percentile(commits, 0.95),
    'commit P99, ms': percentile(commits, 0.99),
  };
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return Math.round(value * 100) / 100;
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
  const [blue, green] = await Promise.all([sample(run, 'blue', 2), sample(run, 'green', 2)]);
  const lines = [
    'What each database does now, over 2 s, with what this report asks:',
    ...sideBySide('', blue, green),
  ];
  const events = (await readControl(run.green.main)) ? await eventsOf(run.green.main) : [];
  const further = (await readControl(run.blue.main)) ? await eventsOf(run.blue.main) : [];
  const all = [...events, ...further].sort((a, b) => a.at.localeCompare(b.at));
  const before = all.findLast(({ kind }) => kind === 'figures before');
  const after = all.findLast(({ kind }) => kind === 'figures after');
  if (before !== undefined && after !== undefined) {
    lines.push('Before and after the last switch:');
    lines.push(
      ...sideBySide('', figuresIn(before.detail), figuresIn(after.detail), ['before', 'after']),
    );
  }
  const worked = all.flatMap(({ at, kind, detail }) => {
    const parsed = z.object({ tool: figures }).safeParse(detail);
    return parsed.success ? [{ at, kind, tool: parsed.data.tool }] : [];
  });
  if (worked.length > 0) lines.push('The tool itself, when it noted:');
  for (const { kind, tool } of worked.slice(-12)) {
    const said = Object.entries(tool).map(([name, value]) => `${name} ${value}`);
    lines.push(`  ${kind.padEnd(16)}${said.join(', ')}`);
  }
  lines.push('What happened:');
  for (const { at, kind, detail } of all) {
    if (kind.startsWith('figures')) continue;
    const { tool: _, ...rest } = z.looseObject({}).parse(detail);
    lines.push(`  ${at}  ${kind} ${JSON.stringify(rest)}`);
  }
  return {
    lines,
    figures: { blue, green, before: before?.detail, after: after?.detail, events: all },
  };
}

/** The figures of an event, without what the tool noted of itself. */
function figuresIn(detail: unknown): Readonly<Record<string, number>> {
  const { tool: _, ...rest } = z.looseObject({}).parse(detail);
  const found = figures.parse(rest);
  // jsonb keeps its own order.
  const given = Object.entries(found);
  return Object.fromEntries(given.sort(([one], [other]) => orderOf(one) - orderOf(other)));
}

const groups = ['read P', 'commit P', 'commits', 'rollbacks', 'rows', 'blocks', 'temporary'];
function orderOf(name: string): number {
  const at = groups.findIndex((group) => name.startsWith(group));
  return at < 0 ? groups.length : at;
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
