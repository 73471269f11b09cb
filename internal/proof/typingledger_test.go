package proof_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/ion"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

func learn(t testing.TB, objects [][]byte) *proof.Types {
	t.Helper()
	var l proof.Learner
	eachBlock(t, objects, func(b *journal.Block) {
		for i := range b.Revisions {
			l.Add(&b.Revisions[i])
		}
	})
	return l.Learn()
}

// showTape writes a tape so that equal values are equal texts.
func showTape(tape *change.Tape) string {
	var s strings.Builder
	for i := range tape.Nodes {
		n := &tape.Nodes[i]
		name := "-"
		if n.Name >= 0 {
			name = tape.Names[n.Name].Text
		}
		fmt.Fprintf(&s, "%d %q %s flags %d end %d %d %q\n", i, name, n.Kind, n.Flags, n.End, n.Int, tape.Bytes(n))
	}
	return s.String()
}

// retype makes a JSON document's tape what it was in Ion.
func retype(tape *change.Tape, typist *proof.Typist) {
	for v := range typist.Recovered() {
		n := &tape.Nodes[v.Node]
		n.Int, n.Off, n.Len, n.Flags = 0, 0, 0, 0
		if v.Text != nil {
			n.Off, n.Len = uint32(len(tape.Data)), uint32(len(v.Text))
			tape.Data = append(tape.Data, v.Text...)
		}
		switch {
		case v.Null:
			n.Kind, n.Flags = change.Null, change.TypedNull
		case v.Type == ion.SexpType:
			n.Flags = change.Sexp
		case v.Type == ion.SymbolType:
			n.Flags = change.Symbol
		case v.Type == ion.BlobType:
			n.Kind = change.Bytes
		case v.Type == ion.ClobType:
			n.Kind, n.Flags = change.Bytes, change.Clob
		case v.Type == ion.TimestampType:
			n.Kind = change.Timestamp
		case v.Type == ion.DecimalType:
			n.Kind = change.Decimal
		case v.Type == ion.FloatType:
			n.Kind, n.Int = change.Float, int64(math.Float64bits(v.Float))
		}
	}
}

// An ionTwin compares what is proven of a JSON ledger with the same ledger in
// binary Ion.
type ionTwin struct {
	t      testing.TB
	typist *proof.Typist
	v      proof.Verifier
	twin   *journal.Reader
	ion    *journal.Block
	json   *journal.Block
	proven int
}

