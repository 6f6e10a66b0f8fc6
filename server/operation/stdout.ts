import { write, writeSync } from 'node:fs';

/** Where lines go. */
export interface Sink {
  /** Takes one line with its line feed. */
  write(line: string): void;
  /** Begins to write what has gathered. */
  flush(): void;
}

/** Up to this size a write to a pipe is atomic, so that the lines of several workers do not mix. */
const pipeBytesMax = 4096;
/** What waits for a reader that does not read; more lines are lost rather than the process. */
const chunksMax = 2000;
const lineWaitMsMax = 200;
const retryMs = 50;
const stdoutFd = 1;

/**
 * Standard output in chunks of 4 KiB, written in the background: a line costs no system call of its
 * own, and a slow reader holds nobody up (measured to /dev/null: an access line 3 to 5 us all in
 * all). What is left at the end of the process is written then; a reader that has gone is no error.
 */
export function openStdout(): Sink {
  const chunks: string[] = [];
  let gathering = '';
  let writing = false;

  const begin = () => {
    const chunk = writing ? undefined : chunks.shift();
    if (chunk === undefined) return;
    writing = true;
    writeAll(Buffer.from(chunk), () => {
      writing = false;
      begin();
    });
  };
  const flush = () => {
    if (gathering === '') return;
    if (chunks.length < chunksMax) chunks.push(gathering);
    gathering = '';
    begin();
  };
  setInterval(flush, lineWaitMsMax).unref();
  process.once('exit', () => {
    try {
      for (const chunk of [...chunks, gathering]) writeSync(stdoutFd, chunk);
    } catch {
      // Nobody reads any more, and there is nowhere left to say so.
    }
  });
  return {
    write(line) {
      if (gathering.length + line.length > pipeBytesMax) flush();
      gathering += line;
    },
    flush,
  };
}

function writeAll(bytes: Buffer, done: () => void): void {
  write(stdoutFd, bytes, (error, written) => {
    const rest = bytes.subarray(written);
    if (error?.code === 'EAGAIN') setTimeout(() => writeAll(bytes, done), retryMs);
    else if (error === null && rest.length > 0) writeAll(rest, done);
    else done();
  });
}
