package estimate_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"godwit/internal/estimate"
)

func makeSnapshot(t *testing.T, f estimate.SnapshotFacts) estimate.Estimate {
	t.Helper()
	e, err := estimate.MakeSnapshot(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range e.Steps {
		for _, r := range []estimate.Range{s.Minutes, s.USD} {
			if !(r.Low >= 0 && r.Low <= r.Likely && r.Likely <= r.High) || math.IsInf(r.High, 0) || math.IsNaN(r.High) {
				t.Errorf("step %s: %+v is no range", s.Name, r)
			}
		}
	}
	return e
}

// units sums what all steps take of a unit, as it is likely.
func units(e estimate.Estimate, name string) (sum float64) {
	for _, s := range e.Steps {
		for _, u := range s.Units {
			if u.Name == name {
				sum += u.Count.Likely
			}
		}
	}
	return sum
}

func wide(rows int64) estimate.SnapshotFacts {
	return estimate.SnapshotFacts{GiB: 500, DSQL: true, Tables: []estimate.SnapshotTable{{Rows: rows, Bytes: rows * 256, Indexes: 2, Foreign: 1}, {Rows: rows / 10, Bytes: rows * 20}}}
}

// Writing a TiB of rows of 128 bytes and more into Aurora DSQL is metered as
// 1,099,511,627,776 bytes at 0.00004883 DPU: some 430 USD; indexes come on top.
func TestSnapshotIsMeteredAsDSQLDoes(t *testing.T) {
	const tib = 1 << 40
	f := estimate.SnapshotFacts{GiB: 1024, DSQL: true, Tables: []estimate.SnapshotTable{{Rows: tib / 256, Bytes: tib}}}
	plain := makeSnapshot(t, f)
	for _, s := range plain.Steps {
		if s.Name == estimate.StepLoad {
			i := slices.IndexFunc(s.Units, func(u estimate.Unit) bool { return u.Name == "dsql-dpu" })
			// Computing, which is a guess, is another part of it.
			if usd := s.Units[i].USD.Likely; usd < 425 || usd > 440 {
				t.Errorf("loading a TiB costs %g USD of DPU, want about 430", usd)
			}
		}
	}
	if got := units(plain, "rds-export"); math.Abs(got-1099.5) > 0.1 {
		t.Errorf("an export of 1,024 GiB is billed as %g GB", got)
	}
	f.Tables[0].Indexes = 2
	if more := makeSnapshot(t, f); units(more, "dsql-dpu") < 1.3*units(plain, "dsql-dpu") {
		t.Error("two indexes add nothing to what is written")
	}
}

func TestSnapshotGrowsWithItsRows(t *testing.T) {
	for _, dsql := range []bool{true, false} {
		var last estimate.Estimate
		for i, rows := range []int64{0, 1000, 1_000_000, 1_000_000_000, 100_000_000_000} {
			f := wide(rows)
			f.DSQL = dsql
			e := makeSnapshot(t, f)
			if i > 0 && (e.USD.Likely < last.USD.Likely || e.Minutes.Likely < last.Minutes.Likely) {
				t.Errorf("%d rows take %g minutes and %g USD, fewer %g and %g", rows, e.Minutes.Likely, e.USD.Likely, last.Minutes.Likely, last.USD.Likely)
			}
			last = e
		}
	}
}

// What is not known is assumed, and said; an export that exists is not paid again.
func TestSnapshotSaysWhatIsNotKnown(t *testing.T) {
	said := func(e estimate.Estimate) string {
		text := strings.Join(e.Assumptions, " ")
		for _, s := range e.Steps {
			text += strings.Join(s.Assumptions, " ")
		}
		return text
	}
	f := wide(1_000_000)
	if got := said(makeSnapshot(t, f)); strings.Contains(got, "size is not known") || strings.Contains(got, "neither rows nor size") {
		t.Errorf("what is known is said not to be: %s", got)
	}
	f.GiB = 0
	f.Tables = append(f.Tables, estimate.SnapshotTable{Rows: -1, Bytes: -1})
	e := makeSnapshot(t, f)
	if got := said(e); !strings.Contains(got, "size is not known") || !strings.Contains(got, "Of 1 tables neither rows nor size") || !strings.Contains(got, "not known here: these are the usual ones") {
		t.Errorf("nobody says what is not known: %s", got)
	}
	f.DSQL = false
	if got := said(makeSnapshot(t, f)); !strings.Contains(got, "is taken to scale from 2 to 8 ACU") {
		t.Errorf("nobody says which capacity is assumed: %s", got)
	}
	f.Exported = true
	if e := makeSnapshot(t, f); units(e, "rds-export") != 0 || slices.ContainsFunc(e.Steps, func(s estimate.Step) bool { return s.Name == estimate.StepExport }) {
		t.Error("an export that exists is paid again")
	}
	if _, err := estimate.MakeSnapshot(estimate.SnapshotFacts{GiB: -1}); err == nil {
		t.Error("a negative size is estimated")
	}
}

// Every price and rate is dated, has its source, and goes from worst to best.
func TestSnapshotTablesAreDated(t *testing.T) {
	prices, rates, err := estimate.SnapshotTables()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range prices {
		if p.USD <= 0 || p.Per <= 0 || p.Unit == "" || p.Region != "us-east-1" || len(p.AsOf) != len("2006-01-02") || p.Source == "" || !strings.Contains("ABC", p.Confidence) || seen[p.Name] {
			t.Errorf("price %+v", p)
		}
		seen[p.Name] = true
	}
	for _, r := range rates {
		up, down := r.Worst <= r.Likely && r.Likely <= r.Best, r.Worst >= r.Likely && r.Likely >= r.Best
		if !up && !down || r.Worst <= 0 || r.Best <= 0 || r.Unit == "" || len(r.AsOf) != len("2006-01-02") || r.Source == "" || r.How == "" || !strings.Contains("BCD", r.Confidence) || seen[r.Name] {
			t.Errorf("rate %+v", r)
		}
		seen[r.Name] = true
	}
}
