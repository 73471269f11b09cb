-- What a cluster has that a PostgreSQL database has not. It runs once, in the
-- empty database behind the cluster, as a superuser whom no client ever is.

CREATE ROLE admin LOGIN CREATEROLE;
ALTER DATABASE postgres OWNER TO admin;
ALTER SCHEMA public OWNER TO admin;

CREATE SCHEMA sys;
GRANT USAGE ON SCHEMA sys TO PUBLIC;

-- AWS IAM GRANT and REVOKE.
CREATE TABLE sys.iam_grant (
    number bigint GENERATED ALWAYS AS IDENTITY,
    arn text,
    role oid,
    PRIMARY KEY (arn, role)
);
CREATE VIEW sys.iam_pg_role_mappings AS
    SELECT g.number::oid AS iam_oid, g.arn, r.oid AS pg_role_oid, r.rolname AS pg_role_name, a.oid AS grantor_pg_role_oid, a.rolname AS grantor_pg_role_name
    FROM sys.iam_grant g JOIN pg_catalog.pg_roles r ON r.oid = g.role JOIN pg_catalog.pg_roles a ON a.rolname = 'admin';
GRANT SELECT ON sys.iam_pg_role_mappings TO PUBLIC;

-- Asynchronous jobs. The cluster's keeper carries them out.
CREATE TABLE sys.job (
    job_id text PRIMARY KEY,
    status text NOT NULL DEFAULT 'submitted',
    details text NOT NULL DEFAULT '',
    job_type text NOT NULL,
    class_id oid NOT NULL,
    object_id oid NOT NULL DEFAULT 0,
    object_name text NOT NULL,
    start_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    position bigint GENERATED ALWAYS AS IDENTITY, -- order of submission
    relation oid NOT NULL,                        -- the table
    statement text NOT NULL,                      -- what the job runs
    path text NOT NULL                            -- search_path to run it with
);

-- An ended job is seen for a while by the cluster's clock, which the session
-- tells before it reads.
CREATE VIEW sys.jobs AS
    SELECT job_id, status, details, job_type, class_id, object_id, object_name, start_time, update_time
    FROM sys.job
    WHERE status IN ('submitted', 'processing')
        OR update_time + make_interval(secs => (current_setting('dsql.limits')::jsonb ->> 'JobKept')::float8 / 1e9)
            > current_setting('dsql.now')::timestamptz;
GRANT SELECT ON sys.jobs TO PUBLIC;

-- to_build counts a table's indexes that have been asked for and are not there.
CREATE FUNCTION sys.to_build(rel oid) RETURNS bigint LANGUAGE sql STABLE
    SET search_path = pg_catalog
    AS $$
    SELECT count(*) FROM sys.job j
    WHERE j.relation = rel AND j.job_type = 'INDEX_BUILD' AND j.status IN ('submitted', 'processing')
        AND NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE format('%I.%I', n.nspname, c.relname) = j.object_name)
    $$;

-- max_of is one of the cluster's limits, which the session brings along; a
-- session without them is no client's.
CREATE FUNCTION sys.max_of(what text) RETURNS bigint LANGUAGE sql STABLE
    SET search_path = pg_catalog
    AS $$ SELECT (current_setting('dsql.limits')::jsonb ->> what)::bigint $$;

CREATE FUNCTION sys.limited() RETURNS boolean LANGUAGE sql STABLE
    SET search_path = pg_catalog
    AS $$ SELECT coalesce(current_setting('dsql.limits', true), '') <> '' $$;

CREATE FUNCTION sys.base_type(type oid) RETURNS oid LANGUAGE sql STABLE
    SET search_path = pg_catalog
    AS $$
    WITH RECURSIVE t AS (
        SELECT oid, typbasetype FROM pg_type WHERE oid = type
        UNION ALL
        SELECT p.oid, p.typbasetype FROM t JOIN pg_type p ON p.oid = t.typbasetype
    )
    SELECT oid FROM t WHERE typbasetype = 0
    $$;

