package proof

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// A Conclusion says how far an archive is proven, in words that an auditor reads.
type Conclusion struct {
	// Level is the highest of these that holds together with those below it:
	//
	//	1  the blocks are one unbroken chain, and each block's hash is that of its entries
	//	2  the chain, to its end, is tied to a digest that was kept outside of the archive
	//	3  every revision was hashed again and has the hash that its block holds
	//
	// 0 is none, and always where Contradictions are.
	Level  int    `json:"level"`
	Strand string `json:"strand,omitempty"`
	First  int64  `json:"first"` // blocks of the archive; -1 without any
	Last   int64  `json:"last"`
	// Digest is what QLDB's digest at block Last must have been; nothing unless
	// the chain begins with block 0.
	Digest    Hash   `json:"digest,omitzero"`
	Ties      []Tie  `json:"ties,omitempty"`
	Blocks    Counts `json:"blocks"`
	Revisions Counts `json:"revisions"`
	// Holds are sentences on what is proven, Contradictions on what is disproven.
	Holds          []string  `json:"holds"`
	Contradictions []string  `json:"contradictions,omitempty"`
	Open           []Open    `json:"open,omitempty"`
	Findings       []Finding `json:"findings,omitempty"`
	Unlisted       int64     `json:"unlisted,omitempty"` // findings that are not in Findings
}

// A Tie is a digest that the archive's blocks lead to.
type Tie struct {
	Digest Hash   `json:"digest"`
	Hex    string `json:"hex"` // Digest
	Ledger string `json:"ledger,omitempty"`
	Tip    int64  `json:"tip"` // -1 where it is not known
	// From and To are the blocks that the digest covers of the archive.
	From int64  `json:"from"`
	To   int64  `json:"to"`
	How  string `json:"how"` // "all block hashes", or "the proof of block 7"
}

// An Open says what is not covered, why, and what would cover it.
type Open struct {
	What string `json:"what"`
	Why  string `json:"why"`
	Lift string `json:"lift"`
}

// A ContradictedError says that what was kept, or the archive's own hashes,
// contradict the archive. It is never worth a retry.
type ContradictedError struct{ Contradictions []string }

func (e *ContradictedError) Error() string {
	return "the archive is contradicted: " + strings.Join(e.Contradictions, "; ")
}

// Err returns a *ContradictedError, or nil where there is no contradiction.
func (v *Conclusion) Err() error {
	if len(v.Contradictions) == 0 {
		return nil
	}
	return &ContradictedError{v.Contradictions}
}

func (v *Conclusion) hold(format string, args ...any) {
	v.Holds = append(v.Holds, fmt.Sprintf(format, args...))
}

func (v *Conclusion) contradict(format string, args ...any) {
	v.Contradictions = append(v.Contradictions, fmt.Sprintf(format, args...))
}

func (v *Conclusion) open(what, why, lift string) {
	v.Open = append(v.Open, Open{what, why, lift})
}

// Conclude compares the chain with what was kept outside of it. Whoever made its
// runs has to have marked Evidence.Marks of all evidence.
//
// A revision without data that no known rule of a deletion fits is Tampered here where
// other deletions of the chain fit one, and Unattested where none does.
func (c *Chain) Conclude(evidence []Evidence) *Conclusion {
	c = c.judged()
	v := &Conclusion{First: c.First(), Last: c.Last(), Holds: []string{}}
	v.Blocks, v.Revisions = c.Totals()
	for i := range c.Runs {
		for _, f := range c.Runs[i].Findings {
			if len(v.Findings) < MaxFindings {
				v.Findings = append(v.Findings, f)
			} else {
				v.Unlisted++
			}
		}
		v.Unlisted += c.Runs[i].Unlisted
	}
	if len(c.Runs) == 0 {
		v.open("everything", "the archive holds no block", "give the archive's objects")
		return v
	}
	v.Strand = c.Runs[0].Strand
	chained := v.chain(c)
	for i := range evidence {
		v.fold(c, &evidence[i], evidence)
	}
	for i := range evidence {
		v.tie(c, &evidence[i])
	}
	tied := v.covered(c, len(evidence))
	recomputed := v.revisions(c)
	switch {
	case len(v.Contradictions) > 0 || !chained:
	case !tied:
		v.Level = 1
	case !recomputed:
		v.Level = 2
	default:
		v.Level = 3
	}
	return v
}

