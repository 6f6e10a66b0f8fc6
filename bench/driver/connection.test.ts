import { createServer } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { answerIn, header, openConnection } from './connection.ts';
import { get, post } from './message.ts';

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    if (request.url === '/cut') {
      response.destroy();
      return;
    }
    response.setHeader('x-path', request.url ?? '');
    if (request.url === '/last') response.setHeader('connection', 'close');
    if (request.url === '/parts') {
      response.write('one ');
      setTimeout(() => response.end('two'), 5);
      return;
    }
    response.end(Buffer.concat(chunks).toString());
  });
});
let port = 0;
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  port = typeof address === 'object' && address !== null ? address.port : 0;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

test('answers of any framing are read whole, on one connection', async () => {
  const connection = openConnection(port);
  const form = await connection.send(post('/form', { a: 'b c', d: undefined, e: 'é&=' }));
  expect(form).toMatchObject({ status: 200, body: 'a=b%20c&e=%C3%A9%26%3D' });
  expect(header(form, 'x-path')).toBe('/form');
  expect((await connection.send(get('/parts'))).body).toBe('one two');
  expect((await connection.send(get('/last'))).status).toBe(200);
  expect(header(await connection.send(get('/again')), 'x-path')).toBe('/again');
  connection.close();
});

test('a connection that breaks under a request is an error, and the next one is a new one', async () => {
  const connection = openConnection(port);
  await expect(connection.send(get('/cut'))).rejects.toThrow();
  expect((await connection.send(get('/after'))).status).toBe(200);
  connection.close();
});

test('an answer that is not whole is not taken for one', () => {
  const whole = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody';
  for (let length = 0; length < whole.length; length++) {
    expect(answerIn(whole.slice(0, length))).toBeUndefined();
  }
  expect(answerIn(whole)?.body).toBe('body');
});
