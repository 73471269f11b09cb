DO $install$
BEGIN
PERFORM pg_advisory_xact_lock(hashtextextended('godwit install', 0));

-- A stream that feeds this database. Whoever applies something holds its row from the end of his work to his commit:
-- what is noted of a stream is noted by one at a time, each of whom sees what the others have committed.
CREATE TABLE IF NOT EXISTS godwit.stream (
  name            text PRIMARY KEY,
  source          text NOT NULL CHECK (source IN ('qldb', 'dms', 'dsql')),
  target_schema   text NOT NULL, -- empty: that of each record
  load_id         text NOT NULL, -- that it continues; empty where it has none
  strand          text NOT NULL,
  boundary        jsonb NOT NULL, -- position: what is at or below its major was loaded
  boundary_hash   text NOT NULL, -- in base64, as all hashes here; empty where not known
  mapping         text NOT NULL,
  tables          jsonb NOT NULL, -- only these ledger tables; null is all
  aside           jsonb NOT NULL, -- records whose contradictions are set aside: shard and sequence
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

-- Generations grow also when a registration is forgotten.
CREATE SEQUENCE IF NOT EXISTS godwit.stream_generation;

-- Blocks behind the gap-free one that something is known of. A complete one waits for those before it.
CREATE TABLE IF NOT EXISTS godwit.stream_block (
  stream   text NOT NULL,
  block    bigint NOT NULL,
  hash     text,   -- NULL: its summary is still to come
  previous text,
  record   text, -- shard and sequence of its summary
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

-- What a stream told of the life of ledger tables. A name is one table's at a time: a table is there as long as it, or an
-- UNDROP of it, is the last that was told of its name.
CREATE TABLE IF NOT EXISTS godwit.stream_source (
  stream     text NOT NULL,
  table_id   text NOT NULL,
  table_name text, -- NULL: nothing but an UNDROP was told of it
  alive_at   bigint NOT NULL, -- greatest block that has a revision or an UNDROP of it
  PRIMARY KEY (stream, table_id)
);
CREATE TABLE IF NOT EXISTS godwit.stream_drop (
  stream     text NOT NULL,
  table_name text NOT NULL,
  block      bigint NOT NULL, -- greatest that has a DROP of the name
  PRIMARY KEY (stream, table_name)
);

-- describe_stream renders a registration; NULL where there is none.
CREATE OR REPLACE FUNCTION godwit.describe_stream(p_name text) RETURNS jsonb LANGUAGE sql STABLE AS $f$
  SELECT jsonb_build_object('name', name, 'source', source, 'target_schema', target_schema, 'load_id', load_id, 'strand', strand,
    'boundary', boundary, 'boundary_hash', boundary_hash, 'mapping', mapping, 'tables', tables, 'aside', aside, 'history', history, 'redact', redact,
    'generation', generation, 'stopped', coalesce(stopped, ''))
  FROM godwit.stream WHERE name = p_name
$f$;

-- active_later tells whether a ledger table is there, as the archive says that ends last, or the stream behind it, not the
-- one that is loaded last; NULL where the load's own does.
CREATE OR REPLACE FUNCTION godwit.active_later(l godwit.load, p_table_id text) RETURNS boolean LANGUAGE sql STABLE AS $f$
  SELECT o.active FROM godwit.load_source o JOIN godwit.load p USING (load_id)
  CROSS JOIN LATERAL (SELECT greatest(p.last_block, max(x.last_major)) AS last_block FROM godwit.stream x WHERE x.load_id = p.load_id AND x.source = 'qldb') AS e
  WHERE p.target_schema = l.target_schema AND p.state = 'published' AND o.table_id = p_table_id AND e.last_block > l.last_block
  ORDER BY e.last_block DESC LIMIT 1
$f$;

-- enable_stream registers a stream, or leaves it as it is when nothing of it is new.
CREATE OR REPLACE FUNCTION godwit.enable_stream(p_args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE
  s godwit.stream;
  v_name text := p_args->>'name';
  v_boundary bigint := p_args->'boundary'->>'major';
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'godwit stream', v_name), 0));
  IF p_args->'aside' = 'null' THEN -- who does not say is told: stays
    p_args := p_args || jsonb_build_object('aside', coalesce((SELECT x.aside FROM godwit.stream x WHERE x.name = v_name), '[]'));
  END IF;
  IF godwit.describe_stream(v_name) - 'generation' - 'stopped' = p_args - 'generation' - 'stopped' THEN
    RETURN godwit.describe_stream(v_name);
  END IF;
  IF p_args->>'source' = 'qldb' AND NOT EXISTS (
      SELECT FROM godwit.load l WHERE l.load_id = p_args->>'load_id' AND l.target_schema = p_args->>'target_schema' AND l.state = 'published') THEN
    RAISE EXCEPTION USING ERRCODE = 'GW003', MESSAGE = format('load %s is not shown in schema %s: a stream continues a load that is', p_args->>'load_id', p_args->>'target_schema');
  END IF;
  SELECT * INTO s FROM godwit.stream x WHERE x.name = v_name FOR UPDATE;
  DELETE FROM godwit.stream x WHERE x.name = v_name;
  INSERT INTO godwit.stream (name, source, target_schema, load_id, strand, boundary, boundary_hash, mapping, tables, aside, history, redact, generation,
    stopped, resumed_because, gap_free, gap_free_hash, last_major, last_minor, last_tie)
  SELECT v_name, p_args->>'source', p_args->>'target_schema', p_args->>'load_id', p_args->>'strand', p_args->'boundary', p_args->>'boundary_hash',
    p_args->>'mapping', p_args->'tables', p_args->'aside', (p_args->>'history')::boolean, (p_args->>'redact')::boolean, nextval('godwit.stream_generation'),
    s.stopped, s.resumed_because, v_boundary, p_args->>'boundary_hash', v_boundary, coalesce((p_args->'boundary'->>'minor')::bigint, 0), coalesce(p_args->'boundary'->>'tie', '');
  DELETE FROM godwit.stream_aside x WHERE x.stream = v_name AND x.block BETWEEN 0 AND v_boundary;
  DELETE FROM godwit.stream_block x WHERE x.stream = v_name AND x.block <= v_boundary;
  DELETE FROM godwit.stream_drop x WHERE x.stream = v_name AND x.block <= v_boundary;
  DELETE FROM godwit.stream_source x WHERE x.stream = v_name AND x.alive_at <= v_boundary;
  IF (s.source, s.target_schema, s.strand) = (p_args->>'source', p_args->>'target_schema', p_args->>'strand') THEN
    -- It goes on where it was, when that is behind the boundary.
    UPDATE godwit.stream x SET gap_free = s.gap_free, gap_free_hash = s.gap_free_hash WHERE x.name = v_name AND x.gap_free < s.gap_free;
    UPDATE godwit.stream x SET last_major = s.last_major, last_minor = s.last_minor, last_tie = s.last_tie, last_at = s.last_at, applied_at = s.applied_at
      WHERE x.name = v_name AND x.last_major <= s.last_major;
  ELSE
    DELETE FROM godwit.stream_block x WHERE x.stream = v_name;
    DELETE FROM godwit.stream_drop x WHERE x.stream = v_name;
    DELETE FROM godwit.stream_source x WHERE x.stream = v_name;
  END IF;
  -- Tables of which this load's archive says nothing are as the loads before it left them.
  INSERT INTO godwit.load_table (load_id, current_name, history_name, mapped, merge, shown)
  SELECT DISTINCT ON (x.current_name) l.load_id, x.current_name, x.history_name, x.mapped, true, x.shown
  FROM godwit.load l JOIN godwit.load o ON o.target_schema = l.target_schema AND o.strand = l.strand AND o.history = l.history AND o.state = 'published' AND o.load_id <> l.load_id
  JOIN godwit.load_table x ON x.load_id = o.load_id AND x.shown = to_regclass(format('%I.%I', l.target_schema, x.current_name))::oid
  WHERE l.load_id = p_args->>'load_id' ORDER BY x.current_name, o.last_block DESC
  ON CONFLICT (load_id, current_name) DO NOTHING;
  INSERT INTO godwit.load_source (load_id, table_id, table_name, current_name, active)
  SELECT DISTINCT ON (x.table_id) l.load_id, x.table_id, x.table_name, x.current_name, x.active
  FROM godwit.load l JOIN godwit.load o ON o.target_schema = l.target_schema AND o.strand = l.strand AND o.history = l.history AND o.state = 'published' AND o.load_id <> l.load_id
  JOIN godwit.load_source x ON x.load_id = o.load_id JOIN godwit.load_table t ON t.load_id = l.load_id AND t.current_name = x.current_name
  WHERE l.load_id = p_args->>'load_id' ORDER BY x.table_id, o.last_block DESC
  ON CONFLICT (load_id, table_id) DO NOTHING;
  INSERT INTO godwit.stream_source AS x (stream, table_id, table_name, alive_at)
  SELECT v_name, o.table_id, o.table_name, CASE WHEN o.active THEN v_boundary ELSE -1 END FROM godwit.load_source o WHERE o.load_id = p_args->>'load_id'
  ON CONFLICT (stream, table_id) DO UPDATE SET alive_at = excluded.alive_at WHERE x.alive_at < excluded.alive_at;
  RETURN godwit.describe_stream(v_name);
