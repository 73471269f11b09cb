package migrate

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"godwit/internal/proof"
)

// What Verify of the input asks for.
const (
	verifyFull  = "full"
	verifyChain = "chain"
	verifyOff   = "off"
)

func (in *Input) verify() string {
	if in.Verify == "" {
		return verifyFull
	}
	return in.Verify
}

// kept is a digest or a proof that was kept outside of the journal.
type kept struct {
	From string // an object of the archive; "" is the input
	proof.Evidence
}

// kept reads Digest of the input.
func (in *Input) kept() ([]kept, error) {
	raw := bytes.TrimSpace(in.Digest)
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var list []json.RawMessage
	if raw[0] != '[' {
		list = append(list, raw)
	} else if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("Digest of the input: %w", err)
	}
	var out []kept
	for _, item := range list {
		text := []byte(item)
		if item[0] == '"' {
			var s string
			if err := json.Unmarshal(item, &s); err != nil {
				return nil, fmt.Errorf("Digest of the input: %w", err)
			}
			text = []byte(s)
		}
		e, err := proof.ParseEvidence(text)
		if err != nil {
			return nil, fmt.Errorf("Digest of the input: %w", err)
		}
		if tip := in.DigestTip; tip != nil && e.Tip < 0 && !e.Digest.IsEmpty() {
			if *tip < 0 || e.Proof != nil && e.Proof.Block > *tip {
				return nil, fmt.Errorf("DigestTip %d is no block that the Digest of the input can end with", *tip)
			}
			e.Tip = *tip
		}
		if e.Strand == "" {
			e.Strand = in.Strand
		}
		if e.Ledger == "" {
			e.Ledger = in.LedgerName
		}
		out = append(out, kept{Evidence: *e})
	}
	return out, nil
}

// withoutValues makes Digest of the input one without the blocks and revisions
// that answers in it show: plans and reports hold no values. What it says as an
// input stays.
func (in *Input) withoutValues() error {
	all, err := in.kept()
	if err != nil || !slices.ContainsFunc(all, func(k kept) bool { return k.Proof != nil }) {
		return err
	}
	texts := make([]any, len(all))
	for i := range all {
		e := &all[i].Evidence
		if texts[i] = e; e.Proof != nil {
			continue
		}
		digest := map[string]any{"digest": e.Digest}
		if e.Ledger != "" {
			digest["ledger"] = e.Ledger
		}
		if e.Strand != "" && e.Tip >= 0 {
			digest["digestTipAddress"] = map[string]any{"strandId": e.Strand, "sequenceNo": e.Tip}
		}
		texts[i] = digest
	}
	in.Digest, err = json.Marshal(texts)
	return err
}

// maxProofsBytes is more than any file of a digest and a proof has.
const maxProofsBytes = 1 << 20

// evidence is what the archive is held against: Digest of the input, and the
// files with proofs beside the exports. A file that cannot be read is a problem of
// the archive: it was put there to be held against it.
func (a *archive) evidence(ctx context.Context, o Objects, in *Input) ([]kept, error) {
	if in.verify() == verifyOff {
		return nil, nil
	}
	out, err := in.kept()
	if err != nil {
		return nil, &Stop{err}
	}
	files := make([]kept, len(a.proofs))
	errs := make([]error, len(a.proofs))
	err = each(ctx, len(a.proofs), func(ctx context.Context, i int) error {
		files[i], errs[i] = readProofs(ctx, o, in.Bucket, &a.proofs[i])
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, err := range errs {
		if err := a.repeatable(a.proofs[i].Key, err); err != nil {
			return nil, err
		}
		if err == nil {
			out = append(out, files[i])
		}
	}
	return out, nil
}

// readProofs reads one file with a digest and a proof, plain or gzip.
func readProofs(ctx context.Context, o Objects, bucket string, r *Range) (kept, error) {
	fail := func(err error) (kept, error) {
		return kept{}, &Stop{fmt.Errorf("object %s: %w: copy it again from where the archive came from, or move it away to prove the archive without it", r.Key, err)}
	}
	if r.Size > maxProofsBytes {
		return fail(fmt.Errorf("%d bytes are too many for a digest and its proof", r.Size))
	}
	b, err := readAll(ctx, o, bucket, r.Key)
	if err != nil {
		return kept{}, fmt.Errorf("object %s: %w", r.Key, err)
	}
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return fail(err)
		}
		if b, err = io.ReadAll(io.LimitReader(z, maxProofsBytes)); err != nil {
			return fail(err)
		}
	}
	e, err := proof.ParseEvidence(b)
	if err != nil {
		return fail(err)
	}
	return kept{From: r.Key, Evidence: *e}, nil
}

// contents are digests and proofs without where they were found, in an order of
// their own: names of exports are random, and an archive that is exported anew is
// held against the same.
func contents(evidence []kept) ([]json.RawMessage, error) {
	var out []json.RawMessage
	for i := range evidence {
		b, err := json.Marshal(&evidence[i].Evidence)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
	return slices.CompactFunc(out, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }), nil
}

// marks are the blocks whose hashes are needed to hold the archive against all of
// the evidence.
func marks(evidence []kept) []int64 {
	var out []int64
	for i := range evidence {
		out = append(out, evidence[i].Marks()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
