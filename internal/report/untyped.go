package report

import (
	"cmp"
	"fmt"
	"strings"
)

// Untyped counts the revisions of one ledger table, in JSON, that do not have their
// hash with any types that were tried. JSON lost the types, and the hash covers
// them.
type Untyped struct {
	Table   string
	Count   int64
	Of      int64 // revisions of the table that were read
	Samples int64 // revisions of the sample that types were learned of
	Proven  int64 // of those
	// Known says that the sample was proven so far that these are the odd ones.
	Known bool
	First []Place // the first ones
}

// A Place is where a revision stands.
type Place struct {
	Block    int64
	Revision int64 // in the block, from 0
	Document string
	Object   string // S3 key
}

func (p Place) String() string {
	return fmt.Sprintf("block %s, revision %d (document %s), in object %s", number(p.Block), p.Revision, p.Document, p.Object)
}

// untypedList copies list; no list in it is nil.
func untypedList(all []Untyped) []Untyped {
	out := list(all)
	for i := range out {
		out[i].First = list(out[i].First)
	}
	return out
}

// finding says what a person should know of it. An odd one is worth a person's
// time; where the types of a table are not known, nothing is odd.
func (u Untyped) finding() Finding {
	f := Finding{
		Code: "type-unproven", Severity: Note,
		Text: fmt.Sprintf("Ledger table %s: %s of %s, in JSON, %s proven: no types that were tried give the stored hash.",
			cmp.Or(u.Table, "(no table known)"), number(u.Count), count(u.Of, "revision"), is(u.Count, "is not", "are not")),
		Next: "An export of the same blocks in Ion settles it, if one was made: prove that.",
	}
	if u.Known {
		f.Severity = Warning
		f.Text += fmt.Sprintf(" Of the sample of the table, %s of %s are, so its types are known: %s, or %s of a type that none in the sample has, or an annotation, which JSON loses.",
			number(u.Proven), number(u.Samples), is(u.Count, "this one was altered", "these were altered"), is(u.Count, "holds a value", "hold values"))
		f.Next = "Compare with another copy of the archive: where it shows another value, one of the two was altered. " + f.Next
	} else if u.Samples == 0 {
		f.Text += " None of the table was in the sample that types were learned of."
	} else {
		f.Text += fmt.Sprintf(" Of the sample of the table, %s of %s are: its types are not known, so that nothing tells what was altered.", number(u.Proven), number(u.Samples))
	}
	if len(u.First) > 0 {
		var places []string
		for _, p := range u.First {
			places = append(places, p.String())
		}
		what := is(u.Count, "It is", "They are")
		if int64(len(places)) < u.Count {
			what = fmt.Sprintf("The first %d of them", len(places))
			if len(places) == 1 {
				what = "The first of them"
			}
		}
		f.Text += " " + what + ": " + strings.Join(places, "; ") + "."
	}
	return f
}

// is picks a form for n.
func is(n int64, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}
