package mapping_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"godwit/internal/change"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/mapping"
)

const emptyFile = `{"version":1,"schema":"x"}`

// observe makes the shape of documents in Ion text.
func observe(t testing.TB, docs ...string) *mapping.Shape {
	t.Helper()
	s := &mapping.Shape{}
	for i, doc := range docs {
		s.Observe(record("T", i, ionTape(t, nil, doc)))
	}
	return s
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// drafted drafts rules for the table T of the shape, checks the file against the
// schema, and returns the paths of T's columns with their types, and the notes.
func drafted(t testing.TB, schema *jsonschema.Schema, s *mapping.Shape) (draft mapping.Draft, columns map[string]string, plan *mapping.Plan, fields *change.Fields) {
	t.Helper()
	draft, err := mapping.AddDrafts([]byte(emptyFile), map[string]*mapping.Shape{"T": s})
	if err != nil {
		t.Fatal(err)
	}
	var any any
	if err := json.Unmarshal(draft.File, &any); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(any); err != nil {
		t.Fatalf("%s: %v", draft.File, err)
	}
	f, err := mapping.Parse(draft.File)
	if err != nil {
		t.Fatal(err)
	}
	fields = &change.Fields{}
	m, err := mapping.Compile(f, fields)
	if err != nil {
		t.Fatalf("%s: %v", draft.File, err)
	}
	if plan, err = m.Plan("T"); err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tables map[string]struct {
			Columns []struct{ Name, Path, Type string }
		}
	}
	if err := json.Unmarshal(draft.File, &file); err != nil {
		t.Fatal(err)
	}
	columns = map[string]string{}
	for _, c := range file.Tables["T"].Columns {
		columns[c.Path] = c.Type
	}
	return draft, columns, plan, fields
}

// covered says which value of a document no column holds, and no note says that
// it is left out.
func covered(tape *change.Tape, columns map[string]string, notes []string) string {
	var visit func(at int32, path string) string
	visit = func(at int32, path string) string {
		n := &tape.Nodes[at]
		name := path
		if name == "" {
			name = "$doc"
		}
		if columns[name] != "" || n.Kind == change.Null {
			return ""
		}
		if strings.Contains(name, "\x1b") {
			name = strconv.Quote(name)
		}
		for _, note := range notes {
			if strings.HasPrefix(note, name+": left out") || strings.HasPrefix(note, name+": ") && strings.Contains(note, "are left out") {
				return ""
			}
		}
		if n.Kind == change.Struct && n.End == at+1 { // as null, where its fields are columns
			for path := range columns {
				if strings.HasPrefix(path, name+".") {
					return ""
				}
			}
			for _, note := range notes {
				if strings.HasPrefix(note, name+".") {
					return ""
				}
			}
		}
		if n.Kind != change.Struct || n.End == at+1 && at > 0 {
			return name
		}
		for i := at + 1; i < n.End; i = tape.Nodes[i].End {
			below := quoted(tape.Names[tape.Nodes[i].Name].Text)
			if path != "" {
				below = path + "." + below
			}
			if at := visit(i, below); at != "" {
				return at
			}
		}
		return ""
	}
	if columns["$doc"] != "" || len(notes) > 50 { // not all notes are there
		return ""
	}
	return visit(0, "")
}

func quoted(name string) string {
	plain := name != "" && strings.IndexFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r < 0x80
	}) < 0
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// mapsAll checks the promise of a draft: it maps all of the documents that it was
// made from, and each value is in a column or said to be left out.
func mapsAll(t *testing.T, schema *jsonschema.Schema, docs []string) (mapping.Draft, map[string]string) {
	t.Helper()
	draft, columns, plan, fields := drafted(t, schema, observe(t, docs...))
	for i, doc := range docs {
		tape := ionTape(t, fields, doc)
		if _, err := plan.Map(record("T", i, tape)); err != nil {
			t.Errorf("document %s: %v\n%s", doc, err, draft.File)
		}
		if at := covered(tape, columns, draft.Notes["T"]); at != "" {
			t.Errorf("document %s: no column for %s, and no note\n%s%s", doc, at, draft.File, strings.Join(draft.Notes["T"], "\n"))
		}
	}
	return draft, columns
}

// Shapes of parts, stored and read again, add up to the shape of the whole, and
// a stored one goes on where it was.
func TestShapesOfPartsAddUp(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		whole, sum, going := &mapping.Shape{}, &mapping.Shape{}, &mapping.Shape{}
		for part := range 4 {
			one := &mapping.Shape{}
			for i := range r.IntN(5) {
				rec := record("T", part*10+i, ionTape(t, nil, randomStruct(r, 0)))
				whole.Observe(rec)
				one.Observe(rec)
				going.Observe(rec)
			}
			stored := &mapping.Shape{}
			if err := json.Unmarshal([]byte(asJSON(t, one)), stored); err != nil {
				t.Fatal(err)
			}
			sum.Merge(stored)
			text := asJSON(t, going)
			if going = new(mapping.Shape); json.Unmarshal([]byte(text), going) != nil {
				t.Fatal(text)
			}
		}
		if diff := cmp.Diff(asJSON(t, sum), asJSON(t, whole)); diff != "" {
			t.Fatalf("seed %d: parts (-sum +whole):\n%s", seed, diff)
		}
		if diff := cmp.Diff(asJSON(t, going), asJSON(t, whole)); diff != "" {
			t.Fatalf("seed %d: stored between (-got +whole):\n%s", seed, diff)
		}
	}
}

