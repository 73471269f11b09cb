package local

import (
	"context"
	"fmt"
	"strings"
	"time"

	"godwit/internal/local/events"
	"godwit/internal/local/export"
	"godwit/internal/local/rds"
	"godwit/internal/local/rdsdata"
	"godwit/internal/local/s3"
	"godwit/internal/local/states"
	"godwit/internal/local/template"
)

// SnapshotOptions are what a run asks of the exports of RDS. The zero value asks
// for nothing.
type SnapshotOptions struct {
	Style export.Style
	// Damage may change any object of an export before it is stored, or keep it out
	// by returning nil. nil damages none.
	Damage func(key string, body []byte) []byte
	// Broken may fail exports: see rds.Config.
	Broken func(id string) string
	// Starting and Extracting are how long exports take at least: see rds.Config.
	Starting, Extracting time.Duration
}

// EventOptions are what a run asks of EventBridge. The zero value delivers
// everything once, and lets Cloud.Events.Tick fire schedules.
type EventOptions struct {
	// Fault may drop or double events: see events.Config.
	Fault func(events.Event) events.Fault
	// Poll has schedules fire by themselves as the clock passes them: see
	// events.Config.
	Poll time.Duration
}

// startRDS starts the control plane and the Data API, whose clusters come later.
func (c *Cloud) startRDS(_ context.Context, o Options) error {
	if o.NoDatabase {
		return nil
	}
	var err error
	c.RDS, err = rds.New(rds.Config{
		Account: c.Stacks[0].Account, Region: c.Stacks[0].Region, Clock: c.Clock, Judge: c.Judge, Objects: exports{c.S3, o.Snapshots.Damage},
		Starting: o.Snapshots.Starting, Extracting: o.Snapshots.Extracting, Style: o.Snapshots.Style, Broken: o.Snapshots.Broken,
		Publish: func(e events.Event) { c.Events.Put(e) }, // which is there before any snapshot
	})
	if err != nil {
		return fmt.Errorf("start RDS: %w", err)
	}
	c.closers = append(c.closers, c.RDS.Close)
	c.Gateway.Register("rds", c.RDS)
	c.Data = rdsdata.New(rdsdata.Config{Secrets: c.Secrets, Timeout: o.CallTimeout})
	c.closers = append(c.closers, func() { _ = c.Data.Close() }) // rolls back what is open
	c.Gateway.Register("rds-data", c.Data)
	return nil
}

// exports is the S3 that exports are written to.
type exports struct {
	*s3.Service
	damage func(key string, body []byte) []byte
}

// Put stores an object as it is, or damaged.
func (e exports) Put(bucket, key string, body []byte, o s3.Options) error {
	if body == nil {
		body = []byte{}
	}
	if e.damage != nil {
		if body = e.damage(key, body); body == nil {
			return nil
		}
	}
	return e.Service.Put(bucket, key, body, o)
}

// startEvents starts the rules and schedules of the stacks; functions and state
// machines are there.
func (c *Cloud) startEvents(_ context.Context, o Options) error {
	invoking := map[string]events.Invoking{}
	for _, r := range template.ByType(c.Stacks, "AWS::Lambda::EventInvokeConfig") {
		how, err := events.InvokingOf(r)
		if err != nil {
			return err
		}
		f := c.Functions[c.functionARN(r)]
		if f == nil {
			return fmt.Errorf("%s %s: the stacks have no such function", r.Type, r.LogicalID)
		}
		how.Role = f.Role
		invoking[f.ARN] = how
	}
	var err error
	c.Events, err = events.New(events.Config{
		Account: c.Stacks[0].Account, Region: c.Stacks[0].Region, Clock: c.Clock, Judge: c.Judge, Functions: functions(c.Functions), Executions: executions{c.States},
		Invoking: invoking, Fault: o.Events.Fault, Poll: o.Events.Poll,
	})
	if err != nil {
		return err
	}
	c.closers = append(c.closers, c.Events.Close)
	for _, kind := range []string{"AWS::Events::Rule", "AWS::Scheduler::Schedule"} {
		for _, r := range template.ByType(c.Stacks, kind) {
			rule, err := events.RuleOf(r)
			if err != nil {
				return err
			}
			if rule == nil {
				continue
			}
			if err := c.Events.Create(*rule); err != nil {
				return err
			}
		}
	}
	return nil
}

// functionARN is the ARN of the function that a resource names.
func (c *Cloud) functionARN(r *template.Resource) string {
	name, _ := r.Properties["FunctionName"].(string)
	if strings.HasPrefix(name, "arn:") {
		return name
	}
	return "arn:aws:lambda:" + r.Stack.Region + ":" + r.Stack.Account + ":function:" + name
}

// executions is EventBridge's view of Step Functions.
type executions struct{ *states.Service }

// Start starts an execution.
func (e executions) Start(machineARN, name string, input []byte) error {
	_, err := e.Service.Start(machineARN, name, input)
	return err
}
