package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"godwit/internal/change"
	"godwit/internal/journal"
	"godwit/internal/mapping"
	"godwit/internal/proof"
	"godwit/internal/verify"
)

// WorkIn is a batch of items and, when an earlier call handed on, where it
// stood.
type WorkIn struct {
	LoadId string
	Items  []Item
	Resume *Resume `json:",omitempty"`
}

// WorkOut says whether the batch is done, or where to go on.
type WorkOut struct {
	Done   bool
	Resume *Resume `json:",omitempty"`
}

// Resume is a place between two segments.
type Resume struct {
	Item     int              // index into Items
	Segment  int              // number of the next segment of the item
	Range    int              // index into the item's ranges
	Position journal.Position // in the range's object
	Next     int64            // number of the block expected there; 0 in a range not begun
	Counts   *verify.Evidence `json:",omitempty"` // of the count step: what it has so far
	Spent    int64            `json:",omitempty"` // on odd revisions of the item: see proof.Typist
}

// Transform makes COPY-ready parts of a ledger's blocks.
type Transform struct {
	Objects    Objects
	WorkBucket string
	// SegmentBytes ends a segment, in bytes of COPY text written or of blocks
	// read, whichever comes first; 0 is 64 MiB. It bounds what one import does
	// in a call and what a repeat does again.
	SegmentBytes int64
	Now          func() time.Time
	// Metrics is told, at the end of each call, what it read into segments that
	// it stored. nil tells nobody.
	Metrics func(...Metric)

	spare atomic.Pointer[packers] // of the call before
}

const defaultSegmentBytes = 64 << 20

// Handle transforms the blocks of its items, segment by segment, and hands on
// before the deadline. Repeating it with the same input writes the same objects
// again.
func (t *Transform) Handle(ctx context.Context, in WorkIn) (WorkOut, error) {
	var revisions, read int64
	out, err := t.handle(ctx, in, func(s *segment) {
		for _, x := range s.order {
			revisions += x.count.Read
		}
		read += s.read
	})
	if t.Metrics != nil {
		t.Metrics(Metric{MetricRevisions, []int64{revisions}}, Metric{MetricBytes, []int64{read}})
	}
	return out, Classify(err)
}

func (t *Transform) handle(ctx context.Context, in WorkIn, stored func(*segment)) (WorkOut, error) {
	stop, limited := handOn(ctx, t.Now())
	var plan Plan
	if err := readJSON(ctx, t.Objects, t.WorkBucket, planKey(in.LoadId), &plan); err != nil {
		return WorkOut{}, err
	}
	fields := &change.Fields{}
	rules, err := compileMapping(&plan, fields)
	if err != nil {
		return WorkOut{}, err
	}
	types, err := readTypes(ctx, t.Objects, t.WorkBucket, &plan)
	if err != nil {
		return WorkOut{}, err
	}
	at := Resume{}
	if in.Resume != nil {
		at = *in.Resume
	}
	limit := t.SegmentBytes
	if limit == 0 {
		limit = defaultSegmentBytes
	}
	packing := t.spare.Swap(nil)
	if packing == nil {
		packing = &packers{}
	}
	defer t.spare.Store(packing)
	verifier, retyper := newVerifier(&plan), newRetyper(types)
	if retyper != nil {
		verifier.Typing = retyper
	}
	var w *walk // stays open between two segments of one range
	defer func() { w.close() }()
	for at.Item < len(in.Items) {
		item := &in.Items[at.Item]
		seg := newSegment(&plan, item, at.Segment, rules, *packing)
		seg.prover, seg.types = newProver(verifier, &plan, item), retyper
		retyper.goOn(&at)
		for !seg.ended && at.Range < len(item.Ranges) {
			if w == nil {
				if w, err = openRange(ctx, t.Objects, &plan, &item.Ranges[at.Range], &at, fields); err != nil {
					return WorkOut{}, err
				}
				if verifier == nil {
					w.broken = func(_ *journal.Block, err error) error { return &Stop{err} }
				}
			}
			ended, err := w.fill(ctx, seg, &at, limit)
			if err != nil {
				return WorkOut{}, err
			}
			if ended {
				w.close()
				w = nil
			}
		}
		last := at.Range == len(item.Ranges)
		if err := seg.store(ctx, t.Objects, t.WorkBucket, last); err != nil {
			return WorkOut{}, err
		}
		// Stored. A crash from here on repeats the segment, byte for byte.
		stored(seg)
		seg.trim()
		at.Segment++
		if last {
			at = Resume{Item: at.Item + 1}
		}
		if limited && at.Item < len(in.Items) && t.Now().After(stop) {
			return WorkOut{Resume: &at}, nil
		}
	}
	return WorkOut{Done: true}, nil
}

// A walk reads the claimed blocks of one range, checking that the object holds
// what its name says.
type walk struct {
	r       *Range
	plan    *Plan
	reader  *journal.Reader
	due     int64  // number of the next block
	hash    []byte // of the block before it, for broken; empty when that was not read here
	checked int
	// broken is told of a block that does not follow the one before it; what it
	// returns ends the reading. nil is for those who do not look at the chain, or
	// verify it.
	broken func(b *journal.Block, err error) error
}

