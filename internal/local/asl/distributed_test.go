package asl_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/local/asl"
	"godwit/internal/local/lambda"
)

// distributed is a Distributed Map over what fields say, whose children call f.
func distributed(fields string) string {
	return `"A":{"Type":"Map","Label":"L","MaxConcurrency":3,"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},
		"StartAt":"W","States":{"W":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:f","End":true}}},` + fields + `,"End":true}`
}

func echo(_ context.Context, in json.RawMessage) (any, error) { return in, nil }

func TestItemSources(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte("{\"z\":1}\n"))
	_ = z.Close()
	for _, c := range []struct{ name, reader, want string }{
		{"json lines", `"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"JSONL"},"Arguments":{"Bucket":"b","Key":"{% $states.input.key %}"}}`, `[{"a":1},{"a":2},{"a":3}]`},
		{"a bound", `"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"JSONL","MaxItems":2},"Arguments":{"Bucket":"b","Key":"items.jsonl"}}`, `[{"a":1},{"a":2}]`},
		{"gzip", `"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"JSONL"},"Arguments":{"Bucket":"b","Key":"z.jsonl.gz"}}`, `[{"z":1}]`},
		{"a json list", `"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"JSON"},"Arguments":{"Bucket":"b","Key":"list.json"}}`, `[1,"x",{"y":[]}]`},
		{"a pointer", `"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"JSON","ItemsPointer":"/in/a~1b"},"Arguments":{"Bucket":"b","Key":"deep.json"}}`, `[5,6]`},
		{"csv", `"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"CSV","CSVHeaderLocation":"FIRST_ROW"},"Arguments":{"Bucket":"b","Key":"rows.csv"}}`, `[{"id":"1","n":"a,b"},{"id":"2","n":""}]`},
		{"csv with given headers", `"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"CSV","CSVHeaderLocation":"GIVEN","CSVHeaders":["x"],"MaxItems":2},"Arguments":{"Bucket":"b","Key":"rows.csv"}}`, `[{"x":"id"},{"x":"1"}]`},
		{"a listing", `"ItemReader":{"Resource":"arn:aws:states:::s3:listObjectsV2","Arguments":{"Bucket":"b","Prefix":"z"}}`, `[{"Etag":"\"e\"","Key":"z.jsonl.gz","LastModified":1700000000,"Size":3,"StorageClass":"STANDARD"}]`},
		{"items", `"Items":"{% [1..3] %}"`, `[1,2,3]`},
		{"a selector", `"Items":[7,8],"ItemSelector":{"n":"{% $states.context.Map.Item.Index %}","v":"{% $states.context.Map.Item.Value %}","k":"{% $states.input.key %}"}`, `[{"n":0,"v":7,"k":"items.jsonl"},{"n":1,"v":8,"k":"items.jsonl"}]`},
		{"nothing", `"Items":[]`, `[]`},
		{"batches by number", `"Items":[1,2,3,4,5],"ItemBatcher":{"MaxItemsPerBatch":2,"BatchInput":{"k":"{% $states.input.key %}"}}`, `[{"BatchInput":{"k":"items.jsonl"},"Items":[1,2]},{"BatchInput":{"k":"items.jsonl"},"Items":[3,4]},{"BatchInput":{"k":"items.jsonl"},"Items":[5]}]`},
		{"batches by bytes", `"Items":["aaaa","bbbb","cccc"],"ItemBatcher":{"MaxInputBytesPerBatch":25}`, `[{"Items":["aaaa","bbbb"]},{"Items":["cccc"]}]`},
		{"a missing object", `"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"JSONL"},"Arguments":{"Bucket":"b","Key":"nope"}}`, `FAILED States.ItemReaderFailed: ItemReader of the Map state 'A': NoSuchKey: s3://b/nope`},
		{"a broken line", `"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"JSONL"},"Arguments":{"Bucket":"b","Key":"rows.csv"}}`, `FAILED States.ItemReaderFailed: ItemReader of the Map state 'A': read s3://b/rows.csv: line 1 is not JSON: invalid character 'i' looking for beginning of value`},
		{"too much tolerated text", `"Items":[1],"ToleratedFailurePercentage":"{% 'x' %}"`, `FAILED States.QueryEvaluationError: The field 'ToleratedFailurePercentage' of state 'A' must be a number from 0 to 100, is "x".`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.functions["f"] = echo
			w.objects["b/items.jsonl"] = []byte("{\"a\": 1}\n\n{\"a\":2}\n{\"a\":3}")
			w.objects["b/z.jsonl.gz"] = zipped.Bytes()
			w.objects["b/list.json"] = []byte(`[1, "x", {"y": []}]`)
			w.objects["b/deep.json"] = []byte(`{"skip":[1,{"in":2}],"in":{"x":1,"a/b":[5,6]},"after":0}`)
			w.objects["b/rows.csv"] = []byte("id,n\n1,\"a,b\",surplus\n2\n")
			if got := outcome(w.run(distributed(c.reader), `{"key":"items.jsonl"}`)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestBatchBytesAreTheChildsInput(t *testing.T) {
	w := newWorld(t)
	var longest int
	var mu sync.Mutex
	w.functions["f"] = func(_ context.Context, in json.RawMessage) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		longest = max(longest, len(in))
		return 1, nil
	}
	var items []string
	for i := range 1000 {
		items = append(items, fmt.Sprintf(`"%s"`, strings.Repeat("x", i%97)))
	}
	w.objects["b/i"] = []byte("[" + strings.Join(items, ",") + "]")
	r := w.run(distributed(`"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"JSON"},"Arguments":{"Bucket":"b","Key":"i"}},
		"ItemBatcher":{"MaxInputBytesPerBatch":1000,"BatchInput":{"a":1}}`), `{}`)
	if r.Status != asl.Succeeded || longest > 1000 || longest < 900 {
		t.Errorf("the longest child's input has %d bytes, want at most 1000 and nearly that (%s)", longest, outcome(r))
	}
}

func TestConcurrencyOfChildren(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	now, most := 0, 0
	w.functions["f"] = func(context.Context, json.RawMessage) (any, error) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(3 * time.Millisecond)
		mu.Lock()
		now--
		mu.Unlock()
		return 1, nil
	}
	w.run(distributed(`"Items":"{% [1..30] %}"`), `{}`)
	if most != 3 {
		t.Errorf("%d children ran at once, want 3", most)
	}
	w.run(strings.Replace(distributed(`"Items":[1]`), `"MaxConcurrency":3,`, ``, 1), `{}`)
	if len(w.warnings) != 1 || !strings.Contains(w.warnings[0], "MaxConcurrency") {
		t.Errorf("warnings %q", w.warnings)
	}
}

func TestChildrenAreAuthorisedAsTheMachinesRole(t *testing.T) {
	reader := `"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"JSON"},"Arguments":{"Bucket":"b","Key":"i"}},
		"ResultWriter":{"Resource":"arn:aws:states:::s3:putObject","Arguments":{"Bucket":"b","Prefix":"p"}}`
	w := newWorld(t)
	w.functions["f"] = echo
	w.objects["b/i"] = []byte("[1]")
	x := w.start(distributed(reader), `{}`)
	if r := w.wait(x); r.Status != asl.Succeeded {
		t.Fatal(outcome(r))
	}
	id := x.Runs()[0].ARN
	id = id[strings.LastIndexByte(id, ':')+1:]
	want := []string{
		"states:StartExecution " + machineARN,
		"states:DescribeExecution arn:aws:states:eu-west-1:000000000000:execution:M:x",
		"states:StopExecution arn:aws:states:eu-west-1:000000000000:execution:M:x",
		"s3:GetObject arn:aws:s3:::b/i",
		"lambda:InvokeFunction arn:aws:lambda:eu-west-1:000000000000:function:f",
		"s3:PutObject arn:aws:s3:::b/p/" + id + "/SUCCEEDED_0.json",
		"s3:PutObject arn:aws:s3:::b/p/" + id + "/manifest.json",
	}
	if !slices.Equal(w.judged, want) {
		t.Errorf("judged\n%s\nwant\n%s", strings.Join(w.judged, "\n"), strings.Join(want, "\n"))
	}
	for action, name := range map[string]string{
		"states:StartExecution": "States.Permissions", "s3:GetObject": "States.ItemReaderFailed", "s3:PutObject": "States.ResultWriterFailed",
	} {
		w := newWorld(t)
		w.functions["f"] = echo
		w.objects["b/i"] = []byte("[1]")
		w.denied[action] = true
		got := outcome(w.run(distributed(reader), `{}`))
		if !strings.Contains(got, name) || !strings.Contains(got, "not authorized to perform: "+action) {
			t.Errorf("without %s: %s", action, got)
		}
	}
}

// odd fails for odd items while broken is true.
func odd(broken *bool, ran *[]string) func(context.Context, json.RawMessage) (any, error) {
	var mu sync.Mutex
	return func(_ context.Context, in json.RawMessage) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		*ran = append(*ran, string(in))
		var n int
		_ = json.Unmarshal(in, &n)
		if *broken && n%2 == 1 {
			return nil, &lambda.Error{Type: "Odd", Message: string(in)}
		}
		return n, nil
	}
}