// judged returns the chain with the verdicts that only all of its runs together tell.
// Where one deletion is hashed by a known rule, the archive itself contradicts a
// revision without data that fits none. Where none is, the ledger may hash deletions
// by a rule that is not known.
func (c *Chain) judged() *Chain {
	fit, unfit := 0, int64(0)
	for _, n := range c.deletions() {
		fit += n
	}
	for i := range c.Runs {
		unfit += c.Runs[i].Unruled.Revisions.Total()
	}
	if fit == 0 || unfit == 0 {
		return c
	}
	out := &Chain{slices.Clone(c.Runs)}
	for i := range out.Runs {
		r := &out.Runs[i]
		r.Blocks.worsen(&r.Unruled.Blocks)
		r.Revisions.worsen(&r.Unruled.Revisions)
		r.Findings = slices.Clone(r.Findings)
		for k := range r.Findings {
			if f := &r.Findings[k]; f.Reason == unruled {
				f.Verdict = Tampered
				f.Reason = fmt.Sprintf("is absent, and the revision is not hashed as a deletion, by the rule of %s of the archive: data was removed, or the metadata was changed", count(int64(fit), "other deletion"))
			}
		}
	}
	return out
}

// deletions counts the deletions that are proven, by rule.
func (c *Chain) deletions() (n [deletionRules]int) {
	for i := range c.Runs {
		for rule, proven := range c.Runs[i].Deletions {
			n[rule] += proven
		}
	}
	return n
}

// levels say what holds at each.
var levels = [...]string{
	"not proven",
	"the blocks are an unbroken chain",
	"the blocks are an unbroken chain that is tied to a digest kept outside of the archive",
	"the blocks are an unbroken chain that is tied to a digest kept outside of the archive, and every revision was hashed again",
}

// String says the level in one line.
func (v *Conclusion) String() string {
	if len(v.Contradictions) > 0 {
		return "level 0 of 3: contradicted: " + v.Contradictions[0]
	}
	return fmt.Sprintf("level %d of 3: %s", v.Level, levels[v.Level])
}

