package kinesis

import (
	"fmt"
	"math/big"
	"regexp"
	"unicode/utf8"
)

// The limits of one PutRecords.
const (
	maxPutRecords = 500
	maxPutBytes   = 10 << 20 // data and partition keys
)

// An Entry is a record to be put.
type Entry struct {
	PartitionKey string
	// ExplicitHashKey chooses the shard instead of the key's MD5: a decimal
	// number below 2^128; "" leaves it to the key.
	ExplicitHashKey string
	Data            []byte
}

// A Result is what became of an Entry: its place, or the code and words of why
// it was not stored.
type Result struct {
	ShardID  string
	Sequence string
	Code     string
	Message  string
}

// Put stores records in their order, as PutRecords does: one that is refused
// does not keep the others out. The error is an *Error, and then none is stored.
func (s *Service) Put(streamID string, entries ...Entry) ([]Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(streamID)
	if err != nil {
		return nil, err
	}
	hashes, size := make([]*big.Int, len(entries)), 0
	for i, e := range entries {
		if hashes[i], err = st.check(e, i); err != nil {
			return nil, err
		}
		size += len(e.Data) + len(e.PartitionKey)
	}
	if len(entries) < 1 || len(entries) > maxPutRecords {
		return nil, &Error{"ValidationException", fmt.Sprintf("1 validation error detected: Value at 'records' failed to satisfy constraint: Member must have length less than or equal to %d, and has %d", maxPutRecords, len(entries))}
	}
	if size > maxPutBytes {
		return nil, invalid("Records size exceeds %d MiB limit", maxPutBytes>>20)
	}
	now := s.config.Now()
	results := make([]Result, len(entries))
	for i, e := range entries {
		if s.config.Refuse != nil {
			if code := s.config.Refuse(st.Name, e.PartitionKey); code != "" {
				results[i] = Result{Code: code, Message: refusal(code, st.Name, s.config.Account)}
				continue
			}
		}
		n, sh := st.owner(hashes[i])
		r := Record{Sequence: st.sequence(n), PartitionKey: e.PartitionKey, Data: e.Data, Arrival: now}
		sh.records = append(sh.records, r)
		sh.wake()
		results[i] = Result{ShardID: sh.id, Sequence: r.Sequence}
	}
	return results, nil
}

func refusal(code, stream, account string) string {
	if code == "ProvisionedThroughputExceededException" {
		return "Rate exceeded for a shard in stream " + stream + " under account " + account + "."
	}
	return "Internal service failure."
}

var decimal = regexp.MustCompile(`^(0|[1-9][0-9]{0,38})$`)

// check refuses what no shard takes, and returns the entry's hash key.
func (st *stream) check(e Entry, i int) (*big.Int, error) {
	if n := utf8.RuneCountInString(e.PartitionKey); n < 1 || n > 256 {
		return nil, &Error{"ValidationException", fmt.Sprintf("1 validation error detected: Value at 'records.%d.member.partitionKey' failed to satisfy constraint: Member must have length within 1 and 256, and has %d", i+1, n)}
	}
	if limit := st.MaxRecordKiB << 10; len(e.Data) > limit {
		return nil, &Error{"ValidationException", fmt.Sprintf("1 validation error detected: Value at 'records.%d.member.data' failed to satisfy constraint: Member must have length less than or equal to %d, and has %d", i+1, limit, len(e.Data))}
	}
	if e.ExplicitHashKey == "" {
		return hashOf(e.PartitionKey), nil
	}
	hash, ok := new(big.Int).SetString(e.ExplicitHashKey, 10)
	if !decimal.MatchString(e.ExplicitHashKey) || !ok || hash.BitLen() > 128 {
		return nil, invalid("Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", e.ExplicitHashKey)
	}
	return hash, nil
}
