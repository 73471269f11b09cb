package mapping_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/mapping"
)

func TestDraftHoldsEveryValueSeen(t *testing.T) {
	schema := jsonSchema(t)
	for _, c := range []struct {
		name string
		docs []string
		want map[string]string // type by path
		note string            // a part of one; "": none at all
	}{
		{"scalars", []string{`{b:true,f:1.5e0,i:7,d:1.50,t:"x",s:sym,l:{{AAEC}}}`, `{b:null,i:-9223372036854775808}`, `{}`}, map[string]string{
			"b": "boolean", "f": "double precision", "i": "bigint", "d": "numeric", "t": "text", "s": "text", "l": "bytea",
		}, ""},
		{"ints and decimals", []string{`{v:1}`, `{v:1.25}`, `{w:9223372036854775808}`}, map[string]string{"v": "numeric", "w": "numeric"}, ""},
		{"times", []string{`{d:2019-09-16T,i:2019-09-16T19:37:05Z,l:2019-09-16T19:37-00:00,c:2019-09T,m:2019-09-16T}`, `{i:2019-09-16T19:37:05.123456000+02:00,l:2019-09-16T19:37Z,m:2019-09-16T19:37Z}`}, map[string]string{
			"d": "date", "i": "timestamptz", "l": "timestamp", "c": "text", "m": "text",
		}, ""},
		{"times too fine or far", []string{`{f:2019-09-16T19:37:05.1234567Z,o:2019-09-16T19:37:05+17:00,l:2019-09-16T19:37:05.1234567-00:00}`}, map[string]string{"f": "text", "o": "text", "l": "text"}, ""},
		{"times at other offsets", []string{`{o:2019-09-16T19:37:05+02:00,p:2019-09-16T19:37:05Z}`, `{o:2019-09-16T19:37:05-00:00,p:2019-09-16T19:37:05-00:00}`}, map[string]string{"o": "text", "p": "timestamp"}, ""},
		{"texts that are times", []string{`{d:"2019-09-16",i:"2019-09-16T19:37:05Z",n:"2019-09-16"}`, `{d:"2019-09-17",i:2019-09-16T19:37:05Z,n:"2019-13-16"}`}, map[string]string{"d": "date", "i": "timestamptz", "n": "text"}, "all texts are dates or times"},
		{"texts that are UUIDs", []string{`{u:"0b5bb4de-2a8c-4d3e-8d0b-0a4c6d6f7e11",v:"0B5bb4de-2a8c-4d3e-8d0b-0a4c6d6f7e11"}`}, map[string]string{"u": "uuid", "v": "text"}, "all texts are UUIDs"},
		{"texts and timestamps", []string{`{v:"x"}`, `{v:2019-09-16T}`}, map[string]string{"v": "text"}, ""},
		{"numbers and texts", []string{`{v:"x"}`, `{v:1}`}, map[string]string{"v": "jsonb"}, "v: values of different kinds (int 1, text 1), as jsonb"},
		{"floats and decimals", []string{`{v:1.5e0}`, `{v:1.50}`}, map[string]string{"v": "jsonb"}, "different kinds"},
		{"odd floats", []string{`{v:nan,w:-0e0}`, `{v:+inf}`}, map[string]string{"v": "double precision", "w": "double precision"}, ""},
		{"odd floats among others", []string{`{v:nan,w:1}`, `{v:1}`}, map[string]string{"w": "bigint"}, "v: left out, because no column holds all of its values (int 1, float 1): nan"},
		{"odd numbers", []string{`{v:-0.0,w:1d999999,x:1}`}, map[string]string{"x": "bigint"}, "w: left out"},
		{"nothing but what no column holds", []string{`{v:-0.0}`}, map[string]string{"$docId": "text"}, "v: left out"},
		{"structs", []string{`{o:{p:{id:"a"},q:1},e:{}}`, `{o:{p:null}}`, `{o:null}`}, map[string]string{"o.p.id": "text", "o.q": "bigint", "e": "jsonb"}, ""},
		{"a struct or a text", []string{`{o:{a:1}}`, `{o:"x"}`}, map[string]string{"o": "jsonb"}, "different kinds (text 1, struct 1)"},
		{"a struct or what jsonb cannot hold", []string{`{o:{a:nan}}`, `{o:"x",p:1}`}, map[string]string{"p": "bigint"}, "o: left out"},
		{"lists", []string{`{l:["a",null,"b"],n:[1,2.5],s:[{a:1}],m:[1,"x"],e:[],f:[nan,-0e0],d:[2019-09-16T]}`, `{l:null,e:null}`}, map[string]string{
			"l": "text[]", "n": "numeric[]", "s": "jsonb", "m": "jsonb", "e": "jsonb", "f": "double precision[]", "d": "date[]",
		}, ""},
		{"lists with what jsonb cannot hold", []string{`{l:[["n\0l"]],m:["n\0l"],k:1}`}, map[string]string{"k": "bigint"}, "l: left out"},
		{"a list or a text", []string{`{l:["a"]}`, `{l:"a"}`}, map[string]string{"l": "jsonb"}, "different kinds"},
		{"sexps and clobs", []string{`{s:(a b),c:{{"abc"}},d:[{{"n\0l"}}]}`}, map[string]string{"s": "text[]", "c": "bytea", "d": "bytea[]"}, ""},
		{"a clob that jsonb cannot hold", []string{`{s:[{c:{{"n\0l"}}}],t:1}`}, map[string]string{"t": "bigint"}, "s: left out"},
		{"annotations", []string{`{a:x::1,b:[y::1],c:z::{d:1},e:n::null}`}, map[string]string{"a": "bigint", "b": "bigint[]", "c": "jsonb", "e": "jsonb"}, "a: 1 values have annotations, which are dropped"},
		{"an annotated struct with what jsonb cannot hold", []string{`{c:z::{d:nan,e:1}}`}, map[string]string{"c.d": "double precision", "c.e": "bigint"}, "c: 1 structs have annotations, which no column holds"},
		{"annotated documents", []string{`x::{a:1}`}, map[string]string{"a": "bigint"}, "$doc: 1 documents have annotations"},
		{"repeated fields", []string{`{a:1,a:2,b:3,s:{c:1,c:2,d:4},l:[{e:1,e:2}]}`}, map[string]string{"b": "bigint", "s.d": "bigint"}, "s.c: left out: 1 structs have the field more than once"},
		{"always null", []string{`{a:null}`, `{a:null.int}`}, map[string]string{"a": "jsonb"}, "a: always null"},
		{"no structs", []string{`[1]`, `{a:1}`}, map[string]string{"$doc": "jsonb"}, "no structs"},
		{"no structs that jsonb holds", []string{`nan`}, map[string]string{"$docId": "text"}, "$doc: left out"},
		{"empty documents", []string{`{}`, `{}`}, map[string]string{"$doc": "jsonb"}, ""},
		{"no documents", nil, map[string]string{"$doc": "jsonb"}, "no document was seen"},
		{"NUL in a field name", []string{`{'n\0l':1,s:[{'n\0l':1}],o:{'n\0l':2}}`}, map[string]string{"\"n\x00l\"": "bigint", "o.\"n\x00l\"": "bigint"}, "s: left out"},
		{"control characters in a field name", []string{`{'a\x1b[2Jb':nan}`, `{'a\x1b[2Jb':1}`}, map[string]string{"$docId": "text"}, `"\"a\x1b[2Jb\"": left out`},
		{"a document field", []string{`{doc:1,id:"x"}`}, map[string]string{"doc": "bigint", "id": "text"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			draft, got := mapsAll(t, schema, c.docs)
			if diff := cmp.Diff(got, c.want); diff != "" {
				t.Errorf("columns (-got +want):\n%s", diff)
			}
			if notes := strings.Join(draft.Notes["T"], "\n"); !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
				t.Errorf("notes %q, want %q", notes, c.note)
			}
		})
	}
}

