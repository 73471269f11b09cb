package dsql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	local "godwit/internal/local/dsql"
	"godwit/internal/profile"
	"godwit/internal/target/dsql"
)

// A probe finds what the cluster does, whatever the profile says, and leaves
// nothing behind.
func TestProbeFindsWhatTheClusterDoes(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{Limits: local.Limits{KeyBytes: 1500}})
	// An earlier probe ended early.
	if _, err := b.admin.Exec(t.Context(), `CREATE SCHEMA godwit_probe`); err != nil {
		t.Fatal(err)
	}
	if _, err := b.admin.Exec(t.Context(), `CREATE TABLE godwit_probe.t (x int)`); err != nil {
		t.Fatal(err)
	}
	found, err := b.admin.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Of what PostgreSQL calls 1,500 bytes, four are the length.
	equal(t, "found", values(found), "map[deferrableUnique:1 keyBytes:1496 keyDeclared:2000 smallIdentity:0]")
	equal(t, "schemas", b.list(`SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'godwit%'`), "godwit")

	known, err := profile.Lookup("aurora-dsql")
	if err != nil {
		t.Fatal(err)
	}
	corrected, err := known.Correct("2026-11-23", found)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "key bytes", corrected.Limit(profile.KeyBytes).Value, 1496)
	equal(t, "doubts that are left", fmt.Sprint(corrected.Doubtful()), "[]")
}

// Two probes at once, each of which begins by removing what it finds, find the same.
func TestProbesAtOnceFindTheSame(t *testing.T) {
	t.Parallel()
	b := newBench(t, local.Config{Limits: local.Limits{KeyBytes: 1500}})
	const at = 3
	var found [at]string
	var group sync.WaitGroup
	for i := range found {
		group.Go(func() {
			list, err := b.open(dsql.Config{Role: dsql.Admin}).Probe(t.Context())
			if err != nil {
				t.Errorf("probe %d: %v", i, err)
			}
			found[i] = values(list)
		})
	}
	group.Wait()
	for i, got := range found {
		equal(t, fmt.Sprintf("found by probe %d", i), got, "map[deferrableUnique:1 keyBytes:1496 keyDeclared:2000 smallIdentity:0]")
	}
	equal(t, "schemas", b.list(`SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'godwit%'`), "godwit")
}

// A probe that ends anywhere is repeated, and what it left is gone then.
func TestProbeIsRepeatedWhereverItEnded(t *testing.T) {
	t.Parallel()
	var seen, last atomic.Int64
	stop := func() {}
	b := newBench(t, local.Config{Fault: func(e local.Event) local.Effect {
		if n := last.Load(); e.Moment == local.Statement && n > 0 && seen.Add(1) == n {
			stop()
			return local.Effect{Fault: local.CutBefore}
		}
		return local.Effect{}
	}})
	for n := int64(1); ; n += 19 {
		var ctx context.Context
		ctx, stop = context.WithCancel(t.Context())
		seen.Store(0)
		last.Store(n)
		found, err := b.admin.Probe(ctx)
		last.Store(0)
		stop()
		if err == nil {
			if n < 50 {
				t.Errorf("a probe ended after fewer than %d statements", n)
			}
			equal(t, "found without a stop", values(found), "map[deferrableUnique:1 keyBytes:1020 keyDeclared:2000 smallIdentity:0]")
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at statement %d: %v", n, err)
		}
		if found, err = b.admin.Probe(t.Context()); err != nil {
			t.Fatalf("stopped at statement %d, again: %v", n, err)
		}
		equal(t, fmt.Sprintf("stopped at statement %d, found", n), values(found), "map[deferrableUnique:1 keyBytes:1020 keyDeclared:2000 smallIdentity:0]")
		equal(t, "schemas", b.list(`SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'godwit%'`), "godwit")
	}
}

// Where there is no place to try anything, nothing is found, least of all a no.
func TestProbeWithoutRoomFindsNothing(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]local.Limits{"schemas": {Schemas: 2}, "tables": {Tables: 6}} {
		b := newBench(t, local.Config{Limits: limits}) // which makes two schemas and six tables
		found, err := b.admin.Probe(t.Context())
		var untried *dsql.NoRoomError
		if !errors.As(err, &untried) || found != nil || !strings.Contains(untried.Untried(), name+" not allowed") {
			t.Errorf("%s: got %v, %v, want that nothing was tried", name, found, err)
		}
		equal(t, name, b.list(`SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'godwit%'`), "godwit")
	}
}

// values are what was found, without the words.
func values(found []profile.Probed) string {
	got := map[string]int64{}
	for _, f := range found {
		got[f.Name] = f.Value
	}
	return fmt.Sprint(got)
}
