package migrate_test

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
	"godwit/internal/proof"
	"godwit/internal/report"
)

var amount = regexp.MustCompile(`("PendingPenaltyTicketAmount":)(-?\d+)e-2`)

// oddDoubles prints a decimal in JSON as programs do that made a double of it on
// the way: 8.7 as 8.700000000000001.
func oddDoubles(m *machine) (n int) {
	edit(m, func(body string) string {
		return amount.ReplaceAllStringFunc(body, func(s string) string {
			n++
			x := amount.FindStringSubmatch(s)
			unscaled, _ := strconv.ParseFloat(x[2], 64)
			return x[1] + strconv.FormatFloat(math.Nextafter(unscaled/100, math.Inf(1)), 'f', -1, 64)
		})
	})
	return n
}

// conclusion is what a load was proven to be.
func conclusion(m *machine, load string) *proof.Conclusion {
	m.t.Helper()
	return readObject[migrate.Proof](m, "loads/"+load+"/proof.json").Conclusion
}

// tables sums a load's segments by ledger table name.
func tables(m *machine, load string) map[string]migrate.SegmentTable {
	m.t.Helper()
	sum := map[string]migrate.SegmentTable{}
	for name := range m.objects.under(workBucket + "/loads/" + load + "/segments/") {
		for _, t := range readObject[migrate.Segment](m, strings.TrimPrefix(name, workBucket+"/")).Tables {
			x := sum[t.Name]
			x.Read, x.TypeUnproven = x.Read+t.Read, x.TypeUnproven+t.TypeUnproven
			sum[t.Name] = x
		}
	}
	return sum
}

// Rows of JSON hold the values that were hashed, not those that it shows: they
// are those of the same ledger in Ion.
func TestRowsOfJSONAreThoseOfIon(t *testing.T) {
	o := ledgergen.Options{Seed: 21, Documents: 400, Prefix: prefix, BlocksPerObject: 40}
	ion := newMachine(t, whole)
	ion.generate(o)
	ion.mustRun()
	rows := func(m *machine) map[string][]byte {
		all := rowsByTable(t, m.objects)
		delete(all, "redactions") // they name the load
		for table, lines := range all {
			all[table] = origin.ReplaceAll(lines, nil)
		}
		return all
	}
	want := rows(ion)
	o.Format = ledgergen.JSON
	for _, verify := range []string{"full", "chain", "off"} {
		m := newMachine(t, strings.TrimSuffix(whole, "}")+`,"Verify":"`+verify+`"}`)
		m.segmentBytes = 50_000
		ledger := m.generate(o)
		if n := oddDoubles(m); n < 50 {
			t.Fatalf("%d numbers were printed oddly, want 50", n)
		}
		out, _ := m.mustRun()
		alike := cmp.Equal(rows(m), want)
		_, err := m.objects.read(workBucket, "loads/"+out.LoadId+"/types.json")
		if full := verify == "full"; alike != full || (err == nil) != full {
			t.Errorf("Verify %s: rows are those of Ion: %t; reading types ends in %v", verify, alike, err)
		}
		if verify != "full" {
			continue
		}
		c := conclusion(m, out.LoadId)
		notes := tables(m, out.LoadId)["Note"]
		if open := c.Revisions[proof.TypeUnproven]; open > 2 || open != notes.TypeUnproven || c.Revisions.Total() < ledger.Revisions() {
			t.Errorf("%d revisions are not proven, %d of them notes: %v", open, notes.TypeUnproven, c.Revisions)
		}
	}
}

