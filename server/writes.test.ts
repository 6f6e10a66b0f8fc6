import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Mortal } from '#server/store/feed.ts';
import type { NewGrant } from '#server/store/grant.ts';
import type { NewChain } from '#server/store/redemption.ts';
import type { NewSession } from '#server/store/session.ts';
import { openTestNode, type TestNode } from '#server/testing/node.ts';
import { newAttempt, newChain, newGrant, newSession, writeLogin } from '#server/testing/records.ts';
import { createWrites, type Writes } from './writes.ts';

let here: TestNode;
let there: TestNode;
let writes: readonly [Writes, Writes];
beforeAll(async () => {
  here = await openTestNode();
  there = await openTestNode({ beside: here });
  const of = ({ node }: TestNode) => createWrites(node.database, node.metrics);
  writes = [of(here), of(there)];
});
afterAll(async () => {
  await there?.close();
  await here?.close();
});

// The model: what must live by the rules of docs/hot-path.md, in steps instead of times. 0: never.
interface Cut {
  at: number;
}
interface Row extends Cut {
  /** The id of the grant that lives, or did last. */
  id: string;
  revoked: boolean;
  loginAt: number;
  consentAt: number;
}
interface Flow {
  readonly subject: string;
  readonly clientId: string;
  readonly online: boolean;
  readonly session: NewSession;
  readonly loginAt: number;
  begun: boolean;
  ended: boolean;
  revoked: boolean;
  consent: NewGrant | undefined;
  consentAt: number;
  /** What the consent that was given last made, and when that was accepted. */
  code: Code | undefined;
  chain: Chain | undefined;
}
type Code = Pick<Chain, 'row' | 'consentAt'>;
interface Chain {
  readonly flow: Flow;
  readonly row: NewChain;
  readonly consentAt: number;
  revoked: boolean;
  generation: number;
  readonly tokens: { readonly mortal: Mortal; revoked: boolean }[];
}

