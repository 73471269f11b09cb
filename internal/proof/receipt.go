package proof

import (
	"bytes"
	"errors"
	"fmt"

	"godwit/internal/ion"
	"godwit/internal/journal"
)

// ReceiptFormat names the format of receipts.
const ReceiptFormat = "godwit.receipt/1"

// Receipts makes receipts under one digest, or, where none is known to which a
// block leads, that end with the block's hash. A receipt proves one revision to
// whoever holds the digest, without the archive: JSON with the revision's values
// in all their Ion types, and the hashes that lead from them to the digest. The
// program receiptcheck checks one, and shares no code with what makes it.
//
//	Format        "godwit.receipt/1"
//	Metadata      {ID, Version, TxTime, TxID}: text of string, int, timestamp, string
//	Data          a value, as shower writes it; null of redacted and deleted revisions,
//	              and where whoever shows the receipt withholds it, which changes no hash
//	DataHash      H(Data), or of what was redacted; of a deletion, as Deletion says
//	Deletion      "" of none; "null": DataHash is H(null); "nothing": it is
//	              SHA256(""); "metadata": it is null, and RevisionHash is H(Metadata)
//	RevisionHash  dot(H(Metadata), DataHash)
//	ToBlock       fold(RevisionHash, ToBlock) is BlockHash: siblings within the
//	              block's entries, then previousBlockHash. See RevisionPath
//	ToDigest      fold(BlockHash, ToDigest) is Digest. See Inclusion
//	Digest        null where the receipt ends with BlockHash: ToDigest is empty then
//	NotCovered    what no hash covers: Ledger, Strand, Table, TableID, DigestFrom,
//	              Object, Block, Tip, Offset (of the block, in the archive's object)
//
// Hashes are base64, in arrays where there are several; H is the Ion hash, dot and
// fold are those of this package. The order of a struct's fields is kept; it means
// nothing in Ion, and no hash covers it.
//
// Every receipt was checked when it is handed over: what it shows was hashed
// again. What is not exported is ready as zero value; a Receipts keeps its buffers
// and is not safe for concurrent use.
type Receipts struct {
	// Ledger is its name; may be empty.
	Ledger string
	// Digest is the digest that receipts lead to, Tip the last block that it covers.
	// Without one, Tip counts for nothing.
	Digest Hash
	Tip    int64
	// From says where the digest was kept, or why there is none, in words; may be
	// empty.
	From string
	// Withhold leaves data out that is to be shown no more.
	Withhold bool
	// Types are those of an archive in JSON; nil: what is usual is tried.
	Types *Types

	show     shower
	verifier Verifier
	typist   Typist
}

// deletionNames name the rules by which a revision without data may be hashed.
var deletionNames = [deletionRules]string{DeletionOfMetadata: "metadata", DeletionOfNull: "null", DeletionOfNothing: "nothing"}

// Append appends the receipt of a revision of b to dst. path leads from the
// block's hash to the digest: see Inclusion and InclusionBehind; without a digest
// it is empty. The error says
// which hash is not that of what is there, or that JSON lost the types of the
// data; dst is then returned as it was. The same arguments give the same bytes.
func (r *Receipts) Append(dst []byte, b *journal.Block, revision int, path []Hash) ([]byte, error) {
	r.show.out = append(r.show.out[:0], "{\n"...)
	if err := r.receipt(b, revision, path); err != nil {
		return dst, fmt.Errorf("make receipt of revision %d of block %d: %w", revision, b.SequenceNo, err)
	}
	r.show.out = append(bytes.TrimSuffix(r.show.out, []byte(",\n")), "\n}\n"...)
	return append(dst, r.show.out...), nil
}

// member writes a member of the receipt.
func (r *Receipts) member(name string, v any) {
	r.show.out = append(append(append(r.show.out, ` "`...), name...), `": `...)
	r.show.out = append(appendJSON(r.show.out, v), ",\n"...)
}

func (r *Receipts) receipt(b *journal.Block, revision int, path []Hash) error {
	if revision < 0 || revision >= len(b.Revisions) || !b.Revisions[revision].HasMetadata {
		return fmt.Errorf("there is none with metadata: the block has %d revisions", len(b.Revisions))
	}
	rev := &b.Revisions[revision]
	r.verifier.ChainOnly = true // what the receipt shows is hashed here
	within, err := RevisionPath(b, r.verifier.Verify(b), revision)
	if err != nil {
		return err
	}
	r.member("Format", ReceiptFormat)
	hash, err := r.revision(b, rev)
	if err != nil {
		return err
	}
	block, err := ParseHash(b.Hash)
	switch {
	case err != nil:
		return err
	case Fold(hash, within) != block:
		return errors.New("the block's hash is not that of its entries and of the block before")
	case r.Digest.IsEmpty() && len(path) > 0:
		return fmt.Errorf("the path of %d hashes leads to no digest that was given", len(path))
	case r.Digest.IsEmpty():
	case r.Tip < b.SequenceNo || len(path) != InclusionLength(uint64(b.SequenceNo), uint64(r.Tip)+1) || Fold(block, path) != r.Digest:
		return fmt.Errorf("the path of %d hashes does not lead to the digest %s at block %d", len(path), r.Digest, r.Tip)
	}
	var digest any
	tip := b.SequenceNo
	if !r.Digest.IsEmpty() {
		digest, tip = r.Digest, r.Tip
	}
	r.member("RevisionHash", hash)
	r.member("ToBlock", within)
	r.member("BlockHash", block)
	r.member("ToDigest", append([]Hash{}, path...))
	r.member("Digest", digest)
	r.member("NotCovered", struct {
		Ledger, Strand, Table, TableID, DigestFrom, Object string
		Block, Tip, Offset                                 int64
	}{r.Ledger, b.Strand, rev.Table.Name, rev.Table.ID, r.From, b.Object, b.SequenceNo, tip, b.Offset})
	return nil
}

