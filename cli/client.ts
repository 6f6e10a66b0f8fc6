import { readFileSync } from 'node:fs';
import { readConfig } from '#server/config/environment.ts';
import { type Admin, openAdmin } from './admin.ts';
import { Failure, type Input, type Terminal } from './command.ts';
import { shown, table } from './help.ts';
import { type Document, documentOf, listOf, plain, field as text } from './listing.ts';

/** More clients than anybody reads. */
const listedMax = 1_000_000;

/** `gatehouse client list` */
export async function clientList(input: Input, terminal: Terminal): Promise<number> {
  const admin = await openAdmin(readConfig());
  const clients = await allClients(admin, input.text('name'));
  if (input.flag('json')) {
    terminal.out(JSON.stringify(clients.map(plain), undefined, 2));
    return 0;
  }
  const heading = ['client_id', 'name', 'grants', 'authentication', 'state'];
  const rows = clients.map((client) => [
    text(client, 'client_id'),
    text(client, 'client_name'),
    text(client, 'grant_types'),
    text(client, 'token_endpoint_auth_method'),
    client.get('disabled') === true ? 'disabled' : '',
  ]);
  terminal.out(rows.length === 0 ? 'There are no clients.' : table(heading, rows));
  return 0;
}

/** `gatehouse client show` */
export async function clientShow(input: Input, terminal: Terminal): Promise<number> {
  const admin = await openAdmin(readConfig());
  const found = await admin.find(pathOf(input.operand(0)));
  if (found === undefined) throw absent(input.operand(0));
  print(documentOf(found.body), input, terminal);
  return 0;
}

/** `gatehouse client create` */
export async function clientCreate(input: Input, terminal: Terminal): Promise<number> {
  const document = input.text('file') === undefined ? described(input) : fromFile(input);
  const admin = await openAdmin(readConfig());
  const { body } = await admin.call('POST', '/admin/clients', document);
  const client = documentOf(body);
  print(client, input, terminal);
  if (client.has('client_secret') && !input.flag('json')) {
    terminal.out('Keep the client_secret: it is not shown again.');
  }
  return 0;
}

/** `gatehouse client delete` */
export async function clientDelete(input: Input, terminal: Terminal): Promise<number> {
  const clientId = input.operand(0);
  const admin = await openAdmin(readConfig());
  if ((await admin.find(pathOf(clientId))) === undefined) throw absent(clientId);
  await admin.call('DELETE', pathOf(clientId));
  terminal.out(`Client ${clientId} is deleted, and every token and grant of it is dead.`);
  return 0;
}

/** `gatehouse client rotate-secret` */
export async function clientRotateSecret(input: Input, terminal: Terminal): Promise<number> {
  const clientId = input.operand(0);
  const admin = await openAdmin(readConfig());
  if ((await admin.find(pathOf(clientId))) === undefined) throw absent(clientId);
  const path = `${pathOf(clientId)}/secrets/rotate`;
  if (input.flag('end-old')) {
    await admin.call('DELETE', path);
    terminal.out('Only the newest secret is accepted now.');
    return 0;
  }
  const { body } = await admin.call('POST', path);
  const secret = text(documentOf(body), 'client_secret');
  if (input.flag('json')) {
    terminal.out(JSON.stringify({ client_id: clientId, client_secret: secret }, undefined, 2));
    return 0;
  }
  terminal.out(`client_secret  ${secret}`);
  terminal.out('Keep it: it is not shown again. The former secret works as well, until you run');
  terminal.out(`  client rotate-secret ${clientId} --end-old`);
  return 0;
}

function allClients(admin: Admin, name: string | undefined): Promise<readonly Document[]> {
  return listOf(
    admin,
    '/admin/clients',
    name === undefined ? {} : { client_name: name },
    listedMax,
  );
}

/** The registration that options describe. */
function described(input: Input): Readonly<Record<string, unknown>> {
  const redirectUris = input.texts('redirect-uri');
  const grantTypes = input.texts('grant-type');
  const isInteractive = redirectUris.length > 0;
  const defaults = isInteractive ? ['authorization_code', 'refresh_token'] : ['client_credentials'];
  const method = input.flag('public') ? 'none' : input.text('auth-method');
  if (input.flag('public') && input.text('auth-method') !== undefined) {
    throw new Failure('--public and --auth-method exclude each other: a public client has none.');
  }
  if (!isInteractive && grantTypes.length === 0 && input.flag('public')) {
    throw new Failure('A public client needs --redirect-uri: it cannot use client_credentials.');
  }
  const given = {
    client_id: input.text('id'),
    client_name: input.text('name'),
    redirect_uris: redirectUris,
    post_logout_redirect_uris: input.texts('post-logout-redirect-uri'),
    grant_types: grantTypes.length > 0 ? grantTypes : defaults,
    response_types: isInteractive ? ['code'] : [],
    scope: input.text('scope'),
    audience: input.texts('audience'),
    resources: input.texts('resource'),
    token_endpoint_auth_method: method,
    skip_consent: input.flag('skip-consent') || undefined,
  };
  const isGiven = ([, value]: [string, unknown]) =>
    value !== undefined && !(Array.isArray(value) && value.length === 0);
  return Object.fromEntries(Object.entries(given).filter(isGiven));
}

function fromFile(input: Input): unknown {
  const file = input.text('file') ?? '';
  const content = readFileSync(file === '-' ? 0 : file, 'utf8');
  try {
    return JSON.parse(content);
  } catch {
    throw new Failure(
      `${file} is not JSON; it holds a client as \`client show --json\` prints it.`,
    );
  }
}

function print(client: Document, input: Input, terminal: Terminal): void {
  if (input.flag('json')) {
    terminal.out(JSON.stringify(plain(client), undefined, 2));
    return;
  }
  const first = ['client_id', 'client_name', 'client_secret'];
  const others = [...client.keys()].filter((name) => !first.includes(name)).sort();
  const rows = [...first, ...others].map((name) => [name, text(client, name)] as const);
  const width = Math.max(...others.map((name) => name.length));
  for (const [name, value] of rows) {
    // What says nothing is left out: `--json` has it.
    if (value !== '' && value !== '{}' && name !== 'client_secret_expires_at') {
      terminal.out(`${name.padEnd(width)}  ${shown(value)}`);
    }
  }
}

function pathOf(clientId: string): string {
  return `/admin/clients/${encodeURIComponent(clientId)}`;
}

function absent(clientId: string): Failure {
  return new Failure(`There is no client "${clientId}"; \`client list\` shows them.`);
}
