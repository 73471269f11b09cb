package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"godwit/internal/local/template"
)

// A Rule is an enabled rule of the default bus, or a schedule: what calls its
// targets, by a pattern, by the clock, or both.
type Rule struct {
	Name    string
	ARN     string
	Targets []Target
	// Every is the rate of a schedule; 0 is none.
	Every time.Duration
	// Scheduler marks a schedule of EventBridge Scheduler, whose targets are called
	// by a role always.
	Scheduler bool

	pattern *pattern // nil where the clock alone tells
}

// A Target is what a rule calls.
type Target struct {
	ID         string
	ARN        string // of a function or state machine
	Role       string // ARN; "" where the resource's policy allows the call
	Input      json.RawMessage
	DeadLetter string        // ARN of a queue; "" is none
	MaxAge     time.Duration // how long delivery is tried: 24 h
	Retries    int           // 185

	transform *transformer
}

// The retries that EventBridge does where a target does not say.
const (
	defaultAge     = 24 * time.Hour
	defaultRetries = 185
)

// properties are those of both kinds of resource that local knows; "Description"
// and "Tags" say nothing to it.
type properties struct {
	Name, Description, State, EventBusName, ScheduleExpression string
	EventPattern                                               any
	Targets                                                    []target
	Tags                                                       any

	// Of schedules.
	GroupName, ScheduleExpressionTimezone string
	FlexibleTimeWindow                    struct{ Mode string }
	Target                                *target
}

type target struct {
	ID               string `json:"Id"`
	Arn, RoleArn     string
	Input            string
	InputTransformer *transformer
	DeadLetterConfig struct{ Arn string }
	RetryPolicy      struct{ MaximumEventAgeInSeconds, MaximumRetryAttempts *int }
}

// RuleOf reads a rule or a schedule of a stack. One that is disabled is nil. What
// local does not know is an error by name.
func RuleOf(r *template.Resource) (*Rule, error) {
	text, err := json.Marshal(r.Properties)
	if err != nil {
		return nil, err
	}
	var p properties
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Type, r.LogicalID, err)
	}
	rule, err := p.rule(r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Type, r.LogicalID, err)
	}
	if p.State == "DISABLED" {
		return nil, nil
	}
	return rule, nil
}

func (p *properties) rule(r *template.Resource) (*Rule, error) {
	rule := &Rule{Name: r.ID, ARN: r.ARN(), Scheduler: r.Type == "AWS::Scheduler::Schedule"}
	switch {
	case p.State != "" && p.State != "ENABLED" && p.State != "DISABLED":
		return nil, fmt.Errorf("state %s is not known to local", p.State)
	case p.EventBusName != "" && p.EventBusName != "default":
		return nil, fmt.Errorf("event bus %s is not known to local: the default one is", p.EventBusName)
	case rule.Scheduler && (p.FlexibleTimeWindow.Mode != "OFF" || p.Target == nil):
		return nil, errors.New("a schedule needs a target and the flexible time window OFF, the one that local knows")
	case p.EventPattern == nil && p.ScheduleExpression == "":
		return nil, errors.New("it has neither an event pattern nor a schedule")
	}
	if p.EventPattern != nil {
		compiled, err := compile(p.EventPattern, "")
		if err != nil {
			return nil, err
		}
		rule.pattern = &compiled
	}
	if p.ScheduleExpression != "" {
		var err error
		if rule.Every, err = parseRate(p.ScheduleExpression); err != nil {
			return nil, err
		}
	}
	all := p.Targets
	if p.Target != nil {
		all = append(all, *p.Target)
	}
	for _, t := range all {
		made, err := t.made(rule.Scheduler)
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", t.Arn, err)
		}
		rule.Targets = append(rule.Targets, made)
	}
	return rule, nil
}

func (t *target) made(scheduler bool) (Target, error) {
	made := Target{
		ID: t.ID, ARN: t.Arn, Role: t.RoleArn, Input: json.RawMessage(t.Input), DeadLetter: t.DeadLetterConfig.Arn,
		MaxAge: defaultAge, Retries: defaultRetries, transform: t.InputTransformer,
	}
	if n := t.RetryPolicy.MaximumEventAgeInSeconds; n != nil {
		made.MaxAge = time.Duration(*n) * time.Second
	}
	if n := t.RetryPolicy.MaximumRetryAttempts; n != nil {
		made.Retries = *n
	}
	machine := strings.Contains(t.Arn, ":stateMachine:")
	switch {
	case !machine && !strings.Contains(t.Arn, ":function:"):
		return made, errors.New("local knows functions and state machines as targets")
	case made.Role == "" && (machine || scheduler):
		return made, errors.New("it needs a role")
	case made.Role != "" && !machine && !scheduler:
		return made, errors.New("a role for a function is not known to local: the function's policy admits the rule")
	case made.MaxAge < time.Minute || made.MaxAge > defaultAge:
		return made, fmt.Errorf("an age of %s is not within 60 s and 24 h", made.MaxAge)
	case made.Retries < 0 || made.Retries > defaultRetries:
		return made, fmt.Errorf("%d retries are not within 0 and %d", made.Retries, defaultRetries)
	case made.DeadLetter != "" && !strings.HasPrefix(made.DeadLetter, "arn:aws:sqs:"):
		return made, fmt.Errorf("the queue of dead letters %s is no queue's ARN", made.DeadLetter)
	case len(made.Input) > 0 && !json.Valid(made.Input):
		return made, errors.New("its input is no JSON")
	}
	if made.transform != nil {
		return made, made.transform.check()
	}
	return made, nil
}

var rateRule = regexp.MustCompile(`^rate\(([1-9][0-9]*) (minute|hour|day)(s?)\)$`)

// parseRate reads rate(15 minutes).
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
func parseRate(expression string) (time.Duration, error) {
	m := rateRule.FindStringSubmatch(expression)
	if m == nil || (m[1] == "1") != (m[3] == "") {
		return 0, fmt.Errorf("schedule %s is not known to local: rate(1 hour), rate(15 minutes) and the like are", expression)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, fmt.Errorf("schedule %s: %w", expression, err)
	}
	return time.Duration(n) * map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[m[2]], nil
}
