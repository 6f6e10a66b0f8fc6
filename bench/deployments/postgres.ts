import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '#server/postgres/embedded.ts';

/** A new PostgreSQL in a directory of its own. */
export interface FreshPostgres extends EmbeddedPostgres {
  /** Beside its data: for what the server writes. */
  readonly directory: string;
  /** Stops it and removes everything. */
  remove(): Promise<void>;
}

/** Both products get the same: durable, as `npm start` sets it up, room for 8 processes. */
const settings = { max_connections: '200' };

/** Starts it; the settings are those of `npm start`. */
export async function startFreshPostgres(): Promise<FreshPostgres> {
  const directory = await mkdtemp(join(tmpdir(), 'gatehouse-bench-'));
  await chmod(directory, 0o755);
  const postgres = await startEmbeddedPostgres({ dataDir: directory, settings });
  return {
    ...postgres,
    directory,
    async remove() {
      await postgres.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
