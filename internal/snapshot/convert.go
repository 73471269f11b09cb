package snapshot

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"godwit/internal/copytext"
)

// A converter makes texts of one column's values: for the lines, or, raw, for
// keys and filters. It converts each value of a page, or of a dictionary, once.
type converter struct {
	read   int // of the encoder's readers
	write  func(c *converter, v *values, from, to int)
	text   bool // of a column of text
	raw    bool
	bits   int  // of a float
	words  bool // true and false, not t and f
	double bool // a float32's value spelt as a float64
	// trim makes a text's canonical form; fit tells whether the target holds a
	// value, of its text before escapes. Either may be nil.
	trim    func(text []byte) []byte
	fit     func(text []byte) bool
	unfit   uint32 // the reason when fit says no
	serial  int    // of the page that state is about
	state   state
	dict    parquet.Dictionary // that buf and made are of; nil when of a window
	buf     []byte
	scratch []byte
	made    []cell // by value
	cells   []cell // by row
	spread  []cell
}

// The reasons that every encoder has.
const (
	reasonNull uint32 = iota
	reasonUTF8
	reasonNUL
	reasonFormat
)

var commonReasons = []string{
	reasonNull:   "is NULL, which the target's column does not take",
	reasonUTF8:   "is not UTF-8",
	reasonNUL:    "has a NUL character, which PostgreSQL cannot hold",
	reasonFormat: "is not spelt as its type is",
}

func (c *converter) texts() ([]byte, []cell) { return c.buf, c.cells }

// run makes the texts of the reader's next n rows.
func (c *converter) run(r *reader, n int) {
	if r.dict == nil {
		c.dict = nil
		c.fresh(r.serial)
		present := r.present(n)
		c.write(c, &r.values, r.next, r.next+present)
		if present == n {
			c.cells = c.made
			return
		}
	} else if c.dict != r.dict {
		c.dict = r.dict
		c.fresh(r.serial)
		c.state = unknown
		c.write(c, &r.values, 0, r.values.count)
	}
	c.spread = slices.Grow(c.spread[:0], n)[:n]
	c.cells = c.spread
	next := r.next
	made := c.made
	switch {
	case r.dict != nil && r.levels == nil:
		for i, at := range r.index[next : next+n] {
			c.cells[i] = made[at]
		}
	case r.dict != nil:
		for i, level := range r.levels[r.at : r.at+n] {
			if level == 0 {
				c.cells[i] = cell{end: isNull}
				continue
			}
			c.cells[i] = made[r.index[next]]
			next++
		}
	default:
		next = 0
		for i, level := range r.levels[r.at : r.at+n] {
			if level == 0 {
				c.cells[i] = cell{end: isNull}
				continue
			}
			c.cells[i] = made[next]
			next++
		}
	}
}

func (c *converter) fresh(serial int) {
	c.made = c.made[:0]
	c.scratch = c.scratch[:0]
	c.buf = nil
	if c.serial != serial {
		c.serial, c.state = serial, unknown
	}
}

// end ends a text that began at a place in scratch.
func (c *converter) end(at int) {
	if c.fit != nil && !c.fit(c.scratch[at:]) {
		c.scratch = c.scratch[:at]
		c.made = append(c.made, cell{c.unfit, isRefused})
		return
	}
	c.made = append(c.made, cell{uint32(at), uint32(len(c.scratch))})
}

func writeBools(c *converter, v *values, from, to int) {
	c.buf = append(c.scratch, "ftfalsetrue"...)
	c.scratch = c.buf[:0]
	texts := [2]cell{{0, 1}, {1, 2}}
	if c.words {
		texts = [2]cell{{2, 7}, {7, 11}}
	}
	for i := from; i < to; i++ {
		c.made = append(c.made, texts[v.bits[i>>3]>>(i&7)&1])
	}
}