type manifest struct {
	DestinationBucket, MapRunArn string
	ResultFiles                  map[string][]struct {
		Key  string
		Size int
	}
}

func (w *world) results(t *testing.T, r asl.Result) (manifest, map[string][]map[string]any) {
	t.Helper()
	var out struct {
		MapRunArn           string
		ResultWriterDetails struct{ Bucket, Key string }
	}
	if err := json.Unmarshal(r.Output, &out); err != nil {
		t.Fatalf("%s: %v", outcome(r), err)
	}
	return w.files(t, out.ResultWriterDetails.Bucket+"/"+out.ResultWriterDetails.Key)
}

func (w *world) files(t *testing.T, path string) (manifest, map[string][]map[string]any) {
	t.Helper()
	var m manifest
	if err := json.Unmarshal(w.objects[path], &m); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	records := map[string][]map[string]any{}
	for kind, files := range m.ResultFiles {
		for _, f := range files {
			body := w.objects[m.DestinationBucket+"/"+f.Key]
			var list []map[string]any
			if err := json.Unmarshal(body, &list); err != nil || len(body) != f.Size {
				t.Fatalf("%s: %d bytes, said to be %d: %v", f.Key, len(body), f.Size, err)
			}
			records[kind] = append(records[kind], list...)
		}
	}
	return m, records
}

