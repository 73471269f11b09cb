package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"

	"godwit/internal/change"
)

// Bounds of a Shape: what goes beyond them is counted with the struct or list
// that holds it (Field.Unfollowed), and so never passed over in silence.
const (
	maxPaths     = 500 // told apart in one table
	maxPathDepth = 32  // levels of structs and lists
	maxPathName  = 128 // bytes of a field name
)

// A Shape is what the documents of one ledger table look like: for each path the
// kinds of values seen there, how many of each, and the greatest lengths. It
// keeps no value. The zero Shape is ready for use; one goroutine uses it.
//
// Memory is bounded whatever the documents hold, and Observe allocates nothing
// once it has met their fields. As JSON it goes on where it was.
type Shape struct {
	Documents int64 // observed
	Paths     int   // told apart, up to a bound
	Root      Field // the documents themselves

	structs int64  // counts structs, to find repeated fields
	buf     []byte // scratch for the digits of decimals
	json    jsonWriter
}

// A Field is what was seen at one path: at a field of structs, in the elements of
// lists, or the documents themselves.
type Field struct {
	Name       string `json:",omitempty"` // "" of documents and of elements
	Kinds      Kinds
	Characters int      `json:",omitempty"` // of the longest text
	Digits     int      `json:",omitempty"` // of ints and decimals, before the point, at most
	Scale      int      `json:",omitempty"` // of decimals, digits behind the point, at most
	Wide       int64    `json:",omitempty"` // ints outside of 64 bits
	UUIDs      int64    `json:",omitempty"` // texts that are UUIDs in small letters
	Times      Times    `json:",omitzero"`
	Odd        Odd      `json:",omitzero"`
	Twice      int64    `json:",omitempty"` // structs that have the field more than once
	Unfollowed int64    `json:",omitempty"` // values in structs and lists here whose paths are not told apart
	Fields     []*Field `json:",omitempty"` // of structs, in the order first seen
	Elements   *Field   `json:",omitempty"` // of lists

	index map[string]int // of Fields, when there are many
	last  int64          // number of the struct that had the field last
}

// Times counts timestamps, and texts that are timestamps from end to end, by what
// a column of dates or times makes of them.
type Times struct {
	Texts   int64 `json:",omitempty"` // of all, those that are texts
	Coarse  int64 `json:",omitempty"` // a year or a month
	Days    int64 `json:",omitempty"`
	Instant int64 `json:",omitempty"` // with a time of day and a known offset
	Local   int64 `json:",omitempty"` // with a time of day and an unknown offset
	Apart   int64 `json:",omitempty"` // of those, with another offset than Z
	Odd     int64 `json:",omitempty"` // finer than a microsecond, or an offset that no timestamptz has
}

// Odd counts what some columns, or jsonb, cannot hold. With a struct or list it
// also counts what is in it and not told apart.
type Odd struct {
	Annotated    int64 `json:",omitempty"` // values with annotations
	Repeated     int64 `json:",omitempty"` // structs with a repeated field that is not told apart
	NUL          int64 `json:",omitempty"` // texts with a NUL character
	NotUTF8      int64 `json:",omitempty"` // texts
	NotFinite    int64 `json:",omitempty"` // floats: nan and the infinities
	NegativeZero int64 `json:",omitempty"` // numbers of any kind
	Beyond       int64 `json:",omitempty"` // numbers with more digits than numeric holds
}

func (o *Odd) add(p Odd) {
	o.Annotated += p.Annotated
	o.Repeated += p.Repeated
	o.NUL += p.NUL
	o.NotUTF8 += p.NotUTF8
	o.NotFinite += p.NotFinite
	o.NegativeZero += p.NegativeZero
	o.Beyond += p.Beyond
}

// Kinds counts values by their change.Kind. Its JSON is an object by the kind's
// name.
type Kinds [change.UUID + 1]int64

// Sum is the number of values of all kinds.
func (k *Kinds) Sum() (n int64) {
	for _, count := range k {
		n += count
	}
	return n
}

