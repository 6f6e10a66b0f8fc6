import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, openBrowser } from '../../e2e/deployment.ts';
import {
  authorizationParameters,
  authorizationUrl,
  connect,
  newPkce,
  redeem,
  refresh,
  signIn,
  tokensOf,
  travel,
} from '../../e2e/login-app.ts';
import type { SeededFlow } from './seed.ts';
import type { Subject } from './subject.ts';

/** Something that a deployment does many times a day, on rows spread over its tables. */
export interface Operation {
  readonly name: string;
  /** How often each prepared run is repeated where CPU is measured; 0: it is not measured. */
  readonly repeat: number;
  /** Makes ready what `count` runs need; not counted. */
  readonly prepare: (subject: Subject, count: number) => Promise<readonly (() => Promise<void>)[]>;
}

/**
 * A machine that others use as well may answer late: a 503 is asked again, anything else is a fault.
 * On the way through a browser it leaves a journey without its code.
 */
export async function patiently<T>(run: () => Promise<T>): Promise<T> {
  const triesMax = 20;
  for (let tries = 1; ; tries++) {
    try {
      return await run();
    } catch (error) {
      const isLate =
        error instanceof Error &&
        /503 |temporarily_unavailable|code is missing/.test(error.message);
      if (!isLate || tries === triesMax) throw error;
      await sleep(250);
    }
  }
}

const offline = 'openid offline_access';

/** For each of the next seeded logins, something to run. */
const overFlows =
  (run: (subject: Subject, flow: SeededFlow) => Promise<void>): Operation['prepare'] =>
  async (subject, count) =>
    (await subject.flows(count)).map((flow) => () => run(subject, flow));

/** The same, with something made ready for each. */
const overPrepared =
  <Ready>(
    make: (subject: Subject, flow: SeededFlow) => Promise<Ready>,
    run: (subject: Subject, ready: Ready, flow: SeededFlow) => Promise<void>,
  ): Operation['prepare'] =>
  async (subject, count) => {
    const runs: (() => Promise<void>)[] = [];
    for (const flow of await subject.flows(count)) {
      const ready = await patiently(() => make(subject, flow));
      runs.push(() => run(subject, ready, flow));
    }
    return runs;
  };

function expectStatus(answer: Answer, status: number): Answer {
  if (answer.status !== status) throw new Error(`${answer.status} ${answer.text.slice(0, 300)}`);
  return answer;
}

const appOf = (subject: Subject, flow: SeededFlow) => subject.client(flow.clientId);

async function refreshed(subject: Subject, flow: SeededFlow) {
  const { deployment } = subject;
  return tokensOf(await refresh(deployment, appOf(subject, flow), subject.refreshToken(flow)));
}

async function revokeBy(subject: Subject, body: Readonly<Record<string, string>>): Promise<void> {
  expectStatus(await subject.deployment.admin('POST', '/admin/revocations', body), 200);
}

const sessions = '/admin/oauth2/auth/sessions';

