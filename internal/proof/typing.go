package proof

import (
	"bytes"
	"iter"
	"math"
	"math/bits"
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

// Tables tells what was learned, by table id.
func (t *Types) Tables() map[string]Learned {
	all := make(map[string]Learned, len(t.tables))
	for id, tb := range t.tables {
		all[id] = Learned{tb.samples, tb.proven, slices.Clone(tb.typings)}
	}
	return all
}

// maxTypings is how many typings of one table are tried whole, one after the
// other, before single values are tried: documents that different programs
// wrote.
const maxTypings = 4

// A table is what is known of one. Its counts are of the Learner's sample.
type table struct {
	samples, proven int
	typings         []int // rows proven by each typing tried whole, the most frequent first
	effort          int64 // bytes that trying a row may spell out
	paths           []path
	pathBytes       int              // of names
	known           [classCount]slot // over all paths
	rules           [classCount][maxTypings]rule
}

// A path leads from a document to values: by names of members, and by being an
// element of a list.
type path struct {
	elements int32 // the path of a list's elements; 0: none
	members  map[string]int32
	slots    [classCount]*slot
	rules    [classCount][maxTypings]rule
}

// A slot is one class of values at one path.
type slot struct {
	values int // proven
	votes  []vote
	as     [maxTypings]rule // in each typing; noRule where it has none of the slot
}

// A vote counts the values that a rule reads as they were proven. Several rules
// may: 9.5 is a decimal as printed, and one with one digit behind the point.
type vote struct {
	rule  rule
	count int
}

func (s *slot) count(r rule) int {
	if s == nil {
		return 0
	}
	for _, v := range s.votes {
		if v.rule == r {
			return v.count
		}
	}
	return 0
}

func (s *slot) total() int {
	if s == nil {
		return 0
	}
	return s.values
}

// add counts one value that each of the rules, as bits, reads.
func (s *slot) add(rules uint64) {
	s.values++
	for ; rules != 0; rules &= rules - 1 {
		s.vote(rule(bits.TrailingZeros64(rules)), 1)
	}
}

func (s *slot) vote(r rule, n int) {
	for i := range s.votes {
		if s.votes[i].rule == r {
			s.votes[i].count += n
			return
		}
	}
	s.votes = append(s.votes, vote{r, n})
}

// join adds what other counts.
func (s *slot) join(other *slot) {
	s.values += other.values
	for _, v := range other.votes {
		s.vote(v.rule, v.count)
	}
}

func newTable() *table {
	return &table{paths: make([]path, 1), effort: leastEffort}
}

// member returns the path of the member of a value at p, or -1.
func (t *table) member(p int32, name []byte) int32 {
	if p < 0 {
		return -1
	}
	if m, ok := t.paths[p].members[string(name)]; ok {
		return m
	}
	return -1
}

// element returns the path of the elements of a value at p, or -1.
func (t *table) element(p int32) int32 {
	if p < 0 || t.paths[p].elements == 0 {
		return -1
	}
	return t.paths[p].elements
}

// addPaths makes paths of all values of d, as far as there is room.
func (t *table) addPaths(d *document) {
	for i := range d.nodes {
		n := &d.nodes[i]
		if n.parent < 0 {
			continue
		}
		p := &d.nodes[n.parent]
		inStruct := p.class == structClass
		if inStruct {
			n.path = t.member(p.path, n.name)
		} else {
			n.path = t.element(p.path)
		}
		if n.path >= 0 || p.path < 0 || len(t.paths) == maxPaths || t.pathBytes+len(n.name) > maxPathBytes {
			continue
		}
		n.path = int32(len(t.paths))
		t.paths = append(t.paths, path{})
		if at := &t.paths[p.path]; !inStruct {
			at.elements = n.path
		} else {
			if at.members == nil {
				at.members = map[string]int32{}
			}
			at.members[string(n.name)] = n.path
			t.pathBytes += len(n.name)
		}
	}
}

// maxPaths bounds the paths of one table, and maxPathBytes their names. Values at
// others are read by what is usual.
const (
	maxPaths     = 4096
	maxPathBytes = 1 << 20
)

// cost says how unlikely it is that a value of class c at path p was what r makes
// of it: 64 times the negative binary logarithm of a share. The share among the
// path's values of the class counts most; the fewer those are, the more do those
// of other classes of the path, of the class in other paths, and what is usual.
func (t *table) cost(p int32, c class, r weighted) int32 {
	share := t.usual(c, r)
	if p >= 0 {
		first, last := c.kin()
		votes, values := 0, 0
		for k := first; k <= last; k++ {
			if s := t.paths[p].slots[k]; k != c && s != nil {
				votes, values = votes+s.count(r.rule), values+s.values
			}
		}
		share = (float64(votes) + share) / float64(values+1)
		s := t.paths[p].slots[c]
		share = (float64(s.count(r.rule)) + share) / float64(s.total()+1)
	}
	return logarithm(share)
}

// usual is the share of a rule among all values of a class.
func (t *table) usual(c class, r weighted) float64 {
	k := &t.known[c]
	return (float64(k.count(r.rule)) + 2*float64(r.weight)/1000) / float64(k.total()+2)
}

// bit is what a cost counts a factor of two as.
const bit = 64

func logarithm(share float64) int32 {
	return int32(math.Round(-bit * math.Log2(max(share, 1e-12))))
}

// likeliest is the rule of the least cost.
func (t *table) likeliest(p int32, c class) rule {
	best, least := c.plain(), int32(math.MaxInt32)
	for _, r := range choices[c] {
		if cost := t.cost(p, c, r); cost < least {
			best, least = r.rule, cost
		}
	}
	return best
}

// compile makes the rules of each typing ready to be looked up.
func (t *table) compile() {
	t.known = [classCount]slot{}
	for p := range t.paths {
		for c, s := range t.paths[p].slots {
			if s != nil {
				t.known[c].join(s)
			}
		}
	}
	for c := range classCount {
		usual := t.likeliest(-1, c)
		for k := range maxTypings {
			t.rules[c][k] = usual
		}
	}
	for p := range t.paths {
		for c := range classCount {
			usual := t.likeliest(int32(p), c)
			for k := range maxTypings {
				t.paths[p].rules[c][k] = usual
				if s := t.paths[p].slots[c]; s != nil && s.as[k] != noRule {
					t.paths[p].rules[c][k] = s.as[k]
				}
			}
		}
	}
}

// rule is that of typing k for a value.
func (t *table) rule(p int32, c class, k int) rule {
	if p < 0 {
		return t.rules[c][k]
	}
	return t.paths[p].rules[c][k]
}

// A Typist proves revisions whose data is JSON, under Types. The zero value knows
// none, and tries what is usual. It keeps its buffers and is not safe for
// concurrent use.
type Typist struct {
	Types *Types
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
// has the same answer, whatever was asked before.
func (y *Typist) DataHash(id string, data []byte, oracle Oracle) (h Hash, ok bool) {
	y.found = false
	t := y.of(id)
	if y.doc.parse(data, t) != nil {
		return Hash{}, false // whoever makes a row of it says why
	}
	h, _, y.found = y.doc.prove(t, oracle, t.effort)
	if y.found && y.Found != nil {
		y.Found(data)
	}
	return h, y.found
}

// searched stands for no typing: values were tried one by one.
const searched = -1

// prove looks for a reading that the oracle accepts, and says by which typing it
// was found.
func (d *document) prove(t *table, oracle Oracle, effort int64) (_ Hash, typing int, ok bool) {
	for k := range max(1, len(t.typings)) {
		changed, ok := d.read(t, k)
		if !ok {
			return Hash{}, k, false
		}
		if !changed {
			continue
		}
		h, err := d.hash()
		if err != nil {
			return Hash{}, k, false
		}
		if oracle.Accepts(h) {
			return h, k, true
		}
	}
	h, ok := d.search(t, oracle, effort)
	return h, searched, ok
}

// read reads every value by typing k, or as it looks where the typing's rule
// cannot be. changed reports whether a value is read differently than before; ok
// is false when there is a value that cannot be hashed at all.
func (d *document) read(t *table, k int) (changed, ok bool) {
	for i := range d.nodes {
		n := &d.nodes[i]
		if n.class == structClass || n.class == boolClass {
			continue
		}
		was := n.reading.rule
		if !d.take(n, t.rule(n.path, n.class, k)) && !d.takeAny(n) {
			return false, false
		}
		changed = changed || n.reading.rule != was
	}
	return changed || k == 0, true
}

// takeAny makes n be read by its first rule that can be, as it looks mostly.
func (d *document) takeAny(n *node) bool {
	for _, r := range choices[n.class] {
		if d.take(n, r.rule) {
			return true
		}
	}
	return false
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

// exact is the text of a decimal as journal has it.
func (d *document) exact(text []byte) []byte {
	var buf [maxTriedDigits]byte
	n, ok := splitNumber(buf[:0], text)
	if !ok {
		return text // never: it was hashed
	}
	from := len(d.arena)
	d.arena = ion.AppendDecimalText(d.arena, n.negative, n.digits, n.exponent)
	return d.arena[from:len(d.arena):len(d.arena)]
}
