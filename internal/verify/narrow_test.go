package verify_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
	"godwit/internal/verify"
)

// A planted damage of each kind is found, by key and column, and nothing besides.
func TestDifferencesAreNarrowedToRows(t *testing.T) {
	column := func(name, typ string) change.ColumnPlan {
		return change.ColumnPlan{Name: name, Type: typ, From: []change.SourceColumn{{Name: name, Type: typ}}, As: change.Conversion{Kind: change.AsIs}}
	}
	keyed := &change.TablePlan{Columns: []change.ColumnPlan{column("id", "bigint"), column("name", "text"), column("price", "numeric")}, Key: []string{"id"}}
	free := &change.TablePlan{Columns: keyed.Columns}
	type row struct {
		id    int64
		name  string
		price string // "" is NULL
	}
	var source []row
	for i := range int64(2000) {
		source = append(source, row{i, fmt.Sprintf("n%d", i%7), "1.50"})
	}
	value := func(text string) change.Value {
		if text == "" {
			return change.Value{Kind: change.Null}
		}
		return change.Value{Kind: change.Text, Bytes: []byte(text)}
	}
	tests := []struct {
		name   string
		plan   *change.TablePlan
		damage func([]row) []row
		want   []verify.Difference
	}{
		{"nothing", keyed, func(r []row) []row { return r }, nil},
		{"a missing row", keyed, func(r []row) []row { return append(r[:7], r[8:]...) }, []verify.Difference{{Kind: verify.RowMissing, Key: []string{"7"}}}},
		{"an extra row", keyed, func(r []row) []row { return append(r, row{9999, "x", ""}) }, []verify.Difference{{Kind: verify.RowExtra, Key: []string{"9999"}}}},
		{"another value", keyed, func(r []row) []row { r[3].price = "1.51"; return r }, []verify.Difference{
			{Kind: verify.RowDifferent, Key: []string{"3"}, Columns: []verify.ColumnDifference{{Column: "price", Source: "3 bytes", Target: "4 bytes"}}},
		}},
		{"NULL", keyed, func(r []row) []row { r[3].price = ""; r[4].name = "longer"; return r }, []verify.Difference{
			{Kind: verify.RowDifferent, Key: []string{"3"}, Columns: []verify.ColumnDifference{{Column: "price", Source: "3 bytes", Target: "NULL"}}},
			{Kind: verify.RowDifferent, Key: []string{"4"}, Columns: []verify.ColumnDifference{{Column: "name", Source: "2 bytes", Target: "6 bytes"}}},
		}},
		{"values exchanged", keyed, func(r []row) []row { r[3].name, r[4].name = r[4].name, r[3].name; return r }, []verify.Difference{
			{Kind: verify.RowDifferent, Key: []string{"3"}, Columns: []verify.ColumnDifference{{Column: "name", Source: "2 bytes", Target: "2 bytes"}}},
			{Kind: verify.RowDifferent, Key: []string{"4"}, Columns: []verify.ColumnDifference{{Column: "name", Source: "2 bytes", Target: "2 bytes"}}},
		}},
		{"a row twice", free, func(r []row) []row { return append(r, r[5]) }, []verify.Difference{{Kind: verify.RowExtra}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			target := test.damage(append([]row{}, source...))
			s, err := verify.NewSourceRows(test.plan)
			if err != nil {
				t.Fatal(err)
			}
			d, err := verify.NewTargetRows(test.plan)
			if err != nil {
				t.Fatal(err)
			}
			both := func(toSource func([]change.Value) error, toTarget func([][]byte) error) {
				for _, r := range source {
					if err := toSource([]change.Value{{Kind: change.Int, Int: r.id}, value(r.name), value(r.price)}); err != nil {
						t.Fatal(err)
					}
				}
				for i := range target {
					r := target[len(target)-1-i] // in another order
					texts := [][]byte{fmt.Appendf(nil, "%d", r.id), []byte(r.name), nil}
					if r.price != "" {
						texts[2] = []byte(r.price + "0")
					}
					if err := toTarget(texts); err != nil {
						t.Fatal(err)
					}
				}
			}
			both(s.Add, d.Add)
			n, err := verify.NewNarrowing(test.plan, s.Sums.Differing(&d.Sums))
			if err != nil {
				t.Fatal(err)
			}
			add := func(values []change.Value) error { return n.AddSource(verify.Place{Row: values[0].Int}, values) }
			both(add, n.AddTarget)
			n.Again()
			both(add, n.AddTarget)
			if diff := cmp.Diff(test.want, n.Differences()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
