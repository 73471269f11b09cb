package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
	"godwit/internal/report"
	"godwit/internal/verify"
)

func (m *machine) surveyOnce(in migrate.WorkIn) (migrate.WorkOut, error) {
	ctx, cancel, now := m.context()
	defer cancel()
	return (&migrate.SurveyArchive{Objects: m.objects, WorkBucket: workBucket, StepBytes: m.segmentBytes, Now: now}).Handle(ctx, in)
}

// planMode does what LedgerLoad does in plan mode before its report, and checks
// that the target is left alone. It returns the survey of each item.
func (m *machine) planMode() (migrate.PlanOut, []*migrate.Survey) {
	m.t.Helper()
	input, fault := m.input, m.target.fault
	defer func() { m.input, m.target.fault = input, fault }()
	m.input = strings.TrimSuffix(input, "}") + `,"Mode":"plan"}`
	m.target.fault = func(call string) (bool, error) {
		m.t.Errorf("plan mode calls the target: %s", call)
		return true, nil
	}
	p, err := m.plan()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.typing(p, "plan"); err != nil {
		m.t.Fatal(err)
	}
	items := lines[migrate.Item](m.t, m.objects, p.Items)
	for i := 0; i < len(items); i += batch {
		c := &child{name: fmt.Sprintf("survey of items from %d", i), call: m.surveyOnce, in: migrate.WorkIn{LoadId: p.LoadId, Items: items[i:min(i+batch, len(items))]}}
		for !c.done {
			if err := m.turn(c); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	var found []*migrate.Survey
	for i := range p.ItemCount {
		found = append(found, readObject[migrate.Survey](m, fmt.Sprintf("loads/%s/survey/%06d.json", p.LoadId, i)))
	}
	return p, found
}

// readObject reads a JSON object of the work bucket.
func readObject[T any](m *machine, key string) *T {
	m.t.Helper()
	b, err := m.objects.read(workBucket, key)
	if err != nil {
		m.t.Fatal(err)
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		m.t.Fatal(err)
	}
	return v
}

// summed adds up what segments, be they surveyed or stored, count.
func summed(segments []*migrate.Segment) migrate.Segment {
	sum := migrate.Segment{Found: map[string][]int64{}}
	for _, s := range segments {
		sum.Blocks += s.Blocks
		sum.HashOnly += s.HashOnly
		sum.Events = append(sum.Events, s.Events...)
		for name, counts := range s.Found {
			if sum.Found[name] == nil {
				sum.Found[name] = make([]int64, len(counts))
			}
			for i, n := range counts {
				sum.Found[name][i] += n
			}
		}
		for _, t := range s.Tables {
			i := slices.IndexFunc(sum.Tables, func(x migrate.SegmentTable) bool { return x.ID == t.ID })
			if i < 0 {
				sum.Tables = append(sum.Tables, t)
				continue
			}
			x := &sum.Tables[i]
			x.Read, x.Staged, x.Quarantined, x.Filtered = x.Read+t.Read, x.Staged+t.Staged, x.Quarantined+t.Quarantined, x.Filtered+t.Filtered
			x.LastBlock = t.LastBlock
		}
	}
	return sum
}

// What plan mode says is what the load does, to the revision and to the byte.
func TestSurveyIsWhatTheLoadDoes(t *testing.T) {
	for _, c := range []struct {
		name    string
		input   string // beside Bucket and Prefix
		options ledgergen.Options
		gz      bool
	}{
		{name: "binary", options: ledgergen.Options{Format: ledgergen.IonBinary}},
		{name: "text", options: ledgergen.Options{Format: ledgergen.IonText}},
		{name: "JSON", options: ledgergen.Options{Format: ledgergen.JSON}},
		{name: "binary, gzip", options: ledgergen.Options{Format: ledgergen.IonBinary}, gz: true},
		{name: "JSON, gzip", options: ledgergen.Options{Format: ledgergen.JSON}, gz: true},
		{name: "AWS's sample", options: ledgergen.Options{Layout: ledgergen.AWSSample, Exports: 3}},
		{name: "without manifests", input: `,"Manifests":"none"`},
		{name: "some tables", input: `,"Tables":["Person","Note"]`},
		{name: "from a block on", input: `,"Since":33`},
		{name: "from a time on", input: `,"Since":"2021-08-03T18:00:00Z"`},
		{name: "no history", input: `,"History":"none"`},
		{name: "a mapping", input: `,"Mapping":"s3://archive/m.json"`},
		{name: "one object an item", options: ledgergen.Options{Prefix: deep, BlocksPerObject: 1, Documents: 500}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := c.options
			o.Seed, o.Unmappable = 11, 9
			if o.Prefix == "" {
				o.Prefix, o.BlocksPerObject, o.Documents = prefix, 7, 150
			}
			m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","MaxQuarantined":200`+c.input+`}`)
			m.segmentBytes = 20_000
			m.generate(o)
			if c.gz {
				m.compress()
			}
			m.objects.set(archiveBucket, "m.json", []byte(`{"version":1,"schema":"dmv","tables":{"Person":{"target":"p","columns":[{"name":"n","path":"DOB","type":"date","notNull":true},{"name":"x","path":["Nowhere","Email"],"type":"text"}]},"Vehicle":{"skip":true}}}`))
			p, found := m.planMode()
			before := m.objects.under(workBucket)
			if _, ok := before[workBucket+"/loads/"+p.LoadId+"/plan.json"]; ok || p.Published {
				t.Error("plan mode wrote the plan of a load")
			}
			out, _ := m.mustRun()
			if out.LoadId != p.LoadId {
				t.Fatalf("the load is %s, planned was %s", out.LoadId, p.LoadId)
			}
			var surveyed, stored []*migrate.Segment
			volumes := map[string]migrate.Volume{}
			var aside []migrate.Aside
			for _, s := range found {
				surveyed = append(surveyed, &s.Segment)
				aside = append(aside, s.Asides...)
				for id, v := range s.Volumes {
					sum := volumes[id]
					sum.RowBytes, sum.Documents, sum.Deletions = sum.RowBytes+v.RowBytes, sum.Documents+v.Documents, sum.Deletions+v.Deletions
					volumes[id] = sum
				}
				if len(s.Findings)+len(s.Parts) > 0 || s.Unread > 0 || s.Untold > 0 || s.Quarantine != nil {
					t.Errorf("item %d: %+v", s.Item, s)
				}
			}
			evidence := &verify.Evidence{}
			keys := slices.Sorted(maps.Keys(m.objects.under(workBucket + "/loads/")))
			for _, name := range keys {
				key := strings.TrimPrefix(name, workBucket+"/")
				switch path.Base(path.Dir(key)) {
				case "segments":
					stored = append(stored, readObject[migrate.Segment](m, key))
				case "counts":
					evidence.Merge(readObject[verify.Evidence](m, key))
				}
			}
			got, want := summed(surveyed), summed(stored)
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("survey (-) and load (+) differ:\n%s", diff)
			}
			if len(found) != len(lines[migrate.Item](t, m.objects, p.Items)) || want.Blocks == 0 || out.Read == 0 {
				t.Errorf("%d items, %+v", len(found), want)
			}
			// As the independent pass and the parts have it.
			rows := rowsByTable(t, m.objects)
			for _, x := range got.Tables {
				e := evidence.Tables[x.ID]
				if x.Read != e.Revisions || x.Filtered == 0 && volumes[x.ID].Deletions != e.Deletions {
					t.Errorf("table %s: %+v of %+v", x.Name, x, e)
				}
				if n := int64(len(rows[x.ID])); n != volumes[x.ID].RowBytes {
					t.Errorf("table %s: %d bytes of rows, predicted %d", x.Name, n, volumes[x.ID].RowBytes)
				}
			}
			list := asides(m, p.LoadId)
			byPlace := func(a, b migrate.Aside) int {
				return strings.Compare(fmt.Sprintf("%09d %09d", a.Block, a.Revision), fmt.Sprintf("%09d %09d", b.Block, b.Revision))
			}
			slices.SortFunc(list, byPlace)
			slices.SortFunc(aside, byPlace)
			if diff := cmp.Diff(aside, list); diff != "" || out.Aside != int64(len(list)) {
				t.Errorf("%d set aside; predicted (-) and listed (+):\n%s", out.Aside, diff)
			}
			// Beside a load, and behind it, plan mode says the same.
			m.planMode()
			for name, body := range before {
				if m.objects.under(workBucket)[name] != body {
					t.Errorf("%s differs behind the load", name)
				}
			}
		})
	}
}

