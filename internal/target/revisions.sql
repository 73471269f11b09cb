DO $install$
BEGIN
PERFORM pg_advisory_xact_lock(hashtextextended('godwit install', 0));

-- apply_revisions applies revisions of ledger documents and summaries of blocks. Heads first: they lock, in the order of
-- their keys, and tell which revisions are the newest. What follows are new statements, which see what the first one
-- waited for: in one statement with it they would show a document that another transaction deletes meanwhile.
CREATE OR REPLACE FUNCTION godwit.apply_revisions(s godwit.stream, p_request json, p_rows text[]) RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE
  r record;
  t record;
  v_rows jsonb[] := p_rows::jsonb[]; -- read once, and as what is the quickest to take apart
  v_all text[];       -- documents of the request
  v_relations text[]; -- of the winners, revisions newer than the heads
  v_docs text[];
  v_versions bigint[];
  v_deleted text[];
  v_loads text[] := godwit.loads(s.load_id);
  v_brought bigint;
  v_revisions bigint := 0;
  v_new jsonb; -- revisions that history lacked, by ledger table
  v_counts jsonb := '{}';
  v_history bigint;
BEGIN
  SELECT * INTO r FROM json_to_record(p_request) AS x (notes json, sources json, tables text[], blocks json, hidden json, redactions json, events json);
  SELECT x.* INTO t FROM json_to_recordset(r.sources) AS x (id text, name text, current text)
  WHERE NOT EXISTS (SELECT FROM godwit.load_source o WHERE o.load_id = s.load_id AND o.table_id = x.id AND o.current_name = x.current) LIMIT 1;
  IF FOUND THEN
    RETURN jsonb_build_object('state', 'unknown', 'table_id', t.id, 'table', t.name, 'current', t.current);
  END IF;

  IF r.hidden IS NOT NULL OR r.redactions IS NOT NULL THEN
    -- These change rows of documents that the request brings no revision of.
    PERFORM FROM godwit.head h WHERE (h.relation, h.doc_id) IN (
      SELECT format('%I.%I', s.target_schema, o.current_name), x.doc_id
      FROM (SELECT * FROM json_to_recordset(r.hidden) AS x (table_id text, doc_id text) UNION SELECT * FROM json_to_recordset(r.redactions) AS x (table_id text, doc_id text)
            UNION SELECT d.ql_audit->>'ql_tableid', d.doc_id FROM unnest(v_rows) AS b (rows) CROSS JOIN LATERAL jsonb_to_recordset(b.rows) AS d (doc_id text, ql_audit jsonb)) AS x
      JOIN godwit.load_source o ON o.load_id = s.load_id AND o.table_id = x.table_id)
    ORDER BY h.relation, h.doc_id FOR UPDATE;
  END IF;
  WITH brought AS MATERIALIZED (
    SELECT b.relation, d.doc_id, d.version, d.operation, d.ql_audit->>'ql_rev_hash' AS hash, d.ql_audit->>'ql_tableid' AS table_id
    FROM (SELECT format('%I.%I', s.target_schema, current) AS relation, rows FROM unnest(r.tables, v_rows) AS u (current, rows) OFFSET 0) AS b
    CROSS JOIN LATERAL jsonb_to_recordset(b.rows) AS d (doc_id text, version bigint, operation text, ql_audit jsonb)
  ), won AS (
    INSERT INTO godwit.head AS h (relation, doc_id, version, deleted, hash, table_id)
    SELECT DISTINCT ON (relation, doc_id COLLATE "C") relation, doc_id, version, operation = 'D', decode(hash, 'base64'), table_id
    FROM brought ORDER BY relation, doc_id COLLATE "C", version DESC
    ON CONFLICT (relation, doc_id) DO UPDATE
    SET version = excluded.version, deleted = excluded.deleted, hash = excluded.hash, table_id = excluded.table_id
    WHERE h.version < excluded.version
    RETURNING relation, doc_id, version, deleted)
  SELECT (SELECT array_agg(DISTINCT doc_id) FROM brought), array_agg(relation), array_agg(doc_id), array_agg(version), array_agg(doc_id) FILTER (WHERE deleted)
  INTO v_all, v_relations, v_docs, v_versions, v_deleted FROM won;

  FOR t IN
    SELECT x.*, format('%I.%I', s.target_schema, x.current_name) AS relation, godwit.columns(x.mapped, ', %I') AS columns, b.rows AS brought
    FROM unnest(r.tables, v_rows) AS b (current, rows) JOIN godwit.load_table x ON x.load_id = s.load_id AND x.current_name = b.current ORDER BY 2
  LOOP
    EXECUTE format($q$
      WITH brought AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset($1) AS x (%1$s, operation text, transaction_id text)
      ), kept AS (
        %2$s
      ), newest AS MATERIALIZED (
        SELECT b.*, redacted, redacted OR b.operation = 'D' AS gone
        FROM brought b JOIN unnest($2, $3, $4) AS w (relation, doc_id, version) USING (doc_id, version)
        CROSS JOIN LATERAL coalesce((b.ql_audit->>'ql_redacted')::boolean, false) AS redacted
        WHERE w.relation = $5
      ), superseded AS ( -- later loads must know why they are not current
        INSERT INTO godwit.redaction (load_id, table_id, doc_id, version, data_hash, outcome)
        SELECT $6, ql_audit->>'ql_tableid', doc_id, version, nullif(ql_audit->>'ql_data_hash', ''), 'already' FROM newest WHERE redacted
      ), gone AS (
        DELETE FROM %3$s c USING newest n WHERE n.gone AND c.doc_id = n.doc_id
      ), shown AS (
        INSERT INTO %3$s (doc_id, version%4$s, ql_audit)
        SELECT doc_id, version%4$s, ql_audit FROM newest WHERE NOT gone
        ON CONFLICT (doc_id) DO UPDATE SET version = excluded.version%5$s, ql_audit = excluded.ql_audit)
      SELECT (SELECT count(*) FROM brought), (SELECT coalesce(jsonb_object_agg(k.table_id, k.n), '{}') FROM (SELECT table_id, count(*) AS n FROM kept GROUP BY 1) AS k)$q$,
      godwit.definitions(t.relation::regclass),
      CASE WHEN s.history THEN format($q$INSERT INTO %1$I.%2$I AS h (doc_id, version%3$s, ql_audit, operation, transaction_id)
        SELECT doc_id, version%3$s, ql_audit, operation, transaction_id FROM brought
        ON CONFLICT (doc_id, version) DO NOTHING
        RETURNING h.ql_audit->>'ql_tableid' AS table_id$q$, s.target_schema, t.history_name, t.columns)
      ELSE 'SELECT NULL::text AS table_id WHERE false' END,
      t.relation, t.columns, godwit.columns(t.mapped, ', %1$I = excluded.%1$I'))
    INTO v_brought, v_new USING t.brought, v_relations, v_docs, v_versions, t.relation, s.load_id;
    v_counts := v_counts || v_new;
    v_revisions := v_revisions + v_brought;
    IF v_brought > (SELECT coalesce(sum(n::bigint), 0) FROM jsonb_each_text(v_new) AS e (i, n)) THEN
      PERFORM godwit.compare(s, t.current_name, t.brought::text::json);
    END IF;
  END LOOP;
  SELECT coalesce(sum(n::bigint), 0) INTO v_history FROM jsonb_each_text(v_counts) AS e (i, n);

  PERFORM godwit.note(s.name, s.generation, r.notes);
  PERFORM godwit.follow_tables(s, r.sources, r.events);
  IF r.hidden IS NOT NULL OR r.redactions IS NOT NULL
    OR EXISTS (SELECT FROM godwit.quarantine q WHERE q.doc_id = ANY (v_all) AND q.load_id = ANY (v_loads))
    OR EXISTS (SELECT FROM godwit.redaction x WHERE x.doc_id = ANY (v_all) AND x.load_id = ANY (v_loads))
    OR EXISTS (SELECT FROM json_to_recordset(r.sources) AS x (id text) JOIN godwit.load_source o ON o.load_id = s.load_id AND o.table_id = x.id WHERE NOT o.active)
    OR r.events IS NOT NULL THEN
    PERFORM godwit.conceal(s, v_loads, v_all, r.hidden, r.redactions);
  ELSIF v_deleted IS NOT NULL AND EXISTS (SELECT FROM godwit.stream_drop d WHERE d.stream = s.name) THEN
    PERFORM godwit.conceal(s, v_loads, v_deleted, NULL, NULL); -- an UNDROP may have brought them back meanwhile
  END IF;
  IF v_history > 0 THEN
    EXECUTE format($q$
      INSERT INTO %I.table_counts AS c (table_name, table_id, is_active, revision_cnt)
      SELECT o.table_name, o.table_id, o.active, n::bigint FROM jsonb_each_text($2) AS e (i, n) JOIN godwit.load_source o ON o.load_id = $1 AND o.table_id = i ORDER BY 2
      ON CONFLICT (table_id) DO UPDATE SET revision_cnt = c.revision_cnt + excluded.revision_cnt$q$, s.target_schema) USING s.load_id, v_counts;
  END IF;
  RETURN jsonb_build_object('state', 'applied', 'rows', coalesce(cardinality(v_docs), 0), 'history', v_history,
    'skipped', v_revisions - CASE WHEN s.history THEN v_history ELSE coalesce(cardinality(v_docs), 0) END, 'gap_free', godwit.settle(s.name, r.blocks));
