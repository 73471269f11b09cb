package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"godwit/internal/change"
	"godwit/internal/mapping"
)

const (
	// waitFor is how long a message that breaks a rule between rows is tried again
	// before it is set aside: from its arrival in the stream on, and of what waited in
	// the stream for long, from when the first of its shard broke one here. Other
	// shards, where what it waits for may be, come on meanwhile.
	waitFor = 5 * time.Minute
	// registrations is how often one batch follows a registration that changes.
	registrations = 3
)

// An applier is the one way of a stream's messages into its target, for
// StreamApply and StreamReplay. It keeps what it knows of the stream from call to
// call; one goroutine uses it.
type applier struct {
	Objects       Objects
	Target        StreamTarget
	FailureBucket string
	Now           func() time.Time

	itemizer *itemizer
	waits    map[string]time.Time // by shard: when a message of it broke a rule between rows first; nil: nothing waits for others to be read
}

// outcome is what became of deliveries.
type outcome struct {
	done     int   // deliveries, from the first on, of which nothing is left to do
	messages int64 // that were applied or set aside
	applied  change.Applied
	skipped  int64 // revisions and rows of which the target was not asked
	newest   time.Time
	block    int64 // highest that was met
}

func (o *outcome) add(a change.Applied) {
	t := &o.applied
	t.Items += a.Items
	t.Rows += a.Rows
	t.History += a.History
	t.Skipped += a.Skipped
	t.Aside += a.Aside
	t.Calls += a.Calls
	t.Bytes += a.Bytes
	t.SplitFaults += a.SplitFaults
	t.GapFree = max(t.GapFree, a.GapFree)
}

// apply applies deliveries of one stream in order. The outcome holds also beside
// an error. All may be repeated.
func (a *applier) apply(ctx context.Context, name string, deliveries []delivery) (out outcome, err error) {
	for try := 1; ; try++ {
		if err := a.register(ctx, name); err != nil {
			return out, err
		}
		err := a.once(ctx, deliveries, &out)
		var changed *change.StreamChangedError
		var unknown *change.UnknownTableError
		switch {
		case errors.As(err, &changed):
			a.itemizer = nil
		case errors.As(err, &unknown):
			clear(a.itemizer.ensured) // it was dropped since
		case outdated(err) && len(a.itemizer.tables)+len(a.itemizer.ensured) > 0:
			// One of them was altered or dropped since.
			clear(a.itemizer.tables)
			clear(a.itemizer.ensured)
		default:
			var contradiction *integrityError
			if errors.As(err, &contradiction) {
				err = &change.IntegrityError{Stream: name, Message: contradiction.reason}
			}
			return out, err
		}
		if try == registrations {
			return out, &Again{err}
		}
	}
}

// outdated tells whether the database misses a column or a table.
func outdated(err error) bool {
	var state interface{ SQLState() string }
	return errors.As(err, &state) && (state.SQLState() == "42703" || state.SQLState() == "42P01")
}

// register reads the stream's registration, unless it is known.
func (a *applier) register(ctx context.Context, name string) error {
	if a.itemizer != nil && a.itemizer.stream.Name == name {
		return nil
	}
	s, err := a.Target.Stream(ctx, name)
	if err != nil {
		return err
	}
	if s.Stopped != "" {
		return &change.StreamStoppedError{Stream: name, Reason: s.Stopped}
	}
	a.itemizer, err = newItemizer(s)
	return err
}

// once applies what is left of deliveries under one registration.
func (a *applier) once(ctx context.Context, all []delivery, out *outcome) error {
	from := out.done
	deliveries := all[from:]
	b, err := a.itemizer.read(deliveries)
	if err != nil {
		return err
	}
	out.newest, out.block = b.newest, b.block
	if err := a.tables(ctx, b); err != nil {
		return err
	}
	if err := a.keep(ctx, deliveries, b); err != nil {
		return err
	}
	// Behind a message that the database refuses there may be more of them: the next
	// requests are small, and grow while all goes well.
	most := len(b.entries)
	for at := 0; at < len(b.entries); {
		items, starts := flatten(b.entries[at:min(len(b.entries), at+most)])
		done, err := a.Target.Apply(ctx, a.itemizer.stream, items)
		out.add(done)
		// What is done ends with a message.
		passed, exact := slices.BinarySearch(starts, done.Items)
		if !exact && passed < len(starts) {
			passed--
		}
		at += passed
		out.messages += int64(passed)
		out.done = len(all)
		if at < len(b.entries) {
			out.done = from + b.entries[at].delivery
		}
		if err == nil && passed == len(starts) {
			most *= 2
			continue
		}
		most = 1
		if err = a.refused(deliveries, b, at, err); err != nil {
			return err
		}
		if err := a.keep(ctx, deliveries, b); err != nil {
			return err
		}
	}
	// Counted when nothing of it can be counted again.
	out.skipped += b.skipped
	return nil
}

