package asl_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"godwit/internal/local/asl"
	"godwit/internal/local/lambda"
)

const fn = `"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:f"`

func TestDataLimit(t *testing.T) {
	big := func(n int) func(context.Context, json.RawMessage) (any, error) {
		return func(context.Context, json.RawMessage) (any, error) { return strings.Repeat("x", n), nil }
	}
	const limit = 256 << 10
	for _, c := range []struct {
		name, states string
		result       int
		want         string
	}{
		{"a result at the limit", `"A":{` + fn + `,"Output":1,"End":true}`, limit - 2, `1`},
		{"a result over it", `"A":{` + fn + `,"Output":1,"End":true}`, limit - 1, `FAILED States.DataLimitExceeded`},
		{"States.ALL does not take it", `"A":{` + fn + `,"Retry":[{"ErrorEquals":["States.ALL"]}],"Catch":[{"ErrorEquals":["States.ALL"],"Next":"C"}],"End":true},"C":{"Type":"Succeed"}`, limit, `FAILED States.DataLimitExceeded`},
		{"nor States.TaskFailed", `"A":{` + fn + `,"Catch":[{"ErrorEquals":["States.TaskFailed"],"Next":"C"}],"End":true},"C":{"Type":"Succeed"}`, limit, `FAILED States.DataLimitExceeded`},
		{"its name does", `"A":{` + fn + `,"Catch":[{"ErrorEquals":["States.DataLimitExceeded"],"Output":2,"Next":"C"}],"End":true},"C":{"Type":"Succeed"}`, limit, `2`},
		{"an output over it", `"A":{` + fn + `,"Output":"{% $states.result & $states.result %}","End":true}`, limit/2 + 1, `FAILED States.DataLimitExceeded`},
		{"arguments over it", `"A":{"Type":"Pass","Assign":{"v":"{% $join($map([1..1000], function($x){ $pad('', 200, 'x') })) %}"},"Next":"B"},"B":{` + fn + `,"Arguments":"{% $v & $v %}","End":true}`, 1, `FAILED States.DataLimitExceeded`},
		{"characters count in UTF-8", `"A":{"Type":"Pass","Output":"{% $join($map([1..1000], function($x){ $pad('', 140, 'é') })) %}","End":true}`, 0, `FAILED States.DataLimitExceeded`},
		{"a variable over it", `"A":{` + fn + `,"Assign":{"v":"{% $states.result & $states.result %}"},"Output":1,"End":true}`, limit / 2, `FAILED States.DataLimitExceeded`},
		{"an assignment over it", `"A":{` + fn + `,"Assign":{"v":"{% $states.result %}","w":"{% $states.result %}"},"Output":1,"End":true}`, limit / 2, `FAILED States.DataLimitExceeded`},
		{"all variables over 10 MiB", `"A":{` + fn + `,"Assign":{"n":0},"Output":"{% $states.result %}","Next":"B"},` + assigns(45), limit - 100, `FAILED States.DataLimitExceeded: The variables have`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.functions["f"] = big(c.result)
			got := outcome(w.run(c.states, `{}`))
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("got %.200s, want %s", got, c.want)
			}
		})
	}
}

// assigns makes n states that keep their input in a variable each, from B on.
func assigns(n int) string {
	var list []string
	name := "B"
	for i := range n {
		next := `"Next":"B` + strings.Repeat("x", i+1) + `"`
		if i == n-1 {
			next = `"End":true`
		}
		list = append(list, `"`+name+`":{"Type":"Pass","Assign":{"v`+strings.Repeat("x", i)+`":"{% $states.input %}"},`+next+`}`)
		name = "B" + strings.Repeat("x", i+1)
	}
	return strings.Join(list, ",")
}

func TestHistoryLimit(t *testing.T) {
	w := newWorld(t)
	x := w.start(`"A":{"Type":"Pass","Assign":{"n":"{% $states.input %}"},"Next":"B"},
		"B":{"Type":"Choice","Choices":[{"Condition":"{% $n > 1000000 %}","Next":"C"}],"Default":"A","Output":"{% $n + 1 %}"},"C":{"Type":"Succeed"}`, `0`)
	r := w.wait(x)
	if got := outcome(r); got != "FAILED States.Runtime: The execution reached the maximum number of history events (25000)." {
		t.Errorf("got %s", got)
	}
	h := x.History()
	if len(h) != asl.MaxEvents || h[len(h)-1].Type != "ExecutionFailed" {
		t.Errorf("%d events, the last is %s", len(h), h[len(h)-1].Type)
	}
	if err := x.Redrive(t.Context()); err == nil || !strings.Contains(err.Error(), "history event limit") {
		t.Errorf("redrive: %v", err)
	}
}

func TestChildHistoriesAreTheirOwn(t *testing.T) {
	w := newWorld(t)
	x := w.start(`"A":{"Type":"Map","MaxConcurrency":4,"Items":"{% [1..3000] %}","ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"I","States":{
		"I":{"Type":"Pass","Next":"J"},"J":{"Type":"Pass","Next":"K"},"K":{"Type":"Pass","Output":1,"End":true}}},"Output":"{% $count($states.result) %}","End":true}`, `{}`)
	if got := outcome(w.wait(x)); got != `3000` {
		t.Errorf("got %s", got)
	}
	if n := len(x.History()); n != 8 {
		t.Errorf("the parent has %d events: %s", n, types(x))
	}
	w = newWorld(t)
	inline := w.run(`"A":{"Type":"Map","Items":"{% [1..3200] %}","ItemProcessor":{"StartAt":"I","States":{
		"I":{"Type":"Pass","Next":"J"},"J":{"Type":"Pass","Next":"K"},"K":{"Type":"Pass","Output":1,"End":true}}},"Output":1,"End":true}`, `{}`)
	if got := outcome(inline); !strings.Contains(got, "maximum number of history events") {
		t.Errorf("an inline Map's events count for its parent, got %s", got)
	}
}