END $f$;

-- compare refuses a request whose revisions the target has with other hashes. A copy whose data the ledger removed tells
-- of that, where the target has the data.
CREATE OR REPLACE FUNCTION godwit.compare(s godwit.stream, p_current text, p_brought json) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
  v_history text;
  v_doc text;
  v_version bigint;
BEGIN
  SELECT format('%I.%I', s.target_schema, x.history_name) INTO v_history FROM godwit.load_table x WHERE x.load_id = s.load_id AND x.current_name = p_current;
  IF s.history THEN
    EXECUTE format($q$
      SELECT b.doc_id, b.version FROM json_to_recordset($1) AS b (doc_id text, version bigint, ql_audit jsonb) JOIN %s h USING (doc_id, version)
      WHERE b.ql_audit->>'ql_rev_hash' IS DISTINCT FROM h.ql_audit->>'ql_rev_hash' LIMIT 1$q$, v_history) INTO v_doc, v_version USING p_brought;
  ELSE
    SELECT b.doc_id, b.version INTO v_doc, v_version FROM json_to_recordset(p_brought) AS b (doc_id text, version bigint, ql_audit jsonb)
    JOIN godwit.head h ON h.relation = format('%I.%I', s.target_schema, p_current) AND h.doc_id = b.doc_id AND h.version = b.version
    WHERE decode(b.ql_audit->>'ql_rev_hash', 'base64') IS DISTINCT FROM h.hash LIMIT 1;
  END IF;
  IF v_doc IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'GW002', MESSAGE = format(
      'document %s version %s stands in %I.%I with another revision hash: the stream is not of the ledger that was loaded there, or one of them was altered',
      v_doc, v_version, s.target_schema, p_current);
  END IF;
  IF s.history AND s.redact THEN
    EXECUTE format($q$
      INSERT INTO godwit.redaction (load_id, table_id, doc_id, version, data_hash)
      SELECT $2, b.ql_audit->>'ql_tableid', b.doc_id, b.version, b.ql_audit->>'ql_data_hash'
      FROM json_to_recordset($1) AS b (doc_id text, version bigint, ql_audit jsonb) JOIN %s h USING (doc_id, version)
      WHERE (b.ql_audit->>'ql_redacted')::boolean AND (h.ql_audit->>'ql_redacted')::boolean IS NOT TRUE$q$, v_history) USING p_brought, s.load_id;
  END IF;
