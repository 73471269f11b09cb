DO $install$
BEGIN
PERFORM pg_advisory_xact_lock(hashtextextended('godwit install', 0));

-- Which stream feeds a table, from which schema of its source: positions of two streams are never compared, and rows of
-- two tables with one key are not the same.
CREATE TABLE IF NOT EXISTS godwit.stream_table (
  relation    text PRIMARY KEY,
  stream      text NOT NULL,
  from_schema text NOT NULL,
  shown       oid NOT NULL, -- the table; another of its name may have come since
  claim       bigint GENERATED ALWAYS AS IDENTITY
);

-- The newest write to each row of such a table, deletions included, by the canonical text of the row's key. Those of a
-- claim that was given up guard nothing.
CREATE TABLE IF NOT EXISTS godwit.row_head (
  claim   bigint NOT NULL,
  key     text COLLATE "C" NOT NULL,
  major   bigint NOT NULL,
  minor   bigint NOT NULL,
  tie     text COLLATE "C" NOT NULL,
  deleted boolean NOT NULL,
  PRIMARY KEY (claim, key)
);

-- base_type spells a column's type, a domain's as that which it is made of.
CREATE OR REPLACE FUNCTION godwit.base_type(p_type oid, p_modifier integer, OUT type text, OUT enum boolean) LANGUAGE sql STABLE AS $f$
  WITH RECURSIVE d AS (
    SELECT p_type AS type, p_modifier AS modifier
    UNION ALL SELECT t.typbasetype, t.typtypmod FROM d JOIN pg_type t ON t.oid = d.type WHERE t.typtype = 'd')
  SELECT format_type(d.type, d.modifier), t.typtype = 'e' FROM d JOIN pg_type t ON t.oid = d.type WHERE t.typtype <> 'd'
$f$;

-- row_key lists the columns of a table's primary key, or of its replica identity. One that is checked at the end of a
-- transaction decides no conflict.
CREATE OR REPLACE FUNCTION godwit.row_key(p_relation regclass) RETURNS text[] LANGUAGE sql STABLE AS $f$
  SELECT array_agg(a.attname::text ORDER BY k.o)
  FROM (SELECT x.* FROM pg_index x WHERE x.indrelid = p_relation AND x.indisvalid AND x.indimmediate AND (x.indisprimary OR x.indisreplident) ORDER BY x.indisprimary DESC LIMIT 1) AS i
  CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (n, o)
  JOIN pg_attribute a ON a.attrelid = p_relation AND a.attnum = k.n WHERE k.o <= i.indnkeyatts
$f$;

-- depth tells how many tables of a list a table of it refers to, one by way of the other, at most.
CREATE OR REPLACE FUNCTION godwit.depth(p_relation regclass, p_list oid[]) RETURNS integer LANGUAGE sql STABLE AS $f$
  WITH RECURSIVE up AS (
    SELECT p_relation::oid AS relation, 0 AS depth
    UNION
    SELECT c.confrelid, u.depth + 1 FROM up u JOIN pg_constraint c ON c.conrelid = u.relation AND c.contype = 'f' AND c.conparentid = 0
    WHERE c.confrelid <> c.conrelid AND c.confrelid = ANY (p_list) AND u.depth < cardinality(p_list))
  SELECT max(depth) FROM up
$f$;

-- apply_rows applies writes to rows of tables that have the source's own keys. A group is writes to one table of the same
-- columns; their rows are p_rows[id + 1]. Heads first, as above. Then deletions, of what refers to others first, and writes, of what others refer to first.
CREATE OR REPLACE FUNCTION godwit.apply_rows(s godwit.stream, p_request json, p_rows text[]) RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE
  r record;
  g record;
  v_groups integer[]; -- of the winners, writes newer than the heads
  v_numbers bigint[];
  v_heads bigint;
  v_tables oid[];
