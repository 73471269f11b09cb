package mapping_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/amazon-ion/ion-go/ion"

	"godwit/internal/change"
)

// A tapeBuilder makes tapes as a source does, from values written in a test.
type tapeBuilder struct {
	tape   *change.Tape
	fields *change.Fields
	names  map[string]int32
}

func newTape(fields *change.Fields) *tapeBuilder {
	return &tapeBuilder{tape: &change.Tape{}, fields: fields, names: map[string]int32{}}
}

func (b *tapeBuilder) name(text string) int32 {
	if n, ok := b.names[text]; ok {
		return n
	}
	n := int32(len(b.tape.Names))
	b.tape.Names = append(b.tape.Names, change.Name{Text: text, Field: b.fields.Lookup([]byte(text))})
	b.names[text] = n
	return n
}

// open adds a node and returns its index; close ends it.
func (b *tapeBuilder) open(name int32, kind change.Kind, flags change.Flags) int {
	b.tape.Nodes = append(b.tape.Nodes, change.Node{Kind: kind, Flags: flags, Name: name})
	return len(b.tape.Nodes) - 1
}

func (b *tapeBuilder) close(at int) { b.tape.Nodes[at].End = int32(len(b.tape.Nodes)) }

func (b *tapeBuilder) scalar(name int32, kind change.Kind, flags change.Flags, text []byte, n int64) {
	at := b.open(name, kind, flags)
	node := &b.tape.Nodes[at]
	node.Int = n
	if len(text) > 0 {
		if len(b.tape.Data) == 0 {
			b.tape.Data = append(b.tape.Data, '!') // so that no value is at offset 0 with length 0 by chance
		}
		node.Off, node.Len = uint32(len(b.tape.Data)), uint32(len(text))
		b.tape.Data = append(b.tape.Data, text...)
	}
	b.close(at)
}

func (b *tapeBuilder) int(name int32, n *big.Int) {
	if n.IsInt64() {
		b.scalar(name, change.Int, 0, nil, n.Int64())
		return
	}
	b.scalar(name, change.Int, 0, []byte(n.String()), 0)
}

// ionTape reads one value of Ion text.
func ionTape(t testing.TB, fields *change.Fields, text string) *change.Tape {
	t.Helper()
	r := ion.NewReaderString(text)
	b := newTape(fields)
	if !r.Next() {
		t.Fatalf("read Ion %s: %v", text, r.Err())
	}
	b.ion(t, r, -1)
	if r.Next() || r.Err() != nil {
		t.Fatalf("read Ion %s: more than one value, or %v", text, r.Err())
	}
	return b.tape
}

func (b *tapeBuilder) ion(t testing.TB, r ion.Reader, name int32) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var flags change.Flags
	annotations, err := r.Annotations()
	check(err)
	if len(annotations) > 0 {
		flags |= change.Annotated
	}
	if r.IsNull() {
		b.scalar(name, change.Null, flags, nil, 0)
		return
	}
	switch r.Type() {
	case ion.BoolType:
		v, err := r.BoolValue()
		check(err)
		n := int64(0)
		if *v {
			n = 1
		}
		b.scalar(name, change.Bool, flags, nil, n)
	case ion.IntType:
		v, err := r.BigIntValue()
		check(err)
		b.int(name, v)
		b.tape.Nodes[len(b.tape.Nodes)-1].Flags = flags
	case ion.FloatType:
		v, err := r.FloatValue()
		check(err)
		b.scalar(name, change.Float, flags, nil, int64(math.Float64bits(*v)))
	case ion.DecimalType:
		v, err := r.DecimalValue()
		check(err)
		b.scalar(name, change.Decimal, flags, []byte(strings.NewReplacer("d", "E", "D", "E").Replace(v.String())), 0)
	case ion.TimestampType:
		v, err := r.TimestampValue()
		check(err)
		b.scalar(name, change.Timestamp, flags, []byte(v.String()), 0)
	case ion.SymbolType:
		v, err := r.SymbolValue()
		check(err)
		b.scalar(name, change.Text, flags|change.Symbol, []byte(*v.Text), 0)
	case ion.StringType:
		v, err := r.StringValue()
		check(err)
		b.scalar(name, change.Text, flags, []byte(*v), 0)
	case ion.ClobType, ion.BlobType:
		v, err := r.ByteValue()
		check(err)
		if r.Type() == ion.ClobType {
			flags |= change.Clob
		}
		b.scalar(name, change.Bytes, flags, v, 0)
	case ion.ListType, ion.SexpType, ion.StructType:
		kind := change.List
		switch r.Type() {
		case ion.StructType:
			kind = change.Struct
		case ion.SexpType:
			flags |= change.Sexp
		default:
		}
		at := b.open(name, kind, flags)
		check(r.StepIn())
		for r.Next() {
			child := int32(-1)
			if kind == change.Struct {
				n, err := r.FieldName()
				check(err)
				child = b.name(*n.Text)
			}
			b.ion(t, r, child)
		}
		check(r.Err())
		check(r.StepOut())
		b.close(at)
	default:
		t.Fatalf("unexpected Ion type %v", r.Type())
	}
}