END $f$;

-- apply stores what one request brings, all of it or nothing, in one transaction of READ COMMITTED: each statement in it
-- sees what others committed before the statement began. What the database refuses to hold is answered without its text,
-- which quotes values. One that waits for a lock gives up before its caller does: a call that nobody hears goes on, and
-- its repeats would wait behind it. Behind what is told stand the rows, an array for each table or part, all with a record
-- separator (U+001E) between, which JSON does not have: nothing large is read as JSON but once.
CREATE OR REPLACE FUNCTION godwit.apply(p_stream text, p_generation bigint, p_request text) RETURNS jsonb LANGUAGE plpgsql SET lock_timeout = '20s' AS $f$
DECLARE
  s godwit.stream;
  v_request text[] := string_to_array(p_request, chr(30));
  v_state text;
  v_schema text;
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
  IF s.source = 'qldb' THEN
    -- Not while a load is being shown: what it decided by would change under it.
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(concat_ws(' ', 'godwit show', s.target_schema), 0));
  END IF;
  BEGIN
    SET CONSTRAINTS ALL DEFERRED; -- until all rows of the request are written
    IF s.source = 'qldb' THEN
      RETURN godwit.apply_revisions(s, v_request[1]::json, v_request[2:]);
    ELSE
      RETURN godwit.apply_rows(s, v_request[1]::json, v_request[2:]);
    END IF;
  EXCEPTION WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded
    OR raise_exception -- of a trigger of the application
    OR cardinality_violation THEN -- keys that differ, and that a collation takes for equal: one after the other they have no quarrel
    GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_schema = SCHEMA_NAME, v_table = TABLE_NAME, v_constraint = CONSTRAINT_NAME, v_column = COLUMN_NAME;
    IF v_schema = 'godwit' THEN -- no message is to blame
      RAISE EXCEPTION USING ERRCODE = 'GW000', MESSAGE = format('the bookkeeping refuses what is noted of stream %s (SQLSTATE %s, %s of table godwit.%I): please report this',
        p_stream, v_state, coalesce(nullif(v_constraint, ''), v_column), v_table);
    END IF;
    RETURN jsonb_build_object('state', 'refused', 'sqlstate', v_state, 'message', concat('the database refuses a value',
      CASE WHEN v_constraint <> '' THEN format(' (constraint %s of table %s)', v_constraint, v_table)
        WHEN v_column <> '' THEN format(' (column %s of table %s)', v_column, v_table) END));
  END;