-- check_type refuses types that no column can have.
CREATE FUNCTION sys.check_type(type oid, modifier integer) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog
    AS $$
    DECLARE
        base regtype := sys.base_type(type);
    BEGIN
        IF base NOT IN ('int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'bpchar', 'varchar', 'text', 'date', 'time', 'timetz',
            'timestamp', 'timestamptz', 'interval', 'bool', 'uuid', 'bytea', 'json', 'jsonb') THEN
            RAISE EXCEPTION 'datatype % not supported', CASE WHEN base = type THEN format_type(type, modifier) ELSE base::text END USING ERRCODE = '0A000';
        ELSIF base = 'varchar'::regtype AND modifier - 4 > 65535 THEN
            RAISE EXCEPTION 'Datatype limit greater than 65535 bytes not supported for varchar' USING ERRCODE = '54000';
        ELSIF base = 'bpchar'::regtype AND modifier - 4 > 4096 THEN
            RAISE EXCEPTION 'Datatype limit greater than 4096 bytes not supported for char' USING ERRCODE = '54000';
        END IF;
    END
    $$;

-- check_keys refuses a table's indexes, those of its constraints included; more
-- are those that are still to be built.
CREATE FUNCTION sys.check_keys(rel oid, more bigint) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog
    AS $$
    DECLARE
        i record;
        k record;
    BEGIN
        IF (SELECT count(*) FROM pg_index WHERE indrelid = rel) + more > sys.max_of('Indexes') THEN
            RAISE EXCEPTION 'more than % indexes per table are not allowed', sys.max_of('Indexes') USING ERRCODE = '54000';
        END IF;
        FOR i IN SELECT indexrelid, indnkeyatts FROM pg_index WHERE indrelid = rel LOOP
            IF i.indnkeyatts > sys.max_of('KeyColumns') THEN
                RAISE EXCEPTION 'more than % column keys in an index are not supported', sys.max_of('KeyColumns') USING ERRCODE = '54011';
            END IF;
            FOR k IN SELECT sys.base_type(atttypid)::regtype AS type FROM pg_attribute WHERE attrelid = i.indexrelid AND attnum <= i.indnkeyatts LOOP
                IF k.type IN ('timetz', 'interval', 'bytea', 'json', 'jsonb') THEN
                    RAISE EXCEPTION 'datatype % is not supported in a key', k.type USING ERRCODE = '0A000';
                END IF;
            END LOOP;
            IF (SELECT sum(CASE WHEN attlen > 0 THEN attlen WHEN sys.base_type(atttypid) IN ('varchar'::regtype, 'bpchar'::regtype) AND atttypmod > 4 THEN atttypmod - 4 ELSE 0 END)
                FROM pg_attribute WHERE attrelid = i.indexrelid AND attnum <= i.indnkeyatts) > 2000 THEN
                RAISE EXCEPTION 'key size greater than 2000 bytes not supported' USING ERRCODE = '54000';
            END IF;
        END LOOP;
    END
    $$;

-- check_table looks at a table that was made or changed.
CREATE FUNCTION sys.check_table(rel oid) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog
    AS $$
    DECLARE
        a record;
    BEGIN
        FOR a IN SELECT * FROM pg_attribute WHERE attrelid = rel AND attnum > 0 AND NOT attisdropped ORDER BY attnum LOOP
            PERFORM sys.check_type(a.atttypid, a.atttypmod);
            IF a.attidentity <> '' AND a.atttypid <> 'int8'::regtype THEN
                RAISE EXCEPTION 'datatype % not supported for identity column', format_type(a.atttypid, a.atttypmod) USING ERRCODE = '0A000';
            ELSIF a.atttypid = 'numeric'::regtype AND a.atttypmod = -1 THEN
                -- The trap: no column keeps more than six digits unless it says so.
                EXECUTE format('ALTER TABLE %s ALTER COLUMN %I TYPE numeric(18,6)', rel::regclass, a.attname);
            END IF;
        END LOOP;
        IF (SELECT count(*) FROM pg_attribute WHERE attrelid = rel AND attnum > 0 AND NOT attisdropped) > sys.max_of('Columns') THEN
            RAISE EXCEPTION 'tables can have at most % columns', sys.max_of('Columns') USING ERRCODE = '54011';
        END IF;
        PERFORM sys.check_keys(rel, 0);
        IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = rel AND tgname = 'dsql_insert') THEN
            EXECUTE format('CREATE TRIGGER dsql_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION sys.account()', rel::regclass);
            EXECUTE format('CREATE TRIGGER dsql_update AFTER UPDATE ON %s REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION sys.account()', rel::regclass);
            EXECUTE format('CREATE TRIGGER dsql_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION sys.account()', rel::regclass);
        END IF;
    END
    $$;

