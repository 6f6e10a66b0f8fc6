import { redacted } from './redaction.ts';

const causesMax = 4;
const framesMax = 12;
const frame = /^ {4}at [^\r\n]{1,400}:\d+:\d+\)?$/;

/** What a log line says of a thrown value: its name, code, message and frames, and its causes. */
export function errorFields(thrown: unknown): Record<string, string> {
  const fields: Record<string, string> = { ...describe(thrown) };
  const causes: string[] = [];
  let cause = thrown instanceof Error ? thrown.cause : undefined;
  while (cause !== undefined && causes.length < causesMax) {
    const { error, code, message } = describe(cause);
    causes.push(`${error}${code === undefined ? '' : ` ${code}`}: ${message ?? ''}`);
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  if (causes.length > 0) fields.causes = redacted(causes.join('; '));
  return fields;
}

interface Described {
  readonly error: string;
  readonly code?: string;
  readonly message?: string;
  readonly stack?: string;
}

function describe(thrown: unknown): Described {
  // Whatever is not an Error may hold anything: only its kind is written.
  if (!(thrown instanceof Error)) return { error: `thrown ${typeof thrown}` };
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined;
  const stack = frames(thrown);
  return {
    error: redacted(thrown.name),
    ...(code !== undefined && /^[A-Z0-9_]{1,40}$/.test(code) ? { code } : {}),
    message: redacted(unquoted(thrown.message, thrown.name, code)),
    ...(stack === '' ? {} : { stack }),
  };
}

/**
 * JSON.parse and PostgreSQL's data errors (class 22) and constraint errors (class 23) quote the
 * very value that they refuse, and a short one is no pattern's prey.
 */
function unquoted(message: string, name: string, code: string | undefined): string {
  if (name !== 'SyntaxError' && !/^2[23]/.test(code ?? '')) return message;
  return message.replace(/"[^"]*("|$)|'[^']*('|$)/g, (quoted) =>
    /^"[a-z_]{1,63}"$/.test(quoted) && code?.startsWith('23') ? quoted : '[redacted]',
  );
}

/**
 * The code locations of a stack. V8 writes the message in front of them; only what follows the
 * message is taken, so a message with line breaks cannot pose as frames.
 */
function frames(error: Error): string {
  const stack = error.stack ?? '';
  const at = error.message === '' ? stack.indexOf('\n') : stack.indexOf(error.message);
  if (at < 0) return '';
  const lines = stack.slice(at + error.message.length).split('\n');
  return lines
    .filter((line) => frame.test(line))
    .slice(0, framesMax)
    .join('\n');
}
