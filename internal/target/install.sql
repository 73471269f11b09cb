DO $install$
BEGIN
-- One installer at a time: CREATE ... IF NOT EXISTS is not safe against itself.
PERFORM pg_advisory_xact_lock(hashtextextended('godwit install', 0));

CREATE SCHEMA IF NOT EXISTS godwit;

-- A load: one archive, one mapping, one target schema.
CREATE TABLE IF NOT EXISTS godwit.load (
  load_id       text PRIMARY KEY,
  target_schema text NOT NULL,
  stage_schema  text NOT NULL,
  history       boolean NOT NULL,
  state         text NOT NULL CHECK (state IN ('loading', 'published')),
  strand        text,
  first_block   bigint,
  last_block    bigint,
  started_at    timestamptz NOT NULL DEFAULT now(),
  published_at  timestamptz,
  made_schema   boolean,    -- showing it made the target schema
  shown_in      pg_snapshot -- taken as it was shown: what it does not see was written later
);
-- What the first version did not note. ALTER TABLE would wait for every running task, even for a column that is there.
IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'godwit.load'::regclass AND attname = 'shown_in') THEN
  ALTER TABLE godwit.load ADD COLUMN made_schema boolean, ADD COLUMN shown_in pg_snapshot;
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
  SELECT coalesce(bool_or(to_regclass(format('%I.%I', l.target_schema, t.current_name))::oid IS NOT DISTINCT FROM t.shown), true)
  FROM godwit.load l JOIN godwit.load_table t USING (load_id) WHERE l.load_id = p_load
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
  SELECT * INTO l FROM godwit.load x WHERE x.target_schema = p_schema AND x.state = 'loading';
  IF FOUND THEN
    RETURN jsonb_build_object('running', l.load_id);
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
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended(concat_ws(' ', 'godwit', p_load, p_phase, p_name), 0)) THEN
    RETURN jsonb_build_object('state', 'running');
  END IF;
  IF EXISTS (SELECT FROM godwit.task t WHERE t.load_id = p_load AND t.phase = p_phase AND t.name = p_name) THEN
    RETURN jsonb_build_object('state', 'done');
  END IF;
  SELECT l.state INTO v_state FROM godwit.load l WHERE l.load_id = p_load FOR KEY SHARE;
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
    CASE p_phase
      WHEN 'import' THEN v_rows := godwit.import_part(p_load, p_args);
      WHEN 'keys' THEN v_rows := godwit.build_key(p_load, p_args);
      WHEN 'slices' THEN v_counts := godwit.publish_slice(p_load, p_args);
      WHEN 'indexes' THEN v_rows := godwit.build_index(p_load, p_args);
      WHEN 'visible' THEN v_counts := godwit.make_visible(p_load);
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
      format('%I.%I', p_args->>'schema', p_args->>'relation'), '', '(FORMAT text)',
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

-- build_key indexes staged history by (doc_id, version); a revision staged twice ends here.
CREATE OR REPLACE FUNCTION godwit.build_key(p_load text, p_args jsonb) RETURNS bigint LANGUAGE plpgsql AS $f$
DECLARE
  v_stage text;
  v_history text := p_args->>'history';
BEGIN
  SELECT l.stage_schema INTO STRICT v_stage FROM godwit.load l WHERE l.load_id = p_load;
  EXECUTE format('ALTER TABLE %I.%I ADD PRIMARY KEY (doc_id, version)', v_stage, v_history);
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
  -- Whether a table is dropped is for the archive to say that ends last, or the stream behind it, not for the one that is
  -- loaded last.
  INSERT INTO godwit.load_source (load_id, table_id, table_name, current_name, active)
  SELECT p_load, s->>'id', s->>'name', s->>'current', coalesce((
      SELECT o.active FROM godwit.load_source o JOIN godwit.load p USING (load_id)
      CROSS JOIN LATERAL (SELECT greatest(p.last_block, max(x.last_major)) AS last_block FROM godwit.stream x WHERE x.load_id = p.load_id AND x.source = 'qldb') AS e
      WHERE p.target_schema = l.target_schema AND p.state = 'published' AND o.table_id = s->>'id' AND e.last_block > l.last_block
      ORDER BY e.last_block DESC LIMIT 1), (s->>'active')::boolean)
  FROM jsonb_array_elements(p_args->'sources') AS s;
END $f$;

-- loads lists a load and those shown in its schema: what any of them has in quarantine, none of them shows older.
CREATE OR REPLACE FUNCTION godwit.loads(p_load text) RETURNS text[] LANGUAGE sql STABLE AS $f$
  SELECT array_agg(o.load_id) FROM godwit.load l JOIN godwit.load o USING (target_schema)
  WHERE l.load_id = p_load AND (o.load_id = p_load OR o.state = 'published')
$f$;

