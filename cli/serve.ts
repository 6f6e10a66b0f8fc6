import cluster from 'node:cluster';
import { insecureWarnings } from '#server/config/config.ts';
import { readConfig } from '#server/config/environment.ts';
import { variableName } from '#server/config/names.ts';
import { createLog } from '#server/operation/log.ts';
import { Failure, type Input, type Terminal } from './command.ts';
import { ensureDataDirectory } from './data-directory.ts';
import { configuredAddresses, ensureSchema } from './database.ts';
import { ensureFreePorts } from './listening.ts';
import { startNodes } from './nodes.ts';
import { listenForStop } from './stop-signal.ts';

/** `gatehouse serve`: the server on a database that is there, until a signal ends it. */
export async function serve(input: Input, terminal: Terminal): Promise<number> {
  const workers = input.text('workers');
  const pretty = input.flag('pretty');
  const overrides = workers === undefined ? {} : { workers };
  const config = readConfig({ overrides });
  const log = createLog({ level: config.logLevel, pretty });
  if (cluster.isWorker) return (await import('./worker.ts')).work(config, log);

  const addresses = configuredAddresses(config);
  if (addresses === undefined) {
    throw new Failure(
      `${variableName('databaseUrl')} is not set, and \`serve\` starts no PostgreSQL of its own. ` +
        'Set it, or use `npm start`, which brings one.',
    );
  }
  for (const warning of insecureWarnings(config)) terminal.error(`WARNING: ${warning}`);
  await ensureDataDirectory(config.dataDir);
  await ensureSchema(addresses);
  await ensureFreePorts(config, false);
  const stop = listenForStop(() => terminal.error('Stopped at once: requests were cut off.'));
  const nodes = await startNodes({ config, log, overrides, pretty });
  const { publicPort, adminPort } = nodes;
  log.info('ready', { issuer: config.issuer, publicPort, adminPort, workers: config.workers });
  const signal = await stop.asked;
  log.info('draining', { signal, secondsMax: config.drainSecondsMax });
  const drained = await nodes.stop();
  if (!drained) log.warn('drain_cut_off', { secondsMax: config.drainSecondsMax });
  log.info('stopped', { drained });
  log.flush();
  return drained ? 0 : 1;
}
