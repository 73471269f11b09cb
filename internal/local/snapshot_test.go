package local_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/gateway"
	"godwit/internal/migrate"
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

// One value that is another in the target, before it is compared, stops the load,
// which names table, column and key, and no value.
func TestCorruptedValueIsNamed(t *testing.T) {
	for _, target := range []string{"aurora", "dsql"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			var c *local.Cloud
			var once sync.Once
			var key string
			// When the tasks are written that digest the target, all else is there.
			corrupt := func(x gateway.Call) gateway.Fault {
				if !slices.ContainsFunc(x.Resources, func(r string) bool { return strings.HasSuffix(r, "/tasks/digests.jsonl") }) {
					return gateway.None
				}
				once.Do(func() {
					db, err := pgx.Connect(context.Background(), targetDSN(c))
					if err != nil {
						t.Error(err)
						return
					}
					defer func() { _ = db.Close(context.Background()) }() // nothing is under way
					var relation string
					if err := db.QueryRow(context.Background(), `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
						WHERE c.relname = 'products' AND c.relkind = 'r'`).Scan(&relation); err != nil {
						t.Error(err)
						return
					}
					if err := db.QueryRow(context.Background(), `UPDATE `+relation+` SET price = price + 0.01 WHERE id = (SELECT min(id::text)::uuid FROM `+relation+`) RETURNING id::text`).Scan(&key); err != nil {
						t.Error(err)
					}
				})
				return gateway.None
			}
			var s *local.Storefront
			c, s = startStorefront(t, target, local.Options{Fault: corrupt})
			x, r := loadSnapshot(t, s, "nightly")
			cause := local.Cause(x)
			if r.Status == asl.Succeeded || !strings.Contains(cause, "products") || !strings.Contains(cause, "price") || strings.Contains(cause, key) || key == "" {
				t.Fatalf("the load ends as %s: %s (key %q)", r.Status, cause, key)
			}
			objects, err := c.S3.List(workBucket(t, c), "snapshots/")
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range objects {
				load, file, _ := strings.Cut(strings.TrimPrefix(o.Key, "snapshots/"), "/")
				if file != "verdict.json" {
					continue
				}
				for _, table := range readSnapshot[migrate.SnapshotVerdict](t, c, load, file).Tables {
					if table.Source.Name != "products" {
						if len(table.Differing) > 0 {
							t.Errorf("table %s differs as well", table.Source.Name)
						}
						continue
					}
					if len(table.Listed) != 1 || table.Listed[0].Kind != verify.RowDifferent || len(table.Listed[0].Key) != 1 || table.Listed[0].Key[0] != key ||
						len(table.Listed[0].Columns) != 1 || table.Listed[0].Columns[0].Column != "price" {
						t.Errorf("found %+v, want the price of %s", table.Listed, key)
					}
				}
				return
			}
			t.Error("there is no verdict")
		})
	}
}