// revision shows metadata and data, and returns their hash, which is the stored
// one.
func (r *Receipts) revision(b *journal.Block, rev *journal.Revision) (Hash, error) {
	stored, err := ParseHash(rev.Hash)
	if err != nil || stored.IsEmpty() {
		return Hash{}, errors.New("the revision has no hash")
	}
	metadata, err := r.metadata(rev)
	if err != nil {
		return Hash{}, fmt.Errorf("show metadata: %w", err)
	}
	var dataHash any
	hash, deletion := metadata, ""
	switch {
	case rev.RawData != nil:
		before := len(r.show.out)
		r.show.out = append(r.show.out, ` "Data": `...)
		shown, err := r.data(b, rev, Oracle{metadata, stored})
		if err != nil {
			return Hash{}, fmt.Errorf("show data: %w", err)
		}
		r.show.out = append(r.show.out, ",\n"...)
		if r.Withhold {
			r.show.out = r.show.out[:before]
			r.member("Data", nil)
		}
		dataHash, hash = shown, RevisionHash(metadata, shown)
	case rev.DataHash != nil:
		h, err := ParseHash(rev.DataHash)
		if err != nil {
			return Hash{}, err
		}
		r.member("Data", nil)
		dataHash, hash = h, RevisionHash(metadata, h)
	default:
		r.member("Data", nil)
		for i, h := range [deletionRules]Hash{DeletionOfMetadata: {}, DeletionOfNull: hashOfNull, DeletionOfNothing: hashOfNothing} {
			if RevisionHash(metadata, h) == stored {
				deletion, hash, dataHash = deletionNames[i], stored, h
			}
		}
		if deletion == deletionNames[DeletionOfMetadata] {
			dataHash = nil
		}
	}
	if hash != stored || rev.Deleted() && deletion == "" {
		return Hash{}, errors.New("the revision's hash is not that of its metadata and data")
	}
	r.member("DataHash", dataHash)
	r.member("Deletion", deletion)
	return hash, nil
}

// metadata shows the four fields that QLDB's metadata has, and returns their hash:
// that of what stands in the block, unless it has others.
func (r *Receipts) metadata(rev *journal.Revision) (Hash, error) {
	txTime, err := onlyTimestamp(rev.TxTime)
	if err != nil {
		return Hash{}, fmt.Errorf("txTime: %w", err)
	}
	m := struct{ ID, Version, TxTime, TxID string }{string(rev.DocumentID), fmt.Sprint(rev.Version), string(txTime), string(rev.TxID)}
	r.member("Metadata", m)
	h := &r.show.hasher
	h.Begin()
	h.BeginStruct()
	h.Field([]byte("id"))
	h.String(rev.DocumentID)
	h.Field([]byte("version"))
	h.Int([]byte(m.Version))
	h.Field([]byte("txTime"))
	h.Timestamp(txTime)
	h.Field([]byte("txId"))
	h.String(rev.TxID)
	h.End()
	return r.show.sum()
}

// data shows the data of a revision, and returns its hash.
func (r *Receipts) data(b *journal.Block, rev *journal.Revision, oracle Oracle) (Hash, error) {
	s := &r.show
	if b.Format == journal.JSON {
		r.typist.Types = r.Types
		if _, ok := r.typist.DataHash(rev.Table.ID, rev.RawData, oracle); !ok {
			return Hash{}, errors.New("no Ion types that were tried give the revision's hash: JSON lost them")
		}
		s.begin()
		if err := s.document(&r.typist.doc); err != nil {
			return Hash{}, err
		}
		return s.sum()
	}
	s.begin()
	var c ion.Cursor
	c.Reset(rev.RawData, 0, len(rev.RawData))
	if !c.Next() {
		return Hash{}, errors.Join(errors.New("there is none"), c.Err())
	}
	if c.Type() != ion.StructType || c.IsNull() {
		return Hash{}, fmt.Errorf("it is a %s, and no document", c.Type())
	}
	s.element()
	if err := s.ion(&c, b.Symbols); err != nil {
		return Hash{}, err
	}
	return s.sum()
}