const writer = `"ResultWriter":{"Resource":"arn:aws:states:::s3:putObject","Arguments":{"Bucket":"b","Prefix":"p"}}`

func TestResultFiles(t *testing.T) {
	w := newWorld(t)
	broken, ran := true, []string{}
	w.functions["f"] = odd(&broken, &ran)
	x := w.start(distributed(`"Items":[1,2,4],"ToleratedFailureCount":1,`+writer), `{}`)
	r := w.wait(x)
	m, records := w.results(t, r)
	if m.MapRunArn != x.Runs()[0].ARN || !strings.HasPrefix(m.MapRunArn, "arn:aws:states:eu-west-1:000000000000:mapRun:M/L:") {
		t.Errorf("manifest %+v", m)
	}
	if len(records["SUCCEEDED"]) != 2 || len(records["FAILED"]) != 1 || len(records["PENDING"]) != 0 || m.ResultFiles["PENDING"] == nil {
		t.Fatalf("records %v", records)
	}
	ok, bad := records["SUCCEEDED"][0], records["FAILED"][0]
	for _, name := range []string{"ExecutionArn", "Input", "InputDetails", "Name", "Output", "OutputDetails", "RedriveCount", "RedriveStatus", "RedriveStatusReason", "StartDate", "StateMachineArn", "Status", "StopDate"} {
		if _, has := ok[name]; !has {
			t.Errorf("a success has no %s: %v", name, ok)
		}
	}
	if ok["Input"] != "2" || ok["Output"] != "2" || ok["Status"] != "SUCCEEDED" || ok["StateMachineArn"] != machineARN+"/L" {
		t.Errorf("success %v", ok)
	}
	if bad["Error"] != "Odd" || bad["Status"] != "FAILED" || bad["Input"] != "1" || bad["RedriveStatus"] != "REDRIVABLE_BY_MAP_RUN" {
		t.Errorf("failure %v", bad)
	}
}

