package ion_test

import (
	"bytes"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"godwit/internal/ion"
	"godwit/internal/plainproof"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

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

var nulls = []struct {
	lib  ionlib.Type
	ours ion.Type
}{
	{ionlib.NullType, ion.NullType},
	{ionlib.BoolType, ion.BoolType},
	{ionlib.IntType, ion.IntType},
	{ionlib.FloatType, ion.FloatType},
	{ionlib.DecimalType, ion.DecimalType},
	{ionlib.TimestampType, ion.TimestampType},
	{ionlib.SymbolType, ion.SymbolType},
	{ionlib.StringType, ion.StringType},
	{ionlib.ClobType, ion.ClobType},
	{ionlib.BlobType, ion.BlobType},
	{ionlib.ListType, ion.ListType},
	{ionlib.SexpType, ion.SexpType},
	{ionlib.StructType, ion.StructType},
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
		must(s.lib.WriteNullType(nulls[i].lib))
		s.ours.Null(nulls[i].ours)
		s.spell.Null(nulls[i].ours)
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
			if want, err = plainproof.Hash(lib); err != nil {
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
