package events_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/local/events"
	"godwit/internal/local/lambda"
	"godwit/internal/local/states"
	"godwit/internal/local/template"
)

func TestEventReachesTheFunctionOfItsRule(t *testing.T) {
	w := start(t, rule(snapshots, toFn))
	w.put("0074")
	if got := w.called(); len(got) > 0 {
		t.Fatalf("an event that does not match calls %v", got)
	}
	w.put("0075")
	got := w.called()
	if len(got) != 1 {
		t.Fatalf("%d calls, want 1", len(got))
	}
	var event map[string]any
	w.must(json.Unmarshal([]byte(got[0]), &event))
	want := map[string]any{
		"version": "0", "id": event["id"], "detail-type": "RDS DB Cluster Snapshot Event", "source": "aws.rds", "account": account, "time": event["time"], "region": region,
		"resources": []any{"arn:aws:rds:us-east-1:111122223333:cluster-snapshot:nightly"}, "detail": map[string]any{"EventID": "RDS-EVENT-0075"},
	}
	if d := cmp.Diff(want, event); d != "" || len(event["id"].(string)) != 36 || len(event["time"].(string)) != len("2026-11-23T03:00:00Z") {
		t.Errorf("%v (-want +got):\n%s", event, d)
	}
	if d := w.ended(); d.Outcome != events.Delivered || d.Attempts != 1 || d.Err != nil {
		t.Errorf("it ended as %+v", d)
	}
}

func TestEventsAreLostAndDoubled(t *testing.T) {
	w := start(t, rule(snapshots, toFn))
	for fault, want := range map[events.Fault]int{events.Drop: 0, events.Double: 2, events.None: 1} {
		w.calls = nil
		w.faults = func(events.Event) events.Fault { return fault }
		w.put("0075")
		got := w.called()
		if len(got) != want || want == 2 && got[0] != got[1] {
			t.Errorf("fault %d: got %v", fault, got)
		}
	}
}

func TestFailingFunctionIsCalledThreeTimes(t *testing.T) {
	w := start(t, rule(snapshots, toFn))
	w.function = func([]byte) error { return &lambda.Error{Type: "Runtime.ExitError", Message: "killed"} }
	before := w.clock.Now()
	w.put("0075")
	got := w.called()
	if len(got) != 3 || got[0] != got[2] || w.ended().Outcome != events.Lost || w.ended().Attempts != 3 {
		t.Errorf("%d calls end as %+v", len(got), w.ended())
	}
	if took := w.clock.Now().Sub(before); took < 3*time.Minute || took > 4*time.Minute {
		t.Errorf("the repeats took %s, want one minute and two", took)
	}
	w.calls = nil
	n := 0
	w.function = func([]byte) error {
		if n++; n < 3 {
			return errors.New("not yet")
		}
		return nil
	}
	w.put("0075")
	if len(w.called()) != 3 || w.ended().Outcome != events.Delivered {
		t.Errorf("the third call ends as %+v", w.ended())
	}
}

// TestThrottledFunctionIsCalledForHours: throttles are no failures.
func TestThrottledFunctionIsCalledForHours(t *testing.T) {
	w := start(t, rule(snapshots, toFn))
	n := 0
	w.function = func([]byte) error {
		if n++; n <= 20 {
			return &lambda.Error{Type: "Lambda.TooManyRequestsException"}
		}
		return nil
	}
	w.put("0075")
	if d := w.ended(); d.Outcome != events.Delivered || d.Attempts != 21 {
		t.Errorf("it ended as %+v", d)
	}
	w.function = func([]byte) error { return &lambda.Error{Type: "Lambda.TooManyRequestsException"} }
	before := w.clock.Now()
	w.put("0075")
	if took := w.clock.Now().Sub(before); w.ended().Outcome != events.Lost || took < 5*time.Hour || took > 6*time.Hour {
		t.Errorf("it ended as %+v after %s", w.ended(), took)
	}
}

func TestFunctionSaysHowItIsRepeated(t *testing.T) {
	w := start(t, rule(snapshots, toFn), `"How": {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": {"FunctionName": {"Ref": "Fn"}, "Qualifier": "$LATEST", "MaximumRetryAttempts": 1,
"MaximumEventAgeInSeconds": 3600, "DestinationConfig": {"OnFailure": {"Destination": {"Fn::GetAtt": ["Queue", "Arn"]}}}}}`)
	w.function = func([]byte) error { return errors.New("no") }
	w.put("0075")
	letters := w.events.Letters()
	if len(w.called()) != 2 || len(letters) != 1 || w.ended().Outcome != events.Dead {
		t.Fatalf("%d calls, %d letters, %+v", len(w.called()), len(letters), w.ended())
	}
	var letter struct {
		RequestPayload  json.RawMessage `json:"requestPayload"`
		RequestContext  map[string]any  `json:"requestContext"`
		ResponsePayload map[string]any  `json:"responsePayload"`
	}
	w.must(json.Unmarshal(letters[0].Body, &letter))
	if string(letter.RequestPayload) != w.called()[0] || letter.RequestContext["approximateInvokeCount"] != 2.0 || letter.ResponsePayload["errorMessage"] != "no" {
		t.Errorf("the letter is %s", letters[0].Body)
	}
}

