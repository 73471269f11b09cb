package mapping_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/mapping"
)

// FuzzMap gives one value to a column of every type: Map refuses it or makes a
// row that copytext writes, and what goes into jsonb is JSON with no more and no
// less than the document.
func FuzzMap(f *testing.F) {
	for _, s := range []string{`null`, `1`, `-0.0`, `9025e-2`, `1e400`, `"2019-02-28T12:34:56.123456700Z"`, `"0f8fad5b-d9cb-469f-a165-70867728950e"`, `"aGVsbG8="`, `[1,"a,b",null]`, `{"a":{"b":[{}]}}`, `"\u0000"`, `"\ud83d\ude00\\\n"`, `12345678901234567890123`} {
		f.Add(s)
	}
	var columns []string
	for i, typ := range allTypes {
		columns = append(columns, fmt.Sprintf(`{"name":"s%d","path":["v.w","v"],"type":%q}`, i, typ),
			fmt.Sprintf(`{"name":"a%d","path":"v[*]","type":"%s[]","list":"array"}`, i, typ))
	}
	columns = append(columns, `{"name":"j","path":"v[*].w","type":"text","list":"join","separator":","}`, `{"name":"p","path":"v[*].w","type":"jsonb","list":"json"}`, `{"name":"b","path":"v","type":"bytea","encoding":"base64"}`)
	fields := &change.Fields{}
	var plans []*mapping.Plan
	for _, c := range columns {
		file, err := mapping.Parse([]byte(`{"version":1,"schema":"x","tables":{"Case":{"target":"c","columns":[` + c + `]}}}`))
		if err != nil {
			f.Fatal(err)
		}
		m, err := mapping.Compile(file, fields)
		if err != nil {
			f.Fatal(err)
		}
		p, err := m.Plan("Case")
		if err != nil {
			f.Fatal(err)
		}
		plans = append(plans, p)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !json.Valid([]byte(value)) || strings.ContainsRune(value, '\ufffd') {
			return
		}
		tape := jsonTape(t, fields, `{"v":`+value+`}`)
		var line []byte
		for _, p := range plans {
			row, err := p.Map(record("Case", 0, tape))
			var refused *mapping.ValueError
			if errors.As(err, &refused) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if line, err = copytext.AppendRow(line[:0], row); err != nil {
				t.Fatalf("column %s: Map accepts what AppendRow refuses: %v", mapping.TypeName(row.Table.Columns[2].Type), err)
			}
			v := row.Values[2]
			if v.Kind == change.JSON && !json.Valid(v.Bytes) {
				t.Fatalf("column %s: %q is not JSON", mapping.TypeName(row.Table.Columns[2].Type), v.Bytes)
			}
		}
	})
}
