package migrate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/change"
	"godwit/internal/journal"
	"godwit/internal/mapping"
)

// A load is a load after its transform: what the phases and the report work on.
// It is read from S3 anew by each of them.
type load struct {
	plan      *Plan
	tables    []SegmentTable // by ledger table id, over all segments; "" holds what has no table
	total     SegmentTable
	blocks    int64
	hashOnly  int64
	partBytes int64    // compressed
	asides    []string // keys of the first quarantine lists, as many as a report may show
	events    []journal.TableEvent
	live      map[string]bool     // ids of the tables that are not dropped, loaded or not
	found     map[string][]int64  // by ledger table name: see Segment.Found
	targets   []change.LoadTable  // in order of the current tables' names
	sources   []change.LoadSource // in order of their ids
	history   map[string]string   // ledger table name -> history table
	current   map[string]string   // ledger table name -> current table
	missing   []Missing
	redact    map[string]int64 // redactions that the archive asks for, by ledger table id
	proof     stitching
	stretches []stretch // whose block hashes segments left, in their order
}

// A Missing is a mapped path that led to nothing in the whole load.
type Missing struct{ Table, Column, Path string }

// readLoad reads the plan and the segments of a load, and refuses a transform
// that is not complete, and tables that cannot be loaded. Where a block was tampered
// with it does not look at tables: the proof stops the load, before all else.
func readLoad(ctx context.Context, o Objects, bucket, id string) (*load, error) {
	l := newLoad()
	if err := readJSON(ctx, o, bucket, planKey(id), l.plan); err != nil {
		return nil, err
	}
	byID := map[string]*SegmentTable{}
	var refused error // the first
	err := readSegments(ctx, o, bucket, l.plan, func(s *Segment) error {
		if err := l.add(s, byID); refused == nil {
			refused = err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.sum(byID)
	rules, err := compileMapping(l.plan, &change.Fields{})
	if err != nil {
		return nil, err
	}
	if err := l.resolve(rules); refused == nil {
		refused = err
	}
	if slices.ContainsFunc(l.proof.chain.Runs, hasTampered) {
		refused = nil
	}
	return l, refused
}

func newLoad() *load {
	return &load{plan: &Plan{}, history: map[string]string{}, current: map[string]string{}, found: map[string][]int64{}, redact: map[string]int64{}}
}

// sum takes the tables that add summed up.
func (l *load) sum(byID map[string]*SegmentTable) {
	for _, t := range byID {
		l.tables = append(l.tables, *t)
	}
	slices.SortFunc(l.tables, func(a, b SegmentTable) int { return strings.Compare(a.ID, b.ID) })
}

// add adds a segment, the next in the order of blocks, to the load. What it
// counts is added also when the error says that it cannot be loaded.
func (l *load) add(s *Segment, byID map[string]*SegmentTable) error {
	l.blocks += s.Blocks
	l.hashOnly += s.HashOnly
	l.events = append(l.events, s.Events...)
	l.proof.add(s.Runs)
	l.stretches = append(l.stretches, stretches(s)...)
	for _, p := range s.Parts {
		l.partBytes += p.Bytes
	}
	if s.Quarantine != nil && len(l.asides) < listed {
		l.asides = append(l.asides, quarantineKey(l.plan.LoadID, s.Item, s.Number))
	}
	for id, n := range s.Redactions {
		l.redact[id] += n
	}
	for name, counts := range s.Found {
		if l.found[name] == nil {
			l.found[name] = make([]int64, len(counts))
		}
		for i, n := range counts {
			l.found[name][i] += n
		}
	}
	var errs []error
	for _, t := range s.Tables {
		sum := byID[t.ID]
		if sum == nil {
			sum = &SegmentTable{ID: t.ID, Name: t.Name, FirstBlock: t.FirstBlock}
			byID[t.ID] = sum
		}
		if sum.Name != t.Name {
			errs = append(errs, twoNames(t.ID, sum.Name, t.Name, t.FirstBlock))
		}
		sum.LastBlock = max(sum.LastBlock, t.LastBlock)
		for _, sum := range []*SegmentTable{sum, &l.total} {
			sum.Read += t.Read
			sum.Staged += t.Staged
			sum.Quarantined += t.Quarantined
			sum.Filtered += t.Filtered
			sum.TypeUnproven += t.TypeUnproven
		}
	}
	return errors.Join(errs...)
}

// twoNames words what no ledger has: tables are not renamed.
func twoNames(id, one, other string, block int64) error {
	return &Stop{fmt.Errorf("table id %s is called %q and, in block %d, %q: a ledger's tables keep their names, so the archive was altered or is of two ledgers", id, one, block, other)}
}

// resolve finds the target tables of every ledger table that is loaded. Its error
// is about tables that cannot be; the others are resolved all the same.
func (l *load) resolve(rules *mapping.Mapping) error {
	var names []string
	for _, t := range l.tables {
		if t.ID != "" && l.plan.Input.wants(t.Name) && !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	unnamed := rules.Check(names)
	for _, name := range names {
		p, err := rules.Plan(name)
		if err != nil || p.Skip {
			continue // Check said why
		}
		l.targets = append(l.targets, change.LoadTable{Current: p.Current, History: p.History})
		l.current[name], l.history[name] = p.Current.Name, p.History.Name
		found, presence := l.found[name], p.Presence()
		byColumn := map[string]int64{} // alternatives of one column count together
		for i := range found {
			byColumn[presence[i].Column] += found[i]
		}
		for i := range found {
			if x := presence[i]; byColumn[x.Column] == 0 {
				l.missing = append(l.missing, Missing{name, x.Column, x.Path})
			}
		}
	}
	slices.SortFunc(l.targets, func(a, b change.LoadTable) int { return strings.Compare(a.Current.Name, b.Current.Name) })
	l.live = l.active()
	for _, t := range l.tables {
		if current, ok := l.current[t.Name]; ok && t.ID != "" {
			l.sources = append(l.sources, change.LoadSource{SourceTable: change.SourceTable{ID: t.ID, Name: t.Name}, Current: current, Active: l.live[t.ID]})
		}
	}
	if unnamed != nil {
		return &Stop{unnamed}
	}
	return nil
}

// active tells which table ids are not dropped at the end of the archive. QLDB
// writes the drop of a table as a statement in a block, by name; the id is the
// one that the name had then. A name has one active id at most, and the one that
// a revision was written to is it: a later one of the same name shows that the
// earlier was dropped, or brought back, even when that block is not in the
// archive.
func (l *load) active() map[string]bool {
	active := map[string]bool{}
	type write struct {
		id    string
		block int64
	}
	byName := map[string][]write{} // first and last of each id
	for _, t := range l.tables {
		if t.ID != "" {
			byName[t.Name] = append(byName[t.Name], write{t.ID, t.FirstBlock}, write{t.ID, t.LastBlock})
		}
	}
	for name, writes := range byName {
		slices.SortStableFunc(writes, func(a, b write) int { return cmp.Compare(a.block, b.block) })
		now := "" // the name's active id, as of the last block looked at
		next := 0
		upTo := func(block int64) {
			for next < len(writes) && writes[next].block <= block {
				now = writes[next].id
				next++
			}
		}
		for _, e := range l.events {
			switch {
			case e.Kind == journal.TableDropped && e.Name == name:
				upTo(e.Block)
				now = ""
			case e.Kind == journal.TableUndropped:
				upTo(e.Block)
				if slices.ContainsFunc(writes, func(w write) bool { return w.id == e.TableID }) {
					now = e.TableID
				}
			}
		}
		upTo(1<<63 - 1)
		if now != "" {
			active[now] = true
		}
	}
	return active
}

// tooMany words the stop of a load that set too many revisions aside.
func (l *load) tooMany(bucket string) string {
	var tables []string
	for _, t := range l.tables {
		if t.Quarantined > 0 {
			name := t.Name
			if t.ID == "" {
				name = "(no table known)"
			}
			tables = append(tables, fmt.Sprintf("%s %d", name, t.Quarantined))
		}
	}
	if l.plan.Input.planOnly() {
		return fmt.Sprintf("%d revisions do not map exactly (%s), and MaxQuarantined is %d: a load would stop before it loads anything. Mend the mapping, or plan with \"MaxQuarantined\": %d to load without them",
			l.total.Quarantined, strings.Join(tables, ", "), l.plan.Input.MaxQuarantined, l.total.Quarantined)
	}
	return fmt.Sprintf("%d revisions do not map exactly (%s), and MaxQuarantined is %d: nothing was loaded. s3://%s/loads/%s/quarantine/ lists each with its object, block, revision, path and reason: mend the mapping and start again with \"Abandon\": %q, or start with \"MaxQuarantined\": %d to load without them",
		l.total.Quarantined, strings.Join(tables, ", "), l.plan.Input.MaxQuarantined, bucket, l.plan.LoadID, l.plan.LoadID, l.total.Quarantined)
}

// load names the plan's load for the target.
func (p *Plan) load() change.Load {
	return change.Load{ID: p.LoadID, Schema: p.Schema, History: p.History, Strand: p.Strand, First: p.First, Last: p.Last, Apart: p.Input.AcceptGaps}
}

func shortHash(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:6])
}
