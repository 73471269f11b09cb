package ledgergen_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"godwit/internal/ion"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

// An archive is what Generate wrote.
type archive struct {
	ledger  ledgergen.Ledger
	objects []ledgergen.Object
}

func generate(t *testing.T, o ledgergen.Options) archive {
	t.Helper()
	var a archive
	var err error
	a.ledger, err = ledgergen.Generate(o, func(object ledgergen.Object) error {
		object.Body = bytes.Clone(object.Body)
		a.objects = append(a.objects, object)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// data returns the data objects, manifest the body under a key's suffix.
func (a archive) data() []ledgergen.Object {
	var data []ledgergen.Object
	for _, o := range a.objects {
		if o.First >= 0 {
			data = append(data, o)
		}
	}
	return data
}

// A node is a value as a reader that is not ours found it.
type node struct {
	kind     ionlib.Type // NoType: from JSON, where only the shape is known
	null     bool
	text     string   // scalars; numbers as digits and exponent
	big      *big.Int // ints
	float    float64
	bytes    []byte
	children []child
}

type child struct {
	name string
	node node
}

// find returns a member by path, or nil.
func (n *node) find(path ...string) *node {
next:
	for _, name := range path {
		for i := range n.children {
			if n.children[i].name == name {
				n = &n.children[i].node
				continue next
			}
		}
		return nil
	}
	return n
}

// at returns a member that has to be there.
func (n *node) at(t *testing.T, path ...string) *node {
	t.Helper()
	found := n.find(path...)
	if found == nil {
		t.Fatalf("value has no %v: %s", path, n.json())
	}
	return found
}

func (n *node) int(t *testing.T) int64 {
	t.Helper()
	if n.big != nil {
		return n.big.Int64()
	}
	v, err := strconv.ParseInt(strings.TrimSuffix(n.text, "e0"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (n *node) hash(t *testing.T) proof.Hash {
	t.Helper()
	b := n.bytes
	if n.kind == ionlib.NoType {
		var err error
		if b, err = base64.StdEncoding.DecodeString(n.text); err != nil {
			t.Fatal(err)
		}
	}
	h, err := proof.ParseHash(b)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// readIon reads all values of Ion text or binary Ion with ion-go.
func readIon(t *testing.T, body []byte) []node {
	t.Helper()
	r := ionlib.NewReaderBytes(body)
	var values []node
	for r.Next() {
		values = append(values, readNode(t, r))
	}
	if err := r.Err(); err != nil {
		t.Fatalf("ion-go: %v", err)
	}
	return values
}

func readNode(t *testing.T, r ionlib.Reader) node {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	n := node{kind: r.Type(), null: r.IsNull()}
	if n.null {
		return n
	}
	switch n.kind {
	case ionlib.BoolType:
		v, err := r.BoolValue()
		must(err)
		n.text = strconv.FormatBool(*v)
	case ionlib.IntType:
		v, err := r.BigIntValue()
		must(err)
		n.big = v
	case ionlib.FloatType:
		v, err := r.FloatValue()
		must(err)
		n.float = *v
	case ionlib.DecimalType:
		v, err := r.DecimalValue()
		must(err)
		n.text = v.String()
	case ionlib.TimestampType:
		v, err := r.TimestampValue()
		must(err)
		n.text = v.String()
		if len(n.text) == len("2021-08-03T") {
			n.text = n.text[:10] // as the service prints a day
		}
	case ionlib.StringType:
		v, err := r.StringValue()
		must(err)
		n.text = *v
	case ionlib.BlobType:
		v, err := r.ByteValue()
		must(err)
		n.bytes = v
	case ionlib.ListType, ionlib.StructType:
		must(r.StepIn())
		for r.Next() {
			c := child{}
			name, err := r.FieldName()
			must(err)
			if name != nil {
				c.name = *name.Text
			}
			c.node = readNode(t, r)
			n.children = append(n.children, c)
		}
		must(r.Err())
		must(r.StepOut())
	default:
		t.Fatalf("unexpected %v", n.kind)
	}
	return n
}

// readJSON reads JSON values, one a line, token by token: repeated names stay.
func readJSON(t *testing.T, body []byte) []node {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var values []node
	for {
		n, err := jsonNode(d)
		if errors.Is(err, io.EOF) {
			return values
		}
		if err != nil {
			t.Fatalf("encoding/json: %v", err)
		}
		values = append(values, n)
	}
}

func jsonNode(d *json.Decoder) (node, error) {
	token, err := d.Token()
	if err != nil {
		return node{}, err
	}
	switch v := token.(type) {
	case nil:
		return node{null: true}, nil
	case bool:
		return node{text: strconv.FormatBool(v)}, nil
	case json.Number:
		return node{text: number(v.String())}, nil
	case string:
		return node{text: v}, nil
	}
	n := node{}
	for d.More() {
		c := child{}
		if token == json.Delim('{') {
			name, err := d.Token()
			if err != nil {
				return node{}, err
			}
			c.name = name.(string)
		}
		if c.node, err = jsonNode(d); err != nil {
			return node{}, err
		}
		n.children = append(n.children, c)
	}
	n.text = fmt.Sprint(token)
	_, err = d.Token()
	return n, err
}

// number brings a number's text to one form, digits and exponent; the scale of
// a decimal stays.
func number(text string) string {
	text, negative := strings.CutPrefix(text, "-")
	mantissa, exponent := text, 0
	if i := strings.IndexAny(text, "eEdD"); i >= 0 {
		mantissa = text[:i]
		exponent, _ = strconv.Atoi(text[i+1:])
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		digits = "0"
	}
	if negative {
		digits = "-" + digits
	}
	return fmt.Sprintf("%se%d", digits, exponent-len(fraction))
}

// json renders the node as JSON would be read: types that JSON lacks are gone.
func (n *node) json() string {
	if n.null {
		return "null"
	}
	switch n.kind {
	case ionlib.NoType:
		switch n.text {
		case "{", "[":
		default:
			return n.text
		}
	case ionlib.IntType:
		return number(n.big.String())
	case ionlib.FloatType:
		return number(strconv.FormatFloat(n.float, 'e', -1, 64))
	case ionlib.DecimalType:
		return number(n.text)
	case ionlib.BlobType:
		return base64.StdEncoding.EncodeToString(n.bytes)
	case ionlib.ListType, ionlib.StructType:
	default:
		return n.text
	}
	var out strings.Builder
	out.WriteString("(")
	for _, c := range n.children {
		fmt.Fprintf(&out, "%q:%s,", c.name, c.node.json())
	}
	return out.String() + ")"
}

// write gives the node to our writer, to hash it.
func (n *node) write(w *ion.Writer) {
	if n.null {
		types := map[ionlib.Type]ion.Type{
			ionlib.NullType: ion.NullType, ionlib.IntType: ion.IntType, ionlib.StringType: ion.StringType,
			ionlib.TimestampType: ion.TimestampType, ionlib.ListType: ion.ListType, ionlib.StructType: ion.StructType,
		}
		w.Null(types[n.kind])
		return
	}
	switch n.kind {
	case ionlib.BoolType:
		w.Bool(n.text == "true")
	case ionlib.IntType:
		w.BigInt(n.big)
	case ionlib.FloatType:
		w.Float(n.float)
	case ionlib.DecimalType:
		w.Decimal(n.text)
	case ionlib.TimestampType:
		w.Timestamp(n.text)
	case ionlib.StringType:
		w.String(n.text)
	case ionlib.BlobType:
		w.Blob(n.bytes)
	case ionlib.ListType:
		w.BeginList()
		for i := range n.children {
			n.children[i].node.write(w)
		}
		w.End()
	case ionlib.StructType:
		w.BeginStruct()
		for i := range n.children {
			w.Field(n.children[i].name)
			n.children[i].node.write(w)
		}
		w.End()
	default:
		w.Annotate("unexpected")
	}
}

func (n *node) ionHash(t *testing.T) proof.Hash {
	t.Helper()
	var w ion.Writer
	n.write(&w)
	value, err := w.AppendValues(nil)
	if err != nil {
		t.Fatal(err)
	}
	var h ion.Hasher
	sum, err := h.Sum(nil, value, &w)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := proof.ParseHash(sum)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// blocks reads all blocks of the archive in their order.
func (a archive) blocks(t *testing.T) []node {
	t.Helper()
	var blocks []node
	for _, o := range a.data() {
		var read []node
		if strings.HasSuffix(o.Key, ".json") {
			read = readJSON(t, o.Body)
		} else {
			read = readIon(t, o.Body)
		}
		if int64(len(read)) != o.Last-o.First+1 {
			t.Fatalf("object %s holds %d blocks", o.Key, len(read))
		}
		blocks = append(blocks, read...)
	}
	return blocks
}
