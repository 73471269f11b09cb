package migrate_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"godwit/internal/change"
	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
	"godwit/internal/report"
)

// deep is a prefix so long that few objects fill an item.
var deep = prefix + strings.Repeat("deep", 200) + "/"

const whole = `{"Bucket":"archive","Prefix":"exports/dmv/"}`

// Whatever the format, the layout and the options: read = staged + quarantined +
// filtered, per table, and each as the ledger's own oracle has it.
func TestEveryRevisionIsAccountedFor(t *testing.T) {
	for _, c := range []struct {
		name    string
		input   string
		options ledgergen.Options
		gz      bool
		only    []string // tables wanted; nil: all
	}{
		{name: "binary", options: ledgergen.Options{Format: ledgergen.IonBinary}},
		{name: "text", options: ledgergen.Options{Format: ledgergen.IonText}},
		{name: "JSON", options: ledgergen.Options{Format: ledgergen.JSON}},
		{name: "binary, gzip", options: ledgergen.Options{Format: ledgergen.IonBinary}, gz: true},
		{name: "JSON, gzip", options: ledgergen.Options{Format: ledgergen.JSON}, gz: true},
		{name: "AWS's sample", options: ledgergen.Options{Layout: ledgergen.AWSSample, Exports: 3}},
		{name: "empty exports among others", options: ledgergen.Options{Exports: 9, Documents: 30}},
		{name: "without manifests", input: `{"Bucket":"archive","Prefix":"exports/dmv/","Manifests":"none"}`},
		{name: "some tables", input: `{"Bucket":"archive","Prefix":"exports/dmv/","Tables":["Person","Note"]}`, only: []string{"Person", "Note"}},
		{name: "quarantine", input: `{"Bucket":"archive","Prefix":"exports/dmv/","MaxQuarantined":9}`, options: ledgergen.Options{Unmappable: 9}},
		{name: "no history", input: `{"Bucket":"archive","Prefix":"exports/dmv/","History":"none"}`},
		{name: "quarantine of some tables, gzip", gz: true, input: `{"Bucket":"archive","Prefix":"exports/dmv/","MaxQuarantined":9,"Tables":["Vehicle"]}`, options: ledgergen.Options{Unmappable: 9}, only: []string{"Vehicle"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := c.options
			o.Seed, o.Prefix, o.BlocksPerObject = 11, prefix, 7
			if o.Documents == 0 {
				o.Documents = 150
			}
			if c.input == "" {
				c.input = whole
			}
			m := newMachine(t, c.input)
			m.segmentBytes = 20_000
			ledger := m.generate(o)
			if c.gz {
				m.compress()
			}
			out, rep := m.mustRun()
			wanted := func(name string) bool {
				return c.only == nil || strings.Contains(" "+strings.Join(c.only, " ")+" ", " "+name+" ")
			}
			want := map[string]report.Table{}
			ids := 0
			var read, staged, aside int64
			for _, x := range ledger.Tables {
				r := want[x.Name]
				r.Read += x.Revisions
				read += x.Revisions
				if wanted(x.Name) {
					r.Quarantined += x.Refused
					r.Staged += x.Revisions - x.Refused
					staged += x.Revisions - x.Refused
					aside += x.Refused
					if x.Active {
						r.Current += x.Current - x.Refused
					}
				} else {
					r.Filtered += x.Revisions
				}
				want[x.Name] = r
			}
			if read == 0 || out.Read != read || out.Staged != staged || out.Aside != aside || out.Left != read-staged-aside {
				t.Errorf("got %d = %d + %d + %d, want %d = %d + %d + %d", out.Read, out.Staged, out.Aside, out.Left, read, staged, aside, read-staged-aside)
			}
			for _, got := range rep.Tables {
				w := want[got.Name]
				if got.Read != w.Read || got.Staged != w.Staged || got.Quarantined != w.Quarantined || got.Filtered != w.Filtered || got.Current != w.Current {
					t.Errorf("table %s: got %+v, want %+v", got.Name, got, w)
				}
				if got.Current != int64(len(m.target.visible[got.Target])) {
					t.Errorf("table %s: report says %d current, the target shows %d", got.Name, got.Current, len(m.target.visible[got.Target]))
				}
				for _, id := range got.IDs {
					i := slices.IndexFunc(ledger.Tables, func(x ledgergen.Table) bool { return x.ID == id.ID })
					if x := ledger.Tables[i]; x.Name != got.Name || x.Active != id.Active || x.Revisions != id.Revisions {
						t.Errorf("table %s: got id %+v, want %+v", got.Name, id, x)
					}
					ids++
				}
				delete(want, got.Name)
			}
			for _, x := range ledger.Tables {
				if x.Revisions > 0 {
					ids--
				}
			}
			if ids != 0 {
				t.Errorf("%+d table ids in the report", ids)
			}
			for name, w := range want {
				if w.Read > 0 {
					t.Errorf("table %s is not in the report", name)
				}
			}
			if v := rep.Verdict; v != report.Loaded && (aside == 0 || v != report.LoadedWithFindings) {
				t.Errorf("verdict %q: %+v", v, rep.Findings)
			}
			if got := int64(len(m.target.asides)); got != aside || int64(len(rep.Quarantine.First)) != aside {
				t.Errorf("target lists %d revisions set aside, the report %d, want %d", got, len(rep.Quarantine.First), aside)
			}
			if rep.Archive.Blocks != ledger.Blocks || rep.Archive.LastBlock != ledger.LastBlock || rep.Archive.Strand != ledger.Strand {
				t.Errorf("archive %+v, ledger has %d blocks up to %d", rep.Archive, ledger.Blocks, ledger.LastBlock)
			}
		})
	}
}

