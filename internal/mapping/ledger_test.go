package mapping_test

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"testing"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/mapping"
)

// ledgerRows maps a synthetic ledger through a reader of its format. It returns
// the COPY lines of each ledger table, in journal order, and the refusals.
func ledgerRows(t testing.TB, rules string, o ledgergen.Options) (map[string][]byte, map[string]int64, ledgergen.Ledger) {
	t.Helper()
	f, err := mapping.Parse([]byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	fields := &change.Fields{}
	m, err := mapping.Compile(f, fields)
	if err != nil {
		t.Fatal(err)
	}
	rows, refused := map[string][]byte{}, map[string]int64{}
	ledger, err := ledgergen.Generate(o, func(obj ledgergen.Object) error {
		if obj.First < 0 {
			return nil
		}
		r, err := journal.NewReader(bytes.NewReader(obj.Body), journal.Options{Object: obj.Key, Fields: fields})
		if err != nil {
			return err
		}
		for {
			b, err := r.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			for rec, err := range b.Records() {
				if err != nil {
					return err
				}
				p, err := m.Plan(rec.Table.Name)
				if err != nil {
					return err
				}
				row, err := p.Map(rec)
				var value *mapping.ValueError
				if errors.As(err, &value) {
					refused[rec.Table.ID]++
					continue
				}
				if err != nil {
					return err
				}
				if rows[rec.Table.Name], err = copytext.AppendRow(rows[rec.Table.Name], row); err != nil {
					return err
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows, refused, ledger
}

// origin is where a row's revision stood in the archive, which another format has
// elsewhere.
var origin = regexp.MustCompile(`,"ql_object":"[^"]*","ql_offset":\d+,"ql_revision":\d+`)

// TestRowsAreTheSameFromEveryFormat compares the bytes of all rows, through the
// shipped mapping and as doc jsonb, and counts what the generator made
// unmappable.
func TestRowsAreTheSameFromEveryFormat(t *testing.T) {
	for name, rules := range map[string]string{"dmv": string(mapping.DMV()), "jsonb": `{"version":1,"schema":"x"}`} {
		t.Run(name, func(t *testing.T) {
			o := ledgergen.Options{Seed: 20, Documents: 1200, Unmappable: 9}
			want, wantRefused, ledger := ledgerRows(t, rules, o)
			for _, table := range ledger.Tables {
				if name == "dmv" && wantRefused[table.ID] != table.Refused {
					t.Errorf("table %s: %d revisions refused, want %d", table.Name, wantRefused[table.ID], table.Refused)
				}
			}
			for _, o.Format = range []ledgergen.Format{ledgergen.IonText, ledgergen.JSON} {
				got, gotRefused, _ := ledgerRows(t, rules, o)
				if len(got) != len(want) || len(got) < 4 {
					t.Errorf("%s: %d tables, want %d", o.Format, len(got), len(want))
				}
				for table := range want {
					got, want := origin.ReplaceAll(got[table], nil), origin.ReplaceAll(want[table], nil)
					if !bytes.Equal(got, want) {
						g, w := firstDifference(got, want)
						t.Errorf("%s: table %s: row\n%s want\n%s", o.Format, table, g, w)
					}
				}
				for id, n := range wantRefused {
					if gotRefused[id] != n {
						t.Errorf("%s: table %s: %d refused, want %d", o.Format, id, gotRefused[id], n)
					}
				}
			}
		})
	}
}

func firstDifference(a, b []byte) (string, string) {
	la, lb := bytes.SplitAfter(a, []byte("\n")), bytes.SplitAfter(b, []byte("\n"))
	for i := range min(len(la), len(lb)) {
		if !bytes.Equal(la[i], lb[i]) {
			return string(la[i]), string(lb[i])
		}
	}
	return "(a row more or fewer)", "(a row more or fewer)"
}
