package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"godwit/internal/local/gateway"
	"godwit/internal/local/lambda"
	"godwit/internal/local/states"
	"godwit/internal/local/template"
)

// Who EventBridge is, and Lambda where it acts by itself.
const (
	rulePrincipal     = "events.amazonaws.com"
	schedulePrincipal = "scheduler.amazonaws.com"
)

// maxInput is the longest input of an asynchronous invocation, in bytes (1 MB in
// the service's quotas).
const maxInput = 1 << 20

// Invoking is how Lambda repeats a function's asynchronous invocations.
type Invoking struct {
	Role      string        // of the function, which sends what failed
	Retries   int           // 2 by default
	MaxAge    time.Duration // 6 h by default
	OnFailure string        // ARN of a queue; "" is none
}

// InvokingOf reads AWS::Lambda::EventInvokeConfig. What local does not know is an
// error by name.
func InvokingOf(r *template.Resource) (Invoking, error) {
	i := Invoking{Retries: 2, MaxAge: 6 * time.Hour}
	for name := range r.Properties {
		switch name {
		case "FunctionName", "Qualifier", "MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig":
		default:
			return i, fmt.Errorf("%s %s: property %s is not known to local", r.Type, r.LogicalID, name)
		}
	}
	var p struct {
		Qualifier                                      string
		MaximumRetryAttempts, MaximumEventAgeInSeconds *int
		DestinationConfig                              struct {
			OnFailure struct{ Destination string }
			OnSuccess *struct{ Destination string }
		}
	}
	if err := r.Decode(&p); err != nil {
		return i, err
	}
	if n := p.MaximumRetryAttempts; n != nil {
		i.Retries = *n
	}
	if n := p.MaximumEventAgeInSeconds; n != nil {
		i.MaxAge = time.Duration(*n) * time.Second
	}
	i.OnFailure = p.DestinationConfig.OnFailure.Destination
	if p.Qualifier != "$LATEST" || p.DestinationConfig.OnSuccess != nil || i.OnFailure != "" && !isQueue(i.OnFailure) {
		return i, fmt.Errorf("%s %s: local knows the qualifier $LATEST, and a queue for what failed", r.Type, r.LogicalID)
	}
	return i, nil
}

func isQueue(arn string) bool { return len(arn) > 12 && arn[:12] == "arn:aws:sqs:" }

// deliver brings an event to a target and returns how that ended.
func (s *Service) deliver(d *Delivery, r *Rule, t Target, e Event) Outcome {
	input, err := t.input(r, e)
	if err != nil {
		s.tried(d, err)
		return s.dead(r, t, e, err, "SDK_CLIENT_ERROR", d.Attempts-1)
	}
	began := s.config.Clock.Now()
	for {
		err := s.hand(r, t, e, input)
		s.tried(d, err)
		if err == nil {
			break
		}
		// What no retry mends is not retried.
		var denied *gateway.AccessDenied
		var refused *states.APIError
		switch {
		case s.ctx.Err() != nil:
			return Lost
		case errors.As(err, &denied):
			return s.dead(r, t, e, err, "NO_PERMISSIONS", d.Attempts-1)
		case errors.As(err, &refused):
			return s.dead(r, t, e, err, "NO_RESOURCE", d.Attempts-1)
		case d.Attempts > t.Retries || s.config.Clock.Now().Sub(began) > t.MaxAge:
			return s.dead(r, t, e, err, "RETRIES_EXHAUSTED", d.Attempts-1)
		}
		if s.config.Clock.Sleep(s.ctx, backoff(d.Attempts, time.Second, 10*time.Minute)) != nil {
			return Lost
		}
	}
	if isFunction(t.ARN) {
		return s.invoke(d, t.ARN, input)
	}
	return Delivered
}

// input is what the target is called with.
func (t *Target) input(r *Rule, e Event) ([]byte, error) {
	switch {
	case t.transform != nil:
		return t.transform.apply(r, e)
	case len(t.Input) > 0:
		return t.Input, nil
	}
	return json.Marshal(e)
}

// backoff grows from first to most, in doubling.
func backoff(attempts int, first, most time.Duration) time.Duration {
	return min(first<<min(attempts-1, 30), most)
}

func isFunction(arn string) bool {
	part := arn[:min(len(arn), len("arn:aws:lambda:"))]
	return part == "arn:aws:lambda:"
}