// Shapes are of every revision that is loaded, also of those set aside, and make
// rules that map all of them.
func TestSurveyTellsTheShapesOfTables(t *testing.T) {
	m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","Tables":["Person","Note"],"MaxQuarantined":20}`)
	m.generate(ledgergen.Options{Seed: 11, Documents: 300, Unmappable: 9, Prefix: prefix, BlocksPerObject: 7})
	_, found := m.planMode()
	documents := map[string]int64{}
	var want, deleted int64
	for _, s := range found {
		for name, shape := range s.Shapes {
			documents[name] += shape.Documents
		}
		for _, x := range s.Tables {
			want += x.Read - x.Filtered
		}
		for _, v := range s.Volumes {
			deleted += v.Deletions
		}
	}
	if len(documents) != 2 || documents["Person"] == 0 || documents["Note"] == 0 {
		t.Errorf("documents by table: %v", documents)
	}
	// Redactions have no document either.
	if got := documents["Person"] + documents["Note"]; got > want-deleted || got < want-deleted-20 {
		t.Errorf("%d documents in %d revisions, of which %d delete", got, want, deleted)
	}
}

// Handing on wherever that can be, and calls that come again late, leave what one
// call leaves.
func TestSurveyGoesOnWhereItWas(t *testing.T) {
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		for _, gz := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s gzip %t", format, gz), func(t *testing.T) {
				t.Parallel()
				run := func(late bool) (map[string]string, int) {
					m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/"}`)
					m.segmentBytes = 1
					m.late = func() bool { return late }
					m.generate(ledgergen.Options{Seed: 9, Documents: 200, Unmappable: 6, Prefix: prefix, BlocksPerObject: 40, Format: format})
					if format == ledgergen.JSON { // what is broken must show at every boundary, too
						edit(m, func(body string) string {
							return regexp.MustCompile(`(,"sequenceNo":1[05]\}.*"previousBlockHash":"(?:\{\{)?)....`).ReplaceAllString(body, "${1}AAAA")
						})
					}
					if gz {
						m.compress()
					}
					calls := 0
					surveyed := m.surveyTurns(&calls)
					return surveyed, calls
				}
				want, once := run(false)
				got, calls := run(true)
				if once != 1 || calls < 60 {
					t.Errorf("%d calls with time, %d without", once, calls)
				}
				sameObjects(t, "handed on", got, want)
				breaks := 0
				for _, body := range want {
					breaks += strings.Count(body, "does not follow block")
				}
				if wanted := map[bool]int{true: 2}[format == ledgergen.JSON]; breaks != wanted {
					t.Errorf("%d broken chains, want %d", breaks, wanted)
				}
			})
		}
	}
}

