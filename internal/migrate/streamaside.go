package migrate

import (
	"context"
	"encoding/json"
	"fmt"

	"godwit/internal/change"
)

// A setAside is the quarantine object of one message: what it is, where it came
// from and why it cannot be applied. The message itself is the one place where
// values stand.
type setAside struct {
	Stream       string
	Shard        string
	Sequence     string
	Sub          int    // index in the Kinesis record
	PartitionKey string `json:",omitempty"`
	Arrived      string `json:",omitempty"` // RFC 3339
	Source       string // qldb, dms or dsql
	Reason       string
	Table        string `json:",omitempty"`
	TableID      string `json:",omitempty"`
	Current      string `json:",omitempty"` // the target's table
	Document     string `json:",omitempty"`
	Version      int64  `json:",omitempty"`
	Block        int64  // -1 where not known
	Hash         []byte `json:",omitempty"`
	Message      []byte // as it came, without the aggregate around it

	mark change.Mark
}

// keep writes the quarantine objects of b's messages that have none yet, and names
// them in their items. A crash from here on leaves objects that no row of the
// target tells of; the repeat writes them again.
func (a *applier) keep(ctx context.Context, deliveries []delivery, b *batch) error {
	var fresh []*entry
	for i := range b.entries {
		if e := &b.entries[i]; e.aside != nil && e.items[0].Aside.Object == "" {
			fresh = append(fresh, e)
		}
	}
	return each(ctx, len(fresh), func(ctx context.Context, i int) error {
		e := fresh[i]
		d, s := &deliveries[e.delivery], e.aside
		s.Stream, s.Source = a.itemizer.stream.Name, a.itemizer.stream.Source
		s.Shard, s.Sequence, s.Sub = s.mark.Shard, s.mark.Sequence, s.mark.Sub
		s.PartitionKey, s.Message = d.key, e.message.Data
		if e.message.PartitionKey != nil {
			s.PartitionKey = string(e.message.PartitionKey)
		}
		if !d.arrived.IsZero() {
			s.Arrived = d.arrived.UTC().Format("2006-01-02T15:04:05.000Z07:00")
		}
		body, err := json.MarshalIndent(s, "", " ")
		if err != nil {
			return err
		}
		key := asideKey(s.Stream, s.mark)
		if err := a.Objects.Put(ctx, a.FailureBucket, key, body, "application/json", ""); err != nil {
			return fmt.Errorf("set message %d of record %s aside: %w", s.Sub, s.Sequence, err)
		}
		e.items[0].Aside.Object = key
		return nil
	})
}

// refuse sets an entry aside that the database refused.
func (e *entry) refuse(reason string) {
	first := e.items[0]
	s := setAside{Reason: reason, Block: -1}
	switch {
	case first.Revision != nil:
		r := first.Revision
		s.Table, s.TableID, s.Current, s.Document = r.Table.Name, r.Table.ID, r.Current, r.Document
		s.Version, s.Block, s.Hash = int64(r.Version), r.Block, r.Hash
	case first.Block != nil:
		s.Block = first.Block.Block
	case first.Row != nil:
		s.Table = first.Row.Schema + "." + first.Row.Table
	}
	e.poison(first.Mark, s)
}
