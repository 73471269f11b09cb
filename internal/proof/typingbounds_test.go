package proof

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/journal"
)

// revisionOf is a revision of table T with data that no reading has the hash of.
func revisionOf(data string) *journal.Revision {
	stored := sha256.Sum256([]byte(data))
	return &journal.Revision{
		Hash: stored[:], HasMetadata: true, RawMetadata: []byte(`{"id":"d"}`), RawData: []byte(data),
		Table: change.SourceTable{ID: "T", Name: "T"},
	}
}

// hostile are documents that would take for ever, or all memory, if one let them.
func hostile() map[string]string {
	members := func(n int, value string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"name%d":%s`, i, value)
		}
		return "{" + b.String()[1:] + "}"
	}
	deep := strings.Repeat(`{"a":[`, 255)
	return map[string]string{
		"deep":             deep + `"2021T"` + strings.Repeat("]}", 255),
		"too deep":         strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
		"many members":     members(10_000, `"2021T"`),
		"many paths":       members(3_000, `{"a":null,"b":9}`),
		"many nulls":       `{"a":[` + strings.Repeat("null,", 4000) + "null]}",
		"too many values":  "[" + strings.Repeat("1,", maxNodes) + "1]",
		"long number":      `{"a":` + strings.Repeat("7", maxDigits) + "}",
		"too long number":  `{"a":` + strings.Repeat("7", 1<<20) + "}",
		"long fraction":    `{"a":0.` + strings.Repeat("7", maxDigits-2) + "}",
		"large exponent":   `{"a":[1e2147483647,1e-2147483648,1e99999999999,1.5e-2147483648,8.7e308,8.7e309]}`,
		"long strings":     `{"a":"` + strings.Repeat("QUJD", 30_000) + `"}`,
		"longest string":   `{"a":"` + strings.Repeat("QUJD", 1<<20) + `"}`,
		"the same name":    `{"a":1` + strings.Repeat(`,"a":null`, 2_000) + "}",
		"long names":       members(200, "1")[:1] + `"` + strings.Repeat("n", 200_000) + `":null}`,
		"not json":         `{"a":`,
		"nothing":          ``,
		"another behind":   `{} {}`,
		"no string at all": `"` + "\xff" + `"`,
	}
}

// TestHostileDocumentsAreGivenUpWithinTheirEffort counts work, not time.
func TestHostileDocumentsAreGivenUpWithinTheirEffort(t *testing.T) {
	for name, data := range hostile() {
		y := &Typist{}
		r := revisionOf(data)
		stored, err := ParseHash(r.Hash)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := y.DataHash("T", r.RawData, Oracle{stored, stored}); ok {
			t.Errorf("%s: proven", name)
		}
		// What preparing takes of a document that is not searched any more, and one
		// hash: a constant for each of its bytes.
		if limit := int64(leastEffort + 100*len(data) + 1<<21); y.doc.work > limit {
			t.Errorf("%s: %d bytes were spelled out, want %d at most", name, y.doc.work, limit)
		}
		if n := len(y.doc.nodes); n > maxNodes {
			t.Errorf("%s: %d nodes", name, n)
		}
	}
}

func TestLearningHostileDocumentsEnds(t *testing.T) {
	l := Learner{Effort: 64 << 20}
	for _, data := range hostile() {
		for i := range 20 {
			l.Add(revisionOf(strings.Replace(data, "{", fmt.Sprintf(`{"n%d":%d,`, i%3, i), 1)))
		}
	}
	kept := 0
	for _, r := range l.samples["T"].rows {
		kept += len(r.data)
	}
	if kept > defaultBytes {
		t.Errorf("%d bytes are kept, want %d at most", kept, defaultBytes)
	}
	types := l.Learn()
	if got := types.Tables()["T"]; got.Samples == 0 || got.Proven != 0 {
		t.Errorf("learned %+v", got)
	}
	table := types.tables["T"]
	if len(table.paths) > maxPaths || table.pathBytes > maxPathBytes || table.effort != leastEffort {
		t.Errorf("%d paths, %d bytes, effort %d", len(table.paths), table.pathBytes, table.effort)
	}
	for i := range 2 * maxTables {
		r := revisionOf(`{}`)
		r.Table.ID = fmt.Sprint(i)
		l.Add(r)
	}
	if len(l.samples) != maxTables {
		t.Errorf("%d tables are kept, want %d", len(l.samples), maxTables)
	}
}

// TestLearnedRowsTakeOneHashAndNoMemory proves a row under types that were
// learned of it.
func TestLearnedRowsTakeOneHashAndNoMemory(t *testing.T) {
	data := []byte(`{"VIN":"1N4AL11D75C109151","PendingPenaltyTicketAmount":9025e-2,"ValidFromDate":"2017-08-21","Owners":{"PrimaryOwner":{"PersonId":"BFJKdXhnLRT27sXBnojNGW"},"SecondaryOwners":[{"PersonId":"CMVdR77XP8zAglmmFDGTvt"}]},"Seen":null,"Score":8.700000000000001}`)
	known := newTable()
	var d document
	if err := d.parse(data, known); err != nil {
		t.Fatal(err)
	}
	if !d.plain() {
		t.Fatal("data cannot be read")
	}
	for i := range d.nodes {
		n := &d.nodes[i]
		switch n.class {
		case instantClass:
			d.take(n, timestampRule)
		case noisyClass:
			d.take(n, scaleRule+1)
		}
	}
	h, err := d.hash()
	if err != nil {
		t.Fatal(err)
	}
	oracle := Oracle{revision: h} // metadata: nothing
	c := course{table: known, left: 1 << 30, rows: []sample{{data, oracle}}}
	c.run()
	if known.proven != 1 || len(known.typings) != 1 || known.typings[0] != 1 {
		t.Fatalf("learned %+v", known)
	}
	y := &Typist{Types: &Types{tables: map[string]*table{"T": known}}}
	hashes := 0
	for range 3 {
		before := y.doc.work
		if got, ok := y.DataHash("T", data, oracle); !ok || got != h {
			t.Fatalf("got %v %t, want %v", got, ok, h)
		}
		hashes = int(y.doc.work - before)
	}
	if hashes > 20*perHash+2*len(data) {
		t.Errorf("%d bytes are spelled out for one row of %d", hashes, len(data))
	}
	if n := testing.AllocsPerRun(100, func() { y.DataHash("T", data, oracle) }); n != 0 {
		t.Errorf("%v allocations a row, want none", n)
	}
}

func FuzzDocument(f *testing.F) {
	for _, data := range hostile() {
		if len(data) < 1<<10 {
			f.Add([]byte(data))
		}
	}
	f.Add([]byte(`{"a":[1,2.50,"2021-08-03T17:04:05Z","QUJD",null,true,8.700000000000001,-0,5e0],"a":{"":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		y := &Typist{}
		r := revisionOf(string(data))
		stored, _ := ParseHash(r.Hash)
		if _, ok := y.DataHash("T", data, Oracle{stored, stored}); ok {
			t.Fatal("proven")
		}
		// What is proven stays so, whatever it is read as on the way.
		var d document
		table := newTable()
		table.compile()
		if d.parse(data, table) != nil || !d.plain() {
			return
		}
		h, err := d.hash()
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		l := Learner{}
		r.Hash = RevisionHash(metadataHash(t, r.RawMetadata), h).Bytes()
		l.Add(r)
		types := l.Learn()
		if got := types.Tables()["T"].Proven; got != 1 {
			t.Fatalf("%q: %d proven", data, got)
		}
		text, err := json.Marshal(types)
		if err != nil {
			t.Fatal(err)
		}
		var again Types
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !accepts(t, &again, r) {
			t.Fatalf("%q: proven, and not again by %s", data, text)
		}
	})
}

func metadataHash(t *testing.T, metadata []byte) Hash {
	t.Helper()
	var l Learner
	h, err := l.system.spell(metadata, true)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func accepts(t *testing.T, types *Types, r *journal.Revision) bool {
	t.Helper()
	stored, err := ParseHash(r.Hash)
	if err != nil {
		t.Fatal(err)
	}
	y := &Typist{Types: types}
	_, ok := y.DataHash("T", r.RawData, Oracle{metadataHash(t, r.RawMetadata), stored})
	return ok
}
