package dsql_test

import (
	"testing"

	"godwit/internal/testdb"
)

func TestWhatDSQLHasNotIsRefusedInItsWords(t *testing.T) {
	d := testdb.NewDSQL(t)
	c := connect(t, d, "admin")
	do(t, c, `CREATE SCHEMA s`, `CREATE TABLE s.parent (id uuid PRIMARY KEY, v text, j jsonb, b bytea, n bigint)`, `CREATE TABLE s.child (id bigint PRIMARY KEY, parent uuid)`,
		`ALTER TABLE s.child ADD CONSTRAINT fk FOREIGN KEY (parent) REFERENCES s.parent NOT VALID`, `CREATE ROLE r WITH LOGIN`)
	const sizes = "without an explicit cache size. please define CACHE greater than or equal to 65536 or equal to 1"
	for _, test := range []struct{ sql, code, message string }{
		{`TRUNCATE s.parent`, "0A000", "unsupported statement: Truncate"},
		{`CREATE EXTENSION IF NOT EXISTS pgcrypto`, "0A000", "unsupported statement: CreateExtension"},
		{`CREATE DATABASE d`, "0A000", "unsupported statement: Createdb"},
		{`CREATE TYPE mood AS ENUM ('sad')`, "0A000", "unsupported statement: CreateType"},
		{`VACUUM`, "0A000", "unsupported statement: Vacuum"},
		{`LISTEN x`, "0A000", "unsupported statement: Listen"},
		{`DO $$ BEGIN END $$`, "0A000", "unsupported statement: Do"},
		{`LOCK TABLE s.parent`, "0A000", "unsupported statement: Lock"},
		{`SAVEPOINT a`, "0A000", "unsupported statement: Transaction"},
		{`CREATE TEMP TABLE x (id int)`, "0A000", "TEMPORARY or TEMP table not supported for CREATE TABLE"},
		{`CREATE UNLOGGED TABLE x (id int)`, "0A000", "UNLOGGED table not supported for CREATE TABLE"},
		{`CREATE TABLE x (id int) PARTITION BY RANGE (id)`, "0A000", "PARTITION BY not supported for CREATE TABLE"},
		{`CREATE TABLE x (id int) INHERITS (s.parent)`, "0A000", "INHERITS not supported for CREATE TABLE"},
		{`CREATE TABLE x PARTITION OF s.parent FOR VALUES IN (1)`, "0A000", "PARTITION OF not supported for CREATE TABLE"},
		{`CREATE TABLE x (id int, EXCLUDE USING gist (id WITH =))`, "0A000", "EXCLUDE constraint not supported"},
		{`CREATE TEMPORARY VIEW x AS SELECT 1`, "0A000", "TEMPORARY or TEMP not supported"},
		{`CREATE SCHEMA x CREATE TABLE y (id int)`, "XX000", "CREATE SCHEMA with elements is not known to local"},
		{`CREATE TABLE x OF t`, "0A000", "OF not supported for CREATE TABLE"},
		{`CREATE TABLE x`, "42601", "syntax error at end of input"},
		{`CREATE TABLE x (id int`, "42601", "syntax error at end of input"},
		{`CREATE TABLE x AS SELECT 1`, "0A000", "unsupported statement: CreateTableAs"},
		{`SELECT 1 INTO x`, "0A000", "SELECT INTO not supported"},
		{`CREATE TABLE x (id serial PRIMARY KEY)`, "42704", `type "serial" does not exist`},
		{`CREATE TABLE x (id bigserial PRIMARY KEY)`, "42704", `type "bigserial" does not exist`},
		{`CREATE TABLE x (id int, a text[])`, "0A000", "datatype text[] not supported"},
		{`CREATE TABLE x (id int, a integer [] )`, "0A000", "datatype integer[] not supported"},
		{`CREATE TABLE x (id int, a inet)`, "0A000", "datatype inet not supported"},
		{`CREATE TABLE x (id int, a tsvector)`, "0A000", "datatype tsvector not supported"},
		{`CREATE TABLE x (id int, a money)`, "0A000", "datatype money not supported"},
		{`CREATE TABLE x (id int, a int4range)`, "0A000", "datatype int4range not supported"},
		{`CREATE DOMAIN dom AS xml`, "0A000", "datatype xml not supported"},
		{`CREATE TABLE x (id int, a varchar(65536))`, "54000", "Datatype limit greater than 65535 bytes not supported for varchar"},
		{`CREATE TABLE x (id int, a char(4097))`, "54000", "Datatype limit greater than 4096 bytes not supported for char"},
		{`CREATE TABLE x (id bytea PRIMARY KEY)`, "0A000", "datatype bytea is not supported in a key"},
		{`CREATE TABLE x (id int, i interval UNIQUE)`, "0A000", "datatype interval is not supported in a key"},
		{`CREATE TABLE x (a varchar(1000), b varchar(1001), PRIMARY KEY (a, b))`, "54000", "key size greater than 2000 bytes not supported"},
		{`CREATE TABLE x (a int, b int, c int, d int, e int, f int, g int, h int, i int, PRIMARY KEY (a, b, c, d, e, f, g, h, i))`, "54011", "more than 8 column keys in an index are not supported"},
		{`CREATE TABLE x (id integer GENERATED ALWAYS AS IDENTITY (CACHE 1))`, "0A000", "datatype integer not supported for identity column"},
		{`CREATE TABLE x (id bigint GENERATED ALWAYS AS IDENTITY)`, "0A000", "identity column is not supported " + sizes},
		{`CREATE SEQUENCE x`, "0A000", "CREATE SEQUENCE is not supported " + sizes},
		{`CREATE SEQUENCE x CACHE 100`, "0A000", "CREATE SEQUENCE is not supported with a cache size of 100. please define CACHE greater than or equal to 65536 or equal to 1"},
		{`CREATE SEQUENCE x AS integer CACHE 1`, "0A000", "datatype integer not supported for CREATE SEQUENCE"},
		{`CREATE SEQUENCE x OWNED BY s.parent.n CACHE 1`, "XX000", "CREATE SEQUENCE OWNED BY is not known to local"},
		{`ALTER SEQUENCE x CACHE 5`, "0A000", "ALTER SEQUENCE is not supported with a cache size of 5. please define CACHE greater than or equal to 65536 or equal to 1"},
		{`CREATE OR REPLACE TRIGGER g BEFORE INSERT ON s.parent FOR EACH ROW EXECUTE FUNCTION f()`, "0A000", "CREATE TRIGGER not supported"},
		{`CREATE OR REPLACE RULE x AS ON INSERT TO s.parent DO NOTHING`, "XX000", "statement CREATE OR REPLACE RULE is not known to local"},
		{`CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'`, "0A000", "CREATE FUNCTION with language plpgsql not supported"},
		{`CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'`, "0A000", "PROCEDURE is not supported"},
		{`CREATE TRIGGER g BEFORE INSERT ON s.parent FOR EACH ROW EXECUTE FUNCTION f()`, "0A000", "CREATE TRIGGER not supported"},
		{`CREATE INDEX i ON s.parent (v)`, "0A000", "unsupported mode. please use CREATE INDEX ASYNC."},
		{`CREATE INDEX CONCURRENTLY i ON s.parent (v)`, "0A000", "CONCURRENTLY not supported for CREATE INDEX"},
		{`CREATE INDEX ASYNC i ON s.parent USING btree (v)`, "0A000", "USING not supported for CREATE INDEX"},
		{`CREATE INDEX ASYNC i ON s.parent (v DESC)`, "0A000", "specifying sort order not supported for index keys"},
		{`CREATE INDEX ASYNC i ON s.parent (v text_pattern_ops)`, "0A000", "opclass not supported for index keys"},
		{`CREATE INDEX ASYNC i ON s.parent (j)`, "0A000", "datatype jsonb is not supported in a key"},
		{`CREATE INDEX ASYNC i ON s.parent (b)`, "0A000", "datatype bytea is not supported in a key"},
		{`CREATE INDEX ASYNC i ON s.parent (n, n, n, n, n, n, n, n, n)`, "54011", "more than 8 column keys in an index are not supported"},
		{`CREATE INDEX ASYNC i ON s.parent ((random()))`, "42P17", "functions in index expression must be marked IMMUTABLE"},
		{`CREATE INDEX ASYNC i ON s.parent (missing)`, "42703", `column "missing" does not exist`},
		{`CREATE INDEX ASYNC i ON s.missing (v)`, "42P01", `relation "s.missing" does not exist`},
		{`CREATE INDEX ASYNC IF NOT EXISTS ON s.parent (v)`, "42601", `syntax error at or near "ON"`},
		{`CREATE INDEX ASYNC i ON s.parent (v) TABLESPACE x`, "0A000", "TABLESPACE not supported for CREATE INDEX"},
		{`CREATE INDEX ASYNC i ON s.parent (v COLLATE "C")`, "0A000", "COLLATE not supported for index keys"},
		{`CREATE INDEX ASYNC i ON s.parent (v) INCLUDE ((n + 1))`, "0A000", "expressions are not supported in included columns"},
		{`CREATE INDEX ASYNC s.i ON s.parent (v)`, "42601", `syntax error at or near "s"`},
		{`DROP INDEX CONCURRENTLY i`, "0A000", "CONCURRENTLY not supported for DROP INDEX"},
		{`ALTER TABLE s.child ALTER CONSTRAINT fk DEFERRABLE`, "XX000", "ALTER TABLE ALTER CONSTRAINT is not known to local"},
		{`ALTER TABLE s.child ADD CHECK (id > 0)`, "0A000", "unsupported ALTER TABLE ADD CONSTRAINT statement"},
		{`ALTER TABLE s.child ADD COLUMN x serial`, "42704", `type "serial" does not exist`},
		{`ALTER TABLE ASYNC s.child VALIDATE CONSTRAINT child_pkey`, "42809", `constraint "child_pkey" of relation "child" is not a foreign key or check constraint`},
		{`ALTER TABLE s.child ADD CONSTRAINT k FOREIGN KEY (parent) REFERENCES s.parent`, "0A000", "unsupported ALTER TABLE ADD CONSTRAINT statement"},
		{`ALTER TABLE s.child ADD CONSTRAINT k CHECK (id > 0)`, "0A000", "unsupported ALTER TABLE ADD CONSTRAINT statement"},
		{`ALTER TABLE s.child ADD PRIMARY KEY (id)`, "0A000", "unsupported ALTER TABLE ADD CONSTRAINT statement"},
		{`ALTER TABLE s.child ADD CONSTRAINT k UNIQUE (parent) NOT VALID`, "0A000", "UNIQUE constraints cannot be marked NOT VALID"},
		{`ALTER TABLE s.child ADD CONSTRAINT k PRIMARY KEY (parent) NOT VALID`, "0A000", "PRIMARY KEY constraints cannot be marked NOT VALID"},
		{`ALTER TABLE s.child VALIDATE CONSTRAINT fk`, "0A000", "unsupported ALTER TABLE VALIDATE CONSTRAINT statement"},
		{`ALTER TABLE ASYNC s.child VALIDATE CONSTRAINT missing`, "42704", `constraint "missing" of relation "child" does not exist`},
		{`ALTER TABLE ASYNC s.child ADD COLUMN x int`, "0A000", "unsupported ALTER TABLE ASYNC statement"},
		{`ALTER TABLE s.child ADD COLUMN x int DEFAULT 0`, "0A000", "ALTER TABLE ADD COLUMN with constraint not supported"},
		{`ALTER TABLE s.child ADD x int NOT NULL`, "0A000", "ALTER TABLE ADD COLUMN with constraint not supported"},
		{`ALTER TABLE s.child ADD COLUMN x text[]`, "0A000", "datatype text[] not supported"},
		{`ALTER TABLE s.child ALTER COLUMN parent SET NOT NULL`, "0A000", "unsupported ALTER TABLE ALTER COLUMN ... SET NOT NULL statement"},
		{`ALTER TABLE s.child ALTER parent TYPE text`, "0A000", "unsupported ALTER TABLE ALTER COLUMN ... SET DATA TYPE statement"},
		{`ALTER TABLE s.child ALTER COLUMN parent SET STATISTICS 10`, "0A000", "unsupported ALTER TABLE ALTER COLUMN ... SET STATISTICS statement"},
		{`ALTER TABLE s.child DISABLE TRIGGER ALL`, "0A000", "unsupported ALTER TABLE DISABLE TRIGGER ALL statement"},
		{`SELECT * FROM s.parent FOR SHARE`, "0A000", "locking clause FOR SHARE not supported"},
		{`SELECT * FROM s.parent FOR NO KEY UPDATE`, "0A000", "locking clause FOR NO KEY UPDATE not supported"},
		{`SET ROLE r`, "0A000", `setting configuration parameter "role" not supported`},
		{`SET LOCAL statement_timeout = '3s'`, "0A000", `setting configuration parameter "statement_timeout" not supported`},
		{`SET SESSION AUTHORIZATION r`, "0A000", `setting configuration parameter "session_authorization" not supported`},
		{`SELECT set_config('dsql.limits', '', false)`, "0A000", `setting configuration parameter "dsql.limits" not supported`},
		{`RESET dsql.limits`, "0A000", `setting configuration parameter "dsql.limits" not supported`},
		{`BEGIN ISOLATION LEVEL SERIALIZABLE`, "0A000", `transaction mode "isolation level serializable" not supported`},
		{`GRANT USAGE ON SCHEMA public TO r`, "0A000", "feature not supported on system entity"},
		{`GRANT r TO admin`, "0A000", "Role r not supported"},
		{`CREATE ROLE x WITH SUPERUSER`, "0A000", "option SUPERUSER not supported for CREATE ROLE"},
		{`CREATE ROLE r WITH LOGIN`, "42710", `role "r" already exists`},
		{`AWS IAM GRANT missing TO 'arn:aws:iam::123456789012:role/x'`, "42704", `role "missing" does not exist`},
		{`AWS IAM GRANT r TO 'x'`, "22023", "IAM role must look like an IAM ARN"},
		{`COPY s.parent FROM '/etc/passwd'`, "0A000", "COPY from a file or program not supported"},
		{`COPY s.parent TO STDOUT`, "XX000", "COPY TO is not known to local"},
		{`COPY s.parent FROM STDIN (FORMAT binary)`, "XX000", "COPY in the binary format is not known to local"},
		{`SELECT sys.wait_for_job('x')`, "42809", "sys.wait_for_job(unknown) is a procedure"},
		{`CALL sys.wait_for_job('x')`, "22023", `job "x" does not exist`},
		{`CALL other()`, "XX000", "this procedure call is not known to local"},
		{`COMMIT AND CHAIN`, "0A000", "unsupported statement: Transaction"},
		{`SET TRANSACTION READ ONLY`, "XX000", "SET TRANSACTION is not known to local"},
		{`CREATE SERVER x`, "0A000", "unsupported statement: CreateForeignServer"},
		{`CREATE TEXT SEARCH CONFIGURATION x (COPY = simple)`, "XX000", "statement CREATE TEXT is not known to local"},
		{`SELEC 1`, "42601", `syntax error at or near "SELEC"`},
		{`SELECT 'open`, "42601", "unterminated quoted string"},
		{`INSERT INTO s.child VALUES (1, '00000000-0000-0000-0000-000000000001')`, "23503", `insert or update on table "child" violates foreign key constraint "fk"`},
	} {
		_, err := c.Exec(t.Context(), test.sql)
		if err == nil || c.IsClosed() {
			t.Errorf("%s: got %v, want %s %s", test.sql, err, test.code, test.message)
			continue
		}
		if e := refusal(t, err); e.Code != test.code || e.Message != test.message {
			t.Errorf("%s:\ngot  %s %s\nwant %s %s", test.sql, e.Code, e.Message, test.code, test.message)
		}
		if got := c.PgConn().TxStatus(); got != 'I' {
			t.Fatalf("%s: the session is in state %c", test.sql, got)
		}
	}
}

