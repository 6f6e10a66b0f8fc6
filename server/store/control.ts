import type { Database, Statement } from '#server/store/database.ts';

/**
 * A part of the statements that tell what kills access tokens: `lifetime.ends_at`, after which no
 * token that lives now is left. Reads the control row after `locked`, and as it is then, not as the
 * statement's snapshot has it: a longer lifetime may have taken effect while this one waited. The
 * ten minutes are for what was issued on a poll of a moment ago, and for slow statements.
 */
export const lifetime = `lifetime as materialized (
  select greatest(now() + make_interval(secs => o.access_seconds_max), o.access_expiry_high_water)
    + interval '10 minutes' as ends_at
  from locked l, control o
  where l.held
  for share of o
)`;

const raise: Statement = {
  name: 'control_raise_access_seconds',
  text: `
update control set access_seconds_max = $1, access_asserted_at = clock_timestamp()
where singleton and access_seconds_max < $1`,
};

/**
 * Says that access tokens may live this long, before the first of them is issued: facts are kept as
 * long as anything that they can kill.
 */
export async function raiseAccessSeconds(database: Database, seconds: number): Promise<void> {
  await database.query(raise, [seconds]);
}

/**
 * Nodes say every five minutes what they need; after four times that without a word for the longest
 * lifetime, it falls. The water mark rises first, in the same row: tokens of the longer lifetime are
 * out there until then. Writes nothing where the same was said less than four minutes ago.
 */
const settle: Statement = {
  name: 'control_settle_access_seconds',
  text: `
update control o set
  access_expiry_high_water = case when o.access_seconds_max > $1
    then greatest(o.access_expiry_high_water,
      clock_timestamp() + make_interval(secs => o.access_seconds_max))
    else o.access_expiry_high_water end,
  access_seconds_max = $1,
  access_asserted_at = clock_timestamp()
where o.singleton and (
  o.access_seconds_max < $1
  or o.access_seconds_max = $1 and o.access_asserted_at < now() - interval '4 minutes'
  or o.access_seconds_max > $1 and o.access_asserted_at < now() - interval '20 minutes')`,
};

/**
 * Says how long this node's access tokens live now. The longest lifetime rises to it at once, and
 * falls to it when nobody has needed more for twenty minutes. Harmless to repeat.
 */
export async function settleAccessSeconds(database: Database, seconds: number): Promise<void> {
  await database.query(settle, [seconds]);
}

const readSalt: Statement = {
  name: 'control_pairwise_salt',
  text: 'select o.pairwise_salt from control o where o.singleton',
};

/** What is known of the pairwise salt (server/pairwise-salt.ts); undefined: nothing. */
export async function readPairwiseSaltSeal(database: Database): Promise<Buffer | undefined> {
  const [row] = await database.query<{ pairwise_salt: Buffer | null }>(readSalt, []);
  return row?.pairwise_salt ?? undefined;
}

const putSalt: Statement = {
  name: 'control_put_pairwise_salt',
  text: `
update control set pairwise_salt = $2
where singleton and pairwise_salt is not distinct from $1::bytea`,
};

/** Puts `next` in the place of `before`; nothing where another process was faster. */
export async function putPairwiseSaltSeal(
  database: Database,
  before: Buffer | undefined,
  next: Buffer,
): Promise<void> {
  await database.query(putSalt, [before ?? null, next]);
}

const dropSalt: Statement = {
  name: 'control_drop_pairwise_salt',
  text: 'update control set pairwise_salt = null where singleton',
};

/** From here on nothing is known of the pairwise salt. */
export async function dropPairwiseSaltSeal(database: Database): Promise<void> {
  await database.query(dropSalt, []);
}