END $f$;

-- conceal takes out of sight what must not be seen: documents with a newer revision in quarantine, data that the ledger
-- removed, documents of tables that it dropped. A request sees to its own documents and to those that it tells something
-- of. Requests come one after the other here: whoever comes second sees what both brought.
CREATE OR REPLACE FUNCTION godwit.conceal(s godwit.stream, p_loads text[], p_docs text[], p_hidden json, p_redactions json) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
  t record;
  v_docs text[] := p_docs || ARRAY(
    SELECT x.doc_id FROM json_to_recordset(p_hidden) AS x (doc_id text) UNION SELECT x.doc_id FROM json_to_recordset(p_redactions) AS x (doc_id text));
BEGIN
  INSERT INTO godwit.quarantine (load_id, table_id, table_name, doc_id, version, object, block, revision, path, reason)
  SELECT s.load_id, x.table_id, x.table_name, x.doc_id, x.version, x.object, x.block, 0, '', x.reason
  FROM json_to_recordset(p_hidden) AS x (table_id text, table_name text, doc_id text, version bigint, object text, block bigint, reason text)
  WHERE NOT EXISTS (SELECT FROM godwit.quarantine q WHERE q.doc_id = x.doc_id AND q.version = x.version AND q.load_id = s.load_id);

  IF s.redact THEN
    INSERT INTO godwit.redaction (load_id, table_id, doc_id, version, block)
    SELECT s.load_id, x.table_id, x.doc_id, x.version, x.block FROM json_to_recordset(p_redactions) AS x (table_id text, doc_id text, version bigint, block bigint)
    WHERE NOT EXISTS (SELECT FROM godwit.redaction r WHERE r.load_id = s.load_id AND r.doc_id = x.doc_id AND r.version = x.version AND r.table_id = x.table_id);
    -- What another load was told of does not come back with a stream.
    INSERT INTO godwit.redaction (load_id, table_id, doc_id, version, data_hash)
    SELECT s.load_id, r.table_id, r.doc_id, r.version, max(r.data_hash) FROM godwit.redaction r
    WHERE r.load_id = ANY (p_loads) AND r.doc_id = ANY (v_docs) GROUP BY r.table_id, r.doc_id, r.version HAVING NOT bool_or(r.load_id = s.load_id);
    FOR t IN
      SELECT format('%I.%I', s.target_schema, x.history_name) AS history, x.mapped, min(r.doc_id) AS low
      FROM godwit.redaction r JOIN godwit.load_source o ON o.load_id = s.load_id AND o.table_id = r.table_id
      JOIN godwit.load_table x ON x.load_id = s.load_id AND x.current_name = o.current_name
      WHERE r.load_id = s.load_id AND r.outcome IS NULL AND r.doc_id = ANY (v_docs) AND s.history GROUP BY 1, 2
    LOOP
      PERFORM godwit.redact(s.load_id, t.history, t.mapped, t.low, NULL, 'shown');
    END LOOP;
  END IF;

  FOR t IN
    SELECT x.relation, array_agg(h.doc_id) AS docs
    FROM (SELECT format('%I.%I', s.target_schema, l.current_name) AS relation FROM godwit.load_table l WHERE l.load_id = s.load_id) AS x
    CROSS JOIN LATERAL (
      SELECT h.doc_id FROM godwit.head h WHERE h.relation = x.relation AND h.doc_id = ANY (v_docs) AND (
        h.deleted -- an UNDROP may have brought back what was deleted meanwhile
        OR EXISTS (SELECT FROM godwit.quarantine q WHERE q.doc_id = h.doc_id AND q.version > h.version AND q.load_id = ANY (p_loads))
        OR EXISTS (SELECT FROM godwit.redaction r WHERE r.load_id = s.load_id AND r.doc_id = h.doc_id AND r.version = h.version AND r.table_id = h.table_id)
        OR EXISTS (SELECT FROM godwit.load_source o WHERE o.load_id = s.load_id AND o.table_id = h.table_id AND NOT o.active))
      OFFSET 0) AS h -- without it plans join the relations last, and read the whole index of every relation for each document
    GROUP BY x.relation
  LOOP
    EXECUTE format('DELETE FROM %s c WHERE c.doc_id = ANY ($1)', t.relation) USING t.docs;
  END LOOP;
