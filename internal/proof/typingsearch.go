package proof

import (
	"bytes"
	"container/heap"
	"slices"
)

// Bounds of a search. QLDB's documents held 128 KB.
const (
	maxSearched      = 4096    // values; a document with more is not searched
	maxSearchedBytes = 1 << 20 // of their text
	maxUnits         = 1024    // units, the likeliest
)

// A search tries readings of one document, the likeliest first, until the oracle
// accepts one. It starts from the likeliest reading of each value and deviates
// from it in more and more units.
type search struct {
	d *document
	t *table

	leaves  []int32  // nodes that may be read in several ways
	options []option // of all leaves
	of      [][2]int // of each leaf, its options: a range
	base    []int    // of each leaf, its option in the base reading
	want    []int    // of each leaf, its option in the reading that is made
	now     []int    // of each leaf, its option as the document is read
	touched []int    // leaves of which want may not be base

	units    []unit  // by the cost of their first deviation
	states   []state // all that were met
	frontier stateHeap

	// Units overlap, so that several sets of deviations may make one reading. It is
	// told from others by the sum of what its leaves weigh.
	reading uint64
	tried   map[uint64]struct{}
}

// An option is one way to read a leaf.
type option struct {
	reading
	same int // the leaf's first option with the same value
}

// A unit is read in one way or another as a whole: all values of a class, those
// of a slot, or one value. A later level overrides an earlier one.
type unit struct {
	level      int8
	leaves     []int // indexes of search.leaves
	deviations []deviation
}

// A deviation from the base reading.
type deviation struct {
	rule rule
	cost int32 // over the base's
}

// A state is a set of deviations: its own, and those of the state that it came
// from.
type state struct {
	from      int32 // -1: none
	unit      int32
	deviation int32
	cost      int32
}

// search reads d in other ways, spelling out about effort bytes at most.
func (d *document) search(t *table, oracle Oracle, effort int64) (Hash, bool) {
	s := search{d: d, t: t}
	end := d.work + effort
	if !s.prepare() {
		return Hash{}, false
	}
	for i := range s.leaves {
		s.choose(i, s.base[i])
	}
	s.tried = map[uint64]struct{}{0: {}}
	for {
		h, err := d.hash()
		if err != nil {
			return Hash{}, false
		}
		if oracle.Accepts(h) {
			return h, true
		}
		if d.work > end || !s.next() {
			return Hash{}, false
		}
	}
}

func (s *search) choose(leaf, option int) {
	n := &s.d.nodes[s.leaves[leaf]]
	n.reading = s.options[option].reading
	s.reading += s.weight(leaf, option) - s.weight(leaf, s.now[leaf])
	s.now[leaf] = option
	s.d.change(n)
}

// prepare finds every leaf's options and the units. It reports false for a
// document that is too large, that cannot be hashed, or that leaves no choice.
func (s *search) prepare() bool {
	d, size := s.d, 0
	for i := range d.nodes {
		if n := &d.nodes[i]; n.class != structClass && n.class != boolClass {
			s.leaves = append(s.leaves, int32(i))
			size += len(n.text)
		}
	}
	if len(s.leaves) > maxSearched || size > maxSearchedBytes {
		return false
	}
	for _, i := range s.leaves {
		if !s.consider(&d.nodes[i]) {
			return false
		}
	}
	s.now, s.want = slices.Clone(s.base), slices.Clone(s.base)
	s.divide()
	return len(s.leaves) > 0
}

// consider finds the options of the next leaf, and the likeliest. It reports false
// where there is none: the document cannot be hashed.
func (s *search) consider(n *node) bool {
	d := s.d
	from, best, least := len(s.options), 0, int32(0)
	for _, r := range choices[n.class] {
		o := option{reading: reading{rule: r.rule, text: n.text}, same: len(s.options)}
		if n.class >= emptyClass {
			at := len(d.arena)
			out, ok := r.rule.read(d.arena, n.text)
			if !ok {
				continue
			}
			d.arena = out
			o.text = out[at:len(out):len(out)]
			for k := from; k < len(s.options); k++ {
				if other := &s.options[k]; o.rule.ionType() == other.rule.ionType() && bytes.Equal(o.text, other.text) {
					o.same = k
					break
				}
			}
		}
		d.work += perValue + int64(len(o.text))
		if cost := s.t.cost(n.path, n.class, r); len(s.options) == from || cost < least {
			best, least = len(s.options), cost
		}
		s.options = append(s.options, o)
	}
	s.of = append(s.of, [2]int{from, len(s.options)})
	s.base = append(s.base, best)
	return len(s.options) > from
}

// divide makes the units.
func (s *search) divide() {
	type place struct {
		path  int32
		class class
	}
	slots := map[place][]int{}
	var order []place
	classes := [classCount][]int{}
	slotsOf := [classCount]int{}
	for i, at := range s.leaves {
		n := &s.d.nodes[at]
		p := place{n.path, n.class}
		if n.path < 0 {
			p.path = -1 - at // nothing tells which belong together
		}
		if slots[p] == nil {
			order = append(order, p)
			slotsOf[n.class]++
		}
		slots[p] = append(slots[p], i)
		classes[n.class] = append(classes[n.class], i)
	}
	for c := range classCount {
		if slotsOf[c] > 1 {
			s.unit(0, -1, c, classes[c])
		}
	}
	for _, p := range order {
		s.unit(1, p.path, p.class, slots[p])
		if all := slots[p]; len(all) > 1 {
			for _, i := range all {
				s.unit(2, p.path, p.class, []int{i})
			}
		}
	}
	slices.SortStableFunc(s.units, func(a, b unit) int { return int(a.deviations[0].cost) - int(b.deviations[0].cost) })
	s.units = s.units[:min(len(s.units), maxUnits)]
	if len(s.units) > 0 {
		s.push(state{from: -1, cost: s.units[0].deviations[0].cost})
	}
}

