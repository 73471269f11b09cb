package local_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/local"
	"godwit/internal/report"
)

// shopCatalog is what catalog.sql prints of a database of one table, which WITH may
// make unlogged.
const shopCatalog = `{"version": 1, "server": 160004, "database": "shop", "encoding": "UTF8", "collate": "C", "monetary": "C", "tables": [
  {"schema": "public", "name": "orders", "kind": "table", "unlogged": UNLOGGED, "rows": 12, "bytes": 8192,
   "columns": [{"name": "id", "type": {"name": "bigint", "class": "base", "builtin": true}, "notNull": true}],
   "key": {"name": "orders_pkey", "columns": ["id"]}}]}`

func assessIn(t *testing.T, catalog, mapping string) (local.AssessJob, *bytes.Buffer) {
	t.Helper()
	folder := t.TempDir()
	var out bytes.Buffer
	j := local.AssessJob{Target: "dsql", Folder: filepath.Join(folder, "out"), Now: time.Now, Out: &out}
	for name, x := range map[string]struct {
		text string
		into *string
	}{"catalog.json": {catalog, &j.Catalog}, "mapping.json": {mapping, &j.Mapping}} {
		if x.text == "" {
			continue
		}
		*x.into = filepath.Join(folder, name)
		if err := os.WriteFile(*x.into, []byte(x.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return j, &out
}

func readAssessment(t *testing.T, j local.AssessJob) report.Assessment {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(j.Folder, "assessment.json"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := report.ParseAssessment(b)
	if err != nil {
		t.Fatal(err)
	}
	if page, err := os.ReadFile(filepath.Join(j.Folder, "assessment.html")); err != nil || !strings.Contains(string(page), a.Source.Database) {
		t.Errorf("assessment.html is not of %s: %v", a.Source.Database, err)
	}
	return a
}

// A database is assessed by its catalog alone, and what is refused is told apart
// from a wrong input.
func TestAssessByCatalog(t *testing.T) {
	for _, target := range []string{"dsql", "aurora"} {
		j, out := assessIn(t, strings.ReplaceAll(shopCatalog, "UNLOGGED", "false"), `{"version": 1, "from": "postgresql", "keys": "uuid"}`)
		j.Target = target
		if err := j.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		a := readAssessment(t, j)
		if a.Verdict != report.Movable || len(a.Tables) != 1 || a.Tables[0].Columns[0].TargetType != "uuid" || len(a.Keys) != 1 || a.Mapping.From == "" {
			t.Errorf("%s: %+v", target, a)
		}
		if !strings.Contains(out.String(), "VERDICT: can be moved") {
			t.Errorf("%s: the terminal has %s", target, out)
		}
	}
	j, out := assessIn(t, strings.ReplaceAll(shopCatalog, "UNLOGGED", "true"), "")
	if err := j.Run(t.Context()); !errors.Is(err, local.ErrRefused) {
		t.Errorf("an unlogged table, which no export has: %v", err)
	}
	if a := readAssessment(t, j); a.Verdict != report.NotMovable || !strings.Contains(out.String(), "unlogged") {
		t.Errorf("it is assessed as %s: %s", a.Verdict, out)
	}
}

// Each wrong input is named, and leaves no assessment that somebody might take for
// its own.
func TestAssessNamesWrongInput(t *testing.T) {
	good := strings.ReplaceAll(shopCatalog, "UNLOGGED", "false")
	for _, c := range []struct {
		name, catalog, mapping string
		change                 func(*local.AssessJob)
		words                  []string
	}{
		{"no such catalog", good, "", func(j *local.AssessJob) { j.Catalog += ".gone" }, []string{"catalog.json.gone", "catalog.sql"}},
		{"not a catalog", "id,name\n1,x\n", "", nil, []string{"catalog.json", "catalog.sql"}},
		{"an empty catalog", " ", "", nil, []string{"catalog.json", "catalog.sql"}},
		{"another version", strings.Replace(good, `"version": 1`, `"version": 7`, 1), "", nil, []string{"catalog.json", "version is 7"}},
		{"another server", strings.Replace(good, "160004", "90624", 1), "", nil, []string{"PostgreSQL 9"}},
		{"two catalogs", good + good, "", nil, []string{"behind its end"}},
		{"no such mapping", good, "{}", func(j *local.AssessJob) { j.Mapping += ".gone" }, []string{"mapping.json.gone"}},
		{"a ledger's mapping", good, `{"version": 1, "tables": {}}`, nil, []string{"mapping.json", "from"}},
		{"a mapping with a mistake", good, `{"version": 1, "from": "postgresql", "kees": "uuid"}`, nil, []string{"mapping.json", "kees"}},
		{"no such target", good, "", func(j *local.AssessJob) { j.Target = "oracle" }, []string{"oracle", "dsql or aurora"}},
		{"a profile of another target", good, "", func(j *local.AssessJob) { j.Profile = "aurora-postgresql-16" }, []string{"aurora-postgresql-16", "aurora-dsql"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j, _ := assessIn(t, c.catalog, c.mapping)
			if c.change != nil {
				c.change(&j)
			}
			err := j.Run(t.Context())
			if err == nil || errors.Is(err, local.ErrRefused) {
				t.Fatalf("it is assessed: %v", err)
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error does not say %q: %v", w, err)
				}
			}
			if _, err := os.Stat(filepath.Join(j.Folder, "assessment.html")); err == nil {
				t.Error("an assessment was written")
			}
		})
	}
}

// Without a catalog the demo's storefront is assessed, and can be moved.
func TestAssessOfTheStorefront(t *testing.T) {
	t.Parallel()
	j, _ := assessIn(t, "", "")
	j.Rows, j.Seed = 500, 1
	if err := j.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := readAssessment(t, j); a.Verdict != report.Movable || len(a.Tables) != 13 || a.Source.Database != "storefront" {
		t.Errorf("%s: %d tables of %s", a.Verdict, len(a.Tables), a.Source.Database)
	}
}
