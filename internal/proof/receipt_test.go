package proof_test

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"godwit/internal/ion"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

// A checker is receiptcheck, built and run as a program of its own.
type checker struct{ program, file string }

func newChecker(t *testing.T) checker {
	t.Helper()
	dir := t.TempDir()
	c := checker{filepath.Join(dir, "receiptcheck"), filepath.Join(dir, "receipt.json")}
	if out, err := exec.Command("go", "build", "-o", c.program, "../receiptcheck").CombinedOutput(); err != nil {
		t.Fatalf("build receiptcheck: %v\n%s", err, out)
	}
	return c
}

// check runs the program; digest "" is none.
func (c checker) check(t *testing.T, receipt []byte, digest string) (words string, accepted bool) {
	t.Helper()
	if err := os.WriteFile(c.file, receipt, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(c.program, "-digest", digest, c.file).CombinedOutput()
	if _, exit := err.(*exec.ExitError); err != nil && !exit || strings.Contains(string(out), "panic") || (err == nil) == strings.HasPrefix(string(out), "REJECTED: ") {
		t.Fatalf("receiptcheck: %v\n%s", err, out)
	}
	return string(out), err == nil
}

// eachReceipt makes the receipts of a ledger.
func eachReceipt(t *testing.T, o ledgergen.Options, do func(b *journal.Block, revision int, receipt []byte, digest proof.Hash)) {
	t.Helper()
	ledger, objects := generate(t, o)
	var leaves []proof.Hash
	eachBlock(t, objects, func(b *journal.Block) { leaves = append(leaves, parse(t, b.Hash)) })
	r := proof.Receipts{Ledger: ledger.Name, Digest: ledger.Digest, Tip: ledger.Tip, From: "the ledger's maker"}
	if o.Format == ledgergen.JSON {
		r.Types = learn(t, objects)
	}
	eachBlock(t, objects, func(b *journal.Block) {
		path, err := proof.Inclusion(uint64(b.SequenceNo), uint64(len(leaves)), nodesOf(leaves))
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Revisions {
			receipt, err := r.Append(nil, b, i, path)
			if b.Revisions[i].HashOnly() {
				if err == nil {
					t.Error("a receipt of a hash alone")
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			do(b, i, receipt, ledger.Digest)
		}
	})
}

func TestReceiptsOfEveryRevisionAreAccepted(t *testing.T) {
	c := newChecker(t)
	var want []string
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) {
			kinds := map[string]int{}
			var got []string
			eachReceipt(t, ledgergen.Options{Seed: 9, Documents: 60, Format: format}, func(b *journal.Block, i int, receipt []byte, digest proof.Hash) {
				words, ok := c.check(t, receipt, hex.EncodeToString(digest.Bytes()))
				if !ok || !strings.HasPrefix(words, "PROVEN") {
					t.Errorf("block %d, revision %d: %s\n%s", b.SequenceNo, i, words, receipt)
				}
				for _, kind := range []string{`"Data": [`, `"Deletion": "null"`, `"timestamp"`, `"decimal"`, `"float"`, `"blob"`, `"null"`, `"list"`} {
					if bytes.Contains(receipt, []byte(kind)) {
						kinds[kind]++
					}
				}
				if b.Revisions[i].Redacted() {
					kinds["redacted"]++
				}
				shown, _, _ := bytes.Cut(receipt, []byte(` "NotCovered"`))
				got = append(got, string(shown))
			})
			if len(kinds) != 9 {
				t.Errorf("the ledger lacks some kinds: %v", kinds)
			}
			if want == nil {
				want = got
			}
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Fatalf("the receipt is another than from %s:\n%s\n%s", formats[0], got[i], want[i])
				}
			}
		})
	}
}

// A kinds writes random values of every Ion type.
type kinds struct {
	*rand.Rand
	w *ion.Writer
}

func (k kinds) text() string {
	return []string{"", "x", "VIN", "<&>\u2028\"\\/", "\x00\x0B\x0C\x0E\n\x7f", "naïve \U0001F600", "$6", "\uFFFD", "two words", "struct", "null"}[k.IntN(11)]
}

