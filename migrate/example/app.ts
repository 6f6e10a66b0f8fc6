import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import type { Databases } from '#migrate/client/databases.ts';
import { OutcomeUnknown, Unavailable } from '#migrate/client/failure.ts';
import type { Session } from '#migrate/client/unit.ts';
import {
  changeProfile,
  findAccount,
  findCustomer,
  findSizes,
  findTransfer,
  makeTransfer,
  Refused,
  sumBalances,
} from './bank.ts';

// The doors:
//   POST /transfers {"id": uuid, "from": 1, "to": 2, "cents": 100}   201, again too
//   GET  /transfers/:id      GET /accounts/:id      GET /customers/:id
//   PUT  /customers/:id {"given": "Ada", "family": "Byron", "bio": "..."}
//   GET  /balances           {"accounts": 4000, "cents": 400000000}: cents never changes
//   GET  /health             {"side": "blue", "epoch": 1, "accounts": 4000, "customers": 1000, ...}
// 400, 404, 405, 409, 413 and 422 say what was wrong. 503 with Retry-After: nothing was done, or for
// a transfer it may be asked for again by the same id.

const bodyBytesMax = 4_096;
const idMax = 2 ** 31 - 1;
const id = z.int().min(1).max(idMax);
const transferBody = z
  .strictObject({ id: z.uuid(), from: id, to: id, cents: z.int().min(1).max(1_000_000_000) })
  .refine(({ from, to }) => from !== to, 'from and to are the same account');
const word = z.string().regex(/^[\p{L}\p{N}'-]{1,60}$/u);
const profileBody = z.strictObject({ given: word, family: word, bio: z.string().min(1).max(500) });

interface Asked {
  readonly databases: Databases;
  readonly request: IncomingMessage;
  /** What stands behind the door's own name, decoded; '' where nothing does. */
  readonly rest: string;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

type Door = (asked: Asked) => Promise<Answer>;

const doors: Readonly<Record<string, Door>> = {
  async 'POST /transfers'({ databases, request }) {
    const transfer = await readBody(request, transferBody);
    await databases.write((session) => makeTransfer(session, transfer), { idempotent: true });
    return { status: 201, body: transfer };
  },
  async 'PUT /customers/'({ databases, request, rest }) {
    const customer = idOf(rest);
    const profile = await readBody(request, profileBody);
    await databases.write((session) => changeProfile(session, customer, profile), {
      idempotent: true,
    });
    return { status: 200, body: profile };
  },
  'GET /transfers/': ({ databases, rest }) => {
    if (!z.uuid().safeParse(rest).success) throw new Refused(404, 'A transfer has a UUID.');
    return found(databases, (session) => findTransfer(session, rest));
  },
  'GET /accounts/': ({ databases, rest }) =>
    found(databases, (session) => findAccount(session, idOf(rest))),
  'GET /customers/': ({ databases, rest }) =>
    found(databases, (session) => findCustomer(session, idOf(rest))),
  'GET /balances': ({ databases }) => found(databases, sumBalances),
  async 'GET /health'({ databases }) {
    return databases.read(async (session) => ({
      status: 200,
      body: {
        side: session.side,
        epoch: session.epoch,
        ...(await findSizes(session)),
        databases: databases.state(),
      },
    }));
  },
};

/** Answers one request, whatever happens; `isEnding`: the connection is not kept for another one. */
export async function answerWith(
  databases: Databases,
  request: IncomingMessage,
  response: ServerResponse,
  isEnding: () => boolean,
): Promise<void> {
  const answer = await answerTo(databases, request).catch(answerForError);
  if (answer.status === 503) response.setHeader('retry-after', '1');
  // What was not read of a body that is too long is not waited for.
  if (answer.status === 413 || isEnding()) response.setHeader('connection', 'close');
  response.setHeader('content-type', 'application/json');
  response.writeHead(answer.status).end(`${JSON.stringify(answer.body)}\n`);
}

async function answerTo(databases: Databases, request: IncomingMessage): Promise<Answer> {
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
  const [, name = '', rest] = /^(\/[a-z]*\/?)(.*)$/.exec(path) ?? [];
  const door = doors[`${request.method} ${name}`];
  if (door !== undefined && (rest === '') !== name.endsWith('/')) {
    return door({ databases, request, rest: rest ?? '' });
  }
  const others = Object.keys(doors).filter((key) => key.endsWith(` ${name}`));
  if (others.length > 0) throw new Refused(405, `There is ${others.join(', ')}.`);
  throw new Refused(404, `There is ${Object.keys(doors).join(', ')}.`);
}

function answerForError(error: unknown): Answer {
  if (error instanceof Refused) return { status: error.status, body: { error: error.message } };
  if (error instanceof Unavailable || error instanceof OutcomeUnknown) {
    return { status: 503, body: { error: error.message } };
  }
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  return {
    status: 500,
    body: { error: 'This is a mistake of the application; its log says more.' },
  };
}

async function found<T>(
  databases: Databases,
  find: (session: Session) => Promise<T | undefined>,
): Promise<Answer> {
  const body = await databases.read(find);
  if (body === undefined) throw new Refused(404, 'There is nothing by this id.');
  return { status: 200, body };
}

function idOf(text: string): number {
  const parsed = id.safeParse(/^\d{1,10}$/.test(text) ? Number(text) : 0);
  if (parsed.success) return parsed.data;
  throw new Refused(404, 'An id is a whole number from 1.');
}

async function readBody<T>(request: IncomingMessage, shape: z.ZodType<T>): Promise<T> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    if (!(chunk instanceof Buffer)) continue;
    bytes += chunk.length;
    if (bytes > bodyBytesMax) throw new Refused(413, `A body has at most ${bodyBytesMax} bytes.`);
    chunks.push(chunk);
  }
  const parsed = shape.safeParse(jsonOf(Buffer.concat(chunks).toString('utf8')));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Refused(400, `${issue?.path.join('.') || 'body'}: ${issue?.message}`);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refused(400, 'The body is not JSON.');
  }
}
