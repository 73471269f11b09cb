package proof

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"godwit/internal/ion"
)

// A shower writes Ion values as receipts show them and hashes what it writes, so
// that neither can differ from the other. A value is a JSON array of its type's
// name, its content and its annotations; a field of a struct has its name before
// that:
//
//	["null", "int"]                 null.int; ["null", "null"] is null itself
//	["bool", "true"]
//	["int", "-5"]                   any size
//	["decimal", "90.25"]            digits behind the point are its precision; or 12E+5, 1E-20
//	["float", "2.5"]                the shortest digits that denote it; nan, +inf, -inf, -0
//	["timestamp", "2019-09-16T19:37:05.360Z"]  its own precision and offset; -00:00 is an unknown one
//	["symbol", "x"]  ["string", "x"]
//	["clob", "aGk="]  ["blob", "aGk="]         base64
//	["list", [value, …]]  ["sexp", [value, …]]
//	["struct", [["name", "int", "5"], …]]      in their order; names may repeat
//	["int", "5", "meters"]          annotated: meters::5
//
// Every value has one spelling only. Strings are escaped as encoding/json does.
type shower struct {
	out    []byte
	hasher ion.Hasher
	depth  int
	err    error // of the value under way
	text   []byte
}

// begin starts a value.
func (s *shower) begin() {
	s.hasher.Begin()
	s.depth, s.err = 1, nil
}

// sum returns the hash of the value shown since begin.
func (s *shower) sum() (Hash, error) {
	sum, err := s.hasher.AppendSum(nil)
	if err = errors.Join(s.err, err); err != nil {
		return Hash{}, err
	}
	return ParseHash(sum)
}

// quote writes a JSON string.
func (s *shower) quote(text []byte) {
	if !utf8.Valid(text) {
		s.err = errors.Join(s.err, errors.New("text is not UTF-8"))
	}
	s.out = appendJSON(s.out, string(text))
}

// appendJSON appends v without the escapes that only HTML needs.
func appendJSON(dst []byte, v any) []byte {
	b := bytes.NewBuffer(dst)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // texts, numbers and hashes cannot fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// field begins a value with a name.
func (s *shower) field(name []byte) {
	s.hasher.Field(name)
	s.out = append(s.out, '[')
	s.quote(name)
	s.out = append(s.out, ", "...)
}

// element begins a value without a name.
func (s *shower) element() { s.out = append(s.out, '[') }

// kind writes the name of the value's type.
func (s *shower) kind(t ion.Type) {
	s.out = append(append(append(s.out, '"'), t.String()...), `", `...)
}

func (s *shower) scalar(t ion.Type, text []byte) {
	s.kind(t)
	s.quote(text)
}

func (s *shower) null(t ion.Type) {
	s.hasher.Null(t)
	s.scalar(ion.NullType, []byte(t.String()))
}

func (s *shower) bool(v bool) {
	s.hasher.Bool(v)
	s.scalar(ion.BoolType, strconv.AppendBool(nil, v))
}

func (s *shower) int(text []byte) {
	s.hasher.Int(text)
	s.scalar(ion.IntType, text)
}

// decimal takes the text in the form of ion.AppendDecimalText.
func (s *shower) decimal(text []byte) {
	s.hasher.Decimal(text)
	s.scalar(ion.DecimalType, text)
}

func (s *shower) float(v float64) {
	s.hasher.Float(v)
	s.scalar(ion.FloatType, []byte(strings.ToLower(strconv.FormatFloat(v, 'g', -1, 64))))
}

func (s *shower) timestamp(text []byte) {
	s.hasher.Timestamp(text)
	s.scalar(ion.TimestampType, text)
}

func (s *shower) symbol(text []byte) {
	s.hasher.Symbol(text)
	s.scalar(ion.SymbolType, text)
}

func (s *shower) string(text []byte) {
	s.hasher.String(text)
	s.scalar(ion.StringType, text)
}

func (s *shower) blob(b []byte) {
	s.hasher.Blob(b)
	s.scalar(ion.BlobType, base64.StdEncoding.AppendEncode(nil, b))
}

func (s *shower) clob(b []byte) {
	s.hasher.Clob(b)
	s.scalar(ion.ClobType, base64.StdEncoding.AppendEncode(nil, b))
}

// open begins the content of a list, sexp or struct.
func (s *shower) open(t ion.Type) {
	switch t {
	case ion.ListType:
		s.hasher.BeginList()
	case ion.SexpType:
		s.hasher.BeginSexp()
	default:
		s.hasher.BeginStruct()
	}
	s.kind(t)
	s.out = append(s.out, '[')
	s.depth++
}

// maxIndent bounds white space: it would grow with the square of the depth.
const maxIndent = 40

// next begins the line of the i-th value of a container.
func (s *shower) next(i int) {
	if i > 0 {
		s.out = append(s.out, ',')
	}
	s.out = append(s.out, '\n')
	for range min(s.depth, maxIndent) {
		s.out = append(s.out, ' ')
	}
}

// close ends a container's content.
func (s *shower) close() {
	s.hasher.End()
	s.out = append(s.out, ']')
	s.depth--
}

// end ends a value.
func (s *shower) end() { s.out = append(s.out, ']') }

// ion shows the value that c stands on, from its type on. It nests as deep as the
// cursor does.
func (s *shower) ion(c *ion.Cursor, symbols *ion.SymbolTable) error {
	var notes []byte
	if c.Annotated() {
		for _, id := range c.AppendAnnotations(nil) {
			text, err := symbols.Text(id)
			if err != nil {
				return err
			}
			s.hasher.Annotate([]byte(text))
			notes = appendJSON(append(notes, ", "...), text)
		}
	}
	if t := c.Type(); c.IsNull() {
		s.null(t)
	} else if t < ion.ListType {
		if err := s.ionScalar(c, symbols); err != nil {
			return err
		}
	} else {
		s.open(t)
		if !c.StepIn() {
			return c.Err()
		}
		for i := 0; c.Next(); i++ {
			s.next(i)
			if c.InStruct() {
				name, err := symbols.Text(c.Field())
				if err != nil {
					return err
				}
				s.field([]byte(name))
			} else {
				s.element()
			}
			if err := s.ion(c, symbols); err != nil {
				return err
			}
		}
		c.StepOut()
		s.close()
	}
	s.out = append(s.out, notes...)
	s.end()
	return c.Err()
}

// ionScalar shows the value that c stands on, which is neither null nor holds
// others.
func (s *shower) ionScalar(c *ion.Cursor, symbols *ion.SymbolTable) (err error) {
	s.text = s.text[:0]
	var b []byte
	switch c.Type() {
	case ion.BoolType:
		var v bool
		v, err = c.Bool()
		s.bool(v)
	case ion.IntType:
		s.text, err = c.AppendInt(s.text)
		s.int(s.text)
	case ion.FloatType:
		var v float64
		v, err = c.Float()
		s.float(v)
	case ion.DecimalType:
		s.text, err = c.AppendDecimal(s.text)
		s.decimal(s.text)
	case ion.TimestampType:
		s.text, err = c.AppendTimestamp(s.text)
		s.timestamp(s.text)
	case ion.SymbolType:
		var id ion.SID
		var text string
		if id, err = c.Symbol(); err == nil {
			text, err = symbols.Text(id)
		}
		s.symbol([]byte(text))
	case ion.StringType:
		b, err = c.Text()
		s.string(b)
	case ion.ClobType:
		b, err = c.Lob()
		s.clob(b)
	default: // BlobType: there is no other
		b, err = c.Lob()
		s.blob(b)
	}
	return err
}
