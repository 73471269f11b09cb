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
	cursor   Cursor
	notes    []SID
	text     []byte // serialisation under way
	digests  []byte // of struct fields, of all structs under way
	spans    []span // the digests, as parts of digests
	body     []byte // of a decimal or timestamp, in its shortest form
}

type span struct{ from, to int }

// Sum appends the Ion hash of value to dst. The value is exactly one binary
// Ion value, its annotations included, without version marker or symbol table.
// It fails on bytes that are no Ion value, on nesting deeper than MaxDepth and
// on symbols without text, and then returns dst as it was.
func (h *Hasher) Sum(dst, value []byte, symbols Symbols) ([]byte, error) {
	h.text, h.digests, h.spans = h.text[:0], h.digests[:0], h.spans[:0]
	h.cursor.Reset(value, 0, len(value))
	if !h.cursor.Next() {
		if err := h.cursor.Err(); err != nil {
			return dst, fmt.Errorf("hash ion value: %w", err)
		}
		return dst, errors.New("hash ion value: there is none")
	}
	if err := h.serial(symbols); err != nil {
		return dst, fmt.Errorf("hash ion value: %w", err)
	}
	if h.cursor.Next() || h.cursor.Err() != nil {
		return dst, fmt.Errorf("hash ion value: something follows it at byte %d", h.cursor.Offset())
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

// serial appends s(v) of the cursor's current value to h.text.
func (h *Hasher) serial(symbols Symbols) error {
	c := &h.cursor
	if !c.Annotated() {
		return h.bare(symbols)
	}
	// 0B E0 s(annotation)... s(value) 0E
	h.text = append(h.text, hashBegin, 0xE0)
	h.notes = c.AppendAnnotations(h.notes[:0])
	for _, id := range h.notes {
		if err := h.symbol(id, symbols); err != nil {
			return err
		}
	}
	if err := h.bare(symbols); err != nil {
		return err
	}
	h.text = append(h.text, hashEnd)
	return nil
}

// bare is serial without annotations.
func (h *Hasher) bare(symbols Symbols) (err error) {
	c := &h.cursor
	code := c.Code() << 4
	if !c.IsNull() && c.Type() == SymbolType {
		id, err := c.Symbol()
		if err != nil {
			return err
		}
		return h.symbol(id, symbols)
	}
	h.text = append(h.text, hashBegin)
	if c.IsNull() {
		if code == 0x30 {
			code = 0x20 // null.int has two encodings
		}
		h.text = append(h.text, code|0x0F, hashEnd)
		return nil
	}
	switch c.Type() {
	case BoolType:
		v, err := c.Bool()
		if err != nil {
			return err
		}
		if v {
			code |= 1
		}
		h.text = append(h.text, code)
	case IntType:
		h.text = appendEscaped(append(h.text, code), bytes.TrimLeft(c.Body(), "\x00"))
	case FloatType:
		v, err := c.Float()
		if err != nil {
			return err
		}
		h.body = appendFloatBody(h.body[:0], v)
		h.text = appendEscaped(append(h.text, code), h.body)
	case DecimalType:
		if h.body, err = appendShortDecimal(h.body[:0], c.Body()); err != nil {
			return c.wrong(err.Error())
		}
		h.text = appendEscaped(append(h.text, code), h.body)
	case TimestampType:
		if h.body, err = appendShortTimestamp(h.body[:0], c.Body()); err != nil {
			return c.wrong(err.Error())
		}
		h.text = appendEscaped(append(h.text, code), h.body)
	case StringType, ClobType, BlobType:
		h.text = appendEscaped(append(h.text, code), c.Body())
	case ListType, SexpType, StructType:
		h.text = append(h.text, code)
		if !c.StepIn() {
			return c.Err()
		}
		if c.InStruct() {
			err = h.fields(symbols)
		} else {
			err = h.children(symbols)
		}
		if err != nil {
			return err
		}
		c.StepOut()
	default:
		return c.wrong("no value to hash")
	}
	h.text = append(h.text, hashEnd)
	return nil
}

func (h *Hasher) children(symbols Symbols) error {
	for h.cursor.Next() {
		if err := h.serial(symbols); err != nil {
			return err
		}
	}
	return h.cursor.Err()
}

// fields appends the sorted hashes of a struct's fields. The serialisation of a
// field is built behind what is there already, hashed and cut off again.
func (h *Hasher) fields(symbols Symbols) error {
	firstSpan, firstDigest := len(h.spans), len(h.digests)
	for h.cursor.Next() {
		start := len(h.text)
		if err := h.symbol(h.cursor.Field(), symbols); err != nil {
			return err
		}
		if err := h.serial(symbols); err != nil {
			return err
		}
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
	return h.cursor.Err()
}

// symbol appends s(symbol); $0, which has no text, has a type byte of its own.
func (h *Hasher) symbol(id SID, symbols Symbols) error {
	if id == 0 {
		h.text = append(h.text, hashBegin, 0x71, hashEnd)
		return nil
	}
	text, err := symbols.Text(id)
	if err != nil {
		return err
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
	return appendSigned(appendVarInt(dst, exponent), false, bytes.TrimLeft(rest, "\x00")), nil
}
