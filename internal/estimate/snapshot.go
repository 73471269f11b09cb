package estimate

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

//go:embed snapshotprices.json
var snapshotPricesJSON []byte

//go:embed snapshotrates.json
var snapshotRatesJSON []byte

// The steps of a snapshot's load, by name; StepPlan, StepIndexes and StepReport
// are as of a ledger's.
const (
	StepExport  = "export"
	StepLoad    = "load rows"
	StepCompare = "verification"
)

// The prices and rates of a snapshot's load alone, and those of ledgers that it
// shares.
const (
	priceExport      = "rds-export"
	priceDPU         = "dsql-dpu"
	priceDSQLStorage = "dsql-storage"

	rateExportStart = "export-start"
	rateExport      = "export-rate"
	rateExportText  = "export-text"
	rateExportPack  = "export-pack"
	rateEncode      = "snapshot-encode"
	rateDigest      = "snapshot-digest"
	rateTransaction = "dsql-transaction"
	rateConnections = "dsql-connections"
	rateDSQLIndex   = "dsql-index"
	rateDSQLRead    = "dsql-read"
	rateCompute     = "dsql-compute"
	rateAuroraRead  = "aurora-digest"
)

var (
	sharedPrices = []string{priceARM, priceX86, priceRequests, priceTransitions, priceWrites, priceReads, priceS3, priceAPI, priceACU, priceStorage, priceIO}
	sharedRates  = []string{rateNetwork, rateImport, rateKeys, rateIndexes, rateACU, rateCall, rateChild, rateMapRun, rateAPI, rateSmall, rateResume, ratePack, rateStored, rateIO}
)

// How Aurora DSQL meters what a load does (Aurora DSQL User Guide, billing and
// metering): DPU a byte written and read, the least bytes of a row or index entry,
// and of a transaction.
const (
	writeDPU     = 0.00004883
	readDPU      = 0.00000183105
	leastEntry   = 128
	leastWritten = 1024
	rowsOfDSQL   = 3000 // of a transaction
	bytesOfDSQL  = 10 << 20
)

// SnapshotFacts are what is known of the load of a snapshot before it begins.
type SnapshotFacts struct {
	GiB      int64 // of the snapshot, that RDS bills by; 0 is not known
	Exported bool  // the export exists, and is neither waited for nor paid
	DSQL     bool  // the target is Aurora DSQL, and not Aurora PostgreSQL
	Tables   []SnapshotTable
	Place    Place
}

// A SnapshotTable is a table that is loaded.
type SnapshotTable struct {
	Rows    int64 // about; negative is not known
	Bytes   int64 // on disk, or of its parts where Packed; negative is not known
	Packed  bool
	Indexes int64 // beside the key
	Foreign int64 // foreign keys
}

// SnapshotTables returns the tables of prices and rates that MakeSnapshot goes by.
func SnapshotTables() ([]Price, []Rate, error) {
	prices, err := Prices()
	if err != nil {
		return nil, nil, err
	}
	rates, err := Rates()
	if err != nil {
		return nil, nil, err
	}
	prices = slices.DeleteFunc(prices, func(p Price) bool { return !slices.Contains(sharedPrices, p.Name) })
	rates = slices.DeleteFunc(rates, func(r Rate) bool { return !slices.Contains(sharedRates, r.Name) })
	var own []Price
	if err := json.Unmarshal(snapshotPricesJSON, &own); err != nil {
		return nil, nil, fmt.Errorf("read the table of a snapshot's prices: %w", err)
	}
	var ownRates []Rate
	if err := json.Unmarshal(snapshotRatesJSON, &ownRates); err != nil {
		return nil, nil, fmt.Errorf("read the table of a snapshot's rates: %w", err)
	}
	return append(own, prices...), append(ownRates, rates...), nil
}