-- plan_slices cuts the documents of a table into ranges of about p_rows revisions and remembers the choice.
CREATE OR REPLACE FUNCTION godwit.plan_slices(p_load text, p_current text, p_rows bigint)
RETURNS TABLE (number integer, low text, high text) LANGUAGE plpgsql AS $f$
DECLARE
  v_stage text;
  v_history text;
  v_total bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'godwit', p_load, 'plan_slices', p_current), 0));
  IF NOT EXISTS (SELECT FROM godwit.slice s WHERE s.load_id = p_load AND s.current_name = p_current) THEN
    SELECT l.stage_schema, t.history_name INTO STRICT v_stage, v_history
      FROM godwit.load l JOIN godwit.load_table t USING (load_id) WHERE l.load_id = p_load AND t.current_name = p_current;
    SELECT coalesce(sum(k.rows), 0) INTO v_total FROM godwit.task k JOIN godwit.load_source s USING (load_id, table_id)
      WHERE k.load_id = p_load AND k.phase = 'import' AND s.current_name = p_current;
    EXECUTE format($q$
      INSERT INTO godwit.slice (load_id, current_name, number, low, high)
      SELECT $1, $2, (row_number() OVER w)::integer, bound, lead(bound) OVER w
      FROM (SELECT '' COLLATE "C" AS bound
            UNION
            SELECT min(doc_id) FROM (
              SELECT doc_id, ntile($3) OVER (ORDER BY doc_id) AS tile FROM %I.%I TABLESAMPLE SYSTEM ($4) REPEATABLE (1)) AS sample
            WHERE tile > 1 GROUP BY tile) AS bounds
      WINDOW w AS (ORDER BY bound)$q$, v_stage, v_history)
    USING p_load, p_current, greatest(1, ceil(v_total / greatest(1, p_rows)::numeric))::integer,
      CASE WHEN v_total > 1000000 THEN greatest(0.1, 100000000.0 / v_total) ELSE 100 END;
  END IF;
  RETURN QUERY SELECT s.number, s.low, s.high FROM godwit.slice s
    WHERE s.load_id = p_load AND s.current_name = p_current ORDER BY s.number;
END $f$;

-- redact removes the data of a load's redacted revisions from one history table, staged or shown, and notes what became
-- of each. The row stays, with its hash, as QLDB keeps the revision; what has its data removed already is left as it is.
CREATE OR REPLACE FUNCTION godwit.redact(p_load text, p_history text, p_mapped text[], p_low text, p_high text, p_outcome text)
RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
  v_which text := $q$r.load_id = $1 AND r.outcome IS NULL AND r.doc_id >= $2 AND ($3 IS NULL OR r.doc_id < $3)$q$;
  -- The range is said of both sides, for a plan that reads no more of the history than it.
  v_same text := $q$h.doc_id = r.doc_id AND h.version = r.version AND h.ql_audit->>'ql_tableid' = r.table_id AND h.doc_id >= $2 AND ($3 IS NULL OR h.doc_id < $3)$q$;
BEGIN
  EXECUTE format($q$
    UPDATE godwit.redaction r SET outcome = 'already', data_hash = nullif(h.ql_audit->>'ql_data_hash', '')
    FROM %s h WHERE %s AND %s AND (h.operation = 'D' OR (h.ql_audit->>'ql_redacted')::boolean)$q$, p_history, v_which, v_same) USING p_load, p_low, p_high;
  EXECUTE format($q$
    WITH asked AS (
      SELECT r.table_id, r.doc_id, r.version, max(r.data_hash) AS data_hash FROM godwit.redaction r WHERE %2$s GROUP BY r.table_id, r.doc_id, r.version
    ), done AS (
      UPDATE %1$s h SET ql_audit = h.ql_audit || jsonb_build_object('ql_redacted', true, 'ql_data_hash', coalesce(r.data_hash, ''))%4$s
      FROM asked r WHERE %3$s RETURNING h.doc_id, h.version
    )
    UPDATE godwit.redaction r SET outcome = $4 FROM done h WHERE %2$s AND h.doc_id = r.doc_id AND h.version = r.version$q$,
    p_history, v_which, v_same, godwit.columns(p_mapped, ', %I = NULL')) USING p_load, p_low, p_high, p_outcome;
END $f$;

