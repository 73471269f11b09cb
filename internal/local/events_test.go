package local_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/s3"
)

// sampleInputs are the names of the sample inputs of LedgerLoad.
func sampleInputs(t testing.TB) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "events", "ledger-load-*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d sample inputs, %v", len(files), err)
	}
	for _, file := range files {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "ledger-load-"), ".json"))
	}
	return names
}

// runSample runs a sample input, as it stands, on the ledger that its names are
// made for.
func runSample(t testing.TB, name string) (*local.Cloud, ledgergen.Ledger, output) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "events", "ledger-load-"+name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	mapping, err := os.ReadFile(filepath.Join("..", "mapping", "dmv.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, local.Options{})
	l := archive(t, c, ledgergen.Options{Documents: 200, Seed: 1, Exports: 2, Prefix: "exports/dmv/"})
	if err := c.S3.Put(archiveBucket, "mappings/dmv.json", mapping, s3.Options{}); err != nil {
		t.Fatal(err)
	}
	return c, l, load(t, c, json.RawMessage(text))
}

// Every sample input does what its name says.
func TestSampleInputsRun(t *testing.T) {
	t.Parallel()
	type sample = func(t *testing.T, c *local.Cloud, l ledgergen.Ledger, out output)
	whole := func(t *testing.T, c *local.Cloud, l ledgergen.Ledger, out output) {
		if out.Read != l.Revisions() || out.Staged != l.Revisions() {
			t.Errorf("read %d and staged %d of %d revisions", out.Read, out.Staged, l.Revisions())
		}
		check(t, c, l)
	}
	// of counts the revisions of the tables named.
	of := func(l ledgergen.Ledger, names ...string) (n int64) {
		for _, x := range l.Tables {
			if slices.Contains(names, x.Name) {
				n += x.Revisions
			}
		}
		return n
	}
	visible := func(t *testing.T, c *local.Cloud, schema string, want ...string) {
		t.Helper()
		got := strings.Split(query[string](t, c, `SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '') FROM pg_class
WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p')`, schema), " ")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("schema %s has other tables (-want +got):\n%s", schema, d)
		}
	}
	all := []string{
		"drivers_license", "drivers_license_audit_log", "note", "note_audit_log", "person", "person_audit_log",
		"table_counts", "vehicle", "vehicle_audit_log", "vehicle_registration", "vehicle_registration_audit_log",
	}
	// oldest is the least value of a member of ql_audit in the history.
	oldest := func(t *testing.T, c *local.Cloud, member string) string {
		return query[string](t, c, `SELECT min(lpad(ql_audit->>'`+member+`', 30)) FROM (SELECT ql_audit FROM dmv.person_audit_log UNION ALL SELECT ql_audit FROM dmv.vehicle_audit_log) x`)
	}
	samples := map[string]sample{
		"plan": func(t *testing.T, c *local.Cloud, l ledgergen.Ledger, out output) {
			if out.Read != l.Revisions() || out.Staged != l.Revisions() || out.Verdict != "ready" {
				t.Errorf("the plan of %d revisions says %+v", l.Revisions(), out)
			}
			visible(t, c, "dmv", "")
		},
		"minimal": whole, "accept-gaps": whole, "manifests-none": whole, "mapping": whole, "max-quarantined": whole,
		"schema": func(t *testing.T, c *local.Cloud, l ledgergen.Ledger, out output) {
			if out.Staged != l.Revisions() {
				t.Errorf("staged %d of %d revisions", out.Staged, l.Revisions())
			}
			visible(t, c, "registry", all...)
			visible(t, c, "dmv", "")
		},
		"full": func(t *testing.T, c *local.Cloud, l ledgergen.Ledger, out output) {
			if want := of(l, "Note"); out.Read != l.Revisions() || out.Left != want || out.Staged != l.Revisions()-want {
				t.Errorf("read %d, staged %d and left %d of %d revisions, of which %d are of Note", out.Read, out.Staged, out.Left, l.Revisions(), want)
			}
			visible(t, c, "registry", slices.Concat(all[:2], all[4:])...)
		},
		"tables": func(t *testing.T, c *local.Cloud, l ledgergen.Ledger, out output) {
			if want := of(l, "Person", "Vehicle"); out.Staged != want || out.Left != l.Revisions()-want {
				t.Errorf("staged %d and left %d of %d revisions, of which %d are chosen", out.Staged, out.Left, l.Revisions(), want)
			}
			visible(t, c, "dmv", "person", "person_audit_log", "table_counts", "vehicle", "vehicle_audit_log")
		},
		"export-ids": func(t *testing.T, c *local.Cloud, l ledgergen.Ledger, out output) {
			if out.Read == 0 || out.Read >= l.Revisions() || out.Staged != out.Read {
				t.Errorf("read %d and staged %d of %d revisions, want those of one export of two", out.Read, out.Staged, l.Revisions())
			}
		},
		"history-none": func(t *testing.T, c *local.Cloud, l ledgergen.Ledger, out output) {
			visible(t, c, "dmv", "drivers_license", "note", "person", "table_counts", "vehicle", "vehicle_registration")
			for _, x := range l.Tables {
				if x.Name == "Person" {
					if n := query[int64](t, c, `SELECT count(*) FROM dmv.person`); n != x.Current {
						t.Errorf("%d persons, the ledger has %d", n, x.Current)
					}
				}
			}
		},
		"since-block": func(t *testing.T, c *local.Cloud, l ledgergen.Ledger, out output) {
			if got := strings.TrimSpace(oldest(t, c, "ql_blockseq")); out.Read >= l.Revisions() || len(got) < 2 || got[0] < '4' && len(got) == 2 {
				t.Errorf("read %d of %d revisions, the oldest of block %s", out.Read, l.Revisions(), got)
			}
		},
		"since-time": func(t *testing.T, c *local.Cloud, l ledgergen.Ledger, out output) {
			if got := strings.TrimSpace(oldest(t, c, "ql_txtime")); out.Staged == 0 || out.Left == 0 || got < "2021-08-03T17:04:06" {
				t.Errorf("staged %d and left %d of %d revisions, the oldest of %s", out.Staged, out.Left, l.Revisions(), got)
			}
		},
	}
	for _, name := range sampleInputs(t) {
		t.Run(name, func(t *testing.T) {
			c, l, out := runSample(t, name)
			if out.Read == 0 || out.Read != out.Staged+out.Aside+out.Left {
				t.Errorf("read %d, staged %d, quarantined %d, filtered %d", out.Read, out.Staged, out.Aside, out.Left)
			}
			f := samples[name]
			if f == nil {
				t.Fatal("no test says what this sample does")
			}
			f(t, c, l, out)
		})
	}
}
