import { startGatehouse } from './deployments/gatehouse.ts';
import { createLatencies } from './driver/latencies.ts';
import { closedLoop } from './driver/load.ts';
import type { Tokens } from './driver/visitor.ts';
import type { Verdict } from './judgement.ts';
import type { DatabaseGauge } from './measure/database.ts';
import { cpuSecondsOf } from './measure/processes.ts';
import { lanesPerProcess } from './measure/slice.ts';
import { withStopped } from './session.ts';

/** The benchmark must see at least this factor, or it could not see a lost index. */
const seenFactorMin = 3;
const warmSeconds = 1;

/**
 * The control of the benchmark itself: refreshes with the primary key of `chain`, without it, and
 * with it again. Without it each refresh reads the table.
 */
export async function runControl(
  seconds: number,
  rows: number,
  say: (line: string) => void,
): Promise<Verdict> {
  return withStopped(async (started) => {
    const deployment = started(await startGatehouse({ processes: 1 }));
    const { gauge, serverPid, postgresPid } = deployment;
    const visitors = Array.from({ length: lanesPerProcess }, () => deployment.visitor());
    const tokens: Tokens[] = await Promise.all(
      visitors.map((visitor) => visitor.login(deployment.apps.ES256)),
    );
    await multiplyChains(gauge, rows);
    const refreshes = async (what: string, lasting: number): Promise<number> => {
      const server = cpuSecondsOf(serverPid);
      const postgres = cpuSecondsOf(postgresPid);
      const load = await closedLoop({
        lanes: visitors.length,
        seconds: lasting,
        latencies: createLatencies(),
        async operation(lane) {
          const [visitor, current] = [visitors[lane], tokens[lane]];
          if (visitor === undefined || current === undefined) return false;
          tokens[lane] = await visitor.refresh(current);
          return true;
        },
      });
      if (load.errors > 0) throw new Error(`refreshing failed: ${load.firstError}`);
      const database = ((cpuSecondsOf(postgresPid) - postgres) / load.operations) * 1e6;
      const whole = database + ((cpuSecondsOf(serverPid) - server) / load.operations) * 1e6;
      say(
        `${what}: ${whole.toFixed(0)} us per refresh, PostgreSQL ${database.toFixed(0)} us ` +
          `(${((database / whole) * 100).toFixed(0)} %), ` +
          `${(load.operations / load.seconds).toFixed(0)} a second`,
      );
      return whole;
    };
    await refreshes('warming up', warmSeconds);
    const before = await refreshes(`primary key of chain, ${rows} rows`, seconds);
    await gauge.run('alter table chain drop constraint chain_pkey');
    const without = await refreshes('without it', seconds);
    await gauge.run('alter table chain add primary key (id)');
    const again = await refreshes('with it again', seconds);
    for (const visitor of visitors) visitor.close();
    const factor = without / Math.max(before, again);
    return {
      holds: factor >= seenFactorMin,
      sentence:
        `a dropped index costs ${factor.toFixed(0)} times as much per refresh: ` +
        `${before.toFixed(0)} -> ${without.toFixed(0)} -> ${again.toFixed(0)} us`,
    };
  });
}

/** Adds copies of the chains that are there, under ids of their own, until there are so many. */
async function multiplyChains(gauge: DatabaseGauge, rows: number): Promise<void> {
  const columns = await gauge.columnsOf('chain');
  const others = columns.filter((column) => column !== 'id').join(', ');
  await gauge.run(
    `insert into chain (id, ${others})
     select gen_random_uuid(), ${others} from (select id, ${others} from chain limit 1) as one,
       generate_series(1, ${rows}) as copy`,
  );
  await gauge.run('vacuum analyze chain');
}
