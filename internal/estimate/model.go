package estimate

import "math"

// A tally is what a step takes.
type tally struct {
	seconds     float64 // from its beginning to its end
	gbSeconds   float64 // of functions
	calls       float64 // of functions
	transitions float64 // of states
	writes      float64 // PUT and LIST
	reads       float64 // GET
	api         float64 // requests to the Data API, none larger than 32 KB
	acuSeconds  float64
	ios         float64
	exported    float64 // GB of a snapshot
	dpu         float64 // of Aurora DSQL
}

type step struct {
	name string
	tally
	alone float64 // seconds that it adds to what came before
	said  []string
}

type holding struct {
	name   string
	months float64
	price  string
	bytes  float64
}

// A run is a load as it turns out.
type run struct {
	survey   tally
	steps    []step
	holdings []holding
}

// A model is the workflow with every rate as it turns out.
type model struct {
	f Facts
	t *tables
	o outcome

	// Worked out of the facts.
	objects, stored, inflated, revisions, items float64
	rowBytes, segments, parts                   float64
	tables                                      []Table
}

func (m model) rate(name string) float64 { return m.t.rate(name, m.o) }

// mb is what a rate in MB/s, 10^6 bytes, makes of bytes.
func mb(bytes, rate float64) float64 { return bytes / (rate * 1e6) }

func ceil(a, b float64) float64 { return math.Ceil(a / b) }

func (m model) run() run {
	m.measure()
	var r run
	mapping := m.pass(func(c Content) float64 { return m.rate(rateOfMap + c.Format) }, m.segments, true)
	counting := m.pass(func(c Content) float64 { return m.rate(rateOfCount + c.Format) }, 0, false)
	r.survey = m.planning()
	add := func(name string, t tally, alone float64, said ...string) {
		r.steps = append(r.steps, step{name: name, tally: t, alone: alone, said: said})
	}
	if m.f.Typed {
		mapping.reads += mapping.calls // each reads the types
	}
	plan := m.begin(3, statements)
	add(StepPlan, plan, plan.seconds)
	mapping.transitions++ // Read, the state that holds both maps
	add(StepRead, mapping, mapping.seconds)
	add(StepCount, counting, math.Max(0, counting.seconds-mapping.seconds))
	for _, s := range m.database() {
		add(s.name, s.tally, s.seconds, s.said...)
	}
	end := m.report(m.segments, 5)
	if m.f.Typed {
		end.reads++
	}
	add(StepReport, end, end.seconds)
	r.holdings = []holding{
		{"rows in the database, with keys and indexes", 0, priceStorage, m.rowBytes * m.rate(rateStored)},
		{"parts in the work bucket, which a rule deletes after 30 days", partsDays / 30, priceS3, m.rowBytes / m.rate(ratePack)},
	}
	return r
}

// measure works out what the facts leave open.
func (m *model) measure() {
	for _, c := range m.f.Archive {
		m.objects += float64(c.Objects)
		m.stored += float64(c.Bytes)
		m.inflated += m.inflate(c)
		m.rowBytes += m.inflate(c) * m.rate(rateOfRow+c.Format)
		if c.Revisions > 0 {
			m.revisions += float64(c.Revisions)
		} else {
			m.revisions += math.Ceil(m.inflate(c) / m.rate(rateOfRevision+c.Format))
		}
	}
	m.items = float64(m.f.Items)
	if m.items == 0 {
		m.items = ceil(m.stored, ItemBytes)
	}
	m.tables = m.f.Tables
	if !m.f.Survey {
		m.tables = nil
		for range assumedTables {
			m.tables = append(m.tables, Table{Revisions: int64(m.revisions / assumedTables), RowBytes: int64(m.rowBytes / assumedTables), Indexes: assumedIndexes})
		}
		if m.revisions == 0 {
			m.tables = nil
		}
	}
	m.rowBytes = 0
	staged := 0.0
	for _, t := range m.tables {
		m.rowBytes += float64(t.RowBytes)
		staged += float64(t.Revisions)
	}
	if m.segments = float64(m.f.Segments); m.segments == 0 && m.items > 0 {
		// A segment ends where 64 MiB of rows are written, or where so much was
		// read of one object; and with its item.
		most := m.rowBytes / m.items
		if m.objects > 0 && m.inflated/m.objects > SegmentBytes {
			most = math.Max(most, m.inflated/m.items)
		}
		m.segments = m.items * math.Max(1, ceil(most, SegmentBytes))
	}
	if m.parts = float64(m.f.Parts); m.parts == 0 {
		// Every ledger table has revisions in every segment, as long as it has enough.
		for _, t := range m.tables {
			sources := math.Max(1, float64(t.Sources))
			m.parts += math.Min(sources*m.segments, float64(t.Revisions))
		}
		m.parts += math.Min(m.segments, float64(m.f.Asides)) + math.Min(m.segments, float64(m.f.Redactions))
	}
}

// What a load without a survey is taken to have.
const (
	assumedTables  = 4
	assumedIndexes = 4 // of each, current table and history together
)

func (m *model) inflate(c Content) float64 {
	switch {
	case c.Inflated > 0:
		return float64(c.Inflated)
	case c.Gzip:
		return float64(c.Bytes) * m.rate(rateOfInflation+c.Format)
	}
	return float64(c.Bytes)
}

// memory is what a function has, in the GB that are paid for.
func (m *model) memory() float64 { return float64(m.f.Place.MemoryMB) / 1024 }