-- publish_slice makes current rows and heads of one range of documents, still hidden. Into tables that exist it leaves
-- of the staged history only what they lack; the same revision with another hash stops the load. With redact, no row
-- keeps data that the ledger removed after it was exported. A redacted revision is never the newest of its document.
CREATE OR REPLACE FUNCTION godwit.publish_slice(p_load text, p_args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE
  l godwit.load;
  t godwit.load_table;
  v_low text := p_args->>'low';
  v_high text := p_args->>'high';
  v_relation text;
  v_doc text;
  v_version bigint;
  v_present jsonb := '{}';
  v_evidence jsonb;
  v_heads bigint;
  v_deleted bigint;
  v_withheld bigint;
  v_dropped bigint;
  v_current bigint;
  v_mapped text;
  v_loads text[] := godwit.loads(p_load);
  v_redact boolean := coalesce((p_args->>'redact')::boolean, false);
BEGIN
  SELECT * INTO STRICT l FROM godwit.load x WHERE x.load_id = p_load;
  SELECT * INTO STRICT t FROM godwit.load_table x WHERE x.load_id = p_load AND x.current_name = p_args->>'table';
  v_relation := format('%I.%I', l.target_schema, t.current_name);
  v_mapped := godwit.columns(t.mapped, ', %I');
  -- What was really stored, before anything is left out: the other side of the archive's own checksum.
  EXECUTE format($q$
    SELECT coalesce(jsonb_object_agg(table_id, jsonb_build_object('rows', n, 'xor', x::text, 'sum', s::text)), '{}') FROM (
      SELECT table_id, count(*) AS n, bit_xor(term) AS x, sum(term::numeric) AS s FROM (
        SELECT ql_audit->>'ql_tableid' AS table_id, ('x' || encode(substr(sha256(
          convert_to(doc_id || ':' || version || ':', 'UTF8') || decode(ql_audit->>'ql_rev_hash', 'base64')), 1, 8), 'hex'))::bit(64)::bigint AS term
        FROM %I.%I WHERE doc_id >= $1 AND ($2 IS NULL OR doc_id < $2)) AS terms
      GROUP BY table_id) AS sums$q$, l.stage_schema, t.history_name)
  INTO v_evidence USING v_low, v_high;
  IF t.merge THEN
    EXECUTE format($q$
      SELECT s.doc_id, s.version FROM %I.%I s JOIN godwit.head h ON h.relation = $3 AND h.doc_id = s.doc_id AND h.version = s.version
      WHERE s.doc_id >= $1 AND ($2 IS NULL OR s.doc_id < $2) AND decode(s.ql_audit->>'ql_rev_hash', 'base64') IS DISTINCT FROM h.hash
      ORDER BY s.doc_id, s.version LIMIT 1$q$, l.stage_schema, t.history_name)
    INTO v_doc, v_version USING v_low, v_high, v_relation;
    IF v_doc IS NULL AND l.history THEN
      EXECUTE format($q$
        SELECT s.doc_id, s.version FROM %I.%I s JOIN %I.%I h USING (doc_id, version)
        WHERE s.doc_id >= $1 AND ($2 IS NULL OR s.doc_id < $2) AND s.ql_audit->>'ql_rev_hash' IS DISTINCT FROM h.ql_audit->>'ql_rev_hash'
        ORDER BY s.doc_id, s.version LIMIT 1$q$, l.stage_schema, t.history_name, l.target_schema, t.history_name)
      INTO v_doc, v_version USING v_low, v_high;
    END IF;
    IF v_doc IS NOT NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'GW002', MESSAGE = format(
        'document %s version %s already stands in %s with another revision hash: the archive is not of the ledger that was loaded there, or one of them was altered',
        v_doc, v_version, v_relation);
    END IF;
  END IF;
  IF t.merge AND l.history THEN
    EXECUTE format($q$
      WITH gone AS (
        DELETE FROM %I.%I s USING %I.%I h
        WHERE s.doc_id = h.doc_id AND s.version = h.version AND s.doc_id >= $1 AND ($2 IS NULL OR s.doc_id < $2)
        RETURNING s.ql_audit->>'ql_tableid' AS table_id, s.doc_id, s.version, s.ql_audit->>'ql_data_hash' AS data_hash,
          (s.ql_audit->>'ql_redacted')::boolean AND (h.ql_audit->>'ql_redacted')::boolean IS NOT TRUE AS late
      ), late AS (
        INSERT INTO godwit.redaction (load_id, table_id, doc_id, version, data_hash)
        SELECT $3, table_id, doc_id, version, data_hash FROM gone WHERE late AND $4)
      SELECT coalesce(jsonb_object_agg(table_id, n), '{}') FROM (SELECT table_id, count(*) AS n FROM gone GROUP BY table_id) AS g$q$,
      l.stage_schema, t.history_name, l.target_schema, t.history_name) INTO v_present USING v_low, v_high, p_load, v_redact;
  ELSIF t.merge THEN
    -- Without history the heads tell what was loaded: a document's revisions up to its head.
    EXECUTE format($q$
      SELECT coalesce(jsonb_object_agg(table_id, n), '{}') FROM (
        SELECT s.ql_audit->>'ql_tableid' AS table_id, count(*) AS n
        FROM %I.%I s JOIN godwit.head h ON h.relation = $3 AND h.doc_id = s.doc_id AND s.version <= h.version
        WHERE s.doc_id >= $1 AND ($2 IS NULL OR s.doc_id < $2) GROUP BY 1) AS g$q$,
      l.stage_schema, t.history_name) INTO v_present USING v_low, v_high, v_relation;
  END IF;
  IF v_redact AND EXISTS (SELECT FROM godwit.redaction r WHERE r.load_id = ANY (v_loads) AND r.doc_id >= v_low AND (v_high IS NULL OR r.doc_id < v_high)) THEN
    -- What an earlier load was asked to redact comes back with no later one.
    EXECUTE format($q$
      INSERT INTO godwit.redaction (load_id, table_id, doc_id, version, data_hash)
      SELECT $3, r.table_id, r.doc_id, r.version, max(r.data_hash) FROM godwit.redaction r JOIN %I.%I s USING (doc_id, version)
      WHERE r.load_id = ANY ($4) AND r.doc_id >= $1 AND ($2 IS NULL OR r.doc_id < $2) AND s.doc_id >= $1 AND ($2 IS NULL OR s.doc_id < $2)
        AND s.ql_audit->>'ql_tableid' = r.table_id AND (s.ql_audit->>'ql_redacted')::boolean IS NOT TRUE
      GROUP BY r.table_id, r.doc_id, r.version HAVING NOT bool_or(r.load_id = $3)$q$, l.stage_schema, t.history_name) USING v_low, v_high, p_load, v_loads;
    PERFORM godwit.redact(p_load, format('%I.%I', l.stage_schema, t.history_name), t.mapped, v_low, v_high, 'loaded');
  END IF;
  EXECUTE format($q$
    WITH latest AS MATERIALIZED (
      SELECT DISTINCT ON (doc_id) doc_id, version%1$s, ql_audit, operation
      FROM %2$I.%3$I WHERE doc_id >= $1 AND ($2 IS NULL OR doc_id < $2)
      ORDER BY doc_id, version DESC
    ), judged AS MATERIALIZED (
      SELECT a.*, a.operation = 'D' AS deleted, NOT s.active AS dropped, redacted, redacted OR EXISTS (
        SELECT FROM godwit.quarantine q WHERE q.doc_id = a.doc_id AND q.version > a.version AND q.load_id = ANY ($5)) AS withheld
      FROM latest a CROSS JOIN LATERAL coalesce((a.ql_audit->>'ql_redacted')::boolean, false) AS redacted JOIN godwit.load_source s ON s.load_id = $3 AND s.table_id = a.ql_audit->>'ql_tableid'
    ), heads AS (
      INSERT INTO %2$I.%4$I (relation, doc_id, version, deleted, hash, table_id)
      SELECT $4, doc_id, version, deleted, decode(ql_audit->>'ql_rev_hash', 'base64'), ql_audit->>'ql_tableid' FROM judged
    ), superseded AS ( -- later loads must know why they are not current
      INSERT INTO godwit.redaction (load_id, table_id, doc_id, version, data_hash, outcome)
      SELECT $3, ql_audit->>'ql_tableid', doc_id, version, nullif(ql_audit->>'ql_data_hash', ''), 'already' FROM judged WHERE redacted
    ), visible AS (
      INSERT INTO %2$I.%5$I (doc_id, version%1$s, ql_audit)
      SELECT doc_id, version%1$s, ql_audit FROM judged WHERE NOT deleted AND NOT dropped AND NOT withheld
    )
    SELECT count(*), count(*) FILTER (WHERE deleted), count(*) FILTER (WHERE NOT deleted AND dropped),
      count(*) FILTER (WHERE NOT deleted AND NOT dropped AND withheld), count(*) FILTER (WHERE NOT deleted AND NOT dropped AND NOT withheld)
    FROM judged$q$, v_mapped, l.stage_schema, t.history_name, godwit.head_table(l.target_schema, t.current_name), t.current_name)
  INTO v_heads, v_deleted, v_dropped, v_withheld, v_current USING v_low, v_high, p_load, v_relation, v_loads;
  RETURN jsonb_build_object('documents', v_heads, 'deleted', v_deleted, 'dropped', v_dropped, 'withheld', v_withheld,
    'current', v_current, 'present_by_table', v_present, 'stored', v_evidence);
END $f$;

-- build_index adds one key or index to a hidden table, or to the heads of one.
CREATE OR REPLACE FUNCTION godwit.build_index(p_load text, p_args jsonb) RETURNS bigint LANGUAGE plpgsql AS $f$
DECLARE
  v_stage text;
  v_relation text := p_args->>'relation';
  v_columns text := (SELECT string_agg(format('%I', c), ', ' ORDER BY o) FROM jsonb_array_elements_text(p_args->'columns') WITH ORDINALITY AS a (c, o));
BEGIN
  SELECT l.stage_schema, coalesce(v_relation, godwit.head_table(l.target_schema, p_args->>'heads_of'))
    INTO STRICT v_stage, v_relation FROM godwit.load l WHERE l.load_id = p_load;
  IF (p_args->>'key')::boolean THEN
    EXECUTE format('ALTER TABLE %I.%I ADD PRIMARY KEY (%s)', v_stage, v_relation, v_columns);
  ELSE
    EXECUTE format('CREATE %s INDEX %I ON %I.%I (%s)', CASE WHEN (p_args->>'unique')::boolean THEN 'UNIQUE' ELSE '' END,
      p_args->>'index', v_stage, v_relation, v_columns);
  END IF;
  RETURN 0;
END $f$;

-- make_visible shows everything of a load at once. New tables move into the target schema; tables that exist take what
-- they lack, guarded by heads in the order of their keys, so that a stream may write beside it.
CREATE OR REPLACE FUNCTION godwit.make_visible(p_load text) RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE
  l godwit.load;
  t godwit.load_table;
  v_relation text;
  v_partition text;
  v_mapped text;
  v_set text;
  v_rows bigint;
  v_added bigint := 0;
  v_streamed jsonb := '{}'; -- revisions that a stream counted, by ledger table
  v_made boolean;
BEGIN
  SELECT * INTO STRICT l FROM godwit.load x WHERE x.load_id = p_load FOR UPDATE;
  IF l.state <> 'loading' THEN
    RAISE EXCEPTION USING ERRCODE = 'GW003', MESSAGE = format('load %s is %s, not loading', p_load, l.state);
  END IF;
  -- No stream is applied from here on.
  PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'godwit show', l.target_schema), 0));
  v_made := to_regnamespace(quote_ident(l.target_schema)) IS NULL;
  IF v_made THEN
    EXECUTE format('CREATE SCHEMA %I', l.target_schema);
  END IF;
  FOR t IN SELECT * FROM godwit.load_table x WHERE x.load_id = p_load ORDER BY x.current_name LOOP
    v_relation := format('%I.%I', l.target_schema, t.current_name);
    v_partition := godwit.head_table(l.target_schema, t.current_name);
    IF NOT t.merge THEN
      IF l.history THEN
        EXECUTE format('ALTER TABLE %I.%I SET SCHEMA %I', l.stage_schema, t.history_name, l.target_schema);
      END IF;
      EXECUTE format('ALTER TABLE %I.%I SET SCHEMA %I', l.stage_schema, t.current_name, l.target_schema);
      -- Heads of a table that somebody dropped by hand guard nothing.
      EXECUTE format('DROP TABLE IF EXISTS godwit.%I', v_partition);
      EXECUTE format('ALTER TABLE %I.%I SET SCHEMA godwit', l.stage_schema, v_partition);
      EXECUTE format('ALTER TABLE godwit.head ATTACH PARTITION godwit.%I FOR VALUES IN (%L)', v_partition, v_relation);
      CONTINUE;
    END IF;
    v_mapped := godwit.columns(t.mapped, ', %I');
    v_set := godwit.columns(t.mapped, ', %1$I = excluded.%1$I');
    -- Heads first: they lock. What follows is a new statement with a new snapshot, so a stream's commit that
    -- the first statement waited for is seen.
    EXECUTE format($q$
      INSERT INTO godwit.head AS h (relation, doc_id, version, deleted, hash, table_id)
      SELECT relation, doc_id, version, deleted, hash, table_id FROM %I.%I ORDER BY relation, doc_id
      ON CONFLICT (relation, doc_id) DO UPDATE
      SET version = excluded.version, deleted = excluded.deleted, hash = excluded.hash, table_id = excluded.table_id
      WHERE h.version < excluded.version$q$, l.stage_schema, v_partition);
    IF l.history AND EXISTS (SELECT FROM godwit.stream x WHERE x.target_schema = l.target_schema AND x.applied_at IS NOT NULL) THEN
      -- A stream may have brought, and counted, some of the staged revisions since the slices were made.
      EXECUTE format($q$
        SELECT $1 || coalesce(jsonb_object_agg(k.table_id, k.n), '{}') FROM (
          SELECT h.ql_audit->>'ql_tableid' AS table_id, count(*) AS n FROM %1$I.%2$I h JOIN %3$I.%2$I b USING (doc_id, version) GROUP BY 1) AS k$q$,
        l.target_schema, t.history_name, l.stage_schema) INTO v_streamed USING v_streamed;
    END IF;
    IF l.history THEN
      EXECUTE format($q$
        INSERT INTO %1$I.%2$I (doc_id, version%3$s, ql_audit, operation, transaction_id)
        SELECT doc_id, version%3$s, ql_audit, operation, transaction_id FROM %4$I.%2$I
        ON CONFLICT (doc_id, version) DO NOTHING$q$, l.target_schema, t.history_name, v_mapped, l.stage_schema);
      GET DIAGNOSTICS v_rows = ROW_COUNT;
      v_added := v_added + v_rows;
    END IF;
    EXECUTE format($q$
      DELETE FROM %1$I.%2$I c USING %3$I.%4$I b JOIN godwit.head h ON h.relation = $1 AND h.doc_id = b.doc_id AND h.version = b.version
      WHERE c.doc_id = b.doc_id$q$, l.target_schema, t.current_name, l.stage_schema, v_partition) USING v_relation;
    EXECUTE format($q$
      INSERT INTO %1$I.%2$I (doc_id, version%3$s, ql_audit)
      SELECT c.doc_id, c.version%4$s, c.ql_audit
      FROM %5$I.%2$I c JOIN godwit.head h ON h.relation = $1 AND h.doc_id = c.doc_id AND h.version = c.version
      ON CONFLICT (doc_id) DO UPDATE SET version = excluded.version%6$s, ql_audit = excluded.ql_audit$q$,
      l.target_schema, t.current_name, v_mapped, godwit.columns(t.mapped, ', c.%I'), l.stage_schema, v_set) USING v_relation;
    -- A document whose newest revision is in quarantine must not show an older one; a stream may have set one aside since
    -- the slices were made.
    EXECUTE format($q$
      DELETE FROM %I.%I c USING godwit.quarantine q
      WHERE q.load_id = ANY ($1) AND q.doc_id = c.doc_id AND q.version > c.version$q$, l.target_schema, t.current_name) USING godwit.loads(p_load);
    -- A table dropped since then has no current documents; one that came back has them again.
    EXECUTE format($q$
      DELETE FROM %I.%I c USING godwit.head h JOIN godwit.load_source s ON s.load_id = $1 AND s.table_id = h.table_id AND NOT s.active
      WHERE h.relation = $2 AND h.doc_id = c.doc_id$q$, l.target_schema, t.current_name) USING p_load, v_relation;
    IF l.history THEN
      EXECUTE format($q$
        INSERT INTO %1$I.%2$I (doc_id, version%3$s, ql_audit)
        SELECT a.doc_id, a.version%4$s, a.ql_audit
        FROM godwit.head h
        JOIN godwit.load_source s ON s.load_id = $1 AND s.table_id = h.table_id AND s.active
        JOIN %1$I.%5$I a ON a.doc_id = h.doc_id AND a.version = h.version
        WHERE h.relation = $2 AND NOT h.deleted AND (a.ql_audit->>'ql_redacted')::boolean IS NOT TRUE
          AND NOT EXISTS (SELECT FROM godwit.quarantine q WHERE q.doc_id = h.doc_id AND q.version > h.version AND q.load_id = ANY ($4))
          AND EXISTS (SELECT FROM godwit.load_source o JOIN godwit.load p USING (load_id)
                      WHERE p.target_schema = $3 AND p.state = 'published' AND o.table_id = h.table_id AND NOT o.active)
        ON CONFLICT (doc_id) DO NOTHING$q$, l.target_schema, t.current_name, v_mapped, godwit.columns(t.mapped, ', a.%I'), t.history_name)
      USING p_load, v_relation, l.target_schema, godwit.loads(p_load);
    ELSE
      EXECUTE format($q$
        SELECT count(*) FROM godwit.head h
        JOIN godwit.load_source s ON s.load_id = $1 AND s.table_id = h.table_id AND s.active
        WHERE h.relation = $2 AND NOT h.deleted AND NOT EXISTS (SELECT FROM %I.%I c WHERE c.doc_id = h.doc_id)
          AND NOT EXISTS (SELECT FROM godwit.quarantine q WHERE q.doc_id = h.doc_id AND q.version > h.version AND q.load_id = ANY ($3))
          AND NOT EXISTS (SELECT FROM godwit.redaction r WHERE r.doc_id = h.doc_id AND r.version = h.version AND r.load_id = ANY ($3))$q$,
        l.target_schema, t.current_name) INTO v_rows USING p_load, v_relation, godwit.loads(p_load);
      IF v_rows > 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'GW004', MESSAGE = format(
          'a ledger table of %s was undropped since, and without its history the target does not have its %s older documents: load the whole archive into another Schema',
          v_relation, v_rows);
      END IF;
    END IF;
  END LOOP;

  -- Also in tables that this load brings nothing for.
  FOR t IN SELECT DISTINCT ON (x.current_name) x.* FROM godwit.load_table x JOIN godwit.load o USING (load_id)
           WHERE o.target_schema = l.target_schema AND o.state = 'published'
             AND to_regclass(format('%I.%I', l.target_schema, x.current_name))::oid = x.shown
             AND EXISTS (SELECT FROM godwit.redaction r WHERE r.load_id = p_load AND r.outcome IS NULL)
  LOOP
    IF to_regclass(format('%I.%I', l.target_schema, t.history_name)) IS NOT NULL THEN
      PERFORM godwit.redact(p_load, format('%I.%I', l.target_schema, t.history_name), t.mapped, '', NULL, 'shown');
    END IF;
    EXECUTE format($q$
      WITH gone AS (
        DELETE FROM %I.%I c USING godwit.redaction r
        WHERE r.load_id = $1 AND c.doc_id = r.doc_id AND c.version = r.version AND c.ql_audit->>'ql_tableid' = r.table_id
        RETURNING c.doc_id, c.version)
      UPDATE godwit.redaction r SET outcome = 'shown' FROM gone g
      WHERE r.load_id = $1 AND r.outcome IS NULL AND g.doc_id = r.doc_id AND g.version = r.version$q$, l.target_schema, t.current_name) USING p_load;
  END LOOP;

  EXECUTE format($q$
    CREATE TABLE IF NOT EXISTS %I.table_counts (
      table_name text NOT NULL, table_id text PRIMARY KEY, is_active boolean NOT NULL, revision_cnt bigint NOT NULL)$q$, l.target_schema);
  EXECUTE format($q$
    INSERT INTO %I.table_counts AS c (table_name, table_id, is_active, revision_cnt)
    SELECT s.table_name, s.table_id, s.active, coalesce((
        SELECT sum(k.rows) FROM godwit.task k WHERE k.load_id = $1 AND k.phase = 'import' AND k.table_id = s.table_id), 0)
      - coalesce((SELECT sum((k.counts->'present_by_table'->>s.table_id)::bigint) FROM godwit.task k WHERE k.load_id = $1 AND k.phase = 'slices'), 0)
      - coalesce(($2->>s.table_id)::bigint, 0)
    FROM godwit.load_source s WHERE s.load_id = $1
    ON CONFLICT (table_id) DO UPDATE SET table_name = excluded.table_name, is_active = excluded.is_active,
      revision_cnt = excluded.revision_cnt + CASE WHEN EXISTS (
        SELECT FROM godwit.load_source s JOIN godwit.load_table t USING (load_id, current_name)
        WHERE s.load_id = $1 AND s.table_id = c.table_id AND t.merge) THEN c.revision_cnt ELSE 0 END$q$, l.target_schema) USING p_load, v_streamed;

  UPDATE godwit.load_table x SET shown = to_regclass(format('%I.%I', l.target_schema, x.current_name))::oid WHERE x.load_id = p_load;
  UPDATE godwit.load x SET state = 'published', published_at = clock_timestamp(), made_schema = v_made, shown_in = pg_current_snapshot()
    WHERE x.load_id = p_load;
  EXECUTE format('DROP SCHEMA %I CASCADE', l.stage_schema);
  RETURN jsonb_build_object('added', v_added);
