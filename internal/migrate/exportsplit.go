package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"godwit/internal/journal"
)

// A Window is one export's part of a journal: the blocks from First to Last, which
// are those of block times from Start to before End. The last window also takes
// the blocks that came after its Last in the same millisecond.
type Window struct {
	Number      int
	First, Last int64     // block
	Start, End  time.Time // in whole milliseconds, as exact as the API takes them
}

// SplitJournal cuts a journal into windows, one an export.
type SplitJournal struct {
	Objects    Objects
	Ledger     Ledger
	WorkBucket string
	Archives   []AllowedArchive
	Now        func() time.Time
}

// SplitIn is what Digest found, and the execution's name.
type SplitIn struct {
	Input     ExportOrder
	Execution string
}

// SplitOut names this LedgerExport and where its windows lie.
type SplitOut struct {
	ExportId string
	Windows  ObjectRef
	Count    int
}

// Handle writes the windows. It may be repeated: what was written once stays, so
// that exports which began are found again.
func (s *SplitJournal) Handle(ctx context.Context, in SplitIn) (SplitOut, error) {
	out, err := s.handle(ctx, in)
	return out, Classify(err)
}

func (s *SplitJournal) handle(ctx context.Context, in SplitIn) (SplitOut, error) {
	began := s.Now().UTC()
	o := in.Input
	id, err := exportID(in)
	if err != nil {
		return SplitOut{}, err
	}
	out := SplitOut{ExportId: id, Windows: ObjectRef{s.WorkBucket, exportWindowsKey(id)}}
	done, err := exists(ctx, s.Objects, s.WorkBucket, exportPlanKey(id))
	if err != nil {
		return out, err
	}
	if done {
		// Exports may have begun: neither their windows nor their time may change,
		// and the prefix is in use by right.
		var plan ExportPlan
		err := readJSON(ctx, s.Objects, s.WorkBucket, exportPlanKey(id), &plan)
		out.Count = plan.Windows
		return out, err
	}
	if err := AllowArchive(s.Archives, o.Bucket, o.Prefix); err != nil {
		return out, &Stop{err}
	}
	if o.Tip < 0 || o.ExportCount < 1 {
		return out, &Stop{fmt.Errorf("%d exports of a journal that ends at block %d are asked for: start LedgerExport, whose first step checks that", o.ExportCount, o.Tip)}
	}
	if err := s.unused(ctx, o.Bucket, o.Prefix); err != nil {
		return out, err
	}
	windows, err := s.windows(ctx, o)
	if err != nil {
		return out, err
	}
	if end := windows[len(windows)-1].End; s.Now().Before(end) {
		return out, &Again{fmt.Errorf("block %d was committed within this millisecond: an export ends in the past", o.Tip)}
	}
	if err := putLines(ctx, s.Objects, out.Windows.Bucket, out.Windows.Key, windows); err != nil {
		return out, err
	}
	// A crash here leaves windows that nobody names. With the plan they count.
	out.Count = len(windows)
	plan := &ExportPlan{ExportId: id, Execution: in.Execution, Order: o, Began: began, Windows: len(windows)}
	return out, putJSON(ctx, s.Objects, s.WorkBucket, exportPlanKey(id), plan)
}

