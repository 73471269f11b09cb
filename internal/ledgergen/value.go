package ledgergen

import (
	"math/big"

	"godwit/internal/ion"
)

// A value is one Ion value in memory, to be rendered as binary Ion, as Ion text
// and as JSON.
type value struct {
	kind   ion.Type
	null   bool
	bool   bool
	int    int64
	big    *big.Int // an int beyond 64 bits
	float  float64
	text   string // string, symbol, and the Ion text of a decimal or timestamp
	bytes  []byte // blob
	items  []value
	fields []field
}

type field struct {
	name  string
	value value
}

func null(t ion.Type) value           { return value{kind: t, null: true} }
func boolean(b bool) value            { return value{kind: ion.BoolType, bool: b} }
func integer(i int64) value           { return value{kind: ion.IntType, int: i} }
func bigInteger(i *big.Int) value     { return value{kind: ion.IntType, big: i} }
func float(f float64) value           { return value{kind: ion.FloatType, float: f} }
func decimal(text string) value       { return value{kind: ion.DecimalType, text: text} }
func timestamp(text string) value     { return value{kind: ion.TimestampType, text: text} }
func text(s string) value             { return value{kind: ion.StringType, text: s} }
func blob(b []byte) value             { return value{kind: ion.BlobType, bytes: b} }
func list(items ...value) value       { return value{kind: ion.ListType, items: items} }
func structure(fields ...field) value { return value{kind: ion.StructType, fields: fields} }

// get returns the field of a struct with that name, or nil.
func (v *value) get(name string) *value {
	for i := range v.fields {
		if v.fields[i].name == name {
			return &v.fields[i].value
		}
	}
	return nil
}

// is says whether v is there and is the string s.
func (v *value) is(s string) bool { return v != nil && v.text == s }

// with returns a copy of a struct with the field set, at its place when it is
// there and at the end when it is new. The original is untouched.
func (v value) with(name string, to value) value {
	fields := append(make([]field, 0, len(v.fields)+1), v.fields...)
	for i := range fields {
		if fields[i].name == name {
			fields[i].value = to
			v.fields = fields
			return v
		}
	}
	v.fields = append(fields, field{name, to})
	return v
}

// without returns a copy of a struct that lacks the field.
func (v value) without(name string) value {
	fields := make([]field, 0, len(v.fields))
	for _, f := range v.fields {
		if f.name != name {
			fields = append(fields, f)
		}
	}
	v.fields = fields
	return v
}

// write adds v to w.
func (v *value) write(w *ion.Writer) {
	if v.null {
		w.Null(v.kind)
		return
	}
	switch v.kind {
	case ion.BoolType:
		w.Bool(v.bool)
	case ion.IntType:
		if v.big != nil {
			w.BigInt(v.big)
		} else {
			w.Int(v.int)
		}
	case ion.FloatType:
		w.Float(v.float)
	case ion.DecimalType:
		w.Decimal(v.text)
	case ion.TimestampType:
		w.Timestamp(v.text)
	case ion.StringType:
		w.String(v.text)
	case ion.BlobType:
		w.Blob(v.bytes)
	case ion.ListType:
		w.BeginList()
		for i := range v.items {
			v.items[i].write(w)
		}
		w.End()
	case ion.StructType:
		w.BeginStruct()
		for i := range v.fields {
			w.Field(v.fields[i].name)
			v.fields[i].value.write(w)
		}
		w.End()
	default: // no other kind is ever made
		w.Null(v.kind)
	}
}
