package local_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"godwit/internal/change"
	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/gateway"
	"godwit/internal/migrate"
	"godwit/internal/report"
	"godwit/internal/verify"
)

// targetDSN connects to the database that a cloud's snapshots are loaded into, past
// all rights.
func targetDSN(c *local.Cloud) string {
	if c.DSQL != nil {
		return c.DSQL.DSN
	}
	return c.Postgres.AdminDSN(c.Database)
}

// readSnapshot reads a file of a snapshot's load.
func readSnapshot[T any](t testing.TB, c *local.Cloud, load, file string) (v T) {
	t.Helper()
	body, _, err := c.S3.Get(workBucket(t, c), "snapshots/"+load+"/"+file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// loadSnapshot takes a snapshot and waits for the load that its event starts.
func loadSnapshot(t *testing.T, s *local.Storefront, id string) (*asl.Execution, asl.Result) {
	t.Helper()
	x, err := s.Load(context.WithoutCancel(t.Context()), id)
	if err != nil {
		t.Fatal(err)
	}
	r, err := x.Wait(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return x, r
}

// A snapshot arrives whole, by the reckoning of the source's own server; the same
// input again is only reported; another snapshot into tables that are loaded is
// refused.
func TestSnapshotArrivesWhole(t *testing.T) {
	for _, target := range []string{"aurora", "dsql"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			c, s := startStorefront(t, target, local.Options{})
			x, r := loadSnapshot(t, s, "first")
			if r.Status != asl.Succeeded {
				t.Fatal(local.Cause(x))
			}
			var out migrate.ReportSnapshotOut
			if err := json.Unmarshal(r.Output, &out); err != nil || !out.Equal || out.Rows == 0 {
				t.Fatalf("the output is %s, %v", r.Output, err)
			}
			plan := readSnapshot[migrate.SnapshotPlan](t, c, out.LoadId, "plan.json")
			found, err := s.Compare(t.Context(), plan.Plans, targetDSN(c)+"&timezone=UTC")
			if err != nil || len(found.Differences) > 0 || int64(found.Rows) != out.Rows {
				t.Errorf("compared: %+v, %v; the load has %d rows", found, err, out.Rows)
			}
			again, err := c.StartExecution(t.Context(), "SnapshotLoad", "again", x.Input)
			if err != nil {
				t.Fatal(err)
			}
			if r, err = again.Wait(t.Context()); err != nil || r.Status != asl.Succeeded {
				t.Errorf("the same load again: %v, %s", err, local.Cause(again))
			}
			if x, r = loadSnapshot(t, s, "second"); r.Status == asl.Succeeded || !strings.Contains(local.Cause(x), "Replace") {
				t.Errorf("a second snapshot into loaded tables ends as %s: %s", r.Status, local.Cause(x))
			}
			if err := c.Gateway.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A damage changes the target as an intruder would, when an object is written that
// a call names, and keeps the keys of the rows that it touched.
type damage struct {
	t    *testing.T
	c    *local.Cloud
	keys []string

	mu sync.Mutex
	at []string // ends of the keys of objects, once each
}

func (d *damage) fault(x gateway.Call) gateway.Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := slices.IndexFunc(d.at, func(end string) bool {
		return slices.ContainsFunc(x.Resources, func(r string) bool { return strings.HasSuffix(r, end) })
	})
	if at >= 0 {
		d.at = slices.Delete(d.at, at, at+1)
		d.do()
	}
	return gateway.None
}

// do gives one product another price, adds another one, and takes an order away
// that others refer to.
func (d *damage) do() {
	db, err := pgx.Connect(context.Background(), targetDSN(d.c))
	if err != nil {
		d.t.Error(err)
		return
	}
	defer func() { _ = db.Close(context.Background()) }() // nothing is under way
	if _, err := db.Exec(context.Background(), `SET session_replication_role = replica`); err != nil {
		d.t.Error(err)
		return
	}
	var products, orders string
	for name, relation := range map[string]*string{"products": &products, "orders": &orders} {
		err := db.QueryRow(context.Background(), `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relname = $1 AND c.relkind = 'r'`, name).Scan(relation)
		if err != nil {
			d.t.Error(err)
			return
		}
	}
	for _, sql := range []string{
		`UPDATE ` + products + ` SET price = price + 0.01 WHERE id = (SELECT min(id::text)::uuid FROM ` + products + `) RETURNING id::text`,
		`INSERT INTO ` + products + ` SELECT (jsonb_populate_record(p, jsonb_build_object('id', gen_random_uuid(), 'sku', 'intruder' || (SELECT count(*) FROM ` + products + `)))).* FROM ` + products + ` p LIMIT 1 RETURNING id::text`,
		`DELETE FROM ` + orders + ` WHERE id = (SELECT max(id::text)::uuid FROM ` + orders + `) RETURNING id::text`,
	} {
		var key string
		if err := db.QueryRow(context.Background(), sql).Scan(&key); err != nil {
			d.t.Errorf("%s: %v", sql, err)
		}
		d.keys = append(d.keys, key)
	}
}

// Rows that differ in the target before it is compared stop the load, which names
// tables, kinds and columns, and no value or key. Repair puts them right, and says
// so once nothing differs; where rows differ again behind it, the load stops.
func TestDifferencesAreNamedAndRepaired(t *testing.T) {
	for _, target := range []string{"aurora", "dsql"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			d := &damage{t: t, at: []string{"/tasks/digests.jsonl", "/tasks/digests-again.jsonl"}}
			c, s := startStorefront(t, target, local.Options{Fault: d.fault})
			d.c = c
			x, r := loadSnapshot(t, s, "nightly")
			differs(t, x, r, d, `"Repair": true`)
			load := loadOf(t, c)
			if got := readSnapshot[report.Snapshot](t, c, load, "report.json"); got.Verdict != report.Differs {
				t.Errorf("the report of a load that stops says %q", got.Verdict)
			}
			again := func(name string) (*asl.Execution, asl.Result) {
				t.Helper()
				input := map[string]any{}
				if err := json.Unmarshal(x.Input, &input); err != nil {
					t.Fatal(err)
				}
				input["Repair"] = true
				x, err := c.StartExecution(t.Context(), "SnapshotLoad", name, input)
				if err != nil {
					t.Fatal(err)
				}
				r, err := x.Wait(context.WithoutCancel(t.Context()))
				if err != nil {
					t.Fatal(err)
				}
				return x, r
			}
			// What came back is of the second damage, which only the comparison behind the
			// repair sees.
			x2, r := again("comes-back")
			differs(t, x2, r, d, "put rows right")
			x3, r := again("repaired")
			if r.Status != asl.Succeeded {
				t.Fatal(local.Cause(x3))
			}
			var out migrate.ReportSnapshotOut
			if err := json.Unmarshal(r.Output, &out); err != nil || !out.Equal || out.LoadId != load {
				t.Fatalf("the output is %s, %v; the load was %s", r.Output, err, load)
			}
			if got := readSnapshot[report.Snapshot](t, c, load, "report.json"); got.Verdict != report.ArrivedWithFindings || !strings.HasSuffix(out.Report, "/report.html") {
				t.Errorf("the report %s of a load that was repaired says %q", out.Report, got.Verdict)
			}
			plan := readSnapshot[migrate.SnapshotPlan](t, c, load, "plan.json")
			found, err := s.Compare(t.Context(), plan.Plans, targetDSN(c)+"&timezone=UTC")
			if err != nil || len(found.Differences) > 0 || int64(found.Rows) != out.Rows {
				t.Errorf("compared: %+v, %v; the load has %d rows", found, err, out.Rows)
			}
			equalForeignKeys(t, c, plan.Plans)
			var got []string
			for _, r := range readSnapshot[migrate.SnapshotVerdict](t, c, load, "verdict.json").Repaired {
				for _, l := range r.Listed {
					got = append(got, r.Execution+" "+r.Target.Name+" "+l.Kind+" "+strings.Join(l.Key, ","))
				}
			}
			var want []string
			for i, name := range []string{"comes-back", "repaired"} {
				want = append(want, name+" products different "+d.keys[3*i], name+" products extra "+d.keys[3*i+1], name+" orders missing "+d.keys[3*i+2])
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("repaired: %s\nwant: %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if x, r := again("visible"); r.Status == asl.Succeeded || !strings.Contains(local.Cause(x), "is visible") {
				t.Errorf("a repair of what is visible ends as %s: %s", r.Status, local.Cause(x))
			}
			if err := c.Gateway.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// differs checks that an execution stopped because rows differ, with this advice and
// without their keys, which are in the verdict.
func differs(t *testing.T, x *asl.Execution, r asl.Result, d *damage, advice string) {
	t.Helper()
	cause := local.Cause(x)
	for _, want := range []string{"products", "orders", "different", "extra", "missing", "price", advice} {
		if r.Status == asl.Succeeded || !strings.Contains(cause, want) {
			t.Fatalf("the load ends as %s: %s; want it to tell %q", r.Status, cause, want)
		}
	}
	if len(d.keys) == 0 {
		t.Fatal("nothing was damaged")
	}
	var listed []string
	for _, table := range readSnapshot[migrate.SnapshotVerdict](t, d.c, loadOf(t, d.c), "verdict.json").Tables {
		for _, l := range table.Listed {
			listed = append(listed, strings.Join(l.Key, ","))
			if l.Kind == verify.RowDifferent && (len(l.Columns) != 1 || l.Columns[0].Column != "price") {
				t.Errorf("%+v: want the price alone", l)
			}
		}
	}
	want := slices.Sorted(slices.Values(d.keys[len(d.keys)-3:]))
	if slices.Sort(listed); !slices.Equal(listed, want) {
		t.Errorf("listed %v, want %v", listed, want)
	}
	for _, key := range d.keys {
		if strings.Contains(cause, key) {
			t.Errorf("the cause tells the key %s: %s", key, cause)
		}
	}
}

// loadOf is the id of the only load.
func loadOf(t *testing.T, c *local.Cloud) string {
	t.Helper()
	objects, err := c.S3.List(workBucket(t, c), "snapshots/")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, o := range objects {
		id, _, _ := strings.Cut(strings.TrimPrefix(o.Key, "snapshots/"), "/")
		ids[id] = true
	}
	list := slices.Collect(maps.Keys(ids))
	if len(list) != 1 {
		t.Fatalf("there are %d loads", len(list))
	}
	return list[0]
}

// equalForeignKeys checks that the target has all foreign keys of its plans, held
// against all rows.
func equalForeignKeys(t *testing.T, c *local.Cloud, plans []change.TablePlan) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), targetDSN(c))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.Background()) }() // nothing is under way
	for _, p := range plans {
		var n int
		err := db.QueryRow(t.Context(), `SELECT count(*) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE k.contype = 'f' AND k.convalidated AND n.nspname = $1 AND c.relname = $2`, p.Target.Schema, p.Target.Name).Scan(&n)
		if err != nil || n != len(p.Foreign) {
			t.Errorf("table %s has %d foreign keys, %v; want %d", p.Target.Name, n, err, len(p.Foreign))
		}
	}
}
