package report

import "fmt"

// AssessmentFormat is the member "Format" of every assessment.json that this
// package writes.
const AssessmentFormat = "godwit.snapshotassess/1"

// An Assessment is what SnapshotLoad would make of a database, said before anything
// is moved. The caller fills in all but Format, Verdict, Sentence and Next, and what
// Moved says is worked out.
type Assessment struct {
	Format   string
	Verdict  Movability // worked out
	Sentence string     // the verdict in words, worked out
	Next     string     // what to do, worked out
	Moved
}

// A Movability answers "can this database be moved?".
type Movability string

// The verdicts of an assessment, best first. Programs may branch on them.
const (
	Movable    Movability = "can be moved"
	NotMovable Movability = "refused" // until somebody decides on what is refused
)

// Complete returns the assessment with its verdict, what to do next and every
// finding that follows, in the order in which they are shown. Lists are not nil,
// times are UTC, and a is not touched. Completing again changes nothing.
func (a Assessment) Complete() (Assessment, error) {
	fail := func(err error) (Assessment, error) {
		return Assessment{}, fmt.Errorf("report the assessment of database %s: %w", a.Source.Database, err)
	}
	a.Format = AssessmentFormat
	var err error
	if a.Moved, err = a.whole(); err != nil {
		return fail(err)
	}
	if err := a.settle(a.follow()); err != nil {
		return fail(err)
	}
	a.Verdict = Movable
	if len(a.Findings) > 0 && a.Findings[0].Severity == Error { // sorted, worst first
		a.Verdict = NotMovable
	}
	a.Sentence, a.Next = a.sentence(), a.next()
	return a, nil
}

func (a Assessment) follow() []Finding {
	out := a.refusals()
	if len(a.Tables) == 0 {
		out = append(out, Finding{
			Code: "no-table", Severity: Error, Text: "There is no table to move: the database has none, or the mapping leaves all of them out.",
			Next: "Check that this is the database that was meant, and the mapping.",
		})
	}
	return out
}

func (a Assessment) sentence() string {
	s := a.sizing()
	lost := ""
	if n := a.of(Lost); n > 0 {
		lost = " " + count(n, "thing of the source does not come along", "things of the source do not come along") + "."
	}
	takes := ""
	if e := a.Estimate; e != nil {
		takes = " It would take " + ranged(minutes(e.Minutes.Likely), minuteRange(e.Minutes)) + " and " + ranged(usd(e.USD.Likely), usdRange(e.USD)) + "."
	}
	if a.Verdict == NotMovable {
		n := int64(0)
		for _, f := range a.Findings {
			if f.Severity == Error {
				n++
			}
		}
		return "The database cannot be moved as it is: " + count(n, "thing", "has", "have") + " to be decided first." + lost
	}
	what := count(s.Loaded, "table") + " with " + count(s.Columns-s.LeftOut, "column") + " can be moved: "
	switch {
	case s.Converted == 0:
		what += "every column as it is."
	case s.Kept == 0:
		what += "every column by a stated conversion."
	default:
		what += number(s.Kept) + " as they are, " + number(s.Converted) + " by a stated conversion."
	}
	return what + lost + takes
}

// ranged writes a likely figure with its range, where that says more.
func ranged(likely, all string) string {
	if likely == all {
		return about(likely)
	}
	return about(likely) + " (" + all + ")"
}

func (a Assessment) next() string {
	if a.Verdict == NotMovable {
		if a.Source.Export == "" {
			return "Decide on what is refused, in the source or in the mapping, then assess again: nothing was exported or paid for."
		}
		return "Decide on what is refused, in the source or in the mapping, then assess again: nothing was written to the target."
	}
	if a.LoadID == "" {
		return "Look over what is converted and what is lost. Then stop writing to the source and take a snapshot with the tag godwit=export; SnapshotLoad does the rest."
	}
	return "Look over what is converted and what is lost. Then start SnapshotLoad with the same input without \"Mode\"."
}

// JSON returns assessment.json, with everything worked out.
func (a Assessment) JSON() ([]byte, error) {
	c, err := a.Complete()
	if err != nil {
		return nil, err
	}
	return encode(c, "the assessment of database "+a.Source.Database)
}

// ParseAssessment reads assessment.json. Members that it does not know are left out.
func ParseAssessment(b []byte) (Assessment, error) {
	var a Assessment
	err := decode(b, &a, &a.Format, AssessmentFormat, "assessment.json")
	return a, err
}
