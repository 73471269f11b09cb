DO $install$
BEGIN
PERFORM pg_advisory_xact_lock(hashtextextended('godwit install', 0));

-- register_tables records a load of tables, reserves its schemas and makes the hidden ones. It answers the load's state,
-- or why it cannot begin: a schema that is closed to the loader, another load that is under way, a table that is there.
-- A load that replaces ends those of tables that are under way into its tables.
CREATE OR REPLACE FUNCTION godwit.register_tables(p_load text, p_plan text, p_replace boolean, p_tables jsonb) RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE
  l godwit.load;
  v record;
BEGIN
  FOR v IN SELECT DISTINCT t->>'schema' COLLATE "C" AS name FROM jsonb_array_elements(p_tables) AS t ORDER BY 1 LOOP
    PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'godwit begin', v.name), 0));
  END LOOP;
  SELECT * INTO l FROM godwit.load x WHERE x.load_id = p_load FOR KEY SHARE;
  IF l.state = 'loading' OR l.state = 'published' AND godwit.stands(p_load) THEN
    RETURN jsonb_build_object('state', l.state, 'plan', l.plan);
  END IF;
  SELECT n.nspname AS schema, pg_get_userbyid(n.nspowner) AS owner INTO v FROM pg_namespace n JOIN jsonb_array_elements(p_tables) AS t ON n.nspname = t->>'schema'
  WHERE NOT (has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE')) ORDER BY 1 LIMIT 1;
  IF FOUND THEN
    RETURN jsonb_build_object('closed', v.schema, 'owner', v.owner, 'role', current_user);
  END IF;

  FOR v IN
    SELECT r.load_id, min(t->>'schema') AS schema, bool_or(o.plan IS NOT NULL) AS tables, bool_or(x.load_id IS NOT NULL) AS same
    FROM jsonb_array_elements(p_tables) AS t CROSS JOIN LATERAL godwit.under_way(t->>'schema') AS r (load_id) JOIN godwit.load o USING (load_id)
    LEFT JOIN godwit.loaded_table x ON x.load_id = r.load_id AND x.target_schema = t->>'schema' AND x.target_name = t->>'name'
    GROUP BY r.load_id
  LOOP
    IF NOT (p_replace AND v.tables AND v.same) THEN
      RETURN jsonb_build_object('running', v.load_id, 'schema', v.schema, 'tables', v.tables);
    END IF;
    PERFORM godwit.abandon(v.load_id);
  END LOOP;
  SELECT t->>'schema' AS schema, t->>'name' AS name, o.load_id INTO v FROM jsonb_array_elements(p_tables) AS t
  CROSS JOIN LATERAL godwit.shown_by(format('%I.%I', t->>'schema', t->>'name')) AS o (load_id)
  WHERE to_regclass(format('%I.%I', t->>'schema', t->>'name')) IS NOT NULL AND (o.load_id IS NULL OR NOT p_replace AND o.load_id <> p_load) ORDER BY 1, 2 LIMIT 1;
  IF FOUND THEN
    RETURN jsonb_build_object('taken', v.name, 'schema', v.schema, 'load', coalesce(v.load_id, ''));
  END IF;

  PERFORM godwit.forget(p_load);
  INSERT INTO godwit.load (load_id, history, state, plan, replaces) VALUES (p_load, false, 'loading', p_plan, p_replace);
  INSERT INTO godwit.loaded_table (load_id, target_schema, target_name, stage_schema)
  SELECT p_load, t->>'schema', t->>'name', t->>'stage' FROM jsonb_array_elements(p_tables) AS t;
  FOR v IN SELECT DISTINCT t->>'stage' AS name FROM jsonb_array_elements(p_tables) AS t LOOP
    -- One that is there was left by a load of this id whose bookkeeping somebody removed.
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', v.name);
    EXECUTE format('CREATE SCHEMA %I', v.name);
  END LOOP;
  RETURN jsonb_build_object('state', 'loading', 'plan', p_plan);
END $f$;

-- shown_by names the load of tables that showed what has a name now; NULL is nobody or somebody else.
CREATE OR REPLACE FUNCTION godwit.shown_by(p_relation text) RETURNS text LANGUAGE sql STABLE AS $f$
  SELECT t.load_id FROM godwit.loaded_table t WHERE format('%I.%I', t.target_schema, t.target_name) = p_relation AND t.shown = to_regclass(p_relation)::oid LIMIT 1
$f$;

-- run_tables does a task of a load of tables, for godwit.run. Texts are read and written in one way, whatever the
-- database is set to.
CREATE OR REPLACE FUNCTION godwit.run_tables(p_load text, p_phase text, p_args jsonb, OUT rows bigint, OUT counts jsonb) LANGUAGE plpgsql
SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC' SET bytea_output = 'hex' SET extra_float_digits = 1 SET xmloption = 'content' AS $f$
DECLARE
  v_ddl text;
BEGIN
  -- Of every phase: what is made, in order.
  FOR v_ddl IN SELECT d FROM jsonb_array_elements_text(p_args->'ddl') WITH ORDINALITY AS a (d, o) ORDER BY o LOOP
    EXECUTE v_ddl;
  END LOOP;
  CASE p_phase
    WHEN 'tables', 'indexes', 'foreign' THEN NULL;
    WHEN 'import' THEN rows := godwit.import_part(p_load, p_args);
    WHEN 'keys' THEN PERFORM godwit.position(p_args->>'relation', x.name, x.start) FROM jsonb_to_recordset(p_args->'identities') AS x (name text, start bigint);
    WHEN 'validate' THEN counts := godwit.validate(p_args);
    WHEN 'repair' THEN rows := godwit.repair(p_load, p_args);
    WHEN 'digests' THEN
      EXECUTE format('SELECT jsonb_agg(jsonb_build_object(''bucket'', d.bucket, ''rows'', d.rows::text, ''high'', d.high, ''low'', d.low)) FROM (%s) AS d', p_args->>'sql') INTO counts;
    WHEN 'visible' THEN PERFORM godwit.show_tables(p_load);
    ELSE RAISE EXCEPTION USING ERRCODE = 'GW000', MESSAGE = format('no phase is named %s', p_phase);
  END CASE;
END $f$;

-- position has an identity go on behind the greatest value that the table holds, and where the source goes on: p_start, or
-- 0 where that is not known. One that has no more values stands at its last.
CREATE OR REPLACE FUNCTION godwit.position(p_relation text, p_column text, p_start bigint) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
  v_sequence regclass := pg_get_serial_sequence(p_relation, p_column)::regclass;
  v_at bigint;
BEGIN
  EXECUTE format('SELECT max(%I) FROM %s', p_column, p_relation) INTO v_at;
  SELECT least(greatest(v_at, p_start - 1), s.seqmax) INTO v_at FROM pg_sequence s WHERE s.seqrelid = v_sequence AND greatest(v_at, p_start - 1) >= s.seqmin;
  IF FOUND THEN
    PERFORM setval(v_sequence, v_at, true);
  END IF;
END $f$;

-- validate holds the rows of a table against one of its foreign keys. Those that refer to nothing are no error, whose text
-- would tell values: they are in the answer.
CREATE OR REPLACE FUNCTION godwit.validate(p_args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE
  v_orphans jsonb;
BEGIN
  EXECUTE p_args->>'validate';
  RETURN NULL;
EXCEPTION WHEN foreign_key_violation THEN
  EXECUTE format('SELECT jsonb_agg(o.keys) FROM (%s) AS o', p_args->>'orphans') INTO v_orphans;
  RETURN jsonb_build_object('orphans', coalesce(v_orphans, '[]'));
END $f$;

-- repair takes the rows of some keys out of a load's tables, then puts others in, behind which identities go on, and answers
-- how many. Foreign keys would act on what is taken out: all are dropped. What was noted of them and of the digests goes
-- with the same commit, so that the phases from there on do their tasks anew, and nothing is shown before.
CREATE OR REPLACE FUNCTION godwit.repair(p_load text, p_args jsonb) RETURNS bigint LANGUAGE plpgsql AS $f$
DECLARE
  c_keys CONSTANT text := 'godwit_keys_' || p_load; -- for the time of this transaction
  v record;
  v_rows bigint := 0;
BEGIN
  FOR v IN SELECT k.conname, k.conrelid::regclass AS relation FROM pg_constraint k
    JOIN godwit.loaded_table t ON k.conrelid = to_regclass(format('%I.%I', t.stage_schema, t.target_name)) WHERE t.load_id = p_load AND k.contype = 'f' ORDER BY 2, 1 LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', v.relation, v.conname);
  END LOOP;
  FOR v IN SELECT * FROM jsonb_to_recordset(p_args->'repairs') AS x (schema text, relation text, key text[], keys jsonb, rows jsonb, identities jsonb) LOOP
    IF v.keys IS NOT NULL THEN
      EXECUTE format('CREATE TABLE %I.%I AS SELECT %s FROM %I.%I WITH NO DATA', v.schema, c_keys, (SELECT string_agg(quote_ident(c), ', ') FROM unnest(v.key) AS c), v.schema, v.relation);
      PERFORM godwit.import_part(p_load, v.keys || jsonb_build_object('schema', v.schema, 'relation', c_keys));
      EXECUTE format('DELETE FROM %I.%I AS x USING %I.%I AS k WHERE %s', v.schema, v.relation, v.schema, c_keys, (SELECT string_agg(format('x.%1$I = k.%1$I', c), ' AND ') FROM unnest(v.key) AS c));
      EXECUTE format('DROP TABLE %I.%I', v.schema, c_keys);
    END IF;
    IF v.rows IS NOT NULL THEN
      v_rows := v_rows + godwit.import_part(p_load, v.rows || jsonb_build_object('schema', v.schema, 'relation', v.relation));
      PERFORM godwit.position(format('%I.%I', v.schema, v.relation), x.name, x.start) FROM jsonb_to_recordset(v.identities) AS x (name text, start bigint);
    END IF;
  END LOOP;
  DELETE FROM godwit.task t WHERE t.load_id = p_load AND t.phase IN ('foreign', 'validate', 'digests');
  RETURN v_rows;
END $f$;

-- show_tables shows all tables of a load at once, in the place of those that it replaces. It waits for their readers for
-- lock_timeout at most: whoever comes behind it waits as long.
CREATE OR REPLACE FUNCTION godwit.show_tables(p_load text) RETURNS void LANGUAGE plpgsql SET lock_timeout = '10s' AS $f$
DECLARE
  l godwit.load;
  v record;
  v_old text[];
  v_grants text[];
  v_detail text;
BEGIN
  SELECT * INTO STRICT l FROM godwit.load x WHERE x.load_id = p_load FOR UPDATE;
  IF l.state <> 'loading' THEN
    RAISE EXCEPTION USING ERRCODE = 'GW003', MESSAGE = format('load %s is %s, not loading', p_load, l.state);
  ELSIF EXISTS (SELECT FROM godwit.task t WHERE t.load_id = p_load AND t.phase = 'validate' AND t.counts ? 'orphans') THEN
    RAISE EXCEPTION USING ERRCODE = 'GW009', MESSAGE = format('load %s has rows that refer to nothing', p_load);
  ELSIF (SELECT count(*) FROM godwit.loaded_table t WHERE t.load_id = p_load) <> (SELECT count(*) FROM godwit.task t WHERE t.load_id = p_load AND t.phase = 'digests') THEN
    RAISE EXCEPTION USING ERRCODE = 'GW010', MESSAGE = format('rows of load %s changed after they were compared: start it again', p_load);
  END IF;
  FOR v IN SELECT DISTINCT t.target_schema COLLATE "C" AS name FROM godwit.loaded_table t WHERE t.load_id = p_load ORDER BY 1 LOOP
    -- No stream is applied from here on.
    PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'godwit show', v.name), 0));
    IF to_regnamespace(quote_ident(v.name)) IS NULL THEN
      EXECUTE format('CREATE SCHEMA %I', v.name);
    END IF;
  END LOOP;

  SELECT x.relation INTO v FROM (SELECT format('%I.%I', t.target_schema, t.target_name) AS relation FROM godwit.loaded_table t WHERE t.load_id = p_load) AS x
  WHERE to_regclass(x.relation) IS NOT NULL AND (NOT l.replaces OR godwit.shown_by(x.relation) IS NULL) ORDER BY 1 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_table', MESSAGE = format('%s was made since load %s began: rename it and redrive', v.relation, p_load);
  END IF;
  SELECT array_agg(x.relation ORDER BY x.relation) INTO v_old FROM (SELECT format('%I.%I', t.target_schema, t.target_name) AS relation FROM godwit.loaded_table t WHERE t.load_id = p_load) AS x
  WHERE to_regclass(x.relation) IS NOT NULL;
  IF v_old IS NOT NULL THEN
    PERFORM godwit.keep_rules(p_load, v_old);
    SELECT array_agg(g.ddl ORDER BY o.n, g.n) INTO v_grants FROM unnest(v_old) WITH ORDINALITY AS o (relation, n) CROSS JOIN LATERAL godwit.grants_of(o.relation) AS g;
    BEGIN
      EXECUTE 'DROP TABLE ' || array_to_string(v_old, ', ');
    EXCEPTION WHEN dependent_objects_still_exist THEN
      GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
      RAISE dependent_objects_still_exist USING MESSAGE = format('others depend on tables that load %s replaces: %s. Drop those, redrive, and make them again', p_load, replace(v_detail, E'\n', ', '));
    END;
    DELETE FROM godwit.loaded_table t WHERE t.load_id <> p_load AND t.shown IS NOT NULL AND format('%I.%I', t.target_schema, t.target_name) = ANY (v_old);
    PERFORM godwit.forget(x.load_id) FROM godwit.load x
    WHERE x.plan IS NOT NULL AND x.load_id <> p_load AND x.state = 'published' AND NOT EXISTS (SELECT FROM godwit.loaded_table t WHERE t.load_id = x.load_id);
  END IF;

  FOR v IN SELECT t.* FROM godwit.loaded_table t WHERE t.load_id = p_load ORDER BY t.target_schema, t.target_name LOOP
    BEGIN
      EXECUTE format('ALTER TABLE %I.%I SET SCHEMA %I', v.stage_schema, v.target_name, v.target_schema);
    EXCEPTION WHEN duplicate_table THEN -- of an index or a sequence, too
      RAISE duplicate_table USING MESSAGE = format('table %I.%I cannot be shown: %s. Rename what is there and redrive, or bring the table into another schema by the rules of Mapping',
        v.target_schema, v.target_name, SQLERRM);
    END;
  END LOOP;
  PERFORM godwit.grant_again(v_old, v_grants);
  UPDATE godwit.loaded_table t SET shown = to_regclass(format('%I.%I', t.target_schema, t.target_name))::oid WHERE t.load_id = p_load;
  UPDATE godwit.load x SET state = 'published', published_at = clock_timestamp() WHERE x.load_id = p_load;
  FOR v IN SELECT DISTINCT t.stage_schema AS name FROM godwit.loaded_table t WHERE t.load_id = p_load LOOP
    EXECUTE format('DROP SCHEMA %I', v.name);
  END LOOP;
