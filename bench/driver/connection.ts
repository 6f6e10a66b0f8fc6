import { connect, type Socket } from 'node:net';

/** An answer, read to its end. */
export interface Answer {
  readonly status: number;
  /** Status line and headers as they came. */
  readonly head: string;
  readonly body: string;
}

/**
 * One keep-alive connection to a port of loopback, for one request at a time. Written by hand
 * because the driver shares the machine with what it measures: a request costs it about a fifth of
 * what `fetch` does.
 */
export interface Connection {
  /** Sends one whole request and reads its answer. Throws when the connection breaks. */
  send(request: string): Promise<Answer>;
  close(): void;
}

/** An answer that takes longer is an error. */
const answerMsMax = 30_000;
/** A connection that idled so long may be closed by the other side at any moment: a new one. */
const idleMsMax = 2_000;

interface Pending {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** Makes it; it connects at the first request. */
export function openConnection(port: number): Connection {
  let socket: Socket | undefined;
  let pending: Pending | undefined;
  let received = '';
  let usedAt = 0;

  function open(): Socket {
    const opened = connect({ port, host: '127.0.0.1', noDelay: true });
    opened.setEncoding('latin1');
    opened.setTimeout(answerMsMax, () => {
      if (pending !== undefined) opened.destroy(new Error(`no answer in ${answerMsMax} ms`));
      else opened.destroy();
    });
    opened.on('data', (text: string) => {
      received += text;
      const answer = answerIn(received);
      if (answer === undefined) return;
      received = '';
      const waiting = pending;
      pending = undefined;
      if (/\r\nconnection: close/i.test(answer.head)) drop(opened);
      waiting?.resolve(answer);
    });
    opened.on('error', (error) => fail(opened, error));
    opened.on('close', () => fail(opened, new Error('the connection was closed')));
    return opened;
  }

  function drop(one: Socket): void {
    if (socket === one) socket = undefined;
    one.destroy();
  }

  function fail(one: Socket, error: Error): void {
    if (socket !== one) return;
    socket = undefined;
    received = '';
    const waiting = pending;
    pending = undefined;
    waiting?.reject(error);
  }

  return {
    send(request) {
      return new Promise((resolve, reject) => {
        const now = performance.now();
        if (socket !== undefined && now - usedAt > idleMsMax) drop(socket);
        usedAt = now;
        socket ??= open();
        pending = { resolve, reject };
        socket.write(request, 'latin1');
      });
    },
    close() {
      if (socket !== undefined) drop(socket);
    },
  };
}

/** The answer in what was received, undefined while it is not whole. */
export function answerIn(received: string): Answer | undefined {
  const headEnd = received.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const head = received.slice(0, headEnd);
  const status = Number(head.slice(9, 12));
  const start = headEnd + 4;
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length !== undefined) {
    const end = start + Number(length);
    return received.length < end ? undefined : { status, head, body: received.slice(start, end) };
  }
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
    const body = chunksIn(received, start);
    return body === undefined ? undefined : { status, head, body };
  }
  return { status, head, body: '' };
}

function chunksIn(received: string, start: number): string | undefined {
  let body = '';
  for (let at = start; ; ) {
    const lineEnd = received.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(received.slice(at, lineEnd), 16);
    const end = lineEnd + 2 + size;
    if (received.length < end + 2) return undefined;
    if (size === 0) return body;
    body += received.slice(lineEnd + 2, end);
    at = end + 2;
  }
}

/** One header of an answer; undefined where there is none. `name` is in lower case. */
export function header(answer: Answer, name: string): string | undefined {
  for (const line of answer.head.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon === name.length && line.slice(0, colon).toLowerCase() === name) {
      return line.slice(colon + 1).trim();
    }
  }
  return undefined;
}
