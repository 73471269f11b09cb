package ion_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"godwit/internal/ion"
	"godwit/internal/iontest"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

// showCursor writes everything that c yields in one line of text, to be compared
// with showIonGo.
func showCursor(c *ion.Cursor, symbols *ion.SymbolTable) (string, error) {
	var s strings.Builder
	text := func(id ion.SID) string {
		v, err := symbols.Text(id)
		if err != nil {
			return "?" + strconv.Itoa(int(id))
		}
		return strconv.Quote(v)
	}
	var walk func() error
	walk = func() error {
		for c.Next() {
			if c.InStruct() {
				s.WriteString(text(c.Field()) + ":")
			}
			for _, a := range c.AppendAnnotations(nil) {
				s.WriteString(text(a) + "::")
			}
			if c.IsNull() {
				s.WriteString("null." + c.Type().String() + " ")
				continue
			}
			var b []byte
			var err error
			switch c.Type() {
			case ion.BoolType:
				v, e := c.Bool()
				b, err = fmt.Appendf(nil, "%t", v), e
			case ion.IntType:
				b, err = c.AppendInt(nil)
				if v, ok, e := c.Int64(); ok && (e != nil || strconv.FormatInt(v, 10) != string(b)) {
					err = fmt.Errorf("Int64 %d, %v differs from AppendInt %s", v, e, b)
				}
			case ion.FloatType:
				v, e := c.Float()
				b, err = floatBits(v), e
			case ion.DecimalType:
				b, err = c.AppendDecimal(nil)
				b = append([]byte("d"), b...)
			case ion.TimestampType:
				b, err = c.AppendTimestamp(nil)
			case ion.SymbolType:
				v, e := c.Symbol()
				b, err = []byte("'"+text(v)), e
			case ion.StringType:
				v, e := c.Text()
				b, err = []byte(strconv.Quote(string(v))), e
			case ion.ClobType, ion.BlobType:
				v, e := c.Lob()
				b, err = fmt.Appendf(nil, "%s{{%x}}", c.Type(), v), e
			default:
				s.WriteString(c.Type().String() + "(")
				if !c.StepIn() {
					return c.Err()
				}
				if err := walk(); err != nil {
					return err
				}
				if !c.StepOut() {
					return c.Err()
				}
				b = []byte(")")
			}
			if err != nil {
				return err
			}
			s.Write(b)
			s.WriteByte(' ')
		}
		return c.Err()
	}
	err := walk()
	return s.String(), err
}

// floatBits writes a float with one form of nan.
func floatBits(f float64) []byte {
	if f != f {
		return []byte("nan")
	}
	return fmt.Appendf(nil, "%016x", math.Float64bits(f))
}

// showIonGo writes everything that r yields as showCursor does.
func showIonGo(t testing.TB, r ionlib.Reader) string {
	t.Helper()
	var s strings.Builder
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	text := func(v *ionlib.SymbolToken) string {
		if v.Text == nil {
			return "?" + strconv.Itoa(int(v.LocalSID))
		}
		return strconv.Quote(*v.Text)
	}
	var walk func()
	walk = func() {
		for r.Next() {
			if r.IsInStruct() {
				v, err := r.FieldName()
				check(err)
				s.WriteString(text(v) + ":")
			}
			anns, err := r.Annotations()
			check(err)
			for i := range anns {
				s.WriteString(text(&anns[i]) + "::")
			}
			if r.IsNull() {
				s.WriteString("null." + r.Type().String() + " ")
				continue
			}
			switch r.Type() {
			case ionlib.BoolType:
				v, err := r.BoolValue()
				check(err)
				fmt.Fprintf(&s, "%t", *v)
			case ionlib.IntType:
				v, err := r.BigIntValue()
				check(err)
				s.WriteString(v.String())
			case ionlib.FloatType:
				v, err := r.FloatValue()
				check(err)
				s.Write(floatBits(*v))
			case ionlib.DecimalType:
				v, err := r.DecimalValue()
				check(err)
				c, e := v.CoEx()
				digits := strings.TrimPrefix(c.String(), "-")
				neg := strings.HasPrefix(v.String(), "-")
				s.WriteByte('d')
				s.Write(ion.AppendDecimalText(nil, neg, []byte(digits), int64(e)))
			case ionlib.TimestampType:
				v, err := r.TimestampValue()
				check(err)
				text := v.String()
				if len(text) == len("2019-09-16T") {
					text = text[:len("2019-09-16")] // ion-go writes the T that a day may do without
				}
				s.WriteString(text)
			case ionlib.SymbolType:
				v, err := r.SymbolValue()
				check(err)
				s.WriteString("'" + text(v))
			case ionlib.StringType:
				v, err := r.StringValue()
				check(err)
				s.WriteString(strconv.Quote(*v))
			case ionlib.ClobType, ionlib.BlobType:
				v, err := r.ByteValue()
				check(err)
				fmt.Fprintf(&s, "%s{{%x}}", r.Type(), v)
			default:
				s.WriteString(r.Type().String() + "(")
				check(r.StepIn())
				walk()
				check(r.StepOut())
				s.WriteByte(')')
			}
			s.WriteByte(' ')
		}
		check(r.Err())
	}
	walk()
	return s.String()
}

