package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"godwit/internal/change"
	"godwit/internal/migrate"
)

// countRows is a target that takes every row, and counts them.
type countRows struct{ lines int64 }

func (c *countRows) Load(ctx context.Context, item change.TableItem, rows func(context.Context, change.Range, func(change.Lines) error) error) (change.TableProgress, error) {
	p := change.TableProgress{}
	err := rows(ctx, item.Rows, func(l change.Lines) error {
		p.Loaded += int64(len(l.Ends)) - int64(len(l.Refused))
		p.Refused += int64(len(l.Refused))
		return nil
	})
	c.lines += p.Loaded
	return p, err
}

// partOf is a part of integers and texts, of several row groups.
func partOf[T any](t *testing.T, rows ...T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, parquet.MaxRowsPerRowGroup(2), parquet.Compression(&parquet.Gzip))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type idName struct {
	ID   int32  `parquet:"id"`
	Name string `parquet:"name"`
}

// Whatever became of a part, both readers of its rows stop, and say which object and
// which place of it; what is not of the object is tried again.
func TestBadPartsStopBothReadersByName(t *testing.T) {
	t.Parallel()
	const key = "mine/daily/shop/app.a/1/part-00000-a.gz.parquet"
	good := partOf(t, idName{1, "one"}, idName{2, "two"}, idName{3, "SECRET"}, idName{4, "SECRET"}, idName{5, "five"})
	f, err := parquet.OpenFile(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	text := f.Metadata().RowGroups[1].Columns[1].MetaData
	middle := bytes.Clone(good)
	for i := int64(1); i < 9; i++ {
		middle[text.DataPageOffset+text.TotalCompressedSize-i] ^= 0x5a
	}
	type other struct {
		Other int64 `parquet:"other"`
	}
	type wrong struct {
		ID   string `parquet:"id"`
		Name string `parquet:"name"`
	}
	for name, test := range map[string]struct {
		planned, there []byte // nil is none
		to             int64  // rows that the item asks for
		fault          error
		retry          string
		rows, values   []string // of the loader's error, and of the verifier's
	}{
		"whole":                  {good, good, 0, nil, "", nil, nil},
		"some rows of it":        {good, good, 4, nil, "", nil, nil},
		"damaged in it":          {middle, middle, 0, nil, "Stop", []string{"row group 1, column name", "export the snapshot again"}, []string{"row group 1, column name", "export the snapshot again"}},
		"cut short":              {good[:len(good)-7], good[:len(good)-7], 0, nil, "Stop", []string{"is it cut short?", "export the snapshot again"}, []string{"is it cut short?"}},
		"of nothing":             {[]byte{}, []byte{}, 0, nil, "Stop", []string{"it has 0 bytes"}, []string{"it has 0 bytes"}},
		"of text":                {[]byte("id,name\n1,one and so on\n"), []byte("id,name\n1,one and so on\n"), 0, nil, "Stop", []string{"it does not begin and end as Parquet does"}, []string{"as Parquet does"}},
		"of another table":       {partOf(t, other{1}), partOf(t, other{1}), 0, nil, "Stop", []string{"the parts have no column id"}, []string{"it has no column id"}},
		"of another schema":      {partOf(t, wrong{"1", "one"}), partOf(t, wrong{"1", "one"}), 0, nil, "Stop", []string{"id of type integer is STRING in the parts, where an export of PostgreSQL writes int32", "table app.a", "export the snapshot again"}, nil},
		"replaced":               {good, partOf(t, idName{1, "x"}), 0, nil, "Stop", []string{"an export must not change while it is loaded", `"Replace": true`}, []string{"an export must not change"}},
		"deleted":                {good, nil, 0, nil, "Stop", []string{"was deleted since the load was planned"}, []string{"was deleted"}},
		"with fewer rows":        {good, good, 6, nil, "Stop", []string{"has 5 rows, and the plan asks for 0 to 6", "start SnapshotLoad again"}, []string{"has 5 rows"}},
		"S3 is out of order":     {good, good, 0, &serviceError{"InternalError", "…"}, "Again", []string{"InternalError"}, []string{"InternalError"}},
		"S3 throttles":           {good, good, 0, &serviceError{"SlowDown", "…"}, "Again", []string{"SlowDown"}, []string{"SlowDown"}},
		"the call is at its end": {good, good, 0, context.DeadlineExceeded, "Again", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := newObjects(t)
			o.set(exportsHere, key, test.planned)
			etag := o.objects[exportsHere+"/"+key].etag()
			if delete(o.objects, exportsHere+"/"+key); test.there != nil {
				o.set(exportsHere, key, test.there)
			}
			keep := change.Conversion{Kind: change.AsIs}
			plan := migrate.SnapshotPlan{LoadID: loadOne, Place: migrate.ExportPlace{Bucket: exportsHere, Prefix: exportFolder}, Items: 1, Plans: []change.TablePlan{{
				Source: change.TableName{Schema: "app", Name: "a"}, Target: change.TableName{Schema: "app", Name: "a"}, Key: []string{"id"},
				Columns: []change.ColumnPlan{
					{Name: "id", Type: "integer", NotNull: true, From: []change.SourceColumn{{Name: "id", Type: "integer"}}, As: keep},
					{Name: "name", Type: "text", From: []change.SourceColumn{{Name: "name", Type: "text"}}, As: keep},
				},
			}}}
			text, err := json.Marshal(plan)
			if err != nil {
				t.Fatal(err)
			}
			o.set(workBucket, "snapshots/"+loadOne+"/plan.json", text)
			ranges := &faultyRanges{o, test.fault}
			in := migrate.SnapshotWorkIn{LoadId: loadOne, Items: []migrate.SnapshotItem{{Parts: []migrate.PartRange{{Key: key, ETag: etag, Size: int64(len(test.planned)), To: test.to}}}}}
			target := &countRows{}
			load := &migrate.LoadRows{Objects: o, Ranges: ranges, Writer: target, WorkBucket: workBucket, Now: time.Now}
			digest := &migrate.DigestRows{Objects: o, Ranges: ranges, WorkBucket: workBucket, Now: time.Now}
			out, err1 := load.Handle(t.Context(), in)
			_, err2 := digest.Handle(t.Context(), in)
			wants := [][]string{test.rows, test.values}
			for i, err := range []error{err1, err2} {
				if wants[i] == nil && test.retry == "Stop" {
					continue // of no account to this reader
				}
				if retry(err) != test.retry {
					t.Errorf("reader %d: the error is %s, want %s: %v", i, retry(err), test.retry, err)
				}
				hasTexts(t, err, wants[i]...)
				if test.retry == "Stop" {
					hasTexts(t, err, "s3://"+exportsHere+"/"+key)
				}
				if err != nil && strings.Contains(err.Error(), "SECRET") {
					t.Errorf("the error quotes a value: %v", err)
				}
			}
			rows := test.to
			if rows == 0 {
				rows = 5
			}
			if done := test.retry == ""; out.Done != done || done && target.lines != rows {
				t.Errorf("got %+v with %d rows, want %d", out, target.lines, rows)
			}
			if accounts := len(o.under(workBucket+"/snapshots/"+loadOne+"/segments/")) + len(o.under(workBucket+"/snapshots/"+loadOne+"/evidence/")); test.retry != "" && wants[1] != nil && accounts > 0 {
				t.Errorf("%d accounts of an item that was not read", accounts)
			}
		})
	}
}

// faultyRanges fail every read where they have an error.
type faultyRanges struct {
	*memoryObjects
	err error
}

func (f *faultyRanges) ReadAt(ctx context.Context, bucket, key, etag string, p []byte, offset int64) error {
	if f.err != nil {
		return f.err
	}
	return f.memoryObjects.ReadAt(ctx, bucket, key, etag, p, offset)
}
