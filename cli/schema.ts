import type { Reading } from '#migrate/online/lint.ts';
import { labelOf } from '#migrate/online/migration.ts';
import type { Notice } from '#migrate/online/notice.ts';
import {
  locksOf,
  type PlannedLock,
  type PlannedStatement,
  planOf,
  unknownForm,
} from '#migrate/online/plan.ts';
import { readingsOf } from '#migrate/online/runner.ts';
import type { Status } from '#migrate/online/status.ts';
import { findingLine, placeOf } from '#migrate/online/words.ts';
import type { AuditAction } from '#server/audit/actions.ts';
import { type OperatorChange, recorded } from '#server/audit/operator.ts';
import { readConfig } from '#server/config/environment.ts';
import { withClient } from '#server/postgres/cluster.ts';
import {
  migrate,
  migrationStatus,
  releasedMigrations,
  roleOf,
  takeBack,
} from '#server/schema/migrate.ts';
import { Failure, type Input, type Terminal } from './command.ts';
import { type DatabaseAddresses, reachableAddresses, statusOf } from './database.ts';
import { databaseFailure } from './failure.ts';
import { table } from './help.ts';

/** `gatehouse schema status` */
export async function schemaStatus(input: Input, terminal: Terminal): Promise<number> {
  const { owner } = await reachableAddresses(readConfig());
  const { applied, pending, unknown, underWay } = await statusOf(owner);
  const newer = new Set(unknown.map(({ number }) => number));
  const begunOf = (direction: string) =>
    new Set(underWay.filter((row) => row.direction === direction).map(({ number }) => number));
  const [begun, halfGone] = [begunOf('up'), begunOf('down')];
  const half = applied.find(({ number }) => halfGone.has(number));
  const rows = [
    ...applied.map(({ number, name, phase, appliedAt }) => {
      const known = newer.has(number) ? 'from a newer release' : 'applied';
      const state = halfGone.has(number) ? 'taken back in part' : known;
      return { number, name, phase, state, applied_at: appliedAt.toISOString() };
    }),
    ...pending.map(({ number, name, phase }) => {
      const state = begun.has(number) ? 'broken off' : 'missing';
      return { number, name, phase, state, applied_at: null };
    }),
  ];
  if (input.flag('json')) terminal.out(JSON.stringify(rows, undefined, 2));
  else {
    const heading = ['number', 'name', 'phase', 'state', 'applied at'];
    const cells = rows.map((row) => [
      String(row.number).padStart(4, '0'),
      row.name,
      row.phase,
      row.state,
      row.applied_at ?? '',
    ]);
    terminal.out(table(heading, cells));
    const ready = pending.length === 0 ? 'This release can start.' : 'Run `schema up` first.';
    terminal.out(half ? `Run \`schema down --to ${half.number - 1}\` to its end first.` : ready);
  }
  return pending.length === 0 && half === undefined ? 0 : 1;
}

/** `gatehouse schema up` */
export async function schemaUp(input: Input, terminal: Terminal): Promise<number> {
  const addresses = await reachableAddresses(readConfig());
  const until = numberOf(input, 'until');
  const { pending } = await migrateTo(addresses, teller(input, terminal), until);
  if (input.flag('json')) return 0;
  const left = pending.filter(({ number }) => until !== undefined && number > until).length;
  if (left > 0) terminal.out(`Left as asked: ${left} migrations above ${until}.`);
  else if (pending.length === 0) terminal.out('The schema was up to date.');
  else terminal.out('The schema is up to date.');
  return 0;
}

/** `gatehouse schema down` */
export async function schemaDown(input: Input, terminal: Terminal): Promise<number> {
  const { owner } = await reachableAddresses(readConfig());
  const to = numberOf(input, 'to');
  if (to === undefined) {
    throw new Failure('schema down needs --to N: migrations above that number are taken back.');
  }
  const { applied } = await statusOf(owner);
  const above = applied.filter(({ number }) => number > to);
  if (above.length === 0) {
    if (!input.flag('json')) terminal.out(`Nothing above ${to} is applied.`);
    return 0;
  }
  const change = changeOf('schema.down', above);
  const work = () => takeBack({ ownerUrl: owner.url, tell: teller(input, terminal) }, to);
  await recorded(owner.url, change, work, isDone).catch((error: unknown) => {
    throw databaseFailure(error, owner.url, owner.setting);
  });
  return 0;
}

/** `gatehouse schema plan` */
export async function schemaPlan(input: Input, terminal: Terminal): Promise<number> {
  const { owner } = await reachableAddresses(readConfig());
  const { pending } = await statusOf(owner);
  const missing = new Set(pending.map(({ number }) => number));
  const readings = (await readingsOf(await releasedMigrations())).filter(
    ({ migration, direction }) => direction === 'up' && missing.has(migration.number),
  );
  const planned = await withClient(owner.url, (client) => planOf(client, readings));
  if (input.flag('json')) {
    terminal.out(JSON.stringify(planned, undefined, 2));
    return 0;
  }
  if (pending.length === 0) terminal.out('-- The schema is up to date: nothing would be run.');
  for (const { migration } of readings) {
    terminal.out(`-- ${labelOf(migration)}`);
    const own = planned.filter((one) => one.migration === migration.number);
    for (const [index, one] of own.entries()) {
      if (own[index - 1]?.step !== one.step)
        terminal.out(`-- step ${one.step}, ${kinds[one.kind]}`);
      for (const line of planLines(one)) terminal.out(line);
    }
    terminal.out('');
  }
  return 0;
}