// unit adds a unit, if there is another way to read it.
func (s *search) unit(level int8, p int32, c class, leaves []int) {
	u := unit{level: level, leaves: leaves}
	least := int32(-1)
	for _, r := range choices[c] {
		cost := s.t.cost(max(p, -1), c, r)
		if least < 0 || cost < least {
			least = cost
		}
		u.deviations = append(u.deviations, deviation{r.rule, cost})
	}
	slices.SortStableFunc(u.deviations, func(a, b deviation) int { return int(a.cost) - int(b.cost) })
	// Of the rules that read the unit's values alike, the likeliest is tried; none
	// that reads them as the base does.
	var seen [][]int
	kept := u.deviations[:0]
	for _, d := range u.deviations {
		s.d.work += 2*perValue + int64(len(leaves))
		values := make([]int, len(leaves))
		changes := 0
		for k, i := range leaves {
			o := s.option(i, d.rule)
			if o < 0 {
				o = s.base[i]
			}
			values[k] = s.options[o].same
			if values[k] != s.options[s.base[i]].same {
				changes++
			}
		}
		known := slices.ContainsFunc(seen, func(other []int) bool { return slices.Equal(values, other) })
		if changes == 0 || known || level == 0 && changes == 1 {
			continue
		}
		seen = append(seen, values)
		d.cost += -least + [...]int32{bit, 0, 2 * bit}[level]
		kept = append(kept, deviation{d.rule, max(d.cost, 1)})
	}
	if u.deviations = kept; len(kept) > 0 {
		s.units = append(s.units, u)
	}
}

// option is the index of a leaf's option with the rule, or -1.
func (s *search) option(leaf int, r rule) int {
	for o := s.of[leaf][0]; o < s.of[leaf][1]; o++ {
		if s.options[o].rule == r {
			return o
		}
	}
	return -1
}

// next reads the document in the likeliest way that was not tried yet. It is
// false at the end, and when there was no new one for long.
func (s *search) next() bool {
	for range maxAlike {
		if len(s.frontier) == 0 {
			return false
		}
		at := heap.Pop(&s.frontier).(ranked).state
		s.follow(at)
		s.apply(at)
		if _, tried := s.tried[s.reading]; !tried {
			s.tried[s.reading] = struct{}{}
			return true
		}
	}
	return false
}

// maxAlike bounds how many sets of deviations in a row may read a document as
// others did.
const maxAlike = 1 << 12

// follow adds what comes from a state. Every set of deviations comes from one
// other only: of the unit last added the next deviation is taken, or the first of
// the next unit, beside it or for it. None costs less than what it comes from.
func (s *search) follow(at int32) {
	now := s.states[at]
	u := &s.units[now.unit]
	cost := now.cost - u.deviations[now.deviation].cost // of the others
	if int(now.deviation)+1 < len(u.deviations) {
		s.push(state{now.from, now.unit, now.deviation + 1, cost + u.deviations[now.deviation+1].cost})
	}
	if int(now.unit)+1 < len(s.units) {
		first := s.units[now.unit+1].deviations[0].cost
		s.push(state{at, now.unit + 1, 0, now.cost + first})
		if now.deviation == 0 {
			s.push(state{now.from, now.unit + 1, 0, cost + first})
		}
	}
}

// weight is what a leaf read by an option adds to search.reading: nothing for the
// base's value.
func (s *search) weight(leaf, option int) uint64 {
	o := s.options[option].same
	if o == s.options[s.base[leaf]].same {
		return 0
	}
	x := uint64(o+1) * 0x9E3779B97F4A7C15 // options are numbered over all leaves
	x ^= x >> 29
	x *= 0xBF58476D1CE4E5B9
	return x ^ x>>32
}

// apply reads the document by a state.
func (s *search) apply(at int32) {
	before := len(s.touched)
	for _, leaf := range s.touched {
		s.want[leaf] = s.base[leaf]
	}
	for level := range int8(3) {
		for k := at; k >= 0; k = s.states[k].from {
			u := &s.units[s.states[k].unit]
			if u.level != level {
				continue
			}
			for _, leaf := range u.leaves {
				if o := s.option(leaf, u.deviations[s.states[k].deviation].rule); o >= 0 {
					s.want[leaf] = o
					s.touched = append(s.touched, leaf)
				}
			}
		}
	}
	for _, leaf := range s.touched {
		if s.now[leaf] != s.want[leaf] {
			s.choose(leaf, s.want[leaf])
		}
	}
	s.d.work += 4*perValue + int64(len(s.touched))
	s.touched = append(s.touched[:0], s.touched[before:]...)
}

func (s *search) push(st state) {
	s.states = append(s.states, st)
	heap.Push(&s.frontier, ranked{st.cost, int32(len(s.states) - 1)})
}

// A stateHeap has the state of the least cost first; of equal ones, the first
// that was met.
type stateHeap []ranked

type ranked struct{ cost, state int32 }

func (h stateHeap) Len() int { return len(h) }
func (h stateHeap) Less(i, k int) bool {
	return h[i].cost < h[k].cost || h[i].cost == h[k].cost && h[i].state < h[k].state
}
func (h stateHeap) Swap(i, k int) { h[i], h[k] = h[k], h[i] }
func (h *stateHeap) Push(x any)   { *h = append(*h, x.(ranked)) }
func (h *stateHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
