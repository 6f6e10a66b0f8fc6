import { type Command, json, type Option } from './command.ts';

// What operators do beside clients and users; each speaks to the admin API.

const limit: Option = { type: 'string', value: 'N', about: 'At most so many (1000).' };
const reason: Option = { type: 'string', value: 'WHY', about: 'Kept in the audit log.' };
const subject = { name: 'subject', about: 'the subject of a person, as `user list` shows it' };
const keySet = { name: 'set', about: 'the name of a set, as `key list` shows it' };
const grantId = { name: 'grant_id', about: 'the id of a grant, as `grant list` shows it' };
const tokenStdin =
  'The token is the first line of stdin, or asked for on the terminal: an argument could be read by ' +
  'every user of the machine.';

const keys: readonly Command[] = [
  {
    name: 'key list',
    summary: 'Lists the keys by name, state and time; never a part of one.',
    options: { set: { type: 'string', value: 'SET', about: 'Only those of this set.' }, json },
    example: [
      '$ node cli/main.ts key list --set hydra.jwt.access-token',
      'set                     kid          alg    use  state   active at             retired at',
      'hydra.jwt.access-token  pJvZ0dU1...  ES256  sig  active  2026-07-01T09:00:00Z',
    ],
    run: async (...given) => (await import('./key.ts')).keyList(...given),
  },
  {
    name: 'key rotate',
    summary: 'Gives the keys of a set their successors at once.',
    details: [
      'They are used from the answer on; the earlier ones still verify and open what they made. The ' +
        'schedule (GATEHOUSE_KEY_ROTATION_DAYS) does this by itself.',
    ],
    operands: [keySet],
    options: { json },
    example: [
      '$ node cli/main.ts key rotate hydra.jwt.access-token',
      'Made hydra.jwt.access-token pJvZ0dU1... (ES256). It is in use.',
    ],
    run: async (...given) => (await import('./key.ts')).keyRotate(...given),
  },
  {
    name: 'key delete',
    summary: 'Deletes a key: nothing that it signed or sealed is accepted any more.',
    operands: [keySet, { name: 'kid', about: 'the id of a key of this set' }],
    example: [
      '$ node cli/main.ts key delete hydra.jwt.access-token pJvZ0dU1...',
      'Key pJvZ0dU1... is deleted.',
    ],
    run: async (...given) => (await import('./key.ts')).keyDelete(...given),
  },
];

const tokens: readonly Command[] = [
  {
    name: 'token introspect',
    summary: 'Shows what a token is, and whether it is alive.',
    details: [tokenStdin],
    options: { json },
    example: [
      '$ pass show token | node cli/main.ts token introspect',
      'active     true',
      'client_id  my-app',
      '...',
    ],
    run: async (...given) => (await import('./token.ts')).tokenIntrospect(...given),
  },
  {
    name: 'token revoke',
    summary: 'Revokes a token, or all tokens of a person or an app, on every node at once.',
    details: [
      tokenStdin,
      'With --subject everything of a person dies: sign-ins, grants, tokens. With --client all ' +
        'tokens and grants of an app; the app itself stays.',
    ],
    options: {
      subject: { type: 'string', value: 'SUBJECT', about: 'Everything of this person instead.' },
      client: { type: 'string', value: 'ID', about: 'Everything of this app instead.' },
      chain: { type: 'string', value: 'ID', about: 'A family of refresh tokens instead.' },
      reason,
    },
    example: [
      '$ pass show token | node cli/main.ts token revoke --reason "lost phone"',
      'The token is revoked.',
      '$ node cli/main.ts token revoke --client my-app',
      'Everything of the client my-app is revoked.',
    ],
    run: async (...given) => (await import('./token.ts')).tokenRevoke(...given),
  },
];

const sessions: readonly Command[] = [
  {
    name: 'session list',
    summary: "Lists a person's sign-ins, the newest first.",
    operands: [subject],
    options: { limit, json },
    example: [
      '$ node cli/main.ts session list 5f0c1f1e-4d3c-4b52-9d0a-8f7c6a0b1e22',
      'session_id                            state  signed in             until                 kept',
      '019f8f9e-8d70-7d6e-b1c1-3a5b6c7d8e9f  live   2026-07-01T09:00:00Z  2026-07-31T09:00:00Z  yes',
    ],
    run: async (...given) => (await import('./session.ts')).sessionList(...given),
  },
  {
    name: 'session sign-out',
    summary: 'Signs a person out everywhere; apps they connected stay connected.',
    operands: [subject],
    example: [
      '$ node cli/main.ts session sign-out 5f0c1f1e-4d3c-4b52-9d0a-8f7c6a0b1e22',
      'They are signed out everywhere. Apps they connected stay connected.',
    ],
    run: async (...given) => (await import('./session.ts')).sessionSignOut(...given),
  },
  {
    name: 'session revoke',
    summary: 'Ends one sign-in, and disconnects every app that was connected in it.',
    operands: [{ name: 'session_id', about: 'the id of a session' }],
    options: { reason },
    example: [
      '$ node cli/main.ts session revoke 019f8f9e-8d70-7d6e-b1c1-3a5b6c7d8e9f',
      'Session 019f8f9e-8d70-7d6e-b1c1-3a5b6c7d8e9f is revoked, with every token that came of it.',
    ],
    run: async (...given) => (await import('./session.ts')).sessionRevoke(...given),
  },
];

