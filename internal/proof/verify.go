package proof

import (
	"errors"

	"godwit/internal/ion"
	"godwit/internal/journal"
)

// A Verifier hashes blocks again. The zero value verifies everything that Ion
// shows. It keeps its memory and is not safe for concurrent use.
type Verifier struct {
	// ChainOnly leaves out what takes most of the time: hashes of data, metadata
	// and transactionInfo. Every block's own hash, its entries and the hashes of
	// its revisions as they are stored are still checked.
	ChainOnly bool
	// Typing reads the data of JSON exports. Nil: as they look.
	Typing Typing

	hasher  ion.Hasher
	speller speller
	sum     []byte
	tree    Tree
	block   *journal.Block
	check   Check
}

// A Typing knows Ion types that JSON lost.
type Typing interface {
	// DataHash returns the Ion hash of data, one JSON value, a document of the
	// table with the given id, read with such types that oracle accepts it. ok is
	// false when it knows none. The hash proves the types: nobody finds another
	// reading with the same one.
	DataHash(table string, data []byte, oracle Oracle) (h Hash, ok bool)
}

// An Oracle knows whether data was hashed into a revision's stored hash.
type Oracle struct{ metadata, revision Hash }

// Accepts says whether data is the hash of the revision's data.
func (o Oracle) Accepts(data Hash) bool { return RevisionHash(o.metadata, data) == o.revision }

// The rules by which a deletion, a revision without data, may be hashed. No
// real one is public; Check.Deletions counts which is met.
const (
	DeletionOfMetadata = iota // H(metadata)
	DeletionOfNull            // dot(H(metadata), H(null))
	DeletionOfNothing         // dot(H(metadata), SHA256(""))
	deletionRules
)

// A Check is what verifying one block found. It is borrowed: the Verifier's next
// block overwrites it.
type Check struct {
	Block     int64
	Verdict   Verdict
	Revisions []Verdict // of each revision
	DataHash  []Hash    // of each revision's data, or nothing where it is not known
	Findings  []Finding // why Verdict, or one of Revisions, is worse than Opaque; Unchecked is no finding

	Hash, Previous Hash // as stored
	Members        Members
	Deletions      [deletionRules]int // deletions proven, by rule
}

// Members tells where in entriesHashList a hash was found; -1: nowhere, or not
// looked for.
type Members struct{ Revisions, TransactionInfo, RedactionInfo int }

// Verify hashes b again as far as what it shows allows. What does not hold is in
// the result; there is no other error.
func (v *Verifier) Verify(b *journal.Block) *Check {
	c := v.start(b)
	bound := v.chain(b)
	bound = v.revisions(b) && bound
	if b.HasTransactionInfo && !v.ChainOnly {
		c.Members.TransactionInfo = v.member("transactionInfo", b.RawTransactionInfo)
	}
	if b.HasRedactionInfo {
		c.Members.RedactionInfo = v.member("redactionInfo", b.RawRedactionInfo)
	}
	v.absent(b)
	if !inUTC(b.Timestamp) {
		v.find(-1, Inconsistent, "blockTimestamp", "is not a time of day in UTC, as QLDB writes it", Hash{}, Hash{})
	}
	for i, verdict := range c.Revisions {
		if !bound && verdict < Unattested {
			// Whatever its own hash says: what held it does not hold.
			c.Revisions[i] = Unattested
		}
		if verdict = c.Revisions[i]; verdict != Redacted && verdict != Opaque {
			c.Verdict = max(c.Verdict, verdict)
		}
	}
	return c
}

// start makes the Check of b empty.
func (v *Verifier) start(b *journal.Block) *Check {
	c := &v.check
	*c = Check{
		Block:     b.SequenceNo,
		Revisions: c.Revisions[:0],
		DataHash:  c.DataHash[:0],
		Findings:  c.Findings[:0],
		Members:   Members{-1, -1, -1},
	}
	v.block = b
	return c
}

// find adds a finding about the block (revision -1) or one of its revisions.
func (v *Verifier) find(revision int, verdict Verdict, what, reason string, want, got Hash) {
	f := Finding{Block: v.block.SequenceNo, Revision: revision, Object: v.block.Object, Verdict: verdict, What: what, Reason: reason, Want: want, Got: got}
	if revision >= 0 {
		r := &v.block.Revisions[revision]
		f.Document, f.Table = string(r.DocumentID), r.Table.ID
	} else {
		v.check.Verdict = max(v.check.Verdict, verdict)
	}
	v.check.Findings = append(v.check.Findings, f)
}

