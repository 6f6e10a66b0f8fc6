import { randomInt } from 'node:crypto';
import type { Gatehouse } from '../deployments/gatehouse.ts';
import { openConnection } from '../driver/connection.ts';
import type { Operation } from '../driver/load.ts';
import { encoded, get } from '../driver/message.ts';
import { type App, refusalOf, type Tokens, type Visitor } from '../driver/visitor.ts';
import { patiently } from '../modes.ts';

/** Everything that apps, people and operators do, in shares of a hundred. */
const shares = {
  introspect: 35,
  refresh: 25,
  userinfo: 15,
  clientCredentials: 10,
  login: 8,
  revokeToken: 3,
  signOut: 2,
  revokeGrant: 2,
} as const;
type Act = keyof typeof shares;

/** Connected apps are kept at this number: who is revoked is replaced by the logins. */
const connectedMax = 1_000;
export const connectedAtStart = 200;

/** The mix as one operation: each checks its answer, and that what was revoked is dead. */
export interface Mix {
  readonly operation: Operation;
  /** Signs in so many people, as a beginning. */
  fill(count: number): Promise<void>;
  /** Connected apps at the moment. */
  connected(): number;
}

/** Makes a mix on these visitors, one per lane. */
export function createMix(deployment: Gatehouse, visitors: readonly Visitor[]): Mix {
  const { apps } = deployment;
  const connected: Tokens[] = [];

  // Taken out while somebody works with it: no two lanes use one refresh token.
  function take(): Tokens | undefined {
    const index = connected.length === 0 ? 0 : randomInt(connected.length);
    const taken = connected[index];
    const last = connected.pop();
    if (last !== undefined && last !== taken) connected[index] = last;
    return taken;
  }

  function giveBack(tokens: Tokens): void {
    if (connected.length < connectedMax) connected.push(tokens);
  }

  async function login(visitor: Visitor): Promise<void> {
    giveBack(await visitor.login(randomInt(2) === 0 ? apps.RS256 : apps.ES256));
  }

  async function act(what: Act, visitor: Visitor): Promise<void> {
    if (what === 'login') return login(visitor);
    if (what === 'clientCredentials') {
      await visitor.clientCredentials(apps.RS256);
      return;
    }
    const tokens = take();
    if (tokens === undefined) return login(visitor);
    if (what === 'refresh') {
      giveBack(await visitor.refresh(tokens));
      return;
    }
    if (what === 'userinfo') await visitor.userinfo(tokens);
    else if (what === 'introspect') await expectActive(visitor, tokens, true);
    else if (what === 'signOut') {
      await signOut(deployment, tokens);
      // Apps with offline_access stay connected when somebody signs out.
      await expectActive(visitor, tokens, true);
    } else {
      if (what === 'revokeToken') await visitor.revoke(tokens.app, tokens.refresh);
      else await revokeGrant(deployment, tokens);
      await expectActive(visitor, tokens, false);
      return;
    }
    giveBack(tokens);
  }

  return {
    async operation(lane) {
      const visitor = visitors[lane];
      if (visitor === undefined) return false;
      await act(draw(), visitor);
      return true;
    },
    async fill(count) {
      const queue = Array.from({ length: count }).values();
      await Promise.all(
        visitors.slice(0, 32).map(async (visitor) => {
          for (const _ of queue) await patiently(() => login(visitor));
        }),
      );
    },
    connected: () => connected.length,
  };
}

function draw(): Act {
  let left = randomInt(100);
  for (const [name, share] of Object.entries(shares)) {
    left -= share;
    if (left < 0 && isAct(name)) return name;
  }
  return 'introspect';
}

function isAct(name: string): name is Act {
  return name in shares;
}

async function expectActive(visitor: Visitor, tokens: Tokens, active: boolean): Promise<void> {
  if ((await visitor.introspect(tokens.app, tokens.access)) !== active) {
    throw new Error(active ? 'a token that lives is inactive' : 'a revoked token is active');
  }
}

/** RP-initiated logout by the ID token, without a browser's cookies. */
async function signOut({ endpoints }: Gatehouse, { id, app }: Tokens): Promise<void> {
  const connection = openConnection(endpoints.publicPort);
  const query = encoded({ id_token_hint: id, client_id: app.id });
  const answer = await connection.send(get(`/oauth2/sessions/logout?${query}`));
  connection.close();
  if (answer.status !== 303) throw refusalOf(answer, 'signing out');
}

async function revokeGrant(deployment: Gatehouse, { subject, app }: Tokens): Promise<void> {
  const query = encoded({ subject, client: app.id });
  await deployment.admin('DELETE', `/admin/oauth2/auth/sessions/consent?${query}`);
}

/** What operators do now and then: a signing key, and clients that come, change and go. */
export async function operate(deployment: Gatehouse, alg: App['alg'] | undefined): Promise<void> {
  if (alg !== undefined) {
    await deployment.admin('POST', '/admin/keys/hydra.openid.id-token', { alg, use: 'sig' });
  }
  const made = await deployment.admin('POST', '/admin/clients', { client_name: 'Passing by' });
  const path = `/admin/clients/${encodeURIComponent(String(made.client_id))}`;
  await deployment.admin('PUT', path, { ...made, client_name: 'Renamed' });
  await deployment.admin('DELETE', path);
}
