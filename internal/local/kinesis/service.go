package kinesis

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/local/gateway"
	"godwit/internal/local/template"
)

// Config is what a Service needs to know.
type Config struct {
	Account string
	Region  string
	Now     func() time.Time // clock of arrival, retention, iterators and limits; nil is time.Now
	// Refuse may keep a record out: it returns the code that its producer gets,
	// ProvisionedThroughputExceededException or InternalFailure, or "". It is
	// called for one record after the other and must not call the Service. nil
	// refuses nothing.
	Refuse func(stream, partitionKey string) string
}

// A Stream is a stream to be made.
type Stream struct {
	Name         string        // 1 to 128 characters
	KMSKey       string        // ARN of the customer's key; "" is no encryption that anybody must be allowed
	Shards       int           // 0 is 4, with which an on-demand stream begins
	Retention    time.Duration // 0 is 24 hours
	MaxRecordKiB int           // largest data of a record; 0 is 1,024
	OnDemand     bool
}

// A Service answers for its streams.
type Service struct {
	config Config

	mu      sync.Mutex
	streams map[string]*stream
}

var _ gateway.Service = (*Service)(nil)

// A stream is one that is there. Only its shards change; Service.mu guards them.
type stream struct {
	Stream
	arn     string
	created time.Time
	shards  []*shard // in the order of their making: the index is in the id
	written uint64   // records, of all shards: makes sequence numbers
}

// New makes a service without streams.
func New(c Config) (*Service, error) {
	if c.Account == "" || c.Region == "" {
		return nil, fmt.Errorf("local kinesis needs an account and a region")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{config: c, streams: map[string]*stream{}}, nil
}

// Create adds a stream.
func (s *Service) Create(st Stream) error {
	if st.Shards == 0 {
		st.Shards = 4
	}
	if st.Retention == 0 {
		st.Retention = 24 * time.Hour
	}
	if st.MaxRecordKiB == 0 {
		st.MaxRecordKiB = 1024
	}
	fault := ""
	switch {
	case st.Name == "" || len(st.Name) > 128:
		fault = "a name has 1 to 128 characters"
	case st.Shards < 1 || st.Shards > 10_000:
		fault = fmt.Sprintf("%d shards are not within 1 and 10,000", st.Shards)
	case st.Retention < 24*time.Hour || st.Retention > 8760*time.Hour:
		fault = fmt.Sprintf("a retention of %s is not within 24 and 8,760 hours", st.Retention)
	case st.MaxRecordKiB < 1024 || st.MaxRecordKiB > 10_240:
		fault = fmt.Sprintf("records of %d KiB are not within 1,024 and 10,240", st.MaxRecordKiB)
	}
	if fault != "" {
		return fmt.Errorf("create stream %q: %s", st.Name, fault)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[st.Name] != nil {
		return fmt.Errorf("create stream %s: it exists", st.Name)
	}
	made := &stream{Stream: st, arn: s.arn(st.Name), created: s.config.Now()}
	for i := range st.Shards {
		made.open(hashPart(i, st.Shards), hashPart(i+1, st.Shards), made.created)
	}
	s.streams[st.Name] = made
	return nil
}

// Stream returns a stream as it was made, with what was zero then. The error is
// an *Error.
func (s *Service) Stream(id string) (Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(id)
	if err != nil {
		return Stream{}, err
	}
	return st.Stream, nil
}

func (s *Service) arn(stream string) string {
	return "arn:aws:kinesis:" + s.config.Region + ":" + s.config.Account + ":stream/" + stream
}

// find returns a stream by name or ARN; the error is a *Error. s.mu is held.
func (s *Service) find(id string) (*stream, error) {
	if _, name, isARN := strings.Cut(id, ":stream/"); isARN {
		if st := s.streams[name]; st != nil && st.arn == id {
			return st, nil
		}
	} else if st := s.streams[id]; st != nil {
		return st, nil
	}
	return nil, notFound("Stream " + id + " under account " + s.config.Account + " not found.")
}

// StreamOf reads a stream of a stack. A property that local does not know is an
// error by name.
func StreamOf(r *template.Resource) (Stream, error) {
	for name := range r.Properties {
		if !slices.Contains([]string{"Name", "Tags", "RetentionPeriodHours", "ShardCount", "StreamModeDetails", "StreamEncryption", "MaxRecordSizeInKiB"}, name) {
			return Stream{}, fmt.Errorf("stream %s: property %s is not known to local", r.LogicalID, name)
		}
	}
	var p struct {
		RetentionPeriodHours, ShardCount, MaxRecordSizeInKiB int
		StreamModeDetails                                    struct{ StreamMode string }
		StreamEncryption                                     struct{ EncryptionType, KeyId string }
	}
	if err := r.Decode(&p); err != nil {
		return Stream{}, err
	}
	st := Stream{
		Name: r.ID, Retention: time.Duration(p.RetentionPeriodHours) * time.Hour, Shards: p.ShardCount,
		MaxRecordKiB: p.MaxRecordSizeInKiB, OnDemand: p.StreamModeDetails.StreamMode == "ON_DEMAND",
	}
	switch e := p.StreamEncryption; {
	case e.EncryptionType == "" || e.KeyId == "alias/aws/kinesis":
	case e.EncryptionType == "KMS" && strings.HasPrefix(e.KeyId, "arn:") && strings.Contains(e.KeyId, ":key/"):
		st.KMSKey = e.KeyId
	default:
		return Stream{}, fmt.Errorf("stream %s: its key %q is no key's ARN, which local needs", r.LogicalID, e.KeyId)
	}
	if mode := p.StreamModeDetails.StreamMode; mode != "" && mode != "PROVISIONED" && mode != "ON_DEMAND" {
		return Stream{}, fmt.Errorf("stream %s: mode %s is not known to local", r.LogicalID, mode)
	}
	if st.OnDemand == (st.Shards > 0) {
		return Stream{}, fmt.Errorf("stream %s: a provisioned stream has a ShardCount, an on-demand stream has none", r.LogicalID)
	}
	return st, nil
}

// An Error is a refusal in the service's words.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func notFound(message string) error { return &Error{"ResourceNotFoundException", message} }

func invalid(format string, a ...any) error {
	return &Error{"InvalidArgumentException", fmt.Sprintf(format, a...)}
}
