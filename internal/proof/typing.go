package proof

import (
	"bytes"
	"iter"
	"slices"

	"godwit/internal/ion"
)

// Types are the Ion types that a ledger's JSON lost, as a Learner found them: for
// each table, and each path in its documents, which rules turn JSON values back
// into the values that were hashed. They do not change, and are safe for
// concurrent use; as JSON they are one small file that every reader of an archive
// shares.
//
// A rule is proven row by row, never believed: a Typist says that a revision is
// proven only when the values that it read have the stored hash. Whoever shows
// such a revision must show those values, which Recovered yields, and not the
// JSON: 8.700000000000001 is proven as 8.7 only.
type Types struct {
	tables map[string]*table
}

// Learned says how far the sample of one table could be proven.
type Learned struct {
	Samples int   // revisions in the sample
	Proven  int   // of those
	Typings []int // of those, by each typing of the whole document; others value by value
}

// Known tells whether the sample was proven so far that the table's types are
// known: a revision that they do not prove then is the odd one, altered or of
// rarer types. One in twenty may be odd, or a single one of a small sample.
func (l Learned) Known() bool {
	return l.Proven >= 5 && l.Samples-l.Proven <= max(1, l.Samples/20)
}

// Tables tells what was learned, by table id.
func (t *Types) Tables() map[string]Learned {
	all := make(map[string]Learned, len(t.tables))
	for id, tb := range t.tables {
		all[id] = Learned{tb.samples, tb.proven, slices.Clone(tb.typings)}
	}
	return all
}

// OddEffort is what odd revisions, those of tables whose types are known and that
// are not proven within their table's effort, may take more: all of them together,
// until Typist.Spent is set to nothing. It is about five seconds of one core, and
// 600 MB of memory at most, in all. Free-form documents with a dozen nulls and
// numbers took a hundredth of it to nearly all.
const OddEffort = 2 << 30

// A Typist proves revisions whose data is JSON, under Types. The zero value knows
// none, and tries what is usual. It keeps its buffers and is not safe for
// concurrent use.
type Typist struct {
	Types *Types
	// Spent is what odd revisions took of OddEffort. Who sets it to nothing, or to
	// what it was, at places that depend on the archive alone has the same answers
	// whenever the archive is read.
	Spent int64
	// Found, when not nil, is called with each data that DataHash proves, before it
	// returns: the moment to copy what Recovered yields. A Verifier asks for a whole
	// block's revisions before it returns.
	Found func(data []byte)

	doc   document
	other *table // of which nothing is known
	found bool   // doc is read as it was proven
}

func (y *Typist) of(id string) *table {
	if y.Types != nil {
		if t := y.Types.tables[id]; t != nil {
			return t
		}
	}
	if y.other == nil {
		y.other = newTable()
		y.other.compile()
	}
	return y.other
}

// DataHash returns the Ion hash of data, the JSON text of a document of the table
// with the given id, as the oracle accepts it: by one of the table's typings, or
// by trying values one by one within the effort that the table is worth. ok is
// false when no reading that was tried is accepted. That says nothing about data:
// annotations are lost in JSON, and what is not tried is not found. The same data
// has the same answer, whatever was asked before, as long as Spent is the same.
func (y *Typist) DataHash(id string, data []byte, oracle Oracle) (h Hash, ok bool) {
	y.found = false
	t := y.of(id)
	if y.doc.parse(data, t) != nil {
		return Hash{}, false // whoever makes a row of it says why
	}
	before, odd := y.doc.work, int64(0)
	if (Learned{Samples: t.samples, Proven: t.proven}).Known() {
		odd = max(OddEffort-y.Spent, 0)
	}
	h, _, y.found = y.doc.prove(t, oracle, t.effort+odd)
	y.Spent += min(max(y.doc.work-before-t.effort, 0), odd)
	if y.found && y.Found != nil {
		y.Found(data)
	}
	return h, y.found
}

// A Recovered value is one that JSON shows otherwise than it was.
type Recovered struct {
	// Node is the value's number in document order, containers before what they
	// hold: its index in the Nodes of the change.Tape of the same data.
	Node int
	// Type is what the value was: TimestampType, SymbolType, BlobType or ClobType
	// of a string; IntType, DecimalType or FloatType of a number; any type of a
	// null, SexpType of an array.
	Type ion.Type
	// Null says that it was null.<Type>. A null of FloatType may have been a float
	// that JSON has no number for; it then is not Null.
	Null bool
	// Text is a timestamp's or symbol's text, a lob's bytes, and an int or decimal
	// as journal puts it on a tape: ion.AppendDecimalText. It is borrowed until the
	// Typist's next call.
	Text []byte
	// Float is a float.
	Float float64
}

// Recovered yields the values that journal would read otherwise from the data
// that DataHash accepted last, in document order: what a row must hold for the
// revision to be called proven. It yields nothing when the last one was not
// accepted.
func (y *Typist) Recovered() iter.Seq[Recovered] {
	return func(yield func(Recovered) bool) {
		if !y.found {
			return
		}
		for i := range y.doc.nodes {
			n := &y.doc.nodes[i]
			r := n.reading.rule
			if n.class == structClass || n.class == boolClass || r == stringRule || r == nullRule || r == listRule || r == intRule {
				continue
			}
			v := Recovered{Node: i, Type: r.ionType(), Text: n.reading.text}
			switch {
			case n.class == nullClass:
				v.Null, v.Text = r < nanRule, nil
			case n.class == listClass:
				v.Text = nil
			case v.Type == ion.DecimalType:
				v.Text = y.doc.exact(n.reading.text)
				if n.class != integerClass && bytes.Equal(v.Text, y.doc.exact(n.text)) {
					continue
				}
			}
			if v.Type == ion.FloatType && !v.Null {
				v.Float, v.Text = r.float(n.text), nil
			}
			if !yield(v) {
				return
			}
		}
	}
}
