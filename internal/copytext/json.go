package copytext

import (
	"encoding/json"
	"fmt"

	"godwit/internal/change"
)

// AppendJSON appends row as a JSON object to dst, as json_to_recordset reads it
// into columns of the row's types: each value is a string with the text that COPY
// would read, so that PostgreSQL's own input functions make exactly the row's
// values of it; NULL is null, and JSON stands as it is. On an error, which names
// the column and never the value, it returns dst as it was given.
func AppendJSON(dst []byte, row change.Row) ([]byte, error) {
	columns := row.Table.Columns
	if len(row.Values) != len(columns) {
		return dst, fmt.Errorf("write row of table %s: it has %d values for %d columns", row.Table.Name, len(row.Values), len(columns))
	}
	start := len(dst)
	dst = append(dst, '{')
	for i := range row.Values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendName(dst, columns[i].Name)
		var err error
		if dst, err = appendJSONValue(dst, &row.Values[i], &columns[i].Type); err != nil {
			return dst[:start], fmt.Errorf("write row of table %s: column %s: %w", row.Table.Name, columns[i].Name, err)
		}
	}
	return append(dst, '}'), nil
}

func appendName(dst []byte, name string) []byte {
	quoted, _ := json.Marshal(name) // a string can always be written
	return append(append(dst, quoted...), ':')
}

func appendJSONValue(dst []byte, v *change.Value, t *change.Type) ([]byte, error) {
	switch {
	case v.Kind == change.Null:
		return append(dst, "null"...), nil
	case v.Kind == change.JSON && !t.Array:
		return append(dst, v.Bytes...), nil
	}
	start := len(dst)
	dst, err := appendValue(append(dst, '"'), v, t)
	if err != nil {
		return dst, err
	}
	return append(appendEscaped(dst[:start+1], dst[start+1:]), '"'), nil
}

// appendEscaped makes text as COPY escapes it the inside of a JSON string. The two
// escape backslash, tab and line ends alike; what is left are double quotes and
// the other control characters. text may lie behind dst in the same memory.
func appendEscaped(dst, text []byte) []byte {
	odd := 0
	for _, c := range text {
		if c == '"' || c < ' ' {
			odd++
		}
	}
	if odd == 0 {
		return append(dst, text...)
	}
	const digits = "0123456789abcdef"
	text = append(make([]byte, 0, len(text)), text...) // it grows into itself
	for _, c := range text {
		switch {
		case c == '"':
			dst = append(dst, '\\', '"')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
