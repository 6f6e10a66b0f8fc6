import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Config, insecureWarnings } from '#server/config/config.ts';
import { readConfig, type SettingTexts } from '#server/config/environment.ts';
import type { DemoUser } from '#server/identity/demo.ts';
import { createLog } from '#server/operation/log.ts';
import type { EmbeddedPostgres } from '#server/postgres/embedded.ts';
import { openAdmin } from './admin.ts';
import { Failure, type Input, type Terminal } from './command.ts';
import { ensureDataDirectory } from './data-directory.ts';
import { configuredAddresses, type DatabaseAddresses, embeddedDirectory } from './database.ts';
import { drainSecondsSpare, inTime } from './drain.ts';
import { ensureFreePorts } from './listening.ts';
import { type Nodes, startNodes } from './nodes.ts';
import { type Sample, startSample } from './sample.ts';
import { migrateTo } from './schema.ts';
import { listenForStop, type StopSignal } from './stop-signal.ts';
import { withRosterAt } from './user.ts';
import { welcome } from './welcome.ts';

/** What runs, in the order in which it is stopped. */
interface Running {
  nodes?: Nodes;
  sample?: Sample;
  postgres?: EmbeddedPostgres;
}

/** How long sample app and PostgreSQL may take after the requests have ended. */
const cleanUpSecondsMax = 5;
/** Lines of the server below this would bury what the newcomer has to read. */
const defaults: SettingTexts = { logLevel: 'warn' };

/** `gatehouse start`, which `npm start` runs: everything that is needed, from nothing. */
export async function start(_input: Input, terminal: Terminal): Promise<number> {
  const config = readConfig({ defaults });
  const stop = listenForStop(() => terminal.error('Stopped at once: requests were cut off.'));
  const running: Running = {};
  let code = 0;
  try {
    const failed = await startAll(config, terminal, stop, running);
    if (failed !== undefined) {
      const sentence = await Promise.race([stop.asked.then(() => undefined), ...failed]);
      if (sentence !== undefined) throw new Failure(sentence);
    }
    terminal.out('Stopping: finishing the requests under way ...');
  } catch (error) {
    // What breaks while it is being stopped, breaks because of that.
    if (!stop.isAsked()) {
      await stopAll(config, running);
      throw error;
    }
  }
  const clean = await stopAll(config, running);
  if (!clean) code = 1;
  terminal.out(clean ? 'Gatehouse has stopped.' : 'Gatehouse has stopped; requests were cut off.');
  return code;
}

/**
 * Starts one thing after the other and notes it in `running`. Gives the promises that resolve with
 * a sentence when one of them ends by itself; undefined: somebody asked to stop on the way.
 */
async function startAll(
  config: Config,
  terminal: Terminal,
  stop: StopSignal,
  running: Running,
): Promise<readonly Promise<string>[] | undefined> {
  await ensureDataDirectory(config.dataDir);
  await ensureFreePorts(config, true);
  const database = await openDatabase(config, terminal, running);
  if (stop.isAsked()) return undefined;
  await migrateTo(database.addresses, () => {});
  const demo = await withRosterAt(database.addresses.server, (roster) =>
    roster.ensureDemo(config.dataDir),
  );
  if (stop.isAsked()) return undefined;
  const { overrides } = database;
  const settings = readConfig({ defaults, overrides });
  running.nodes = await startNodes({
    config: settings,
    log: createLog({ level: settings.logLevel, pretty: true }),
    overrides: { ...overrides, logLevel: settings.logLevel },
    pretty: true,
  });
  const admin = await openAdmin(settings, running.nodes.adminPort);
  if (stop.isAsked()) return undefined;
  if (settings.samplePort !== undefined) {
    running.sample = await startSample(settings, settings.samplePort, admin);
  }
  announce(settings, terminal, running, demo);
  return [
    ...(running.sample === undefined ? [] : [running.sample.failed]),
    ...(running.postgres === undefined ? [] : [endOf(running.postgres, settings)]),
  ];
}

/** The database that the settings name, else one of our own. */
async function openDatabase(
  config: Config,
  terminal: Terminal,
  running: Running,
): Promise<{ readonly addresses: DatabaseAddresses; readonly overrides: SettingTexts }> {
  const addresses = configuredAddresses(config);
  if (addresses !== undefined) return { addresses, overrides: {} };
  const dataDir = embeddedDirectory(config);
  const isFirst = !existsSync(join(dataDir, 'passwords.json'));
  terminal.out(
    isFirst
      ? `Making a database in ${config.dataDir} (first start only) ...`
      : `Starting the database in ${config.dataDir} ...`,
  );
  const { startEmbeddedPostgres } = await import('#server/postgres/embedded.ts');
  const log = (sentence: string) => terminal.out(sentence);
  const postgres = await startEmbeddedPostgres({ dataDir, log });
  running.postgres = postgres;
  const { owner, server, usage } = postgres.urls;
  const setting = 'GATEHOUSE_DATABASE_URL';
  return {
    addresses: {
      owner: { url: owner, setting },
      server: { url: server, setting },
      usage: { url: usage, setting },
    },
    overrides: { databaseUrl: server, ownerDatabaseUrl: owner, usageDatabaseUrl: usage },
  };
}

function announce(
  config: Config,
  terminal: Terminal,
  { nodes, sample }: Running,
  demo: DemoUser,
): void {
  if (nodes === undefined) return;
  const lines = welcome({
    config,
    adminPort: nodes.adminPort,
    sampleUrl: sample?.url,
    demo,
    warnings: insecureWarnings(config),
  });
  for (const line of lines) terminal.out(line);
}

async function endOf(postgres: EmbeddedPostgres, config: Config): Promise<string> {
  const { code, signal } = await postgres.ended;
  const log = join(embeddedDirectory(config), 'postgres.log');
  return `PostgreSQL ended by itself (${signal ?? `exit code ${code}`}); ${log} may say why.`;
}

/** Requests first, then who asks, then the database. False: something was cut off. */
async function stopAll(config: Config, { nodes, sample, postgres }: Running): Promise<boolean> {
  const stopping = async () => {
    const drained = (await nodes?.stop()) ?? true;
    await sample?.stop();
    await postgres?.stop();
    return drained;
  };
  const work = stopping();
  const secondsMax = config.drainSecondsMax + drainSecondsSpare + cleanUpSecondsMax;
  return (await inTime(work, secondsMax)) && (await work);
}
