-- Errors carry the texts that Aurora's users know where those are public; the
-- DETAIL says more than Aurora does.

-- Whether options is a COPY option list and nothing else. It stands at the end
-- of a COPY FROM that runs as the superuser, where a WHERE clause or a second
-- statement would run with the superuser's rights.
CREATE FUNCTION aws_s3._options_valid(options text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog
AS $f$
DECLARE
	str CONSTANT text := $q$(?:[eE]?'(?:[^'\\]|'')*'|[eE]'(?:[^'\\]|''|\\[\\nrtbfv'0-9a-fA-FxX])*')$q$;
	name CONSTANT text := '(?:[A-Za-z_][A-Za-z0-9_]*|"(?:[^"]|"")+")';
	item CONSTANT text := '(?:' || str || '|' || name || '|[-+]?[0-9]+(?:\.[0-9]+)?)';
	list CONSTANT text := '(?:\*|\(\s*' || item || '(?:\s*,\s*' || item || ')*\s*\))';
	option CONSTANT text := '[A-Za-z_]+(?:\s+' || item || '|\s*' || str || '|\s*' || list || ')?';
	cols CONSTANT text := name || '(?:\s*,\s*' || name || ')*';
	old CONSTANT text := '(?:binary|csv|header|freeze|(?:delimiter|null|quote|escape)\s*(?:as\s*)?' || str
		|| '|encoding\s*' || str || '|force\s+not\s+null\s+' || cols || '|force\s+null\s+' || cols || ')';
BEGIN
	RETURN options ~ '^\s*$'
		OR options ~ ('^\s*\(\s*' || option || '(?:\s*,\s*' || option || ')*\s*\)\s*$')
		OR options ~* ('^\s*' || old || '(?:\s+' || old || ')*\s*$');
END $f$;

-- Copies one object into one table with the server's rights. Only for
-- table_import_from_s3, which has checked what the caller may do.
CREATE FUNCTION aws_s3._copy(target oid, shown text, columns text, options text,
	bucket text, file_path text, region text, access_key text, secret_key text, session_token text)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $f$
DECLARE
	config text := format('aws_s3/import-%s.json', encode(convert_to(current_database(), 'UTF8'), 'hex'));
	settings jsonb := pg_read_file(config, true)::jsonb;
	result_file CONSTANT text := format('aws_s3/%s.outcome', pg_backend_pid());
	result jsonb;
	n bigint;
BEGIN
	IF settings IS NULL THEN
		config := 'aws_s3/import.json';
		settings := pg_read_file(config, true)::jsonb;
	END IF;
	IF settings IS NULL OR coalesce(settings->>'AccessKeyID', access_key, '') = '' THEN
		RAISE EXCEPTION 'credentials stored with the database cluster can''t be accessed'
			USING HINT = 'Has the IAM role Amazon Resource Name (ARN) been associated with the feature-name "s3Import"?';
	END IF;
	IF access_key IS NOT NULL THEN
		RAISE feature_not_supported USING MESSAGE = 'credentials given in SQL are not supported by the local aws_s3; use the cluster''s import role';
	END IF;
	IF region IS DISTINCT FROM settings->>'Region' THEN
		RAISE EXCEPTION 'HTTP 301. Check your arguments and try again.'
			USING DETAIL = format('The region given is %s, the cluster and its buckets are in %s.', coalesce(quote_literal(region), 'NULL'), settings->>'Region');
	END IF;
	IF coalesce(bucket, '') !~ '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$' THEN
		RAISE invalid_parameter_value USING MESSAGE = format('%s is no bucket name', coalesce(quote_literal(bucket), 'NULL'));
	END IF;
	IF coalesce(file_path, '') = '' OR octet_length(file_path) > 1024 OR file_path ~ '[\x01-\x1f\x7f]'
		OR file_path ~ '(^|/)\.\.?(/|$)' THEN
		RAISE invalid_parameter_value USING MESSAGE = format('%s is no object key that can be imported', coalesce(quote_literal(file_path), 'NULL')),
			DETAIL = 'A key has 1 to 1,024 bytes, no control characters and no "." or ".." between slashes.';
	END IF;
	IF NOT aws_s3._options_valid(options) THEN
		RAISE syntax_error USING MESSAGE = format('%s is no list of COPY options', quote_literal(options));
	END IF;
	BEGIN
		-- Bucket and key are base64url: nothing that a shell reads.
		EXECUTE format('COPY %s %s FROM PROGRAM %L %s', target::regclass,
			CASE WHEN columns = '' THEN '' ELSE '(' || columns || ')' END,
			format('%s fetch %s %s %s %s', settings->>'Attendant', config,
				rtrim(translate(encode(convert_to(bucket, 'UTF8'), 'base64'), E'+/\n', '-_'), '='),
				rtrim(translate(encode(convert_to(file_path, 'UTF8'), 'base64'), E'+/\n', '-_'), '='), result_file),
			CASE WHEN options ~ '^\s*$' THEN '' ELSE 'WITH ' || options END);
		GET DIAGNOSTICS n = ROW_COUNT;
	EXCEPTION WHEN external_routine_exception THEN
		result := pg_read_file(result_file, true)::jsonb;
		IF result->>'error' = 'file is empty' THEN
			RAISE EXCEPTION 'file is empty' USING DETAIL = format('s3://%s/%s has 0 bytes.', bucket, file_path);
		ELSIF result ? 'status' THEN
			RAISE EXCEPTION 'HTTP %. Check your arguments and try again.', result->>'status'
				USING DETAIL = format('s3://%s/%s: %s', bucket, file_path, result->>'error');
		END IF;
		RAISE EXCEPTION 'unable to read from S3' USING DETAIL = format('s3://%s/%s: %s', bucket, file_path, coalesce(result->>'error', SQLERRM));
	END;
	result := pg_read_file(result_file)::jsonb;
	RETURN format('%s rows imported into relation "%s" from file %s of %s bytes', n, shown, file_path, result->>'bytes');
