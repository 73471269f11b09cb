package ion

import (
	"math/big"
	"strconv"
)

// The functions of this file append s(v), the serialisation whose SHA-256 is
// the Ion hash, of values that never were binary Ion: of a document that is only
// left as JSON. A Hasher does the same for what is binary.
//
// A list is AppendSerialBegin, its elements, AppendSerialEnd. A struct is the
// same around its fields, each as AppendSerialSum of the SHA-256 of
// AppendSerialBytes(name as a symbol) and s(value), in the order of those sums
// as unsigned bytes.

// AppendSerialBegin opens a value of type t, a list, sexp or struct.
func AppendSerialBegin(dst []byte, t Type) []byte { return append(dst, hashBegin, byte(t)<<4) }

// AppendSerialEnd closes it.
func AppendSerialEnd(dst []byte) []byte { return append(dst, hashEnd) }

// AppendSerialSum appends the hash of a field to its struct.
func AppendSerialSum(dst []byte, sum *[32]byte) []byte { return appendEscaped(dst, sum[:]) }

// AppendSerialNull appends null.<t>.
func AppendSerialNull(dst []byte, t Type) []byte {
	return append(dst, hashBegin, byte(t)<<4|0x0F, hashEnd)
}

// AppendSerialBool appends a bool.
func AppendSerialBool(dst []byte, v bool) []byte {
	code := byte(BoolType) << 4
	if v {
		code |= 1
	}
	return append(dst, hashBegin, code, hashEnd)
}

// AppendSerialBytes appends a string, symbol, clob or blob. A string's or
// symbol's text is not checked to be UTF-8.
func AppendSerialBytes(dst []byte, t Type, content []byte) []byte {
	dst = append(dst, hashBegin, byte(t)<<4)
	return append(appendEscaped(dst, content), hashEnd)
}

// AppendSerialInt appends the int with the given digits, which may follow a
// minus sign. ok is false, and dst as it was, for anything else. The time it
// takes grows with the square of the digits.
func AppendSerialInt(dst, text []byte) (_ []byte, ok bool) {
	code, digits := byte(IntType)<<4, text
	if len(text) > 0 && text[0] == '-' {
		code, digits = code+0x10, text[1:]
	}
	if len(digits) == 0 || !isDigits(string(digits)) {
		return dst, false
	}
	if len(digits) <= 18 {
		var buf [8]byte
		v, _ := strconv.ParseUint(string(digits), 10, 64) // 18 digits fit
		if v == 0 {
			code = byte(IntType) << 4 // there is no negative zero
		}
		dst = append(dst, hashBegin, code)
		return append(appendEscaped(dst, appendMagnitude(buf[:0], v)), hashEnd), true
	}
	m, ok := new(big.Int).SetString(string(digits), 10)
	if !ok {
		return dst, false
	}
	if m.Sign() == 0 {
		code = byte(IntType) << 4
	}
	dst = append(dst, hashBegin, code)
	return append(appendEscaped(dst, m.Bytes()), hashEnd), true
}

// AppendSerialFloat appends a float.
func AppendSerialFloat(dst []byte, f float64) []byte {
	var buf [8]byte
	dst = append(dst, hashBegin, byte(FloatType)<<4)
	return append(appendEscaped(dst, appendFloatBody(buf[:0], f)), hashEnd)
}

// AppendSerialDecimal appends the decimal with the given text: digits with a
// point, an exponent or both, as in 90.25, 9025e-2 and -0.0. ok is false, and dst
// as it was, for anything else. The time it takes grows with the square of the
// digits.
func AppendSerialDecimal(dst, text []byte) (_ []byte, ok bool) {
	var buf [32]byte
	body, err := appendDecimal(buf[:0], string(text))
	if err != nil {
		return dst, false
	}
	dst = append(dst, hashBegin, byte(DecimalType)<<4)
	return append(appendEscaped(dst, body), hashEnd), true
}

// AppendSerialTimestamp appends the timestamp with the given Ion text, with its
// precision and offset. ok is false, and dst as it was, for anything else.
func AppendSerialTimestamp(dst, text []byte) (_ []byte, ok bool) {
	var buf [32]byte
	body, err := appendTimestamp(buf[:0], string(text))
	if err != nil {
		return dst, false
	}
	dst = append(dst, hashBegin, byte(TimestampType)<<4)
	return append(appendEscaped(dst, body), hashEnd), true
}
