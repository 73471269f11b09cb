package profile_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"godwit/internal/profile"
	"godwit/internal/testdb"
)

func lookup(t *testing.T, name string) *profile.Profile {
	t.Helper()
	p, err := profile.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEveryProfileIsComplete(t *testing.T) {
	want := []string{"aurora-postgresql-15", "aurora-postgresql-16", "aurora-postgresql-17", "aurora-dsql"}
	if got := profile.Names(); !slices.Equal(got, want) {
		t.Errorf("got profiles %v, want %v", got, want)
	}
	for _, name := range want {
		p := lookup(t, name)
		if p.Name != name || p.AsOf == "" {
			t.Errorf("got profile %q as of %q, want %q and a day", p.Name, p.AsOf, name)
		}
		for _, typ := range p.Types() {
			if got, _ := p.Type(typ); got.Source == "" || got.AsOf == "" || got.As != profile.Keep && got.Why == "" {
				t.Errorf("%s: type %s has no source, day or reason: %+v", name, typ, got)
			}
		}
	}
}

// What no profile names would be decided by nobody. GODWIT_POSTGRES names further
// servers to ask, of other versions: connection strings with commas between them.
func TestEveryTypeOfPostgreSQLIsInEveryProfile(t *testing.T) {
	servers := []string{testdb.New(t).AdminDSN}
	if more := os.Getenv("GODWIT_POSTGRES"); more != "" {
		servers = append(servers, strings.Split(more, ",")...)
	}
	for _, dsn := range servers {
		// A typmod of -1 spells character and bit otherwise than none does.
		rows, err := testdb.Connect(t, dsn).Query(t.Context(), `SELECT DISTINCT format_type(oid, m) FROM pg_type t, (VALUES (NULL), (-1)) m (m)
			WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)`)
		if err != nil {
			t.Fatal(err)
		}
		types, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(types) < 70 {
			t.Fatalf("got %d types, %v, want those of PostgreSQL", len(types), err)
		}
		for _, name := range profile.Names() {
			p := lookup(t, name)
			for _, typ := range types {
				if _, ok := p.Type(typ); !ok && typ != `"bit"` {
					t.Errorf("%s says nothing about %s", name, typ)
				}
			}
		}
	}
}

func TestAProbeReplacesFacts(t *testing.T) {
	p := lookup(t, "aurora-dsql")
	if got := p.Doubtful(); !slices.Contains(got, "keyBytes") || !slices.IsSorted(got) {
		t.Errorf("got doubtful %v, want keyBytes among them, sorted", got)
	}
	q, err := p.Correct("2026-11-23", []profile.Probed{{Name: "keyBytes", Value: 1981}, {Name: "smallIdentity", Value: 1, Note: "made one"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := q.Limit(profile.KeyBytes); got.Value != 1981 || got.Doubtful || got.AsOf != "2026-11-23" {
		t.Errorf("got %+v, want what was probed", got)
	}
	if got := q.Feature(profile.SmallIdentity); !got.Has || !strings.Contains(got.Source, "made one") {
		t.Errorf("got %+v, want what was probed", got)
	}
	if got := p.Limit(profile.KeyBytes).Value; got != 1024 {
		t.Errorf("got %d in the profile that was corrected, want it untouched", got)
	}
	if was, is := p.Limit(profile.KeyBytes).String(), q.Feature(profile.SmallIdentity).String(); !strings.HasSuffix(was, "the target was not probed for it") ||
		is != "probe of the target: made one; as of 2026-11-23" {
		t.Errorf("findings quote %q and %q, want that it was not probed, and the probe's day", was, is)
	}
	if q.AsOf != "2026-11-23" {
		t.Errorf("got a profile as of %s, want the day of its probe", q.AsOf)
	}
	for _, bad := range []struct {
		day   string
		found profile.Probed
	}{
		{"2026-11-23", profile.Probed{Name: "keyByte", Value: 1}},
		{"2026-11-23", profile.Probed{Name: "foreignKeys", Value: 2}},
		{"2026-11-23", profile.Probed{Name: "keyBytes", Value: -1}},
		{"today", profile.Probed{Name: "keyBytes", Value: 1}},
	} {
		if _, err := p.Correct(bad.day, []profile.Probed{bad.found}); err == nil {
			t.Errorf("got nil for %+v, want an error", bad)
		}
	}
}

func TestAnUnknownTargetIsToldTheKnownOnes(t *testing.T) {
	if _, err := profile.Lookup("aurora-postgresql"); err == nil || !strings.Contains(err.Error(), "aurora-postgresql-17") {
		t.Errorf("got %v, want the names to choose from", err)
	}
}

func TestAnEngineAndItsVersionNameAProfile(t *testing.T) {
	for _, x := range []struct{ engine, version, want, refused string }{
		{"aurora-postgresql", "15.8", "aurora-postgresql-15", ""},
		{"aurora-postgresql", "17", "aurora-postgresql-17", ""},
		{"aurora-dsql", "", "aurora-dsql", ""},
		{"aurora-postgresql", "18.1", "", "aurora-postgresql 18.1"},
		{"aurora-postgresql", "", "", "15, 16, 17"},
		{"aurora-postgresql", "1", "", "aurora-postgresql 1,"},
		{"postgres", "17.2", "", `"postgres"`},
		{"", "17.2", "", "Aurora PostgreSQL or Aurora DSQL"},
	} {
		got, err := profile.Of(x.engine, x.version)
		if got != x.want || (err == nil) != (x.refused == "") || err != nil && !strings.Contains(err.Error(), x.refused) {
			t.Errorf("%s %s: got %q, %v, want %q or an error with %q", x.engine, x.version, got, err, x.want, x.refused)
		}
	}
}