END $f$;

CREATE FUNCTION aws_s3.table_import_from_s3(table_name text, column_list text, options text,
	bucket text, file_path text, region text,
	access_key text DEFAULT NULL, secret_key text DEFAULT NULL, session_token text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql
AS $f$
-- Runs as the caller, so that the table is looked up, and the right to write
-- it judged, as the caller's own COPY would; only _copy has the server's rights.
DECLARE
	target regclass;
	identifier CONSTANT text := '(?:[A-Za-z_][A-Za-z0-9_$]*|"(?:[^"]|"")+")';
	col text;
BEGIN
	IF table_name IS NULL OR column_list IS NULL OR options IS NULL THEN
		RAISE null_value_not_allowed USING MESSAGE = 'table_name, column_list and options must not be NULL';
	END IF;
	IF table_name OPERATOR(pg_catalog.~) '^[0-9]+$' THEN -- regclass would read an oid
		RAISE undefined_table USING MESSAGE = pg_catalog.format('relation "%s" does not exist', table_name);
	END IF;
	target := table_name::pg_catalog.regclass;
	IF column_list OPERATOR(pg_catalog.!~) '^\s*$' AND column_list OPERATOR(pg_catalog.!~) ('^\s*' || identifier || '(?:\s*,\s*' || identifier || ')*\s*$') THEN
		RAISE syntax_error USING MESSAGE = pg_catalog.format('%L is no list of columns', column_list);
	END IF;
	IF NOT pg_catalog.has_table_privilege(target, 'INSERT') THEN
		IF column_list OPERATOR(pg_catalog.~) '^\s*$' THEN
			RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('permission denied for table %s', target);
		END IF;
		FOREACH col IN ARRAY pg_catalog.parse_ident('x.' || pg_catalog.regexp_replace(column_list, '\s*,\s*', '.', 'g')) LOOP
			CONTINUE WHEN col = 'x';
			IF NOT pg_catalog.has_column_privilege(target, col, 'INSERT') THEN
				RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('permission denied for table %s', target);
			END IF;
		END LOOP;
	END IF;
	RETURN aws_s3._copy(target, table_name, pg_catalog.btrim(column_list), options, bucket, file_path, region, access_key, secret_key, session_token);
END $f$;

CREATE FUNCTION aws_s3.table_import_from_s3(table_name text, column_list text, options text,
	s3_info aws_commons._s3_uri_1, credentials aws_commons._aws_credentials_1 DEFAULT NULL)
RETURNS text LANGUAGE sql
AS $$
	SELECT aws_s3.table_import_from_s3($1, $2, $3, ($4).bucket, ($4).file_path, ($4).region,
		($5).access_key, ($5).secret_key, ($5).session_token)
$$;
