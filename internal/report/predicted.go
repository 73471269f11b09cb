package report

import (
	"math"
	"time"

	"godwit/internal/estimate"
)

// A compared step is what was predicted of it beside what it took.
type compared struct {
	Name      string
	Predicted estimate.Range // minutes
	USD       estimate.Range
	Actual    string // "" when it did not end
}

// compared returns the steps that the load's times tell of, with the sum of
// them. Actual times are from the first task's beginning to the last one's end:
// planning a phase and starting its children lie between two of them, and are in
// the sum alone.
func (l Load) compared() (rows []compared, whole compared) {
	if l.Predicted == nil {
		return nil, compared{}
	}
	var first, last time.Time
	for _, s := range l.Predicted.Steps {
		for _, p := range l.Phases {
			if p.Name != s.Name {
				continue
			}
			row := compared{Name: s.Name, Predicted: s.Minutes, USD: s.USD, Actual: took(p.Started, p.Finished)}
			for _, b := range l.Predicted.Steps {
				if b.Beside == s.Name { // both are within the time of one phase
					row.Name += " and " + b.Name
					row.Predicted = longer(row.Predicted, b.Minutes)
					row.USD = plus(row.USD, b.USD)
				}
			}
			rows = append(rows, row)
			whole.Predicted, whole.USD = plus(whole.Predicted, row.Predicted), plus(whole.USD, row.USD)
			if !p.Started.IsZero() && (first.IsZero() || p.Started.Before(first)) {
				first = p.Started
			}
			if p.Finished.After(last) {
				last = p.Finished
			}
			break
		}
	}
	whole.Name, whole.Actual = "these steps", took(first, last)
	return rows, whole
}

func plus(a, b estimate.Range) estimate.Range {
	return estimate.Range{Low: a.Low + b.Low, Likely: a.Likely + b.Likely, High: a.High + b.High}
}

func longer(a, b estimate.Range) estimate.Range {
	return estimate.Range{Low: math.Max(a.Low, b.Low), Likely: math.Max(a.Likely, b.Likely), High: math.Max(a.High, b.High)}
}

// madeFrom says where a prediction came from.
func madeFrom(e *estimate.Estimate) string {
	if e.Basis == estimate.Surveyed {
		return "planned on " + when(e.Made) + ", by reading every block"
	}
	return "estimated from the archive's size, because nobody planned this load first (\"Mode\": \"plan\")"
}

// A paid unit is what all steps take of one thing.
type paid struct {
	Unit  string
	Count estimate.Range
	USD   estimate.Range
}

// bill sums the units of all steps, in the order in which they first occur.
func bill(e *estimate.Estimate) []paid {
	var out []paid
	at := map[string]int{}
	for _, s := range e.Steps {
		for _, u := range s.Units {
			i, ok := at[u.Name]
			if !ok {
				i = len(out)
				at[u.Name] = i
				out = append(out, paid{Unit: u.Unit})
			}
			out[i].Count, out[i].USD = plus(out[i].Count, u.Count), plus(out[i].USD, u.USD)
		}
	}
	return out
}