func TestResultTransformations(t *testing.T) {
	for _, c := range []struct{ config, want string }{
		{`"Resource":"arn:aws:states:::s3:putObject","Arguments":{"Bucket":"b"},"WriterConfig":{"Transformation":"COMPACT","OutputType":"JSON"}`, `[[1,2],3]`},
		{`"Resource":"arn:aws:states:::s3:putObject","Arguments":{"Bucket":"b"},"WriterConfig":{"Transformation":"FLATTEN","OutputType":"JSONL"}`, "1\n2\n3\n"},
	} {
		w := newWorld(t)
		w.functions["f"] = echo
		r := w.run(distributed(`"Items":[[1,2],3],"ResultWriter":{`+c.config+`}`), `{}`)
		if r.Status != asl.Succeeded {
			t.Fatal(outcome(r))
		}
		found := false
		for key, body := range w.objects {
			found = found || strings.Contains(key, "SUCCEEDED_0") && string(body) == c.want
		}
		if !found {
			t.Errorf("%s: no file holds %q", c.config, c.want)
		}
	}
	w := newWorld(t)
	w.functions["f"] = echo
	if got := outcome(w.run(distributed(`"Items":[[1,2],3],"ResultWriter":{"WriterConfig":{"Transformation":"FLATTEN","OutputType":"JSON"}}`), `{}`)); got != `[1,2,3]` {
		t.Errorf("in the state's output: %s", got)
	}
}

