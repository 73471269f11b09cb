package journal_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
)

// TestSyntheticLedgerReadsAsItsOracleSays reads whole exports, objects and
// manifests, and compares what comes with what the generator says it made.
func TestSyntheticLedgerReadsAsItsOracleSays(t *testing.T) {
	for _, f := range formats {
		for _, layout := range []ledgergen.Layout{ledgergen.QLDB, ledgergen.AWSSample} {
			if layout == ledgergen.AWSSample && f != journal.JSON {
				continue
			}
			t.Run(fmt.Sprintf("%s %s", f, layout), func(t *testing.T) {
				readsAsTheOracleSays(t, f, ledgergen.Options{Seed: 5, Documents: 400, Format: ledgergen.Format(f.String()), Layout: layout, Exports: 2, Prefix: "a.b", BlocksPerObject: 7})
			})
		}
	}
}

func readsAsTheOracleSays(t *testing.T, f journal.Format, o ledgergen.Options) {
	objects := map[string][]byte{}
	var keys []string // of data objects, in the order of the journal
	oracle, err := ledgergen.Generate(o, func(o ledgergen.Object) error {
		objects[o.Key] = bytes.Clone(o.Body)
		k := journal.ParseKey("a.b", o.Key)
		if (k.Kind == journal.DataKey) != (o.First >= 0) || k.Kind == journal.OtherKey {
			t.Errorf("key %s: %+v", o.Key, k)
		}
		if k.Kind == journal.DataKey {
			keys = append(keys, o.Key)
			if k.First != o.First || k.Last != o.Last {
				t.Errorf("key %s: %+v, want blocks %d to %d", o.Key, k, o.First, o.Last)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for key, body := range objects {
		switch k := journal.ParseKey("a.b", key); k.Kind {
		case journal.StartedKey:
			m, err := journal.ParseStartedManifest(body)
			if err != nil || m.ExportID != k.ExportID || m.Format != f || m.Ledger != oracle.Name {
				t.Errorf("%s: %+v, %v", key, m, err)
			}
		case journal.CompletedKey:
			m, err := journal.ParseCompletedManifest(body)
			if err != nil || k.Strand != oracle.Strand {
				t.Fatalf("%s: %v", key, err)
			}
			for _, name := range m.Keys {
				named++
				old := ""
				if o.Layout == ledgergen.AWSSample {
					old = "journal/"
				}
				if _, err := journal.ResolveKey(name, "a.b", old, func(k string) bool { return objects[k] != nil }); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if named != len(keys) {
		t.Errorf("manifests name %d objects of %d", named, len(keys))
	}
	type counts struct{ Revisions, Redacted int64 }
	want, got := map[string]counts{}, map[string]counts{}
	for _, table := range oracle.Tables {
		want[table.Name+" "+table.ID] = counts{table.Revisions, table.Redacted}
	}
	next, events, hashOnly := int64(0), map[string]int{}, 0
	for _, key := range keys {
		r, err := journal.NewReader(bytes.NewReader(objects[key]), journal.Options{Object: key, Announced: f})
		if err != nil {
			t.Fatal(err)
		}
		for {
			b, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if b.SequenceNo != next || b.Strand != oracle.Strand {
				t.Fatalf("block %d of strand %s where %d was next", b.SequenceNo, b.Strand, next)
			}
			next++
			hashOnly += b.HashOnly
			for _, e := range b.TableEvents() {
				events[e.Kind.String()]++
			}
			for rec, err := range b.Records() {
				if err != nil {
					t.Fatal(err)
				}
				name := rec.Table.Name + " " + rec.Table.ID
				c := got[name]
				c.Revisions++
				if rec.Redacted {
					c.Redacted++
				}
				got[name] = c
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if next != oracle.Blocks || hashOnly == 0 || events["CREATE TABLE"] != len(oracle.Tables) || events["DROP TABLE"] == 0 {
		t.Errorf("%d blocks of %d, %d hash-only revisions, events %v", next, oracle.Blocks, hashOnly, events)
	}
}

// repeated yields the same bytes n times, without holding them n times.
type repeated struct {
	unit []byte
	n    int
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.unit[r.at:])
	if r.at += n; r.at == len(r.unit) {
		r.at = 0
		r.n--
	}
	return n, nil
}

// TestMemoryIsBoundedByTheBlock reads one object of 3 MB and one of 60 MB.
func TestMemoryIsBoundedByTheBlock(t *testing.T) {
	for _, f := range []journal.Format{journal.IonBinary, journal.JSON} {
		unit := encode(t, f, newSynthetic(9).blocks(400))
		peak := func(times int) uint64 {
			r, err := journal.NewReader(&repeated{unit: unit, n: times}, journal.Options{})
			if err != nil {
				t.Fatal(err)
			}
			runtime.GC()
			var most uint64
			for i := 0; ; i++ {
				b, err := r.Next()
				if err == io.EOF {
					return most
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, err := range b.Records() {
					if err != nil {
						t.Fatal(err)
					}
				}
				if i%400 == 399 {
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapAlloc)
				}
			}
		}
		small, large := peak(4), peak(60)
		if float64(large) > 1.2*float64(small) {
			t.Errorf("%s: %d bytes are held for a small object, %d for one of 15 times its size", f, small, large)
		}
	}
}

func TestErrorsNameObjectOffsetAndBlock(t *testing.T) {
	text := strings.Replace(newSynthetic(5).blocks(3), `version:`, `version:-`, 1)
	text = strings.Replace(text, `statements:[0,1]`, `statements:[0,-1]`, 1)
	for _, f := range formats {
		r, err := journal.NewReader(bytes.NewReader(encode(t, f, text)), journal.Options{Object: "p/x.ion"})
		for err == nil {
			_, err = r.Next()
		}
		for _, want := range []string{"object p/x.ion, block at offset ", ": block 0: transactionInfo: documents: document ", ": statements: member 1: statement number -1 is out of range"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v lacks %q", f, err, want)
			}
		}
	}
}