func TestDraftNamesColumnsApart(t *testing.T) {
	long := strings.Repeat("ä", 40)
	_, err := mapping.AddDrafts([]byte(`{"version":2}`), nil)
	if err == nil {
		t.Error("a file that is none is added to")
	}
	docs := `{PersonId:1,person_id:1,'PERSON-ID':1,version:1,Ql_Audit:1,xmin:1,'':1,'!':1,'a"b':1,'a.b':1,'$c':1,'É':1,'é':1,'` +
		long + `1':1,'` + long + `2':1,Owner:{PersonId:1},owner_person_id:2}`
	draft, columns, plan, _ := drafted(t, jsonSchema(t), observe(t, docs))
	var names []string
	for _, c := range plan.Current.Columns[2 : len(plan.Current.Columns)-1] {
		names = append(names, c.Name)
	}
	want := []string{
		"person_id", "person_id_2", "person_id_3", "version_2", "ql_audit_2", "xmin_2", "field", "field_2", "a_b", "a_b_2", "c", "É", "é_2",
		strings.Repeat("ä", 31), strings.Repeat("ä", 30) + "_2", "owner_person_id", "owner_person_id_2",
	}
	if diff := cmp.Diff(names, want); diff != "" {
		t.Errorf("names (-got +want):\n%s", diff)
	}
	if columns[`"a""b"`] == "" || columns[`"$c"`] == "" || columns[`""`] == "" {
		t.Errorf("paths %v\n%s", columns, draft.File)
	}
}

