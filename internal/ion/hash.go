package ion

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"
)

// Symbols gives the text of a symbol id. It reports false for an id that the
// stream does not define or whose text is unknown.
type Symbols interface {
	Text(sid uint64) (string, bool)
}

// maxHashDepth bounds nesting, so that hostile input cannot exhaust the stack.
// Ion itself has no bound; QLDB's documents of 128 KB come nowhere near.
const maxHashDepth = 4096

// The bytes with a meaning of their own in the serialisation.
const (
	hashBegin  = 0x0B
	hashEscape = 0x0C
	hashEnd    = 0x0E
)

// A Hasher computes Ion hashes (amazon-ion.github.io/ion-hash/docs/spec.html)
// of binary Ion. Equal Ion values have equal hashes however they are encoded:
// padding, field order, float size and symbol ids make no difference.
//
// The zero value hashes with SHA-256, as QLDB does. A Hasher keeps its buffers
// between calls and is not safe for concurrent use.
type Hasher struct {
	// New makes the underlying hash function. Nil: SHA-256. Set it before the
	// first Sum.
	New func() hash.Hash

	function hash.Hash
	text     []byte // serialisation under way
	digests  []byte // of struct fields, of all structs under way
	spans    []span // the digests, as parts of digests
}

type span struct{ from, to int }

// Sum appends the Ion hash of value to dst. The value is exactly one binary
// Ion value, its annotations included, without version marker or symbol table.
// It fails on bytes that are no Ion value and on symbols without text, and then
// returns dst as it was.
func (h *Hasher) Sum(dst, value []byte, symbols Symbols) ([]byte, error) {
	h.text, h.digests, h.spans = h.text[:0], h.digests[:0], h.spans[:0]
	rest, err := h.serialize(value, symbols, 0)
	if err != nil {
		return dst, fmt.Errorf("hash ion value: at byte %d: %w", len(value)-len(rest), err)
	}
	if len(rest) > 0 {
		return dst, fmt.Errorf("hash ion value: %d bytes follow the value", len(rest))
	}
	return h.sum(dst, h.text), nil
}

func (h *Hasher) sum(dst, text []byte) []byte {
	if h.New == nil {
		s := sha256.Sum256(text)
		return append(dst, s[:]...)
	}
	if h.function == nil {
		h.function = h.New()
	}
	h.function.Reset()
	h.function.Write(text) // never fails, by hash.Hash's contract
	return h.function.Sum(dst)
}

// serialize appends s(v) of the first value of b to h.text and returns what
// follows that value. On an error it returns what follows the last byte that
// was understood.
func (h *Hasher) serialize(b []byte, symbols Symbols, depth int) ([]byte, error) {
	if depth > maxHashDepth {
		return b, fmt.Errorf("nested deeper than %d", maxHashDepth)
	}
	head, content, rest, err := splitValue(b)
	if err != nil {
		return b, err
	}
	code, low := head>>4, head&0x0F
	if code == 0xE {
		return h.annotated(content, rest, symbols, depth)
	}
	h.text = append(h.text, hashBegin)
	if low == 0x0F {
		h.text = append(h.text, head&0xF0|0x0F, hashEnd)
		if code == 3 {
			return b, errors.New("null of a negative int")
		}
		return rest, nil
	}
	switch code {
	case 0x0:
		return b, errors.New("padding instead of a value")
	case 0x1:
		h.text = append(h.text, head)
	case 0x2, 0x3:
		content = bytes.TrimLeft(content, "\x00")
		if len(content) == 0 && code == 3 {
			return b, errors.New("negative zero int")
		}
		h.text = appendEscaped(append(h.text, code<<4), content)
	case 0x4:
		var float []byte
		if float, err = canonicalFloat(content); err == nil {
			h.text = appendEscaped(append(h.text, 0x40), float)
		}
	case 0x5:
		var buf [32]byte
		var decimal []byte
		if decimal, err = canonicalDecimal(buf[:0], content); err == nil {
			h.text = appendEscaped(append(h.text, 0x50), decimal)
		}
	case 0x6:
		var buf [32]byte
		var timestamp []byte
		if timestamp, err = canonicalTimestamp(buf[:0], content); err == nil {
			h.text = appendEscaped(append(h.text, 0x60), timestamp)
		}
	case 0x7:
		var sid uint64
		if sid, err = symbolID(content); err == nil {
			h.text = h.text[:len(h.text)-1]
			return rest, h.symbol(sid, symbols)
		}
	case 0x8, 0x9, 0xA:
		h.text = appendEscaped(append(h.text, code<<4), content)
	case 0xB, 0xC:
		h.text = append(h.text, code<<4)
		err = h.children(content, symbols, depth)
	case 0xD:
		h.text = append(h.text, 0xD0)
		err = h.fields(content, symbols, depth)
	default:
		err = fmt.Errorf("reserved type code %#x", head)
	}
	if err != nil {
		return b, err
	}
	h.text = append(h.text, hashEnd)
	return rest, nil
}