// MakeSnapshot estimates the load of a snapshot. LoadID and Made are left for the
// caller. It is coarser than Make: nothing is counted that RDS or DSQL decide, and
// the ranges say so.
func MakeSnapshot(f SnapshotFacts) (Estimate, error) {
	t, err := snapshotTables()
	if err != nil {
		return Estimate{}, err
	}
	if f.GiB < 0 || f.Place.MemoryMB < 0 || f.Place.Transform < 0 || f.Place.Tasks < 0 {
		return Estimate{}, fmt.Errorf("estimate: a count or size is negative")
	}
	given := f.Place
	f.Place, _ = f.Place.assumed()
	e := Estimate{Basis: Sized, Planning: Step{Units: []Unit{}, Assumptions: []string{}}, Region: f.Place.Region, PriceRegion: t.region, PricesAsOf: t.asOf, Assumptions: f.words(t, given), NotCovered: f.notCovered()}
	var runs [3][]step
	var stored [3]float64
	for _, o := range outcomes {
		m := snapshotModel{model: model{t: t, o: o, f: Facts{Place: f.Place}}, s: f}
		runs[o], stored[o] = m.steps()
	}
	all := Facts{Place: f.Place}
	for i, s := range runs[likely] {
		step := join(t, &all, s.name, runs[best][i].tally, s.tally, runs[worst][i].tally)
		step.Assumptions = append(step.Assumptions, s.said...)
		e.Steps = append(e.Steps, step)
		e.Minutes, e.USD = add(e.Minutes, step.Minutes), add(e.USD, step.USD)
	}
	price, name := priceStorage, "rows in the database, with keys and indexes"
	if f.DSQL {
		price = priceDSQLStorage
	}
	gb := spread(stored[best]/1e9, stored[likely]/1e9, stored[worst]/1e9)
	e.Monthly = []Holding{{Name: name, GB: gb, USD: scale(gb, t.prices[price].USD/t.prices[price].Per)}}
	return e, nil
}

// snapshotTables are the tables of a snapshot's load by their names.
func snapshotTables() (*tables, error) {
	t, err := readTables()
	if err != nil {
		return nil, err
	}
	prices, rates, err := SnapshotTables()
	if err != nil {
		return nil, err
	}
	for _, p := range prices {
		t.prices[p.Name] = p
		t.asOf = min(t.asOf, p.AsOf)
	}
	for _, r := range rates {
		t.rates[r.Name] = r
	}
	for _, name := range []string{priceExport, priceDPU, priceDSQLStorage} {
		if _, ok := t.prices[name]; !ok {
			return nil, fmt.Errorf("the table of a snapshot's prices has none for %s", name)
		}
	}
	for _, name := range []string{rateExportStart, rateExport, rateExportText, rateExportPack, rateEncode, rateDigest, rateTransaction, rateConnections, rateDSQLIndex, rateDSQLRead, rateCompute, rateAuroraRead} {
		if _, ok := t.rates[name]; !ok {
			return nil, fmt.Errorf("the table of a snapshot's rates has none for %s", name)
		}
	}
	return t, nil
}

// A snapshotModel is the load of a snapshot with every rate as it turns out.
type snapshotModel struct {
	model
	s SnapshotFacts
}

// A movedTable is what one table comes to.
type movedTable struct {
	rows, text, packed, indexes, foreign float64
}

// assumedRow is the bytes of a row, as text, where only one of rows and bytes is
// known.
const assumedRow = 200

func (m snapshotModel) sizes() []movedTable {
	var list []movedTable
	for _, t := range m.s.Tables {
		x := movedTable{rows: float64(t.Rows), indexes: float64(t.Indexes), foreign: float64(t.Foreign)}
		switch {
		case t.Bytes < 0 && t.Rows < 0:
			x.rows = 0
		case t.Bytes < 0:
			x.text = x.rows * assumedRow
		case t.Packed:
			x.packed = float64(t.Bytes)
			x.text = x.packed * m.rate(rateExportPack)
		default:
			x.text = float64(t.Bytes) * m.rate(rateExportText)
		}
		if !t.Packed {
			x.packed = x.text / m.rate(rateExportPack)
		}
		if t.Rows < 0 {
			x.rows = math.Ceil(x.text / assumedRow)
		}
		list = append(list, x)
	}
	return list
}

// steps are those of the load, and the bytes that it leaves in the target.
func (m snapshotModel) steps() (out []step, stored float64) {
	tables := m.sizes()
	var text, packed, items float64
	for _, x := range tables {
		text, packed = text+x.text, packed+x.packed
		if x.packed > 0 {
			items += ceil(x.packed, ItemBytes)
			stored += x.text * m.rate(rateStored)
		}
	}
	if !m.s.Exported {
		out = append(out, m.export())
	}
	out = append(out, step{name: StepPlan, tally: m.short(5, 2*float64(len(tables)))})
	rows, indexes, compare := m.aurora(tables, items, text, packed)
	if m.s.DSQL {
		rows, indexes, compare = m.dsql(tables, items, packed)
	}
	return append(out, step{name: StepLoad, tally: rows}, step{name: StepIndexes, tally: indexes}, step{name: StepCompare, tally: compare}, step{name: StepReport, tally: m.short(1, 2*items)}), stored
}

