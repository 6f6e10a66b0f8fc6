import { setTimeout as sleep } from 'node:timers/promises';
import { migrate, query } from '#migrate/testing/databases.ts';
import { type Application, startApplication } from './application.ts';
import { mappingPath } from './bank.ts';
import { type Clocks, clocksOf, inject } from './injection.ts';
import { type Judged, judge } from './judge.ts';
import { betweenFenceAndRetirement, type Phase, type Plan } from './plan.ts';
import { clockOff } from './server.ts';
import { startTool, type Tool } from './tool.ts';
import type { Testimony } from './witness.ts';
import type { Ground, World } from './world.ts';

/** What came of one seed. */
export interface Outcome {
  readonly plan: Plan;
  /** What happened, in the order in which it did. */
  readonly story: readonly string[];
  /** The injection came while the command was under way. */
  readonly hit: boolean;
  /** What must never be; none: the round is sound. */
  readonly violations: readonly string[];
  /** What happened when, in seconds from the beginning, for whoever asks why. */
  readonly timeline: readonly string[];
  readonly judged: Judged | undefined;
  readonly ms: number;
}

export interface RoundOptions {
  /** How long a tool that is stopped sleeps. */
  readonly freezeMs: number;
  /** How long a switch may hold writes. */
  readonly holdMs: number;
}

/** What a round goes through. */
interface Stage {
  readonly world: World;
  readonly ground: Ground;
  readonly plan: Plan;
  readonly options: RoundOptions;
  readonly clocks: Clocks;
  readonly app: Application;
  readonly story: string[];
  readonly violations: string[];
  readonly timeline: string[];
  readonly startedMs: number;
  testimony: Testimony | undefined;
  hit: boolean;
}

/** One migration from beginning to end, with one thing that goes wrong in one phase. */
export async function runRound(world: World, plan: Plan, options: RoundOptions): Promise<Outcome> {
  const startedMs = performance.now();
  const story: string[] = [];
  const violations: string[] = [];
  const timeline: string[] = [];
  let judged: Judged | undefined;
  let hit = false;
  const clocks = clocksOf(plan);
  for (const side of ['blue', 'green'] as const) {
    if (clocks[side] !== 0) await world.servers[side].setClock(clocks[side]);
  }
  const ground = await world.create(`round_${plan.seed}`, plan.kind === 'disk-full');
  const app = await startApplication(ground.app, [
    world.servers.blue.url('postgres'),
    world.servers.green.url('postgres'),
  ]);
  const stage: Stage = {
    ...{ world, ground, plan, options, clocks, app, story, violations, timeline, startedMs },
    testimony: undefined,
    hit: false,
  };
  try {
    await world.witness.begin(ground.direct);
    await prepareFor(stage);
    await injectIn(stage);
    await complete(stage);
    const testimony = stage.testimony ?? (await world.witness.end());
    stage.testimony = testimony;
    judged = await judge(stage, testimony, await app.stop());
    violations.push(...judged.violations);
  } catch (error) {
    violations.push(`the round broke off: ${error instanceof Error ? error.message : error}`);
  } finally {
    hit = stage.hit;
    if (stage.testimony === undefined) await world.witness.end().catch(() => {});
    await app.stop().catch(() => {});
    await restore(world);
    await ground.remove();
    for (const side of ['blue', 'green'] as const) {
      if (clocks[side] !== 0) await world.servers[side].setClock(0);
    }
  }
  const ms = Math.round(performance.now() - startedMs);
  return { plan, story, hit, violations, timeline, judged, ms };
}

function tell(stage: Stage, sentence: string): void {
  stage.story.push(sentence);
  stage.timeline.push(`${seconds(stage)} ${sentence}`);
}

const seconds = ({ startedMs }: Stage) => ((performance.now() - startedMs) / 1000).toFixed(1);

/** Whatever a round left broken. */
async function restore(world: World): Promise<void> {
  await Promise.all([world.servers.blue.start(), world.servers.green.start()]);
  for (const { blue, green } of Object.values(world.proxies)) {
    for (const proxy of [blue, green]) {
      proxy.release();
      proxy.accept();
    }
  }
  await world.disk?.free();
}

const before: Readonly<Record<Phase, readonly Phase[]>> = {
  plan: [],
  prepare: [],
  copy: ['prepare'],
  follow: ['prepare', 'copy'],
  verify: ['prepare', 'copy', 'follow'],
  switch: ['prepare', 'copy', 'follow'],
  watch: ['prepare', 'copy', 'follow', 'switch'],
  rollback: ['prepare', 'copy', 'follow', 'switch'],
  finish: ['prepare', 'copy', 'follow', 'switch'],
  abort: ['prepare', 'copy', 'follow'],
};
const after: Readonly<Record<Phase, readonly Phase[]>> = {
  plan: ['prepare', 'copy', 'follow', 'switch'],
  prepare: ['copy', 'follow', 'switch'],
  copy: ['follow', 'switch'],
  follow: ['switch'],
  verify: ['switch'],
  switch: [],
  watch: [],
  rollback: [],
  finish: [],
  abort: [],
};

async function prepareFor(stage: Stage): Promise<void> {
  for (const phase of before[stage.plan.phase]) await quietly(stage, phase);
  // What ends the migration takes the guard away, from when on anything may be written.
  if (stage.plan.phase === 'finish' || stage.plan.phase === 'abort') {
    stage.testimony = await stage.world.witness.end();
  }
  if (stage.plan.phase === 'finish') await stage.app.forgetBlue();
}

async function complete(stage: Stage): Promise<void> {
  if (stage.plan.phase === 'prepare') await stage.world.witness.guarded();
  for (const phase of after[stage.plan.phase]) await quietly(stage, phase);
}

