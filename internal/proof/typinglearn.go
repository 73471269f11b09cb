package proof

import (
	"bytes"
	"cmp"
	"slices"

	"godwit/internal/ion"
	"godwit/internal/journal"
)

// A Learner finds the Types of a ledger's JSON from a sample of its revisions:
// readings of their data whose hash is the stored one. The zero value is ready to
// use; it is not safe for concurrent use.
//
// Of what Add is given it keeps, for each table, the revisions with the least
// hashes: a sample of all of them that does not depend on their order.
type Learner struct {
	// Rows is how many revisions of each table are kept. 0: 200.
	Rows int
	// Bytes bounds the data that is kept of each table. 0: 1 MiB.
	Bytes int
	// Effort bounds the work of Learn: bytes that are spelled out and hashed, at
	// about 200 MB a second. It is shared by the tables. 0: 4 GiB.
	Effort int64

	samples map[string]*samples
	system  Verifier // hashes metadata
}

type samples struct {
	rows  []sample // by stored hash
	bytes int
	limit Hash // of the least hash that was not kept; nothing: all were
}

type sample struct {
	data   []byte
	oracle Oracle
}

const (
	defaultRows   = 200
	defaultBytes  = 1 << 20
	defaultEffort = 4 << 30

	// maxTables bounds the tables that are learned, to those met first. A ledger
	// had 40.
	maxTables = 100
	// maxSampleBytes is the longest JSON that is kept. QLDB's documents held
	// 128 KB.
	maxSampleBytes = 256 << 10
)

// The effort that trying one row may take is what keeps the average of the
// table's rows at leastEffort, if as many of them are tried in vain as of the
// sample: a third of a millisecond for each row of a table of which none can be
// proven, and up to mostEffort for the odd row of one of which all can.
const (
	leastEffort = 1 << 16
	mostEffort  = 4 << 20
)

// Add offers a revision whose data is JSON; others are passed over. What is kept
// of it is copied.
func (l *Learner) Add(r *journal.Revision) {
	table, data := r.Table.ID, r.RawData
	rows, size := cmp.Or(l.Rows, defaultRows), cmp.Or(l.Bytes, defaultBytes)
	stored, err := ParseHash(r.Hash)
	if data == nil || !r.HasMetadata || len(data) > min(maxSampleBytes, size) || err != nil || !stored.full {
		return
	}
	s := l.samples[table]
	if s == nil {
		if len(l.samples) == maxTables {
			return
		}
		if l.samples == nil {
			l.samples = map[string]*samples{}
		}
		s = &samples{}
		l.samples[table] = s
	}
	at, twice := slices.BinarySearchFunc(s.rows, stored, func(r sample, h Hash) int { return compare(r.oracle.revision, h) })
	if twice || s.limit.full && compare(stored, s.limit) >= 0 {
		return
	}
	metadata, err := l.system.spell(r.RawMetadata, true)
	if err != nil {
		return
	}
	s.rows = slices.Insert(s.rows, at, sample{data: bytes.Clone(data), oracle: Oracle{metadata, stored}})
	s.bytes += len(data)
	for len(s.rows) > rows || s.bytes > size {
		last := len(s.rows) - 1
		s.limit, s.bytes = s.rows[last].oracle.revision, s.bytes-len(s.rows[last].data)
		s.rows[last] = sample{}
		s.rows = s.rows[:last]
	}
}

func compare(a, b Hash) int { return bytes.Compare(a.sum[:], b.sum[:]) }