// export is RDS's work, looked at now and then.
func (m snapshotModel) export() step {
	gb := float64(m.s.GiB) * (1 << 30) / 1e9
	if gb == 0 {
		gb = m.s.onDisk() / 1e9
	}
	seconds := 60 * (m.rate(rateExportStart) + gb/m.rate(rateExport))
	looks := 3 + ceil(seconds, 300)
	s := step{name: StepExport, tally: tally{seconds: seconds, exported: gb, calls: looks, transitions: 3 * looks, gbSeconds: looks * m.rate(rateCall) * m.memory()}}
	if m.s.GiB == 0 {
		s.said = []string{fmt.Sprintf("RDS bills the whole snapshot, whose size is not known here: it is taken as that of the tables, %.2f GB. Indexes, other databases and free space come on top.", gb)}
	}
	return s
}

// onDisk is the bytes of the source's tables, as far as they are known.
func (f SnapshotFacts) onDisk() (bytes float64) {
	for _, t := range f.Tables {
		if t.Bytes > 0 && !t.Packed {
			bytes += float64(t.Bytes)
		}
	}
	return bytes
}

// short is functions that read and write small objects.
func (m snapshotModel) short(calls, objects float64) tally {
	t := tally{seconds: calls*(m.rate(rateCall)+m.rate(rateChild)) + objects/m.rate(rateSmall), calls: calls, transitions: 2 * calls, reads: objects + calls, writes: 4}
	t.gbSeconds = t.seconds * m.memory()
	return t
}

// maps are the two maps over the items, that of the loader and that of the
// verifier, which run at the same time.
func (m snapshotModel) maps(items, perItem, text, packed float64) tally {
	if items == 0 {
		return m.short(1, 0)
	}
	evidence := mb(text, m.rate(rateDigest)) + mb(packed, m.rate(rateNetwork))
	of := math.Max(perItem, evidence/items)
	turns := math.Max(1, ceil(of, callSeconds))
	t := tally{
		seconds: m.rate(rateMapRun) + ceil(items, float64(m.f.Place.Transform))*(m.rate(rateChild)+turns*m.rate(rateCall)+of),
		calls:   2 * items * turns, transitions: 2 * items * (4 + 2*turns), reads: 2 * (items*turns*3 + packed/(8<<20)), writes: 2 * items * 2,
	}
	t.gbSeconds = (items*perItem + evidence + t.calls*m.rate(rateCall)) * m.memory()
	return t
}

// dsql is rows in transactions, indexes and foreign keys that DSQL builds by
// itself, and the digests of what is there.
func (m snapshotModel) dsql(tables []movedTable, items, packed float64) (load, build, compare tally) {
	var text, transactions, written, dpu, longest, busy float64
	for _, x := range tables {
		if x.rows == 0 {
			continue
		}
		text += x.text
		n := math.Max(ceil(x.rows, rowsOfDSQL), ceil(x.text*(1+x.indexes/4), bytesOfDSQL))
		transactions += n
		row := math.Max(x.text/x.rows, leastEntry)
		written += math.Max(x.rows*row, n*leastWritten)
		entries := x.rows * x.indexes * leastEntry
		seconds := mb(x.text, m.rate(rateDSQLIndex)) * (x.indexes + x.foreign)
		build.dpu += entries*writeDPU + (x.indexes+x.foreign)*x.text*readDPU + mb(x.text, 1)*m.rate(rateCompute)*x.indexes
		build.seconds = math.Max(build.seconds, seconds) // tables side by side
		digest := mb(x.text, m.rate(rateDSQLRead))
		longest, busy = math.Max(longest, digest), busy+digest
		dpu += x.text*readDPU + mb(x.text, 1)*m.rate(rateCompute)
	}
	perItem := 0.0
	if items > 0 {
		perItem = math.Max((mb(text, m.rate(rateEncode))+mb(packed, m.rate(rateNetwork)))/items, transactions*m.rate(rateTransaction)/m.rate(rateConnections)/items)
	}
	load = m.maps(items, perItem, text, packed)
	load.dpu = written*writeDPU + mb(text, 1)*m.rate(rateCompute)
	looks := 4 + ceil(build.seconds, LongestWait)
	build.calls, build.transitions, build.gbSeconds = looks, 3*looks, looks*m.rate(rateCall)*m.memory()
	build.seconds += looks * m.rate(rateCall)
	compare = m.short(float64(len(tables)), float64(len(tables))+items)
	compare.seconds = m.rate(rateMapRun) + m.rate(rateChild) + math.Max(longest, busy/math.Min(float64(m.f.Place.Tasks), math.Max(1, float64(len(tables)))))
	compare.gbSeconds = (busy + float64(len(tables))*m.rate(rateCall)) * m.memory()
	compare.dpu = dpu
	return load, build, compare
}

