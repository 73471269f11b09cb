package asl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/recolabs/gnata"
)

// object is a JSON object in the order of its text, without repeated names.
type object struct {
	keys   []string
	values map[string]json.RawMessage
}

func parseObject(raw json.RawMessage) (object, error) {
	o := object{values: map[string]json.RawMessage{}}
	d := json.NewDecoder(bytes.NewReader(raw))
	t, err := d.Token()
	if err != nil {
		return o, err
	}
	if t != json.Delim('{') {
		return o, errors.New("is not an object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return o, err
		}
		key, _ := t.(string) // a key is always a string
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return o, err
		}
		if _, twice := o.values[key]; twice {
			return o, fmt.Errorf("names %q twice", key)
		}
		o.keys = append(o.keys, key)
		o.values[key] = v
	}
	if _, err := d.Token(); err != nil {
		return o, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return o, errors.New("goes on after the object")
	}
	return o, nil
}

// first returns the first byte of a JSON text: { [ " t f n or of a number.
func first(raw json.RawMessage) byte {
	b := bytes.TrimLeft(raw, " \t\r\n")
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// compact removes white space from a JSON text; one that is not JSON is an error.
func compact(raw []byte) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// text encodes one value that encoding/json can take, without escaping HTML.
func text(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return json.RawMessage("null") // only strings, numbers, maps and slices of them come here
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// encodeObject encodes name, value, name, value…; a json.RawMessage stays as it is.
func encodeObject(pairs ...any) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(text(pairs[i]))
		b.WriteByte(':')
		if raw, ok := pairs[i+1].(json.RawMessage); ok {
			b.Write(raw)
		} else {
			b.Write(text(pairs[i+1]))
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

func encodeList(items []json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, it := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(it)
	}
	b.WriteByte(']')
	return b.Bytes()
}

var errUndefined = errors.New("returned nothing (undefined)")

// encodeResult writes a JSONata result as JSON. Numbers are doubles, as in the
// service: an integer beyond 2^53 does not survive an expression.
func encodeResult(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	if v == nil {
		return nil, errUndefined
	}
	if err := appendResult(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func appendResult(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case nil:
		b.WriteString("null") // a list's element that an expression left undefined
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case string:
		b.Write(text(v))
	case json.RawMessage:
		b.Write(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("returned %v, which JSON does not have", v)
		}
		b.Write(text(v))
	case int:
		b.WriteString(strconv.Itoa(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return fmt.Errorf("returned the number %s: %w", v, err)
		}
		return appendResult(b, f)
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := appendResult(b, e); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case map[string]any:
		return appendResult(b, orderedFrom(v))
	case interface {
		Range(fn func(key string, val any) bool)
	}:
		b.WriteByte('{')
		n := 0
		var err error
		v.Range(func(key string, val any) bool {
			if val == nil {
				return true // JSONata leaves undefined members out
			}
			if n++; n > 1 {
				b.WriteByte(',')
			}
			b.Write(text(key))
			b.WriteByte(':')
			err = appendResult(b, val)
			return err == nil
		})
		if err != nil {
			return err
		}
		b.WriteByte('}')
	default:
		if gnata.IsNull(v) {
			b.WriteString("null")
			return nil
		}
		if n := gnata.NormalizeValue(v); n != nil && fmt.Sprintf("%T", n) != fmt.Sprintf("%T", v) {
			return appendResult(b, n)
		}
		return errors.New("returned a function, which is no JSON value")
	}
	return nil
}