const grants: readonly Command[] = [
  {
    name: 'grant list',
    summary: 'Lists what a person has allowed which apps.',
    operands: [subject],
    options: {
      client: { type: 'string', value: 'ID', about: 'Only what this app was allowed.' },
      limit,
      json,
    },
    example: [
      '$ node cli/main.ts grant list 5f0c1f1e-4d3c-4b52-9d0a-8f7c6a0b1e22',
      'grant_id                              client_id   state  scope          since',
      '7a9d4a0c-1f0e-4f61-8e55-1d3f5f0f9f10  sample-app  live   openid notes   2026-07-01T09:00:00Z',
    ],
    run: async (...given) => (await import('./grant.ts')).grantList(...given),
  },
  {
    name: 'grant show',
    summary: 'Shows one grant.',
    operands: [grantId],
    options: { json },
    example: [
      '$ node cli/main.ts grant show 7a9d4a0c-1f0e-4f61-8e55-1d3f5f0f9f10',
      'grant_id  7a9d4a0c-1f0e-4f61-8e55-1d3f5f0f9f10',
      '...',
    ],
    run: async (...given) => (await import('./grant.ts')).grantShow(...given),
  },
  {
    name: 'grant revoke',
    summary: 'Takes a grant back, with every token under it.',
    operands: [grantId],
    options: { reason },
    example: [
      '$ node cli/main.ts grant revoke 7a9d4a0c-1f0e-4f61-8e55-1d3f5f0f9f10',
      'Grant 7a9d4a0c-1f0e-4f61-8e55-1d3f5f0f9f10 is revoked, and every token under it is dead.',
    ],
    run: async (...given) => (await import('./grant.ts')).grantRevoke(...given),
  },
  {
    name: 'grant narrow',
    summary: 'Leaves a grant these scopes and no others.',
    details: ['Access tokens made before are dead at once; the next refresh gives what is left.'],
    operands: [grantId],
    options: {
      scope: { type: 'string', value: '"A B"', about: 'The scopes that remain.' },
      reason,
      json,
    },
    example: [
      '$ node cli/main.ts grant narrow 7a9d4a0c-1f0e-4f61-8e55-1d3f5f0f9f10 --scope "openid"',
      'Grant 7a9d4a0c-1f0e-4f61-8e55-1d3f5f0f9f10 now allows: openid',
    ],
    run: async (...given) => (await import('./grant.ts')).grantNarrow(...given),
  },
];

const credentials: readonly Command[] = [
  {
    name: 'credential list',
    summary: 'Lists the credentials for the admin API.',
    options: { json },
    example: [
      '$ node cli/main.ts credential list',
      'id                                    name       role       made at',
      '0b8f6a0e-8f0e-4b7e-9a53-6a5f5f7a0c11  login app  handshake  2026-07-01T09:00:00Z',
    ],
    run: async (...given) => (await import('./credential.ts')).credentialList(...given),
  },
  {
    name: 'credential create',
    summary: 'Makes a credential for one program, and shows its secret this once.',
    operands: [{ name: 'name', about: 'a name for it, such as the program that will use it' }],
    options: {
      role: {
        type: 'string',
        value: 'ROLE',
        about: 'What it opens: handshake, clients, keys, metrics, audit or all.',
      },
      json,
    },
    example: [
      '$ node cli/main.ts credential create "login app" --role handshake',
      'id      0b8f6a0e-8f0e-4b7e-9a53-6a5f5f7a0c11',
      'secret  gh_ad_...',
      'Keep the secret: it is not shown again.',
    ],
    run: async (...given) => (await import('./credential.ts')).credentialCreate(...given),
  },
  {
    name: 'credential delete',
    summary: 'Deletes a credential; no node accepts it any more.',
    operands: [{ name: 'credential', about: 'the id or the name of a credential' }],
    example: [
      '$ node cli/main.ts credential delete "login app"',
      'Credential login app (0b8f6a0e-8f0e-4b7e-9a53-6a5f5f7a0c11) is deleted.',
    ],
    run: async (...given) => (await import('./credential.ts')).credentialDelete(...given),
  },
];

const auditing: readonly Command[] = [
  {
    name: 'audit list',
    summary: 'Shows the audit log: who changed what, and what attacked.',
    details: [
      'The newest entry first. An action may be a group, such as client.*; docs/audit.md lists them ' +
        'all. A change that is still `begun` was cut off, and may have been made.',
    ],
    options: {
      since: { type: 'string', value: '1h', about: 'Not older than this: 90s, 15m, 1h, 7d.' },
      from: { type: 'string', value: 'TIME', about: 'From a moment on: 2026-07-01T09:00:00Z.' },
      to: { type: 'string', value: 'TIME', about: 'Until a moment, which does not count.' },
      action: { type: 'string', value: 'ACTION', about: 'Only this action, or group of actions.' },
      actor: { type: 'string', value: 'WHO', about: 'Id of who did it, its name, or its kind.' },
      target: { type: 'string', value: 'ID', about: 'Id of what it was done to.' },
      'request-id': { type: 'string', value: 'ID', about: 'The entries of one request.' },
      limit: { type: 'string', value: 'N', about: 'At most so many (100).' },
      follow: { type: 'boolean', about: 'Goes on with what comes, until Ctrl-C.' },
      json,
    },
    example: [
      "$ node cli/main.ts audit list --since 1h --action 'client.*'",
      'at                    action         outcome  actor                  target         address',
      '2026-07-01T09:00:00Z  client.create  done     credential deploy job  client my-app  192.0.2.7',
    ],
    run: async (...given) => (await import('./audit.ts')).auditList(...given),
  },
];

/** Commands on keys, tokens, sessions, grants, credentials and the audit log. */
export const administration: readonly Command[] = [
  ...keys,
  ...tokens,
  ...sessions,
  ...grants,
  ...credentials,
  ...auditing,
];
