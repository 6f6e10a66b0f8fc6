import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '#server/postgres/embedded.ts';
import { drawing, tame } from './calls.ts';
import type { Form } from './form.ts';
import { formOf, forms, shapes } from './forms.ts';
import { blocksWrites } from './lock.ts';
import { type Load, openLoad } from './proof/load.ts';
import { watchWaits } from './proof/lock-waits.ts';
import { runScript, type Stage, type Trial, tryForm } from './proof/trial.ts';
import { world } from './proof/world.ts';
import { loadGrammar } from './sql.ts';

/** What nobody may wait longer for. The table is made so large that reading it takes longer. */
const lockMsMax = 50;
const scanMsMin = inject('long') ? 1_000 : 120;
/** A table eight times as large is filled, and written anew, in eight times the time. */
const [fillMsMax, formMsMax] = inject('long') ? [2_400_000, 960_000] : [300_000, 120_000];
/** A busy machine makes everything slow now and then; what is slow by itself is so every time. */
const tries = 5;
const debian = '/usr/lib/postgresql/15';
const servers = [
  { major: 18, installation: '' },
  { major: 15, installation: debian },
].filter(({ installation }) => installation === '' || existsSync(installation));
if (servers.length < 2) {
  console.warn(
    `not proven on PostgreSQL 15: ${debian} is not there (apt-get install postgresql-15)`,
  );
}

describe.for(servers)('R8: every form, under load, on PostgreSQL $major', (server) => {
  prove(server.installation, server.major);
});