// aurora is parts that functions write and the database imports, keys, indexes and
// foreign keys, and the digests of what is there.
func (m snapshotModel) aurora(tables []movedTable, items, text, packed float64) (load, build, compare tally) {
	perItem := 0.0
	if items > 0 {
		perItem = (mb(text, m.rate(rateEncode)) + mb(packed, m.rate(rateNetwork)) + mb(text/m.rate(ratePack), m.rate(rateNetwork))) / items
	}
	load = m.maps(items, perItem, text, packed)
	busy := math.Max(1, math.Min(float64(m.f.Place.Tasks), float64(len(tables))))
	acu := m.capacity(busy)
	connection := math.Min(m.rate(rateACU), acu/busy)
	work := func(rate string, of func(movedTable) float64, factor float64) float64 {
		sum, longest := 0.0, 0.0
		for _, x := range tables {
			s := mb(x.text, m.rate(rate)*factor) * of(x)
			sum, longest = sum+s, math.Max(longest, s)
		}
		return math.Max(sum/busy, longest)
	}
	imports := work(rateImport, func(movedTable) float64 { return 1 }, connection)
	m.idle(&load)
	load.seconds += imports
	load.acuSeconds += acu * imports
	load.ios = text * m.rate(rateStored) * m.rate(rateIO) / 4096
	load.api, load.transitions, load.calls = 3*items, load.transitions+8*items, load.calls+2*items
	build.seconds = work(rateKeys, func(movedTable) float64 { return 1 }, connection) + work(rateIndexes, func(x movedTable) float64 { return x.indexes + x.foreign }, connection)
	n := float64(len(tables))
	build.calls, build.api, build.transitions = 4*n, 6*n, 12*n
	compare.seconds = work(rateAuroraRead, func(movedTable) float64 { return 1 }, 1)
	compare.calls, compare.api, compare.transitions, compare.reads = 2*n, 3*n, 8*n, items
	for _, t := range []*tally{&build, &compare} {
		t.seconds += m.rate(rateMapRun) + m.rate(rateChild)
		t.gbSeconds = (math.Min(t.seconds, replySeconds*n) + t.calls*m.rate(rateCall)) * m.memory()
		t.acuSeconds = acu * t.seconds
	}
	return load, build, compare
}

// words are the assumptions of the whole estimate; given is the place as far as it
// was known.
func (f SnapshotFacts) words(t *tables, given Place) []string {
	said := []string{
		"Low takes every rate at its best and high every rate at its worst: most loads end near the likely figure. How fast RDS exports and the target takes rows was never measured: the ranges are wide on purpose.",
		fmt.Sprintf("Functions of %d MB on %s; %d children at once load rows, as many take evidence of them, and %d tasks work in the database.", f.Place.MemoryMB, f.Place.Architecture, f.Place.Transform, f.Place.Tasks),
	}
	if given.Transform == 0 || given.Tasks == 0 {
		said[1] += " The environment's own settings are not known here: these are the usual ones."
	}
	unknown := 0
	for _, x := range f.Tables {
		if x.Rows < 0 && x.Bytes < 0 {
			unknown++
		}
	}
	if unknown > 0 {
		said = append(said, fmt.Sprintf("Of %d tables neither rows nor size are known: they count as empty. ANALYZE in the source makes them known.", unknown))
	}
	if f.DSQL {
		said = append(said, "Aurora DSQL meters at least 128 bytes for each row and index entry, and 1,024 for a transaction; computing is metered in seconds of processors, which is a guess here.")
	} else {
		scales := "scales"
		if given.MaxACU == 0 {
			scales = "is taken to scale"
		}
		said = append(said, fmt.Sprintf("The cluster %s from %g to %g ACU; all of its ACU-hours while the load runs are counted.", scales, f.Place.MinACU, f.Place.MaxACU))
	}
	if f.Place.Region != "" && f.Place.Region != t.region {
		said = append(said, fmt.Sprintf("Prices are those of %s, as of %s. The load runs in %s, where they differ: by some percent as a rule, in some regions by half and more.", t.region, t.asOf, f.Place.Region))
	}
	return said
}

func (f SnapshotFacts) notCovered() []string {
	return []string{
		"the time that the snapshot itself takes, and from there to the export's beginning",
		"waiting for quotas, five exports of an account at once, throttling, failures and what is repeated after them",
		"the source, its snapshots, and the export's objects on S3 for as long as they are kept",
		"taxes, discounts and free tiers",
		"logs, metrics and traces of CloudWatch and X-Ray, requests to KMS and Secrets Manager: some percent of the total",
	}
}
