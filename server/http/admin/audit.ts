import { Hono } from 'hono';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import { auditActionNames } from '#server/audit/actions.ts';
import { adminRefusalAnswer } from '#server/http/admin/authentication.ts';
import { pageLinks, pageOf } from '#server/http/admin/page.ts';
import { type Ctx, type Env, json, noStore } from '#server/http/frame/answer.ts';
import type { Node } from '#server/node.ts';
import {
  type AuditFilter,
  type AuditPlace,
  type ListedEntry,
  listEntries,
} from '#server/store/audit.ts';

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const moment = /^(\d{4})-(\d{2})-(\d{2})T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|[+-](\d{2}):\d{2})$/;
/** PostgreSQL takes offsets up to 15:59; the largest in use is +14:00. */
const offsetHoursMax = 14;
const wordCharsMax = 255;

/**
 * `GET /admin/audit`: the audit log, the newest entry first, in pages. A page looks at 20,000
 * entries at most: where a filter fits few of them it is short, or empty, and `Link` has the next.
 */
export function auditRoutes(node: Pick<Node, 'database'>): Hono<Env> {
  return new Hono<Env>().get('/admin/audit', async (c) => {
    const answer = await list(node, c);
    return isRefusal(answer) ? adminRefusalAnswer(answer) : answer;
  });
}

async function list(node: Pick<Node, 'database'>, c: Ctx): Promise<Response | Refusal> {
  const page = pageOf(c);
  if (isRefusal(page)) return page;
  const filter = filterOf(c);
  if (isRefusal(filter)) return filter;
  const after = placeOf(page.after);
  if (after !== undefined && isRefusal(after)) return after;
  const { entries, next } = await listEntries(node.database, filter, after, page.size);
  const link = pageLinks(c, page, next && `${next.at} ${next.id}`);
  return json(200, entries.map(documentOf), { ...noStore, link });
}

function filterOf(c: Ctx): AuditFilter | Refusal {
  const asked = (name: string) => c.req.query(name) || null;
  const filter = {
    from: asked('from'),
    to: asked('to'),
    actor: asked('actor'),
    action: asked('action'),
    target: asked('target'),
    requestId: asked('request_id'),
  };
  for (const [name, text] of Object.entries(filter)) {
    if (text !== null && (text.length > wordCharsMax || text.includes('\0'))) {
      return refuse('invalid_parameter', `${name} must have 1 to ${wordCharsMax} characters`);
    }
  }
  for (const name of ['from', 'to'] as const) {
    const text = filter[name];
    if (text === null) continue;
    // "+" of an offset is a blank in a query that was not encoded.
    if (!isMoment(text)) {
      return refuse('invalid_parameter', `${name} must be a moment as 2026-07-01T09:00:00Z`);
    }
  }
  if (filter.requestId !== null && !uuid.test(filter.requestId)) {
    return refuse('invalid_parameter', 'request_id must be a UUID');
  }
  return isKnown(filter.action)
    ? filter
    : refuse(
        'invalid_parameter',
        'action must be a name of docs/audit.md, or one such as client.*',
      );
}

/** True for a moment that PostgreSQL takes too: of a day that there is, and of a year from 1. */
function isMoment(text: string): boolean {
  const [, year, month, day, offsetHours = '0'] = moment.exec(text) ?? [];
  if (year === undefined || Number(year) < 1 || Number.isNaN(Date.parse(text))) return false;
  // Date.parse takes 30 February for 2 March.
  const date = new Date(`${year}-${month}-${day}T00:00:00Z`);
  return date.getUTCDate() === Number(day) && Number(offsetHours) <= offsetHoursMax;
}

/** An action that is spelt wrong would look like one that never happened. */
function isKnown(action: string | null): boolean {
  if (action === null) return true;
  const start = action.endsWith('.*') ? action.slice(0, -1) : undefined;
  return auditActionNames.some((name) =>
    start === undefined ? name === action : name.startsWith(start),
  );
}

function placeOf(token: string): AuditPlace | undefined | Refusal {
  if (token === '') return undefined;
  const [at = '', id = '', ...more] = token.split(' ');
  if (isMoment(at) && uuid.test(id) && more.length === 0) {
    return { at, id };
  }
  return refuse('invalid_parameter', 'page_token is not one that a listing has given');
}

function documentOf(entry: ListedEntry): object {
  const { actorKind, actor, actorName, targetKind, target, requestId, ...rest } = entry;
  const { id, at, action, outcome, reason, address, count, detail } = rest;
  return {
    id,
    at,
    action,
    outcome,
    actor: { kind: actorKind, id: actor, ...(actorName === '' ? {} : { name: actorName }) },
    target: { kind: targetKind, id: target },
    reason,
    request_id: requestId,
    address,
    count,
    detail,
  };
}
