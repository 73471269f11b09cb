package proof

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"godwit/internal/ion"
	"godwit/internal/journal"
)

// Evidence is what was kept of a ledger outside of its journal: a digest, a
// proof, or both.
type Evidence struct {
	Ledger string `json:"ledger,omitempty"`
	Digest Hash   `json:"digest"` // nothing in a GetBlock or GetRevision answer
	Strand string `json:"strand,omitempty"`
	Tip    int64  `json:"tip"` // last block that Digest covers; -1 where it is not said
	Proof  *Proof `json:"proof,omitempty"`
}

// A Proof leads from a block or a revision to a digest.
type Proof struct {
	Block int64 `json:"block"`
	// Document is the id of the document whose revision the leaf is; empty: the
	// leaf is the block's hash.
	Document string `json:"document,omitempty"`
	// Leaf is the hash proven, or nothing where only Block says what it is.
	Leaf Hash   `json:"leaf"`
	Path []Hash `json:"path"`
}

// Marks returns the blocks that a pass has to mark for Conclude to use e.
func (e *Evidence) Marks() []int64 {
	var marks []int64
	if e.Tip >= 0 {
		marks = append(marks, e.Tip)
	}
	if e.Proof != nil && e.Proof.Block != e.Tip {
		marks = append(marks, e.Proof.Block)
	}
	return marks
}

// maxEvidenceBytes bounds a file of evidence: an answer of GetBlock has at most
// two values of 1 MiB, which JSON escapes.
const maxEvidenceBytes = 16 << 20

// ParseEvidence reads what people kept of QLDB's digests and proofs:
//
//   - the digest alone, in base64 or hex;
//   - the digest file of QLDB's console: {"digest":…, "digestTipAddress":"{strandId:…}", "ledger":…, "date":…};
//   - answers of GetDigest, GetBlock and GetRevision as the AWS CLI prints them,
//     whose values are {"IonText":…}; members of several in one object are one;
//   - proofs.json of AWS's migration sample: {Ledger, Digest, DigestTipAddress, Export, LastBlockNum, Proof};
//   - the same as Ion text or binary Ion;
//   - an Evidence with a proof, as JSON.
//
// Names of members are read whatever their case.
func ParseEvidence(b []byte) (*Evidence, error) {
	e, err := parseEvidence(b)
	if err != nil {
		return nil, fmt.Errorf("read digest or proof: %w", err)
	}
	return e, nil
}

