package ion_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"testing"

	"godwit/internal/ledgergen"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

// plainDot and plainMerkle are QLDB's rules written down once more, on slices.
func plainDot(a, b []byte) []byte {
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

func plainMerkle(leaves [][]byte) []byte {
	for len(leaves) > 1 {
		var up [][]byte
		for pair := range slices.Chunk(leaves, 2) {
			if len(pair) == 2 {
				pair[0] = plainDot(pair[0], pair[1])
			}
			up = append(up, pair[0])
		}
		leaves = up
	}
	if len(leaves) == 0 {
		return nil
	}
	return leaves[0]
}

// An audit hashes a ledger again with the oracle, as ion-go reads it.
type audit struct {
	t      *testing.T
	r      ionlib.Reader
	blocks [][]byte // hashes
	hashed int      // revisions
}

// each calls do for every value of the container that the reader stands on.
func (a *audit) each(do func(name string)) {
	a.t.Helper()
	if err := a.r.StepIn(); err != nil {
		a.t.Fatal(err)
	}
	for a.r.Next() {
		name, err := a.r.FieldName()
		if err != nil {
			a.t.Fatal(err)
		}
		text := ""
		if name != nil {
			text = *name.Text
		}
		do(text)
	}
	if err := a.r.Err(); err != nil {
		a.t.Fatal(err)
	}
	if err := a.r.StepOut(); err != nil {
		a.t.Fatal(err)
	}
}

func (a *audit) blob() []byte {
	a.t.Helper()
	b, err := a.r.ByteValue()
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

func (a *audit) hash() []byte {
	a.t.Helper()
	h, err := oracleHash(a.r)
	if err != nil {
		a.t.Fatal(err)
	}
	return h
}

// revision returns the revision's hash, stored and computed.
func (a *audit) revision() (stored []byte) {
	var metadata, data []byte
	a.each(func(name string) {
		switch name {
		case "hash":
			stored = a.blob()
		case "metadata":
			metadata = a.hash()
		case "data":
			data = a.hash()
		case "dataHash":
			data = a.blob()
		}
	})
	if metadata == nil {
		return stored // of QLDB's own catalogue
	}
	if data == nil { // a deletion: of null, as ledgergen chose
		sum := sha256.Sum256([]byte{0x0B, 0x0F, 0x0E})
		data = sum[:]
	}
	if got := plainDot(metadata, data); !bytes.Equal(got, stored) {
		a.t.Errorf("block %d: revision hashes to %x, and holds %x", len(a.blocks), got, stored)
	}
	a.hashed++
	return stored
}

func (a *audit) block() {
	var list, revisions [][]byte
	var entries, previous, stored []byte
	var parts [][]byte // whose hashes are in the list
	a.each(func(name string) {
		switch name {
		case "blockHash":
			stored = a.blob()
		case "entriesHash":
			entries = a.blob()
		case "previousBlockHash":
			previous = a.blob()
		case "entriesHashList":
			a.each(func(string) { list = append(list, a.blob()) })
		case "transactionInfo", "redactionInfo":
			parts = append(parts, a.hash())
		case "revisions":
			a.each(func(string) { revisions = append(revisions, a.revision()) })
			parts = append(parts, plainMerkle(revisions))
		}
	})
	for _, part := range parts {
		if !slices.ContainsFunc(list, func(h []byte) bool { return bytes.Equal(h, part) }) {
			a.t.Errorf("block %d: no entry is %x", len(a.blocks), part)
		}
	}
	last := []byte(nil)
	if n := len(a.blocks); n > 0 {
		last = a.blocks[n-1]
	}
	if !bytes.Equal(plainMerkle(list), entries) || !bytes.Equal(plainDot(entries, previous), stored) || !bytes.Equal(previous, last) {
		a.t.Errorf("block %d: its hashes do not follow from one another", len(a.blocks))
	}
	a.blocks = append(a.blocks, stored)
}

// TestFixedLedgersHaveTheirDigests hashes whole ledgers again without any code
// that made them. The digests stand here as they were found, so that writer and
// oracle cannot drift together, either.
func TestFixedLedgersHaveTheirDigests(t *testing.T) {
	for _, c := range []struct {
		seed      uint64
		documents int
		digest    string
	}{
		{1, 0, "pzXbXvKRBLqYQ4l+dlXriBLlA+QJXJQZ7tunWLuCQuA="},
		{1, 500, "Rn/ltteruYcD30iBShdEDJFSyz18Hf1G9S0j2pU0Ve0="},
		{7, 200, "G/tue36uBsDk+Q2pLJd50Qu834k9H0aCX0qgLPsWHzc="},
	} {
		a := audit{t: t}
		ledger, err := ledgergen.Generate(ledgergen.Options{Seed: c.seed, Documents: c.documents}, func(o ledgergen.Object) error {
			if o.First < 0 {
				return nil
			}
			a.r = ionlib.NewReaderBytes(o.Body)
			for a.r.Next() {
				a.block()
			}
			return a.r.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		if int64(a.hashed) != ledger.Revisions() || int64(len(a.blocks)) != ledger.Blocks {
			t.Errorf("seed %d: hashed %d revisions in %d blocks, want %d in %d", c.seed, a.hashed, len(a.blocks), ledger.Revisions(), ledger.Blocks)
		}
		if got := base64.StdEncoding.EncodeToString(plainMerkle(a.blocks)); got != c.digest || got != ledger.Digest.String() {
			t.Errorf("seed %d, %d documents: digest %s, ledgergen says %s, want %s", c.seed, c.documents, got, ledger.Digest, c.digest)
		}
	}
}
