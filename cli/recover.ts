import type { Config } from '#server/config/config.ts';
import { readConfig } from '#server/config/environment.ts';
import { armFailpoints } from '#server/failpoints.ts';
import { lookAtRecovery, type RecoverySight, recover } from '#server/recovery.ts';
import type { Input, Terminal } from './command.ts';
import {
  configuredAddresses,
  type DatabaseAddress,
  embeddedDirectory,
  ensureSchema,
  reachableAddresses,
} from './database.ts';
import { databaseFailure } from './failure.ts';

/** `gatehouse recover` */
export async function recoverDatabase(input: Input, terminal: Terminal): Promise<number> {
  const config = readConfig();
  const counterOnly = input.flag('counter-only');
  const keepCredentials = input.flag('keep-credentials') || counterOnly;
  return withDatabase(config, terminal, async (owner) => {
    const sight = await explained(owner, () => lookAtRecovery(owner.url));
    for (const line of linesOf(sight, counterOnly, keepCredentials)) terminal.out(line);
    if (!input.flag('yes')) {
      terminal.out('Nothing was changed. To do it: the same command with --yes.');
      return 1;
    }
    const log = (sentence: string) => terminal.out(`- ${sentence}`);
    const failpoints = armFailpoints(config.insecureFailpoints);
    await explained(owner, () =>
      recover({ ownerUrl: owner.url, keepCredentials, counterOnly, log, failpoints }),
    );
    terminal.out('Recovered. Start the nodes.');
    return 0;
  });
}

function linesOf(
  sight: RecoverySight,
  counterOnly: boolean,
  keepCredentials: boolean,
): readonly string[] {
  const { newestSeq, grants, sessions, clients, credentials } = sight;
  const begun = sight.due === 'rest';
  const moved = begun
    ? 'A recovery was begun here and is not finished; the counter of facts has moved.'
    : `The counter of facts moves on from ${newestSeq} by 2^40.`;
  if (counterOnly) {
    return [moved, 'Nothing is revoked: what died after the backup lives again.'];
  }
  return [
    moved,
    `Everything that was handed out dies: ${grants} grants, ${sessions} sessions, and all codes, ` +
      'tokens and sign-ins under way.',
    'People sign in and consent anew; apps get new tokens then.',
    credentials.length === 0
      ? 'There are no admin credentials.'
      : `Admin credentials ${keepCredentials ? 'kept' : 'deleted'}: ` +
        `${credentials.map(({ name, role }) => `${name} (${role})`).join(', ')}.`,
    `Look at yourself (docs/ops/restore.md): ${clients} clients, their secrets, and users are as ` +
      'they were at the moment of the backup.',
  ];
}

/** The database that the settings name, or the embedded one, started if it does not run. */
async function withDatabase(
  config: Config,
  terminal: Terminal,
  work: (owner: DatabaseAddress) => Promise<number>,
): Promise<number> {
  const configured = configuredAddresses(config);
  if (configured !== undefined) {
    await ensureSchema(configured);
    return work(configured.owner);
  }
  const running = await reachableAddresses(config).catch(() => undefined);
  if (running !== undefined) return work(running.owner);
  const { startEmbeddedPostgres } = await import('#server/postgres/embedded.ts');
  const postgres = await startEmbeddedPostgres({
    dataDir: embeddedDirectory(config),
    log: (sentence) => terminal.out(sentence),
  });
  try {
    return await work({ url: postgres.urls.owner, setting: 'GATEHOUSE_DATABASE_URL' });
  } finally {
    await postgres.stop();
  }
}

/** Errors of the connection as sentences. */
async function explained<T>(owner: DatabaseAddress, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw databaseFailure(error, owner.url, owner.setting);
  }
}
