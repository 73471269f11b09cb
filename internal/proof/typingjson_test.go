package proof_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

const typesText = `{"format":"godwit.types","version":1,"tables":{"T":{"samples":9,"proven":8,"typings":[6,2],"effort":65536,"document":{` +
	`"members":{"a":{"values":{"instant":{"count":8,"rules":{"string":2,"timestamp":6},"as":["timestamp","string"]}}},` +
	`"l":{"values":{"list":{"count":1,"rules":{"list":1},"as":["list",""]}},"elements":{"values":{"integer":{"count":3,"rules":{"decimal.1":3},"as":["decimal.1",""]}}}}}}}}}`

func TestTypesAreTheSameAfterTheirFile(t *testing.T) {
	_, objects := generate(t, ledgergen.Options{Seed: 4, Documents: 400, Format: ledgergen.JSON})
	learned, err := json.Marshal(learn(t, objects))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{learned, []byte(typesText)} {
		var types proof.Types
		if err := json.Unmarshal(text, &types); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(&types)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, text) {
			t.Errorf("got %.400s\nwant %.400s", got, text)
		}
	}
	if n := len(learned); n > 100<<10 {
		t.Errorf("the file of six tables has %d bytes", n)
	}
	// Names, types and counts, no value.
	if bytes.Contains(learned, []byte("SSN")) || bytes.Contains(learned, []byte("2.5")) {
		t.Error("the file holds values")
	}
}

func TestTypesTellWhatWasLearned(t *testing.T) {
	var types proof.Types
	if err := json.Unmarshal([]byte(typesText), &types); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%+v", types.Tables()); got != "map[T:{Samples:9 Proven:8 Typings:[6 2]}]" {
		t.Errorf("got %s", got)
	}
}

func TestTypesRefuseWhatWasNotLearned(t *testing.T) {
	for _, c := range []struct{ old, with, want string }{
		{`"version":1`, `"version":2`, "version 2"},
		{`"version":1,`, ``, "version 0"},
		{`godwit.types`, `godwit.load`, "format"},
		{`"format"`, `"colour":1,"format"`, "unknown field"},
		{`"samples"`, `"colour":1,"samples"`, "unknown field"},
		{`"members"`, `"colour":1,"members"`, "unknown field"},
		{`"count":8`, `"colour":1,"count":8`, "unknown field"},
		{`"samples":9`, `"samples":7`, "8 of 7"},
		{`"samples":9`, `"samples":-9`, "-9"},
		{`[6,2]`, `[6,3]`, "by typings"},
		{`[6,2]`, `[1,1,1,1,1]`, "5 typings"},
		{`[6,2]`, `[6]`, "more rules than typings"},
		{`"effort":65536`, `"effort":1`, "effort"},
		{`"effort":65536`, `"effort":99999999999`, "effort"},
		{`"instant"`, `"noon"`, "not known"},
		{`"instant"`, `"struct"`, "not known"},
		{`"string":2`, `"int":2`, "not one of theirs"},
		{`"string":2`, `"string":9`, "reads 9 of 8"},
		{`"string":2`, `"string":-1`, "reads -1 of 8"},
		{`"count":8`, `"count":-8`, "count is wrong"},
		{`["timestamp","string"]`, `["timestamp","int"]`, "not one of theirs"},
		{`["timestamp","string"]`, `["timestamp","none"]`, "not one of theirs"},
		{`{"count":8,"rules":{"string":2,"timestamp":6},"as":["timestamp","string"]}`, `null`, "count is wrong"},
		{`"a":{`, `"b":null,"a":{`, "null"},
		{`"document":{`, `"colour":{`, "unknown field"},
		{`"T":{`, `"U":null,"T":{`, "no document"},
		{`"a":{`, `"` + strings.Repeat("n", 2<<20) + `":{},"a":{`, "longer"},
		{`{"format"`, `[{"format"`, "cannot unmarshal"},
	} {
		text := strings.Replace(typesText, c.old, c.with, 1)
		if text == typesText {
			t.Fatalf("nothing is %s", c.old)
		}
		if strings.HasPrefix(text, "[") {
			text += "]"
		}
		types := proof.Types{}
		err := types.UnmarshalJSON([]byte(text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: got %v, want an error with %q", c.with, err, c.want)
		}
		if len(types.Tables()) != 0 {
			t.Errorf("%.60s: refused, and read", c.with)
		}
	}
	for _, text := range []string{``, typesText + `{}`, typesText[:len(typesText)-1], `null`} {
		var types proof.Types
		if err := types.UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%.60q: no error", text)
		}
	}
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, `"n%d":{},`, i)
	}
	var types proof.Types
	if err := types.UnmarshalJSON([]byte(strings.Replace(typesText, `"a":{`, many.String()+`"a":{`, 1))); err == nil || !strings.Contains(err.Error(), "4096") {
		t.Errorf("5000 paths: got %v", err)
	}
}

func FuzzTypes(f *testing.F) {
	f.Add([]byte(typesText))
	f.Fuzz(func(t *testing.T, text []byte) {
		var types proof.Types
		if types.UnmarshalJSON(text) != nil {
			return
		}
		first, err := json.Marshal(&types)
		if err != nil {
			t.Fatal(err)
		}
		var again proof.Types
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		second, err := json.Marshal(&again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%s\n%s: %v", first, second, err)
		}
		(&proof.Typist{Types: &types}).DataHash("T", []byte(`{"a":"2021T","l":[9]}`), proof.Oracle{})
	})
}
