package dsql

import (
	"strings"
	"testing"
)

// FuzzParse: nothing that a client sends takes the cluster down, and what parse
// lets through covers the statement's text.
func FuzzParse(f *testing.F) {
	for _, sql := range []string{
		`SELECT 1; SELECT $tag$ ; $tag$ -- ;`, `CREATE TABLE "a""b".c (id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1), CHECK (id > (0)))`,
		`CREATE UNIQUE INDEX ASYNC IF NOT EXISTS i ON s.t (lower(v) NULLS FIRST, (n + 1)) INCLUDE (a, b) NULLS NOT DISTINCT WHERE n > 0`,
		`ALTER TABLE ASYNC t VALIDATE CONSTRAINT c`, `ALTER TABLE ONLY t ADD COLUMN IF NOT EXISTS c int, DROP d`, `AWS IAM GRANT r TO 'arn:aws:iam::1:role/x'`,
		`CALL sys.wait_for_job($1)`, `COPY t (a, b) FROM STDIN WITH (FORMAT csv)`, `BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY`, `SET LOCAL a.b.c = 'x'`,
		`GRANT ALL ON ALL TABLES IN SCHEMA s TO r`, `CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`, `/* /* */ x`, `E'\'`, `$1$`, `1e+`,
		`CREATE`, `CREATE OR`, `CREATE UNIQUE`, `DROP INDEX CONCURRENTLY`, `ALTER TABLE t ALTER`, `CREATE INDEX ASYNC ON t ((`, `WITH x AS (DELETE FROM t`,
	} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		all, refusal := parse(sql)
		at := 0
		for _, s := range all {
			i := strings.Index(sql[at:], s.sql)
			if i < 0 {
				t.Fatalf("statement %q is not in %q", s.sql, sql)
			}
			at += i + len(s.sql)
			s.objects()
			s.columns()
		}
		if refusal != nil && (len(refusal.Code) != 5 || refusal.Message == "") {
			t.Fatalf("got refusal %+v", refusal)
		}
	})
}
