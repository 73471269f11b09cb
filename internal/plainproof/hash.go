// Package plainproof hashes QLDB ledgers again as one would write it in an
// afternoon: the Ion hash word by word after its specification
// (amazon-ion.github.io/ion-hash/docs/spec.html) and QLDB's rules for blocks, over
// ion-go's reader, on slices, slow. It shares no code with what it is compared
// with: tests use it as an oracle, benchmarks as the plain way.
//
// Promises: a value is hashed from the reader and never through Go values, which
// lose what Ion tells apart; every error names the block.
package plainproof

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

// Hash is H(v) of the value that r stands on, annotations included.
func Hash(r ionlib.Reader) ([]byte, error) {
	s, err := serial(r)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(s)
	return sum[:], nil
}

// enclose is B, the type qualifier, the escaped representation, E.
func enclose(tq byte, representation []byte) []byte {
	return slices.Concat([]byte{0x0B, tq}, representation, []byte{0x0E})
}

func escape(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte{0x0C}, []byte{0x0C, 0x0C})
	b = bytes.ReplaceAll(b, []byte{0x0B}, []byte{0x0C, 0x0B})
	return bytes.ReplaceAll(b, []byte{0x0E}, []byte{0x0C, 0x0E})
}

func symbol(s *ionlib.SymbolToken) ([]byte, error) {
	switch {
	case s == nil:
		return nil, fmt.Errorf("no symbol")
	case s.Text == nil:
		return enclose(0x71, nil), nil
	}
	return enclose(0x70, escape([]byte(*s.Text))), nil
}

// serial is s(v), annotations included.
func serial(r ionlib.Reader) ([]byte, error) {
	notes, err := r.Annotations()
	if err != nil {
		return nil, err
	}
	var annotations []byte
	for i := range notes {
		s, err := symbol(&notes[i])
		if err != nil {
			return nil, err
		}
		annotations = append(annotations, s...)
	}
	value, err := bare(r)
	if err != nil || len(notes) == 0 {
		return value, err
	}
	return enclose(0xE0, append(annotations, value...)), nil
}

var qualifiers = map[ionlib.Type]byte{
	ionlib.NullType: 0x00, ionlib.BoolType: 0x10, ionlib.IntType: 0x20, ionlib.FloatType: 0x40, ionlib.DecimalType: 0x50,
	ionlib.TimestampType: 0x60, ionlib.SymbolType: 0x70, ionlib.StringType: 0x80, ionlib.ClobType: 0x90, ionlib.BlobType: 0xA0,
	ionlib.ListType: 0xB0, ionlib.SexpType: 0xC0, ionlib.StructType: 0xD0,
}

