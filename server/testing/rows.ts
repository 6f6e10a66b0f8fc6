import { withClient } from '#server/postgres/cluster.ts';

/**
 * Runs a statement as the owner of the tables, past the server. So a row ages at once, which otherwise a
 * test would have to wait for, and not for too long.
 */
export async function changeRows(
  ownerUrl: string,
  statement: string,
  values: readonly unknown[] = [],
): Promise<void> {
  await withClient(ownerUrl, (client) => client.query(statement, [...values]));
}