// Learn finds the Types of what was added. The same sample has the same Types.
func (l *Learner) Learn() *Types {
	types := &Types{tables: map[string]*table{}}
	left := cmp.Or(l.Effort, defaultEffort)
	ids := make([]string, 0, len(l.samples))
	for id := range l.samples {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for i, id := range ids {
		c := course{table: newTable(), rows: l.samples[id].rows, left: left / int64(len(ids)-i)}
		before := c.left
		c.run()
		left -= before - c.left
		types.tables[id] = c.table
	}
	return types
}

// A course is what learning one table takes.
type course struct {
	table *table
	rows  []sample
	left  int64 // effort
	doc   document

	provable []int       // rows
	proven   []provenRow // what they tell
}

// A provenRow is what one row tells: for each of its slots, the rules that read
// all of its values as they were proven, as bits.
type provenRow []told

type told struct {
	path  int32
	class class
	rules uint64
}

// run learns. It tries rows with little effort first, the short ones before the
// long, and as soon as one is proven begins again, because what it tells makes
// others easy. Only a few rows are worth much effort.
func (c *course) run() {
	t := c.table
	t.samples = len(c.rows)
	var open []int
	for i := range c.rows {
		if c.doc.parse(c.rows[i].data, t) == nil {
			t.addPaths(&c.doc)
			open = append(open, i)
		}
	}
	slices.SortStableFunc(open, func(a, b int) int { return len(c.rows[a].data) - len(c.rows[b].data) })
	for effort := int64(easiestEffort); effort <= hardestEffort && len(open) > 0 && c.left > 0; {
		before := len(open)
		most := max(sweepEffort/effort, 1)
		open = slices.DeleteFunc(open, func(i int) bool {
			most--
			ok := most >= 0 && c.left > 0 && c.try(&c.rows[i], effort)
			if ok {
				c.provable = append(c.provable, i)
			}
			return ok
		})
		if effort *= 4; len(open) < before {
			effort = easiestEffort
			c.cluster()
			t.compile()
		}
	}
	c.measure()
}

// The effort of a row of the sample, and of all rows that are tried with the same.
const (
	easiestEffort = 1 << 14
	hardestEffort = 64 << 20
	sweepEffort   = 64 << 20
)

// try looks for a reading of the row that its hash proves, and learns from it.
func (c *course) try(row *sample, effort int64) bool {
	t, d := c.table, &c.doc
	if d.parse(row.data, t) != nil {
		return false
	}
	d.work = 0
	defer func() { c.left -= d.work }()
	if !d.plain() {
		return false
	}
	h, err := d.hash()
	if err != nil {
		return false
	}
	if !row.oracle.Accepts(h) {
		if _, _, ok := d.prove(t, row.oracle, effort); !ok {
			return false
		}
	}
	c.learn()
	return true
}

// plain reads every value as it looks.
func (d *document) plain() bool {
	for i := range d.nodes {
		if n := &d.nodes[i]; n.class != structClass && n.class != boolClass && !d.takeAny(n) {
			return false
		}
	}
	return true
}

// learn notes how the document was read.
func (c *course) learn() {
	d := &c.doc
	var row provenRow
	at := map[[2]int32]int{}
	for i := range d.nodes {
		n := &d.nodes[i]
		if n.class == structClass || n.class == boolClass {
			continue
		}
		rules := d.rules(n)
		c.table.known[n.class].add(rules)
		if n.path < 0 {
			continue
		}
		s := &c.table.paths[n.path].slots[n.class]
		if *s == nil {
			*s = &slot{}
		}
		(*s).add(rules)
		key := [2]int32{n.path, int32(n.class)}
		if k, ok := at[key]; ok {
			row[k].rules &= rules
		} else {
			at[key] = len(row)
			row = append(row, told{n.path, n.class, rules})
		}
	}
	c.proven = append(c.proven, row)
}

// rules are those that read n as it is read now, as bits.
func (d *document) rules(n *node) uint64 {
	r := n.reading.rule
	if n.class < emptyClass {
		return 1 << r
	}
	text := n.reading.text
	if r.ionType() == ion.DecimalType {
		text = d.exact(text)
	}
	bits := uint64(1) << r
	from := len(d.arena)
	for _, other := range choices[n.class] {
		if other.rule.ionType() != r.ionType() {
			continue
		}
		out, ok := other.rule.read(d.arena[:from], n.text)
		if ok && bytes.Equal(out[from:], text) {
			bits |= 1 << other.rule
		}
		d.arena = out[:from]
	}
	d.work += perValue + int64(len(n.text))
	return bits
}

// cluster finds the typings: one rule for each slot that together read as many
// rows as they can, then those of the rows that are left.
func (c *course) cluster() {
	t, rows := c.table, c.proven
	t.typings = t.typings[:0]
	for p := range t.paths {
		for _, s := range t.paths[p].slots {
			if s != nil {
				s.as = [maxTypings]rule{}
			}
		}
	}
	for k := 0; k < maxTypings && len(rows) > 0; k++ {
		votes := c.vote(rows)
		fits := func(row provenRow) bool {
			for _, w := range row {
				if w.rules&(1<<votes.best(w)) == 0 {
					return false
				}
			}
			return true
		}
		var read, rest []provenRow
		for _, row := range rows {
			if fits(row) {
				read = append(read, row)
			} else {
				rest = append(rest, row)
			}
		}
		if len(read) == 0 || k > 0 && len(read)*rareTyping < len(c.proven) {
			return
		}
		// A slot that only other rows have is none of this typing's.
		votes = c.vote(read)
		for _, row := range read {
			for _, w := range row {
				t.paths[w.path].slots[w.class].as[k] = votes.best(w)
			}
		}
		t.typings = append(t.typings, 0)
		rows = rest
	}
}

// rareTyping: a typing is none when it reads fewer than one row of so many.
const rareTyping = 50

type ballot map[[2]int32]*slot

// vote counts rows by slot.
func (c *course) vote(rows []provenRow) ballot {
	b := ballot{}
	for _, row := range rows {
		for _, w := range row {
			key := [2]int32{w.path, int32(w.class)}
			if b[key] == nil {
				b[key] = &slot{}
			}
			b[key].add(w.rules)
		}
	}
	return b
}

// best is the rule that most rows agree with; of several, the most usual.
func (b ballot) best(w told) rule {
	s := b[[2]int32{w.path, int32(w.class)}]
	best, most, weight := w.class.plain(), 0, uint16(0)
	for _, r := range choices[w.class] {
		if n := s.count(r.rule); n > most || n == most && r.weight > weight {
			best, most, weight = r.rule, n, r.weight
		}
	}
	return best
}

// measure proves the sample's rows once more, as a Typist will.
func (c *course) measure() {
	t, d := c.table, &c.doc
	for _, i := range c.provable {
		if d.parse(c.rows[i].data, t) != nil {
			continue
		}
		_, typing, ok := d.prove(t, c.rows[i].oracle, mostEffort)
		if !ok {
			continue
		}
		t.proven++
		if typing != searched && typing < len(t.typings) {
			t.typings[typing]++
		}
	}
	t.effort = min(max(leastEffort*int64(t.samples+1)/int64(t.samples-t.proven+1), leastEffort), mostEffort)
}