// What DSQL has must not fall to a rule for what it has not.
func TestWhatDSQLHasPasses(t *testing.T) {
	d := testdb.NewDSQL(t)
	c := connect(t, d, "admin")
	do(t, c,
		`CREATE SCHEMA "Odd ""name""; with -- signs"`, `CREATE TABLE "Odd ""name""; with -- signs"."from" ("order" bigint PRIMARY KEY, "serial" text)`,
		`INSERT INTO "Odd ""name""; with -- signs"."from" VALUES (1, 'it''s; /* no comment'), (2, $q$ ' ; -- $q$), (3, E'\'; x')`,
		`DROP SCHEMA "Odd ""name""; with -- signs" CASCADE`,
		`CREATE TABLE every (a smallint, b integer, c bigint GENERATED BY DEFAULT AS IDENTITY (CACHE 65536), d real, e double precision, f numeric(38,9), g char(3), h varchar(10),
			i text COLLATE "C", j date, k time, l timetz, m timestamp(3), n timestamptz, o interval, p boolean DEFAULT true, q uuid DEFAULT gen_random_uuid() PRIMARY KEY, r bytea,
			s json, t jsonb, u bigint GENERATED ALWAYS AS (b * 2) STORED, CHECK (b > 0), UNIQUE (a, b))`,
		`CREATE TABLE child (id uuid PRIMARY KEY, every uuid REFERENCES every ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED)`,
		`ALTER TABLE every ADD COLUMN v text`, `ALTER TABLE every ALTER COLUMN v SET DEFAULT 'x'`, `ALTER TABLE every ALTER v DROP DEFAULT`,
		`ALTER TABLE every ADD CONSTRAINT positive CHECK (a > 0) NOT VALID`, `ALTER TABLE every DROP CONSTRAINT positive`, `ALTER TABLE every DROP COLUMN v`,
		`ALTER TABLE every RENAME COLUMN s TO s2`,
		`CREATE TABLE alike (LIKE every INCLUDING ALL)`, `CREATE SEQUENCE numbers CACHE 1`, `ALTER SEQUENCE numbers CACHE 65536`, `CREATE VIEW shown AS SELECT b FROM every`, `CREATE OR REPLACE VIEW shown AS SELECT b FROM every`, `CREATE DOMAIN positive AS bigint CHECK (VALUE > 0)`,
		`CREATE FUNCTION twice(n bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT n * 2 $$`,
		`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT count(*) FROM every; COMMIT`,
		`INSERT INTO every (a, b) VALUES (1, 2) ON CONFLICT (a, b) DO UPDATE SET b = excluded.b RETURNING q`,
		`WITH gone AS (DELETE FROM every RETURNING *) SELECT count(*) FROM gone`,
		`SELECT twice(2), nextval('numbers'), ARRAY[1,2], '10.0.0.1'::inet`, `SELECT * FROM every FOR KEY SHARE`, `EXPLAIN ANALYZE DELETE FROM every`,
		`SET search_path = public`, `SHOW search_path`, `SET TIME ZONE 'UTC'`, `BEGIN; SET CONSTRAINTS ALL DEFERRED; ROLLBACK`, `ANALYZE every`,
		`-- a comment; /* and another
		SELECT 1; SELECT 2 /* /* nested; */ */;`, `;`,
	)
}

func TestBareNumericIsNumeric18_6(t *testing.T) {
	c := connect(t, testdb.NewDSQL(t), "admin")
	do(t, c, `CREATE TABLE t (id bigint PRIMARY KEY, n numeric, m numeric(30,10))`, `ALTER TABLE t ADD COLUMN o decimal`, `INSERT INTO t VALUES (1, 1.23456789, 1.23456789, 0.0000009)`)
	var n, m, o string
	if err := c.QueryRow(t.Context(), `SELECT n::text, m::text, o::text FROM t`).Scan(&n, &m, &o); err != nil {
		t.Fatal(err)
	}
	if n != "1.234568" || m != "1.2345678900" || o != "0.000001" {
		t.Errorf("got %s, %s, %s, want 1.234568, 1.2345678900, 0.000001", n, m, o)
	}
	_, err := c.Exec(t.Context(), `INSERT INTO t VALUES (2, 1e12)`)
	if e := refusal(t, err); e.Code != "22003" {
		t.Errorf("got %s, want 22003", e.Code)
	}
}
