package ion

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"
)

// Symbols gives the text of a symbol id, or an error for an id that the stream
// does not define or whose text nobody knows. SymbolTable and Writer are such.
type Symbols interface {
	Text(id SID) (string, error)
}

// The bytes with a meaning of their own in the serialisation.
const (
	hashBegin  = 0x0B
	hashEscape = 0x0C
	hashEnd    = 0x0E
)

// A Hasher computes Ion hashes (amazon-ion.github.io/ion-hash/docs/spec.html):
// Sum of binary Ion, or, after Begin, of the value that the methods named after
// Ion's types spell out. Equal Ion values have equal hashes however they are
// encoded: padding, field order, float size and symbol ids make no difference.
//
// The zero value hashes with SHA-256, as QLDB does. A Hasher keeps its buffers
// between calls and is not safe for concurrent use.
type Hasher struct {
	// New makes the underlying hash function. Nil: SHA-256. Set it before the
	// first value.
	New func() hash.Hash

	function hash.Hash
	sha      sha256Words
	text     []byte // serialisation under way
	frames   []hashFrame
	digests  []byte // of struct fields, of all structs under way
	spans    []hashSpan

	cursor Cursor
	names  nameCache
	notes  []SID
	digest []byte // that New's function gave last
	body   []byte // of a decimal or timestamp, in its shortest form

	noted bool  // annotations stand open before the next value
	err   error // of the value spelled out
}

// A hashFrame is a container under way.
type hashFrame struct {
	code    byte
	noted   bool // annotations stand open around it
	field   int  // where in text the field under way begins; -1 in no struct
	spans   int  // where its fields' digests begin
	digests int
}

// A hashSpan is the digest of a struct's field, a part of Hasher.digests.
type hashSpan struct {
	key      uint64 // its first eight bytes: they decide nearly every comparison
	from, to int
}

// Sum appends the Ion hash of value to dst. The value is exactly one binary
// Ion value, its annotations included, without version marker or symbol table.
// It fails on bytes that are no Ion value, on nesting deeper than MaxDepth and
// on symbols without text, and then returns dst as it was.
func (h *Hasher) Sum(dst, value []byte, symbols Symbols) ([]byte, error) {
	h.Begin()
	h.names.use(symbols)
	if err := h.walk(value, symbols); err != nil {
		return dst, fmt.Errorf("hash ion value: %w", err)
	}
	return append(dst, h.sum(0)...), nil
}

// walk serialises the one value of binary Ion in b.
func (h *Hasher) walk(b []byte, symbols Symbols) error {
	c := &h.cursor
	c.Reset(b, 0, len(b))
	for {
		if !c.Next() {
			if c.err != nil {
				return c.err
			}
			if len(h.frames) == 0 {
				break
			}
			c.StepOut()
			h.end()
			continue
		}
		if len(h.frames) == 0 && len(h.text) > 0 {
			return fmt.Errorf("something follows it at byte %d", c.start)
		}
		if c.inStruct {
			h.frames[len(h.frames)-1].field = len(h.text)
			if err := h.symbol(c.field, symbols); err != nil {
				return err
			}
		}
		if c.annEnd > c.ann {
			// 0B E0 s(annotation)... s(value) 0E
			h.text = append(h.text, hashBegin, 0xE0)
			h.noted = true
			h.notes = c.AppendAnnotations(h.notes[:0])
			for _, id := range h.notes {
				if err := h.symbol(id, symbols); err != nil {
					return err
				}
			}
		}
		if c.typ >= ListType && !c.null {
			h.begin(c.code << 4)
			if !c.StepIn() {
				return c.err
			}
			continue
		}
		if err := h.scalar(symbols); err != nil {
			return err
		}
		h.done(h.noted)
	}
	if len(h.text) == 0 {
		return errors.New("there is none")
	}
	return nil
}

// scalar serialises the cursor's current value, a null or no container.
func (h *Hasher) scalar(symbols Symbols) (err error) {
	c := &h.cursor
	code, body := c.code<<4, c.data[c.body:c.pos]
	if c.null {
		if code == 0x30 {
			code = 0x20 // null.int has two encodings
		}
		h.text = append(h.text, hashBegin, code|0x0F, hashEnd)
		return nil
	}
	switch c.typ {
	case BoolType:
		code |= c.data[c.head] & 1
		body = nil
	case IntType:
		body = trimZeros(body)
	case FloatType:
		v, err := c.Float()
		if err != nil {
			return err
		}
		h.body = appendFloatBody(h.body[:0], v)
		body = h.body
	case DecimalType:
		if h.body, err = appendShortDecimal(h.body[:0], body); err != nil {
			return c.wrong(err.Error())
		}
		body = h.body
	case TimestampType:
		if h.body, err = appendShortTimestamp(h.body[:0], body); err != nil {
			return c.wrong(err.Error())
		}
		body = h.body
	case SymbolType:
		id, err := c.Symbol()
		if err != nil {
			return err
		}
		return h.symbol(id, symbols)
	default: // strings and lobs are their bytes
	}
	h.put(code, body)
	return nil
}