func parseEvidence(b []byte) (*Evidence, error) {
	if len(b) > maxEvidenceBytes {
		return nil, fmt.Errorf("it is longer than %d bytes", maxEvidenceBytes)
	}
	b = bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF")))
	e := &Evidence{Tip: -1}
	var err error
	if text := strings.Trim(string(b), `"`); len(text) <= 2*journal.HashSize {
		if e.Digest, err = parseDigest(text); err == nil {
			return e, nil
		}
	}
	root, err := readTree(b)
	if err != nil {
		return nil, err
	}
	object, ok := root.(map[string]any)
	if !ok {
		return nil, errors.New("it is neither a digest in base64 or hex, nor a struct")
	}
	if p, ok := object["proof"].(map[string]any); ok && p["path"] != nil {
		return readOwn(b)
	}
	if v := object["digest"]; v != nil {
		if e.Digest, err = hashOf(v); err != nil || e.Digest.IsEmpty() {
			return nil, fmt.Errorf("digest is not 32 bytes in base64 or hex: %w", errors.Join(err))
		}
	}
	e.Ledger, _ = object["ledger"].(string)
	if v := object["digesttipaddress"]; v != nil {
		if e.Strand, e.Tip, err = address(v); err != nil {
			return nil, fmt.Errorf("digestTipAddress: %w", err)
		}
	}
	if v := object["proof"]; v != nil {
		if e.Proof, err = readProof(object, v); err != nil {
			return nil, err
		}
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Evidence) check() error {
	switch {
	case e.Digest.IsEmpty() && e.Proof == nil:
		return errors.New("it has neither a digest nor a proof")
	case e.Proof != nil && e.Tip >= 0 && e.Proof.Block > e.Tip:
		return fmt.Errorf("it proves block %d under a digest that ends with block %d", e.Proof.Block, e.Tip)
	case e.Proof != nil && len(e.Proof.Path) > maxPath:
		return fmt.Errorf("proof has %d hashes: no ledger needs more than %d", len(e.Proof.Path), maxPath)
	}
	return nil
}

// readOwn reads an Evidence that was written as JSON.
func readOwn(b []byte) (*Evidence, error) {
	e := &Evidence{Tip: -1, Proof: &Proof{Block: -1}}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(e); err != nil {
		return nil, err
	}
	switch {
	case e.Proof == nil || e.Proof.Block < 0:
		return nil, errors.New("proof has no block")
	case e.Proof.Document != "" && e.Proof.Leaf.IsEmpty():
		return nil, errors.New("proof of a document has no leaf")
	}
	for i, h := range e.Proof.Path {
		if h.IsEmpty() {
			return nil, fmt.Errorf("proof: hash %d is empty", i)
		}
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	return e, nil
}

// readProof reads the proof v and what the members beside it say that it is of.
func readProof(object map[string]any, v any) (*Proof, error) {
	p := &Proof{Block: -1}
	v, err := held(v)
	if err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	path, ok := v.([]any)
	if !ok {
		return nil, errors.New("proof is not a list of hashes")
	}
	for i, item := range path {
		h, err := hashOf(item)
		if err != nil || h.IsEmpty() {
			return nil, fmt.Errorf("proof: hash %d is not 32 bytes: %w", i, errors.Join(err))
		}
		p.Path = append(p.Path, h)
	}
	name, leaf := "block", "blockhash"
	if object["revision"] != nil {
		name, leaf = "revision", "hash"
	}
	if object[name] != nil {
		shown, err := held(object[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		value, _ := shown.(map[string]any)
		if p.Leaf, err = hashOf(value[leaf]); err != nil || p.Leaf.IsEmpty() {
			return nil, fmt.Errorf("%s has no %s of 32 bytes: %w", name, leaf, errors.Join(err))
		}
		if _, p.Block, err = address(value["blockaddress"]); err != nil {
			return nil, fmt.Errorf("%s: blockAddress: %w", name, err)
		}
		if metadata, ok := value["metadata"].(map[string]any); ok && name == "revision" {
			p.Document, _ = metadata["id"].(string)
		}
		if name == "revision" && p.Document == "" {
			return nil, errors.New("revision has no metadata.id")
		}
		return p, nil
	}
	if p.Block, ok = intOf(object["lastblocknum"]); !ok {
		return nil, errors.New("it does not say what the proof is of: there is no LastBlockNum, Block or Revision")
	}
	return p, nil
}

// maxPath bounds a proof: the way up a tree of 2^63 leaves, a block's entries and
// 2^32 revisions.
const maxPath = 128

// parseDigest reads a hash in hex or base64.
func parseDigest(text string) (Hash, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != journal.HashSize {
		if b, err = base64.StdEncoding.DecodeString(text); err != nil {
			return Hash{}, errors.New("text is neither hex nor base64")
		}
	}
	h, err := ParseHash(b)
	if err == nil && h.IsEmpty() {
		err = errors.New("hash is empty")
	}
	return h, err
}

// hashOf reads a hash from a tree.
func hashOf(v any) (Hash, error) {
	switch v := v.(type) {
	case string:
		return parseDigest(strings.TrimSpace(v))
	case []byte:
		return ParseHash(v)
	}
	return Hash{}, errors.New("it is not there, or no text or blob")
}

// address reads a block address from a tree.
func address(v any) (strand string, block int64, err error) {
	if v, err = held(v); err != nil {
		return "", 0, err
	}
	m, _ := v.(map[string]any)
	strand, _ = m["strandid"].(string)
	block, ok := intOf(m["sequenceno"])
	if !ok || strand == "" {
		return "", 0, errors.New("it has no strandId and sequenceNo")
	}
	return strand, block, nil
}

// held reads a value that is Ion within JSON: {"IonText":"…"}, or its text alone.
func held(v any) (any, error) {
	if m, ok := v.(map[string]any); ok && len(m) == 1 && m["iontext"] != nil {
		v = m["iontext"]
	}
	if text, ok := v.(string); ok {
		return readTree([]byte(text))
	}
	return v, nil
}

func intOf(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, v >= 0
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		return n, err == nil && n >= 0
	}
	return 0, false
}

// readTree reads JSON or Ion into maps with lower-case names, slices, strings,
// blobs and numbers; other values of Ion are left out. Nothing that is hashed is
// read this way.
func readTree(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err == nil && !d.More() {
		return lower(v), nil
	}
	value, symbols, err := journal.ReadValue(b)
	if err != nil {
		return nil, fmt.Errorf("it is neither JSON nor Ion: %w", err)
	}
	var c ion.Cursor
	c.Reset(value, 0, len(value))
	if !c.Next() {
		return nil, errors.Join(errors.New("it holds no value"), c.Err())
	}
	v, err = ionTree(&c, symbols)
	return v, errors.Join(err, c.Err())
}

func lower(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, member := range v {
			m[strings.ToLower(name)] = lower(member)
		}
		return m
	case []any:
		for i := range v {
			v[i] = lower(v[i])
		}
	}
	return v
}

// ionTree reads the cursor's current value.
func ionTree(c *ion.Cursor, symbols *ion.SymbolTable) (any, error) {
	if c.IsNull() {
		return nil, nil
	}
	switch c.Type() {
	case ion.StringType:
		b, err := c.Text()
		return string(b), err
	case ion.IntType:
		n, ok, err := c.Int64()
		if !ok {
			return nil, err
		}
		return n, err
	case ion.BlobType:
		b, err := c.Lob()
		return bytes.Clone(b), err
	case ion.ListType:
		list := []any{}
		c.StepIn()
		for c.Next() {
			v, err := ionTree(c, symbols)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		c.StepOut()
		return list, c.Err()
	case ion.StructType:
		m := map[string]any{}
		c.StepIn()
		for c.Next() {
			name, err := symbols.Text(c.Field())
			if err != nil {
				return nil, err
			}
			if m[strings.ToLower(name)], err = ionTree(c, symbols); err != nil {
				return nil, err
			}
		}
		c.StepOut()
		return m, c.Err()
	default: // nothing that is looked for
		return nil, nil
	}
}
