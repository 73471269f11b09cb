package migrate

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/journal"
	"godwit/internal/report"
)

// redactionTable is godwit.redaction, column for column.
var redactionTable = change.Table{Name: "redaction", Columns: []change.Column{
	{Name: "load_id", Type: change.Type{Kind: change.Text}},
	{Name: "table_id", Type: change.Type{Kind: change.Text}},
	{Name: "doc_id", Type: change.Type{Kind: change.Text}},
	{Name: "version", Type: change.Type{Kind: change.Int, Bits: 64}},
	{Name: "block", Type: change.Type{Kind: change.Int, Bits: 64}},
	{Name: "data_hash", Type: change.Type{Kind: change.Text}},
	{Name: "outcome", Type: change.Type{Kind: change.Text}},
}}

// redactions lists what a block asks to redact: the data of a revision in an
// earlier block, which an archive still has where it was exported before QLDB
// removed it. The target applies the list before anything is shown; it counts
// also for tables that this load leaves out.
func (s *segment) redactions(b *journal.Block) error {
	if !s.plan.Input.applyRedactions() {
		return nil
	}
	for i := range b.Redactions {
		r := &b.Redactions[i]
		null := change.Value{Kind: change.Null}
		row := change.Row{Table: &redactionTable, Values: []change.Value{
			text(s.plan.LoadID), text(r.TableID), text(string(r.DocumentID)), num(int64(r.Version)), num(b.SequenceNo), null, null,
		}}
		var err error
		if s.line, err = copytext.AppendRow(s.line[:0], row); err != nil {
			return err
		}
		s.wrote += int64(len(s.line))
		if err := s.write(&s.redact, s.line); err != nil {
			return err
		}
	}
	return nil
}

// redacted is what became of the redactions that the archive asks for.
func (r *Report) redacted(ctx context.Context, l *load) ([]report.Redacted, error) {
	names := map[string]string{}
	for _, t := range l.tables {
		names[t.ID] = t.Name
	}
	var out []report.Redacted
	if !l.plan.Input.applyRedactions() {
		for _, id := range slices.Sorted(maps.Keys(l.redact)) {
			out = append(out, report.Redacted{Table: cmp.Or(names[id], id), Kept: l.redact[id]})
		}
		return out, nil
	}
	all, err := r.Target.Redacted(ctx, l.plan.LoadID)
	for _, x := range all {
		out = append(out, report.Redacted{
			Table: cmp.Or(x.Table, names[x.TableID], x.TableID), Already: x.Already, Loaded: x.Loaded, Shown: x.Shown, Unknown: x.Unknown,
		})
	}
	return out, err
}