function world() {
  const run = randomUUID();
  const subjects = ['ann', 'bob'].map((name) => `${name}-${run}`);
  const clients = ['app', 'api'].map((name) => `${name}-${run}`);
  const flows: Flow[] = [];
  const subjectCuts = new Map<string, Cut>(subjects.map((name) => [name, { at: 0 }]));
  const clientCuts = new Map<string, Cut>(clients.map((name) => [name, { at: 0 }]));
  const rows = new Map<string, Row>();
  const state = { step: 0, turn: 0 };
  const pick = <T>(list: readonly T[], index: number): T | undefined => list[index % list.length];
  const at = (cuts: Map<string, Cut>, name: string) => cuts.get(name)?.at ?? 0;
  const rowOf = (flow: Flow) => rows.get(`${flow.subject} ${flow.clientId}`);
  const write = () => writes[state.turn++ % 2] ?? writes[0];
  const chains = () => flows.flatMap(({ chain }) => (chain === undefined ? [] : [chain]));

  const loginLives = (flow: Flow) =>
    flow.begun && !flow.ended && !flow.revoked && at(subjectCuts, flow.subject) <= flow.loginAt;
  const rowDead = (row: Row, flow: Flow) =>
    row.revoked ||
    at(subjectCuts, flow.subject) > row.loginAt ||
    at(clientCuts, flow.clientId) > row.consentAt;
  /** What a redeemed or unredeemed code hangs from. */
  const rootsLive = (flow: Flow, { row: { grantId }, consentAt }: Code) => {
    const row = rowOf(flow);
    return (
      row !== undefined &&
      row.id === grantId &&
      !row.revoked &&
      !flow.revoked &&
      !(flow.online && flow.ended) &&
      at(subjectCuts, flow.subject) <= flow.loginAt &&
      at(clientCuts, flow.clientId) <= consentAt
    );
  };
  const chainLives = (chain: Chain) => !chain.revoked && rootsLive(chain.flow, chain);

  function mint(chain: Chain): void {
    const { id, grantId, sessionId, online, subject, clientId, loginBorn, grantBorn } = chain.row;
    const ids = { tokenId: randomUUID(), chainId: id, grantId, grantVersion: 1, sessionId };
    const mortal = { ...ids, online, subject, clientId, loginBorn, grantBorn };
    chain.tokens.push({ mortal, revoked: false });
  }

  async function login(who: number, app: number, online: boolean): Promise<void> {
    const subject = pick(subjects, who) ?? '';
    const clientId = pick(clients, app) ?? '';
    const loginBorn = await here.node.feed.born();
    flows.push({
      subject,
      clientId,
      online,
      session: newSession({ subject, clientId, loginBorn }),
      loginAt: state.step,
      begun: false,
      ended: false,
      revoked: false,
      consent: undefined,
      consentAt: 0,
      code: undefined,
      chain: undefined,
    });
  }

  async function begin(flow: Flow): Promise<void> {
    const outcome = await write().beginSession(flow.session);
    const lives = at(subjectCuts, flow.subject) <= flow.loginAt && !flow.ended && !flow.revoked;
    expect(outcome.kind, 'begin').toBe(lives ? 'live' : 'dead');
    flow.begun ||= lives;
  }

  async function consent(flow: Flow): Promise<void> {
    const grantBorn = await there.node.feed.born();
    flow.consent = newGrant(flow.session, { grantBorn });
    flow.consentAt = state.step;
    flow.code = undefined;
  }

  async function give(flow: Flow): Promise<void> {
    if (flow.consent === undefined) return;
    const outcome = await write().giveGrant({ ...flow.consent, id: randomUUID() });
    const before = rowOf(flow);
    const allowed =
      loginLives(flow) &&
      at(clientCuts, flow.clientId) <= flow.consentAt &&
      (before?.at ?? 0) <= flow.consentAt;
    const expected = flow.chain !== undefined ? 'redeemed' : allowed ? 'granted' : 'dead';
    expect(outcome.kind, 'give').toBe(expected);
    if (outcome.kind !== 'granted') return;
    const dead = before === undefined || rowDead(before, flow);
    expect(outcome.id === before?.id, 'a dead grant comes back under a new id only').toBe(!dead);
    rows.set(`${flow.subject} ${flow.clientId}`, {
      id: outcome.id,
      revoked: false,
      at: before?.at ?? 0,
      loginAt: Math.max(flow.loginAt, dead ? 0 : before.loginAt),
      consentAt: Math.max(flow.consentAt, dead ? 0 : before.consentAt),
    });
    const code = newChain({ ...flow.consent, id: outcome.id }, { online: flow.online });
    flow.code = { row: code, consentAt: flow.consentAt };
  }

  async function redeem(flow: Flow): Promise<void> {
    if (flow.code === undefined) return;
    const { consentAt } = flow.code;
    const row = { ...flow.code.row, attempt: randomUUID() };
    const outcome = await write().redeem(row);
    const lives = rootsLive(flow, flow.code);
    const expected = flow.chain !== undefined ? 'replayed' : lives ? 'redeemed' : 'dead';
    expect(outcome, 'redeem').toBe(expected);
    if (outcome === 'replayed' && flow.chain !== undefined) await revokeChain(flow.chain);
    if (outcome !== 'redeemed') return;
    flow.chain = { flow, row, consentAt, revoked: false, generation: 0, tokens: [] };
    mint(flow.chain);
  }

  async function refresh(chain: Chain, back: number): Promise<void> {
    const generation = Math.max(0, chain.generation - back);
    const outcome = await write().refresh(newAttempt(chain.row, { generation }));
    const spent = chain.generation - generation;
    const expected = !chainLives(chain) ? 'dead' : spent > 1 ? 'reused' : 'refreshed';
    expect(outcome.kind, 'refresh').toBe(expected);
    if (outcome.kind === 'reused') await revokeChain(chain);
    if (outcome.kind !== 'refreshed') return;
    expect(outcome.chain.generation).toBe(generation + 1);
    chain.generation = generation + 1;
    mint(chain);
  }

  const tell = (
    kind: 'token' | 'chain' | 'grant' | 'session' | 'sign_out' | 'subject' | 'client',
  ) => {
    return (target: string) => write().revoke({ kind, target, reason: 'test', expiresAt: null });
  };

  async function revokeChain(chain: Chain): Promise<void> {
    await tell('chain')(chain.row.id);
    chain.revoked = true;
  }

  async function revoke(kind: RevokedKind, index: number): Promise<void> {
    const flow = pick(flows, index);
    const chain = pick(chains(), index);
    const token = chain && pick(chain.tokens, index);
    if (kind === 'subject') {
      const subject = pick(subjects, index) ?? '';
      await tell(kind)(subject);
      subjectCuts.set(subject, { at: state.step });
    } else if (kind === 'client') {
      const clientId = pick(clients, index) ?? '';
      await tell(kind)(clientId);
      clientCuts.set(clientId, { at: state.step });
    } else if (kind === 'token' && token !== undefined) {
      await tell(kind)(token.mortal.tokenId);
      token.revoked = true;
    } else if (kind === 'chain' && chain !== undefined) await revokeChain(chain);
    else if (kind === 'grant') {
      const row = pick([...rows.values()], index);
      if (row === undefined || row.revoked) return;
      await tell(kind)(row.id);
      Object.assign(row, { revoked: true, at: state.step });
    } else if (kind === 'session' && flow?.begun) {
      await tell(kind)(flow.session.id);
      Object.assign(flow, { ended: true, revoked: true });
    } else if (kind === 'sign_out' && flow?.begun) {
      await tell(kind)(flow.session.id);
      flow.ended = true;
    }
  }

  /** Both nodes agree with the model on every access token, and the rows on every chain. */
  async function judgeAll(): Promise<void> {
    for (const { node } of [here, there]) {
      await node.feed.born();
      for (const chain of chains()) {
        for (const { mortal, revoked } of chain.tokens) {
          const lives = !revoked && chainLives(chain);
          expect(await node.feed.isDead(mortal), 'an access token is dead').toBe(!lives);
        }
      }
    }
    for (const chain of chains()) await refresh(chain, 0);
    for (const flow of flows) await redeem(flow);
  }

  return {
    async take(step: Step): Promise<void> {
      state.step += 1;
      const flow = pick(flows, step.index);
      const chain = pick(chains(), step.index);
      if (step.do === 'login') await login(step.index, step.more, step.more % 3 === 0);
      else if (step.do === 'begin' && flow) await begin(flow);
      else if (step.do === 'consent' && flow) await consent(flow);
      else if (step.do === 'give' && flow) await give(flow);
      else if (step.do === 'redeem' && flow) await redeem(flow);
      else if (step.do === 'ask' || step.do === 'connect') {
        await login(step.index, step.more, step.more % 3 === 0);
        const newest = flows.at(-1);
        if (newest === undefined) return;
        await begin(newest);
        await consent(newest);
        await give(newest);
        if (step.do === 'connect') await redeem(newest);
      } else if (step.do === 'refresh' && chain) await refresh(chain, step.more % 3);
      else if (step.do === 'revoke') {
        await revoke(revokedKinds[step.more % revokedKinds.length] ?? 'subject', step.index);
      }
    },
    judgeAll,
  };
}

