package kinesis

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"time"
)

// The limits of reading.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
const (
	maxReadRecords = 10_000
	maxReadBytes   = 10 << 20
	readsASecond   = 5       // of each operation and shard
	bytesASecond   = 2 << 20 // of a shard; more makes later reads wait
	iteratorLife   = 5 * time.Minute
)

// The kinds of iterators.
const (
	TrimHorizon   = "TRIM_HORIZON"
	Latest        = "LATEST"
	AtTimestamp   = "AT_TIMESTAMP"
	AtSequence    = "AT_SEQUENCE_NUMBER"
	AfterSequence = "AFTER_SEQUENCE_NUMBER"
)

// A Start says where in a shard to begin.
type Start struct {
	Type      string
	Sequence  string    // of AtSequence and AfterSequence
	Timestamp time.Time // of AtTimestamp
}

// A Shard is a shard as ListShards tells of it.
type Shard struct {
	ID          string
	Parents     []string // none, one of a split, two of a merge; they may be gone already
	FirstHash   string   // of its range, decimal
	LastHash    string   // of its range, decimal, inclusive
	StartNumber string   // sequence number behind which its records begin
	EndNumber   string   // of its end; "" while it is open
	Created     time.Time
	Closed      time.Time // zero while it is open
}

// A Read is the answer of Records.
type Read struct {
	Records []Record
	Next    string        // iterator behind them; "" when the shard is closed and read to its end
	Behind  time.Duration // from the last record's arrival to now; 0 at the tip
	// Children are the ids of the shards that go on where a closed shard ends,
	// given with its end.
	Children []Shard
}

// An iterator is a place in a shard, and when it was given out.
type iterator struct {
	Stream, Shard string
	Position      int64 // of the next record: how many came before it
	Issued        int64 // nanoseconds since 1970
}

func (i iterator) text() string {
	b, err := json.Marshal(i)
	if err != nil {
		return "" // texts and numbers always are JSON
	}
	return base64.StdEncoding.EncodeToString(b)
}

func parseIterator(text string) (iterator, error) {
	var it iterator
	b, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, &it)
	}
	if err != nil || it.Stream == "" || it.Position < 0 {
		return iterator{}, invalid("Invalid ShardIterator.")
	}
	return it, nil
}

// Shards lists the shards that are still kept, closed ones included, by id. The
// error is an *Error.
func (s *Service) Shards(streamID string) ([]Shard, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(streamID)
	if err != nil {
		return nil, err
	}
	var list []Shard
	horizon := s.config.Now().Add(-st.Retention)
	for _, sh := range st.shards {
		if !sh.expired(horizon) {
			list = append(list, sh.describe())
		}
	}
	return list, nil
}

func (sh *shard) describe() Shard {
	last := new(big.Int).Sub(sh.behind, big.NewInt(1))
	return Shard{
		ID: sh.id, Parents: slices.Clone(sh.parents), FirstHash: sh.first.String(), LastHash: last.String(),
		StartNumber: sh.start, EndNumber: sh.end, Created: sh.created, Closed: sh.closed,
	}
}

// Iterator returns an iterator, which lasts five minutes. The error is an *Error.
func (s *Service) Iterator(streamID, shardID string, start Start) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(streamID)
	if err != nil {
		return "", err
	}
	sh, err := s.shard(st, shardID)
	if err != nil {
		return "", err
	}
	now := s.config.Now()
	if err := sh.admit("GetShardIterator", now, st.Name, s.config.Account); err != nil {
		return "", err
	}
	it := iterator{Stream: st.Name, Shard: sh.id, Issued: now.UnixNano()}
	switch start.Type {
	case TrimHorizon:
		it.Position = sh.trimmed
	case Latest:
		it.Position = sh.total()
	case AtTimestamp:
		if start.Timestamp.After(now) {
			return "", invalid("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: %d, currentTimestampInMillis: %d", start.Timestamp.UnixMilli(), now.UnixMilli())
		}
		it.Position = sh.position(func(r Record) bool { return !r.Arrival.Before(start.Timestamp) })
	case AtSequence, AfterSequence:
		if !sh.has(start.Sequence) {
			return "", invalid("StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s under account %s is invalid because it did not come from this stream.", start.Sequence, sh.id, st.Name, s.config.Account)
		}
		it.Position = sh.position(func(r Record) bool {
			return r.Sequence > start.Sequence || start.Type == AtSequence && r.Sequence == start.Sequence
		})
	default:
		return "", &Error{"ValidationException", "1 validation error detected: Value '" + start.Type + "' at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]"}
	}
	return it.text(), nil
}