func newIonTwin(t testing.TB, types *proof.Types, binary [][]byte) *ionTwin {
	t.Helper()
	var all []io.Reader
	for _, o := range binary {
		all = append(all, bytes.NewReader(o))
	}
	twin, err := journal.NewReader(io.MultiReader(all...), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &ionTwin{t: t, typist: &proof.Typist{Types: types}, twin: twin}
	w.typist.Found = w.found
	w.v.Typing = w.typist
	return w
}

// verify verifies the next block, of which b may be an altered copy.
func (w *ionTwin) verify(b *journal.Block) *proof.Check {
	w.t.Helper()
	var err error
	if w.ion, err = w.twin.Next(); err != nil {
		w.t.Fatal(err)
	}
	w.json = b
	return w.v.Verify(b)
}

func (w *ionTwin) found(data []byte) {
	w.t.Helper()
	w.proven++
	for i := range w.json.Revisions {
		if raw := w.json.Revisions[i].RawData; len(raw) == 0 || &raw[0] != &data[0] {
			continue
		}
		want, err := w.ion.Record(i)
		if err != nil {
			w.t.Fatal(err)
		}
		got, err := w.json.Record(i)
		if err != nil {
			w.t.Fatal(err)
		}
		retype(got.Fields, w.typist)
		if showTape(got.Fields) != showTape(want.Fields) {
			w.t.Errorf("%s is proven as\n%s\nand was\n%s", data, showTape(got.Fields), showTape(want.Fields))
		}
	}
}

func TestAJSONLedgerIsProvenAsTheIonThatItWas(t *testing.T) {
	for seed := range uint64(3) {
		o := ledgergen.Options{Seed: seed, Documents: 1500, Format: ledgergen.JSON}
		ledger, objects := generate(t, o)
		o.Format = ledgergen.IonBinary
		_, binary := generate(t, o)
		text, err := json.Marshal(learn(t, objects))
		if err != nil {
			t.Fatal(err)
		}
		var types proof.Types // as every reader of the archive has them
		if err := json.Unmarshal(text, &types); err != nil {
			t.Fatal(err)
		}
		w := newIonTwin(t, &types, binary)
		open, notes, deleted := 0, 0, 0
		eachBlock(t, objects, func(b *journal.Block) {
			for i, verdict := range w.verify(b).Revisions {
				r := &b.Revisions[i]
				if r.Table.Name == "Note" {
					notes++
				}
				if r.Deleted() || r.Redacted() {
					deleted++
				}
				if verdict != proof.TypeUnproven {
					continue
				}
				// Notes hold anything anywhere, up to nine values of which JSON lost the type.
				if open++; r.Table.Name != "Note" {
					t.Errorf("seed %d, block %d: %s is not proven: %s", seed, b.SequenceNo, r.Table.Name, r.RawData)
				}
			}
		})
		if open*100 > notes {
			t.Errorf("seed %d: %d of %d notes are not proven, want 1%% at most", seed, open, notes)
		}
		if w.proven+open+deleted != int(ledger.Revisions()) {
			t.Errorf("seed %d: %d proven, %d not, %d without data: want %d together", seed, w.proven, open, deleted, ledger.Revisions())
		}
	}
}

// alter changes one thing in a JSON text, or returns it as it was.
func alter(rng *rand.Rand, raw []byte) []byte {
	out := bytes.Clone(raw)
	at := rng.IntN(len(out))
	switch rng.IntN(7) {
	case 0: // a digit
		for i := range out {
			if c := &out[(at+i)%len(out)]; *c >= '0' && *c <= '9' {
				*c = '0' + (*c-'0'+byte(1+rng.IntN(9)))%10
				break
			}
		}
	case 1: // a letter
		for i := range out {
			if c := &out[(at+i)%len(out)]; *c >= 'a' && *c <= 'z' {
				*c = 'a' + (*c-'a'+byte(1+rng.IntN(25)))%26
				break
			}
		}
	case 2: // a zero more
		for i := range out {
			if k := (at + i) % len(out); out[k] >= '0' && out[k] <= '9' {
				return append(append(bytes.Clone(out[:k+1]), '0'), out[k+1:]...)
			}
		}
	case 3: // a member less
		if i := bytes.IndexByte(out[at:], ','); i >= 0 {
			if k := bytes.IndexAny(out[at+i+1:], ",}]"); k >= 0 {
				return append(out[:at+i], out[at+i+1+k:]...)
			}
		}
	case 4: // two bytes exchanged
		if at+1 < len(out) {
			out[at], out[at+1] = out[at+1], out[at]
		}
	case 5: // the same number with another scale
		return bytes.Replace(out, []byte("e-2"), []byte("0e-3"), 1)
	case 6: // a word instead of another
		words := [][2]string{{"null", "false"}, {"true", "false"}, {"false", "true"}, {":\"", ":null,\"x\":\""}, {"e-2", "e-1"}, {"e-1", "e-3"}, {"[", "[null,"}, {"}", ",\"a\":1}"}}
		w := words[rng.IntN(len(words))]
		return bytes.Replace(out, []byte(w[0]), []byte(w[1]), 1)
	}
	return out
}

// TestAlteredDataIsNeverProvenAsAnythingElse alters documents: either that shows,
// or the values that were hashed are found nevertheless, as where a zero was put
// behind a point.
func TestAlteredDataIsNeverProvenAsAnythingElse(t *testing.T) {
	o := ledgergen.Options{Seed: 7, Documents: 300, Format: ledgergen.JSON}
	_, objects := generate(t, o)
	o.Format = ledgergen.IonBinary
	_, binary := generate(t, o)
	types := learn(t, objects)
	altered, proven := 0, 0
	for seed := range uint64(2) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := newIonTwin(t, types, binary)
		w.typist.Spent = proof.OddEffort - 64<<20
		eachBlock(t, objects, func(b *journal.Block) {
			changed := map[int]bool{}
			for i := range b.Revisions {
				r := &b.Revisions[i]
				if r.RawData == nil || rng.IntN(3) > 0 {
					continue
				}
				out := alter(rng, r.RawData)
				if !json.Valid(out) || bytes.Equal(out, r.RawData) {
					continue
				}
				changed[i], r.RawData = true, out
				altered++
			}
			for i, verdict := range w.verify(b).Revisions {
				if changed[i] && verdict == proof.Proven {
					proven++ // found has compared its values with the true ones
				}
			}
		})
	}
	t.Logf("%d altered, %d of them with the same values", altered, proven)
	if altered < 150 || proven == 0 || proven > altered/10 {
		t.Error("want 150, and a few of them with the same values")
	}
}