BEGIN
  SELECT * INTO r FROM json_to_record(p_request) AS x (notes json, heads json, parts json);
  PERFORM godwit.claim(s.name, r.parts);
  WITH heads AS MATERIALIZED (
    SELECT x.claim, h.*
    FROM json_to_recordset(r.heads) AS h (key text, major bigint, minor bigint, tie text, deleted boolean, part integer, number bigint)
    JOIN (SELECT x.id, t.claim FROM json_to_recordset(r.parts) AS x (id integer, schema text, name text)
          LEFT JOIN godwit.stream_table t ON t.relation = format('%I.%I', x.schema, x.name)) AS x ON x.id = h.part
  ), won AS (
    INSERT INTO godwit.row_head AS h (claim, key, major, minor, tie, deleted)
    SELECT claim, key, major, coalesce(minor, 0), coalesce(tie, ''), coalesce(deleted, false) FROM heads ORDER BY claim, key COLLATE "C"
    ON CONFLICT (claim, key) DO UPDATE SET major = excluded.major, minor = excluded.minor, tie = excluded.tie, deleted = excluded.deleted
    WHERE (h.major, h.minor, h.tie) < (excluded.major, excluded.minor, excluded.tie)
    RETURNING claim, key)
  SELECT array_agg(h.part), array_agg(h.number), (SELECT count(*) FROM heads) INTO v_groups, v_numbers, v_heads
  FROM heads h JOIN won ON won.claim = h.claim AND won.key = h.key COLLATE "C";

  v_tables := ARRAY(SELECT DISTINCT format('%I.%I', x.schema, x.name)::regclass::oid FROM json_to_recordset(r.parts) AS x (schema text, name text));
  FOR g IN
    SELECT x.*, format('%I.%I', x.schema, x.name) AS relation, k.keys, c.*
    FROM json_to_recordset(r.parts) AS x (id integer, schema text, name text, deleted boolean, columns text[])
    CROSS JOIN LATERAL (SELECT format('%I.%I', x.schema, x.name)::regclass AS class) AS o
    CROSS JOIN LATERAL (SELECT godwit.row_key(o.class) AS keys) AS k
    CROSS JOIN LATERAL (
      -- Documents come as text, as all else: read as JSON, a string would be the document.
      SELECT string_agg(format('%I %s', n, CASE WHEN b.type IN ('json', 'jsonb') THEN 'text' ELSE format_type(a.atttypid, a.atttypmod) END), ', ' ORDER BY i) AS definitions,
        string_agg(format('%I', n), ', ' ORDER BY i) AS names, string_agg(format(CASE WHEN b.type IN ('json', 'jsonb') THEN 'x.%I::%s' ELSE 'x.%I' END, n, b.type), ', ' ORDER BY i) AS taken,
        string_agg(format('%1$I = excluded.%1$I', n), ', ' ORDER BY i) FILTER (WHERE n <> ALL (k.keys) AND a.attidentity <> 'a') AS changes,
        min(n) FILTER (WHERE a.attname IS NULL) AS unknown
      FROM unnest(x.columns) WITH ORDINALITY AS m (n, i) LEFT JOIN pg_attribute a ON a.attrelid = o.class AND a.attname = n AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN LATERAL godwit.base_type(a.atttypid, a.atttypmod) AS b ON true) AS c
    ORDER BY coalesce(x.deleted, false) DESC, CASE WHEN coalesce(x.deleted, false) THEN -1 ELSE 1 END * godwit.depth(o.class, v_tables), x.id
  LOOP
    IF g.unknown IS NOT NULL OR (g.keys <@ g.columns) IS NOT TRUE THEN
      RAISE EXCEPTION USING ERRCODE = '42703', MESSAGE = CASE WHEN g.keys IS NULL THEN format('table %s has no primary key', g.relation)
        ELSE format('table %s has no column %s, or the stream brings rows without its key: read its description again', g.relation, g.unknown) END;
    END IF;
    EXECUTE format(CASE WHEN g.deleted
      THEN 'DELETE FROM %1$s t USING (%2$s) AS x WHERE %3$s'
      ELSE 'INSERT INTO %1$s (%4$s) OVERRIDING SYSTEM VALUE SELECT %5$s FROM (%2$s) AS x ON CONFLICT (%6$s) DO %7$s' END,
      g.relation,
      format('SELECT b.* FROM ROWS FROM (json_to_recordset($1) AS (%1$s)) WITH ORDINALITY AS b (%2$s, "godwit number") JOIN unnest($2, $3) AS w (id, number) ON w.id = $4 AND w.number = b."godwit number"',
        g.definitions, g.names),
      (SELECT string_agg(format('t.%1$I = x.%1$I', k), ' AND ') FROM unnest(g.keys) AS k),
      g.names, g.taken,
      (SELECT string_agg(format('%I', k), ', ') FROM unnest(g.keys) AS k), coalesce('UPDATE SET ' || g.changes, 'NOTHING'))
    USING p_rows[g.id + 1]::json, v_groups, v_numbers, g.id;
  END LOOP;
  PERFORM godwit.note(s.name, s.generation, r.notes);
  RETURN jsonb_build_object('state', 'applied', 'rows', coalesce(cardinality(v_numbers), 0), 'skipped', v_heads - coalesce(cardinality(v_numbers), 0));
