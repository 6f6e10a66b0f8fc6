import { administration } from './administration.ts';
import { type Command, json, type Option } from './command.ts';
import { recovery, schema } from './database-commands.ts';

// Each command is loaded when it runs: help answers at once, and `client list` needs no server.

const passwordStdin: Option = {
  type: 'boolean',
  about: 'Reads the password from the first line of stdin instead of asking for it.',
};
const clientId = { name: 'client_id', about: 'the id of a client' };
const login = { name: 'login', about: 'the login of a user, usually a mail address' };
const secretExample = 'gh_cs_...';

const running: readonly Command[] = [
  {
    name: 'start',
    summary: 'Starts everything from nothing: database, server, sample app (npm start).',
    details: [
      'Without GATEHOUSE_DATABASE_URL it brings a PostgreSQL of its own, in the data directory. It ' +
        'applies migrations, makes keys and secrets at the first start, registers and starts the ' +
        'sample app, and prints where everything is. Ctrl-C finishes the requests under way, then ' +
        'stops all of it; a second Ctrl-C does not wait.',
    ],
    example: [
      '$ GATEHOUSE_PUBLIC_PORT=5444 GATEHOUSE_ADMIN_PORT=5445 npm start',
      'Gatehouse is ready.',
      '  Try it      http://127.0.0.1:4460  (a sample app)',
      '  Sign in as  demo@example.com  kq7md-x2vnp-8htwc',
      '  ...',
    ],
    run: async (...given) => (await import('./start.ts')).start(...given),
  },
  {
    name: 'serve',
    summary: 'Runs the server on a database that is there, for production.',
    details: [
      'Needs GATEHOUSE_DATABASE_URL and a schema that `schema up` has made. SIGTERM stops ' +
        'accepting and finishes what is under way, within GATEHOUSE_DRAIN_SECONDS_MAX; a second ' +
        'signal does not wait. A worker that dies is replaced.',
    ],
    options: {
      workers: {
        type: 'string',
        value: 'N',
        about: 'Processes that answer requests; wins over GATEHOUSE_WORKERS (1).',
      },
      pretty: { type: 'boolean', about: 'Logs for people instead of JSON lines.' },
    },
    example: [
      '$ export GATEHOUSE_DATABASE_URL=postgres://gatehouse_server@db.example/gatehouse',
      '$ node cli/main.ts serve --workers 4',
      '{"level":"info",...,"publicPort":4444,"adminPort":4445,"workers":4,"event":"ready"}',
    ],
    run: async (...given) => (await import('./serve.ts')).serve(...given),
  },
];

const clients: readonly Command[] = [
  {
    name: 'client list',
    summary: 'Lists the registered clients.',
    options: { json, name: { type: 'string', value: 'NAME', about: 'Only clients of this name.' } },
    example: [
      '$ node cli/main.ts client list',
      'client_id   name        grants                            authentication       state',
      'sample-app  Acme Notes  authorization_code refresh_token  client_secret_basic',
    ],
    run: async (...given) => (await import('./client.ts')).clientList(...given),
  },
  {
    name: 'client show',
    summary: 'Shows all that is registered of a client.',
    operands: [clientId],
    options: { json },
    example: ['$ node cli/main.ts client show sample-app', 'client_id    sample-app', '...'],
    run: async (...given) => (await import('./client.ts')).clientShow(...given),
  },
  {
    name: 'client create',
    summary: 'Registers a client, and shows its secret this once.',
    details: [
      'With a redirect URI it gets authorization_code and refresh_token, without one ' +
        'client_credentials, unless --grant-type says otherwise. Every client uses PKCE.',
    ],
    options: {
      name: { type: 'string', value: 'NAME', about: 'What people see when they consent.' },
      'redirect-uri': {
        type: 'string',
        multiple: true,
        value: 'URI',
        about: 'Where codes may be sent; compared as a string.',
      },
      'post-logout-redirect-uri': {
        type: 'string',
        multiple: true,
        value: 'URI',
        about: 'Where people may be sent after signing out.',
      },
      scope: {
        type: 'string',
        value: '"A B"',
        about: 'Scopes it may ask for (offline_access offline openid).',
      },
      public: { type: 'boolean', about: 'No secret: for apps on phones, desktops, in browsers.' },
      'auth-method': {
        type: 'string',
        value: 'METHOD',
        about: 'client_secret_basic (the default), client_secret_post or none.',
      },
      'grant-type': { type: 'string', multiple: true, value: 'TYPE', about: 'Grants it may use.' },
      audience: {
        type: 'string',
        multiple: true,
        value: 'TEXT',
        about: 'Audiences it may ask for.',
      },
      resource: {
        type: 'string',
        multiple: true,
        value: 'URI',
        about: 'Resource indicators it may ask for (RFC 8707).',
      },
      'skip-consent': { type: 'boolean', about: 'For apps of your own: people are not asked.' },
      id: { type: 'string', value: 'ID', about: 'The client_id; absent: a random one.' },
      file: {
        type: 'string',
        value: 'FILE',
        about: 'A whole registration as JSON instead of these options; -: stdin.',
      },
      json,
    },
    example: [
      '$ node cli/main.ts client create --name "My app" --redirect-uri https://app.example/callback',
      'client_id      0b8f6a0e-8f0e-4b7e-9a53-6a5f5f7a0c11',
      `client_secret  ${secretExample}`,
      '...',
    ],
    run: async (...given) => (await import('./client.ts')).clientCreate(...given),
  },
  {
    name: 'client rotate-secret',
    summary: 'Gives a client a new secret; the former one works on until --end-old.',
    operands: [clientId],
    options: { 'end-old': { type: 'boolean', about: 'Ends all secrets but the newest.' }, json },
    example: [
      '$ node cli/main.ts client rotate-secret my-app',
      `client_secret  ${secretExample}`,
      '$ # when the app uses it:',
      '$ node cli/main.ts client rotate-secret my-app --end-old',
      'Only the newest secret is accepted now.',
    ],
    run: async (...given) => (await import('./client.ts')).clientRotateSecret(...given),
  },
  {
    name: 'client delete',
    summary: 'Deletes a client; every token and grant of it dies at once.',
    operands: [clientId],
    example: [
      '$ node cli/main.ts client delete my-app',
      'Client my-app is deleted, and every token and grant of it is dead.',
    ],
    run: async (...given) => (await import('./client.ts')).clientDelete(...given),
  },
];

