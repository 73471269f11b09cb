package migrate_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/migrate"
)

// The waits between two looks grow to five minutes, and then with the time that
// was waited: what takes days is still asked about when the definition's bound of
// a child's turns is near.
func TestExportsAreWaitedFor(t *testing.T) {
	e := newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC))
	if err := errors.Join(e.digest(exportWhole), e.doSplit()); err != nil {
		t.Fatal(err)
	}
	w := e.windows()[0]
	out, err := e.turn(w, nil)
	waits := []int{out.WaitSeconds}
	e.ledger.jobs[0].looks = 8
	for err == nil {
		if out, err = e.turn(w, out.Resume); out.Done {
			break
		}
		waits = append(waits, out.WaitSeconds)
	}
	if got, want := fmt.Sprint(waits, err), "[5 10 20 40 80 160 300 300 300] <nil>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	e = newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC))
	if err := errors.Join(e.digest(exportWhole), e.doSplit()); err != nil {
		t.Fatal(err)
	}
	if out, err = e.turn(w, nil); err != nil {
		t.Fatal(err)
	}
	e.ledger.jobs[0].looks = 1000
	waited := 0
	for range 398 { // maxTurns of the definition, without the first and the last
		if out, err = e.turn(w, out.Resume); err != nil {
			t.Fatal(err)
		}
		if out.WaitSeconds > 300 && out.WaitSeconds > waited/10 {
			t.Fatalf("a wait of %d s after %d s", out.WaitSeconds, waited)
		}
		waited += out.WaitSeconds
	}
	if days := waited / (24 * 3600); days < 13 || days > 14 {
		t.Errorf("a child asks for %d days, an execution has 14", days)
	}
}

// A doubled call, when Step Functions loses the first one's connection and calls
// again while it still runs, may begin a window twice. One of the two counts, and
// the archive's blocks are each in one of the exports that the output names.
func TestWindowThatIsBegunTwiceCountsOnce(t *testing.T) {
	e := newExporting(t, blockTimes(rand.New(rand.NewPCG(1, 1)), 20)...)
	if err := errors.Join(e.digest(exportWhole), e.doSplit()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.turn(e.windows()[0], nil); err != nil {
		t.Fatal(err)
	}
	twin := *e.ledger.jobs[0]
	twin.ID, twin.foreign = "Twin000000000000000000", true
	e.ledger.jobs = append(e.ledger.jobs, &twin)
	e.ledger.running++
	if err := e.exports(); err != nil {
		t.Fatal(err)
	}
	for twin.Status == "IN_PROGRESS" {
		e.ledger.step(&twin)
	}
	out, err := e.proofs(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(out.Output.ExportIds, twin.ID) {
		t.Errorf("the output names both: %v", out.Output.ExportIds)
	}
	e.check(pass[migrate.Input](t, out.Output))
}

func TestExportBegunByALostCallIsAdopted(t *testing.T) {
	for name, c := range map[string]struct {
		change func(j *memoryJob)
		begins int // exports in all
	}{
		"under way":            {func(*memoryJob) {}, 1},
		"completed":            {func(j *memoryJob) { j.Status = "COMPLETED" }, 1},
		"by a clock behind":    {func(j *memoryJob) { j.Created = j.Created.Add(-4 * time.Second) }, 1},
		"cancelled":            {func(j *memoryJob) { j.Status = "CANCELLED" }, 2},
		"of an earlier time":   {func(j *memoryJob) { j.Created = j.Created.Add(-time.Minute) }, 2},
		"in another format":    {func(j *memoryJob) { j.Format = "JSON" }, 2},
		"to another prefix":    {func(j *memoryJob) { j.Prefix = "exports/" }, 2},
		"to another bucket":    {func(j *memoryJob) { j.Bucket = "other" }, 2},
		"with another role":    {func(j *memoryJob) { j.Role = "other" }, 2},
		"with another start":   {func(j *memoryJob) { j.Start = j.Start.Add(-time.Millisecond) }, 2},
		"with another end":     {func(j *memoryJob) { j.End = j.End.Add(time.Millisecond) }, 2},
		"with an exacter time": {func(j *memoryJob) { j.Start = j.Start.Add(time.Microsecond) }, 1},
		"since the creation":   {func(j *memoryJob) { j.Start = j.Start.Add(500 * time.Microsecond).Add(time.Millisecond) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC))
			if err := errors.Join(e.digest(exportWhole), e.doSplit()); err != nil {
				t.Fatal(err)
			}
			e.ledger.fault = func(call string) (bool, error) {
				if call == "start" {
					return true, errCrash
				}
				return true, nil
			}
			w := e.windows()[0]
			if _, err := e.turn(w, nil); !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			e.ledger.fault = nil
			c.change(e.ledger.jobs[0])
			e.ledger.jobs[0].foreign = c.begins > 1
			out, err := e.turn(w, nil)
			if err != nil || len(e.ledger.jobs) != c.begins || out.Resume.Export != e.ledger.jobs[c.begins-1].ID {
				t.Errorf("%d exports began, want %d: %+v, %v", len(e.ledger.jobs), c.begins, out.Resume, err)
			}
		})
	}
}

