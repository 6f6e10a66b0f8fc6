import type pg from 'pg';
import { inTransaction } from './database.ts';
import { quotedTable, type TableName } from './names.ts';

/** Something of a table that is dropped for the copy, and the statement that makes it again. */
interface Dropped {
  readonly name: string;
  readonly definition: string;
  readonly drop: string;
}

/**
 * Drops what slows a copy down and may be violated in the middle of one: every index of these
 * tables but primary keys, and before that the foreign keys which refer to such an index. Their
 * definitions are kept, and come back by {@link makeAgain}. Gives how many there are.
 */
export async function setAside(client: pg.Client, tables: readonly TableName[]): Promise<number> {
  const names = tables.map(quotedTable);
  return inTransaction(client, async () => {
    const references = await referencesOf(client, names);
    for (const { drop } of references) await client.query(drop);
    const indexes = await indexesOf(client, names);
    for (const { drop } of indexes) await client.query(drop);
    // In this order they can come back: a foreign key needs the index that it refers to.
    for (const { name, definition } of [...indexes, ...references]) {
      await client.query(
        `insert into migrate.set_aside (id, name, definition)
         select coalesce(max(s.id), 0) + 1, $1, $2 from migrate.set_aside s`,
        [name, definition],
      );
    }
    const { rows: kept } = await client.query<{ count: number }>(
      'select count(*)::int as count from migrate.set_aside s where not s.made_again',
    );
    return kept[0]?.count ?? 0;
  });
}

/** Foreign keys that refer to an index which is no primary key. */
async function referencesOf(
  client: pg.Client,
  names: readonly string[],
): Promise<readonly Dropped[]> {
  const { rows } = await client.query<Dropped>(
    `select quote_ident(n.nspname) || '.' || quote_ident(f.conname) as name,
       format('alter table %s add constraint %I %s', f.conrelid::regclass, f.conname,
         pg_get_constraintdef(f.oid)) as definition,
       format('alter table %s drop constraint %I', f.conrelid::regclass, f.conname) as drop
     from pg_constraint f
     join pg_class c on c.oid = f.conrelid join pg_namespace n on n.oid = c.relnamespace
     join pg_index x on x.indexrelid = f.conindid and not x.indisprimary
     where f.contype = 'f' and f.conparentid = 0
       and f.confrelid in (select to_regclass(t.name) from unnest($1::text[]) t(name))
     order by 1`,
    [names],
  );
  return rows;
}

async function indexesOf(client: pg.Client, names: readonly string[]): Promise<readonly Dropped[]> {
  const { rows } = await client.query<Dropped>(
    `select quote_ident(n.nspname) || '.' || quote_ident(i.relname) as name,
       -- No definition says where an index lies.
       case when s.oid is null then ''
         else format('set local default_tablespace = %L; ', s.spcname) end ||
       -- The definition of a partitioned index says "on only", which would leave its partitions out.
       case when k.oid is null and i.relkind = 'I' then
           regexp_replace(pg_get_indexdef(x.indexrelid), ' ON ONLY ', ' ON ')
         when k.oid is null then pg_get_indexdef(x.indexrelid)
         else format('alter table %s add constraint %I %s', x.indrelid::regclass, k.conname,
           pg_get_constraintdef(k.oid)) end
         -- What else was said of it goes with it.
         || case when x.indisreplident then format('; alter table %s replica identity using index %I',
           x.indrelid::regclass, i.relname) else '' end
         || case when x.indisclustered then format('; alter table %s cluster on %I',
           x.indrelid::regclass, i.relname) else '' end
         || coalesce('; comment on index ' || x.indexrelid::regclass || ' is '
           || quote_literal(obj_description(x.indexrelid, 'pg_class')), '')
         || coalesce('; comment on constraint ' || quote_ident(k.conname) || ' on '
           || x.indrelid::regclass || ' is ' || quote_literal(obj_description(k.oid, 'pg_constraint')),
           '') as definition,
       case when k.oid is null then format('drop index %s', x.indexrelid::regclass)
         else format('alter table %s drop constraint %I', x.indrelid::regclass, k.conname)
         end as drop
     from pg_index x
     join pg_class i on i.oid = x.indexrelid join pg_namespace n on n.oid = i.relnamespace
     left join pg_tablespace s on s.oid = i.reltablespace
     left join pg_constraint k on k.conindid = x.indexrelid and k.contype in ('u', 'x', 'p')
       and k.conrelid = x.indrelid
     where x.indrelid in (select to_regclass(t.name) from unnest($1::text[]) t(name))
       and not x.indisprimary
     order by 1`,
    [names],
  );
  return rows;
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