func writeInts[T int32 | int64](of func(*values) []T) func(*converter, *values, int, int) {
	return func(c *converter, v *values, from, to int) {
		for _, x := range of(v)[from:to] {
			at := len(c.scratch)
			c.scratch = strconv.AppendInt(c.scratch, int64(x), 10)
			c.end(at)
		}
		c.buf = c.scratch
	}
}

func writeFloats(c *converter, v *values, from, to int) {
	bits := 32
	if c.double {
		bits = 64
	}
	for _, x := range v.floats[from:to] {
		at := len(c.scratch)
		c.scratch = appendFloat(c.scratch, float64(x), bits)
		c.end(at)
	}
	c.buf = c.scratch
}

func writeDoubles(c *converter, v *values, from, to int) {
	for _, x := range v.doubles[from:to] {
		at := len(c.scratch)
		if c.bits == 32 && !math.IsNaN(x) && float64(float32(x)) != x {
			c.made = append(c.made, cell{c.unfit, isRefused})
			continue
		}
		c.scratch = appendFloat(c.scratch, x, c.bits)
		c.end(at)
	}
	c.buf = c.scratch
}

// appendFloat writes a float as PostgreSQL's output function does: the shortest
// digits that read back as the same bits, with an exponent where the digits'
// place asks for it (src/common/d2s.c, f2s.c; postgresql.org/docs/17/datatype-numeric.html#DATATYPE-FLOAT).
func appendFloat(dst []byte, x float64, bits int) []byte {
	switch {
	case math.IsNaN(x):
		return append(dst, "NaN"...)
	case math.IsInf(x, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(x, -1):
		return append(dst, "-Infinity"...)
	}
	size, most := math.Abs(x), 1e15
	plain := size == 0 || size >= 1e-4 && size < most
	if bits == 32 {
		most = 1e6
		plain = size == 0 || float32(size) >= 1e-4 && size < most
	}
	if !plain {
		return strconv.AppendFloat(dst, x, 'e', -1, bits)
	}
	// Most floats are decimals of a few places. One of at most 15 digits (6 of 32
	// bits) that reads back as x is the shortest, because no two of them read back
	// as the same float.
	most = min(most, 1e12) // below, size*unit is near to what it would be exactly
	for places, unit := 0, 1.0; places < 4 && size*unit < most; places, unit = places+1, unit*10 {
		digits := int64(size*unit + 0.5)
		if off := size*unit - float64(digits); off > 1e-3 || off < -1e-3 {
			continue // not worth a division
		}
		if back := float64(digits) / unit; back == size || bits == 32 && float32(back) == float32(size) {
			return appendPlaces(dst, math.Signbit(x), digits, places, int64(unit))
		}
	}
	return strconv.AppendFloat(dst, x, 'f', -1, bits)
}

// appendPlaces writes digits with so many places behind the point; unit is ten to
// the power of them.
func appendPlaces(dst []byte, negative bool, digits int64, places int, unit int64) []byte {
	if negative {
		dst = append(dst, '-')
	}
	if places == 0 {
		return strconv.AppendInt(dst, digits, 10)
	}
	whole := digits / unit
	rest := digits - whole*unit
	dst = append(strconv.AppendInt(dst, whole, 10), ".000"[:places+1]...)
	for i := len(dst) - 1; rest > 0; i-- {
		dst[i] = '0' + byte(rest%10)
		rest /= 10
	}
	return dst
}

// writeBytes writes bytea in its hex form; in COPY the backslash stands twice.
func writeBytes(c *converter, v *values, from, to int) {
	prefix := `\\x`
	if c.raw {
		prefix = `\x`
	}
	for i := from; i < to; i++ {
		at := len(c.scratch)
		c.scratch = append(c.scratch, prefix...)
		c.scratch = hex.AppendEncode(c.scratch, v.bytes[v.offsets[i]:v.offsets[i+1]])
		c.end(at)
	}
	c.buf = c.scratch
}

// writeTexts leaves texts where they are, as long as a whole page of them needs
// no escape and no doubt.
func writeTexts(c *converter, v *values, from, to int) {
	if c.state == unknown {
		c.state = stateOf(v)
	}
	switch {
	case c.trim != nil || c.state == doubtful, c.state == escapes && !c.raw:
		writeEach(c, v, from, to)
	default:
		c.buf = v.bytes
		if c.fit == nil {
			for i := from; i < to; i++ {
				c.made = append(c.made, cell{v.offsets[i], v.offsets[i+1]})
			}
			return
		}
		for i := from; i < to; i++ {
			text := cell{v.offsets[i], v.offsets[i+1]}
			if !c.fit(v.bytes[text.at:text.end]) {
				text = cell{c.unfit, isRefused}
			}
			c.made = append(c.made, text)
		}
	}
}

// writeEach writes texts one by one.
func writeEach(c *converter, v *values, from, to int) {
	for i := from; i < to; i++ {
		text := v.bytes[v.offsets[i]:v.offsets[i+1]]
		reason := uint32(0)
		switch {
		case c.state != doubtful:
		case bytes.IndexByte(text, 0) >= 0:
			reason = reasonNUL
		case !utf8.Valid(text):
			reason = reasonUTF8
		}
		if reason == 0 && c.trim != nil {
			if text = c.trim(text); text == nil {
				reason = reasonFormat
			}
		}
		if reason == 0 && c.fit != nil && !c.fit(text) {
			reason = c.unfit
		}
		at := len(c.scratch)
		if reason == 0 {
			if c.raw {
				c.scratch = append(c.scratch, text...)
			} else if out, err := copytext.AppendText(c.scratch, text); err == nil {
				c.scratch = out
			} else {
				reason = reasonUTF8 // state says otherwise; the check costs nothing
			}
		}
		if reason != 0 {
			c.made = append(c.made, cell{reason, isRefused})
			continue
		}
		c.made = append(c.made, cell{uint32(at), uint32(len(c.scratch))})
	}
	c.buf = c.scratch
}

// A state is what is known of all texts of a page.
type state uint8

const (
	unknown  state = iota
	clean          // UTF-8, and nothing that COPY reads otherwise
	escapes        // UTF-8 without NUL
	doubtful       // each has to be looked at
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// stateOf looks at the bytes of all values at once.
func stateOf(v *values) state {
	if v.count == 0 {
		return clean
	}
	all := v.bytes[v.offsets[0]:v.offsets[v.count]]
	s := all
	for len(s) >= 16 { // a look that most pages pass; a false alarm does no harm
		w, x := binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint64(s[8:])
		odd := (w - 0x0e*ones) | ((w ^ ('\\' * ones)) - ones) | w
		odd |= (x - 0x0e*ones) | ((x ^ ('\\' * ones)) - ones) | x
		if odd&highs != 0 {
			break
		}
		s = s[16:]
	}
	var high, low, back, zero uint64
	for ; len(s) >= 8; s = s[8:] {
		w := binary.LittleEndian.Uint64(s)
		b := w ^ ('\\' * ones)
		high |= w
		low |= (w - 0x0e*ones) &^ w
		back |= (b - ones) &^ b
		zero |= (w - ones) &^ w
	}
	for _, c := range s {
		if c >= utf8.RuneSelf {
			high = highs
		}
		if c < 0x0e {
			low = highs
		}
		if c == '\\' {
			back = highs
		}
		if c == 0 {
			zero = highs
		}
	}
	if zero&highs != 0 {
		return doubtful
	}
	if high&highs != 0 {
		if !utf8.Valid(all) {
			return doubtful
		}
		// One text's character may end in the next.
		for _, at := range v.offsets[:v.count] {
			if int(at) < len(v.bytes) && !utf8.RuneStart(v.bytes[at]) {
				return doubtful
			}
		}
	}
	if (low|back)&highs != 0 {
		return escapes
	}
	return clean
}
