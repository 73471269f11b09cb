package target_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
)

// TestApplyIsOrderFree loads the beginning of a random ledger and applies the
// rest as a stream may bring it: twice, late, in any order, cut anywhere, by
// three callers at once, whose replies get lost. What the target holds then is
// what the ledger says, and every block is complete.
func TestApplyIsOrderFree(t *testing.T) {
	for _, history := range []bool{true, false} {
		for n := range uint64(6) {
			t.Run(fmt.Sprintf("history %v, seed %d", history, n), func(t *testing.T) {
				t.Parallel()
				streamAgainstOracle(t, rand.New(rand.NewPCG(n, 2)), history)
			})
		}
	}
}

func streamAgainstOracle(t *testing.T, r *rand.Rand, history bool) {
	b := newBench(t, rdsdata.Config{})
	ledgerBlocks := randomLedger(r, history)
	boundary := r.IntN(len(ledgerBlocks) / 2)
	p := ledger("load1")
	p.History, p.Last = history, int64(boundary)
	o := oracle{versions: map[string]revision{}, gone: map[string]bool{}, aside: map[string]int64{}, dropped: map[string]bool{}, history: history}
	var items []change.Item
	for n, x := range ledgerBlocks {
		x.gone = x.event == "" && x.doomed && r.IntN(2) == 0
		mended := n > boundary && x.bad && r.IntN(2) == 0
		o.tell(x, mended)
		if n <= boundary {
			p.tell(x)
		}
		items = append(items, x.items(int64(n), mended)...)
	}
	for _, x := range p.revisions {
		if x.table == "T2" && len(p.sources) == 1 {
			p.sources = append(p.sources, change.LoadSource{SourceTable: change.SourceTable{ID: "T2", Name: tableName("T2")}, Current: "person"})
		}
	}
	for i := range p.sources {
		p.sources[i].Active = !droppedBy(ledgerBlocks[:boundary+1], p.sources[i].ID)
	}
	b.load(p)
	s := b.enable(p.follows())
	for _, i := range r.Perm(len(items))[:len(items)/3] {
		items = append(items, items[i])
	}
	if r.IntN(3) > 0 {
		r.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	}
	var pieces [][]change.Item
	for len(items) > 0 {
		n := min(len(items), 1+r.IntN(12))
		pieces, items = append(pieces, items[:n]), items[n:]
	}
	lost := 0
	b.wire.lose = func(body string) bool {
		if !strings.Contains(body, "godwit.apply(") || r.IntN(8) > 0 { // under the wire's lock
			return false
		}
		lost++
		return true
	}
	var callers sync.WaitGroup
	for caller := range 3 {
		callers.Go(func() {
			for i := caller; i < len(pieces); i += 3 {
				if err := b.applyAll(s, pieces[i]); err != nil {
					t.Errorf("piece %d of %d: %v", i, len(pieces), err)
					return
				}
			}
		})
	}
	callers.Wait()
	b.wire.lose = nil
	t.Logf("%d blocks, %d loaded, %d pieces, %d replies lost", len(ledgerBlocks), boundary+1, len(pieces), lost)

	current, all, rows := o.expect()
	equal(t, "current", b.current(), current)
	if history {
		equal(t, "history", b.history(), all)
		equal(t, "rows", hashes.ReplaceAllString(b.rows(), "/"), rows)
		if n := get[int](b, `SELECT sum(revision_cnt)::int FROM dmv.table_counts`); n != strings.Count(all, ":")/2 {
			t.Errorf("got %d revisions counted, want %d", n, strings.Count(all, ":")/2)
		}
	}
	status, err := b.loader.StreamStatus(t.Context(), "s")
	if err != nil || status.GapFree != int64(len(ledgerBlocks)-1) || status.OpenBlocks != 0 || status.Last.Major != max(status.GapFree, int64(boundary)) {
		t.Errorf("got %+v, %v, want every block complete up to %d", status, err, len(ledgerBlocks)-1)
	}
	if n := get[int](b, `SELECT count(*) FROM godwit.stream_block`); n != 0 {
		t.Errorf("%d blocks are left where none is open", n)
	}
	for _, x := range ledgerBlocks {
		if x.event == "redact" && b.holds(`"`+x.value+`"`) > 0 {
			t.Errorf("redacted data of %s version %d is somewhere", x.doc, x.version)
		}
	}
}