-- check_number refuses one more of something.
CREATE FUNCTION sys.check_number(kind "char", what text, words text) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog
    AS $$
    BEGIN
        IF (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = kind AND n.nspname NOT IN ('sys', 'information_schema') AND n.nspname NOT LIKE 'pg\_%') > sys.max_of(what) THEN
            RAISE EXCEPTION 'creating more than % % not allowed', sys.max_of(what), words USING ERRCODE = '54000';
        END IF;
    END
    $$;

-- check_definition sees what a definition has made before it is committed. It
-- runs as the superuser, whose triggers it makes.
CREATE FUNCTION sys.check_definition() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog
    AS $$
    DECLARE
        c record;
    BEGIN
        IF NOT sys.limited() OR coalesce(current_setting('dsql.checking', true), '') = 'on' THEN
            RETURN; -- the cluster's own work
        END IF;
        PERFORM set_config('dsql.checking', 'on', true);
        FOR c IN SELECT DISTINCT objid, command_tag, object_type FROM pg_event_trigger_ddl_commands() WHERE schema_name IS DISTINCT FROM 'pg_temp' LOOP
            CASE c.command_tag || ' ' || c.object_type
            WHEN 'CREATE TABLE table' THEN
                PERFORM sys.check_number('r', 'Tables', 'tables');
                PERFORM sys.check_table(c.objid);
            WHEN 'ALTER TABLE table' THEN
                PERFORM sys.check_table(c.objid);
            WHEN 'CREATE VIEW view' THEN
                PERFORM sys.check_number('v', 'Views', 'views');
            WHEN 'CREATE SEQUENCE sequence' THEN
                PERFORM sys.check_number('S', 'Sequences', 'sequences is');
            WHEN 'CREATE DOMAIN type', 'CREATE DOMAIN domain' THEN
                PERFORM sys.check_type(c.objid, -1);
            WHEN 'CREATE SCHEMA schema' THEN
                IF (SELECT count(*) FROM pg_namespace WHERE nspname NOT IN ('public', 'sys', 'information_schema') AND nspname NOT LIKE 'pg\_%') > sys.max_of('Schemas') THEN
                    RAISE EXCEPTION 'more than % schemas not allowed', sys.max_of('Schemas') USING ERRCODE = '54000';
                END IF;
            ELSE
            END CASE;
        END LOOP;
        PERFORM set_config('dsql.checking', '', true);
    END
    $$;
CREATE EVENT TRIGGER dsql_definition ON ddl_command_end EXECUTE FUNCTION sys.check_definition();

-- sized is SQL for the bytes of an index's entry for the row r: what it costs a
-- transaction. Wide texts were measured to cost several times their length, other
-- keys little: four indexes on texts of 100 bytes took 430 bytes an entry.
CREATE FUNCTION sys.sized(rel oid) RETURNS text LANGUAGE sql STABLE
    SET search_path = pg_catalog
    AS $$
    SELECT coalesce(string_agg(format('32 + %s', (
        SELECT string_agg(CASE WHEN a.attlen > 0 THEN a.attlen::text ELSE format('4 * coalesce(pg_column_size(r.%I), 0)', a.attname) END, ' + ')
        FROM pg_attribute a
        WHERE a.attrelid = rel AND (a.attnum = ANY (i.indkey) OR a.attnum = ANY (SELECT unnest(p.indkey) FROM pg_index p WHERE p.indrelid = rel AND p.indisprimary)))), ' + '), '0')
    FROM pg_index i WHERE i.indrelid = rel AND NOT i.indisprimary
    $$;

