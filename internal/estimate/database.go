package estimate

import "math"

// A job is the tasks of a phase that are alike.
type job struct {
	tasks float64
	bytes float64 // of COPY text that one task goes over
}

// database is the phases whose tasks run in the database: import, keys, slices,
// indexes, visible. Each is planned by a function that reads the segments anew.
func (m *model) database() []step {
	var keys, slices, indexes []job
	for _, t := range m.tables {
		bytes := float64(t.RowBytes)
		keys = append(keys, job{1, bytes})
		n := math.Max(1, ceil(float64(t.Revisions), SliceRows))
		slices = append(slices, job{n, bytes / n})
		// Beside what the mapping asks for, the current table's key and the heads'.
		indexes = append(indexes, job{2 + float64(t.Indexes), bytes})
	}
	var imports []job
	if m.parts > 0 {
		imports = []job{{m.parts, m.rowBytes / m.parts}}
	}
	tables := float64(len(m.tables))
	out := []step{
		m.phase(StepImport, imports, rateImport, planned{segments: 2, api: 2}),
		m.phase(StepKeys, keys, rateKeys, planned{segments: 1, counts: 1, api: 1}),
		m.phase(StepSlices, slices, rateSlices, planned{segments: 1, api: tables}),
		m.phase(StepIndexes, indexes, rateIndexes, planned{segments: 1}),
		m.phase(StepVisible, []job{{1, 0}}, rateKeys, planned{segments: 1, counts: 1, api: 3}),
	}
	// The cluster reads every part once, with its own role.
	out[0].reads += m.parts
	// What the archive is held against, and what came of it.
	out[0].reads++
	out[0].writes++
	if files := float64(m.f.Hashes); files > 0 {
		// The segments' block hashes, those where a file ends twice.
		reads := m.segments + files - 1
		out[0].reads += reads
		out[0].writes += files
		seconds := reads / m.rate(rateSmall)
		out[0].seconds += seconds
		out[0].gbSeconds += seconds * m.memory()
		out[0].acuSeconds += m.f.Place.MinACU * seconds
	}
	out[0].ios = m.rowBytes * m.rate(rateStored) * m.rate(rateIO) / 4096
	out[0].said = []string{"The storage's I/O of all steps is counted here."}
	return out
}

// planned is what a phase's planning reads, in times over all segments and all
// counts, and asks the database.
type planned struct{ segments, counts, api float64 }

// phase is one phase: its function, then a map over its tasks, a child each.
func (m *model) phase(name string, jobs []job, rate string, p planned) step {
	small := p.segments*m.segments + p.counts*m.items
	plan := m.rate(rateCall) + small/m.rate(rateSmall) + p.api*m.rate(rateAPI)
	t := tally{
		seconds:     plan + 2*m.rate(rateCall),
		calls:       1,
		gbSeconds:   plan * m.memory(),
		transitions: 3, // NextPhase, AnyTasks, AnotherPhase
		writes:      1 + p.segments*math.Max(1, ceil(m.segments, 1000)),
		reads:       1 + small,
		api:         p.api,
	}
	tasks := 0.0
	for _, j := range jobs {
		tasks += j.tasks
	}
	if tasks == 0 {
		m.idle(&t)
		return step{name: name, tally: t}
	}
	busy := math.Min(float64(m.f.Place.Tasks), tasks)
	acu := m.capacity(busy)
	speed := m.rate(rate) * math.Min(m.rate(rateACU), acu/busy) // MB/s of a connection
	sum, longest := 0.0, 0.0
	t.transitions++ // the map
	for _, j := range jobs {
		work := mb(j.bytes, speed) + m.rate(rateAPI)
		looks := looks(work)
		child := m.rate(rateChild) + work + (2+looks)*m.rate(rateCall)
		sum += j.tasks * child
		longest = math.Max(longest, child)
		t.calls += j.tasks * (1 + looks)
		t.api += j.tasks * (1 + looks)
		// A child's start, Begin, Work and Done each turn, Wait before each but the
		// first, Finished.
		t.transitions += j.tasks * (1 + 1 + 2*(1+looks) + looks + 1)
		t.gbSeconds += j.tasks * (math.Min(work, replySeconds) + (1+looks)*m.rate(rateCall)) * m.memory()
	}
	// Children begin as others end, so that the last one ends no sooner than
	// either: all work shared out, or the longest child.
	working := math.Max(sum/busy, longest)
	t.seconds += m.rate(rateMapRun) + working
	t.acuSeconds = acu * t.seconds
	t.reads++     // the tasks
	t.writes += 2 // the map's results
	return step{name: name, tally: t}
}

// looks is how often a task that runs for seconds is asked about, after the call
// that began it: waits grow from one second to a minute.
func looks(seconds float64) (n float64) {
	wait := 1.0
	for left := seconds - replySeconds; left > 0; n++ {
		if wait == LongestWait {
			return n + ceil(left, LongestWait)
		}
		left -= wait
		wait = math.Min(LongestWait, 2*wait)
	}
	return n
}

// capacity is the ACU while so many connections are busy: from the least that
// the cluster has to as many as they can use.
func (m *model) capacity(busy float64) float64 {
	most := math.Min(m.f.Place.MaxACU, busy*m.rate(rateACU))
	least := math.Min(math.Max(m.f.Place.MinACU, 0.5), most)
	least = math.Max(least, math.Min(m.f.Place.MinACU, m.f.Place.MaxACU))
	most = math.Max(most, least)
	switch m.o {
	case best:
		return most
	case worst:
		return least
	case likely:
	}
	return (least + most) / 2
}
