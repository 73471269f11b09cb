package proof_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"godwit/internal/ion"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

// receipts makes the receipts of a ledger as JSON.
func receipts(t testing.TB, o ledgergen.Options) (digest proof.Hash, all [][]byte) {
	t.Helper()
	ledger, objects := generate(t, o)
	var leaves []proof.Hash
	eachBlock(t, objects, func(b *journal.Block) {
		h, err := proof.ParseHash(b.Hash)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, h)
	})
	var v proof.Verifier
	eachBlock(t, objects, func(b *journal.Block) {
		c := v.Verify(b)
		up, err := proof.Inclusion(uint64(b.SequenceNo), uint64(len(leaves)), proof.Leaves(leaves))
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Revisions {
			r, err := proof.NewReceipt(b, c, i, up, ledger.Digest)
			if b.Revisions[i].HashOnly() {
				if err == nil {
					t.Error("a receipt of an opaque revision")
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text)
		}
	})
	return ledger.Digest, all
}

func checked(text []byte, digest proof.Hash) error {
	var r proof.Receipt
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return err
	}
	return r.Check(digest)
}

func TestReceiptsHoldForEveryRevision(t *testing.T) {
	digest, all := receipts(t, ledgergen.Options{Seed: 9, Documents: 200})
	kinds := map[string]int{}
	for _, text := range all {
		if err := checked(text, digest); err != nil {
			t.Errorf("%v: %s", err, text)
		}
		for _, kind := range []string{`"data":`, `"dataHash":`, `"deletion":"null"`, `"timestamp":`, `"decimal":`, `"float":`, `"blob":`, `"null":`, `"list":`} {
			if bytes.Contains(text, []byte(kind)) {
				kinds[kind]++
			}
		}
	}
	if len(kinds) != 9 {
		t.Errorf("the ledger lacks some kinds: %v", kinds)
	}
	if checked(all[0], number(1)) == nil || checked(all[0], proof.Hash{}) == nil {
		t.Error("a receipt holds for another digest")
	}
}

// TestAlteredReceiptsAreRejected changes one letter or digit of a value at a time.
func TestAlteredReceiptsAreRejected(t *testing.T) {
	digest, all := receipts(t, ledgergen.Options{Seed: 9, Documents: 60})
	seed := rand.Uint64()
	chance := rand.New(rand.NewPCG(seed, 0))
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for n := 0; n < 1000; {
		text := bytes.Clone(all[chance.IntN(len(all))])
		at := chance.IntN(len(text))
		to := letters[chance.IntN(len(letters))]
		if !strings.ContainsRune(letters, rune(text[at])) || text[at] == to || at > 0 && text[at-1] == '\\' {
			continue
		}
		was := text[at]
		text[at] = to
		n++
		if err := checked(text, digest); err == nil {
			// encoding/json takes names whatever their case.
			if strings.EqualFold(string(was), string(to)) && bytes.IndexByte(text[at:], ':') >= 0 && bytes.IndexByte(text[at:], ':') == bytes.IndexByte(text[at:], '"')+1 {
				continue
			}
			t.Errorf("seed %d: byte %d from %c to %c is accepted: %s", seed, at, was, to, text)
		}
	}
}

func TestTypedValuesKeepEveryType(t *testing.T) {
	var w ion.Writer
	w.Annotate("note", "of")
	w.BeginList()
	for _, kind := range []ion.Type{ion.NullType, ion.BoolType, ion.IntType, ion.FloatType, ion.DecimalType, ion.TimestampType, ion.SymbolType, ion.StringType, ion.ClobType, ion.BlobType, ion.ListType, ion.SexpType, ion.StructType} {
		w.Null(kind)
	}
	w.Bool(true)
	w.Int(-5)
	w.Annotate("a")
	w.Int(0)
	for _, f := range []float64{0, 1.5, -1e300, 5e-324} {
		w.Float(f)
	}
	w.Decimal("-0.00")
	w.Decimal("9d70")
	w.Timestamp("2019T")
	w.Timestamp("2019-09-16T19:37:05.302-00:00")
	w.Symbol("s <&> \x01")
	w.String("t \u2028 \"ü")
	w.Clob([]byte{0, 255})
	w.Blob(nil)
	w.BeginSexp()
	w.BeginStruct()
	w.Field("twice")
	w.Int(1)
	w.Field("twice")
	w.Int(2)
	w.Field("")
	w.BeginStruct()
	w.End()
	w.End()
	w.End()
	w.End()
	value, err := w.AppendValues(nil)
	if err != nil {
		t.Fatal(err)
	}
	typed, err := proof.AppendTyped(nil, value, &w)
	if err != nil {
		t.Fatal(err)
	}
	var h ion.Hasher
	sum, err := h.Sum(nil, value, &w)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(typed) {
		t.Fatalf("not JSON: %s", typed)
	}
	got, err := typed.Hash()
	if err != nil {
		t.Fatalf("%v: %s", err, typed)
	}
	same(t, "hash", got, parse(t, sum))
}

func TestTypedValuesThatAreNoneAreRefused(t *testing.T) {
	for _, s := range []string{
		``, `5`, `{}`, `[]`, `{"int":"1","string":"x"}`, `{"int":1}`, `{"int":"x"}`, `{"null":"thing"}`, `{"null":null}`, `{"float":"1e0"}`, `{"float":"x"}`,
		`{"decimal":""}`, `{"timestamp":"x"}`, `{"blob":"%"}`, `{"struct":[["a"]]}`, `{"struct":[[null,{"int":"1"}]]}`, `{"struct":[["a",{"int":"1"},3]]}`, `{"annotations":["a"]}`,
		`{"other":1}`, `{"int":"1"}{}`, strings.Repeat(`{"list":[`, 5000),
	} {
		if h, err := proof.Typed(s).Hash(); err == nil {
			t.Errorf("%.80s: hashed to %v", s, h)
		}
	}
}

func FuzzTyped(f *testing.F) {
	f.Add([]byte(`{"annotations":["a"],"struct":[["x",{"list":[{"int":"1"},{"null":"int"}]}]]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := proof.Typed(b).Hash(); err == nil && h.IsEmpty() {
			t.Errorf("%q has no hash", b)
		}
	})
}