// A window that is recorded as exported is not asked about again: QLDB forgets.
func TestExportedWindowsAreNotExportedAgain(t *testing.T) {
	e := newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC))
	if err := errors.Join(e.digest(exportWhole), e.doSplit(), e.exports()); err != nil {
		t.Fatal(err)
	}
	e.ledger.jobs = nil
	if out, err := e.turn(e.windows()[0], nil); err != nil || !out.Done || len(e.ledger.jobs) > 0 {
		t.Errorf("%+v, %v, %d exports began", out, err, len(e.ledger.jobs))
	}
}

// A cancelled export stops the execution once; its redrive exports the window
// again.
func TestCancelledExportIsBegunAgainByARedrive(t *testing.T) {
	e := newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC))
	if err := errors.Join(e.digest(exportWhole), e.doSplit()); err != nil {
		t.Fatal(err)
	}
	w := e.windows()[0]
	begun, err := e.turn(w, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.ledger.cancel = 1
	_, err = e.turn(w, begun.Resume)
	if errorName(err) != "StopCancelledExport" {
		t.Fatalf("got %T: %v", err, err)
	}
	for _, want := range []string{begun.Resume.Export, "blocks 0 to 0", exportRole, "s3://archive/exports/dmv/", "redrive"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q without %q", err, want)
		}
	}
	again, err := e.turn(w, begun.Resume)
	if err != nil || again.Resume == nil || again.Resume.Export == begun.Resume.Export || len(e.ledger.jobs) != 2 {
		t.Errorf("the redrive: %+v, %v", again.Resume, err)
	}
}

