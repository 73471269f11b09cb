package plainproof

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

// Dot is QLDB's dot operator: the hash of both, the lesser one first, as signed
// bytes from the last one on. Nothing is neutral.
func Dot(a, b []byte) []byte {
	if len(a) == 0 || len(b) == 0 {
		return append(slices.Clone(a), b...)
	}
	for i := len(a) - 1; i >= 0; i-- {
		if a[i] != b[i] {
			if int8(a[i]) > int8(b[i]) {
				a, b = b, a
			}
			break
		}
	}
	sum := sha256.Sum256(slices.Concat(a, b))
	return sum[:]
}

// Merkle is the root over leaves; nil without any.
func Merkle(leaves [][]byte) []byte {
	for len(leaves) > 1 {
		var up [][]byte
		for pair := range slices.Chunk(leaves, 2) {
			if len(pair) == 2 {
				up = append(up, Dot(pair[0], pair[1]))
			} else {
				up = append(up, pair[0])
			}
		}
		leaves = up
	}
	if len(leaves) == 0 {
		return nil
	}
	return leaves[0]
}

// A Ledger is hashed again block by block. The zero value begins before block 0.
type Ledger struct {
	Blocks    [][]byte // hashes
	Revisions int      // of documents, each hashed again

	// Hash hashes the value that r stands on; nil: Hash.
	Hash func(r ionlib.Reader) ([]byte, error)

	r ionlib.Reader
}

// Digest is that of the blocks so far.
func (l *Ledger) Digest() []byte { return Merkle(l.Blocks) }

// Object hashes the blocks of the next object, in Ion, again. The error says which
// of them is not as its hashes say.
func (l *Ledger) Object(object []byte) error {
	l.r = ionlib.NewReaderBytes(object)
	for l.r.Next() {
		if err := l.block(); err != nil {
			return fmt.Errorf("block %d: %w", len(l.Blocks), err)
		}
	}
	return l.r.Err()
}

// each calls do for every value of the container that the reader stands on.
func (l *Ledger) each(do func(name string) error) error {
	if err := l.r.StepIn(); err != nil {
		return err
	}
	for l.r.Next() {
		name, err := l.r.FieldName()
		if err != nil {
			return err
		}
		text := ""
		if name != nil && name.Text != nil {
			text = *name.Text
		}
		if err := do(text); err != nil {
			return err
		}
	}
	if err := l.r.Err(); err != nil {
		return err
	}
	return l.r.StepOut()
}

func (l *Ledger) hash() ([]byte, error) {
	if l.Hash != nil {
		return l.Hash(l.r)
	}
	return Hash(l.r)
}

// revision returns the revision's hash, stored and computed.
func (l *Ledger) revision() ([]byte, error) {
	var stored, metadata, data []byte
	err := l.each(func(name string) (err error) {
		switch name {
		case "hash":
			stored, err = l.r.ByteValue()
		case "metadata":
			metadata, err = l.hash()
		case "data":
			data, err = l.hash()
		case "dataHash":
			data, err = l.r.ByteValue()
		}
		return err
	})
	if err != nil || metadata == nil {
		return stored, err // of QLDB's own catalogue
	}
	if data == nil { // a deletion: of null, as ledgergen chose
		sum := sha256.Sum256([]byte{0x0B, 0x0F, 0x0E})
		data = sum[:]
	}
	if got := Dot(metadata, data); !bytes.Equal(got, stored) {
		return nil, fmt.Errorf("a revision hashes to %x, and holds %x", got, stored)
	}
	l.Revisions++
	return stored, nil
}

func (l *Ledger) block() error {
	var list, revisions, parts [][]byte // parts: whose hashes are in the list
	var entries, previous, stored []byte
	err := l.each(func(name string) (err error) {
		switch name {
		case "blockHash":
			stored, err = l.r.ByteValue()
		case "entriesHash":
			entries, err = l.r.ByteValue()
		case "previousBlockHash":
			previous, err = l.r.ByteValue()
		case "entriesHashList":
			return l.each(func(string) error {
				h, err := l.r.ByteValue()
				list = append(list, h)
				return err
			})
		case "transactionInfo", "redactionInfo":
			var h []byte
			h, err = l.hash()
			parts = append(parts, h)
		case "revisions":
			err = l.each(func(string) error {
				h, err := l.revision()
				revisions = append(revisions, h)
				return err
			})
			parts = append(parts, Merkle(revisions))
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, part := range parts {
		if !slices.ContainsFunc(list, func(h []byte) bool { return bytes.Equal(h, part) }) {
			return fmt.Errorf("no entry is %x", part)
		}
	}
	last := []byte(nil)
	if n := len(l.Blocks); n > 0 {
		last = l.Blocks[n-1]
	}
	if !bytes.Equal(Merkle(list), entries) || !bytes.Equal(Dot(entries, previous), stored) || !bytes.Equal(previous, last) {
		return fmt.Errorf("its hashes do not follow from one another")
	}
	l.Blocks = append(l.Blocks, stored)
	return nil
}
