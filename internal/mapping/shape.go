package mapping

import (
	"godwit/internal/change"
)

// A Shape is what the documents of one ledger table look like: for each path the
// kinds of values seen there, how many of each, and the greatest lengths. It
// keeps no value. The zero Shape is ready for use; one goroutine uses it.
type Shape struct {
	Documents int64 // observed
	Root      Field // the documents themselves
}

// A Field is what was seen at one path: a field of structs, the elements of
// lists, or the documents.
type Field struct {
	Name  string `json:",omitempty"` // "" of documents and of elements
	Kinds Kinds
	// Characters is the length of the longest text.
	Characters int `json:",omitempty"`
	// Digits and Scale are the most digits of an int or a decimal, before and
	// behind the point.
	Digits   int      `json:",omitempty"`
	Scale    int      `json:",omitempty"`
	Fields   []*Field `json:",omitempty"` // of structs, in the order first seen
	Elements *Field   `json:",omitempty"` // of lists
}

// Kinds counts values by their kind.
type Kinds [change.UUID + 1]int64

// Observe adds the document of a record; a deletion and a redaction have none.
func (s *Shape) Observe(rec *change.Record) {
	_ = rec
}

// Merge adds what another shape of the same table saw.
func (s *Shape) Merge(other *Shape) { s.Documents += other.Documents }