// TestRuleNeedsTheFunctionsPermission: what no retry mends is not retried.
func TestRuleNeedsTheFunctionsPermission(t *testing.T) {
	other := strings.Replace(rule(snapshots, strings.Replace(toFn, `"Id"`, `"DeadLetterConfig": {"Arn": {"Fn::GetAtt": ["Queue", "Arn"]}}, "Id"`, 1)), `"Rule"`, `"Other"`, 1)
	w := start(t, rule(snapshots, toMachine), other)
	w.put("0075")
	for _, d := range w.events.Deliveries() {
		if !strings.Contains(d.Rule, "Other") {
			continue
		}
		// The queue's policy does not admit this rule either.
		if d.Outcome != events.Lost || d.Attempts != 1 || !strings.Contains(d.Err.Error(), "lambda:InvokeFunction") {
			t.Errorf("it ended as %+v", d)
		}
	}
	if got := w.called(); len(got) != 1 { // of the other rule's target
		t.Errorf("calls %v", got)
	}
}

func TestEventStartsAnExecution(t *testing.T) {
	w := start(t, rule(snapshots, strings.Replace(toMachine, `"Id"`, `"InputTransformer": {"InputPathsMap": {"id": "$.detail.EventID"}, "InputTemplate": "{\"Event\": <id>}"}, "Id"`, 1)))
	n := 0
	w.machine = func(string) error {
		if n++; n < 4 {
			return errors.New("throttled")
		}
		return nil
	}
	w.put("0075")
	got := w.called()
	if len(got) != 1 || !strings.HasSuffix(got[0], ` {"Event": "RDS-EVENT-0075"}`) || w.ended().Attempts != 4 || w.ended().Outcome != events.Delivered {
		t.Errorf("got %v, and it ended as %+v", got, w.ended())
	}
	if name, _, _ := strings.Cut(got[0], " "); len(name) != 73 || name[:36] != w.ended().Event {
		t.Errorf("the execution is called %s", name)
	}
}

func TestUndeliveredEventIsALetter(t *testing.T) {
	queue := `"DeadLetterConfig": {"Arn": {"Fn::GetAtt": ["Queue", "Arn"]}}, "RetryPolicy": {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 5}, "Id"`
	w := start(t, rule(snapshots, strings.Replace(toMachine, `"Id"`, queue, 1)))
	for code, c := range map[string]struct {
		err      error
		attempts int
	}{"RETRIES_EXHAUSTED": {errors.New("throttled"), 6}, "NO_RESOURCE": {&states.APIError{Code: "StateMachineDoesNotExist"}, 1}} {
		w.machine = func(string) error { return c.err }
		w.put("0075")
		letters := w.events.Letters()
		if len(letters) == 0 {
			t.Fatalf("%s: no letter", code)
		}
		last := letters[len(letters)-1]
		if d := w.ended(); d.Outcome != events.Dead || d.Attempts != c.attempts || last.Attributes["ERROR_CODE"] != code || !strings.Contains(last.Attributes["TARGET_ARN"], ":stateMachine:") {
			t.Errorf("%s: it ended as %+v, and the letter says %v", code, d, last.Attributes)
		}
		var e events.Event
		if err := json.Unmarshal(last.Body, &e); err != nil || e.ID != w.ended().Event {
			t.Errorf("%s: the letter is %s", code, last.Body)
		}
	}
}

func TestScheduleFiresAsTheClockPasses(t *testing.T) {
	w := start(t, rule(`"ScheduleExpression": "rate(15 minutes)", "State": "ENABLED"`, toFn))
	fires := func(after time.Duration, want int) {
		t.Helper()
		w.clock.Advance(after)
		if got := w.events.Tick(); got != want {
			t.Errorf("after %s more it fires %d times, want %d", after, got, want)
		}
		w.must(w.events.Wait(t.Context()))
	}
	fires(0, 0)
	fires(14*time.Minute, 0)
	fires(time.Minute, 1)
	fires(0, 0)
	fires(100*time.Minute, 1) // what the clock leapt over is one
	fires(4*time.Minute, 0)   // 119 minutes since the beginning
	fires(2*time.Minute, 1)
	got := w.called()
	if len(got) != 3 {
		t.Fatalf("%d calls", len(got))
	}
	var e events.Event
	w.must(json.Unmarshal([]byte(got[0]), &e))
	if e.Source != "aws.events" || e.DetailType != "Scheduled Event" || string(e.Detail) != "{}" || len(e.Resources) != 1 || !strings.Contains(e.Resources[0], ":rule/") {
		t.Errorf("the event is %s", got[0])
	}
}