END $f$;

-- grants_of lists what gives others what they may do with a table and its columns, as statements.
CREATE OR REPLACE FUNCTION godwit.grants_of(p_relation text) RETURNS TABLE (n bigint, ddl text) LANGUAGE sql STABLE AS $f$
  SELECT row_number() OVER (ORDER BY x.num, x.privilege_type, x.grantee), format('GRANT %s%s ON %s TO %s%s', x.privilege_type, x.columns, p_relation,
    CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' END)
  FROM (
    SELECT 0 AS num, '' AS columns, a.* FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) AS a WHERE c.oid = to_regclass(p_relation) AND a.grantee <> c.relowner
    UNION ALL
    SELECT t.attnum, format(' (%I)', t.attname), a.* FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid AND NOT t.attisdropped CROSS JOIN LATERAL aclexplode(t.attacl) AS a
    WHERE c.oid = to_regclass(p_relation) AND a.grantee <> c.relowner) AS x
$f$;

-- grant_again has tables that took the place of others let the same roles do the same. A grant on a column that is there
-- no more goes.
CREATE OR REPLACE FUNCTION godwit.grant_again(p_relations text[], p_grants text[]) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
  v record;
BEGIN
  -- What default privileges gave the new table, and the old one did not give, is taken away.
  FOR v IN SELECT DISTINCT r.relation, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
    FROM unnest(p_relations) AS r (relation) JOIN pg_class c ON c.oid = to_regclass(r.relation) CROSS JOIN LATERAL aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s', v.relation, v.role);
  END LOOP;
  FOR v IN SELECT g.ddl FROM unnest(p_grants) WITH ORDINALITY AS g (ddl, n) ORDER BY g.n LOOP
    BEGIN
      EXECUTE v.ddl;
    EXCEPTION WHEN undefined_column THEN NULL;
    END;
  END LOOP;
