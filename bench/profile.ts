import { mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './deployments/child.ts';
import { startGatehouse } from './deployments/gatehouse.ts';
import { measureSlice, type Slice } from './measure/slice.ts';
import { type ModeName, modeOf } from './modes.ts';
import type { Plan } from './run.ts';
import { withStopped } from './session.ts';

/** A V8 profile, as `--cpu-prof` writes it: times in microseconds of the monotonic clock. */
interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    readonly lineNumber: number;
  };
  readonly children?: readonly number[];
}

const directory = join(root, 'tmp', 'profiles');
const topMax = 40;
const intervalMicroseconds = 400;

/** Profiles each mode in a process of its own; gives the functions that cost most, by room. */
export async function runProfile(plan: Plan, say: (line: string) => void): Promise<string> {
  mkdirSync(directory, { recursive: true });
  const parts: string[] = [];
  for (const name of plan.modes) parts.push(await profileMode(plan, name, say));
  return parts.join('\n\n');
}

async function profileMode(
  plan: Plan,
  name: ModeName,
  say: (line: string) => void,
): Promise<string> {
  const before = new Set(readdirSync(directory));
  const mode = modeOf(name);
  const slice = await withStopped(async (started) => {
    const nodeArgs = [
      '--cpu-prof',
      `--cpu-prof-dir=${directory}`,
      `--cpu-prof-interval=${intervalMicroseconds}`,
    ];
    const deployment = started(await startGatehouse({ processes: 1, nodeArgs }));
    const operationsMax = Math.ceil(mode.warmOperations * plan.warm);
    say(`warming up ${name}: ${operationsMax} operations`);
    await measureSlice({ deployment, mode, seconds: 240, operationsMax });
    say(`profiling ${name} for ${plan.seconds} s`);
    return measureSlice({ deployment, mode, seconds: plan.seconds });
  });
  const written = readdirSync(directory).find((file) => !before.has(file));
  if (written === undefined) throw new Error(`no profile was written to ${directory}`);
  const file = join(directory, `${name}.cpuprofile`);
  renameSync(join(directory, written), file);
  const profile: Profile = JSON.parse(readFileSync(file, 'utf8'));
  return `${name}, from ${file}\n${describe(profile, slice)}`;
}

/**
 * Self time within the slice: by room, with what Node does on its behalf (a system call belongs to
 * whoever wrote), then the functions that have most of it, with who called Node's.
 */
function describe(profile: Profile, slice: Slice): string {
  const selfOf = selfTimes(profile, slice.beganAt, slice.endedAt);
  const callers = callersOf(profile);
  const functions = new Map<string, number>();
  const rooms = new Map<string, number>();
  let busy = 0;
  for (const node of profile.nodes) {
    const self = selfOf.get(node.id) ?? 0;
    const name = node.callFrame.functionName;
    if (self === 0 || name === '(idle)') continue;
    busy += self;
    const owner = ownerOf(node, callers);
    const isOwn = owner === node;
    const called = isOwn || owner === undefined ? '' : ` < ${labelOf(owner)}`;
    add(functions, `${labelOf(node)}${called}`, self);
    add(rooms, owner === undefined ? roomOf('', name) : roomOf(placeOf(owner), name), self);
  }
  const line = ([name, self]: readonly [string, number]) =>
    `${((self / busy) * 100).toFixed(1).padStart(6)} %  ` +
    `${(self / slice.operations).toFixed(1).padStart(7)} us/op  ${name}`;
  const most = (map: ReadonlyMap<string, number>) => [...map].sort(([, a], [, b]) => b - a);
  return [
    `server ${slice.serverMicroseconds.toFixed(0)} us, ` +
      `PostgreSQL ${slice.postgresMicroseconds.toFixed(0)} us per operation; ` +
      `main thread busy ${(busy / slice.operations).toFixed(0)} us per operation`,
    ...most(rooms).map(line),
    '',
    ...most(functions).slice(0, topMax).map(line),
  ].join('\n');
}

function add(sums: Map<string, number>, name: string, value: number): void {
  sums.set(name, (sums.get(name) ?? 0) + value);
}

function callersOf(profile: Profile): ReadonlyMap<number, ProfileNode> {
  const callers = new Map<number, ProfileNode>();
  for (const node of profile.nodes) {
    for (const child of node.children ?? []) callers.set(child, node);
  }
  return callers;
}

/** The nearest function up the stack that is neither Node's nor native; undefined: there is none. */
function ownerOf(
  node: ProfileNode,
  callers: ReadonlyMap<number, ProfileNode>,
): ProfileNode | undefined {
  for (let at: ProfileNode | undefined = node; at !== undefined; at = callers.get(at.id)) {
    const place = placeOf(at);
    if (place !== '' && !place.startsWith('node:')) return at;
  }
  return undefined;
}

function labelOf(node: ProfileNode): string {
  const place = placeOf(node);
  const { functionName, lineNumber } = node.callFrame;
  return place === '' ? functionName : `${place}:${lineNumber + 1} ${functionName}`;
}

function selfTimes(profile: Profile, from: number, to: number): ReadonlyMap<number, number> {
  const self = new Map<number, number>();
  let at = profile.startTime;
  profile.samples.forEach((id, index) => {
    const delta = profile.timeDeltas[index] ?? 0;
    at += delta;
    if (at >= from && at <= to) self.set(id, (self.get(id) ?? 0) + delta);
  });
  return self;
}

function placeOf({ callFrame }: ProfileNode): string {
  const path = callFrame.url.replace(/^file:\/\//, '');
  return path.startsWith(root) ? path.slice(root.length) : path;
}

function roomOf(place: string, functionName: string): string {
  if (place === '') return functionName.startsWith('(') ? functionName : 'node itself';
  const inPackage = /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(place);
  if (inPackage !== null) return `package ${inPackage[1]}`;
  return place
    .split('/')
    .slice(0, place.startsWith('server/') ? 2 : 1)
    .join('/');
}