func TestSchedulerCallsWithItsRole(t *testing.T) {
	w := start(t, rule(snapshots, toFn), `"Sweep": {"Type": "AWS::Scheduler::Schedule", "Properties": {"ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": {"Mode": "OFF"},
"Target": {"Arn": {"Fn::GetAtt": ["Fn", "Arn"]}, "RoleArn": {"Fn::GetAtt": ["Caller", "Arn"]}, "Input": "{\"sweep\": true}"}}}`)
	w.clock.Advance(time.Hour)
	w.events.Tick()
	w.must(w.events.Wait(t.Context()))
	if got := w.called(); len(got) != 1 || got[0] != `{"sweep": true}` {
		t.Errorf("got %v, %+v", got, w.ended())
	}
}

func TestSchedulesFireByThemselvesWhereAsked(t *testing.T) {
	w := start(t, rule(snapshots, toFn))
	stacks := load(t, rule(`"ScheduleExpression": "rate(1 minute)", "State": "ENABLED"`, toMachine))
	made, err := events.RuleOf(template.ByType(stacks, "AWS::Events::Rule")[0])
	w.must(err)
	s, err := events.New(events.Config{Account: account, Region: region, Clock: w.clock, Judge: allowAll{}, Functions: w, Executions: executions{w}, Poll: time.Millisecond})
	w.must(err)
	defer s.Close()
	w.must(s.Create(*made))
	w.clock.Advance(time.Minute)
	for range 2000 {
		if len(w.called()) > 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("nothing fires")
}

type allowAll struct{}

func (allowAll) Authorize(string, string, string, map[string]string) error        { return nil }
func (allowAll) AuthorizeService(string, string, string, map[string]string) error { return nil }
func (allowAll) CanAssume(string, string, map[string]string) error                { return nil }

func TestWhatIsNotKnownIsRefusedByName(t *testing.T) {
	for properties, want := range map[string]string{
		`"ScheduleExpression": "cron(0 12 * * ? *)", ` + toFn:                                                        "cron(0 12 * * ? *)",
		`"ScheduleExpression": "rate(1 minutes)", ` + toFn:                                                           "rate(1 minutes)",
		`"ScheduleExpression": "rate(15 minute)", ` + toFn:                                                           "rate(15 minute)",
		`"RoleArn": "x", ` + snapshots + `, ` + toFn:                                                                 "RoleArn",
		`"EventBusName": "other", ` + snapshots + `, ` + toFn:                                                        "event bus other",
		snapshots + `, "Targets": [{"Arn": "arn:aws:sqs:us-east-1:111122223333:q", "Id": "x"}]`:                      "functions and state machines",
		snapshots + `, "Targets": [{"Arn": {"Ref": "Machine"}, "Id": "x"}]`:                                          "needs a role",
		snapshots + `, ` + strings.Replace(toFn, `"Id"`, `"InputPath": "$.detail", "Id"`, 1):                         "InputPath",
		snapshots + `, ` + strings.Replace(toFn, `"Id"`, `"RetryPolicy": {"MaximumRetryAttempts": 186}, "Id"`, 1):    "186 retries",
		snapshots + `, ` + strings.Replace(toFn, `"Id"`, `"RetryPolicy": {"MaximumEventAgeInSeconds": 30}, "Id"`, 1): "30s",
		snapshots + `, ` + strings.Replace(toFn, `"Id"`, `"DeadLetterConfig": {"Arn": "arn:aws:sns:x"}, "Id"`, 1):    "no queue's ARN",
		snapshots + `, ` + strings.Replace(toFn, `"Id"`, `"Input": "{", "Id"`, 1):                                    "no JSON",
		toFn: "neither an event pattern nor a schedule",
		`"EventPattern": {"detail": {"a": [{"wildcard": "*"}]}}, ` + toFn: `matcher "wildcard"`,
	} {
		stacks := load(t, rule(properties))
		_, err := events.RuleOf(template.ByType(stacks, "AWS::Events::Rule")[0])
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "AWS::Events::Rule Rule") {
			t.Errorf("%s: got %v, want %s", properties, err, want)
		}
	}
	off := load(t, rule(strings.Replace(snapshots, "ENABLED", "DISABLED", 1), toFn))
	if made, err := events.RuleOf(template.ByType(off, "AWS::Events::Rule")[0]); made != nil || err != nil {
		t.Errorf("a disabled rule is %v, %v", made, err)
	}
}
