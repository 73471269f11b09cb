package qldb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/aws/smithy-go"

	"godwit/internal/ledgergen"
)

// Limits of the service.
// https://docs.aws.amazon.com/qldb/latest/developerguide/limits.html
const streamsAtOnce = 5 // of one ledger

// The states of a stream, beside completed.
const (
	active   = "ACTIVE"
	impaired = "IMPAIRED"
	canceled = "CANCELED"
)

const (
	chunk       = 64                     // blocks that are sent at once, and put in disorder together
	streamPause = 100 * time.Millisecond // between attempts of an impaired stream
)

// A journalStream sends a ledger's journal to Kinesis, as it grows. The service
// guards status, cause, err and sent; nothing else changes.
type journalStream struct {
	number  int // in the order in which they began
	id, arn string
	ledger  *ledger
	request streamRequest
	created time.Time
	start   time.Time
	end     time.Time // zero is never
	cancel  context.CancelFunc

	status string
	cause  string // of IMPAIRED
	err    error  // likewise
	sent   int64  // blocks before this one are in Kinesis, or before the start
}

type streamRequest struct {
	InclusiveStartTime, ExclusiveEndTime *float64
	RoleArn, StreamName                  string
	Tags                                 map[string]*string
	KinesisConfiguration                 *struct {
		StreamArn          string
		AggregationEnabled *bool
	}
}

func (r *streamRequest) check() error {
	c := r.KinesisConfiguration
	switch {
	case r.InclusiveStartTime == nil:
		return invalid("InclusiveStartTime", "InclusiveStartTime is missing")
	case len(r.RoleArn) < 20:
		return invalid("RoleArn", "RoleArn is missing, or no ARN")
	case !validName(r.StreamName):
		return invalid("StreamName", "The provided stream name is not valid: "+r.StreamName)
	case c == nil || len(c.StreamArn) < 20:
		return invalid("KinesisConfiguration", "StreamArn is missing, or no ARN")
	}
	return nil
}

// aggregated says whether messages share records: so unless the request says no.
func (r *streamRequest) aggregated() bool {
	return r.KinesisConfiguration.AggregationEnabled == nil || *r.KinesisConfiguration.AggregationEnabled
}

func (s *Service) streamARN(ledger, id string) string {
	return "arn:aws:qldb:" + s.config.Region + ":" + s.config.Account + ":stream/" + ledger + "/" + id
}

func (s *Service) streamJournal(r request, body []byte) (any, error) {
	x := &journalStream{id: newID(), status: active, created: s.config.Now()}
	x.arn = s.streamARN(r.ledger, x.id)
	if err := decode(body, &x.request); err != nil {
		return nil, err
	}
	l, _, err := s.now(r.ledger)
	if err != nil {
		return nil, err
	}
	if err := x.request.check(); err != nil {
		return nil, err
	}
	x.ledger, x.start = l, timestamp(*x.request.InclusiveStartTime)
	if x.request.ExclusiveEndTime != nil {
		x.end = timestamp(*x.request.ExclusiveEndTime)
	}
	switch {
	case x.start.After(x.created):
		return nil, invalid("InclusiveStartTime", "Start date cannot be in the future")
	case !x.end.IsZero() && !x.start.Before(x.end):
		return nil, invalid("InclusiveStartTime", "Start date must be earlier than end date")
	}
	x.sent = l.journal.First(x.start)
	err = s.config.Roles.CanAssume(x.request.RoleArn, principal, map[string]string{"aws:SourceArn": x.arn, "aws:SourceAccount": s.config.Account})
	if err != nil {
		return nil, invalid("RoleArn", "QLDB cannot assume the role "+x.request.RoleArn+": "+err.Error())
	}
	if err := s.beginStream(x); err != nil {
		return nil, err
	}
	return struct{ StreamId string }{x.id}, nil
}

