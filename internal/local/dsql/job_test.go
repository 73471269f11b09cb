package dsql_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/local/dsql"
	"godwit/internal/testdb"
)

// jobRow is what sys.jobs says of one.
type jobRow struct{ Status, Details, Kind, Object string }

func jobRows(t *testing.T, c *pgx.Conn, id string) []jobRow {
	t.Helper()
	rows, err := c.Query(t.Context(), `SELECT status, details, job_type, object_name FROM sys.jobs WHERE job_id = $1`, id)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[jobRow])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func wantJob(t *testing.T, c *pgx.Conn, id string, want ...jobRow) {
	t.Helper()
	if got := jobRows(t, c, id); !slices.Equal(got, want) {
		t.Errorf("got jobs %+v, want %+v", got, want)
	}
}

// valid says whether an index is, and whether it exists.
func valid(t *testing.T, c *pgx.Conn, index string) string {
	t.Helper()
	var state string
	if err := c.QueryRow(t.Context(), `SELECT coalesce((SELECT CASE WHEN indisvalid THEN 'valid' ELSE 'invalid' END FROM pg_index WHERE indexrelid = to_regclass($1)), 'missing')`, index).Scan(&state); err != nil {
		t.Fatal(err)
	}
	return state
}

func TestIndexIsBuiltByAJob(t *testing.T) {
	clock := newClock()
	d := testdb.NewDSQLWith(t, dsql.Config{Now: clock.Now, JobDelay: time.Minute})
	c := connect(t, d, "admin")
	do(t, c, `CREATE SCHEMA s`, `CREATE TABLE s."T" (id bigint PRIMARY KEY, v text, n bigint)`, `INSERT INTO s."T" SELECT g, 'v' || g, g FROM generate_series(1, 100) g`)
	id := job(t, c, `CREATE UNIQUE INDEX ASYNC "I" ON s."T" (lower(v) NULLS FIRST, n) INCLUDE (id) NULLS NOT DISTINCT WHERE n > 0`)
	wantJob(t, c, id, jobRow{"submitted", "", "INDEX_BUILD", `s."I"`})
	_, err := c.Exec(t.Context(), `CREATE INDEX ASYNC "I" ON s."T" (n)`)
	wantRefusal(t, err, "42P07", `relation "I" already exists`)
	tag, err := c.Exec(t.Context(), `CREATE INDEX ASYNC IF NOT EXISTS "I" ON s."T" (n)`)
	if err != nil || tag.RowsAffected() != 0 {
		t.Errorf("IF NOT EXISTS: %s, %v", tag, err)
	}
	_, err = c.Exec(t.Context(), `DROP INDEX s."I"`)
	wantRefusal(t, err, "XX000", `DROP INDEX of "I", which is still to be built, is not known to local`)
	await := func(status string) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for time.Now().Before(deadline) {
			if r := jobRows(t, c, id); len(r) == 1 && r[0].Status == status {
				return
			}
		}
		t.Fatalf("the job is not %s but %v", status, jobRows(t, c, id))
	}
	clock.Advance(time.Minute)
	await("processing")
	clock.Advance(time.Minute)
	await("completed")
	if got := valid(t, c, `s."I"`); got != "valid" {
		t.Errorf("the index is %s", got)
	}
	var definition string
	if err := c.QueryRow(t.Context(), `SELECT pg_get_indexdef(object_id) FROM sys.jobs WHERE job_id = $1`, id).Scan(&definition); err != nil {
		t.Fatal(err)
	}
	if want := `CREATE UNIQUE INDEX "I" ON s."T" USING btree (lower(v) NULLS FIRST, n) INCLUDE (id) NULLS NOT DISTINCT WHERE (n > 0)`; definition != want {
		t.Errorf("got  %s\nwant %s", definition, want)
	}
	clock.Advance(30*time.Minute - time.Millisecond)
	wantJob(t, c, id, jobRow{"completed", "", "INDEX_BUILD", `s."I"`})
	clock.Advance(2 * time.Millisecond)
	wantJob(t, c, id)
}

func TestUniqueIndexOverDuplicatesStaysInvalid(t *testing.T) {
	c := connect(t, testdb.NewDSQL(t), "admin")
	do(t, c, `CREATE TABLE t (id bigint PRIMARY KEY, v text)`, `INSERT INTO t VALUES (1, 'a'), (2, 'a')`)
	id := job(t, c, `CREATE UNIQUE INDEX ASYNC i ON t (v)`)
	if waitForJob(t, c, id) {
		t.Error("the job succeeded")
	}
	wantJob(t, c, id, jobRow{"failed", `could not create unique index "i"`, "INDEX_BUILD", "public.i"})
	if got := valid(t, c, "i"); got != "invalid" {
		t.Errorf("the index is %s", got)
	}
	// Dropped and rebuilt, as its owner must.
	do(t, c, `DROP INDEX i`)
	if err := again(func() error { _, err := c.Exec(t.Context(), `DELETE FROM t WHERE id = 2`); return err }); err != nil {
		t.Fatal(err)
	}
	if !waitForJob(t, c, job(t, c, `CREATE UNIQUE INDEX ASYNC i ON t (v)`)) || valid(t, c, "i") != "valid" {
		t.Error("the index was not rebuilt")
	}
}