// applyAll applies items as the handler does: again after a lost reply, and with
// new tables where they are missing.
func (b *bench) applyAll(s change.Stream, items []change.Item) error {
	for range 50 {
		done, err := b.loader.Apply(b.t.Context(), s, items)
		items = items[done.Items:]
		var unknown *target.UnknownTableError
		var db *target.Error
		switch {
		case err == nil:
			if len(items) > 0 {
				return fmt.Errorf("%d items are left without an error", len(items))
			}
			return nil
		case errors.As(err, &unknown):
			source := change.LoadSource{SourceTable: unknown.Table, Current: unknown.Current, Active: true}
			if err := b.loader.EnsureTables(b.t.Context(), s, []change.LoadTable{pair("person", nameColumn)}, []change.LoadSource{source}); err != nil {
				return err
			}
		case errors.As(err, &db) && db.API == "NoAnswer":
		default:
			return err
		}
	}
	return errors.New("it does not end")
}

// items are the messages of one block: its summary, and its revision.
func (x block) items(n int64, mended bool) []change.Item {
	s := summary(n)
	switch x.event {
	case "redact":
		s.Block.Redactions = []change.Redaction{{TableID: x.table, Document: x.doc, Version: change.Version(x.version)}}
	case "drop", "undrop":
		s.Block.Events = []change.TableDrop{{Name: tableName(x.table)}}
		if x.event == "undrop" {
			s.Block.Events = []change.TableDrop{{TableID: x.table, Undrop: true}}
		}
	}
	if x.event != "" {
		return []change.Item{s}
	}
	item := x.revision.item(n)
	s.Block.Revisions = [][]byte{item.Revision.Hash}
	if !x.bad {
		return []change.Item{s, item}
	}
	bad := change.Item{Mark: item.Mark, Aside: &change.AsideItem{
		Object: fmt.Sprint("quarantine/", n), Reason: "no reason", Table: item.Revision.Table, Current: "person",
		Document: x.doc, Version: change.Version(x.version), Block: n, Hash: item.Revision.Hash,
	}}
	if mended {
		item.Mark.Sub = 1
		return []change.Item{s, bad, item}
	}
	return []change.Item{s, bad}
}

// tell puts a block into the archive of a plan.
func (p *plan) tell(x block) {
	switch {
	case x.event == "redact":
		p.redact = append(p.redact, x.revision)
	case x.event != "":
	case x.bad:
		p.aside = append(p.aside, x.revision)
	default:
		p.revisions = append(p.revisions, x.revision)
	}
}

func droppedBy(blocks []block, table string) bool {
	dropped := false
	for _, x := range blocks {
		if x.table == table && (x.event == "drop" || x.event == "undrop") {
			dropped = x.event == "drop"
		}
	}
	return dropped
}

// An oracle knows what a ledger says, told in order.
type oracle struct {
	history  bool
	versions map[string]revision // by document and version
	gone     map[string]bool
	aside    map[string]int64 // greatest version set aside, by document
	dropped  map[string]bool
}

func (o *oracle) tell(x block, mended bool) {
	key := fmt.Sprintf("%s:%03d", x.doc, x.version)
	switch {
	case x.event == "redact":
		o.gone[key] = true
	case x.event != "":
		o.dropped[x.table] = x.event == "drop"
	case x.bad && !mended:
		o.aside[x.doc] = max(o.aside[x.doc], x.version)
	default:
		o.versions[key] = x.revision
		o.gone[key] = o.gone[key] || x.gone
	}
}

func (o *oracle) expect() (current, all, rows string) {
	heads := map[string]revision{}
	var a, b, c []string
	for _, key := range slices.Sorted(mapKeys(o.versions)) {
		x := o.versions[key]
		heads[x.doc] = x
		b = append(b, fmt.Sprintf("%s:%d:%s", x.doc, x.version, x.op))
		switch {
		case o.gone[key]:
			x.value = "-/"
		case x.op == "D":
			x.value = "-"
		}
		c = append(c, fmt.Sprintf("%s:%d:%s", x.doc, x.version, x.value))
	}
	for _, doc := range slices.Sorted(mapKeys(heads)) {
		x := heads[doc]
		if x.op != "D" && !o.gone[fmt.Sprintf("%s:%03d", doc, x.version)] && o.aside[doc] <= x.version && !o.dropped[x.table] {
			a = append(a, fmt.Sprintf("%s:%d:%s", doc, x.version, x.value))
		}
	}
	return strings.Join(a, " "), strings.Join(b, " "), strings.Join(c, " ")
}