// symbol appends s(symbol); $0, which has no text, has a type byte of its own.
func (h *Hasher) symbol(id SID, symbols Symbols) error {
	if id == 0 {
		h.text = append(h.text, hashBegin, 0x71, hashEnd)
		return nil
	}
	if s := h.names.get(id); s != nil {
		h.text = append(h.text, s...)
		return nil
	}
	text, err := symbols.Text(id)
	if err != nil {
		return err
	}
	from := len(h.text)
	h.body = append(h.body[:0], text...)
	h.put(0x70, h.body)
	h.names.put(id, h.text[from:])
	return nil
}

// begin opens a container whose annotations, if any, are written already.
func (h *Hasher) begin(code byte) {
	h.text = append(h.text, hashBegin, code)
	h.frames = append(h.frames, hashFrame{code: code, noted: h.noted, field: -1, spans: len(h.spans), digests: len(h.digests)})
	h.noted = false
}

// end closes the innermost container: a struct is the sorted hashes of its
// fields.
func (h *Hasher) end() {
	f := h.frames[len(h.frames)-1]
	h.frames = h.frames[:len(h.frames)-1]
	if f.code == 0xD0 {
		h.sortFields(h.spans[f.spans:])
		h.reserve(2 * (len(h.digests) - f.digests))
		n := len(h.text)
		out := h.text[n:cap(h.text)]
		for _, s := range h.spans[f.spans:] {
			k := escape(out, h.digests[s.from:s.to])
			out, n = out[k:], n+k
		}
		h.text = h.text[:n]
		h.spans, h.digests = h.spans[:f.spans], h.digests[:f.digests]
	}
	h.text = append(h.text, hashEnd)
	h.done(f.noted)
}

// done ends a value: its annotations, and the field that it is.
func (h *Hasher) done(noted bool) {
	h.noted = false
	if noted {
		h.text = append(h.text, hashEnd)
	}
	if len(h.frames) == 0 {
		return
	}
	f := &h.frames[len(h.frames)-1]
	if f.field < 0 {
		return
	}
	// The field's serialisation stands behind what was there before it: it is
	// hashed and cut off again.
	from := len(h.digests)
	h.digests = append(h.digests, h.sum(f.field)...)
	d := h.digests[from:]
	s := hashSpan{from: from, to: len(h.digests)}
	if len(d) >= 8 {
		s.key = binary.BigEndian.Uint64(d)
	}
	h.spans = append(h.spans, s)
	h.text = h.text[:f.field]
	f.field = -1
}

// manyFields is the number of fields from which sorting by insertion loses.
const manyFields = 24

func (h *Hasher) sortFields(s []hashSpan) {
	if len(s) > manyFields {
		slices.SortFunc(s, h.compare)
		return
	}
	for i := 1; i < len(s); i++ {
		for k := i; k > 0 && h.compare(s[k], s[k-1]) < 0; k-- {
			s[k], s[k-1] = s[k-1], s[k]
		}
	}
}

func (h *Hasher) compare(a, b hashSpan) int {
	if a.key != b.key {
		if a.key < b.key {
			return -1
		}
		return 1
	}
	return bytes.Compare(h.digests[a.from:a.to], h.digests[b.from:b.to])
}

// sum returns the hash of text[from:], until the next call. It may write behind
// text's end.
func (h *Hasher) sum(from int) []byte {
	if h.New == nil {
		h.reserve(shaPadding)
		return h.sha.sum(h.text, from)
	}
	if h.function == nil {
		h.function = h.New()
	}
	h.function.Reset()
	h.function.Write(h.text[from:]) // never fails, by hash.Hash's contract
	h.digest = h.function.Sum(h.digest[:0])
	return h.digest
}

// reserve makes room for n bytes behind text.
func (h *Hasher) reserve(n int) {
	if cap(h.text)-len(h.text) < n {
		h.text = slices.Grow(h.text, n+len(h.text)/2)
	}
}