func (h *Hasher) children(content []byte, symbols Symbols, depth int) error {
	for len(content) > 0 {
		if isPadding(content[0]) {
			_, _, rest, err := splitValue(content)
			if err != nil {
				return err
			}
			content = rest
			continue
		}
		rest, err := h.serialize(content, symbols, depth+1)
		if err != nil {
			return err
		}
		content = rest
	}
	return nil
}

// fields appends the sorted hashes of a struct's fields. The serialisation of a
// field is built behind what is there already, hashed and cut off again.
func (h *Hasher) fields(content []byte, symbols Symbols, depth int) error {
	firstSpan, firstDigest := len(h.spans), len(h.digests)
	for len(content) > 0 {
		sid, n := readVarUint(content)
		if n == 0 {
			return errors.New("bad field name")
		}
		content = content[n:]
		if len(content) > 0 && isPadding(content[0]) {
			_, _, rest, err := splitValue(content)
			if err != nil {
				return err
			}
			content = rest
			continue
		}
		start := len(h.text)
		if err := h.symbol(sid, symbols); err != nil {
			return err
		}
		rest, err := h.serialize(content, symbols, depth+1)
		if err != nil {
			return err
		}
		content = rest
		from := len(h.digests)
		h.digests = h.sum(h.digests, h.text[start:])
		h.spans = append(h.spans, span{from, len(h.digests)})
		h.text = h.text[:start]
	}
	slices.SortFunc(h.spans[firstSpan:], func(a, b span) int {
		return bytes.Compare(h.digests[a.from:a.to], h.digests[b.from:b.to])
	})
	for _, s := range h.spans[firstSpan:] {
		h.text = appendEscaped(h.text, h.digests[s.from:s.to])
	}
	h.spans, h.digests = h.spans[:firstSpan], h.digests[:firstDigest]
	return nil
}

// annotated appends 0B E0 s(annotation)… s(value) 0E.
func (h *Hasher) annotated(content, rest []byte, symbols Symbols, depth int) ([]byte, error) {
	size, n := readVarUint(content)
	if n == 0 || size == 0 || size >= uint64(len(content)-n) {
		return content, errors.New("bad annotation wrapper")
	}
	notes, value := content[n:n+int(size)], content[n+int(size):]
	if value[0]>>4 == 0xE || isPadding(value[0]) {
		return value, errors.New("annotations around annotations or padding")
	}
	h.text = append(h.text, hashBegin, 0xE0)
	for len(notes) > 0 {
		sid, n := readVarUint(notes)
		if n == 0 {
			return notes, errors.New("bad annotation")
		}
		notes = notes[n:]
		if err := h.symbol(sid, symbols); err != nil {
			return notes, err
		}
	}
	behind, err := h.serialize(value, symbols, depth+1)
	if err != nil {
		return behind, err
	}
	if len(behind) > 0 {
		return behind, errors.New("annotation wrapper around more than one value")
	}
	h.text = append(h.text, hashEnd)
	return rest, nil
}

// symbol appends s(symbol); $0, which has no text, has a type byte of its own.
func (h *Hasher) symbol(sid uint64, symbols Symbols) error {
	if sid == 0 {
		h.text = append(h.text, hashBegin, 0x71, hashEnd)
		return nil
	}
	text, ok := symbols.Text(sid)
	if !ok {
		return fmt.Errorf("symbol $%d has no text", sid)
	}
	h.text = appendEscaped(append(h.text, hashBegin, 0x70), text)
	h.text = append(h.text, hashEnd)
	return nil
}

func appendEscaped[T []byte | string](dst []byte, text T) []byte {
	for i := range len(text) {
		c := text[i]
		if c == hashBegin || c == hashEscape || c == hashEnd {
			dst = append(dst, hashEscape)
		}
		dst = append(dst, c)
	}
	return dst
}

func isPadding(head byte) bool { return head < 0x0F }

// splitValue takes the first value off b: its first byte, its content and what
// follows. Every length is checked against b.
func splitValue(b []byte) (head byte, content, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, nil, errors.New("value is missing")
	}
	head, b = b[0], b[1:]
	code, size := head>>4, uint64(head&0x0F)
	switch {
	case size == 15:
		if code == 0xE || code == 0xF {
			return head, nil, b, fmt.Errorf("reserved type code %#x", head)
		}
		return head, nil, b, nil
	case code == 1:
		if size > 1 {
			return head, nil, b, fmt.Errorf("reserved type code %#x", head)
		}
		return head, nil, b, nil
	case size == 14 || code == 0xD && size == 1:
		n := 0
		if size, n = readVarUint(b); n == 0 {
			return head, nil, b, errors.New("bad length")
		}
		b = b[n:]
	case code == 0xE && size < 3:
		return head, nil, b, fmt.Errorf("reserved type code %#x", head)
	}
	if size > uint64(len(b)) {
		return head, nil, b, fmt.Errorf("value of %d bytes with %d left", size, len(b))
	}
	return head, b[:size], b[size:], nil
}

