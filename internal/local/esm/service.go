package esm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"godwit/internal/local/asl"
	"godwit/internal/local/gateway"
	"godwit/internal/local/kinesis"
)

// Config is what a Service needs. Fault, HostNow and Patience may be zero.
type Config struct {
	Account string
	Region  string
	Kinesis *kinesis.Service
	Gateway *gateway.Gateway // judges what is read, and written, as a function's role
	// Functions invokes a function by its ARN and waits for its answer; an error is
	// a *lambda.Error, or that of a context that ended.
	Functions interface {
		Invoke(ctx context.Context, arn string, payload []byte) ([]byte, error)
	}
	// Objects stores what is discarded, as a role.
	Objects interface {
		Put(ctx context.Context, role, bucket, key string, body []byte) error
	}
	// Clock is the time of windows, backoff and ages.
	Clock asl.Clock
	// HostNow is the clock that functions read, where Clock leaps over waits: events
	// then tell arrival times that make a record as old for the function as it is by
	// Clock. nil leaves arrival times as they are.
	HostNow func() time.Time
	// Fault is asked before each invocation. It may be called concurrently. nil
	// means no faults.
	Fault func(Delivery) Fault
	// Patience is how many failures in a row without any progress make a lane
	// blocked for Drain; 0 is 5.
	Patience int
}

// A Delivery is a batch on its way to its function.
type Delivery struct {
	Mapping, Shard string
	Lane           int
	First, Last    string // sequence numbers
	Records        int
	Failures       int // in a row before this one, without progress
}

// A Fault is what happens to one delivery.
type Fault uint8

// The faults. Throttle: the function is not called, and no attempt counts. Crash:
// it fails before it has an effect. Lose: it runs, and its answer is taken for a
// failure. Repeat: it runs, and the same batch is delivered again as if it had
// not. Delay: it waits for ten seconds of the clock before, while other shards go on.
const (
	None Fault = iota
	Throttle
	Crash
	Lose
	Repeat
	Delay
)

// A Service runs the mappings of one account.
type Service struct {
	config Config
	ctx    context.Context // of everything under way; ends with Close
	stop   context.CancelFunc
	jobs   sync.WaitGroup

	mu       sync.Mutex
	mappings []*mapping // in the order of their making
}

var _ gateway.Service = (*Service)(nil)

// New makes a service without mappings. Close it after use.
func New(c Config) (*Service, error) {
	if c.Account == "" || c.Region == "" || c.Kinesis == nil || c.Gateway == nil || c.Functions == nil || c.Objects == nil || c.Clock == nil {
		return nil, errors.New("local event source mappings need an account, a region, Kinesis, a gateway, functions, objects and a clock")
	}
	if c.Patience == 0 {
		c.Patience = 5
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Service{config: c, ctx: ctx, stop: stop}, nil
}

// Create adds a mapping, which is Creating until it is Enabled or Disabled.
func (s *Service) Create(c Mapping) error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("create event source mapping %s: %w", c.UUID, err)
	}
	s.mu.Lock()
	for _, have := range s.mappings {
		if have.UUID == c.UUID {
			s.mu.Unlock()
			return fmt.Errorf("create event source mapping %s: it exists", c.UUID)
		}
	}
	m := &mapping{
		Mapping: c, service: s, moved: make(chan struct{}), state: "Creating", reason: "USER_INITIATED",
		result: "No records processed", modified: s.config.Clock.Now(),
	}
	s.mappings = append(s.mappings, m)
	s.mu.Unlock()
	return m.change("Creating", c.Settings)
}

// Close stops all mappings, invocations under way included, and returns when
// nothing runs any more.
func (s *Service) Close() {
	s.stop()
	s.jobs.Wait()
}

// find returns a mapping by id, nil when there is none.
func (s *Service) find(uuid string) *mapping {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.mappings {
		if m.UUID == uuid {
			return m
		}
	}
	return nil
}

// all are the mappings in the order of their making.
func (s *Service) all() []*mapping {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*mapping(nil), s.mappings...)
}

// Stats are counts since a mapping was made. Those of events have the names of
// its EventCount metrics, without the ending EventCount.
// https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
type Stats struct {
	Polled                        int64 // records read from the stream, again after a stop
	Invoked                       int64 // records in invocations, repeats included
	FailedInvoke                  int64 // of them, those whose invocation did not succeed with them
	Dropped                       int64 // records discarded and stored nowhere
	OnFailureDestinationDelivered int64 // records discarded into the destination

	Invocations         int64 // of the function, with a fault or without
	Throttles           int64 // of invocations: they count as none
	Bisections          int64 // of batches
	DestinationFailures int64 // objects that could not be stored: metric DestinationDeliveryFailures
	ReadFailures        int64 // of calls to Kinesis, throttled ones and expired iterators apart
}

// Stats returns the counts of a mapping, zero where there is none.
func (s *Service) Stats(uuid string) Stats {
	m := s.find(uuid)
	if m == nil {
		return Stats{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// bucket is the bucket of an S3 destination's ARN.
func bucket(arn string) string { return strings.TrimPrefix(arn, "arn:aws:s3:::") }