// only reports that there are values, none of another kind but null.
func (k *Kinds) only(kinds ...change.Kind) bool {
	n := k[change.Null]
	for _, kind := range kinds {
		n += k[kind]
	}
	return n == k.Sum() && n > k[change.Null]
}

// String lists the kinds seen: "text 120, null 3".
func (k Kinds) String() string {
	var b strings.Builder
	for kind, n := range k {
		if n == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %d", change.Kind(kind), n)
	}
	return b.String()
}

// MarshalJSON writes the kinds seen, in the order of change.Kind.
func (k Kinds) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for kind, n := range k {
		if n == 0 {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%q:%d", change.Kind(kind).String(), n)
	}
	return append(b, '}'), nil
}

// UnmarshalJSON is MarshalJSON's inverse.
func (k *Kinds) UnmarshalJSON(b []byte) error {
	var counts map[string]int64
	if err := json.Unmarshal(b, &counts); err != nil {
		return err
	}
	*k = Kinds{}
	for kind := range k {
		name := change.Kind(kind).String()
		k[kind] = counts[name]
		delete(counts, name)
	}
	for name := range counts {
		return fmt.Errorf("no kind of value is named %q", name)
	}
	return nil
}

// Observe adds the document of rec; a deletion and a redaction have none.
func (s *Shape) Observe(rec *change.Record) {
	if rec.Fields == nil || len(rec.Fields.Nodes) == 0 {
		return
	}
	s.Documents++
	s.value(&s.Root, rec.Fields, 0, 0)
}

// value adds the node at of t, depth levels below the document, to f.
func (s *Shape) value(f *Field, t *change.Tape, at int32, depth int) {
	n := &t.Nodes[at]
	switch n.Kind {
	case change.Struct:
		f.Kinds[n.Kind]++
		s.annotations(f, n)
		s.structs++
		number, next, followed := s.structs, 0, true
		for i := at + 1; i < n.End; i = t.Nodes[i].End {
			name := t.Names[t.Nodes[i].Name].Text
			next = f.find(name, next)
			if next == len(f.Fields) && !s.follow(f, name, depth) {
				s.unfollowed(f, name, t, i)
				followed = false
				continue
			}
			c := f.Fields[next]
			if c.last == number {
				c.Twice++
			}
			c.last = number
			s.value(c, t, i, depth+1)
			next++
		}
		if !followed && s.json.repeated(t, at) >= 0 {
			f.Odd.Repeated++
		}
	case change.List:
		f.Kinds[n.Kind]++
		s.annotations(f, n)
		for i := at + 1; i < n.End; i = t.Nodes[i].End {
			if f.Elements == nil {
				if s.Paths >= maxPaths || depth >= maxPathDepth {
					s.unfollowed(f, "", t, i)
					continue
				}
				s.Paths++
				f.Elements = &Field{}
			}
			s.value(f.Elements, t, i, depth+1)
		}
	default:
		s.scalar(f, t, n)
	}
}

// fewPaths is up to how many fields of a struct are looked through one by one.
const fewPaths = 8

// find returns the index of the field called name, or len(f.Fields). hint is
// where it is when documents keep their order.
func (f *Field) find(name string, hint int) int {
	if hint < len(f.Fields) && f.Fields[hint].Name == name {
		return hint
	}
	if len(f.Fields) <= fewPaths {
		for i, c := range f.Fields {
			if c.Name == name {
				return i
			}
		}
		return len(f.Fields)
	}
	if len(f.index) != len(f.Fields) {
		f.index = make(map[string]int, len(f.Fields))
		for i, c := range f.Fields {
			f.index[c.Name] = i
		}
	}
	if i, ok := f.index[name]; ok {
		return i
	}
	return len(f.Fields)
}

