package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"godwit/internal/change"
	"godwit/internal/snapshot"
)

// Any bytes are a part, or damaged; and what both ways of reading take, they take
// for the same.
func FuzzPart(f *testing.F) {
	for _, options := range shapes {
		f.Add(sample(f, 12, true, options...))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := snapshot.OpenPart(bytes.NewReader(file), int64(len(file)))
		if damaged := (*snapshot.DamagedError)(nil); err != nil {
			if !errors.As(err, &damaged) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if p.Rows() > 1000 {
			return // fuzzing finds columns of nothing but repeated values
		}
		e, err := snapshot.NewEncoder(samplePlan, p.Columns())
		if err != nil {
			return
		}
		var rows, values int64
		err1 := e.Encode(context.Background(), p, 0, p.Rows(), func(l change.Lines) error {
			rows += int64(len(l.Ends))
			return nil
		})
		err2 := p.Values(context.Background(), 0, p.Rows(), []string{"a", "b", "c", "d", "e", "f", "g", "h"}, func(int64, []change.Value) error {
			values++
			return nil
		})
		if err1 == nil && (err2 != nil || rows != values) {
			t.Errorf("%d rows and %d rows of values: %v", rows, values, err2)
		}
		if damaged := (*snapshot.DamagedError)(nil); err1 != nil && !errors.As(err1, &damaged) || err2 != nil && !errors.As(err2, &damaged) {
			t.Errorf("errors %v and %v", err1, err2)
		}
	})
}

// Any text of any type becomes one line or a refusal, by every conversion.
func FuzzTexts(f *testing.F) {
	for _, e := range every {
		for _, v := range e.values {
			f.Add(v, e.name)
		}
	}
	f.Add("2026-01-02 03:04:05.6-03:30:52 BC", "timestamp with time zone")
	f.Fuzz(func(t *testing.T, text, of string) {
		p := open(t, write(t, []column{{name: "t", kind: snapshot.Text}}, [][]any{{text}, {nil}}))
		plan := keep()
		for _, kind := range []string{change.AsIs, change.AsText, change.AsUUID} {
			c := as(kind, "t", of, of)
			c.Name = kind
			plan.Columns = append(plan.Columns, c)
		}
		for _, target := range []string{"numeric(9,3)", "integer", "character varying(3)", "character(2)", "timestamp(2) with time zone", "interval(1)"} {
			plan.Columns = append(plan.Columns, as(change.AsFit, "t", of, target))
			if _, err := snapshot.NewEncoder(plan, p.Columns()); err != nil {
				plan.Columns = plan.Columns[:len(plan.Columns)-1]
			}
		}
		e, err := snapshot.NewEncoder(plan, p.Columns())
		if err != nil {
			return // of no type that an export writes as text
		}
		if _, err := encode(t, e, p, 0, 2); err != nil {
			t.Error(err)
		}
	})
}

func FuzzTables(f *testing.F) {
	f.Add([]byte(infoText))
	f.Add([]byte(`{"perTableStatus":[{"target":"a.b.c","sizeGB":"1","schemaMetadata":{"originalTypeMappings":[{"columnName":"x","originalType":"int4"}]}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if info, err := snapshot.ParseInfo(text); err == nil && info.Task == "" {
			t.Error("an export without a name")
		}
		tables, err := snapshot.ParseTables(text)
		if err != nil {
			return
		}
		l, err := snapshot.List("daily/nightly", objects("export_info_nightly.json", "a/b.c/1/x.parquet"))
		if err != nil {
			t.Fatal(err)
		}
		got, findings := l.Tables(tables)
		if len(got) > 1 || len(got) == 0 && len(findings) == 0 {
			t.Errorf("tables %v, findings %v", got, findings)
		}
	})
}
