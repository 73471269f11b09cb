package asl_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"godwit/internal/local/asl"
	"godwit/internal/local/lambda"
)

const invoke = `"Type":"Task","Resource":"arn:aws:states:::lambda:invoke"`

func TestStates(t *testing.T) {
	for _, c := range []struct{ name, states, input, want string }{
		{"pass gives its input", `"A":{"Type":"Pass","End":true}`, `{"a": 1}`, `{"a":1}`},
		{"pass gives its output", `"A":{"Type":"Pass","Output":{"b":"{% $states.input.a + 1 %}","c":[1,"{% 'x' %}",null,true]},"End":true}`, `{"a":1}`, `{"b":2,"c":[1,"x",null,true]}`},
		{"null stays null", `"A":{"Type":"Pass","Output":"{% $states.input.a %}","End":true}`, `{"a":null}`, `null`},
		{"an empty list stays", `"A":{"Type":"Pass","Output":"{% $states.input.a %}","End":true}`, `{"a":[]}`, `[]`},
		{"a list of one stays", `"A":{"Type":"Pass","Output":{"l":"{% $states.input.a %}"},"End":true}`, `{"a":[{"b":1}]}`, `{"l":[{"b":1}]}`},
		{"html is not escaped", `"A":{"Type":"Pass","Output":"{% $states.input.a & '<&>' %}","End":true}`, `{"a":"<"}`, `"<<&>"`},
		{"numbers are doubles", `"A":{"Type":"Pass","Output":"{% $states.input.a %}","End":true}`, `{"a":12345678901234567}`, `12345678901234568`},
		{"untouched numbers are kept", `"A":{"Type":"Pass","End":true}`, `12345678901234567`, `12345678901234567`},
		{"undefined is an error", `"A":{"Type":"Pass","Output":"{% $states.input.nope %}","End":true}`, `{}`, `FAILED States.QueryEvaluationError: The JSONata expression '$states.input.nope' specified for the field 'States.A.Output' returned nothing (undefined).`},
		{"variables", `"A":{"Type":"Pass","Assign":{"x":"{% $states.input %}","y":2},"Next":"B"},"B":{"Type":"Pass","Assign":{"x":"{% $x + $y %}"},"Output":"{% [$x, $y] %}","Next":"C"},"C":{"Type":"Pass","Output":"{% {'in': $states.input, 'x': $x} %}","End":true}`, `1`, `{"in":[1,2],"x":3}`},
		{"choice", `"A":{"Type":"Choice","Choices":[{"Condition":"{% $states.input > 1 %}","Next":"B"},{"Condition":"{% $states.input = 1 %}","Output":"one","Assign":{"v":1},"Next":"C"}],"Default":"D"},"B":{"Type":"Pass","Output":"more","End":true},"C":{"Type":"Pass","Output":"{% $states.input & $string($v) %}","End":true},"D":{"Type":"Fail","Error":"E","Cause":"{% 'got ' & $string($states.input) %}"}`, `1`, `"one1"`},
		{"choice default", `"A":{"Type":"Choice","Choices":[{"Condition":"{% $states.input > 1 %}","Next":"B"}],"Default":"D"},"B":{"Type":"Succeed"},"D":{"Type":"Fail","Error":"E","Cause":"{% 'got ' & $string($states.input) %}"}`, `0`, `FAILED E: got 0`},
		{"no choice", `"A":{"Type":"Choice","Choices":[{"Condition":"{% false %}","Next":"B"}]},"B":{"Type":"Succeed"}`, `0`, `FAILED States.NoChoiceMatched: No rule of the Choice state 'A' matched and it has no Default.`},
		{"a condition is a boolean", `"A":{"Type":"Choice","Choices":[{"Condition":"{% 1 %}","Next":"B"}]},"B":{"Type":"Succeed"}`, `0`, `FAILED States.QueryEvaluationError: The Condition of a rule of the Choice state 'A' must be a boolean, is 1.`},
		{"succeed", `"A":{"Type":"Succeed","Output":"{% $states.input.x %}"}`, `{"x":[1]}`, `[1]`},
		{"parallel", `"A":{"Type":"Parallel","Arguments":"{% $states.input.n %}","Branches":[{"StartAt":"L","States":{"L":{"Type":"Pass","Output":"{% $states.input + 1 %}","End":true}}},{"StartAt":"R","States":{"R":{"Type":"Pass","End":true}}}],"Output":"{% $sum($states.result) %}","End":true}`, `{"n":4}`, `9`},
		{"inline map", `"A":{"Type":"Map","Items":"{% $states.input.l %}","ItemSelector":{"i":"{% $states.context.Map.Item.Index %}","v":"{% $states.context.Map.Item.Value %}","k":"{% $states.input.k %}"},"ItemProcessor":{"StartAt":"E","States":{"E":{"Type":"Pass","Output":"{% $states.input.v * $states.input.k + $states.context.Map.Item.Index %}","End":true}}},"End":true}`, `{"l":[1,2,3],"k":10}`, `[10,21,32]`},
		{"inline map over an object", `"A":{"Type":"Map","ItemProcessor":{"StartAt":"E","States":{"E":{"Type":"Pass","End":true}}},"End":true}`, `{"b":1,"a":[]}`, `[{"Key":"a","Value":[]},{"Key":"b","Value":1}]`},
		{"inline map over nothing", `"A":{"Type":"Map","ItemProcessor":{"StartAt":"E","States":{"E":{"Type":"Pass","End":true}}},"End":true}`, `[]`, `[]`},
		{"a branch's variables stay inside", `"A":{"Type":"Pass","Assign":{"o":1},"Next":"P"},"P":{"Type":"Parallel","Branches":[{"StartAt":"L","States":{"L":{"Type":"Pass","Assign":{"i":"{% $o + 1 %}"},"Next":"M"},"M":{"Type":"Pass","Output":"{% $i %}","End":true}}}],"End":true}`, `{}`, `[2]`},
		{"context", `"A":{"Type":"Pass","Output":"{% [$states.context.Execution.Id, $states.context.Execution.Name, $states.context.Execution.Input.a, $states.context.State.Name, $states.context.State.RetryCount, $states.context.StateMachine.Id, $type($states.context.State.EnteredTime), $type($states.context.Execution.StartTime)] %}","End":true}`, `{"a":1}`, `["arn:aws:states:eu-west-1:000000000000:execution:M:x","x",1,"A",0,"arn:aws:states:eu-west-1:000000000000:stateMachine:M","string","string"]`},
		{"an integration", `"A":{"Type":"Task","Resource":"arn:aws:states:::aws-sdk:test:echo","Arguments":{"a":"{% $states.input %}"},"Output":"{% $states.result.a %}","End":true}`, `5`, `5`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := outcome(newWorld(t).run(c.states, c.input)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestStepFunctionsOwnFunctions(t *testing.T) {
	for _, c := range []struct{ code, want string }{
		{`$partition([1,2,3,4,5], 2)`, `[[1,2],[3,4],[5]]`},
		{`$range(1, 9, 3)`, `[1,4,7]`},
		{`$range(3, 1, -1)`, `[3,2,1]`},
		{`$hash('a', 'SHA-256')`, `"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"`},
		{`$hash('a', 'MD5')`, `"0cc175b9c0f1b6a831c399e269772661"`},
		{`$random(7) = $random(7) and $random() < 1`, `true`},
		{`$length($uuid())`, `36`},
		{`$parse('{"a":[1,null]}')`, `{"a":[1,null]}`},
		{`$parse('{"z":1,"a":2}').a`, `2`},
		{`$length($now())`, `24`},
		{`$toMillis($now()) = $millis()`, `true`},
		{`$length($now('[Y0001]'))`, `4`},
		{`$merge([{'a':1},{'b':2}])`, `{"a":1,"b":2}`},
		{`$map([1,2], function($x){ $x * 2 })`, `[2,4]`},
		{`($n := 3; $n * $n)`, `9`},
		{`$states.input.nope ?? 'none'`, `"none"`},
		{`$exists($states.input.nope)`, `false`},
		{`[1..3]`, `[1,2,3]`},
		{`$string({'a': 1})`, `"{\"a\":1}"`},
		{`{'a': $states.input.nope, 'b': 1}`, `{"b":1}`},
	} {
		t.Run(c.code, func(t *testing.T) {
			t.Parallel()
			code, _ := json.Marshal("{% " + c.code + " %}")
			if got := outcome(newWorld(t).run(`"A":{"Type":"Pass","Output":`+string(code)+`,"End":true}`, `{}`)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestLambdaTask(t *testing.T) {
	w := newWorld(t)
	w.functions["f"] = func(_ context.Context, in json.RawMessage) (any, error) {
		return map[string]any{"Got": in}, nil
	}
	x := w.start(`"A":{`+invoke+`,"Arguments":{"FunctionName":"arn:aws:lambda:eu-west-1:000000000000:function:f","Payload":{"x":"{% $states.input.x %}"}},"Assign":{"code":"{% $states.result.StatusCode %}"},"Output":"{% $states.result.Payload.Got %}","Next":"B"},
		"B":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:f","Arguments":{"y":"{% $code %}"},"End":true}`, `{"x":1}`)
	if got, want := outcome(w.wait(x)), `{"Got":{"y":200}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := strings.Join(w.judged, "; "), "lambda:InvokeFunction arn:aws:lambda:eu-west-1:000000000000:function:f; lambda:InvokeFunction arn:aws:lambda:eu-west-1:000000000000:function:f"; got != want {
		t.Errorf("judged %s", got)
	}
	if got, want := types(x), "ExecutionStarted TaskStateEntered TaskScheduled TaskStarted TaskSucceeded TaskStateExited "+
		"TaskStateEntered LambdaFunctionScheduled LambdaFunctionStarted LambdaFunctionSucceeded TaskStateExited ExecutionSucceeded"; got != want {
		t.Errorf("history %s", got)
	}
}

// failing is a function that fails with the given types in turn, then answers.
func failing(types ...string) func(context.Context, json.RawMessage) (any, error) {
	n := 0
	return func(context.Context, json.RawMessage) (any, error) {
		n++
		if n <= len(types) {
			return nil, &lambda.Error{Type: types[n-1], Message: "no"}
		}
		return n, nil
	}
}

func TestRetryAndCatch(t *testing.T) {
	task := `"A":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:f",%s,"End":true},"C":{"Type":"Pass","End":true}`
	catch := `"Catch":[{"ErrorEquals":["States.ALL"],"Next":"C"}]`
	for _, c := range []struct {
		name, fields string
		errors       []string
		want         string
		waited       time.Duration
	}{
		{"defaults: three retries after 1, 2 and 4 s", `"Retry":[{"ErrorEquals":["E"]}],` + catch, []string{"E", "E", "E"}, `4`, 7 * time.Second},
		{"and no fourth", `"Retry":[{"ErrorEquals":["E"]}],` + catch, []string{"E", "E", "E", "E"}, `{"Error":"E","Cause":"{\"errorMessage\":\"no\",\"errorType\":\"E\"}"}`, 7 * time.Second},
		{"counts are per retrier", `"Retry":[{"ErrorEquals":["E"],"MaxAttempts":1},{"ErrorEquals":["F"],"MaxAttempts":2,"IntervalSeconds":10,"BackoffRate":1}],` + catch, []string{"E", "F", "F"}, `4`, 21 * time.Second},
		{"the first retrier decides", `"Retry":[{"ErrorEquals":["E"],"MaxAttempts":0},{"ErrorEquals":["States.ALL"]}],"Catch":[{"ErrorEquals":["E"],"Output":"{% $states.errorOutput.Error %}","Next":"C"}]`, []string{"E"}, `"E"`, 0},
		{"the delay is bounded", `"Retry":[{"ErrorEquals":["States.TaskFailed"],"IntervalSeconds":10,"BackoffRate":10,"MaxDelaySeconds":20,"MaxAttempts":3}],` + catch, []string{"E", "E", "E"}, `4`, 50 * time.Second},
		{"catch assigns", `"Catch":[{"ErrorEquals":["E"],"Assign":{"e":"{% $states.errorOutput.Error %}"},"Output":"{% $states.input %}","Next":"D"}]`, []string{"E"}, `["E",{}]`, 0},
		{"a query error is caught", `"Output":"{% $states.result.nope %}",` + catch, nil, `{"Error":"States.QueryEvaluationError","Cause":"The JSONata expression '$states.result.nope' specified for the field 'States.A.Output' returned nothing (undefined)."}`, 0},
		{"a timeout is not TaskFailed", `"TimeoutSeconds":1,"Catch":[{"ErrorEquals":["States.TaskFailed"],"Next":"C"},{"ErrorEquals":["States.Timeout"],"Output":"late","Next":"C"}]`, []string{"sleep"}, `"late"`, 0},
		{"a timeout of the function is an error of its own", `"Catch":[{"ErrorEquals":["Sandbox.Timedout"],"Output":"late","Next":"C"}]`, []string{"Sandbox.Timedout"}, `"late"`, 0},
		{"a service error has its message as cause", catch, []string{"Lambda.TooManyRequestsException"}, `{"Error":"Lambda.TooManyRequestsException","Cause":"no"}`, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.functions["f"] = failing(c.errors...)
			if len(c.errors) == 1 && c.errors[0] == "sleep" {
				w.functions["f"] = func(ctx context.Context, _ json.RawMessage) (any, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			}
			states := fmt.Sprintf(task, c.fields)
			if strings.Contains(states, `"Next":"D"`) {
				states = strings.Replace(states, `"C":{"Type":"Pass"`, `"D":{"Type":"Pass","Output":"{% [$e, $states.input] %}"`, 1)
			} else if !strings.Contains(states, `"Next":"C"`) {
				t.Fatal("a test without Catch")
			}
			begin := w.clock.Now()
			if got := outcome(w.run(states, `{}`)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if waited := w.clock.Now().Sub(begin); waited < c.waited || waited > c.waited+3*time.Second {
				t.Errorf("waited %s, want %s", waited, c.waited)
			}
		})
	}
}

func TestRetryCountIsInTheContext(t *testing.T) {
	w := newWorld(t)
	var seen []string
	w.functions["f"] = func(_ context.Context, in json.RawMessage) (any, error) {
		seen = append(seen, string(in))
		if len(seen) < 3 {
			return nil, &lambda.Error{Type: "E"}
		}
		return 1, nil
	}
	w.run(`"A":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:f","Arguments":"{% $states.context.State.RetryCount %}","Retry":[{"ErrorEquals":["States.ALL"]}],"End":true}`, `{}`)
	if got := strings.Join(seen, " "); got != "0 1 2" {
		t.Errorf("got %s", got)
	}
}

func TestBranchFailureEndsItsSiblings(t *testing.T) {
	w := newWorld(t)
	w.functions["bad"] = failing("E")
	w.functions["slow"] = func(ctx context.Context, _ json.RawMessage) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	got := outcome(w.run(`"A":{"Type":"Parallel","Branches":[
		{"StartAt":"L","States":{"L":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:bad","End":true}}},
		{"StartAt":"R","States":{"R":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:slow","End":true}}}],
		"Catch":[{"ErrorEquals":["E"],"Output":"{% $states.errorOutput.Error %}","Next":"C"}],"End":true},"C":{"Type":"Pass","End":true}`, `{}`))
	if got != `"E"` {
		t.Errorf("got %s", got)
	}
}

func TestWaitsTakeVirtualTime(t *testing.T) {
	w := newWorld(t)
	begin, real := w.clock.Now(), time.Now()
	got := outcome(w.run(`"A":{"Type":"Wait","Seconds":"{% $states.input.s %}","Next":"B"},"B":{"Type":"Wait","Timestamp":"{% $fromMillis($millis() + 60000) %}","End":true}`, `{"s":3600}`))
	if got != `{"s":3600}` {
		t.Errorf("got %s", got)
	}
	if d := w.clock.Now().Sub(begin); d < 3659*time.Second || d > 3670*time.Second {
		t.Errorf("virtual time went on by %s, want 3660 s", d)
	}
	if d := time.Since(real); d > 2*time.Second {
		t.Errorf("took %s", d)
	}
}

func TestMachineTimeout(t *testing.T) {
	w := newWorld(t)
	m := w.parse(`{"QueryLanguage":"JSONata","TimeoutSeconds":60,"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":61,"End":true}}}`)
	x, err := w.engine.Start(t.Context(), m, "x", json.RawMessage(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := outcome(w.wait(x)); got != "TIMED_OUT States.Timeout" {
		t.Errorf("got %s", got)
	}
}

func TestDeniedInvocationNamesRoleActionAndResource(t *testing.T) {
	w := newWorld(t)
	w.denied["lambda:InvokeFunction"] = true
	got := outcome(w.run(`"A":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:f","End":true}`, `{}`))
	for _, want := range []string{"Lambda.AWSLambdaException", roleARN, "lambda:InvokeFunction", ":function:f"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s does not name %s", got, want)
		}
	}
}

func TestStop(t *testing.T) {
	w := newWorld(t)
	w.functions["slow"] = func(ctx context.Context, _ json.RawMessage) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	x := w.start(`"A":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:slow","End":true}`, `{}`)
	for w.called("slow") == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := x.Stop(t.Context(), &asl.Error{Name: "Enough", Cause: "by hand"}); err != nil {
		t.Fatal(err)
	}
	if got := outcome(x.Result()); got != "ABORTED Enough: by hand" {
		t.Errorf("got %s", got)
	}
}
