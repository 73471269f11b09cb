package migrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/migrate"
)

const loadOne = "0123456789abcdef0123456789abcdef"

// exported is the metadata of an export that is complete.
func exported(id string) []byte {
	return fmt.Appendf(nil, `{"exportTaskIdentifier": %q, "sourceArn": %q, "snapshotTime": "Nov 22, 2026 2:00:13 AM", "status": "COMPLETE"}`, id, nightlyARN)
}

// An exportRun is one load's export under way.
type exportRun struct {
	*migrate.ExportSnapshot
	rds     *memoryRDS
	objects *memoryObjects
	in      migrate.ExportSnapshotIn
	id      string // of the task
}

func newExportRun(t *testing.T) *exportRun {
	r, o := newRDS(t, nightly()), newObjects(t)
	o.changing = func(key string) bool { return strings.HasSuffix(key, "/export.json") }
	return &exportRun{
		rds: r, objects: o, id: "godwit-" + loadOne, in: migrate.ExportSnapshotIn{LoadId: loadOne, Input: migrate.SnapshotInput{Snapshot: nightlyARN, Only: []string{"shop.public"}}},
		ExportSnapshot: &migrate.ExportSnapshot{
			Objects: o, Snapshots: r, WorkBucket: workBucket, Bucket: exportsHere, Role: "arn:role", Key: "arn:key", Exports: []migrate.AllowedArchive{{Bucket: exportsHere, Prefix: "mine/"}},
		},
	}
}

func (e *exportRun) call(t *testing.T) (migrate.ExportSnapshotOut, error) {
	t.Helper()
	out, err := e.Handle(t.Context(), e.in)
	e.in.Resume = out.Resume
	return out, err
}

// complete ends the task well, as RDS does: with the metadata last.
func (e *exportRun) complete(warning string) {
	e.rds.tasks[e.id].Status, e.rds.tasks[e.id].Warning = change.ExportComplete, warning
	e.objects.set(exportsHere, e.id+"/export_info_"+e.id+".json", exported(e.id))
}