// fill reads blocks into seg until the range (ended) or the segment ends, and
// moves at.
func (w *walk) fill(ctx context.Context, seg *segment, at *Resume, limit int64) (ended bool, err error) {
	began, before := at.Position.Offset, seg.read
	for {
		b, err := w.next(ctx)
		if err != nil {
			return false, err
		}
		if err := seg.prover.add(b); err != nil {
			return false, err
		}
		if err := seg.block(b); err != nil {
			return false, err
		}
		at.Position, at.Next, at.Spent = w.reader.Position(), w.due, seg.types.spent()
		seg.read = before + at.Position.Offset - began
		full := seg.full(limit, at.Position.Offset-began)
		if w.due > w.r.Claim.Last {
			*at = Resume{Item: at.Item, Segment: at.Segment, Range: at.Range + 1, Spent: at.Spent}
			return true, w.end()
		}
		if full {
			return false, nil
		}
	}
}

// openRange opens a range where at stands in it.
func openRange(ctx context.Context, o Objects, plan *Plan, r *Range, at *Resume, fields *change.Fields) (*walk, error) {
	announced := journal.UnknownFormat
	if r.Announced != "" {
		var err error
		if announced, err = journal.ParseFormat(r.Announced); err != nil {
			return nil, fmt.Errorf("object %s: %w", r.Key, err)
		}
	}
	opts := journal.Options{Object: r.Key, Fields: fields, Announced: announced}
	w := &walk{r: r, plan: plan, due: r.Object.First}
	if at.Next != 0 {
		opts.Resume = &at.Position
		w.due = at.Next
	}
	reader, err := journal.Open(func(offset int64) (io.ReadCloser, error) {
		return o.Open(ctx, plan.Input.Bucket, r.Key, r.ETag, offset)
	}, opts)
	if err != nil {
		return nil, fmt.Errorf("open object %s: %w", r.Key, err)
	}
	w.reader = reader
	return w, nil
}

func (w *walk) close() {
	if w != nil {
		_ = w.reader.Close() // read only
	}
}

// end checks, behind the last claimed block, that the object ends where its name
// says. What another object was given is not read. It is called at once, so that
// no Resume lies at the end of an object: S3 has no range to give from there.
func (w *walk) end() error {
	if w.r.Claim.Last < w.r.Object.Last {
		return nil
	}
	b, err := w.reader.Next()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	return &Stop{fmt.Errorf("object %s, offset %d: block %d stands behind the last of %s, which the object's name says that it holds: the object is not as QLDB exported it; copy it again from where the archive came from", w.r.Key, b.Offset, b.SequenceNo, w.r.Object)}
}

// next returns the next claimed block. It must not be called behind the last.
func (w *walk) next(ctx context.Context) (*journal.Block, error) {
	for {
		if w.checked++; w.checked%64 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		b, err := w.reader.Next()
		if errors.Is(err, io.EOF) {
			return nil, &Stop{fmt.Errorf("object %s ends before block %d where its name says that it holds %s: the object is cut short; copy it again from where the archive came from", w.r.Key, w.due, w.r.Object)}
		}
		if err != nil {
			return nil, err
		}
		switch {
		case b.SequenceNo != w.due:
			return nil, &Stop{fmt.Errorf("object %s, offset %d: block %d stands where block %d is due: the object is not as QLDB exported it; copy it again from where the archive came from", w.r.Key, b.Offset, b.SequenceNo, w.due)}
		case b.Strand != w.plan.Strand:
			return nil, &Stop{fmt.Errorf("object %s, offset %d: block %d is of strand %s, the archive of strand %s: an archive holds one ledger", w.r.Key, b.Offset, b.SequenceNo, b.Strand, w.plan.Strand)}
		}
		if w.broken != nil {
			if err := w.follows(b); err != nil {
				return nil, err
			}
		}
		w.due++
		if b.SequenceNo >= w.r.Claim.First {
			return b, nil
		}
	}
}

// follows checks that a block names the hash of the block before it, as far as
// that was read here.
func (w *walk) follows(b *journal.Block) error {
	defer func() { w.hash = append(w.hash[:0], b.Hash...) }()
	if len(w.hash) == 0 || len(b.PreviousHash) == 0 || bytes.Equal(w.hash, b.PreviousHash) {
		return nil
	}
	want, errWant := proof.ParseHash(w.hash)
	got, errGot := proof.ParseHash(b.PreviousHash)
	if err := errors.Join(errWant, errGot); err != nil {
		return err
	}
	e := &proof.BrokenChainError{Strand: b.Strand, Block: b.SequenceNo, Object: b.Object, Want: want, Got: got}
	return w.broken(b, fmt.Errorf("offset %d: %w: copy the object again from where the archive came from", b.Offset, e))
}

// compileMapping compiles the plan's mapping; fields gets the names it asks for.
func compileMapping(plan *Plan, fields *change.Fields) (*mapping.Mapping, error) {
	file, err := mapping.Parse(plan.Mapping)
	if err != nil {
		return nil, &Stop{fmt.Errorf("read the mapping: %w", err)}
	}
	m, err := mapping.Compile(file, fields)
	if err != nil {
		return nil, &Stop{fmt.Errorf("compile the mapping: %w", err)}
	}
	return m, nil
}

// wants tells whether the input's Tables choose a ledger table.
func (in *Input) wants(table string) bool {
	return len(in.Tables) == 0 || slices.Contains(in.Tables, table)
}