func TestExportRefuses(t *testing.T) {
	at := time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC)
	begin := func(t *testing.T) *exporting {
		e := newExporting(t, at, at.Add(time.Second), at.Add(time.Minute))
		if err := errors.Join(e.digest(exportWhole), e.doSplit()); err != nil {
			t.Fatal(err)
		}
		return e
	}
	first := func(e *exporting, resume *migrate.ExportResume) error {
		_, err := e.turn(e.windows()[0], resume)
		return err
	}
	t.Run("the limit", func(t *testing.T) {
		e := begin(t)
		e.ledger.limit = 0
		if err := first(e, nil); errorName(err) != "LimitExceeded" || !strings.Contains(err.Error(), "blocks 0 to 0") || !strings.Contains(err.Error(), "redrive") {
			t.Errorf("got %T: %v", err, err)
		}
	})
	t.Run("a service that is gone", func(t *testing.T) {
		e := begin(t)
		e.ledger.fault = func(string) (bool, error) {
			return false, fmt.Errorf("get: %w", &serviceError{"QldbServiceEnded", "closed"})
		}
		for _, err := range []error{e.digest(exportWhole), first(e, nil), first(e, &migrate.ExportResume{Export: "x"})} {
			if errorName(err) != "QldbServiceEnded" {
				t.Errorf("got %T: %v", err, err)
			}
		}
		_, err := e.proofs(t.Context(), nil)
		if err == nil {
			t.Error("proofs without exports")
		}
	})
	t.Run("a throttle", func(t *testing.T) {
		e := begin(t)
		e.ledger.fault = func(string) (bool, error) { return false, &serviceError{"ThrottlingException", "slow down"} }
		if err := first(e, nil); errorName(err) != "Again" {
			t.Errorf("got %T: %v", err, err)
		}
	})
	t.Run("an unknown status", func(t *testing.T) {
		e := begin(t)
		out, err := e.turn(e.windows()[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		e.ledger.jobs[0].Status = "PAUSED"
		mustStop(t, first(e, out.Resume), `"PAUSED"`, out.Resume.Export)
	})
	t.Run("a forgotten export", func(t *testing.T) {
		e, gone := begin(t), &migrate.ExportResume{Export: "Gone", Looks: 3}
		mustStop(t, first(e, gone), "Gone", "a week", "redrive")
		out, err := e.turn(e.windows()[0], gone)
		if err != nil || out.Resume == nil || out.Resume.Export == "Gone" || out.Resume.Looks != 0 || len(e.ledger.jobs) != 1 {
			t.Errorf("the redrive: %+v, %v, %d exports began", out.Resume, err, len(e.ledger.jobs))
		}
	})
	t.Run("another archive", func(t *testing.T) {
		e := begin(t)
		e.archives = nil
		mustStop(t, first(e, nil), "s3://archive/exports/dmv/", "cdk.json")
	})
	t.Run("no ledger of the name", func(t *testing.T) {
		e := begin(t)
		mustStop(t, e.digest(strings.Replace(exportWhole, exportLedger, "other", 1)), "there is no ledger other", "region")
	})
	t.Run("a ledger that is deleted", func(t *testing.T) {
		e := begin(t)
		e.ledger.state = "DELETING"
		mustStop(t, e.digest(exportWhole), "DELETING", "ACTIVE")
		e.ledger.state = "CREATING"
		if err := e.digest(exportWhole); errorName(err) != "Again" {
			t.Errorf("got %T: %v", err, err)
		}
	})
	t.Run("a prefix in use", func(t *testing.T) {
		for name, body := range map[string]string{
			"OldExport.started.manifest": "an export under way", "OldExport." + exportStrand + ".completed.manifest": "an export",
			"2020/01/01/00/" + exportStrand + ".0-9.ion": "an object", "deep/2020/01/01/00/" + exportStrand + ".0-9.json.gz": "an object further down",
		} {
			e := begin(t)
			e.execution = "second"
			e.objects.set(archiveBucket, "exports/dmv/"+name, []byte(body))
			err := e.doSplit()
			mustStop(t, err, "s3://archive/exports/dmv/", name, "redrive", "BucketPrefix")
			if strings.HasPrefix(name, "Old") && !strings.Contains(err.Error(), "of exports OldExport") {
				t.Errorf("got %v", err)
			}
		}
		e := begin(t)
		e.execution = "second"
		e.objects.set(archiveBucket, "exports/dmv/mapping.json", []byte("{}"))
		if err := e.doSplit(); err != nil {
			t.Errorf("a mapping beside the exports: %v", err)
		}
	})
}

// A repeated split gives the same windows and the same plan, also when exports
// are there.
func TestSplitIsTheSameAgain(t *testing.T) {
	at := time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC)
	e := newExporting(t, at, at.Add(time.Second), at.Add(time.Minute))
	if err := errors.Join(e.digest(exportWhole), e.doSplit()); err != nil {
		t.Fatal(err)
	}
	before, first := maps.Clone(e.objects.objects), e.split
	e.now = e.now.Add(time.Hour)
	e.ledger.add(e.now)
	e.objects.set(archiveBucket, "exports/dmv/Ours.started.manifest", nil)
	if err := e.doSplit(); err != nil {
		t.Fatal(err)
	}
	delete(e.objects.objects, archiveBucket+"/exports/dmv/Ours.started.manifest")
	if diff := cmp.Diff(first, e.split); diff != "" {
		t.Error(diff)
	}
	for name, o := range before {
		if string(o.body) != string(e.objects.objects[name].body) {
			t.Errorf("%s changed", name)
		}
	}
	e.execution = "second"
	if err := e.doSplit(); err != nil || e.split.ExportId == first.ExportId {
		t.Errorf("another execution has id %s, %v", e.split.ExportId, err)
	}
}

