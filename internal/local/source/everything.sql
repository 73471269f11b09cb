-- Every type of values that PostgreSQL 17 has built in, in a table with some rows of usual and of odd values.
CREATE SCHEMA types;
CREATE TYPE types.mood AS ENUM ('calm', 'odd "mood"', 'ü');
CREATE TYPE types.pair AS (a integer, b text);
CREATE DOMAIN types.positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN types.code AS character varying(8);
CREATE DOMAIN types.short_code AS types.code CHECK (length(VALUE) < 6);
CREATE DOMAIN types.flag AS boolean;
CREATE DOMAIN types.ratio AS real;
CREATE DOMAIN types.size AS double precision;
CREATE DOMAIN types.blob AS bytea;
CREATE DOMAIN types.amount AS numeric(12,3);
CREATE DOMAIN types.padded AS character(4);
CREATE DOMAIN types.moment AS timestamp with time zone;
CREATE DOMAIN types.feeling AS types.mood;
CREATE DOMAIN types.numbers AS integer[];
CREATE TYPE types.nested AS (at timestamp with time zone, list numeric[], inner_pair types.pair, raw bytea);
CREATE TYPE types.textrange AS RANGE (subtype = text, collation = "C");

CREATE TABLE types.everything (
  id             integer PRIMARY KEY,
  a_smallint     smallint,
  a_integer      integer,
  a_bigint       bigint,
  a_numeric      numeric,
  a_decimal      numeric(20,6),
  a_money        money,
  a_real         real,
  a_double       double precision,
  a_boolean      boolean,
  a_char         "char",
  a_character    character(5),
  a_varchar      character varying(20),
  a_text         text,
  a_name         name,
  a_bytea        bytea,
  a_date         date,
  a_time         time without time zone,
  a_timetz       time with time zone,
  a_timestamp    timestamp without time zone,
  a_timestamptz  timestamp with time zone,
  a_timestamp3   timestamp(3) with time zone,
  an_interval    interval,
  a_uuid         uuid,
  a_json         json,
  a_jsonb        jsonb,
  a_jsonpath     jsonpath,
  an_xml         xml,
  an_inet        inet,
  a_cidr         cidr,
  a_macaddr      macaddr,
  a_macaddr8     macaddr8,
  a_bit          bit(9),
  a_varbit       bit varying(20),
  a_tsvector     tsvector,
  a_tsquery      tsquery,
  a_point        point,
  a_line         line,
  an_lseg        lseg,
  a_box          box,
  a_path         path,
  a_polygon      polygon,
  a_circle       circle,
  an_int4range   int4range,
  an_int8range   int8range,
  a_numrange     numrange,
  a_tsrange      tsrange,
  a_tstzrange    tstzrange,
  a_daterange    daterange,
  a_multirange   int4multirange,
  a_pg_lsn       pg_lsn,
  a_pg_snapshot  pg_snapshot,
  an_xid8        xid8,
  an_oid         oid,
  a_regclass     regclass,
  an_enum        types.mood,
  a_composite    types.pair,
  a_domain       types.positive,
  a_text_domain  types.code,
  some_integers  integer[],
  some_texts     text[],
  a_matrix       double precision[][],
  some_moods     types.mood[],
  some_pairs     types.pair[],
  a_bpchar       bpchar,
  a_time3        time(3) without time zone,
  an_interval_s  interval day to second(3),
  a_wide         numeric(1000,500),
  a_thousands    numeric(6,-3),
  a_tiny         numeric(3,6),
  a_refcursor    refcursor,
  a_txid         txid_snapshot,
  an_int8multi   int8multirange,
  a_nummulti     nummultirange,
  a_tsmulti      tsmultirange,
  a_tstzmulti    tstzmultirange,
  a_datemulti    datemultirange,
  a_textrange    types.textrange,
  a_textmulti    types.textmultirange,
  a_nested       types.nested,
  d_short        types.short_code,
  d_flag         types.flag,
  d_ratio        types.ratio,
  d_size         types.size,
  d_blob         types.blob,
  d_amount       types.amount,
  d_padded       types.padded,
  d_moment       types.moment,
  d_feeling      types.feeling,
  d_numbers      types.numbers,
  some_booleans  boolean[],
  some_reals     real[],
  some_numerics  numeric[],
  some_bytes     bytea[],
  some_moments   timestamp with time zone[],
  some_spans     interval[],
  some_json      jsonb[],
  some_xml       xml[],
  some_uuids     uuid[],
  some_chars     character(3)[],
  some_boxes     box[],
  some_ranges    int4range[],
  some_codes     types.code[],
  some_nets      inet[],
  some_bits      bit varying[]
);

