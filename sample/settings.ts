import { sampleClientId } from './registration.ts';

/** What the sample app needs to know, from its environment. */
export interface Settings {
  readonly port: number;
  /** Where browsers reach it, without a trailing slash. */
  readonly url: string;
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
}

/** Reads the settings; throws with a sentence that names the one that is missing or wrong. */
export function readSettings(): Settings {
  const port = Number(process.env.SAMPLE_PORT ?? 4460);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new Error('SAMPLE_PORT must be a port, 1 to 65535.');
  }
  return {
    port,
    url: (process.env.SAMPLE_URL ?? `http://127.0.0.1:${port}`).replace(/\/$/, ''),
    issuer: process.env.SAMPLE_ISSUER ?? 'http://127.0.0.1:4444',
    clientId: process.env.SAMPLE_CLIENT_ID ?? sampleClientId,
    clientSecret: required('SAMPLE_CLIENT_SECRET'),
  };
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '') {
    throw new Error(`${name} is not set: register the app (sample/registration.ts) and pass it.`);
  }
  return value;
}
