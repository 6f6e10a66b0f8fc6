import type { Database, Statement } from '#server/store/database.ts';

const raise: Statement = {
  name: 'control_raise_access_seconds',
  text: `
update control set access_seconds_max = $1
where singleton and access_seconds_max < $1`,
};

/**
 * Says that access tokens may live this long, before the first of them is issued: facts are kept as
 * long as anything that they can kill. Never lowers, since longer tokens may be out there.
 */
export async function raiseAccessSeconds(database: Database, seconds: number): Promise<void> {
  await database.query(raise, [seconds]);
}
