package proof

import (
	"bytes"
	"crypto/sha256"

	"godwit/internal/journal"
)

// Hashes of nothing, for deletions: of the Ion value null, and of no bytes.
var (
	hashOfNull    = Hash{sum: sha256.Sum256([]byte{0x0B, 0x0F, 0x0E}), full: true}
	hashOfNothing = Hash{sum: sha256.Sum256(nil), full: true}
)

// revisions verifies each revision and looks for their root in entriesHashList.
// It reports whether it is there.
func (v *Verifier) revisions(b *journal.Block) bool {
	if len(b.Revisions) == 0 {
		return true
	}
	v.tree.reset()
	known := true
	for i := range b.Revisions {
		leaf := v.revision(b, i)
		known = known && leaf.full
		v.tree.Add(leaf)
	}
	if !known {
		v.find(-1, Unattested, "revisions", "cannot be compared with entriesHashList: a revision's hash is absent", Hash{}, Hash{})
		return false
	}
	v.check.Members.Revisions = v.listed("revisions' root", v.tree.Root())
	return v.check.Members.Revisions >= 0
}

// revision verifies revision i and returns what it adds to the root: its stored
// hash, or the computed one where that is absent, or nothing where neither is
// known.
func (v *Verifier) revision(b *journal.Block, i int) Hash {
	r := &b.Revisions[i]
	c := &v.check
	stored, err := ParseHash(r.Hash)
	if err != nil {
		stored = Hash{}
	}
	c.DataHash = append(c.DataHash, Hash{})
	c.Revisions = append(c.Revisions, Proven)
	verdict := &c.Revisions[i]
	found := func(as Verdict, what, reason string, got Hash) {
		*verdict = max(*verdict, as)
		v.find(i, as, what, reason, stored, got)
	}
	switch {
	case r.HashOnly():
		*verdict = Opaque
		return stored
	case !r.HasMetadata:
		found(Unattested, "metadata", "is absent, and the revision's hash covers it", Hash{})
		return stored
	}
	leaf := stored
	if stored.full && v.ChainOnly {
		*verdict = Unchecked
	} else {
		leaf = v.recompute(b, r, stored, found)
		if !stored.full {
			found(Unattested, "hash", "is absent or has not 32 bytes", leaf)
		} else {
			leaf = stored
			if r.Redacted() && *verdict == Proven {
				*verdict = Redacted
			}
		}
	}
	switch {
	case !r.HasAddress:
		found(Inconsistent, "blockAddress", "is absent", Hash{})
	case r.Strand != b.Strand || r.SequenceNo != b.SequenceNo:
		found(Inconsistent, "blockAddress", "is not that of the block", Hash{})
	}
	if !bytes.Equal(r.TxID, b.TransactionID) {
		found(Inconsistent, "metadata.txId", "is not the block's transactionId", Hash{})
	}
	if after(r.TxTime, b.Timestamp) {
		found(Inconsistent, "metadata.txTime", "is later than the block's blockTimestamp", Hash{})
	}
	if b.HasTransactionInfo && r.Table.ID == "" {
		found(Inconsistent, "metadata.id", "is not in transactionInfo.documents", Hash{})
	}
	return leaf
}

// recompute hashes a revision with metadata again, says what it found, and
// returns its hash, or nothing where it cannot be known. stored may be nothing.
func (v *Verifier) recompute(b *journal.Block, r *journal.Revision, stored Hash, found func(Verdict, string, string, Hash)) Hash {
	c := &v.check
	metadata, err := v.system(r.RawMetadata)
	if err != nil {
		found(unreadable(err), "metadata", "cannot be hashed: "+err.Error(), Hash{})
		return Hash{}
	}
	if r.Deleted() {
		return v.deletion(metadata, stored, found)
	}
	redacted, err := ParseHash(r.DataHash)
	if err != nil || r.DataHash != nil && !redacted.full {
		found(Tampered, "dataHash", "has not 32 bytes", Hash{})
		return Hash{}
	}
	data := redacted
	if r.RawData != nil {
		if b.Format == journal.JSON {
			var ok bool
			if data, ok = v.typed(r, Oracle{metadata, stored}); !ok {
				found(TypeUnproven, "hash", "is not that of the metadata and of the data by any Ion types tried: JSON lost them", Hash{})
				return Hash{}
			}
		} else if data, err = v.system(r.RawData); err != nil {
			found(unreadable(err), "data", "cannot be hashed: "+err.Error(), Hash{})
			return Hash{}
		}
		if redacted.full && redacted != data {
			found(Tampered, "dataHash", "is not that of the data beside it", data)
		}
	}
	got := RevisionHash(metadata, data)
	if stored.full && got != stored {
		what := "is not that of its metadata and data"
		if r.Redacted() {
			what = "is not that of its metadata and dataHash"
		}
		found(Tampered, "hash", what, got)
		return got
	}
	c.DataHash[r.Index] = data
	return got
}

// unruled is the finding on a revision without data whose hash is that of a deletion
// by no known rule. By itself it disproves nothing: how the service hashes deletions
// is not public. See Chain.judged.
const unruled = "is absent, and the revision's hash is that of a deletion by no known rule: either data was removed, or the metadata was changed"

// deletion verifies a revision without data.
func (v *Verifier) deletion(metadata, stored Hash, found func(Verdict, string, string, Hash)) Hash {
	rules := [deletionRules]Hash{
		DeletionOfMetadata: metadata,
		DeletionOfNull:     RevisionHash(metadata, hashOfNull),
		DeletionOfNothing:  RevisionHash(metadata, hashOfNothing),
	}
	for i, h := range rules {
		if h == stored {
			v.check.Deletions[i]++
			return h
		}
	}
	if stored.full {
		found(Unattested, "data", unruled, rules[DeletionOfNull])
	}
	return Hash{}
}

// typed hashes data from JSON with types that the stored hash proves.
func (v *Verifier) typed(r *journal.Revision, o Oracle) (Hash, bool) {
	switch {
	case !o.revision.full:
		return Hash{}, false
	case v.Typing != nil:
		h, ok := v.Typing.DataHash(r.Table.ID, r.RawData, o)
		return h, ok && o.Accepts(h)
	}
	h, err := v.spell(r.RawData, false)
	return h, err == nil && o.Accepts(h)
}

// after says whether timestamp a is later than b. Both are Ion text; those that
// are not in UTC are not compared.
func after(a, b []byte) bool {
	return inUTC(a) && inUTC(b) && bytes.Compare(a[:len(a)-1], b[:len(b)-1]) > 0
}

// inUTC says whether a timestamp, as Ion text, is a time of day in UTC. QLDB's own
// all are.
func inUTC(at []byte) bool { return len(at) > 0 && at[len(at)-1] == 'Z' }
