import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { macKidOf, rotateMacKey } from '#server/testing/mac-key.ts';
import { changeRows } from '#server/testing/rows.ts';
import type { Answer, Deployment, RegisteredClient } from './deployment.ts';
import { connect, redeem, refresh, signIn, type Tokens, tokensOf } from './login-app.ts';
import { deployTwo, type TwoNodes } from './two-nodes.ts';

let two: TwoNodes;
let app: RegisteredClient;
beforeAll(async () => {
  two = await deployTwo();
  app = await two.a.register();
});
afterAll(() => two?.close());

const as = (subject: string) => ({ login: { subject } });
const someone = () => as(`user-${randomUUID()}`);

/** `count` of the same at once, over these nodes in turn. */
function atOnce(
  count: number,
  nodes: readonly Deployment[],
  work: (node: Deployment) => Promise<Answer>,
): Promise<readonly Answer[]> {
  const tries = Array.from({ length: count }, (_, i) => nodes[i % nodes.length]);
  return Promise.all(tries.flatMap((node) => (node === undefined ? [] : [work(node)])));
}

const statuses = (answers: readonly Answer[]) => [...new Set(answers.map((one) => one.status))];
const wins = (answers: readonly Answer[]) => answers.filter((one) => one.status === 200);
const errorOf = (answer: Answer) => `${answer.status} ${answer.body.error ?? ''}`;

/** Nothing of this family works any more, on either node. */
async function expectDeadFamily(client: RegisteredClient, tokens: readonly Tokens[]) {
  for (const node of two.nodes) {
    for (const { access, refresh: refreshToken } of tokens) {
      expect(await node.introspect(access)).toEqual({ active: false });
      expect((await node.userinfo(access)).status).toBe(401);
      expect(await node.introspect(refreshToken)).toEqual({ active: false });
      expect(errorOf(await refresh(node, client, refreshToken))).toBe('400 invalid_grant');
    }
  }
}

describe('security 15: 50 parallel redemptions of one code', () => {
  test('over two processes: exactly one success, and what it got is dead', async () => {
    for (let round = 0; round < 20; round += 1) {
      const signedIn = await signIn(two.a, app, someone());
      const answers = await atOnce(50, two.nodes, (node) => redeem(node, app, signedIn));
      expect(wins(answers)).toHaveLength(1);
      expect([...statuses(answers)].sort()).toEqual([200, 400]);
      if (round < 3) await expectDeadFamily(app, wins(answers).map(tokensOf));
    }
  });

  test('all in one process, so that they meet in its batches', async () => {
    for (let round = 0; round < 10; round += 1) {
      const signedIn = await signIn(two.a, app, someone());
      const answers = await atOnce(50, [two.b], (node) => redeem(node, app, signedIn));
      expect(wins(answers)).toHaveLength(1);
      expect([...statuses(answers)].sort()).toEqual([200, 400]);
    }
  });

  test('control: 50 codes of 50 people at once are all redeemed', async () => {
    const people = await Promise.all(
      Array.from({ length: 50 }, () => signIn(two.a, app, someone())),
    );
    const answers = await Promise.all(
      people.map((one, i) => redeem(two.nodes[i % 2] ?? two.a, app, one)),
    );
    expect(statuses(answers)).toEqual([200]);
  });
});

describe('security 20: 100 parallel refreshes of one token', () => {
  test('over two processes: one successor, and all callers hold it', async () => {
    for (let round = 0; round < 8; round += 1) {
      const tokens = await connect(two.a, app, someone());
      const answers = await atOnce(100, two.nodes, (node) => refresh(node, app, tokens.refresh));
      expect(statuses(answers)).toEqual([200]);
      const successors = new Set(answers.map((one) => tokensOf(one).refresh));
      expect(successors.size).toBe(1);
      const [child = ''] = successors;
      expect(child).not.toBe(tokens.refresh);
      // Every answer's access token lives, and the child refreshes at either node.
      const last = tokensOf(answers.at(-1) ?? tokens.answer);
      expect(await two.b.introspect(last.access)).toMatchObject({ active: true });
      expect((await refresh(two.nodes[round % 2] ?? two.a, app, child)).status).toBe(200);
    }
  });

  test('two generations on at once: the family goes on in one line', async () => {
    const tokens = await connect(two.a, app, someone());
    const state = { token: tokens.refresh };
    for (let generation = 1; generation <= 10; generation += 1) {
      const answers = await atOnce(10, two.nodes, (node) => refresh(node, app, state.token));
      const successors = new Set(answers.map((one) => tokensOf(one).refresh));
      expect(successors.size).toBe(1);
      [state.token = ''] = successors;
    }
  });
});