// However many fields there are, a bounded number is told apart; what is not is
// counted and judged, and the draft maps it all.
func TestShapeIsBounded(t *testing.T) {
	schema := jsonSchema(t)
	many := func(n int, value string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "k%d:%s,", i, value)
		}
		return b.String()
	}
	deep := "1"
	for range 60 {
		deep = "{d:[" + deep + "]}"
	}
	for _, c := range []struct {
		name, doc string
		whole     bool // the document is a column
		note      string
	}{
		{"fields of documents", `{a:1,` + many(2000, "1") + `}`, true, "too many to tell all of them apart"},
		{"fields of a struct", `{a:1,o:{` + many(2000, "1") + `}}`, false, ""},
		{"fields of a struct that jsonb cannot hold", `{a:1,o:{` + many(2000, "nan") + `}}`, true, "1502 values are left out"},
		{"repeated fields", `{a:1,o:{` + many(700, "1") + many(700, "2") + `}}`, false, "left out: 1 structs have the field more than once"},
		{"repeated fields beyond the bound", `{a:1,o:{` + many(700, "1") + `k650:2}}`, true, "o: 203 values are left out"},
		{"a NUL in a name beyond the bound", `{a:1,'` + strings.Repeat("n", 200) + `\0':1}`, false, "$doc: left out, because jsonb cannot hold it: texts with a NUL"},
		{"more fields than columns", `{a:1,` + many(300, "1") + `}`, true, "a draft has 200 columns at most"},
		{"more nested fields than columns", `{a:1,o:{` + many(60, "1") + `}}`, false, ""},
		{"depth", `{a:1,o:` + deep + `}`, false, ""},
		{"depth and what jsonb cannot hold", `{a:1,o:` + strings.Replace(deep, "1", `"n\0l"`, 1) + `}`, false, "o.d: left out"},
		{"elements", `{a:1,o:[` + strings.Repeat("1,", 5000) + `]}`, false, ""},
		{"a long name", `{a:1,` + strings.Repeat("n", 200) + `:1}`, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := observe(t, c.doc)
			if s.Paths > 500 {
				t.Errorf("%d paths", s.Paths)
			}
			if text := asJSON(t, s); len(text) > 200_000 {
				t.Errorf("%d bytes", len(text))
			}
			twice := observe(t, c.doc, c.doc)
			s.Merge(s)
			s.Documents, twice.Documents = 0, 0
			if diff := cmp.Diff(asJSON(t, s), asJSON(t, twice)); diff != "" {
				t.Errorf("merged with itself (-got +want):\n%s", diff)
			}
			draft, columns := mapsAll(t, schema, []string{c.doc})
			notes := strings.Join(draft.Notes["T"], "\n")
			if _, whole := columns["$doc"]; whole != c.whole && !strings.Contains(notes, "$doc: left out") || columns["a"] != "bigint" || !strings.Contains(notes, c.note) {
				t.Errorf("columns %v, notes %s", columns, notes)
			}
		})
	}
}

