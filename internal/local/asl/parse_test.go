package asl_test

import (
	"strings"
	"testing"

	"godwit/internal/local/asl"
)

func TestStrictLoading(t *testing.T) {
	const ok = `"Z":{"Type":"Succeed"}`
	for _, c := range []struct{ name, states, want string }{
		{"an unknown field", `"A":{"Type":"Pass","Outputs":1,"Next":"Z"},` + ok, `States.A.Outputs: is not a field`},
		{"a JSONPath field", `"A":{"Type":"Pass","ResultPath":"$.x","Next":"Z"},` + ok, `States.A.ResultPath: is not a field`},
		{"an unknown type", `"A":{"Type":"Tusk","Next":"Z"},` + ok, `States.A.Type: "Tusk" is no type of state`},
		{"an unknown resource", `"A":{"Type":"Task","Resource":"arn:aws:states:::aws-sdk:qldb:exportJournalToS3","Next":"Z"},` + ok, `"arn:aws:states:::aws-sdk:qldb:exportJournalToS3" is not implemented here`},
		{"a task token", `"A":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.waitForTaskToken","Next":"Z"},` + ok, `lambda:invoke.waitForTaskToken" is not implemented here`},
		{"no resource", `"A":{"Type":"Task","Next":"Z"},` + ok, `"" is neither a function nor an integration`},
		{"a missing target", `"A":{"Type":"Pass","Next":"B"},` + ok, `leads to "B", which is no state of the same list`},
		{"an unreachable state", `"A":{"Type":"Succeed"},` + ok, `States.Z: cannot be reached`},
		{"neither Next nor End", `"A":{"Type":"Pass"},` + ok, `States.A.Next: a Pass state has either Next or`},
		{"a broken expression", `"A":{"Type":"Pass","Output":"{% $states.input. %}","Next":"Z"},` + ok, `States.A.Output: expression '$states.input.' does not compile`},
		{"half an expression", `"A":{"Type":"Pass","Output":"{% 1","Next":"Z"},` + ok, `begins an expression`},
		{"no such member of $states", `"A":{"Type":"Pass","Output":"{% $states.inputs %}","Next":"Z"},` + ok, `uses $states.inputs, which does not exist here`},
		{"a result where there is none", `"A":{"Type":"Pass","Output":"{% $states.result %}","Next":"Z"},` + ok, `uses $states.result, which does not exist here`},
		{"a result in Arguments", `"A":{` + fn + `,"Arguments":"{% $states.result %}","Next":"Z"},` + ok, `uses $states.result`},
		{"errorOutput outside Catch", `"A":{` + fn + `,"Output":"{% $states.errorOutput %}","Next":"Z"},` + ok, `uses $states.errorOutput`},
		{"$eval", `"A":{"Type":"Pass","Output":"{% $eval('1') %}","Next":"Z"},` + ok, `calls $eval, which Step Functions does not have`},
		{"an unknown function", `"A":{"Type":"Pass","Output":"{% $flatten([1]) %}","Next":"Z"},` + ok, `calls $flatten`},
		{"an unassigned variable", `"A":{"Type":"Pass","Output":"{% $nope %}","Next":"Z"},` + ok, `reads $nope, which no state in its scope assigns`},
		{"$$", `"A":{"Type":"Pass","Output":"{% $$.a %}","Next":"Z"},` + ok, `uses $$`},
		{"a reserved variable", `"A":{"Type":"Pass","Assign":{"states":1},"Next":"Z"},` + ok, `the name states is reserved`},
		{"a bad variable", `"A":{"Type":"Pass","Assign":{"1a":1},"Next":"Z"},` + ok, `"1a" is no variable name`},
		{"an outer variable assigned within", `"A":{"Type":"Parallel","Branches":[{"StartAt":"B","States":{"B":{"Type":"Pass","Assign":{"v":1},"End":true}}}],"Assign":{"v":2},"Next":"Z"},` + ok, `"v" is a variable of an outer scope`},
		{"a name twice in the machine", `"A":{"Type":"Parallel","Branches":[{"StartAt":"Z","States":{"Z":{"Type":"Pass","End":true}}}],"Next":"Z"},` + ok, `names are unique`},
		{"States.ALL not last", `"A":{` + fn + `,"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Z"},{"ErrorEquals":["E"],"Next":"Z"}],"Next":"Z"},` + ok, `States.ALL stands alone`},
		{"a misspelt error", `"A":{` + fn + `,"Retry":[{"ErrorEquals":["States.Timeuot"]}],"Next":"Z"},` + ok, `"States.Timeuot"`},
		{"an unknown retry field", `"A":{` + fn + `,"Retry":[{"ErrorEquals":["E"],"MaxAttempt":1}],"Next":"Z"},` + ok, `Retry[0].MaxAttempt: is not a field`},
		{"a choice in JSONPath", `"A":{"Type":"Choice","Choices":[{"Variable":"$.a","BooleanEquals":true,"Next":"Z"}]},` + ok, `Variable: is not a field`},
		{"wait of nothing", `"A":{"Type":"Wait","Next":"Z"},` + ok, `either Seconds or Timestamp`},
		{"a tolerance in an inline Map", `"A":{"Type":"Map","ToleratedFailureCount":1,"ItemProcessor":{"StartAt":"B","States":{"B":{"Type":"Pass","End":true}}},"Next":"Z"},` + ok, `ToleratedFailureCount: is not a field`},
		{"an unknown reader", distributed(`"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"PARQUET"},"Arguments":{"Bucket":"b","Key":"k"}}`), `"PARQUET" is none of JSON, JSONL, CSV`},
		{"a transformed listing", distributed(`"ItemReader":{"Resource":"arn:aws:states:::s3:listObjectsV2","ReaderConfig":{"Transformation":"LOAD_AND_FLATTEN"},"Arguments":{"Bucket":"b"}}`), `ReaderConfig.Transformation: is not a field`},
		{"a version of an object", distributed(`"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"JSON"},"Arguments":{"Bucket":"b","Key":"k","VersionId":"v"}}`), `Arguments.VersionId: is not known here`},
		{"batches without bound", distributed(`"Items":[],"ItemBatcher":{}`), `an ItemBatcher needs this`},
		{"a long label", strings.Replace(distributed(`"Items":[]`), `"Label":"L"`, `"Label":"`+strings.Repeat("l", 41)+`"`, 1), `has more than 40 characters`},
		{"JSONPath in a JSONata machine", `"A":{"QueryLanguage":"JSONPath","Type":"Pass","Next":"Z"},` + ok, `a state of a JSONata machine is JSONata`},
		{"a field twice", `"A":{"Type":"Pass","Next":"Z","Next":"Z"},` + ok, `names "Next" twice`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			_, err := asl.Parse([]byte(`{"QueryLanguage":"JSONata","StartAt":"A","States":{`+c.states+`}}`), w.engine.Resources)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %q", err, c.want)
			}
		})
	}
}

