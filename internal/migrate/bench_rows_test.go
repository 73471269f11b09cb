package migrate_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/ion"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/mapping"
)

// benchObjects returns the data objects of a ledger, each of some megabytes as
// QLDB's own exports had them.
func benchObjects(b *testing.B, format ledgergen.Format) (objects [][]byte, size int64) {
	b.Helper()
	_, err := ledgergen.Generate(ledgergen.Options{Seed: 1, Documents: 6000, Format: format, BlocksPerObject: 1600}, func(o ledgergen.Object) error {
		if o.First >= 0 {
			objects = append(objects, bytes.Clone(o.Body))
			size += int64(len(o.Body))
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return objects, size
}

// A liner turns objects into lines of COPY text, as Transform does, without
// gzip. It keeps what a function keeps between two objects.
type liner struct {
	fields  *change.Fields
	mapping *mapping.Mapping
	line    []byte
	each    func(*journal.Block) error // is given each block, too; may be nil
}

// newLiner compiles the packaged mapping. Notes are not in it: without, they
// become jsonb; with skip, they are left out.
func newLiner(b *testing.B, skipNotes bool) *liner {
	b.Helper()
	text := mapping.DMV()
	if skipNotes {
		text = bytes.Replace(text, []byte(`"tables": {`), []byte(`"tables": {"Note": {"skip": true},`), 1)
	}
	file, err := mapping.Parse(text)
	if err != nil {
		b.Fatal(err)
	}
	l := &liner{fields: &change.Fields{}}
	if l.mapping, err = mapping.Compile(file, l.fields); err != nil {
		b.Fatal(err)
	}
	return l
}

// lines writes the rows of an object to out, a line a write.
func (l *liner) lines(object []byte, out io.Writer) error {
	r, err := journal.NewReader(bytes.NewReader(object), journal.Options{Fields: l.fields})
	if err != nil {
		return err
	}
	for {
		block, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if l.each != nil {
			if err := l.each(block); err != nil {
				return err
			}
		}
		for i := range block.Revisions {
			v := &block.Revisions[i]
			if v.HashOnly() {
				continue
			}
			plan, err := l.mapping.Plan(v.Table.Name)
			if err != nil {
				return err
			}
			if plan.Skip {
				continue
			}
			record, err := block.Record(i)
			if err != nil {
				return err
			}
			row, err := plan.Map(record)
			if err != nil {
				return err
			}
			if l.line, err = copytext.AppendRow(l.line[:0], row); err != nil {
				return err
			}
			if _, err := out.Write(l.line); err != nil {
				return err
			}
		}
	}
}

// stepOver walks every value of binary Ion and decodes none.
func stepOver(object []byte) error {
	r := ion.NewReader(bytes.NewReader(object), 0)
	var c ion.Cursor
	for {
		value, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		c.Reset(value, 0, len(value))
		for c.Next() || c.Err() == nil && c.Depth() > 0 && c.StepOut() {
			if c.Live() && !c.IsNull() && c.Type() >= ion.ListType {
				c.StepIn()
			}
		}
		if c.Err() != nil {
			return c.Err()
		}
	}
}

func every(objects [][]byte, do func([]byte) error) func() error {
	return func() error {
		for _, o := range objects {
			if err := do(o); err != nil {
				return err
			}
		}
		return nil
	}
}

// sameLines makes both sides' rows once and compares them: a race between sides
// that do not do the same says nothing.
func sameLines(b *testing.B, objects [][]byte, l *liner, plain func([]byte, *bytes.Buffer) error) {
	b.Helper()
	var got, want bytes.Buffer
	for _, o := range objects {
		if err := errors.Join(l.lines(o, &got), plain(o, &want)); err != nil {
			b.Fatal(err)
		}
	}
	sameRows(b, got.Bytes(), want.Bytes())
}

func sameRows(b *testing.B, got, want []byte) {
	b.Helper()
	// A library does not tell where a block begins.
	rows := origin.ReplaceAll(got, nil)
	if bytes.Equal(rows, want) {
		return
	}
	mine, theirs := bytes.Split(rows, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(mine), len(theirs)) {
		if !bytes.Equal(mine[i], theirs[i]) {
			b.Fatalf("line %d of %d and %d:\n got %s\nwant %s", i+1, len(mine), len(theirs), mine[i], theirs[i])
		}
	}
	b.Fatalf("got %d lines, want %d", len(mine), len(theirs))
}

// BenchmarkIonToRows races the way from binary Ion to COPY-ready rows against
// ion-go's decoder, and against a walk that reads no value.
func BenchmarkIonToRows(b *testing.B) {
	oneProcessor(b)
	objects, size := benchObjects(b, ledgergen.IonBinary)
	mapped := newLiner(b, true)
	sameLines(b, objects, mapped, plainIon)
	sameLines(b, objects, mapped, leanIon)
	var out bytes.Buffer
	race(b, fmt.Sprintf("Ion binary to rows, the tables that the mapping knows: %d objects of %d bytes, CPU time of one core", len(objects), size), cpu,
		contestant{name: "godwit", bytes: size, run: every(objects, func(o []byte) error { out.Reset(); return mapped.lines(o, &out) })},
		contestant{name: "ion-go Unmarshal of blocks, same rows", bytes: size, least: 12, run: every(objects, func(o []byte) error { out.Reset(); return plainIon(o, &out) })},
		contestant{name: "ion-go Unmarshal of what rows need only", bytes: size, run: every(objects, func(o []byte) error { out.Reset(); return leanIon(o, &out) })},
	)
}

// BenchmarkIonWalk races all rows, those of tables without a mapping as jsonb,
// against a walk that steps over every value.
func BenchmarkIonWalk(b *testing.B) {
	oneProcessor(b)
	objects, size := benchObjects(b, ledgergen.IonBinary)
	l := newLiner(b, false)
	var out bytes.Buffer
	race(b, fmt.Sprintf("Ion binary to rows, all tables: %d objects of %d bytes, CPU time of one core", len(objects), size), cpu,
		contestant{name: "godwit", bytes: size, run: every(objects, func(o []byte) error { out.Reset(); return l.lines(o, &out) })},
		contestant{name: "walk over every value, none read", bytes: size, least: 0.12, run: every(objects, stepOver)},
	)
}

// BenchmarkJSONToRows races the way from JSON Lines to COPY-ready rows against
// encoding/json.
func BenchmarkJSONToRows(b *testing.B) {
	oneProcessor(b)
	objects, size := benchObjects(b, ledgergen.JSON)
	l := newLiner(b, true)
	sameLines(b, objects, l, plainJSON)
	var out bytes.Buffer
	race(b, fmt.Sprintf("JSON Lines to rows, the tables that the mapping knows: %d objects of %d bytes, CPU time of one core", len(objects), size), cpu,
		contestant{name: "godwit", bytes: size, run: every(objects, func(o []byte) error { out.Reset(); return l.lines(o, &out) })},
		contestant{name: "encoding/json into structs, same rows", bytes: size, least: 3, run: every(objects, func(o []byte) error { out.Reset(); return plainJSON(o, &out) })},
	)
}