END $f$;

-- follow_tables follows ledger tables that are dropped and come back, in whatever order it is told. Documents of a dropped
-- table are not current; those of one that came back are again.
CREATE OR REPLACE FUNCTION godwit.follow_tables(s godwit.stream, p_sources json, p_events json) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
  t record;
  v_rows bigint;
BEGIN
  INSERT INTO godwit.stream_source AS x (stream, table_id, table_name, alive_at)
  SELECT s.name, y.id, max(y.name), max(y.block) FROM (
    SELECT * FROM json_to_recordset(p_sources) AS y (id text, name text, block bigint)
    UNION ALL SELECT table_id, NULL, block FROM json_to_recordset(p_events) AS y (table_id text, undrop boolean, block bigint) WHERE undrop) AS y
  GROUP BY y.id ORDER BY y.id
  ON CONFLICT (stream, table_id) DO UPDATE SET table_name = coalesce(x.table_name, excluded.table_name), alive_at = greatest(x.alive_at, excluded.alive_at);
  INSERT INTO godwit.stream_drop AS x (stream, table_name, block)
  SELECT s.name, y.name, max(y.block) FROM json_to_recordset(p_events) AS y (name text, undrop boolean, block bigint) WHERE undrop IS NOT TRUE GROUP BY y.name ORDER BY y.name
  ON CONFLICT (stream, table_name) DO UPDATE SET block = excluded.block WHERE x.block < excluded.block;
  FOR t IN
    WITH life AS (
      SELECT x.table_id, x.alive_at > coalesce(d.block, -1) AND NOT EXISTS (
        SELECT FROM godwit.stream_source y WHERE y.stream = s.name AND y.table_name = x.table_name AND y.alive_at > x.alive_at) AS active
      FROM godwit.stream_source x LEFT JOIN godwit.stream_drop d ON d.stream = x.stream AND d.table_name = x.table_name WHERE x.stream = s.name)
    UPDATE godwit.load_source o SET active = life.active FROM life, godwit.load_table x
    WHERE o.load_id = s.load_id AND o.table_id = life.table_id AND o.active <> life.active AND x.load_id = o.load_id AND x.current_name = o.current_name
    RETURNING o.table_id, o.active, o.current_name, x.history_name, x.mapped, format('%I.%I', s.target_schema, o.current_name) AS relation
  LOOP
    EXECUTE format('UPDATE %I.table_counts SET is_active = $2 WHERE table_id = $1', s.target_schema) USING t.table_id, t.active;
    IF NOT t.active THEN
      EXECUTE format('DELETE FROM %s c USING godwit.head h WHERE h.relation = $1 AND h.table_id = $2 AND c.doc_id = h.doc_id', t.relation) USING t.relation, t.table_id;
    ELSIF s.history THEN
      EXECUTE format($q$
        INSERT INTO %1$s (doc_id, version%2$s, ql_audit)
        SELECT a.doc_id, a.version%3$s, a.ql_audit FROM godwit.head h JOIN %4$I.%5$I a ON a.doc_id = h.doc_id AND a.version = h.version
        WHERE h.relation = $1 AND h.table_id = $2 AND NOT h.deleted AND (a.ql_audit->>'ql_redacted')::boolean IS NOT TRUE
          AND NOT EXISTS (SELECT FROM godwit.quarantine q WHERE q.doc_id = h.doc_id AND q.version > h.version AND q.load_id = ANY ($3))
        ON CONFLICT (doc_id) DO NOTHING$q$, t.relation, godwit.columns(t.mapped, ', %I'), godwit.columns(t.mapped, ', a.%I'), s.target_schema, t.history_name)
      USING t.relation, t.table_id, godwit.loads(s.load_id);
    ELSE
      EXECUTE format($q$
        SELECT count(*) FROM godwit.head h WHERE h.relation = $1 AND h.table_id = $2 AND NOT h.deleted AND NOT EXISTS (SELECT FROM %s c WHERE c.doc_id = h.doc_id)
          AND NOT EXISTS (SELECT FROM godwit.quarantine q WHERE q.doc_id = h.doc_id AND q.version > h.version AND q.load_id = ANY ($3))
          AND NOT EXISTS (SELECT FROM godwit.redaction r WHERE r.doc_id = h.doc_id AND r.version = h.version AND r.load_id = ANY ($3))$q$, t.relation)
      INTO v_rows USING t.relation, t.table_id, godwit.loads(s.load_id);
      IF v_rows > 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'GW004', MESSAGE = format(
          'a ledger table of %s was undropped, and without its history the target does not have its %s documents: load the whole archive into another Schema', t.relation, v_rows);
      END IF;
    END IF;
  END LOOP;