// pass is a map over the items whose children read the archive: the transform,
// the count or the survey. A child takes its items one after the other; an
// object is read by one child.
func (m *model) pass(rate func(Content) float64, segments float64, packs bool) tally {
	if m.items == 0 {
		return tally{}
	}
	work := 0.0 // seconds of one function
	perByte := 0.0
	for _, c := range m.f.Archive {
		s := mb(m.inflate(c), rate(c)) + mb(float64(c.Bytes), m.rate(rateNetwork))
		if c.Gzip {
			s += mb(m.inflate(c), m.rate(rateGunzip))
		}
		work += s
	}
	if m.stored > 0 {
		perByte = work / m.stored
	}
	wait := 32 / m.rate(rateSmall) // for one small object alone
	work += m.objects * wait
	writes := m.items // the counts, or the survey's findings
	if packs {
		own := 1.0 // objects of each segment, beside its parts
		if m.f.Hashes > 0 {
			own++
		}
		writes = m.parts + math.Min(segments, float64(m.f.Asides)) + own*segments
		work += mb(m.rowBytes/m.rate(ratePack), m.rate(rateNetwork)) + (1+own)*segments*wait
	} else {
		work += m.items * wait
	}
	children := ceil(m.items, ItemsPerChild)
	of := math.Min(m.items, ItemsPerChild) * work / m.items // seconds of one child
	of = math.Max(of, float64(m.f.Largest)*perByte)
	turns := math.Max(1, ceil(of, callSeconds))
	waves := ceil(children, float64(m.f.Place.Transform))
	t := tally{
		seconds:     m.rate(rateMapRun) + waves*(m.rate(rateChild)+turns*m.rate(rateCall)+of),
		calls:       children * turns,
		transitions: 1 + children*(1+1+2*turns+1), // the map; a child's start, Begin, Work and Done each turn, Finished
		reads:       1 + m.objects + children*turns + children*(turns-1),
		writes:      writes + 2, // and the map's results
	}
	t.gbSeconds = (work + t.calls*m.rate(rateCall)) * m.memory()
	m.idle(&t)
	return t
}

// idle counts the database at its least capacity while others work.
func (m *model) idle(t *tally) { t.acuSeconds = m.f.Place.MinACU * t.seconds }

// planning is what plan mode takes: the survey's map, what comes before it, and
// the report. It leaves the database alone, even asleep.
func (m *model) planning() tally {
	begin, read, end := m.begin(2, 0), m.pass(func(c Content) float64 { return m.rate(rateOfMap+c.Format) * m.rate(rateSurvey) }, 0, false), m.report(0, 0)
	end.writes = 4 // report twice, estimate, drafted mapping
	end.reads = 1 + m.items
	if m.f.Typed {
		read.reads += read.calls
		end.reads++
	}
	var t tally
	for _, x := range []tally{begin, read, end} {
		t.seconds += x.seconds
		t.gbSeconds += x.gbSeconds
		t.calls += x.calls
		t.transitions += x.transitions
		t.writes += x.writes
		t.reads += x.reads
	}
	return t
}

// begin is Preflight, the choice whether to plan only, Prepare unless so, Plan
// and the choice behind it; with JSON Typing as well, and that choice again.
func (m *model) begin(functions, statements float64) tally {
	lists := 2 * math.Max(1, ceil(m.objects, 1000)) // Preflight and Plan each list the archive
	manifests := 2 * float64(m.f.Exports)           // started, completed
	t := tally{
		seconds:     functions*(m.rate(rateCall)+m.rate(rateChild)) + (lists*32+manifests)/m.rate(rateSmall) + statements*m.rate(rateAPI),
		calls:       functions,
		transitions: functions + 2,
		writes:      lists + 2, // plan, items
		reads:       manifests + 1,
		api:         statements,
	}
	if m.f.Typed {
		objects, bytes := m.json()
		t.seconds += m.rate(rateCall) + m.rate(rateChild) + (objects+2)*32/m.rate(rateSmall) + mb(bytes, m.rate(rateOfCount+formatJSON)) + mb(bytes, m.rate(rateNetwork))
		t.calls++
		t.transitions += 2
		t.reads += objects + 2 // plan, items
		t.writes++
	}
	t.gbSeconds = t.seconds * m.memory()
	if statements > 0 {
		t.writes++ // what the archive is held against
	}
	if m.f.Place.MinACU == 0 && statements > 0 {
		t.seconds += m.rate(rateResume)
	}
	m.idle(&t)
	return t
}

// json is how much JSON is sampled. What is learned of it takes less than reading
// it does.
func (m *model) json() (objects, bytes float64) {
	for _, c := range m.f.Archive {
		if c.Format == formatJSON {
			objects += float64(c.Objects)
			bytes += m.inflate(c)
		}
	}
	return math.Min(objects, SampleObjects), math.Min(bytes, SampleBytes)
}

// Prepare sends nine statements to a new database, one more to one that it
// prepared before; Plan sends three.
const statements = 9 + 3

// report reads what the steps wrote and asks the database. Around it are two
// states, StreamWanted and Loaded; what a stream then does is none of the load.
func (m *model) report(segments, statements float64) tally {
	small := segments + m.items
	t := tally{
		seconds:     m.rate(rateCall) + m.rate(rateChild) + small/m.rate(rateSmall) + statements*m.rate(rateAPI),
		calls:       1,
		transitions: 3,
		writes:      2 + 1 + math.Max(1, ceil(segments, 1000)), // two files; lists of the prediction and of the segments
		reads:       3 + small,                                 // the plan, the prediction, the proof
		api:         statements,
	}
	t.gbSeconds = t.seconds * m.memory()
	m.idle(&t)
	return t
}
