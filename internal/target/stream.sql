DO $install$
BEGIN
PERFORM pg_advisory_xact_lock(hashtextextended('godwit install', 0));

-- A stream that feeds this database. Whoever applies something holds its row from the end of his work to his commit:
-- what is noted of a stream is noted by one at a time, each of whom sees what the others have committed.
CREATE TABLE IF NOT EXISTS godwit.stream (
  name            text PRIMARY KEY,
  source          text NOT NULL CHECK (source IN ('qldb', 'dms', 'dsql')),
  target_schema   text NOT NULL, -- empty: each record's own
  load_id         text NOT NULL, -- that it continues; empty where it has none
  strand          text NOT NULL,
  boundary        jsonb NOT NULL, -- position: what is at or below its major was loaded
  boundary_hash   text NOT NULL, -- in base64, as all hashes here; empty where not known
  mapping         text NOT NULL,
  tables          jsonb NOT NULL, -- only these ledger tables; null is all
  history         boolean NOT NULL,
  redact          boolean NOT NULL,
  generation      bigint NOT NULL,
  stopped         text, -- why nothing is applied
  resumed_because text,
  gap_free        bigint NOT NULL, -- block: all up to it are complete
  gap_free_hash   text NOT NULL,
  last_major      bigint NOT NULL,
  last_minor      bigint NOT NULL,
  last_tie        text COLLATE "C" NOT NULL,
  last_at         timestamptz,
  applied_at      timestamptz
);

-- Blocks behind the gap-free one that something is known of. A complete one waits for those before it.
CREATE TABLE IF NOT EXISTS godwit.stream_block (
  stream   text NOT NULL,
  block    bigint NOT NULL,
  hash     text,   -- NULL: its summary is still to come
  previous text,
  awaited  text[], -- hashes of its revisions
  seen     text[] NOT NULL, -- hashes of those that came
  complete boolean NOT NULL DEFAULT false,
  PRIMARY KEY (stream, block)
);

-- The greatest sequence number that was applied of each shard.
CREATE TABLE IF NOT EXISTS godwit.stream_shard (
  stream   text NOT NULL,
  shard    text NOT NULL,
  sequence numeric NOT NULL,
  PRIMARY KEY (stream, shard)
);

-- Messages that could not be applied, by the object that keeps each.
CREATE TABLE IF NOT EXISTS godwit.stream_aside (
  stream      text NOT NULL,
  object      text NOT NULL,
  reason      text NOT NULL,
  table_name  text NOT NULL,
  doc_id      text NOT NULL,
  version     bigint NOT NULL,
  block       bigint NOT NULL,
  aside_at    timestamptz NOT NULL DEFAULT now(),
  replayed_at timestamptz,
  PRIMARY KEY (stream, object)
);

-- The last that a stream told of a ledger table's life: the event of the greatest block counts.
CREATE TABLE IF NOT EXISTS godwit.stream_drop (
  stream   text NOT NULL,
  table_id text NOT NULL,
  block    bigint NOT NULL,
  active   boolean NOT NULL,
  PRIMARY KEY (stream, table_id)
);

CREATE OR REPLACE FUNCTION godwit.describe_stream(p_name text) RETURNS jsonb LANGUAGE sql STABLE AS $f$
  SELECT jsonb_build_object('name', name, 'source', source, 'target_schema', target_schema, 'load_id', load_id, 'strand', strand,
    'boundary', boundary, 'boundary_hash', boundary_hash, 'mapping', mapping, 'tables', tables, 'history', history, 'redact', redact,
    'generation', generation, 'stopped', coalesce(stopped, ''))
  FROM godwit.stream WHERE name = p_name
$f$;

-- enable_stream registers a stream, or leaves it as it is when nothing of it is new.
CREATE OR REPLACE FUNCTION godwit.enable_stream(p_args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE
  s godwit.stream;
  v_name text := p_args->>'name';
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'godwit stream', v_name), 0));
  IF godwit.describe_stream(v_name) - 'generation' - 'stopped' = p_args - 'generation' - 'stopped' THEN
    RETURN godwit.describe_stream(v_name);
  END IF;
  IF p_args->>'source' = 'qldb' AND NOT EXISTS (
      SELECT FROM godwit.load l WHERE l.load_id = p_args->>'load_id' AND l.target_schema = p_args->>'target_schema' AND l.state = 'published') THEN
    RAISE EXCEPTION USING ERRCODE = 'GW003', MESSAGE = format('load %s is not shown in schema %s: a stream continues a load that is', p_args->>'load_id', p_args->>'target_schema');
  END IF;
  SELECT * INTO s FROM godwit.stream x WHERE x.name = v_name FOR UPDATE;
  DELETE FROM godwit.stream x WHERE x.name = v_name;
  INSERT INTO godwit.stream (name, source, target_schema, load_id, strand, boundary, boundary_hash, mapping, tables, history, redact, generation,
    gap_free, gap_free_hash, last_major, last_minor, last_tie)
  SELECT v_name, p_args->>'source', p_args->>'target_schema', p_args->>'load_id', p_args->>'strand', p_args->'boundary', p_args->>'boundary_hash',
    p_args->>'mapping', p_args->'tables', (p_args->>'history')::boolean, (p_args->>'redact')::boolean, coalesce(s.generation, 0) + 1,
    (p_args->'boundary'->>'major')::bigint, p_args->>'boundary_hash',
    (p_args->'boundary'->>'major')::bigint, coalesce((p_args->'boundary'->>'minor')::bigint, 0), coalesce(p_args->'boundary'->>'tie', '');
  DELETE FROM godwit.stream_block x WHERE x.stream = v_name;
  DELETE FROM godwit.stream_shard x WHERE x.stream = v_name;
  DELETE FROM godwit.stream_drop x WHERE x.stream = v_name;
  RETURN godwit.describe_stream(v_name);
