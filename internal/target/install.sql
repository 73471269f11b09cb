DO $install$
BEGIN
-- One installer at a time: CREATE ... IF NOT EXISTS is not safe against itself.
PERFORM pg_advisory_xact_lock(hashtextextended('godwit install', 0));

CREATE SCHEMA IF NOT EXISTS godwit;

-- A load: of a ledger, which is one archive, one mapping and one target schema, or of tables, which stand in
-- godwit.loaded_table with their schemas.
CREATE TABLE IF NOT EXISTS godwit.load (
  load_id       text PRIMARY KEY,
  target_schema text, -- of a ledger
  stage_schema  text, -- of a ledger
  history       boolean NOT NULL,
  state         text NOT NULL CHECK (state IN ('loading', 'published')),
  strand        text,
  first_block   bigint,
  last_block    bigint,
  started_at    timestamptz NOT NULL DEFAULT now(),
  published_at  timestamptz,
  made_schema   boolean,     -- showing it made the target schema
  shown_in      pg_snapshot, -- taken as it was shown: what it does not see was written later
  plan          text,        -- of tables: a digest of what becomes of them
  replaces      boolean      -- of tables: it takes the place of what other loads of tables brought
);
-- What the first version did not note. ALTER TABLE would wait for every running task, even for a column that is there.
IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'godwit.load'::regclass AND attname = 'shown_in') THEN
  ALTER TABLE godwit.load ADD COLUMN made_schema boolean, ADD COLUMN shown_in pg_snapshot;
END IF;
IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'godwit.load'::regclass AND attname = 'plan') THEN
  ALTER TABLE godwit.load ALTER COLUMN target_schema DROP NOT NULL, ALTER COLUMN stage_schema DROP NOT NULL, ADD COLUMN plan text, ADD COLUMN replaces boolean;
END IF;
-- Two loads never write to one schema at a time. CREATE INDEX IF NOT EXISTS would wait for every writer of the table
-- even when the index is there.
IF to_regclass('godwit.load_one_at_a_time') IS NULL THEN
  CREATE UNIQUE INDEX load_one_at_a_time ON godwit.load (target_schema) WHERE state = 'loading';
END IF;

-- The target tables of a load; mapped lists the columns between version and ql_audit.
CREATE TABLE IF NOT EXISTS godwit.load_table (
  load_id      text NOT NULL REFERENCES godwit.load,
  current_name text NOT NULL,
  history_name text NOT NULL,
  mapped       text[] NOT NULL,
  merge        boolean NOT NULL,
  shown        oid, -- the table that showed the load; another of its name may have come since
  PRIMARY KEY (load_id, current_name)
);

-- The tables of a load of tables.
CREATE TABLE IF NOT EXISTS godwit.loaded_table (
  load_id       text NOT NULL REFERENCES godwit.load,
  target_schema text NOT NULL,
  target_name   text NOT NULL,
  stage_schema  text NOT NULL, -- hidden; one for each target schema
  shown         oid,           -- the table that showed the load; another of its name may have come since
  PRIMARY KEY (load_id, target_schema, target_name)
);

-- The ledger tables of a load, by id: a dropped and re-created table has one name and two ids.
CREATE TABLE IF NOT EXISTS godwit.load_source (
  load_id      text NOT NULL REFERENCES godwit.load,
  table_id     text NOT NULL,
  table_name   text NOT NULL,
  current_name text NOT NULL,
  active       boolean NOT NULL,
  PRIMARY KEY (load_id, table_id)
);

-- Work that committed: a row stands here if and only if its effect does.
CREATE TABLE IF NOT EXISTS godwit.task (
  load_id  text NOT NULL REFERENCES godwit.load,
  phase    text NOT NULL,
  name     text NOT NULL,
  table_id text,
  rows     bigint,
  counts   jsonb,
  begun_at timestamptz NOT NULL DEFAULT now(),
  done_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (load_id, phase, name)
);

-- Why work failed, until its caller has said that it knows.
CREATE TABLE IF NOT EXISTS godwit.failure (
  load_id   text NOT NULL,
  phase     text NOT NULL,
  name      text NOT NULL,
  state     text NOT NULL,
  message   text NOT NULL,
  failed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (load_id, phase, name)
);

