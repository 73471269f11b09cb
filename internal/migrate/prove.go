package migrate

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/journal"
	"godwit/internal/proof"
	"godwit/internal/report"
)

// newVerifier is what the plan asks to verify with; nil is nothing. JSON is read
// with the types that are usual, unless whoever learned better gives a Typing.
func newVerifier(plan *Plan) *proof.Verifier {
	if plan.Input.verify() == verifyOff {
		return nil
	}
	return &proof.Verifier{ChainOnly: plan.Input.verify() == verifyChain, Typing: &proof.Typist{}}
}

// A prover verifies the blocks of one segment, as they pass. nil verifies nothing.
//
// Blocks and revisions that were tampered with do not end the reading: all
// children go to their ends, so that the stop behind them lists what there is.
type prover struct {
	verifier *proof.Verifier
	recorder proof.Recorder
	check    *proof.Check // of the block before
	broken   int
}

// newProver begins a segment of an item. A segment is verified by itself: its runs
// begin and end with it, whoever reads the blocks before and behind.
func newProver(v *proof.Verifier, plan *Plan, item *Item) *prover {
	if v == nil {
		return nil
	}
	p := &prover{verifier: v}
	first, last := item.Ranges[0].Claim.First, item.Ranges[len(item.Ranges)-1].Claim.Last
	for _, m := range plan.Marks {
		if m >= first && m <= last {
			p.recorder.Marks = append(p.recorder.Marks, m)
		}
	}
	return p
}

// add verifies a block. Broken links are left to stitching, which finds them
// between two runs; the error is that of a segment with too many.
func (p *prover) add(b *journal.Block) error {
	if p == nil {
		return nil
	}
	p.check = p.verifier.Verify(b)
	err := p.recorder.Add(b, p.check)
	if err == nil {
		return nil
	}
	if p.broken++; p.broken < proof.MaxFindings {
		return nil
	}
	return &Stop{fmt.Errorf("offset %d: %w; it is the broken link number %d here: the archive was tampered with, or is of several ledgers; copy it again from where it came from", b.Offset, err, p.broken)}
}

func (p *prover) runs() []proof.Run {
	if p == nil {
		return nil
	}
	return p.recorder.Runs()
}

// tampered tells whether a block so far was tampered with.
func (p *prover) tampered() bool { return slices.ContainsFunc(p.runs(), hasTampered) }

func hasTampered(r proof.Run) bool { return r.Blocks[proof.Tampered] > 0 }

// A stitching joins the runs of all segments, in the order of their blocks. It
// keeps one run for each stretch of blocks without a gap, and no more broken
// links than are told.
type stitching struct {
	chain  proof.Chain
	broken int
	err    error // what no transform leaves behind
}

func (s *stitching) add(runs []proof.Run) {
	for i := range runs {
		if s.err != nil || s.broken == proof.MaxFindings {
			return
		}
		err := s.chain.Add(&runs[i])
		var broken *proof.BrokenChainError
		if errors.As(err, &broken) {
			s.broken++
		} else if err != nil {
			s.err = err
		}
	}
}

// A Proof is what verifying a load's blocks came to: loads/<id>/proof.json.
type Proof struct {
	LoadID string `json:",omitempty"`
	Verify string // as the input asks: full or chain
	Kept   int    // digests and proofs that it was held against
	// Stopped says that the archive is contradicted: the load ended here.
	Stopped    bool
	By         []string `json:",omitempty"` // the digests and proofs that contradict it, by where they were kept
	Conclusion *proof.Conclusion
}

// prove concludes on what the transform verified, before anything of the load is
// staged, and writes it down. An archive that is contradicted ends the load: its
// registration in the target is removed, and whoever comes here again, by a
// redrive or by a new start over the same objects, concludes the same, because
// what was read is what the plan's ETags name.
func (p *Phase) prove(ctx context.Context, l *load) error {
	if l.plan.Input.verify() == verifyOff {
		return nil
	}
	v, err := l.conclude(ctx, p.Objects, p.WorkBucket)
	if err != nil {
		return err
	}
	if err := putJSON(ctx, p.Objects, p.WorkBucket, proofKey(l.plan.LoadID), v); err != nil {
		return err
	}
	if !v.Stopped {
		return nil
	}
	// Written down. A crash from here on leaves a load that is registered and
	// staged nothing; the repeat removes it.
	if err := p.Target.Abandon(ctx, l.plan.LoadID); err != nil {
		return err
	}
	return &Stop{errors.New(v.stopText(p.WorkBucket))}
}

// conclude holds what was verified against what was kept.
func (l *load) conclude(ctx context.Context, o Objects, bucket string) (*Proof, error) {
	if err := l.proof.err; err != nil {
		return nil, &Stop{fmt.Errorf("%w: %s", err, startAgain)}
	}
	var files []kept
	if err := readJSON(ctx, o, bucket, evidenceKey(l.plan.LoadID), &files); err != nil {
		return nil, err
	}
	v := &Proof{LoadID: l.plan.LoadID, Verify: l.plan.Input.verify(), Kept: len(files), Conclusion: l.proof.chain.Conclude(evidenceOf(files))}
	if n := v.Conclusion.Blocks.Total(); n != l.plan.Blocks && l.proof.broken == 0 {
		return nil, &Stop{fmt.Errorf("load %s: %d blocks were verified where the plan gave out %d: %s", l.plan.LoadID, n, l.plan.Blocks, startAgain)}
	}
	v.Stopped = v.Conclusion.Err() != nil
	if v.Stopped {
		v.By = contradicting(&l.proof.chain, files)
	}
	return v, nil
}