END $f$;

-- apply stores what one request brings, all of it or nothing, in one transaction of READ COMMITTED: each statement in it
-- sees what others committed before the statement began. What the database refuses to hold is answered, without its text.
CREATE OR REPLACE FUNCTION godwit.apply(p_stream text, p_generation bigint, p_request json) RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE
  s godwit.stream;
  v_state text;
  v_table text;
  v_constraint text;
  v_column text;
BEGIN
  SELECT * INTO s FROM godwit.stream x WHERE x.name = p_stream;
  IF s.generation IS DISTINCT FROM p_generation THEN
    RETURN jsonb_build_object('state', 'changed', 'generation', coalesce(s.generation, 0));
  ELSIF s.stopped IS NOT NULL THEN
    RETURN jsonb_build_object('state', 'stopped', 'message', s.stopped);
  ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION USING ERRCODE = 'GW000', MESSAGE = 'streams are applied in READ COMMITTED alone: reset default_transaction_isolation of the loader';
  END IF;
  BEGIN
    RETURN godwit.apply_revisions(s, p_request);
  EXCEPTION WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded THEN
    GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_table = TABLE_NAME, v_constraint = CONSTRAINT_NAME, v_column = COLUMN_NAME;
    RETURN jsonb_build_object('state', 'refused', 'sqlstate', v_state, 'message', concat('the database refuses a value',
      CASE WHEN v_constraint <> '' THEN format(' (constraint %s of table %s)', v_constraint, v_table)
        WHEN v_column <> '' THEN format(' (column %s of table %s)', v_column, v_table) END));
  END;
END $f$;

-- definitions lists columns with their types, as json_to_recordset wants them.
CREATE OR REPLACE FUNCTION godwit.definitions(p_relation regclass) RETURNS text LANGUAGE sql STABLE AS $f$
  SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
  FROM pg_attribute a WHERE a.attrelid = p_relation AND a.attnum > 0 AND NOT a.attisdropped
$f$;

-- apply_revisions applies revisions of ledger documents. Heads first: they lock, in the order of their keys, and tell
-- which revisions are the newest. What follows are new statements, which see what the first one waited for.
CREATE OR REPLACE FUNCTION godwit.apply_revisions(s godwit.stream, p_request json) RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE
  r record;
  t record;
  v_relations text[];
  v_docs text[];
  v_versions bigint[];
  v_rows bigint := 0;
  v_history bigint := 0;
  v_brought bigint;
  v_kept bigint;