INSERT INTO types.everything VALUES
(1, 1, 2, 3, 4.5, 6.789, '1234.56', 1.5, 2.25, true, 'c', 'ab', 'varchar', 'text', 'name', '\x00ff5c', '2024-02-29', '12:34:56.789', '12:34:56.789+02', '2024-02-29 12:34:56.789012',
  '2024-02-29 12:34:56.789012+02', '2024-02-29 12:34:56.789+02', '1 year 2 mons 3 days 04:05:06.789', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"b": 1,  "a": [1.0, null]}', '{"b": 1,  "a": [1.0, null]}',
  '$.a[*] ? (@ > 1)', '<a b="c">d</a>', '192.168.0.1/24', '10.1.0.0/16', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '101010101', '1011', to_tsvector('simple', 'a fat cat'), 'fat & (rat | cat)',
  '(1.5,-2)', '{1,2,3}', '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(1,2),3>', '[1,5)', '(,5)', '[1.5,2.5]', '[2024-01-01,2024-02-01)', '[2024-01-01 00:00+00,)',
  '[2024-01-01,2024-02-01)', '{[1,3),[5,8)}', '16/B374D848', '10:20:10,14,15', '42', 1259, 'pg_class', 'odd "mood"', ROW(1, 'x "y", (z)'), 7, 'code', '{1,2,NULL}', '{"a b","c\"d",NULL,"NULL",""}',
  '{{1.5,2},{3,NaN}}', '{calm,"odd \"mood\""}', ARRAY[ROW(1, 'a'), ROW(NULL, NULL)]::types.pair[]),
(2, -32768, -2147483648, -9223372036854775808, 'NaN', -99999999999999.999999, '-92233720368547758.08', 'NaN', '-Infinity', false, '', '', '', '', '', '', '4713-01-01 BC', '00:00', '00:00-15:59', '4713-01-01 00:00 BC',
  '-infinity', '2000-01-01 00:00+00', '-178000000 years', '00000000-0000-0000-0000-000000000000', '"\u00e4 \n"', '"ä \n"', '$', '', '::ffff:1.2.3.4', '::/0', '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff:ff:ff', '000000000', '',
  '', '', '(NaN,-Infinity)', '{0,-1,0}', '[(0,0),(0,0)]', '(0,0),(0,0)', '((0,0))', '((0,0))', '<(0,0),0>', 'empty', '(,)', '(,)', 'empty', '(-infinity,infinity)', '(,)', '{}', '0/0', '1:1:', '0', 0, '0', 'calm', ROW(NULL, NULL), 1, '', '{}', '{}',
  '{}', '{}', '{}'),