// TestOddRevisionsOfKnownTablesTakeMore has the ledger of the demo, of which one
// revision is beyond its table's effort.
func TestOddRevisionsOfKnownTablesTakeMore(t *testing.T) {
	_, objects := generate(t, ledgergen.Options{Seed: 1, Documents: 2000, Format: ledgergen.JSON})
	types := learn(t, objects)
	unproven := func(spent int64) (n int, after int64) {
		typist := &proof.Typist{Types: types, Spent: spent}
		v := proof.Verifier{Typing: typist}
		eachBlock(t, objects, func(b *journal.Block) {
			for _, verdict := range v.Verify(b).Revisions {
				if verdict == proof.TypeUnproven {
					n++
				}
			}
		})
		return n, typist.Spent
	}
	if n, after := unproven(0); n != 0 || after == 0 || after > proof.OddEffort/8 {
		t.Errorf("%d revisions are not proven, and they took %d, want none and some megabytes", n, after)
	}
	if n, after := unproven(proof.OddEffort); n != 1 || after != proof.OddEffort {
		t.Errorf("with all spent %d revisions are not proven, and they took %d, want 1 and nothing", n, after-proof.OddEffort)
	}
}

// TestRealRevisionsAreProvenFromJSON down-converts real revisions as the service
// did, and recovers them.
func TestRealRevisionsAreProvenFromJSON(t *testing.T) {
	for name, revision := range map[string]node{
		"revision100": realNode(t, "block100", "revision100.ion"),
		"revision429": realNode(t, "revision429", "revision429.ion"),
		"stream":      realNode(t, "stream-record", "attestation.1.ion").get(t, "payload", "revision"),
	} {
		r := journal.Revision{
			Hash:        revision.get(t, "hash").bytes,
			HasMetadata: true,
			DocumentID:  []byte("d"),
			RawMetadata: revision.get(t, "metadata").exported(t),
			RawData:     revision.get(t, "data").exported(t),
			Table:       change.SourceTable{ID: "T", Name: "T"},
		}
		var l proof.Learner
		l.Add(&r)
		for k, types := range []*proof.Types{nil, l.Learn()} {
			typist := &proof.Typist{Types: types}
			found := false
			typist.Found = func([]byte) { found = true }
			v := proof.Verifier{Typing: typist}
			v.Verify(&journal.Block{Format: journal.JSON, Revisions: []journal.Revision{r}})
			if !found {
				t.Errorf("%s, %d: not proven: %s", name, k, r.RawData)
			}
			t.Logf("%s: %s", name, showRecovered(typist))
		}
	}
}

// exported is n in JSON with decimals as ion-java writes them.
func (n node) exported(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	switch n.kind {
	case ionlib.IntType:
		fmt.Fprint(&b, n.int)
	case ionlib.DecimalType:
		d := ionlib.MustParseDecimal(n.text)
		coefficient, exponent := d.CoEx()
		fmt.Fprintf(&b, "%se%d", coefficient, exponent)
	case ionlib.TimestampType:
		fmt.Fprintf(&b, "%q", strings.TrimSuffix(n.text, "T"))
	case ionlib.StringType:
		fmt.Fprintf(&b, "%q", n.text)
	case ionlib.BlobType:
		fmt.Fprintf(&b, "%q", base64.StdEncoding.EncodeToString(n.bytes))
	case ionlib.ListType, ionlib.StructType:
		for i, c := range n.children {
			if i > 0 {
				b.WriteByte(',')
			}
			if n.kind == ionlib.StructType {
				fmt.Fprintf(&b, "%q:", c.name)
			}
			b.Write(c.node.exported(t))
		}
		if n.kind == ionlib.ListType {
			return []byte("[" + b.String() + "]")
		}
		return []byte("{" + b.String() + "}")
	default:
		t.Fatalf("unexpected %v in real data", n.kind)
	}
	return b.Bytes()
}