// The last window ends in the past, whatever the clock says when the digest is
// taken.
func TestSplitWaitsForTheMillisecondToEnd(t *testing.T) {
	e := newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 120e6, time.UTC))
	e.now = time.Date(2021, 8, 3, 17, 4, 5, 120_900_000, time.UTC)
	if err := e.digest(exportWhole); err != nil {
		t.Fatal(err)
	}
	if err := e.doSplit(); errorName(err) != "Again" {
		t.Fatalf("got %T: %v", err, err)
	}
	e.now = e.now.Add(100 * time.Microsecond)
	if err := e.doSplit(); err != nil {
		t.Error(err)
	}
}

func TestProofsAreCheckedBeforeTheyAreWritten(t *testing.T) {
	swap := func(s, name, with string) string {
		i := strings.Index(s, name+":{{")
		j := i + strings.Index(s[i:], "}}")
		return s[:i] + name + ":{{" + with + s[j:]
	}
	zero := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, c := range map[string]struct {
		spoil func(block, path string) (string, string)
		want  []string
	}{
		"another proof": {func(b, p string) (string, string) { return b, "[{{" + zero + "}}]" }, []string{"block 9 of ledger", "the digest that its proof leads to"}},
		"another hash":  {func(b, p string) (string, string) { return swap(b, "blockHash", zero), p }, []string{"the hash over entries"}},
		"other entries": {func(b, p string) (string, string) { return swap(b, "entriesHash", zero), p }, []string{"the hash over its entries"}},
		"another block": {func(b, p string) (string, string) {
			return strings.Replace(b, "sequenceNo:9", "sequenceNo:8", 1), p
		}, []string{"block 9", "block 8"}},
		"another strand": {func(b, p string) (string, string) { return strings.Replace(b, exportStrand, "Other", 1), p }, []string{"strand Other"}},
		"no proof":       {func(b, p string) (string, string) { return b, "" }, []string{"read proof"}},
		"no block":       {func(b, p string) (string, string) { return "{}", p }, []string{"read block"}},
		"a short hash":   {func(b, p string) (string, string) { return swap(b, "blockHash", "AAAA"), p }, []string{"block 9"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExporting(t, blockTimes(rand.New(rand.NewPCG(1, 1)), 10)...)
			e.ledger.spoil = c.spoil
			_, err := e.run(strings.Replace(exportWhole, `:3`, `:1`, 1))
			mustStop(t, err, c.want...)
			for key := range e.objects.objects {
				if strings.HasSuffix(key, ".proofs.json") {
					t.Errorf("%s was written", key)
				}
			}
		})
	}
}

