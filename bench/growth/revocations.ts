import { randomUUID } from 'node:crypto';
import { createRevocationSet, type RevocationSet } from '#server/feed/revocations.ts';
import type { Fact, Mortal, RevocationKind } from '#server/store/feed.ts';
import { startOwnPostgres } from '#server/testing/own-postgres.ts';
import { cpuSecondsOf, residentBytes } from '../measure/processes.ts';
import { cpuOf, median } from './cpu.ts';
import { operations } from './operations.ts';
import { openSubject, type Subject } from './subject.ts';

/** What many revocations cost. */
export interface Revocations {
  readonly facts: number;
  /** Of one process: its set alone. */
  readonly set: {
    readonly bytes: number;
    /** CPU to take up a page of 5,000 facts: the middle one, and the worst of the last half. */
    readonly pageMs: number;
    readonly pageMsMax: number;
    readonly checkNsEmpty: number;
    readonly checkNs: number;
    /** CPU to forget a 256th of all tables, of which half has ended: the worst. */
    readonly forgetMsMax: number;
  };
  /** Of servers side by side: without facts, with all of them, with fewer allowed. */
  readonly servers: readonly ServerCost[];
  /** Seconds from when half of them have ended until the third goes by memory again. */
  readonly recoveredSeconds: number;
}

export interface ServerCost {
  readonly name: string;
  readonly factsInMemory: number;
  /** CPU seconds of the server from its start until it was ready. */
  readonly startCpuSeconds: number;
  readonly residentMiB: number;
  /** Of server and PostgreSQL together, per introspection of an access token. */
  readonly introspectionMicros: number;
}

const kinds: readonly RevocationKind[] = [
  'token',
  'chain',
  'token',
  'sign_out',
  'token',
  'session',
  'grant',
  'subject',
];
const pageFacts = 5000;
/** Half of the facts end so long after they were written: the servers must be up by then. */
const endSecondsOf = (facts: number) => 60 + Math.round(facts / 2500);
/** What the third server may hold: fewer than all, and enough once half have ended. */
const limitShare = 0.6;

/** Measures a set in this process, and then servers over a PostgreSQL that holds so many facts. */
export async function measureRevocations(
  facts: number,
  say: (sentence: string) => void,
): Promise<Revocations> {
  const set = measureSet(facts);
  say(`set  ${JSON.stringify(set)}`);
  const postgres = await startOwnPostgres({ fsync: 'off', shared_buffers: '1GB' });
  const subjects: Subject[] = [];
  try {
    const open = async (count: number, factsMax: number) => {
      const subject = await openSubject({
        postgres,
        rows: 4000 + 2 * subjects.length,
        analyze: true,
        env: { GATEHOUSE_FACTS_MAX: String(factsMax) },
        before: (client) => writeFacts(client, count),
      });
      subjects.push(subject);
      return { subject, startCpuSeconds: cpuSecondsOf(subject.serverPid) };
    };
    const opened = [
      { name: 'no facts', ...(await open(0, facts * 2)) },
      { name: `${facts} facts`, ...(await open(facts, facts * 2)) },
      {
        name: `${facts} facts, limit ${facts * limitShare}`,
        ...(await open(facts, facts * limitShare)),
      },
    ];
    say('servers are up');
    const introspection = operations.find(({ name }) => name === 'introspection, access token');
    if (introspection === undefined) throw new Error('there is no such operation');
    const plan = { rounds: 5, count: 40, lanes: 8 };
    const cost = await cpuOf(subjects, postgres.pid(), introspection, plan);
    const servers: ServerCost[] = [];
    for (const { name, subject, startCpuSeconds } of opened) {
      servers.push({
        name,
        factsInMemory: await gauge(subject, 'gatehouse_facts_in_memory'),
        startCpuSeconds,
        residentMiB: Math.round(residentBytes(subject.serverPid) / 2 ** 20),
        introspectionMicros: cost.micros[subject.rows] ?? 0,
      });
    }
    say(`servers  ${JSON.stringify(servers)}`);
    const recoveredSeconds = await untilRecovered(subjects.at(-1));
    return { facts, set, servers, recoveredSeconds };
  } finally {
    for (const subject of subjects) await subject.close();
    await postgres.close();
  }
}

