package source

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"godwit/internal/change"
	"godwit/internal/local/cdc"
)

// What one PutRecords takes, and what DMS and DSQL stay below.
const (
	mostRecords = 500
	mostBytes   = 5 << 20
)

// Config is what a Producer needs.
type Config struct {
	Source    string          // change.SourceDMS or change.SourceDSQL
	DSN       string          // of the source database, as a superuser
	Kinesis   *kinesis.Client // with the credentials of the producer's role
	StreamARN string
	// Settings of the DMS task and its endpoint; cdc.Complete() is what godwit asks
	// for.
	Settings cdc.DMS
	// Seed draws where the producer falls back and writes again what it wrote, and
	// how records of DSQL are spread. 0 has it write everything once.
	Seed uint64
}

// A Producer follows a database and writes its changes to Kinesis. One goroutine
// uses it.
type Producer struct {
	config   Config
	log      *changeLog
	snapshot *snapshot
	renderer renderer
	chance   *rand.Rand
	boundary int64
	highest  int64 // end of the last transaction that was written
	sent     Sent
}

// A record goes to Kinesis.
type record struct {
	key  string // partition key
	data []byte
}

// A renderer makes records of a transaction; the same of the same.
type renderer interface {
	render(l *changeLog, t *transaction) ([]record, error)
}

// Sent counts what a Producer wrote.
type Sent struct {
	Transactions int
	Changes      int // of rows, in those transactions
	KeyChanges   int // updates that changed the primary key
	Unchanged    int // large values that an update left alone, and the log leaves out
	Records      int
	Again        int // of the records, those of transactions that were written before
	Restarts     int
}

// NewProducer has a producer begin where the database stands. Close it after use.
func NewProducer(ctx context.Context, c Config) (*Producer, error) {
	l, s, err := openLog(ctx, c.DSN)
	if err != nil {
		return nil, err
	}
	p := &Producer{config: c, log: l, snapshot: s, chance: rand.New(rand.NewPCG(c.Seed, 7)), highest: l.begin}
	switch c.Source {
	case change.SourceDMS:
		p.boundary = l.begin
		p.renderer = &dms{settings: c.Settings, tables: map[string][]string{}, built: time.Now}
	case change.SourceDSQL:
		// What commits from here on is later, by the producer's own count.
		p.boundary = time.Now().UnixNano()
		p.renderer = &dsql{cluster: "local", now: p.boundary, tip: p.boundary, times: map[int64]int64{}, chance: p.chance, built: time.Now}
	default:
		return nil, errors.Join(fmt.Errorf("there is no producer of source %q", c.Source), p.Close(ctx))
	}
	return p, nil
}

// Boundary is the position of the snapshot: what it does not hold is behind it.
func (p *Producer) Boundary() int64 { return p.boundary }

// Snapshot names the state of the database at the boundary, for SET TRANSACTION
// SNAPSHOT in the source, until Close.
func (p *Producer) Snapshot() string { return p.snapshot.name }

// Tip is the position of the last transaction of which records were written, as
// stream-status wants it.
func (p *Producer) Tip() int64 {
	if d, ok := p.renderer.(*dsql); ok {
		return d.tip
	}
	return p.highest
}

// Sent counts what was written so far.
func (p *Producer) Sent() Sent { return p.sent }

// Close ends it, and with it the snapshot.
func (p *Producer) Close(ctx context.Context) error {
	return errors.Join(p.snapshot.close(ctx), p.log.close(ctx))
}

// Flush writes every transaction that has committed. After an error it may be
// repeated, and then writes some again.
func (p *Producer) Flush(ctx context.Context) error {
	for {
		all, err := p.log.read(ctx)
		if err != nil || len(all) == 0 {
			return err
		}
		if err := p.write(ctx, all); err != nil {
			return err
		}
		// Where it falls back it has noted only some of what it wrote: at first always,
		// so that a short run has repeats as well.
		noted := len(all)
		if p.config.Seed != 0 && (p.sent.Restarts == 0 || p.chance.IntN(2) == 0) {
			noted = p.chance.IntN(len(all)/2 + 1)
			p.sent.Restarts++
		}
		if noted > 0 {
			if err := p.log.advance(ctx, all[noted-1].end); err != nil {
				return err
			}
		}
	}
}

// write writes transactions.
func (p *Producer) write(ctx context.Context, all []*transaction) error {
	var records []record
	for _, t := range all {
		r, err := p.renderer.render(p.log, t)
		if err != nil {
			return err
		}
		records = append(records, r...)
		p.count(t, len(r))
	}
	if p.config.Source == change.SourceDSQL {
		p.chance.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	}
	return p.put(ctx, records)
}

func (p *Producer) count(t *transaction, records int) {
	p.sent.Records += records
	if t.end <= p.highest {
		p.sent.Again += records
		return
	}
	p.highest = t.end
	p.sent.Transactions++
	p.sent.Changes += len(t.changes)
	for _, c := range t.changes {
		if c.op == updated && c.before != nil && joined(p.log.key(c.relation, c.before)) != joined(p.log.key(c.relation, c.after)) {
			p.sent.KeyChanges++
		}
		for _, v := range c.after {
			if v.unchanged {
				p.sent.Unchanged++
			}
		}
	}
}

// put writes records in their order, those that Kinesis throttles again.
func (p *Producer) put(ctx context.Context, records []record) error {
	for len(records) > 0 {
		n, size := 0, 0
		for n < len(records) && n < mostRecords {
			if size += len(records[n].data) + len(records[n].key); n > 0 && size > mostBytes {
				break
			}
			n++
		}
		entries := make([]types.PutRecordsRequestEntry, n)
		for i := range entries {
			entries[i] = types.PutRecordsRequestEntry{PartitionKey: &records[i].key, Data: records[i].data}
		}
		out, err := p.config.Kinesis.PutRecords(ctx, &kinesis.PutRecordsInput{StreamARN: &p.config.StreamARN, Records: entries})
		if err != nil {
			return fmt.Errorf("write to Kinesis: %w", err)
		}
		var again []record
		for i, r := range out.Records {
			if r.ErrorCode != nil {
				again = append(again, records[i])
			}
		}
		if len(again) > 0 {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(5 * time.Millisecond):
			}
		}
		records = slices.Concat(again, records[n:])
	}
	return nil
}
