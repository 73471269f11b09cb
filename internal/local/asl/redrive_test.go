package asl_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"godwit/internal/local/asl"
	"godwit/internal/local/lambda"
)

func TestRedriveAfterResultsCouldNotBeWritten(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = echo
	w.denied["s3:PutObject"] = true
	x := w.start(distributed(`"Items":[1,2],`+writer), `{}`)
	if r := w.wait(x); r.Error == nil || r.Error.Name != asl.ErrResultWriterFailed {
		t.Fatal(outcome(r))
	}
	w.mu.Lock()
	w.denied["s3:PutObject"] = false
	w.mu.Unlock()
	if err := x.Redrive(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, records := w.results(t, w.wait(x))
	if len(records["SUCCEEDED"]) != 2 || w.called("f") != 2 {
		t.Errorf("%d results after %d calls, want 2 of 2", len(records["SUCCEEDED"]), w.called("f"))
	}
}

func TestRedriveReadsItemsThatWereMissing(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = echo
	x := w.start(distributed(`"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"JSONL"},"Arguments":{"Bucket":"b","Key":"k"}}`), `{}`)
	if r := w.wait(x); r.Error == nil || r.Error.Name != asl.ErrItemReaderFailed {
		t.Fatal(outcome(r))
	}
	if err := w.Put(t.Context(), "", "b", "k", []byte("7\n")); err != nil {
		t.Fatal(err)
	}
	if err := x.Redrive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := outcome(w.wait(x)); got != `[7]` {
		t.Errorf("got %s", got)
	}
}

// Two Map Runs side by side, as in a load that reads an archive twice: when one
// fails the other is aborted, and a redrive takes both up again.
func TestRedriveOfTwoMapRunsSideBySide(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	succeeded := map[string]int{}
	broken := true
	release := make(chan struct{})
	work := func(name string) func(context.Context, json.RawMessage) (any, error) {
		return func(ctx context.Context, in json.RawMessage) (any, error) {
			mu.Lock()
			bad := broken
			mu.Unlock()
			switch {
			case name == "left" && string(in) == "2" && bad:
				<-release
				return nil, &lambda.Error{Type: "E"}
			case name == "right" && string(in) == "3" && bad:
				close(release)
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
			mu.Lock()
			defer mu.Unlock()
			succeeded[name+string(in)]++
			return in, nil
		}
	}
	w.functions["left"], w.functions["right"] = work("left"), work("right")
	branch := func(name string) string {
		return `{"StartAt":"` + name + `","States":{"` + name + `":{"Type":"Map","Label":"` + name + `","MaxConcurrency":1,"Items":[1,2,3,4],
			"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"` + name + `Work","States":{
			"` + name + `Work":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:` + name + `","End":true}}},"End":true}}}`
	}
	x := w.start(`"A":{"Type":"Parallel","Branches":[`+branch("left")+`,`+branch("right")+`],"End":true}`, `{}`)
	if r := w.wait(x); r.Error == nil || r.Error.Name != asl.ErrToleratedFailure {
		t.Fatal(outcome(r))
	}
	states := map[string]asl.RunResult{}
	for _, r := range x.Runs() {
		states[r.Label] = r.Result()
	}
	if l, r := states["left"], states["right"]; l.Status != asl.Failed || l.Items != (asl.Counts{Succeeded: 1, Failed: 1, Pending: 2, Total: 4}) ||
		r.Status != asl.Aborted || r.Items != (asl.Counts{Succeeded: 2, Aborted: 1, Pending: 1, Total: 4}) {
		t.Errorf("left %+v\nright %+v", l, r)
	}
	mu.Lock()
	broken = false
	mu.Unlock()
	if err := x.Redrive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := outcome(w.wait(x)); got != `[[1,2,3,4],[1,2,3,4]]` {
		t.Errorf("got %s", got)
	}
	for _, name := range strings.Fields("left1 left2 left3 left4 right1 right2 right3 right4") {
		if succeeded[name] != 1 {
			t.Errorf("%s succeeded %d times", name, succeeded[name])
		}
	}
	if len(x.Runs()) != 2 {
		t.Errorf("%d Map Runs, want the two", len(x.Runs()))
	}
}
