package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Keys of a proof in the work bucket.
func provePlanKey(id string) string     { return "proofs/" + id + "/plan.json" }
func proveItemsKey(id string) string    { return "proofs/" + id + "/items.jsonl" }
func proveEvidenceKey(id string) string { return "proofs/" + id + "/evidence.json" }
func proveTypesKey(id string) string    { return "proofs/" + id + "/types.json" }
func proveProofKey(id string) string    { return "proofs/" + id + "/proof.json" }

// ParseProveInput reads the input of LedgerProve: those members of LedgerLoad's
// that say which archive it is and what it is held against, so that the output of
// LedgerExport is one.
func ParseProveInput(b []byte) (Input, error) {
	in, err := ParseInput(b)
	if err != nil {
		return in, err
	}
	for _, x := range []struct {
		name  string
		given bool
	}{
		{"Mapping", in.Mapping != ""},
		{"Schema", in.Schema != ""},
		{"Tables", in.Tables != nil},
		{"History", in.History != ""},
		{"MaxQuarantined", in.MaxQuarantined != 0},
		{"AcceptGaps", in.AcceptGaps},
		{"EnableStream", in.EnableStream},
		{"Abandon", in.Abandon != ""},
		{"Mode", in.Mode != ""},
		{"ApplyRedactions", in.ApplyRedactions != nil},
	} {
		if x.given {
			return in, fmt.Errorf("%s is a member of LedgerLoad's input: LedgerProve reads whole blocks and loads nothing; leave it out", x.name)
		}
	}
	switch {
	case in.Verify == verifyOff:
		return in, errors.New(`Verify "off" leaves nothing to do: give "full" or "chain", or leave it out`)
	case in.Since.Time != "":
		return in, fmt.Errorf("Since %q is a time: a chain begins with a block; give its number", in.Since.Time)
	}
	return in, nil
}

// ProvePlan collects what an archive is to be proven with, the Ion types that its
// JSON lost included, and shares the archive out into work items.
type ProvePlan struct {
	Objects    Objects
	WorkBucket string
	Archives   []AllowedArchive
	Region     string // that it runs in
}

// ProvePlanOut names the proof and where its items lie.
type ProvePlanOut struct {
	ProofId   string
	Items     ObjectRef
	ItemCount int
}

// Handle plans a proof. The same input over the same objects is the same proof: a
// repeat writes the same plan. Missing blocks are left to the conclusion; what
// else is wrong with the archive becomes findings of the plan, which the report
// tells and the execution ends with.
func (p *ProvePlan) Handle(ctx context.Context, in PlanIn) (ProvePlanOut, error) {
	out, err := p.handle(ctx, in)
	return out, Classify(err)
}

func (p *ProvePlan) handle(ctx context.Context, in PlanIn) (ProvePlanOut, error) {
	input, err := ParseProveInput(in.Input)
	if err != nil {
		return ProvePlanOut{}, &Stop{err}
	}
	var lacks PreflightOut
	look := Preflight{Objects: p.Objects, Archives: p.Archives, WorkBucket: p.WorkBucket, Region: p.Region}
	if err := look.archive(ctx, input, &lacks); err != nil {
		return ProvePlanOut{}, err
	}
	if len(lacks.Missing) > 0 {
		return ProvePlanOut{}, &Stop{errors.New(strings.Join(lacks.Missing, "\n"))}
	}
	plan := &Plan{Input: input}
	ranges, work, evidence, err := plan.read(ctx, p.Objects)
	if err != nil {
		return ProvePlanOut{}, err
	}
	if plan.LoadID, err = proofID(plan, ranges, evidence); err != nil {
		return ProvePlanOut{}, err
	}
	out := ProvePlanOut{ProofId: plan.LoadID, Items: ObjectRef{p.WorkBucket, proveItemsKey(plan.LoadID)}, ItemCount: len(work)}
	if err := putJSON(ctx, p.Objects, p.WorkBucket, provePlanKey(out.ProofId), plan); err != nil {
		return ProvePlanOut{}, err
	}
	if err := putJSON(ctx, p.Objects, p.WorkBucket, proveEvidenceKey(out.ProofId), evidence); err != nil {
		return ProvePlanOut{}, err
	}
	if err := putLines(ctx, p.Objects, out.Items.Bucket, out.Items.Key, work); err != nil || !plan.typed() {
		return out, err
	}
	learner := LearnTypes{Objects: p.Objects, WorkBucket: p.WorkBucket}
	types, _, err := learner.learn(ctx, plan, out.Items.Key)
	if err != nil {
		return ProvePlanOut{}, err
	}
	return out, putJSON(ctx, p.Objects, p.WorkBucket, proveTypesKey(out.ProofId), types)
}

// proveVersion changes with a release that would find something else in the same
// archive.
const proveVersion = 2

// proofID derives a proof's name from its cause alone: the objects, as they are
// now, what they are held against, and how.
func proofID(plan *Plan, ranges []Range, evidence []kept) (string, error) {
	b, err := json.Marshal(struct {
		Version  int
		Bucket   string
		Ranges   []Range
		Input    Input
		Findings []Finding
		Evidence []kept
	}{proveVersion, plan.Input.Bucket, ranges, plan.Input, plan.Findings, evidence})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}