END $f$;

-- note takes the stream's row and notes how far the stream is. Rows are written before it, and what is derived from the
-- work of others after it. A stream that was stopped meanwhile undoes the work.
CREATE OR REPLACE FUNCTION godwit.note(p_stream text, p_generation bigint, p_notes json) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
  r record;
BEGIN
  SET CONSTRAINTS ALL IMMEDIATE; -- nobody could tell which message a fault is of that the commit finds
  SELECT * INTO r FROM json_to_record(p_notes) AS x (major bigint, minor bigint, tie text, at timestamptz, shards json, asides json);
  UPDATE godwit.stream x SET applied_at = clock_timestamp(), last_at = greatest(x.last_at, r.at),
    (last_major, last_minor, last_tie) = (
      SELECT m.a, m.b, m.c FROM (VALUES (x.last_major, x.last_minor, x.last_tie), (r.major, coalesce(r.minor, 0), coalesce(r.tie, '') COLLATE "C")) AS m (a, b, c)
      WHERE m.a IS NOT NULL ORDER BY m.a DESC, m.b DESC, m.c DESC LIMIT 1)
  WHERE x.name = p_stream AND x.generation = p_generation AND x.stopped IS NULL;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'GW007', MESSAGE = format('stream %s was stopped or registered anew meanwhile', p_stream);
  END IF;
  INSERT INTO godwit.stream_shard AS h (stream, shard, sequence)
  SELECT p_stream, x.shard, x.sequence FROM json_to_recordset(r.shards) AS x (shard text, sequence numeric)
  ON CONFLICT (stream, shard) DO UPDATE SET sequence = excluded.sequence WHERE h.sequence < excluded.sequence;
  INSERT INTO godwit.stream_aside (stream, object, reason, table_name, doc_id, version, block)
  SELECT p_stream, x.object, x.reason, x.table_name, x.doc, x.version, x.block
  FROM json_to_recordset(r.asides) AS x (object text, reason text, table_name text, doc text, version bigint, block bigint)
  ON CONFLICT (stream, object) DO NOTHING;
END $f$;

-- definitions lists columns with their types, in the order of their names, as json_to_recordset wants them; NULL where
-- there is no table.
CREATE OR REPLACE FUNCTION godwit.definitions(p_relation regclass) RETURNS text LANGUAGE sql STABLE AS $f$
  SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attname)
  FROM pg_attribute a WHERE a.attrelid = p_relation AND a.attnum > 0 AND NOT a.attisdropped
$f$;

-- stream_status tells how far a stream is; NULL where there is none.
CREATE OR REPLACE FUNCTION godwit.stream_status(p_name text) RETURNS jsonb LANGUAGE sql STABLE AS $f$
  SELECT jsonb_build_object('stream', godwit.describe_stream(p_name), 'gap_free', s.gap_free, 'gap_free_hash', s.gap_free_hash,
    'ready', EXISTS (SELECT FROM godwit.stream_block b WHERE b.stream = p_name AND b.block = s.gap_free + 1 AND b.complete),
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
