-- What a cluster has that a PostgreSQL database has not. It runs once, in the
-- empty database behind the cluster, as a superuser whom no client ever is.

CREATE ROLE admin LOGIN CREATEROLE;
ALTER DATABASE postgres OWNER TO admin;
ALTER SCHEMA public OWNER TO admin;

CREATE SCHEMA sys;
GRANT USAGE ON SCHEMA sys TO PUBLIC;

-- AWS IAM GRANT and REVOKE.
CREATE TABLE sys.iam_pg_role_mappings (
    arn text,
    pg_role_name text,
    grantor_pg_role_name text DEFAULT 'admin',
    PRIMARY KEY (arn, pg_role_name)
);
GRANT SELECT ON sys.iam_pg_role_mappings TO PUBLIC;
