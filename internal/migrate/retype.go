package migrate

import (
	"math"

	"godwit/internal/change"
	"godwit/internal/ion"
	"godwit/internal/journal"
	"godwit/internal/proof"
)

// A retyper gives the rows of JSON the values that were hashed. It is a Verifier's
// Typing: of each document that it finds proven it keeps, until the block is
// mapped, the values that JSON shows otherwise. A nil one changes nothing.
type retyper struct {
	typist proof.Typist
	found  map[*byte][]proof.Recovered // by the first byte of the document
	values []proof.Recovered
	text   []byte
}

func newRetyper(types *proof.Types) *retyper {
	if types == nil {
		return nil
	}
	return &retyper{typist: proof.Typist{Types: types}, found: map[*byte][]proof.Recovered{}}
}

// goOn goes on in the item that at stands in: what odd revisions may take is the
// item's, wherever calls hand on.
func (y *retyper) goOn(at *Resume) {
	if y != nil {
		y.typist.Spent = at.Spent
	}
}

func (y *retyper) spent() int64 {
	if y == nil {
		return 0
	}
	return y.typist.Spent
}

// forget makes room for the next block.
func (y *retyper) forget() {
	if y != nil {
		clear(y.found)
		y.values, y.text = y.values[:0], y.text[:0]
	}
}

// DataHash is the Typist's.
func (y *retyper) DataHash(table string, data []byte, oracle proof.Oracle) (proof.Hash, bool) {
	h, ok := y.typist.DataHash(table, data, oracle)
	if !ok {
		return h, false
	}
	from := len(y.values)
	for v := range y.typist.Recovered() {
		if v.Text != nil { // borrowed
			at := len(y.text)
			y.text = append(y.text, v.Text...)
			v.Text = y.text[at:len(y.text):len(y.text)]
		}
		y.values = append(y.values, v)
	}
	y.found[&data[0]] = y.values[from:len(y.values):len(y.values)]
	return h, true
}

// unproven tells whether r is a document in JSON whose types were looked for and
// not found.
func (y *retyper) unproven(b *journal.Block, r *journal.Revision) bool {
	if y == nil || b.Format != journal.JSON || len(r.RawData) == 0 {
		return false
	}
	_, ok := y.found[&r.RawData[0]]
	return !ok
}

// apply makes t, the tape of r's data, what it was in Ion. One that is not proven
// stays as JSON shows it.
func (y *retyper) apply(r *journal.Revision, t *change.Tape) {
	if y == nil || t == nil || len(r.RawData) == 0 {
		return
	}
	for _, v := range y.found[&r.RawData[0]] {
		retype(t, &v)
	}
}

// retype makes one node of a tape what it was.
func retype(t *change.Tape, v *proof.Recovered) {
	n := &t.Nodes[v.Node]
	n.Int, n.Off, n.Len, n.Flags = 0, 0, 0, 0
	if v.Text != nil {
		n.Off, n.Len = uint32(len(t.Data)), uint32(len(v.Text))
		t.Data = append(t.Data, v.Text...)
	}
	if v.Null {
		n.Kind, n.Flags = change.Null, change.TypedNull
		return
	}
	switch v.Type { //nolint:exhaustive // the others look in JSON as they are
	case ion.SexpType:
		n.Flags = change.Sexp
	case ion.SymbolType:
		n.Flags = change.Symbol
	case ion.BlobType:
		n.Kind = change.Bytes
	case ion.ClobType:
		n.Kind, n.Flags = change.Bytes, change.Clob
	case ion.TimestampType:
		n.Kind = change.Timestamp
	case ion.DecimalType:
		n.Kind = change.Decimal
	case ion.FloatType:
		n.Kind, n.Int = change.Float, int64(math.Float64bits(v.Float))
	}
}