END $f$;

-- abandon removes everything of a load that is not published, as if it had never begun.
CREATE OR REPLACE FUNCTION godwit.abandon(p_load text) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
  l godwit.load;
BEGIN
  SELECT * INTO l FROM godwit.load x WHERE x.load_id = p_load FOR UPDATE;
  IF NOT FOUND THEN RETURN; END IF;
  IF l.state = 'published' THEN
    RAISE EXCEPTION USING ERRCODE = 'GW003', MESSAGE = format('load %s is published and cannot be abandoned', p_load);
  END IF;
  EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', l.stage_schema);
  PERFORM godwit.forget(p_load);
END $f$;

-- written lists the tables of a load that made its tables, and how many rows it wrote to each: heads, which every
-- writer locks first, then the others.
CREATE OR REPLACE FUNCTION godwit.written(p_load text)
RETURNS TABLE (place integer, relation text, rows bigint) LANGUAGE sql STABLE AS $f$
  WITH loaded AS (
    SELECT l.target_schema, l.history, t.current_name, t.history_name,
      (SELECT coalesce(sum(k.rows), 0)::bigint FROM godwit.task k JOIN godwit.load_source s USING (load_id, table_id)
       WHERE k.load_id = p_load AND k.phase = 'import' AND s.current_name = t.current_name) AS revisions,
      coalesce(c.documents, 0) AS documents, coalesce(c.current, 0) AS current
    FROM godwit.load l JOIN godwit.load_table t USING (load_id)
    CROSS JOIN LATERAL (
      SELECT sum((k.counts->>'documents')::bigint)::bigint AS documents, sum((k.counts->>'current')::bigint)::bigint AS current
      FROM godwit.slice s JOIN godwit.task k ON k.load_id = s.load_id AND k.phase = 'slices' AND k.name = s.current_name || '/' || s.number
      WHERE s.load_id = p_load AND s.current_name = t.current_name) AS c
    WHERE l.load_id = p_load)
  SELECT 1, format('godwit.%I', godwit.head_table(target_schema, current_name)), documents FROM loaded
  UNION ALL
  SELECT 2, format('%I.%I', target_schema, current_name), current FROM loaded
  UNION ALL
  SELECT 3, format('%I.%I', target_schema, history_name), revisions FROM loaded WHERE history
  UNION ALL
  SELECT 4, format('%I.table_counts', l.target_schema), (SELECT count(*) FROM godwit.load_source s WHERE s.load_id = p_load)
  FROM godwit.load l WHERE l.load_id = p_load
