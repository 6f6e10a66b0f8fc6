import { z } from 'zod';
import { failpointKind } from './failpoint.ts';
import {
  choice,
  cidr,
  duration,
  durationOrOff,
  host,
  label,
  list,
  onOff,
  optional,
  origin,
  path,
  port,
  portOrOff,
  postgresUrl,
  scope,
  secret,
  setting,
  share,
  webUrl,
  whole,
} from './setting-kinds.ts';

const day = 86_400;
const page = (name: string, path_: string) =>
  optional(webUrl, { about: `Where the browser goes ${name}.`, shown: `issuer + \`${path_}\`` });

/**
 * Every setting: kind, default, and a sentence. Names in the environment are `GATEHOUSE_` and the
 * key in upper case with underscores (see names.ts); docs/configuration.md is generated from this.
 */
export const settings = z.strictObject({
  publicHost: setting(host, '127.0.0.1', {
    about: 'Address that the public listener binds to: the one apps and browsers reach.',
  }),
  publicPort: setting(port, 4444, { about: 'Port of the public listener.' }),
  adminHost: setting(host, '127.0.0.1', {
    about: 'Address that the admin listener binds to: login apps, operators and metrics.',
  }),
  adminPort: setting(port, 4445, { about: 'Port of the admin listener.' }),
  samplePort: setting(portOrOff, 4460, {
    about: 'Port of the sample app that `npm start` runs on loopback.',
  }),
  tlsCert: optional(path, {
    about: 'Certificate chain (PEM) of both listeners; without it they speak plain HTTP.',
  }),
  tlsKey: optional(path, { about: 'Private key (PEM) of that certificate.' }),
  dataDir: setting(path, '.gatehouse', {
    about: 'Directory for what is made at first start: keys, tokens, the embedded PostgreSQL.',
  }),

  databaseUrl: optional(postgresUrl, {
    about: 'PostgreSQL 15 to 18, as the role that reads and writes rows.',
    shown: 'embedded PostgreSQL in the data directory',
    secret: true,
  }),
  ownerDatabaseUrl: optional(postgresUrl, {
    about: 'The same database as the role that owns the tables; migrations use it.',
    shown: 'the database URL',
    secret: true,
  }),
  usageDatabaseUrl: optional(postgresUrl, {
    about: 'The same database as the role that records usage and can write nothing else.',
    shown: 'the database URL',
    secret: true,
  }),
  directDatabaseUrl: optional(postgresUrl, {
    about: 'The same database without a pooler such as PgBouncer between; locks need it.',
    shown: 'the owner URL',
    secret: true,
  }),
  databaseConnectionsMax: setting(whole(1, 200), 4, {
    about: 'Pooled connections per process. Writes are batched, so few are needed.',
  }),

  issuer: optional(webUrl, {
    about:
      'The issuer identifier; clients compare it byte for byte (no trailing slash unless given).',
    shown: '`http://127.0.0.1:<public port>`, with a certificate `https://…`',
  }),
  masterKeys: optional(path, {
    about: 'File of master keys: the first wraps the data keys, all unwrap.',
    shown: '`master-key` in the data directory, made at first start',
  }),
  adminToken: optional(secret(8), {
    about: 'Bearer token that opens all admin doors.',
    shown: '`admin-token` in the data directory, made at first start',
    secret: true,
  }),
  pairwiseSalt: optional(secret(8), {
    about: 'Salt of pairwise subject identifiers. Changing it changes every such identifier.',
    shown: '`pairwise-salt` in the data directory, made at first start',
    secret: true,
  }),

  loginUrl: page('to sign in', '/ui/login'),
  consentUrl: page('to consent', '/ui/consent'),
  logoutUrl: page('to confirm signing out', '/ui/logout'),
  errorUrl: page('when an error cannot be sent to the app', '/ui/error'),
  postLogoutUrl: page('after signing out, when the app names no page', '/ui/signed-out'),
  deviceUrl: page('to enter the code of a device (not yet)', '/ui/device'),
  deviceDoneUrl: page('when a device has been connected (not yet)', '/ui/device/done'),

  idTokenAlg: setting(choice('RS256', 'PS256', 'ES256', 'EdDSA'), 'RS256', {
    about: 'Signs ID tokens of clients that registered no algorithm of their own.',
  }),
  accessTokenStrategy: setting(choice('opaque', 'jwt'), 'opaque', {
    about: 'Form of access tokens: opaque (sealed) or JWT (RFC 9068).',
  }),
  accessTokenSeconds: setting(duration(1, 30 * day), 3600, { about: 'Lifetime of access tokens.' }),
  idTokenSeconds: setting(duration(1, 30 * day), 3600, { about: 'Lifetime of ID tokens.' }),
  codeSeconds: setting(duration(1, 3600), 600, { about: 'Lifetime of authorization codes.' }),
  flowSeconds: setting(duration(1, day), 1800, {
    about: 'Time that a person has to sign in and consent.',
  }),
  refreshTokenSeconds: setting(duration(1, 3650 * day), 30 * day, {
    about: 'A refresh token that is not used for so long ends.',
    shown: '30d',
  }),
  refreshTokenAbsoluteSeconds: optional(durationOrOff(1, 3650 * day), {
    about: 'A family of refresh tokens ends so long after its first one, used or not.',
    shown: 'off',
  }),
  refreshGraceSeconds: setting(duration(0, 3600), 60, {
    about: 'A repeated refresh gets the same successor for so long after the first; 0 is strict.',
  }),
  refreshTokenScopes: setting(list(scope, 50), ['offline_access', 'offline'], {
    about:
      'Granting one of these scopes earns a refresh token; ' +
      'an empty list: every client registered for the grant.',
  }),
  keyRotationDays: setting(whole(1, 3650), 90, {
    about: 'Age at which keys are replaced.',
  }),

  signUp: setting(onOff, false, { about: 'Lets people make an account on the login page.' }),
  dynamicRegistration: optional(choice('off', 'token', 'open'), {
    about:
      'Who may register clients by RFC 7591: nobody, holders of a token, or anybody. ' +
      '(Not yet: there is no such door.)',
    shown: 'open on a loopback issuer, else off',
  }),
  rateLimits: setting(onOff, true, { about: 'Limits requests per client and per address.' }),
  corsOrigins: setting(list(origin, 1000), [], {
    about: 'Origins of single-page apps that may call token, userinfo and revocation.',
  }),
  trustedProxies: setting(list(cidr, 100), [], {
    about: 'Proxies whose X-Forwarded-For is believed.',
  }),
  outboundAllow: setting(list(cidr, 100), [], {
    about:
      'Private or loopback ranges that outbound requests may reach all the same. ' +
      '(Not yet: there are none.)',
  }),
  extraCa: optional(path, {
    about: 'Certificates (PEM) that outbound requests (traces) trust beside the public ones.',
  }),

  auditDays: setting(whole(30, 3650), 400, {
    about: 'Entries of the audit log are kept so long, in whole months.',
  }),

  workers: setting(whole(1, 256), 1, { about: 'Processes that answer requests.' }),
  factsMax: setting(whole(1000, 100_000_000), 1_000_000, {
    about: 'Revocations held in memory; above it, checks go to PostgreSQL in batches.',
  }),
  drainSecondsMax: setting(duration(0, 3600), 30, {
    about: 'Time that requests under way have to end when the server stops.',
  }),
  logLevel: setting(choice('debug', 'info', 'warn', 'error', 'silent'), 'info', {
    about: 'The least important lines that are written; info has one per request.',
  }),

  otlpEndpoint: optional(webUrl, {
    about:
      'Where traces are sent (OTLP over HTTP, protobuf); without a path of its own, /v1/traces is ' +
      'added. Absent: there are none, and they cost nothing.',
    shown: 'off',
  }),
  otlpServiceName: setting(label, 'gatehouse', { about: 'The service that traces name.' }),
  otlpSampleRatio: setting(share, 0.1, { about: 'Share of the requests that are traced.' }),

  insecureHttpIssuer: setting(onOff, false, {
    about:
      'INSECURE. Allows an http issuer that is not on loopback: everybody between reads tokens.',
  }),
  insecureAdminNoAuth: setting(onOff, false, {
    about: 'INSECURE. Opens all admin doors to whoever reaches the admin listener; loopback only.',
  }),
  insecureKeyRotationSeconds: optional(duration(3, day), {
    about:
      'INSECURE. Replaces keys so often, publishes them a third of it ahead, and shrinks what is ' +
      'kept for late comers to as much: the schedule of keys, to be watched in a test.',
    shown: 'off',
  }),
  insecureFailpoints: setting(list(failpointKind, 100), [], {
    about:
      'INSECURE. Makes the server fail at these points, for tests; docs/failpoints.md has them.',
  }),
});

export type Settings = z.output<typeof settings>;
export type SettingKey = keyof Settings & keyof typeof settings.shape;