-- Bounds of publish slices, chosen once: a second choice could overlap the first.
CREATE TABLE IF NOT EXISTS godwit.slice (
  load_id      text NOT NULL REFERENCES godwit.load,
  current_name text NOT NULL,
  number       integer NOT NULL,
  low          text COLLATE "C" NOT NULL,
  high         text COLLATE "C",
  PRIMARY KEY (load_id, current_name, number)
);

-- Revisions that could not be mapped, by the import of the transform's list.
CREATE TABLE IF NOT EXISTS godwit.quarantine (
  load_id    text NOT NULL,
  table_id   text NOT NULL,
  table_name text NOT NULL,
  doc_id     text COLLATE "C",
  version    bigint,
  object     text NOT NULL,
  block      bigint NOT NULL,
  revision   integer NOT NULL,
  path       text NOT NULL,
  reason     text NOT NULL
);
IF to_regclass('godwit.quarantine_doc') IS NULL THEN
  CREATE INDEX quarantine_doc ON godwit.quarantine (doc_id, version);
  CREATE INDEX quarantine_load ON godwit.quarantine (load_id);
END IF;

-- Revisions whose data the ledger removed: those that the archive asks to redact, by the import of the transform's list,
-- and those that it has redacted where an earlier load showed data.
CREATE TABLE IF NOT EXISTS godwit.redaction (
  load_id   text NOT NULL,
  table_id  text NOT NULL,
  doc_id    text COLLATE "C" NOT NULL,
  version   bigint NOT NULL,
  block     bigint, -- that asks for it
  data_hash text,   -- of the removed data, in base64, where a redacted copy tells
  outcome   text CHECK (outcome IN ( -- NULL: no row that was loaded has the revision
    'already',      -- its row held no data
    'loaded',       -- data was taken from a row of this load
    'shown'))       -- data was taken from a row that an earlier load showed
);
IF to_regclass('godwit.redaction_doc') IS NULL THEN
  CREATE INDEX redaction_doc ON godwit.redaction (load_id, doc_id, version);
END IF;

-- The newest version that a target table has of each document, tombstones included: the guard of every writer.
CREATE TABLE IF NOT EXISTS godwit.head (
  relation text NOT NULL,
  doc_id   text COLLATE "C" NOT NULL,
  version  bigint NOT NULL,
  deleted  boolean NOT NULL,
  hash     bytea,
  table_id text NOT NULL,
  PRIMARY KEY (relation, doc_id)
) PARTITION BY LIST (relation);

-- columns renders a list of columns, each by the format given.
CREATE OR REPLACE FUNCTION godwit.columns(p_columns text[], p_format text) RETURNS text LANGUAGE sql IMMUTABLE AS $f$
  SELECT coalesce(string_agg(format(p_format, c), '' ORDER BY o), '') FROM unnest(p_columns) WITH ORDINALITY AS m (c, o)
$f$;

-- stands tells whether a table that showed a load is still there. A load without tables stands for ever.
CREATE OR REPLACE FUNCTION godwit.stands(p_load text) RETURNS boolean LANGUAGE sql STABLE AS $f$
  SELECT coalesce(bool_or(to_regclass(x.relation)::oid IS NOT DISTINCT FROM x.shown), true) FROM (
    SELECT format('%I.%I', l.target_schema, t.current_name) AS relation, t.shown
    FROM godwit.load l JOIN godwit.load_table t USING (load_id) WHERE l.load_id = p_load
    UNION ALL SELECT format('%I.%I', t.target_schema, t.target_name), t.shown FROM godwit.loaded_table t WHERE t.load_id = p_load) AS x
$f$;

-- under_way names the load that is under way into a schema, of a ledger or of tables.
CREATE OR REPLACE FUNCTION godwit.under_way(p_schema text) RETURNS text LANGUAGE sql STABLE AS $f$
  SELECT l.load_id FROM godwit.load l WHERE l.state = 'loading'
    AND (l.target_schema = p_schema OR EXISTS (SELECT FROM godwit.loaded_table t WHERE t.load_id = l.load_id AND t.target_schema = p_schema)) LIMIT 1
$f$;

