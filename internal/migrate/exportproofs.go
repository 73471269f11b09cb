package migrate

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"godwit/internal/journal"
	"godwit/internal/proof"
)

// WriteProofs checks that the exports hold every block once, and writes beside
// each the proof of its last block.
type WriteProofs struct {
	Objects    Objects
	Ledger     Ledger
	WorkBucket string
	Archives   []AllowedArchive
	Now        func() time.Time
}

// ProofsIn names a LedgerExport and, when an earlier call handed on, where it
// stood.
type ProofsIn struct {
	ExportId string
	Resume   *ProofsResume `json:",omitempty"`
}

// ProofsResume is a place between two proofs.
type ProofsResume struct {
	Next   int    // index of the next proof
	Digest string // base64: all proofs are against one digest
	Tip    int64  // the last block that Digest covers
}

// ProofsOut says where to go on, or, when all is done, how to load what was
// exported: an input of LedgerLoad.
type ProofsOut struct {
	Done        bool
	Resume      *ProofsResume `json:",omitempty"`
	WaitSeconds int           // 0: at once
	Output      *Input        `json:",omitempty"`
}

// A ProofMismatchError says that QLDB's answers do not fit together: a block's
// hash is not that of its parts, or its proof does not lead to the digest.
type ProofMismatchError struct {
	Ledger    string
	Block     int64
	What      string // what was recomputed
	Want, Got proof.Hash
}

func (e *ProofMismatchError) Error() string {
	return fmt.Sprintf("block %d of ledger %s: %s is %s, where the ledger says %s: its proof is not written; keep both answers and ask the ledger again", e.Block, e.Ledger, e.What, e.Got, e.Want)
}

// Handle checks the exports and writes proofs, and hands on before its deadline.
// Repeating it writes the same objects again, but where the digest had to be
// newer than the plan's.
func (p *WriteProofs) Handle(ctx context.Context, in ProofsIn) (ProofsOut, error) {
	out, err := p.handle(ctx, in)
	return out, Classify(err)
}

func (p *WriteProofs) handle(ctx context.Context, in ProofsIn) (ProofsOut, error) {
	stop, limited := handOn(ctx, p.Now())
	var plan ExportPlan
	if err := readJSON(ctx, p.Objects, p.WorkBucket, exportPlanKey(in.ExportId), &plan); err != nil {
		return ProofsOut{}, err
	}
	order := &plan.Order
	if err := AllowArchive(p.Archives, order.Bucket, order.Prefix); err != nil {
		return ProofsOut{}, &Stop{err}
	}
	exports, err := p.exported(ctx, &plan)
	if err != nil {
		return ProofsOut{}, err
	}
	last, err := coverage(exports, order.Tip)
	if err != nil {
		return ProofsOut{}, err
	}
	out := &Input{Bucket: order.Bucket, Prefix: order.Prefix, LedgerName: order.Ledger, Strand: order.Strand, LastBlockNum: &last}
	for _, x := range exports {
		out.ExportIds = append(out.ExportIds, x.id)
	}
	proven := slices.DeleteFunc(exports, func(x exportedWindow) bool { return len(x.objects) == 0 })
	slices.SortFunc(proven, func(a, b exportedWindow) int { return cmp.Compare(a.last(), b.last()) })
	at, err := p.digest(ctx, order, last, in.Resume)
	if err != nil {
		return ProofsOut{}, err
	}
	if out.Digest, err = json.Marshal(at.Digest); err != nil {
		return ProofsOut{}, err
	}
	out.DigestTip = &at.Tip
	for at.Next < len(proven) {
		if limited && p.Now().After(stop) {
			return ProofsOut{Resume: &at}, nil
		}
		some := proven[at.Next:min(at.Next+parallel, len(proven))]
		times := make([]string, len(some))
		err := each(ctx, len(some), func(ctx context.Context, i int) (err error) {
			times[i], err = p.prove(ctx, order, &some[i], &at)
			return err
		})
		if err != nil {
			return ProofsOut{}, err
		}
		at.Next += len(some)
		out.LastBlockTimestamp = times[len(times)-1]
	}
	return ProofsOut{Done: true, Output: out}, nil
}

// An exportedWindow is an export and the data objects that its manifest names.
type exportedWindow struct {
	id      string
	window  Window
	objects []exportedObject // in order of their blocks
}

type exportedObject struct {
	key    string
	blocks Blocks
}

// last is the last block of the export's last object.
func (x *exportedWindow) last() int64 { return x.objects[len(x.objects)-1].blocks.Last }