function factAt(i: number): Fact {
  const kind = kinds[i % kinds.length] ?? 'token';
  // Texts as PostgreSQL's answers bring them: flat, one piece.
  const target = Buffer.from(randomUUID()).toString('latin1');
  return { seq: i + 1, kind, target, version: 0, expiresAt: i % 2 === 0 ? 1000 : 2000 };
}

function measureSet(facts: number): Revocations['set'] {
  const pages: number[] = [];
  const set = createRevocationSet();
  const before = process.memoryUsage().arrayBuffers;
  for (let from = 0; from < facts; from += pageFacts) {
    const page = Array.from({ length: pageFacts }, (_, i) => factAt(from + i));
    pages.push(cpuMs(() => page.forEach((fact) => void set.add(fact))));
  }
  const bytes = process.memoryUsage().arrayBuffers - before;
  const checkNsEmpty = checkNs(createRevocationSet());
  const checked = checkNs(set);
  const forgotten = Array.from({ length: 256 }, () => cpuMs(() => set.forgetNext(1500)));
  return {
    bytes,
    pageMs: rounded(median(pages)),
    pageMsMax: rounded(Math.max(...pages.slice(pages.length >> 1))),
    checkNsEmpty,
    checkNs: checked,
    forgetMsMax: rounded(Math.max(...forgotten)),
  };
}

/** CPU nanoseconds of one check of a token that lives, with ids that were not asked about before. */
function checkNs(set: RevocationSet): number {
  const text = () => Buffer.from(randomUUID()).toString('latin1');
  const mortals = Array.from(
    { length: 20_000 },
    (_, i): Mortal => ({
      tokenId: text(),
      chainId: text(),
      grantId: text(),
      sessionId: text(),
      online: i % 2 === 0,
      subject: text(),
      clientId: 'app',
      loginBorn: 0,
      grantBorn: 0,
      grantVersion: 1,
    }),
  );
  const all = () => mortals.forEach((mortal) => void set.kills(mortal));
  all();
  const rounds = Array.from({ length: 7 }, () => cpuMs(all));
  return Math.round((median(rounds) / mortals.length) * 1e6);
}

function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const rounded = (ms: number) => Math.round(ms * 10) / 10;

async function writeFacts(client: Subject['superuser'], facts: number): Promise<void> {
  await client.query(
    `insert into fact (seq, kind, target, expires_at)
     select nextval('fact_seq'), ($2::text[])[1 + n % cardinality($2::text[])],
       gen_random_uuid()::text,
       now() + make_interval(secs => case when n / 8 % 2 = 0 then $3::int else 7200 end)
     from generate_series(1, $1::int) n`,
    [facts, kinds, endSecondsOf(facts)],
  );
}

/** One number of the metrics door. */
async function gauge(subject: Subject, name: string): Promise<number> {
  const { text } = await subject.deployment.admin('GET', '/admin/metrics/prometheus');
  const value = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1];
  if (value === undefined) throw new Error(`no metric ${name}`);
  return Number(value);
}

/** Asks for tokens, so that the node polls, until it holds its facts again. */
async function untilRecovered(subject: Subject | undefined): Promise<number> {
  if (subject === undefined) return 0;
  const { rows } = await subject.superuser.query<{ seconds: number }>(
    `select extract(epoch from min(f.expires_at) - now())::float8 as seconds from fact f
     where f.reason is null`,
  );
  const endsAt = performance.now() + (rows[0]?.seconds ?? 0) * 1000;
  while ((await gauge(subject, 'gatehouse_facts_over_limit')) === 1) {
    await subject.deployment.introspect('gh_at_none');
    await new Promise((resolve) => setTimeout(resolve, 200));
    if (performance.now() - endsAt > 300_000) throw new Error('it never came back to memory');
  }
  return Math.round((performance.now() - endsAt) / 100) / 10;
}
