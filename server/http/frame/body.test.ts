import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isRefusal } from '#core/refusal.ts';
import { loadConfig } from '#server/config/config.ts';
import { createLog } from '#server/operation/log.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import { heapBytes } from '#server/testing/heap.ts';
import { json } from './answer.ts';
import { parseForm, readForm, readJson } from './body.ts';
import { createFrame } from './frame.ts';
import { listen } from './listen.ts';

const form = 'application/x-www-form-urlencoded';

function app() {
  const frame = createFrame({
    config: loadConfig({ env: {}, readFile: () => '' }),
    log: createLog({ level: 'silent' }),
    metrics: createMetrics(),
    admin: false,
  });
  frame.post('/form', async (c) => {
    const read = await readForm(c, 100, new Set(['resource']));
    return json(
      200,
      isRefusal(read) ? read : Object.fromEntries([...read.names()].map((n) => [n, read.all(n)])),
    );
  });
  frame.post('/json', async (c) => json(200, await readJson(c, 200)));
  return frame;
}

type Sent = { readonly type?: string; readonly body?: string | ReadableStream };

/** Over a socket, and without one: the two ways in which a body is read. */
async function answers(path: string, { type, body }: Sent): Promise<unknown[]> {
  const frame = app();
  const listener = await listen(frame, { host: '127.0.0.1', port: 0 });
  const init = { method: 'POST', headers: type === undefined ? {} : { 'content-type': type } };
  const sent = body === undefined ? init : { ...init, body };
  try {
    const overSocket = await fetch(`http://127.0.0.1:${listener.port}${path}`, sent);
    const direct = await frame.request(path, sent);
    return [await overSocket.json(), await direct.json()];
  } finally {
    await listener.close(1);
  }
}