// exported reads what the exports of all windows say that they wrote.
func (p *WriteProofs) exported(ctx context.Context, plan *ExportPlan) ([]exportedWindow, error) {
	windows, err := p.windows(ctx, plan)
	if err != nil {
		return nil, err
	}
	o := &plan.Order
	there := map[string]bool{}
	manifests := map[string][]journal.Key{} // by id
	keys := map[string][]string{}
	err = p.Objects.List(ctx, o.Bucket, o.Prefix, func(key, _ string, _ int64, _ string) error {
		there[key] = true
		if k := journal.ParseKey(o.Prefix, key); k.Kind == journal.CompletedKey {
			manifests[k.ExportID] = append(manifests[k.ExportID], k)
			keys[k.ExportID] = append(keys[k.ExportID], key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]exportedWindow, len(windows))
	return out, each(ctx, len(windows), func(ctx context.Context, i int) error {
		x := &out[i]
		x.window = windows[i]
		var done doneWindow
		if err := readJSON(ctx, p.Objects, p.WorkBucket, exportDoneKey(plan.ExportId, x.window.Number), &done); err != nil {
			return err
		}
		x.id = done.Export
		if len(manifests[x.id]) == 0 {
			return &Stop{fmt.Errorf("export %s (blocks %d to %d) is completed, and s3://%s/%s holds no completion manifest of it: its objects were removed; start LedgerExport again with a fresh BucketPrefix", x.id, x.window.First, x.window.Last, o.Bucket, o.Prefix)}
		}
		for j, k := range manifests[x.id] {
			if k.Strand != o.Strand {
				return &Stop{fmt.Errorf("manifest %s is of strand %s, the digest of strand %s: godwit knows ledgers of one strand", keys[x.id][j], k.Strand, o.Strand)}
			}
			if err := x.read(ctx, p.Objects, o, keys[x.id][j], func(key string) bool { return there[key] }); err != nil {
				return err
			}
		}
		slices.SortFunc(x.objects, func(a, b exportedObject) int { return cmp.Compare(a.blocks.First, b.blocks.First) })
		return nil
	})
}

// windows reads the windows that SplitJournal wrote.
func (p *WriteProofs) windows(ctx context.Context, plan *ExportPlan) ([]Window, error) {
	b, err := readAll(ctx, p.Objects, p.WorkBucket, exportWindowsKey(plan.ExportId))
	if err != nil {
		return nil, err
	}
	var windows []Window
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		var w Window
		if err := d.Decode(&w); errors.Is(err, io.EOF) {
			return windows, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode s3://%s/%s: %w", p.WorkBucket, exportWindowsKey(plan.ExportId), err)
		}
		windows = append(windows, w)
	}
}

// read adds the objects that a completion manifest names.
func (x *exportedWindow) read(ctx context.Context, o Objects, order *ExportOrder, manifest string, there func(string) bool) error {
	b, err := readAll(ctx, o, order.Bucket, manifest)
	if err != nil {
		return err
	}
	m, err := journal.ParseCompletedManifest(b)
	if err != nil {
		return &Stop{fmt.Errorf("read manifest %s: %w", manifest, err)}
	}
	for _, name := range m.Keys {
		key, err := journal.ResolveKey(name, order.Prefix, "", there)
		if err != nil {
			return &Stop{fmt.Errorf("manifest %s names %s, and s3://%s/%s holds no such object: its objects were removed; start LedgerExport again with a fresh BucketPrefix", manifest, name, order.Bucket, order.Prefix)}
		}
		k := journal.ParseKey(order.Prefix, key)
		if k.Kind != journal.DataKey || k.Strand != order.Strand {
			return &Stop{fmt.Errorf("manifest %s names %s, which is not named like %s.<first>-<last>.ion or .json", manifest, name, order.Strand)}
		}
		x.objects = append(x.objects, exportedObject{key, Blocks{k.First, k.Last}})
	}
	return nil
}

// coverage checks, by the names of the objects, that the exports hold every block
// from 0 to the tip exactly once, and returns the last one: blocks of the tip's
// millisecond may follow it.
func coverage(exports []exportedWindow, tip int64) (last int64, err error) {
	type held struct {
		exportedObject
		in *exportedWindow
	}
	var all []held
	for i := range exports {
		for _, o := range exports[i].objects {
			all = append(all, held{o, &exports[i]})
		}
	}
	slices.SortFunc(all, func(a, b held) int { return cmp.Compare(a.blocks.First, b.blocks.First) })
	due := int64(0) // the next block
	missing := func(through int64) error {
		gap := Blocks{due, through}
		which := ""
		for _, x := range exports {
			if x.window.First <= due && due <= x.window.Last {
				which = fmt.Sprintf("; export %s was to hold blocks %d to %d", x.id, x.window.First, x.window.Last)
			}
		}
		are := "are"
		if due == through {
			are = "is"
		}
		return &Stop{fmt.Errorf("%s %s in no object of the exports%s: start LedgerExport again with a fresh BucketPrefix", gap, are, which)}
	}
	for i, h := range all {
		if h.blocks.First > due {
			return 0, missing(h.blocks.First - 1)
		}
		if h.blocks.First < due {
			return 0, &Stop{fmt.Errorf("block %d is in two objects: %s of export %s and %s of export %s; start LedgerExport again with a fresh BucketPrefix", h.blocks.First, all[i-1].key, all[i-1].in.id, h.key, h.in.id)}
		}
		due = h.blocks.Last + 1
	}
	if due <= tip {
		return 0, missing(tip)
	}
	return due - 1, nil
}

// digest chooses the digest that the proofs lead to: the plan's, or a newer one
// when blocks came after it that are exported.
func (p *WriteProofs) digest(ctx context.Context, o *ExportOrder, last int64, resume *ProofsResume) (ProofsResume, error) {
	if resume != nil {
		return *resume, nil
	}
	at := ProofsResume{Digest: o.Digest, Tip: o.Tip}
	if last <= o.Tip {
		return at, nil
	}
	digest, tip, err := readDigest(ctx, p.Ledger, o.Ledger)
	switch {
	case err != nil:
		return at, err
	case tip.Strand != o.Strand:
		return at, &Stop{fmt.Errorf("ledger %s has strand %s, where it had %s when this execution began: it was deleted and made anew", o.Ledger, tip.Strand, o.Strand)}
	case tip.SequenceNo < last:
		return at, &Again{fmt.Errorf("the digest of ledger %s ends at block %d, before block %d, which is exported", o.Ledger, tip.SequenceNo, last)}
	}
	return ProofsResume{Digest: base64.StdEncoding.EncodeToString(digest), Tip: tip.SequenceNo}, nil
}

// A proofsFile is a proofs.json, with the members that AWS's migration sample
// gave it.
type proofsFile struct {
	Ledger             string
	Digest             string // base64
	DigestTipAddress   proofsAddress
	Export             string
	LastBlockNum       int64
	LastBlockTimestamp string
	Proof              []string // base64
}

type proofsAddress struct {
	Strand   string `json:"strandId"`
	Sequence int64  `json:"sequenceNo"`
}

// prove asks for the proof of an export's last block, checks it and writes it
// beside the export. It returns the block's time.
func (p *WriteProofs) prove(ctx context.Context, o *ExportOrder, x *exportedWindow, under *ProofsResume) (at string, err error) {
	tip := journal.Address{Strand: o.Strand, SequenceNo: under.Tip}
	b, text, err := readBlock(ctx, p.Ledger, o.Ledger, journal.Address{Strand: o.Strand, SequenceNo: x.last()}, &tip)
	if err != nil {
		return "", err
	}
	path, err := journal.ParseProof(text)
	if err != nil {
		return "", fmt.Errorf("block %d of ledger %s: %w", b.SequenceNo, o.Ledger, err)
	}
	if err := checkProof(o.Ledger, b, path, under.Digest); err != nil {
		return "", err
	}
	when, err := blockTime(b)
	if err != nil {
		return "", err
	}
	file := proofsFile{
		Ledger: o.Ledger, Digest: under.Digest, DigestTipAddress: proofsAddress{o.Strand, under.Tip}, Export: x.id,
		LastBlockNum: b.SequenceNo, LastBlockTimestamp: proofsTime(when), Proof: []string{},
	}
	for _, h := range path {
		file.Proof = append(file.Proof, base64.StdEncoding.EncodeToString(h))
	}
	key := fmt.Sprintf("%s%s.%s.proofs.json", o.Prefix, x.id, o.Strand)
	return file.LastBlockTimestamp, putJSON(ctx, p.Objects, o.Bucket, key, file)
}

// proofsTime writes a time as the sample did, with the microseconds, and with
// more only where there is more.
func proofsTime(t time.Time) string {
	if t.Nanosecond()%1000 != 0 {
		return t.Format("2006-01-02T15:04:05.000000000Z")
	}
	return t.Format("2006-01-02T15:04:05.000000Z")
}

// checkProof recomputes a block's hash from its parts, and the digest from that
// hash and the proof.
func checkProof(ledger string, b *journal.Block, path [][]byte, digest string) error {
	var bad error
	parse := func(b []byte) proof.Hash {
		h, err := proof.ParseHash(b)
		bad = errors.Join(bad, err)
		return h
	}
	hash, entries, previous := parse(b.Hash), parse(b.EntriesHash), parse(b.PreviousHash)
	var list, folds []proof.Hash
	for _, e := range b.EntriesHashList {
		list = append(list, parse(e))
	}
	for _, h := range path {
		folds = append(folds, parse(h))
	}
	raw, err := base64.StdEncoding.DecodeString(digest)
	want := parse(raw)
	if err := errors.Join(err, bad); err != nil {
		return fmt.Errorf("block %d of ledger %s: %w", b.SequenceNo, ledger, err)
	}
	mismatch := func(what string, want, got proof.Hash) error {
		return &Stop{&ProofMismatchError{Ledger: ledger, Block: b.SequenceNo, What: what, Want: want, Got: got}}
	}
	if got := proof.EntriesHash(list); len(list) > 0 && got != entries {
		return mismatch("the hash over its entries", entries, got)
	}
	if got := proof.BlockHash(entries, previous); !entries.IsEmpty() && got != hash {
		return mismatch("the hash over entries and the block before", hash, got)
	}
	if got := proof.Fold(hash, folds); got != want {
		return mismatch("the digest that its proof leads to", want, got)
	}
	return nil
}
