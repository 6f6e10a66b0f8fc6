import { z } from 'zod';

/** Calls Hydra's handshake API at the admin door, as any login app does. The entry wires it. */
export type Handshake = (
  method: 'GET' | 'PUT',
  path: string,
  body?: unknown,
) => Promise<{ readonly status: number; readonly json: unknown }>;

export type HandshakeKind = 'login' | 'consent' | 'logout';

const text = z.string().catch('');
const texts = z.array(z.string()).catch([]);
const client = z
  .object({
    client_id: text,
    client_name: text,
    client_uri: text,
    policy_uri: text,
    tos_uri: text,
    skip_consent: z.boolean().catch(false),
    redirect_uris: texts,
  })
  .catch({
    client_id: '',
    client_name: '',
    client_uri: '',
    policy_uri: '',
    tos_uri: '',
    skip_consent: false,
    redirect_uris: [],
  });

const loginRequest = z.object({
  client,
  skip: z.boolean(),
  subject: text,
  request_url: text,
  oidc_context: z.object({ login_hint: text }).catch({ login_hint: '' }),
});

const consentRequest = z.object({
  client,
  skip: z.boolean(),
  subject: text,
  request_url: text,
  requested_scope: texts,
  requested_access_token_audience: texts,
  context: z.unknown().optional(),
});

const logoutRequest = z.object({ client, subject: text });
const redirectTo = z.object({ redirect_to: z.string().min(1) });

/** The app that asks, by its names on the wire; what it left out is ''. */
export type AppFields = z.infer<typeof client>;
export type LoginRequest = z.infer<typeof loginRequest>;
export type ConsentRequest = z.infer<typeof consentRequest>;
export type LogoutRequest = z.infer<typeof logoutRequest>;

/** What the built-in login hands on to the consent page, so that it need not look up the user. */
const personContext = z.object({
  login: text,
  name: text,
  email_verified: z.boolean().catch(false),
});
export type Person = z.infer<typeof personContext>;

/** The person in a consent request's context; undefined when another login app wrote it. */
export function personOf(context: unknown): Person | undefined {
  const person = personContext.safeParse(context);
  return person.success && person.data.login !== '' ? person.data : undefined;
}

/** Where the browser has to go, or why nobody can say. */
export type Onward =
  | { readonly redirectTo: string }
  | { readonly failed: 'unknown' | 'unavailable' };
/** The request behind a challenge, or, where there is none, what else to do. */
export type Looked<Request> = { readonly request: Request } | Onward;

/** The handshake in the words of the pages. Never throws for an answer of the door. */
export interface Door {
  login(challenge: string): Promise<Looked<LoginRequest>>;
  consent(challenge: string): Promise<Looked<ConsentRequest>>;
  logout(challenge: string): Promise<Looked<LogoutRequest>>;
  accept(kind: HandshakeKind, challenge: string, body: unknown): Promise<Onward>;
  reject(kind: HandshakeKind, challenge: string, body: unknown): Promise<Onward>;
}

/** Wraps {@link Handshake}: reads its answers, tolerant of fields that are absent or new. */
export function openDoor(handshake: Handshake): Door {
  const path = (kind: HandshakeKind, step: '' | '/accept' | '/reject', challenge: string) =>
    `/admin/oauth2/auth/requests/${kind}${step}?${kind}_challenge=${encodeURIComponent(challenge)}`;
  const look = async <Schema extends z.ZodType>(
    kind: HandshakeKind,
    challenge: string,
    schema: Schema,
  ): Promise<Looked<z.infer<Schema>>> => {
    const { status, json } = await handshake('GET', path(kind, '', challenge));
    if (status === 200) return { request: schema.parse(json) };
    return elsewhere(status, json);
  };
  const answer = async (
    kind: HandshakeKind,
    step: '/accept' | '/reject',
    challenge: string,
    body: unknown,
  ): Promise<Onward> => {
    const { status, json } = await handshake('PUT', path(kind, step, challenge), body);
    return elsewhere(status, json);
  };
  return {
    login: (challenge) => look('login', challenge, loginRequest),
    consent: (challenge) => look('consent', challenge, consentRequest),
    logout: (challenge) => look('logout', challenge, logoutRequest),
    accept: (kind, challenge, body) => answer(kind, '/accept', challenge, body),
    reject: (kind, challenge, body) => answer(kind, '/reject', challenge, body),
  };
}

/** 200 and Hydra's 410 (handled before) say where to go; 5xx is an outage; all else is unknown. */
function elsewhere(status: number, json: unknown): Onward {
  const to = redirectTo.safeParse(json);
  if ((status === 200 || status === 410) && to.success) return { redirectTo: to.data.redirect_to };
  return { failed: status >= 500 ? 'unavailable' : 'unknown' };
}
