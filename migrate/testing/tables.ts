import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MappingFile } from '#migrate/blue-green/mapping.ts';
import { openEmptyPair } from './bank.ts';
import { migrate, type Pair, query } from './databases.ts';

type Direction = MappingFile['forward'];

/** A projection that takes these columns of a table as they are. */
export function asItIs(
  target: string,
  key: readonly string[],
  further: readonly string[],
): Direction['tables'][number] {
  const columns = [...key, ...further].map((name) => `t.${name}`).join(', ');
  return {
    target,
    key: [...key],
    select: `select ${columns} from ${target} t`,
    sources: [{ table: target, columns: [...key] }],
  };
}

/** A pair with tables of its own, and the tool with a mapping of its own. */
export interface Tables extends Pair {
  /** One command in this process; gives its lines. */
  run(...args: readonly string[]): Promise<string>;
  /** Commands without options, one after the other. */
  runAll(...commands: readonly string[]): Promise<void>;
  /** The mapping is these tables from now on, in both directions unless `reverse` says otherwise. */
  remap(forward: Direction['tables'], reverse?: Direction['tables'] | null): Promise<void>;
}

/**
 * Makes two databases by `sql`, with a mapping that takes `tables` there, and `reverse` back; null:
 * there is no way back.
 */
export async function openTables(
  sql: { readonly blue: string; readonly green: string },
  tables: Direction['tables'],
  reverse: Direction['tables'] | null = tables,
  checks: MappingFile['checks'] = [],
): Promise<Tables> {
  const pair = await openEmptyPair();
  const directory = await mkdtemp(join(tmpdir(), 'migrate-tables-'));
  const file = join(directory, 'mapping.json');
  const remap = async (
    forward: Direction['tables'],
    back: Direction['tables'] | null = forward,
  ) => {
    const mapping: MappingFile = {
      name: 'tables',
      forward: { tables: forward },
      ...(back === null ? {} : { reverse: { tables: back } }),
      checks,
    };
    await writeFile(file, JSON.stringify(mapping));
  };
  await remap(tables, reverse);
  await query(pair.blue, sql.blue);
  await query(pair.green, sql.green);
  const run = (...args: readonly string[]) => migrate(pair, ...args, '--mapping', file);
  return {
    ...pair,
    run,
    remap,
    async runAll(...commands) {
      for (const command of commands) await run(...command.split(' '));
    },
    async close() {
      await pair.close();
      await rm(directory, { recursive: true });
    },
  };
}