// contradicting names the digests and proofs, each by itself, that a chain
// contradicts.
func contradicting(c *proof.Chain, files []kept) (names []string) {
	itself := len(c.Conclude(nil).Contradictions)
	for i := range files {
		if len(c.Conclude([]proof.Evidence{files[i].Evidence}).Contradictions) > itself && len(names) < told {
			names = append(names, cmp.Or(files[i].From, "Digest of the input"))
		}
	}
	return names
}

// proof reads what the load's blocks proved, for the report.
func (r *Report) proof(ctx context.Context, l *load) (*report.Proof, error) {
	if l.plan.Input.verify() == verifyOff {
		return &report.Proof{Asked: verifyOff}, nil
	}
	v := Proof{Conclusion: &proof.Conclusion{}}
	if err := readJSON(ctx, r.Objects, r.WorkBucket, proofKey(l.plan.LoadID), &v); err != nil {
		return nil, err
	}
	types, err := readTypes(ctx, r.Objects, r.WorkBucket, l.plan)
	if err != nil {
		return nil, err
	}
	return v.told("s3://"+r.WorkBucket+"/"+proofKey(l.plan.LoadID), l.typed(types)), nil
}

// told is what reports say of a proof, which lies at where, and of tables whose
// types were recovered.
func (v *Proof) told(where string, typed map[string]*TypedTable) *report.Proof {
	c := v.Conclusion
	p := &report.Proof{
		Asked: v.Verify, Level: c.Level, Kept: v.Kept, Tip: c.Last, Blocks: verdicts(&c.Blocks), Revisions: verdicts(&c.Revisions),
		Holds: some(unique(c.Holds)), Unlisted: c.Unlisted, Where: where,
	}
	if !c.Digest.IsEmpty() {
		p.Digest, p.Hex = c.Digest.String(), hex.EncodeToString(c.Digest.Bytes())
	}
	var ties []report.Tie
	for _, t := range c.Ties {
		ties = append(ties, report.Tie{Digest: t.Digest.String(), Hex: t.Hex, Ledger: t.Ledger, Tip: t.Tip, From: t.From, To: t.To, How: t.How})
	}
	p.Ties = some(unique(ties))
	for _, o := range some(c.Open) {
		p.Open = append(p.Open, report.Open(o))
	}
	p.Untyped = untyped(typed, c.Findings)
	for i := range c.Findings {
		p.Findings = append(p.Findings, c.Findings[i].String())
	}
	return p
}

// some ends a list where a report's does; what is left out stands in proof.json. A
// list's end is of the last blocks, and says most.
func some[T any](list []T) []T { return list[max(0, len(list)-listed):] }

// unique is a list without what stands in it before: every file of proofs beside
// the exports has the digest that they share.
func unique[T comparable](list []T) []T {
	seen := map[T]bool{}
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool {
		was := seen[x]
		seen[x] = true
		return was
	})
}

func verdicts(n *proof.Counts) (out []report.Verdicts) {
	for v, n := range n {
		if n > 0 {
			out = append(out, report.Verdicts{Verdict: proof.Verdict(v).String(), Count: n})
		}
	}
	return out
}

// Step Functions cuts a cause at 32,768 characters.
const (
	mostContradictions = 10
	mostTampered       = 20
)

// stopText is what a load says of an archive that is contradicted.
func (v *Proof) stopText(bucket string) string {
	lines := append([]string{"the archive was tampered with, or mixed with another, and nothing of the load is visible:"}, v.worst()...)
	lines = append(lines, fmt.Sprintf("s3://%s/%s tells all. Copy what is named here again from where it came from, or find another copy, and start LedgerLoad again: other objects are another load. A redrive, or the same objects, stop here again; \"Verify\": \"off\" loads them unproven", bucket, proofKey(v.LoadID)))
	return strings.Join(lines, "\n")
}

// worst names what contradicts the archive: the first of it.
func (v *Proof) worst() (lines []string) {
	c := v.Conclusion
	list := func(of []string, most int, more bool) {
		lines = append(lines, of[:min(len(of), most)]...)
		if more || len(of) > most {
			lines = append(lines, "and others")
		}
	}
	list(c.Contradictions, mostContradictions, false)
	var tampered []string
	for i := range c.Findings {
		f := c.Findings[i].String()
		named := slices.ContainsFunc(c.Contradictions, func(said string) bool { return strings.Contains(said, f) })
		if c.Findings[i].Verdict == proof.Tampered && !named {
			tampered = append(tampered, f)
		}
	}
	list(tampered, mostTampered, c.Unlisted > 0 && c.Findings[len(c.Findings)-1].Verdict == proof.Tampered)
	if len(v.By) > 0 {
		lines = append(lines, "contradicted by: "+strings.Join(v.By[:min(len(v.By), mostContradictions)], ", "))
	}
	return lines
}
