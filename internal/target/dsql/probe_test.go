package dsql_test

import (
	"fmt"
	"testing"

	local "godwit/internal/local/dsql"
	"godwit/internal/profile"
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
	got := map[string]int64{}
	for _, f := range found {
		got[f.Name] = f.Value
	}
	// Of what PostgreSQL calls 1,500 bytes, four are the length.
	equal(t, "found", fmt.Sprint(got), "map[deferrableUnique:1 keyBytes:1496 keyDeclared:2000 smallIdentity:0]")
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
