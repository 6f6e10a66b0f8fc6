import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MigrationRefused } from './refused.ts';

/**
 * What a migration may do. Expand only adds, so the release before runs on it too; backfill fills
 * what was added; contract removes what no supported release uses.
 */
export type Phase = 'expand' | 'backfill' | 'contract';

/** One numbered SQL file. */
export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly phase: Phase;
  /** What `up` runs. */
  readonly sql: string;
  /** What takes it back, where the file has a section `-- migrate:down`. */
  readonly down?: string;
  /** The line of the file where the down section begins. */
  readonly downLine: number;
  /** SHA-256 of the file, in hex: a file that was applied never changes. */
  readonly checksum: string;
}

/** Tells the name of a phase from any other text. */
export function isPhase(text: string | undefined): text is Phase {
  return text === 'expand' || text === 'backfill' || text === 'contract';
}

/** `0004_narrowing (expand)` */
export function labelOf(migration: {
  readonly number: number;
  readonly name: string;
  readonly phase: string;
}): string {
  return `${String(migration.number).padStart(4, '0')}_${migration.name} (${migration.phase})`;
}

/** The line that begins the down section, in every spelling that an annotation may have. */
const downMarker = /^[^\S\r\n]*--[^\S\r\n]*migrate[^\S\r\n]*:[^\S\r\n]*down[^\S\r\n]*$/im;

/** A migration out of the name and the text of its file; throws where the name is no name. */
export function migrationOf(file: string, text: string): Migration {
  const match = /^(\d{4})_([a-z0-9_]+)\.(expand|backfill|contract)\.sql$/.exec(file);
  const [, number, name, phase] = match ?? [];
  if (number === undefined || name === undefined || !isPhase(phase)) {
    throw new MigrationRefused(
      `${file}: a migration is named NNNN_name.(expand|backfill|contract).sql; rename it`,
    );
  }
  const marker = downMarker.exec(text);
  return {
    number: Number(number),
    name,
    phase,
    sql: marker === null ? text : text.slice(0, marker.index),
    ...(marker === null ? {} : { down: text.slice(marker.index) }),
    downLine: marker === null ? 0 : text.slice(0, marker.index).split('\n').length,
    checksum: createHash('sha256').update(text).digest('hex'),
  };
}

/** The migrations of a directory, `NNNN_name.phase.sql`, by number. Throws where files contradict. */
export async function readMigrations(directory: string): Promise<readonly Migration[]> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.sql')).sort();
  const migrations = await Promise.all(
    files.map(async (file) =>
      migrationOf(file, textOf(file, await readFile(join(directory, file)))),
    ),
  );
  for (const [index, migration] of migrations.entries()) {
    if (migration.number === migrations[index - 1]?.number) {
      throw new MigrationRefused(
        `two migrations have the number ${migration.number}: give one of them another`,
      );
    }
  }
  return migrations;
}

/** The text of a file, without the mark that some editors put before it; throws where it is not UTF-8. */
function textOf(file: string, bytes: Uint8Array): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (!text.includes('\0')) return text;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  throw new MigrationRefused(`${file}: it is not a text in UTF-8; save it as such`);
}
