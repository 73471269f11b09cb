package export_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/local/export"
)

const numbers = `CREATE TABLE numbers (id integer PRIMARY KEY, words text); INSERT INTO numbers SELECT i, md5(i::text) FROM generate_series(1, 5000) AS i; CREATE TABLE nothing (id integer);`

var partRule = regexp.MustCompile(`^part-[0-9]{5}-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}-c000\.gz\.parquet$`)

func TestLayouts(t *testing.T) {
	tests := []struct {
		name  string
		style export.Style
		marks []string // of the table with rows
		empty string
	}{
		{"batches", export.Style{PartBytes: 20 << 10, Partitions: 3}, []string{"1", "2", "3"}, "1/_SUCCESS"},
		{"one batch", export.Style{PartBytes: 20 << 10}, []string{"1"}, "1/_SUCCESS"},
		{"flat", export.Style{PartBytes: 20 << 10, Partitions: 3, Flat: true}, []string{""}, "_SUCCESS"},
		{"letters", export.Style{PartBytes: 4 << 10, Partitions: 11, Letters: true}, strings.Fields("1 2 3 4 5 6 7 8 9 a b"), "1/_SUCCESS"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := start(t, numbers)
			r := w.export(func(t *export.Task) { t.Style = test.style })
			if r.Tables != 2 || r.Warning != "" || r.Bytes < 5000*32 {
				t.Errorf("it says %+v", r)
			}
			var marks []string
			last, gaps, parts := map[string]int{}, 0, 0
			for _, k := range w.keys("p/job/app/public.numbers/") {
				rest := strings.TrimPrefix(k, "p/job/app/public.numbers/")
				batch, file, ok := strings.Cut(rest, "/")
				if !ok {
					batch, file = "", rest
				}
				if file == "_SUCCESS" {
					marks = append(marks, batch)
					continue
				}
				var number int
				if _, err := fmt.Sscanf(file, "part-%05d", &number); err != nil || !partRule.MatchString(file) {
					t.Errorf("part %s: %v", k, err)
				}
				before, ok := last[batch]
				if number > before+1 || !ok && number > 0 {
					gaps++
				}
				last[batch] = number
				parts++
			}
			if d := cmp.Diff(test.marks, marks); d != "" {
				t.Errorf("marked batches (-want +got):\n%s", d)
			}
			if gaps == 0 || parts < len(test.marks) {
				t.Errorf("%d parts have %d gaps between their numbers", parts, gaps)
			}
			if got := w.keys("p/job/app/public.nothing/"); len(got) != 1 || got[0] != "p/job/app/public.nothing/"+test.empty || len(w.objects[got[0]]) > 0 {
				t.Errorf("the empty table has %v", got)
			}
			seen := map[int32]bool{}
			for _, row := range w.rows("public.numbers") {
				seen[row["id"].Int32()] = true
			}
			if len(seen) != 5000 {
				t.Errorf("%d rows, want 5000", len(seen))
			}
		})
	}
}