const revokedKinds = [
  'token',
  'chain',
  'grant',
  'session',
  'sign_out',
  'subject',
  'client',
] as const;
type RevokedKind = (typeof revokedKinds)[number];

interface Step {
  readonly do: string;
  readonly index: number;
  readonly more: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  do: fc.constantFrom(
    ...['login', 'begin', 'consent', 'give', 'redeem', 'refresh', 'refresh', 'refresh'],
    ...['ask', 'ask', 'connect', 'connect', 'revoke', 'revoke', 'revoke', 'revoke'],
  ),
  index: fc.noBias(fc.nat(20)),
  more: fc.noBias(fc.nat(20)),
});

test('R4: no order of operations, on two nodes, lets a revoked thing be active again', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
      const { take, judgeAll } = world();
      for (const one of steps) await take(one);
      await judgeAll();
    }),
    { numRuns: 30 },
  );
}, 120_000);

test.each([[['session', 'sign_out'] as const], [['sign_out', 'session'] as const]])(
  'R4: a login that is revoked and signed out at the same moment is revoked: %j',
  async (kinds) => {
    const [at] = writes;
    const { session, chain } = await writeLogin(here.node.database);
    const end = (kind: 'session' | 'sign_out') =>
      at.revoke({ kind, target: session.id, reason: 'test', expiresAt: null });
    await Promise.all(kinds.map(end));
    expect(await at.refresh(newAttempt(chain))).toEqual({ kind: 'dead' });
  },
);
