-- What this database consists of, as one JSON value: the catalog that godwit
-- plans a load by. Tables, columns, keys, foreign keys, checks, indexes and
-- sequences; of views, functions and the like the names alone. Nothing is written,
-- no row of a table is read, and no right is needed but to connect (of sequences
-- that the user may not read, the last value stays unknown). PostgreSQL 11 to 18:
--
--     psql -XAtf catalog.sql "host=HOST dbname=NAME" > catalog.json
--
-- The search path is set to pg_catalog for this statement alone, so that every
-- other name is spelt with its schema. Columns of the system catalogs that not
-- every version has are read through to_jsonb(row).
SELECT CASE WHEN set_config('search_path', 'pg_catalog', true) IS NOT NULL THEN (
WITH RECURSIVE
rels AS ( -- tables of users
  SELECT c.oid, c.relname, c.relkind, c.relpersistence, c.relispartition, c.relrowsecurity, c.reltuples, n.nspname
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
),
members AS ( -- what an extension brought
  SELECT d.classid, d.objid, e.extname
  FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
  WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
),
domains AS ( -- every domain, and those that it is a domain of
  SELECT t.oid, t.oid AS step, t.typbasetype AS base, t.typtypmod AS typmod, t.typnotnull AS required, 1 AS depth FROM pg_type t WHERE t.typtype = 'd'
  UNION ALL
  SELECT d.oid, t.oid, t.typbasetype, t.typtypmod, t.typnotnull, d.depth + 1 FROM domains d JOIN pg_type t ON t.oid = d.base WHERE t.typtype = 'd'
),
bases AS ( -- the type that holds a domain's values, and all of its checks
  SELECT DISTINCT ON (d.oid) d.oid, d.base, d.typmod, bool_or(d.required) OVER (PARTITION BY d.oid) AS required, checks.list AS checks
  FROM domains d
  LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('name', k.conname, 'sql', pg_get_expr(k.conbin, 0), 'uses', uses.list,
        'notValid', NULLIF(NOT k.convalidated, false))) ORDER BY s.depth, k.conname) AS list
    FROM domains s JOIN pg_constraint k ON k.contypid = s.step AND k.contype = 'c'
    LEFT JOIN LATERAL (
      SELECT jsonb_agg(DISTINCT o.type || ' ' || o.identity) AS list
      FROM pg_depend u, LATERAL pg_identify_object(u.refclassid, u.refobjid, u.refobjsubid) o
      WHERE u.classid = 'pg_constraint'::regclass AND u.objid = k.oid AND NOT (u.refclassid = 'pg_type'::regclass AND u.refobjid = s.step)
    ) uses ON true
    WHERE s.oid = d.oid
  ) checks ON true
  ORDER BY d.oid, d.depth DESC
),
trees AS ( -- expressions: what they read is told by their trees, what they use by pg_depend
  SELECT d.oid, 'pg_attrdef'::regclass::oid AS class, 0 AS part, d.adrelid AS rel, d.adbin AS tree FROM pg_attrdef d JOIN rels r ON r.oid = d.adrelid
  UNION ALL
  SELECT k.oid, 'pg_constraint'::regclass::oid, 0, k.conrelid, k.conbin FROM pg_constraint k JOIN rels r ON r.oid = k.conrelid WHERE k.contype = 'c'
  UNION ALL
  SELECT i.indexrelid, 'pg_class'::regclass::oid, p.part, i.indrelid, CASE p.part WHEN 0 THEN i.indexprs ELSE i.indpred END
  FROM pg_index i JOIN rels r ON r.oid = i.indrelid CROSS JOIN (VALUES (0), (1)) p (part)
),
expressions AS (
  SELECT t.oid, t.class, t.part, reads.list AS columns, uses.list AS uses
  FROM trees t
  LEFT JOIN LATERAL (
    SELECT jsonb_agg(DISTINCT COALESCE(a.attname, '*')) AS list
    FROM regexp_matches(t.tree::text, 'varattno (-?\d+)', 'g') m
    LEFT JOIN pg_attribute a ON a.attrelid = t.rel AND a.attnum = m[1]::int
  ) reads ON true
  LEFT JOIN LATERAL (
    SELECT jsonb_agg(DISTINCT o.type || ' ' || o.identity) AS list
    FROM pg_depend u, LATERAL pg_identify_object(u.refclassid, u.refobjid, u.refobjsubid) o
    WHERE u.classid = t.class AND u.objid = t.oid AND u.deptype <> 'P' AND u.deptype <> 'S'
      AND NOT (u.refclassid = 'pg_class'::regclass AND u.refobjid = t.rel)
      -- Indexes of partitions depend on their parent's.
      AND NOT (t.class = 'pg_class'::regclass AND u.refclassid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_index x WHERE x.indexrelid = u.refobjid))
  ) uses ON true
),
owned AS ( -- sequences that a column owns: 'i' of an identity, 'a' of a serial column
  SELECT d.objid AS seq, d.refobjid AS rel, d.refobjsubid AS attnum
  FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
),
serials AS (
  SELECT DISTINCT ON (o.rel, o.attnum) o.rel, o.attnum, jsonb_build_object('Schema', n.nspname, 'Name', s.relname) AS seq
  FROM owned o JOIN pg_class s ON s.oid = o.seq JOIN pg_namespace n ON n.oid = s.relnamespace
  ORDER BY o.rel, o.attnum, o.seq
),
cols AS (
  SELECT a.attrelid AS rel, jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'name', a.attname,
      'type', jsonb_build_object(
        'name', CASE WHEN e.oid IS NULL THEN format_type(t.oid, r.typmod) ELSE format_type(e.oid, el.typmod) || '[]' END,
        'class', CASE WHEN e.oid IS NOT NULL THEN 'array' ELSE class.name END,
        'builtin', t.oid < 16384 AND (e.oid IS NULL OR e.oid < 16384 AND nested.oid IS NULL),
        'labels', labels.list,
        'element', CASE WHEN e.oid IS NOT NULL THEN jsonb_build_object(
          'name', format_type(e.oid, el.typmod), 'class', CASE WHEN nested.oid IS NULL THEN eclass.name ELSE 'array' END,
          'builtin', e.oid < 16384 AND nested.oid IS NULL) END),
      'domain', CASE WHEN d.oid IS NOT NULL THEN format_type(a.atttypid, NULL) END,
      'domainChecks', d.checks,
      'notNull', NULLIF(a.attnotnull OR COALESCE(d.required, false), false),
      'default', CASE WHEN f.oid IS NOT NULL THEN jsonb_build_object('sql', pg_get_expr(f.adbin, f.adrelid), 'columns', x.columns, 'uses', x.uses) END,
      'generated', CASE to_jsonb(a)->>'attgenerated' WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' END,
      'identity', CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END,
      'sequence', serials.seq,
      'collation', CASE WHEN a.attcollation <> 0 AND a.attcollation <> own.typcollation THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END,
      'nondeterministic', NULLIF(to_jsonb(co)->>'collisdeterministic' = 'false', false)
    )) ORDER BY a.attnum) AS list
  FROM pg_attribute a
  JOIN rels ON rels.oid = a.attrelid
  JOIN pg_type own ON own.oid = a.atttypid
  LEFT JOIN bases d ON d.oid = a.atttypid
  CROSS JOIN LATERAL (SELECT COALESCE(d.base, a.atttypid) AS oid, CASE WHEN d.oid IS NULL THEN a.atttypmod ELSE d.typmod END AS typmod) r
  JOIN pg_type t ON t.oid = r.oid
  LEFT JOIN pg_type e0 ON e0.typarray = t.oid
  LEFT JOIN bases ed ON ed.oid = e0.oid
  LEFT JOIN pg_type e ON e.oid = COALESCE(ed.base, e0.oid)
  LEFT JOIN pg_type nested ON nested.typarray = e.oid
  CROSS JOIN LATERAL (SELECT CASE WHEN ed.oid IS NULL THEN r.typmod ELSE ed.typmod END AS typmod) el
  CROSS JOIN LATERAL (SELECT CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'c' THEN 'composite' WHEN 'r' THEN 'range' WHEN 'm' THEN 'range' ELSE 'base' END AS name) class
  CROSS JOIN LATERAL (SELECT CASE e.typtype WHEN 'e' THEN 'enum' WHEN 'c' THEN 'composite' WHEN 'r' THEN 'range' WHEN 'm' THEN 'range' ELSE 'base' END AS name) eclass
  LEFT JOIN LATERAL (SELECT jsonb_agg(l.enumlabel ORDER BY l.enumsortorder) AS list FROM pg_enum l WHERE l.enumtypid = t.oid) labels ON true
  LEFT JOIN serials ON serials.rel = a.attrelid AND serials.attnum = a.attnum
  LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
  LEFT JOIN expressions x ON x.oid = f.oid AND x.class = 'pg_attrdef'::regclass
  LEFT JOIN pg_collation co ON co.oid = a.attcollation
  LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
  WHERE a.attnum > 0 AND NOT a.attisdropped
  GROUP BY a.attrelid
),
cons AS ( -- keys, foreign keys, checks and exclusions, but those of one table that refer to each partition of another
  SELECT k.oid AS id, k.conname, k.contype, k.conrelid, k.conindid, k.confrelid, k.condeferrable, k.condeferred, k.convalidated,
    k.confupdtype, k.confdeltype, k.confmatchtype, k.conbin, to_jsonb(k) AS j, names.list AS columns, others.list AS refs
  FROM pg_constraint k JOIN rels ON rels.oid = k.conrelid
  LEFT JOIN LATERAL (SELECT jsonb_agg(a.attname ORDER BY o.n) AS list FROM unnest(k.conkey) WITH ORDINALITY o (num, n) JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.num) names ON true
  LEFT JOIN LATERAL (SELECT jsonb_agg(a.attname ORDER BY o.n) AS list FROM unnest(k.confkey) WITH ORDINALITY o (num, n) JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = o.num) others ON true
  WHERE k.contype IN ('p', 'u', 'f', 'c', 'x')
    AND (k.contype <> 'f' OR NOT EXISTS (SELECT FROM pg_constraint up WHERE up.oid = k.conparentid AND up.conrelid = k.conrelid))
),
keys AS (
  SELECT k.conrelid AS rel, k.contype, k.conname, jsonb_strip_nulls(jsonb_build_object(
      'name', k.conname, 'columns', k.columns, 'include', included.list, 'deferrable', NULLIF(k.condeferrable, false),
      'nullsNotDistinct', NULLIF(to_jsonb(i)->>'indnullsnotdistinct' = 'true', false), 'period', NULLIF(k.j->>'conperiod' = 'true', false))) AS key
  FROM cons k JOIN pg_index i ON i.indexrelid = k.conindid
  LEFT JOIN LATERAL (
    SELECT jsonb_agg(a.attname ORDER BY p.n) AS list
    FROM generate_series(i.indnkeyatts::int, i.indnatts - 1) p (n) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p.n]
  ) included ON true
  WHERE k.contype IN ('p', 'u')
),
fks AS (
  SELECT k.conrelid AS rel, jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'name', k.conname, 'columns', k.columns, 'table', jsonb_build_object('Schema', n.nspname, 'Name', c.relname), 'references', k.refs,
      'onUpdate', up.name, 'onDelete', del.name, 'deleteColumns', limited.list,
      'match', CASE k.confmatchtype WHEN 'f' THEN 'FULL' WHEN 'p' THEN 'PARTIAL' ELSE 'SIMPLE' END,
      'deferrable', NULLIF(k.condeferrable, false), 'deferred', NULLIF(k.condeferred, false),
      'notValid', NULLIF(NOT k.convalidated OR COALESCE(k.j->>'conenforced' = 'false', false), false),
      'period', NULLIF(k.j->>'conperiod' = 'true', false))) ORDER BY k.conname) AS list
  FROM cons k JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN (VALUES ('a', 'NO ACTION'), ('r', 'RESTRICT'), ('c', 'CASCADE'), ('n', 'SET NULL'), ('d', 'SET DEFAULT')) up (code, name) ON up.code = k.confupdtype::text
  JOIN (VALUES ('a', 'NO ACTION'), ('r', 'RESTRICT'), ('c', 'CASCADE'), ('n', 'SET NULL'), ('d', 'SET DEFAULT')) del (code, name) ON del.code = k.confdeltype::text
  LEFT JOIN LATERAL (
    SELECT jsonb_agg(a.attname ORDER BY a.attnum) AS list
    FROM jsonb_array_elements_text(CASE jsonb_typeof(k.j->'confdelsetcols') WHEN 'array' THEN k.j->'confdelsetcols' ELSE '[]' END) s (num)
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = s.num::int
  ) limited ON true
  WHERE k.contype = 'f'
  GROUP BY k.conrelid
),
checks AS (
  SELECT k.conrelid AS rel, jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'name', k.conname, 'sql', pg_get_expr(k.conbin, k.conrelid), 'columns', x.columns, 'uses', x.uses,
      'notValid', NULLIF(NOT k.convalidated OR COALESCE(k.j->>'conenforced' = 'false', false), false))) ORDER BY k.conname) AS list
  FROM cons k LEFT JOIN expressions x ON x.oid = k.id AND x.class = 'pg_constraint'::regclass
  WHERE k.contype = 'c'
  GROUP BY k.conrelid
),
indexkeys AS (
  SELECT i.indexrelid, jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'column', a.attname,
      'expression', CASE WHEN a.attnum IS NULL THEN jsonb_build_object('sql', pg_get_indexdef(i.indexrelid, p.n + 1, false), 'columns', x.columns) END,
      'collation', CASE WHEN i.indcollation[p.n] <> 0 AND i.indcollation[p.n] <> COALESCE(a.attcollation, 100) THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END,
      'opClass', CASE WHEN NOT oc.opcdefault THEN CASE WHEN ons.nspname = 'pg_catalog' THEN '' ELSE quote_ident(ons.nspname) || '.' END || quote_ident(oc.opcname) END,
      'order', CASE i.indoption[p.n] & 3 WHEN 1 THEN 'DESC NULLS LAST' WHEN 2 THEN 'NULLS FIRST' WHEN 3 THEN 'DESC' END
    )) ORDER BY p.n) AS list
  FROM pg_index i JOIN rels ON rels.oid = i.indrelid
  CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) p (n)
  LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p.n] AND i.indkey[p.n] <> 0
  LEFT JOIN expressions x ON x.oid = i.indexrelid AND x.class = 'pg_class'::regclass AND x.part = 0
  LEFT JOIN pg_collation co ON co.oid = i.indcollation[p.n]
  LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
  LEFT JOIN pg_opclass oc ON oc.oid = i.indclass[p.n]
  LEFT JOIN pg_namespace ons ON ons.oid = oc.opcnamespace
  GROUP BY i.indexrelid
),
indexes AS (
  SELECT i.indrelid AS rel, jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'name', c.relname, 'method', am.amname, 'unique', NULLIF(i.indisunique, false), 'keys', k.list, 'include', included.list, 'uses', w.uses,
      'where', CASE WHEN i.indpred IS NOT NULL THEN jsonb_build_object('sql', pg_get_expr(i.indpred, i.indrelid), 'columns', w.columns) END,
      'nullsNotDistinct', NULLIF(to_jsonb(i)->>'indnullsnotdistinct' = 'true', false),
      'invalid', NULLIF(NOT i.indisvalid OR NOT i.indisready, false))) ORDER BY c.relname) AS list
  FROM pg_index i JOIN rels ON rels.oid = i.indrelid
  JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
  JOIN indexkeys k ON k.indexrelid = i.indexrelid
  LEFT JOIN expressions w ON w.oid = i.indexrelid AND w.class = 'pg_class'::regclass AND w.part = 1
  LEFT JOIN LATERAL (
    SELECT jsonb_agg(a.attname ORDER BY p.n) AS list
    FROM generate_series(i.indnkeyatts::int, i.indnatts - 1) p (n) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p.n]
  ) included ON true
  WHERE NOT EXISTS (SELECT FROM cons k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
  GROUP BY i.indrelid
),
tables AS (
  SELECT r.nspname, r.relname, jsonb_strip_nulls(jsonb_build_object(
      'schema', r.nspname, 'name', r.relname,
      'kind', CASE r.relkind WHEN 'p' THEN 'partitioned' WHEN 'f' THEN 'foreign' ELSE 'table' END,
      'unlogged', NULLIF(r.relpersistence = 'u', false),
      'partitionOf', CASE WHEN r.relispartition THEN parents.list->0 END,
      'inherits', CASE WHEN NOT r.relispartition THEN parents.list END,
      'rowSecurity', NULLIF(r.relrowsecurity, false), 'extension', m.extname,
      'columns', COALESCE(cols.list, '[]'),
      'key', (SELECT k.key FROM keys k WHERE k.rel = r.oid AND k.contype = 'p'),
      'uniques', (SELECT jsonb_agg(k.key ORDER BY k.conname) FROM keys k WHERE k.rel = r.oid AND k.contype = 'u'),
      'foreign', fks.list, 'checks', checks.list,
      'exclusions', (SELECT jsonb_agg(k.conname ORDER BY k.conname) FROM cons k WHERE k.conrelid = r.oid AND k.contype = 'x'),
      'indexes', indexes.list,
      'rows', r.reltuples::bigint, 'bytes', COALESCE(pg_table_size(r.oid), 0))) AS tab
  FROM rels r
  LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('Schema', n.nspname, 'Name', c.relname) ORDER BY i.inhseqno) AS list
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.inhrelid = r.oid
  ) parents ON true
  LEFT JOIN members m ON m.classid = 'pg_class'::regclass AND m.objid = r.oid
  LEFT JOIN cols ON cols.rel = r.oid LEFT JOIN fks ON fks.rel = r.oid LEFT JOIN checks ON checks.rel = r.oid LEFT JOIN indexes ON indexes.rel = r.oid
),
seqs AS (
  SELECT n.nspname, c.relname, jsonb_strip_nulls(jsonb_build_object(
      'schema', n.nspname, 'name', c.relname, 'type', format_type(s.seqtypid, NULL),
      'last', v.last_value, 'hidden', NULLIF(NOT has_sequence_privilege(c.oid, 'SELECT, USAGE'), false),
      'start', s.seqstart, 'increment', s.seqincrement, 'min', s.seqmin, 'max', s.seqmax, 'cache', s.seqcache, 'cycle', NULLIF(s.seqcycle, false),
      'table', CASE WHEN r.oid IS NOT NULL THEN jsonb_build_object('Schema', r.nspname, 'Name', r.relname) END, 'column', a.attname)) AS seq
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_sequences v ON v.schemaname = n.nspname AND v.sequencename = c.relname
  LEFT JOIN owned o ON o.seq = c.oid LEFT JOIN rels r ON r.oid = o.rel LEFT JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = o.attnum
  WHERE c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
),
others AS ( -- what rows do not carry
  SELECT 'pg_class'::regclass AS class, c.oid, CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'type' END AS kind, c.relnamespace AS nsp, c.relname AS name, NULL::oid AS rel
  FROM pg_class c WHERE c.relkind IN ('v', 'm', 'c') AND c.relpersistence <> 't'
  UNION ALL
  SELECT 'pg_proc'::regclass, p.oid, CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, p.pronamespace, p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', NULL FROM pg_proc p
  UNION ALL
  SELECT 'pg_type'::regclass, t.oid, CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, t.typnamespace, t.typname, NULL
  FROM pg_type t WHERE t.typtype IN ('d', 'e', 'r') OR t.typtype = 'b' AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
  UNION ALL
  SELECT 'pg_trigger'::regclass, g.oid, 'trigger', r.relnamespace, g.tgname, r.oid
  FROM pg_trigger g JOIN pg_class r ON r.oid = g.tgrelid WHERE NOT g.tgisinternal AND COALESCE((to_jsonb(g)->>'tgparentid')::bigint, 0) = 0
  UNION ALL
  SELECT 'pg_rewrite'::regclass, w.oid, 'rule', r.relnamespace, w.rulename, r.oid FROM pg_rewrite w JOIN pg_class r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'
  UNION ALL
  SELECT 'pg_policy'::regclass, p.oid, 'policy', r.relnamespace, p.polname, r.oid FROM pg_policy p JOIN pg_class r ON r.oid = p.polrelid
  UNION ALL
  SELECT 'pg_extension'::regclass, e.oid, 'extension', NULL, e.extname, NULL FROM pg_extension e WHERE e.extname <> 'plpgsql'
  UNION ALL
  SELECT 'pg_event_trigger'::regclass, t.oid, 'event trigger', NULL, t.evtname, NULL FROM pg_event_trigger t
),
objects AS (
  SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('kind', o.kind, 'schema', n.nspname, 'name', o.name,
      'table', CASE WHEN r.oid IS NOT NULL THEN jsonb_build_object('Schema', n.nspname, 'Name', r.relname) END))
    ORDER BY o.kind, n.nspname, o.name::text COLLATE "C", r.relname) AS list
  FROM others o LEFT JOIN pg_namespace n ON n.oid = o.nsp LEFT JOIN pg_class r ON r.oid = o.rel
  WHERE (n.nspname IS NULL OR n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
    AND NOT EXISTS (SELECT FROM members m WHERE m.classid = o.class AND m.objid = o.oid)
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'i' AND o.kind = 'function') -- constructors of ranges
)
SELECT jsonb_strip_nulls(jsonb_build_object(
  'version', 1,
  'server', current_setting('server_version_num')::int,
  'database', current_database(),
  'encoding', current_setting('server_encoding'),
  'collate', (SELECT d.datcollate FROM pg_database d WHERE d.datname = current_database()),
  'monetary', current_setting('lc_monetary'),
  'largeObjects', (SELECT NULLIF(count(*), 0) FROM pg_largeobject_metadata),
  'tables', (SELECT COALESCE(jsonb_agg(t.tab ORDER BY t.nspname, t.relname), '[]') FROM tables t),
  'sequences', (SELECT jsonb_agg(s.seq ORDER BY s.nspname, s.relname) FROM seqs s),
  'objects', (SELECT o.list FROM objects o)))
) END AS catalog
