package migrate_test

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
)

// merge makes one object of all data objects of the archive, and returns how
// many blocks it holds.
func (m *machine) merge() (blocks int64) {
	m.t.Helper()
	type part struct {
		name string
		key  journal.Key
	}
	var parts []part
	for name := range m.objects.objects {
		if k := journal.ParseKey(prefix, strings.TrimPrefix(name, archiveBucket+"/")); k.Kind == journal.DataKey {
			parts = append(parts, part{name, k})
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.key.First, b.key.First) })
	var all []byte
	for _, p := range parts {
		all = append(all, m.objects.objects[p.name].body...)
		delete(m.objects.objects, p.name)
	}
	first, last := parts[0], parts[len(parts)-1].key
	name := fmt.Sprintf("%s.%d-%d%s", last.Strand, first.key.First, last.Last, path.Ext(first.name))
	m.objects.objects[path.Join(path.Dir(first.name), name)] = memoryObject{body: all}
	return last.Last - first.key.First + 1
}

// Work on one object goes on from call to call, wherever a call had to end, and
// becomes byte for byte what one call makes of it.
func TestContinuesInsideOneHugeObject(t *testing.T) {
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		for _, compressed := range []bool{false, true} {
			name := string(format)
			if compressed {
				name += " gzip"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				// transform and count the object, and return what is in the work
				// bucket then and the number of calls.
				read := func(segmentBytes int64, late bool) (stored map[string]string, calls int, m *machine) {
					m = newMachine(t, `{"Bucket":"archive","Prefix":"`+prefix+`","Manifests":"none","MaxQuarantined":9}`)
					m.segmentBytes = segmentBytes
					m.late = func() bool { return late }
					m.generate(ledgergen.Options{Seed: 7, Documents: 400, Unmappable: 9, Format: format, Prefix: prefix})
					if blocks := m.merge(); blocks < 100 {
						t.Fatalf("the object has %d blocks", blocks)
					}
					if compressed {
						m.compress()
					}
					p := m.begun()
					if p.ItemCount != 1 {
						t.Fatalf("%d items, want one", p.ItemCount)
					}
					for _, c := range m.children(p) {
						for !c.done {
							if err := m.turn(c); err != nil {
								t.Fatal(err)
							}
						}
						calls += c.calls
					}
					return m.objects.under(workBucket + "/"), calls, m
				}
				const segment = 3000 // bytes: a few blocks
				want, calls, inOne := read(segment, false)
				if calls != 2 {
					t.Errorf("%d calls with time enough, want one of each function", calls)
				}
				got, calls, _ := read(segment, true)
				if calls < 40 {
					t.Errorf("%d calls without time, want one a segment", calls)
				}
				for name := range want {
					if got[name] != want[name] {
						t.Errorf("%s differs between one call and %d calls", name, calls)
					}
				}
				if len(got) != len(want) {
					t.Errorf("%d objects after %d calls, want %d", len(got), calls, len(want))
				}
				// Nor do segments change a row.
				_, _, whole := read(0, false)
				few, many := rowsByTable(t, whole.objects), rowsByTable(t, inOne.objects)
				for table, rows := range few {
					if !bytes.Equal(many[table], rows) {
						t.Errorf("table %s: the parts of many segments are not the rows of one", table)
					}
				}
				if len(few) < 6 || len(many) != len(few) {
					t.Errorf("parts of %d tables in many segments, of %d in one", len(many), len(few))
				}
			})
		}
	}
}

// rowsByTable joins the parts of each table, in order.
func rowsByTable(t *testing.T, o *memoryObjects) map[string][]byte {
	t.Helper()
	rows := map[string][]byte{}
	err := o.List(t.Context(), workBucket, "parts/", func(key, _ string, _ int64, _ string) error {
		b, err := o.read(workBucket, key)
		table := path.Base(path.Dir(key))
		rows[table] = append(rows[table], b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
