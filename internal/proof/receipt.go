package proof

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"godwit/internal/ion"
	"godwit/internal/journal"
)

// ReceiptFormat names the format of receipts; it changes when a checker of an
// older one could misread a newer one.
const ReceiptFormat = "godwit.receipt/1"

// Receipts makes receipts under one digest. A receipt proves one revision to
// whoever holds the digest, without the archive: JSON with the revision's values
// in all their Ion types, and the hashes that lead from them to the digest.
// Package receiptcheck checks one and shares no code with what makes it.
//
//	format               "godwit.receipt/1"
//	revision.metadata    a value, as shower writes it: QLDB's id, version, txTime, txId
//	revision.data        a value; or, of a redacted revision, revision.dataHash;
//	                     or, of a deletion, revision.deletion: the rule that its hash follows
//	revision.hash        = dot(H(metadata), H(data)); of a deletion, see deletionNames
//	block.siblings       lead from revision.hash to block.entriesHash
//	block.hash           = dot(entriesHash, previousBlockHash)
//	table.entry          what transactionInfo.documents holds of the document: a value
//	table.otherDocuments hashes of the other fields of documents, ascending; with
//	                     the document's own they are H(documents)'s content
//	table.otherMembers   the same of the other fields of transactionInfo
//	table.siblings       lead from H(transactionInfo) to block.entriesHash
//	digest.path          leads from block.hash to digest.hash
//	notCovered           what no hash covers: ledger, strand, block, tip, digestFrom,
//	                     object and offset of the block in the archive
//
// Hashes are base64. table is absent where the block does not tell the table.
// The order of a struct's fields is kept, and means nothing in Ion: no hash
// covers it.
//
// Every receipt was checked when it is handed over: what it shows is hashed
// again, not copied from what the block says of itself. The zero value of all
// that is not exported is ready; a Receipts keeps its buffers and is not safe for
// concurrent use.
type Receipts struct {
	// Ledger is its name; may be empty.
	Ledger string
	// Digest is the digest that receipts lead to, Tip the last block that it covers.
	Digest Hash
	Tip    int64
	// From says where the digest was kept, in words; may be empty.
	From string
	// Types are those of an archive in JSON; nil: what is usual is tried.
	Types *Types

	show   shower
	typist Typist
	json   jsonShower
}

// deletionNames name the rules by which a revision without data may be hashed.
var deletionNames = [deletionRules]string{DeletionOfMetadata: "metadata", DeletionOfNull: "null", DeletionOfNothing: "nothing"}

// Append appends the receipt of a revision of b to dst. path leads from the
// block's hash to the digest: see Inclusion and InclusionThrough. The error says
// which hash is not that of what is there, or that JSON lost the types of the
// data; dst is then returned as it was. The same arguments give the same bytes.
func (r *Receipts) Append(dst []byte, b *journal.Block, revision int, path []Hash) ([]byte, error) {
	out, err := r.append(dst, b, revision, path)
	if err != nil {
		return dst, fmt.Errorf("make receipt of revision %d of block %d: %w", revision, b.SequenceNo, err)
	}
	return out, nil
}

func (r *Receipts) append(dst []byte, b *journal.Block, revision int, path []Hash) ([]byte, error) {
	if revision < 0 || revision >= len(b.Revisions) {
		return nil, fmt.Errorf("the block has %d revisions", len(b.Revisions))
	}
	rev := &b.Revisions[revision]
	if !rev.HasMetadata {
		return nil, errors.New("the revision has no metadata: QLDB wrote no more than its hash, or something was removed")
	}
	s := &r.show
	s.out = append(dst, "{\n"...)
	s.line(`"format": "`, ReceiptFormat, `",`)
	s.line(`"revision": {`)
	if err := r.revision(b, rev); err != nil {
		return nil, err
	}
	list, entries, err := entriesOf(b)
	if err != nil {
		return nil, err
	}
	siblings, err := revisionSiblings(b, revision, list)
	if err != nil {
		return nil, err
	}
	if err := r.table(b, rev, list); err != nil {
		return nil, err
	}
	previous, err := ParseHash(b.PreviousHash)
	if err != nil {
		return nil, err
	}
	hash, err := ParseHash(b.Hash)
	if err != nil {
		return nil, err
	}
	switch {
	case BlockHash(entries, previous) != hash:
		return nil, errors.New("the block's hash is not that of its entries and of the block before")
	case Fold(hash, path) != r.Digest || len(path) != InclusionLength(uint64(b.SequenceNo), uint64(r.Tip)+1):
		return nil, fmt.Errorf("the path of %d hashes does not lead to the digest %s at block %d", len(path), r.Digest, r.Tip)
	}
	s.line(`"block": {`)
	s.hashes(`  "siblings": `, siblings)
	s.line(`  "entriesHash": "`, entries.String(), `",`)
	s.line(`  "previousBlockHash": "`, previous.String(), `",`)
	s.line(`  "hash": "`, hash.String(), `"`)
	s.line(`},`)
	s.line(`"digest": {`)
	s.hashes(`  "path": `, path)
	s.line(`  "hash": "`, r.Digest.String(), `"`)
	s.line(`},`)
	s.line(`"notCovered": {`)
	s.note("ledger", r.Ledger)
	s.note("strand", b.Strand)
	s.note("digestFrom", r.From)
	s.note("object", b.Object)
	s.line(`  "offset": `, strconv.FormatInt(b.Offset, 10), `,`)
	s.line(`  "block": `, strconv.FormatInt(b.SequenceNo, 10), `,`)
	s.line(`  "tip": `, strconv.FormatInt(r.Tip, 10))
	s.line(`}`)
	s.out = append(s.out, "}\n"...)
	return s.out, s.err
}

