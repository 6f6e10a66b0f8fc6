import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '#server/config/config.ts';
import { secretFile } from '#server/secrets.ts';
import { sampleClient, sampleClientId } from '../sample/registration.ts';
import type { Admin } from './admin.ts';
import { Failure } from './command.ts';

/** The sample app as a child process. */
export interface Sample {
  readonly url: string;
  /** Resolves with a sentence when it ended without being asked to. */
  readonly failed: Promise<string>;
  stop(): Promise<void>;
}

const secretName = 'sample-secret';
const readyMsMax = 20_000;
const stopMsMax = 3_000;

/** Registers the sample app, as it is now, and starts it; resolves when it answers. */
export async function startSample(config: Config, port: number, admin: Admin): Promise<Sample> {
  const url = `http://127.0.0.1:${port}`;
  const secret = await register(config.dataDir, url, admin);
  const child = spawn(process.execPath, [fileURLToPath(mainModule())], {
    // Nothing of our environment, which may hold the keys to everything.
    env: {
      PATH: '/usr/bin:/bin',
      SAMPLE_PORT: String(port),
      SAMPLE_URL: url,
      SAMPLE_ISSUER: config.issuer,
      SAMPLE_CLIENT_ID: sampleClientId,
      SAMPLE_CLIENT_SECRET: secret,
      ...trustOf(config),
    },
    // The channel closes when we die, however that happens, and the sample app ends with us.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    // In a session of its own: Ctrl-C is for us, and we say when it ends.
    detached: true,
  });
  let asked = false;
  const exit = once(child, 'exit').catch(() => {});
  const failed = new Promise<string>((resolve) => {
    child.once('error', (error) =>
      resolve(`The sample app could not be started: ${error.message}`),
    );
    child.once('exit', (code, signal) => {
      if (!asked) resolve(`The sample app ended by itself (${signal ?? `exit code ${code}`}).`);
    });
  });
  const sample: Sample = {
    url,
    failed,
    async stop() {
      asked = true;
      await end(child, exit);
    },
  };
  try {
    const late = await Promise.race([failed, untilItAnswers(url)]);
    if (late !== undefined) throw new Failure(late);
    return sample;
  } catch (error) {
    await sample.stop();
    throw error;
  }
}

function mainModule(): URL {
  return new URL('../sample/main.ts', import.meta.url);
}

/** Where the issuer has a certificate of its own, the sample app must know it. */
function trustOf({ extraCa, tlsCert }: Config): Record<string, string> {
  const file = extraCa ?? tlsCert;
  return file === undefined ? {} : { NODE_EXTRA_CA_CERTS: file };
}

/** Creates or updates client `sample-app`; gives its secret. May be repeated. */
async function register(dataDir: string, url: string, admin: Admin): Promise<string> {
  const path = `/admin/clients/${sampleClientId}`;
  const isNew = (await stat(join(dataDir, secretName)).catch(() => undefined)) === undefined;
  const secret = await secretFile(dataDir, secretName);
  const document = sampleClient(url);
  const found = await admin.find(path);
  if (found === undefined) {
    await admin.call('POST', '/admin/clients', { ...document, client_secret: secret });
  } else if (isNew) {
    // The secret it was registered with is lost: this one takes its place.
    await admin.call('PUT', path, { ...document, client_secret: secret });
  } else if (!holds(found.body, document)) {
    await admin.call('PUT', path, document);
  }
  return secret;
}

/** True if the registered document says the same as ours wherever ours says something. */
function holds(registered: unknown, document: Readonly<Record<string, unknown>>): boolean {
  const fields = new Map<string, unknown>(Object.entries(Object(registered)));
  return Object.entries(document).every(([name, value]) =>
    isDeepStrictEqual(fields.get(name), value),
  );
}

async function untilItAnswers(url: string): Promise<string | undefined> {
  const pollMs = 50;
  for (let waitedMs = 0; waitedMs < readyMsMax; waitedMs += pollMs) {
    const answers = await fetch(url, { redirect: 'manual' }).then(
      async (response) => {
        await response.body?.cancel();
        return true;
      },
      () => false,
    );
    if (answers) return undefined;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  return `The sample app did not answer at ${url} within ${readyMsMax / 1000} s.`;
}

async function end(child: ChildProcess, exit: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  child.kill('SIGTERM');
  // A browser keeps its connection open: nothing of the sample app is worth waiting for it.
  const late = setTimeout(() => child.kill('SIGKILL'), stopMsMax);
  await exit;
  clearTimeout(late);
}
