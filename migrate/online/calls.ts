import type { Catalog } from './catalog.ts';
import { every, stringsOf } from './tree.ts';

/** Functions of PostgreSQL that compute, draw a number or read the clock, and do nothing else. */
const tame: ReadonlySet<string> = new Set(
  `abs age any_value array_agg array_append array_cat array_length array_lower array_position
array_positions array_prepend array_remove array_replace array_to_json array_to_string array_upper
ascii avg bit_and bit_count bit_length bit_or bool_and bool_or btrim cardinality cbrt ceil ceiling
char_length character_length chr clock_timestamp coalesce concat concat_ws convert_from convert_to
corr count crc32 cume_dist currval current_database current_schema current_setting date_bin
date_part date_trunc decode degrees dense_rank div encode every exp extract factorial first_value
floor format gcd gen_random_uuid generate_series generate_subscripts get_bit get_byte greatest
hashtext hashtextextended host initcap json_agg json_array_elements json_array_elements_text
json_array_length json_build_array json_build_object json_each json_each_text json_extract_path
json_extract_path_text json_object json_object_agg json_object_keys json_strip_nulls json_typeof
jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array
jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text
jsonb_insert jsonb_object jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_query
jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set jsonb_set_lax
jsonb_strip_nulls jsonb_typeof justify_days justify_hours justify_interval lag last_value lastval
lcm lead least left length like_escape ln log log10 lower lower_inc lower_inf lpad ltrim make_date
make_interval make_time make_timestamp make_timestamptz masklen max md5 min mod mode network
nextval normalize now nth_value ntile nullif num_nonnulls num_nulls octet_length overlaps overlay
parse_ident percent_rank percentile_cont percentile_disc pi position power quote_ident
quote_literal quote_nullable radians random random_normal range_agg rank regexp_count regexp_instr
regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
regexp_split_to_table regexp_substr repeat replace reverse right round row_number row_to_json rpad
rtrim scale set_bit set_byte setseed setval sha224 sha256 sha384 sha512 sign similar_to_escape
split_part sqrt starts_with statement_timestamp stddev stddev_pop stddev_samp string_agg
string_to_array string_to_table strpos substr substring sum timezone to_char to_date to_hex
to_json to_jsonb to_number to_regclass to_timestamp to_tsquery to_tsvector transaction_timestamp
translate trim_array trim_scale trunc txid_current unistr unnest upper upper_inc upper_inf uuidv4
uuidv7 var_pop var_samp variance width_bucket xmlagg`.split(/\s+/),
);

/** The functions called anywhere in a statement of which its text does not tell what they do. */
export function wildCalls(tree: unknown, catalog: Catalog): readonly string[] {
  return every('FuncCall', tree).flatMap((call) => {
    const parts = 'funcname' in call && Array.isArray(call.funcname) ? call.funcname : [];
    const [name = '', schema = 'pg_catalog'] = [...stringsOf(parts)].reverse();
    const known = schema === 'pg_catalog' && tame.has(name) && !catalog.functions.has(name);
    return known ? [] : [name];
  });
}