const rotate = (activeInSeconds: number) =>
  rotateMacKey(two.database.urls.server, two.masterKeyPath, activeInSeconds);

describe('R5: a rotation of the MAC key falls into the grace', () => {
  test('between the first answer and the retries: they get the same successor', async () => {
    const tokens = await connect(two.a, app, someone());
    const first = tokensOf(await refresh(two.a, app, tokens.refresh));
    const kid = await rotate(0);
    for (const node of two.nodes) {
      const state = { token: (await connect(two.a, app, someone())).refresh, tries: 0 };
      while (macKidOf(state.token) !== kid) {
        state.tries += 1;
        if (state.tries > 100) throw new Error('a node does not use the new key');
        state.token = tokensOf(await refresh(node, app, state.token)).refresh;
        await sleep(20);
      }
    }
    const answers = await atOnce(100, two.nodes, (node) => refresh(node, app, tokens.refresh));
    expect(statuses(answers)).toEqual([200]);
    expect(new Set(answers.map((one) => tokensOf(one).refresh))).toEqual(new Set([first.refresh]));
    const child = tokensOf(await refresh(two.b, app, first.refresh));
    expect([macKidOf(first.refresh) === kid, macKidOf(child.refresh)]).toEqual([false, kid]);
  });

  test('in the middle of parallel refreshes: one successor in every round', async () => {
    const kid = await rotate(1.5);
    const state = { token: (await connect(two.a, app, someone())).refresh, rounds: 0 };
    while (macKidOf(state.token) !== kid || state.rounds < 20) {
      state.rounds += 1;
      if (state.rounds > 500) throw new Error('no node uses the new key');
      const answers = await atOnce(10, two.nodes, (node) => refresh(node, app, state.token));
      expect(statuses(answers)).toEqual([200]);
      const successors = new Set(answers.map((one) => tokensOf(one).refresh));
      expect(successors.size).toBe(1);
      [state.token = ''] = successors;
    }
  });
});

describe('security 22 and 23: reuse kills the family, on every node at once', () => {
  test('a parent replayed after its child was used', async () => {
    const zero = await connect(two.a, app, someone());
    const one = tokensOf(await refresh(two.b, app, zero.refresh));
    const last = tokensOf(await refresh(two.a, app, one.refresh));
    expect(await two.b.introspect(last.access)).toMatchObject({ active: true });
    expect(errorOf(await refresh(two.b, app, zero.refresh))).toBe('400 invalid_grant');
    await expectDeadFamily(app, [zero, one, last]);
  });

  test('a parent replayed after the grace', async () => {
    const client = await two.a.register({ refresh_grace_seconds: 60 });
    const zero = await connect(two.a, client, someone());
    const one = tokensOf(await refresh(two.a, client, zero.refresh));
    const retried = tokensOf(await refresh(two.b, client, zero.refresh));
    expect(retried.refresh).toBe(one.refresh);
    await changeRows(
      two.database.urls.owner,
      `update chain set rotated_at = rotated_at - interval '61 seconds' where client_id = $1`,
      [client.id],
    );
    expect(errorOf(await refresh(two.b, client, zero.refresh))).toBe('400 invalid_grant');
    await expectDeadFamily(client, [zero, one, retried]);
  });

  test('a grace of 0 is strict: the second use kills', async () => {
    const client = await two.a.register({ refresh_grace_seconds: 0 });
    // The other node hears of it within milliseconds, so whoever was answered too early is seen now and then.
    for (let round = 0; round < 10; round += 1) {
      const zero = await connect(two.a, client, someone());
      const one = tokensOf(await refresh(two.a, client, zero.refresh));
      expect(errorOf(await refresh(two.b, client, zero.refresh))).toBe('400 invalid_grant');
      await expectDeadFamily(client, [zero, one]);
    }
  });

  test('a grace of 0, and 20 at once over two processes: never two successes', async () => {
    const client = await two.a.register({ refresh_grace_seconds: 0 });
    for (let round = 0; round < 5; round += 1) {
      const zero = await connect(two.a, client, someone());
      const answers = await atOnce(20, two.nodes, (node) => refresh(node, client, zero.refresh));
      expect(wins(answers)).toHaveLength(1);
      await expectDeadFamily(client, wins(answers).map(tokensOf));
    }
  });

  test('R5: a stranger who presents a spent token revokes nothing', async () => {
    const stranger = await two.a.register();
    const zero = await connect(two.a, app, someone());
    const one = tokensOf(await refresh(two.a, app, zero.refresh));
    const last = tokensOf(await refresh(two.a, app, one.refresh));
    expect(errorOf(await refresh(two.b, stranger, zero.refresh))).toBe('400 invalid_grant');
    expect((await refresh(two.b, app, last.refresh)).status).toBe(200);
  });
});