const users: readonly Command[] = [
  {
    name: 'user list',
    summary: 'Lists the users of the built-in login page.',
    options: {
      limit: { type: 'string', value: 'N', about: 'At most so many (1000).' },
      after: { type: 'string', value: 'LOGIN', about: 'Those that come after this login.' },
      json,
    },
    example: [
      '$ node cli/main.ts user list',
      'login             name       subject                               state',
      'demo@example.com  Demo User  5f0c1f1e-4d3c-4b52-9d0a-8f7c6a0b1e22',
    ],
    run: async (...given) => (await import('./user.ts')).userList(...given),
  },
  {
    name: 'user create',
    summary: 'Makes a user; asks for the password without showing it.',
    operands: [login],
    options: {
      name: { type: 'string', value: 'NAME', about: 'The name apps are told.' },
      'password-stdin': passwordStdin,
    },
    example: [
      '$ node cli/main.ts user create ada@example.com --name "Ada Lovelace"',
      'New password:',
      'Once more:',
      'User ada@example.com is made; subject 5f0c1f1e-4d3c-4b52-9d0a-8f7c6a0b1e22.',
    ],
    run: async (...given) => (await import('./user.ts')).userCreate(...given),
  },
  {
    name: 'user set-password',
    summary: 'Gives a user another password, and signs them out everywhere.',
    operands: [login],
    options: { 'password-stdin': passwordStdin },
    example: [
      '$ pass show ada | node cli/main.ts user set-password ada@example.com --password-stdin',
      'The password of ada@example.com is changed.',
      'They are signed out everywhere. Apps they connected stay connected.',
    ],
    run: async (...given) => (await import('./user.ts')).userSetPassword(...given),
  },
  {
    name: 'user disable',
    summary: 'Keeps a user from signing in, and revokes sessions, grants and tokens.',
    operands: [login],
    example: [
      '$ node cli/main.ts user disable ada@example.com',
      'ada@example.com can no longer sign in.',
      'Their sessions, grants and tokens are dead.',
    ],
    run: async (...given) => (await import('./user.ts')).userDisable(...given),
  },
  {
    name: 'user enable',
    summary: 'Lets a user sign in again.',
    operands: [login],
    example: [
      '$ node cli/main.ts user enable ada@example.com',
      'ada@example.com can sign in again. What was revoked stays revoked.',
    ],
    run: async (...given) => (await import('./user.ts')).userEnable(...given),
  },
];

const help: Command = {
  name: 'help',
  summary: 'Shows this list, or explains one command.',
  example: ['$ node cli/main.ts help client create'],
  // Answered where the command line is understood.
  run: () => Promise.resolve(0),
};

/** Every command, in the order of the list. */
export const commands: readonly Command[] = [
  ...running,
  ...schema,
  ...recovery,
  ...clients,
  ...users,
  ...administration,
  help,
];
