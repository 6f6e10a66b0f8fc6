import { html } from 'hono/html';
import type { Ctx } from '#server/http/frame/answer.ts';
import { harmless } from './display.ts';
import { answerPage, type Page } from './page.ts';

/** What went wrong, for the person and whoever they ask for help. All of it is shown as text. */
export interface Problem {
  readonly status?: Page['status'];
  readonly heading?: string;
  /** What the person can do, in our own words. */
  readonly advice?: string;
  /** The OAuth error, in its own words. */
  readonly error: string;
  readonly description: string;
  readonly hint?: string;
  readonly requestId?: string;
  readonly retryAfterSeconds?: number;
}

const advices: ReadonlyMap<string, string> = new Map([
  ['access_denied', 'The request was declined. You can close this page or go back to the app.'],
  ['temporarily_unavailable', 'Please try again in a moment.'],
  ['server_error', 'The fault is on our side. Please try again in a moment.'],
]);
const adviceOtherwise = 'Go back to the app and start again.';

/** The error page. It quotes the request by its id, so that support finds it in the log. */
export function answerProblem(c: Ctx, problem: Problem): Response | Promise<Response> {
  const heading = problem.heading ?? 'Something went wrong';
  const requestId = problem.requestId ?? c.get('requestId');
  const rows = [
    row('error', 'Error', problem.error),
    row('error-description', 'Details', problem.description),
    row('error-hint', 'Hint', problem.hint),
    row('request-id', 'Request', requestId),
  ];
  return answerPage(c, {
    title: heading,
    status: problem.status ?? 400,
    ...(problem.retryAfterSeconds === undefined
      ? {}
      : { retryAfterSeconds: problem.retryAfterSeconds }),
    body: html`<h1>${heading}</h1>
<p class="lead">${problem.advice ?? advices.get(problem.error) ?? adviceOtherwise}</p>
<dl class="facts">${rows}</dl>`,
  });
}

function row(id: string, label: string, value: string | undefined) {
  if (value === undefined || value === '') return '';
  return html`<div><dt>${label}</dt><dd id="${id}"><bdi>${value}</bdi></dd></div>`;
}

/** `GET /ui/error`: what the engine could not send to an app. Anybody may write the parameters. */
export function errorPage(c: Ctx): Response | Promise<Response> {
  const said = (name: string, charactersMax: number) =>
    harmless(c.req.query(name) ?? '', charactersMax);
  return answerProblem(c, {
    error: said('error', 100) || 'unknown_error',
    description: said('error_description', 600),
    hint: said('error_hint', 600),
    requestId: said('request_id', 64),
  });
}

/** A challenge that leads nowhere: absent, altered, too old, or of another deployment. */
export function unknownChallenge(c: Ctx): Response | Promise<Response> {
  return answerProblem(c, {
    status: 404,
    heading: 'This page has expired',
    error: 'request_not_found',
    description: 'This link is not valid or has expired.',
  });
}

/** The engine or its database is away. */
export function unavailable(c: Ctx): Response | Promise<Response> {
  return answerProblem(c, {
    status: 503,
    retryAfterSeconds: 1,
    heading: 'We cannot answer right now',
    error: 'temporarily_unavailable',
    description: 'The service cannot answer safely right now.',
  });
}
