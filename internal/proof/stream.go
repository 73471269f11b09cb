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
