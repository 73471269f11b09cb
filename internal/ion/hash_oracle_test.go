package ion_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/ion"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

// This file is a second Ion hash: written word by word after the specification
// (amazon-ion.github.io/ion-hash/docs/spec.html), slow, over ion-go's reader. It
// shares nothing with Hasher but the tests that compare the two.

// oracleHash is H(v) of the value that r stands on.
func oracleHash(r ionlib.Reader) ([]byte, error) {
	s, err := oracleSerial(r)
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

func oracleSymbol(s *ionlib.SymbolToken) ([]byte, error) {
	switch {
	case s == nil:
		return nil, fmt.Errorf("no symbol")
	case s.Text == nil:
		return enclose(0x71, nil), nil
	}
	return enclose(0x70, escape([]byte(*s.Text))), nil
}

// oracleSerial is s(v), annotations included.
func oracleSerial(r ionlib.Reader) ([]byte, error) {
	notes, err := r.Annotations()
	if err != nil {
		return nil, err
	}
	var annotations []byte
	for i := range notes {
		s, err := oracleSymbol(&notes[i])
		if err != nil {
			return nil, err
		}
		annotations = append(annotations, s...)
	}
	value, err := oracleBare(r)
	if err != nil || len(notes) == 0 {
		return value, err
	}
	return enclose(0xE0, append(annotations, value...)), nil
}

var oracleQualifier = map[ionlib.Type]byte{
	ionlib.NullType: 0x00, ionlib.BoolType: 0x10, ionlib.IntType: 0x20, ionlib.FloatType: 0x40, ionlib.DecimalType: 0x50,
	ionlib.TimestampType: 0x60, ionlib.SymbolType: 0x70, ionlib.StringType: 0x80, ionlib.ClobType: 0x90, ionlib.BlobType: 0xA0,
	ionlib.ListType: 0xB0, ionlib.SexpType: 0xC0, ionlib.StructType: 0xD0,
}

func oracleBare(r ionlib.Reader) ([]byte, error) {
	tq := oracleQualifier[r.Type()]
	if r.IsNull() {
		return enclose(tq|0x0F, nil), nil
	}
	switch r.Type() {
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
		return enclose(tq, escape(append(oracleVarInt(int64(exponent), exponent < 0), oracleInt(coefficient, negative)...))), nil
	case ionlib.TimestampType:
		v, err := r.TimestampValue()
		if err != nil {
			return nil, err
		}
		return enclose(tq, escape(oracleTimestamp(*v))), nil
	case ionlib.SymbolType:
		v, err := r.SymbolValue()
		if err != nil {
			return nil, err
		}
		return oracleSymbol(v)
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
		s, err := oracleSerial(r)
		if err != nil {
			return nil, err
		}
		if inStruct {
			key, err := oracleSymbol(name)
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

// oracleVarUint is a VarUInt: seven bits a byte, the last one marked.
func oracleVarUint(v uint64) []byte {
	b := []byte{byte(v&0x7F) | 0x80}
	for v >>= 7; v > 0; v >>= 7 {
		b = append([]byte{byte(v & 0x7F)}, b...)
	}
	return b
}

// oracleVarInt is a VarInt: the first byte has six bits and the sign.
func oracleVarInt(v int64, negative bool) []byte {
	b := oracleVarUint(uint64(max(v, -v)))
	if b[0]&0x40 != 0 {
		b = append([]byte{0}, b...)
	}
	if negative {
		b[0] |= 0x40
	}
	return b
}

// oracleInt is an Int: sign and magnitude; zero is nothing.
func oracleInt(v *big.Int, negative bool) []byte {
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

func oracleTimestamp(v ionlib.Timestamp) []byte {
	at, precision := v.GetDateTime(), v.GetPrecision()
	_, offset := at.Zone()
	b := oracleVarInt(int64(offset/60), offset < 0)
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
		b = append(b, oracleVarUint(uint64(f))...)
	}
	if digits := int64(v.GetNumberOfFractionalSeconds()); precision == ionlib.TimestampPrecisionNanosecond && digits > 0 {
		fraction := int64(utc.Nanosecond())
		for i := digits; i < 9; i++ {
			fraction /= 10
		}
		b = append(append(b, oracleVarInt(-digits, true)...), oracleInt(big.NewInt(fraction), false)...)
	}
	return b
}

// A sample writes one random value in three ways: with ion-go, with Writer, and
// spelled out on a Hasher.
type sample struct {
	r     *rand.Rand
	lib   ionlib.Writer
	ours  *ion.Writer
	spell *ion.Hasher
}

func (s *sample) text() string {
	n := s.r.IntN(24)
	if s.r.IntN(20) == 0 {
		n = s.r.IntN(400)
	}
	var b strings.Builder
	for range n {
		switch s.r.IntN(8) {
		case 0:
			b.WriteByte([]byte{0x0B, 0x0C, 0x0E, 0, '\n', '"', '\\', 0x7F}[s.r.IntN(8)])
		case 1:
			b.WriteRune(rune(0x80 + s.r.IntN(0x2000)))
		default:
			b.WriteByte(byte(' ' + s.r.IntN(95)))
		}
	}
	return strings.TrimLeft(b.String(), "$") // ion-go writes the text $6 as symbol 6
}

func (s *sample) digits(most int) string {
	b := make([]byte, 1+s.r.IntN(most))
	for i := range b {
		b[i] = byte('0' + s.r.IntN(10))
	}
	return string(b)
}

func (s *sample) bytes() []byte {
	b := make([]byte, s.r.IntN(70))
	for i := range b {
		b[i] = byte(s.r.IntN(20)) // many that are escaped
	}
	return b
}

// timestamp is the Ion text of one.
func (s *sample) timestamp() string {
	at := time.Unix(s.r.Int64N(6e9)-3e9, s.r.Int64N(1e9)).UTC()
	text := at.Format([]string{"2006T", "2006-01T", "2006-01-02", "2006-01-02T", "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02T15:04:05.000", "2006-01-02T15:04:05.0", "2006-01-02T15:04:05.000000000"}[s.r.IntN(9)])
	if strings.Contains(text, ":") {
		text += []string{"Z", "-00:00", "+05:30", "-11:45", "+23:59"}[s.r.IntN(5)]
	}
	return text
}

var nulls = []ionlib.Type{
	ionlib.NullType, ionlib.BoolType, ionlib.IntType, ionlib.FloatType, ionlib.DecimalType, ionlib.TimestampType, ionlib.SymbolType,
	ionlib.StringType, ionlib.ClobType, ionlib.BlobType, ionlib.ListType, ionlib.SexpType, ionlib.StructType,
}

func (s *sample) value(t *testing.T, depth int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	annotated := false
	for s.r.IntN(8) == 0 {
		annotated = true
		note := s.text()
		must(s.lib.Annotation(ionlib.NewSymbolTokenFromString(note)))
		s.ours.Annotate(note)
		s.spell.Annotate([]byte(note))
	}
	kinds := 14
	if depth == 0 {
		kinds = 11
	}
	switch s.r.IntN(kinds) {
	case 0:
		i := s.r.IntN(len(nulls))
		must(s.lib.WriteNullType(nulls[i]))
		ours := ion.Type(oracleQualifier[nulls[i]] >> 4)
		s.ours.Null(ours)
		s.spell.Null(ours)
	case 1:
		v := s.r.IntN(2) == 0 && !annotated // ion-go cannot read an annotated true
		must(s.lib.WriteBool(v))
		s.ours.Bool(v)
		s.spell.Bool(v)
	case 2, 3:
		v, _ := new(big.Int).SetString(s.digits([]int{2, 19, 60}[s.r.IntN(3)]), 10)
		if s.r.IntN(2) == 0 {
			v.Neg(v)
		}
		must(s.lib.WriteBigInt(v))
		s.ours.BigInt(v)
		s.spell.Int([]byte(v.String()))
	case 4:
		v := []float64{0, math.Copysign(0, -1), 1.5, math.NaN(), math.Inf(1), math.Inf(-1), s.r.NormFloat64(), math.SmallestNonzeroFloat64, 1e300}[s.r.IntN(9)]
		must(s.lib.WriteFloat(v))
		s.ours.Float(v)
		s.spell.Float(v)
	case 5:
		text := s.digits(12) + "." + s.digits(12)
		switch s.r.IntN(4) {
		case 0:
			text = s.digits(30) + "d" + []string{"-3", "5", "-70", "200", "0"}[s.r.IntN(5)]
		case 1:
			text = "0." + strings.Repeat("0", s.r.IntN(4))
		}
		if s.r.IntN(3) == 0 {
			text = "-" + text
		}
		must(s.lib.WriteDecimal(ionlib.MustParseDecimal(text)))
		s.ours.Decimal(text)
		s.spell.Decimal([]byte(text))
	case 6:
		text := s.timestamp()
		at, err := ionlib.ParseTimestamp(text)
		must(err)
		must(s.lib.WriteTimestamp(at))
		s.ours.Timestamp(text)
		s.spell.Timestamp([]byte(text))
	case 7:
		text := s.text()
		must(s.lib.WriteSymbolFromString(text))
		s.ours.Symbol(text)
		s.spell.Symbol([]byte(text))
	case 8:
		text := s.text()
		must(s.lib.WriteString(text))
		s.ours.String(text)
		s.spell.String([]byte(text))
	case 9:
		b := s.bytes()
		must(s.lib.WriteClob(b))
		s.ours.Clob(b)
		s.spell.Clob(b)
	case 10:
		b := s.bytes()
		must(s.lib.WriteBlob(b))
		s.ours.Blob(b)
		s.spell.Blob(b)
	case 11:
		must(s.lib.BeginList())
		s.ours.BeginList()
		s.spell.BeginList()
		for range s.r.IntN(5) {
			s.value(t, depth-1)
		}
		must(s.lib.EndList())
		s.ours.End()
		s.spell.End()
	case 12:
		must(s.lib.BeginSexp())
		s.ours.BeginSexp()
		s.spell.BeginSexp()
		for range s.r.IntN(4) {
			s.value(t, depth-1)
		}
		must(s.lib.EndSexp())
		s.ours.End()
		s.spell.End()
	default:
		must(s.lib.BeginStruct())
		s.ours.BeginStruct()
		s.spell.BeginStruct()
		fields := s.r.IntN(8)
		if s.r.IntN(10) == 0 {
			fields = 60
		}
		for range fields {
			name := []string{"a", "b", s.text()}[s.r.IntN(3)] // some repeat
			must(s.lib.FieldName(ionlib.NewSymbolTokenFromString(name)))
			s.ours.Field(name)
			s.spell.Field([]byte(name))
			s.value(t, depth-1)
		}
		must(s.lib.EndStruct())
		s.ours.End()
		s.spell.End()
	}
}

// TestHashIsThatOfAnIndependentImplementation compares three ways to hash random
// values with the oracle over ion-go's reader.
func TestHashIsThatOfAnIndependentImplementation(t *testing.T) {
	seed := rand.Uint64()
	chance := rand.New(rand.NewPCG(seed, 1))
	values := 3000
	if testing.Short() {
		values = 300
	}
	var h, spelled ion.Hasher // reused, as in a Verifier
	for i := range values {
		var out bytes.Buffer
		s := sample{r: chance, lib: ionlib.NewBinaryWriter(&out), ours: &ion.Writer{}, spell: &spelled}
		spelled.Begin()
		s.value(t, 4)
		if err := s.lib.Finish(); err != nil {
			t.Fatal(err)
		}
		ours, err := s.ours.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]byte{}
		if got["spelled"], err = spelled.AppendSum(nil); err != nil {
			t.Fatalf("seed %d, value %d: %v", seed, i, err)
		}
		var want []byte
		for name, stream := range map[string][]byte{"of ion-go's bytes": out.Bytes(), "of Writer's bytes": ours} {
			lib := ionlib.NewReaderBytes(stream)
			if !lib.Next() {
				t.Fatalf("seed %d, value %d: ion-go reads nothing %s: %v", seed, i, name, lib.Err())
			}
			if want, err = oracleHash(lib); err != nil {
				t.Fatalf("seed %d, value %d, %s: %v", seed, i, name, err)
			}
			got["the oracle's "+name] = want
			r := ion.NewReader(bytes.NewReader(stream), 0)
			value, err := r.Next()
			if err != nil {
				t.Fatalf("seed %d, value %d: %v", seed, i, err)
			}
			if got[name], err = h.Sum(nil, value, r.Symbols()); err != nil {
				t.Fatalf("seed %d, value %d: %v", seed, i, err)
			}
		}
		for name, sum := range got {
			if !bytes.Equal(sum, want) {
				t.Fatalf("seed %d, value %d: %s is %x, want %x\nion-go wrote %x\nWriter wrote %x", seed, i, name, sum, want, out.Bytes(), ours)
			}
		}
	}
}