// showStream writes what a Reader and a Cursor make of a stream.
func showStream(stream []byte) (string, error) {
	r := ion.NewReader(bytes.NewReader(stream), 0)
	var s strings.Builder
	for {
		v, err := r.Next()
		if err == io.EOF {
			return s.String(), nil
		}
		if err != nil {
			return s.String(), err
		}
		c := &ion.Cursor{Base: r.Offset()}
		c.Reset(v, 0, len(v))
		one, err := showCursor(c, r.Symbols())
		s.WriteString(one)
		if err != nil {
			return s.String(), err
		}
	}
}

// randomIon writes a random value of Ion text.
func randomIon(rng *rand.Rand, depth int) string {
	pick := rng.IntN(15)
	if depth <= 0 {
		pick = rng.IntN(12)
	}
	notes := ""
	for rng.IntN(8) == 0 {
		notes += fmt.Sprintf("note%d::", rng.IntN(300))
	}
	number := func() string { // up to 40 digits
		digits := strconv.FormatUint(rng.Uint64()>>rng.IntN(64), 10)
		if rng.IntN(4) == 0 {
			digits = strconv.FormatUint(rng.Uint64()|1<<62, 10) + digits
		}
		if rng.IntN(2) == 0 && strings.Trim(digits, "0") != "" {
			return "-" + digits
		}
		return digits
	}
	var v string
	switch pick {
	case 0:
		nulls := []string{"", ".null", ".bool", ".int", ".float", ".decimal", ".timestamp", ".symbol", ".string", ".clob", ".blob", ".list", ".sexp", ".struct"}
		v = "null" + nulls[rng.IntN(len(nulls))]
	case 1:
		v = strconv.FormatBool(rng.IntN(2) == 0)
	case 2, 3:
		v = number()
	case 4:
		v = strconv.FormatFloat(math.Float64frombits(rng.Uint64()), 'e', -1, 64)
		switch {
		case strings.HasPrefix(v, "N"):
			v = "nan"
		case strings.HasSuffix(v, "Inf"):
			v = strings.ToLower(v)
		}
	case 5, 6:
		v = number() + "d" + strconv.Itoa(rng.IntN(60)-30)
		if rng.IntN(10) == 0 {
			v = "-0d" + strconv.Itoa(rng.IntN(10)-5)
		}
	case 7, 8:
		v = fmt.Sprintf("%04d", 1+rng.IntN(9998))
		precision := rng.IntN(6)
		if precision >= 1 {
			v += fmt.Sprintf("-%02d", 1+rng.IntN(12))
		}
		if precision >= 2 {
			v += fmt.Sprintf("-%02d", 1+rng.IntN(28))
		}
		v += "T"
		if precision >= 3 {
			v += fmt.Sprintf("%02d:%02d", rng.IntN(24), rng.IntN(60))
			if precision >= 4 {
				v += fmt.Sprintf(":%02d", rng.IntN(60))
			}
			if precision >= 5 {
				n := 1 + rng.IntN(9)
				v += fmt.Sprintf(".%0*d", n, rng.IntN(int(math.Pow10(n))))
			}
			switch rng.IntN(3) {
			case 0:
				v += "Z"
			case 1:
				v += "-00:00"
			default:
				v += fmt.Sprintf("%c%02d:%02d", "+-"[rng.IntN(2)], rng.IntN(24), 1+rng.IntN(59))
			}
		}
	case 9:
		v = fmt.Sprintf("sym%d", rng.IntN(300))
	case 10:
		v = strconv.Quote(strings.Repeat("añ", rng.IntN(12)))
	case 11:
		if rng.IntN(2) == 0 {
			v = "{{" + strings.Repeat("YWJj", rng.IntN(6)) + "}}"
		} else {
			v = `{{"clob` + strconv.Itoa(rng.IntN(100)) + `"}}`
		}
	default:
		n := rng.IntN(5)
		parts := make([]string, n)
		for i := range parts {
			parts[i] = randomIon(rng, depth-1)
		}
		switch pick {
		case 12:
			v = "[" + strings.Join(parts, ",") + "]"
		case 13:
			v = "(" + strings.Join(parts, " ") + ")"
		default:
			for i := range parts {
				parts[i] = fmt.Sprintf("field%d:%s", rng.IntN(200), parts[i])
			}
			v = "{" + strings.Join(parts, ",") + "}"
		}
	}
	return notes + v
}