func bare(r ionlib.Reader) ([]byte, error) {
	tq := qualifiers[r.Type()]
	if r.IsNull() {
		return enclose(tq|0x0F, nil), nil
	}
	switch r.Type() { //nolint:exhaustive // nulls are done, containers follow
	case ionlib.BoolType:
		v, err := r.BoolValue()
		if err == nil && *v {
			tq |= 1
		}
		return enclose(tq, nil), err
	case ionlib.IntType:
		v, err := r.BigIntValue()
		if err != nil {
			return nil, err
		}
		if v.Sign() < 0 {
			tq = 0x30
		}
		return enclose(tq, escape(v.Bytes())), nil
	case ionlib.FloatType:
		v, err := r.FloatValue()
		if err != nil {
			return nil, err
		}
		var b []byte
		switch {
		case math.IsNaN(*v):
			b = []byte{0x7F, 0xF8, 0, 0, 0, 0, 0, 0}
		case *v != 0 || math.Signbit(*v):
			b = binary.BigEndian.AppendUint64(nil, math.Float64bits(*v))
		}
		return enclose(tq, escape(b)), nil
	case ionlib.DecimalType:
		v, err := r.DecimalValue()
		if err != nil {
			return nil, err
		}
		coefficient, exponent := v.CoEx()
		negative := strings.HasPrefix(v.String(), "-") // tells of -0 also
		if coefficient.Sign() == 0 && exponent == 0 && !negative {
			return enclose(tq, nil), nil
		}
		return enclose(tq, escape(append(varInt(int64(exponent), exponent < 0), signed(coefficient, negative)...))), nil
	case ionlib.TimestampType:
		v, err := r.TimestampValue()
		if err != nil {
			return nil, err
		}
		return enclose(tq, escape(timestamp(*v))), nil
	case ionlib.SymbolType:
		v, err := r.SymbolValue()
		if err != nil {
			return nil, err
		}
		return symbol(v)
	case ionlib.StringType:
		v, err := r.StringValue()
		if err != nil {
			return nil, err
		}
		return enclose(tq, escape([]byte(*v))), nil
	case ionlib.ClobType, ionlib.BlobType:
		v, err := r.ByteValue()
		return enclose(tq, escape(v)), err
	}
	inStruct := r.Type() == ionlib.StructType
	if err := r.StepIn(); err != nil {
		return nil, err
	}
	var parts [][]byte
	for r.Next() {
		name, err := r.FieldName()
		if err != nil {
			return nil, err
		}
		s, err := serial(r)
		if err != nil {
			return nil, err
		}
		if inStruct {
			key, err := symbol(name)
			if err != nil {
				return nil, err
			}
			sum := sha256.Sum256(append(key, s...))
			s = sum[:]
		}
		parts = append(parts, s)
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	if err := r.StepOut(); err != nil {
		return nil, err
	}
	if !inStruct {
		return enclose(tq, bytes.Join(parts, nil)), nil
	}
	slices.SortFunc(parts, bytes.Compare)
	return enclose(tq, escape(bytes.Join(parts, nil))), nil
}

// varUint is a VarUInt: seven bits a byte, the last one marked.
func varUint(v uint64) []byte {
	b := []byte{byte(v&0x7F) | 0x80}
	for v >>= 7; v > 0; v >>= 7 {
		b = append([]byte{byte(v & 0x7F)}, b...)
	}
	return b
}

// varInt is a VarInt: the first byte has six bits and the sign.
func varInt(v int64, negative bool) []byte {
	b := varUint(uint64(max(v, -v)))
	if b[0]&0x40 != 0 {
		b = append([]byte{0}, b...)
	}
	if negative {
		b[0] |= 0x40
	}
	return b
}

// signed is an Int: sign and magnitude; zero is nothing.
func signed(v *big.Int, negative bool) []byte {
	b := new(big.Int).Abs(v).Bytes()
	if len(b) == 0 && !negative {
		return nil
	}
	if len(b) == 0 || b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	if negative {
		b[0] |= 0x80
	}
	return b
}

func timestamp(v ionlib.Timestamp) []byte {
	at, precision := v.GetDateTime(), v.GetPrecision()
	_, offset := at.Zone()
	b := varInt(int64(offset/60), offset < 0)
	if v.GetTimezoneKind() == ionlib.TimezoneUnspecified {
		b = []byte{0xC0}
	}
	utc := at.UTC()
	fields := []int{utc.Year(), int(utc.Month()), utc.Day(), utc.Hour(), utc.Minute(), utc.Second()}
	n := map[ionlib.TimestampPrecision]int{
		ionlib.TimestampPrecisionYear: 1, ionlib.TimestampPrecisionMonth: 2, ionlib.TimestampPrecisionDay: 3,
		ionlib.TimestampPrecisionMinute: 5, ionlib.TimestampPrecisionSecond: 6, ionlib.TimestampPrecisionNanosecond: 6,
	}[precision]
	if n <= 3 { // a date has no offset, and is not moved by one
		fields = []int{at.Year(), int(at.Month()), at.Day()}
		b = []byte{0xC0}
	}
	for _, f := range fields[:n] {
		b = append(b, varUint(uint64(f))...)
	}
	if digits := int64(v.GetNumberOfFractionalSeconds()); precision == ionlib.TimestampPrecisionNanosecond && digits > 0 {
		fraction := int64(utc.Nanosecond())
		for i := digits; i < 9; i++ {
			fraction /= 10
		}
		b = append(append(b, varInt(-digits, true)...), signed(big.NewInt(fraction), false)...)
	}
	return b
}
