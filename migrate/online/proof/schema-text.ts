import type pg from 'pg';

/**
 * Everything that two databases must have in common to be the same, as lines of text: tables,
 * columns, constraints, indexes with their validity, functions, and how many rows with which hash.
 */
export async function schemaText(client: pg.Client): Promise<readonly string[]> {
  const { rows } = await client.query<{ line: string }>(
    `select format('column %s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
         case when a.attnotnull then 'not null' end, pg_get_expr(d.adbin, d.adrelid)) as line
       from pg_attribute a join pg_class c on c.oid = a.attrelid
       left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
       where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'v', 'p')
         and a.attnum > 0 and not a.attisdropped
     union all
     select format('constraint %s %s %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
       from pg_constraint c where c.connamespace = current_schema()::regnamespace and c.contype <> 'n'
     union all
     select format('index %s %s %s', i.indexrelid::regclass, i.indisvalid,
         regexp_replace(pg_get_indexdef(i.indexrelid), ' ON [^ ]+ ', ' '))
       from pg_index i join pg_class c on c.oid = i.indexrelid
       where c.relnamespace = current_schema()::regnamespace
     union all
     select format('function %s %s', p.proname, md5(p.prosrc))
       from pg_proc p where p.pronamespace = current_schema()::regnamespace
     order by 1`,
  );
  const { rows: tables } = await client.query<{ name: string }>(
    `select format('%I', relname) as name from pg_class
     where relnamespace = current_schema()::regnamespace and relkind = 'r'
       and relname not in ('schema_migration', 'schema_step') order by relname`,
  );
  const contents: string[] = [];
  for (const { name } of tables) {
    const { rows: found } = await client.query<{ line: string }>(
      `select format('rows %s %s', count(1), md5(string_agg(t::text, ';' order by t::text))) as line
       from ${name} t`,
    );
    contents.push(`${name} ${found[0]?.line ?? ''}`);
  }
  const journal = await client.query<{ line: string }>(
    `select format('migration %s %s', number, checksum) as line from schema_migration
     union all
     select format('step %s %s %s', number, step, done_at is not null) from schema_step
     order by 1`,
  );
  return [...rows, ...journal.rows].map(({ line }) => line).concat(contents);
}
