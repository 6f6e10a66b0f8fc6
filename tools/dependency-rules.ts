import type { IForbiddenRuleType } from 'dependency-cruiser';

const test = String.raw`\.test\.ts$`;
/** What is shipped and runs in production. */
const product = '^(core|tokens|server|cli|sample|migrate)/';
const testing = [test, '^(server|migrate)/testing/', '^migrate/chaos/', '^migrate/online/proof/'];

/** Imports point one way: entry -> http -> store -> core (ARCHITECTURE.md). */
export const dependencyRules: readonly IForbiddenRuleType[] = [
  {
    name: 'core-is-pure',
    comment: 'core imports only core: no Node, no packages',
    severity: 'error',
    from: { path: '^core/', pathNot: test },
    to: { pathNot: '^core/' },
  },
  {
    name: 'tokens-know-only-core',
    comment: 'tokens imports core, and of Node only what hashes, seals and deflates',
    severity: 'error',
    from: { path: '^tokens/', pathNot: test },
    to: { pathNot: ['^(core|tokens)/', '^(node:)?(buffer|crypto|util|zlib)$'] },
  },
  {
    name: 'store-knows-no-http',
    comment: 'the store loads and applies; it neither translates nor decides who may ask',
    severity: 'error',
    from: { path: '^server/store/', pathNot: test },
    to: { path: ['^server/(http|identity|testing)/', '/(hono|@hono)/'] },
  },
  {
    name: 'frame-knows-no-endpoint',
    comment: 'what every request gets knows none of the endpoints that get it',
    severity: 'error',
    from: { path: '^server/http/frame/', pathNot: test },
    to: { path: '^server/http/', pathNot: '^server/http/frame/' },
  },
  {
    name: 'authorization-knows-no-token-endpoint',
    comment: 'a code is made here and redeemed there: the token endpoint imports what opens it',
    severity: 'error',
    from: { path: '^server/http/authorization/', pathNot: test },
    to: { path: '^server/http/(token|handshake|admin)/' },
  },
  {
    name: 'engine-knows-no-identity',
    comment: 'the engine knows `sub`, a string; only what wires the processes imports identity',
    severity: 'error',
    from: {
      path: ['^server/(feed|http|store|keys|operation|schema|postgres|config)/', '^tokens/'],
    },
    to: { path: '^server/identity/' },
  },
  {
    name: 'identity-is-a-login-app',
    comment: 'identity stands behind the handshake: of the store it may have its own tables only',
    severity: 'error',
    from: { path: '^server/identity/', pathNot: test },
    to: { path: '^server/store/', pathNot: '^server/store/(database|batch)\\.ts$' },
  },
  {
    name: 'migrate-knows-no-oauth',
    comment: 'migrate changes any PostgreSQL; it knows nothing of what the tables mean',
    severity: 'error',
    from: { path: '^migrate/', pathNot: [test, '^migrate/(testing|chaos)/'] },
    to: { path: '^(core|tokens|server|cli|sample)/' },
  },
  {
    name: 'migrate-client-is-small',
    comment: 'an application takes migrate/client along: it needs pg and nothing of the tool',
    severity: 'error',
    from: { path: '^migrate/client/', pathNot: test },
    to: { pathNot: ['^migrate/client/', '^node_modules/(@types/)?pg/'] },
  },
  {
    name: 'migrate-example-is-a-stranger',
    comment: 'the example is an application: of migrate it has the client only',
    severity: 'error',
    from: { path: '^migrate/example/', pathNot: [test, '\\.mapping\\.ts$'] },
    to: { path: '^migrate/(?!client/|example/)' },
  },
  {
    name: 'nothing-imports-an-entry',
    comment: 'cli, sample, tools, e2e and bench are where imports begin',
    severity: 'error',
    from: { path: '^(core|tokens|server)/', pathNot: [...testing] },
    to: { path: '^(cli|sample|tools|e2e|bench)/' },
  },
  {
    name: 'cli-is-thin',
    comment: 'a command calls the server; it holds no statement, no endpoint and no decision',
    severity: 'error',
    from: { path: '^cli/', pathNot: test },
    to: { path: ['^(core|tokens)/', '^server/(http|store)/'] },
  },
  {
    name: 'sample-is-a-stranger',
    comment: 'the sample app shows what any app can do: it speaks HTTP',
    severity: 'error',
    from: { path: '^sample/', pathNot: test },
    to: { path: '^(core|tokens|server|cli)/' },
  },
  {
    name: 'e2e-is-black-box',
    comment: 'e2e speaks HTTP; it shares only the harness that starts servers',
    severity: 'error',
    from: { path: '^e2e/' },
    to: { path: '^(core|tokens|cli|server/(?!testing/))' },
  },
  {
    name: 'bench-is-black-box',
    comment: 'the benchmark speaks HTTP to servers; it shares only what starts a PostgreSQL',
    severity: 'error',
    from: { path: '^bench/', pathNot: '^bench/growth/' },
    to: { path: '^(core|tokens|cli|server/(?!postgres/|schema/))' },
  },
  {
    name: 'product-without-tests',
    comment: 'what runs in production imports nothing that is made for tests',
    severity: 'error',
    from: { path: product, pathNot: testing },
    to: { path: testing },
  },
  {
    name: 'product-without-dev-dependencies',
    comment: 'npm ci --omit=dev must be enough to run it',
    severity: 'error',
    from: { path: product, pathNot: testing },
    to: {
      dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
      dependencyTypesNot: ['type-only'],
    },
  },
  {
    name: 'no-cycles',
    comment: 'modules that need each other are one module; types may refer to each other',
    severity: 'error',
    from: {},
    to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
  },
  {
    name: 'resolves',
    comment: 'every import leads somewhere',
    severity: 'error',
    from: {},
    to: { couldNotResolve: true },
  },
];
