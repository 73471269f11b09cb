package proof_test

import (
	"testing"
	"time"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
)

// BenchmarkTyped proves the data of a JSON ledger's revisions, parsing included,
// under types learned before; and learns them.
func BenchmarkTyped(b *testing.B) {
	_, objects := generate(b, ledgergen.Options{Seed: 1, Documents: 8000, Format: ledgergen.JSON})
	types := learn(b, objects)
	b.Run("Data", func(b *testing.B) { benchmarkVerify(b, objects, types) })
	b.Run("Learn", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			learn(b, objects)
		}
	})
}

// A meter counts and times what a Typing is asked of one table and of the others.
type meter struct {
	proof.Typing
	table       string
	here, there measured
}

type measured struct {
	asked, proven int
	took          time.Duration
}

func (m *measured) rate() float64 { return float64(m.asked) / m.took.Seconds() }

func (m *meter) DataHash(table string, data []byte, oracle proof.Oracle) (proof.Hash, bool) {
	at := &m.there
	if table == m.table {
		at = &m.here
	}
	start := time.Now()
	h, ok := m.Typing.DataHash(table, data, oracle)
	at.took += time.Since(start)
	at.asked++
	if ok {
		at.proven++
	}
	return h, ok
}

func benchmarkVerify(b *testing.B, objects [][]byte, types *proof.Types) {
	m := &meter{Typing: &proof.Typist{Types: types}}
	eachBlock(b, objects, func(block *journal.Block) {
		for i := range block.Revisions {
			if r := &block.Revisions[i]; r.Table.Name == "Note" {
				m.table = r.Table.ID // any type at any path: nothing like a table
			}
		}
	})
	b.ReportAllocs()
	v := proof.Verifier{Typing: m}
	start := time.Now()
	for b.Loop() {
		eachBlock(b, objects, func(block *journal.Block) { v.Verify(block) })
	}
	b.ReportMetric(m.there.rate(), "tutorial-data/s")
	b.ReportMetric(m.here.rate(), "free-form-data/s")
	b.ReportMetric(float64(m.there.asked+m.here.asked)/time.Since(start).Seconds(), "revisions/s")
	b.ReportMetric(float64(m.there.asked-m.there.proven+m.here.asked-m.here.proven)/float64(b.N), "unproven/op")
}
