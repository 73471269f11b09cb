// Package verify owns the judgement whether a load is complete: evidence that an
// independent pass takes from the archive itself, against what the loader says
// it did and what the target holds. It shares no code with mapping, copytext,
// migrate or target: a mistake there cannot hide here.
//
// It leaves reading objects to its caller and SQL to target, which hands over
// what it read back.
//
// Promises: counts are exact to the revision, per ledger table id, whatever the
// order of blocks; evidence of parts adds up to the evidence of the whole; every
// difference becomes one Finding with the table's id, its name and the numbers.
package verify

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"godwit/internal/change"
	"godwit/internal/journal"
)

// A Checksum tells two sets of revisions apart, whatever their order: XOR and
// sum (modulo 2^64) of one term per revision. The term is the first eight bytes,
// big endian, of SHA-256 over document id, ':', version in decimal, ':' and the
// 32 bytes of the revision hash. In PostgreSQL 14 and later, over a history
// table:
//
//	SELECT bit_xor(term), sum(term::numeric) FROM (SELECT ('x' || encode(substr(sha256(
//	  convert_to(doc_id || ':' || version || ':', 'UTF8') || decode(ql_audit->>'ql_rev_hash', 'base64')
//	), 1, 8), 'hex'))::bit(64)::bigint AS term FROM history) AS terms
//
// whose sum ParseSum reads. One revision more, fewer or another always shows,
// two revisions exchanged for two others with a chance of 2^-64 at the least.
type Checksum struct {
	Xor uint64 `json:",string"`
	Sum uint64 `json:",string"`
}

// Add puts one more revision into the checksum.
func (c *Checksum) Add(id []byte, v change.Version, hash []byte) {
	var text [128]byte
	b := append(text[:0], id...)
	b = append(b, ':')
	b = strconv.AppendInt(b, int64(v), 10)
	b = append(b, ':')
	b = append(b, hash...)
	digest := sha256.Sum256(b)
	term := binary.BigEndian.Uint64(digest[:8])
	c.Xor ^= term
	c.Sum += term
}

// Merge puts all of other's revisions into c.
func (c *Checksum) Merge(other Checksum) {
	c.Xor ^= other.Xor
	c.Sum += other.Sum
}

// A Tally is what an archive holds of one ledger table.
type Tally struct {
	Name       string // of the table; "" if not known
	Revisions  int64  // of all kinds
	Deletions  int64  // of them
	Redactions int64  // of them
	Checksum   Checksum
}

// Evidence is what a pass over a part of an archive saw: neither mapped nor
// decoded further than the journal's own fields. As JSON it is a few hundred
// bytes a table. The zero value is ready for use.
type Evidence struct {
	Blocks   int64
	HashOnly int64             // revisions that are a hash alone: QLDB's own, no records
	Tables   map[string]*Tally // by ledger table id; "" for revisions whose table the archive does not tell
}

// Add counts the revisions of a block. It needs no tape and allocates once per
// table.
func (e *Evidence) Add(b *journal.Block) {
	e.Blocks++
	var last *Tally
	lastID := ""
	for i := range b.Revisions {
		r := &b.Revisions[i]
		if r.HashOnly() {
			e.HashOnly++
			continue
		}
		if last == nil || r.Table.ID != lastID {
			last, lastID = e.table(r.Table.ID), r.Table.ID
		}
		if last.Name == "" {
			last.Name = r.Table.Name
		}
		last.Revisions++
		if r.Deleted() {
			last.Deletions++
		}
		if r.Redacted() {
			last.Redactions++
		}
		last.Checksum.Add(r.DocumentID, r.Version, r.Hash)
	}
}

func (e *Evidence) table(id string) *Tally {
	t := e.Tables[id]
	if t == nil {
		if e.Tables == nil {
			e.Tables = map[string]*Tally{}
		}
		t = &Tally{}
		e.Tables[id] = t
	}
	return t
}

// Merge adds the evidence of another part, which must not overlap.
func (e *Evidence) Merge(other *Evidence) {
	e.Blocks += other.Blocks
	e.HashOnly += other.HashOnly
	for id, o := range other.Tables {
		t := e.table(id)
		if t.Name == "" {
			t.Name = o.Name
		}
		t.Revisions += o.Revisions
		t.Deletions += o.Deletions
		t.Redactions += o.Redactions
		t.Checksum.Merge(o.Checksum)
	}
}