END $f$;

-- settle notes which revisions blocks await and which came, and moves the gap-free block on. It answers that block. What
-- contradicts itself is refused. A block that came whole is noted only where one before it is missing.
CREATE OR REPLACE FUNCTION godwit.settle(p_stream text, p_blocks json) RETURNS bigint LANGUAGE plpgsql AS $f$
DECLARE
  s godwit.stream;
  v_blocks godwit.stream_block[]; -- of the request; complete: whole, and nothing was noted of it
  v_wrong bigint;
  v_complete bigint[];
  v_last bigint;
  v_hash text;
  v_record text;
BEGIN
  SELECT * INTO s FROM godwit.stream x WHERE x.name = p_stream FOR NO KEY UPDATE;
  SELECT array_agg(ROW(p_stream, x.block, x.hash, x.previous, x.record, CASE WHEN x.hash IS NOT NULL THEN coalesce(x.awaited, '{}') END,
      CASE WHEN x.whole THEN coalesce(x.awaited, '{}') ELSE coalesce(x.seen, '{}') END, coalesce(x.whole, false) AND b.block IS NULL AND x.block > s.gap_free)::godwit.stream_block),
    min(x.block) FILTER (WHERE b.hash <> x.hash OR b.previous <> x.previous OR x.block = s.gap_free AND s.gap_free_hash <> '' AND x.hash <> s.gap_free_hash)
  INTO v_blocks, v_wrong
  FROM json_to_recordset(p_blocks) AS x (block bigint, hash text, previous text, record text, whole boolean, awaited text[], seen text[])
  LEFT JOIN godwit.stream_block b ON b.stream = p_stream AND b.block = x.block;
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'GW002', MESSAGE = format('block %s comes with two block hashes: the stream is not of the ledger that was loaded, or one of them was altered', v_wrong);
  END IF;
  WITH noted AS (
    INSERT INTO godwit.stream_block AS b SELECT * FROM unnest(v_blocks) AS x WHERE x.block > s.gap_free AND NOT x.complete ORDER BY x.block
    ON CONFLICT (stream, block) DO UPDATE SET hash = coalesce(b.hash, excluded.hash), previous = coalesce(b.previous, excluded.previous), record = coalesce(b.record, excluded.record),
      awaited = coalesce(b.awaited, excluded.awaited), seen = ARRAY(SELECT unnest(b.seen) UNION SELECT unnest(excluded.seen))
    WHERE NOT b.complete
    RETURNING block, awaited, seen)
  SELECT min(block) FILTER (WHERE NOT seen <@ awaited), array_agg(block) FILTER (WHERE seen @> awaited) INTO v_wrong, v_complete FROM noted;
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'GW002', MESSAGE = format('a revision says that it is of block %s, which does not list it', v_wrong);
  END IF;
  UPDATE godwit.stream_block b SET complete = true, awaited = '{}', seen = '{}' WHERE b.stream = p_stream AND b.block = ANY (v_complete);

  WHILE EXISTS (SELECT FROM godwit.stream_block b WHERE b.stream = p_stream AND b.block = s.gap_free + 1 AND b.complete
      UNION ALL SELECT FROM unnest(v_blocks) AS x WHERE x.block = s.gap_free + 1 AND x.complete) LOOP
    -- So many at a time that whoever closes an old gap is not held up for long: the next one goes on.
    WITH near AS (
      SELECT b.block, b.hash, b.previous, b.complete, s.gap_free + row_number() OVER w AS number, lag(b.hash, 1, s.gap_free_hash) OVER w AS before
      FROM (
        (SELECT x.block, x.hash, x.previous, x.complete FROM godwit.stream_block x WHERE x.stream = p_stream AND x.block > s.gap_free ORDER BY x.block LIMIT 10000)
        UNION ALL SELECT x.block, x.hash, x.previous, true FROM unnest(v_blocks) AS x WHERE x.complete) AS b
      WINDOW w AS (ORDER BY b.block)
    ), ready AS (
      SELECT * FROM near WHERE block < coalesce((SELECT min(block) FROM near WHERE NOT complete OR block <> number), 9223372036854775807))
    SELECT max(block), (array_agg(hash ORDER BY block DESC))[1], min(block) FILTER (WHERE before <> '' AND previous <> before) INTO v_last, v_hash, v_wrong FROM ready;
    EXIT WHEN v_wrong IS NULL;
    IF v_wrong IN (SELECT x.block FROM unnest(v_blocks) AS x WHERE x.hash IS NOT NULL) THEN
      RAISE EXCEPTION USING ERRCODE = 'GW002', MESSAGE = format('block %s names another block hash before it than block %s has', v_wrong, v_wrong - 1);
    END IF;
    -- An earlier request brought its summary: to set a message of this one aside would mend nothing.
    SELECT b.record INTO v_record FROM godwit.stream_block b WHERE b.stream = p_stream AND b.block = v_wrong;
    IF (s.aside ? v_record) IS NOT TRUE THEN
      RAISE EXCEPTION USING ERRCODE = 'GW009', MESSAGE = format('block %s names another block hash before it than block %s has (record %s)', v_wrong, v_wrong - 1, v_record);
    END IF;
    UPDATE godwit.stream_block b SET hash = NULL, previous = NULL, record = NULL, awaited = NULL, complete = false WHERE b.stream = p_stream AND b.block = v_wrong;
    v_last := NULL;
  END LOOP;
  IF v_last IS NOT NULL THEN
    UPDATE godwit.stream x SET gap_free = v_last, gap_free_hash = v_hash WHERE x.name = p_stream;
    DELETE FROM godwit.stream_block b WHERE b.stream = p_stream AND b.block <= v_last;
    s.gap_free := v_last;
  END IF;
  INSERT INTO godwit.stream_block SELECT x.stream, x.block, x.hash, x.previous, x.record, '{}', '{}', true FROM unnest(v_blocks) AS x WHERE x.complete AND x.block > s.gap_free;
  RETURN s.gap_free;