// What another shape has beyond the bound is judged like what was never told
// apart.
func TestMergeIsBounded(t *testing.T) {
	schema := jsonSchema(t)
	var full strings.Builder
	for i := range 499 {
		fmt.Fprintf(&full, "k%d:1,", i)
	}
	for name, c := range map[string]struct {
		doc   string
		whole bool
	}{
		"fields":                          {`{x:1,y:{z:1}}`, true},
		"repeated fields":                 {`{x:1,y:{z:1,z:2}}`, false},
		"what jsonb cannot hold":          {`{x:1,y:[[nan]]}`, false},
		"a field name that jsonb has not": {`{x:1,y:{'n\0l':1}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			docs := []string{"{" + full.String() + "l:[]}", c.doc, `{l:[1]}`}
			s := &mapping.Shape{}
			for _, doc := range docs {
				s.Merge(observe(t, doc))
			}
			if s.Paths != 500 || s.Root.Unfollowed == 0 {
				t.Errorf("%d paths, %d values not followed", s.Paths, s.Root.Unfollowed)
			}
			draft, columns, plan, fields := drafted(t, schema, s)
			for i, doc := range docs {
				if _, err := plan.Map(record("T", i, ionTape(t, fields, doc))); err != nil {
					t.Errorf("%.40s: %v", doc, err)
				}
			}
			if columns["$doc"] != "jsonb" == c.whole {
				t.Errorf("columns %d, notes %s", len(columns), draft.Notes["T"])
			}
		})
	}
}

func TestShapeKeepsNoValue(t *testing.T) {
	s := observe(t, `{name:"Zebedee",born:1934-05-06T,n:987654321,d:98765.4321,l:["Xanthippe"],o:{p:{{U2VjcmV0}}}}`)
	draft, err := mapping.AddDrafts([]byte(emptyFile), map[string]*mapping.Shape{"T": s})
	if err != nil {
		t.Fatal(err)
	}
	text := asJSON(t, s) + string(draft.File) + fmt.Sprint(draft.Notes)
	for _, value := range []string{"Zebedee", "1934", "987654321", "98765", "4321", "Xanthippe", "U2VjcmV0", "Secret"} {
		if strings.Contains(text, value) {
			t.Errorf("it holds %s:\n%s", value, text)
		}
	}
}

func TestShapeTellsWhatItSaw(t *testing.T) {
	s := observe(t, `{a:"ééé",b:{c:[{d:12.345},{d:null,e:1}]}}`, `{a:null,b:{}}`, `{b:null}`)
	got := ""
	s.EachPath(func(path string, f *mapping.Field) {
		got += fmt.Sprintf("%s: %s; %d characters, %d.%d digits\n", path, f.Kinds, f.Characters, f.Digits, f.Scale)
	})
	want := `: struct 3; 0 characters, 0.0 digits
a: null 1, text 1; 3 characters, 0.0 digits
b: null 1, struct 2; 0 characters, 0.0 digits
b.c: list 1; 0 characters, 0.0 digits
b.c[*]: struct 2; 0 characters, 0.0 digits
b.c[*].d: null 1, decimal 1; 0 characters, 2.3 digits
b.c[*].e: int 1; 0 characters, 1.0 digits
`
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
	var k mapping.Kinds
	if err := json.Unmarshal([]byte(`{"colour":1}`), &k); err == nil {
		t.Error("an unknown kind is accepted")
	}
}

func TestObserveAllocatesNothingInSteadyState(t *testing.T) {
	s := &mapping.Shape{}
	rec := record("T", 0, ionTape(t, nil, `{a:1,b:90.250,c:12d5,d:2.5e0,e:"text\n",'é':"a text beyond ASCII: é",f:[{g:{h:{{AAEC}}}},{g:null}],i:2019-09-16T12:00:00.1234567Z,`+
		`u:"0b5bb4de-2a8c-4d3e-8d0b-0a4c6d6f7e11",w:9223372036854775808,j1:1,j2:1,j3:1,j4:1,j5:1}`))
	other := record("T", 1, ionTape(t, nil, `{j5:1,j1:1,b:1,a:1,f:[],c:null}`))
	once := func() {
		s.Observe(rec)
		s.Observe(other)
	}
	once()
	if n := testing.AllocsPerRun(100, once); n != 0 {
		t.Errorf("%v allocations a document", n)
	}
}

// A draft from a generated ledger, the shipped mapping left out, maps all of it,
// whatever its format.
func TestDraftsOfALedgerMapIt(t *testing.T) {
	files := map[ledgergen.Format]string{}
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		shapes := map[string]*mapping.Shape{}
		o := ledgergen.Options{Seed: 20, Documents: 900, Unmappable: 9, Format: format}
		records(t, o, nil, func(rec *change.Record) {
			if shapes[rec.Table.Name] == nil {
				shapes[rec.Table.Name] = &mapping.Shape{}
			}
			shapes[rec.Table.Name].Observe(rec)
		})
		draft, err := mapping.AddDrafts([]byte(emptyFile), shapes)
		if err != nil {
			t.Fatal(err)
		}
		f, err := mapping.Parse(draft.File)
		if err != nil {
			t.Fatal(err)
		}
		fields := &change.Fields{}
		m, err := mapping.Compile(f, fields)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		records(t, o, fields, func(rec *change.Record) {
			p, err := m.Plan(rec.Table.Name)
			if err != nil {
				t.Fatal(err)
			}
			n++
			if _, err := p.Map(rec); err != nil {
				t.Errorf("%s: %v\n%s", format, err, draft.File)
			}
		})
		if n < 1000 || len(shapes) < 5 {
			t.Errorf("%s: %d records of %d tables", format, n, len(shapes))
		}
		files[format] = string(draft.File)
		if format == ledgergen.IonBinary {
			t.Logf("%s\n%v", draft.File, draft.Notes)
		}
	}
	if diff := cmp.Diff(files[ledgergen.IonBinary], files[ledgergen.IonText]); diff != "" {
		t.Errorf("the draft of a text archive is another (-binary +text):\n%s", diff)
	}
}

// records reads the revisions of a generated ledger that have documents.
func records(t *testing.T, o ledgergen.Options, fields *change.Fields, visit func(*change.Record)) {
	t.Helper()
	_, err := ledgergen.Generate(o, func(obj ledgergen.Object) error {
		if obj.First < 0 {
			return nil
		}
		r, err := journal.NewReader(bytes.NewReader(obj.Body), journal.Options{Object: obj.Key, Fields: fields})
		if err != nil {
			return err
		}
		for {
			b, err := r.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			for rec, err := range b.Records() {
				if err != nil {
					return err
				}
				visit(rec)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
