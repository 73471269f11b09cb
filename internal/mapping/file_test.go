package mapping_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"godwit/internal/change"
	"godwit/internal/mapping"
)

func jsonSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(mapping.JSONSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mapping.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mapping.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchemaAgreesWithParse gives every file to both: they accept the same.
func TestSchemaAgreesWithParse(t *testing.T) {
	schema := jsonSchema(t)
	column := func(s string) string {
		return `{"version":1,"schema":"x","tables":{"A":{"target":"a","columns":[` + s + `]}}}`
	}
	index := func(s string) string {
		return `{"version":1,"schema":"x","tables":{"A":{"target":"a","columns":[{"name":"c","path":"c","type":"text"}],"indexes":` + s + `}}}`
	}
	typed := func(s string) string { return column(`{"name":"c","path":"c","type":"` + s + `"}`) }
	path := func(s string) string { return column(`{"name":"c","path":` + s + `,"type":"jsonb"}`) }
	long := strings.Repeat("n", 64)
	for _, c := range []struct {
		name string
		file string
		ok   bool
	}{
		{"the shipped mapping", string(mapping.DMV()), true},
		{"no tables", `{"version":1,"schema":"x"}`, true},
		{"empty tables", `{"version":1,"schema":"x","tables":{}}`, true},
		{"names its schema", `{"$schema":"schema.json","version":1,"schema":"x"}`, true},
		{"a list", `[]`, false},
		{"no version", `{"schema":"x"}`, false},
		{"version 2", `{"version":2,"schema":"x"}`, false},
		{"version as text", `{"version":"1","schema":"x"}`, false},
		{"no schema", `{"version":1}`, false},
		{"empty schema", `{"version":1,"schema":""}`, false},
		{"schema is a number", `{"version":1,"schema":1}`, false},
		{"unknown member", `{"version":1,"schema":"x","table":{}}`, false},
		{"tables is a list", `{"version":1,"schema":"x","tables":[]}`, false},
		{"skip", `{"version":1,"schema":"x","tables":{"A":{"skip":true}}}`, true},
		{"skip false", `{"version":1,"schema":"x","tables":{"A":{"skip":false}}}`, false},
		{"skip with target", `{"version":1,"schema":"x","tables":{"A":{"skip":true,"target":"a"}}}`, false},
		{"empty ledger table", `{"version":1,"schema":"x","tables":{"":{"skip":true}}}`, false},
		{"table is null", `{"version":1,"schema":"x","tables":{"A":null}}`, false},
		{"no target", `{"version":1,"schema":"x","tables":{"A":{"columns":[{"name":"c","path":"c","type":"text"}]}}}`, false},
		{"long target", `{"version":1,"schema":"x","tables":{"A":{"target":"` + long + `","columns":[{"name":"c","path":"c","type":"text"}]}}}`, false},
		{"no columns", `{"version":1,"schema":"x","tables":{"A":{"target":"a"}}}`, false},
		{"empty columns", column(``), false},
		{"column is text", column(`"c"`), false},
		{"column without name", column(`{"path":"c","type":"text"}`), false},
		{"column without path", column(`{"name":"c","type":"text"}`), false},
		{"column without type", column(`{"name":"c","path":"c"}`), false},
		{"unknown column member", column(`{"name":"c","path":"c","type":"text","nullable":true}`), false},
		{"NUL in a name", column(`{"name":"c\u0000","path":"c","type":"text"}`), false},
		{"notNull", column(`{"name":"c","path":"c","type":"text","notNull":true,"dropAnnotations":false}`), true},
		{"notNull is text", column(`{"name":"c","path":"c","type":"text","notNull":"yes"}`), false},
		{"varchar(10)", typed("varchar(10)"), true},
		{"varchar(0)", typed("varchar(0)"), false},
		{"varchar(010)", typed("varchar(010)"), false},
		{"varchar", typed("varchar"), false},
		{"numeric(10,2)", typed("numeric(10,2)"), true},
		{"numeric(10, 2)", typed("numeric(10, 2)"), false},
		{"numeric(10)", typed("numeric(10)"), false},
		{"numeric(1001,2)", typed("numeric(1001,2)"), false},
		{"numeric(0,0)", typed("numeric(0,0)"), false},
		{"double precision", typed("double precision"), true},
		{"upper case type", typed("TEXT"), false},
		{"char(1)", typed("char(1)"), false},
		{"json", typed("json"), false},
		{"array without list", typed("text[]"), false},
		{"two dimensions", column(`{"name":"c","path":"c","type":"text[][]","list":"array"}`), false},
		{"array", column(`{"name":"c","path":"c","type":"text[]","list":"array"}`), true},
		{"numeric array", column(`{"name":"c","path":"c","type":"numeric(5,2)[]","list":"array"}`), true},
		{"list array of no array", column(`{"name":"c","path":"c","type":"text","list":"array"}`), false},
		{"list json", column(`{"name":"c","path":"c[*].d","type":"jsonb","list":"json"}`), true},
		{"list json as text", column(`{"name":"c","path":"c[*].d","type":"text","list":"json"}`), false},
		{"join", column(`{"name":"c","path":"c","type":"text","list":"join","separator":",","empty":"null"}`), true},
		{"join varchar", column(`{"name":"c","path":"c","type":"varchar(9)","list":"join","separator":", ","empty":"text"}`), true},
		{"join without separator", column(`{"name":"c","path":"c","type":"text","list":"join"}`), false},
		{"join with empty separator", column(`{"name":"c","path":"c","type":"text","list":"join","separator":""}`), false},
		{"join as integer", column(`{"name":"c","path":"c","type":"integer","list":"join","separator":","}`), false},
		{"join as array", column(`{"name":"c","path":"c","type":"text[]","list":"join","separator":","}`), false},
		{"empty elsewhere", column(`{"name":"c","path":"c","type":"text","empty":"null"}`), false},
		{"empty is unknown", column(`{"name":"c","path":"c","type":"text","list":"join","separator":",","empty":"zero"}`), false},
		{"separator elsewhere", column(`{"name":"c","path":"c","type":"text","separator":","}`), false},
		{"unknown list", column(`{"name":"c","path":"c","type":"text","list":"first"}`), false},
		{"base64", column(`{"name":"c","path":"c","type":"bytea","encoding":"base64"}`), true},
		{"base64 array", column(`{"name":"c","path":"c","type":"bytea[]","list":"array","encoding":"base64"}`), true},
		{"base64 text", column(`{"name":"c","path":"c","type":"text","encoding":"base64"}`), false},
		{"hex", column(`{"name":"c","path":"c","type":"bytea","encoding":"hex"}`), false},
		{"dotted path", path(`"a.b.c"`), true},
		{"odd names", path(`"\"a b\".\"c \"\"d\"\"\".é-_9"`), true},
		{"empty quoted name", path(`"\"\""`), true},
		{"quoted brackets", path(`"\"a[*]\".b"`), true},
		{"empty path", path(`""`), false},
		{"trailing dot", path(`"a."`), false},
		{"leading dot", path(`".a"`), false},
		{"two dots", path(`"a..b"`), false},
		{"blank", path(`"a b"`), false},
		{"open quote", path(`"\"a"`), false},
		{"index", path(`"a[0]"`), false},
		{"star without list", path(`"a[*]"`), false},
		{"quoted star without list", path(`"\"a b\"[*].c"`), false},
		{"star first", path(`"[*]"`), false},
		{"several paths", path(`["a","b.c"]`), true},
		{"no paths", path(`[]`), false},
		{"repeated path", path(`["a","a"]`), false},
		{"path is a number", path(`7`), false},
		{"paths with a number", path(`["a",7]`), false},
		{"$doc", path(`"$doc"`), true},
		{"$doc in a list", path(`["$doc"]`), true},
		{"$doc as text", column(`{"name":"c","path":"$doc","type":"text"}`), false},
		{"$docId", column(`{"name":"c","path":"$docId","type":"text"}`), true},
		{"$docId of several", column(`{"name":"c","path":["$docId","a"],"type":"text"}`), false},
		{"$docId as list", column(`{"name":"c","path":"$docId","type":"text","list":"join","separator":","}`), false},
		{"$sequenceNo", column(`{"name":"c","path":"$sequenceNo","type":"bigint"}`), true},
		{"an unknown special path", column(`{"name":"c","path":"$sequencexo","type":"bigint"}`), false},
		{"unknown special path", column(`{"name":"c","path":"$id","type":"text"}`), false},
		{"special path goes on", column(`{"name":"c","path":"$doc.a","type":"jsonb"}`), false},
		{"index", index(`[{"columns":["c"],"unique":true},{"columns":["c","doc_id"]}]`), true},
		{"index of nothing", index(`[{"columns":[]}]`), false},
		{"index without columns", index(`[{"unique":true}]`), false},
		{"index of a repeated column", index(`[{"columns":["c","c"]}]`), false},
		{"index with a name", index(`[{"columns":["c"],"name":"i"}]`), false},
		{"indexes is an object", index(`{}`), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := mapping.Parse([]byte(c.file))
			if (err == nil) != c.ok {
				t.Errorf("Parse: %v, want ok %v", err, c.ok)
			}
			doc, err := jsonschema.UnmarshalJSON(strings.NewReader(c.file))
			if err != nil {
				t.Fatalf("the case is not JSON: %v", err)
			}
			if err := schema.Validate(doc); (err == nil) != c.ok {
				t.Errorf("schema: %v, want ok %v", err, c.ok)
			}
		})
	}
}

