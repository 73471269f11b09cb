package states_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"

	"godwit/internal/local/asl"
	"godwit/internal/local/lambda"
	"godwit/internal/local/states"
)

const (
	role    = "arn:aws:iam::000000000000:role/machine"
	machine = "arn:aws:states:eu-west-1:000000000000:stateMachine:Work"
)

type allowAll struct{}

func (allowAll) Authorize(string, string, string, map[string]string) error { return nil }

type functions map[string]func(ctx context.Context, in []byte) ([]byte, error)

func (f functions) Invoke(ctx context.Context, name string, in []byte) ([]byte, error) {
	return f[name[strings.LastIndexByte(name, ':')+1:]](ctx, in)
}

func serve(t *testing.T, f functions, definition string) (*sfn.Client, *states.Service, *asl.FastClock) {
	t.Helper()
	clock := &asl.FastClock{}
	s := states.New(t.Context(), &asl.Engine{Clock: clock, Authorizer: allowAll{}, Functions: f})
	if _, err := s.Create(machine, role, []byte(definition)); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return sfn.New(sfn.Options{
		BaseEndpoint: aws.String(server.URL), Region: "eu-west-1", Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	}), s, clock
}

func settled(t *testing.T, s *states.Service, arn string) {
	t.Helper()
	x, err := s.Execution(arn)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := x.Wait(ctx); err != nil {
		t.Fatal(err)
	}
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return "none: " + errString(err)
}

func errString(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

func TestExecutionThroughTheSDK(t *testing.T) {
	attempts := 0
	c, s, _ := serve(t, functions{"f": func(context.Context, []byte) ([]byte, error) {
		attempts++
		if attempts == 1 {
			return nil, &lambda.Error{Type: "Broken", Message: "once"}
		}
		return []byte(`{"rows":3}`), nil
	}}, `{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:f","End":true}}}`)
	ctx := t.Context()
	started, err := c.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String(machine), Name: aws.String("n"), Input: aws.String(`{"a":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	arn := started.ExecutionArn
	settled(t, s, *arn)
	d, err := c.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	if d.Status != types.ExecutionStatusFailed || aws.ToString(d.Error) != "Broken" || d.RedriveStatus != types.ExecutionRedriveStatusRedrivable ||
		aws.ToString(d.Input) != `{"a":1}` || d.StopDate == nil || time.Since(*d.StartDate) > time.Minute {
		t.Errorf("after the failure: %+v", d)
	}
	if _, err := c.RedriveExecution(ctx, &sfn.RedriveExecutionInput{ExecutionArn: arn}); err != nil {
		t.Fatal(err)
	}
	settled(t, s, *arn)
	d, err = c.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	if d.Status != types.ExecutionStatusSucceeded || aws.ToString(d.Output) != `{"rows":3}` || aws.ToInt32(d.RedriveCount) != 1 {
		t.Errorf("after the redrive: %+v", d)
	}
	if _, err := c.RedriveExecution(ctx, &sfn.RedriveExecutionInput{ExecutionArn: arn}); code(err) != "ExecutionNotRedrivable" {
		t.Errorf("redrive of a success: %v", err)
	}
	var got []string
	p := sfn.NewGetExecutionHistoryPaginator(c, &sfn.GetExecutionHistoryInput{ExecutionArn: arn, MaxResults: 4})
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			got = append(got, string(e.Type))
			if e.Type == types.HistoryEventTypeTaskStateEntered && aws.ToString(e.StateEnteredEventDetails.Name) != "A" {
				t.Errorf("entered %+v", e.StateEnteredEventDetails)
			}
			if e.Type == types.HistoryEventTypeLambdaFunctionFailed && aws.ToString(e.LambdaFunctionFailedEventDetails.Error) != "Broken" {
				t.Errorf("failed %+v", e.LambdaFunctionFailedEventDetails)
			}
		}
	}
	want := "ExecutionStarted TaskStateEntered LambdaFunctionScheduled LambdaFunctionStarted LambdaFunctionFailed ExecutionFailed " +
		"ExecutionRedriven TaskStateEntered LambdaFunctionScheduled LambdaFunctionStarted LambdaFunctionSucceeded TaskStateExited ExecutionSucceeded"
	if strings.Join(got, " ") != want {
		t.Errorf("history %v", got)
	}
}

func TestStartIsIdempotentWhileItRuns(t *testing.T) {
	c, s, clock := serve(t, functions{"f": func(ctx context.Context, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}}, `{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:000000000000:function:f","End":true}}}`)
	ctx := t.Context()
	start := func(input string) (string, error) {
		out, err := c.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String(machine), Name: aws.String("n"), Input: aws.String(input)})
		if err != nil {
			return "", err
		}
		return *out.ExecutionArn, nil
	}
	arn, err := start(`{"a":1}`)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := start(`{"a": 1}`); err != nil || again != arn {
		t.Errorf("the same start again: %s, %v", again, err)
	}
	if _, err := start(`{"a":2}`); code(err) != "ExecutionAlreadyExists" {
		t.Errorf("another input: %v", err)
	}
	if _, err := c.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: &arn, Error: aws.String("E"), Cause: aws.String("C")}); err != nil {
		t.Fatal(err)
	}
	d, err := c.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn})
	if err != nil || d.Status != types.ExecutionStatusAborted || aws.ToString(d.Error) != "E" {
		t.Errorf("after the stop: %+v, %v", d, err)
	}
	if _, err := start(`{"a":1}`); code(err) != "ExecutionAlreadyExists" {
		t.Errorf("the name of a closed execution: %v", err)
	}
	clock.Advance(15 * 24 * time.Hour)
	if _, err := s.Redrive(arn); err == nil || !strings.Contains(err.Error(), "14 days") {
		t.Errorf("redrive after 15 days: %v", err)
	}
	clock.Advance(80 * 24 * time.Hour)
	if _, err := start(`{"a":1}`); err != nil {
		t.Errorf("the name after 90 days: %v", err)
	}
}

