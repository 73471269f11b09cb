package journal_test

import (
	"errors"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/journal"
)

// TestIonTextFormsDoNotHideTheEndOfABlock reads two blocks, the first with data
// whose brackets, quotes and slashes are no structure.
func TestIonTextFormsDoNotHideTheEndOfABlock(t *testing.T) {
	for data, want := range map[string]string{
		`"}{][)("`:  "}{][)(",
		`"a\"}b\\"`: `a"}b\`,
		"'''long } '' text''' /* } */ ''' and \\''' more'''": "long } '' text and ''' more",
		"'quoted } symbol'":              "quoted } symbol",
		`{{YS8vYg==}}`:                   "a//b",
		`{{ Ly8v }}`:                     "///",
		`{{"clob } \" }}"}}`:             `clob } " }}`,
		"{{'''clob }} ''' '''}'''}}":     "clob }} }",
		"// comment } \n\"a\"":           "a",
		"/* comment } ** */ \"a\"":       "a",
		`'it\'s'`:                        "it's",
		"12.12345678901":                 "12.12345678901",
		`"T00:00:00.1234567890123"`:      "T00:00:00.1234567890123",
		"2019-09-16T19:37:05.123456789Z": "2019-09-16T19:37:05.123456789Z",
	} {
		text := edited(t, "data:{a:1}", "data:"+data)
		r, err := journal.NewReader(strings.NewReader(text+text), journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			b, err := r.Next()
			if err != nil {
				t.Errorf("%s: block %d: %v", data, i, err)
				break
			}
			rec, err := b.Record(0)
			if err != nil {
				t.Errorf("%s: %v", data, err)
				break
			}
			if got := string(rec.Fields.Bytes(&rec.Fields.Nodes[0])); got != want {
				t.Errorf("%s: got %q, want %q", data, got, want)
			}
		}
	}
}

// TestIonTextThatWouldBeRoundedIsRefused: ion-go rounds to nanoseconds.
func TestIonTextThatWouldBeRoundedIsRefused(t *testing.T) {
	_, err := first(t, []byte(edited(t, "data:{a:1}", "data:{a:2019-09-16T19:37:05.1234567891Z}")), journal.Options{})
	var syntax *journal.SyntaxError
	if !errors.As(err, &syntax) || !strings.Contains(err.Error(), "more than nine digits") {
		t.Errorf("got %v", err)
	}
}

func TestIonTextThatIsNotIonIsRefused(t *testing.T) {
	for data, want := range map[string]string{
		"{a:}":       "read ion text",
		"2019-13-01": "read ion text",
		"$77":        "SID '77'",
		"{{YW}}":     "read ion text",
		"{{YWI=}":    "ends with one brace only",
		strings.Repeat("[", 600) + strings.Repeat("]", 600): "nest deeper",
	} {
		if _, err := first(t, []byte(edited(t, "data:{a:1}", "data:"+data)), journal.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", data, err, want)
		}
	}
}

// TestManySymbolsBeginAnew reads more document ids than the converter keeps.
func TestManySymbolsBeginAnew(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	fields := &change.Fields{}
	fields.ID("a")
	block := edited(t, "", "")
	var ids strings.Builder
	for i := range 30_000 {
		ids.WriteString(",x")
		for n := i; n > 0; n /= 26 {
			ids.WriteByte(byte('a' + n%26))
		}
		ids.WriteString("_BLOCK:1")
	}
	var object strings.Builder
	for i := range 5 {
		object.WriteString(strings.Replace(block, "somethingNew:[1,{a:2}]", "somethingNew:{n:0"+strings.ReplaceAll(ids.String(), "BLOCK", string(rune('A'+i)))+"}", 1))
	}
	r, err := journal.NewReader(strings.NewReader(object.String()), journal.Options{Fields: fields})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		b, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		rec, err := b.Record(0)
		if err != nil {
			t.Fatal(err)
		}
		if n := rec.Fields.Nodes[1]; rec.Fields.Names[n.Name] != (change.Name{Text: "a", Field: 1}) || len(rec.Fields.Names) > 130_000 {
			t.Errorf("block %d: field %v of %d", i, rec.Fields.Names[n.Name], len(rec.Fields.Names))
		}
	}
}
