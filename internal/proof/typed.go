package proof

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"godwit/internal/ion"
)

// Typed is an Ion value as JSON that keeps its types, so that whoever has it can
// compute its Ion hash. It is an object with the type's name as its only member,
// but for annotations before it:
//
//	{"null":"int"}  {"bool":true}  {"int":"-12"}  {"decimal":"90.25"}  {"float":"2.5"}
//	{"timestamp":"2019-09-16T19:37:05.302Z"}  {"string":"…"}  {"symbol":"…"}
//	{"blob":"<base64>"}  {"clob":"<base64>"}  {"list":[…]}  {"sexp":[…]}
//	{"struct":[["name",{"string":"…"}], …]}   {"annotations":["a"],"int":"1"}
//
// Numbers and timestamps are Ion text: their precision counts. A float is the
// shortest text that means it, or nan, +inf, -inf.
type Typed json.RawMessage

// MarshalJSON gives the JSON.
func (t Typed) MarshalJSON() ([]byte, error) { return json.RawMessage(t).MarshalJSON() }

// UnmarshalJSON keeps the JSON.
func (t *Typed) UnmarshalJSON(b []byte) error { return (*json.RawMessage)(t).UnmarshalJSON(b) }

// AppendTyped appends value, one binary Ion value, as Typed. It fails on symbols
// without text.
func AppendTyped(dst, value []byte, symbols ion.Symbols) (Typed, error) {
	var c ion.Cursor
	c.Reset(value, 0, len(value))
	if !c.Next() {
		return nil, fmt.Errorf("write typed value: %w", errors.Join(errors.New("there is none"), c.Err()))
	}
	out, err := appendTyped(dst, &c, symbols)
	if err == nil {
		err = c.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("write typed value: %w", err)
	}
	return out, nil
}

func appendTyped(dst []byte, c *ion.Cursor, symbols ion.Symbols) (_ []byte, err error) {
	quote := func(text string) error {
		b, err := json.Marshal(text)
		dst = append(dst, b...)
		return err
	}
	symbol := func(id ion.SID) error {
		text, err := symbols.Text(id)
		if err != nil {
			return err
		}
		return quote(text)
	}
	// In the form of Ion text, which JSON needs no escapes for.
	plain := func(text []byte, err error) error {
		dst = append(append(append(dst, '"'), text...), '"')
		return err
	}
	dst = append(dst, '{')
	if c.Annotated() {
		dst = append(dst, `"annotations":`...)
		for i, id := range c.AppendAnnotations(nil) {
			dst = append(dst, "[,"[min(i, 1)])
			if err := symbol(id); err != nil {
				return nil, err
			}
		}
		dst = append(dst, "],"...)
	}
	if c.IsNull() {
		return append(append(append(dst, `"null":"`...), c.Type().String()...), `"}`...), nil
	}
	dst = append(append(append(dst, '"'), c.Type().String()...), `":`...)
	switch c.Type() {
	case ion.BoolType:
		var v bool
		v, err = c.Bool()
		dst = strconv.AppendBool(dst, v)
	case ion.IntType:
		err = plain(c.AppendInt(nil))
	case ion.FloatType:
		var v float64
		v, err = c.Float()
		err = errors.Join(err, plain([]byte(floatText(v)), nil))
	case ion.DecimalType:
		err = plain(c.AppendDecimal(nil))
	case ion.TimestampType:
		err = plain(c.AppendTimestamp(nil))
	case ion.SymbolType:
		var id ion.SID
		if id, err = c.Symbol(); err == nil {
			err = symbol(id)
		}
	case ion.StringType:
		var b []byte
		if b, err = c.Text(); err == nil {
			err = quote(string(b))
		}
	case ion.BlobType, ion.ClobType:
		var b []byte
		b, err = c.Lob()
		err = errors.Join(err, plain([]byte(base64.StdEncoding.EncodeToString(b)), nil))
	case ion.ListType, ion.SexpType, ion.StructType:
		dst = append(dst, '[')
		named := c.Type() == ion.StructType
		if !c.StepIn() {
			return nil, c.Err()
		}
		for first := true; c.Next(); first = false {
			if !first {
				dst = append(dst, ',')
			}
			if named {
				dst = append(dst, '[')
				if err := symbol(c.Field()); err != nil {
					return nil, err
				}
				dst = append(dst, ',')
			}
			if dst, err = appendTyped(dst, c, symbols); err != nil {
				return nil, err
			}
			if named {
				dst = append(dst, ']')
			}
		}
		if err := c.Err(); err != nil {
			return nil, err
		}
		c.StepOut()
		dst = append(dst, ']')
	default:
		return nil, fmt.Errorf("a value of unknown type %s", c.Type())
	}
	return append(dst, '}'), err
}