func TestConstraintsAreValidatedByAJob(t *testing.T) {
	c := connect(t, testdb.NewDSQL(t), "admin")
	do(t, c, `CREATE TABLE parent (id uuid PRIMARY KEY)`, `CREATE TABLE child (id bigint PRIMARY KEY, parent uuid, n bigint)`,
		`INSERT INTO parent VALUES ('00000000-0000-0000-0000-000000000001')`, `INSERT INTO child VALUES (1, '00000000-0000-0000-0000-000000000001', 1), (2, '00000000-0000-0000-0000-000000000002', -1)`,
		`ALTER TABLE child ADD CONSTRAINT fk FOREIGN KEY (parent) REFERENCES parent NOT VALID`, `ALTER TABLE child ADD CONSTRAINT positive CHECK (n > 0) NOT VALID`)
	for _, test := range []struct{ constraint, details string }{
		{"fk", `insert or update on table "child" violates foreign key constraint "fk"`},
		{"positive", `check constraint "positive" of relation "child" is violated by some row`},
	} {
		id := job(t, c, `ALTER TABLE ASYNC child VALIDATE CONSTRAINT `+test.constraint)
		if waitForJob(t, c, id) {
			t.Errorf("%s: succeeded", test.constraint)
		}
		wantJob(t, c, id, jobRow{"failed", test.details, "VALIDATE_CONSTRAINT", "public.child"})
	}
	if err := again(func() error { _, err := c.Exec(t.Context(), `DELETE FROM child WHERE id = 2`); return err }); err != nil {
		t.Fatal(err)
	}
	for _, constraint := range []string{"fk", "positive"} {
		if !waitForJob(t, c, job(t, c, `ALTER TABLE ASYNC child VALIDATE CONSTRAINT `+constraint)) {
			t.Errorf("%s: failed", constraint)
		}
		var validated bool
		if err := c.QueryRow(t.Context(), `SELECT convalidated FROM pg_constraint WHERE conname = $1`, constraint).Scan(&validated); err != nil || !validated {
			t.Errorf("%s: convalidated is %t, %v", constraint, validated, err)
		}
	}
}

// A job is part of the transaction that submits it.
func TestJobOfAnAbandonedTransactionIsNone(t *testing.T) {
	c := connect(t, testdb.NewDSQL(t), "admin")
	do(t, c, `CREATE TABLE t (id bigint PRIMARY KEY, v text)`, `BEGIN`)
	id := job(t, c, `CREATE INDEX ASYNC ON t (v)`)
	do(t, c, `ROLLBACK`)
	wantJob(t, c, id)
	do(t, c, `BEGIN`)
	_, err := c.Exec(t.Context(), `CALL sys.wait_for_job('`+id+`')`)
	wantRefusal(t, err, "XX000", "sys.wait_for_job in a transaction is not known to local")
	do(t, c, `ROLLBACK`, `BEGIN`)
	first := job(t, c, `CREATE INDEX ASYNC ON t (v)`)
	do(t, c, `COMMIT`)
	second := job(t, c, `CREATE INDEX ASYNC ON t (v)`)
	waitForJob(t, c, first)
	waitForJob(t, c, second)
	// Without a name each has one of its own.
	wantJob(t, c, first, jobRow{"completed", "", "INDEX_BUILD", "public.t_v_idx"})
	wantJob(t, c, second, jobRow{"completed", "", "INDEX_BUILD", "public.t_v_idx1"})
}

// Functions in the simple protocol, too, and for those who own no table.
func TestJobsInTheSimpleProtocol(t *testing.T) {
	d := testdb.NewDSQL(t)
	c := connect(t, d, "admin")
	do(t, c, `CREATE TABLE t (id bigint PRIMARY KEY, v text)`, `CREATE ROLE r WITH LOGIN`, `GRANT SELECT ON t TO r`, `AWS IAM GRANT r TO '`+d.Role+`'`)
	results, err := c.PgConn().Exec(t.Context(), `CREATE INDEX ASYNC i ON t (v)`).ReadAll()
	if err != nil || len(results) != 1 || len(results[0].Rows) != 1 || results[0].FieldDescriptions[0].Name != "job_id" || results[0].CommandTag.String() != "CREATE INDEX" {
		t.Fatalf("got %+v, %v", results, err)
	}
	id := string(results[0].Rows[0][0])
	results, err = c.PgConn().Exec(t.Context(), fmt.Sprintf(`CALL sys.wait_for_job('%s')`, id)).ReadAll()
	if err != nil || len(results) != 1 || len(results[0].Rows) != 1 || string(results[0].Rows[0][0]) != "t" {
		t.Fatalf("got %+v, %v", results, err)
	}
	r := connect(t, d, "r")
	for _, sql := range []string{`CREATE INDEX ASYNC j ON t (v)`, `ALTER TABLE ASYNC t VALIDATE CONSTRAINT x`} {
		_, err := r.Exec(t.Context(), sql)
		wantRefusal(t, err, "42501", "must be owner of table t")
	}
	var columns []string
	rows, err := r.Query(t.Context(), `SELECT * FROM sys.jobs`)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rows.FieldDescriptions() {
		columns = append(columns, f.Name)
	}
	rows.Close()
	if want := strings.Fields("job_id status details job_type class_id object_id object_name start_time update_time"); !slices.Equal(columns, want) {
		t.Errorf("got columns %v, want %v", columns, want)
	}
}
