import type pg from 'pg';

/** What a role is for: `server` reads and writes rows; `usage` connects, and owns no right yet. */
export type RolePurpose = 'server' | 'usage';

/** True where the role is the one that is signed in, which owns everything anyway. */
export async function sameRole(client: pg.Client, role: string): Promise<boolean> {
  const result = await client.query('select current_user = $1 as same', [role]);
  return result.rows[0]?.same === true;
}

/** Gives a role what its purpose needs, on all tables there are now. May be repeated. */
export async function grantRoles(
  client: pg.Client,
  role: string,
  purpose: RolePurpose,
): Promise<void> {
  const found = await client.query(
    'select current_database() as database, current_schema() as schema',
  );
  const database = client.escapeIdentifier(String(found.rows[0]?.database));
  const schema = client.escapeIdentifier(String(found.rows[0]?.schema));
  const name = client.escapeIdentifier(role);
  const statements = [
    `grant connect on database ${database} to ${name}`,
    `grant usage on schema ${schema} to ${name}`,
  ];
  if (purpose === 'server') {
    statements.push(
      `grant select, insert, update, delete on all tables in schema ${schema} to ${name}`,
      `grant usage, select on all sequences in schema ${schema} to ${name}`,
      // Which migrations were applied is for the server to read, and for the owner to write.
      `revoke insert, update, delete on schema_migration, schema_step from ${name}`,
      // The audit log grows, and is never rewritten: not by a server that somebody took over either.
      ...(await auditStatements(client, schema, name)),
    );
  }
  for (const statement of statements) await client.query(statement);
}

/** Entries are added and read through the one table, and months come and go by its function only. */
async function auditStatements(client: pg.Client, schema: string, name: string) {
  const { rows } = await client.query<{ part: string }>(
    `select c.relname as part
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = to_regclass('audit')`,
  );
  if (rows.length === 0) return [];
  return [
    `revoke update, delete on audit from ${name}`,
    ...rows.map(({ part }) => {
      return `revoke all on ${schema}.${client.escapeIdentifier(part)} from ${name}`;
    }),
    `grant execute on function audit_keep(integer) to ${name}`,
  ];
}
