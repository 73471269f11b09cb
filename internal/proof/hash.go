package proof

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"godwit/internal/ion"
)

// A Hash is a SHA-256 sum, or nothing: QLDB writes an empty blob where it has
// nothing to hash, and Dot takes it for the identity. The zero value is
// nothing. Hashes compare with ==.
type Hash struct {
	sum  [sha256.Size]byte
	full bool
}

// ParseHash makes a Hash of the bytes of a blob: 32, or none.
func ParseHash(b []byte) (Hash, error) {
	switch len(b) {
	case 0:
		return Hash{}, nil
	case sha256.Size:
		return Hash{sum: [sha256.Size]byte(b), full: true}, nil
	}
	return Hash{}, fmt.Errorf("read hash: %d bytes, want 32 or none", len(b))
}

// IsEmpty says whether the hash is nothing.
func (h Hash) IsEmpty() bool { return !h.full }

// Bytes returns the 32 bytes, or an empty slice for nothing.
func (h Hash) Bytes() []byte {
	if !h.full {
		return []byte{}
	}
	return append([]byte(nil), h.sum[:]...)
}

// String returns the hash in base64, as Ion text and JSON show it.
func (h Hash) String() string { return base64.StdEncoding.EncodeToString(h.Bytes()) }

// MarshalText is String.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads base64.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("read hash: %w", err)
	}
	*h, err = ParseHash(b)
	return err
}

// Dot joins two hashes. Nothing joined with a is a; otherwise the smaller one
// comes first under SHA-256, compared from the last byte to the first as signed
// bytes. Dot is commutative and not associative.
func Dot(a, b Hash) Hash {
	if !a.full {
		return b
	}
	if !b.full {
		return a
	}
	var pair [2 * sha256.Size]byte
	if less(&b.sum, &a.sum) {
		a, b = b, a
	}
	copy(pair[:], a.sum[:])
	copy(pair[sha256.Size:], b.sum[:])
	return Hash{sum: sha256.Sum256(pair[:]), full: true}
}

func less(a, b *[sha256.Size]byte) bool {
	for i := sha256.Size - 1; i >= 0; i-- {
		if a[i] != b[i] {
			return int8(a[i]) < int8(b[i])
		}
	}
	return false
}

// RevisionHash is the hash of a revision from the Ion hashes of its metadata
// and its data. A redacted revision's dataHash stands for the latter. Neither
// the block address nor the table is covered.
func RevisionHash(metadata, data Hash) Hash { return Dot(metadata, data) }

// StatementDigest is the statementDigest of a statement, whose text is given, with
// the Ion hashes of its parameters. Parameters are not in the journal: a guess at
// them is confirmed when the digest is the stored one.
func StatementDigest(text []byte, parameters ...Hash) (Hash, error) {
	var h ion.Hasher
	h.Begin()
	h.String(text)
	sum, err := h.AppendSum(nil)
	if err != nil {
		return Hash{}, err
	}
	digest, err := ParseHash(sum)
	return Fold(digest, parameters), err
}

// EntriesHash is the hash of a block's entriesHashList.
func EntriesHash(list []Hash) Hash { return Merkle(list) }

// BlockHash chains a block to the one before; previous is nothing in a ledger's
// first block.
func BlockHash(entries, previous Hash) Hash { return Dot(entries, previous) }

// Fold joins a proof's hashes to a leaf, from the leaf upwards. The result is
// the digest when the leaf (a revision's hash or a block's) is under it.
func Fold(leaf Hash, proof []Hash) Hash {
	for _, h := range proof {
		leaf = Dot(leaf, h)
	}
	return leaf
}
