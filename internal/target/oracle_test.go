package target_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"godwit/internal/local/rdsdata"
)

// A block of the oracle's ledger: one revision, the redaction of one, or a drop or
// undrop of its table.
type block struct {
	revision
	event  string // "", "drop", "undrop", "redact"
	bad    bool   // does not map: every load that reads it sets it aside
	doomed bool   // redacted by a later block: copies of it are, if they were exported late
}

// TestLoadsAreOrderFree loads random overlapping pieces of a random
// ledger, in random order, and compares the target with what the pieces say
// together.
func TestLoadsAreOrderFree(t *testing.T) {
	for _, history := range []bool{true, false} {
		for n := range uint64(4) {
			t.Run(fmt.Sprintf("history %v, seed %d", history, n), func(t *testing.T) {
				t.Parallel()
				compareWithOracle(t, rand.New(rand.NewPCG(n, 1)), history)
			})
		}
	}
}

func compareWithOracle(t *testing.T, r *rand.Rand, history bool) {
	b := newBench(t, rdsdata.Config{})
	blocks := randomLedger(r, history)
	type state struct {
		last   int64
		active bool
	}
	loaded, aside, tables := map[string]revision{}, map[string]int64{}, map[string]state{}
	gone := map[string]bool{} // like loaded: a load was told of the redaction, or brought a redacted copy
	for i := range 6 {
		first := r.IntN(len(blocks))
		last := min(len(blocks)-1, first+r.IntN(len(blocks)))
		p := ledger(fmt.Sprintf("load%d", i))
		p.History, p.First, p.Last, p.sliceRows = history, int64(first), int64(last), int64(1+r.IntN(10))
		p.sources = nil
		active := map[string]bool{}
		seen := map[string]bool{}
		for n, x := range blocks[:last+1] {
			switch key := fmt.Sprintf("%s:%03d", x.doc, x.version); {
			case x.event == "redact":
				if n >= first {
					p.redact = append(p.redact, x.revision)
				}
				continue
			case x.event != "":
				active[x.table] = x.event == "undrop"
				continue
			case n < first:
				if _, ok := active[x.table]; !ok {
					active[x.table] = true
				}
				continue
			case x.bad:
				p.aside = append(p.aside, x.revision)
				aside[x.doc] = max(aside[x.doc], x.version)
			default:
				x.gone = x.doomed && r.IntN(2) == 0
				p.revisions = append(p.revisions, x.revision)
				loaded[key] = x.revision
				gone[key] = gone[key] || x.gone
			}
			seen[x.table] = true
			if _, ok := active[x.table]; !ok {
				active[x.table] = true
			}
		}
		for _, id := range []string{"T1", "T2"} {
			if !seen[id] {
				continue
			}
			s := ledger("").sources[0]
			s.ID, s.Active = id, active[id]
			p.sources = append(p.sources, s)
			if known, ok := tables[id]; !ok || int64(last) >= known.last {
				tables[id] = state{int64(last), active[id]}
			}
		}
		if len(p.sources) == 0 {
			continue
		}
		p.Apart = true // pieces come in any order, apart from each other too
		b.load(p)
		for _, x := range p.redact {
			gone[fmt.Sprintf("%s:%03d", x.doc, x.version)] = true
		}

		heads := map[string]revision{}
		var all, rows, current []string
		for _, key := range slices.Sorted(mapKeys(loaded)) {
			x := loaded[key]
			heads[x.doc] = x // in order of versions
			all = append(all, fmt.Sprintf("%s:%d:%s", x.doc, x.version, x.op))
			switch {
			case gone[key]:
				x.value = "-/"
			case x.op == "D":
				x.value = "-"
			}
			rows = append(rows, fmt.Sprintf("%s:%d:%s", x.doc, x.version, x.value))
		}
		for _, doc := range slices.Sorted(mapKeys(heads)) {
			if x := heads[doc]; x.op != "D" && !gone[fmt.Sprintf("%s:%03d", doc, x.version)] && aside[doc] <= x.version && tables[x.table].active {
				current = append(current, fmt.Sprintf("%s:%d:%s", doc, x.version, x.value))
			}
		}
		what := fmt.Sprintf("load %d of blocks %d to %d", i, first, last)
		equal(t, what+", current", b.current(), strings.Join(current, " "))
		if history {
			equal(t, what+", history", b.history(), strings.Join(all, " "))
			equal(t, what+", rows", hashes.ReplaceAllString(b.rows(), "/"), strings.Join(rows, " "))
			if n := get[int](b, `SELECT sum(revision_cnt)::int FROM dmv.table_counts`); n != len(all) {
				t.Errorf("%s: got %d revisions counted, want %d", what, n, len(all))
			}
		}
		if t.Failed() {
			return
		}
	}
}

// hashes are the data hashes of redacted rows, where they are known.
var hashes = regexp.MustCompile(`/[^ ]{4}`)

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// randomLedger makes 80 blocks over two tables of one name. A dropped table gets
// no revisions; only with history may it come back. Redacted are revisions that
// have a newer one.
func randomLedger(r *rand.Rand, history bool) []block {
	var blocks []block
	versions, dead, dropped := map[string]int64{}, map[string]bool{}, map[string]bool{}
	for len(blocks) < 80 {
		id := fmt.Sprintf("T%d", 1+r.IntN(2))
		if r.IntN(25) == 0 && len(blocks) > 0 && (history || !dropped[id]) {
			dropped[id] = !dropped[id]
			event := map[bool]string{true: "drop", false: "undrop"}[dropped[id]]
			blocks = append(blocks, block{revision: revision{table: id}, event: event})
			continue
		}
		if i := r.IntN(6 * (len(blocks) + 1)); i < len(blocks) && blocks[i].event == "" && !blocks[i].doomed && blocks[i].version+1 < versions[blocks[i].doc] {
			blocks[i].doomed = true
			blocks = append(blocks, block{revision: blocks[i].revision, event: "redact"})
			continue
		}
		doc := fmt.Sprintf("d%02d", r.IntN(12))
		if id == "T2" {
			doc = "e" + doc
		}
		if dropped["T1"] && dropped["T2"] && !history {
			return blocks
		}
		if dropped[id] || dead[doc] {
			continue
		}
		x := block{revision: revision{doc: doc, table: id, op: "U", version: versions[doc]}, bad: r.IntN(8) == 0}
		x.value = fmt.Sprintf("%s.%d", doc, x.version)
		switch {
		case x.version == 0:
			x.op = "I"
		case r.IntN(6) == 0:
			x.op, x.value, dead[doc], x.bad = "D", "", true, false
		}
		versions[doc]++
		blocks = append(blocks, x)
	}
	return blocks
}