// The three formats of one ledger are the same rows.
func TestEveryFormatGivesTheSameRows(t *testing.T) {
	var first map[string][]string
	for _, f := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","MaxQuarantined":6}`)
		m.generate(ledgergen.Options{Seed: 3, Documents: 120, Unmappable: 6, Format: f, Prefix: prefix})
		m.mustRun()
		got := m.target.lines()
		// The load's id and the objects' names are not the ledger's.
		delete(got, "quarantine")
		if first == nil {
			first = got
			continue
		}
		differences(t, string(f), got, first)
	}
	if len(first["person_audit_log"]) == 0 {
		t.Error("no rows at all")
	}
}

// Since leaves out what is before it and nothing else, exactly at the boundary.
func TestSinceCutsAtTheBlock(t *testing.T) {
	o := ledgergen.Options{Seed: 21, Documents: 160, Prefix: prefix, BlocksPerObject: 5}
	all := newMachine(t, whole)
	ledger := all.generate(o)
	_, rep := all.mustRun()
	for _, since := range []int64{0, 1, 4, 5, 6, ledger.LastBlock} {
		m := newMachine(t, fmt.Sprintf(`{"Bucket":"archive","Prefix":"exports/dmv/","Since":%d}`, since))
		m.generate(o)
		out, got := m.mustRun()
		if got.Archive.FirstBlock != since || got.Archive.Blocks != ledger.LastBlock-since+1 {
			t.Errorf("since %d: read from block %d, %d blocks", since, got.Archive.FirstBlock, got.Archive.Blocks)
		}
		// The rest of the ledger is what an archive of it alone holds.
		rest := newMachine(t, fmt.Sprintf(`{"Bucket":"archive","Prefix":"exports/dmv/","Since":%d}`, since))
		o := o
		o.FromBlock = since
		rest.generate(o)
		want, _ := rest.mustRun()
		if out.Read != want.Read || out.Staged != want.Staged {
			t.Errorf("since %d: got %+v, want %+v", since, out, want)
		}
		if since > 0 {
			differences(t, fmt.Sprintf("since %d", since), m.target.lines(), rest.target.lines())
		}
	}
	m := newMachine(t, fmt.Sprintf(`{"Bucket":"archive","Prefix":"exports/dmv/","Since":%d}`, ledger.LastBlock+1))
	m.generate(o)
	_, err := m.run()
	mustStop(t, err, "ends before block", "Since")
	if rep.Archive.FirstBlock != 0 {
		t.Errorf("without Since it began at block %d", rep.Archive.FirstBlock)
	}
}

