package proof

import (
	"fmt"
	"slices"

	"godwit/internal/journal"
)

// A Run is what verifying contiguous blocks leaves behind: enough to join it with
// the runs before and behind it, and with them to the ledger's digest, without
// reading a block again. It is a few kilobytes of JSON, however many blocks.
type Run struct {
	Strand    string `json:"strand"`
	First     int64  `json:"first"` // sequence numbers
	Last      int64  `json:"last"`
	Object    string `json:"object,omitempty"` // that First is in
	Previous  Hash   `json:"previous"`         // previousBlockHash of First
	Hash      Hash   `json:"hash"`             // blockHash of Last
	FirstTime string `json:"firstTime"`
	LastTime  string `json:"lastTime"` // blockTimestamps, as Ion text
	Leaves    Range  `json:"leaves"`   // over the block hashes
	Marks     []Mark `json:"marks,omitempty"`

	Blocks    Counts             `json:"blocks"`
	Revisions Counts             `json:"revisions"`
	Deletions [deletionRules]int `json:"deletions"` // proven, by rule
	Unruled   Unruled            `json:"unruled,omitzero"`
	Findings  []Finding          `json:"findings,omitempty"`
	Unlisted  int64              `json:"unlisted,omitempty"` // findings beyond MaxFindings
}

// Unruled counts revisions without data that no known rule of a deletion fits, and
// the blocks that hold them, each under the verdict that Run counts it under.
type Unruled struct {
	Blocks    Counts `json:"blocks"`
	Revisions Counts `json:"revisions"`
}

// A Mark is a block that somebody asked for before the pass: the tip of a digest,
// or the block that a saved proof is for.
type Mark struct {
	Block  int64 `json:"block"`
	Hash   Hash  `json:"hash"`
	Leaves Range `json:"leaves"` // from the run's first block to this one
}

// MaxFindings is how many findings a Run lists; it counts the others.
const MaxFindings = 100

// A Recorder makes Runs of verified blocks.
type Recorder struct {
	// Marks are the blocks that runs shall mark.
	Marks []int64

	runs []Run
	time []byte
}

// A BrokenChainError reports the first block whose recorded predecessor hash is
// not the hash of the block before it. It is never worth a retry.
type BrokenChainError struct {
	Strand    string
	Block     int64
	Object    string // that the block is in, where it is known
	Want, Got Hash   // the hash of the block before, and what the block names
}

func (e *BrokenChainError) Error() string {
	in := ""
	if e.Object != "" {
		in = " in object " + e.Object
	}
	return fmt.Sprintf("block %d of strand %s%s does not follow block %d: it names %s as the hash before it, and that is %s: one of the two was altered, or is of another ledger", e.Block, e.Strand, in, e.Block-1, e.Got, e.Want)
}

// Add records b, which c is the check of. A block that is not the next one of
// the same strand begins another run. So does one that is, but does not name the
// hash of the block before: the error is a *BrokenChainError then.
func (r *Recorder) Add(b *journal.Block, c *Check) error {
	var broken error
	var run *Run
	if n := len(r.runs); n > 0 {
		run = &r.runs[n-1]
		switch {
		case run.Strand != b.Strand || run.Last+1 != b.SequenceNo:
			run = nil
		case run.Hash != c.Previous:
			broken = &BrokenChainError{Strand: b.Strand, Block: b.SequenceNo, Object: b.Object, Want: run.Hash, Got: c.Previous}
			run = nil
		}
	}
	if run == nil {
		r.end()
		r.runs = append(r.runs, Run{
			Strand: b.Strand, First: b.SequenceNo, Object: b.Object, Previous: c.Previous, FirstTime: string(b.Timestamp), Leaves: RangeFrom(uint64(b.SequenceNo)),
		})
		run = &r.runs[len(r.runs)-1]
	}
	verdict := c.Verdict
	for i := range c.Findings {
		run.find(c.Findings[i])
	}
	if run.Leaves.next > run.Leaves.first && after(r.time, b.Timestamp) {
		run.find(earlier(b.SequenceNo, b.Object))
		verdict = max(verdict, Inconsistent)
	}
	r.time = append(r.time[:0], b.Timestamp...)
	run.Last, run.Hash = b.SequenceNo, c.Hash
	run.Leaves.Add(c.Hash)
	if slices.Contains(r.Marks, b.SequenceNo) {
		run.Marks = append(run.Marks, Mark{b.SequenceNo, c.Hash, run.Leaves.Clone()})
	}
	run.Blocks[verdict]++
	for _, v := range c.Revisions {
		run.Revisions[v]++
	}
	for i, n := range c.Deletions {
		run.Deletions[i] += n
	}
	held := false
	for i := range c.Findings {
		if f := &c.Findings[i]; f.Reason == unruled {
			run.Unruled.Revisions[c.Revisions[f.Revision]]++
			held = true
		}
	}
	if held {
		run.Unruled.Blocks[verdict]++
	}
	return broken
}