func TestCursorAgreesWithIonGo(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range 400 {
		var values []string
		for range 12 {
			values = append(values, randomIon(rng, 5))
		}
		text := strings.Join(values, "\n")
		stream := iontest.Binary(t, text)
		got, err := showStream(stream)
		if err != nil {
			t.Fatalf("round %d: %v\n%s", i, err, text)
		}
		// ion-go cannot read an annotated bool from binary: it reads the text.
		if want := showIonGo(t, ionlib.NewReaderString(text)); got != want {
			t.Fatalf("round %d:\n got %s\nwant %s\n of %s", i, got, want, text)
		}
	}
}

func TestDecimalTextKeepsEveryDigit(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"90.25", "90.25"},
		{"9.00", "9.00"},
		{"9.", "9"},
		{"0.", "0"},
		{"0d0", "0"},
		{"-0.", "-0"},
		{"-0.0", "-0.0"},
		{"0.000", "0.000"},
		{"0.000001", "0.000001"},
		{"0.0000001", "1E-7"},
		{"1d-20", "1E-20"},
		{"12d5", "12E+5"},
		{"-12d5", "-12E+5"},
		{"0d3", "0E+3"},
		{"123456789012345678901234567890.12", "123456789012345678901234567890.12"},
		{"-170141183460469231731687303715884105728.", "-170141183460469231731687303715884105728"},
		{"1d-2147483648", "1E-2147483648"},
	} {
		got, err := showStream(iontest.Binary(t, c.text))
		if err != nil || got != "d"+c.want+" " {
			t.Errorf("%s: got %s, %v, want %s", c.text, got, err, c.want)
		}
	}
}

