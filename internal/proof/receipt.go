package proof

import (
	"errors"
	"fmt"

	"godwit/internal/ion"
	"godwit/internal/journal"
)

// A Receipt proves one revision by itself: whoever trusts the digest hashes the
// values shown and folds the path. It shows nothing else than what it proves: a
// ledger's name, tables and block addresses are under no hash, and stand in the
// row's ql_audit instead.
//
// H(v) is the Ion hash of a typed value (see AppendTyped), dot and the order of
// Path those of this package:
//
//	fold(Hash, Path) = Digest
//	Hash = dot(H(Metadata), H(Data))        of a document
//	Hash = dot(H(Metadata), DataHash)       of one that was redacted
//	Hash = H(Metadata)                      of a deletion, "metadata"
//	Hash = dot(H(Metadata), H(null))        of a deletion, "null"
//	Hash = dot(H(Metadata), SHA256(""))     of a deletion, "nothing"
//
// Exactly one of Data, DataHash and Deletion is there.
type Receipt struct {
	Version  int    `json:"version"`  // 1
	Metadata Typed  `json:"metadata"` // {id, version, txTime, txId}
	Data     Typed  `json:"data,omitempty"`
	DataHash Hash   `json:"dataHash,omitzero"`
	Deletion string `json:"deletion,omitempty"`
	Hash     Hash   `json:"hash"`
	// Path are the hashes beside the way from the revision up to the digest:
	// within its block first, see RevisionPath, then Inclusion's.
	Path   []Hash `json:"path"`
	Digest Hash   `json:"digest"`
}

// receiptVersion is the only one there is.
const receiptVersion = 1

// deletionNames are the rules of deletions in receipts.
var deletionNames = [deletionRules]string{DeletionOfMetadata: "metadata", DeletionOfNull: "null", DeletionOfNothing: "nothing"}

// NewReceipt makes the receipt of a revision of b, whose check c is. up is the
// block's inclusion under digest. The revision has to be proven or redacted, and
// come from Ion: one from JSON needs its types, see Types.
func NewReceipt(b *journal.Block, c *Check, revision int, up []Hash, digest Hash) (*Receipt, error) {
	path, err := RevisionPath(b, c, revision)
	if err != nil {
		return nil, err
	}
	wrong := func(what string) (*Receipt, error) {
		return nil, fmt.Errorf("make a receipt of revision %d of block %d: %s", revision, b.SequenceNo, what)
	}
	if v := c.Revisions[revision]; v != Proven && v != Redacted {
		return wrong("it is " + v.String())
	}
	if b.Format == journal.JSON {
		return wrong("JSON does not hold its Ion types")
	}
	v := &b.Revisions[revision]
	r := &Receipt{Version: receiptVersion, Path: append(path, up...), Digest: digest}
	if r.Hash, err = ParseHash(v.Hash); err != nil {
		return nil, err
	}
	if r.Metadata, err = AppendTyped(nil, v.RawMetadata, b.Symbols); err != nil {
		return nil, err
	}
	switch {
	case v.RawData != nil:
		if r.Data, err = AppendTyped(nil, v.RawData, b.Symbols); err != nil {
			return nil, err
		}
	case v.Redacted():
		if r.DataHash, err = ParseHash(v.DataHash); err != nil {
			return nil, err
		}
	default:
		for _, r.Deletion = range deletionNames {
			if r.Check(digest) == nil {
				break
			}
		}
	}
	if err := r.Check(digest); err != nil {
		return nil, fmt.Errorf("make a receipt of revision %d of block %d: %w", revision, b.SequenceNo, err)
	}
	return r, nil
}

// Check hashes what the receipt shows and follows it up to digest, which is the
// one that its reader trusts. It says what does not hold.
func (r *Receipt) Check(digest Hash) error {
	shown := 0
	for _, there := range []bool{r.Data != nil, !r.DataHash.IsEmpty(), r.Deletion != ""} {
		if there {
			shown++
		}
	}
	switch {
	case r.Version != receiptVersion:
		return fmt.Errorf("check receipt: it is of version %d, not %d", r.Version, receiptVersion)
	case shown != 1:
		return errors.New("check receipt: it shows not exactly one of data, dataHash and deletion")
	case digest.IsEmpty() || r.Digest != digest:
		return fmt.Errorf("check receipt: it is for the digest %s, not for %s", r.Digest, digest)
	case len(r.Path) > maxPath:
		return fmt.Errorf("check receipt: its path has %d hashes: no ledger needs more than %d", len(r.Path), maxPath)
	}
	var h ion.Hasher
	metadata, err := r.Metadata.hash(&h)
	if err != nil {
		return fmt.Errorf("check receipt: metadata: %w", err)
	}
	got := metadata
	switch {
	case r.Data != nil:
		data, err := r.Data.hash(&h)
		if err != nil {
			return fmt.Errorf("check receipt: data: %w", err)
		}
		got = RevisionHash(metadata, data)
	case !r.DataHash.IsEmpty():
		got = RevisionHash(metadata, r.DataHash)
	case r.Deletion == deletionNames[DeletionOfMetadata]:
	case r.Deletion == deletionNames[DeletionOfNull]:
		got = RevisionHash(metadata, hashOfNull)
	case r.Deletion == deletionNames[DeletionOfNothing]:
		got = RevisionHash(metadata, hashOfNothing)
	default:
		return fmt.Errorf("check receipt: deletion %.20q is none that is known", r.Deletion)
	}
	if got != r.Hash {
		return fmt.Errorf("check receipt: what it shows has the hash %s, and it says %s", got, r.Hash)
	}
	for i, p := range r.Path {
		if p.IsEmpty() {
			return fmt.Errorf("check receipt: hash %d of its path is empty", i)
		}
	}
	if up := Fold(got, r.Path); up != digest {
		return fmt.Errorf("check receipt: its path leads to %s, and not to the digest %s", up, digest)
	}
	return nil
}