func TestRedriveResumesWhereItFailed(t *testing.T) {
	w := newWorld(t)
	w.functions["once"] = echo
	w.functions["f"] = failing("E")
	task := func(name, next string) string {
		return `{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:` + name + `","Arguments":1,` + next + `}`
	}
	x := w.start(`"A":{"Type":"Pass","Assign":{"v":7},"Next":"B"},"B":`+task("once", `"Next":"P"`)+`,
		"P":{"Type":"Parallel","Branches":[
			{"StartAt":"L","States":{"L":`+task("once", `"Next":"LL"`)+`,"LL":`+task("f", `"Retry":[{"ErrorEquals":["X"]}],"End":true`)+`}},
			{"StartAt":"M","States":{"M":{"Type":"Map","Items":[1,2,3],"ItemProcessor":{"StartAt":"I","States":{"I":`+task("once", `"End":true`)+`}},"End":true}}}],
			"Output":"{% {'r': $states.result, 'v': $v} %}","End":true}`, `{}`)
	if got := outcome(w.wait(x)); !strings.HasPrefix(got, "FAILED E") {
		t.Fatalf("got %s", got)
	}
	// The other branch may have been ended before its iterations ran.
	if err := x.Redrive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := outcome(w.wait(x)); got != `{"r":[2,[1,1,1]],"v":7}` {
		t.Errorf("got %s", got)
	}
	if n := w.called("once"); n != 5 {
		t.Errorf("%d calls of what succeeds at once, want 5: what succeeded is not repeated", n)
	}
	if n := w.called("f"); n != 2 {
		t.Errorf("the failed state ran %d times, want 2", n)
	}
	h := types(x)
	if after := h[strings.Index(h, "ExecutionRedriven"):]; strings.Contains(after, "PassStateEntered") || strings.Count(after, "ParallelStateEntered") != 1 {
		t.Errorf("after the redrive: %s", after)
	}
	if err := x.Redrive(t.Context()); err == nil || !strings.Contains(err.Error(), "SUCCEEDED") {
		t.Errorf("redrive of a success: %v", err)
	}
}

func TestRedriveRefusals(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = failing("E", "E", "E")
	x := w.start(`"A":{`+fn+`,"End":true}`, `{}`)
	w.wait(x)
	w.clock.Advance(14*24*time.Hour + time.Hour)
	if err := x.Redrive(t.Context()); err == nil || !strings.Contains(err.Error(), "14 days") {
		t.Errorf("after 14 days: %v", err)
	}
	block := make(chan struct{})
	w.functions["g"] = func(context.Context, json.RawMessage) (any, error) { <-block; return 1, nil }
	y := w.start(`"A":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:g","End":true}`, `{}`)
	if err := y.Redrive(t.Context()); err == nil || !strings.Contains(err.Error(), "RUNNING") {
		t.Errorf("while it runs: %v", err)
	}
	close(block)
	w.wait(y)
}

func TestRedriveResetsRetries(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = failing("E", "E", "E", "E", "E")
	x := w.start(`"A":{`+fn+`,"Retry":[{"ErrorEquals":["E"],"MaxAttempts":2}],"End":true}`, `{}`)
	if got := outcome(w.wait(x)); !strings.HasPrefix(got, "FAILED E") || w.called("f") != 3 {
		t.Fatalf("got %s after %d calls", got, w.called("f"))
	}
	if err := x.Redrive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := outcome(w.wait(x)); got != `6` {
		t.Errorf("got %s", got)
	}
}

func TestDistributedChildrenSeeNoOuterVariables(t *testing.T) {
	w := newWorld(t)
	_, err := asl.Parse([]byte(`{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Pass","Assign":{"v":1},"Next":"M"},
		"M":{"Type":"Map","MaxConcurrency":1,"Items":[1],"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"I","States":{
		"I":{"Type":"Pass","Output":"{% $v %}","End":true}}},"End":true}}}`), w.engine.Resources)
	if err == nil || !strings.Contains(err.Error(), "reads $v, which no state in its scope assigns") {
		t.Errorf("got %v", err)
	}
}

func TestUnknownErrorsBecomeTaskFailed(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = func(context.Context, json.RawMessage) (any, error) { return nil, errPlain }
	if got := outcome(w.run(`"A":{`+fn+`,"End":true}`, `{}`)); got != "FAILED States.TaskFailed: no lambda error" {
		t.Errorf("got %s", got)
	}
	w.functions["f"] = func(context.Context, json.RawMessage) (any, error) {
		return nil, &lambda.Error{Type: "Runtime.ExitError", Message: "gone"}
	}
	if got := outcome(w.run(`"A":{`+fn+`,"End":true}`, `{}`)); !strings.HasPrefix(got, "FAILED Runtime.ExitError") {
		t.Errorf("got %s", got)
	}
}
