package ledgergen

import (
	"fmt"
	"time"

	"godwit/internal/ion"
	"godwit/internal/proof"
)

// A revision of a document as its transaction made it.
type revision struct {
	id, table string // document id; table id
	name      string // of the table
	version   int64
	data      *value // nil: the revision deletes the document
	redacted  bool
	saidBy    []int64 // indexes of the statements that touched it
}

// A statement of a transaction, with the hashes of its parameters.
type statement struct {
	text       string
	parameters []proof.Hash
}

// A transaction becomes one block.
type transaction struct {
	statements []statement
	revisions  []revision
	internal   int    // hash-only revisions of QLDB's own catalogue
	redaction  *value // the revision that this transaction redacts
	silent     bool   // a system block without transactionInfo
}

// A block is what the export needs to know of a finished one.
type block struct {
	sequence int64
	at       time.Time
	value    value
	hash     proof.Hash
}

const instantFormat = "2006-01-02T15:04:05.000Z"

func instant(t time.Time) value { return timestamp(t.Format(instantFormat)) }

// A chain turns transactions into blocks, each bound to the one before.
type chain struct {
	random   *random
	ids      *idMaker
	strand   string
	next     int64 // sequence number
	previous proof.Hash
	hasher   valueHasher
}

// address is the blockAddress of the block under way.
func (c *chain) address() value {
	return structure(field{"strandId", text(c.strand)}, field{"sequenceNo", integer(c.next)})
}

// add makes the next block of tx.
func (c *chain) add(tx *transaction, at time.Time) (block, error) {
	txID := c.ids.id()
	// QLDB executes, commits and seals within milliseconds.
	committed := at.Add(-time.Duration(c.random.below(20)) * time.Millisecond)
	revisions, hashes, err := c.revisions(tx, txID, committed)
	if err != nil {
		return block{}, err
	}
	// The first and third entry are QLDB's own; nobody outside can recompute them.
	entries := []proof.Hash{c.opaque(), proof.Merkle(hashes), c.opaque(), {}}
	fields := make([]field, 0, 10)
	var info, redaction value
	if !tx.silent {
		if info, err = c.transactionInfo(tx, committed); err != nil {
			return block{}, err
		}
		if entries[3], err = c.hasher.hash(&info); err != nil {
			return block{}, err
		}
	}
	if tx.redaction != nil {
		redaction = structure(field{"revisions", list(*tx.redaction)})
		h, err := c.hasher.hash(&redaction)
		if err != nil {
			return block{}, err
		}
		entries = append(entries, h)
	}
	entriesHash := proof.EntriesHash(entries)
	blockHash := proof.BlockHash(entriesHash, c.previous)
	members := list()
	for _, h := range entries {
		members.items = append(members.items, blob(h.Bytes()))
	}
	fields = append(fields,
		field{"blockAddress", c.address()},
		field{"transactionId", text(txID)},
		field{"blockTimestamp", instant(at)},
		field{"blockHash", blob(blockHash.Bytes())},
		field{"entriesHash", blob(entriesHash.Bytes())},
		field{"previousBlockHash", blob(c.previous.Bytes())},
		field{"entriesHashList", members})
	if !tx.silent {
		fields = append(fields, field{"transactionInfo", info})
	}
	if tx.redaction != nil {
		fields = append(fields, field{"redactionInfo", redaction})
	}
	if len(revisions) > 0 {
		fields = append(fields, field{"revisions", list(revisions...)})
	}
	b := block{sequence: c.next, at: at, value: structure(fields...), hash: blockHash}
	c.previous = blockHash
	c.next++
	return b, nil
}

func (c *chain) opaque() proof.Hash {
	h, _ := proof.ParseHash(c.random.bytes(32)) // 32 bytes are always a hash
	return h
}

func (c *chain) revisions(tx *transaction, txID string, committed time.Time) ([]value, []proof.Hash, error) {
	var values []value
	var hashes []proof.Hash
	for range tx.internal {
		h := c.opaque()
		values = append(values, structure(field{"hash", blob(h.Bytes())}))
		hashes = append(hashes, h)
	}
	nothing := null(ion.NullType)
	for _, r := range tx.revisions {
		metadata := structure(
			field{"id", text(r.id)},
			field{"version", integer(r.version)},
			field{"txTime", instant(committed)},
			field{"txId", text(txID)})
		m, err := c.hasher.hash(&metadata)
		if err != nil {
			return nil, nil, fmt.Errorf("hash metadata of document %s: %w", r.id, err)
		}
		data := r.data
		if data == nil {
			data = &nothing // see the package comment: not known from real data
		}
		d, err := c.hasher.hash(data)
		if err != nil {
			return nil, nil, fmt.Errorf("hash document %s: %w", r.id, err)
		}
		h := proof.RevisionHash(m, d)
		v := structure(field{"blockAddress", c.address()}, field{"hash", blob(h.Bytes())})
		switch {
		case r.redacted:
			v.fields = append(v.fields, field{"dataHash", blob(d.Bytes())})
		case r.data != nil:
			v.fields = append(v.fields, field{"data", *r.data})
		}
		v.fields = append(v.fields, field{"metadata", metadata})
		values, hashes = append(values, v), append(hashes, h)
	}
	return values, hashes, nil
}

func (c *chain) transactionInfo(tx *transaction, committed time.Time) (value, error) {
	statements := list()
	started := committed.Add(-time.Duration(len(tx.statements)+c.random.below(50)) * time.Millisecond)
	for i, s := range tx.statements {
		said := text(s.text)
		digest, err := c.hasher.hash(&said)
		if err != nil {
			return value{}, fmt.Errorf("hash statement: %w", err)
		}
		statements.items = append(statements.items, structure(
			field{"statement", said},
			field{"startTime", instant(started.Add(time.Duration(i) * time.Millisecond))},
			field{"statementDigest", blob(proof.Fold(digest, s.parameters).Bytes())}))
	}
	info := structure(field{"statements", statements})
	if len(tx.revisions) == 0 {
		return info, nil
	}
	documents := structure()
	for _, r := range tx.revisions {
		said := list()
		for _, i := range r.saidBy {
			said.items = append(said.items, integer(i))
		}
		documents.fields = append(documents.fields, field{r.id, structure(
			field{"tableName", text(r.name)},
			field{"tableId", text(r.table)},
			field{"statements", said})})
	}
	info.fields = append(info.fields, field{"documents", documents})
	return info, nil
}

// A valueHasher computes the Ion hash of values.
type valueHasher struct {
	writer ion.Writer
	hasher ion.Hasher
	buf    []byte
	sum    []byte
	used   int
}

func (h *valueHasher) hash(v *value) (proof.Hash, error) {
	if h.used++; h.used%256 == 0 {
		h.writer.Reset() // document ids are symbols: do not keep them all
	}
	v.write(&h.writer)
	var err error
	if h.buf, err = h.writer.AppendValues(h.buf[:0]); err != nil {
		return proof.Hash{}, err
	}
	if h.sum, err = h.hasher.Sum(h.sum[:0], h.buf, &h.writer); err != nil {
		return proof.Hash{}, err
	}
	return proof.ParseHash(h.sum)
}