/** A command in this process, where nothing goes wrong. */
async function quietly(stage: Stage, phase: Phase): Promise<void> {
  const said = await migrate(stage.ground.direct, ...argumentsOf(stage, phase, true));
  stage.timeline.push(`${seconds(stage)} ${phase} ended: ${lastLine(said)}`);
  if (phase === 'prepare') await stage.world.witness.guarded();
}

function argumentsOf({ options }: Stage, phase: Phase, once: boolean): readonly string[] {
  const mapping = ['--mapping', mappingPath];
  if (phase === 'copy') return [phase, ...mapping, '--workers', '2'];
  if (phase === 'follow' || phase === 'watch') {
    return [phase, ...mapping, ...(once ? ['--once'] : ['--interval-ms', '50'])];
  }
  if (phase === 'switch' || phase === 'rollback') {
    const verify = once ? ['--no-verify'] : ['--workers', '2'];
    return [phase, ...mapping, '--hold-ms', String(options.holdMs), ...verify];
  }
  return [phase, ...mapping];
}

const reachMsMax = 60_000;
/** So long after it is over, connections and databases are themselves again. */
const recoveryMs = 4_000;

async function injectIn(stage: Stage): Promise<void> {
  const { plan, ground, clocks, app } = stage;
  const { phase, kind, point } = plan;
  const env = clocks.tool === 0 ? {} : clockOff(clocks.tool);
  const again = (once: boolean) => () =>
    startTool(ground.tool, argumentsOf(stage, phase, once), undefined, env);
  const tool = startTool(ground.tool, argumentsOf(stage, phase, false), point, env);
  const reached = await tool.untilStopped(reachMsMax);
  stage.hit = reached === 'stopped';
  tell(stage, reached === 'stopped' ? `at "${point.name}"` : `"${point.name}" was not reached`);
  const outage = app.beginOutage();
  stage.timeline.push(`${seconds(stage)} outage begins`);
  const injected = await inject(
    { ...stage, freezeMs: stage.options.freezeMs, startAnother: again(false) },
    tool,
  );
  tell(stage, injected.what);
  if (kind === 'bad-row') await untilRefused(stage, tool);
  if (kind === 'disk-full') await tool.untilEnded(5_000);
  if (kind === 'freeze' && stage.hit) await wake(stage, tool, injected.heal);
  else await injected.heal();
  await untilThrough(stage, tool, again(goesOn(phase)));
  outage.endIn(recoveryMs);
  stage.timeline.push(`${seconds(stage)} outage ends`);
}

/** The tool must fail on a row that does not fit, and say which. */
async function untilRefused(stage: Stage, tool: Tool): Promise<void> {
  const ended = await tool.untilEnded(8_000);
  if (ended === undefined) tell(stage, 'the tool had passed it');
  else tell(stage, `tool: ${lastLine(ended.output)}`);
}

/** A tool that slept through its fence changes nothing when it wakes up. */
async function wake(stage: Stage, tool: Tool, heal: () => Promise<void>): Promise<void> {
  const { plan, options, violations, ground } = stage;
  const late = betweenFenceAndRetirement.some(([name]) => name === plan.point.name);
  if (!late || options.freezeMs < options.holdMs + 1_000) return heal();
  const slept = await standings(ground);
  await heal();
  const old = plan.phase === 'switch' ? 'blue' : 'green';
  if (!slept[old].startsWith('live')) {
    violations.push(`nobody lifted the fence of a tool that sleeps: ${old} is ${slept[old]}`);
  }
  const ended = await tool.untilEnded(30_000);
  const woken = await standings(ground);
  tell(stage, `${old} was ${slept[old]}; the tool woke up and ended with ${ended?.code}`);
  if (woken.blue !== slept.blue || woken.green !== slept.green) {
    violations.push(
      `a tool that slept through its fence changed something: blue ${slept.blue} to ${woken.blue}, ` +
        `green ${slept.green} to ${woken.green}`,
    );
  }
}

async function standings({ direct }: Ground) {
  const read = async (url: string) => {
    const [row] = await query(url, 'select s.state, s.epoch::text as epoch from migrate.seam s');
    return `${row?.state} (epoch ${row?.epoch})`;
  };
  return { blue: await read(direct.blue), green: await read(direct.green) };
}

const runsMax = 25;
const runMsMax = 150_000;
const followMs = 800;

const goesOn = (phase: Phase) => phase === 'follow' || phase === 'watch';

/** The same command again and again until it has done its work. */
async function untilThrough(stage: Stage, first: Tool, start: () => Tool): Promise<void> {
  const { plan } = stage;
  let tool = first;
  for (let runs = 0; runs < runsMax; runs += 1) {
    // It goes on until it is asked to end.
    if (runs === 0 && goesOn(plan.phase) && (await tool.untilEnded(followMs)) === undefined) {
      tool.kill('SIGTERM');
    }
    const ended = await tool.untilEnded(runMsMax);
    if (ended === undefined) {
      tool.kill('SIGKILL');
      throw new Error(`the tool hangs: ${lastLine(tool.output())}`);
    }
    if (ended.code === 0) {
      tell(stage, runs === 0 ? 'it went on' : `through after ${runs} more`);
      return;
    }
    if (runs < 3 && ended.signal === null && !/^Stopped;/.test(lastLine(ended.output))) {
      tell(stage, lastLine(ended.output));
    }
    if (runs > 0) await sleep(200);
    tool = start();
  }
  throw new Error(`"${plan.phase}" never got through: ${lastLine(tool.output())}`);
}

function lastLine(output: string): string {
  return (output.trim().split('\n').at(-1) ?? '').slice(0, 200);
}