BEGIN
  SELECT * INTO r FROM json_to_record(p_request) AS x (docs json, rows json, blocks json, shards json, last json);
  WITH won AS (
    INSERT INTO godwit.head AS h (relation, doc_id, version, deleted, hash, table_id)
    SELECT format('%I.%I', s.target_schema, d.current), d.doc, d.version, coalesce(d.deleted, false), decode(d.hash, 'base64'), d.id
    FROM json_to_recordset(r.docs) AS d (current text, doc text, version bigint, deleted boolean, hash text, id text)
    ORDER BY 1, d.doc COLLATE "C"
    ON CONFLICT (relation, doc_id) DO UPDATE
    SET version = excluded.version, deleted = excluded.deleted, hash = excluded.hash, table_id = excluded.table_id
    WHERE h.version < excluded.version
    RETURNING h.relation, h.doc_id, h.version)
  SELECT array_agg(relation), array_agg(doc_id), array_agg(version), count(*) INTO v_relations, v_docs, v_versions, v_rows FROM won;

  FOR t IN
    SELECT x.*, format('%I.%I', s.target_schema, x.current_name) AS relation, godwit.columns(x.mapped, ', %I') AS columns, e.value AS brought
    FROM json_each(r.rows) e JOIN godwit.load_table x ON x.load_id = s.load_id AND x.current_name = e.key
  LOOP
    EXECUTE format($q$
      WITH brought AS MATERIALIZED (
        SELECT * FROM json_to_recordset($1) AS x (%1$s)
      ), won AS (
        SELECT doc_id, version FROM unnest($2, $3, $4) AS w (relation, doc_id, version) WHERE w.relation = $5
      ), kept AS (
        INSERT INTO %2$I.%3$I (doc_id, version%4$s, ql_audit, operation, transaction_id)
        SELECT doc_id, version%4$s, ql_audit, operation, transaction_id FROM brought
        ON CONFLICT (doc_id, version) DO NOTHING
        RETURNING 1
      ), newest AS MATERIALIZED (
        SELECT b.*, b.operation = 'D' OR coalesce((b.ql_audit->>'ql_redacted')::boolean, false) AS gone FROM brought b JOIN won USING (doc_id, version)
      ), gone AS (
        DELETE FROM %2$I.%5$I c USING newest n WHERE n.gone AND c.doc_id = n.doc_id
      ), shown AS (
        INSERT INTO %2$I.%5$I (doc_id, version%4$s, ql_audit)
        SELECT doc_id, version%4$s, ql_audit FROM newest WHERE NOT gone
        ON CONFLICT (doc_id) DO UPDATE SET version = excluded.version%6$s, ql_audit = excluded.ql_audit)
      SELECT (SELECT count(*) FROM brought), (SELECT count(*) FROM kept)$q$,
      godwit.definitions(format('%I.%I', s.target_schema, t.history_name)::regclass), s.target_schema, t.history_name, t.columns, t.current_name,
      godwit.columns(t.mapped, ', %1$I = excluded.%1$I'))
    INTO v_brought, v_kept USING t.brought, v_relations, v_docs, v_versions, t.relation;
    v_history := v_history + v_kept;
  END LOOP;
  UPDATE godwit.stream x SET applied_at = clock_timestamp() WHERE x.name = s.name AND x.generation = s.generation AND x.stopped IS NULL;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'GW007', MESSAGE = format('stream %s was stopped or registered anew meanwhile', s.name);
  END IF;
  RETURN jsonb_build_object('state', 'applied', 'rows', v_rows, 'history', v_history, 'gap_free', s.gap_free);
END $f$;

-- row_tables describes tables as the catalog does.
CREATE OR REPLACE FUNCTION godwit.row_tables(p_names jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $f$
  SELECT coalesce(jsonb_agg(jsonb_build_object('Schema', n->>'Schema', 'Name', n->>'Name',
    'Columns', (
      SELECT jsonb_agg(jsonb_build_object('Name', a.attname, 'Type', format_type(a.atttypid, a.atttypmod), 'NotNull', a.attnotnull, 'Generated', a.attgenerated <> '') ORDER BY a.attnum)
      FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'Key', (
      SELECT jsonb_agg(a.attname ORDER BY k.o)
      FROM (SELECT x.* FROM pg_index x WHERE x.indrelid = c.oid AND x.indisvalid AND (x.indisprimary OR x.indisreplident) ORDER BY x.indisprimary DESC LIMIT 1) AS i
      CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (n, o)
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.n WHERE k.o <= i.indnkeyatts)) ORDER BY o), '[]')
  FROM jsonb_array_elements(p_names) WITH ORDINALITY AS m (n, o)
  JOIN pg_class c ON c.oid = to_regclass(format('%I.%I', n->>'Schema', n->>'Name')) AND c.relkind IN ('r', 'p')
$f$;

CREATE OR REPLACE FUNCTION godwit.stream_status(p_name text) RETURNS jsonb LANGUAGE sql VOLATILE AS $f$
  SELECT jsonb_build_object('stream', godwit.describe_stream(p_name), 'gap_free', s.gap_free, 'gap_free_hash', s.gap_free_hash,
    'open', coalesce((SELECT jsonb_agg(b.block ORDER BY b.block) FROM (
      SELECT x.block FROM godwit.stream_block x WHERE x.stream = p_name AND NOT x.complete ORDER BY x.block LIMIT 20) AS b), '[]'),
    'open_blocks', (SELECT count(*) FROM godwit.stream_block b WHERE b.stream = p_name AND NOT b.complete),
    'last', jsonb_build_object('major', s.last_major, 'minor', s.last_minor, 'tie', s.last_tie),
    'last_at', coalesce(to_char(s.last_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24":"MI":"SS.US"Z"'), ''),
    'applied_at', coalesce(to_char(s.applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24":"MI":"SS.US"Z"'), ''),
    'shards', coalesce((SELECT jsonb_agg(jsonb_build_object('shard', x.shard, 'sequence', x.sequence::text) ORDER BY x.shard) FROM godwit.stream_shard x WHERE x.stream = p_name), '[]'),
    'aside', (SELECT count(*) FROM godwit.stream_aside a WHERE a.stream = p_name AND a.replayed_at IS NULL),
    'aside_first', coalesce((SELECT a.object FROM godwit.stream_aside a WHERE a.stream = p_name AND a.replayed_at IS NULL ORDER BY a.aside_at, a.object LIMIT 1), ''))
  FROM godwit.stream s WHERE s.name = p_name
$f$;
END $install$
