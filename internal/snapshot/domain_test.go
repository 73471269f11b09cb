package snapshot_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
	"godwit/internal/snapshot"
)

// domain is a column whose type is a domain.
func domain(kind, name, base, to string) change.ColumnPlan {
	c := as(kind, name, base, to)
	c.From[0].Domain = true
	return c
}

// Exports write the values of domains as text; one that wrote numbers as numbers
// would be read as well. A column that is no domain is not taken for one.
func TestDomainsAreReadAsTextOrAsTheirBaseType(t *testing.T) {
	plan := &change.TablePlan{Columns: []change.ColumnPlan{
		domain(change.AsIs, "i", "integer", "integer"),
		domain(change.AsIs, "b", "bytea", "bytea"),
		domain(change.AsIs, "t", "boolean", "boolean"),
		domain(change.AsFit, "d", "double precision", "real"),
		domain(change.AsFit, "n", "bigint", "smallint"),
	}}
	plan.Columns = append(plan.Columns, change.ColumnPlan{
		Name: "k", Type: "uuid", As: change.Conversion{Kind: change.AsUUID, Namespace: "x"}, From: []change.SourceColumn{{Name: "i", Type: "integer", Domain: true}},
	})
	names := []string{"i", "b", "t", "d", "n"}
	texts, typed := make([]column, len(names)), make([]column, len(names))
	for i, kind := range []snapshot.Kind{snapshot.Int32, snapshot.Bytes, snapshot.Bool, snapshot.Double, snapshot.Int64} {
		texts[i], typed[i] = column{name: names[i], kind: snapshot.Text}, column{name: names[i], kind: kind}
	}
	var all [2]encoded
	for i, file := range [][]byte{
		write(t, texts, [][]any{{"-7", `\x00ff`, "t", "0.5", "12"}, {nil, nil, nil, nil, nil}, {"1", `\x`, "f", "0.1", "99999"}, {"1", `\x`, "f", "NaN", "99999"}}),
		write(t, typed, [][]any{{int32(-7), "\x00\xff", true, 0.5, int64(12)}, {nil, nil, nil, nil, nil}, {int32(1), "", false, 0.1, int64(99999)}, {int32(1), "", false, 0.25, int64(99999)}}),
	} {
		p := open(t, file)
		var err error
		if all[i], err = encode(t, encoder(t, plan, p), p, 0, 4); err != nil {
			t.Fatal(err)
		}
	}
	if len(all[0].lines) != 2 || !strings.HasPrefix(all[0].lines[0], `-7`+"\t"+`\\x00ff`+"\tt\t0.5\t12\t") || len(all[0].refused) != 2 {
		t.Errorf("got %+v", all[0])
	}
	if diff := cmp.Diff(all[1].lines, all[0].lines); diff != "" {
		t.Errorf("read as text and as numbers they differ:\n%s", diff)
	}
	if all[0].refused[0].Column != "d" || all[0].refused[1].Column != "n" {
		t.Errorf("got refused %+v, want 0.1 for the real and 99999 for the smallint", all[0].refused)
	}
	p := open(t, write(t, texts, nil))
	if _, err := snapshot.NewEncoder(keep("i", "integer"), p.Columns()); err == nil || !strings.Contains(err.Error(), "i of type integer is STRING in the parts") {
		t.Errorf("text where an integer is expected: %v", err)
	}
}