// surveyTurns surveys in plan mode and repeats each call once, before and after
// the next one. It returns the surveys, without what was kept between calls.
func (m *machine) surveyTurns(calls *int) map[string]string {
	m.t.Helper()
	m.input = strings.TrimSuffix(m.input, "}") + `,"Mode":"plan"}`
	p, err := m.plan()
	if err == nil {
		err = m.typing(p, "plan")
	}
	if err != nil {
		m.t.Fatal(err)
	}
	c := &child{name: "survey", call: m.surveyOnce, in: migrate.WorkIn{LoadId: p.LoadId, Items: lines[migrate.Item](m.t, m.objects, p.Items)}}
	for !c.done {
		if err := m.turn(c); err != nil {
			m.t.Fatal(err)
		}
		for _, again := range c.before[max(0, len(c.before)-2):] {
			if _, err := m.surveyOnce(again); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	*calls = c.calls
	out := m.objects.under(workBucket + "/loads/")
	maps.DeleteFunc(out, func(name, _ string) bool { return strings.Contains(name, "/turns/") })
	return out
}

// Each thing that would stop the load is found, wherever it is, and what can be
// read behind it is read.
func TestSurveyFindsAllThatWouldStopTheLoad(t *testing.T) {
	const perObject = 5
	m := newMachine(t, whole)
	ledger := m.generate(ledgergen.Options{Seed: 11, Documents: 200, Prefix: prefix, BlocksPerObject: perObject, Format: ledgergen.JSON})
	if ledger.Blocks < 60 {
		t.Fatalf("%d blocks", ledger.Blocks)
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.objects.under(archiveBucket))) {
		if strings.HasSuffix(name, ".json") {
			names = append(names, name)
		}
	}
	first := func(i int) int64 {
		s := regexp.MustCompile(`\.(\d+)-\d+\.json`).FindStringSubmatch(names[i])
		var n int64
		if _, err := fmt.Sscan(s[1], &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	slices.SortFunc(names, func(a, b string) int { return int(first(slices.Index(names, a)) - first(slices.Index(names, b))) })
	spoil := func(i int, to func(blocks []string) string) {
		m.objects.objects[names[i]] = memoryObject{body: []byte(to(strings.SplitAfter(string(m.objects.objects[names[i]].body), "\n")))}
	}
	spoil(1, func(b []string) string { // another hash before the third block
		b[2] = regexp.MustCompile(`("previousBlockHash":"(\{\{)?)....`).ReplaceAllString(b[2], "${1}AAAA")
		return strings.Join(b, "")
	})
	spoil(2, func(b []string) string { return strings.Join(b[:3], "") + `{"blockAddress":5}` + "\n" })
	spoil(3, func(b []string) string { return strings.Join(b[:2], "") }) // cut
	spoil(4, func(b []string) string { return strings.Join(b, "") + b[4] })
	spoil(5, func(b []string) string { return "no ledger" })
	spoil(6, func(b []string) string { return strings.ReplaceAll(strings.Join(b, ""), ledger.Strand, "another") })
	m.objects.objects[names[7]] = memoryObject{body: m.objects.objects[names[7]].body, class: "GLACIER"}
	renamed := false
	for i := 8; i < len(names) && !renamed; i++ {
		spoil(i, func(b []string) string {
			for i := range b {
				if !renamed && strings.Contains(b[i], `"tableName":"Person"`) {
					b[i], renamed = strings.Replace(b[i], `"tableName":"Person"`, `"tableName":"Persons"`, 1), true
				}
			}
			return strings.Join(b, "")
		})
	}
	_, found := m.planMode()
	if len(found) != 1 || !renamed {
		t.Fatalf("%d items", len(found))
	}
	s := found[0]
	for i, want := range []struct {
		object int
		block  int64
		text   string
	}{
		{1, first(1) + 2, "does not follow block"},
		{2, first(2) + 3, "blockAddress"},
		{3, first(3) + 2, "cut short"},
		{4, first(4) + 5, "stands behind the last"},
		{5, first(5), names[5][len(archiveBucket)+1:]},
		{6, first(6), "an archive holds one ledger"},
		{7, first(7), "InvalidObjectState"},
	} {
		if len(s.Findings) <= i {
			t.Fatalf("%d findings: %+v", len(s.Findings), s.Findings)
		}
		f := s.Findings[i]
		if archiveBucket+"/"+f.Object != names[want.object] || f.Block != want.block || !strings.Contains(f.Text, want.text) {
			t.Errorf("finding %d: %+v, want block %d of %s: %s", i, f, want.block, names[want.object], want.text)
		}
	}
	if len(s.Findings) != 7 || s.Unread != 2+3+5+5+5 || s.Blocks != ledger.Blocks-s.Unread {
		t.Errorf("%d findings, %d blocks read, %d not, of %d: %+v", len(s.Findings), s.Blocks, s.Unread, ledger.Blocks, s.Findings)
	}
	// The other name of the table is there for the report to say.
	two := 0
	for _, x := range s.Tables {
		if strings.HasPrefix(x.Name, "Person") {
			two++
		}
	}
	if two != 2 {
		t.Errorf("tables %+v", s.Tables)
	}
	// A load stops at the first of them.
	_, err := m.run()
	mustStop(t, err, "block")
}

// Tables that cannot be loaded are known when all of them are: the plan says so,
// and counts what there is of them.
func TestPlanTellsWhichTablesCannotBe(t *testing.T) {
	m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","Verify":"chain"}`) // names alone were changed
	ledger := m.generate(ledgergen.Options{Seed: 14, Documents: 120, Prefix: deep, BlocksPerObject: 1, Format: ledgergen.JSON})
	n := 0
	edit(m, func(body string) string {
		if strings.Contains(body, `"tableName":"Person"`) {
			if n++; n == 2 {
				body = strings.Replace(body, `"tableName":"Person"`, `"tableName":"Persons"`, 1)
			}
		}
		body = strings.ReplaceAll(body, `"tableName":"Note"`, `"tableName":"!"`)
		return strings.ReplaceAll(body, `"tableName":"Vehicle"`, `"tableName":"vehicle_registration_audit_log"`)
	})
	_, plan := m.planned(migrate.PreflightOut{})
	for _, want := range []string{`called "Person" and`, `ledger table "!"`, `"vehicle_registration_audit_log"`} {
		if !slices.ContainsFunc(plan.Stops, func(s report.PlannedStop) bool { return strings.Contains(s.Text, want) }) {
			t.Errorf("no stop says %s", want)
		}
	}
	read := int64(0)
	for _, x := range plan.Tables {
		read += x.Read
		if x.Name == "!" && (x.Read == 0 || x.Staged != 0 || x.Target != "") {
			t.Errorf("%+v", x)
		}
	}
	if len(plan.Stops) != 3 || read != ledger.Revisions() || plan.Unread != 0 {
		t.Errorf("%d of %d revisions, stops %+v", read, ledger.Revisions(), plan.Stops)
	}
	_, err := m.read()
	mustStop(t, err, `ledger table "!"`)
}

// What a load is refused for before it reads a block is a finding of the plan.
func TestPlanModeTellsWhatALoadIsRefusedFor(t *testing.T) {
	archive := newMachine(t, whole)
	part := func(from, until int64) ledgergen.Ledger {
		return archive.generate(ledgergen.Options{Seed: 8, Documents: 200, Prefix: prefix, BlocksPerObject: 6, FromBlock: from, UntilBlock: until})
	}
	part(0, 25)
	ledger := part(26, 0)
	maps.DeleteFunc(archive.objects.objects, func(name string, _ memoryObject) bool { return strings.HasSuffix(name, ".24-24.ion") })
	const rest = `{"Bucket":"archive","Prefix":"exports/dmv/","Manifests":"none","Since":26,`
	for _, c := range []struct {
		name, input string
		want        []string // of each finding, a part
	}{
		{"a gap, and an object that is not there", whole, []string{"it names object exports/dmv/", "blocks 24 to 25 are in no object"}},
		{"gaps accepted", `{"Bucket":"archive","Prefix":"exports/dmv/","AcceptGaps":true,"Manifests":"none"}`, nil},
		{"cut short", fmt.Sprintf(rest+`"LastBlockNum":%d}`, ledger.LastBlock+1), []string{fmt.Sprintf("the archive is cut short: it ends at block %d, and the export ended at block %d", ledger.LastBlock, ledger.LastBlock+1)}},
		{"not cut short", fmt.Sprintf(rest+`"LastBlockNum":%d,"Strand":%q}`, ledger.LastBlock, ledger.Strand), nil},
		{"longer than the export", rest + `"LastBlockNum":30}`, nil},
		{"another ledger, cut short", rest + `"Strand":"other","LastBlockNum":99999}`, []string{"Strand of the input is other", "cut short"}},
		{"an export that is not there", `{"Bucket":"archive","Prefix":"exports/dmv/","AcceptGaps":true,"ExportIds":["nowhere","` + ledger.ExportIDs[0] + `"]}`, []string{"export nowhere has no completion manifest"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, c.input)
			m.objects.objects = maps.Clone(archive.objects.objects)
			p, _ := m.planMode()
			plan := readObject[migrate.Plan](m, "loads/"+p.LoadId+"/survey/plan.json")
			for i, want := range c.want {
				if i >= len(plan.Findings) || !strings.Contains(plan.Findings[i].Text, want) {
					t.Errorf("findings %+v, want %d: %s", plan.Findings, i, want)
				}
			}
			if len(plan.Findings) != len(c.want) || plan.Blocks == 0 {
				t.Errorf("findings %+v of %d blocks", plan.Findings, plan.Blocks)
			}
			load, err := m.plan()
			if c.want != nil {
				mustStop(t, err, c.want...)
			} else if err != nil || load.LoadId != p.LoadId {
				t.Errorf("the load %s, planned was %s: %v", load.LoadId, p.LoadId, err)
			}
		})
	}
}

// An archive in cold storage cannot be read, and yet be planned: how much there
// is, and that nothing of it was surveyed.
func TestPlanModePlansAColdArchive(t *testing.T) {
	m := newMachine(t, whole)
	ledger := m.generate(ledgergen.Options{Seed: 8, Documents: 100, Prefix: prefix, BlocksPerObject: 6})
	for name, o := range m.objects.objects {
		o.class = "DEEP_ARCHIVE"
		m.objects.objects[name] = o
	}
	p, found := m.planMode()
	plan := readObject[migrate.Plan](m, "loads/"+p.LoadId+"/survey/plan.json")
	if plan.Blocks != ledger.Blocks || len(plan.Findings) == 0 || !strings.Contains(plan.Findings[0].Text, "InvalidObjectState") {
		t.Errorf("%d blocks of %d, findings %+v", plan.Blocks, ledger.Blocks, plan.Findings)
	}
	if len(found) != 1 || found[0].Blocks != 0 || found[0].Unread != ledger.Blocks || len(found[0].Findings) == 0 {
		t.Errorf("%+v", found)
	}
	_, err := m.plan()
	mustStop(t, err, "InvalidObjectState")
}

// Neither what is kept between calls nor what is in memory grows with the
// archive.
func TestSurveyIsBounded(t *testing.T) {
	run := func(documents int) (stored int, heap uint64) {
		m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","Manifests":"none","Mode":"plan"}`)
		m.generate(ledgergen.Options{Seed: 7, Documents: documents, Unmappable: documents / 4, Prefix: prefix, Format: ledgergen.JSON})
		m.merge()
		p, err := m.plan()
		if err == nil {
			err = m.typing(p, "plan")
		}
		if err != nil {
			t.Fatal(err)
		}
		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		looks := 0
		h := &migrate.SurveyArchive{Objects: m.objects, WorkBucket: workBucket, StepBytes: 400_000, Now: func() time.Time {
			looks++
			runtime.GC()
			runtime.ReadMemStats(&now)
			heap = max(heap, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
			return time.Unix(0, 0)
		}}
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(time.Hour))
		defer cancel()
		if out, err := h.Handle(ctx, migrate.WorkIn{LoadId: p.LoadId, Items: lines[migrate.Item](t, m.objects, p.Items)}); err != nil || !out.Done || documents > 5000 && looks < 20 {
			t.Fatalf("%+v, %v after %d looks", out, err, looks)
		}
		found := []*migrate.Survey{readObject[migrate.Survey](m, "loads/"+p.LoadId+"/survey/000000.json")}
		b, err := json.Marshal(found)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != 1 || len(found[0].Asides) != min(documents/4, 100) {
			t.Errorf("%d items, %d asides", len(found), len(found[0].Asides))
		}
		return len(bytes.TrimSpace(b)), heap
	}
	small, smallHeap := run(500)
	large, largeHeap := run(10_000)
	if large > 2*small {
		t.Errorf("a survey of 20 times the documents has %d bytes, of the few %d", large, small)
	}
	if largeHeap > smallHeap+4<<20 {
		t.Errorf("a survey of 20 times the documents keeps %d bytes, of the few %d", largeHeap, smallHeap)
	}
	t.Logf("survey %d and %d bytes, heap %d and %d", small, large, smallHeap, largeHeap)
}