// end completes the last run.
func (r *Recorder) end() {
	if n := len(r.runs); n > 0 {
		r.runs[n-1].LastTime = string(r.time)
	}
}

// Runs returns the runs recorded so far, in the order of their blocks' arrival.
// The Recorder may go on: its runs are then to be asked for again.
func (r *Recorder) Runs() []Run {
	r.end()
	return r.runs
}

func earlier(block int64, object string) Finding {
	return Finding{Block: block, Revision: -1, Object: object, Verdict: Inconsistent, What: "blockTimestamp", Reason: "is earlier than that of the block before"}
}

// find lists a finding, or counts it when the list is full. The worst verdicts
// are listed before others.
func (r *Run) find(f Finding) {
	if len(r.Findings) < MaxFindings {
		r.Findings = append(r.Findings, f)
		return
	}
	r.Unlisted++
	if f.Verdict <= TypeUnproven {
		return
	}
	for i := range r.Findings {
		if r.Findings[i].Verdict < f.Verdict {
			r.Findings = append(slices.Delete(r.Findings, i, i+1), f)
			return
		}
	}
}

// join appends right, which begins behind r. The error is a *BrokenChainError.
func (r *Run) join(right *Run) error {
	if right.Previous != r.Hash {
		return &BrokenChainError{Strand: r.Strand, Block: right.First, Object: right.Object, Want: r.Hash, Got: right.Previous}
	}
	for _, m := range right.Marks {
		leaves := r.Leaves.Clone()
		if err := leaves.Join(&m.Leaves); err != nil {
			return fmt.Errorf("join mark of block %d: %w", m.Block, err)
		}
		r.Marks = append(r.Marks, Mark{m.Block, m.Hash, leaves})
	}
	if err := r.Leaves.Join(&right.Leaves); err != nil {
		return err
	}
	if after([]byte(r.LastTime), []byte(right.FirstTime)) {
		r.find(earlier(right.First, right.Object))
	}
	for _, f := range right.Findings {
		r.find(f)
	}
	r.Unlisted += right.Unlisted
	r.Last, r.Hash, r.LastTime = right.Last, right.Hash, right.LastTime
	r.Blocks.Add(&right.Blocks)
	r.Revisions.Add(&right.Revisions)
	for i, n := range right.Deletions {
		r.Deletions[i] += n
	}
	r.Unruled.Blocks.Add(&right.Unruled.Blocks)
	r.Unruled.Revisions.Add(&right.Unruled.Revisions)
	return nil
}

// validate checks a run that came from outside, such as S3.
func (r *Run) validate() error {
	if r.First < 0 || r.Last < r.First || r.Leaves.first != uint64(r.First) || r.Leaves.next != uint64(r.Last)+1 {
		return fmt.Errorf("run of blocks %d to %d: its leaves are %d to before %d", r.First, r.Last, r.Leaves.first, r.Leaves.next)
	}
	for _, m := range r.Marks {
		if m.Block < r.First || m.Block > r.Last || m.Leaves.first != uint64(r.First) || m.Leaves.next != uint64(m.Block)+1 {
			return fmt.Errorf("run of blocks %d to %d: mark of block %d has leaves %d to before %d", r.First, r.Last, m.Block, m.Leaves.first, m.Leaves.next)
		}
	}
	return nil
}