// has says whether a sequence number is one of the shard's: its own end parts
// name the shard, and it lies within what was given out.
func (sh *shard) has(sequence string) bool {
	if len(sequence) != len(sh.start) || sequence[:24] != sh.start[:24] || sequence[48:] != sh.start[48:] || sequence < sh.start {
		return false
	}
	last := sh.end
	if last == "" {
		last = sh.start
		if n := len(sh.records); n > 0 {
			last = sh.records[n-1].Sequence
		} else if sh.trimmed > 0 {
			return true // trimmed to the last: nobody knows any more
		}
	}
	return sequence <= last
}

// admit counts a call against the shard's calls a second.
func (sh *shard) admit(operation string, now time.Time, stream, account string) error {
	recent := slices.DeleteFunc(sh.begun[operation], func(t time.Time) bool { return now.Sub(t) >= time.Second })
	sh.begun[operation] = recent
	if len(recent) >= readsASecond || operation == "GetRecords" && now.Before(sh.until) {
		return &Error{"ProvisionedThroughputExceededException", "Rate exceeded for shard " + sh.id + " in stream " + stream + " under account " + account + "."}
	}
	sh.begun[operation] = append(recent, now)
	return nil
}

// Records reads up to limit records, 0 for the most, from an iterator on. The
// error is an *Error.
func (s *Service) Records(iteratorText string, limit int) (Read, error) {
	if limit == 0 {
		limit = maxReadRecords
	}
	if limit < 1 || limit > maxReadRecords {
		return Read{}, invalid("The limit %d is not within 1 and %d.", limit, maxReadRecords)
	}
	it, err := parseIterator(iteratorText)
	if err != nil {
		return Read{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(it.Stream)
	if err != nil {
		return Read{}, err
	}
	now := s.config.Now()
	if age := now.Sub(time.Unix(0, it.Issued)); age > iteratorLife {
		return Read{}, &Error{"ExpiredIteratorException", "Iterator expired. The iterator was created at time " + time.Unix(0, it.Issued).UTC().Format(time.RFC3339) + " while right now it is " + now.UTC().Format(time.RFC3339) + " which is further in the future than the tolerated delay of 300000 milliseconds."}
	}
	sh, err := s.shard(st, it.Shard)
	if err != nil {
		return Read{}, err
	}
	if err := sh.admit("GetRecords", now, st.Name, s.config.Account); err != nil {
		return Read{}, err
	}
	read := Read{}
	it.Position = max(it.Position, sh.trimmed)
	for size := 0; it.Position < sh.total() && len(read.Records) < limit; it.Position++ {
		r := sh.records[it.Position-sh.trimmed]
		size += len(r.Data) + len(r.PartitionKey)
		if size > maxReadBytes && len(read.Records) > 0 {
			break
		}
		read.Records = append(read.Records, r)
		if size > bytesASecond {
			sh.until = now.Add(time.Duration(size) * time.Second / bytesASecond)
		}
	}
	if it.Position < sh.total() {
		read.Behind = now.Sub(read.Records[len(read.Records)-1].Arrival)
	}
	if sh.end != "" && it.Position >= sh.total() {
		for _, child := range st.shards {
			if slices.Contains(child.parents, sh.id) {
				read.Children = append(read.Children, child.describe())
			}
		}
		return read, nil
	}
	it.Issued = now.UnixNano()
	read.Next = it.text()
	return read, nil
}

// Waiting says whether Records would have something to say from an iterator on:
// a record, or the shard's end. It is for programs in this process; a channel
// that is closed when that may have changed saves them asking once a second.
func (s *Service) Waiting(iteratorText string) (bool, <-chan struct{}, error) {
	it, err := parseIterator(iteratorText)
	if err != nil {
		return false, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(it.Stream)
	if err != nil {
		return false, nil, err
	}
	sh, err := s.shard(st, it.Shard)
	if err != nil {
		return false, nil, err
	}
	return it.Position < sh.total() || sh.end != "", sh.changed, nil
}

// Wait returns when Waiting says so, or with ctx's cause.
func (s *Service) Wait(ctx context.Context, iteratorText string) error {
	for {
		ready, changed, err := s.Waiting(iteratorText)
		if ready || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