-- register records a load and reserves its schema. It answers the load's state, or which other load has the schema. A
-- published load whose tables were all dropped since is loaded anew.
CREATE OR REPLACE FUNCTION godwit.register(p_load text, p_schema text, p_stage text, p_history boolean, p_strand text, p_first bigint, p_last bigint)
RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE
  l godwit.load;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'godwit begin', p_schema), 0));
  SELECT * INTO l FROM godwit.load x WHERE x.load_id = p_load FOR KEY SHARE;
  IF l.state = 'loading' OR l.state = 'published' AND godwit.stands(p_load) THEN
    RETURN jsonb_build_object('state', l.state);
  END IF;
  IF godwit.under_way(p_schema) IS NOT NULL THEN
    RETURN jsonb_build_object('running', godwit.under_way(p_schema));
  END IF;
  PERFORM godwit.forget(p_load);
  INSERT INTO godwit.load (load_id, target_schema, stage_schema, history, state, strand, first_block, last_block)
  VALUES (p_load, p_schema, p_stage, p_history, 'loading', p_strand, p_first, p_last);
  RETURN jsonb_build_object('state', 'loading');
END $f$;

-- forget removes the bookkeeping of a load.
CREATE OR REPLACE FUNCTION godwit.forget(p_load text) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
  DELETE FROM godwit.quarantine x WHERE x.load_id = p_load;
  DELETE FROM godwit.redaction x WHERE x.load_id = p_load;
  DELETE FROM godwit.failure x WHERE x.load_id = p_load;
  DELETE FROM godwit.slice x WHERE x.load_id = p_load;
  DELETE FROM godwit.task x WHERE x.load_id = p_load;
  DELETE FROM godwit.load_source x WHERE x.load_id = p_load;
  DELETE FROM godwit.load_table x WHERE x.load_id = p_load;
  DELETE FROM godwit.loaded_table x WHERE x.load_id = p_load;
  -- A stream that continues it has nothing to continue.
  DELETE FROM godwit.stream_block x USING godwit.stream s WHERE s.load_id = p_load AND x.stream = s.name;
  DELETE FROM godwit.stream_aside x USING godwit.stream s WHERE s.load_id = p_load AND x.stream = s.name;
  DELETE FROM godwit.stream_drop x USING godwit.stream s WHERE s.load_id = p_load AND x.stream = s.name;
  DELETE FROM godwit.stream_source x USING godwit.stream s WHERE s.load_id = p_load AND x.stream = s.name;
  DELETE FROM godwit.stream x WHERE x.load_id = p_load;
  DELETE FROM godwit.load x WHERE x.load_id = p_load;
END $f$;

