package target_test

import (
	"fmt"
	"testing"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
)

// BenchmarkApply applies requests of 1,000 revisions, half of them of documents
// that are there, with history and blocks of four revisions.
func BenchmarkApply(b *testing.B) {
	c := newBench(b, rdsdata.Config{})
	p := ledger("load1", people()...)
	c.load(p)
	s := c.enable(p.follows())
	at := 0
	var done change.Applied
	for b.Loop() {
		b.StopTimer()
		items := revisions(at, 1000)
		at += 1000
		b.StartTimer()
		one, err := c.loader.Apply(b.Context(), s, items)
		if err != nil || one.History != 1000 {
			b.Fatal(one, err)
		}
		done.Calls += one.Calls
		done.Bytes += one.Bytes
	}
	b.ReportMetric(float64(at)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(done.Bytes)/float64(at), "B/row")
}

// revisions makes n revisions from the at-th on: blocks of four with their
// summaries.
func revisions(at, n int) []change.Item {
	var items []change.Item
	for i := at; i < at+n; i++ {
		block := int64(101 + i/4)
		r := revision{doc: fmt.Sprintf("doc%018d", i/2), version: int64(i % 2), op: "IU"[i%2 : i%2+1], table: "T1", value: fmt.Sprintf("the value of %d, as long as a name with a street", i)}
		items = append(items, r.item(block))
		if i%4 == 0 {
			items = append(items, summary(block))
		}
		x := items[len(items)-1].Block
		if x == nil {
			for j := len(items) - 1; x == nil; j-- {
				x = items[j].Block
			}
		}
		x.Revisions = append(x.Revisions, r.item(block).Revision.Hash)
	}
	return items
}
