import { setTimeout as sleep } from 'node:timers/promises';
import type { Deployment } from './deployments/deployment.ts';
import type { Operation } from './driver/load.ts';
import { type App, type Tokens, Unavailable, type Visitor } from './driver/visitor.ts';

/** One kind of operation that is measured. */
export interface Mode {
  readonly name: ModeName;
  readonly about: string;
  /** Operations per core-second, server and PostgreSQL together; what is asked, then wished. */
  readonly goal?: { readonly asked: number; readonly wished: number };
  /** Operations of each process before anything is measured: its code is compiled by then. */
  readonly warmOperations: number;
  /** Makes what the operations need; not measured. */
  prepare(deployment: Deployment, visitors: readonly Visitor[], extent: Extent): Promise<Prepared>;
}

/** How much will be measured at most. */
export interface Extent {
  readonly seconds: number;
  readonly operationsMax: number | undefined;
}

/** Ready to be measured. */
export interface Prepared {
  readonly operation: Operation;
  /** Afterwards, not measured: throws where what was done did not hold. */
  check?(): Promise<void>;
}

export const modeNames = [
  'login',
  'login-ES256',
  'cc',
  'refresh',
  'refresh-ES256',
  'introspect',
  'userinfo',
  'revoke',
] as const;
export type ModeName = (typeof modeNames)[number];

/** Introspection looks at many tokens, so that remembering the last answer wins nothing. */
const tokensIntrospected = 2_000;
/** A revocation answers 52 ms after its commit: 32 in flight are at most 615 a second. */
const revocationsPerSecondMax = 620;
const revocationsMax = 12_000;

/** All modes, in the order of tables. */
export const modes: readonly Mode[] = [
  {
    name: 'login',
    about: 'a whole first login: six requests, consent, refresh token, ID token by RS256',
    goal: { asked: 700, wished: 900 },
    warmOperations: 4_000,
    prepare: async ({ apps }, visitors) => logins(apps.RS256, visitors),
  },
  {
    name: 'login-ES256',
    about: 'the same, ID token by ES256',
    goal: { asked: 1_000, wished: 1_500 },
    warmOperations: 1_500,
    prepare: async ({ apps }, visitors) => logins(apps.ES256, visitors),
  },
  {
    name: 'cc',
    about: 'client credentials: one access token',
    goal: { asked: 2_000, wished: 5_000 },
    warmOperations: 4_000,
    prepare: async ({ apps }, visitors) => ({
      operation: async (lane) => {
        await at(visitors, lane).clientCredentials(apps.RS256);
        return true;
      },
    }),
  },
  {
    name: 'refresh',
    about: 'refresh with rotation, ID token by RS256',
    goal: { asked: 1_200, wished: 1_500 },
    warmOperations: 3_000,
    prepare: ({ apps }, visitors) => refreshes(apps.RS256, visitors),
  },
  {
    name: 'refresh-ES256',
    about: 'the same, ID token by ES256',
    goal: { asked: 2_000, wished: 3_000 },
    warmOperations: 1_500,
    prepare: ({ apps }, visitors) => refreshes(apps.ES256, visitors),
  },
  {
    name: 'introspect',
    about: 'introspection of an access token',
    goal: { asked: 4_500, wished: 10_000 },
    warmOperations: 5_000,
    prepare: ({ apps }, visitors) => introspections(apps.RS256, visitors),
  },
  {
    name: 'userinfo',
    about: 'userinfo',
    warmOperations: 4_000,
    prepare: ({ apps }, visitors) => userinfos(apps.ES256, visitors),
  },
  {
    name: 'revoke',
    about: 'revocation of an access token, acknowledged on every node',
    warmOperations: 300,
    prepare: ({ apps, processes }, visitors, { seconds, operationsMax = revocationsMax }) => {
      const wanted = Math.ceil(revocationsPerSecondMax * processes * seconds);
      return revocations(apps.RS256, visitors, Math.min(operationsMax, revocationsMax, wanted));
    },
  },
];

/** The mode of that name. */
export function modeOf(name: ModeName): Mode {
  const found = modes.find((mode) => mode.name === name);
  if (found === undefined) throw new Error(`there is no mode ${name}`);
  return found;
}

/** Lanes that prepare at the same time. */
const preparing = 32;
const triesMax = 20;
const pauseMs = 200;

function logins(app: App, visitors: readonly Visitor[]): Prepared {
  return {
    operation: async (lane) => {
      await at(visitors, lane).login(app);
      return true;
    },
  };
}

async function refreshes(app: App, visitors: readonly Visitor[]): Promise<Prepared> {
  const tokens = await eachLane(visitors, (visitor) => visitor.login(app));
  return {
    operation: async (lane) => {
      tokens[lane] = await at(visitors, lane).refresh(at(tokens, lane));
      return true;
    },
  };
}

async function userinfos(app: App, visitors: readonly Visitor[]): Promise<Prepared> {
  const tokens: Tokens[] = await eachLane(visitors, (visitor) => visitor.login(app));
  return {
    operation: async (lane) => {
      await at(visitors, lane).userinfo(at(tokens, lane));
      return true;
    },
  };
}

async function introspections(app: App, visitors: readonly Visitor[]): Promise<Prepared> {
  const tokens = await manyTokens(app, visitors, tokensIntrospected);
  let next = 0;
  return {
    operation: async (lane) => {
      const token = at(tokens, next++ % tokens.length);
      if (!(await at(visitors, lane).introspect(app, token))) {
        throw new Error('a token that lives is said to be inactive');
      }
      return true;
    },
  };
}

async function revocations(
  app: App,
  visitors: readonly Visitor[],
  count: number,
): Promise<Prepared> {
  const tokens = await manyTokens(app, visitors, count);
  let next = 0;
  const [first] = tokens;
  if (first === undefined || !(await at(visitors, 0).introspect(app, first))) {
    throw new Error('a token is inactive before it is revoked');
  }
  return {
    async operation(lane) {
      const token = tokens[next++];
      if (token === undefined) return false;
      await at(visitors, lane).revoke(app, token);
      return true;
    },
    async check() {
      const revoked = tokens.slice(0, next);
      await shared(visitors, revoked, async (visitor, token) => {
        if (await visitor.introspect(app, token)) throw new Error('a revoked token is active');
      });
    },
  };
}

function eachLane<T>(
  visitors: readonly Visitor[],
  make: (visitor: Visitor) => Promise<T>,
): Promise<T[]> {
  return Promise.all(visitors.map((visitor) => patiently(() => make(visitor))));
}

async function manyTokens(
  app: App,
  visitors: readonly Visitor[],
  count: number,
): Promise<readonly string[]> {
  const tokens: string[] = [];
  await shared(visitors, Array.from({ length: count }), async (visitor) => {
    tokens.push(await visitor.clientCredentials(app));
  });
  return tokens;
}

/** Asks again where an overloaded server says 503: nothing is measured here. */
export async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof Unavailable) || tries >= triesMax) throw error;
      await sleep(pauseMs);
    }
  }
}

/** Does something for each item, some at a time. */
async function shared<Item>(
  visitors: readonly Visitor[],
  items: readonly Item[],
  work: (visitor: Visitor, item: Item) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  await Promise.all(
    visitors.slice(0, preparing).map(async (visitor) => {
      for (const item of queue) await patiently(() => work(visitor, item));
    }),
  );
}

function at<Item>(list: readonly Item[], index: number): Item {
  const found = list[index];
  if (found === undefined) throw new Error(`there is no lane ${index}`);
  return found;
}
