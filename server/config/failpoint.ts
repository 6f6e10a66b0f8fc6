/** What a failpoint does to the process that reaches it. */
export type FailpointAction =
  | { readonly does: 'kill' | 'error' }
  | { readonly does: 'sleep'; readonly ms: number };

/** One failpoint that is armed. */
export interface Failpoint {
  readonly name: string;
  readonly action: FailpointAction;
  /** Only at this visit, counted from 1 in each process; undefined: at each. */
  readonly visit: number | undefined;
  /** Above 0, at most 1. */
  readonly probability: number;
}

/** What writes, by the name of its statement, and what a kill there leaves in doubt. */
export const failpointStatements = {
  session_begin: 'a login',
  session_extend: 'a remembered login that lasts longer',
  grant_give: 'a consent',
  redeem: 'a redeemed code',
  refresh: 'a rotated refresh token',
  revoke: 'revocations and their facts',
  consent_withdraw: 'a consent withdrawn, given or under way',
  cut_consents: 'all consents of somebody withdrawn that are under way',
  cut_logins: 'all logins of somebody ended that are under way',
  chain_forestall: 'a flow ended before its code was redeemed',
  session_forestall: 'a login ended before it began',
  flow_reference_put: 'what is too long for a URL',
  flow_tombstone_put: 'a logout that was refused',
  grant_narrow: 'a narrowed grant and its fact',
  audit_insert: 'entries of the audit log',
  insert_client: 'a new client',
  update_client: 'a changed client',
  rotate_client_secret: 'a new secret of a client',
  drop_rotated_client_secrets: 'former secrets of a client, removed',
  delete_client: 'a deleted client, its fact and cutoff',
  insert_admin_credential: 'a new admin credential',
  delete_admin_credential: 'a deleted admin credential, its fact and cutoff',
  insert_keys: 'new keys',
  replace_keys: 'a replaced key set',
  delete_keys: 'deleted keys',
  delete_spent_keys: 'spent keys, removed',
  control_raise_access_seconds: 'a longer lifetime of access tokens',
  control_settle_access_seconds: 'how long access tokens live now',
  control_put_pairwise_salt: 'the salt of pairwise subjects',
  identity_user_insert: 'a new user',
  identity_user_replace_password: 'a password hashed anew',
  sweep_chain: 'a slice of chains, swept',
  sweep_session: 'a slice of sessions, swept',
  sweep_grant: 'a slice of grants, swept',
  sweep_fact: 'a slice of facts, swept',
  sweep_cutoff: 'a slice of cutoffs, swept',
  sweep_flow_reference: 'a slice of stored flows, swept',
  sweep_key: 'a slice of keys, swept',
} as const;

/** Where in a statement's life it is reached. */
export const failpointMoments = {
  before: 'nothing was sent to PostgreSQL',
  sent: 'it was sent, and whether it commits is not known',
  after: 'it is committed, and nobody was told',
} as const;

/** Points before an answer leaves, by the beginning of the path; the longest that fits counts. */
export const failpointAnswers = {
  'answer.authorize': ['/oauth2/auth'],
  'answer.token': ['/oauth2/token'],
  'answer.introspect': ['/oauth2/introspect', '/admin/oauth2/introspect'],
  'answer.revoke': ['/oauth2/revoke'],
  'answer.userinfo': ['/userinfo'],
  'answer.logout': ['/oauth2/sessions/logout'],
  'answer.handshake': ['/admin/oauth2/auth/requests'],
  'answer.sessions': ['/admin/oauth2/auth/sessions'],
  'answer.tokens': ['/admin/oauth2/tokens'],
  'answer.clients': ['/admin/clients'],
  'answer.keys': ['/admin/keys'],
  'answer.revocations': ['/admin/revocations'],
  'answer.grants': ['/admin/grants'],
  'answer.credentials': ['/admin/credentials'],
} as const;

/** Points of commands that write in several steps. */
export const failpointSteps = {
  'recover.begun': 'the counter is moved and the database fenced, nothing else',
  'recover.keys': 'the keys are gone, grants and sessions live',
  'recover.slice': 'some grants or sessions are revoked',
  'recover.ended': 'everything is committed, and nobody was told',
} as const;

/** Every name, in the order of docs/failpoints.md. */
export const failpointNames: readonly string[] = [
  ...Object.keys(failpointStatements).flatMap((statement) =>
    Object.keys(failpointMoments).map((moment) => `${statement}.${moment}`),
  ),
  ...Object.keys(failpointAnswers),
  ...Object.keys(failpointSteps),
];

const sleepMsMax = 600_000;
const form = 'name=kill, name=error or name=sleep:<ms>, then @<visit> or %<probability> if wanted';

/** How the setting's list is written: `redeem.after=kill@3`, `answer.token=sleep:50%0.1`. */
export const failpointKind = {
  format: `\`${form}\``,
  read(text: string): { readonly value: string } | { readonly wrong: string } {
    const read = readFailpoint(text);
    return 'wrong' in read ? read : { value: text };
  },
} as const;

/** Reads one failpoint; refuses names that there are not, with the list of those that there are. */
export function readFailpoint(text: string): Failpoint | { readonly wrong: string } {
  const match = /^([\w.]+)=(kill|error|sleep:(\d{1,6}))(?:@([1-9]\d{0,8})|%(0?\.\d{1,9}|1))?$/.exec(
    text,
  );
  if (match === null) return { wrong: `must be ${form}` };
  const [, name = '', action, ms, visit, probability] = match;
  if (!failpointNames.includes(name)) {
    return { wrong: `must name one of: ${failpointNames.join(', ')}` };
  }
  if (Number(ms ?? 0) > sleepMsMax) return { wrong: `must sleep at most ${sleepMsMax} ms` };
  return {
    name,
    action:
      action === 'kill' || action === 'error'
        ? { does: action }
        : { does: 'sleep', ms: Number(ms ?? 0) },
    visit: visit === undefined ? undefined : Number(visit),
    probability: probability === undefined ? 1 : Number(probability),
  };
}