END $f$;

-- claim makes tables the stream's own, once.
CREATE OR REPLACE FUNCTION godwit.claim(p_stream text, p_parts json) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
  v_relation text;
  v_why text;
BEGIN
  IF NOT EXISTS (
    SELECT FROM json_to_recordset(p_parts) AS x (schema text, name text, "from" text) CROSS JOIN LATERAL format('%I.%I', x.schema, x.name) AS f (relation) WHERE NOT EXISTS (
      SELECT FROM godwit.stream_table t
      WHERE t.relation = f.relation AND t.stream = p_stream AND t.from_schema = coalesce(x."from", '') AND t.shown = f.relation::regclass::oid)) THEN
    RETURN;
  END IF;
  INSERT INTO godwit.stream_table (relation, stream, from_schema, shown)
  SELECT DISTINCT ON (1) f.relation, p_stream, coalesce(x."from", ''), f.relation::regclass::oid
  FROM json_to_recordset(p_parts) AS x (schema text, name text, "from" text) CROSS JOIN LATERAL format('%I.%I', x.schema, x.name) AS f (relation) ORDER BY 1
  ON CONFLICT (relation) DO NOTHING;
  SELECT t.relation, CASE WHEN loaded THEN 'is fed by loads: one source a table' WHEN t.stream <> p_stream THEN format('is fed by stream %s: one source a table', t.stream)
    WHEN t.from_schema <> coalesce(x."from", '') THEN format('is fed by schema %s of the source, and schema %s has a table of that name too: one source a table', t.from_schema, x."from")
    ELSE 'was dropped and made again: what the stream had written is not in it; copy its rows again, and resume the stream with the table in "Anew"' END INTO v_relation, v_why
  FROM json_to_recordset(p_parts) AS x (schema text, name text, "from" text) JOIN godwit.stream_table t ON t.relation = format('%I.%I', x.schema, x.name)
  CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM godwit.load l JOIN godwit.load_table o USING (load_id) WHERE format('%I.%I', l.target_schema, o.current_name) = t.relation) AS loaded) AS o
  WHERE loaded OR t.stream <> p_stream OR t.from_schema <> coalesce(x."from", '') OR t.shown <> t.relation::regclass::oid LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'GW008', MESSAGE = format('table %s %s', v_relation, v_why);
  END IF;
END $f$;

-- release gives up the claims to tables that were made again, or that another stream had: a stream that writes to them
-- begins anew there. Doing it again changes nothing.
CREATE OR REPLACE FUNCTION godwit.release(p_stream text, p_tables jsonb) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
  v_unknown text;
BEGIN
  SELECT x INTO v_unknown FROM jsonb_array_elements_text(p_tables) AS x WHERE to_regclass(x) IS NULL LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_table', MESSAGE = format('the target has no table %s: name its schema too, and quote names as SQL does', v_unknown);
  END IF;
  DELETE FROM godwit.stream_table t USING jsonb_array_elements_text(p_tables) AS x
  WHERE t.relation = to_regclass(x)::text AND (t.stream, t.shown) <> (p_stream, to_regclass(x)::oid);
END $f$;

-- row_tables describes tables as the catalog does.
CREATE OR REPLACE FUNCTION godwit.row_tables(p_names jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $f$
  SELECT coalesce(jsonb_agg(jsonb_build_object('Schema', n->>'Schema', 'Name', n->>'Name',
    'Columns', (
      SELECT jsonb_agg(jsonb_build_object('Name', a.attname, 'Type', b.type, 'NotNull', a.attnotnull, 'Generated', a.attgenerated <> '', 'Enum', b.enum) ORDER BY a.attnum)
      FROM pg_attribute a CROSS JOIN LATERAL godwit.base_type(a.atttypid, a.atttypmod) AS b WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'Key', godwit.row_key(c.oid::regclass)) ORDER BY o), '[]')
  FROM jsonb_array_elements(p_names) WITH ORDINALITY AS m (n, o)
  JOIN pg_class c ON c.oid = to_regclass(format('%I.%I', n->>'Schema', n->>'Name')) AND c.relkind IN ('r', 'p')
$f$;
END $install$