END $f$;

-- keep_rules refuses to replace tables that have what a new one would lack without a word: policies and triggers.
CREATE OR REPLACE FUNCTION godwit.keep_rules(p_load text, p_relations text[]) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
  v_found text;
BEGIN
  SELECT string_agg(x.what, ', ' ORDER BY x.what) INTO v_found FROM unnest(p_relations) AS r (relation) JOIN pg_class c ON c.oid = to_regclass(r.relation) CROSS JOIN LATERAL (
    SELECT format('policy %I on table %s', p.polname, r.relation) AS what FROM pg_policy p WHERE p.polrelid = c.oid
    UNION ALL SELECT format('row security of table %s', r.relation) WHERE c.relrowsecurity
    UNION ALL SELECT format('trigger %I on table %s', g.tgname, r.relation) FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal) AS x;
  IF v_found IS NOT NULL THEN
    RAISE dependent_objects_still_exist USING MESSAGE = format('tables that load %s replaces have what it does not bring: %s. Drop those, redrive, and make them again', p_load, v_found);
  END IF;
END $f$;

-- read_rows reads rows that stand in some blocks of a table, of the load that is under way where there is one: p_values,
-- expressions over its columns, of the rows that p_where holds for, as a list of lists of texts. It answers how many blocks
-- there are, and pieces of that text behind its first p_after characters, as many as fit into an answer.
CREATE OR REPLACE FUNCTION godwit.read_rows(p_schema text, p_name text, p_values jsonb, p_where text, p_block bigint, p_blocks bigint, p_after bigint, OUT blocks bigint, OUT piece text)
RETURNS SETOF record LANGUAGE plpgsql STABLE SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC' SET bytea_output = 'hex' SET extra_float_digits = 1 SET xmloption = 'content' AS $f$
DECLARE
  c_piece CONSTANT integer := 8000; -- characters: a row of an answer holds 64 KB
  v_relation text := format('%I.%I', coalesce((
    SELECT t.stage_schema FROM godwit.loaded_table t JOIN godwit.load l USING (load_id) WHERE l.state = 'loading' AND t.target_schema = p_schema AND t.target_name = p_name), p_schema), p_name);
  v_text text;
BEGIN
  EXECUTE format('SELECT coalesce(jsonb_agg(to_jsonb(ARRAY[%s]::text[]) ORDER BY x.ctid), ''[]'')::text FROM %s AS x WHERE x.ctid >= $1 AND x.ctid < $2 AND %s',
    (SELECT string_agg(e, ', ' ORDER BY o) FROM jsonb_array_elements_text(p_values) WITH ORDINALITY AS a (e, o)), v_relation, p_where)
  INTO v_text USING format('(%s,0)', p_block)::tid, format('(%s,0)', least(p_block + p_blocks, 4294967295))::tid;
  RETURN QUERY SELECT pg_relation_size(v_relation::regclass) / current_setting('block_size')::bigint, substr(v_text, (p_after + n * c_piece + 1)::integer, c_piece)
  FROM generate_series(0, 19) AS n WHERE p_after + n * c_piece < length(v_text);
END $f$;
END $install$