func TestMapRunsThroughTheSDK(t *testing.T) {
	c, s, _ := serve(t, nil, `{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Map","Label":"L","MaxConcurrency":2,"Items":[1,2,3],
		"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"I","States":{"I":{"Type":"Pass","End":true}}},"End":true}}}`)
	ctx := t.Context()
	x, err := s.Start(machine, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	settled(t, s, x.ARN)
	runs, err := c.ListMapRuns(ctx, &sfn.ListMapRunsInput{ExecutionArn: &x.ARN})
	if err != nil || len(runs.MapRuns) != 1 {
		t.Fatalf("ListMapRuns: %+v, %v", runs, err)
	}
	d, err := c.DescribeMapRun(ctx, &sfn.DescribeMapRunInput{MapRunArn: runs.MapRuns[0].MapRunArn})
	if err != nil || d.Status != types.MapRunStatusSucceeded || d.ItemCounts.Succeeded != 3 || d.MaxConcurrency != 2 {
		t.Errorf("DescribeMapRun: %+v, %v", d, err)
	}
	children, err := c.ListExecutions(ctx, &sfn.ListExecutionsInput{MapRunArn: d.MapRunArn})
	if err != nil || len(children.Executions) != 3 {
		t.Fatalf("ListExecutions: %+v, %v", children, err)
	}
	child, err := c.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: children.Executions[0].ExecutionArn})
	if err != nil || aws.ToString(child.Output) != "1" || aws.ToString(child.MapRunArn) != *d.MapRunArn ||
		aws.ToString(child.StateMachineArn) != machine+"/L" || !strings.Contains(*child.ExecutionArn, ":execution:Work/L:") {
		t.Errorf("child: %+v, %v", child, err)
	}
}

func TestServiceErrors(t *testing.T) {
	c, s, _ := serve(t, nil, `{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Succeed"}}}`)
	ctx := t.Context()
	for _, e := range []struct {
		name, want string
		in         sfn.StartExecutionInput
	}{
		{"no machine", "StateMachineDoesNotExist", sfn.StartExecutionInput{StateMachineArn: aws.String(machine + "x")}},
		{"bad name", "InvalidName", sfn.StartExecutionInput{StateMachineArn: aws.String(machine), Name: aws.String("a b")}},
		{"long name", "InvalidName", sfn.StartExecutionInput{StateMachineArn: aws.String(machine), Name: aws.String(strings.Repeat("a", 81))}},
		{"bad input", "InvalidExecutionInput", sfn.StartExecutionInput{StateMachineArn: aws.String(machine), Input: aws.String("{")}},
		{"large input", "ValidationException", sfn.StartExecutionInput{StateMachineArn: aws.String(machine), Input: aws.String(`"` + strings.Repeat("a", asl.MaxData) + `"`)}},
	} {
		if _, err := c.StartExecution(ctx, &e.in); code(err) != e.want {
			t.Errorf("%s: got %s, want %s", e.name, code(err), e.want)
		}
	}
	if _, err := c.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String("arn:x")}); code(err) != "ExecutionDoesNotExist" {
		t.Errorf("describe: %v", err)
	}
	if _, err := s.Create(machine, role, []byte(`{}`)); err == nil {
		t.Error("an empty definition loads")
	}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("X-Amz-Target", "AWSStepFunctions.DeleteStateMachine")
	if _, err := s.Describe(r, []byte(`{}`)); err == nil || !strings.Contains(err.Error(), "DeleteStateMachine") {
		t.Errorf("an unknown operation: %v", err)
	}
	r.Header.Set("X-Amz-Target", "AWSStepFunctions.StartExecution")
	calls, err := s.Describe(r, []byte(`{"stateMachineArn":"`+machine+`"}`))
	if err != nil || len(calls) != 1 || calls[0].Action != "states:StartExecution" || calls[0].Resources[0] != machine {
		t.Errorf("Describe: %+v, %v", calls, err)
	}
}

func TestOneMachineStartsAnother(t *testing.T) {
	_, s, _ := serve(t, nil, `{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Pass","Output":{"got":"{% $states.input.a %}"},"End":true}}}`)
	if _, err := s.Create(machine+"2", role, []byte(`{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:states:::states:startExecution.sync:2",
		"Arguments":{"StateMachineArn":"`+machine+`","Input":{"a":"{% $states.input %}"}},"Output":"{% $states.result.Output %}","End":true}}}`)); err != nil {
		t.Fatal(err)
	}
	x, err := s.Start(machine+"2", "", []byte("7"))
	if err != nil {
		t.Fatal(err)
	}
	settled(t, s, x.ARN)
	if r := x.Result(); string(r.Output) != `{"got":7}` {
		out, _ := json.Marshal(r)
		t.Errorf("got %s", out)
	}
}
