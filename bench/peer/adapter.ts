import type { Adapter, AdapterFactory, AdapterPayload } from 'oidc-provider';
import type pg from 'pg';

/**
 * The adapter that `oidc-provider` asks its users to write, on PostgreSQL: what is awaited is
 * committed, one statement per call, each by an index, prepared once per connection.
 */
export function createAdapterFactory(pool: pg.Pool): AdapterFactory {
  return (model) => adapterOf(pool, model);
}

interface ArtifactRow {
  readonly payload: AdapterPayload;
  readonly consumed: string | null;
}

const live = '(a.expires_at is null or a.expires_at > now())';
const columns = 'a.payload, extract(epoch from a.consumed_at) as consumed';
const statements = {
  upsert: `insert into artifact (model, id, payload, grant_id, uid, user_code, expires_at)
    values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))
    on conflict (model, id) do update set payload = excluded.payload,
      grant_id = excluded.grant_id, uid = excluded.uid, user_code = excluded.user_code,
      expires_at = excluded.expires_at`,
  find: `select ${columns} from artifact a where a.model = $1 and a.id = $2 and ${live}`,
  findByUid: `select ${columns} from artifact a where a.model = $1 and a.uid = $2 and ${live}`,
  findByUserCode: `select ${columns} from artifact a
    where a.model = $1 and a.user_code = $2 and ${live}`,
  consume: 'update artifact set consumed_at = now() where model = $1 and id = $2',
  destroy: 'delete from artifact where model = $1 and id = $2',
  revokeByGrantId: 'delete from artifact where grant_id = $1',
} as const;

function adapterOf(pool: pg.Pool, model: string): Adapter {
  const run = (name: keyof typeof statements, values: readonly unknown[]) =>
    pool.query<ArtifactRow>({ name, text: statements[name], values: [...values] });
  async function found(name: 'find' | 'findByUid' | 'findByUserCode', value: string) {
    const [row] = (await run(name, [model, value])).rows;
    if (row === undefined) return undefined;
    return row.consumed === null ? row.payload : { ...row.payload, consumed: Number(row.consumed) };
  }
  return {
    async upsert(id, payload, expiresIn) {
      const { grantId, uid, userCode } = payload;
      const text = JSON.stringify(payload);
      await run('upsert', [model, id, text, grantId, uid, userCode, expiresIn]);
    },
    find: (id) => found('find', id),
    findByUid: (uid) => found('findByUid', uid),
    findByUserCode: (userCode) => found('findByUserCode', userCode),
    async consume(id) {
      await run('consume', [model, id]);
    },
    async destroy(id) {
      await run('destroy', [model, id]);
    },
    async revokeByGrantId(grantId) {
      await run('revokeByGrantId', [grantId]);
    },
  };
}
