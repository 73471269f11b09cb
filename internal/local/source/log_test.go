package source

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"godwit/internal/local/cdc"
	"godwit/internal/local/postgres"
)

// database starts a server whose log can be decoded.
func database(t *testing.T) (db *pgx.Conn, dsn string) {
	t.Helper()
	if err := postgres.Installed(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	s, err := postgres.Start(t.Context(), postgres.Options{Database: "app", Settings: map[string]string{"wal_level": "logical", "synchronous_commit": "on"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	dsn = s.AdminDSN("app")
	return connect(t, dsn), dsn
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	db, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	return db
}

func exec(t *testing.T, db *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := db.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// begin opens the log of a database for the length of the test.
func begin(t *testing.T, dsn string) (*changeLog, *snapshot) {
	t.Helper()
	l, s, err := openLog(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = s.close(context.Background()), l.close(context.Background()) })
	return l, s
}

// A transaction is in the snapshot, or it ends behind the boundary and is in the
// log: never both, never neither, however many commit meanwhile.
func TestSnapshotAndLogMeetAtTheBoundary(t *testing.T) {
	db, dsn := database(t)
	exec(t, db, `CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)`)
	stop, writers := make(chan struct{}), sync.WaitGroup{}
	for range 3 {
		w := connect(t, dsn)
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := w.Exec(context.Background(), `INSERT INTO t DEFAULT VALUES`); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	l, s := begin(t, dsn)
	seen := map[string]string{}
	note := func(id, where string) {
		if seen[id] != "" {
			t.Errorf("row %s is in the %s and in the %s", id, seen[id], where)
		}
		seen[id] = where
	}
	tx, err := connect(t, dsn).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SET TRANSACTION SNAPSHOT '`+s.name+`'`); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	close(stop)
	writers.Wait()
	rows, _ := tx.Query(t.Context(), `SELECT id::text FROM t`)
	copied, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range copied {
		note(id, "snapshot")
	}
	all, err := l.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := l.begin
	for _, x := range all {
		if x.end <= last {
			t.Errorf("a transaction ends at %d, not behind %d", x.end, last)
		}
		last = x.end
		for _, c := range x.changes {
			note(c.after[0].text, "log")
		}
	}
	n := 0
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM t`).Scan(&n); err != nil || n != len(seen) || len(copied) == 0 || len(all) == 0 {
		t.Errorf("%d rows, %d in the snapshot, %d in the log: %v", n, len(copied), len(all), err)
	}
}

// What the log has of each kind of change, as DMS and as Aurora DSQL write it.
func TestRecordsSayWhatTransactionsDid(t *testing.T) {
	db, dsn := database(t)
	exec(t, db, `CREATE TABLE t (id integer PRIMARY KEY, n numeric(6,2), v text)`, `ALTER TABLE t ALTER v SET STORAGE EXTERNAL`,
		`CREATE TABLE f (id integer PRIMARY KEY, v text)`, `ALTER TABLE f ALTER v SET STORAGE EXTERNAL`, `ALTER TABLE f REPLICA IDENTITY FULL`)
	l, _ := begin(t, dsn)
	exec(t, db,
		`INSERT INTO t VALUES (1, 1.5, repeat('x', 3000))`,
		`UPDATE t SET n = NULL`, // v is not in the log
		`UPDATE t SET id = 2`,
		`BEGIN; DELETE FROM t; ROLLBACK`,
		`DELETE FROM t`,
		`BEGIN; INSERT INTO f VALUES (1, 'a'), (2, 'b'), (3, repeat('y', 3000)); UPDATE f SET v = 'c' WHERE id = 2; DELETE FROM f WHERE id = 1; COMMIT`,
		`UPDATE f SET id = 4 WHERE id = 3`,
		`ALTER TABLE f ADD m integer`,
		`BEGIN; DELETE FROM f WHERE id = 2; INSERT INTO f VALUES (2, '', 5); COMMIT`,
	)
	all, err := l.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	d := &dms{settings: cdc.Complete(), tables: map[string][]string{}, built: time.Now}
	for _, x := range all {
		records, err := d.render(l, x)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			var m struct {
				RawData   json.RawMessage `json:"data"`
				RawBefore json.RawMessage `json:"before-image"`
				Metadata  struct {
					Operation string `json:"operation"`
					Key       string `json:"partition-key-value"`
				} `json:"metadata"`
			}
			if err := json.Unmarshal(r.data, &m); err != nil {
				t.Fatal(err)
			}
			if m.Metadata.Key != r.key {
				t.Errorf("partition key %q, and the record says %q", r.key, m.Metadata.Key)
			}
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", m.Metadata.Operation, r.key, short(m.RawData), short(m.RawBefore))))
		}
	}
	want := []string{
		"create-table godwit",
		`insert public.t.1 {"id":1,"n":1.50,"v":"xxx…"}`,
		`update public.t.1 {"id":1,"n":null} {"id":1}`,
		`update public.t.2 {"id":2,"n":null} {"id":1}`,
		`delete public.t.2 {"id":2}`,
		"create-table godwit",
		`insert public.f.1 {"id":1,"v":"a"}`, `insert public.f.2 {"id":2,"v":"b"}`, `insert public.f.3 {"id":3,"v":"yyy…"}`,
		`update public.f.2 {"id":2,"v":"c"} {"id":2,"v":"b"}`, `delete public.f.1 {"id":1,"v":"a"}`,
		`update public.f.4 {"id":4} {"id":3,"v":"yyy…"}`,
		"add-column godwit",
		`delete public.f.2 {"id":2,"v":"c","m":null}`, `insert public.f.2 {"id":2,"v":"","m":5}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("DMS (-want +got):\n%s", diff)
	}

	got = nil
	q := &dsql{cluster: "c", times: map[int64]int64{}, chance: rand.New(rand.NewPCG(1, 1)), built: time.Now, now: time.Now().Add(time.Hour).UnixNano()}
	began := q.now
	for _, x := range all[4:] { // the others are of a table without its whole rows
		records, err := q.render(l, x)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			var m struct {
				Op            string
				Before, After json.RawMessage
				Source        struct {
					NS int64 `json:"ts_ns"`
				}
			}
			if err := json.Unmarshal(r.data, &m); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%d %s %s %s", m.Source.NS-began, m.Op, short(m.Before), short(m.After)))
		}
	}
	want = []string{
		`1 c null {"id":2,"v":"c"}`, `1 c null {"id":3,"v":"yyy…"}`,
		`2 d {"id":3} null`, `2 c null {"id":4,"v":"yyy…"}`,
		`3 u null {"id":2,"v":"","m":5}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Aurora DSQL (-want +got):\n%s", diff)
	}
	// What is written again is the same.
	if err := l.advance(t.Context(), all[len(all)-2].end); err != nil {
		t.Fatal(err)
	}
	again, err := l.read(t.Context())
	if err != nil || len(again) != 1 || again[0].end != all[len(all)-1].end {
		t.Fatalf("read again: %d transactions, %v", len(again), err)
	}
	if _, err := q.render(l, again[0]); err != nil || q.now != began+3 {
		t.Errorf("a repeat has time %d, %v", q.now-began, err)
	}
}

// short cuts long values.
func short(b []byte) string {
	text := string(b)
	for _, c := range []string{"x", "y"} {
		text = strings.ReplaceAll(text, strings.Repeat(c, 3000), strings.Repeat(c, 3)+"…")
	}
	return text
}