$f$;

-- describe says what a published load shows; NULL when it is none.
CREATE OR REPLACE FUNCTION godwit.describe(p_load text) RETURNS text LANGUAGE sql STABLE AS $f$
  SELECT format('load %s, shown on %s, blocks %s to %s of strand %s: %s%s', p_load,
    to_char(l.published_at AT TIME ZONE 'UTC', 'YYYY-MM-DD "at" HH24":"MI "UTC"'), l.first_block, l.last_block, l.strand,
    (SELECT string_agg(format('%s (%s rows)', w.relation, w.rows), ', ' ORDER BY w.place, w.relation) FROM godwit.written(p_load) w WHERE w.place > 1),
    CASE WHEN l.made_schema THEN format('; it made schema %s', l.target_schema) END)
  FROM godwit.load l WHERE l.load_id = p_load AND l.state = 'published'
$f$;

-- by_hand is how to remove everything that was loaded into a schema, without a check: for whoever has looked.
CREATE OR REPLACE FUNCTION godwit.by_hand(p_schema text) RETURNS text LANGUAGE sql STABLE AS $f$
  SELECT concat('DROP TABLE IF EXISTS ', string_agg(DISTINCT w.relation, ', '), '; SELECT ', string_agg(DISTINCT format('godwit.forget(%L)', l.load_id), ', '), ';')
  FROM godwit.load l CROSS JOIN LATERAL godwit.written(l.load_id) w
  WHERE l.target_schema = p_schema AND l.state = 'published' AND NOT EXISTS (
    SELECT FROM godwit.load_table t
    WHERE t.load_id = l.load_id AND w.relation = format('%I.%I', p_schema, t.current_name) AND to_regclass(w.relation)::oid IS DISTINCT FROM t.shown)
