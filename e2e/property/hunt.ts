import { randomInt } from 'node:crypto';
import * as fc from 'fast-check';
import { sequences as drawn, type Operation } from './operation.ts';
import { Abandoned, type Scene, Violation } from './scene.ts';
import { runSequence } from './sequence.ts';

export interface Hunt {
  readonly nodes: Scene['nodes'];
  readonly sequences: number;
  /** 0: drawn. */
  readonly seed: number;
  /** `seed:path` as a report prints it: that one sequence, and what it shrinks to. */
  readonly replay: string;
}

export interface Found {
  /** What was violated, by the shortest sequence found; '' where nothing was. */
  readonly report: string;
  readonly summary: string;
  /** How often each kind of operation was run. */
  readonly kinds: ReadonlyMap<string, number>;
  /** Sequences without a verdict, since a node was too busy to answer. */
  readonly abandoned: number;
}

/** Sequences under way at a time: a revocation waits 50 ms, and others work meanwhile. */
const atOnce = 24;
const shrinkMsMax = 60_000;
/** A race is not lost each time: what may be the shorter sequence is tried so often. */
const triesInShrinking = 3;

interface State {
  seed: number;
  ran: number;
  steps: number;
  abandoned: number;
  /** Which lane found something, and when. */
  finder: number | undefined;
  foundAtMs: number;
  done: boolean;
  readonly kinds: Map<string, number>;
}

/** Runs random sequences until one violates the model, then shrinks that one. */
export async function hunt({ nodes, sequences, seed, replay }: Hunt): Promise<Found> {
  const state: State = {
    seed: seed || randomInt(1, 2 ** 30),
    ran: 0,
    steps: 0,
    abandoned: 0,
    finder: undefined,
    foundAtMs: 0,
    done: false,
    kinds: new Map(),
  };
  const [replaySeed = '', path = ''] = replay.split(/:(.*)/);
  const lanes = replay === '' ? Math.min(atOnce, sequences) : 1;
  const startedMs = performance.now();
  const results = await Promise.all(
    Array.from({ length: lanes }, (_, lane) =>
      runLane(nodes, state, lane, {
        seed: replaySeed === '' ? state.seed + lane : Number(replaySeed),
        ...(path === '' ? {} : { path }),
        numRuns: Math.ceil(sequences / lanes),
      }),
    ),
  );
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
  const counts = `${state.ran} sequences, ${state.steps} operations, ${state.abandoned} abandoned`;
  const found = results.find(({ failed }, lane) => failed && lane === state.finder);
  return {
    report: found === undefined ? '' : reportOf(found),
    summary: `property: seed ${state.seed}: ${counts}, ${seconds} s`,
    kinds: state.kinds,
    abandoned: state.abandoned,
  };
}

type Details = fc.RunDetails<[readonly Operation[]]>;

function runLane(
  nodes: Scene['nodes'],
  state: State,
  lane: number,
  parameters: fc.Parameters<[readonly Operation[]]>,
): Promise<Details> {
  const property = fc.asyncProperty(drawn, async (operations) => {
    if (state.done) return;
    if (state.finder === lane) return shrink(nodes, state, operations);
    try {
      await attempt(nodes, state, operations);
    } catch (error) {
      // Another lane's find is being shrunk; this one only keeps the nodes busy meanwhile.
      if (state.finder !== undefined) return;
      state.finder = lane;
      state.foundAtMs = performance.now();
      throw error;
    }
  });
  return fc.check(property, { ...parameters, endOnFailure: false }).finally(() => {
    if (state.finder === lane) state.done = true;
  });
}

async function shrink(
  nodes: Scene['nodes'],
  state: State,
  operations: readonly Operation[],
): Promise<void> {
  for (let tries = 0; tries < triesInShrinking; tries++) {
    if (performance.now() - state.foundAtMs > shrinkMsMax) return;
    await attempt(nodes, state, operations);
  }
}

async function attempt(
  nodes: Scene['nodes'],
  state: State,
  operations: readonly Operation[],
): Promise<void> {
  state.ran += 1;
  state.steps += operations.length;
  try {
    await runSequence({ nodes, ran: state.kinds }, operations);
  } catch (error) {
    if (!(error instanceof Abandoned)) throw error;
    state.abandoned += 1;
  }
}

function reportOf(details: Details): string {
  const { errorInstance, seed, counterexamplePath, numShrinks } = details;
  const violation =
    errorInstance instanceof Violation
      ? errorInstance.message
      : errorInstance instanceof Error
        ? (errorInstance.stack ?? errorInstance.message)
        : String(errorInstance);
  return [
    `The shortest sequence found, after ${numShrinks} shrinks (A and B are the nodes):`,
    violation,
    `Again: GATEHOUSE_PROPERTY_REPLAY=${seed}:${counterexamplePath} npm run property`,
  ].join('\n');
}
