import type { Database, Statement } from '#server/store/database.ts';

const put: Statement = {
  name: 'flow_reference_put',
  text: `
insert into flow_reference (id, sealed, expires_at)
values ($1, $2, now() + make_interval(secs => $3))
on conflict (id) do nothing`,
};

/** Keeps sealed bytes that are too large for a URL; what has this id already stays. */
export async function putReference(
  database: Database,
  id: string,
  sealed: Buffer,
  lifetimeSeconds: number,
): Promise<void> {
  await database.query(put, [id, sealed, lifetimeSeconds]);
}

const read: Statement = {
  name: 'flow_reference_read',
  text: 'select f.sealed from flow_reference f where f.id = $1 and f.expires_at > now()',
};

/** The sealed bytes kept under this id. */
export async function readReference(database: Database, id: string): Promise<Buffer | undefined> {
  const [row] = await database.query<{ sealed: Buffer }>(read, [id]);
  return row?.sealed;
}

const bury: Statement = {
  name: 'flow_tombstone_put',
  text: `
insert into flow_reference (id, sealed, expires_at)
values ($1, decode(repeat('00', 16), 'hex'), now() + make_interval(secs => $2))
on conflict (id) do nothing`,
};

/** Says that the flow with this id is over; it holds for `lifetimeSeconds`. */
export async function putTombstone(
  database: Database,
  id: string,
  lifetimeSeconds: number,
): Promise<void> {
  await database.query(bury, [id, lifetimeSeconds]);
}

/** True if the flow with this id was declared over. */
export async function isTombstone(database: Database, id: string): Promise<boolean> {
  return (await readReference(database, id)) !== undefined;
}
