import { setTimeout as sleep } from 'node:timers/promises';
import { query } from '#migrate/testing/databases.ts';
import type { TestProxy } from '#server/testing/proxy.ts';
import type { Application } from './application.ts';
import { poison } from './bank.ts';
import type { Plan } from './plan.ts';
import type { Tool } from './tool.ts';
import type { Ground, World } from './world.ts';

/** What an injection works on. */
export interface Scene {
  readonly world: World;
  readonly ground: Ground;
  readonly plan: Plan;
  readonly app: Application;
  /** By how many minutes whose clock is wrong; all 0 unless that is what happens. */
  readonly clocks: Clocks;
  /** How long a tool sleeps. */
  readonly freezeMs: number;
  /** Starts the command of the phase once more. */
  startAnother(): Tool;
}

/** What was done; `heal` ends the outage, if it does not end by itself. */
export interface Injected {
  readonly what: string;
  heal(): Promise<void>;
}

const nothing = async () => {};

/** Does it, to a tool that has stopped at its point (or has ended already); lets it go on after. */
export async function inject(scene: Scene, tool: Tool): Promise<Injected> {
  const { plan, world, app } = scene;
  const goOn = () => tool.kill('SIGCONT');
  switch (plan.kind) {
    case 'kill-tool':
      tool.kill('SIGKILL');
      return { what: 'tool killed', heal: nothing };
    case 'kill-app':
      await app.kill();
      goOn();
      return { what: 'application killed', heal: () => app.start() };
    case 'kill-blue':
    case 'kill-green': {
      const side = plan.kind === 'kill-blue' ? 'blue' : 'green';
      await world.servers[side].kill();
      goOn();
      await sleep(100 + plan.dice.number(700));
      return { what: `PostgreSQL ${side} killed`, heal: () => world.servers[side].start() };
    }
    case 'freeze':
      await sleep(scene.freezeMs);
      return { what: `tool asleep for ${scene.freezeMs / 1000} s`, heal: async () => goOn() };
    case 'cut':
      return cut(scene, goOn);
    case 'clock':
      goOn();
      return { what: clockSentence(scene.clocks), heal: nothing };
    case 'two-tools':
      return another(scene, goOn);
    case 'disk-full':
      await world.disk?.fill();
      goOn();
      return { what: 'disk of green full', heal: async () => world.disk?.free() };
    case 'bad-row':
      return badRow(scene, goOn);
  }
}

const fromGreen = ['watch', 'rollback', 'finish'];

async function badRow({ plan, ground }: Scene, goOn: () => void): Promise<Injected> {
  const side = fromGreen.includes(plan.phase) ? 'green' : 'blue';
  try {
    await query(ground.direct[side], poison[side].put);
  } catch (error) {
    // The tool had stopped when that side had retired already.
    if (!(error instanceof Error && 'code' in error && error.code === 'MG001')) throw error;
    goOn();
    return { what: `${side} took no row any more`, heal: nothing };
  }
  goOn();
  return {
    what: `a row of ${side} that the other side refuses`,
    async heal() {
      await query(ground.direct[side], poison[side].mend);
    },
  };
}

const connections = ['tool to blue', 'tool to green', 'app to blue', 'app to green'] as const;

async function cut({ world, plan }: Scene, goOn: () => void): Promise<Injected> {
  const { dice } = plan;
  const proxyOf = (name: (typeof connections)[number]): TestProxy => {
    const of = name.startsWith('tool') ? world.proxies.tool : world.proxies.app;
    return name.endsWith('blue') ? of.blue : of.green;
  };
  const first = dice.pick(connections) ?? 'tool to blue';
  const chosen = connections.filter((name) => name === first || dice.chance(0.25));
  const proxies = chosen.map(proxyOf);
  const way = dice.pick(['cut', 'held', 'refused'] as const) ?? 'cut';
  const ms = way === 'cut' ? 0 : 200 + dice.number(1500);
  for (const proxy of proxies) {
    if (way === 'cut') proxy.cut();
    if (way === 'held') proxy.hold();
    if (way === 'refused') proxy.refuse();
  }
  goOn();
  await sleep(ms);
  return {
    what: `${chosen.join(', ')} ${way}${ms > 0 ? ` for ${ms} ms` : ''}`,
    async heal() {
      for (const proxy of proxies) {
        proxy.release();
        proxy.accept();
      }
    },
  };
}

/** A second tool while the first holds the lock must be refused; before that either may work. */
async function another(scene: Scene, goOn: () => void): Promise<Injected> {
  const isTaken = await isLockTaken(scene.ground);
  const second = scene.startAnother();
  const ended = await second.untilEnded(8_000);
  if (ended === undefined) {
    second.kill('SIGTERM');
    await second.untilEnded(10_000);
  }
  goOn();
  const isRefused = /Another migrate works/.test(second.output());
  const told = isRefused ? 'refused' : `ended ${ended?.code ?? 'when it was asked to'}`;
  if (isTaken && !isRefused && scene.plan.phase !== 'plan') {
    throw new Error(`two tools worked at a time; the second ${told}: ${second.output().trim()}`);
  }
  return { what: `a second tool: ${told}`, heal: nothing };
}

async function isLockTaken({ direct }: Ground): Promise<boolean> {
  const [row] = await query(
    direct.blue,
    `select count(*)::int as locks from pg_locks l where l.locktype = 'advisory' and l.granted
       and l.database = (select d.oid from pg_database d where d.datname = current_database())`,
  );
  return row?.locks !== 0;
}

/** Minutes by which clocks are wrong. */
export interface Clocks {
  readonly tool: number;
  readonly blue: number;
  readonly green: number;
}

/** Whose clock is wrong in this round. */
export function clocksOf({ kind, dice }: Plan): Clocks {
  const clocks = { tool: 0, blue: 0, green: 0 };
  if (kind !== 'clock') return clocks;
  const who = dice.pick(['tool', 'blue', 'green'] as const) ?? 'tool';
  // A PostgreSQL whose clock libfaketime puts forward has no timeouts any more; the other one put
  // back is the same difference.
  return { ...clocks, [who]: who === 'tool' && dice.chance(0.5) ? 10 : -10 };
}

function clockSentence(clocks: Clocks): string {
  const wrong = Object.entries(clocks).filter(([, minutes]) => minutes !== 0);
  return wrong.map(([who, minutes]) => `clock of ${who} off by ${minutes} minutes`).join(', ');
}