// beginStream starts the stream and returns when its first message is in Kinesis:
// QLDB checked by that whether the role may write.
func (s *Service) beginStream(x *journalStream) error {
	s.mu.Lock()
	count := 0
	var refused error
	for _, have := range s.streams {
		if have.ledger != x.ledger || have.ended() {
			continue
		}
		if count++; have.request.StreamName == x.request.StreamName {
			refused = &failure{status: http.StatusPreconditionFailed, code: "ResourcePreconditionNotMetException", ResourceType: "JournalKinesisStream", ResourceName: x.request.StreamName, Message: "The ledger has an active stream of that name"}
		}
	}
	switch {
	case s.ctx.Err() != nil:
		refused = notFound("Ledger", x.ledger.name) // closed meanwhile
	case refused == nil && count >= streamsAtOnce:
		refused = &failure{status: http.StatusBadRequest, code: "LimitExceededException", ResourceType: "JournalKinesisStream", Message: fmt.Sprintf("Exceeded the limit of %d concurrent journal streams of the ledger %s", streamsAtOnce, x.ledger.name)}
	}
	if refused != nil {
		s.mu.Unlock()
		return refused
	}
	s.begun++
	x.number = s.begun
	s.streams = append(s.streams, x)
	ctx, cancel := context.WithCancel(s.ctx)
	x.cancel = cancel
	s.mu.Unlock()

	p := s.newProducer(x)
	err := p.begin(ctx)
	if err != nil {
		cancel()
		p.close()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.streams = slices.DeleteFunc(s.streams, func(have *journalStream) bool { return have == x })
		var answer smithy.APIError
		if errors.As(err, &answer) {
			return invalid("KinesisConfiguration", "QLDB encountered an error validating Kinesis Data Streams: Response from Kinesis: "+answer.ErrorCode()+" "+answer.ErrorMessage())
		}
		return err
	}
	s.jobs.Go(func() {
		defer p.close()
		s.send(ctx, x, p)
	})
	return nil
}

// send sends block after block until the stream ends.
func (s *Service) send(ctx context.Context, x *journalStream, p *producer) {
	chance := rand.New(rand.NewPCG(s.config.Disorder, uint64(x.number)))
	for {
		s.mu.Lock()
		first, last, news := x.sent, x.ledger.visible, s.news
		s.mu.Unlock()
		over := false
		if !x.end.IsZero() {
			stop := x.ledger.journal.First(x.end)
			over = stop < last || !s.config.Now().Before(x.end)
			last = min(last, stop)
		}
		if first >= last {
			if over {
				s.complete(ctx, x, p)
				return
			}
			select {
			case <-news:
			case <-ctx.Done():
				return
			}
			continue
		}
		last = min(last, first+chunk)
		messages, err := x.messages(first, last)
		if err == nil {
			if s.config.Disorder != 0 {
				messages = disorder(chance, messages)
			}
			err = p.put(ctx, messages)
		}
		if !s.settle(ctx, x, last, err) {
			return
		}
	}
}

// messages are those of the blocks from first to before last.
func (x *journalStream) messages(first, last int64) ([]ledgergen.StreamMessage, error) {
	var all []ledgergen.StreamMessage
	for n := first; n < last; n++ {
		b, err := x.ledger.journal.Block(n)
		if err != nil {
			return nil, err
		}
		messages, err := b.Stream(x.arn)
		if err != nil {
			return nil, err
		}
		all = append(all, messages...)
	}
	return all, nil
}

// disorder is how QLDB was allowed to deliver: in any order, and some messages
// more than once.
func disorder(chance *rand.Rand, messages []ledgergen.StreamMessage) []ledgergen.StreamMessage {
	for _, m := range messages[:len(messages):len(messages)] {
		if chance.IntN(50) == 0 {
			messages = append(messages, m)
		}
	}
	chance.Shuffle(len(messages), func(i, k int) { messages[i], messages[k] = messages[k], messages[i] })
	return messages
}

// settle notes what became of the blocks before last, and says whether the
// stream goes on. One that cannot write is impaired and tries again: what it had
// sent of them goes out twice then.
func (s *Service) settle(ctx context.Context, x *journalStream, last int64, err error) bool {
	s.mu.Lock()
	if ctx.Err() != nil {
		s.mu.Unlock()
		return false
	}
	var answer smithy.APIError
	switch {
	case err == nil:
		x.status, x.cause, x.err, x.sent = active, "", nil, last
	case errors.As(err, &answer) && answer.ErrorCode() == "ResourceNotFoundException":
		x.status, x.cause, x.err = impaired, "KINESIS_STREAM_NOT_FOUND", err
	default:
		x.status, x.cause, x.err = impaired, "IAM_PERMISSION_REVOKED", err
	}
	s.mu.Unlock()
	s.tell()
	if err == nil {
		return true
	}
	pause := time.NewTimer(streamPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// complete ends a stream whose end time has come.
func (s *Service) complete(ctx context.Context, x *journalStream, p *producer) {
	for {
		m, err := ledgergen.StreamControl(x.arn, "COMPLETED")
		if err == nil {
			err = p.put(ctx, []ledgergen.StreamMessage{m})
		}
		if !s.settle(ctx, x, x.sent, err) {
			return
		}
		if err == nil {
			s.mu.Lock()
			x.status = completed
			s.mu.Unlock()
			s.tell()
			return
		}
	}
}

// ended says whether a stream sends nothing any more. s.mu is held.
func (x *journalStream) ended() bool { return x.status == completed || x.status == canceled }

// tell wakes who waits for a ledger to grow, or for a stream.
func (s *Service) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.news)
	s.news = make(chan struct{})
}

