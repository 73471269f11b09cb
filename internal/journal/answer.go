package journal

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"godwit/internal/change"
)

// QLDB's API answered in Ion text: ValueHolder.IonText of GetDigest, GetBlock and
// GetRevision. Ion may quote field names, so that nothing here looks at content
// to tell text from JSON.

// An Address names a block: QLDB's blockAddress.
type Address struct {
	Strand     string
	SequenceNo int64
}

// String returns the Ion text that the API takes.
func (a Address) String() string {
	return "{strandId:" + strconv.QuoteToASCII(a.Strand) + ",sequenceNo:" + strconv.FormatInt(a.SequenceNo, 10) + "}"
}

// ParseAddress reads the Ion text of an address.
func ParseAddress(text string) (Address, error) {
	a := Address{SequenceNo: -1}
	t, err := parseText(text)
	if err != nil {
		return a, fmt.Errorf("read block address: %w", err)
	}
	if t.Nodes[0].Kind != change.Struct {
		return a, fmt.Errorf("read block address: it is a %s, not a struct", t.Nodes[0].Kind)
	}
	if n := member(t, "strandId"); n != nil && n.Kind == change.Text {
		a.Strand = string(t.Bytes(n))
	}
	if n := member(t, "sequenceNo"); n != nil && n.Kind == change.Int && n.Len == 0 {
		a.SequenceNo = n.Int
	}
	if a.Strand == "" || a.SequenceNo < 0 {
		return a, fmt.Errorf("read block address: it lacks strandId, a string, or sequenceNo, a number from 0 on")
	}
	return a, nil
}

// ParseProof reads the Ion text of a proof: the hashes to fold, each of HashSize
// bytes, from the leaf upwards. A proof may be empty: that of a ledger's only
// block.
func ParseProof(text string) ([][]byte, error) {
	t, err := parseText(text)
	if err != nil {
		return nil, fmt.Errorf("read proof: %w", err)
	}
	root := &t.Nodes[0]
	if root.Kind != change.List {
		return nil, fmt.Errorf("read proof: it is a %s, not a list", root.Kind)
	}
	hashes := [][]byte{}
	for i := int32(1); i < root.End; i = t.Nodes[i].End {
		n := &t.Nodes[i]
		if n.Kind != change.Bytes || len(t.Bytes(n)) != HashSize {
			return nil, fmt.Errorf("read proof: hash %d is a %s of %d bytes, not a blob of %d", len(hashes), n.Kind, len(t.Bytes(n)), HashSize)
		}
		hashes = append(hashes, t.Bytes(n))
	}
	return hashes, nil
}

// ParseBlock reads the Ion text of a block. The block is the caller's.
func ParseBlock(text string) (*Block, error) {
	r := newReader(Options{})
	r.format = IonText
	r.text = window{src: strings.NewReader(text)}
	b, err := r.Next()
	if err == io.EOF {
		return nil, fmt.Errorf("read block: it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("read block: %w", err)
	}
	return b, nil
}

// parseText lays one value of Ion text on a tape.
func parseText(text string) (*change.Tape, error) {
	raw, symbols, err := ReadValue([]byte(text))
	if err != nil {
		return nil, err
	}
	names := &ionNames{symbols: symbols}
	names.sync()
	t := &change.Tape{}
	return t, (&ionValues{names: names}).tape(t, raw)
}