// put appends the serialisation of a scalar.
func (h *Hasher) put(code byte, body []byte) {
	h.reserve(2*len(body) + 3)
	n := len(h.text)
	out := h.text[n:cap(h.text)]
	out[0], out[1] = hashBegin, code
	k := 2 + escape(out[2:], body)
	out[k] = hashEnd
	h.text = h.text[:n+k+1]
}

// escapes is 1 for the bytes with a meaning of their own.
var escapes = [256]uint8{hashBegin: 1, hashEscape: 1, hashEnd: 1}

// escape writes text to out with an escape before each byte with a meaning of its
// own, and returns the length. out has room for twice the text.
func escape(out, text []byte) int {
	k := 0
	for len(text) >= 8 {
		w := binary.LittleEndian.Uint64(text)
		// All three are 8 to 15, as few other bytes are.
		if !hasByte(w&(0xF8*ones), 8) || !hasByte(w, hashBegin) && !hasByte(w, hashEscape) && !hasByte(w, hashEnd) {
			binary.LittleEndian.PutUint64(out[k:], w)
			k += 8
		} else {
			for _, c := range text[:8] {
				out[k] = hashEscape // stays if c is to be escaped
				k += int(escapes[c])
				out[k] = c
				k++
			}
		}
		text = text[8:]
	}
	for _, c := range text {
		out[k] = hashEscape
		k += int(escapes[c])
		out[k] = c
		k++
	}
	return k
}

const ones = 0x0101010101010101

// hasByte says whether one of the eight bytes of w is c.
func hasByte(w uint64, c byte) bool {
	w ^= ones * uint64(c)
	return (w-ones)&^w&(ones<<7) != 0
}

func trimZeros(b []byte) []byte {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

// appendFloatBody appends the eight bytes that count: none for positive zero,
// one pattern for every NaN.
func appendFloatBody(dst []byte, f float64) []byte {
	switch {
	case f == 0 && !math.Signbit(f):
		return dst
	case f != f:
		return append(dst, 0x7F, 0xF8, 0, 0, 0, 0, 0, 0)
	}
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(f))
}

// appendShortDecimal appends the shortest body of the same decimal.
func appendShortDecimal(dst, body []byte) ([]byte, error) {
	if len(body) == 0 {
		return dst, nil
	}
	exponent, _, n := varInt(body)
	if n == 0 || exponent > maxExponent || exponent < -maxExponent {
		return dst, errors.New("decimal has no exponent of at most 32 bits")
	}
	negative, first, rest := splitSigned(body[n:])
	if first == 0 {
		return appendDecimalParts(dst, negative, rest, exponent), nil
	}
	// The sign shares its byte with the first digits: the magnitude stands as
	// it is, without leading zeros.
	return append(appendVarInt(dst, exponent), body[n:]...), nil
}

// splitSigned takes Ion's Int apart: its sign, the rest of the sign's byte, and
// the bytes behind it.
func splitSigned(b []byte) (negative bool, first byte, rest []byte) {
	if len(b) == 0 {
		return false, 0, nil
	}
	return b[0]&0x80 != 0, b[0] & 0x7F, b[1:]
}

// appendShortTimestamp appends the shortest body of the same timestamp. A
// fraction without digits (exponent 0 or more) and a value of 0 is no fraction.
func appendShortTimestamp(dst, body []byte) ([]byte, error) {
	offset, negative, n := varInt(body)
	if n == 0 {
		return dst, errors.New("timestamp has no offset")
	}
	body = body[n:]
	if negative && offset == 0 {
		dst = append(dst, unknownOffset)
	} else {
		dst = appendVarInt(dst, offset)
	}
	fields := 0
	for ; len(body) > 0 && fields < 6; fields++ {
		v, n := varUint(body)
		if n == 0 {
			return dst, errors.New("timestamp ends within a field")
		}
		body = body[n:]
		dst = appendVarUint(dst, v)
	}
	if fields == 0 || fields == 4 { // hours come with minutes
		return dst, errors.New("timestamp lacks its year or its minute")
	}
	if len(body) == 0 {
		return dst, nil
	}
	exponent, _, n := varInt(body)
	if n == 0 || exponent < -maxExponent {
		return dst, errors.New("timestamp's fraction has no exponent of at most 32 bits")
	}
	negative, first, rest := splitSigned(body[n:])
	zero := first == 0 && zeroMagnitude(rest)
	switch {
	case !zero && (negative || exponent >= 0):
		return dst, errors.New("timestamp's fraction is outside of a second")
	case exponent >= 0:
		return dst, nil
	case first != 0:
		return append(appendVarInt(dst, exponent), body[n:]...), nil
	}
	return appendSigned(appendVarInt(dst, exponent), false, trimZeros(rest)), nil
}