$f$;

-- remove takes one published load away as if it had never begun, or raises why not. A reader or writer that is there
-- holds it up for lock_timeout at most.
CREATE OR REPLACE FUNCTION godwit.remove(p_load text) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
  l godwit.load;
  w record;
  v_schema text;
  v_age integer;
  v_loading boolean;
  v_what text := godwit.describe(p_load);
  v_wrong text;
  v_rows bigint;
  v_later bigint;
  v_drop text;
BEGIN
  -- Against a load that begins meanwhile: register waits here.
  SELECT x.target_schema INTO STRICT v_schema FROM godwit.load x WHERE x.load_id = p_load;
  PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'godwit begin', v_schema), 0));
  SELECT * INTO STRICT l FROM godwit.load x WHERE x.load_id = p_load FOR UPDATE;
  IF l.state <> 'published' THEN
    RAISE EXCEPTION USING ERRCODE = 'GW003', MESSAGE = format(
      'load %s is under way and shows nothing: redrive its execution, or start LedgerLoad with its id as "Abandon" to remove what it left', p_load);
  END IF;
  SELECT string_agg(format('load %s (%s)', o.load_id, o.state), ', ' ORDER BY o.load_id), bool_or(o.state = 'loading') INTO v_wrong, v_loading
  FROM godwit.load o WHERE o.target_schema = l.target_schema AND o.load_id <> p_load AND (o.state = 'loading' OR godwit.stands(o.load_id));
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = CASE WHEN v_loading THEN 'GW003' ELSE 'GW005' END, MESSAGE = format(
      'schema %s has %s as well: loads of one schema share their tables, and one of them cannot be removed alone', l.target_schema, v_wrong);
  ELSIF EXISTS (SELECT FROM godwit.load_table t WHERE t.load_id = p_load AND t.merge) THEN
    RAISE EXCEPTION USING ERRCODE = 'GW005', MESSAGE = format('load %s added to tables that were there before it, and cannot be removed from them alone', p_load);
  ELSIF (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - pg_snapshot_xmin(l.shown_in)::text::bigint BETWEEN 0 AND 2000000000) IS NOT TRUE THEN
    -- Ids of transactions are compared over a distance of 2^31.
    RAISE EXCEPTION USING ERRCODE = 'GW005', MESSAGE = format(
      'load %s was shown by an older godwit, in another database cluster or two thousand million transactions ago: rows that came after it cannot be told from its own', p_load);
  END IF;

  SELECT string_agg(relation, ', ' ORDER BY place, relation) INTO v_wrong FROM (
    SELECT x.place, x.relation FROM godwit.written(p_load) x LEFT JOIN pg_class c ON c.oid = to_regclass(x.relation) WHERE c.relkind IS DISTINCT FROM 'r'
    UNION
    SELECT 2, format('%I.%I', l.target_schema, t.current_name) FROM godwit.load_table t
    WHERE t.load_id = p_load AND to_regclass(format('%I.%I', l.target_schema, t.current_name))::oid IS DISTINCT FROM t.shown) AS gone;
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'GW005', MESSAGE = format('what load %s showed is no longer there, or something else has its name: %s', p_load, v_wrong);
  END IF;

  SELECT string_agg(x.name, ', ') INTO v_wrong FROM godwit.stream x WHERE x.load_id = p_load AND x.applied_at IS NOT NULL;
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'GW005', MESSAGE = format('stream %s was applied to the tables of load %s since it was shown', v_wrong, p_load);
  END IF;

  -- From here on nobody writes: readers go on until the tables are dropped.
  FOR w IN SELECT * FROM godwit.written(p_load) ORDER BY place, relation LOOP
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', w.relation);
  END LOOP;
  SELECT string_agg(pg_describe_object(d.classid, d.objid, 0), ', ' ORDER BY d.objid) INTO v_wrong FROM (
    SELECT DISTINCT classid, objid FROM pg_depend x
    WHERE x.refclassid = 'pg_namespace'::regclass AND x.refobjid = to_regnamespace(quote_ident(l.target_schema)) AND x.deptype = 'n'
      AND NOT (x.classid = 'pg_class'::regclass AND x.objid IN (SELECT to_regclass(r.relation) FROM godwit.written(p_load) r))
    LIMIT 20) AS d;
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'GW005', MESSAGE = format('schema %s holds what load %s did not make: %s', l.target_schema, p_load, v_wrong);
  END IF;
  -- Each row that the load wrote is there, and no other: as many, and each by a task of the load, whose row bears the
  -- same transaction id; or, for an import may use a savepoint of its own, from before the first key was built; or by a
  -- transaction that had ended before any that ran when the load was shown. Which ones ran then is not enough: a
  -- snapshot lists no savepoints.
  SELECT least(age(pg_snapshot_xmin(l.shown_in)::xid), max(age(k.xmin))) INTO v_age FROM godwit.task k WHERE k.load_id = p_load AND k.phase = 'keys';
  FOR w IN SELECT * FROM godwit.written(p_load) ORDER BY place, relation LOOP
    EXECUTE format($q$
      SELECT count(*), count(*) FILTER (WHERE age(x.xmin) <= $1
        AND x.xmin NOT IN (SELECT k.xmin FROM godwit.task k WHERE k.load_id = $2 AND k.phase IN ('slices', 'visible')))
      FROM %s AS x$q$, w.relation)
    INTO v_rows, v_later USING v_age, p_load;
    IF v_rows <> w.rows OR v_later > 0 THEN
      v_wrong := concat_ws(', ', v_wrong, format('%s holds %s rows where the load wrote %s, %s of them written later', w.relation, v_rows, w.rows, v_later));
    END IF;
  END LOOP;
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'GW005', MESSAGE = format('others wrote to the tables of load %s since it was shown: %s', p_load, v_wrong);
  END IF;

  SELECT string_agg(relation, ', ' ORDER BY place, relation) INTO v_drop FROM godwit.written(p_load);
  EXECUTE 'DROP TABLE ' || v_drop;
  PERFORM godwit.forget(p_load);
  -- Default privileges and publications of the schema are not the load's: it stays with them.
  IF l.made_schema AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = to_regnamespace(quote_ident(l.target_schema))) THEN
    EXECUTE format('DROP SCHEMA %I', l.target_schema);
  END IF;
  RETURN v_what;