// A plan learns what its load does, whatever a sample's bounds, and nothing is
// learned where nothing is to be.
func TestTypesAreOfTheArchiveAlone(t *testing.T) {
	m := newMachine(t, whole)
	m.generate(ledgergen.Options{Seed: 3, Documents: 500, Prefix: prefix, BlocksPerObject: 4, Format: ledgergen.JSON})
	m.sampleBytes = 100_000
	p, _ := m.planMode()
	key := "loads/" + p.LoadId + "/types.json"
	want, err := m.objects.read(workBucket, key)
	if err != nil || !p.Typed {
		t.Fatalf("typed %t, %v", p.Typed, err)
	}
	p = m.begun() // the store compares what is written again
	out, err := m.learn(p, "load")
	if err != nil {
		t.Fatal(err)
	}
	// Some blocks of each of 32 objects of more, and of all tables.
	if out.Objects != 32 || out.Bytes < 100_000 || out.Bytes > 400_000 || out.Tables < 5 || out.Samples < 50 || out.Proven < out.Samples*95/100 {
		t.Errorf("learned %+v", out)
	}
	m.sampleBytes = 1 // a block of each: less is known of fewer
	m.objects.changing = func(k string) bool { return k == key }
	if less, err := m.learn(p, "load"); err != nil || less.Samples >= out.Samples || less.Objects != 32 {
		t.Errorf("learned %+v, %v of one byte", less, err)
	}
	if got, _ := m.objects.read(workBucket, key); string(got) == string(want) {
		t.Error("a smaller sample has the same types: they cannot be told apart")
	}

	ion := newMachine(t, whole)
	ion.generate(ledgergen.Options{Seed: 3, Documents: 100, Prefix: prefix})
	p = ion.begun()
	if out, err := ion.learn(p, "load"); p.Typed || err != nil || out != (migrate.TypingOut{}) || len(ion.objects.under(workBucket+"/loads/"+p.LoadId+"/types")) > 0 {
		t.Errorf("Ion: typed %t, learned %+v, %v", p.Typed, out, err)
	}
}

// An object that cannot be read does not keep the others from being learned; who
// reads it says what is wrong.
func TestTypingLeavesOutWhatCannotBeRead(t *testing.T) {
	m := newMachine(t, whole)
	m.generate(ledgergen.Options{Seed: 4, Documents: 200, Prefix: prefix, BlocksPerObject: 20, Format: ledgergen.JSON})
	cut := ""
	edit(m, func(body string) string {
		if cut != "" {
			return body
		}
		cut = body
		return body[:len(body)*2/3]
	})
	_, found := m.planMode()
	told := 0
	for _, s := range found {
		told += len(s.Findings)
	}
	if told != 1 {
		t.Errorf("the plan has %d findings, want one", told)
	}
	_, err := m.run()
	mustStop(t, err, "stream ends within a value")
}

// An altered value in JSON is no value that was hashed: the revision is not
// proven, though all others of its table are.
func TestAlteredJSONIsNotProven(t *testing.T) {
	m := newMachine(t, whole)
	m.generate(ledgergen.Options{Seed: 5, Documents: 300, Prefix: prefix, BlocksPerObject: 40, Format: ledgergen.JSON})
	name := regexp.MustCompile(`"FirstName":"[A-Z]`)
	left := 7
	edit(m, func(body string) string {
		return name.ReplaceAllStringFunc(body, func(s string) string {
			if left--; left == 0 {
				return s[:len(s)-1] + "Zz"
			}
			return s
		})
	})
	out, r := m.mustRun()
	c := conclusion(m, out.LoadId)
	of := tables(m, out.LoadId)
	var altered proof.Finding
	for _, f := range c.Findings {
		if f.Verdict == proof.TypeUnproven {
			altered = f
		}
	}
	wantWarning(t, r.Findings, altered)
	if r.Verdict != report.LoadedWithFindings {
		t.Errorf("the verdict is %s", r.Verdict)
	}
	_, proved, err := m.prove()
	if err != nil || proved.Verdict != report.PartlyProven {
		t.Errorf("proven alone: %s, %v", proved.Verdict, err)
	}
	wantWarning(t, proved.Findings, altered)
	planned, plan := m.planned(migrate.PreflightOut{})
	if planned.Verdict != string(report.ReadyWithFindings) {
		t.Errorf("planned: %s", planned.Verdict)
	}
	wantWarning(t, plan.Findings, altered)
	if of["Person"].TypeUnproven != 1 || of["Vehicle"].TypeUnproven != 0 || c.Level == 3 {
		t.Errorf("not proven: %d persons, %d vehicles; %s", of["Person"].TypeUnproven, of["Vehicle"].TypeUnproven, c)
	}
	listed := 0
	for _, f := range c.Findings {
		if f.Verdict == proof.TypeUnproven {
			listed++
		}
	}
	if n := c.Revisions[proof.TypeUnproven]; int64(listed) != n || n != of["Person"].TypeUnproven+of["Note"].TypeUnproven {
		t.Errorf("%d revisions are not proven, %d are listed", n, listed)
	}
}

