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
      `revoke insert, update, delete on schema_migration from ${name}`,
    );
  }
  for (const statement of statements) await client.query(statement);
}
