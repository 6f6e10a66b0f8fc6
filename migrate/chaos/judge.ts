import { migrate, query } from '#migrate/testing/databases.ts';
import type { Ledger } from './application.ts';
import { broken, mappingPath, money, present, probe } from './bank.ts';
import type { Plan } from './plan.ts';
import type { Testimony } from './witness.ts';
import type { Ground, World } from './world.ts';

/** What was found at the end of a round. */
export interface Judged {
  readonly violations: readonly string[];
  readonly acknowledged: number;
  /** Writes of stragglers that were refused with MG001. */
  readonly refused: number;
  /** How often both sides were looked at. */
  readonly looks: number;
  /** 503 with Retry-After within the outage. */
  readonly turnedAway: number;
  /** The same outside of it, while this machine stood still. */
  readonly notJudged: number;
}

interface Judging {
  readonly world: World;
  readonly ground: Ground;
  readonly plan: Plan;
}

/** Asks whether everything is there that must be; the application and the stragglers have ended. */
export async function judge(
  { world, ground, plan }: Judging,
  testimony: Testimony,
  ledger: Ledger,
): Promise<Judged> {
  const violations = [...testimony.twoLive, ...ledger.violations];
  const find = (sentence: string | undefined) => {
    if (sentence !== undefined) violations.push(sentence);
  };
  const { direct } = ground;
  const over = plan.phase === 'finish' || plan.phase === 'abort';
  const live = plan.phase === 'abort' || plan.phase === 'rollback' ? 'blue' : 'green';
  const old = live === 'blue' ? 'green' : 'blue';
  const acknowledged = [...testimony.acknowledged, ...ledger.acknowledged];
  if (!over) {
    await migrate(direct, 'watch', '--once', '--mapping', mappingPath);
    find(await disagreement(ground));
    find(await takenBy(direct[old], old));
    find(await missing(direct[old], old, acknowledged));
  } else {
    for (const side of ['blue', 'green'] as const) find(await traces(direct[side], side));
    if (live === 'blue') find(await rowsLeft(direct.green));
  }
  find(await missing(direct[live], live, acknowledged));
  const [sum] = await query(direct[live], money[live]);
  if (sum?.cents !== world.cents) {
    find(`money is not conserved: ${sum?.cents} cents on ${live}, ${world.cents} at first`);
  }
  const [loose] = await query(direct[live], `${broken[live]} limit 1`);
  if (loose !== undefined) find(`on ${live} something is not there that ${loose.what} needs`);
  if (acknowledged.length < acknowledgedMin) find('hardly anything was written: nothing is shown');
  if (testimony.looks < looksMin)
    find(`the witness looked ${testimony.looks} times: nothing is shown`);
  if (testimony.refused === 0) find('no straggler was ever refused: the guard was not tried');
  return {
    violations,
    acknowledged: acknowledged.length,
    refused: testimony.refused,
    looks: testimony.looks,
    turnedAway: ledger.turnedAway,
    notJudged: ledger.notJudged,
  };
}

const acknowledgedMin = 10;
const looksMin = 10;

async function missing(
  url: string,
  side: 'blue' | 'green',
  ids: readonly string[],
): Promise<string | undefined> {
  const rows = await query(url, present[side], [ids]);
  const there = new Set(rows.map(({ id }) => id));
  const lost = ids.filter((id) => !there.has(id));
  if (lost.length === 0) return undefined;
  return `${lost.length} of ${ids.length} acknowledged writes are not on ${side}: ${lost.slice(0, 3)}`;
}

async function disagreement({ direct }: Ground): Promise<string | undefined> {
  try {
    await migrate(direct, 'verify', '--mapping', mappingPath, '--workers', '2');
    return undefined;
  } catch (error) {
    return `verify: ${error instanceof Error ? error.message : error}`;
  }
}

/** The side that is not live refuses a superuser who has never heard of it. */
async function takenBy(url: string, side: 'blue' | 'green'): Promise<string | undefined> {
  try {
    await query(url, `set session_replication_role = replica; ${probe[side]}`);
    return `${side} took a write although it is not live`;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    return code === 'MG001' ? undefined : `${side} refused a write with "${code}", not MG001`;
  }
}

async function traces(url: string, side: string): Promise<string | undefined> {
  const rows = await query(
    url,
    `select t.tgname::text as name from pg_trigger t where not t.tgisinternal
     union all select n.nspname::text from pg_namespace n where n.nspname like 'migrate%'`,
  );
  if (rows.length === 0) return undefined;
  return `traces are left on ${side}: ${rows.map(({ name }) => name).join(', ')}`;
}

async function rowsLeft(url: string): Promise<string | undefined> {
  const [row] = await query(
    url,
    `select (select count(*) from person) + (select count(*) from wallet)
       + (select count(*) from wallet_state) + (select count(*) from movement) as rows`,
  );
  return Number(row?.rows) === 0 ? undefined : `abort left ${row?.rows} rows on green`;
}