func (e *exportRun) record(t *testing.T) (r migrate.SnapshotExport) {
	t.Helper()
	if err := json.Unmarshal(e.objects.objects[workBucket+"/snapshots/"+loadOne+"/export.json"].body, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnExportIsBegunOnceAndWaitedFor(t *testing.T) {
	t.Parallel()
	e := newExportRun(t)
	e.rds.lost = true // the reply of the order
	if _, err := e.call(t); retry(err) != "Again" {
		t.Fatalf("a lost reply: %v", err)
	}
	var waits []int
	for _, status := range []string{change.ExportStarting, change.ExportStarting, change.ExportInProgress, change.ExportInProgress, change.ExportInProgress} {
		e.rds.tasks[e.id].Status = status
		out, err := e.call(t)
		if err != nil || out.Done || out.Resume == nil || out.WaitSeconds <= 0 {
			t.Fatalf("%s: %+v, %v", status, out, err)
		}
		waits = append(waits, out.WaitSeconds)
	}
	if !slices.IsSorted(waits) || waits[0] == waits[len(waits)-1] {
		t.Errorf("it waits %v seconds, which do not grow", waits)
	}
	e.complete("")
	for range 2 {
		if out, err := e.call(t); err != nil || !out.Done {
			t.Fatalf("complete: %+v, %v", out, err)
		}
	}
	want := change.ExportOrder{ID: e.id, Snapshot: nightlyARN, Bucket: exportsHere, Role: "arn:role", Key: "arn:key", Only: []string{"shop.public"}}
	if len(e.rds.orders) != 1 || fmt.Sprint(e.rds.orders[0]) != fmt.Sprint(want) {
		t.Errorf("orders %+v, want one of %+v", e.rds.orders, want)
	}
	if r := e.record(t); r.Place != (migrate.ExportPlace{Bucket: exportsHere, Prefix: e.id + "/"}) || !r.Done || r.Task != e.id {
		t.Errorf("recorded %+v", r)
	}
	// An execution that goes on with a task which another began finds it.
	again := newExportRun(t)
	again.rds.tasks[again.id] = &change.ExportTask{ID: again.id, Status: change.ExportInProgress}
	if out, err := again.call(t); err != nil || out.Done || len(again.rds.orders) > 0 {
		t.Errorf("a task that exists: %+v, %v, orders %v", out, err, again.rds.orders)
	}
}

// Six exports at once: the sixth waits for a place, however long, and is begun then.
func TestTheSixthExportWaitsForAPlace(t *testing.T) {
	t.Parallel()
	e := newExportRun(t)
	for i := range 5 {
		id := fmt.Sprint("other", i)
		e.rds.tasks[id] = &change.ExportTask{ID: id, Status: change.ExportInProgress}
	}
	for range 20 {
		if out, err := e.call(t); err != nil || out.Done || out.WaitSeconds != 300 || out.Resume == nil || out.Resume.Looks != 0 {
			t.Fatalf("no place: %+v, %v", out, err)
		}
	}
	e.rds.tasks["other3"].Status = change.ExportComplete
	if out, err := e.call(t); err != nil || out.WaitSeconds >= 300 || len(e.rds.orders) != 1 {
		t.Errorf("a place: %+v, %v, orders %v", out, err, e.rds.orders)
	}
}

func TestWhatRDSRefusesIsSaidWithWhatMendsIt(t *testing.T) {
	t.Parallel()
	for code, test := range map[string]struct {
		retry string
		want  []string
	}{
		"IamRoleMissingPermissions":      {"Stop", []string{"the role arn:role must trust export.rds.amazonaws.com", "s3:PutObject", "on " + exportsHere, "make deploy"}},
		"IamRoleNotFound":                {"Stop", []string{"arn:role", "make deploy"}},
		"KMSKeyNotAccessibleFault":       {"Stop", []string{"the policy of key arn:key", "kms:DescribeKey", "kms:CreateGrant", "must be enabled", "make deploy"}},
		"InvalidExportSourceState":       {"Stop", []string{"a snapshot is exported once at a time", "(Export)"}},
		"InvalidS3BucketFault":           {"Stop", []string{"the bucket " + exportsHere, "make deploy"}},
		"InvalidExportOnly":              {"Stop", []string{"mend Only of the input"}},
		"AccessDenied":                   {"Stop", []string{"rds:StartExportTask", "iam:PassRole of arn:role", "make deploy"}},
		"DBClusterSnapshotNotFoundFault": {"Stop", []string{"the snapshot was deleted since the load began"}},
		"DBSnapshotNotFound":             {"Stop", []string{"start SnapshotLoad with another"}},
		"SomethingNew":                   {"Stop", []string{"SomethingNew"}},
		"Throttling":                     {"Again", []string{"Throttling"}},
		"InternalFailure":                {"Again", nil},
	} {
		e := newExportRun(t)
		e.rds.refuse = func(call, _ string) error {
			if call == "StartExport" {
				return fmt.Errorf("begin export: %w", &serviceError{code, "…"})
			}
			return nil
		}
		_, err := e.call(t)
		if retry(err) != test.retry {
			t.Errorf("%s: %v, want %s", code, err, test.retry)
		}
		hasTexts(t, err, append(test.want, code)...)
		if e.objects.puts > 0 {
			t.Errorf("%s leaves %v", code, e.objects.objects)
		}
		e.rds.refuse = nil
		if out, err := e.call(t); err != nil || out.Resume == nil || len(e.rds.orders) != 1 {
			t.Errorf("%s, once it is mended: %+v, %v", code, out, err)
		}
	}
}

// An export that ended otherwise than complete stops the load with RDS's words; a
// redrive begins another, under a name of its own.
func TestARedriveBeginsAnotherExport(t *testing.T) {
	t.Parallel()
	for _, status := range []string{change.ExportFailed, change.ExportCanceled} {
		e := newExportRun(t)
		if _, err := e.call(t); err != nil {
			t.Fatal(err)
		}
		e.rds.tasks[e.id].Status = change.ExportCanceling
		if out, err := e.call(t); err != nil || out.Done || out.WaitSeconds <= 0 {
			t.Errorf("canceling: %+v, %v", out, err)
		}
		e.rds.tasks[e.id].Status, e.rds.tasks[e.id].Cause = status, "A value of column doc is larger than 500 MB"
		_, err := e.call(t)
		if retry(err) != "Stop" {
			t.Errorf("%s: %v", status, err)
		}
		hasTexts(t, err, e.id+" ended as "+status, "A value of column doc is larger than 500 MB", "redrive the execution, which begins another export")
		first := e.id
		e.id += "-2"
		if out, err := e.call(t); err != nil || out.Done || len(e.rds.orders) != 2 || e.rds.orders[1].ID != e.id {
			t.Errorf("redriven: %+v, %v, orders %v", out, err, e.rds.orders)
		}
		e.complete("")
		if out, err := e.call(t); err != nil || !out.Done {
			t.Errorf("complete: %+v, %v", out, err)
		}
		if r := e.record(t); !slices.Equal(r.Failed, []string{first}) || r.Place.Prefix != e.id+"/" {
			t.Errorf("recorded %+v", r)
		}
	}
	e := newExportRun(t)
	e.rds.tasks[e.id] = &change.ExportTask{ID: e.id, Status: "PAUSED"}
	_, err := e.call(t)
	if retry(err) != "Stop" {
		t.Errorf("a status that no document names: %v", err)
	}
	hasTexts(t, err, e.id, `"PAUSED"`)
}

// COMPLETE is not whole: what RDS warns of stops the load, unless it is accepted.
func TestWarningsOfACompleteExportStopTheLoad(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		warning string
		want    []string // in the error; none where there is none
		skipped int
	}{
		"none":           {"", nil, 0},
		"empty lists":    {`{"skippedTables":[],"skippedObjectives":[],"general":[]}`, nil, 0},
		"a table":        {`{"skippedTables":[{"table":"shop.public.a","reason":"PERMISSIONS_DO_NOT_EXIST"}],"skippedObjectives":[],"general":[]}`, []string{"complete but left out", "shop.public.a", "PERMISSIONS_DO_NOT_EXIST", `"AcceptSkipped": true`}, 1},
		"a database":     {`{"skippedTables":[],"general":[{"reason":"FAILED_TO_EXTRACT_TABLES_LIST_FOR_DATABASE"}]}`, []string{"general", "FAILED_TO_EXTRACT_TABLES_LIST_FOR_DATABASE"}, 1},
		"objectives":     {`{"skippedObjectives":["shop.x"]}`, []string{"skippedObjectives", "shop.x"}, 1},
		"what is new":    {`{"skippedRows":{"z":1},"alsoNew":[1]}`, []string{"alsoNew: [1]\n- skippedRows: {\"z\":1}"}, 2},
		"no JSON":        {`some tables were skipped`, []string{"its warning is not JSON"}, -1},
		"another JSON":   {`{"skippedTables":{"a":1}}`, []string{"skippedTables of its warning is no list"}, -1},
		"no object":      {`["a"]`, []string{"its warning is not JSON"}, -1},
		"lists of nulls": {`{"skippedTables":null}`, nil, 0},
	} {
		for _, accept := range []bool{false, true} {
			e := newExportRun(t)
			e.in.Input.AcceptSkipped = accept
			e.rds.tasks[e.id] = &change.ExportTask{ID: e.id}
			e.complete(test.warning)
			out, err := e.call(t)
			if test.want == nil || accept && test.skipped > 0 {
				if err != nil || !out.Done || len(e.record(t).Skipped) != test.skipped {
					t.Errorf("%s, accepted %v: %+v, %v", name, accept, out, err)
				}
				continue
			}
			if retry(err) != "Stop" || out.Done || e.objects.puts > 0 {
				t.Errorf("%s, accepted %v: %+v, %v", name, accept, out, err)
			}
			hasTexts(t, err, append(test.want, e.id)...)
		}
	}
}

// An export that exists is taken at its word only where the word is its own.
func TestAnExportThatExistsIsLookedAt(t *testing.T) {
	t.Parallel()
	const folder = "mine/daily/"
	for name, test := range map[string]struct {
		info string // "" is none
		want []string
	}{
		"complete":     {string(exported("daily")), nil},
		"not yet":      {"", []string{"there is no s3://exports/mine/daily/export_info_daily.json", "which RDS writes last", "mend Export of the input"}},
		"of another":   {string(exported("weekly")), []string{"export_info_daily.json is of the export weekly", "two exports were mixed"}},
		"failed":       {strings.Replace(string(exported("daily")), "COMPLETE", "FAILED", 1), []string{"s3://exports/mine/daily/ is FAILED", "only one that is COMPLETE"}},
		"cut short":    {string(exported("daily")[:30]), []string{"read s3://exports/mine/daily/export_info_daily.json", "unexpected end"}},
		"without task": {`{"status": "COMPLETE"}`, []string{"it has no exportTaskIdentifier"}},
	} {
		e := newExportRun(t)
		e.in.Input = migrate.SnapshotInput{Export: &migrate.ExportPlace{Bucket: exportsHere, Prefix: folder}}
		if test.info != "" {
			e.objects.set(exportsHere, folder+"export_info_daily.json", []byte(test.info))
		}
		out, err := e.call(t)
		if test.want == nil {
			if r := e.record(t); err != nil || !out.Done || r.Place.Prefix != folder || r.Task != "" {
				t.Errorf("%s: %+v, %v, %+v", name, out, err, r)
			}
		} else if retry(err) != "Stop" || out.Done {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
		hasTexts(t, err, test.want...)
		if len(e.rds.orders) > 0 {
			t.Errorf("%s: orders %v", name, e.rds.orders)
		}
	}
	e := newExportRun(t)
	e.in.Input = migrate.SnapshotInput{Export: &migrate.ExportPlace{Bucket: "theirs", Prefix: folder}}
	_, err := e.call(t)
	if retry(err) != "Stop" {
		t.Errorf("elsewhere: %v", err)
	}
	hasTexts(t, err, "is not a place of exports of this environment")
}

// catalogText is what catalog.sql printed of a database.
func catalogText(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "catalog", "testdata", "catalog.json"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheCatalogIsGivenOrReadAndKept(t *testing.T) {
	t.Parallel()
	text := string(catalogText(t))
	given := migrate.SnapshotInput{Catalog: "s3://" + workBucket + "/mappings/c.json"}
	answers := func(answers ...string) func(context.Context, string, func(func(context.Context, string) ([]string, error)) error) (bool, error) {
		return func(_ context.Context, _ string, read func(func(context.Context, string) ([]string, error)) error) (bool, error) {
			return true, read(func(context.Context, string) ([]string, error) {
				answer := answers[0]
				answers = answers[1:]
				return []string{answer}, nil
			})
		}
	}
	for name, test := range map[string]struct {
		in     migrate.ReadCatalogIn
		file   string
		living func(context.Context, string, func(func(context.Context, string) ([]string, error)) error) (bool, error)
		known  bool
		retry  string
		want   []string
	}{
		"given":            {migrate.ReadCatalogIn{Input: given, Source: shopARN}, text, nil, true, "", nil},
		"given, cut short": {migrate.ReadCatalogIn{Input: given}, text[:len(text)/2], nil, false, "Stop", []string{"the catalog of s3://" + workBucket + "/mappings/c.json is not what catalog.sql of this version prints", "psql -XAt -f catalog.sql"}},
		"given, of later":  {migrate.ReadCatalogIn{Input: given}, strings.Replace(text, `"version": 1`, `"version": 2`, 1), nil, false, "Stop", []string{"version"}},
		"given, not there": {migrate.ReadCatalogIn{Input: migrate.SnapshotInput{Catalog: "s3://" + workBucket + "/mappings/none.json"}}, text, nil, false, "Stop", []string{"NoSuchKey"}},
		"given elsewhere":  {migrate.ReadCatalogIn{Input: migrate.SnapshotInput{Catalog: "s3://theirs/c.json"}}, text, nil, false, "Stop", []string{"may not be read", "aws s3 cp"}},
		"no source":        {migrate.ReadCatalogIn{}, "", nil, false, "", nil},
		"no way to a source": {migrate.ReadCatalogIn{Source: shopARN}, "", func(context.Context, string, func(func(context.Context, string) ([]string, error)) error) (bool, error) {
			return false, nil
		}, false, "", nil},
		"a source that is resuming": {migrate.ReadCatalogIn{Source: shopARN}, "", func(context.Context, string, func(func(context.Context, string) ([]string, error)) error) (bool, error) {
			return false, &serviceError{"DatabaseResumingException", "…"}
		}, false, "Again", []string{"read the catalog of " + shopARN, "or give it as Catalog in the input", "psql"}},
		"a source that is gone": {migrate.ReadCatalogIn{Source: shopARN}, "", func(context.Context, string, func(func(context.Context, string) ([]string, error)) error) (bool, error) {
			return false, &serviceError{"DatabaseNotFoundException", "…"}
		}, false, "Stop", []string{"or give it as Catalog in the input"}},
		"a source that answers no catalog": {migrate.ReadCatalogIn{Source: shopARN}, "", answers("2", "{}"), false, "Stop", []string{"the catalog of " + shopARN + " is not what catalog.sql"}},
		"a source that answers too little": {migrate.ReadCatalogIn{Source: shopARN}, "", answers("20", "{}"), false, "Stop", []string{"2 of 20 characters arrive"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := newObjects(t)
			o.set(workBucket, "mappings/c.json", []byte(test.file))
			test.in.LoadId = loadOne
			r := &migrate.ReadCatalog{Objects: o, WorkBucket: workBucket, Living: test.living}
			out, err := r.Handle(t.Context(), test.in)
			if out.Known != test.known || retry(err) != test.retry {
				t.Errorf("got %+v, %v", out, err)
			}
			hasTexts(t, err, test.want...)
			kept := len(o.under(workBucket+"/snapshots/")) == 1
			if kept != test.known {
				t.Errorf("kept: %v", o.under(workBucket+"/snapshots/"))
			}
			// What was kept stays, whatever becomes of the source.
			r.Living = func(context.Context, string, func(func(context.Context, string) ([]string, error)) error) (bool, error) {
				return false, errors.New("gone")
			}
			if kept {
				o.set(workBucket, "mappings/c.json", nil)
				if out, err := r.Handle(t.Context(), test.in); err != nil || !out.Known {
					t.Errorf("again: %+v, %v", out, err)
				}
			}
		})
	}
}