function prove(installation: string, major: number): void {
  const known = forms.filter(({ since }) => since === undefined || since <= major);

  let postgres: EmbeddedPostgres;
  let dataDir = '';
  let stage: Stage;
  const report: string[] = [];
  const loads: Load[] = [];
  const clients: pg.Client[] = [];
  const connect = async (name = 'other') => {
    const client = new pg.Client({
      connectionString: postgres.urls.superuser,
      application_name: name,
    });
    client.on('error', () => {});
    await client.connect();
    clients.push(client);
    return client;
  };

  beforeAll(async () => {
    await loadGrammar();
    dataDir = await mkdtemp(join(tmpdir(), 'migrate-proof-'));
    await chmod(dataDir, 0o755);
    postgres = await startEmbeddedPostgres({
      dataDir,
      ...(installation === '' ? {} : { installation }),
      settings: {
        fsync: 'off',
        full_page_writes: 'off',
        autovacuum: 'off',
        max_parallel_workers: '0',
        allow_in_place_tablespaces: 'on',
        max_wal_size: '8GB',
      },
    });
    const actor = await connect('actor');
    const observer = await connect();
    const version = await actor.query<{ major: number }>(
      `select current_setting('server_version_num')::int / 10000 as major`,
    );
    expect(version.rows[0]?.major).toBe(major);
    await actor.query(`create tablespace elsewhere location ''`);
    await actor.query(world);
    await fill(actor);
    const load = await openLoad(
      postgres.urls.superuser,
      3,
      (n) => `update busy set n = n + 1 where id = ${1 + (n % 300)}`,
    );
    loads.push(load);
    stage = { actor, observer, elder: await connect(), load, lockMsMax };
  }, fillMsMax);
  afterAll(async () => {
    console.log(report.join('\n'));
    for (const load of loads) await load.close();
    for (const client of clients) await client.end();
    await postgres.stop();
    await rm(dataDir, { recursive: true });
  });

  const shown = shapes.filter(({ since }) => since === undefined || since <= major);
  test.for(shown)('$id: $example.sql', { timeout: formMsMax }, async (form) => {
    if (form.example.before !== undefined) await runScript(stage.actor, form.example.before);
    try {
      const trials = await judged(form);
      const [first] = trials;
      report.push(line(form, trials));
      if (form.harm !== 'fails') {
        expect(first?.error).toBeUndefined();
        expect(first?.lock).toBe(form.lock);
        const { before = '', sql, second } = form.example;
        if (form.also && (second !== undefined || /root|other/.test(before + sql))) {
          expect(first?.also, form.also.on).toBe(form.also.lock);
        }
      }
      ofHarm(form, trials);
    } finally {
      if (form.example.after !== undefined) await stage.actor.query(form.example.after);
    }
  });

  const felt = known.filter(
    ({ verdict, lock, alone, example }) =>
      verdict !== 'refused' && blocksWrites(lock) && alone !== true && example.on === undefined,
  );
  test.for(felt)(
    '$id behind a long transaction gives up in time, and writers wait no longer',
    { timeout: 60_000 },
    async (form) => {
      if (form.example.before !== undefined) await runScript(stage.actor, form.example.before);
      const long = await connect();
      await long.query('begin; update busy set n = n where id = 100000');
      try {
        const waits: number[] = [];
        for (
          let at = 0;
          at < tries && Math.min(...waits, lockMsMax * 2) > lockMsMax * 1.5;
          at += 1
        ) {
          const watch = await watchWaits(postgres.urls.superuser, 'actor');
          await stage.actor.query(`begin; set local lock_timeout = ${lockMsMax}`);
          const refused = await runScript(stage.actor, form.example.sql).catch((error) => error);
          await stage.actor.query('rollback');
          expect(refused).toMatchObject({ code: '55P03' });
          waits.push(await watch.stop());
        }
        expect(Math.min(...waits)).toBeLessThan(lockMsMax * 1.5);
      } finally {
        await long.query('rollback');
        if (form.example.after !== undefined) await stage.actor.query(form.example.after);
      }
    },
  );

  test('functions that are taken for harmless are volatile only where they are known to draw', async () => {
    const { rows } = await stage.actor.query<{ name: string }>(
      `select distinct proname::text as name from pg_proc
       where pronamespace = 'pg_catalog'::regnamespace and provolatile = 'v' and proname = any($1)`,
      [[...tame]],
    );
    expect([...drawing]).toEqual(expect.arrayContaining(rows.map(({ name }) => name)));
  });

  test('what is allowed by itself blocks as long as a scan beside what locks more: the control', async () => {
    const trials = await judged({
      ...formOf('validate-constraint'),
      verdict: 'refused',
      harm: 'blocks',
      example: {
        sql: 'alter table busy add constraint a check (n >= 0) not valid, validate constraint a',
      },
    });
    expect(trials[0]).toMatchObject({ lock: 'ACCESS EXCLUSIVE', error: undefined });
    expect(Math.max(...trials.map(({ lockWaitMs }) => lockWaitMs))).toBeGreaterThan(lockMsMax);
  });

  test('who draws numbers waits for an altered sequence until the commit: the control', async () => {
    const load = await openLoad(postgres.urls.superuser, 1, () => "select nextval('busy_numbers')");
    loads.push(load);
    await stage.actor.query('begin; alter sequence busy_numbers increment 2');
    await sleep(lockMsMax * 4);
    expect(load.longestMs()).toBeGreaterThan(lockMsMax * 2);
    await stage.actor.query('rollback');
  });

  test('without a lock timeout writers wait as long as the long transaction: the control', async () => {
    const long = await connect();
    await long.query('begin; update busy set n = n where id = 100000');
    stage.load.reset();
    const altered = stage.actor.query('begin; alter table busy add column added integer');
    await sleep(lockMsMax * 10);
    expect(stage.load.longestMs()).toBeGreaterThan(lockMsMax * 5);
    await long.query('rollback');
    await altered;
    await stage.actor.query('rollback');
  });

  async function fill(client: pg.Client): Promise<void> {
    let rows = 0;
    let scanMs = 0;
    while (scanMs < scanMsMin) {
      const more = rows === 0 ? 400_000 : rows;
      await client.query(
        `insert into other select n from generate_series(${rows + 1}, ${rows + more}) n`,
      );
      await client.query(
        `insert into busy (id, v, w, t, p, d, filled)
         select n, n, 'w' || n, 'text of row ' || n, n, n, n
         from generate_series(${rows + 1}, ${rows + more}) n`,
      );
      rows += more;
      const measured: number[] = [];
      for (let at = 0; at < tries; at += 1) {
        const begun = performance.now();
        await client.query('select count(filled) from busy');
        measured.push(performance.now() - begun);
      }
      scanMs = Math.min(...measured);
    }
    await client.query('vacuum analyze busy');
    report.push(`${rows} rows, read in ${Math.round(scanMs)} ms`);
  }

  /** Runs a form until it showed what it does: at its best where it is allowed, else at once. */
  async function judged(form: Form): Promise<readonly Trial[]> {
    const { load, example } = { load: form.example.load, example: form.example };
    const statements = {
      numbers: `select nextval('${example.on}')`,
      reads: `select id from ${example.on} limit 1`,
      // A delete locks its row like this, and the rows are to stay.
      deletes: 'select id from busy where id = 7 for update',
    };
    const reads =
      load === undefined
        ? undefined
        : await openLoad(postgres.urls.superuser, 3, () => statements[load]);
    const trials: Trial[] = [];
    try {
      for (let at = 0; at < tries; at += 1) {
        if (at > 0 && form.alone === true) {
          if (example.after !== undefined) await stage.actor.query(example.after);
          if (example.before !== undefined) await runScript(stage.actor, example.before);
        }
        const own = reads === undefined ? stage : { ...stage, load: reads };
        const trial = await tryForm(own, form);
        // The runner would come again; who was kept waiting meanwhile still counts where it would.
        const again = /deadlock|lock timeout/.test(trial.error ?? '') && at < tries - 1;
        if (again && form.verdict !== 'refused') {
          expect(trial.lockWaitMs).toBeLessThan(lockMsMax * 4);
        }
        if (again) continue;
        trials.push(trial);
        const best = Math.min(...trials.map(({ lockWaitMs }) => lockWaitMs));
        if (form.verdict === 'refused' && best > lockMsMax && form.harm !== 'breaks') break;
        const calm = best < lockMsMax;
        const blocks = form.harm === 'blocks' || form.harm === 'unjudged';
        if (calm && !blocks) break;
      }
    } finally {
      await reads?.close();
    }
    return trials;
  }

  function ofHarm(form: Form, trials: readonly Trial[]): void {
    const [first] = trials;
    const waits = trials.map(({ lockWaitMs }) => lockWaitMs);
    if (form.harm === 'blocks' || form.harm === 'unjudged') {
      expect(Math.max(...waits), 'others wait').toBeGreaterThan(lockMsMax);
      return;
    }
    expect(stage.load.failures).toEqual([]);
    if (form.harm === 'fails') expect(first?.error).toBeDefined();
    if (form.harm === 'breaks' || form.harm === 'loses') expect(first?.former).toBeDefined();
    expect(Math.min(...waits), 'others wait for us').toBeLessThan(lockMsMax);
  }

  function line({ id, verdict, lock }: Form, trials: readonly Trial[]): string {
    const waits = trials.map(({ lockWaitMs }) => Math.round(lockWaitMs)).join('/');
    const longest = trials.map(({ longestMs }) => Math.round(longestMs)).join('/');
    return `${id}: ${verdict}, ${lock}; waited ${waits} ms for it, longest statement ${longest} ms`;
  }
}
