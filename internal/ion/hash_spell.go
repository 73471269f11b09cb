package ion

import (
	"errors"
	"fmt"
	"math/big"
)

// Begin forgets what was spelled out and starts a new value. Spelling needs
// neither binary Ion nor symbols: it hashes values that come in another form,
// such as JSON, once their Ion types are known. One value is spelled out by the
// methods named after Ion's types; BeginStruct, BeginList and BeginSexp nest
// and End closes them; Field names the next value of a struct, Annotate
// annotates the next value. The first mistake sticks and is AppendSum's error.
func (h *Hasher) Begin() {
	h.text, h.frames, h.digests, h.spans = h.text[:0], h.frames[:0], h.digests[:0], h.spans[:0]
	h.noted, h.err = false, nil
}

// AppendSum appends the hash of the value spelled out since Begin to dst, or
// returns dst as it was and the first mistake.
func (h *Hasher) AppendSum(dst []byte) ([]byte, error) {
	switch {
	case h.err != nil:
		return dst, h.err
	case len(h.frames) > 0 || h.noted:
		return dst, errors.New("hash ion value: it is not ended")
	case len(h.text) == 0:
		return dst, errors.New("hash ion value: there is none")
	}
	return append(dst, h.sum(0)...), nil
}

// mistake notes the first mistake.
func (h *Hasher) mistake(err error) {
	if h.err == nil {
		h.err = fmt.Errorf("hash ion value: %w", err)
	}
}

// may says whether a value may stand here.
func (h *Hasher) may() bool {
	switch n := len(h.frames); {
	case h.err != nil:
		return false
	case n == 0 && len(h.text) > 0 && !h.noted:
		h.mistake(errors.New("another one follows it"))
		return false
	case n > 0 && h.frames[n-1].code == 0xD0 && h.frames[n-1].field < 0:
		h.mistake(errors.New("a value of a struct has no field name"))
		return false
	}
	return true
}

func (h *Hasher) spell(code byte, body []byte) {
	if !h.may() {
		return
	}
	h.put(code, body)
	h.done(h.noted)
}

func (h *Hasher) open(code byte) {
	if !h.may() {
		return
	}
	if len(h.frames) == MaxDepth {
		h.mistake(fmt.Errorf("containers nest deeper than %d", MaxDepth))
		return
	}
	h.begin(code)
}

// BeginList opens a list.
func (h *Hasher) BeginList() { h.open(0xB0) }

// BeginSexp opens an s-expression.
func (h *Hasher) BeginSexp() { h.open(0xC0) }

// BeginStruct opens a struct.
func (h *Hasher) BeginStruct() { h.open(0xD0) }

// End closes the innermost open container.
func (h *Hasher) End() {
	switch n := len(h.frames); {
	case h.err != nil:
	case n == 0 || h.noted || h.frames[n-1].field >= 0:
		h.mistake(errors.New("a container ends that is not open, or whose last value is missing"))
	default:
		h.end()
	}
}

// Field names the next value, which must be a struct's.
func (h *Hasher) Field(name []byte) {
	switch n := len(h.frames); {
	case h.err != nil:
	case n == 0 || h.noted || h.frames[n-1].code != 0xD0 || h.frames[n-1].field >= 0:
		h.mistake(fmt.Errorf("field %.40q stands in no struct, or behind a field without a value", name))
	default:
		h.frames[n-1].field = len(h.text)
		h.put(0x70, name)
	}
}

// Annotate puts an annotation on the next value, behind those already put there.
func (h *Hasher) Annotate(name []byte) {
	if h.err != nil || !h.noted && !h.may() {
		return
	}
	if !h.noted {
		h.text = append(h.text, hashBegin, 0xE0)
		h.noted = true
	}
	h.put(0x70, name)
}

// Null spells null.<t>; NullType is null itself.
func (h *Hasher) Null(t Type) { h.spell(byte(t)<<4|0x0F, nil) }

// Bool spells a bool.
func (h *Hasher) Bool(v bool) {
	if v {
		h.spell(0x11, nil)
		return
	}
	h.spell(0x10, nil)
}

// Int spells an int from its decimal digits, a '-' before them when it is
// negative.
func (h *Hasher) Int(digits []byte) {
	code, rest := byte(0x20), digits
	if len(rest) > 0 && rest[0] == '-' {
		code, rest = 0x30, rest[1:]
	}
	if len(rest) == 0 || !allDigits(rest) {
		h.mistake(fmt.Errorf("%.40q is not an int", digits))
		return
	}
	for len(rest) > 1 && rest[0] == '0' {
		rest = rest[1:]
	}
	if rest[0] == '0' {
		code = 0x20 // there is no negative zero
	}
	if len(rest) <= 18 {
		h.body = appendMagnitude(h.body[:0], decimalDigits(0, rest))
	} else {
		if len(rest) > MaxDigitsBytes {
			h.mistake(fmt.Errorf("an int of %d digits is too long", len(rest)))
			return
		}
		m, _ := new(big.Int).SetString(string(rest), 10) // digits only
		h.body = append(h.body[:0], m.Bytes()...)
	}
	h.spell(code, h.body)
}

// Float spells a float.
func (h *Hasher) Float(v float64) {
	h.body = appendFloatBody(h.body[:0], v)
	h.spell(0x40, h.body)
}

// Decimal spells a decimal from its text, such as 90.25, -0., 5d-2 or 9025e-2.
// The digits behind the point are its scale: 9, 9.0 and 9.00 differ.
func (h *Hasher) Decimal(text []byte) {
	if len(text) > MaxDigitsBytes {
		h.mistake(fmt.Errorf("a decimal of %d characters is too long", len(text)))
		return
	}
	var err error
	if h.body, err = appendDecimal(h.body[:0], string(text)); err != nil {
		h.mistake(err)
		return
	}
	h.spell(0x50, h.body)
}

// maxTimestampText is the longest text of a timestamp: a fraction of
// maxFractionDigits, and what is around it.
const maxTimestampText = maxFractionDigits + 32

// Timestamp spells a timestamp from its Ion text, keeping precision and offset.
func (h *Hasher) Timestamp(text []byte) {
	if len(text) > maxTimestampText {
		h.mistake(fmt.Errorf("a timestamp of %d characters is too long", len(text)))
		return
	}
	var err error
	if h.body, err = appendTimestamp(h.body[:0], string(text)); err != nil {
		h.mistake(err)
		return
	}
	h.spell(0x60, h.body)
}

// Symbol spells a symbol by its text.
func (h *Hasher) Symbol(text []byte) { h.spell(0x70, text) }

// String spells a string.
func (h *Hasher) String(text []byte) { h.spell(0x80, text) }

// Clob spells a clob.
func (h *Hasher) Clob(b []byte) { h.spell(0x90, b) }

// Blob spells a blob.
func (h *Hasher) Blob(b []byte) { h.spell(0xA0, b) }

func allDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
