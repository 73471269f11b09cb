package esm

import (
	"context"
	"errors"
	"hash/fnv"
	"time"

	"godwit/internal/local/gateway"
	"godwit/internal/local/kinesis"
)

// A shard is one that is being read. mapping.mu guards what changes of it and of
// its lanes.
type shard struct {
	run   *run
	id    string
	limit time.Duration // how old a record may get
	lanes []*lane
	room  chan struct{} // holds a token when records were finished

	// Under m.mu.
	iterator string  // where the next read begins
	idle     bool    // the reader waits for records behind iterator
	crowded  bool    // the reader waits until records are finished
	over     bool    // the shard is closed and read to its end
	open     []*item // read, and not yet below the checkpoint, in order
	bytes    int     // of their data
	problem  string  // why it cannot be read
	failing  int     // how often in a row it could not
}

// An item is a record on its way.
type item struct {
	kinesis.Record
	lane *lane
	size int // in an event
	done bool
}

// start begins to read a shard, whose records the stream keeps for a while. m.mu
// is held.
func (r *run) start(id string, from kinesis.Start, retention time.Duration) {
	sh := &shard{run: r, id: id, limit: retention, room: make(chan struct{}, 1)}
	if r.settings.MaxAge > 0 {
		sh.limit = min(sh.limit, r.settings.MaxAge)
	}
	for n := range r.settings.Parallel {
		sh.lanes = append(sh.lanes, &lane{shard: sh, number: n, wake: make(chan struct{}, 1)})
	}
	r.shards[id] = sh
	r.jobs.Go(func() { sh.read(from) })
	for _, l := range sh.lanes {
		r.jobs.Go(l.work)
	}
}

// admit has the gateway judge a call to Kinesis as the function's role. Its error
// may also be a fault that the run asks for.
func (m *mapping) admit(operation string) error {
	c := m.service.config
	_, fault, err := c.Gateway.Admit(m.Role, c.Kinesis.Calls(operation, m.StreamARN)...)
	switch {
	case err != nil:
		return err
	case fault == gateway.Throttle:
		return &kinesis.Error{Code: "ProvisionedThroughputExceededException", Message: "Rate exceeded"}
	case fault != gateway.None:
		return errors.New("the connection broke") // reading again loses nothing
	}
	return nil
}

// read reads the shard from its position on until its end, or until the run stops.
func (sh *shard) read(from kinesis.Start) {
	m, config := sh.run.m, sh.run.m.service.config
	for sh.run.ctx.Err() == nil {
		err := sh.next(&from)
		if err == nil {
			m.mu.Lock()
			over := sh.over
			sh.failing, sh.problem = 0, ""
			m.note()
			m.mu.Unlock()
			if over {
				return
			}
			continue
		}
		if sh.run.ctx.Err() != nil {
			return
		}
		var e *kinesis.Error
		code := ""
		if errors.As(err, &e) {
			code = e.Code
		}
		switch code {
		case "ExpiredIteratorException": // an idle shard: ask for a new one at the same place
			m.mu.Lock()
			sh.iterator, from = "", m.positionOf(sh)
			m.mu.Unlock()
			continue
		case "ResourceNotFoundException": // the shard was closed long ago: nothing of it is kept
			m.mu.Lock()
			sh.wakeLanes(true)
			m.note()
			m.mu.Unlock()
			return
		case "ProvisionedThroughputExceededException": // five reads a second
			if config.Clock.Sleep(sh.run.ctx, readPause) != nil {
				return
			}
			continue
		}
		m.mu.Lock()
		sh.failing++
		sh.problem = err.Error()
		m.trouble(err)
		pause := backoff(sh.failing)
		m.note()
		m.mu.Unlock()
		if config.Clock.Sleep(sh.run.ctx, pause) != nil {
			return
		}
	}
}

// positionOf is where to read on: behind the last record read. m.mu is held.
func (m *mapping) positionOf(sh *shard) kinesis.Start {
	if n := len(sh.open); n > 0 {
		return kinesis.Start{Type: kinesis.AfterSequence, Sequence: sh.open[n-1].Sequence}
	}
	return m.positions[sh.id].start
}