// What odd revisions took of an item goes from call to call, the same in the load,
// its plan and a proof: they prove the same.
func TestSpentEffortIsHandedOn(t *testing.T) {
	m := newMachine(t, whole)
	m.generate(ledgergen.Options{Seed: 1, Documents: 2000, Prefix: prefix, BlocksPerObject: 12, Format: ledgergen.JSON})
	m.segmentBytes, m.late = 50_000, func() bool { return true }
	// last is the Spent of the last call that handed on.
	last := func(items migrate.ObjectRef, call func(in migrate.WorkIn) (migrate.WorkOut, error)) (spent int64, calls int) {
		in := migrate.WorkIn{Items: lines[migrate.Item](t, m.objects, items)}
		for {
			out, err := call(in)
			if err != nil {
				t.Fatal(err)
			}
			if out.Done {
				return spent, calls
			}
			in.Resume, spent, calls = out.Resume, out.Resume.Spent, calls+1
		}
	}
	p, err := m.provePlan()
	if err != nil {
		t.Fatal(err)
	}
	proof, calls := last(p.Items, func(in migrate.WorkIn) (migrate.WorkOut, error) {
		return m.proveBlocks(migrate.ProveIn{ProofId: p.ProofId, Items: in.Items, Resume: in.Resume})
	})
	if proof == 0 || calls < 5 {
		t.Errorf("the proof spent %d in %d calls", proof, calls)
	}
	plan, _ := m.planMode()
	surveyed, calls := last(plan.Items, func(in migrate.WorkIn) (migrate.WorkOut, error) {
		in.LoadId = plan.LoadId
		return m.surveyOnce(in)
	})
	if surveyed != proof || calls < 5 {
		t.Errorf("the plan spent %d in %d calls, the proof %d", surveyed, calls, proof)
	}
	m.segmentBytes = 100_000
	load := m.begun()
	loaded, calls := last(load.Items, func(in migrate.WorkIn) (migrate.WorkOut, error) {
		in.LoadId = load.LoadId
		return m.transform(in)
	})
	if loaded != proof || calls < 3 {
		t.Errorf("the load spent %d in %d calls, the proof %d", loaded, calls, proof)
	}
}

// wantWarning looks for the one warning of a revision that is not proven, which
// names it.
func wantWarning(t *testing.T, findings []report.Finding, at proof.Finding) {
	t.Helper()
	var told []string
	for _, f := range findings {
		if f.Code == "type-unproven" {
			told = append(told, string(f.Severity)+": "+f.Text+" "+f.Next)
		}
	}
	want := regexp.MustCompile(`^warning: Ledger table Person: 1 of \d+ revisions, in JSON, is not proven.* Of the sample of the table, \d+ of \d+ are.* It is: ` +
		regexp.QuoteMeta(fmt.Sprintf("block %d, revision %d (document %s), in object %s.", at.Block, at.Revision, at.Document, at.Object)) + ` Compare with another copy`)
	if len(told) != 1 || !want.MatchString(told[0]) || at.Document == "" {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), want)
	}
}
