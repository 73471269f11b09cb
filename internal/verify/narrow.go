package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/change"
)

// The kinds of a Difference.
const (
	RowMissing   = "missing"   // the target lacks a row of the source
	RowExtra     = "extra"     // the target has a row that the source has not
	RowDifferent = "different" // a row of the same key has other values
)

// A Difference is one row that is not the same on both sides.
type Difference struct {
	Kind    string
	Key     []string           // texts of the target's key; nil where there is none
	Columns []ColumnDifference `json:",omitempty"` // of a row that is different
}

// A ColumnDifference is a column of which the two sides have other values, each as
// what may be shown of it.
type ColumnDifference struct{ Column, Source, Target string }

// A Narrowing finds the rows in which the two sides of a table differ, where their
// sums do. It takes the rows of both sides twice: the first time it finds digests
// that one side alone has, the second time the rows of those. Its memory is that of
// the digests of the buckets that it looks at.
type Narrowing struct {
	Source *SourceRows
	Target *TargetRows
	// Show says what may be shown of a value; nil shows its length only.
	Show func(column string, text []byte) string

	buckets [buckets]bool
	count   map[[16]byte]int // of the source less those of the target
	second  bool
	rows    [2][]narrowed // of source and target
}

type narrowed struct {
	key   []string
	texts [][]byte // nil is NULL
}

// NewNarrowing prepares for the rows of a table in some buckets.
func NewNarrowing(plan *change.TablePlan, differing []int) (*Narrowing, error) {
	n := &Narrowing{count: map[[16]byte]int{}}
	for _, b := range differing {
		if b < 0 || b >= buckets {
			return nil, fmt.Errorf("there is no bucket %d", b)
		}
		n.buckets[b] = true
	}
	var err error
	if n.Source, err = NewSourceRows(plan); err != nil {
		return nil, err
	}
	n.Target, err = NewTargetRows(plan)
	return n, err
}

// AddSource takes a row of the source, with the values of Source.Columns.
func (n *Narrowing) AddSource(values []change.Value) error {
	d, kept, err := n.Source.Digest(values)
	if err == nil && kept {
		n.add(d, 0, n.Source.digester)
	}
	return err
}

// AddTarget takes a row of the target, with the texts of Target.Columns.
func (n *Narrowing) AddTarget(texts [][]byte) error {
	d, err := n.Target.Digest(texts)
	if err == nil {
		n.add(d, 1, n.Target.digester)
	}
	return err
}

func (n *Narrowing) add(d RowDigest, side int, row *rowDigester) {
	if !n.buckets[d.Bucket] {
		return
	}
	if !n.second {
		if n.count[d.Sum] += 1 - 2*side; n.count[d.Sum] == 0 {
			delete(n.count, d.Sum)
		}
		return
	}
	// Of rows that are there several times, as many as one side has more.
	left := n.count[d.Sum]
	if left > 0 && side == 0 || left < 0 && side == 1 {
		n.count[d.Sum] = left - (1 - 2*side)
		n.rows[side] = append(n.rows[side], row.copy())
	}
}

// Again ends the first time, and says how many rows the second will find.
func (n *Narrowing) Again() int {
	n.second = true
	rows := 0
	for _, c := range n.count {
		rows += max(c, -c)
	}
	return rows
}

// Differences are what was found, after the second time, by key.
func (n *Narrowing) Differences() []Difference {
	byKey := map[string]int{} // rows of the target, from 1
	for i, r := range n.rows[1] {
		if r.key != nil {
			byKey[joined(r.key)] = i + 1
		}
	}
	var list []Difference
	matched := make([]bool, len(n.rows[1]))
	for _, r := range n.rows[0] {
		at := 0
		if r.key != nil {
			at = byKey[joined(r.key)]
		}
		if at == 0 || matched[at-1] {
			list = append(list, Difference{Kind: RowMissing, Key: r.key})
			continue
		}
		matched[at-1] = true
		list = append(list, Difference{Kind: RowDifferent, Key: r.key, Columns: n.columns(r, n.rows[1][at-1])})
	}
	for i, r := range n.rows[1] {
		if !matched[i] {
			list = append(list, Difference{Kind: RowExtra, Key: r.key})
		}
	}
	slices.SortStableFunc(list, func(a, b Difference) int { return cmp.Or(slices.Compare(a.Key, b.Key), cmp.Compare(a.Kind, b.Kind)) })
	return list
}

func (n *Narrowing) columns(source, target narrowed) []ColumnDifference {
	var list []ColumnDifference
	for i, name := range n.Target.Columns() {
		if a, b := source.texts[i], target.texts[i]; (a == nil) != (b == nil) || string(a) != string(b) {
			list = append(list, ColumnDifference{name, n.show(name, a), n.show(name, b)})
		}
	}
	return list
}

func (n *Narrowing) show(column string, text []byte) string {
	switch {
	case text == nil:
		return "NULL"
	case n.Show == nil:
		return strconv.Itoa(len(text)) + " bytes"
	}
	return n.Show(column, text)
}

// joined is one text for a key, and another for each other one.
func joined(key []string) string {
	var b strings.Builder
	for _, k := range key {
		fmt.Fprintf(&b, "%d:%s", len(k), k)
	}
	return b.String()
}

// copy is the row that was digested last.
func (d *rowDigester) copy() narrowed {
	var r narrowed
	for _, at := range d.ends {
		var text []byte
		if at[0] >= 0 {
			text = append([]byte{}, d.row[at[0]:at[1]]...)
		}
		r.texts = append(r.texts, text)
	}
	for _, k := range d.key {
		r.key = append(r.key, string(r.texts[k]))
	}
	return r
}