// chain checks entriesHash and blockHash, and reports whether what is in
// entriesHashList is bound to the block's hash.
func (v *Verifier) chain(b *journal.Block) (bound bool) {
	c := &v.check
	stored, err := ParseHash(b.EntriesHash)
	v.tree.reset()
	for _, m := range b.EntriesHashList {
		h, _ := ParseHash(m) // journal refuses any other length
		v.tree.Add(h)
	}
	list := v.tree.Root()
	bound = true
	switch {
	case len(b.EntriesHashList) == 0:
		v.find(-1, Unattested, "entriesHashList", "is absent: what the block shows cannot be compared with its hash", Hash{}, Hash{})
		bound = false
	case b.EntriesHash == nil || err != nil:
		v.find(-1, Unattested, "entriesHash", "is absent: that of entriesHashList is taken for it", Hash{}, list)
		stored = list
	case stored != list:
		v.find(-1, Tampered, "entriesHash", "is not that of entriesHashList", stored, list)
		bound = false
	}
	c.Hash, err = ParseHash(b.Hash)
	var errPrevious error
	if c.Previous, errPrevious = ParseHash(b.PreviousHash); errPrevious != nil || err != nil {
		v.find(-1, Tampered, "blockHash", "or previousBlockHash has not 32 bytes", Hash{}, Hash{})
		return false
	}
	if got := BlockHash(stored, c.Previous); got != c.Hash {
		v.find(-1, Tampered, "blockHash", "is not that of entriesHash and previousBlockHash", c.Hash, got)
		bound = false
	}
	return bound
}

// member hashes a part of the block and looks for it in entriesHashList.
func (v *Verifier) member(what string, raw []byte) int {
	h, err := v.system(raw)
	if err != nil {
		v.find(-1, unreadable(err), what, "cannot be hashed: "+err.Error(), Hash{}, Hash{})
		return -1
	}
	return v.listed(what, h)
}

// listed looks for a hash in entriesHashList.
func (v *Verifier) listed(what string, h Hash) int {
	if len(v.block.EntriesHashList) == 0 {
		return -1 // found already
	}
	for i, m := range v.block.EntriesHashList {
		if len(m) > 0 && string(m) == string(h.sum[:]) && h.full {
			return i
		}
	}
	v.find(-1, Tampered, what, "is not what entriesHashList has the hash of", Hash{}, h)
	return -1
}

// unreadable is the verdict on a value that cannot be hashed: a symbol of a
// shared table is lacking, and anything else was never hashed by QLDB, either.
func unreadable(err error) Verdict {
	var symbol *ion.SymbolError
	if errors.As(err, &symbol) && symbol.Table != "" {
		return TypeUnproven
	}
	return Tampered
}

// absent looks for hashes in entriesHashList that nothing shown explains, in the
// places of parts that are absent. The order of the list is that of every real
// block: QLDB's own, revisions, QLDB's own, transactionInfo, and behind them
// redactionInfo; a list of three lacks one of them, one of two both of QLDB's.
func (v *Verifier) absent(b *journal.Block) {
	n := len(b.EntriesHashList)
	m := &v.check.Members
	unexplained := func(i int) bool {
		return len(b.EntriesHashList[i]) > 0 && i != m.Revisions && i != m.TransactionInfo && i != m.RedactionInfo
	}
	hidden := func(slot int) bool {
		if n >= 4 {
			return unexplained(slot)
		}
		if v.ChainOnly && b.HasTransactionInfo {
			return false // its hash was not looked for
		}
		count, own := 0, 0
		for i := range n {
			if unexplained(i) {
				count++
			}
		}
		if n == 3 {
			own = 2
		}
		return count > own
	}
	if !b.HasTransactionInfo && hidden(3) {
		v.find(-1, Unattested, "transactionInfo", "is absent, and entriesHashList has its hash", Hash{}, Hash{})
	}
	if len(b.Revisions) == 0 && hidden(1) {
		v.find(-1, Unattested, "revisions", "are absent, and entriesHashList has their hash", Hash{}, Hash{})
	}
	for i := 4; i < n && !b.HasRedactionInfo; i++ {
		if unexplained(i) {
			v.find(-1, Unattested, "redactionInfo", "is absent, and entriesHashList has a hash in its place", Hash{}, Hash{})
			break
		}
	}
}

// take makes a Hash of what the Hasher appended.
func (v *Verifier) take(sum []byte, err error) (Hash, error) {
	v.sum = sum[:0]
	if err != nil {
		return Hash{}, err
	}
	return Hash{sum: [32]byte(sum), full: true}, nil
}

// system hashes a part of the block whose Ion types are known.
func (v *Verifier) system(raw []byte) (Hash, error) {
	if v.block.Format == journal.JSON {
		return v.spell(raw, true)
	}
	return v.take(v.hasher.Sum(v.sum[:0], raw, v.block.Symbols))
}

// spell hashes JSON: see speller.
func (v *Verifier) spell(raw []byte, system bool) (Hash, error) {
	if err := v.speller.spell(&v.hasher, raw, system); err != nil {
		return Hash{}, err
	}
	return v.take(v.hasher.AppendSum(v.sum[:0]))
}