// revision shows metadata and data, and compares their hash with the stored one.
func (r *Receipts) revision(b *journal.Block, rev *journal.Revision) error {
	s := &r.show
	stored, err := ParseHash(rev.Hash)
	if err != nil || stored.IsEmpty() {
		return errors.New("the revision has no hash")
	}
	s.out = append(s.out, `   "metadata": `...)
	metadata, err := r.value(b, rev.RawMetadata)
	if err != nil {
		return fmt.Errorf("show metadata: %w", err)
	}
	s.out = append(s.out, ",\n"...)
	got := Hash{}
	switch {
	case rev.RawData != nil:
		s.out = append(s.out, `   "data": `...)
		var data Hash
		if b.Format == journal.JSON {
			data, err = r.typed(rev, Oracle{metadata, stored})
		} else {
			data, err = r.value(b, rev.RawData)
		}
		if err != nil {
			return fmt.Errorf("show data: %w", err)
		}
		if data == hashOfNull {
			return errors.New("show data: it is null, which no document is")
		}
		s.out = append(s.out, ",\n"...)
		got = RevisionHash(metadata, data)
	case rev.DataHash != nil:
		data, err := ParseHash(rev.DataHash)
		if err != nil {
			return err
		}
		s.line(`  "dataHash": "`, data.String(), `",`)
		got = RevisionHash(metadata, data)
	default:
		for i, h := range deletions(metadata) {
			if h == stored {
				s.line(`  "deletion": "`, deletionNames[i], `",`)
				got = h
			}
		}
	}
	if got != stored {
		return errors.New("the revision's hash is not that of its metadata and data")
	}
	s.line(`  "hash": "`, stored.String(), `"`)
	s.line(`},`)
	return nil
}

// deletions are the hashes that a deletion may have, by rule.
func deletions(metadata Hash) [deletionRules]Hash {
	return [deletionRules]Hash{
		DeletionOfMetadata: metadata,
		DeletionOfNull:     RevisionHash(metadata, hashOfNull),
		DeletionOfNothing:  RevisionHash(metadata, hashOfNothing),
	}
}

// value shows a part of the block whose Ion types are known, and returns its hash.
func (r *Receipts) value(b *journal.Block, raw []byte) (Hash, error) {
	s := &r.show
	s.begin()
	if b.Format == journal.JSON {
		if err := r.json.show(s, raw, systemType); err != nil {
			return Hash{}, err
		}
		return s.sum()
	}
	var c ion.Cursor
	c.Reset(raw, 0, len(raw))
	if !c.Next() {
		return Hash{}, errors.Join(errors.New("there is no value"), c.Err())
	}
	if err := s.ion(&c, b.Symbols, nil); err != nil {
		return Hash{}, err
	}
	return s.sum()
}

// typed shows data that was JSON, in the types that its hash proves.
func (r *Receipts) typed(rev *journal.Revision, oracle Oracle) (Hash, error) {
	r.typist.Types = r.Types
	if _, ok := r.typist.DataHash(rev.Table.ID, rev.RawData, oracle); !ok {
		return Hash{}, errors.New("no Ion types that were tried have the revision's hash: JSON lost them")
	}
	r.show.begin()
	if err := r.json.showTyped(&r.show, rev.RawData, &r.typist); err != nil {
		return Hash{}, err
	}
	return r.show.sum()
}

// entriesOf returns the block's entriesHashList and its hash.
func entriesOf(b *journal.Block) ([]Hash, Hash, error) {
	list := make([]Hash, len(b.EntriesHashList))
	for i, m := range b.EntriesHashList {
		h, err := ParseHash(m)
		if err != nil {
			return nil, Hash{}, err
		}
		list[i] = h
	}
	entries := EntriesHash(list)
	if entries.IsEmpty() || b.EntriesHash != nil && !bytes.Equal(entries.Bytes(), b.EntriesHash) {
		return nil, Hash{}, errors.New("entriesHashList is absent, or its hash is not entriesHash")
	}
	return list, entries, nil
}

// revisionSiblings lead from a revision's hash to entriesHash.
func revisionSiblings(b *journal.Block, revision int, list []Hash) ([]Hash, error) {
	leaves := make([]Hash, len(b.Revisions))
	for i := range b.Revisions {
		h, err := ParseHash(b.Revisions[i].Hash)
		if err != nil {
			return nil, err
		}
		leaves[i] = h
	}
	up, err := siblings(list, Merkle(leaves))
	if err != nil {
		return nil, fmt.Errorf("revisions: %w", err)
	}
	return append(pathTo(leaves, revision), up...), nil
}

// siblings lead from a member of entriesHashList to entriesHash.
func siblings(list []Hash, member Hash) ([]Hash, error) {
	for i, h := range list {
		if h == member && !h.IsEmpty() {
			return pathTo(list, i), nil
		}
	}
	return nil, fmt.Errorf("entriesHashList does not hold their hash, %s", member)
}

// pathTo is the path of leaf i to the root, without hashes of nothing, which
// change none.
func pathTo(leaves []Hash, i int) []Hash {
	var t Tree
	for k, h := range leaves {
		if k == i {
			t.Watch()
		}
		t.Add(h)
	}
	path := []Hash{}
	for _, h := range t.Path() {
		if !h.IsEmpty() {
			path = append(path, h)
		}
	}
	return path
}