func (k kinds) bytes() []byte {
	b := make([]byte, k.IntN(40))
	for i := range b {
		b[i] = byte(k.IntN(16) << (k.IntN(2) * 4))
	}
	return b
}

func (k kinds) digits(n int) string {
	text := strings.Builder{}
	for range 1 + k.IntN(n) {
		text.WriteByte(byte('0' + k.IntN(10)))
	}
	return text.String()
}

func (k kinds) value(depth int) {
	w := k.w
	for k.IntN(8) == 0 {
		w.Annotate(k.text())
	}
	switch k.IntN(11 + 3*min(depth, 1)) {
	case 0:
		all := []ion.Type{ion.NullType, ion.BoolType, ion.IntType, ion.FloatType, ion.DecimalType, ion.TimestampType, ion.SymbolType, ion.StringType, ion.ClobType, ion.BlobType, ion.ListType, ion.SexpType, ion.StructType}
		w.Null(all[k.IntN(len(all))])
	case 1:
		w.Bool(k.IntN(2) == 0)
	case 2:
		n, _ := new(big.Int).SetString([]string{"", "-"}[k.IntN(2)]+k.digits(40), 10)
		w.BigInt(n)
	case 3:
		w.Float([]float64{0, math.Copysign(0, -1), 1, 2.5, math.NaN(), math.Inf(1), math.Inf(-1), math.SmallestNonzeroFloat64, 1e300, k.NormFloat64()}[k.IntN(10)])
	case 4, 5:
		text := []string{k.digits(30) + "." + k.digits(20), "0." + strings.Repeat("0", k.IntN(12)), k.digits(9) + "d" + []string{"0", "-3", "63", "64", "-64", "-8191", "8192", "-70"}[k.IntN(8)], "0d5", "128.", "0."}[k.IntN(6)]
		w.Decimal([]string{"", "-"}[k.IntN(2)] + text)
	case 6:
		text := []string{"2019T", "0001T", "0127T", "0128T", "2019-09T", "2019-02-28", "2019-09-16T19:37", "2019-12-31T23:59:59", "2020-03-01T00:00:00.360", "2019-09-16T19:37:05.000", "2019-09-16T19:37:05.0000000128"}[k.IntN(11)]
		if strings.Contains(text, ":") {
			text += []string{"Z", "-00:00", "+05:30", "-11:45", "+23:59", "+01:04", "-23:59"}[k.IntN(7)]
		}
		w.Timestamp(text)
	case 7:
		w.Symbol(k.text())
	case 8:
		w.String(k.text())
	case 9:
		w.Clob(k.bytes())
	case 10:
		w.Blob(k.bytes())
	default:
		in := k.IntN(3)
		[]func(){w.BeginList, w.BeginSexp, w.BeginStruct}[in]()
		for range k.IntN(5) {
			if in == 2 {
				w.Field(k.text())
			}
			k.value(depth - 1)
		}
		w.End()
	}
}

