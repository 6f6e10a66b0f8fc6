import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Config } from '#server/config/config.ts';
import { variableName } from '#server/config/names.ts';
import { readAdminToken } from '#server/secrets.ts';
import { Failure } from './command.ts';
import { adminTokenFile } from './data-directory.ts';
import { urlOf } from './listening.ts';

/** An answer of the admin API, its JSON parsed. */
export interface AdminAnswer {
  readonly status: number;
  readonly body: unknown;
  /** The `Link` header of a listing. */
  readonly link: string;
}

/** The admin API of the deployment that the settings describe. */
export interface Admin {
  /**
   * A body is sent as JSON, URLSearchParams as a form. Throws {@link Failure} where nobody answers,
   * or with what the server refuses.
   */
  call(method: string, path: string, body?: unknown): Promise<AdminAnswer>;
  /** The same, with undefined for a 404. */
  find(path: string): Promise<AdminAnswer | undefined>;
}

const formType = 'application/x-www-form-urlencoded';
const answerMsMax = 15_000;
const answerBytesMax = 64 * 1024 * 1024;

/** Finds URL and token; `port` where the settings leave it open. Throws {@link Failure}. */
export async function openAdmin(config: Config, port = config.adminPort): Promise<Admin> {
  if (port === 0) {
    throw new Failure(`${variableName('adminPort')} is 0, so where it listens is not known.`);
  }
  const url = urlOf(config, 'admin', port);
  const token = await tokenOf(config);
  const certificate = config.tlsCert === undefined ? undefined : leafOf(config.tlsCert);

  async function send(method: string, path: string, body?: unknown): Promise<AdminAnswer> {
    const isForm = body instanceof URLSearchParams;
    const text = isForm ? body.toString() : body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      accept: 'application/json',
      authorization: `Bearer ${token}`,
      ...(text === undefined
        ? {}
        : {
            'content-type': isForm ? formType : 'application/json',
            'content-length': Buffer.byteLength(text),
          }),
    };
    const options = { method, headers, timeout: answerMsMax };
    // Exactly the certificate that the server was given, whatever name this machine goes by.
    const pinned = {
      ca: certificate,
      allowPartialTrustChain: true,
      checkServerIdentity: () => undefined,
    };
    const request =
      certificate === undefined
        ? httpRequest(url + path, options)
        : httpsRequest(url + path, { ...options, ...pinned });
    const response = await answered(request, text).catch((error: unknown) => {
      throw unreachable(url, error);
    });
    return { status: response.status, body: parsed(response.text), link: response.link };
  }

  return {
    async call(method, path, body) {
      const answer = await send(method, path, body);
      if (answer.status >= 300) throw refused(url, answer);
      return answer;
    },
    async find(path) {
      const answer = await send('GET', path);
      if (answer.status === 404) return undefined;
      if (answer.status >= 300) throw refused(url, answer);
      return answer;
    },
  };
}

/** The token; it is not made here, where it would open nothing. */
async function tokenOf(config: Config): Promise<string> {
  const file = adminTokenFile(config.dataDir);
  const isMade = (path: string) =>
    stat(path).then(
      () => true,
      () => false,
    );
  if (config.adminToken === undefined && !(await isMade(file))) {
    throw new Failure(
      `There is no admin token: ${file} is missing. Start Gatehouse first (npm start), run this in ` +
        `the same directory, or set ${variableName('adminToken')} or ${variableName('dataDir')}.`,
    );
  }
  return readAdminToken(config);
}

function leafOf(file: string): string {
  const pem = readFileSync(file);
  try {
    return new X509Certificate(pem).toString();
  } catch (cause) {
    const sentence = `${variableName('tlsCert')} must be a certificate (PEM): ${file} is none.`;
    throw new Failure(sentence, { cause });
  }
}

function answered(
  request: ClientRequest,
  body: string | undefined,
): Promise<{ status: number; text: string; link: string }> {
  return new Promise((resolve, reject) => {
    request.once('error', reject);
    request.once('timeout', () => request.destroy(new Error('no answer in time')));
    request.once('response', (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > answerBytesMax) request.destroy(new Error('the answer is too large'));
        else chunks.push(chunk);
      });
      response.once('error', reject);
      response.once('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({
          status: response.statusCode ?? 0,
          text,
          link: [response.headers.link].flat().join(),
        });
      });
    });
    request.end(body);
  });
}

function parsed(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function unreachable(url: string, error: unknown): Failure {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  return new Failure(
    `Gatehouse does not answer at ${url} (${code}). Is it running? ` +
      `${variableName('adminHost')} and ${variableName('adminPort')} say where it is looked for.`,
    { cause: error, mayPass: true },
  );
}

function refused(url: string, { status, body }: AdminAnswer): Failure {
  const fields = new Map(Object.entries(Object(body)));
  const said = fields.get('error_description') ?? fields.get('error');
  if (status === 401) {
    return new Failure(
      `${url} does not accept the admin token: is it that of another Gatehouse? ` +
        `${variableName('adminToken')} or ${variableName('dataDir')} says which is used.`,
    );
  }
  const sentence = typeof said === 'string' ? said : `${url} answered ${status}.`;
  return new Failure(sentence, { mayPass: status === 503 });
}
