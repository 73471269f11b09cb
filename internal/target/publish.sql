DO $install$
BEGIN
PERFORM pg_advisory_xact_lock(hashtextextended('godwit install', 0));

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

-- joins has a load that was to make a table add to the one that a stream made since: the stream met the ledger table
-- first. A table of anybody else, or of other columns, ends the load.
CREATE OR REPLACE FUNCTION godwit.joins(l godwit.load, t godwit.load_table) RETURNS boolean LANGUAGE plpgsql AS $f$
DECLARE
  v_name text;
  v_have text;
  v_bring text;
  v_theirs boolean := NOT EXISTS (
    SELECT FROM godwit.load_table x JOIN godwit.load o USING (load_id)
    WHERE o.target_schema = l.target_schema AND o.state = 'published' AND x.shown = to_regclass(format('%I.%I', l.target_schema, t.current_name))::oid);
BEGIN
  IF to_regclass(format('%I.%I', l.target_schema, t.current_name)) IS NULL AND to_regclass(format('%I.%I', l.target_schema, t.history_name)) IS NULL THEN
    RETURN false;
  END IF;
  FOREACH v_name IN ARRAY ARRAY[t.current_name, t.history_name] LOOP
    v_have := godwit.definitions(to_regclass(format('%I.%I', l.target_schema, v_name)));
    v_bring := CASE WHEN l.history OR v_name = t.current_name THEN godwit.definitions(to_regclass(format('%I.%I', l.stage_schema, v_name))) END;
    IF v_theirs AND v_have IS NOT NULL OR NOT v_theirs AND v_have IS DISTINCT FROM v_bring THEN
      RAISE EXCEPTION USING ERRCODE = 'duplicate_table', MESSAGE = format(
        'table %I.%I was made since load %s began, %s: %sstart again with "Abandon": "%s"%s', l.target_schema, v_name, l.load_id,
        CASE WHEN v_theirs THEN 'and no stream made it' ELSE format('with columns (%s) where the load brings (%s)', coalesce(v_have, 'no such table'), coalesce(v_bring, 'no such table')) END,
        CASE WHEN v_theirs THEN 'rename it and redrive, or ' END, l.load_id, CASE WHEN NOT v_theirs THEN ' and a mapping that makes those columns, or another Schema' END);
    END IF;
  END LOOP;
  UPDATE godwit.load_table x SET merge = true WHERE x.load_id = t.load_id AND x.current_name = t.current_name;
  RETURN true;
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
  v_wrong text;
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
  -- A stream may have been told of a DROP since the load was staged.
  UPDATE godwit.load_source s SET active = NOT s.active WHERE s.load_id = p_load AND godwit.active_later(l, s.table_id) <> s.active;
  FOR t IN SELECT * FROM godwit.load_table x WHERE x.load_id = p_load ORDER BY x.current_name LOOP
    v_relation := format('%I.%I', l.target_schema, t.current_name);
    v_partition := godwit.head_table(l.target_schema, t.current_name);
    t.merge := t.merge OR godwit.joins(l, t);
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
        SELECT $1 || coalesce(jsonb_object_agg(k.table_id, k.n), '{}'), min(k.wrong) FROM (
          SELECT h.ql_audit->>'ql_tableid' AS table_id, count(*) AS n, min(format('document %%s version %%s', doc_id, version))
            FILTER (WHERE h.ql_audit->>'ql_rev_hash' IS DISTINCT FROM b.ql_audit->>'ql_rev_hash') AS wrong
          FROM %1$I.%2$I h JOIN %3$I.%2$I b USING (doc_id, version) GROUP BY 1) AS k$q$,
        l.target_schema, t.history_name, l.stage_schema) INTO v_streamed, v_wrong USING v_streamed;
      IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'GW002', MESSAGE = format(
          '%s already stands in %s with another revision hash: the archive is not of the ledger that the stream follows, or one of them was altered', v_wrong, v_relation);
      END IF;
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
END $install$