// blocks names a range of them.
func blocks(first, last int64) string {
	if first == last {
		return fmt.Sprintf("block %d", first)
	}
	return fmt.Sprintf("blocks %d to %d", first, last)
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// chain concludes on what the blocks say among themselves.
func (v *Conclusion) chain(c *Chain) (holds bool) {
	if n := v.Blocks[Tampered]; n > 0 {
		first := ""
		for i := range v.Findings {
			if v.Findings[i].Verdict == Tampered {
				first = "; " + v.Findings[i].String()
				break
			}
		}
		v.contradict("%d of %s were tampered with: a hash in them is not that of what they show%s", n, count(v.Blocks.Total(), "block"), first)
	}
	for i := range c.Runs {
		r := &c.Runs[i]
		if r.Blocks[Tampered] == 0 {
			v.hold("%s of strand %s are an unbroken chain: each has the hash of its entries and names the hash of the block before it", blocks(r.First, r.Last), r.Strand)
		}
		if i > 0 {
			before := c.Runs[i-1].Last
			if before+1 == r.First {
				v.contradict("%s", (&BrokenChainError{Strand: r.Strand, Block: r.First, Object: r.Object, Want: c.Runs[i-1].Hash, Got: r.Previous}).Error())
				continue
			}
			v.open(blocks(before+1, r.First-1), "they are missing, so nothing ties what is before them to what is behind them", "add the export that has them")
		}
	}
	if v.First > 0 {
		v.open(blocks(0, v.First-1), fmt.Sprintf("the archive begins with block %d: a digest over all blocks cannot be computed", v.First), "add the exports from block 0 on; or the proof of a block (GetBlock or proofs.json), which ties the blocks up to it")
	} else if d, ok := c.Digest(v.Last); ok && c.Whole() {
		v.Digest = d
		v.hold("the ledger's digest at block %d must have been %s (hex %s)", v.Last, d, hex.EncodeToString(d.Bytes()))
	}
	if n := v.Blocks[Inconsistent] + v.Revisions[Inconsistent]; n > 0 {
		v.open(fmt.Sprintf("%s and %s with fields that contradict others", count(v.Blocks[Inconsistent], "block"), count(v.Revisions[Inconsistent], "revision")),
			"no hash covers block addresses, a block's own transactionId and its time; these do not fit what hashes cover", "compare the listed blocks with another copy of the archive")
	}
	if n := v.Blocks[Unattested]; n > 0 {
		v.open("parts of "+count(n, "block"), "a part is absent whose hash is there: it was removed, or never exported", "look for another copy of the listed blocks")
	}
	return c.Whole() && v.Blocks[Tampered] == 0
}

// foreign reports evidence of another strand.
func (v *Conclusion) foreign(e *Evidence) bool { return e.Strand != "" && e.Strand != v.Strand }

// tie compares the chain with a digest that was kept. Proofs were followed before.
func (v *Conclusion) tie(c *Chain, e *Evidence) {
	if v.foreign(e) {
		v.contradict("the digest or proof is of strand %s, the archive of strand %s: one of them is of another ledger", e.Strand, v.Strand)
		return
	}
	tied := slices.ContainsFunc(v.Ties, func(t Tie) bool { return t.Digest == e.Digest })
	if e.Digest.IsEmpty() || tied && e.Tip > v.Last {
		return
	}
	name := "the digest " + e.Digest.String()
	if e.Tip < 0 {
		if d, ok := c.Digest(v.Last); ok && d == e.Digest {
			v.tied(e.Digest, e, v.Last, 0, v.Last, "all block hashes")
		} else if !tied {
			v.open(name, "it is not said which block it ends with, and it is not that of the last block", "give it with its tip address, as GetDigest and the console's digest file have it")
		}
		return
	}
	d, ok := c.Digest(e.Tip)
	r := c.run(min(e.Tip, v.Last))
	switch {
	case ok && d == e.Digest:
		v.tied(e.Digest, e, e.Tip, 0, e.Tip, "all block hashes")
	case ok:
		v.contradict("the hashes of blocks 0 to %d lead to the digest %s, and the one that was kept is %s: blocks were altered, or the digest is of another ledger", e.Tip, d, e.Digest)
	case tied:
	case e.Tip > v.Last:
		v.open(name, fmt.Sprintf("it ends with block %d, and the archive with block %d: the last blocks were cut off, or written after the export", e.Tip, v.Last),
			fmt.Sprintf("add the export of %s; or the proof of block %d (proofs.json)", blocks(v.Last+1, e.Tip), v.Last))
	case r == nil || r.First > 0:
		v.open(name, fmt.Sprintf("the chain does not reach from block 0 to block %d, its tip", e.Tip), "add the blocks that are missing; or the proof of a block")
	default:
		v.open(name, fmt.Sprintf("block %d, its tip, was not marked when the archive was read", e.Tip), "read the archive again with this digest in the input")
	}
}

// fold follows a proof up from the archive's block. It ties the chain when it
// leads to a digest that was kept.
func (v *Conclusion) fold(c *Chain, e *Evidence, all []Evidence) {
	p := e.Proof
	if p == nil || v.foreign(e) {
		return
	}
	how := fmt.Sprintf("the proof of block %d", p.Block)
	if p.Document != "" {
		how = fmt.Sprintf("the proof of document %s in block %d", p.Document, p.Block)
	}
	hash, ok := c.Block(p.Block)
	if !ok {
		why := "the block was not marked when the archive was read"
		if c.run(p.Block) == nil {
			why = "the block is not in the archive"
		}
		v.open(how, why, "give the archive that has the block, and the proof, in one input")
		return
	}
	leaf := hash
	if p.Document != "" {
		// A revision's proof passes through its block's hash.
		leaf = p.Leaf
		through := leaf == hash
		for i := range p.Path {
			through = through || Fold(leaf, p.Path[:i+1]) == hash
		}
		if !through {
			v.contradict("%s does not lead through the archive's block, which has the hash %s", how, hash)
			return
		}
	} else if !p.Leaf.IsEmpty() && p.Leaf != hash {
		v.contradict("block %d has the hash %s, and the GetBlock answer that was kept has %s", p.Block, hash, p.Leaf)
		return
	}
	got, from := Fold(leaf, p.Path), c.run(p.Block).First
	kept := e
	if e.Digest.IsEmpty() {
		i := slices.IndexFunc(all, func(other Evidence) bool { return other.Digest == got })
		if i < 0 {
			v.open(how, fmt.Sprintf("it leads to %s, and no digest that was kept is that", got), "give the digest that the proof was asked for with")
			return
		}
		kept = &all[i]
	} else if got != e.Digest {
		v.contradict("%s leads to %s, and the digest that was kept with it is %s: the block was altered, or the proof is forged or of another ledger", how, got, e.Digest)
		return
	}
	v.tied(got, kept, kept.Tip, from, p.Block, how)
}

func (v *Conclusion) tied(digest Hash, e *Evidence, tip, from, to int64, how string) {
	v.Ties = append(v.Ties, Tie{Digest: digest, Hex: hex.EncodeToString(digest.Bytes()), Ledger: e.Ledger, Tip: tip, From: from, To: to, How: how})
	at := ""
	if tip >= 0 {
		at = fmt.Sprintf(" at block %d", tip)
	}
	v.hold("%s are under the digest %s%s, by %s", blocks(from, to), digest, at, how)
}

// covered concludes on which blocks a digest covers, and says whether on all. What
// is behind a digest proves nothing: whoever can write the archive can make such
// blocks, or take them away.
func (v *Conclusion) covered(c *Chain, kept int) bool {
	if kept == 0 {
		v.open("the archive as a whole", "no digest or proof was given: somebody who can rewrite all of the archive could have made another chain, or cut off its end",
			"give a digest that was kept outside of it: the console's digest file, a GetDigest, GetBlock or GetRevision answer, or proofs.json")
	}
	all := true
	for i := range c.Runs {
		r := &c.Runs[i]
		to := r.First - 1
		for _, t := range v.Ties {
			if t.From <= r.First && t.To <= r.Last {
				to = max(to, t.To)
			}
		}
		all = all && to == r.Last
		if kept > 0 && to < r.Last {
			v.open(blocks(to+1, r.Last), "no digest that was kept covers them; that they follow the covered ones is all that is known", "give a digest with a later tip, or the proof of the last block")
		}
	}
	return all
}

// revisions concludes on the revisions and says whether each was hashed again.
func (v *Conclusion) revisions(c *Chain) bool {
	n := &v.Revisions
	if sum := n[Proven] + n[Redacted]; sum > 0 {
		v.hold("%d of %s of documents were hashed again and have the hash that their block holds", sum, count(n.Total()-n[Opaque], "revision"))
	}
	if n[Redacted] > 0 {
		v.hold("%d of these were redacted: the hash of their data, which QLDB left in its place, is what their hash covers", n[Redacted])
	}
	deletions := c.deletions()
	for k, rule := range [...]string{"H(metadata)", "dot(H(metadata), H(null))", `dot(H(metadata), SHA256(""))`} {
		if deletions[k] > 0 {
			v.hold("%d of these delete their document; they are hashed as %s", deletions[k], rule)
		}
	}
	if n[Opaque] > 0 {
		v.open(count(n[Opaque], "revision")+" of QLDB's own catalogue", "the journal holds nothing of them but their hashes, which their blocks cover", "nothing: their content was never exported")
	}
	if n[TypeUnproven] > 0 {
		v.open(count(n[TypeUnproven], "revision")+" from JSON", "JSON lost Ion types that their hashes cover, and no types tried give the stored hash: their values are neither proven nor disproven; their hashes are in the chain", "an export of the same blocks in Ion, if one was made")
	}
	if n[Unchecked] > 0 {
		v.open(count(n[Unchecked], "revision"), "only the chain was asked to be verified", `verify with "full"`)
	}
	if n[Unattested] > 0 {
		v.open(count(n[Unattested], "revision"), "what their hash covers is absent, or nothing intact holds their hash", "look for another copy of the listed blocks")
	}
	return n[Tampered]+n[TypeUnproven]+n[Unchecked]+n[Unattested]+n[Inconsistent] == 0 && v.Blocks[Unattested]+v.Blocks[Inconsistent] == 0
}