(3, 32767, 2147483647, 9223372036854775807, 'Infinity', 99999999999999.999999, '92233720368547758.07', 3.4028235e38, 1.7976931348623157e308, NULL, 'z', 'äöüß€', 'ü' || repeat('x', 19), E'tab\t newline\n return\r \\ \\N "q" 😀',
  repeat('n', 63), '\xdeadbeef', 'infinity', '24:00', '24:00-15:59', 'infinity', '294276-12-31 23:59:59.999999+00', '1999-12-31 23:59:59.999+00', '178000000 years 11 mons -12 days -00:00:00.000001',
  'ffffffff-ffff-ffff-ffff-ffffffffffff', 'null', 'null', 'strict $."ä"', 'text &amp; only', 'fe80::1', '192.168.1.128/25', 'ff:ff:ff:ff:ff:ff', '00:00:00:00:00:00:00:00', '111111111', '11111111111111111111',
  '''it''''s'':1A,2B ''odd\\'':3', '!''a b'':*', '(1e300,5e-324)', '{-1,0,1e10}', '[(1e300,0),(0,1e300)]', '(Infinity,2),(1,-2)', '((0,0),(1e-10,1))', '((1,2),(3,4),(5,6))', '<(1,1),1e300>', '[-2147483648,2147483647)',
  '[-9223372036854775808,9223372036854775807)', '[0,)', '(,infinity]', '[0001-01-01 00:00 BC,infinity)', '[-infinity,infinity]', '{(,1),[3,)}', 'FFFFFFFF/FFFFFFFF', '1:18446744073709551615:', '18446744073709551615', 4294967295, '4294967295',
  'ü', ROW(-1, ''), 2147483647, '12345678', '[-1:1]={1,2,3}', '{{a},{b}}', '{{{1}}}', '{}', ARRAY[ROW(2, '{"},\')]::types.pair[]);
INSERT INTO types.everything (id) VALUES (4);

-- Extremes of some types, and the types that the first rows have nothing of.
INSERT INTO types.everything (id, a_numeric, a_decimal, a_real, a_double, a_text, a_bytea, a_date, a_timetz, a_timestamp, a_timestamptz, an_interval, a_json, a_jsonb, an_xml, an_inet, a_char,
  a_bpchar, a_time3, an_interval_s, a_wide, a_thousands, a_tiny, a_refcursor, a_txid, an_int8multi, a_nummulti, a_tsmulti, a_tstzmulti, a_datemulti, a_textrange, a_textmulti, a_nested,
  d_short, d_flag, d_ratio, d_size, d_blob, d_amount, d_padded, d_moment, d_feeling, d_numbers, some_booleans, some_reals, some_numerics, some_bytes, some_moments, some_spans, some_json, some_xml, some_uuids,
  some_chars, some_boxes, some_ranges, some_codes, some_nets, some_bits) VALUES
(5, ('-' || repeat('9', 2000) || '.' || repeat('1', 1500))::numeric, -0.000001, '-0', '-0', E'\u0001\u200d\ufeff\U0010ffff\u0085\u2028 a\u0301 ' || repeat(' ', 3), (SELECT string_agg(set_byte('\x00', 0, i), '' ORDER BY i) FROM generate_series(0, 255) AS i),
  '4714-11-24 BC', '23:59:59.999999+15:59:59', '294276-12-31 23:59:59.999999', '4714-11-24 00:00:00+00 BC', '-1 years +13 mons -1 days +23:59:59.999999', E'{"a": 1, "a": 2 ,\n"u": "\\u0000\\ud83d\\ude00", "n": 1e400, "z": -0.0}',
  '{"n": 123456789012345678901234567890.123456789012345678900, "e": 1e400, "z": -0.0, "": [[], {}, [[null, true]], ""], "é": "\\\"\t"}', '<?xml version="1.0" standalone="yes"?><a><![CDATA[<&>]]><!-- b --></a>', '::/0', '\377',
  'ab  ', '23:59:59.999', '-5 days +00:00:00.001', ('-' || repeat('7', 500) || '.' || repeat('3', 500))::numeric, -123456499, -0.000999, '<unnamed portal 1>', '10:20:10,14,15', '{(,-5),[7,9223372036854775807)}', '{(,-1e400],[0,0.000000000000000000001)}',
  '{[4714-11-24 00:00:00 BC,infinity)}', '{(,"0001-01-01 00:00:00+00 BC")}', '{[4714-11-24 BC,infinity)}', '["", "a,b\"")', '{(,a],["b c","d\\e"]}', ROW('infinity', '{NaN,-1.50}', ROW(NULL, '"(,)"'), '\x00'),
  'abcde', true, '1.1', '1.1', '\x0001', 0.500, 'ab', '0044-03-15 12:00:00+00 BC', 'odd "mood"', '{{1,2},{3,4}}', '{t,f,NULL}', '{-0,NaN,1.1,-Infinity}', '{NaN,1.50,-0.000}', ARRAY['\x00ff'::bytea, '\x5c', ''], '{infinity,"0044-03-15 12:00:00+00 BC","1582-10-15 00:00:00.5+00"}',
  '{"1 mon -1 days","-00:00:01"}', ARRAY['{"a": [1.0]}', 'null']::jsonb[], ARRAY['<a b="c,d"/>', '']::xml[], '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL}', '{a,"b c",NULL}', '{(1,1),(0,0);(2.5,2),(1,1)}', '{empty,"[1,5)"}', '{"a b",""}', '{::1,10.0.0.0/8}', '{101,""}'),
(6, 0.00000000000000000000000000000000000000000000000000000000000000000001, 0.5, 1e-45, 5e-324, repeat(E'\\.', 100), '\x', '5874897-12-31', '00:00:00+15:59', '0001-01-01 00:00:00 BC', '0001-01-01 00:00:00.000001+00', '-178000000 years -11 mons -2147483648 days', '""', '1e-400', '<a/>', '0.0.0.0/0', 'ä',
  '', '24:00', '2147483647 days 00:00:00.5', 0.5, 999000, 0.000001, '', '1:2:1', '{}', '{}', '{}', '{}', '{}', 'empty', '{}', ROW('-infinity', '{}', NULL, NULL),
  '', false, '-0', '-0', '\x', -999999999.999, '', '-infinity', 'calm', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
(7, '-Infinity', -0.000000, -3.4028235e38, -1.7976931348623157e308, 'NULL', NULL, NULL, '12:00:00-00:30', '-infinity', 'infinity', '0', ' null ', '"NULL"', NULL, '2001:db8::/32', '"',
  NULL, NULL, NULL, 'NaN', 'NaN', 'NaN', 'NULL', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, ROW(NULL, NULL, NULL, NULL),
  NULL, NULL, 'NaN', '-Infinity', NULL, 'NaN', NULL, NULL, NULL, '{NULL}', '[0:1]={t,f}', NULL, '{Infinity,-Infinity}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- Types of PostgreSQL's own catalogs and the numbers that they use, which tables may have columns of all the same.
CREATE SCHEMA internals;
CREATE TABLE internals.everything (
  id integer PRIMARY KEY, a_xid xid, a_cid cid, a_tid tid, an_aclitem aclitem, a_vector int2vector, an_oidvector oidvector, a_gtsvector gtsvector, a_tree pg_node_tree, a_distinct pg_ndistinct,
  a_dependency pg_dependencies, an_mcv pg_mcv_list, a_bloom pg_brin_bloom_summary, a_minmax pg_brin_minmax_multi_summary, some_oids oid[],
  a_regcollation regcollation, a_regconfig regconfig, a_regdictionary regdictionary, a_regnamespace regnamespace, a_regoper regoper, a_regoperator regoperator, a_regproc regproc, a_regprocedure regprocedure,
  a_regrole regrole, a_regtype regtype
);
INSERT INTO internals.everything (id, a_xid, a_cid, a_tid, an_aclitem, a_vector, an_oidvector, some_oids, a_regconfig, a_regtype) VALUES (1, '7', '8', '(0,1)', 'pg_monitor=r/pg_monitor', '1 2', '3 4', '{5}', 'simple', 'integer');

-- Names that have to be quoted.
CREATE SCHEMA "Odd ""Names""";
CREATE TABLE "Odd ""Names"""."Tä.ble 'x'" ("Id" integer PRIMARY KEY, "a""b" text, "select" integer NOT NULL, "tä.b" text, "q'\" text CHECK ("q'\" <> 'x'), UNIQUE ("select", "a""b"));
INSERT INTO "Odd ""Names"""."Tä.ble 'x'" SELECT i, 'v' || i, -i, 'ü', NULL FROM generate_series(1, 3) AS i;
