package proof

import (
	"math"
	"math/bits"

	"godwit/internal/ion"
)

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
// of other classes of the path, of the class in other paths, and what is usual. A
// null's type also is likely to be that of other values at the path.
func (t *table) cost(p int32, c class, r weighted) int32 {
	share := t.usual(c, r)
	if p >= 0 {
		if c == nullClass {
			share = (share + t.paths[p].share(r.rule)) / 2
		}
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

// share is that of the type of a null among the values at the path that are
// none: where the type of nulls was kept, it mostly is that of the others.
func (p *path) share(null rule) float64 {
	values, alike := 0, 0
	for c := listClass; c < classCount; c++ {
		s, most := p.slots[c], 0
		if s == nil {
			continue
		}
		for _, v := range s.votes {
			if null < nanRule && v.rule.ionType() == null.ionType() {
				most = max(most, v.count)
			}
		}
		values, alike = values+s.values, alike+most
	}
	switch {
	case values > 0:
		return float64(alike) / float64(values)
	case null.ionType() == ion.StructType && len(p.members) > 0:
		return 1
	}
	return 0
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
