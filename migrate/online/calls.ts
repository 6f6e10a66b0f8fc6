import type { Catalog } from './catalog.ts';
import { callsIn, every, stringsOf } from './tree.ts';

/** Functions of PostgreSQL that compute, draw a number or read the clock, and do nothing else. */
export const tame: ReadonlySet<string> = new Set(
  `abbrev abs acos acosh age any_value array_agg array_append array_cat array_dims array_fill
array_length array_lower array_ndims array_position array_positions array_prepend array_remove
array_replace array_reverse array_sort array_to_json array_to_string array_to_tsvector array_upper
ascii asin asinh atan atan2 atanh avg bit_and bit_count bit_length bit_or bit_xor bool bool_and
bool_or bpchar broadcast btrim cardinality casefold cbrt ceil ceiling char_length character_length
chr clock_timestamp coalesce col_description concat concat_ws convert convert_from convert_to corr
cos cosd cosh cot cotd count covar_pop covar_samp crc32 crc32c cume_dist current_database
current_schema current_schemas current_setting currval date date_add date_bin date_part
date_subtract date_trunc datemultirange daterange decode degrees dense_rank div encode erf erfc
every exp extract factorial family first_value float4 float8 floor format format_type gamma gcd
gen_random_uuid generate_series generate_subscripts get_bit get_byte greatest grouping
has_column_privilege has_schema_privilege has_table_privilege hashtext hashtextextended host
hostmask inet_client_addr inet_merge inet_same_family initcap int2 int4 int4multirange int4range
int8 int8multirange int8range interval is_normalized isempty isfinite json_agg json_array_elements
json_array_elements_text json_array_length json_build_array json_build_object json_each
json_each_text json_extract_path json_extract_path_text json_object json_object_agg json_object_keys
json_populate_record json_populate_recordset json_strip_nulls json_to_record json_to_recordset
json_typeof jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length
jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path
jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_keys
jsonb_path_exists jsonb_path_exists_tz jsonb_path_match jsonb_path_query jsonb_path_query_array
jsonb_path_query_first jsonb_path_query_tz jsonb_populate_record jsonb_populate_recordset
jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset
jsonb_typeof justify_days justify_hours justify_interval lag last_value lastval lcm lead least left
length lgamma like_escape ln log log10 lower lower_inc lower_inf lpad ltrim make_date make_interval
make_time make_timestamp make_timestamptz masklen max md5 min min_scale mod mode multirange netmask
network nextval normalize now nth_value ntile nullif num_nonnulls num_nulls numeric nummultirange
numnode numrange obj_description octet_length oid overlaps overlay parse_ident percent_rank
percentile_cont percentile_disc pg_backend_pid pg_collation_for pg_column_size pg_current_snapshot
pg_current_xact_id pg_get_constraintdef pg_get_expr pg_get_functiondef pg_get_indexdef
pg_get_serial_sequence pg_get_viewdef pg_size_bytes pg_size_pretty
pg_table_is_visible pg_typeof pg_wal_lsn_diff phraseto_tsquery pi plainto_tsquery position power
querytree quote_ident quote_literal quote_nullable radians random random_normal range_agg
range_intersect_agg range_merge rank regexp_count regexp_instr regexp_like regexp_match
regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr regr_count
regr_intercept regr_r2 regr_slope repeat replace reverse right round row_number row_to_json rpad
rtrim scale set_bit set_byte set_masklen setseed setval setweight sha224 sha256 sha384 sha512 sign
similar_to_escape sin sind sinh split_part sqrt starts_with statement_timestamp stddev stddev_pop
stddev_samp string_agg string_to_array string_to_table strip strpos substr substring sum tan tand
tanh text timestamptz timezone to_ascii to_bin to_char to_date to_hex to_json to_jsonb to_number
to_oct to_regclass to_regnamespace to_regproc to_regrole to_regtype to_timestamp to_tsquery
to_tsvector transaction_timestamp translate trim_array trim_scale trunc ts_delete ts_headline
ts_lexize ts_rank ts_rank_cd tsmultirange tsrange tstzmultirange tstzrange tsvector_to_array
txid_current unistr unnest upper upper_inc upper_inf uuid uuid_extract_timestamp
uuid_extract_version uuidv4 uuidv7 var_pop var_samp varchar variance version websearch_to_tsquery
width_bucket xml_is_well_formed xmlagg xmlcomment xmlconcat2 xpath xpath_exists`.split(/\s+/),
);

/** Those of them that give another value for every row. */
export const drawing: ReadonlySet<string> = new Set(
  `clock_timestamp currval gen_random_uuid lastval nextval random random_normal setseed setval
uuidv4 uuidv7`.split(/\s+/),
);

/** True where an expression may give every row another value: by what it calls, or may call. */
export function isDrawn(expression: unknown, catalog: Catalog): boolean {
  const wild = wildCalls(expression, catalog).length > 0;
  return wild || callsIn(expression).some((name) => drawing.has(name));
}

/** The functions called anywhere in a statement of which its text does not tell what they do. */
export function wildCalls(tree: unknown, catalog: Catalog): readonly string[] {
  return every('FuncCall', tree).flatMap((call) => {
    const parts = 'funcname' in call && Array.isArray(call.funcname) ? call.funcname : [];
    const [name = '', schema = 'pg_catalog'] = [...stringsOf(parts)].reverse();
    const known = schema === 'pg_catalog' && tame.has(name) && !catalog.functions.has(name);
    return known ? [] : [name];
  });
}