// exportID derives the name of a LedgerExport from its cause: the execution, and
// what it was to do.
func exportID(in SplitIn) (string, error) {
	b, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

// errEnough ends a listing early.
var errEnough = errors.New("enough was found")

// unused refuses a prefix that holds exports: two in one place could not be told
// apart, and QLDB would write over objects of the same name.
func (s *SplitJournal) unused(ctx context.Context, bucket, prefix string) error {
	const enough = 1000
	var ids []string
	found, first := 0, ""
	err := s.Objects.List(ctx, bucket, prefix, func(key, _ string, _ int64, _ string) error {
		k := journal.ParseKey(prefix, key)
		if k.Kind == journal.OtherKey {
			return nil
		}
		if found++; found == 1 {
			first = key
		}
		if k.ExportID != "" && !slices.Contains(ids, k.ExportID) {
			ids = append(ids, k.ExportID)
		}
		if found == enough {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if found == 0 {
		return nil
	}
	count := fmt.Sprint(found)
	if found == enough {
		count = "at least " + count
	}
	which := ""
	if len(ids) > 0 {
		which = ", of exports " + strings.Join(ids[:min(3, len(ids))], ", ")
		if len(ids) > 3 {
			which += " and others"
		}
	}
	return &Stop{fmt.Errorf("s3://%s/%s holds exports already (%s objects, the first %s%s): to go on with an export that failed, redrive the execution that began it; otherwise start again with a BucketPrefix below which there is nothing", bucket, prefix, count, first, which)}
}

// windows reads the times of the blocks at which the journal is cut.
func (s *SplitJournal) windows(ctx context.Context, o ExportOrder) ([]Window, error) {
	at := func(ctx context.Context, block int64) (time.Time, error) {
		b, _, err := readBlock(ctx, s.Ledger, o.Ledger, journal.Address{Strand: o.Strand, SequenceNo: block}, nil)
		if err != nil {
			return time.Time{}, err
		}
		t, err := blockTime(b)
		return t.Truncate(time.Millisecond), err
	}
	tip, err := at(ctx, o.Tip)
	if err != nil {
		return nil, err
	}
	cuts := make([]cut, 0, o.ExportCount)
	for _, block := range cutBlocks(o.Tip+1, o.ExportCount) {
		cuts = append(cuts, cut{block: block})
	}
	err = each(ctx, len(cuts), func(ctx context.Context, i int) (err error) {
		cuts[i], err = firstOfMillisecond(cuts[i].block, func(block int64) (time.Time, error) { return at(ctx, block) })
		return err
	})
	if err != nil {
		return nil, err
	}
	return makeWindows(cuts, o.Tip, tip)
}

// cutBlocks shares out blocks 0 to n-1: export i of k begins at block
// floor(i*n/k). With fewer blocks than exports there are fewer cuts.
func cutBlocks(n int64, k int) []int64 {
	var cuts []int64
	for i := range int64(k) {
		// i*n may not fit.
		block := i*(n/int64(k)) + i*(n%int64(k))/int64(k)
		if len(cuts) == 0 || block > cuts[len(cuts)-1] {
			cuts = append(cuts, block)
		}
	}
	return cuts
}

// A cut is the first block of its millisecond.
type cut struct {
	block int64
	at    time.Time
}

// firstOfMillisecond moves a cut back to the first block of its millisecond, with
// which its window begins: windows are intervals of time. at returns the time of
// a block in whole milliseconds, and times do not fall. Mostly the block before is
// older and one look is enough.
func firstOfMillisecond(block int64, at func(int64) (time.Time, error)) (cut, error) {
	t, err := at(block)
	if err != nil {
		return cut{}, err
	}
	older, same := int64(-1), block // the first of the millisecond is in (older, same]
	for step := int64(1); older < same-1; step *= 2 {
		probe := max(same-step, older+1)
		if older >= 0 {
			probe = older + (same-older)/2
		}
		before, err := at(probe)
		if err != nil {
			return cut{}, err
		}
		if before.Before(t) {
			older = probe
		} else {
			same = probe
		}
	}
	return cut{same, t}, nil
}

// makeWindows makes windows of cuts, in order; the last ends just behind the
// tip's millisecond. Cuts that fell together are one window.
func makeWindows(cuts []cut, tip int64, tipAt time.Time) ([]Window, error) {
	var windows []Window
	for i, c := range cuts {
		if i > 0 {
			last := &windows[len(windows)-1]
			if c.at.Equal(last.Start) {
				continue
			}
			if c.at.Before(last.Start) {
				return nil, olderError(c.block, c.at, last.First, last.Start)
			}
			last.Last, last.End = c.block-1, c.at
		}
		windows = append(windows, Window{Number: len(windows), First: c.block, Start: c.at})
	}
	last := &windows[len(windows)-1]
	if tipAt.Before(last.Start) {
		return nil, olderError(tip, tipAt, last.First, last.Start)
	}
	last.Last, last.End = tip, tipAt.Add(time.Millisecond)
	return windows, nil
}

func olderError(block int64, at time.Time, before int64, beforeAt time.Time) error {
	return &Stop{fmt.Errorf("block %d (%s) is older than block %d before it (%s): exports are intervals of time and would not hold each block once; start again with \"ExportCount\": 1", block, at.Format(time.RFC3339Nano), before, beforeAt.Format(time.RFC3339Nano))}
}
