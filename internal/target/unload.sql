DO $install$
BEGIN
PERFORM pg_advisory_xact_lock(hashtextextended('godwit install', 0));

-- abandon removes everything of a load that is not published, as if it had never begun.
CREATE OR REPLACE FUNCTION godwit.abandon(p_load text) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
  l godwit.load;
  v_stage text;
BEGIN
  SELECT * INTO l FROM godwit.load x WHERE x.load_id = p_load FOR UPDATE;
  IF NOT FOUND THEN RETURN; END IF;
  IF l.state = 'published' THEN
    RAISE EXCEPTION USING ERRCODE = 'GW003', MESSAGE = format('load %s is published and cannot be abandoned', p_load);
  END IF;
  FOR v_stage IN SELECT l.stage_schema WHERE l.stage_schema IS NOT NULL UNION SELECT t.stage_schema FROM godwit.loaded_table t WHERE t.load_id = p_load LOOP
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', v_stage);
  END LOOP;
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
  ELSIF v_schema IS NULL THEN
    RETURN jsonb_build_object('state', 'failed', 'sqlstate', 'GW005', 'message', (
      SELECT format('nothing was removed: load %s is of a snapshot, and what others wrote to its tables since cannot be told from its own rows. To remove them all the same: DROP TABLE %s; SELECT godwit.forget(%L);',
        p_load, string_agg(format('%I.%I', t.target_schema, t.target_name), ', ' ORDER BY t.target_schema, t.target_name), p_load)
      FROM godwit.loaded_table t WHERE t.load_id = p_load));
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
