import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { variablesOf } from '#server/config/environment.ts';
import { Failure } from './command.ts';
import { drainSecondsSpare, inTime } from './drain.ts';
import type { Nodes, NodesOptions } from './nodes.ts';
import { drainOrder, reportOf } from './worker.ts';
import { openMetricsDesk } from './worker-metrics.ts';

/** A worker that dies is replaced after this long, doubled for each that died young before it. */
const replaceMsMin = 100;
const replaceMsMax = 15_000;
/** A worker that lived so long did not die of its start. */
const steadyMs = 30_000;
/** So long a worker that failed may take to end. */
const failedMsMax = 5000;

/**
 * Forks the workers and resolves when all of them answer. Throws {@link Failure} where one of the
 * first cannot start; later ones are tried again and again, ever more slowly.
 */
export async function startWorkers(options: NodesOptions): Promise<Nodes> {
  const { config, log } = options;
  cluster.setupPrimary({
    exec: fileURLToPath(new URL('./main.ts', import.meta.url)),
    args: ['serve', ...(options.pretty ? ['--pretty'] : [])],
  });
  const environment = variablesOf(options.overrides);
  const members = new Set<Worker>();
  const desk = openMetricsDesk(sumOf);
  const replacements = new Set<NodeJS.Timeout>();
  let phase: 'starting' | 'running' | 'stopping' = 'starting';

  function fork(diedYoung: number): Worker {
    const worker = cluster.fork(environment);
    const bornMs = performance.now();
    members.add(worker);
    desk.attend(worker, members);
    worker.on('error', (error) => log.warn('worker_unreachable', { worker: worker.id }, error));
    worker.once('exit', (code, signal) => {
      members.delete(worker);
      if (phase === 'running') {
        const young = performance.now() - bornMs < steadyMs ? diedYoung + 1 : 0;
        const waitMs = Math.min(replaceMsMax, replaceMsMin * 2 ** Math.max(0, young - 1));
        log.warn('worker_died', { worker: worker.id, code, signal, replacedAfterMs: waitMs });
        replaceAfter(waitMs, young);
      }
    });
    return worker;
  }

  function replaceAfter(waitMs: number, diedYoung: number): void {
    const timer = setTimeout(() => {
      replacements.delete(timer);
      const worker = fork(diedYoung);
      startOf(worker).then(
        () => log.info('worker_replaced', { worker: worker.id }),
        (error: unknown) => log.warn('worker_not_replaced', { worker: worker.id }, error),
      );
    }, waitMs);
    replacements.add(timer);
  }

  async function stop(): Promise<boolean> {
    phase = 'stopping';
    for (const timer of replacements) clearTimeout(timer);
    const exits = [...members].map(async (worker) => {
      const [code] = await ended(worker, () => worker.send(drainOrder, () => {}));
      return code === 0;
    });
    const drained = await inTime(Promise.all(exits), config.drainSecondsMax + drainSecondsSpare);
    for (const worker of members) worker.process.kill('SIGKILL');
    return drained && (await Promise.all(exits)).every((clean) => clean);
  }

  const first = Array.from({ length: config.workers }, () => fork(0));
  try {
    const [ready] = await Promise.all(first.map(startOf));
    if (ready === undefined) throw new Failure('There is no worker.');
    phase = 'running';
    // One that died after it was ready and before all others were is missed by its exit.
    for (let missing = config.workers - members.size; missing > 0; missing -= 1) replaceAfter(0, 1);
    return { ...ready, stop };
  } catch (error) {
    phase = 'stopping';
    for (const worker of members) worker.process.kill('SIGKILL');
    throw error;
  }
}

/** Loaded at the first scrape: a primary counts nothing itself. */
async function sumOf(snapshots: readonly unknown[]): Promise<string> {
  const { summed } = await import('#server/operation/metrics.ts');
  return summed(snapshots.filter((snapshot) => Array.isArray(snapshot)));
}

/**
 * Resolves with its ports when a worker answers. One that failed says so before it ends: it is waited
 * for, so that its log is whole when the others are killed.
 */
function startOf(worker: Worker): Promise<{ publicPort: number; adminPort: number }> {
  return new Promise((resolve, reject) => {
    let sentences: readonly string[] | undefined;
    worker.on('message', (message: unknown) => {
      const report = reportOf(message);
      if (report?.report === 'ready') resolve(report);
      if (report?.report !== 'failed') return;
      sentences = report.sentences;
      setTimeout(() => worker.process.kill('SIGKILL'), failedMsMax).unref();
    });
    worker.once('exit', (code, signal) => {
      const unsaid = [`A worker ended before it was ready (${signal ?? code}).`];
      reject(new Failure((sentences ?? unsaid).join('\n')));
    });
  });
}

async function ended(worker: Worker, ask: () => void): Promise<readonly unknown[]> {
  if (worker.isDead()) return [worker.process.exitCode];
  const exit = once(worker, 'exit');
  if (worker.isConnected()) ask();
  return exit;
}