END $f$;

-- ensure_tables makes the target tables of ledger tables that a stream meets first, and registers them with its load.
CREATE OR REPLACE FUNCTION godwit.ensure_tables(p_stream text, p_generation bigint, p_args jsonb) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
  s godwit.stream;
  v_table jsonb;
  v_ddl text;
  v_current text;
  v_partition text;
  v_relation text;
BEGIN
  -- Not while a load is being shown, which may make the same tables; and this lock first, as apply takes them.
  PERFORM pg_advisory_xact_lock_shared(hashtextextended(concat_ws(' ', 'godwit show', x.target_schema), 0)) FROM godwit.stream x WHERE x.name = p_stream;
  SELECT * INTO s FROM godwit.stream x WHERE x.name = p_stream AND x.generation = p_generation FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'GW007', MESSAGE = format('stream %s was registered anew', p_stream);
  END IF;
  FOR v_table IN SELECT * FROM jsonb_array_elements(p_args->'tables') LOOP
    v_current := v_table->>'current';
    v_relation := format('%I.%I', s.target_schema, v_current);
    v_partition := godwit.head_table(s.target_schema, v_current);
    IF EXISTS (SELECT FROM godwit.load_table x WHERE x.load_id = s.load_id AND x.current_name = v_current AND x.shown IS DISTINCT FROM to_regclass(v_relation)::oid) THEN
      RAISE EXCEPTION USING ERRCODE = 'GW008', MESSAGE = format(
        'table %s was dropped since it was loaded, and a stream brings only what changes: load the archive again into another Schema, with EnableStream', v_relation);
    ELSIF to_regclass(v_relation) IS NULL THEN
      FOR v_ddl IN SELECT * FROM jsonb_array_elements_text(v_table->'ddl') LOOP
        EXECUTE v_ddl;
      END LOOP;
      -- Heads of a table of an earlier load, that somebody dropped by hand, guard nothing.
      EXECUTE format('DROP TABLE IF EXISTS godwit.%I', v_partition);
      -- To create it as a partition would wait for everybody who writes heads, and they for this stream's row.
      EXECUTE format('CREATE TABLE godwit.%I (LIKE godwit.head INCLUDING INDEXES, CHECK (relation = %L))', v_partition, v_relation);
      EXECUTE format('ALTER TABLE godwit.head ATTACH PARTITION godwit.%I FOR VALUES IN (%L)', v_partition, v_relation);
    END IF;
    INSERT INTO godwit.load_table (load_id, current_name, history_name, mapped, merge, shown)
    SELECT s.load_id, v_current, v_table->>'history', ARRAY(SELECT c FROM jsonb_array_elements_text(v_table->'mapped') WITH ORDINALITY AS a (c, o) ORDER BY o),
      EXISTS (SELECT FROM godwit.load_table o JOIN godwit.load l USING (load_id) WHERE l.target_schema = s.target_schema AND o.current_name = v_current), to_regclass(v_relation)::oid
    -- A mapping that was exchanged may have other columns.
    ON CONFLICT (load_id, current_name) DO UPDATE SET mapped = excluded.mapped WHERE load_table.mapped <> excluded.mapped;
  END LOOP;
  SELECT format('%s (id %s) is followed into table %s, and the mapping names %s', o.table_name, o.table_id, o.current_name, x->>'current') INTO v_current
  FROM jsonb_array_elements(p_args->'sources') AS x JOIN godwit.load_source o ON o.load_id = s.load_id AND o.table_id = x->>'id' AND o.current_name <> x->>'current' LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'GW008', MESSAGE = format('ledger table %s: resume the stream with a mapping that keeps its table', v_current);
  END IF;
  INSERT INTO godwit.load_source (load_id, table_id, table_name, current_name, active)
  SELECT s.load_id, x->>'id', x->>'name', x->>'current', (x->>'active')::boolean FROM jsonb_array_elements(p_args->'sources') AS x
  ON CONFLICT (load_id, table_id) DO NOTHING;
END $f$;
END $install$