// Tables that the file has keep their rules, and new targets stand apart from
// theirs.
func TestDraftsAreAddedToTheFile(t *testing.T) {
	s := observe(t, `{a:1}`)
	src := `{"$schema":"schema.json","version":1,"schema":"x","tables":{
		"Old":{"target":"note","columns":[{"name":"c","path":["p.q","r"],"type":"text[]","list":"array"}],"indexes":[{"columns":["doc_id"],"unique":false}]},
		"Skipped":{"skip":true}}}`
	draft, err := mapping.AddDrafts([]byte(src), map[string]*mapping.Shape{
		"Old": s, "Skipped": s, "Note": s, "NOTE": s, "note_audit_log": s, "!": s, strings.Repeat("x", 90): s,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "$schema": "schema.json",
  "version": 1,
  "schema": "x",
  "tables": {
    "!": {
      "target": "unnamed",
      "columns": [
        {"name":"a","path":"a","type":"bigint"}
      ]
    },
    "NOTE": {
      "target": "note_2",
      "columns": [
        {"name":"a","path":"a","type":"bigint"}
      ]
    },
    "Note": {
      "target": "note_3",
      "columns": [
        {"name":"a","path":"a","type":"bigint"}
      ]
    },
    "Old": {
      "target": "note",
      "columns": [
        {"name":"c","path":["p.q","r"],"type":"text[]","list":"array"}
      ],
      "indexes": [
        {"columns":["doc_id"],"unique":false}
      ]
    },
    "Skipped": {"skip": true},
    "note_audit_log": {
      "target": "note_audit_log_2",
      "columns": [
        {"name":"a","path":"a","type":"bigint"}
      ]
    },
    "` + strings.Repeat("x", 90) + `": {
      "target": "` + strings.Repeat("x", 53) + `",
      "columns": [
        {"name":"a","path":"a","type":"bigint"}
      ]
    }
  }
}
`
	if diff := cmp.Diff(string(draft.File), want); diff != "" {
		t.Errorf("file (-got +want):\n%s", diff)
	}
	if len(draft.Notes) != 5 {
		t.Errorf("notes of %d tables", len(draft.Notes))
	}
}

// randomValue writes a random value in Ion text, odd ones among them.
func randomValue(r *rand.Rand, depth int) string {
	scalars := []string{
		"null", "null.int", "true", "7", "-3", "9223372036854775808", "1.5", "2.50", "-0.0", "1d70", "1d999999", "2.5e0", "nan", "-0e0",
		`"x"`, `""`, "sym", `"n\0l"`, `"é"`, `"2019-09-16"`, `"0b5bb4de-2a8c-4d3e-8d0b-0a4c6d6f7e11"`, "2019T", "2019-09-16T", "2019-09-16T19:37Z", "2019-09-16T19:37-00:00",
		"2019-09-16T19:37:05.1234567+02:00", "{{AAEC}}", `{{"clob"}}`, `{{"n\0l"}}`, "note::1", "note::null",
	}
	if odds := r.IntN(10); depth > 3 || odds < 6 {
		return scalars[r.IntN(len(scalars))]
	} else if odds < 8 {
		var parts []string
		one := randomValue(r, depth+1)
		for range r.IntN(4) {
			if r.IntN(2) == 0 {
				one = randomValue(r, depth+1)
			}
			parts = append(parts, one)
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	return randomStruct(r, depth+1)
}

func randomStruct(r *rand.Rand, depth int) string {
	var parts []string
	for range r.IntN(5) {
		parts = append(parts, fmt.Sprintf("f%d:%s", r.IntN(8), randomValue(r, depth)))
	}
	annotation := ""
	if r.IntN(20) == 0 {
		annotation = "note::"
	}
	return annotation + "{" + strings.Join(parts, ",") + "}"
}

func TestDraftsOfRandomDocumentsMapThem(t *testing.T) {
	schema := jsonSchema(t)
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		var docs []string
		for range 1 + r.IntN(6) {
			if r.IntN(40) == 0 {
				docs = append(docs, randomValue(r, 0))
				continue
			}
			docs = append(docs, randomStruct(r, 0))
		}
		mapsAll(t, schema, docs)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
