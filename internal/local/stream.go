package local

import (
	"context"
	"fmt"
	"strings"
	"time"

	"godwit/internal/local/asl"
	"godwit/internal/local/esm"
	"godwit/internal/local/kinesis"
	"godwit/internal/local/template"
)

// StreamOptions are what a run asks of its streams and of the event source
// mappings that read them. The zero value asks for nothing.
type StreamOptions struct {
	Shards int // of each stream of the stacks; 0 is what it has on AWS
	// Refuse may keep records out of a stream: see kinesis.Config.
	Refuse func(stream, partitionKey string) string
	// Disorder seeds how QLDB delivers: see qldb.Config. 0 is in order.
	Disorder uint64
	// Fault may break any delivery of records to a function.
	Fault func(esm.Delivery) esm.Fault
	// Settings may change what the stacks say of a mapping. nil changes nothing.
	Settings func(esm.Settings) esm.Settings
}

// startClock decides on the time that waits, streams and ages live in.
func (c *Cloud) startClock(_ context.Context, o Options) error {
	if c.Clock = o.Clock; c.Clock == nil {
		c.Clock = &asl.FastClock{}
	}
	return nil
}

func (c *Cloud) startKinesis(_ context.Context, o Options) error {
	var err error
	c.Kinesis, err = kinesis.New(kinesis.Config{Account: c.Stacks[0].Account, Region: c.Stacks[0].Region, Now: c.Clock.Now, Refuse: o.Stream.Refuse})
	if err != nil {
		return fmt.Errorf("start Kinesis: %w", err)
	}
	for _, r := range template.ByType(c.Stacks, "AWS::Kinesis::Stream") {
		st, err := kinesis.StreamOf(r)
		if err != nil {
			return err
		}
		if o.Stream.Shards > 0 {
			st.Shards = o.Stream.Shards
		}
		if err := c.Kinesis.Create(st); err != nil {
			return err
		}
	}
	c.Gateway.Register("kinesis", c.Kinesis)
	return nil
}

// startMappings starts the event source mappings of the stacks; the functions
// are there.
func (c *Cloud) startMappings(_ context.Context, o Options) error {
	var err error
	c.Mappings, err = esm.New(esm.Config{
		Account: c.Stacks[0].Account, Region: c.Stacks[0].Region, Kinesis: c.Kinesis, Gateway: c.Gateway, Functions: functions(c.Functions),
		Objects: newStore(c.Gateway, c.Stacks[0].Region), Clock: c.Clock, HostNow: time.Now, Fault: o.Stream.Fault,
	})
	if err != nil {
		return err
	}
	c.closers = append(c.closers, c.Mappings.Close)
	for _, r := range template.ByType(c.Stacks, "AWS::Lambda::EventSourceMapping") {
		m, err := esm.MappingOf(r)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(m.FunctionARN, "arn:") {
			m.FunctionARN = "arn:aws:lambda:" + r.Stack.Region + ":" + r.Stack.Account + ":function:" + m.FunctionARN
		}
		f := c.Functions[m.FunctionARN]
		if f == nil {
			return fmt.Errorf("event source mapping %s: the stacks have no function %s", r.LogicalID, m.FunctionARN)
		}
		m.Role = f.Role
		if o.Stream.Settings != nil {
			m.Settings = o.Stream.Settings(m.Settings)
		}
		if err := c.Mappings.Create(m); err != nil {
			return err
		}
	}
	c.Gateway.Register("lambda", c.Mappings)
	return nil
}
