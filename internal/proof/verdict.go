package proof

import (
	"encoding/json"
	"fmt"
)

// A Verdict says how far a block or a revision is proven. Greater is worse; a
// block's is the worst of its own hashes and its revisions, of which Redacted
// and Opaque ones do not count.
type Verdict uint8

// The verdicts.
const (
	// Proven: all that is shown was hashed again, and the hashes are the stored
	// ones, up to the block's.
	Proven Verdict = iota
	// Redacted: as Proven, but the data was removed; its hash stands for it.
	Redacted
	// Opaque: a hash alone, of QLDB's own catalogue. It takes part in the block's
	// hash; what it is of cannot be known.
	Opaque
	// Unchecked: not hashed again, as asked: see Verifier.ChainOnly.
	Unchecked
	// TypeUnproven: from JSON, which lost Ion types that the hash covers, and no
	// typing tried gives the stored hash. The stored hash itself is in the block.
	TypeUnproven
	// Unattested: something is absent whose hash is present, or nothing intact
	// holds the revision's hash.
	Unattested
	// Inconsistent: fields that no hash covers contradict what hashes cover, or
	// one another.
	Inconsistent
	// Tampered: hashed again with full type information, and the stored hash is
	// another; of a revision without data see Chain.Conclude.
	Tampered

	verdicts = iota
)

var verdictNames = [verdicts]string{"proven", "redacted", "opaque", "unchecked", "type-unproven", "unattested", "inconsistent", "tampered"}

// String names the verdict as reports do.
func (v Verdict) String() string {
	if int(v) < verdicts {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// MarshalText is String.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a verdict's name.
func (v *Verdict) UnmarshalText(text []byte) error {
	for i, name := range verdictNames {
		if name == string(text) {
			*v = Verdict(i)
			return nil
		}
	}
	return fmt.Errorf("read verdict: %.40q is none", text)
}

// Counts holds how many blocks or revisions got which verdict. As JSON it is an
// object of those that are not zero, by name.
type Counts [verdicts]int64

// Add adds other to c.
func (c *Counts) Add(other *Counts) {
	for i := range c {
		c[i] += other[i]
	}
}

// worsen counts some of c as Tampered.
func (c *Counts) worsen(some *Counts) {
	for i, n := range some {
		c[i] -= n
		c[Tampered] += n
	}
}

// Total is the number of all.
func (c *Counts) Total() int64 {
	n := int64(0)
	for _, x := range c {
		n += x
	}
	return n
}

// MarshalJSON writes the counts that are not zero.
func (c Counts) MarshalJSON() ([]byte, error) {
	m := map[string]int64{}
	for i, n := range c {
		if n != 0 {
			m[Verdict(i).String()] = n
		}
	}
	return json.Marshal(m)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (c *Counts) UnmarshalJSON(b []byte) error {
	m := map[Verdict]int64{}
	if err := json.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("read counts of verdicts: %w", err)
	}
	*c = Counts{}
	for v, n := range m {
		if n < 0 {
			return fmt.Errorf("read counts of verdicts: %d %s", n, v)
		}
		c[v] = n
	}
	return nil
}

// A Finding is why a block or revision is not proven. It holds names, ids and
// hashes, never a value of a document.
type Finding struct {
	Block    int64   `json:"block"`
	Revision int     `json:"revision"` // index in the block's revisions; -1: of the block itself
	Document string  `json:"document,omitempty"`
	Table    string  `json:"table,omitempty"` // id of the revision's ledger table, where it is known
	Object   string  `json:"object,omitempty"`
	Verdict  Verdict `json:"verdict"`
	What     string  `json:"what"`          // the hash or field: "blockHash", "hash", "metadata.txId"
	Reason   string  `json:"reason"`        // a clause: "is not that of its data and metadata"
	Want     Hash    `json:"want,omitzero"` // as stored
	Got      Hash    `json:"got,omitzero"`  // as computed
}

// String says it in one line, for logs and reports.
func (f *Finding) String() string {
	s := fmt.Sprintf("%s: block %d", f.Verdict, f.Block)
	if f.Revision >= 0 {
		s += fmt.Sprintf(", revision %d", f.Revision)
	}
	if f.Document != "" {
		s += fmt.Sprintf(" of document %s", f.Document)
	}
	if f.Object != "" {
		s += " in object " + f.Object
	}
	s += ": " + f.What + " " + f.Reason
	if !f.Want.IsEmpty() && !f.Got.IsEmpty() {
		s += fmt.Sprintf(" (stored %s, computed %s)", f.Want, f.Got)
	}
	return s
}
