package mapping_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/mapping"
)

// BenchmarkLedgerToRows reads a synthetic ledger's blocks and writes COPY lines
// through the shipped mapping; "walk" only reads the blocks.
func BenchmarkLedgerToRows(b *testing.B) {
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.JSON} {
		var objects [][]byte
		ledger, err := ledgergen.Generate(ledgergen.Options{Seed: 1, Documents: 3000, Format: format}, func(o ledgergen.Object) error {
			if o.First >= 0 {
				objects = append(objects, bytes.Clone(o.Body))
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		f, err := mapping.Parse(mapping.DMV())
		if err != nil {
			b.Fatal(err)
		}
		fields := &change.Fields{}
		m, err := mapping.Compile(f, fields)
		if err != nil {
			b.Fatal(err)
		}
		read := func(b *testing.B, use func(*journal.Block) error) {
			b.SetBytes(ledger.Bytes)
			b.ReportAllocs()
			for b.Loop() {
				for _, body := range objects {
					r, err := journal.NewReader(bytes.NewReader(body), journal.Options{Fields: fields})
					if err != nil {
						b.Fatal(err)
					}
					for {
						blk, err := r.Next()
						if errors.Is(err, io.EOF) {
							break
						}
						if err == nil {
							err = use(blk)
						}
						if err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			b.ReportMetric(float64(ledger.Revisions())*float64(b.N)/b.Elapsed().Seconds(), "revisions/s")
		}
		b.Run(string(format)+"/walk", func(b *testing.B) {
			read(b, func(*journal.Block) error { return nil })
		})
		b.Run(string(format)+"/rows", func(b *testing.B) {
			var line []byte
			read(b, func(blk *journal.Block) error {
				for i := range blk.Revisions {
					rec, err := blk.Record(i)
					if rec == nil || err != nil {
						if err != nil {
							return err
						}
						continue
					}
					p, err := m.Plan(rec.Table.Name)
					if err != nil {
						return err
					}
					row, err := p.Map(rec)
					if err != nil {
						return err
					}
					if line, err = copytext.AppendRow(line[:0], row); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}
