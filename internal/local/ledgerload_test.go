package local_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/s3"
)

const archiveBucket = "godwit-demo-archive"

// assembly is the folder of the synthesized demo stacks, which make test makes.
func assembly(t testing.TB) string { return assemblyOf(t, "cdk.out") }

// assemblyOf is a folder of synthesized stacks in build.
func assemblyOf(t testing.TB, name string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "build", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the stacks are not synthesized: %v", err)
		}
		t.Skipf("the stacks are not synthesized (run make test): %v", err)
	}
	return dir
}

// start starts the stacks with an archive bucket.
func start(t testing.TB, o local.Options) *local.Cloud {
	t.Helper()
	o.Assembly = assembly(t)
	o.Buckets = append(o.Buckets, s3.Bucket{Name: archiveBucket})
	c, err := local.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// archive puts a made-up ledger into the archive bucket under prefix.
func archive(t testing.TB, c *local.Cloud, o ledgergen.Options) ledgergen.Ledger {
	t.Helper()
	o.Bucket = archiveBucket
	l, err := ledgergen.Generate(o, func(x ledgergen.Object) error {
		return c.S3.Put(archiveBucket, x.Key, append([]byte(nil), x.Body...), s3.Options{})
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

type object = map[string]any

var executions atomic.Int64

// execute runs a state machine to its end.
func execute(t testing.TB, c *local.Cloud, machine string, input any) (*asl.Execution, asl.Result) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	x, err := c.StartExecution(ctx, machine, fmt.Sprintf("execution-%d", executions.Add(1)), input)
	if err != nil {
		t.Fatal(err)
	}
	r, err := x.Wait(ctx)
	if err != nil {
		t.Fatalf("%s did not end: %v", machine, err)
	}
	return x, r
}

// run runs LedgerLoad to its end.
func run(t testing.TB, c *local.Cloud, input any) (*asl.Execution, asl.Result) {
	t.Helper()
	return execute(t, c, "LedgerLoad", input)
}

// load runs LedgerLoad and wants it to succeed.
func load(t testing.TB, c *local.Cloud, input any) output {
	t.Helper()
	x, r := run(t, c, input)
	if r.Status != asl.Succeeded {
		t.Fatalf("LedgerLoad %s: %s", r.Status, local.Cause(x))
	}
	var out output
	if err := json.Unmarshal(r.Output, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

type output struct {
	LoadId, Verdict, Said, Report string
	Read, Staged, Aside, Left     int64
}

// refuse runs LedgerLoad and wants it to fail with an error that says all of want.
func refuse(t testing.TB, c *local.Cloud, input any, want ...string) {
	t.Helper()
	x, r := run(t, c, input)
	if r.Status != asl.Failed {
		t.Fatalf("LedgerLoad %s with %s, want it to fail saying %q", r.Status, r.Output, want)
	}
	for _, w := range want {
		if got := local.Cause(x); !strings.Contains(got, w) {
			t.Errorf("the error does not say %q: %s", w, got)
		}
	}
	if n := query[int64](t, c, `SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'dmv'`); n != 0 {
		t.Errorf("%d relations are visible in schema dmv after a load that failed", n)
	}
}

func connect(t testing.TB, c *local.Cloud) *pgx.Conn {
	t.Helper()
	db, err := pgx.Connect(context.Background(), c.Postgres.AdminDSN(c.Database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	return db
}

// query reads one value.
func query[T any](t testing.TB, c *local.Cloud, sql string, args ...any) T {
	t.Helper()
	db := connect(t, c)
	var v T
	if err := db.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	_ = db.Close(context.Background())
	return v
}

// state is what a load left in the target: rows and a checksum of every table of
// the schemas given, heads included. Where in the archive a row stood is left out.
func state(t testing.TB, c *local.Cloud, schemas ...string) map[string]string {
	t.Helper()
	db := connect(t, c)
	ctx := context.Background()
	rows, err := db.Query(ctx, `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND (n.nspname = ANY($1) OR n.nspname LIKE 'godwit\_load\_%' OR n.nspname = 'godwit' AND c.relname = 'head') ORDER BY 1`, schemas)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, table := range tables {
		var n int64
		var sum string
		err := db.QueryRow(ctx, `SELECT count(*), coalesce(md5(string_agg(r, E'\n' ORDER BY r COLLATE "C")), '') 
FROM (SELECT (to_jsonb(t) #- '{ql_audit,ql_object}' #- '{ql_audit,ql_offset}' #- '{ql_audit,ql_revision}')::text AS r FROM `+table+` t) AS x`).Scan(&n, &sum)
		if err != nil {
			t.Fatal(err)
		}
		out[table] = fmt.Sprintf("%d rows, %s", n, sum)
	}
	_ = db.Close(ctx)
	return out
}

// check compares what a load left with what the generator knows of the ledger.
func check(t testing.TB, c *local.Cloud, l ledgergen.Ledger) {
	t.Helper()
	target := map[string]string{"Person": "person", "Vehicle": "vehicle", "VehicleRegistration": "vehicle_registration", "DriversLicense": "drivers_license", "Note": "note"}
	revisions, current := map[string]int64{}, map[string]int64{}
	for _, x := range l.Tables {
		revisions[x.Name] += x.Revisions
		if x.Active {
			current[x.Name] += x.Current
		}
		n := query[int64](t, c, `SELECT revision_cnt FROM dmv.table_counts WHERE table_id = $1 AND is_active = $2`, x.ID, x.Active)
		if n != x.Revisions {
			t.Errorf("table_counts says %d revisions of %s (%s), the ledger has %d", n, x.Name, x.ID, x.Revisions)
		}
		redacted := query[int64](t, c, `SELECT count(*) FROM dmv.`+target[x.Name]+`_audit_log WHERE ql_audit->>'ql_tableid' = $1 AND (ql_audit->>'ql_redacted')::boolean`, x.ID)
		if redacted != x.Redacted {
			t.Errorf("%d redacted revisions of %s, the ledger has %d", redacted, x.Name, x.Redacted)
		}
	}
	for name := range revisions {
		if n := query[int64](t, c, `SELECT count(*) FROM dmv.`+target[name]+`_audit_log`); n != revisions[name] {
			t.Errorf("%d rows in the history of %s, the ledger has %d revisions", n, name, revisions[name])
		}
		if n := query[int64](t, c, `SELECT count(*) FROM dmv.`+target[name]); n != current[name] {
			t.Errorf("%d current rows of %s, the ledger has %d documents", n, name, current[name])
		}
	}
}

// One ledger in every format and layout becomes the same rows.
func TestEveryFormatLoadsTheSameRows(t *testing.T) {
	t.Parallel()
	var want map[string]string
	for _, o := range []ledgergen.Options{
		{Format: ledgergen.IonBinary},
		{Format: ledgergen.IonText},
		{Format: ledgergen.JSON},
		{Format: ledgergen.IonBinary, Exports: 3, Prefix: "a.b/with.dots"},
		{Layout: ledgergen.AWSSample},
	} {
		o.Seed, o.Documents = 7, 400
		if o.Prefix == "" {
			o.Prefix = "exports/"
		}
		t.Run(fmt.Sprintf("%s %s %d", o.Format, o.Layout, o.Exports), func(t *testing.T) {
			c := start(t, local.Options{})
			l := archive(t, c, o)
			out := load(t, c, object{"Bucket": archiveBucket, "Prefix": o.Prefix})
			if out.Read != l.Revisions() || out.Staged != l.Revisions() || out.Aside != 0 || out.Left != 0 {
				t.Errorf("read %d, staged %d, quarantined %d, filtered %d of %d revisions", out.Read, out.Staged, out.Aside, out.Left, l.Revisions())
			}
			check(t, c, l)
			got := state(t, c, "dmv")
			if want == nil {
				want = got
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("the rows differ from those of the first format (-first +this):\n%s", d)
			}
		})
	}
}

// Starting again with the same input changes nothing, and an archive that
// overlaps adds only what is new.
func TestEachRevisionIsLoadedOnce(t *testing.T) {
	t.Parallel()
	o := ledgergen.Options{Seed: 3, Documents: 600, Format: ledgergen.IonBinary, BlocksPerObject: 20}
	whole := start(t, local.Options{})
	o.Prefix = "whole/"
	l := archive(t, whole, o)
	first := load(t, whole, object{"Bucket": archiveBucket, "Prefix": "whole/"})
	want := state(t, whole, "dmv")
	again := load(t, whole, object{"Bucket": archiveBucket, "Prefix": "whole/"})
	if again.LoadId != first.LoadId {
		t.Errorf("the same input is load %s, then %s", first.LoadId, again.LoadId)
	}
	if again.Verdict != "already loaded" {
		t.Errorf("the second load says %q", again.Verdict)
	}
	if d := cmp.Diff(want, state(t, whole, "dmv")); d != "" {
		t.Errorf("loading again changed the target (-first +second):\n%s", d)
	}

	// Two exports that overlap, in one archive.
	both := start(t, local.Options{})
	o.Prefix, o.FromBlock, o.UntilBlock = "both/", 0, l.Blocks/2+5
	archive(t, both, o)
	o.FromBlock, o.UntilBlock = l.Blocks/2-5, 0
	archive(t, both, o)
	out := load(t, both, object{"Bucket": archiveBucket, "Prefix": "both/"})
	if out.Read != l.Revisions() {
		t.Errorf("read %d revisions of overlapping exports, the ledger has %d", out.Read, l.Revisions())
	}
	if d := cmp.Diff(want, state(t, both, "dmv")); d != "" {
		t.Errorf("overlapping exports differ from the whole one (-whole +both):\n%s", d)
	}

	// Two archives that overlap, one after the other.
	parts := start(t, local.Options{})
	o.FromBlock, o.UntilBlock = 0, 0
	o.Prefix, o.FromBlock, o.UntilBlock = "first/", 0, l.Blocks/2+5
	archive(t, parts, o)
	load(t, parts, object{"Bucket": archiveBucket, "Prefix": "first/"})
	o.Prefix, o.FromBlock, o.UntilBlock = "second/", l.Blocks/2-5, 0
	archive(t, parts, o)
	load(t, parts, object{"Bucket": archiveBucket, "Prefix": "second/", "Since": l.Blocks/2 - 5})
	if d := cmp.Diff(want, state(t, parts, "dmv")); d != "" {
		t.Errorf("two overlapping archives differ from the whole one (-whole +parts):\n%s", d)
	}
	check(t, parts, l)
}
