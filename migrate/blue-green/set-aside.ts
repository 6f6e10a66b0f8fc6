import type pg from 'pg';
import { inTransaction } from './database.ts';
import { quotedTable, type TableName } from './names.ts';

/**
 * Drops what slows a copy down and may be violated in the middle of one: every index of these
 * tables but primary keys and what a foreign key refers to. Their definitions are kept, and come
 * back by {@link makeAgain}. Gives how many there are.
 */
export async function setAside(client: pg.Client, tables: readonly TableName[]): Promise<number> {
  return inTransaction(client, async () => {
    const { rows } = await client.query<{ name: string; definition: string; drop: string }>(
      `select quote_ident(n.nspname) || '.' || quote_ident(i.relname) as name,
         -- The definition of a partitioned index says "on only", which would leave its partitions out.
         case when k.oid is null and i.relkind = 'I' then
             regexp_replace(pg_get_indexdef(x.indexrelid), ' ON ONLY ', ' ON ')
           when k.oid is null then pg_get_indexdef(x.indexrelid)
           else format('alter table %s add constraint %I %s', x.indrelid::regclass, k.conname,
             pg_get_constraintdef(k.oid)) end as definition,
         case when k.oid is null then format('drop index %s', x.indexrelid::regclass)
           else format('alter table %s drop constraint %I', x.indrelid::regclass, k.conname)
           end as drop
       from pg_index x
       join pg_class i on i.oid = x.indexrelid join pg_namespace n on n.oid = i.relnamespace
       left join pg_constraint k on k.conindid = x.indexrelid and k.contype in ('u', 'x', 'p')
         and k.conrelid = x.indrelid
       where x.indrelid in (select to_regclass(t.name) from unnest($1::text[]) t(name))
         and not x.indisprimary
         and not exists (select 1 from pg_constraint f
                         where f.contype = 'f' and f.conindid = x.indexrelid)
       order by 1`,
      [tables.map(quotedTable)],
    );
    for (const { name, definition, drop } of rows) {
      await client.query(
        `insert into migrate.set_aside (id, name, definition)
         select coalesce(max(s.id), 0) + 1, $1, $2 from migrate.set_aside s`,
        [name, definition],
      );
      await client.query(drop);
    }
    const { rows: kept } = await client.query<{ count: number }>(
      'select count(*)::int as count from migrate.set_aside s where not s.made_again',
    );
    return kept[0]?.count ?? 0;
  });
}

/** Makes the next index again; gives its name, or undefined when all are there. */
export async function makeAgain(client: pg.Client): Promise<string | undefined> {
  return inTransaction(client, async () => {
    const { rows } = await client.query<{ id: number; name: string; definition: string }>(
      `select s.id, s.name, s.definition from migrate.set_aside s
       where not s.made_again order by s.id limit 1`,
    );
    const [next] = rows;
    if (next === undefined) return undefined;
    await client.query(next.definition);
    await client.query('update migrate.set_aside set made_again = true where id = $1', [next.id]);
    return next.name;
  });
}