func TestShippedMappingHasTheSamplesTables(t *testing.T) {
	f, err := mapping.Parse(mapping.DMV())
	if err != nil {
		t.Fatal(err)
	}
	m, err := mapping.Compile(f, &change.Fields{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Schema != "dmv" {
		t.Errorf("schema %q", m.Schema)
	}
	want := map[string][]string{
		"Person":              {"person_id varchar(25)", "first_name varchar(100)", "last_name varchar(100)", "dob date", "gov_id varchar(50)", "gov_id_type varchar(50)", "address varchar(100)"},
		"Vehicle":             {"vin varchar(50)", "type varchar(25)", "year integer", "make varchar(50)", "model varchar(50)", "color varchar(25)"},
		"VehicleRegistration": {"vin varchar(50)", "license_plate_num varchar(25)", "state varchar(10)", "city varchar(25)", "pending_penalty_amt numeric", "valid_from_dt date", "valid_to_dt date", "primary_owner varchar(25)", "secondary_owners varchar(200)"},
		"DriversLicense":      {"person_id varchar(25)", "license_plate_num varchar(25)", "license_type varchar(25)", "valid_from_dt date", "valid_to_dt date"},
	}
	if got := m.Sources(); !slices.Equal(got, []string{"Person", "Vehicle", "VehicleRegistration", "DriversLicense"}) {
		t.Errorf("sources %v", got)
	}
	for source, columns := range want {
		p, err := m.Plan(source)
		if err != nil {
			t.Fatal(err)
		}
		if want := mapping.SnakeCase(source); p.Current.Name != want || p.History.Name != want+"_audit_log" {
			t.Errorf("%s: tables %s and %s", source, p.Current.Name, p.History.Name)
		}
		current := append(append([]string{"doc_id text", "version bigint"}, columns...), "ql_audit jsonb")
		history := append(slices.Clone(current), "operation varchar(1)", "transaction_id text")
		for _, c := range []struct {
			table change.Table
			want  []string
		}{{p.Current, current}, {p.History, history}} {
			var got []string
			for _, col := range c.table.Columns {
				got = append(got, col.Name+" "+mapping.TypeName(col.Type))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("table %s has columns\n%v, want\n%v", c.table.Name, got, c.want)
			}
		}
		if !slices.Equal(p.Current.Key, []string{"doc_id"}) || !slices.Equal(p.History.Key, []string{"doc_id", "version"}) {
			t.Errorf("%s: keys %v and %v", source, p.Current.Key, p.History.Key)
		}
	}
}

// TestUniqueHoldsForCurrentOnly: what is unique among live documents repeats
// among their revisions; not-null does not hold for a deletion.
func TestUniqueHoldsForCurrentOnly(t *testing.T) {
	f, err := mapping.Parse([]byte(`{"version":1,"schema":"x","tables":{"A":{"target":"a","columns":[{"name":"c","path":"c","type":"text","notNull":true}],"indexes":[{"columns":["c"],"unique":true}]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := mapping.Compile(f, &change.Fields{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Plan("A")
	if err != nil {
		t.Fatal(err)
	}
	if !p.Current.Indexes[0].Unique || p.History.Indexes[0].Unique {
		t.Errorf("unique: current %v, history %v", p.Current.Indexes[0].Unique, p.History.Indexes[0].Unique)
	}
	if !p.Current.Columns[2].NotNull || p.History.Columns[2].NotNull {
		t.Errorf("not null: current %v, history %v", p.Current.Columns[2].NotNull, p.History.Columns[2].NotNull)
	}
}

// TestNamesThatClashAreRefusedBeforeAnyRow plants each clash that only the
// ledger's own table names bring about.
func TestNamesThatClashAreRefusedBeforeAnyRow(t *testing.T) {
	const rules = `{"version":1,"schema":"x","tables":{"Person":{"target":"people","columns":[{"name":"c","path":"c","type":"text"}]},"Gone":{"skip":true}}}`
	for _, c := range []struct {
		name   string
		tables []string
		says   string // "" is no error
	}{
		{"all well", []string{"Person", "Gone", "VehicleRegistration", "Other"}, ""},
		{"a table twice", []string{"Other", "Other"}, ""},
		{"two that become one", []string{"VehicleType", "Vehicle_Type"}, `have the same target table "vehicle_type"`},
		{"one that is mapped", []string{"People"}, `have the same target table "people"`},
		{"the loads' own", []string{"TableCounts"}, "cannot be table_counts, which every load makes itself"},
		{"a history", []string{"PeopleAuditLog"}, `clashes with that of "Person"`},
		{"its history is a table", []string{"Order_audit_log", "Order"}, `clashes with that of`},
		{"too long", []string{strings.Repeat("Abcdefghi", 6)}, `choose a shorter target`},
		{"no letter", []string{"___"}, `no letter or digit`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // in both orders
				f, err := mapping.Parse([]byte(rules))
				if err != nil {
					t.Fatal(err)
				}
				m, err := mapping.Compile(f, &change.Fields{})
				if err != nil {
					t.Fatal(err)
				}
				err = m.Check(c.tables)
				if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("Check(%v): %v, want %q", c.tables, err, c.says)
				}
				slices.Reverse(c.tables)
			}
		})
	}
}

func TestSkippedTableHasNoPlan(t *testing.T) {
	f, err := mapping.Parse([]byte(`{"version":1,"schema":"x","tables":{"A":{"skip":true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := mapping.Compile(f, &change.Fields{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Plan("A")
	if err != nil || !p.Skip {
		t.Fatalf("plan %+v, error %v", p, err)
	}
	if _, err := p.Map(record("A", 0, nil)); err == nil {
		t.Error("a skipped table's record was mapped")
	}
}

func TestSnakeCase(t *testing.T) {
	for in, want := range map[string]string{
		"Person": "person", "VehicleRegistration": "vehicle_registration", "HTTPLog2": "http_log2",
		"already_snake": "already_snake", "Mixed_Case": "mixed_case", "a-b c": "a_b_c", "ABC": "abc",
		"__x__": "x", "Straße": "straße", "v2Table": "v2_table",
	} {
		if got := mapping.SnakeCase(in); got != want {
			t.Errorf("SnakeCase(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzParse: no mapping file makes Parse or Compile panic, and what they accept
// makes plans.
func FuzzParse(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(mapping.DMV())
	f.Add([]byte(`{"version":1,"schema":"x","tables":{"A":{"target":"a","columns":[{"name":"c","path":["\"a b\"[*].c","d"],"type":"text[]","list":"array"}]}}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		file, err := mapping.Parse(src)
		var all mapping.FileErrors
		if err != nil {
			if !errors.As(err, &all) {
				t.Fatalf("error is %T", err)
			}
			return
		}
		m, err := mapping.Compile(file, &change.Fields{})
		if err != nil {
			return
		}
		for _, name := range m.Sources() {
			if p, err := m.Plan(name); err != nil || p.Skip {
				t.Fatalf("table %q: %v", name, err)
			}
		}
	})
}

// TestWrongTypeIsToldTheRightOne: who writes a name of PostgreSQL's that the file
// does not have learns which to write.
func TestWrongTypeIsToldTheRightOne(t *testing.T) {
	for name, want := range map[string]string{
		"int": "write integer", "int4": "write integer", "serial": "write integer", "int2": "write smallint", "int8": "write bigint",
		"decimal": "write numeric", "decimal(5,2)": "write numeric", "float8": "write double precision", "float4": "write real", "bool": "write boolean",
		"varchar": "write text or varchar(n)", "char(3)": "write varchar(n)", "json": "write jsonb", "timestamp with time zone": "write timestamptz",
		"datetime": "write timestamp", "varchar(0)": "n from 1 to 10485760", "varchar(10485761)": "n from 1 to 10485760",
		"numeric(3,4)": "s from 0 to p", "money": "choose smallint", "varchar(x)": "choose smallint", "": "choose smallint", "int[]": "write integer",
	} {
		if _, err := mapping.ParseType(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseType(%q): %v, want %q in it", name, err, want)
		}
	}
}

// TestEveryTypeIsSpelledAsItIsRead.
func TestEveryTypeIsSpelledAsItIsRead(t *testing.T) {
	for _, name := range allTypes {
		for _, name := range []string{name, name + "[]"} {
			typ, err := mapping.ParseType(name)
			if err != nil || mapping.TypeName(typ) != name {
				t.Errorf("%s is spelled %s, error %v", name, mapping.TypeName(typ), err)
			}
		}
	}
}

// TestFileThatIsNoMappingSaysWhere covers what the schema cannot see.
func TestFileThatIsNoMappingSaysWhere(t *testing.T) {
	for name, c := range map[string]struct {
		file         string
		line, column int
		why          string
	}{
		"empty":              {"", 1, 1, "not JSON"},
		"cut off":            {"{\n \"version\": 1", 2, 13, "not JSON"},
		"not UTF-8":          {"{\n\"\xff\": 1}", 2, 2, "not UTF-8"},
		"two values":         {"{}\n{}", 2, 1, "not JSON"},
		"repeated member":    {"{\"version\":1,\n\"version\":1}", 2, 1, `"version" is repeated`},
		"deep":               {strings.Repeat("[", 40) + strings.Repeat("]", 40), 1, 33, "nested deeper than 32"},
		"too large":          {strings.Repeat(" ", 5<<20), 1, 1, "more than 4194304"},
		"reserved schema":    {`{"version":1,"schema":"Information_Schema"}`, 1, 23, "belongs to PostgreSQL"},
		"bookkeeping schema": {`{"version":1,"schema":"godwit"}`, 1, 23, "bookkeeping"},
		"schema too long":    {`{"version":1,"schema":"` + strings.Repeat("é", 32) + `"}`, 1, 23, "64 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := mapping.Parse([]byte(c.file))
			if err == nil {
				_, err = mapping.Compile(f, &change.Fields{})
			}
			var first *mapping.FileError
			if !errors.As(err, &first) || first.Line != c.line || first.Column != c.column || !strings.Contains(first.Why, c.why) {
				t.Errorf("%v, want line %d column %d: %s", err, c.line, c.column, c.why)
			}
		})
	}
}