// follow adds the field called name to f, unless that is beyond the bounds.
func (s *Shape) follow(f *Field, name string, depth int) bool {
	if s.Paths >= maxPaths || depth >= maxPathDepth || len(name) > maxPathName || !utf8.ValidString(name) {
		return false
	}
	s.Paths++
	name = strings.Clone(name)
	if len(f.Fields) >= fewPaths && len(f.index) == len(f.Fields) {
		f.index[name] = len(f.Fields)
	}
	f.Fields = append(f.Fields, &Field{Name: name})
	return true
}

// unfollowed notes of the node at, whose path is not told apart, what counts for
// jsonb.
func (s *Shape) unfollowed(f *Field, name string, t *change.Tape, at int32) {
	f.Unfollowed++
	f.Odd.name(name)
	for i := at; i < t.Nodes[at].End; i++ {
		n := &t.Nodes[i]
		var leaf Field
		switch n.Kind {
		case change.Struct:
			s.annotations(&leaf, n)
			if s.json.repeated(t, i) >= 0 {
				leaf.Odd.Repeated++
			}
		case change.List:
			s.annotations(&leaf, n)
		default:
			s.scalar(&leaf, t, n)
		}
		f.Odd.add(leaf.Odd)
		if i > at && n.Name >= 0 {
			f.Odd.name(t.Names[n.Name].Text)
		}
	}
}

// name counts a field name that jsonb cannot hold.
func (o *Odd) name(name string) {
	switch {
	case strings.IndexByte(name, 0) >= 0:
		o.NUL++
	case !utf8.ValidString(name):
		o.NotUTF8++
	}
}

func (s *Shape) annotations(f *Field, n *change.Node) {
	if n.Flags&change.Annotated != 0 {
		f.Odd.Annotated++
	}
}

// scalar adds a value that is not a container.
func (s *Shape) scalar(f *Field, t *change.Tape, n *change.Node) {
	f.Kinds[n.Kind]++
	s.annotations(f, n)
	v := t.Value(n)
	switch n.Kind {
	case change.Text, change.UUID, change.JSON, change.Time:
		f.text(v.Bytes, n.Kind)
	case change.Bytes:
		if n.Flags&change.Clob != 0 && bytes.IndexByte(v.Bytes, 0) >= 0 {
			f.Odd.NUL++
		}
	case change.Timestamp, change.Date:
		f.Times.add(v.Bytes)
	case change.Float:
		switch x := math.Float64frombits(uint64(v.Int)); {
		case math.IsNaN(x) || math.IsInf(x, 0):
			f.Odd.NotFinite++
		case x == 0 && math.Signbit(x):
			f.Odd.NegativeZero++
		}
	case change.Int, change.Decimal:
		if v.Bytes == nil {
			f.Digits = max(f.Digits, intDigits(v.Int))
			return
		}
		s.number(f, n.Kind, v.Bytes)
	default:
	}
}

func (f *Field) text(s []byte, kind change.Kind) {
	characters := len(s)
	if !plainText(s) {
		switch {
		case bytes.IndexByte(s, 0) >= 0:
			f.Odd.NUL++
		case !utf8.Valid(s):
			f.Odd.NotUTF8++
		}
		characters = utf8.RuneCount(s)
	}
	f.Characters = max(f.Characters, characters)
	switch {
	case len(s) == 36 && uuidText(s) && !bytes.ContainsAny(s, "ABCDEF"):
		f.UUIDs++
	case kind == change.Text && len(s) >= len("2019T") && (s[4] == '-' || s[4] == 'T') && f.Times.add(s):
		f.Times.Texts++
	}
}

// add counts s if it is a timestamp.
func (c *Times) add(s []byte) bool {
	t, ok := parseTimestamp(s)
	if !ok {
		return false
	}
	switch {
	case t.precision < toDay:
		c.Coarse++
	case t.precision == toDay:
		c.Days++
	case t.known:
		c.Instant++
	default:
		c.Local++
	}
	if t.offset != 0 {
		c.Apart++
	}
	if t.fine() || t.far() {
		c.Odd++
	}
	return true
}