-- count_rows adds rows to those of the transaction, and refuses too many.
CREATE FUNCTION sys.count_rows(n bigint) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog
    AS $$
    DECLARE
        total bigint := n + ('0' || coalesce(current_setting('dsql.rows', true), ''))::bigint;
    BEGIN
        PERFORM set_config('dsql.rows', total::text, true);
        IF total > sys.max_of('Rows') THEN
            RAISE EXCEPTION 'transaction row limit exceeded' USING ERRCODE = '54000';
        END IF;
    END
    $$;

-- account counts what a statement changed, cascades included, and refuses rows,
-- values and keys that are too large. The number of rows is refused here; their
-- size when the session commits.
CREATE FUNCTION sys.account() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog
    AS $$
    DECLARE
        n bigint;
        size bigint;
        largest bigint;
        most bigint;
        c record;
    BEGIN
        IF NOT sys.limited() THEN
            RETURN NULL;
        END IF;
        -- A row was measured to cost 147 bytes beside its values, of which 24 are
        -- the header that pg_column_size counts.
        EXECUTE format('SELECT count(*), coalesce(sum(123 + %s + %s), 0), coalesce(max(pg_column_size(r)), 0) FROM changed r',
            CASE TG_OP WHEN 'DELETE' THEN '24' ELSE 'pg_column_size(r)' END, sys.sized(TG_RELID)) INTO n, size, largest;
        IF n = 0 THEN
            RETURN NULL;
        END IF;
        PERFORM sys.count_rows(n);
        PERFORM set_config('dsql.bytes', (size + ('0' || coalesce(current_setting('dsql.bytes', true), ''))::bigint)::text, true);
        IF largest > sys.max_of('RowBytes') THEN
            RAISE EXCEPTION 'maximum row size exceeded' USING ERRCODE = '54000';
        ELSIF TG_OP = 'DELETE' OR largest <= sys.max_of('KeyBytes') AND largest <= 4096 AND largest <= sys.max_of('ValueBytes') THEN
            RETURN NULL;
        END IF;
        FOR c IN SELECT attname, CASE t WHEN 'bpchar' THEN 'char' ELSE t::text END AS type,
                CASE t WHEN 'bpchar' THEN 4096 WHEN 'varchar' THEN 65535 ELSE sys.max_of('ValueBytes') END AS bytes
            FROM (SELECT attname, attnum, typname AS t FROM pg_attribute JOIN pg_type y ON y.oid = sys.base_type(atttypid)
                WHERE attrelid = TG_RELID AND attnum > 0 AND NOT attisdropped AND attlen < 0) a ORDER BY attnum LOOP
            EXECUTE format('SELECT coalesce(max(pg_column_size(r.%I)), 0) - 4 FROM changed r', c.attname) INTO most;
            IF most > c.bytes THEN
                RAISE EXCEPTION 'datatype limit greater than % bytes not supported for %', c.bytes, c.type USING ERRCODE = '54000';
            END IF;
        END LOOP;
        FOR c IN SELECT string_agg(format('coalesce(pg_column_size(r.%I), 0)', a.attname), ' + ') AS sum
            FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
                AND (a.attnum = ANY (i.indkey[:i.indnkeyatts - 1]) OR a.attnum = ANY (SELECT unnest(p.indkey) FROM pg_index p WHERE p.indrelid = TG_RELID AND p.indisprimary))
            WHERE i.indrelid = TG_RELID GROUP BY i.indexrelid LOOP
            EXECUTE format('SELECT max(%s) FROM changed r', c.sum) INTO most;
            IF most > sys.max_of('KeyBytes') THEN
                RAISE EXCEPTION 'key size too large' USING ERRCODE = '54000';
            END IF;
        END LOOP;
        RETURN NULL;
    END
    $$;
