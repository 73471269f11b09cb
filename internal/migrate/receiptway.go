package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"godwit/internal/proof"
)

// A way leads from a block's hash to a digest.
type way struct {
	ledger string
	digest proof.Hash // nothing: there is no way, and the receipt ends with the block
	tip    int64
	from   string // where the digest was kept, or why there is none
	path   []proof.Hash
}

// way finds the way of a block to a digest that was kept: over the hashes of all
// blocks, where the load has them from block 0 up to the digest's tip; else by the
// proof of a block behind it. Without a digest that is reached it leads to the one
// that the load's blocks have together, which nobody kept; and where the load
// begins later, nowhere.
func (p *ProveRow) way(ctx context.Context, in *ProveRowIn, plan *Plan, block int64) (*way, error) {
	var files []kept
	asked := len(in.Digest) > 0
	if asked {
		given := Input{Digest: in.Digest, DigestTip: in.DigestTip, Strand: plan.Strand}
		var err error
		if files, err = given.kept(); err != nil {
			return nil, &Stop{err}
		}
	} else if err := readJSON(ctx, p.Objects, p.WorkBucket, evidenceKey(plan.LoadID), &files); err != nil {
		return nil, err
	}
	runs := plan.runs()
	i := slices.IndexFunc(runs, func(r Blocks) bool { return r.First <= block && block <= r.Last })
	if i < 0 {
		return nil, &Stop{fmt.Errorf("load %s did not read block %d", plan.LoadID, block)}
	}
	run := runs[i]
	hashes := openHashes(ctx, p.Objects, p.WorkBucket, plan.LoadID, run)
	leaf, err := hashes.Node(0, uint64(block))
	if err != nil {
		return nil, err
	}
	f := &wayfinder{hashes: hashes, run: run, block: block, leaf: leaf, input: "Digest of LedgerLoad's input"}
	if asked {
		f.input = "Digest of prove-row's input"
	}
	for _, try := range []func([]kept) (*way, error){f.overAll, f.byProof} {
		w, err := try(files)
		if w != nil || err != nil {
			return w, err
		}
	}
	switch {
	case asked:
		return nil, &Stop{fmt.Errorf("the Digest of the input is not reached: over all block hashes of load %s, which has %s, it has to end within them (DigestTip); else give a proof of a block from %d on with it", plan.LoadID, run, block)}
	case run.First > 0:
		return &way{from: fmt.Sprintf("none: the load has no block before %d, and no proof that was kept covers block %d", run.First, block)}, nil
	}
	path, err := proof.Inclusion(uint64(block), uint64(run.Last)+1, hashes.Node)
	if err != nil {
		return nil, err
	}
	return &way{digest: proof.Fold(leaf, path), tip: run.Last, from: "computed of the archive itself; nobody kept it", path: path}, nil
}

// A wayfinder looks for the way of one block of a run.
type wayfinder struct {
	hashes *proof.HashFiles
	run    Blocks
	block  int64
	leaf   proof.Hash
	input  string // where it was kept what no object has
}

// overAll takes the way over all block hashes to a digest within the run; nil
// without one.
func (f *wayfinder) overAll(files []kept) (*way, error) {
	if f.run.First > 0 {
		return nil, nil
	}
	seen := map[proof.Hash]bool{}
	for i := range files {
		k := &files[i]
		tip := k.Tip
		if tip < 0 {
			tip = f.run.Last // Conclude takes it for that as well
		}
		if k.Digest.IsEmpty() || seen[k.Digest] || tip < f.block || tip > f.run.Last {
			continue
		}
		seen[k.Digest] = true // every file of proofs has the same one
		path, err := proof.Inclusion(uint64(f.block), uint64(tip)+1, f.hashes.Node)
		if err != nil {
			return nil, err
		}
		if proof.Fold(f.leaf, path) == k.Digest {
			return &way{k.Ledger, k.Digest, tip, cmp.Or(k.From, f.input), path}, nil
		}
	}
	return nil, nil
}

// byProof takes the way of the proof of a block from this one on, the nearest
// first: the nearer, the fewer blocks before the run it needs. nil without one.
func (f *wayfinder) byProof(files []kept) (*way, error) {
	var proofs []*kept
	for i := range files {
		if x := files[i].Proof; x != nil && x.Block >= f.block && x.Block <= f.run.Last {
			proofs = append(proofs, &files[i])
		}
	}
	slices.SortStableFunc(proofs, func(a, b *kept) int { return cmp.Compare(a.Proof.Block, b.Proof.Block) })
	for _, k := range proofs {
		last, err := f.hashes.Node(0, uint64(k.Proof.Block))
		if err != nil {
			return nil, err
		}
		path, ok := fromBlock(k.Proof, last)
		if !ok {
			continue
		}
		got := proof.Fold(last, path)
		to := slices.IndexFunc(files, func(x kept) bool { return x.Digest == got && x.Tip >= k.Proof.Block })
		if to < 0 {
			continue
		}
		kept := &files[to]
		way := &way{kept.Ledger, got, kept.Tip, cmp.Or(k.From, f.input), nil}
		way.path, err = proof.InclusionBehind(uint64(f.block), uint64(kept.Tip)+1, f.hashes.Node, uint64(k.Proof.Block), path)
		var missing *proof.MissingBlocksError
		switch {
		case errors.As(err, &missing):
			continue // blocks before the run
		case err != nil:
			return nil, err
		case proof.Fold(f.leaf, way.path) == got:
			return way, nil
		}
	}
	return nil, nil
}

// fromBlock is the part of a proof that leads on from its block's hash. A
// revision's passes through it.
func fromBlock(p *proof.Proof, block proof.Hash) ([]proof.Hash, bool) {
	if p.Document == "" {
		return p.Path, true
	}
	at := p.Leaf
	for i := range p.Path {
		if at == block {
			return p.Path[i:], true
		}
		at = proof.Dot(at, p.Path[i])
	}
	return nil, at == block
}
