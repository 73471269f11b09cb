package proof

import "godwit/internal/journal"

// A journal stream's summary of a block is verified like a block: each of its
// revisions is Opaque and takes part in the block's hashes.

// VerifyRevisions hashes the revisions of b again, and nothing else: those of a
// stream come without their block. What a revision's hash covers is proven when
// the summary of its block, which Verify proves, holds that hash.
func (v *Verifier) VerifyRevisions(b *journal.Block) *Check {
	c := v.start(b)
	for i := range b.Revisions {
		v.revision(b, i)
		if verdict := c.Revisions[i]; verdict != Redacted && verdict != Opaque {
			c.Verdict = max(c.Verdict, verdict)
		}
	}
	return c
}

// start makes the Check of b empty.
func (v *Verifier) start(b *journal.Block) *Check {
	c := &v.check
	*c = Check{
		Block:     b.SequenceNo,
		Revisions: c.Revisions[:0],
		DataHash:  c.DataHash[:0],
		Findings:  c.Findings[:0],
		Members:   Members{-1, -1, -1},
	}
	v.block = b
	return c
}