// A time counts the blocks before it as read and filtered; a block of that very
// time is not before it.
func TestSinceTimeFiltersEarlierBlocks(t *testing.T) {
	o := ledgergen.Options{Seed: 21, Documents: 160, Prefix: prefix, BlocksPerObject: 5, Format: ledgergen.JSON}
	load := func(since string) (out migrate.ReportOut, times []string) {
		m := newMachine(t, fmt.Sprintf(`{"Bucket":"archive","Prefix":"exports/dmv/","Since":%s}`, since))
		ledger := m.generate(o)
		out, _ = m.mustRun()
		if out.Read != ledger.Revisions() && strings.Contains(since, "T") || out.Read != out.Staged+out.Left {
			t.Errorf("since %s: %+v of %d", since, out, ledger.Revisions())
		}
		archive := m.objects.under(archiveBucket)
		for _, name := range slices.Sorted(maps.Keys(archive)) {
			for _, x := range regexp.MustCompile(`"blockTimestamp":"([^"]*)"`).FindAllStringSubmatch(archive[name], -1) {
				times = append(times, x[1])
			}
		}
		return out, times
	}
	all, times := load(`"1999-01-01T00:00:00Z"`)
	if all.Left != 0 {
		t.Errorf("nothing is before 1999: %+v", all)
	}
	if none, _ := load(`"2999-01-01T00:00:00Z"`); none.Staged != 0 {
		t.Errorf("nothing is behind 2999: %+v", none)
	}
	slices.Sort(times)
	block := 30
	for times[block] == times[block-1] {
		block++
	}
	want, _ := load(strconv.Itoa(block))
	at, err := time.Parse(time.RFC3339Nano, times[block])
	if err != nil {
		t.Fatal(err)
	}
	for _, since := range []time.Time{at, at.In(time.FixedZone("", 2*3600)), at.Add(-time.Nanosecond)} {
		got, _ := load(since.Format(`"` + time.RFC3339Nano + `"`))
		if got.Staged != want.Staged || got.Left == 0 || got.Staged == 0 {
			t.Errorf("since %s: staged %d, want %d", since, got.Staged, want.Staged)
		}
	}
	if got, _ := load(at.Add(time.Nanosecond).Format(`"` + time.RFC3339Nano + `"`)); got.Staged > want.Staged {
		t.Errorf("behind block %d: staged %d, want at most %d", block, got.Staged, want.Staged)
	}
}

// Two exports that overlap are read once, a gap stops the load, and AcceptGaps
// loads what is there.
func TestOverlapsAreReadOnceAndGapsStop(t *testing.T) {
	part := func(m *machine, from, until int64) ledgergen.Ledger {
		return m.generate(ledgergen.Options{Seed: 8, Documents: 200, Prefix: prefix, BlocksPerObject: 6, FromBlock: from, UntilBlock: until})
	}
	one := newMachine(t, whole)
	ledger := part(one, 0, 0)
	one.mustRun()
	over := newMachine(t, whole)
	part(over, 0, 25)
	part(over, 10, 40)
	part(over, 12, 20)
	part(over, 39, 0)
	_, rep := over.mustRun()
	differences(t, "overlapping exports", over.target.lines(), one.target.lines())
	if got := fmt.Sprint(rep.Archive.Overlaps); got != "[blocks 10 to 24 block 39]" {
		t.Errorf("overlaps %s", got)
	}
	if rep.Archive.Blocks != ledger.LastBlock+1 {
		t.Errorf("read %d blocks of %d", rep.Archive.Blocks, ledger.LastBlock+1)
	}
	gap := newMachine(t, whole)
	part(gap, 0, 25)
	part(gap, 26, 41)
	part(gap, 43, 0)
	_, err := gap.run()
	mustStop(t, err, "block 25, blocks 41 to 42 are in no object", "AcceptGaps")
	gap.input = `{"Bucket":"archive","Prefix":"exports/dmv/","AcceptGaps":true}`
	_, rep = gap.mustRun()
	if rep.Verdict != report.LoadedWithFindings || rep.Archive.Blocks != ledger.LastBlock+1-3 {
		t.Errorf("with gaps: %s, %d blocks", rep.Verdict, rep.Archive.Blocks)
	}
	late := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","Since":"2021-01-01T00:00:00Z"}`)
	part(late, 9, 0)
	_, err = late.run()
	mustStop(t, err, "begins at block 9", "AcceptGaps")
	if strings.Contains(err.Error(), `"Since": 9`) {
		t.Errorf("it offers a second Since: %v", err)
	}
}