// withData makes a block whose one revision has the given data, and a receipt of
// it. Hashes of what is not shown are made up.
func withData(t *testing.T, data func(w *ion.Writer)) (receipt []byte, digest proof.Hash) {
	t.Helper()
	var w ion.Writer
	var h ion.Hasher
	sum := func(write func(w *ion.Writer)) proof.Hash {
		write(&w)
		value, err := w.AppendValues(nil)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := h.Sum(nil, value, &w)
		if err != nil {
			t.Fatal(err)
		}
		return parse(t, sum)
	}
	metadata := func(w *ion.Writer) {
		w.BeginStruct()
		w.Field("id")
		w.String("MadeUpDocument00000001")
		w.Field("version")
		w.Int(3)
		w.Field("txTime")
		w.Timestamp("2019-09-16T19:37:05.344Z")
		w.Field("txId")
		w.String("MadeUpTransaction00001")
		w.End()
	}
	address := func(w *ion.Writer) {
		w.Field("blockAddress")
		w.BeginStruct()
		w.Field("strandId")
		w.String("MadeUpStrand0000000001")
		w.Field("sequenceNo")
		w.Int(2)
		w.End()
	}
	blob := func(w *ion.Writer, name string, h proof.Hash) {
		w.Field(name)
		w.Blob(h.Bytes())
	}
	revision := proof.RevisionHash(sum(metadata), sum(data))
	list := []proof.Hash{number(10), revision, number(11), number(12)}
	block := proof.BlockHash(proof.EntriesHash(list), number(1))
	w.Reset()
	w.BeginStruct()
	address(&w)
	w.Field("transactionId")
	w.String("MadeUpTransaction00001")
	w.Field("blockTimestamp")
	w.Timestamp("2019-09-16T19:37:05.360Z")
	blob(&w, "blockHash", block)
	blob(&w, "entriesHash", proof.EntriesHash(list))
	blob(&w, "previousBlockHash", number(1))
	w.Field("entriesHashList")
	w.BeginList()
	for _, h := range list {
		w.Blob(h.Bytes())
	}
	w.End()
	w.Field("revisions")
	w.BeginList()
	w.BeginStruct()
	address(&w)
	blob(&w, "hash", revision)
	w.Field("metadata")
	metadata(&w)
	w.Field("data")
	data(&w)
	w.End()
	w.End()
	w.End()
	object, err := w.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaves := []proof.Hash{number(0), number(1), block, number(3), number(4)}
	path, err := proof.Inclusion(2, 5, nodesOf(leaves))
	if err != nil {
		t.Fatal(err)
	}
	digest = proof.Merkle(leaves)
	eachBlock(t, [][]byte{object}, func(b *journal.Block) {
		r := proof.Receipts{Digest: digest, Tip: 4}
		if receipt, err = r.Append(nil, b, 0, path); err != nil {
			t.Fatal(err)
		}
	})
	return receipt, digest
}

func TestReceiptsShowEveryIonType(t *testing.T) {
	c := newChecker(t)
	seed := rand.Uint64()
	for n := range 60 {
		receipt, digest := withData(t, func(w *ion.Writer) {
			k := kinds{rand.New(rand.NewPCG(seed, uint64(n))), w} // the same twice
			w.BeginStruct()
			for range 40 {
				w.Field(k.text())
				k.value(4)
			}
			w.End()
		})
		if words, ok := c.check(t, receipt, digest.String()); !ok {
			t.Fatalf("seed %d: %s\n%s", seed, words, receipt)
		}
	}
}