END $f$;

-- unload removes exactly one published load, or nothing, and says what: done; running, when another call is at it;
-- unknown; or failed, with the reason. It reads every row of the load: a call that ends before its statement does asks
-- again, with look to be told of a failure instead of trying anew.
CREATE OR REPLACE FUNCTION godwit.unload(p_load text, p_look boolean DEFAULT false) RETURNS jsonb LANGUAGE plpgsql SET lock_timeout = '10s' AS $f$
DECLARE
  v_failure godwit.failure;
  v_schema text;
  v_state text;
  v_message text;
  v_detail text;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended(concat_ws(' ', 'godwit unload', p_load), 0)) THEN
    RETURN jsonb_build_object('state', 'running', 'message', format('another call removes load %s already', p_load));
  END IF;
  SELECT l.target_schema INTO v_schema FROM godwit.load l WHERE l.load_id = p_load;
  IF NOT FOUND THEN
    RETURN jsonb_build_object('state', 'unknown', 'message', format('load %s is not known: was it removed already?', p_load));
  END IF;
  SELECT f.* INTO v_failure FROM godwit.failure f WHERE f.load_id = p_load AND f.phase = 'unload';
  IF FOUND AND p_look THEN
    RETURN jsonb_build_object('state', 'failed', 'sqlstate', v_failure.state, 'message', v_failure.message);
  END IF;
  BEGIN
    RETURN jsonb_build_object('state', 'done', 'message', godwit.remove(p_load));
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL;
    IF v_state IN ('55P03', '40P01') THEN
      v_message := format('the tables of load %s are in use by a writer, a long query or another load: end that (pg_stat_activity lists it) and run this again', p_load);
    ELSIF v_state = '2BP01' THEN
      v_state := 'GW005';
      v_message := format('others depend on the tables of load %s: %s', p_load, replace(v_detail, E'\n', ', '));
    END IF;
    v_message := concat('nothing was removed: ', v_message,
      CASE v_state WHEN 'GW005' THEN concat('. To remove what was loaded into schema ', v_schema, ' all the same, with whatever else is in these tables: ', godwit.by_hand(v_schema)) END);
    INSERT INTO godwit.failure AS f (load_id, phase, name, state, message) VALUES (p_load, 'unload', 'load', v_state, v_message)
    ON CONFLICT (load_id, phase, name) DO UPDATE SET state = excluded.state, message = excluded.message, failed_at = excluded.failed_at;
    RETURN jsonb_build_object('state', 'failed', 'sqlstate', v_state, 'message', v_message);
  END;
END $f$;
END $install$
