import type { Deployment } from './deployments/deployment.ts';
import { startGatehouse } from './deployments/gatehouse.ts';
import { startPeer } from './deployments/peer.ts';
import { startEcho } from './measure/echo.ts';
import type { Run } from './results.ts';
import { measure, type Plan } from './run.ts';

/** Which servers take part. */
export interface Session {
  /** Gatehouse runs with each of these numbers of processes, each with a PostgreSQL of its own. */
  readonly processes: readonly number[];
  readonly peer: boolean;
  readonly say: (line: string) => void;
}

interface Stoppable {
  stop(): Promise<void>;
}

const echoWarmSeconds = 2;

/** Starts all servers, measures, and stops them whatever happened, Ctrl-C included. */
export async function withDeployments(session: Session, plan: Plan): Promise<Run> {
  return withStopped(async (started) => {
    const echo = started(
      await startEcho(echoWarmSeconds * Math.min(1, plan.seconds), Math.max(...session.processes)),
    );
    const deployments: Deployment[] = [];
    for (const [index, processes] of session.processes.entries()) {
      deployments.push(started(await startGatehouse({ processes })));
      // Second, so that it is measured right after the one that it is compared with.
      if (index === 0 && session.peer) deployments.push(started(await startPeer()));
    }
    return measure(plan, { deployments, echo, say: session.say });
  });
}

/** Runs `work`; what it has handed to `started` is stopped at its end, also when a signal ends it. */
export async function withStopped<T>(
  work: (started: <S extends Stoppable>(one: S) => S) => Promise<T>,
): Promise<T> {
  const running: Stoppable[] = [];
  const stopAll = async () => {
    for (const one of running.splice(0).reverse()) await one.stop().catch(console.error);
  };
  const onSignal = (signal: NodeJS.Signals) => {
    console.error(`${signal}: stopping the servers`);
    void stopAll().finally(() => process.exit(130));
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.once(signal, onSignal);
  try {
    return await work((one) => {
      running.push(one);
      return one;
    });
  } finally {
    await stopAll();
    for (const signal of signals) process.off(signal, onSignal);
  }
}
