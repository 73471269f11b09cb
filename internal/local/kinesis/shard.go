package kinesis

import (
	"crypto/md5"
	"fmt"
	"math/big"
	"sort"
	"time"
)

// A Record is one record of a shard. Data belongs to the service: readers must
// not change it.
type Record struct {
	Sequence     string // 56 digits, so that they compare as text
	PartitionKey string
	Data         []byte
	Arrival      time.Time
}

// A shard has the records whose keys' hashes fall into its range. It is closed
// when end is set: then children have its range.
type shard struct {
	id         string
	first      *big.Int // hash key range, inclusive
	behind     *big.Int // first hash key behind the range
	parents    []string // none, one (split) or two (merge: the first is the one that the API calls parent)
	start, end string   // sequence numbers; end "" while open
	created    time.Time
	closed     time.Time

	records []Record      // those still kept
	trimmed int64         // how many went before them
	changed chan struct{} // closed and replaced when a record comes or the shard closes

	// The limits of reading, by operation: begun are the times of the last calls
	// within a second, until is when a large read has been paid for.
	begun map[string][]time.Time
	until time.Time
}

// hashPart is where part i of n equal parts of the hash keys begins.
func hashPart(i, n int) *big.Int {
	all := new(big.Int).Lsh(big.NewInt(1), 128)
	return all.Div(all.Mul(all, big.NewInt(int64(i))), big.NewInt(int64(n)))
}

// hashOf is a partition key's place: its MD5.
// https://docs.aws.amazon.com/streams/latest/dev/key-concepts.html
func hashOf(partitionKey string) *big.Int {
	sum := md5.Sum([]byte(partitionKey))
	return new(big.Int).SetBytes(sum[:])
}

// sequence makes the next sequence number of a shard: the stream's age, the
// number of the write, the shard, so that it grows within a shard and from
// parent to child, and never repeats. 56 digits, as the service's have.
func (st *stream) sequence(shard int) string {
	st.written++
	return fmt.Sprintf("49%022d%024d%08d", st.created.UnixNano(), st.written, shard)
}

// open adds a shard. Service.mu is held, as by all methods of stream and shard.
func (st *stream) open(first, behind *big.Int, now time.Time, parents ...string) *shard {
	n := len(st.shards)
	sh := &shard{
		id: fmt.Sprintf("shardId-%012d", n), first: first, behind: behind, parents: parents, start: st.sequence(n), created: now,
		changed: make(chan struct{}), begun: map[string][]time.Time{},
	}
	st.shards = append(st.shards, sh)
	return sh
}

func (st *stream) close(sh *shard, index int, now time.Time) {
	sh.end, sh.closed = st.sequence(index), now
	sh.wake()
}

func (sh *shard) wake() {
	close(sh.changed)
	sh.changed = make(chan struct{})
}

// total is how many records ever came: the position behind the last one.
func (sh *shard) total() int64 { return sh.trimmed + int64(len(sh.records)) }

// trim forgets what came before the horizon.
func (sh *shard) trim(horizon time.Time) {
	n := sort.Search(len(sh.records), func(i int) bool { return !sh.records[i].Arrival.Before(horizon) })
	if n > 0 {
		clear(sh.records[:n])
		sh.records = sh.records[n:]
		sh.trimmed += int64(n)
	}
}

// expired says whether nothing of a closed shard is kept any more.
func (sh *shard) expired(horizon time.Time) bool {
	return sh.end != "" && sh.closed.Before(horizon)
}

// position is the place of the first record for which behind holds; records
// before it do not have it.
func (sh *shard) position(behind func(Record) bool) int64 {
	return sh.trimmed + int64(sort.Search(len(sh.records), func(i int) bool { return behind(sh.records[i]) }))
}

// owner is the open shard for a hash key.
func (st *stream) owner(hash *big.Int) (int, *shard) {
	for i, sh := range st.shards {
		if sh.end == "" && sh.first.Cmp(hash) <= 0 && hash.Cmp(sh.behind) < 0 {
			return i, sh
		}
	}
	return -1, nil // the open shards' ranges are all hash keys
}

// shard returns a shard that is still kept, by id.
func (s *Service) shard(st *stream, id string) (*shard, error) {
	horizon := s.config.Now().Add(-st.Retention)
	for _, sh := range st.shards {
		if sh.id == id && !sh.expired(horizon) {
			sh.trim(horizon)
			return sh, nil
		}
	}
	return nil, notFound(fmt.Sprintf("Shard %s in stream %s under account %s does not exist", id, st.Name, s.config.Account))
}

// Split closes an open shard and opens two that halve its range, as an on-demand
// stream does when it grows. It returns their ids.
func (s *Service) Split(streamName, shardID string) ([2]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, i, err := s.opened(streamName, shardID)
	if err != nil {
		return [2]string{}, fmt.Errorf("split %s: %w", shardID, err)
	}
	sh, now := st.shards[i], s.config.Now()
	middle := new(big.Int).Add(sh.first, sh.behind)
	middle.Rsh(middle, 1)
	if middle.Cmp(sh.first) == 0 {
		return [2]string{}, fmt.Errorf("split %s: its range is one hash key", shardID)
	}
	st.close(sh, i, now)
	return [2]string{st.open(sh.first, middle, now, sh.id).id, st.open(middle, sh.behind, now, sh.id).id}, nil
}

// Merge closes two open shards whose ranges touch, and opens one for both. It
// returns its id.
func (s *Service) Merge(streamName, shardID, adjacentID string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, i, err := s.opened(streamName, shardID)
	if err != nil {
		return "", fmt.Errorf("merge %s: %w", shardID, err)
	}
	_, k, err := s.opened(streamName, adjacentID)
	if err != nil {
		return "", fmt.Errorf("merge %s: %w", adjacentID, err)
	}
	a, b := st.shards[i], st.shards[k]
	low, high := a, b
	if low.first.Cmp(high.first) > 0 {
		low, high = b, a
	}
	if low.behind.Cmp(high.first) != 0 {
		return "", fmt.Errorf("merge %s and %s: their ranges do not touch", shardID, adjacentID)
	}
	now := s.config.Now()
	st.close(a, i, now)
	st.close(b, k, now)
	return st.open(low.first, high.behind, now, a.id, b.id).id, nil
}

// opened finds an open shard.
func (s *Service) opened(streamName, shardID string) (*stream, int, error) {
	st, err := s.find(streamName)
	if err != nil {
		return nil, 0, err
	}
	for i, sh := range st.shards {
		if sh.id == shardID {
			if sh.end != "" {
				return nil, 0, fmt.Errorf("%s is closed", shardID)
			}
			return st, i, nil
		}
	}
	return nil, 0, fmt.Errorf("stream %s has no %s", st.Name, shardID)
}
