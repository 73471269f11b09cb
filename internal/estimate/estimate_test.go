package estimate_test

import (
	"math"
	"regexp"
	"strings"
	"testing"

	"godwit/internal/estimate"
)

// place is an environment with round figures.
var place = estimate.Place{Region: "us-east-1", Architecture: "arm64", MemoryMB: 2048, Transform: 10, Tasks: 4, MinACU: 2, MaxACU: 8}

func made(t *testing.T, f estimate.Facts) estimate.Estimate {
	t.Helper()
	e, err := estimate.Make(f)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func step(t *testing.T, e estimate.Estimate, name string) estimate.Step {
	t.Helper()
	for _, s := range append(e.Steps, e.Planning) {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("the estimate has no step %s", name)
	return estimate.Step{}
}

// unit is the likely count of a unit in a step; 0 when it takes none.
func unit(s estimate.Step, name string) float64 {
	for _, u := range s.Units {
		if u.Name == name {
			return u.Count.Likely
		}
	}
	return 0
}

func equal(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*math.Max(1, math.Abs(want)) {
		t.Errorf("%s: got %.9g, want %.9g", what, got, want)
	}
}

// handRates are the likely rates that the cases below reckon with; when the
// table changes, so must their arithmetic.
var handRates = map[string]float64{
	"map-ION_BINARY": 40, "count-ION_BINARY": 340, "network": 65, "small-objects": 1000, "pack": 4.2, "child": 1, "call": 0.2, "map-run": 5,
	"import": 9, "keys": 40, "slices": 11, "indexes": 160, "acu-per-connection": 4, "data-api-call": 0.05, "stored": 1.8, "io": 2, "gunzip": 300, "inflate-JSON": 4.1, "map-JSON": 60,
}

func TestHandComputedCasesStandOnTheTable(t *testing.T) {
	rates, err := estimate.Rates()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, r := range rates {
		got[r.Name] = r.Likely
	}
	for name, want := range handRates {
		if got[name] != want {
			t.Errorf("rate %s is %g, the cases below say %g: work them out anew", name, got[name], want)
		}
	}
}

// One gigabyte in 40 objects of Ion binary, surveyed: two tables of 600 and 300
// MB of rows.
func gigabyte() estimate.Facts {
	return estimate.Facts{
		Survey: true, Items: 8, Exports: 1, Largest: 25e6,
		Archive: []estimate.Content{{Format: "ION_BINARY", Objects: 40, Bytes: 1e9}},
		Hashes:  1,
		Tables:  []estimate.Table{{Revisions: 1_500_000, RowBytes: 600e6, Indexes: 3}, {Revisions: 500_000, RowBytes: 300e6, Indexes: 1}},
		Place:   place,
	}
}

// The two passes: 8 items are 2 children of 4, all of them at once (10 may).
func TestPassesByHand(t *testing.T) {
	e := made(t, gigabyte())
	s := step(t, e, estimate.StepRead)
	// Segments: 900 MB of rows in 8 items are 112.5 MB an item, and a segment
	// ends at 67.1 MB: 2 an item, 16. Parts: 2 tables in each, 32.
	// One function would work for
	//	1000 MB / 40 MB/s                     = 25 s   verifying and mapping
	//	1000 MB / 65 MB/s                     = 15.384615385 s   from S3
	//	40 objects * 32/1000 s                =  1.28 s   first bytes
	//	900 MB / 4.2 / 65 MB/s                =  3.296703297 s   parts to S3
	//	16 segments * 3 * 32/1000 s           =  1.536 s   writing them and their block hashes
	//	                                        46.497318682 s
	const work = 25 + 1000.0/65 + 1.28 + 900/4.2/65 + 1.536
	// Each of 2 children half of it, a start of 1 s and a call of 0.2 s; the map
	// 5 s: 5 + 1 + 0.2 + 23.248659341 = 29.448659341 s.
	equal(t, "minutes", s.Minutes.Likely, (5+1+0.2+work/2)/60)
	equal(t, "calls", unit(s, "lambda-requests"), 2)
	// Read and the map; a child's start, Begin, Work, Done, Finished: 2 + 2*5.
	equal(t, "transitions", unit(s, "states-transitions"), 12)
	// Each call's time in 2 GB: (46.497318682 + 2*0.2) * 2.
	equal(t, "GB-seconds", unit(s, "lambda-arm64"), (work+0.4)*2)
	// 32 parts, 16 segments with their block hashes, 2 results.
	equal(t, "writes", unit(s, "s3-writes"), 66)
	// The items once, 40 objects, the plan by each child.
	equal(t, "reads", unit(s, "s3-reads"), 43)
	// 2 ACU as long as it takes.
	equal(t, "ACU-hours", unit(s, "aurora-acu"), 2*(6.2+work/2)/3600)
	equal(t, "USD", s.USD.Likely, (work+0.4)*2*0.0000133334+2*0.2/1e6+12*0.025/1e3+66*0.005/1e3+43*0.0004/1e3+2*(6.2+work/2)/3600*0.12)

	s = step(t, e, estimate.StepCount)
	// 1000/340 + 1000/65 + 1.28 + 8 counts * 0.032 = 19.861791855 s of one
	// function, half of it a child; no segments.
	const count = 1000.0/340 + 1000.0/65 + 1.28 + 0.256
	equal(t, "minutes of the count", s.Minutes.Likely, (6.2+count/2)/60)
	equal(t, "writes of the count", unit(s, "s3-writes"), 8+2)
	if s.Beside != estimate.StepRead {
		t.Errorf("the count runs beside %q", s.Beside)
	}
	// The total has the longer of the two only.
	sum := 0.0
	for _, s := range e.Steps {
		if s.Name != estimate.StepCount {
			sum += s.Minutes.Likely
		}
	}
	equal(t, "minutes in all", e.Minutes.Likely, sum)
}

// The phases in the database: 4 connections; 2 to 8 ACU are 5 at likely, 1.25 a
// connection.
func TestPhasesByHand(t *testing.T) {
	e := made(t, gigabyte())
	s := step(t, e, estimate.StepImport)
	// 32 parts of 28.125 MB at 9 MB/s * 1.25 = 11.25 MB/s: 2.5 s and 0.05 s of
	// the call. A child: 1 + 2.55 + 2*0.2 = 3.95 s; 32 of them on 4 are 31.6 s.
	// The map takes 5 s, its planning 0.2 + (2*16 segments)/1000 + 2*0.05 =
	// 0.332 s and (16 segments' hashes)/1000, the two states around it 0.4 s:
	// 37.348 s.
	equal(t, "minutes of the import", s.Minutes.Likely, (31.6+5+0.348+0.4)/60)
	equal(t, "calls of the import", unit(s, "lambda-requests"), 1+32)
	// Stage's two, and one a part.
	equal(t, "statements of the import", unit(s, "data-api"), 2+32)
	// NextPhase, AnyTasks, AnotherPhase, the map; 5 a child.
	equal(t, "transitions of the import", unit(s, "states-transitions"), 4+32*5)
	// Plan, segments twice, evidence, block hashes, tasks, parts.
	equal(t, "reads of the import", unit(s, "s3-reads"), 1+32+1+16+1+32)
	// Tasks, the segments' list twice, the proof, the file of hashes, results.
	equal(t, "writes of the import", unit(s, "s3-writes"), 1+2+1+1+2)
	// The function's time: planning, and 2.55 + 0.2 s a part, in 2 GB.
	equal(t, "GB-seconds of the import", unit(s, "lambda-arm64"), (0.348+32*2.75)*2)
	equal(t, "ACU-hours of the import", unit(s, "aurora-acu"), (5*37.332+2*0.016)/3600)
	// 900 MB * 1.8 * 2 / 4096.
	equal(t, "I/O", unit(s, "aurora-io"), 900e6*1.8*2/4096)

	s = step(t, e, estimate.StepKeys)
	// Two tasks, two connections: 2 to 8 ACU, 8 being what two can use: 5, 2.5 a
	// connection: 100 MB/s. 600 MB take 6.05 s, 300 MB 3.05 s; the longer child is
	// 1 + 6.05 + 0.4 = 7.45 s, all of the work on two (7.45+4.45)/2 = 5.95 s.
	// Planning: 0.2 + (16 segments + 8 counts)/1000 + 0.05 = 0.274 s.
	equal(t, "minutes of the keys", s.Minutes.Likely, (7.45+5+0.274+0.4)/60)

	s = step(t, e, estimate.StepSlices)
	// 1,500,000 / 200,000 are 8 slices of 75 MB, 500,000 / 200,000 are 3 of 100
	// MB, at 11 * 1.25 = 13.75 MB/s.
	equal(t, "calls of the slices", unit(s, "lambda-requests"), 1+8+3)
	eight, three := 75/13.75+0.05, 100/13.75+0.05
	equal(t, "minutes of the slices", s.Minutes.Likely, ((8*(eight+1.4)+3*(three+1.4))/4+5+0.2+0.016+2*0.05+0.4)/60)

	s = step(t, e, estimate.StepIndexes)
	// Current key and heads of each, and what the mapping asks for: 5 and 3.
	equal(t, "statements of the indexes", unit(s, "data-api"), 8)

	// What stays: 900 MB * 1.8 in the database, 900 MB / 4.2 of parts.
	equal(t, "GB stored", e.Monthly[0].GB.Likely, 1.62)
	equal(t, "USD a month", e.Monthly[0].USD.Likely, 0.162)
	equal(t, "GB of parts", e.Monthly[1].GB.Likely, 0.9/4.2)
	equal(t, "USD of parts", e.Monthly[1].USD.Likely, 0.9/4.2*0.023)
}

// A task that outlives its reply is asked about after 1, 2, 4, … 60 seconds.
func TestLongTasksAreLookedAt(t *testing.T) {
	f := gigabyte()
	f.Tables = []estimate.Table{{Revisions: 1e9, RowBytes: 100e9}}
	s := step(t, made(t, f), estimate.StepKeys)
	// One task, one connection, which can use 4 ACU; 2 to 4 are 3 at likely. 100
	// GB at 40 * 3 = 120 MB/s are 833.3 s. After 45 s: waits of 1, 2, 4, 8, 16, 32
	// are 63 s, and 725.4 s more in waits of 60 are 13: 19 looks.
	equal(t, "calls", unit(s, "lambda-requests"), 1+1+19)
	// Of the child: its start, Begin, 20 times Work and Done, 19 Waits, Finished.
	equal(t, "transitions", unit(s, "states-transitions"), 4+1+1+40+19+1)
	// The first call waits for 45 s, a look for none: (45 + 20*0.2 + planning) * 2 GB.
	segments := 8 * math.Ceil(100e9/8/(64<<20))
	equal(t, "GB-seconds", unit(s, "lambda-arm64"), (45+4+0.2+(segments+8)/1000+0.05)*2)
}

// Four items are a child, and the last child has what is left.
func TestItemsAreSharedOut(t *testing.T) {
	for items, children := range map[int64]float64{1: 1, 4: 1, 5: 2, 9: 3, 400: 100} {
		f := gigabyte()
		f.Items = items
		equal(t, "calls", unit(step(t, made(t, f), estimate.StepCount), "lambda-requests"), children)
	}
	f := gigabyte()
	f.Items, f.Archive[0].Bytes = 0, 9*estimate.ItemBytes+1
	equal(t, "calls for ten items by size", unit(step(t, made(t, f), estimate.StepCount), "lambda-requests"), 3)
}

// Gzip costs its decompression, and rows come of what was compressed.
func TestGzipByHand(t *testing.T) {
	f := gigabyte()
	f.Archive = []estimate.Content{{Format: "JSON", Gzip: true, Objects: 40, Bytes: 1e9}}
	// 1 GB holds 4.1: 4100/60 to verify and map, 1000/65 to fetch, 4100/300 to decompress.
	// Objects of 102 MB each end segments themselves: 4.1 GB in 8 items are 512.5
	// MB an item, 8 segments each, 64; 128 parts.
	const work = 4100.0/60 + 1000.0/65 + 4100.0/300 + 1.28 + 900/4.2/65 + 64*0.096
	equal(t, "minutes", step(t, made(t, f), estimate.StepRead).Minutes.Likely, (6.2+work/2)/60)
	equal(t, "parts", unit(step(t, made(t, f), estimate.StepImport), "data-api"), 2+128)
	// A size that is known is taken.
	f.Archive[0].Inflated = 4.1e9
	equal(t, "minutes with a known size", step(t, made(t, f), estimate.StepRead).Minutes.Likely, (6.2+work/2)/60)
}

// An archive without an object still has the states around it.
func TestNothingCostsNextToNothing(t *testing.T) {
	e := made(t, estimate.Facts{Survey: true, Place: place})
	for _, name := range []string{estimate.StepRead, estimate.StepCount} {
		if s := step(t, e, name); s.Minutes.High != 0 {
			t.Errorf("%s takes %+v", name, s.Minutes)
		}
	}
	// NextPhase, AnyTasks, AnotherPhase, and no map.
	equal(t, "transitions of the import", unit(step(t, e, estimate.StepImport), "states-transitions"), 3)
	if e.Minutes.Likely > 1 || e.USD.High > 0.01 || e.Minutes.Low <= 0 {
		t.Errorf("nothing takes %+v and costs %+v", e.Minutes, e.USD)
	}
	for _, h := range e.Monthly {
		if h.GB.High != 0 {
			t.Errorf("of nothing stays %+v", h)
		}
	}
}

// A petabyte of one object, 10^12 revisions: finite, and days.
func TestHugeArchive(t *testing.T) {
	e := made(t, estimate.Facts{Archive: []estimate.Content{{Objects: 1, Bytes: 1e15}}, Largest: 1e15, Items: 1, Place: place})
	for _, s := range append(e.Steps, e.Planning) {
		if r := s.Minutes; math.IsNaN(r.High) || math.IsInf(r.High, 0) || math.IsNaN(s.USD.High) || math.IsInf(s.USD.High, 0) || r.Low < 0 {
			t.Errorf("%s: %+v, %+v", s.Name, r, s.USD)
		}
	}
	// One function alone reads it, 14 minutes a call.
	read := step(t, e, estimate.StepRead)
	if calls := unit(read, "lambda-requests"); calls < 1e15/100e6/840 || read.Minutes.Likely < 1e15/100e6/60 {
		t.Errorf("a petabyte in one object takes %g calls and %g minutes", calls, read.Minutes.Likely)
	}
}

// One child reads the largest object alone, however many children there are.
func TestLargestObjectBoundsThePasses(t *testing.T) {
	f := gigabyte()
	f.Place.Transform = 1000
	f.Items = 400
	small := step(t, made(t, f), estimate.StepRead)
	f.Largest = 900e6
	if big := step(t, made(t, f), estimate.StepRead); big.Minutes.Likely < small.Minutes.Likely*2 {
		t.Errorf("with an object of 900 MB %g minutes, with one of 25 MB %g", big.Minutes.Likely, small.Minutes.Likely)
	}
}

// More of anything takes as long and costs as much, at least; more hands take no
// longer.
func TestMoreTakesNoLess(t *testing.T) {
	base := gigabyte()
	for _, c := range []struct {
		name   string
		change func(*estimate.Facts)
		usd    bool // the price must not fall either
	}{
		{"bytes", func(f *estimate.Facts) { f.Archive[0].Bytes *= 3 }, true},
		{"objects", func(f *estimate.Facts) { f.Archive[0].Objects *= 10 }, true},
		{"gzip", func(f *estimate.Facts) { f.Archive[0].Gzip = true }, true},
		{"text", func(f *estimate.Facts) { f.Archive[0].Format = "ION_TEXT" }, true},
		{"an unknown format", func(f *estimate.Facts) { f.Archive[0].Format = "" }, true},
		{"rows", func(f *estimate.Facts) { f.Tables[0].RowBytes *= 5 }, true},
		{"revisions", func(f *estimate.Facts) { f.Tables[0].Revisions *= 5 }, true},
		{"tables", func(f *estimate.Facts) { f.Tables = append(f.Tables, f.Tables...) }, true},
		{"indexes", func(f *estimate.Facts) { f.Tables[0].Indexes += 9 }, true},
		{"sources", func(f *estimate.Facts) { f.Tables[0].Sources = 4 }, true},
		{"set aside", func(f *estimate.Facts) { f.Asides = 1e6 }, true},
		{"fewer children", func(f *estimate.Facts) { f.Place.Transform = 1 }, true},
		{"fewer tasks at once", func(f *estimate.Facts) { f.Place.Tasks = 1 }, false},
		{"less capacity", func(f *estimate.Facts) { f.Place.MaxACU = 2 }, false},
		{"a cluster that sleeps", func(f *estimate.Facts) { f.Place.MinACU = 0 }, false},
	} {
		f := base
		f.Archive = append([]estimate.Content{}, base.Archive...)
		f.Tables = append([]estimate.Table{}, base.Tables...)
		c.change(&f)
		was, is := made(t, base), made(t, f)
		for _, x := range []struct {
			end     string
			was, is float64
		}{{"least", was.Minutes.Low, is.Minutes.Low}, {"likely", was.Minutes.Likely, is.Minutes.Likely}, {"most", was.Minutes.High, is.Minutes.High}} {
			if x.is < x.was-1e-9 {
				t.Errorf("with more %s the %s minutes fall from %g to %g", c.name, x.end, x.was, x.is)
			}
		}
		if c.usd && is.USD.Likely < was.USD.Likely-1e-9 {
			t.Errorf("with more %s the price falls from %g to %g", c.name, was.USD.Likely, is.USD.Likely)
		}
	}
}

func TestEveryRangeIsInOrder(t *testing.T) {
	for _, f := range []estimate.Facts{gigabyte(), {}, {Archive: []estimate.Content{{Format: "JSON", Bytes: 1e6, Objects: 3}}}, {Archive: []estimate.Content{{Format: "ION_TEXT", Gzip: true, Bytes: 1e13, Objects: 1e6}}, Place: place}} {
		e := made(t, f)
		ranges := []estimate.Range{e.Minutes, e.USD}
		for _, s := range append(e.Steps, e.Planning) {
			ranges = append(ranges, s.Minutes, s.USD)
			for _, u := range s.Units {
				ranges = append(ranges, u.Count, u.USD)
			}
		}
		for _, h := range e.Monthly {
			ranges = append(ranges, h.GB, h.USD)
		}
		for _, r := range ranges {
			if !(0 <= r.Low && r.Low <= r.Likely+1e-12 && r.Likely <= r.High+1e-12) {
				t.Errorf("%+v is no range", r)
			}
		}
	}
}

// What is not known, and where prices are from, is said.
func TestAssumptionsAreSaid(t *testing.T) {
	e := made(t, estimate.Facts{Archive: []estimate.Content{{Bytes: 1e6, Objects: 1}}, NoHistory: true, Place: estimate.Place{Region: "eu-central-1"}})
	all := strings.Join(e.Assumptions, "\n")
	for _, want := range []string{
		"arm64", "1,769 MB", "40 children", "4 children", "2 to 8 ACU", "Ion text", "us-east-1", "eu-central-1", "2026-11-22", "was not surveyed", "history",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no assumption says %q:\n%s", want, all)
		}
	}
	if e.Basis != estimate.Sized || e.PriceRegion != "us-east-1" || e.Region != "eu-central-1" || len(e.NotCovered) == 0 {
		t.Errorf("got %+v", e)
	}
	if all := strings.Join(made(t, gigabyte()).Assumptions, "\n"); strings.Contains(all, "they differ") || strings.Contains(all, "not surveyed") {
		t.Errorf("what is known is assumed:\n%s", all)
	}
}

// Functions on x86 cost what x86 costs.
func TestArchitectureHasItsPrice(t *testing.T) {
	f := gigabyte()
	f.Place.Architecture = "x86_64"
	s := step(t, made(t, f), estimate.StepRead)
	if unit(s, "lambda-arm64") != 0 || unit(s, "lambda-x86_64") == 0 {
		t.Errorf("got units %+v", s.Units)
	}
}

func TestRefusesWhatIsNoLoad(t *testing.T) {
	for _, f := range []estimate.Facts{
		{Items: -1},
		{Archive: []estimate.Content{{Bytes: -1}}},
		{Tables: []estimate.Table{{RowBytes: -1}}},
		{Place: estimate.Place{MinACU: 9, MaxACU: 8}},
		{Place: estimate.Place{Architecture: "mips"}},
	} {
		if _, err := estimate.Make(f); err == nil {
			t.Errorf("%+v was estimated", f)
		}
	}
}

// Every row of both tables says of when, where and how sure it is.
func TestTablesAreDatedAndSourced(t *testing.T) {
	prices, err := estimate.Prices()
	if err != nil {
		t.Fatal(err)
	}
	day := regexp.MustCompile(`^20\d\d-[01]\d-[0-3]\d$`)
	seen := map[string]bool{}
	for _, p := range prices {
		if seen[p.Name] || p.USD <= 0 || p.Per <= 0 || p.Unit == "" || p.Region != prices[0].Region || !day.MatchString(p.AsOf) || p.Source == "" || !strings.Contains("ABC", p.Confidence) || p.Confidence == "" {
			t.Errorf("price %+v", p)
		}
		seen[p.Name] = true
	}
	rates, err := estimate.Rates()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rates {
		between := r.Worst <= r.Likely && r.Likely <= r.Best || r.Best <= r.Likely && r.Likely <= r.Worst
		if seen[r.Name] || !between || r.Worst <= 0 || r.Best <= 0 || r.Unit == "" || !day.MatchString(r.AsOf) || r.Source == "" || r.How == "" || !strings.Contains("BCD", r.Confidence) || r.Confidence == "" {
			t.Errorf("rate %+v", r)
		}
		seen[r.Name] = true
	}
}

// Blocks that the survey could not read are counted as if they were like the
// others; a survey that read none is none.
func TestUnreadBlocksAreNotForgotten(t *testing.T) {
	whole, half := gigabyte(), gigabyte()
	half.Blocks, half.Unread = 1000, 500
	for i := range half.Tables {
		half.Tables[i].Revisions /= 2
		half.Tables[i].RowBytes /= 2
	}
	want, got := made(t, whole), made(t, half)
	equal(t, "minutes", got.Minutes.Likely, want.Minutes.Likely)
	equal(t, "USD", got.USD.Likely, want.USD.Likely)
	if text := strings.Join(got.Assumptions, " "); got.Basis != estimate.Surveyed || !strings.Contains(text, "500 of 1000 blocks could not be read") {
		t.Errorf("got basis %s, assumptions %q", got.Basis, text)
	}
	half.Unread, half.Tables = 1000, nil
	none := made(t, half)
	if text := strings.Join(none.Assumptions, " "); none.Basis != estimate.Sized || !strings.Contains(text, "was not surveyed") || none.Minutes.Likely < want.Minutes.Likely/2 {
		t.Errorf("of none: got basis %s, %+v, assumptions %q", none.Basis, none.Minutes, text)
	}
}
