import type { Config } from '#server/config/config.ts';
import type { SettingTexts } from '#server/config/environment.ts';
import type { Log } from '#server/operation/log.ts';
import { drainSecondsSpare, inTime } from './drain.ts';
import { databaseFailure } from './failure.ts';

/** The processes that answer requests: this one, or workers. */
export interface Nodes {
  readonly publicPort: number;
  readonly adminPort: number;
  /** Stops accepting and finishes what is under way. False: something was cut off. */
  stop(): Promise<boolean>;
}

export interface NodesOptions {
  readonly config: Config;
  readonly log: Log;
  /** Settings that workers get beside our own environment; never on their command line. */
  readonly overrides: SettingTexts;
  readonly pretty: boolean;
}

/** Starts the server and resolves when it answers: one worker is this very process. */
export async function startNodes(options: NodesOptions): Promise<Nodes> {
  // Loaded where it is needed: a primary of workers answers nothing itself.
  if (options.config.workers > 1) return (await import('./workers.ts')).startWorkers(options);
  const { runServer } = await import('#server/main.ts');
  const { config } = options;
  const server = await runServer(config, options.log).catch((error: unknown) => {
    if (!(error instanceof Error) || error.name !== 'DatabaseUnavailable') throw error;
    throw databaseFailure(error, config.databaseUrl ?? '', 'GATEHOUSE_DATABASE_URL');
  });
  return {
    publicPort: server.publicPort,
    adminPort: server.adminPort,
    stop: () => inTime(server.stop(), config.drainSecondsMax + drainSecondsSpare),
  };
}
