import { setTimeout as sleep } from 'node:timers/promises';
import { redeem } from '../login-app.ts';
import { deleteApp, revokeSome } from './deaths.ts';
import { throwDice } from './dice.ts';
import { startFleet, type Victim } from './fleet.ts';
import { insisted, type Ledger, type Line, note, openLedger } from './ledger.ts';
import {
  logIn,
  meetSomebody,
  refreshLine,
  refreshSome,
  registerApp,
  rotateSecret,
} from './operations.ts';
import { check, checkSome, type Scene } from './scene.ts';

/** What a run did and found. */
export interface Report {
  readonly violations: readonly string[];
  readonly kills: Readonly<Record<string, number>>;
  readonly counts: Readonly<Record<string, number>>;
}

const actors = 6;
const appsAtFirst = 6;
/** Kills between two times at which everything is judged while nothing is killed. */
const killsPerRound = 8;
const linesJudgedMax = 250;

/** Of 100 operations, how many are of which kind. */
const shares: readonly (readonly [number, (scene: Scene) => Promise<unknown>])[] = [
  [22, (scene) => logIn(scene)],
  [28, refreshSome],
  [20, checkSome],
  [16, revokeSome],
  [8, meetSomebody],
  [2, rotateSecret],
  [2, registerApp],
  [2, deleteApp],
];
const operations = shares.flatMap(([count, operation]) =>
  Array.from({ length: count }, () => operation),
);

/** Runs load and kills until there were `kills` of them, and judges the ledger. */
export async function runKills(kills: number, seed: number): Promise<Report> {
  const dice = throwDice(seed);
  const fleet = await startFleet();
  const scene: Scene = { ledger: openLedger(), dice: throwDice(seed + 1), nodes: fleet.nodes };
  const killed = new Map<string, number>();
  try {
    for (let app = 0; app < appsAtFirst; app += 1) await registerApp(scene);
    for (let done = 0; done < kills && scene.ledger.violations.length === 0; ) {
      const round = Math.min(killsPerRound, kills - done);
      await underLoad(scene, async () => {
        for (let kill = 0; kill < round; kill += 1) {
          await progress(scene);
          const victim = victimOf(dice.number(100));
          const hit = await fleet.kill(victim, dice);
          for (const line of scene.ledger.lines) if (line.busy) note(line, `KILLED ${hit}`);
          killed.set(victim, (killed.get(victim) ?? 0) + 1);
          await sleep(dice.number(300));
        }
      });
      done += round;
      await fleet.whole();
      await judge(scene, done >= kills);
    }
    for (const failure of fleet.failures()) scene.ledger.violation(`a server logged ${failure}`);
  } finally {
    await fleet.close();
  }
  return {
    violations: scene.ledger.violations,
    kills: Object.fromEntries(killed),
    counts: Object.fromEntries(scene.ledger.counts),
  };
}

/** Something was acknowledged since, or the outage lasts. */
async function progress({ ledger, dice }: Scene): Promise<void> {
  const acknowledged = () =>
    [...ledger.counts].reduce((sum, [what, times]) => sum + (quiet.has(what) ? 0 : times), 0);
  const enough = acknowledged() + 5 + dice.number(10);
  for (let waitedMs = 0; acknowledged() < enough && waitedMs < progressMsMax; waitedMs += 20) {
    await sleep(20);
  }
}

const quiet = new Set(['503', 'connections broken']);
const progressMsMax = 5000;

function victimOf(roll: number): Victim {
  if (roll < 45) return 'worker';
  if (roll < 60) return 'server';
  return roll < 80 ? 'backend' : 'postmaster';
}

/** Actors work until `during` is over, and finish what they have begun. */
async function underLoad(scene: Scene, during: () => Promise<void>): Promise<void> {
  let over = false;
  const act = async () => {
    while (!over) {
      const operation = scene.dice.pick(operations) ?? checkSome;
      try {
        await operation(scene);
      } catch (error) {
        scene.ledger.violation(`an operation failed: ${error}`);
        return;
      }
      await sleep(5);
    }
  };
  const working = Promise.all(Array.from({ length: actors }, act));
  try {
    await during();
  } finally {
    over = true;
    await working;
  }
}

/** Asks every node about everything that was acknowledged. `whole` also uses what is left. */
async function judge(scene: Scene, whole: boolean): Promise<void> {
  const { ledger, nodes } = scene;
  const lines = ledger.lines.slice(-linesJudgedMax);
  await inTurn(lines, async (line) => {
    // Twice: a server of two workers has two memories.
    for (const node of [...nodes, ...nodes]) await check(scene, line, node);
    for (const token of line.revoked.keys()) {
      for (const node of nodes) await check(scene, line, node, token);
    }
    if (line.state === 'dead') await staysDead(scene, line);
    else if (whole && line.state === 'alive') {
      await refreshLine(scene, line);
      for (const node of nodes) await check(scene, line, node);
    }
  });
  await inTurn(ledger.apps, (app) => judgeApp(ledger, scene.nodes[0], app));
  if (!whole) return;
  // A replay kills what its code gave, so this comes last.
  await inTurn(lines.slice(-50), (line) => replay(scene, line));
}

async function inTurn<T>(things: readonly T[], work: (thing: T) => Promise<void>): Promise<void> {
  const queue = [...things];
  const next = async () => {
    for (let one = queue.shift(); one !== undefined; one = queue.shift()) await work(one);
  };
  await Promise.all(Array.from({ length: actors }, next));
}

async function staysDead(scene: Scene, line: Line): Promise<void> {
  const { ledger, nodes } = scene;
  for (const node of nodes) {
    const { answer } = await insisted(ledger, 'refresh of the dead', () =>
      node.postAs(line.app.client, '/oauth2/token', {
        grant_type: 'refresh_token',
        refresh_token: line.refresh,
      }),
    );
    const expected = line.app.state === 'dead' ? 401 : 400;
    if (answer.status !== expected) {
      ledger.violation(`refreshing what is dead was answered ${answer.status}`, line);
    }
  }
}

async function judgeApp(
  ledger: Ledger,
  node: Scene['nodes'][0],
  app: Ledger['apps'][number],
): Promise<void> {
  if (app.state === 'doubt') return;
  for (const secret of app.secrets) {
    const client = { ...app.client, secret };
    const { answer } = await insisted(ledger, 'client credentials', () =>
      node.postAs(client, '/oauth2/token', { grant_type: 'client_credentials' }),
    );
    if (answer.status !== (app.state === 'alive' ? 200 : 401)) {
      ledger.violation(`a secret of an app that is ${app.state}: ${answer.status}`, app);
    }
  }
  const { answer } = await insisted(ledger, 'reading an app', () =>
    node.admin('GET', `/admin/clients/${app.client.id}`),
  );
  if (answer.status !== (app.state === 'alive' ? 200 : 404)) {
    ledger.violation(`an app that is ${app.state} is read with ${answer.status}`, app);
  }
}

/** A code that was redeemed gives nothing more, and its replay takes back what it gave. */
async function replay(scene: Scene, line: Line): Promise<void> {
  const { ledger, nodes } = scene;
  const { code, verifier } = line.code;
  const signedIn = { code, pkce: { verifier, challenge: '' } };
  const { answer } = await insisted(ledger, 'replay', () =>
    redeem(nodes[1], line.app.client, signedIn),
  );
  if (answer.status === 200) ledger.violation('one code gave two chains', line);
  if (line.state !== 'alive' || answer.status !== 400) return;
  line.state = 'dead';
  note(line, 'its code was replayed');
  for (const node of nodes) await check(scene, line, node);
}
