package rdsdata

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A record is one row in the answer.
type record []cell

// A cell is one value: the union with exactly one member, as JSON.
type cell struct {
	member string
	value  json.RawMessage
}

func (c cell) MarshalJSON() ([]byte, error) {
	return append(append(append([]byte(`{"`), c.member...), '"', ':'), append(c.value, '}')...), nil
}

// records converts rows for formatRecordsAs NONE.
func (r *rows) records(types []pgType, o resultSetOption) ([]record, error) {
	out := make([]record, len(r.values))
	for i, values := range r.values {
		rec := make(record, len(values))
		for j, v := range values {
			c, err := types[j].cell(v, o)
			if err != nil {
				return nil, fmt.Errorf("row %d, column %s: %w", i+1, r.fields[j].Name, err)
			}
			rec[j] = c
		}
		out[i] = rec
	}
	return out, nil
}

// formatted converts rows for formatRecordsAs JSON: an array of objects whose
// members stand in the order of the columns.
func (r *rows) formatted(types []pgType, o resultSetOption) (string, error) {
	labels := make([][]byte, len(r.fields))
	seen := map[string]bool{}
	for j, f := range r.fields {
		if seen[f.Name] {
			return "", &Error{status: 400, code: "BadRequestException", text: "formatRecordsAs JSON needs distinct column labels: " + f.Name + " occurs twice"}
		}
		seen[f.Name] = true
		b, err := encode(f.Name)
		if err != nil {
			return "", err
		}
		labels[j] = b
	}
	var b bytes.Buffer
	b.WriteByte('[')
	for i, values := range r.values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('{')
		for j, v := range values {
			if j > 0 {
				b.WriteByte(',')
			}
			c, err := types[j].cell(v, o)
			if err != nil {
				return "", fmt.Errorf("row %d, column %s: %w", i+1, r.fields[j].Name, err)
			}
			b.Write(labels[j])
			b.WriteByte(':')
			b.Write(c.plain())
		}
		b.WriteByte('}')
		if b.Len() >= maxFormatted {
			return "", &Error{status: 400, code: "BadRequestException", text: "Database returned more than the allowed response size limit of 10 MB for formatRecordsAs JSON"}
		}
	}
	b.WriteByte(']')
	return b.String(), nil
}

// plain is the value without the union around it.
func (c cell) plain() json.RawMessage {
	switch c.member {
	case "isNull":
		return json.RawMessage("null")
	case "arrayValue": // {"longValues":[…]}
		if i := bytes.IndexByte(c.value, ':'); i >= 0 {
			return c.value[i+1 : len(c.value)-1]
		}
	}
	return c.value
}

// cell converts one value from PostgreSQL's text format; nil is NULL.
func (t pgType) cell(v []byte, o resultSetOption) (cell, error) {
	if v == nil {
		return cell{"isNull", json.RawMessage("true")}, nil
	}
	if t.array {
		return t.arrayCell(string(v), o)
	}
	return t.scalar(string(v), o)
}

func (t pgType) scalar(s string, o resultSetOption) (cell, error) {
	switch t.kind {
	case kindBool:
		return cell{"booleanValue", json.RawMessage(strconv.FormatBool(s == "t" || s == "1"))}, nil
	case kindLong:
		if o.LongReturnType == "STRING" {
			return text(s)
		}
		return cell{"longValue", json.RawMessage(s)}, nil
	case kindDouble:
		return float(s)
	case kindDecimal:
		if o.DecimalReturnType != "DOUBLE_OR_LONG" {
			return text(s)
		}
		if _, err := strconv.ParseInt(s, 10, 64); err == nil { // no fraction
			return cell{"longValue", json.RawMessage(s)}, nil
		}
		return float(s)
	case kindBlob:
		raw, err := hex.DecodeString(strings.TrimPrefix(s, `\x`))
		if err != nil {
			return cell{}, fmt.Errorf("read a bytea: %w", err)
		}
		return cell{"blobValue", json.RawMessage(`"` + base64.StdEncoding.EncodeToString(raw) + `"`)}, nil
	case kindTimestampTZ:
		// The session's zone is UTC; the service gives the text without offset.
		if rest, bc := strings.CutSuffix(s, " BC"); bc {
			return text(strings.TrimSuffix(rest, "+00") + " BC")
		}
		return text(strings.TrimSuffix(s, "+00"))
	case kindText:
		return text(s)
	}
	return cell{}, fmt.Errorf("convert a value: unknown kind %d", t.kind)
}