func TestToleratedFailures(t *testing.T) {
	for _, c := range []struct {
		name, fields string
		ok           bool
	}{
		{"none by default", ``, false},
		{"count reached", `"ToleratedFailureCount":2,`, true},
		{"count exceeded", `"ToleratedFailureCount":1,`, false},
		{"percentage reached", `"ToleratedFailurePercentage":50,`, true},
		{"percentage exceeded", `"ToleratedFailurePercentage":49.9,`, false},
		{"either exceeded", `"ToleratedFailurePercentage":90,"ToleratedFailureCount":1,`, false},
		{"by expression", `"ToleratedFailureCount":"{% $states.input.n %}",`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			broken, ran := true, []string{}
			w.functions["f"] = odd(&broken, &ran)
			r := w.run(distributed(c.fields+`"Items":[1,2,3,4]`), `{"n":2}`)
			if got := outcome(r); c.ok && got != `[2,4]` || !c.ok && got != "FAILED States.ExceedToleratedFailureThreshold: The specified tolerated failure threshold was exceeded" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestPercentageCountsItemsOfBatches(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = func(_ context.Context, in json.RawMessage) (any, error) {
		if strings.Contains(string(in), "9") {
			return nil, &lambda.Error{Type: "E"}
		}
		return 1, nil
	}
	// One batch of two fails, that is 2 of 5 items.
	r := w.run(distributed(`"Items":[9,9,1,1,1],"ItemBatcher":{"MaxItemsPerBatch":2},"ToleratedFailurePercentage":39`), `{}`)
	if r.Status != asl.Failed {
		t.Errorf("got %s", outcome(r))
	}
}

func TestRedriveOfAMapRunRepeatsNoSuccess(t *testing.T) {
	w := newWorld(t)
	broken, ran := true, []string{}
	w.functions["f"] = odd(&broken, &ran)
	states := strings.Replace(distributed(`"Items":[2,4,1,6,8],`+writer), `"MaxConcurrency":3`, `"MaxConcurrency":1`, 1)
	x := w.start(states, `{}`)
	if r := w.wait(x); r.Status != asl.Failed || r.Error.Name != asl.ErrToleratedFailure {
		t.Fatal(outcome(r))
	}
	run := x.Runs()[0]
	id := run.ARN[strings.LastIndexByte(run.ARN, ':')+1:]
	_, records := w.files(t, "b/p/"+id+"/manifest.json")
	if len(records["SUCCEEDED"]) != 2 || len(records["FAILED"]) != 1 || len(records["PENDING"]) != 2 {
		t.Errorf("after the failure: %d succeeded, %d failed, %d pending", len(records["SUCCEEDED"]), len(records["FAILED"]), len(records["PENDING"]))
	}
	if got := run.Result(); got.Status != asl.Failed || got.Items != (asl.Counts{Succeeded: 2, Failed: 1, Pending: 2, Total: 5}) {
		t.Errorf("run %+v", got)
	}
	broken = false
	if err := x.Redrive(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := w.wait(x)
	_, records = w.results(t, r)
	if len(records["SUCCEEDED"]) != 5 || len(records["FAILED"]) != 0 || len(records["PENDING"]) != 0 {
		t.Errorf("after the redrive: %v", records)
	}
	if got := strings.Join(ran, " "); got != "2 4 1 1 6 8" {
		t.Errorf("ran %s, want 2 4 1, then 1 6 8", got)
	}
	if len(x.Runs()) != 1 || run.Result().RedriveCount != 1 || r.RedriveCount != 1 {
		t.Errorf("%d runs, the first redriven %d times", len(x.Runs()), run.Result().RedriveCount)
	}
	if !slices.Contains(w.judged, "states:RedriveExecution arn:aws:states:eu-west-1:000000000000:execution:M/L:x") {
		t.Errorf("the redrive was not judged: %v", w.judged)
	}
	if !strings.Contains(types(x), "ExecutionFailed ExecutionRedriven MapStateEntered MapRunRedriven MapRunSucceeded MapStateSucceeded MapStateExited ExecutionSucceeded") {
		t.Errorf("history %s", types(x))
	}
}

func TestRedrivenChildResumesAtItsFailedState(t *testing.T) {
	for _, c := range []struct {
		kind string
		want int
	}{{"STANDARD", 1}, {"EXPRESS", 2}} {
		w := newWorld(t)
		w.functions["first"] = echo
		w.functions["second"] = failing("E")
		x := w.start(`"A":{"Type":"Map","Label":"L","MaxConcurrency":1,"Items":[1],"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"`+c.kind+`"},"StartAt":"F","States":{
			"F":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:first","Assign":{"kept":"{% $states.result %}"},"Next":"S"},
			"S":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:second","Output":"{% $kept %}","End":true}}},"End":true}`, `{}`)
		w.wait(x)
		if err := x.Redrive(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := outcome(w.wait(x)); got != `[1]` {
			t.Errorf("%s: got %s", c.kind, got)
		}
		if got := w.called("first"); got != c.want {
			t.Errorf("%s: the first state ran %d times, want %d", c.kind, got, c.want)
		}
	}
}

func TestRetryOfAMapStartsANewRun(t *testing.T) {
	w := newWorld(t)
	n := 0
	w.functions["f"] = func(_ context.Context, in json.RawMessage) (any, error) {
		n++
		if string(in) == "2" && n < 3 {
			return nil, &lambda.Error{Type: "E"}
		}
		return in, nil
	}
	x := w.start(strings.Replace(distributed(`"Items":[1,2],"Retry":[{"ErrorEquals":["States.ExceedToleratedFailureThreshold"]}]`), `:3,`, `:1,`, 1), `{}`)
	if got := outcome(w.wait(x)); got != `[1,2]` {
		t.Fatalf("got %s", got)
	}
	if n != 4 || len(x.Runs()) != 2 {
		t.Errorf("%d calls in %d runs, want 4 in 2", n, len(x.Runs()))
	}
}

func TestStopReachesTheChildren(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = func(ctx context.Context, _ json.RawMessage) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	x := w.start(distributed(`"Items":[1,2,3,4]`), `{}`)
	for w.called("f") < 3 {
		time.Sleep(time.Millisecond)
	}
	if err := x.Stop(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := x.Runs()[0].Result(); got.Status != asl.Aborted || got.Executions != (asl.Counts{Aborted: 3, Pending: 1, Total: 4}) {
		t.Errorf("got %+v", got)
	}
	w.functions["f"] = echo
	if err := x.Redrive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := outcome(w.wait(x)); got != `[1,2,3,4]` {
		t.Errorf("after the redrive: %s", got)
	}
}

func TestProgressCountsItems(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = echo
	w.run(distributed(`"Items":"{% [1..10] %}","ItemBatcher":{"MaxItemsPerBatch":3}`), `{}`)
	var done []int
	var kinds []string
	for _, e := range w.events {
		if e.Run != nil {
			if e.Total != 10 {
				t.Errorf("total %d", e.Total)
			}
			if e.Kind == asl.MapItemsDone {
				done = append(done, e.Done)
			}
		}
		if e.Execution.Parent == nil {
			kinds = append(kinds, string(e.Kind))
		}
	}
	slices.Sort(done)
	if len(done) != 4 || done[3] != 10 {
		t.Errorf("done %v", done)
	}
	if got := strings.Join(kinds, " "); got != "ExecutionStarted StateEntered MapRunStarted MapRunEnded StateExited ExecutionEnded" {
		t.Errorf("events %s", got)
	}
}

func TestTimeLimitOfTheParentAbortsTheChildren(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = func(ctx context.Context, _ json.RawMessage) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	m := w.parse(`{"QueryLanguage":"JSONata","TimeoutSeconds":1,"StartAt":"A","States":{` + distributed(`"Items":[1]`) + `}}`)
	x, err := w.engine.Start(t.Context(), m, "x", json.RawMessage(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := outcome(w.wait(x)); got != "TIMED_OUT States.Timeout" {
		t.Errorf("got %s", got)
	}
	if got := x.Runs()[0].Result(); got.Executions.Aborted != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestNoRetryLeavesAFailureToTheRedrive(t *testing.T) {
	w := newWorld(t)
	w.engine.NoRetry = true
	w.functions["f"] = failing("E")
	x := w.start(distributed(`"Items":[1],"Retry":[{"ErrorEquals":["States.ALL"]}]`), `{}`)
	if r := w.wait(x); r.Status != asl.Failed {
		t.Fatal(outcome(r))
	}
	if err := x.Redrive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := outcome(w.wait(x)); got != `[2]` {
		t.Errorf("got %s", got)
	}
}

// Variables and the execution's input are shared by everything that runs side by
// side: no expression may change them.
func TestExpressionsDoNotChangeSharedValues(t *testing.T) {
	w := newWorld(t)
	got := outcome(w.run(`"A":{"Type":"Pass","Assign":{"l":[3,1,2],"o":{"a":{"b":1}}},"Next":"M"},
		"M":{"Type":"Map","Items":"{% [1..40] %}","ItemProcessor":{"StartAt":"I","States":{"I":{"Type":"Pass","Output":"{% { 's': $sort($l), 'r': $reverse($l), 'a': $append($l, 9), 'o': $o ~> |a|{'b': 2}|, 'm': $merge([$o, {'x': 1}]), 'e': $states.context.Execution.Input.l^(>$), 'h': $shuffle($l) } %}","End":true}}},
			"Output":"{% {'l': $l, 'o': $o, 'i': $states.context.Execution.Input, 'one': $states.result[0].s} %}","End":true}`, `{"l":[1,3,2]}`))
	if want := `{"l":[3,1,2],"o":{"a":{"b":1}},"i":{"l":[1,3,2]},"one":[1,2,3]}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func BenchmarkDistributedMap(b *testing.B) {
	w := newWorld(&testing.T{})
	w.functions["f"] = echo
	m, err := asl.Parse([]byte(`{"QueryLanguage":"JSONata","StartAt":"A","States":{`+strings.Replace(distributed(`"Items":"{% $states.input %}","ItemSelector":{"v":"{% $states.context.Map.Item.Value %}"}`), `"End":true}}},`, `"Assign":{"n":"{% $states.result.v %}"},"Next":"X"},
		"X":{"Type":"Choice","Choices":[{"Condition":"{% $n < 0 %}","Next":"W"}],"Default":"Y"},"Y":{"Type":"Succeed","Output":1}}},`, 1)+`}}`), w.engine.Resources)
	if err != nil {
		b.Fatal(err)
	}
	items := make([]int, 2000)
	in, _ := json.Marshal(items)
	for b.Loop() {
		x, err := w.engine.Start(b.Context(), &asl.StateMachine{ARN: machineARN, Name: "M", Role: roleARN, Machine: m}, "x", in)
		if err != nil {
			b.Fatal(err)
		}
		<-x.Done()
		if r := x.Result(); r.Status != asl.Succeeded {
			b.Fatal(outcome(r))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/2000, "µs/child")
}
