import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '#server/config/config.ts';
import {
  failpointMoments,
  failpointNames,
  failpointStatements,
  readFailpoint,
} from '#server/config/failpoint.ts';
import { DatabaseUnavailable, type Statement } from '#server/store/database.ts';
import { armFailpoints, withFailpoints } from './failpoints.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const statement: Statement = { name: 'redeem', text: 'insert into chain (id) values ($1)' };

/** A database that notes what reaches it. */
function recorder() {
  const ran: string[] = [];
  return {
    ran,
    query: async ({ name }: Statement) => {
      ran.push(name);
      return [];
    },
  };
}

async function failed(given: string): Promise<{ lost: boolean | undefined; ran: number }> {
  const database = recorder();
  const armed = withFailpoints(database, armFailpoints([given]));
  const outcome = await armed.query(statement).then(
    () => undefined,
    (error: unknown) => error,
  );
  const lost = outcome instanceof DatabaseUnavailable ? outcome.answerLost : undefined;
  return { lost, ran: database.ran.length };
}

describe('a failpoint', () => {
  test('before: nothing was sent; sent and after: the answer is lost', async () => {
    expect(await failed('redeem.before=error')).toEqual({ lost: false, ran: 0 });
    expect(await failed('redeem.sent=error')).toEqual({ lost: true, ran: 1 });
    expect(await failed('redeem.after=error')).toEqual({ lost: true, ran: 1 });
    expect(await failed('refresh.after=error')).toEqual({ lost: undefined, ran: 1 });
  });

  test('at the visit that is named, and at no other', async () => {
    const armed = withFailpoints(recorder(), armFailpoints(['redeem.after=error@2']));
    const outcomes: boolean[] = [];
    for (let visit = 1; visit <= 3; visit += 1) {
      outcomes.push(
        await armed.query(statement).then(
          () => true,
          () => false,
        ),
      );
    }
    expect(outcomes).toEqual([true, false, true]);
  });

  test('a probability is one: never at a billionth, always at 1', async () => {
    expect((await failed('redeem.before=error%.000000001')).lost).toBeUndefined();
    expect((await failed('redeem.before=error%1')).lost).toBe(false);
  });

  test('sleeps, and goes on', async () => {
    const begun = performance.now();
    expect(await failed('redeem.after=sleep:60')).toEqual({ lost: undefined, ran: 1 });
    expect(performance.now() - begun).toBeGreaterThan(50);
  });

  test('kill is SIGKILL to the process itself', async () => {
    const program = `import { armFailpoints } from '#server/failpoints.ts';
      await armFailpoints(['redeem.after=kill'])?.reach('redeem.after', true);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { cwd: root });
    const signal = await new Promise((resolve) => child.once('exit', (_, by) => resolve(by)));
    expect(signal).toBe('SIGKILL');
  });

  test('none armed: the database is the one that was given', () => {
    const database = recorder();
    expect(withFailpoints(database, armFailpoints([]))).toBe(database);
  });
});

describe('GATEHOUSE_INSECURE_FAILPOINTS', () => {
  const load = (given: string) =>
    loadConfig({ env: { GATEHOUSE_INSECURE_FAILPOINTS: given }, readFile: () => '' });

  test('reads a list', () => {
    expect(load('redeem.after=kill@3, answer.token=sleep:50%0.1').insecureFailpoints).toEqual([
      'redeem.after=kill@3',
      'answer.token=sleep:50%0.1',
    ]);
    expect(readFailpoint('refresh.sent=sleep:5@2')).toEqual({
      name: 'refresh.sent',
      action: { does: 'sleep', ms: 5 },
      visit: 2,
      probability: 1,
    });
  });

  test('refuses a name that there is not, with the list of names', () => {
    expect(() => load('redem.after=kill')).toThrow(/must name one of: session_begin\.before/);
  });

  test.each(['redeem.after', 'redeem.after=explode', 'redeem.after=kill@0', 'redeem.after=kill%2'])(
    'refuses %s, and says how it is written',
    (given) => expect(() => load(given)).toThrow(/must be name=kill/),
  );
});

/** The names of statements in our sources that write rows. */
function writingStatements(): readonly string[] {
  const files = readdirSync(`${root}server`, { recursive: true, encoding: 'utf8' });
  const sources = files.filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'));
  return sources.flatMap((file) => {
    const text = readFileSync(`${root}server/${file}`, 'utf8');
    const written = [...text.matchAll(/name: '(\w+)',\s+text: `([^`]*)`/g)].flatMap(
      ([, name = '', sql]) =>
        /\b(insert into|update \w+|update "grant"|delete from)/.test(sql ?? '') ? [name] : [],
    );
    // Statements that differ in a few words are made by a function.
    const made = [
      ...text.matchAll(/= cutUnderWay\('(\w+)'/g),
      ...text.matchAll(/name: '(\w+)',\s+text: overById\(/g),
    ].map(([, name = '']) => name);
    return [...written, ...made];
  });
}

describe('every failpoint', () => {
  // Commands of the operator have connections of their own, without failpoints.
  const byCommandsOnly = ['identity_user_set_password', 'identity_user_set_disabled'];

  test('stands at a statement that writes, and every such statement has them', () => {
    const found = writingStatements().filter((name) => !byCommandsOnly.includes(name));
    expect([...found].sort()).toEqual(Object.keys(failpointStatements).sort());
  });

  test('is documented', () => {
    const page = readFileSync(`${root}docs/failpoints.md`, 'utf8');
    for (const name of failpointNames) {
      const [statementName = '', moment = ''] = name.split('.');
      const shown = Object.hasOwn(failpointMoments, moment) ? statementName : name;
      expect(page).toContain(`\`${shown}\``);
    }
  });
});
