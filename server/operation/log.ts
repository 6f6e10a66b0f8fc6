import { pino } from 'pino';
import { isSecretName, redacted } from './redaction.ts';

/** What a log line may hold: numbers, booleans, ids and short enumerations. Never a structure. */
export type LogValue = string | number | boolean | null | undefined;
export type LogFields = Readonly<Record<string, LogValue>>;
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/**
 * Structured logs that cannot hold a secret: `event` is a short fixed name (`request_failed`), never
 * a sentence with values; every string passes {@link redacted}. An error goes into `cause`, and is
 * written with name, code, redacted message and the frames of its stack.
 */
export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields, cause?: unknown): void;
  error(event: string, fields?: LogFields, cause?: unknown): void;
  /** A log that adds these fields to each of its lines. */
  child(fields: LogFields): Log;
  /** Writes what is buffered; call before the process ends. */
  flush(): void;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** Where whole lines go; stdout when absent. */
  readonly write?: (line: string) => void;
  /** Lines for people, as `npm start` shows them, instead of JSON. */
  readonly pretty?: boolean;
}
