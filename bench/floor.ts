import { startFloor } from './deployments/floor.ts';
import { startGatehouse } from './deployments/gatehouse.ts';
import { startEcho } from './measure/echo.ts';
import { type ModeName, modeOf } from './modes.ts';
import type { Result, Run } from './results.ts';
import { measure, type Plan } from './run.ts';
import { withStopped } from './session.ts';

/** What the floor can do. */
const floorModes = ['login', 'login-ES256'] as const satisfies readonly ModeName[];

const echoWarmSeconds = 2;

/**
 * Gatehouse beside the floor, in turn: how much of a login is unavoidable with six requests on
 * `node:http` and three statements, and whether a goal lies above that floor on this machine now.
 */
export async function runFloor(plan: Plan, say: (line: string) => void): Promise<string> {
  const run = await withStopped(async (started) => {
    const echo = started(await startEcho(echoWarmSeconds));
    const deployments = [
      started(await startGatehouse({ processes: 1 })),
      started(await startFloor()),
    ];
    return measure({ ...plan, modes: floorModes, thorough: false }, { deployments, echo, say });
  });
  return floorModes.map((mode) => sentenceOf(mode, run)).join('\n');
}

function sentenceOf(mode: ModeName, run: Run): string {
  const of = (product: Result['product']) => {
    const found = run.results.find((one) => one.mode === mode && one.product === product);
    if (found === undefined) throw new Error(`${mode} was not measured at ${product}`);
    return found;
  };
  const [ours, floor] = [of('gatehouse'), of('floor')];
  const told = (result: Result) =>
    `${result.microseconds.median.toFixed(0)} us = ${result.echoes.median.toFixed(1)} echoes, ` +
    `${result.perCoreSecond.toFixed(0)} per core-second`;
  return (
    `${mode}: Gatehouse ${told(ours)}; the floor ${told(floor)}; ` +
    `${(ours.echoes.median / floor.echoes.median).toFixed(2)} times the floor; ` +
    `the goal is ${modeOf(mode).goal?.asked}`
  );
}