// meaning is a receipt without what it says that no hash covers: NotCovered, and
// the order of a struct's fields. What is no JSON means itself.
func meaning(t *testing.T, receipt []byte) string {
	t.Helper()
	var r map[string]any
	d := json.NewDecoder(bytes.NewReader(receipt))
	d.UseNumber()
	if d.Decode(&r) != nil || d.More() {
		return string(receipt)
	}
	if notes, ok := r["NotCovered"].(map[string]any); ok && len(notes) == 9 {
		r["NotCovered"] = nil
	}
	var sorted func(v any)
	sorted = func(v any) {
		list, _ := v.([]any)
		for i := range list {
			sorted(list[i])
			if fields, ok := list[i].([]any); ok && i > 0 && list[i-1] == "struct" {
				slices.SortFunc(fields, func(a, b any) int { return cmp.Compare(fmt.Sprintf("%q", a), fmt.Sprintf("%q", b)) })
			}
		}
	}
	sorted(r["Data"])
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// alterReceipt changes a receipt at random: its bytes, or its values.
func alterReceipt(t *testing.T, chance *rand.Rand, receipt []byte) []byte {
	t.Helper()
	b := bytes.Clone(receipt)
	at := chance.IntN(len(b))
	switch chance.IntN(7) {
	case 0: // one bit
		b[at] ^= 1 << chance.IntN(8)
		return b
	case 1: // one byte for another that looks right
		b[at] = "0123456789abcdefXYZ+/=\"-.[]{},:"[chance.IntN(31)]
		return b
	case 2: // some bytes less
		return slices.Delete(b, at, min(len(b), at+1+chance.IntN(3)))
	case 3: // one more
		return slices.Insert(b, at, "0a9.-\"[]{}, \\"[chance.IntN(13)])
	case 4: // a line twice, or not at all
		lines := bytes.SplitAfter(b, []byte("\n"))
		i := chance.IntN(len(lines))
		if chance.IntN(2) == 0 {
			return bytes.Join(slices.Delete(lines, i, i+1), nil)
		}
		return bytes.Join(slices.Insert(lines, i, lines[i]), nil)
	}
	var r map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	var lists [][]any
	var collect func(v any)
	collect = func(v any) {
		if list, ok := v.([]any); ok && len(list) > 0 {
			lists = append(lists, list)
			for _, v := range list {
				collect(v)
			}
		}
	}
	for _, name := range []string{"Data", "ToBlock", "ToDigest"} {
		collect(r[name])
	}
	list := lists[chance.IntN(len(lists))]
	i, k := chance.IntN(len(list)), chance.IntN(len(list))
	switch chance.IntN(4) {
	case 0: // two values change places
		list[i], list[k] = list[k], list[i]
	case 1: // a value twice
		list[i] = list[k]
	case 2: // another type
		list[i] = []string{"int", "decimal", "string", "symbol", "timestamp", "list", "sexp", "blob", "clob", "null", "float", "struct", "bool"}[chance.IntN(13)]
	default: // a member for another's value
		names := []string{"DataHash", "RevisionHash", "BlockHash", "Digest", "Data", "ToBlock", "ToDigest", "Deletion", "Metadata"}
		r[names[chance.IntN(9)]] = r[names[chance.IntN(9)]]
	}
	// In the order of the original, so that nothing but the value differs.
	out := []byte("{")
	for n, name := range []string{"Format", "Metadata", "Data", "DataHash", "Deletion", "RevisionHash", "ToBlock", "BlockHash", "ToDigest", "Digest", "NotCovered"} {
		if n > 0 {
			out = append(out, ',')
		}
		v := r[name]
		if members, ok := v.(map[string]any); ok {
			order := []string{"ID", "Version", "TxTime", "TxID", "Ledger", "Strand", "Table", "TableID", "DigestFrom", "Object", "Block", "Tip", "Offset"}
			if name == "NotCovered" {
				order = order[4:]
			} else {
				order = order[:4]
			}
			text := []byte("{")
			for i, name := range order {
				if i > 0 {
					text = append(text, ',')
				}
				text = fmt.Appendf(text, "%q:%s", name, raw(t, members[name]))
			}
			v = json.RawMessage(append(text, '}'))
		}
		out = fmt.Appendf(out, "%q:%s", name, raw(t, v))
	}
	return append(out, '}')
}

// raw is a value as JSON without escapes for HTML.
func raw(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

func TestAlteredReceiptsAreRejected(t *testing.T) {
	var all [][]byte
	digests := map[string]proof.Hash{}
	add := func(receipt []byte, digest proof.Hash) {
		all = append(all, receipt)
		digests[string(receipt)] = digest
	}
	eachReceipt(t, ledgergen.Options{Seed: 9, Documents: 60}, func(_ *journal.Block, _ int, receipt []byte, digest proof.Hash) { add(receipt, digest) })
	seed := rand.Uint64()
	for n := range uint64(20) {
		add(withData(t, func(w *ion.Writer) {
			k := kinds{rand.New(rand.NewPCG(seed, n)), w}
			w.BeginStruct()
			for range 8 {
				w.Field(k.text())
				k.value(3)
			}
			w.End()
		}))
	}
	c := newChecker(t)
	chance := rand.New(rand.NewPCG(seed, 99))
	for n := 0; n < 1000; {
		receipt := all[chance.IntN(len(all))]
		altered := alterReceipt(t, chance, receipt)
		if meaning(t, altered) == meaning(t, receipt) {
			continue
		}
		n++
		// Without a digest of one's own it is harder to tell.
		if words, ok := c.check(t, altered, ""); ok {
			t.Errorf("seed %d: accepted: %s\n%s\nwas\n%s", seed, words, altered, receipt)
		}
	}
}

func TestReceiptsSayWhatNoHashCovers(t *testing.T) {
	c := newChecker(t)
	receipt, digest := withData(t, func(w *ion.Writer) { w.BeginStruct(); w.End() })
	altered := bytes.Replace(receipt, []byte(`"Object":"object0"`), []byte(`"Object":"elsewhere"`), 1)
	words, ok := c.check(t, altered, "")
	if !ok || bytes.Equal(altered, receipt) || !strings.Contains(words, `no hash covers`) || !strings.Contains(words, `object "elsewhere"`) || !strings.HasPrefix(words, "CONSISTENT with the digest it shows, and no more") {
		t.Errorf("got %s", words)
	}
	for text, want := range map[string]bool{digest.String(): true, hex.EncodeToString(digest.Bytes()): true, number(7).String(): false, "x": false} {
		if words, ok := c.check(t, receipt, text); ok != want || want != strings.HasPrefix(words, "PROVEN under the digest you gave") {
			t.Errorf("digest %s: %s", text, words)
		}
	}
}

func TestReceiptOfARealRevisionIsAccepted(t *testing.T) {
	digest, err := proof.ParseEvidence(real(t, "block100", "digest123.json"))
	if err != nil {
		t.Fatal(err)
	}
	path := realNode(t, "block100", "block100.proof.ion").hashes(t)
	c := newChecker(t)
	for _, format := range []journal.Format{journal.IonBinary, journal.JSON} {
		eachBlock(t, [][]byte{asObject(t, realNode(t, "block100", "block100.ion"), format)}, func(b *journal.Block) {
			r := proof.Receipts{Digest: digest.Digest, Tip: digest.Tip, From: "digest123.json"}
			receipt, err := r.Append(nil, b, 0, path)
			if err != nil {
				t.Fatal(err)
			}
			words, ok := c.check(t, receipt, digest.Digest.String())
			for _, part := range []string{`["PendingPenaltyTicketAmount", "decimal", "90.25"]`, `["ValidFromDate", "timestamp", "2017-08-21"]`} {
				ok = ok && bytes.Contains(receipt, []byte(part))
			}
			if !ok {
				t.Errorf("%v: %s\n%s", format, words, receipt)
			}
			for name, r := range map[string]proof.Receipts{"another digest": {Digest: number(1), Tip: 123}, "another tip": {Digest: digest.Digest, Tip: 12}} {
				if receipt, err := r.Append(nil, b, 0, path); err == nil {
					t.Errorf("%s: %s", name, receipt)
				}
			}
			if receipt, err := r.Append(nil, b, 0, path[1:]); err == nil {
				t.Errorf("a shorter path: %s", receipt)
			}
			if receipt, err := r.Append(nil, b, 1, path); err == nil {
				t.Errorf("a revision that is not there: %s", receipt)
			}
		})
	}
}

func TestNoReceiptIsMadeOfWhatWasTamperedWith(t *testing.T) {
	ledger, objects := generate(t, ledgergen.Options{Seed: 4, Documents: 60})
	var leaves []proof.Hash
	eachBlock(t, objects, func(b *journal.Block) { leaves = append(leaves, parse(t, b.Hash)) })
	r := proof.Receipts{Digest: ledger.Digest, Tip: ledger.Tip}
	made := map[string]int{}
	for name, tamper := range map[string]func(b *journal.Block, r *journal.Revision){
		"nothing":         func(*journal.Block, *journal.Revision) {},
		"document":        func(_ *journal.Block, r *journal.Revision) { r.DocumentID = []byte("another") },
		"version":         func(_ *journal.Block, r *journal.Revision) { r.Version++ },
		"transaction":     func(_ *journal.Block, r *journal.Revision) { r.TxID = []byte("another") },
		"time":            func(_ *journal.Block, r *journal.Revision) { r.TxTime = []byte("2019-09-16T19:37:05.344Z") },
		"no time":         func(_ *journal.Block, r *journal.Revision) { r.TxTime = nil },
		"data is no more": func(_ *journal.Block, r *journal.Revision) { r.RawData, r.DataHash = nil, nil; r.Version += 9 },
		"data":            func(_ *journal.Block, r *journal.Revision) { r.RawData, r.DataHash = []byte{0xD0}, nil },
		"data is null":    func(_ *journal.Block, r *journal.Revision) { r.RawData, r.DataHash = []byte{0x0F}, nil },
		"dataHash":        func(_ *journal.Block, r *journal.Revision) { r.RawData, r.DataHash = nil, number(1).Bytes() },
		"hash":            func(_ *journal.Block, r *journal.Revision) { r.Hash = number(1).Bytes() },
		"no hash":         func(_ *journal.Block, r *journal.Revision) { r.Hash = nil },
		"entries":         func(b *journal.Block, _ *journal.Revision) { b.EntriesHashList[0] = number(1).Bytes() },
		"previous block":  func(b *journal.Block, _ *journal.Revision) { b.PreviousHash = number(1).Bytes() },
		"block":           func(b *journal.Block, _ *journal.Revision) { b.Hash = number(1).Bytes() },
	} {
		eachBlock(t, objects, func(b *journal.Block) {
			if len(b.Revisions) == 0 || !b.Revisions[0].HasMetadata {
				return
			}
			path, err := proof.Inclusion(uint64(b.SequenceNo), uint64(len(leaves)), nodesOf(leaves))
			if err != nil {
				t.Fatal(err)
			}
			tamper(b, &b.Revisions[0])
			receipt, err := r.Append([]byte("before"), b, 0, path)
			if err == nil {
				made[name]++
			} else if string(receipt) != "before" {
				t.Errorf("%s: left %s", name, receipt)
			}
		})
	}
	if len(made) != 1 || made["nothing"] < 15 {
		t.Errorf("receipts were made: %v", made)
	}
}

func TestDeletionsAreToldFromRemovedData(t *testing.T) {
	c := newChecker(t)
	done := map[string]bool{}
	eachReceipt(t, ledgergen.Options{Seed: 9, Documents: 60}, func(b *journal.Block, i int, receipt []byte, _ proof.Hash) {
		r := &b.Revisions[i]
		kind, words := "document", "metadata and data are as shown"
		var changes [][2]string
		switch {
		case r.Deleted():
			kind, words = "deletion", "it deletes the document"
			changes = [][2]string{{`"Deletion": "null"`, `"Deletion": ""`}, {`"Deletion": "null"`, `"Deletion": "nothing"`}, {`"Deletion": "null"`, `"Deletion": "metadata"`}, {`"Data": null`, `"Data": ["null","null"]`}}
		case r.Redacted():
			kind, words = "redaction", "its data, which was removed or is withheld, has the hash shown"
			changes = [][2]string{{`"Deletion": ""`, `"Deletion": "null"`}, {`"Data": null`, `"Data": []`}, {`"Data": null`, `"Data": ["struct",[]]`}}
		default:
			changes = [][2]string{{`"Deletion": ""`, `"Deletion": "null"`}, {`"Deletion": ""`, `"Deletion": "metadata"`}}
		}
		if done[kind] {
			return
		}
		done[kind] = true
		if got, ok := c.check(t, receipt, ""); !ok || !strings.Contains(got, words) {
			t.Errorf("%s: %s", kind, got)
		}
		for _, change := range changes {
			altered := bytes.Replace(receipt, []byte(change[0]), []byte(change[1]), 1)
			if got, ok := c.check(t, altered, ""); ok || bytes.Equal(altered, receipt) {
				t.Errorf("%s, %s for %s: %s", kind, change[1], change[0], got)
			}
		}
	})
	if len(done) != 3 {
		t.Errorf("the ledger has %v only", done)
	}
}