// intDigits is the number of decimal digits of n, without a sign.
func intDigits(n int64) int {
	u := uint64(max(n, -n))
	digits := bits.Len64(u) * 1233 >> 12 // log10(2), a little less
	if digits < len(powersOfTen) && u >= powersOfTen[digits] {
		digits++
	}
	return max(digits, 1)
}

var powersOfTen = [...]uint64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
}

func (s *Shape) number(f *Field, kind change.Kind, text []byte) {
	d, buf, ok := splitDecimal(s.buf[:0], text)
	s.buf = buf[:0]
	if !ok {
		f.Odd.Beyond++
		return
	}
	if kind == change.Int {
		if _, why := d.int64(); why != "" {
			f.Wide++
		}
	}
	switch {
	case d.zero() && d.negative:
		f.Odd.NegativeZero++
	case d.numericWhy() != "":
		f.Odd.Beyond++
	}
	if !d.zero() {
		f.Digits = max(f.Digits, int(min(int64(len(d.digits))+d.exp, math.MaxInt32)))
	}
	f.Scale = max(f.Scale, int(min(-d.exp, math.MaxInt32)))
}

// Merge adds what another shape of the same table saw.
func (s *Shape) Merge(other *Shape) {
	s.Documents += other.Documents
	s.merge(&s.Root, &other.Root)
}

func (s *Shape) merge(f, other *Field) {
	for kind, n := range other.Kinds {
		f.Kinds[kind] += n
	}
	f.Characters = max(f.Characters, other.Characters)
	f.Digits = max(f.Digits, other.Digits)
	f.Scale = max(f.Scale, other.Scale)
	f.Wide += other.Wide
	f.UUIDs += other.UUIDs
	f.Times.Texts += other.Times.Texts
	f.Times.Coarse += other.Times.Coarse
	f.Times.Days += other.Times.Days
	f.Times.Instant += other.Times.Instant
	f.Times.Local += other.Times.Local
	f.Times.Apart += other.Times.Apart
	f.Times.Odd += other.Times.Odd
	f.Odd.add(other.Odd)
	f.Twice += other.Twice
	f.Unfollowed += other.Unfollowed
	next := 0
	for _, c := range other.Fields {
		next = f.find(c.Name, next)
		if next == len(f.Fields) && !s.follow(f, c.Name, 0) {
			f.fold(c)
			continue
		}
		s.merge(f.Fields[next], c)
		next++
	}
	switch e := other.Elements; {
	case e == nil:
	case f.Elements != nil:
		s.merge(f.Elements, e)
	case s.Paths >= maxPaths:
		f.fold(e)
	default:
		s.Paths++
		f.Elements = &Field{}
		s.merge(f.Elements, e)
	}
}

// fold counts c, a field or the elements of f, as not told apart.
func (f *Field) fold(c *Field) {
	f.Unfollowed += c.Kinds.Sum()
	f.foldOdd(c)
}

func (f *Field) foldOdd(c *Field) {
	f.Odd.add(c.Odd)
	f.Odd.Repeated += c.Twice
	f.Odd.name(c.Name)
	for _, below := range c.Fields {
		f.foldOdd(below)
	}
	if c.Elements != nil {
		f.foldOdd(c.Elements)
	}
}

// EachPath visits what was seen at each path, the documents first (path "") and
// every path before those below it, in the order first seen. Paths are spelled as
// in mapping files: Owners.SecondaryOwners[*].PersonId.
func (s *Shape) EachPath(visit func(path string, f *Field)) { s.Root.eachPath("", visit) }

func (f *Field) eachPath(path string, visit func(path string, f *Field)) {
	visit(path, f)
	for _, c := range f.Fields {
		c.eachPath(joinPath(path, c.Name), visit)
	}
	if f.Elements != nil {
		f.Elements.eachPath(path+"[*]", visit)
	}
}

// joinPath spells the path of a field as parsePath reads it.
func joinPath(path, name string) string {
	if path == "" {
		return quoteName(name)
	}
	return path + "." + quoteName(name)
}