func TestEveryFaultIsNamedAtOnce(t *testing.T) {
	w := newWorld(t)
	_, err := asl.Parse([]byte(`{"QueryLanguage":"JSONata","StartAt":"A","Extra":1,"States":{"A":{"Type":"Pass","X":1,"Output":"{% $y %}","Next":"B"}}}`), w.engine.Resources)
	for _, want := range []string{"Extra", "States.A.X", "$y", `"B"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestNamesInExpressionsAreFoundOutsideText(t *testing.T) {
	for _, code := range []string{
		`'$nope' & "$nope"`,
		`/* $nope */ 1`,
		`$map([1], function($nope, $i){ $nope + $i })`,
		`($nope := 1; $nope)`,
		`[1]@$nope.{'a': $nope}`,
		`[1,2]#$i[$i=1]`,
		`$states.input.` + "`a$b`" + ` = 1 or true`,
		`($f := function($x){ $x }; $f(1))`,
		`$states . input ?? 0`,
	} {
		w := newWorld(t)
		text := strings.ReplaceAll(code, `"`, `\"`)
		if _, err := asl.Parse([]byte(`{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Pass","Output":"{% `+text+` %}","End":true}}}`), w.engine.Resources); err != nil {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"QueryLanguage":"JSONata","StartAt":"A","States":{` + distributed(`"Items":[1],`+writer) + `}}`))
	f.Add([]byte(`{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Pass","Output":{"a":["{% function($x){1}, 'q %}"]},"End":true}}}`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = asl.Parse(b, func(string) bool { return true }) // it must not panic
	})
}
