package verify

import (
	"cmp"
	"crypto/md5" //nolint:gosec // see rows.go
	"encoding/hex"
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
// what may be shown of it: how many bytes its text has, or NULL.
type ColumnDifference struct{ Column, Source, Target string }

// A Place is where a row stands in the source.
type Place struct {
	Item int
	Row  int64 // of the item
}

// A Narrowing finds the rows in which the two sides of a table differ, where their
// sums do. It takes the rows of both sides twice: the first time it finds digests
// that one side alone has, the second time the rows of those. Its memory is that of
// the digests of the buckets that it looks at, and of the keys of the rows that it
// finds; it keeps no other value.
//
// Rows of the target come as texts (AddTarget), or as what the statement that
// TargetSQL describes answers (AddTargetSums), which no wide value is in.
type Narrowing struct {
	Source *SourceRows
	Target *TargetRows

	buckets [buckets]bool
	count   map[[16]byte]int // of the source less those of the target
	second  bool
	rows    [2][]narrowed // of source and target
	text    []byte
}

type narrowed struct {
	place   Place    // of a row of the source
	printed []string // of a row of the target: its key as the server prints it
	key     []string // canonical texts; nil where there is no key
	columns []columnSum
}

// A columnSum stands for a canonical text.
type columnSum struct {
	null  bool
	bytes int
	sum   [16]byte
}

func (c columnSum) String() string {
	if c.null {
		return "NULL"
	}
	return strconv.Itoa(c.bytes) + " bytes"
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
func (n *Narrowing) AddSource(at Place, values []change.Value) error {
	d, kept, err := n.Source.Digest(values)
	if err == nil && kept && n.buckets[d.Bucket] && n.wants(d.Sum, 0) {
		r := n.Source.digester.narrowed()
		r.place = at
		n.rows[0] = append(n.rows[0], r)
	}
	return err
}

// AddTarget takes a row of the target, with the texts of Target.Columns.
func (n *Narrowing) AddTarget(texts [][]byte) error {
	d, err := n.Target.Digest(texts)
	if err == nil && n.buckets[d.Bucket] && n.wants(d.Sum, 1) {
		r := n.Target.digester.narrowed()
		for _, k := range n.Target.digester.key {
			r.printed = append(r.printed, string(texts[k]))
		}
		n.rows[1] = append(n.rows[1], r)
	}
	return err
}

// wants counts a digest of the source (0) or the target (1), and tells the second
// time whether its row is one of those that are looked for: of rows that are there
// several times, as many as one side has more.
func (n *Narrowing) wants(sum [16]byte, side int) bool {
	if !n.second {
		if n.count[sum] += 1 - 2*side; n.count[sum] == 0 {
			delete(n.count, sum)
		}
		return false
	}
	left := n.count[sum]
	if left > 0 && side == 0 || left < 0 && side == 1 {
		n.count[sum] = left - (1 - 2*side)
		return true
	}
	return false
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

// TargetSQL is what to read of each row of the target's table and of which rows,
// for AddTargetSums, this time: expressions over its columns and a condition. It
// runs where SumsSQL does.
func (n *Narrowing) TargetSQL(quote func(...string) string) (values []string, where string) {
	d := n.Target.digester
	row, digest, bucket := d.sql(quote)
	var list []string
	for i, wanted := range n.buckets {
		if wanted {
			list = append(list, fmt.Sprintf("'%02x'", i))
		}
	}
	where = "substr(" + bucket + ", 1, 2) IN (" + strings.Join(list, ", ") + ")"
	if !n.second {
		return []string{digest}, where
	}
	list = list[:0]
	for sum, left := range n.count {
		if left < 0 {
			list = append(list, hex.EncodeToString(sum[:]))
		}
	}
	slices.Sort(list)
	values = []string{digest}
	for _, k := range d.key {
		values = append(values, quote(d.columns[k].Name)+"::text")
	}
	for i, c := range d.columns {
		text := classOf(c.Type).sql(quote(c.Name))
		values = append(values, "CASE WHEN "+row[i]+" <> 'N' THEN octet_length("+text+")::text || ':' || md5("+text+") END")
	}
	return values, where + " AND " + digest + " = ANY ('{" + strings.Join(list, ",") + "}'::text[])"
}

// AddTargetSums takes what the server answered for a row of the target.
func (n *Narrowing) AddTargetSums(texts [][]byte) error {
	d := n.Target.digester
	want := 1
	if n.second {
		want += len(d.key) + len(d.columns)
	}
	if len(texts) != want {
		return fmt.Errorf("the target answers %d values of a row, not %d", len(texts), want)
	}
	var sum [16]byte
	if err := decodeSum(&sum, texts[0]); err != nil {
		return err
	}
	if !n.wants(sum, 1) {
		return nil
	}
	r := narrowed{columns: make([]columnSum, len(d.columns))}
	for i, k := range d.key {
		printed := texts[1+i]
		var err error
		if n.text, err = n.Target.classes[k].appendText(n.text[:0], printed); err != nil {
			return fmt.Errorf("column %s: %w", d.columns[k].Name, err)
		}
		r.printed, r.key = append(r.printed, string(printed)), append(r.key, string(n.text))
	}
	for i, text := range texts[1+len(d.key):] {
		if r.columns[i].null = text == nil; text == nil {
			continue
		}
		length, hash, _ := strings.Cut(string(text), ":")
		var err error
		if r.columns[i].bytes, err = strconv.Atoi(length); err != nil {
			return fmt.Errorf("the target answers a length that is no number: %w", err)
		}
		if err := decodeSum(&r.columns[i].sum, []byte(hash)); err != nil {
			return err
		}
	}
	n.rows[1] = append(n.rows[1], r)
	return nil
}

func decodeSum(sum *[16]byte, text []byte) error {
	if len(text) != hex.EncodedLen(len(sum)) {
		return fmt.Errorf("the target answers a digest of %d characters", len(text))
	}
	_, err := hex.Decode(sum[:], text)
	return err
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
	for i, c := range n.Target.digester.columns {
		if a, b := source.columns[i], target.columns[i]; a != b {
			list = append(list, ColumnDifference{c.Name, a.String(), b.String()})
		}
	}
	return list
}

// Repair says how to make the target's rows those of the source, after the second
// time: the rows of these keys, as the server prints them, go out, then those of
// these places of the source come in, in their order.
func (n *Narrowing) Repair() (out [][]string, in []Place) {
	for _, r := range n.rows[1] {
		out = append(out, r.printed)
	}
	slices.SortFunc(out, slices.Compare)
	for _, r := range n.rows[0] {
		in = append(in, r.place)
	}
	slices.SortFunc(in, func(a, b Place) int { return cmp.Or(cmp.Compare(a.Item, b.Item), cmp.Compare(a.Row, b.Row)) })
	return out, in
}

// joined is one text for a key, and another for each other one.
func joined(key []string) string {
	var b strings.Builder
	for _, k := range key {
		fmt.Fprintf(&b, "%d:%s", len(k), k)
	}
	return b.String()
}

// narrowed is what a Narrowing keeps of the row that was digested last.
func (d *rowDigester) narrowed() narrowed {
	r := narrowed{columns: make([]columnSum, len(d.ends))}
	for i, at := range d.ends {
		if at[0] < 0 {
			r.columns[i].null = true
			continue
		}
		text := d.row[at[0]:at[1]]
		r.columns[i] = columnSum{bytes: len(text), sum: md5.Sum(text)} //nolint:gosec // see rows.go
	}
	for _, k := range d.key {
		at := d.ends[k]
		r.key = append(r.key, string(d.row[max(at[0], 0):max(at[1], 0)]))
	}
	return r
}
