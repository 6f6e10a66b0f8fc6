// Loaded before the tool (`node --import`): stops the process by SIGSTOP at one statement. So each
// statement is a point, and the tool that is shipped has no setting that stops it.

import { writeSync } from 'node:fs';
import pg from 'pg';
import { type Point, pointParameter, pointShape, stopMark } from './point.ts';

const given = new URL(import.meta.url).searchParams.get(pointParameter);
if (given !== null) arm(pointShape.parse(JSON.parse(given)));

function arm(point: Point): void {
  const patterns = point.statements.map((text) => new RegExp(text, 'i'));
  let matched = 0;
  let visits = 0;
  const isDue = (text: string): boolean => {
    if (patterns[matched]?.test(text) !== true) return false;
    matched += 1;
    if (matched < patterns.length) return false;
    matched = 0;
    visits += 1;
    return visits === point.visit;
  };
  const stop = () => {
    writeSync(2, `${stopMark} ${point.name}\n`);
    process.kill(process.pid, 'SIGSTOP');
  };
  const query: unknown = Reflect.get(pg.Client.prototype, 'query');
  if (typeof query !== 'function') throw new Error('pg has no query to wrap');
  Reflect.set(pg.Client.prototype, 'query', function (this: unknown, ...args: unknown[]) {
    const due = isDue(textOf(args[0]));
    if (due && point.moment === 'before') stop();
    const answer: unknown = Reflect.apply(query, this, args);
    if (due && point.moment === 'sent') setImmediate(stop);
    if (!due || point.moment !== 'after') return answer;
    if (!(answer instanceof Promise)) {
      setImmediate(stop);
      return answer;
    }
    return answer.then((result: unknown) => {
      stop();
      return result;
    });
  });
}

function textOf(query: unknown): string {
  if (typeof query === 'string') return query;
  if (typeof query !== 'object' || query === null || !('text' in query)) return '';
  return String(query.text);
}