// readVarUint returns the VarUInt at the beginning of b and its length, which
// is 0 when it is cut off or wider than 63 bits.
func readVarUint(b []byte) (v uint64, n int) {
	for i, c := range b {
		if v>>56 > 0 {
			return 0, 0
		}
		v = v<<7 | uint64(c&0x7F)
		if c&0x80 != 0 {
			return v, i + 1
		}
	}
	return 0, 0
}

// readVarInt is readVarUint for VarInts; negative tells negative zero apart.
func readVarInt(b []byte) (v int64, negative bool, n int) {
	for i, c := range b {
		if v>>55 > 0 {
			return 0, false, 0
		}
		if i == 0 {
			negative = c&0x40 != 0
			v = int64(c & 0x3F)
		} else {
			v = v<<7 | int64(c&0x7F)
		}
		if c&0x80 != 0 {
			if negative {
				v = -v
			}
			return v, negative, i + 1
		}
	}
	return 0, false, 0
}

func symbolID(content []byte) (uint64, error) {
	content = bytes.TrimLeft(content, "\x00")
	if len(content) > 8 {
		return 0, errors.New("symbol id over 64 bits")
	}
	sid := uint64(0)
	for _, c := range content {
		sid = sid<<8 | uint64(c)
	}
	return sid, nil
}

// canonicalFloat returns the eight bytes that count: none for positive zero,
// one pattern for every NaN.
func canonicalFloat(content []byte) ([]byte, error) {
	var f float64
	switch len(content) {
	case 0:
		return nil, nil
	case 4:
		f = float64(math.Float32frombits(binary.BigEndian.Uint32(content)))
	case 8:
		f = math.Float64frombits(binary.BigEndian.Uint64(content))
	default:
		return nil, fmt.Errorf("float of %d bytes", len(content))
	}
	switch {
	case f == 0 && !math.Signbit(f):
		return nil, nil
	case f != f:
		return []byte{0x7F, 0xF8, 0, 0, 0, 0, 0, 0}, nil
	}
	return binary.BigEndian.AppendUint64(nil, math.Float64bits(f)), nil
}

// canonicalDecimal appends the shortest body of the same decimal.
func canonicalDecimal(dst, content []byte) ([]byte, error) {
	if len(content) == 0 {
		return dst, nil
	}
	exponent, _, n := readVarInt(content)
	if n == 0 || exponent > maxExponent || exponent < -maxExponent {
		return dst, errors.New("bad exponent of a decimal")
	}
	negative, magnitude := splitSigned(content[n:])
	return appendDecimalParts(dst, negative, magnitude, exponent), nil
}

// splitSigned takes Ion's Int apart; leading zeros of the magnitude are gone.
func splitSigned(content []byte) (negative bool, magnitude []byte) {
	if len(content) == 0 {
		return false, nil
	}
	negative = content[0]&0x80 != 0
	switch first := content[0] & 0x7F; {
	case first == 0:
		return negative, bytes.TrimLeft(content[1:], "\x00")
	case !negative:
		return false, content
	default:
		return true, append([]byte{first}, content[1:]...)
	}
}

// canonicalTimestamp appends the shortest body of the same timestamp. A
// fraction without digits (exponent 0 or more) and a value of 0 is no fraction.
func canonicalTimestamp(dst, content []byte) ([]byte, error) {
	offset, unknown, n := readVarInt(content)
	if n == 0 {
		return dst, errors.New("bad offset of a timestamp")
	}
	content = content[n:]
	if unknown && offset == 0 {
		dst = append(dst, unknownOffset)
	} else {
		dst = appendVarInt(dst, offset)
	}
	fields := 0
	for ; len(content) > 0 && fields < 6; fields++ {
		v, n := readVarUint(content)
		if n == 0 {
			return dst, errors.New("bad field of a timestamp")
		}
		content = content[n:]
		dst = appendVarUint(dst, v)
	}
	if fields == 0 || fields == 4 { // hours come with minutes
		return dst, errors.New("unfinished timestamp")
	}
	if len(content) == 0 {
		return dst, nil
	}
	exponent, _, n := readVarInt(content)
	if n == 0 || exponent < -maxExponent {
		return dst, errors.New("bad fraction of a timestamp")
	}
	negative, magnitude := splitSigned(content[n:])
	switch {
	case len(magnitude) > 0 && (negative || exponent >= 0):
		return dst, errors.New("fraction of a timestamp outside a second")
	case exponent >= 0:
		return dst, nil
	}
	return appendSigned(appendVarInt(dst, exponent), false, magnitude), nil
}