// jsonTape reads one JSON value as a source reads a JSON export.
func jsonTape(t testing.TB, fields *change.Fields, text string) *change.Tape {
	t.Helper()
	b := newTape(fields)
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	b.json(t, d, -1)
	return b.tape
}

func (b *tapeBuilder) json(t testing.TB, d *json.Decoder, name int32) {
	t.Helper()
	token, err := d.Token()
	if err != nil {
		t.Fatalf("read JSON: %v", err)
	}
	switch v := token.(type) {
	case nil:
		b.scalar(name, change.Null, 0, nil, 0)
	case bool:
		n := int64(0)
		if v {
			n = 1
		}
		b.scalar(name, change.Bool, 0, nil, n)
	case string:
		b.scalar(name, change.Text, 0, []byte(v), 0)
	case json.Number:
		if n, ok := new(big.Int).SetString(v.String(), 10); ok {
			b.int(name, n)
			return
		}
		b.scalar(name, change.Decimal, 0, []byte(v.String()), 0)
	case json.Delim:
		kind := change.List
		if v == '{' {
			kind = change.Struct
		}
		at := b.open(name, kind, 0)
		for d.More() {
			child := int32(-1)
			if kind == change.Struct {
				token, err := d.Token()
				if err != nil {
					t.Fatalf("read JSON: %v", err)
				}
				child = b.name(token.(string))
			}
			b.json(t, d, child)
		}
		if _, err := d.Token(); err != nil {
			t.Fatalf("read JSON: %v", err)
		}
		b.close(at)
	}
}

// jsonOf down-converts Ion text to JSON as QLDB's exports did, for tests that
// compare the two formats. Annotations are dropped.
func jsonOf(t testing.TB, text string) string {
	t.Helper()
	r := ion.NewReaderString(text)
	var out bytes.Buffer
	if !r.Next() {
		t.Fatalf("read Ion: %v", r.Err())
	}
	downConvert(t, r, &out)
	return out.String()
}

func downConvert(t testing.TB, r ion.Reader, out *bytes.Buffer) {
	t.Helper()
	quote := func(v any) {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		out.Write(bytes.TrimRight(b.Bytes(), "\n"))
	}
	if r.IsNull() {
		out.WriteString("null")
		return
	}
	switch r.Type() {
	case ion.BoolType:
		v, _ := r.BoolValue()
		quote(*v)
	case ion.IntType:
		v, _ := r.BigIntValue()
		out.WriteString(v.String())
	case ion.FloatType:
		v, _ := r.FloatValue()
		if math.IsNaN(*v) || math.IsInf(*v, 0) {
			out.WriteString("null")
			return
		}
		quote(*v)
	case ion.DecimalType:
		v, _ := r.DecimalValue()
		c, e := v.CoEx()
		out.WriteString(c.String())
		if e != 0 {
			out.WriteString("e" + big.NewInt(int64(e)).String())
		}
	case ion.TimestampType:
		v, _ := r.TimestampValue()
		text := v.String()
		if len(text) == len("2019-09-16T") {
			text = text[:10]
		}
		quote(text)
	case ion.SymbolType:
		v, _ := r.SymbolValue()
		quote(*v.Text)
	case ion.StringType:
		v, _ := r.StringValue()
		quote(*v)
	case ion.BlobType:
		v, _ := r.ByteValue()
		quote(base64.StdEncoding.EncodeToString(v))
	case ion.ClobType:
		v, _ := r.ByteValue()
		runes := make([]rune, len(v))
		for i := range v {
			runes[i] = rune(v[i])
		}
		quote(string(runes))
	default:
		object := r.Type() == ion.StructType
		open, end := "[", "]"
		if object {
			open, end = "{", "}"
		}
		out.WriteString(open)
		if err := r.StepIn(); err != nil {
			t.Fatal(err)
		}
		for first := true; r.Next(); first = false {
			if !first {
				out.WriteByte(',')
			}
			if object {
				n, err := r.FieldName()
				if err != nil {
					t.Fatal(err)
				}
				quote(*n.Text)
				out.WriteByte(':')
			}
			downConvert(t, r, out)
		}
		if err := r.StepOut(); err != nil {
			t.Fatal(err)
		}
		out.WriteString(end)
	}
}
