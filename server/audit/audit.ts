import type { Log } from '#server/operation/log.ts';
import type { Metrics } from '#server/operation/metrics.ts';
import { insertEntries } from '#server/store/audit.ts';
import { createBatch } from '#server/store/batch.ts';
import type { Database } from '#server/store/database.ts';
import type { AuditEntry } from './entry.ts';
import { createTally, type Tallied } from './tally.ts';

/** The audit log of this process: how everything else adds to it. */
export interface Audit {
  /** Committed when it resolves. Throws where PostgreSQL does not answer. */
  write(entry: AuditEntry): Promise<void>;
  /**
   * For events that strangers can cause in any number: the first of a kind is written at once, the
   * others of the same minute share an entry. Never throws and never waits.
   */
  count(event: Tallied): void;
  /** Writes what was counted. */
  close(): Promise<void>;
}

const rowsMax = 200;
const waitingMax = 10_000;

/** Opens the audit log on a database. */
export function createAudit(database: Database, log: Log, metrics: Metrics): Audit {
  const add = createBatch<{ readonly key: string; readonly entry: AuditEntry }, true>({
    name: 'audit',
    rowsMax,
    waitingMax,
    key: ({ key }) => key,
    async run(items) {
      await insertEntries(
        database,
        items.map(({ entry }) => entry),
      );
      return items.map((): true => true);
    },
    onBatch: (rows, seconds) => metrics.batchSent('audit', rows, seconds),
  });
  let written = 0;
  const write = async (entry: AuditEntry): Promise<void> => {
    written += 1;
    await add({ key: String(written), entry });
  };
  const tally = createTally((entry) =>
    write(entry).catch((error: unknown) => {
      metrics.event('audit_lost');
      log.error('audit_entry_lost', { action: entry.action, count: entry.count ?? 1 }, error);
    }),
  );
  return { write, count: tally.count, close: tally.flush };
}