const kinds: Readonly<Record<PlannedStatement['kind'], string>> = {
  transaction: 'one transaction',
  alone: 'outside any transaction',
  batches: 'in batches',
};

function planLines({ sql, locks, secondsAbout }: PlannedStatement): readonly string[] {
  const about = secondsAbout >= 0.1 ? `, about ${secondsAbout} s with the rows there are` : '';
  return [`-- ${lockWords(locks)}${about}`, `${sql};`];
}

function lockWords(locks: readonly PlannedLock[]): string {
  const felt = locks.filter(({ isFresh }) => !isFresh);
  const words = felt.map(({ relation, lock, hold, form }) => {
    const what = form === unknownForm ? 'not known' : `${lock}, ${hold}`;
    return `${relation || 'what it uses'}: ${what}`;
  });
  return words.join('; ') || 'locks nothing that is in use';
}

/** `gatehouse schema lint` */
export async function schemaLint(input: Input, terminal: Terminal): Promise<number> {
  const migrations = await releasedMigrations(input.text('directory'));
  const oldestPostgres = numberOf(input, 'oldest-postgres', 'a major version of PostgreSQL');
  const readings = await readingsOf(migrations, oldestPostgres);
  const findings = readings.flatMap((reading) => reading.findings);
  const refused = findings.filter(({ excuse }) => excuse === undefined);
  const statements = input.flag('locks') ? readings.flatMap(lockedBy) : undefined;
  if (input.flag('json')) {
    const rows = findings.map(({ migration, direction, line, rule, sentence, instead, excuse }) => {
      const { number, name, phase } = migration;
      return { number, name, phase, direction, line, rule, sentence, instead, excuse };
    });
    terminal.out(JSON.stringify(statements ? { statements, findings: rows } : rows, undefined, 2));
  } else {
    for (const { place, locks } of statements ?? []) terminal.out(`${place}: ${lockWords(locks)}`);
    for (const finding of findings) terminal.out(findingLine(finding));
    const excused = findings.length - refused.length;
    terminal.out(
      `${migrations.length} migrations: ${refused.length} refused, ${excused} allowed with a reason.`,
    );
  }
  return refused.length === 0 ? 0 : 1;
}

/** What each statement of a reading locks, with its place. */
function lockedBy({ migration, direction, steps, fresh }: Reading) {
  const before = direction === 'down' ? migration.downLine - 1 : 0;
  return steps.flatMap((step) =>
    step.statements.map((statement) => ({
      place: placeOf({ migration, direction, line: statement.line + before }),
      sql: statement.text,
      locks: locksOf(statement, fresh),
    })),
  );
}

/**
 * Applies what is missing, with its entries in the audit log, and lets the other roles in. Gives
 * how things stood before. Errors are sentences.
 */
export async function migrateTo(
  { owner, server, usage }: DatabaseAddresses,
  tell: (notice: Notice) => void,
  until?: number,
): Promise<Status> {
  const serverRole = roleOf(server.url);
  const usageRole = roleOf(usage.url);
  const before = await statusOf(owner);
  const due = before.pending.filter(({ number }) => until === undefined || number <= until);
  const work = () =>
    migrate({
      ownerUrl: owner.url,
      ...(serverRole === undefined ? {} : { serverRole }),
      // Where it is the server's role, its rights are not to be taken from it.
      ...(usageRole === undefined || usageRole === serverRole ? {} : { usageRole }),
      ...(until === undefined ? {} : { until }),
      tell,
    });
  try {
    if (due.length === 0) await work();
    else await noted(owner.url, changeOf('schema.up', due), before, work);
  } catch (error) {
    throw databaseFailure(error, owner.url, owner.setting);
  }
  return before;
}

/** The migration that brings the audit log: what is done before it is noted after it. */
const auditSince = 3;

async function noted(
  url: string,
  change: OperatorChange,
  { applied }: Status,
  work: () => Promise<void>,
): Promise<void> {
  if (applied.some(({ number }) => number === auditSince)) {
    return recorded(url, change, work, isDone);
  }
  await work();
  if ((await migrationStatus(url)).applied.some(({ number }) => number === auditSince)) {
    await recorded(url, change, async () => {}, isDone);
  }
}

function changeOf(
  action: AuditAction,
  migrations: readonly Parameters<typeof labelOf>[0][],
): OperatorChange {
  return { action, targetKind: 'deployment', detail: { migrations: migrations.map(labelOf) } };
}

/** The target of a change of the whole deployment has no id. */
const isDone = () => '';

function teller(input: Input, terminal: Terminal): (notice: Notice) => void {
  if (!input.flag('json')) return ({ sentence }) => terminal.out(sentence);
  return (notice) => terminal.out(JSON.stringify(notice));
}

function numberOf(
  input: Input,
  name: string,
  what = 'the number of a migration',
): number | undefined {
  const text = input.text(name);
  if (text === undefined) return undefined;
  if (!/^\d{1,4}$/.test(text)) throw new Failure(`--${name} is ${what}.`);
  return Number(text);
}
