import { readConfig } from '#server/config/environment.ts';
import { migrate, roleOf } from '#server/schema/migrate.ts';
import type { Input, Terminal } from './command.ts';
import { type DatabaseAddresses, reachableAddresses, statusOf } from './database.ts';
import { databaseFailure } from './failure.ts';
import { table } from './help.ts';

/** `gatehouse schema status` */
export async function schemaStatus(input: Input, terminal: Terminal): Promise<number> {
  const { owner } = await reachableAddresses(readConfig());
  const { applied, pending, unknown } = await statusOf(owner);
  const newer = new Set(unknown.map(({ number }) => number));
  const rows = [
    ...applied.map(({ number, name, phase, appliedAt }) => {
      const state = newer.has(number) ? 'from a newer release' : 'applied';
      return { number, name, phase, state, applied_at: appliedAt.toISOString() };
    }),
    ...pending.map(({ number, name, phase }) => ({
      number,
      name,
      phase,
      state: 'missing',
      applied_at: null,
    })),
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
    terminal.out(pending.length === 0 ? 'This release can start.' : 'Run `schema up` first.');
  }
  return pending.length === 0 ? 0 : 1;
}

/** `gatehouse schema up` */
export async function schemaUp(_input: Input, terminal: Terminal): Promise<number> {
  const addresses = await reachableAddresses(readConfig());
  const { pending } = await statusOf(addresses.owner);
  await migrateTo(addresses, (sentence) => terminal.out(sentence));
  terminal.out(pending.length === 0 ? 'The schema was up to date.' : 'The schema is up to date.');
  return 0;
}

/** `gatehouse schema plan` */
export async function schemaPlan(_input: Input, terminal: Terminal): Promise<number> {
  const { owner } = await reachableAddresses(readConfig());
  const { pending } = await statusOf(owner);
  if (pending.length === 0) terminal.out('-- The schema is up to date: nothing would be run.');
  for (const { number, name, phase, sql } of pending) {
    terminal.out(`-- ${String(number).padStart(4, '0')}_${name} (${phase}), one transaction`);
    terminal.out(sql.trimEnd());
    terminal.out('');
  }
  return 0;
}

/** Applies what is missing, and lets the other roles in. Errors are sentences. */
export async function migrateTo(
  { owner, server, usage }: DatabaseAddresses,
  log: (sentence: string) => void,
): Promise<void> {
  const serverRole = roleOf(server.url);
  const usageRole = roleOf(usage.url);
  await migrate({
    ownerUrl: owner.url,
    ...(serverRole === undefined ? {} : { serverRole }),
    // Where it is the server's role, its rights are not to be taken from it.
    ...(usageRole === undefined || usageRole === serverRole ? {} : { usageRole }),
    log,
  }).catch((error: unknown) => {
    if (isOfConnection(error)) throw databaseFailure(error, owner.url, owner.setting);
    throw error;
  });
}

/** True where PostgreSQL was not reached or did not let us in; anything else is ours to explain. */
function isOfConnection(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  if (/^[0-9A-Z]{5}$/.test(code) && !code.startsWith('E')) return /^(08|28|3D|53|57)/.test(code);
  return code.startsWith('E') || error instanceof AggregateError || /timeout/i.test(error.message);
}
