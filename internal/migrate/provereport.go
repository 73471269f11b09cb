package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"godwit/internal/proof"
	"godwit/internal/report"
)

// ProveReport concludes how far an archive is proven, and writes the report that
// ends a proof.
type ProveReport struct {
	Objects    Objects
	WorkBucket string
	Now        func() time.Time
}

// ProveReportIn names the proof and the execution.
type ProveReportIn struct {
	ProofId   string
	Execution string
}

// ProveReportOut is the output of the execution.
type ProveReportOut struct {
	ProofId string
	Verdict string
	Level   int    // of 3
	Said    string // the verdict in a sentence
	Digest  string `json:",omitempty"` // base64; what QLDB's digest at the last block must have been
	Report  string // S3 URI of the report for people
}

// Handle writes what came of a proof: proof.json, the report for programs and the
// one for people. Then, where the archive is contradicted or could not be read as
// a whole, it stops: the report of a bad archive is what an auditor came for. It
// may be repeated.
func (r *ProveReport) Handle(ctx context.Context, in ProveReportIn) (ProveReportOut, error) {
	out, err := r.handle(ctx, in)
	return out, Classify(err)
}

const proveAgain = "start LedgerProve again with the same input"

func (r *ProveReport) handle(ctx context.Context, in ProveReportIn) (ProveReportOut, error) {
	var plan Plan
	if err := readJSON(ctx, r.Objects, r.WorkBucket, provePlanKey(in.ProofId), &plan); err != nil {
		return ProveReportOut{}, err
	}
	var files []kept
	if err := readJSON(ctx, r.Objects, r.WorkBucket, proveEvidenceKey(in.ProofId), &files); err != nil {
		return ProveReportOut{}, err
	}
	all, err := r.join(ctx, &plan, in.ProofId)
	if err != nil {
		return ProveReportOut{}, err
	}
	v := &Proof{Verify: plan.Input.verify(), Kept: len(files), Conclusion: all.Chain.Conclude(evidenceOf(files))}
	if n := v.Conclusion.Blocks.Total() + all.Unread; n != plan.Blocks && v.Conclusion.Err() == nil {
		return ProveReportOut{}, &Stop{fmt.Errorf("proof %s: %d blocks were read where the plan gave out %d: %s", in.ProofId, n, plan.Blocks, proveAgain)}
	}
	if v.Conclusion.Err() != nil {
		v.Stopped, v.By = true, contradicting(&all.Chain, files)
	}
	v.Stopped = v.Stopped || len(all.Findings) > 0
	if err := putJSON(ctx, r.Objects, r.WorkBucket, proveProofKey(in.ProofId), v); err != nil {
		return ProveReportOut{}, err
	}
	d, err := r.data(&plan, v, all, in)
	if err != nil {
		return ProveReportOut{}, err
	}
	page, err := r.put(ctx, in.ProofId, &d)
	if err != nil {
		return ProveReportOut{}, err
	}
	if v.Stopped {
		// Written. Whoever repeats this writes the same and stops again.
		return ProveReportOut{}, &Stop{errors.New(all.stopText(v, page))}
	}
	return ProveReportOut{ProofId: in.ProofId, Verdict: string(d.Verdict), Level: v.Conclusion.Level, Said: d.Sentence, Digest: d.Proof.Digest, Report: page}, nil
}

// join puts together what was found in all items, which lie in the order of their
// blocks, and what the plan found before.
func (r *ProveReport) join(ctx context.Context, plan *Plan, id string) (*Proved, error) {
	all := &Proved{Typed: map[string]*TypedTable{}}
	for _, f := range plan.Findings {
		all.tell(f)
	}
	var joined stitching
	err := inOrder(ctx, plan.Items, func(ctx context.Context, i int, found *Proved) error {
		return readJSON(ctx, r.Objects, r.WorkBucket, provedKey(id, i), found)
	}, func(found *Proved) error {
		joined.add(found.Chain.Runs)
		all.Unread += found.Unread
		for id, t := range found.Typed {
			if sum := all.Typed[id]; sum != nil {
				sum.Read, sum.Unproven = sum.Read+t.Read, sum.Unproven+t.Unproven
			} else {
				all.Typed[id] = t
			}
		}
		all.Untold += found.Untold
		for _, f := range found.Findings {
			all.tell(f)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what was found in the items: %w", err)
	}
	if joined.err != nil {
		return nil, &Stop{fmt.Errorf("%w: %s", joined.err, proveAgain)}
	}
	all.Chain = joined.chain
	return all, nil
}

func (all *Proved) tell(f Finding) {
	if len(all.Findings) < told {
		all.Findings = append(all.Findings, f)
		return
	}
	all.Untold++
}

// evidenceOf is what was kept, without where it was.
func evidenceOf(files []kept) []proof.Evidence {
	out := make([]proof.Evidence, len(files))
	for i := range files {
		out[i] = files[i].Evidence
	}
	return out
}

func (r *ProveReport) data(plan *Plan, v *Proof, all *Proved, in ProveReportIn) (report.Prove, error) {
	input, err := json.Marshal(plan.Input)
	if err != nil {
		return report.Prove{}, err
	}
	// What a load tells of its archive.
	a := (&load{plan: plan, blocks: v.Conclusion.Blocks.Total(), hashOnly: v.Conclusion.Revisions[proof.Opaque]}).archive()
	d := report.Prove{
		ProofID: in.ProofId, Execution: in.Execution, Input: input, Finished: r.Now(), Archive: a,
		Proof: *v.told("s3://"+r.WorkBucket+"/"+proveProofKey(in.ProofId), all.Typed), Contradictions: slices.Clone(v.Conclusion.Contradictions),
		Unread: all.Unread, MoreStops: all.Untold,
	}
	for _, f := range all.Findings {
		d.Stops = append(d.Stops, report.PlannedStop{Object: f.Object, Block: f.Block, Text: f.Text})
	}
	return d.Complete()
}

// put writes both files of the report, the one that people open last, and returns
// that one's S3 URI.
func (r *ProveReport) put(ctx context.Context, id string, d *report.Prove) (page string, err error) {
	for _, x := range []struct {
		ext, kind string
		body      func() ([]byte, error)
	}{{"json", "application/json", d.JSON}, {"html", "text/html; charset=utf-8", d.HTML}} {
		b, err := x.body()
		if err != nil {
			return "", err
		}
		page = "proofs/" + id + "/report." + x.ext
		if err := r.Objects.Put(ctx, r.WorkBucket, page, b, x.kind, ""); err != nil {
			return "", err
		}
	}
	return "s3://" + r.WorkBucket + "/" + page, nil
}

// stopText is what a proof says of an archive that is bad.
func (all *Proved) stopText(v *Proof, page string) string {
	var lines []string
	if v.Conclusion.Err() != nil {
		lines = append([]string{"the archive was tampered with, or mixed with another, or what it is held against is of another:"}, v.worst()...)
	}
	if len(all.Findings) > 0 {
		lines = append(lines, "the archive is not as its manifests, its objects' names or the input say:")
		for i, f := range all.Findings {
			if i == mostContradictions {
				lines = append(lines, "and others")
				break
			}
			lines = append(lines, f.Text)
		}
	}
	lines = append(lines, page+" tells all. Copy what is named here again from where it came from, or find another copy, and start LedgerProve again: a redrive, or the same objects, end the same")
	return strings.Join(lines, "\n")
}