func TestMetadataTellOfTheExport(t *testing.T) {
	w := start(t, numbers)
	w.export(func(t *export.Task) { t.Style.TablesPerFile = 1; t.Prefix = `a "b" c`; t.Only = []string{"app.public"} })
	keys := w.keys("a__b__c/job/export")
	if d := cmp.Diff([]string{"a__b__c/job/export_info_job.json", "a__b__c/job/export_tables_info_job_from_1_to_1.json", "a__b__c/job/export_tables_info_job_from_2_to_2.json"}, keys); d != "" {
		t.Fatalf("(-want +got):\n%s", d)
	}
	var got map[string]any
	w.json(keys[0], &got)
	want := map[string]any{
		"exportTaskIdentifier": "job", "sourceArn": "arn:aws:rds:us-east-1:111122223333:cluster-snapshot:s", "exportOnly": []any{"app.public"},
		"snapshotTime": "2026-11-23T03:00:00.000Z", "taskStartTime": "2026-11-23T04:00:00.000Z", "taskEndTime": "2026-11-23T05:00:00.000Z",
		"s3Bucket": "exports", "s3Prefix": `a "b" c`, "exportedFilesPath": "a__b__c/job", "iamRoleArn": "role", "kmsKeyId": "key", "status": "COMPLETE", "percentProgress": 100.0,
		"totalExportedDataInGB": got["totalExportedDataInGB"],
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestSnapshotIsOfItsMoment(t *testing.T) {
	w := start(t, numbers)
	f := w.freeze()
	w.exec(`UPDATE numbers SET words = 'later'`)
	w.exec(`INSERT INTO numbers VALUES (-1, 'later')`)
	for range 2 { // and is exported again
		clear(w.objects)
		if _, err := w.write(f, nil); err != nil {
			t.Fatal(err)
		}
		rows := w.rows("public.numbers")
		if len(rows) != 5000 || slices.ContainsFunc(rows, func(r row) bool { return string(r["words"].ByteArray()) == "later" }) {
			t.Errorf("%d rows, or some from later", len(rows))
		}
	}
}

func TestSameSeedStoresTheSame(t *testing.T) {
	w := start(t, numbers)
	f := w.freeze()
	var stored []map[string][]byte
	for _, seed := range []uint64{1, 1, 2} {
		_, err := w.write(f, func(t *export.Task) { t.Style = export.Style{Seed: seed, PartBytes: 10 << 10} })
		w.must(err)
		stored = append(stored, w.objects)
		w.objects = map[string][]byte{}
	}
	if !cmp.Equal(stored[0], stored[1]) {
		t.Error("seed 1 stores something else the second time")
	}
	if cmp.Equal(stored[0], stored[2]) {
		t.Error("seeds 1 and 2 store the same")
	}
}

// TestSomeTablesAreLeftOut: without a word those that the guide lists, with a
// warning those that the master user may not read.
func TestSomeTablesAreLeftOut(t *testing.T) {
	w := start(t, `CREATE TABLE kept (id integer, "Odd-Nàme" text); CREATE TABLE "a/b" (id integer); CREATE UNLOGGED TABLE forgotten (id integer); CREATE VIEW seen AS SELECT 1 AS id;
CREATE MATERIALIZED VIEW stored AS SELECT 1 AS id; CREATE TABLE "of oids" (id oid); CREATE TABLE parent (id integer) PARTITION BY RANGE (id); CREATE TABLE parent_1 PARTITION OF parent FOR VALUES FROM (0) TO (10);
INSERT INTO parent VALUES (1);`)
	for i, name := range []string{"a,b", "a;b", "a{b", "a}b", "a(b", "a)b", "a\nb", "a\tb", "a=b", "a b"} {
		w.exec(fmt.Sprintf(`CREATE TABLE odd_%d (id integer, "%s" text)`, i, name))
	}
	w.exec(`CREATE SCHEMA secret`)
	w.exec(`CREATE TABLE secret.one (id integer)`)
	w.exec(`CREATE TABLE secret_too (id integer)`)
	w.exec(`REVOKE ALL ON SCHEMA secret FROM PUBLIC`)
	w.exec(`CREATE TABLE "Space and ""quote""" (id integer)`)
	w.exec(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ` + quote(w.db.Master))
	w.exec(`REVOKE ALL ON secret_too FROM ` + quote(w.db.Master))
	r := w.export(nil)
	got := map[string]string{}
	for name, s := range w.tables() {
		got[name] = s.Status + " " + s.Warning
		if (s.Schema == nil) != (s.Warning != "") {
			t.Errorf("table %s: warning %q and columns %v", name, s.Warning, s.Schema)
		}
	}
	want := map[string]string{
		"app.public.kept": "COMPLETE ", "app.public.parent_1": "COMPLETE ", `app.public.Space and "quote"`: "COMPLETE ",
		"app.public.secret_too": "SKIPPED PERMISSIONS_DO_NOT_EXIST", "app.secret.one": "SKIPPED PERMISSIONS_DO_NOT_EXIST",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if want := `{"skippedTables":[{"table":"app.public.secret_too","reason":"PERMISSIONS_DO_NOT_EXIST"},{"table":"app.secret.one","reason":"PERMISSIONS_DO_NOT_EXIST"}],"skippedObjectives":[],"general":[]}`; r.Warning != want {
		t.Errorf("warning %s, want %s", r.Warning, want)
	}
	if got := w.keys("p/job/app/public.Space"); len(got) != 1 || got[0] != "p/job/app/public.Space_and__quote_/1/_SUCCESS" {
		t.Errorf("the table with a space is in %v", got)
	}
	if len(w.rows("public.parent_1")) != 1 || len(w.keys("p/job/app/secret")) > 0 {
		t.Error("a partition has no row, or a secret has a folder")
	}
}

func TestOnlyWhatIsAskedForIsExported(t *testing.T) {
	w := start(t, numbers, `CREATE SCHEMA other; CREATE TABLE other.numbers (id integer)`)
	for only, want := range map[string]string{
		"app": "app.other.numbers app.public.nothing app.public.numbers", "app.other": "app.other.numbers", "app.public.nothing": "app.public.nothing",
		"app.other app.public.nothing": "app.other.numbers app.public.nothing",
	} {
		clear(w.objects)
		w.export(func(t *export.Task) { t.Only = strings.Fields(only) })
		var got []string
		for name := range w.tables() {
			got = append(got, name)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", only, got, want)
		}
	}
	_, err := w.write(w.freeze(), func(t *export.Task) { t.Only = []string{"ap"} })
	var failure *export.Failure
	if !errors.As(err, &failure) {
		t.Errorf("a name of nothing: got %v, want a failure", err)
	}
}

func TestValueTooLongFailsTheExport(t *testing.T) {
	w := start(t, numbers)
	_, err := w.write(w.freeze(), func(t *export.Task) { t.Style.LongestValue = 31 })
	var failure *export.Failure
	if !errors.As(err, &failure) || !strings.Contains(failure.Cause, "column words of table app.public.numbers") {
		t.Errorf("got %v", err)
	}
	if len(w.keys("p/job/export_info")) > 0 {
		t.Error("it has an export_info all the same")
	}
}

func TestStorageThatRefusesEndsTheExport(t *testing.T) {
	w := start(t, numbers)
	no := errors.New("no")
	_, err := export.Write(t.Context(), w.freeze(), export.Task{ID: "job", Now: moment.UTC}, func(context.Context, string, []byte) error { return no })
	if !errors.Is(err, no) {
		t.Errorf("got %v, want %v", err, no)
	}
}

// TestPartsAreLikeThoseOfTheService: dictionaries that grow too large are given
// up within a column, row groups are as asked for.
func TestPartsAreLikeThoseOfTheService(t *testing.T) {
	w := start(t, `CREATE TABLE wide (id integer PRIMARY KEY, few text, many text); INSERT INTO wide SELECT i, 'v' || i % 3, repeat(md5(i::text), 6) FROM generate_series(1, 20000) AS i;`)
	w.export(func(t *export.Task) { t.Style.RowsPerGroup = 8000 })
	files := w.parts("public.wide")
	if len(files) != 1 || len(files[0].RowGroups()) != 3 {
		t.Fatalf("%d parts, want 1 of 3 row groups", len(files))
	}
	encodings := map[string]string{}
	for i, c := range files[0].Metadata().RowGroups[0].Columns {
		encodings[files[0].Schema().Fields()[i].Name()] = fmt.Sprint(c.MetaData.Encoding)
	}
	if !strings.Contains(encodings["few"], "DICTIONARY") || !strings.Contains(encodings["many"], "DICTIONARY") {
		t.Errorf("encodings %v", encodings)
	}
	sizes := len(w.objects[w.keys("p/job/app/public.wide/1/part")[0]])
	if sizes < 1<<19 || sizes > 10<<20 {
		t.Errorf("the part has %d bytes", sizes)
	}
}