// Exports that lost objects since are found before anything is proven.
func TestProofsNeedWholeExports(t *testing.T) {
	whole := func(t *testing.T) *exporting {
		e := newExporting(t, blockTimes(rand.New(rand.NewPCG(1, 1)), 20)...)
		if err := errors.Join(e.digest(exportWhole), e.doSplit(), e.exports()); err != nil {
			t.Fatal(err)
		}
		return e
	}
	manifest := func(e *exporting, i int) string {
		return archiveBucket + "/exports/dmv/" + e.ledger.jobs[i].ID + "." + exportStrand + ".completed.manifest"
	}
	for name, c := range map[string]struct {
		damage func(e *exporting)
		want   []string
	}{
		"no manifest": {func(e *exporting) { delete(e.objects.objects, manifest(e, 1)) }, []string{"Export0000000000000001", "no completion manifest", "fresh BucketPrefix"}},
		"a bad manifest": {func(e *exporting) {
			e.objects.set(archiveBucket, strings.TrimPrefix(manifest(e, 1), archiveBucket+"/"), []byte("{}"))
		}, []string{
			"Export0000000000000001", "no list of keys",
		}},
		"fewer keys": {func(e *exporting) {
			key := strings.TrimPrefix(manifest(e, 1), archiveBucket+"/")
			b := string(e.objects.objects[manifest(e, 1)].body)
			e.objects.set(archiveBucket, key, []byte(b[:strings.LastIndex(b, ",")]+"]}"))
		}, []string{"in no object", "export Export0000000000000001 was to hold blocks 6 to 12"}},
		"the same keys": {func(e *exporting) {
			key := strings.TrimPrefix(manifest(e, 1), archiveBucket+"/")
			e.objects.set(archiveBucket, key, e.objects.objects[manifest(e, 0)].body)
		}, []string{"block 0 is in two objects"}},
		"no object": {func(e *exporting) {
			for key := range e.objects.objects {
				if strings.Contains(key, "."+"0-1.ion") {
					delete(e.objects.objects, key)
				}
			}
		}, []string{"0-1.ion", "no such object"}},
		"another strand": {func(e *exporting) {
			e.objects.set(archiveBucket, "exports/dmv/"+e.ledger.jobs[0].ID+".Other.completed.manifest", []byte("{keys:[]}"))
		}, []string{"strand Other", "one strand"}},
		"something else": {func(e *exporting) {
			e.objects.set(archiveBucket, "exports/dmv/x.ion", nil)
			key := strings.TrimPrefix(manifest(e, 0), archiveBucket+"/")
			e.objects.set(archiveBucket, key, []byte(`{keys:["exports/dmv/x.ion"]}`))
		}, []string{"exports/dmv/x.ion", "not named like"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := whole(t)
			c.damage(e)
			_, err := e.proofs(t.Context(), nil)
			mustStop(t, err, c.want...)
		})
	}
}

// The last block is the one with the greatest number, whichever export has it.
func TestLastBlockIsTheGreatest(t *testing.T) {
	e := newExporting(t, blockTimes(rand.New(rand.NewPCG(1, 1)), 20)...)
	if err := errors.Join(e.digest(exportWhole), e.doSplit(), e.exports()); err != nil {
		t.Fatal(err)
	}
	manifest := func(i int) string {
		return archiveBucket + "/exports/dmv/" + e.ledger.jobs[i].ID + "." + exportStrand + ".completed.manifest"
	}
	o := e.objects.objects
	o[manifest(0)], o[manifest(2)] = o[manifest(2)], o[manifest(0)]
	out, err := e.proofs(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	e.check(pass[migrate.Input](t, out.Output))
}

// Many proofs do not fit into a short call: it hands on, with one digest
// for all.
func TestProofsHandOn(t *testing.T) {
	at := time.Now().UTC().Add(-time.Hour).Truncate(time.Second) // the context's deadline is of this clock
	var times []time.Time
	for i := range 400 {
		times = append(times, at.Add(time.Duration(i)*time.Second))
	}
	e := newExporting(t, times...)
	if err := e.digest(strings.Replace(exportWhole, `:3`, `:400`, 1)); err != nil {
		t.Fatal(err)
	}
	e.ledger.add(times[399]) // beyond the tip
	if err := errors.Join(e.doSplit(), e.exports()); err != nil {
		t.Fatal(err)
	}
	deadline := e.now.Add(15 * time.Minute)
	var out migrate.ProofsOut
	calls := 0
	for ; !out.Done && calls < 10; calls++ {
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		// Time passes with each block that is asked for.
		e.ledger.spoil = func(b, p string) (string, string) { e.now = e.now.Add(3 * time.Second); return b, p }
		var err error
		out, err = e.proofs(ctx, out.Resume)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		e.ledger.digested = func() { t.Error("another digest was taken") }
		deadline = e.now.Add(15 * time.Minute)
	}
	if calls < 2 {
		t.Errorf("%d calls did all", calls)
	}
	e.check(pass[migrate.Input](t, out.Output))
}