// Exports of one ledger in two formats are one load.
func TestExportsInDifferentFormatsAreOneLoad(t *testing.T) {
	one := newMachine(t, whole)
	one.generate(ledgergen.Options{Seed: 8, Documents: 200, Prefix: prefix})
	one.mustRun()
	two := newMachine(t, whole)
	two.generate(ledgergen.Options{Seed: 8, Documents: 200, Prefix: prefix, UntilBlock: 30, Format: ledgergen.JSON})
	two.generate(ledgergen.Options{Seed: 8, Documents: 200, Prefix: prefix, FromBlock: 20, Format: ledgergen.IonText})
	two.mustRun()
	differences(t, "two formats", two.target.lines(), one.target.lines())
	// The same blocks exported twice into one place, first as text and then as
	// binary: the names are the same, so that the second replaced the first.
	same := newMachine(t, whole)
	same.generate(ledgergen.Options{Seed: 8, Documents: 200, Prefix: prefix, Format: ledgergen.IonText})
	manifests := same.objects.under(archiveBucket)
	maps.DeleteFunc(manifests, func(name, _ string) bool { return !strings.HasSuffix(name, ".manifest") })
	same.objects.objects = map[string]memoryObject{}
	same.generate(ledgergen.Options{Seed: 8, Documents: 200, Prefix: prefix, Format: ledgergen.IonBinary})
	for name, body := range manifests {
		name = strings.Replace(name, prefix, prefix+"0", 1) // an id of its own, before the other in a listing
		body = strings.ReplaceAll(body, `exportId:"`, `exportId:"0`)
		same.objects.objects[name] = memoryObject{body: []byte(body)}
	}
	same.mustRun()
	differences(t, "replaced objects", same.target.lines(), one.target.lines())
}

// A load that does not add up in any one place is not shown.
func TestNothingIsShownThatDoesNotAddUp(t *testing.T) {
	// spoil changes a JSON object under the load's folder.
	spoil := func(m *machine, folder string, change func(map[string]any)) {
		for name, o := range m.objects.objects {
			if !strings.HasPrefix(name, workBucket+"/loads/") || !strings.Contains(name, folder) {
				continue
			}
			var v map[string]any
			if err := json.Unmarshal(o.body, &v); err != nil {
				t.Fatal(err)
			}
			change(v)
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			m.objects.objects[name] = memoryObject{body: b}
			return
		}
		t.Fatalf("nothing under %s", folder)
	}
	first := func(v any) map[string]any { return v.([]any)[0].(map[string]any) }
	remove := func(m *machine, part string) {
		for name := range m.objects.objects {
			if strings.Contains(name, part) {
				delete(m.objects.objects, name)
				return
			}
		}
		t.Fatalf("nothing like %s", part)
	}
	for _, c := range []struct {
		name, phase string
		spoil       func(m *machine)
		want        string
	}{
		{"a segment lost", "import", func(m *machine) { remove(m, "/segments/000001-000000") }, "segment 0 of item 1 is missing"},
		{"the last segments lost", "import", func(m *machine) { remove(m, "/segments/000003-000000") }, "3 of 4 items were transformed"},
		{"a count lost", "keys", func(m *machine) { remove(m, "/counts/000001") }, "NoSuchKey"},
		{"the loader read one fewer", "keys", func(m *machine) {
			spoil(m, "/segments/", func(v map[string]any) { x := first(v["Tables"]); x["Read"] = x["Read"].(float64) - 1 })
		}, "does not add up"},
		{"one filtered too many", "keys", func(m *machine) {
			spoil(m, "/segments/", func(v map[string]any) { x := first(v["Tables"]); x["Filtered"] = x["Filtered"].(float64) + 1 })
		}, "does not add up"},
		{"the archive holds one more", "keys", func(m *machine) {
			spoil(m, "/counts/", func(v map[string]any) {
				for _, x := range v["Tables"].(map[string]any) {
					x := x.(map[string]any)
					x["Revisions"] = x["Revisions"].(float64) + 1
				}
			})
		}, "does not add up"},
		{"both passes missed a block", "keys", func(m *machine) {
			spoil(m, "/counts/", func(v map[string]any) { v["Blocks"] = v["Blocks"].(float64) - 1 })
			spoil(m, "/segments/", func(v map[string]any) { v["Blocks"] = v["Blocks"].(float64) - 1 })
		}, "blocks where the plan gave out"},
		{"the target imported one fewer", "keys", func(m *machine) {
			for id := range m.target.byTable {
				m.target.byTable[id]--
				return
			}
		}, "does not add up"},
		{"the target holds another revision", "visible", func(m *machine) {
			for _, s := range m.target.stored {
				s.sum.Sum++
				return
			}
		}, "checksums differ"},
		{"the slices found one fewer", "visible", func(m *machine) {
			for _, s := range m.target.stored {
				s.rows--
				return
			}
		}, "does not add up"},
		{"a document is nowhere", "visible", func(m *machine) {
			for _, s := range m.target.sums {
				s.Documents++
				return
			}
		}, "documents are not"},
		{"a table with two names", "import", func(m *machine) {
			spoil(m, "/segments/000001", func(v map[string]any) { first(v["Tables"])["Name"] = "Other" })
		}, "keep their names"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, whole)
			m.objects.changing = func(string) bool { return true }
			m.generate(ledgergen.Options{Seed: 2, Documents: 500, Prefix: deep, BlocksPerObject: 1})
			p, err := m.read()
			if err != nil {
				t.Fatal(err)
			}
			if p.ItemCount != 4 {
				t.Fatalf("%d items", p.ItemCount)
			}
			for phase := "import"; ; {
				if phase == c.phase {
					c.spoil(m)
				}
				out, err := m.phase(p.LoadId, phase)
				if phase == c.phase {
					mustStop(t, err, c.want)
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range lines[change.Task](t, m.objects, out.Tasks) {
					if err := m.task(p.LoadId, x); err != nil {
						t.Fatal(err)
					}
				}
				phase = out.Next
			}
			if m.target.visible != nil {
				t.Error("it is visible")
			}
		})
	}
}

