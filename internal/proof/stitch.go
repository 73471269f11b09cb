package proof

import (
	"errors"
	"fmt"
	"slices"
)

// A Chain is an archive's blocks in order: one Run, or several with blocks
// missing between them, or a broken link. Within each, every block names the hash
// of the one before.
type Chain struct {
	Runs []Run `json:"runs"`
}

// A StrandsError reports blocks of two strands. A ledger has one: the others are
// of another ledger.
type StrandsError struct{ A, B string }

func (e *StrandsError) Error() string {
	return fmt.Sprintf("blocks of two strands, %s and %s: a ledger has one, so these are of two ledgers: prove each by itself", e.A, e.B)
}

// An OverlapError reports blocks that two runs hold.
type OverlapError struct{ First, Last int64 }

func (e *OverlapError) Error() string {
	return fmt.Sprintf("blocks %d to %d are in two runs: each block is to be verified once", e.First, e.Last)
}

// Add joins a run that lies behind all others to the last one, or begins
// another behind a gap, which is no error. The error is a *BrokenChainError,
// *StrandsError, *OverlapError, or that of a run that cannot be. A run that only
// breaks the chain is taken all the same: others may follow it, and Conclude says that
// the chain is broken there.
func (c *Chain) Add(run *Run) error {
	if err := run.validate(); err != nil {
		return fmt.Errorf("stitch blocks: %w", err)
	}
	var err error
	if n := len(c.Runs); n > 0 {
		last := &c.Runs[n-1]
		switch {
		case last.Strand != run.Strand:
			return fmt.Errorf("stitch blocks: %w", &StrandsError{last.Strand, run.Strand})
		case run.First <= last.Last:
			return fmt.Errorf("stitch blocks: %w", &OverlapError{run.First, min(last.Last, run.Last)})
		case run.First == last.Last+1:
			if err = last.join(run); err == nil {
				return nil
			}
			var broken *BrokenChainError
			if err = fmt.Errorf("stitch blocks: %w", err); !errors.As(err, &broken) {
				return err
			}
		}
	}
	c.Runs = append(c.Runs, run.clone())
	return err
}

func (r *Run) clone() Run {
	c := *r
	c.Leaves = r.Leaves.Clone()
	c.Marks, c.Findings = slices.Clone(r.Marks), slices.Clone(r.Findings)
	return c
}

// Whole reports whether all blocks are one unbroken chain; First tells from where.
func (c *Chain) Whole() bool { return len(c.Runs) == 1 }

// First returns the sequence number of the first block; -1 without blocks.
func (c *Chain) First() int64 {
	if len(c.Runs) == 0 {
		return -1
	}
	return c.Runs[0].First
}

// Last returns the sequence number of the last block; -1 without blocks.
func (c *Chain) Last() int64 {
	if len(c.Runs) == 0 {
		return -1
	}
	return c.Runs[len(c.Runs)-1].Last
}

// run returns the run that holds a block, or nil.
func (c *Chain) run(block int64) *Run {
	for i := range c.Runs {
		if r := &c.Runs[i]; block >= r.First && block <= r.Last {
			return r
		}
	}
	return nil
}

// Block returns the hash of a block that is marked, or the last of its run.
func (c *Chain) Block(block int64) (h Hash, ok bool) {
	r := c.run(block)
	if r == nil {
		return Hash{}, false
	}
	if block == r.Last {
		return r.Hash, true
	}
	for _, m := range r.Marks {
		if m.Block == block {
			return m.Hash, true
		}
	}
	return Hash{}, false
}

// Digest returns the ledger's digest at a tip that is marked, or the last block.
// The chain has to reach from block 0 to the tip: otherwise ok is false.
func (c *Chain) Digest(tip int64) (digest Hash, ok bool) {
	r := c.run(tip)
	if r == nil {
		return Hash{}, false
	}
	if tip == r.Last {
		return r.Leaves.Root()
	}
	for _, m := range r.Marks {
		if m.Block == tip {
			return m.Leaves.Root()
		}
	}
	return Hash{}, false
}

// Totals adds up what the runs counted.
func (c *Chain) Totals() (blocks, revisions Counts) {
	for i := range c.Runs {
		blocks.Add(&c.Runs[i].Blocks)
		revisions.Add(&c.Runs[i].Revisions)
	}
	return blocks, revisions
}
