import { Failure, type Input } from './command.ts';

const charactersMax = 1024;
/** Access tokens with session claims are long. */
const tokenCharactersMax = 65_536;

/**
 * A new password: the first line of stdin with `--password-stdin`, else asked for twice on the
 * terminal without showing it. Never an argument, which every user of the machine could read.
 */
export async function readNewPassword(input: Input): Promise<string> {
  if (input.flag('password-stdin')) return firstLine('--password-stdin reads its first line.');
  if (!process.stdin.isTTY) {
    throw new Failure(
      'There is no terminal to ask for the password on: pipe it in with --password-stdin.',
    );
  }
  const password = await ask('New password: ');
  const again = await ask('Once more: ');
  if (!Buffer.from(password).equals(Buffer.from(again))) {
    throw new Failure('The two passwords differ; nothing was changed.');
  }
  return password;
}

/** A token: asked for on a terminal, else the first line of stdin. Never an argument. */
export async function readToken(): Promise<string> {
  if (process.stdin.isTTY) {
    const token = await ask('Token: ', tokenCharactersMax);
    if (token.trim() === '') throw new Failure('No token was given; nothing was done.');
    return token.trim();
  }
  return (await firstLine('pipe the token in.', tokenCharactersMax)).trim();
}

async function firstLine(remedy: string, limit = charactersMax): Promise<string> {
  let read = '';
  process.stdin.setEncoding('utf8');
  for await (const chunk of process.stdin) {
    read += String(chunk);
    if (read.includes('\n') || read.length > limit) break;
  }
  const [line = ''] = read.split(/\r?\n/);
  if (line === '') throw new Failure(`stdin is empty: ${remedy}`);
  if (line.length > limit) throw new Failure('The first line of stdin is too long.');
  return line;
}

/** One line from the terminal, unseen. */
function ask(question: string, limit = charactersMax): Promise<string> {
  const { stdin, stderr } = process;
  return new Promise((resolve, reject) => {
    let typed = '';
    const done = (settle: () => void) => {
      stdin.off('data', take).setRawMode(false).pause();
      stderr.write('\n');
      settle();
    };
    const take = (chunk: string) => {
      for (const character of chunk) {
        if (character === '\r' || character === '\n' || character === '\u0004') {
          done(() => resolve(typed));
          return;
        }
        if (character === '\u0003') {
          done(() => reject(new Failure('Stopped; nothing was changed.')));
          return;
        }
        if (character === '\u007f' || character === '\b') typed = [...typed].slice(0, -1).join('');
        else if (character === '\u0015') typed = '';
        else if (character >= ' ' && typed.length < limit) typed += character;
      }
    };
    // First unseen, then asked: what is typed ahead is not shown either.
    stdin.setEncoding('utf8').setRawMode(true).resume().on('data', take);
    stderr.write(question);
  });
}
