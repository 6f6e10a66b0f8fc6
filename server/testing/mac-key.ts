import { randomUUID } from 'node:crypto';
import { loadConfig } from '#server/config/config.ts';
import { readMasterKeys } from '#server/keys/master.ts';
import { makeKey } from '#server/keys/rotation.ts';
import { refreshMacSet, scheduleOf, slotsOf } from '#server/keys/slots.ts';
import { openDatabase } from '#server/store/database.ts';
import { storeKeys } from '#server/store/key.ts';

/**
 * Makes the next MAC key of refresh tokens in a deployment that runs, as its schedule does, but used
 * from `activeInSeconds` on; gives its kid.
 */
export async function rotateMacKey(
  databaseUrl: string,
  masterKeyPath: string,
  activeInSeconds: number,
): Promise<string> {
  const env = { GATEHOUSE_DATABASE_URL: databaseUrl };
  const config = loadConfig({ env, readFile: () => '' });
  const slots = slotsOf(config, scheduleOf(config));
  const slot = slots.find((one) => one.setName === refreshMacSet);
  const master = await readMasterKeys(masterKeyPath);
  if (slot === undefined || master === undefined) throw new Error('no slot or no master key');
  const database = openDatabase({
    url: databaseUrl,
    applicationName: 'test',
    connectionsMax: 1,
    connectMsMax: 5000,
    statementMsMax: 5000,
  });
  const key = await makeKey({ slot, id: randomUUID(), activeInSeconds }, master);
  await storeKeys(database, [key]);
  await database.close();
  return key.kid;
}

/** The kid in a refresh token: it stands after version, chain and generation, as text. */
export function macKidOf(refreshToken: string): string {
  const bytes = Buffer.from(refreshToken.slice('gh_rt_'.length), 'base64url');
  return bytes.toString('utf8', 22, 22 + bytes.readUInt8(21));
}
