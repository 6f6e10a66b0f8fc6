import { Hono } from 'hono';
import { clientIdCharsMax } from '#core/client-field.ts';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import { adminRefusalAnswer } from '#server/http/admin/authentication.ts';
import { pageLinks, pageOf } from '#server/http/admin/page.ts';
import { type Ctx, type Env, json, noStore } from '#server/http/frame/answer.ts';
import type { Node } from '#server/node.ts';
import {
  type StandingGrant,
  type StandingSession,
  standingGrant,
  standingGrants,
  standingKeys,
  standingSessions,
} from '#server/store/standing.ts';

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

type Stored = Pick<Node, 'database'>;

/** How things stand, for operators: grants, logins and keys, dead or alive. Nothing is changed here. */
export function standingRoutes(node: Stored): Hono<Env> {
  return new Hono<Env>()
    .get('/admin/grants', async (c) => answerOf(await grants(node, c)))
    .get('/admin/grants/:id', async (c) => answerOf(await grant(node, c.req.param('id'))))
    .get('/admin/sessions', async (c) => answerOf(await sessions(node, c)))
    .get('/admin/keys', async () => json(200, (await standingKeys(node.database)).map(keyOf)));
}

async function grants({ database }: Stored, c: Ctx): Promise<Response | Refusal> {
  const subject = asked(c, 'subject');
  if (isRefusal(subject)) return subject;
  const clientId = asked(c, 'client_id');
  if (isRefusal(clientId)) return clientId;
  if (subject.text === '') return refuse('missing_parameter', 'subject is missing.');
  const page = pageOf(c);
  if (isRefusal(page)) return page;
  const found = await standingGrants(
    database,
    subject.text,
    clientId.text || null,
    page.after,
    page.size + 1,
  );
  const shown = found.slice(0, page.size);
  const next = found.length > page.size ? shown.at(-1)?.clientId : undefined;
  return json(200, shown.map(grantOf), { ...noStore, link: pageLinks(c, page, next) });
}

async function grant({ database }: Stored, asId: string): Promise<Response | Refusal> {
  const id = asId.toLowerCase();
  const found = uuid.test(id) ? await standingGrant(database, id) : undefined;
  return found === undefined
    ? refuse('not_found', 'There is no such grant.')
    : json(200, grantOf(found));
}

async function sessions({ database }: Stored, c: Ctx): Promise<Response | Refusal> {
  const subject = asked(c, 'subject');
  if (isRefusal(subject)) return subject;
  if (subject.text === '') return refuse('missing_parameter', 'subject is missing.');
  const page = pageOf(c);
  if (isRefusal(page)) return page;
  if (page.after !== '' && !uuid.test(page.after)) {
    return refuse('invalid_parameter', 'page_token is not one that a listing has given');
  }
  const found = await standingSessions(database, subject.text, page.after || null, page.size + 1);
  const shown = found.slice(0, page.size);
  const next = found.length > page.size ? shown.at(-1)?.id : undefined;
  return json(200, shown.map(sessionOf), { ...noStore, link: pageLinks(c, page, next) });
}

/** A parameter that PostgreSQL can compare; '' where it is absent. */
function asked(c: Ctx, name: string): { readonly text: string } | Refusal {
  const text = c.req.query(name) ?? '';
  return text.length > clientIdCharsMax || text.includes('\0')
    ? refuse('invalid_parameter', `${name} must have 1 to ${clientIdCharsMax} characters`)
    : { text };
}

function grantOf(found: StandingGrant): object {
  return {
    grant_id: found.id,
    subject: found.subject,
    client_id: found.clientId,
    state: found.state,
    scope: found.scope.join(' '),
    audience: found.audience,
    version: found.version,
    session_id: found.sessionId,
    remember: found.remember,
    created_at: found.createdAt,
    handled_at: found.handledAt,
  };
}

function sessionOf(found: StandingSession): object {
  return {
    session_id: found.id,
    subject: found.subject,
    state: found.state,
    authenticated_at: found.authenticatedAt,
    expires_at: found.expiresAt,
    remember: found.remember,
    acr: found.acr,
    amr: found.amr,
  };
}

function keyOf(found: Awaited<ReturnType<typeof standingKeys>>[number]): object {
  const { setName, kid, alg, use, activeAt, retiredAt, state } = found;
  return { set: setName, kid, alg, use, state, active_at: activeAt, retired_at: retiredAt };
}

function answerOf(result: Response | Refusal): Response {
  return isRefusal(result) ? adminRefusalAnswer(result) : result;
}