-- run does one task at most once. It answers done (now or before), running (somebody else does it) or failed. A failure
-- stays until its caller has removed it: a caller that asks again after it stopped waiting sets look, and learns of a
-- failure that nobody received instead of trying anew. The task's row, its effect and nothing else commit together; a
-- failure commits only its own row.
CREATE OR REPLACE FUNCTION godwit.run(p_load text, p_phase text, p_name text, p_look boolean, p_args jsonb)
RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE
  v_failure godwit.failure;
  v_rows bigint;
  v_counts jsonb;
  v_state text;
  v_message text;
  v_table text;
  v_constraint text;
  v_context text;
  v_copy text := concat('COPY ', p_args->>'relation', ', ');
  v_plan text;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended(concat_ws(' ', 'godwit', p_load, p_phase, p_name), 0)) THEN
    RETURN jsonb_build_object('state', 'running');
  END IF;
  IF EXISTS (SELECT FROM godwit.task t WHERE t.load_id = p_load AND t.phase = p_phase AND t.name = p_name) THEN
    RETURN jsonb_build_object('state', 'done');
  END IF;
  SELECT l.state, l.plan INTO v_state, v_plan FROM godwit.load l WHERE l.load_id = p_load FOR KEY SHARE;
  IF v_state IS DISTINCT FROM 'loading' THEN
    RETURN jsonb_build_object('state', 'failed', 'sqlstate', 'GW003', 'message',
      format('load %s is %s: start it again', p_load, coalesce(v_state, 'not registered, as after it was abandoned')));
  END IF;
  SELECT f.* INTO v_failure FROM godwit.failure f WHERE f.load_id = p_load AND f.phase = p_phase AND f.name = p_name;
  IF FOUND AND p_look THEN
    RETURN jsonb_build_object('state', 'failed', 'sqlstate', v_failure.state, 'message', v_failure.message);
  END IF;
  BEGIN
    INSERT INTO godwit.task (load_id, phase, name) VALUES (p_load, p_phase, p_name);
    CASE
      WHEN v_plan IS NOT NULL THEN SELECT x.rows, x.counts INTO v_rows, v_counts FROM godwit.run_tables(p_load, p_phase, p_args) AS x;
      WHEN p_phase = 'import' THEN v_rows := godwit.import_part(p_load, p_args);
      WHEN p_phase = 'keys' THEN v_rows := godwit.build_key(p_load, p_args);
      WHEN p_phase = 'slices' THEN v_counts := godwit.publish_slice(p_load, p_args);
      WHEN p_phase = 'indexes' THEN v_rows := godwit.build_index(p_load, p_args);
      WHEN p_phase = 'visible' THEN v_counts := godwit.make_visible(p_load);
      ELSE RAISE EXCEPTION USING ERRCODE = 'GW000', MESSAGE = format('no phase is named %s', p_phase);
    END CASE;
    UPDATE godwit.task t SET rows = v_rows, counts = v_counts, table_id = p_args->>'table_id', done_at = clock_timestamp()
      WHERE t.load_id = p_load AND t.phase = p_phase AND t.name = p_name;
    DELETE FROM godwit.failure f WHERE f.load_id = p_load AND f.phase = p_phase AND f.name = p_name;
    RETURN jsonb_build_object('state', 'done'); -- without the counts, which may be longer than a row of the Data API
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT, v_table = TABLE_NAME, v_constraint = CONSTRAINT_NAME,
      v_context = PG_EXCEPTION_CONTEXT;
    -- Data exceptions and constraint violations quote column values: their text stays in the server. Where it happened
    -- is said: constraint and table, or the line and column of COPY, which stand before the value; behind the text of a
    -- broken jsonb, which could imitate them, the line alone.
    IF left(v_state, 2) IN ('22', '23') THEN
      v_message := concat('the server refused a value', CASE WHEN v_constraint <> '' THEN format(' (constraint %s of table %s)', v_constraint, v_table) END,
        CASE WHEN starts_with(v_context, v_copy) THEN ' at ' || substring(substr(v_context, length(v_copy) + 1) FROM '^line [0-9]+(?:, column [^:"]+)?(?=:)')
          WHEN strpos(v_context, E'\n' || v_copy) > 0 THEN ' at ' || substring(substr(v_context, strpos(v_context, E'\n' || v_copy) + length(v_copy) + 1) FROM '^line [0-9]+') END,
        '; its text is withheld here, the server log has it');
    END IF;
    INSERT INTO godwit.failure AS f (load_id, phase, name, state, message) VALUES (p_load, p_phase, p_name, v_state, v_message)
    ON CONFLICT (load_id, phase, name) DO UPDATE SET state = excluded.state, message = excluded.message, failed_at = excluded.failed_at;
    RETURN jsonb_build_object('state', 'failed', 'sqlstate', v_state, 'message', v_message);
  END;
END $f$;

-- import_part reads one object into a staging table and compares the number of rows with the plan.
CREATE OR REPLACE FUNCTION godwit.import_part(p_load text, p_args jsonb) RETURNS bigint LANGUAGE plpgsql AS $f$
DECLARE
  v_answer text;
  v_rows bigint;
BEGIN
  BEGIN
    v_answer := aws_s3.table_import_from_s3(
      format('%I.%I', p_args->>'schema', p_args->>'relation'), coalesce(p_args->>'columns', ''), '(FORMAT text)',
      aws_commons.create_s3_uri(p_args->>'bucket', p_args->>'key', p_args->>'region'));
  EXCEPTION WHEN raise_exception THEN
    -- Only the text tells what S3 answered.
    CASE
      WHEN SQLERRM ~ '^(HTTP (408|429|5[0-9][0-9])|unable to )' THEN
        RAISE io_error USING MESSAGE = SQLERRM;
      WHEN SQLERRM ~ '^HTTP 403' THEN
        RAISE insufficient_privilege USING MESSAGE = format(
          '%s The role that the cluster has for s3Import must be allowed to get objects below parts/ in bucket %s, and to decrypt with its key', SQLERRM, p_args->>'bucket');
      ELSE RAISE;
    END CASE;
  END;
  v_rows := substring(v_answer FROM '^ *([0-9]+) rows? imported')::bigint;
  IF v_rows IS DISTINCT FROM (p_args->>'rows')::bigint THEN
    RAISE EXCEPTION USING ERRCODE = 'GW001', MESSAGE =
      format('part %s holds %s rows where the transform wrote %s', p_args->>'key', coalesce(v_rows::text, 'no count of'), p_args->>'rows');
  END IF;
  RETURN v_rows;
