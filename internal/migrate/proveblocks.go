package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"godwit/internal/journal"
	"godwit/internal/proof"
)

// ProveBlocks hashes the blocks of an archive again, as a load's transform does,
// and makes no rows.
type ProveBlocks struct {
	Objects    Objects
	WorkBucket string
	// StepBytes is how much is read, in decompressed bytes of one object, between
	// two looks at the deadline; 0 is 64 MiB.
	StepBytes int64
	Now       func() time.Time
}

// ProveIn is a batch of items and, when an earlier call handed on, where it
// stood.
type ProveIn struct {
	ProofId string
	Items   []Item
	Resume  *Resume `json:",omitempty"`
}

// Proved is what hashing the blocks of one item again found. Joined runs are the
// same wherever calls handed on.
type Proved struct {
	Chain    proof.Chain
	Typed    map[string]*TypedTable `json:",omitempty"` // by ledger table id, where types are recovered
	Unread   int64                  // blocks behind a finding that ends the reading of their object
	Findings []Finding              `json:",omitempty"` // the first of these
	Untold   int64                  `json:",omitempty"` // findings beyond those
}

// provedKey is of what was found in an item.
func provedKey(id string, item int) string { return fmt.Sprintf("proofs/%s/runs/%06d.json", id, item) }

// provedTurnKey is of what was found when a call handed on at a place within an
// item. It is the same whenever and however often that place is reached.
func provedTurnKey(id string, item int, at *Resume) string {
	return fmt.Sprintf("proofs/%s/runs/turns/%06d-%06d-%d.json", id, item, at.Range, at.Position.Offset)
}

// Handle verifies the blocks of its items and hands on before the deadline. It may
// be repeated: it writes the same objects again.
func (p *ProveBlocks) Handle(ctx context.Context, in ProveIn) (WorkOut, error) {
	out, err := p.handle(ctx, in)
	return out, Classify(err)
}

func (p *ProveBlocks) handle(ctx context.Context, in ProveIn) (WorkOut, error) {
	stop, limited := handOn(ctx, p.Now())
	var plan Plan
	if err := readJSON(ctx, p.Objects, p.WorkBucket, provePlanKey(in.ProofId), &plan); err != nil {
		return WorkOut{}, err
	}
	at := Resume{}
	if in.Resume != nil {
		at = *in.Resume
	}
	verifier, typist := newVerifier(&plan), &proof.Typist{}
	var learned map[string]proof.Learned
	if plan.typed() {
		types := &proof.Types{}
		if err := readJSON(ctx, p.Objects, p.WorkBucket, proveTypesKey(in.ProofId), types); err != nil {
			return WorkOut{}, err
		}
		typist.Types, verifier.Typing, learned = types, typist, types.Tables()
	}
	late := func() bool { return limited && p.Now().After(stop) }
	for at.Item < len(in.Items) {
		item := &in.Items[at.Item]
		v := &itemProver{plan: &plan, prover: newProver(verifier, &plan, item), typist: typist, learned: learned}
		typist.Spent = at.Spent
		if at.Range > 0 || at.Next != 0 {
			var was Proved
			if err := readJSON(ctx, p.Objects, p.WorkBucket, provedTurnKey(in.ProofId, item.Number, &at), &was); err != nil {
				return WorkOut{}, err
			}
			v.Proved, v.joined.chain = was, was.Chain
		}
		for at.Range < len(item.Ranges) {
			ended, err := p.read(ctx, v, &item.Ranges[at.Range], &at, late)
			if err != nil {
				return WorkOut{}, err
			}
			if ended {
				at = Resume{Item: at.Item, Range: at.Range + 1, Spent: typist.Spent}
			}
			if at.Range < len(item.Ranges) && (!ended || late()) {
				found, err := v.found()
				if err != nil {
					return WorkOut{}, err
				}
				return WorkOut{Resume: &at}, putJSON(ctx, p.Objects, p.WorkBucket, provedTurnKey(in.ProofId, item.Number, &at), found)
			}
		}
		found, err := v.found()
		if err != nil {
			return WorkOut{}, err
		}
		if err := putJSON(ctx, p.Objects, p.WorkBucket, provedKey(in.ProofId, item.Number), found); err != nil {
			return WorkOut{}, err
		}
		at = Resume{Item: at.Item + 1}
		if at.Item < len(in.Items) && late() {
			return WorkOut{Resume: &at}, nil
		}
	}
	return WorkOut{Done: true}, nil
}

// An itemProver verifies the blocks of one item.
type itemProver struct {
	Proved
	plan    *Plan
	prover  *prover
	typist  *proof.Typist
	learned map[string]proof.Learned // nil: no types are recovered
	joined  stitching                // by earlier calls
}

// read verifies one range, or as much of it as there is time for. An object that
// cannot be read to its end is a finding; its other blocks are left out.
func (p *ProveBlocks) read(ctx context.Context, v *itemProver, r *Range, at *Resume, late func() bool) (ended bool, err error) {
	step := p.StepBytes
	if step == 0 {
		step = defaultSegmentBytes
	}
	w, err := openRange(ctx, p.Objects, v.plan, r, at, nil)
	if err != nil {
		return true, v.ends(r, max(at.Next, r.Claim.First), at.Position.Offset, err)
	}
	defer w.close()
	began := at.Position.Offset
	for {
		b, err := w.next(ctx)
		if err == nil {
			err = v.prover.add(b)
		}
		if err != nil {
			return true, v.ends(r, max(w.due, r.Claim.First), w.reader.Position().Offset, err)
		}
		v.count(b)
		if w.due > r.Claim.Last {
			return true, v.ends(r, w.due, w.reader.Position().Offset, w.end())
		}
		at.Position, at.Next, at.Spent = w.reader.Position(), w.due, v.typist.Spent
		if at.Position.Offset-began >= step {
			if late() {
				return false, nil
			}
			began = at.Position.Offset
		}
	}
}

// count counts what types proved of a block that was verified.
func (v *itemProver) count(b *journal.Block) {
	if v.learned == nil || b.Format != journal.JSON {
		return
	}
	for i, verdict := range v.prover.check.Revisions {
		r := &b.Revisions[i]
		if len(r.RawData) == 0 {
			continue
		}
		t := v.Typed[r.Table.ID]
		if t == nil {
			t = &TypedTable{Name: r.Table.Name, Learned: v.learned[r.Table.ID]}
			if v.Typed == nil {
				v.Typed = map[string]*TypedTable{}
			}
			v.Typed[r.Table.ID] = t
		}
		t.Read++
		if verdict == proof.TypeUnproven {
			t.Unproven++
		}
	}
}

// ends notes why a range ends before its last block is read, if it does, and
// returns what is not about the object's content: S3 that does not answer, or
// refuses.
func (v *itemProver) ends(r *Range, due, offset int64, err error) error {
	if err == nil {
		return nil
	}
	var code interface{ ErrorCode() string }
	if passes(err) || errors.As(err, &code) {
		return err
	}
	v.Unread += r.Claim.Last + 1 - due
	v.tell(Finding{Object: r.Key, Block: due, Offset: offset, Text: err.Error()})
	return nil
}

// found is what is known of the item so far.
func (v *itemProver) found() (*Proved, error) {
	v.joined.add(v.prover.runs())
	if v.joined.err != nil {
		return nil, &Stop{v.joined.err}
	}
	v.Chain = v.joined.chain
	return &v.Proved, nil
}