func TestTimestampTextKeepsPrecisionAndOffset(t *testing.T) {
	for _, c := range []struct {
		name string
		body []byte
		want string
	}{
		{"year", []byte{0xC0, 0x0F, 0xE3}, "2019T"},
		{"month", []byte{0xC0, 0x0F, 0xE3, 0x89}, "2019-09T"},
		{"day", []byte{0xC0, 0x0F, 0xE3, 0x89, 0x90}, "2019-09-16"},
		{"minute", []byte{0x80, 0x0F, 0xE3, 0x89, 0x90, 0x93, 0xA5}, "2019-09-16T19:37Z"},
		{"unknown offset", []byte{0xC0, 0x0F, 0xE3, 0x89, 0x90, 0x93, 0xA5}, "2019-09-16T19:37-00:00"},
		{"second", []byte{0x80, 0x0F, 0xE3, 0x89, 0x90, 0x93, 0xA5, 0x85}, "2019-09-16T19:37:05Z"},
		{"milliseconds", []byte{0x80, 0x0F, 0xE3, 0x89, 0x90, 0x93, 0xA5, 0x85, 0xC3, 0x01, 0x68}, "2019-09-16T19:37:05.360Z"},
		{"zero milliseconds", []byte{0x80, 0x0F, 0xE3, 0x89, 0x90, 0x93, 0xA5, 0x85, 0xC3}, "2019-09-16T19:37:05.000Z"},
		{"fraction 0d0", []byte{0x80, 0x0F, 0xE3, 0x89, 0x90, 0x93, 0xA5, 0x85, 0x80}, "2019-09-16T19:37:05Z"},
		{"ten digits", []byte{0x80, 0x0F, 0xE3, 0x89, 0x90, 0x93, 0xA5, 0x85, 0xCA, 0x01}, "2019-09-16T19:37:05.0000000001Z"},
		{"offset to the next day and year", []byte{0x04, 0xD8, 0x0F, 0xE3, 0x8C, 0x9F, 0x93, 0xA5}, "2020-01-01T05:37+10:00"},
		{"offset to the day before, leap year", []byte{0x41, 0xAC, 0x0F, 0xE4, 0x83, 0x81, 0x80, 0x80}, "2020-02-29T21:08-02:52"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := append([]byte{0x60 | byte(len(c.body))}, c.body...)
			got, err := showStream(v)
			if err != nil || got != c.want+" " {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestNumbersTooLongForDigitsAreRefused(t *testing.T) {
	for _, code := range []byte{0x2E, 0x3E} {
		v := []byte{code, 0x08, 0x00, 0x81} // 128 KiB + 1
		v = append(v, bytes.Repeat([]byte{0xFF}, 128<<10+1)...)
		if _, err := showStream(v); err == nil || !strings.Contains(err.Error(), "longer than 131072") {
			t.Errorf("%X: got error %v", code, err)
		}
	}
}

// The encoding that nearly all timestamps have is read on a way of its own; the
// same fields with a longer encoding of the year are not.
func TestTimestampTextIsTheSameForEveryEncoding(t *testing.T) {
	read := func(body []byte) (string, error) {
		value := append([]byte{0x60 | byte(len(body))}, body...)
		if len(body) >= 14 {
			t.Fatalf("body of %d bytes", len(body))
		}
		var c ion.Cursor
		c.Reset(value, 0, len(value))
		if !c.Next() {
			t.Fatal(c.Err())
		}
		text, err := c.AppendTimestamp(nil)
		return string(text), err
	}
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(usual int) byte {
		if r.IntN(20) == 0 {
			return byte(r.IntN(256))
		}
		return 0x80 | byte(r.IntN(usual))
	}
	texts := 0
	for range 200_000 {
		offset := []byte{0x80, 0xC0, byte(r.IntN(256)) | 0x80}[r.IntN(3)]
		year := []byte{0x0F, 0x80 | byte(r.IntN(128))}
		if r.IntN(20) == 0 {
			year = []byte{byte(r.IntN(128)), 0x80 | byte(r.IntN(128))}
		}
		rest := []byte{pick(13), pick(32), pick(25), pick(61), pick(61), 0xC3, byte(r.IntN(5)), byte(r.IntN(256))}
		rest = rest[:r.IntN(len(rest)+1)]
		if len(rest) > 6 && r.IntN(4) == 0 {
			rest[5] = byte(r.IntN(256))
		}
		short, shortErr := read(append(append([]byte{offset}, year...), rest...))
		long, longErr := read(append(append([]byte{offset, 0}, year...), rest...))
		if short != long || (shortErr == nil) != (longErr == nil) {
			t.Fatalf("offset %#x, year % x, rest % x: got %q, %v; with a longer year %q, %v", offset, year, rest, short, shortErr, long, longErr)
		}
		if shortErr == nil {
			texts++
		}
	}
	if texts < 50_000 {
		t.Errorf("only %d of 200000 could be read", texts)
	}
}

// Bytes are looked at in groups: what is not UTF-8 must be seen in every place
// of strings of every length.
func TestNothingHidesInALongString(t *testing.T) {
	for n := range 40 {
		for at := range n {
			s := bytes.Repeat([]byte{'x'}, n)
			s[at] = 0xFF
			var c ion.Cursor
			value := append([]byte{0x8E, 0x80 | byte(n)}, s...)
			c.Reset(value, 0, len(value))
			if !c.Next() {
				t.Fatal(c.Err())
			}
			if text, err := c.Text(); err == nil {
				t.Fatalf("length %d, place %d: got %q, want an error", n, at, text)
			}
		}
	}
}
