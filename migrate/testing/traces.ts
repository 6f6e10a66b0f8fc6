import { z } from 'zod';
import { query } from './databases.ts';

/**
 * Everything that the catalogs of a database say, one sorted line each, but for oids and what
 * statistics change: two of them are equal where nothing was left behind, and nothing taken away.
 */
export async function catalogOf(url: string): Promise<readonly string[]> {
  const rows = await query(
    url,
    `with ours as (select n.oid, n.nspname from pg_namespace n
       where n.nspname !~ '^pg_' and n.nspname <> 'information_schema')
     select format('schema %I %s', n.nspname, p.nspacl) as line
       from ours n join pg_namespace p using (oid)
     union all select format('relation %s %s %s %s %s', c.oid::regclass, c.relkind, c.relacl,
         c.reloptions, c.relrowsecurity)
       from pg_class c join ours n on n.oid = c.relnamespace
     union all select format('column %s.%I %s %s %s', a.attrelid::regclass, a.attname,
         format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity)
       from pg_attribute a join pg_class c on c.oid = a.attrelid
       join ours n on n.oid = c.relnamespace where a.attnum > 0
     union all select format('constraint %s %I %s %s', k.conrelid::regclass, k.conname,
         pg_get_constraintdef(k.oid), k.convalidated)
       from pg_constraint k join ours n on n.oid = k.connamespace
     union all select format('index %s %s', pg_get_indexdef(i.indexrelid), i.indisvalid)
       from pg_index i join pg_class c on c.oid = i.indexrelid
       join ours n on n.oid = c.relnamespace
     union all select format('trigger %s %s', pg_get_triggerdef(t.oid), t.tgenabled)
       from pg_trigger t where not t.tgisinternal
     union all select format('function %s', p.oid::regprocedure)
       from pg_proc p join ours n on n.oid = p.pronamespace
     union all select format('type %s', t.oid::regtype)
       from pg_type t join ours n on n.oid = t.typnamespace
     union all select format('extension %I %s %s', e.extname, e.extversion,
         obj_description(e.oid, 'pg_extension')) from pg_extension e
     union all select format('wrapper %I', w.fdwname) from pg_foreign_data_wrapper w
     union all select format('server %I', s.srvname) from pg_foreign_server s
     union all select format('user mapping %s %s', m.srvname, m.usename) from pg_user_mappings m
     union all select format('event trigger %I', e.evtname) from pg_event_trigger e
     union all select format('publication %I', p.pubname) from pg_publication p
     union all select format('settings %s %s', s.setrole, s.setconfig)
       from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase
       where d.datname = current_database()
     union all select format('large objects %s', count(*)) from pg_largeobject_metadata
     union all select format('prepared transactions %s', count(*)) from pg_prepared_xacts
     union all select format('advisory locks %s', count(*)) from pg_locks l
       where l.locktype = 'advisory'
         and l.database = (select d.oid from pg_database d where d.datname = current_database())
     order by 1`,
  );
  return z
    .array(z.object({ line: z.string() }))
    .parse(rows)
    .map(({ line }) => line);
}
