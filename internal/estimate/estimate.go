package estimate

import (
	"fmt"
	"math"
	"time"
)

// A Range is from everything at its best to everything at its worst; Likely is
// within.
type Range struct{ Low, Likely, High float64 }

// An Estimate is what a load will take and cost.
type Estimate struct {
	LoadID      string    `json:",omitempty"` // the caller's
	Made        time.Time `json:",omitzero"`  // the caller's
	Basis       Basis
	Region      string // of the load; prices are of PriceRegion
	PriceRegion string
	PricesAsOf  string // 2006-01-02: the oldest price
	Planning    Step   // what planning takes, be it done or not; in no total
	Steps       []Step // in order
	Minutes     Range  // of all steps; those that run beside another count where they take longer
	USD         Range  // of all steps
	Monthly     []Holding
	Assumptions []string // of the whole estimate
	NotCovered  []string
}

// A Basis is what an estimate stands on.
type Basis string

// The bases.
const (
	Surveyed Basis = "survey" // every block was read and mapped
	Sized    Basis = "size"   // only the archive's size was known
)

// A Step is one step of the workflow.
type Step struct {
	Name        string
	Beside      string `json:",omitempty"` // name of the step that runs at the same time
	Minutes     Range
	USD         Range
	Units       []Unit // that are not zero
	Assumptions []string
}

// A Unit is what a step takes of one thing that is paid for.
type Unit struct {
	Name  string // of its price
	Unit  string
	Count Range
	USD   Range
}

// A Holding is what stays and is paid for by the month.
type Holding struct {
	Name   string
	Months float64 // 0: until it is removed
	GB     Range   // 10^9 bytes
	USD    Range   // a month
}

// The steps, by name.
const (
	StepSurvey  = "survey"
	StepPlan    = "check and plan"
	StepRead    = "read and map"
	StepCount   = "count"
	StepImport  = "import"
	StepKeys    = "keys"
	StepSlices  = "slices"
	StepIndexes = "indexes"
	StepVisible = "visible"
	StepReport  = "report"
)

// Make estimates a load. LoadID and Made are left for the caller.
func Make(f Facts) (Estimate, error) {
	if err := f.check(); err != nil {
		return Estimate{}, err
	}
	t, err := readTables()
	if err != nil {
		return Estimate{}, err
	}
	f, said := assumed(f)
	e := Estimate{
		Basis: Sized, Region: f.Place.Region, PriceRegion: t.region, PricesAsOf: t.asOf,
		Assumptions: append(said, f.words(t)...), NotCovered: notCovered(),
	}
	if f.Survey {
		e.Basis = Surveyed
	}
	var runs [3]run
	for _, o := range outcomes {
		runs[o] = model{f: f, t: t, o: o}.run()
	}
	e.Planning = join(t, &f, StepSurvey, runs[best].survey, runs[likely].survey, runs[worst].survey)
	beside := [3]float64{}
	for i, s := range runs[likely].steps {
		step := join(t, &f, s.name, runs[best].steps[i].tally, s.tally, runs[worst].steps[i].tally)
		step.Assumptions = append(step.Assumptions, s.said...)
		if s.name == StepCount {
			step.Beside = StepRead
		}
		e.Steps = append(e.Steps, step)
		for _, o := range outcomes {
			beside[o] += runs[o].steps[i].alone / 60
		}
		e.USD = add(e.USD, step.USD)
	}
	e.Minutes = spread(beside[best], beside[likely], beside[worst])
	for i, h := range runs[likely].holdings {
		gb := spread(runs[best].holdings[i].bytes/1e9, h.bytes/1e9, runs[worst].holdings[i].bytes/1e9)
		e.Monthly = append(e.Monthly, Holding{Name: h.name, Months: h.months, GB: gb, USD: scale(gb, t.prices[h.price].USD/t.prices[h.price].Per)})
	}
	return e, nil
}

// check refuses what is not a load.
func (f Facts) check() error {
	numbers := []int64{f.Largest, f.Exports, f.Items, f.Segments, f.Parts, f.Asides, f.Redactions, f.Blocks, f.Unread, f.Place.MemoryMB, f.Place.Transform, f.Place.Tasks}
	for _, c := range f.Archive {
		numbers = append(numbers, c.Objects, c.Bytes, c.Inflated, c.Revisions)
	}
	for _, t := range f.Tables {
		numbers = append(numbers, t.Sources, t.Revisions, t.RowBytes, t.Indexes)
	}
	for _, n := range numbers {
		if n < 0 {
			return fmt.Errorf("estimate: a count or size is negative (%d)", n)
		}
	}
	if f.Place.MinACU < 0 || f.Place.MaxACU < 0 || f.Place.MinACU > f.Place.MaxACU && f.Place.MaxACU > 0 {
		return fmt.Errorf("estimate: %g to %g ACU is no capacity", f.Place.MinACU, f.Place.MaxACU)
	}
	switch f.Place.Architecture {
	case "", "arm64", "x86_64":
		return nil
	}
	return fmt.Errorf("estimate: architecture %q is neither arm64 nor x86_64", f.Place.Architecture)
}

// join makes a step of its three outcomes.
func join(t *tables, f *Facts, name string, b, l, w tally) Step {
	s := Step{Name: name, Minutes: spread(b.seconds/60, l.seconds/60, w.seconds/60), Assumptions: []string{}, Units: []Unit{}}
	lambda := priceARM
	if f.Place.Architecture == "x86_64" {
		lambda = priceX86
	}
	for _, u := range []struct {
		price   string
		b, l, w float64
	}{
		{lambda, b.gbSeconds, l.gbSeconds, w.gbSeconds},
		{priceRequests, b.calls, l.calls, w.calls},
		{priceTransitions, b.transitions, l.transitions, w.transitions},
		{priceWrites, b.writes, l.writes, w.writes},
		{priceReads, b.reads, l.reads, w.reads},
		{priceAPI, b.api, l.api, w.api},
		{priceACU, b.acuSeconds / 3600, l.acuSeconds / 3600, w.acuSeconds / 3600},
		{priceIO, b.ios, l.ios, w.ios},
		{priceExport, b.exported, l.exported, w.exported},
		{priceDPU, b.dpu, l.dpu, w.dpu},
	} {
		count := spread(u.b, u.l, u.w)
		if count.High == 0 {
			continue
		}
		p := t.prices[u.price]
		usd := scale(count, p.USD/p.Per)
		s.Units = append(s.Units, Unit{Name: u.price, Unit: p.Unit, Count: count, USD: usd})
		s.USD = add(s.USD, usd)
	}
	return s
}

// spread orders three outcomes: what is best for the time is not always best for
// the price.
func spread(b, l, w float64) Range {
	return Range{math.Min(b, math.Min(l, w)), l, math.Max(b, math.Max(l, w))}
}

func add(a, b Range) Range { return Range{a.Low + b.Low, a.Likely + b.Likely, a.High + b.High} }

func scale(r Range, by float64) Range { return Range{r.Low * by, r.Likely * by, r.High * by} }