END $f$;

-- build_key indexes staged history by (doc_id, version); a revision staged twice ends here, named with the blocks that
-- it stands in.
CREATE OR REPLACE FUNCTION godwit.build_key(p_load text, p_args jsonb) RETURNS bigint LANGUAGE plpgsql AS $f$
DECLARE
  v_stage text;
  v_history text := p_args->>'history';
  v_twice text;
  v_more bigint;
BEGIN
  SELECT l.stage_schema INTO STRICT v_stage FROM godwit.load l WHERE l.load_id = p_load;
  BEGIN
    EXECUTE format('ALTER TABLE %I.%I ADD PRIMARY KEY (doc_id, version)', v_stage, v_history);
  EXCEPTION WHEN unique_violation THEN
    EXECUTE format($q$
      SELECT string_agg(format('document %%s version %%s (blocks %%s and %%s)', left(doc_id, 64), version, low, high), ', ' ORDER BY doc_id, version), max(n) - count(*)
      FROM (SELECT doc_id, version, min((ql_audit->>'ql_blockseq')::bigint) AS low, max((ql_audit->>'ql_blockseq')::bigint) AS high, count(*) OVER () AS n
        FROM %I.%I GROUP BY doc_id, version HAVING count(*) > 1 ORDER BY doc_id, version LIMIT 5) AS twice$q$, v_stage, v_history)
    INTO v_twice, v_more;
    RAISE EXCEPTION USING ERRCODE = 'GW006', MESSAGE = format(
      'the archive has for table %s more than one revision of %s%s: a version was altered, or one of them is a copy; the proof of load %s (proof.json) lists the revisions that it does not reach; copy the objects of these blocks again from where the archive came from, and start again',
      v_history, v_twice, CASE WHEN v_more > 0 THEN format(' and %s others', v_more) END, p_load);
  END;
  EXECUTE format('ANALYZE %I.%I (doc_id)', v_stage, v_history);
  RETURN 0;
END $f$;

-- head_table names the partition of godwit.head that guards a target table.
CREATE OR REPLACE FUNCTION godwit.head_table(p_schema text, p_current text) RETURNS text LANGUAGE sql IMMUTABLE AS $f$
  SELECT 'head_' || md5(format('%I.%I', p_schema, p_current))
$f$;

-- stage creates the hidden tables of a load and registers them, once: a second call finds them. It holds a lock,
-- because CREATE ... IF NOT EXISTS is not safe against itself, and because a load that is shown meanwhile must not get
-- its hidden schema back.
CREATE OR REPLACE FUNCTION godwit.stage(p_load text, p_args jsonb) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
  l godwit.load;
  v_table jsonb;
  v_ddl text;
BEGIN
  SELECT * INTO l FROM godwit.load x WHERE x.load_id = p_load FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'GW003', MESSAGE = format('load %s is not registered, as after it was abandoned: start it again', p_load);
  ELSIF l.state <> 'loading' OR EXISTS (SELECT FROM godwit.load_table x WHERE x.load_id = p_load) THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', l.stage_schema);
  FOR v_table IN SELECT * FROM jsonb_array_elements(p_args->'tables') LOOP
    FOR v_ddl IN SELECT * FROM jsonb_array_elements_text(v_table->'ddl') LOOP
      EXECUTE v_ddl;
    END LOOP;
    EXECUTE format('CREATE TABLE %I.%I (LIKE godwit.head, CHECK (relation = %L))', l.stage_schema,
      godwit.head_table(l.target_schema, v_table->>'current'), format('%I.%I', l.target_schema, v_table->>'current'));
    INSERT INTO godwit.load_table (load_id, current_name, history_name, mapped, merge)
    SELECT p_load, v_table->>'current', v_table->>'history',
      ARRAY(SELECT c FROM jsonb_array_elements_text(v_table->'mapped') WITH ORDINALITY AS a (c, o) ORDER BY o), (v_table->>'merge')::boolean;
  END LOOP;
  INSERT INTO godwit.load_source (load_id, table_id, table_name, current_name, active)
  SELECT p_load, s->>'id', s->>'name', s->>'current', coalesce(godwit.active_later(l, s->>'id'), (s->>'active')::boolean)
  FROM jsonb_array_elements(p_args->'sources') AS s;
END $f$;
END $install$