func text(s string) (cell, error) {
	b, err := encode(s)
	return cell{"stringValue", b}, err
}

func float(s string) (cell, error) {
	f, err := strconv.ParseFloat(s, 64)
	switch {
	case math.IsNaN(f):
		return cell{"doubleValue", json.RawMessage(`"NaN"`)}, nil
	case math.IsInf(f, 1):
		return cell{"doubleValue", json.RawMessage(`"Infinity"`)}, nil
	case math.IsInf(f, -1):
		return cell{"doubleValue", json.RawMessage(`"-Infinity"`)}, nil
	case err != nil:
		return cell{}, fmt.Errorf("read a number: %w", err)
	}
	b, err := json.Marshal(f)
	return cell{"doubleValue", b}, err
}

func (t pgType) arrayCell(s string, o resultSetOption) (cell, error) {
	elements, err := splitArray(s)
	if err != nil {
		return cell{}, err
	}
	e := pgType{kind: t.kind}
	if t.kind == kindDecimal && o.DecimalReturnType == "DOUBLE_OR_LONG" {
		e.kind = kindDouble // one array has one member: decimals cannot be part longs
	}
	member := map[kind]string{kindBool: "booleanValues", kindLong: "longValues", kindDouble: "doubleValues"}[e.kind]
	if member == "" || e.kind == kindLong && o.LongReturnType == "STRING" {
		member = "stringValues"
	}
	var b bytes.Buffer
	b.WriteString(`{"` + member + `":[`)
	for i, el := range elements {
		if i > 0 {
			b.WriteByte(',')
		}
		if el == nil {
			b.WriteString("null")
			continue
		}
		c, err := e.scalar(*el, o)
		if err != nil {
			return cell{}, fmt.Errorf("element %d: %w", i+1, err)
		}
		b.Write(c.value)
	}
	b.WriteString("]}")
	return cell{"arrayValue", b.Bytes()}, nil
}

// splitArray reads PostgreSQL's text form of a one-dimensional array; nil is
// NULL. More dimensions are an UnsupportedResultException.
func splitArray(s string) ([]*string, error) {
	if i := strings.IndexByte(s, '='); i >= 0 && strings.HasPrefix(s, "[") { // [0:2]={…}: lower bounds are not kept
		if strings.Count(s[:i], "[") > 1 {
			return nil, unsupported("multidimensional array")
		}
		s = s[i+1:]
	}
	if len(s) < 2 || s[0] != '{' || s[len(s)-1] != '}' {
		return nil, fmt.Errorf("read an array: %q has no braces", s)
	}
	s = s[1 : len(s)-1]
	out := []*string{}
	if s == "" {
		return out, nil
	}
	if s[0] == '{' {
		return nil, unsupported("multidimensional array")
	}
	for i := 0; ; i++ {
		var el []byte
		quoted := i < len(s) && s[i] == '"'
		if quoted {
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
				if i < len(s) {
					el = append(el, s[i])
				}
			}
			i++
		} else {
			for ; i < len(s) && s[i] != ','; i++ {
				if s[i] == '\\' && i+1 < len(s) {
					i++
				}
				el = append(el, s[i])
			}
		}
		if t := string(el); !quoted && t == "NULL" {
			out = append(out, nil)
		} else {
			out = append(out, &t)
		}
		if i >= len(s) {
			return out, nil
		}
		if s[i] != ',' {
			return nil, fmt.Errorf("read an array: no comma at byte %d of %q", i+1, s)
		}
	}
}

func unsupported(what string) error {
	return &Error{status: 400, code: "UnsupportedResultException", text: "The result contains the unsupported data type " + what + "; cast it to text"}
}
