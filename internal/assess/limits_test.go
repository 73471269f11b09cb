package assess_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"godwit/internal/assess"
	"godwit/internal/catalog"
	"godwit/internal/change"
)

func integers(n int) []catalog.Column {
	columns := make([]catalog.Column, n)
	for i := range columns {
		columns[i] = catalog.Column{Name: fmt.Sprintf("c%d", i), Type: catalog.Type{Name: "integer", Class: catalog.Base, Builtin: true}}
	}
	return columns
}

func ordinary(schema, name string, columns []catalog.Column) catalog.Table {
	return catalog.Table{Schema: schema, Name: name, Kind: catalog.Ordinary, Columns: columns, Rows: -1}
}

func source(tables ...catalog.Table) *catalog.Catalog {
	return &catalog.Catalog{Version: 1, Server: 150004, Database: "shop", Encoding: "UTF8", Collate: "C", Monetary: "C", Tables: tables}
}

func decide(t testing.TB, target string, c *catalog.Catalog, rules string) *assess.Decision {
	t.Helper()
	in := assess.Input{Catalog: c, Profile: lookup(t, target)}
	if rules != "" {
		in.Rules = parseRules(t, rules)
	}
	d, err := assess.Decide(in)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func find(d *assess.Decision, kind string) *assess.Finding {
	if i := slices.IndexFunc(d.Findings, func(f assess.Finding) bool { return f.Kind == kind }); i >= 0 {
		return &d.Findings[i]
	}
	return nil
}

// What a golden case would be too large for.
func TestDatabasesBeyondATargetsLimitsAreRefused(t *testing.T) {
	var many []catalog.Table
	for i := range 1001 {
		many = append(many, ordinary("app", fmt.Sprintf("t%04d", i), integers(1)))
	}
	latin := source(ordinary("app", "t", integers(1)))
	latin.Encoding, latin.Collate, latin.Server = "LATIN1", "de_DE", 180001
	extension := ordinary("app", "spatial_ref_sys", integers(1))
	extension.Extension = "postgis"
	for _, c := range []struct {
		name    string
		source  *catalog.Catalog
		rules   string
		kind    string
		verdict assess.Verdict
		aurora  bool // said of Aurora PostgreSQL, too
	}{
		{"256 columns", source(ordinary("app", "t", integers(256))), "", assess.KindColumns, assess.Refuse, false},
		{"1,001 tables", source(many...), "", assess.KindTables, assess.Refuse, false},
		{"no columns", source(ordinary("app", "t", nil)), "", assess.KindColumns, assess.Refuse, true},
		{"no column left", source(ordinary("app", "t", integers(1))), `{"version":1,"from":"postgresql","tables":{"app.t":{"columns":{"c0":{"skip":true}}}}}`, assess.KindColumns, assess.Refuse, true},
		{"another encoding", latin, "", assess.KindEncoding, assess.Keep, true},
		{"another order of text", latin, "", assess.KindCollation, assess.Lost, false},
		{"a newer source", latin, "", assess.KindVersion, assess.Keep, true},
		{"a table of an extension", source(extension), "", assess.KindExtensionTable, assess.Lost, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, target := range targets {
				got := find(decide(t, target, c.source, c.rules), c.kind)
				if want := c.aurora || target == "aurora-dsql"; (got != nil) != want || got != nil && got.Verdict != c.verdict {
					t.Errorf("%s: got %+v, want a finding of kind %s: %v, %s", target, got, c.kind, want, c.verdict)
				}
			}
		})
	}
	if d := decide(t, "aurora-dsql", source(ordinary("app", "t", integers(255))), ""); len(d.Refused()) > 0 {
		t.Errorf("got %+v refused of 255 columns", d.Refused())
	}
	if d := decide(t, "aurora-dsql", source(extension), `{"version":1,"from":"postgresql","tables":{"app.spatial_ref_sys":{}}}`); len(d.Plans) != 1 {
		t.Errorf("got %d plans, want the table of an extension that the mapping names", len(d.Plans))
	}
}

func TestDecideNeedsATargetAndASource(t *testing.T) {
	if _, err := assess.Decide(assess.Input{Catalog: source()}); err == nil {
		t.Error("got nil, want an error without a profile")
	}
	if _, err := assess.Decide(assess.Input{Profile: lookup(t, "aurora-dsql")}); err == nil {
		t.Error("got nil, want an error without catalog and export")
	}
	if d, err := assess.Decide(assess.Input{Profile: lookup(t, "aurora-dsql"), Export: []assess.Table{}}); err != nil || len(d.Plans) != 0 {
		t.Errorf("got %+v, %v of an empty export, want no plans", d, err)
	}
}

// Names that a target makes of long ones are cut between characters and kept apart.
func TestIndexNamesAreShortAndApart(t *testing.T) {
	long := strings.Repeat("ü", 31) // 62 bytes
	table := func(schema string) catalog.Table {
		tab := ordinary(schema, long, integers(2))
		tab.Key = &catalog.Key{Name: "k", Columns: []string{"c0", "c1"}}
		tab.Indexes = []catalog.Index{{Name: "same", Method: "btree", Keys: []catalog.IndexKey{{Column: "c0"}}}, {Name: long, Method: "btree", Keys: []catalog.IndexKey{{Column: "c1"}}}}
		return tab
	}
	second := table("b")
	d := decide(t, "aurora-dsql", source(table("a"), second), `{"version":1,"from":"postgresql","schema":"app","keys":"uuid","tables":{"b.`+long+`":{"target":"other"}}}`)
	if len(d.Refused()) > 0 {
		t.Fatalf("got %+v refused", d.Refused())
	}
	seen := map[string]bool{long: true, "other": true}
	for _, p := range d.Plans {
		for _, name := range append(indexNames(p), p.KeyName) {
			if len(name) > 63 || seen[name] || !strings.HasPrefix(strings.ToValidUTF8(name, "?"), name) {
				t.Errorf("got the name %q, of %d bytes, cut or taken", name, len(name))
			}
			seen[name] = true
		}
	}
	if len(seen) != 2+2*(1+3) {
		t.Errorf("got names %v, want those of two keys and six indexes", seen)
	}
}

func indexNames(p change.TablePlan) (names []string) {
	for _, x := range p.Indexes {
		names = append(names, x.Name)
	}
	return names
}