// hand has the target accept the event: an execution begins, or the function's
// queue has it.
func (s *Service) hand(r *Rule, t Target, e Event, input []byte) error {
	who := map[bool]string{false: rulePrincipal, true: schedulePrincipal}[r.Scheduler]
	about := map[string]string{"aws:SourceArn": r.ARN, "aws:SourceAccount": s.config.Account}
	action := map[bool]string{false: "states:StartExecution", true: "lambda:InvokeFunction"}[isFunction(t.ARN)]
	if t.Role == "" {
		if err := s.config.Judge.AuthorizeService(who, action, t.ARN, about); err != nil {
			return err
		}
	} else {
		if err := s.config.Judge.CanAssume(t.Role, who, about); err != nil {
			return err
		}
		if err := s.config.Judge.Authorize(t.Role, action, t.ARN, nil); err != nil {
			return err
		}
	}
	if isFunction(t.ARN) {
		if len(input) > maxInput {
			return fmt.Errorf("the input has %d bytes, Lambda takes %d", len(input), maxInput)
		}
		return nil
	}
	return s.config.Executions.Start(t.ARN, e.ID+"_"+newID(), input)
}

// invoke is Lambda's asynchronous invocation: the function is called again one
// minute and two minutes after a failure, and for hours where it was throttled.
func (s *Service) invoke(d *Delivery, arn string, input []byte) Outcome {
	how, ok := s.config.Invoking[arn]
	if !ok {
		how = Invoking{Retries: 2, MaxAge: 6 * time.Hour}
	}
	s.mu.Lock()
	d.Attempts = 0
	s.mu.Unlock()
	began := s.config.Clock.Now()
	failures, throttles := 0, 0
	for {
		_, err := s.config.Functions.Invoke(s.ctx, arn, input)
		s.tried(d, err)
		if err == nil {
			return Delivered
		}
		if s.ctx.Err() != nil {
			return Lost
		}
		var e *lambda.Error
		var wait time.Duration
		if errors.As(err, &e) && e.Type == "Lambda.TooManyRequestsException" {
			throttles++
			wait = backoff(throttles, time.Second, 5*time.Minute)
		} else {
			failures++
			wait = time.Duration(failures) * time.Minute
		}
		if failures > how.Retries || s.config.Clock.Now().Sub(began)+wait > how.MaxAge {
			return s.failed(how, arn, input, err, d.Attempts)
		}
		if s.config.Clock.Sleep(s.ctx, wait) != nil {
			return Lost
		}
	}
}

// failed sends what a function did not do to the queue that it names.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
func (s *Service) failed(how Invoking, arn string, input []byte, err error, attempts int) Outcome {
	if how.OnFailure == "" || s.config.Judge.Authorize(how.Role, "sqs:SendMessage", how.OnFailure, nil) != nil {
		return Lost
	}
	body, err := json.Marshal(map[string]any{
		"version": "1.0", "timestamp": s.config.Clock.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "requestPayload": json.RawMessage(input),
		"requestContext":  map[string]any{"requestId": newID(), "functionArn": arn + ":$LATEST", "condition": "RetriesExhausted", "approximateInvokeCount": attempts},
		"responseContext": map[string]any{"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}, "responsePayload": map[string]any{"errorMessage": err.Error()},
	})
	if err != nil {
		return Lost
	}
	return s.post(Letter{Queue: how.OnFailure, Body: body})
}

// dead sends an event that its target did not accept to the rule's queue, whose
// policy admits the rule; of a schedule the role does.
func (s *Service) dead(r *Rule, t Target, e Event, why error, code string, retries int) Outcome {
	if t.DeadLetter == "" {
		return Lost
	}
	var err error
	if r.Scheduler {
		err = s.config.Judge.Authorize(t.Role, "sqs:SendMessage", t.DeadLetter, nil)
	} else {
		about := map[string]string{"aws:SourceArn": r.ARN, "aws:SourceAccount": s.config.Account}
		err = s.config.Judge.AuthorizeService(rulePrincipal, "sqs:SendMessage", t.DeadLetter, about)
	}
	if err != nil {
		return Lost
	}
	body, err := json.Marshal(e)
	if err != nil {
		return Lost
	}
	return s.post(Letter{t.DeadLetter, body, map[string]string{
		"RULE_ARN": r.ARN, "TARGET_ARN": t.ARN, "ERROR_CODE": code, "ERROR_MESSAGE": why.Error(), "RETRY_ATTEMPTS": fmt.Sprint(retries),
	}})
}

func (s *Service) post(l Letter) Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letters = append(s.letters, l)
	return Dead
}