/** The least of five tries: what the text costs, and not what else the machine does. */
function cpuMsOf(form: string): number {
  const tries = Array.from({ length: 5 }, () => {
    const before = process.cpuUsage();
    parseForm(form);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  return Math.min(...tries);
}

describe('RFC 6749 §3.2: a form', () => {
  test('R21: a value that is kept keeps nothing of a long body around it', () => {
    const kept: unknown[] = [];
    const before = heapBytes();
    for (let i = 0; i < 1000; i += 1) {
      const body = `client_id=a-client-called-${i}&pad=${'x'.repeat(60_000)}`;
      const read = parseForm(Buffer.from(body).toString());
      kept.push(isRefusal(read) ? read : read.get('client_id'));
    }
    expect(heapBytes() - before).toBeLessThan(5_000_000);
    expect(kept.at(-1)).toBe('a-client-called-999');
  });

  test.each<[Sent, unknown]>([
    [
      { type: form, body: 'a=1&b=x%20y+z' },
      { a: ['1'], b: ['x y z'] },
    ],
    [{ type: `${form};charset=UTF-8`, body: 'a=%C3%A9' }, { a: ['é'] }],
    [{ type: `${form.toUpperCase()} ; charset=utf-8`, body: 'a=1' }, { a: ['1'] }],
    [{ type: form, body: 'a=&b=1&c' }, { b: ['1'] }],
    [{ type: form, body: '' }, {}],
    [{ type: form, body: 'resource=x&resource=y' }, { resource: ['x', 'y'] }],
    [
      { type: form, body: 'a=%zz&b=%' },
      { a: ['%zz'], b: ['%'] },
    ],
    [{ type: 'text/plain', body: 'a=1' }, { refused: 'content_type' }],
    [{ type: 'application/json', body: '{}' }, { refused: 'content_type' }],
    [{ type: `${form}x`, body: 'a=1' }, { refused: 'content_type' }],
    [{ type: form, body: `a=${'x'.repeat(100)}` }, { refused: 'body_too_large' }],
    [
      { type: form, body: 'client_id=a&client_id=b' },
      { refused: 'duplicate_parameter', hint: 'The parameter client_id is given more than once.' },
    ],
    [
      { type: form, body: 'client%5Fid=a&client_id=b' },
      expect.objectContaining({ refused: 'duplicate_parameter' }),
    ],
    [{ type: form, body: '%3Cb%3E=1&%3Cb%3E=2' }, { refused: 'duplicate_parameter' }],
    [{ type: form, body: 'a=x%00y' }, expect.objectContaining({ refused: 'malformed_request' })],
    [{ type: form, body: 'a%00=x' }, expect.objectContaining({ refused: 'malformed_request' })],
    [{ type: form, body: '=1&=2' }, { refused: 'duplicate_parameter' }],
  ])('%j', async (sent, expected) => {
    expect(await answers('/form', sent)).toEqual([expected, expected]);
  });

  test('a body without announced length is bounded all the same', async () => {
    const listener = await listen(app(), { host: '127.0.0.1', port: 0 });
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode('a'.repeat(64))),
    });
    const sent = {
      method: 'POST',
      headers: { 'content-type': form },
      body: endless,
      duplex: 'half',
    };
    const answer = await fetch(`http://127.0.0.1:${listener.port}/form`, sent as RequestInit);
    expect(await answer.json()).toEqual({ refused: 'body_too_large' });
    await listener.close(1);
  });

  test.each(['p=1&', 'p&', '&', '%&', '%ff&'])('more than 200 of %j are refused', (pair) => {
    const several = new Set(['p']);
    expect(isRefusal(parseForm(pair.repeat(200), several))).toBe(false);
    const refused = { refused: 'malformed_request' };
    expect(parseForm(pair.repeat(201), several)).toMatchObject(refused);
  });

  test('security 52: no form of 64 KiB costs 20 ms of the loop', () => {
    for (const pair of ['%&', '%ff&', '%=%&', '&', '%', '%ff', '+', 'a=%ff%&', '%c3']) {
      const text = pair.repeat(65_536 / pair.length);
      const others = text.replaceAll('&', '');
      const long = `${Array.from({ length: 199 }, (_, n) => `${n}=${others.slice(0, 325)}`).join('&')}`;
      for (const form of [text, others, long]) expect(cpuMsOf(form), pair).toBeLessThan(20);
    }
  });

  test('it reads what URLSearchParams reads', () => {
    const text = fc.string({
      unit: fc.constantFrom(...'ab=&+%2C3A9zé;'.split('')),
      maxLength: 40,
    });
    fc.assert(
      fc.property(text, (body) => {
        const expected = [...new URLSearchParams(body)].filter(([, value]) => value !== '');
        const names = expected.map(([name]) => name);
        const read = parseForm(body, new Set(names));
        if (isRefusal(read)) throw new Error(read.refused);
        for (const name of names) {
          expect(read.all(name)).toEqual(
            expected.filter(([other]) => other === name).map(([, value]) => value),
          );
        }
        expect([...read.names()].sort()).toEqual([...new Set(names)].sort());
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a JSON body', () => {
  const refused = (reason: string) => expect.objectContaining({ refused: reason });
  test.each<[Sent, unknown]>([
    [{ type: 'application/json', body: '{"a":[1]}' }, { body: { a: [1] } }],
    [{ type: 'application/json; charset=utf-8', body: '{}' }, { body: {} }],
    [{ type: 'application/json-patch+json', body: '[]' }, { body: [] }],
    [{}, {}],
    [{ type: 'application/json', body: '' }, {}],
    [{ type: 'text/plain', body: '{}' }, refused('content_type')],
    [{ type: form, body: '{}' }, refused('content_type')],
    [{ type: 'application/json', body: '{' }, refused('malformed_request')],
    [{ type: 'application/json', body: 'hunter2' }, refused('malformed_request')],
    [
      { type: 'application/json', body: '['.repeat(33) + ']'.repeat(33) },
      refused('malformed_request'),
    ],
    [
      { type: 'application/json', body: '["[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\"[[["]' },
      { body: ['[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["[[['] },
    ],
    [{ type: 'application/json', body: '["\\u0000"]' }, refused('malformed_request')],
    [{ type: 'application/json', body: '["\\ud800"]' }, refused('malformed_request')],
    [
      { type: 'application/json', body: '["\\\\u0000", "\\u00e9\\ud83d\\ude00"]' },
      { body: ['\\u0000', 'é😀'] },
    ],
    [{ type: 'application/json', body: `"${'x'.repeat(200)}"` }, refused('body_too_large')],
    [{ type: 'application/json', body: '{"refused":"x"}' }, { body: { refused: 'x' } }],
  ])('%j', async (sent, expected) => {
    expect(await answers('/json', sent)).toEqual([expected, expected]);
  });
});
