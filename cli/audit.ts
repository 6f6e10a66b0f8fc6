import { setTimeout as sleep } from 'node:timers/promises';
import { readConfig } from '#server/config/environment.ts';
import { type Admin, openAdmin } from './admin.ts';
import { Failure, type Input, type Terminal } from './command.ts';
import { shown } from './help.ts';
import {
  type Document,
  documentOf,
  field,
  limitOf,
  listOf,
  plain,
  showListing,
} from './listing.ts';

const limitDefault = 100;
/** Entries of one second that a follower is shown at most. */
const limitMax = 10_000;
const followMs = 1000;
/** An entry that took its time before it was committed may come after later ones. */
const lateMs = 10_000;

/** `gatehouse audit list` */
export async function auditList(input: Input, terminal: Terminal): Promise<number> {
  const limit = limitOf(input, limitDefault);
  const query = queryOf(input);
  const admin = await openAdmin(readConfig());
  if (input.flag('follow')) return follow(admin, input, terminal, query, limit);
  const entries = await listOf(admin, '/admin/audit', query, limit);
  showListing(input, terminal, entries, {
    heading: ['at', 'action', 'outcome', 'actor', 'target', 'address', 'times', 'reason'],
    cells: cellsOf,
    none: 'There are no such entries.',
    limit,
  });
  return 0;
}

/**
 * The entries so far, oldest first, then each as it comes, a line each, until it is interrupted or
 * nobody reads them any more (`| head`).
 */
async function follow(
  admin: Admin,
  input: Input,
  terminal: Terminal,
  query: Readonly<Record<string, string>>,
  limit: number,
): Promise<number> {
  const seen = new Map<string, number>();
  let earliest = Date.parse(query.from ?? '') || 0;
  let asked = query;
  let countMax = limit;

  async function look(): Promise<void> {
    // Of any kind, so that a filter which fits nothing does not walk the whole log again and again.
    const newest = await newestMs(admin);
    const entries = await listOf(admin, '/admin/audit', asked, countMax);
    for (const entry of [...entries].reverse()) {
      const id = field(entry, 'id');
      if (seen.has(id)) continue;
      seen.set(id, msOf(entry));
      const line = input.flag('json') ? JSON.stringify(plain(entry)) : cellsOf(entry).join('  ');
      terminal.out(shown(line));
    }
    // What --limit has cut off at first stays cut off.
    const oldest = entries.at(-1);
    if (countMax === limit && entries.length === limit && oldest !== undefined) {
      earliest = Math.max(earliest, msOf(oldest));
    }
    for (const [id, at] of seen) if (at < newest - 2 * lateMs) seen.delete(id);
    const from = Math.max(earliest, newest - lateMs);
    asked = from > 0 ? { ...query, from: new Date(from).toISOString() } : query;
    countMax = limitMax;
  }

  let isRead = true;
  process.stdout.once('error', () => {
    isRead = false;
  });
  await look();
  for (let isAway = false; isRead; ) {
    await sleep(followMs);
    try {
      await look();
      isAway = false;
    } catch (error) {
      // A node that restarts is waited for.
      if (!(error instanceof Failure && error.mayPass)) throw error;
      if (!isAway) terminal.error(`${error.message} Asking again until it answers.`);
      isAway = true;
    }
  }
  return 0;
}

/** When the newest entry of the log was made, in ms; 0 where it is empty. */
async function newestMs(admin: Admin): Promise<number> {
  const [newest] = await listOf(admin, '/admin/audit', {}, 1);
  return newest === undefined ? 0 : msOf(newest);
}

function msOf(entry: Document): number {
  return Date.parse(field(entry, 'at'));
}

function queryOf(input: Input): Readonly<Record<string, string>> {
  const given = {
    from: input.text('since') === undefined ? input.text('from') : since(input.text('since') ?? ''),
    to: input.text('to'),
    actor: input.text('actor'),
    action: input.text('action'),
    target: input.text('target'),
    request_id: input.text('request-id'),
  };
  if (input.text('since') !== undefined && input.text('from') !== undefined) {
    throw new Failure('--since and --from exclude each other.');
  }
  return Object.fromEntries(Object.entries(given).flatMap(([k, v]) => (v ? [[k, v]] : [])));
}

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

function since(text: string): string {
  const [, count = '', unit = ''] = /^([0-9]{1,6})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * (units[unit] ?? 0);
  if (seconds === 0) throw new Failure('--since is a time such as 90s, 15m, 1h or 7d.');
  return new Date(Math.max(0, Date.now() - seconds * 1000)).toISOString();
}

function cellsOf(entry: Document): readonly string[] {
  const actor = documentOf(entry.get('actor'));
  const target = documentOf(entry.get('target'));
  const who = field(actor, 'name') || field(actor, 'id');
  return [
    field(entry, 'at').replace(/\.[0-9]+Z$/, 'Z'),
    field(entry, 'action'),
    field(entry, 'outcome'),
    who === '' ? field(actor, 'kind') : `${field(actor, 'kind')} ${who}`,
    `${field(target, 'kind')} ${field(target, 'id')}`.trim(),
    field(entry, 'address'),
    field(entry, 'count') === '1' ? '' : field(entry, 'count'),
    field(entry, 'reason'),
  ];
}