// flatten lists the items of entries, and where each entry's begin.
func flatten(entries []entry) (items []change.Item, starts []int) {
	for i := range entries {
		starts = append(starts, len(items))
		items = append(items, entries[i].items...)
	}
	return items, starts
}

// refused sets the entry at which the target stopped aside, where the error says
// that it will never be applied; any other error is returned.
func (a *applier) refused(deliveries []delivery, b *batch, at int, err error) error {
	var refused *change.RefusedError
	var waits *change.WaitError
	var integrity *change.IntegrityError
	var reason string
	switch {
	case err == nil:
		return &Stop{fmt.Errorf("the target left a message undone and says no error: please report this")}
	case at == len(b.entries):
		return err
	case errors.As(err, &refused):
		reason = fmt.Sprintf("%s (SQLSTATE %s)", refused.Detail, refused.State)
	case errors.As(err, &waits):
		d := &deliveries[b.entries[at].delivery]
		since := d.arrived
		if a.waits != nil {
			if a.waits[d.shard].IsZero() {
				a.waits[d.shard] = a.Now()
			}
			if first := a.waits[d.shard]; first.After(since) {
				since = first
			}
		}
		if a.Now().Sub(since) < waitFor {
			return &Again{err}
		}
		reason = fmt.Sprintf("it breaks a rule between rows, and none that came in %v since mends that: %s (SQLSTATE %s); take the rule out until the cut-over, or make it DEFERRABLE, and replay", waitFor, waits.Detail, waits.State)
	case errors.As(err, &integrity) && integrity.Item >= 0:
		return a.contradicts(&b.entries[at], integrity)
	default:
		return err
	}
	e := &b.entries[at]
	if e.aside != nil {
		return &Stop{fmt.Errorf("the database refuses to note that message %d of record %s is set aside: %w", e.aside.mark.Sub, e.aside.mark.Sequence, err)}
	}
	e.refuse(reason)
	return nil
}

// contradicts sets an entry aside that contradicts what the target has, where the
// registration names its record; otherwise the error names it. What the message
// says of its document and its block is not noted.
func (a *applier) contradicts(e *entry, err *change.IntegrityError) error {
	mark := e.items[0].Mark
	noted := e.aside != nil && e.aside.Hash == nil // as it would be again
	if noted || !slices.Contains(a.itemizer.stream.Aside, mark.Record()) {
		return &change.IntegrityError{Item: err.Item, Stream: err.Stream, Message: named(err.Message, mark)}
	}
	e.poison(mark, setAside{Reason: err.Message, Block: -1})
	return nil
}

// tables makes ledger tables that the target may lack, and converts rows by those
// that it has.
func (a *applier) tables(ctx context.Context, b *batch) error {
	d := a.itemizer
	if len(d.unseen) > 0 {
		tables, sources := loadTables(d.unseen)
		if err := a.Target.EnsureTables(ctx, d.stream, tables, sources); err != nil {
			return err
		}
		for t := range d.unseen {
			d.ensured[t] = true
		}
	}
	for _, t := range d.tables {
		t.fresh = false
	}
	for names := d.missing(b); ; {
		if len(names) > 0 {
			found, err := a.Target.RowTables(ctx, names)
			if err != nil {
				return err
			}
			d.know(names, found)
		}
		if names = d.rows(b); len(names) == 0 {
			return nil
		}
	}
}

// loadTables are the target's tables of ledger tables, both in order of names.
func loadTables(plans map[change.SourceTable]*mapping.Plan) (tables []change.LoadTable, sources []change.LoadSource) {
	order := slices.SortedFunc(maps.Keys(plans), func(x, y change.SourceTable) int {
		return strings.Compare(x.Name+"\x00"+x.ID, y.Name+"\x00"+y.ID)
	})
	for i, t := range order {
		p := plans[t]
		if i == 0 || order[i-1].Name != t.Name {
			tables = append(tables, change.LoadTable{Current: p.Current, History: p.History})
		}
		sources = append(sources, change.LoadSource{SourceTable: t, Current: p.Current.Name, Active: true})
	}
	return tables, sources
}