// next reads once: it waits for room and for a record, and hands what it read to
// the lanes.
func (sh *shard) next(from *kinesis.Start) error {
	m, k := sh.run.m, sh.run.m.service.config.Kinesis
	if err := sh.waitForRoom(); err != nil {
		return err
	}
	m.mu.Lock()
	iterator := sh.iterator
	m.mu.Unlock()
	if iterator == "" {
		if err := m.admit("GetShardIterator"); err != nil {
			return err
		}
		now := m.service.config.Clock.Now()
		var err error
		if iterator, err = k.Iterator(m.StreamARN, sh.id, *from); err != nil {
			return err
		}
		m.mu.Lock()
		if p := m.positions[sh.id]; p.start.Type == kinesis.Latest {
			// From here on the mapping must not lose what comes while it is disabled.
			p.start = kinesis.Start{Type: kinesis.AtTimestamp, Timestamp: now}
		}
		m.mu.Unlock()
	}
	m.mu.Lock()
	sh.iterator, sh.idle = iterator, true
	m.note()
	m.mu.Unlock()
	err := k.Wait(sh.run.ctx, iterator)
	m.mu.Lock()
	sh.idle = false
	m.mu.Unlock()
	if err != nil {
		return err
	}
	if err := m.admit("GetRecords"); err != nil {
		return err
	}
	read, err := k.Records(iterator, 0)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	sh.iterator = read.Next
	m.stats.Polled += int64(len(read.Records))
	for _, r := range read.Records {
		l := sh.lanes[laneOf(r.PartitionKey, len(sh.lanes))]
		it := &item{Record: r, lane: l, size: m.size(sh.id, r)}
		sh.open = append(sh.open, it)
		sh.bytes += len(r.Data)
		l.queue = append(l.queue, it)
		l.left++
	}
	sh.wakeLanes(read.Next == "")
	return nil
}

// wakeLanes tells the lanes that records came, or that no more can come. m.mu is
// held.
func (sh *shard) wakeLanes(over bool) {
	sh.over = over
	for _, l := range sh.lanes {
		l.look()
	}
	if over && len(sh.open) == 0 {
		sh.run.finished(sh)
	}
}

// laneOf keeps the records of a partition key in one lane.
func laneOf(partitionKey string, lanes int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(partitionKey)) // never fails
	return int(h.Sum32() % uint32(lanes))
}

// waitForRoom keeps the reader from running ahead of the lanes: what it holds is
// what a stop makes them see again.
func (sh *shard) waitForRoom() error {
	m, s := sh.run.m, sh.run.settings
	for {
		m.mu.Lock()
		sh.crowded = len(sh.open) >= max(2*s.BatchSize*s.Parallel, 1000) || sh.bytes >= 2*maxEvent*s.Parallel
		crowded := sh.crowded
		m.note()
		m.mu.Unlock()
		if !crowded {
			return nil
		}
		select {
		case <-sh.room:
		case <-sh.run.ctx.Done():
			return context.Cause(sh.run.ctx)
		}
	}
}

// finish counts items as done and moves the checkpoint behind the first of the
// shard's items that are all done. m.mu is held.
func (sh *shard) finish(items []*item) {
	if len(items) == 0 {
		return
	}
	for _, it := range items {
		it.done = true
		it.lane.left--
		sh.bytes -= len(it.Data)
		it.Data = nil
	}
	n := 0
	for n < len(sh.open) && sh.open[n].done {
		n++
	}
	if n > 0 {
		sh.run.m.positions[sh.id].start = kinesis.Start{Type: kinesis.AfterSequence, Sequence: sh.open[n-1].Sequence}
		clear(sh.open[:n])
		sh.open = sh.open[n:]
	}
	select {
	case sh.room <- struct{}{}:
	default:
	}
	if sh.over && len(sh.open) == 0 {
		sh.run.finished(sh)
	}
}
