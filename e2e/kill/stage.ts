import { randomUUID } from 'node:crypto';
import type { Answer, Deployment, RegisteredClient } from '../deployment.ts';
import { claimsOf, connect, halfway } from '../login-app.ts';

/** A node that lives, and apps of its deployment. */
export interface Stage {
  readonly a: Deployment;
  readonly app: RegisteredClient;
  readonly jwtApp: RegisteredClient;
  /** A statement of whoever owns the tables. */
  readonly ask: (text: string, values: readonly unknown[]) => Promise<readonly unknown[]>;
}

/** One request, and how the node that lives tells whether what it asks for has happened. */
export interface Deed {
  readonly act: (node: Deployment) => Promise<Answer>;
  /** Absent: nothing shows it, and asking again must simply work. */
  readonly happened?: () => Promise<boolean>;
}

export const someone = () => ({ login: { subject: `user-${randomUUID()}` } });
export const active = async ({ a }: Stage, token: string) =>
  (await a.introspect(token)).active === true;
export const found = async ({ a }: Stage, path: string) =>
  (await a.admin('GET', path)).status === 200;
export const ok = (answer: Answer) => answer.status === 200;

export async function hop({ a, app }: Stage, until: 'login' | 'consent'): Promise<Deed> {
  const { go } = await halfway(a, app, until, someone().login);
  return { act: (node) => go(node) };
}

/** Something is withdrawn that is on its way back: whether it is dead shows when it arrives. */
export async function onItsWay(
  stage: Stage,
  kind: 'login' | 'consent',
  act: (node: Deployment, subject: string, flowId: string) => Promise<Answer>,
): Promise<Deed> {
  const { subject, flowId, go } = await halfway(stage.a, stage.app, kind, someone().login);
  return {
    act: (node) => act(node, subject, flowId),
    async happened() {
      const { searchParams } = new URL((await go(stage.a)).headers.get('location') ?? '');
      return !searchParams.has(kind === 'login' ? 'consent_challenge' : 'code');
    },
  };
}

/** Something that a login gave is killed; `ids` are those of its chain, grant and session. */
export async function ofLogin(
  stage: Stage,
  act: (node: Deployment, ids: ReadonlyMap<string, string>) => Promise<Answer>,
) {
  const tokens = await connect(stage.a, stage.jwtApp, someone());
  const gh = Object(claimsOf(tokens.access).gh);
  const ids = new Map(Object.entries(gh).map(([name, id]) => [name, String(id)]));
  return {
    act: (node: Deployment) => act(node, ids),
    happened: async () => !(await active(stage, tokens.access)),
  };
}

export async function newCredential({ a }: Stage) {
  const name = `credential-${randomUUID()}`;
  const made = await a.admin('POST', '/admin/credentials', { name, role: 'clients' });
  return { path: `/admin/credentials/${made.body.id}`, secret: String(made.body.secret) };
}

/** Prepares one deed. */
export type Make = (stage: Stage) => Promise<Deed>;
