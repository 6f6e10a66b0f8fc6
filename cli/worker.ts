import type { Config } from '#server/config/config.ts';
import { runServer } from '#server/main.ts';
import type { Log } from '#server/operation/log.ts';
import { sentencesOf } from './failure.ts';
import { sharedMetrics } from './worker-metrics.ts';

/** What a worker tells its primary. */
export type WorkerReport =
  | { readonly report: 'ready'; readonly publicPort: number; readonly adminPort: number }
  | { readonly report: 'failed'; readonly sentences: readonly string[] };

/** What a primary tells its workers: stop accepting, finish, end. */
export const drainOrder = 'drain';

/**
 * One worker: runs the server until the primary says `drain`, and gives the exit code. It ends by
 * itself when the primary is gone, which node:cluster sees to.
 */
export async function work(config: Config, log: Log): Promise<number> {
  const asked = new Promise<void>((resolve) => {
    process.on('message', (message) => {
      if (message === drainOrder) resolve();
    });
    process.on('SIGTERM', () => resolve());
    // A terminal sends these to every process: what follows from them, the primary says.
    for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
  });
  try {
    const { publicPort, adminPort, stop } = await runServer(config, log, sharedMetrics);
    await tell({ report: 'ready', publicPort, adminPort });
    await asked;
    await stop();
    return 0;
  } catch (error) {
    const sentences = sentencesOf(error);
    if (sentences === undefined) log.error('worker_failed', {}, error);
    await tell({ report: 'failed', sentences: sentences ?? ['A worker failed; see its log.'] });
    return 1;
  }
}

function tell(report: WorkerReport): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(report, undefined, undefined, () => resolve());
  });
}

/** Reads a message of a worker; undefined: it is none of ours. */
export function reportOf(message: unknown): WorkerReport | undefined {
  if (typeof message !== 'object' || message === null || !('report' in message)) return undefined;
  if (message.report === 'ready' && 'publicPort' in message && 'adminPort' in message) {
    const { publicPort, adminPort } = message;
    return { report: 'ready', publicPort: Number(publicPort), adminPort: Number(adminPort) };
  }
  if (message.report === 'failed' && 'sentences' in message && Array.isArray(message.sentences)) {
    return { report: 'failed', sentences: message.sentences.map(String) };
  }
  return undefined;
}