func floatText(v float64) string {
	switch {
	case v != v:
		return "nan"
	case math.IsInf(v, 1):
		return "+inf"
	case math.IsInf(v, -1):
		return "-inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// Hash is the Ion hash of the value.
func (t Typed) Hash() (Hash, error) {
	var h ion.Hasher
	return t.hash(&h)
}

func (t Typed) hash(h *ion.Hasher) (Hash, error) {
	h.Begin()
	if err := t.spell(h, 0); err != nil {
		return Hash{}, fmt.Errorf("hash typed value: %w", err)
	}
	sum, err := h.AppendSum(nil)
	if err != nil {
		return Hash{}, err
	}
	return ParseHash(sum)
}

// spell spells the value on h.
func (t Typed) spell(h *ion.Hasher, depth int) error {
	if depth > ion.MaxDepth {
		return fmt.Errorf("values nest deeper than %d", ion.MaxDepth)
	}
	var v struct {
		Annotations []string             `json:"annotations"`
		Null        *string              `json:"null"`
		Bool        *bool                `json:"bool"`
		Int         *string              `json:"int"`
		Float       *string              `json:"float"`
		Decimal     *string              `json:"decimal"`
		Timestamp   *string              `json:"timestamp"`
		Symbol      *string              `json:"symbol"`
		String      *string              `json:"string"`
		Clob        *[]byte              `json:"clob"`
		Blob        *[]byte              `json:"blob"`
		List        *[]Typed             `json:"list"`
		Sexp        *[]Typed             `json:"sexp"`
		Struct      *[][]json.RawMessage `json:"struct"`
	}
	d := json.NewDecoder(bytes.NewReader(t))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("something follows the value")
	}
	for _, name := range v.Annotations {
		h.Annotate([]byte(name))
	}
	n := 0
	one := func(there bool) bool {
		if there {
			n++
		}
		return there
	}
	elements := func(list []Typed) error {
		for _, e := range list {
			if err := e.spell(h, depth+1); err != nil {
				return err
			}
		}
		h.End()
		return nil
	}
	var err error
	if one(v.Null != nil) {
		err = spellNull(h, *v.Null)
	}
	if one(v.Bool != nil) {
		h.Bool(*v.Bool)
	}
	if one(v.Int != nil) {
		h.Int([]byte(*v.Int))
	}
	if one(v.Float != nil) {
		var f float64
		if f, err = strconv.ParseFloat(*v.Float, 64); err == nil && floatText(f) != *v.Float {
			err = fmt.Errorf("%.40q is not the shortest text of a float", *v.Float)
		}
		h.Float(f)
	}
	if one(v.Decimal != nil) {
		h.Decimal([]byte(*v.Decimal))
	}
	if one(v.Timestamp != nil) {
		h.Timestamp([]byte(*v.Timestamp))
	}
	if one(v.Symbol != nil) {
		h.Symbol([]byte(*v.Symbol))
	}
	if one(v.String != nil) {
		h.String([]byte(*v.String))
	}
	if one(v.Clob != nil) {
		h.Clob(*v.Clob)
	}
	if one(v.Blob != nil) {
		h.Blob(*v.Blob)
	}
	if one(v.List != nil) {
		h.BeginList()
		err = elements(*v.List)
	}
	if one(v.Sexp != nil) {
		h.BeginSexp()
		err = elements(*v.Sexp)
	}
	if one(v.Struct != nil) {
		h.BeginStruct()
		for _, pair := range *v.Struct {
			var name *string
			if len(pair) != 2 || json.Unmarshal(pair[0], &name) != nil || name == nil {
				return errors.New("a field is no pair of a name and a value")
			}
			h.Field([]byte(*name))
			if err := Typed(pair[1]).spell(h, depth+1); err != nil {
				return err
			}
		}
		h.End()
	}
	if err == nil && n != 1 {
		err = fmt.Errorf("a value has %d types, not one", n)
	}
	return err
}

func spellNull(h *ion.Hasher, name string) error {
	for t := ion.NullType; t <= ion.StructType; t++ {
		if t.String() == name && (t == ion.IntType || t.String() != "int") {
			h.Null(t)
			return nil
		}
	}
	return fmt.Errorf("null of the unknown type %.20q", name)
}