/** In this order: the last ones kill what the first ones live from. */
export const operations: readonly Operation[] = [
  {
    name: 'login, a new person',
    repeat: 1,
    prepare: async (subject, count) =>
      Array.from({ length: count }, () => async () => {
        const login = { subject: `new-${randomUUID()}` };
        await connect(subject.deployment, subject.client(), { login });
      }),
  },
  {
    name: 'login, a person of old',
    repeat: 1,
    prepare: overFlows(async (subject, flow) => {
      const login = { subject: flow.subject };
      await connect(subject.deployment, appOf(subject, flow), { login });
    }),
  },
  {
    name: 'login, remembered',
    repeat: 0,
    prepare: overPrepared(
      async (subject, flow) => {
        const browser = openBrowser();
        await connect(subject.deployment, appOf(subject, flow), {
          browser,
          login: { subject: flow.subject, remember: true, remember_for: 3600 },
          consent: { grant_scope: offline.split(' '), remember: true },
        });
        return browser;
      },
      async (subject, browser, flow) => {
        const again = { browser, login: { subject: flow.subject } };
        await connect(subject.deployment, appOf(subject, flow), again);
      },
    ),
  },
  {
    name: 'redemption',
    repeat: 1,
    prepare: overPrepared(
      (subject, flow) =>
        signIn(subject.deployment, appOf(subject, flow), { login: { subject: flow.subject } }),
      async (subject, signedIn, flow) => {
        expectStatus(await redeem(subject.deployment, appOf(subject, flow), signedIn), 200);
      },
    ),
  },
  {
    name: 'refresh',
    repeat: 1,
    prepare: overFlows(async (subject, flow) => {
      await refreshed(subject, flow);
    }),
  },
  {
    name: 'introspection, access token',
    repeat: 8,
    prepare: overPrepared(refreshed, async (subject, tokens) => {
      const said = await subject.deployment.introspect(tokens.access);
      if (said.active !== true) throw new Error(`not active: ${JSON.stringify(said)}`);
    }),
  },
  {
    name: 'introspection, refresh token',
    repeat: 5,
    prepare: overFlows(async (subject, flow) => {
      const said = await subject.deployment.introspect(subject.refreshToken(flow));
      if (said.active !== true) throw new Error(`not active: ${JSON.stringify(said)}`);
    }),
  },
  {
    name: 'userinfo',
    repeat: 8,
    prepare: overPrepared(refreshed, async (subject, tokens) => {
      expectStatus(await subject.deployment.userinfo(tokens.access), 200);
    }),
  },
  {
    name: 'client credentials',
    repeat: 5,
    prepare: async (subject, count) =>
      Array.from({ length: count }, () => async () => {
        const form = { grant_type: 'client_credentials', scope: 'api.read' };
        const client = subject.client();
        expectStatus(await subject.deployment.postAs(client, '/oauth2/token', form), 200);
      }),
  },
  {
    name: 'consents of a person',
    repeat: 5,
    prepare: overFlows(async (subject, flow) => {
      const path = `${sessions}/consent?subject=${flow.subject}`;
      const { list } = expectStatus(await subject.deployment.admin('GET', path), 200);
      if (list.length < 2) throw new Error(`${list.length} consents instead of two`);
    }),
  },
  {
    name: 'sign out by the app',
    repeat: 0,
    prepare: overPrepared(
      (subject, flow) =>
        connect(subject.deployment, appOf(subject, flow), { login: { subject: flow.subject } }),
      async (subject, signedIn) => {
        const { deployment } = subject;
        const url = `${deployment.server.publicUrl}/oauth2/sessions/logout?id_token_hint=${signedIn.id}`;
        await travel(deployment, signedIn.browser, await signedIn.browser.get(url));
      },
    ),
  },
  {
    name: 'revocation, access token',
    repeat: 0,
    prepare: overPrepared(refreshed, async (subject, tokens, flow) => {
      const { deployment } = subject;
      const form = { token: tokens.access };
      expectStatus(await deployment.postAs(appOf(subject, flow), '/oauth2/revoke', form), 200);
    }),
  },
  {
    name: 'revocation, refresh token',
    repeat: 0,
    prepare: overFlows(async (subject, flow) => {
      const { deployment } = subject;
      const form = { token: subject.refreshToken(flow) };
      expectStatus(await deployment.postAs(appOf(subject, flow), '/oauth2/revoke', form), 200);
    }),
  },
  {
    name: 'replay of a code',
    repeat: 0,
    prepare: overPrepared(
      (subject, flow) =>
        connect(subject.deployment, appOf(subject, flow), { login: { subject: flow.subject } }),
      async (subject, signedIn, flow) => {
        expectStatus(await redeem(subject.deployment, appOf(subject, flow), signedIn), 400);
      },
    ),
  },
  {
    name: 'revocation, chain',
    repeat: 0,
    prepare: overFlows((subject, flow) => revokeBy(subject, { chain: flow.id })),
  },
  {
    name: 'revocation, consent by its request',
    repeat: 0,
    prepare: overFlows(async (subject, flow) => {
      const path = `${sessions}/consent?consent_request_id=${flow.id}`;
      expectStatus(await subject.deployment.admin('DELETE', path), 204);
    }),
  },
  {
    name: 'revocation, consents of a person',
    repeat: 0,
    prepare: overFlows(async (subject, flow) => {
      const path = `${sessions}/consent?subject=${flow.subject}&all=true`;
      expectStatus(await subject.deployment.admin('DELETE', path), 204);
    }),
  },
  {
    name: 'revocation, grant',
    repeat: 0,
    prepare: overFlows((subject, flow) => revokeBy(subject, { grant: flow.grantId })),
  },
  {
    name: 'narrowing of a grant',
    repeat: 0,
    prepare: overFlows(async (subject, flow) => {
      const path = `/admin/grants/${flow.grantId}/narrow`;
      expectStatus(await subject.deployment.admin('POST', path, { scope: 'openid' }), 200);
    }),
  },
  {
    name: 'sign out by an administrator',
    repeat: 0,
    prepare: overFlows(async (subject, flow) => {
      const path = `${sessions}/login?subject=${flow.subject}`;
      expectStatus(await subject.deployment.admin('DELETE', path), 204);
    }),
  },
  {
    name: 'revocation, session',
    repeat: 0,
    prepare: overFlows((subject, flow) => revokeBy(subject, { session: flow.id })),
  },
  {
    name: 'revocation, subject',
    repeat: 0,
    prepare: overFlows((subject, flow) => revokeBy(subject, { subject: flow.subject })),
  },
  {
    name: 'revocation, client',
    repeat: 0,
    prepare: async (subject, count) =>
      Array.from({ length: count }, (_, i) => async () => {
        await revokeBy(subject, { client_id: `seeded-${i + 1}` });
      }),
  },
  {
    name: 'login after a revocation',
    repeat: 0,
    prepare: overPrepared(
      (subject, flow) => revokeBy(subject, { subject: flow.subject }),
      async (subject, _ready, flow) => {
        const url = authorizationUrl(
          subject.deployment,
          authorizationParameters(appOf(subject, flow), newPkce()),
        );
        const browser = openBrowser();
        await travel(subject.deployment, browser, await browser.get(url), {
          login: { subject: flow.subject },
        });
      },
    ),
  },
];