// Streamed returns when every stream of a ledger that has not ended has put all
// visible blocks into Kinesis, or with why one cannot, or with ctx's cause.
func (s *Service) Streamed(ctx context.Context, ledger string) error {
	for {
		s.mu.Lock()
		behind, news := false, s.news
		var err error
		for _, x := range s.streams {
			if x.ledger.name != ledger || x.ended() || x.sent >= x.ledger.visible {
				continue
			}
			if behind = true; x.status == impaired && err == nil {
				err = fmt.Errorf("stream %s of ledger %s is impaired at block %d: %w", x.request.StreamName, ledger, x.sent, x.err)
			}
		}
		s.mu.Unlock()
		if !behind || err != nil {
			return err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A streamDescription is a stream as the API describes it.
type streamDescription struct {
	Arn, LedgerName, RoleArn, Status, StreamId, StreamName string
	CreationTime, InclusiveStartTime                       float64
	ExclusiveEndTime                                       *float64 `json:",omitempty"`
	ErrorCause                                             string   `json:",omitempty"`
	KinesisConfiguration                                   any
}

// describe is called with s.mu held.
func (x *journalStream) describe() streamDescription {
	return streamDescription{
		Arn: x.arn, LedgerName: x.ledger.name, RoleArn: x.request.RoleArn, Status: x.status, StreamId: x.id, StreamName: x.request.StreamName,
		CreationTime: seconds(x.created), InclusiveStartTime: seconds(x.start), ExclusiveEndTime: x.request.ExclusiveEndTime, ErrorCause: x.cause,
		KinesisConfiguration: struct {
			StreamArn          string
			AggregationEnabled bool
		}{x.request.KinesisConfiguration.StreamArn, x.request.aggregated()},
	}
}

// findStream is called with s.mu held.
func (s *Service) findStream(r request) (*journalStream, error) {
	if _, err := s.find(r.ledger); err != nil {
		return nil, err
	}
	for _, x := range s.streams {
		if x.id == r.id && x.ledger.name == r.ledger {
			return x, nil
		}
	}
	return nil, notFound("JournalKinesisStream", r.id)
}

func (s *Service) describeStream(r request, _ []byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.findStream(r)
	if err != nil {
		return nil, err
	}
	return struct{ Stream streamDescription }{x.describe()}, nil
}

func (s *Service) listStreams(r request, _ []byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.find(r.ledger); err != nil {
		return nil, err
	}
	var all []*journalStream
	for _, x := range s.streams {
		if x.ledger.name == r.ledger {
			all = append(all, x)
		}
	}
	some, next, err := page(r, all, func(x *journalStream) string { return fmt.Sprintf("%09d", x.number) })
	if err != nil {
		return nil, err
	}
	out := struct {
		Streams   []streamDescription
		NextToken *string `json:",omitempty"`
	}{[]streamDescription{}, next}
	for _, x := range some {
		out.Streams = append(out.Streams, x.describe())
	}
	return out, nil
}

func (s *Service) cancelStream(r request, _ []byte) (any, error) {
	s.mu.Lock()
	defer s.tell()
	defer s.mu.Unlock()
	x, err := s.findStream(r)
	if err != nil {
		return nil, err
	}
	if x.ended() {
		return nil, &failure{status: http.StatusPreconditionFailed, code: "ResourcePreconditionNotMetException", ResourceType: "JournalKinesisStream", ResourceName: x.id, Message: "The stream is " + x.status}
	}
	x.status = canceled
	x.cancel()
	return struct{ StreamId string }{x.id}, nil
}
