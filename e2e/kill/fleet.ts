import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { testPort } from '#server/testing/harness.ts';
import { type OwnPostgres, startOwnPostgres } from '#server/testing/own-postgres.ts';
import { type Program, runProgram } from '#server/testing/program.ts';
import { call, type Deployment, deploymentOf } from '../deployment.ts';
import type { Dice } from './dice.ts';

/** What is killed. */
export type Victim = 'worker' | 'server' | 'postmaster' | 'backend';

/** Two servers, of two workers and of one process, on one PostgreSQL; whoever dies is started again. */
export interface Fleet {
  readonly nodes: readonly [Deployment, Deployment];
  /** Sends the SIGKILL, and starts again what nobody else starts; says what was hit. */
  kill(victim: Victim, dice: Dice): Promise<string>;
  /** Resolves when every process that should run does, and both servers are ready. */
  whole(): Promise<void>;
  /** What the servers have logged of requests that failed for no known reason. */
  failures(): readonly string[];
  close(): Promise<void>;
}

type Environment = Readonly<Record<string, string>>;

/** A server under supervision, as an init system does it. */
interface Member {
  readonly workers: number;
  readonly deployment: Deployment;
  program(): Program;
  programs(): readonly Program[];
  close(): Promise<void>;
}

const wholeMsMax = 90_000;
/** A refresh whose answer was lost is repeated within it, however slow the machine is. */
const graceSeconds = 900;

export interface FleetOptions {
  /** Settings of both. */
  readonly env?: Environment;
  /** Settings of the second one alone. */
  readonly envOfSecond?: Environment;
}

/** Starts it. */
export async function startFleet(options: FleetOptions = {}): Promise<Fleet> {
  const postgres = await startOwnPostgres();
  const dataDir = await mkdtemp(join(tmpdir(), 'gatehouse-fleet-'));
  await chmod(dataDir, 0o755);
  const publicPort = await testPort();
  const shared = {
    GATEHOUSE_DATA_DIR: dataDir,
    GATEHOUSE_ISSUER: `http://127.0.0.1:${publicPort}`,
    GATEHOUSE_ADMIN_TOKEN: randomBytes(24).toString('base64url'),
    GATEHOUSE_DATABASE_URL: postgres.database.urls.server,
    GATEHOUSE_DATABASE_OWNER_URL: postgres.database.urls.owner,
    GATEHOUSE_SAMPLE_PORT: 'off',
    GATEHOUSE_RATE_LIMITS: 'off',
    GATEHOUSE_LOG_LEVEL: 'warn',
    GATEHOUSE_REFRESH_GRACE_SECONDS: String(graceSeconds),
    ...options.env,
  };
  const first = await supervise({ ...shared, GATEHOUSE_WORKERS: '2' }, publicPort, postgres);
  const second = await supervise(
    { ...shared, GATEHOUSE_WORKERS: '1', ...options.envOfSecond },
    await testPort(),
    postgres,
  );
  const members = [first, second] as const;

  async function kill(victim: Victim, dice: Dice): Promise<string> {
    if (victim === 'postmaster') {
      await postgres.kill();
      await sleep(dice.number(800));
      await postgres.start();
      return 'the postmaster';
    }
    if (victim === 'backend') return `backend ${await postgres.killBackend().catch(() => 0)}`;
    const member = dice.pick(members) ?? first;
    const { pid, descendants } = member.program();
    const hit = victim === 'worker' ? (dice.pick(descendants()) ?? pid) : pid;
    send(hit);
    return `${victim} ${hit} of server ${members.indexOf(member) + 1}`;
  }

  async function whole(): Promise<void> {
    const until = performance.now() + wholeMsMax;
    for (const member of members) {
      while (!(await isWhole(member))) {
        if (performance.now() > until) {
          throw new Error(`a server did not come back:\n${member.program().output().slice(-3000)}`);
        }
        await sleep(100);
      }
    }
  }

  await whole();
  return {
    nodes: [first.deployment, second.deployment],
    kill,
    whole,
    failures: () =>
      members.flatMap((member) =>
        member.programs().flatMap((program) =>
          program
            .output()
            .split('\n')
            .filter((line) => /request_failed|"status":500/.test(line)),
        ),
      ),
    async close() {
      await Promise.all(members.map((member) => member.close()));
      await postgres.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

function send(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It died before.
  }
}

async function isWhole({ deployment, workers, program }: Member): Promise<boolean> {
  if (workers > 1 && program().descendants().length < workers) return false;
  for (let tries = 0; tries < workers * 2; tries += 1) {
    const ready = await call(`${deployment.server.publicUrl}/health/ready`).catch(() => undefined);
    if (ready?.status !== 200) return false;
  }
  return true;
}

async function supervise(
  given: Environment,
  publicPort: number,
  postgres: OwnPostgres,
): Promise<Member> {
  const adminPort = await testPort();
  const env: Environment = {
    ...given,
    GATEHOUSE_PUBLIC_PORT: String(publicPort),
    GATEHOUSE_ADMIN_PORT: String(adminPort),
  };
  const programs: Program[] = [];
  let closing = false;
  const start = (): Program => {
    const program = runProgram(['serve'], env);
    programs.push(program);
    void program.ended(3_600_000).then(async () => {
      if (closing) return;
      await sleep(100);
      if (!closing) start();
    });
    return program;
  };
  start();
  const current = () => programs.at(-1) ?? start();
  const deployment = deploymentOf(
    {
      publicUrl: `http://127.0.0.1:${publicPort}`,
      adminUrl: `http://127.0.0.1:${adminPort}`,
      adminToken: env.GATEHOUSE_ADMIN_TOKEN ?? '',
      pid: current().pid,
      dataDir: env.GATEHOUSE_DATA_DIR ?? '',
      database: postgres.database,
      output: () => programs.map((program) => program.output()).join(''),
      stop: async () => null,
    },
    env.GATEHOUSE_ISSUER ?? '',
  );
  return {
    workers: Number(env.GATEHOUSE_WORKERS),
    deployment,
    program: current,
    programs: () => programs,
    async close() {
      closing = true;
      const program = current();
      program.signal('SIGTERM');
      await program.ended(30_000);
    },
  };
}