// Too many set aside: nothing is imported, and the message says where they are.
func TestTooManyQuarantinedStopsBeforeImport(t *testing.T) {
	m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","MaxQuarantined":5}`)
	m.generate(ledgergen.Options{Seed: 4, Documents: 60, Unmappable: 6, Prefix: prefix})
	_, err := m.run()
	mustStop(t, err, "6 revisions do not map exactly", "MaxQuarantined is 5", `"MaxQuarantined": 6`, "s3://work/loads/")
	if m.target.staged != "" || len(m.target.done) > 0 {
		t.Error("something was staged")
	}
	// What was refused goes on with the next start, and is the same load.
	m.input = `{"Bucket":"archive","Prefix":"exports/dmv/","MaxQuarantined":6}`
	m.objects.changing = func(key string) bool {
		return strings.HasSuffix(key, "/plan.json") || strings.Contains(key, "/report.")
	}
	out, _ := m.mustRun()
	if out.Aside != 6 {
		t.Errorf("got %+v", out)
	}
}

// A table that Tables names and the archive does not hold is said.
func TestUnknownTableIsSaid(t *testing.T) {
	m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","Tables":["Person","vehicle"]}`)
	m.generate(ledgergen.Options{Seed: 4, Documents: 60, Prefix: prefix})
	_, rep := m.mustRun()
	if rep.Verdict != report.LoadedWithFindings || len(rep.Findings) == 0 || !strings.Contains(rep.Findings[0].Text, "vehicle") {
		t.Errorf("%s: %+v", rep.Verdict, rep.Findings)
	}
}

// differences reports all differences between two targets.
func differences(t *testing.T, name string, got, want map[string][]string) {
	t.Helper()
	for table := range want {
		if _, ok := got[table]; !ok {
			got[table] = nil
		}
	}
	for table, g := range got {
		w := want[table]
		have := map[string]int{}
		for _, line := range g {
			have[line]++
		}
		for _, line := range w {
			have[line]--
		}
		for line, n := range have {
			if n != 0 {
				t.Errorf("%s: table %s: %+d times %.200q", name, table, n, line)
			}
		}
	}
}
