package migrate

import (
	"context"

	"godwit/internal/change"
)

// Target is the loader's view of the target database. Everything may be
// repeated after any error, and beside itself: what committed is not done again.
type Target interface {
	// Begin registers a load and reserves its schema against other loads.
	// published is true when the load is visible already.
	Begin(ctx context.Context, l change.Load) (published bool, err error)
	// Abandon removes everything of a load that is not published.
	Abandon(ctx context.Context, load string) error
	// Stage creates the hidden tables of a load.
	Stage(ctx context.Context, l change.Load, tables []change.LoadTable, sources []change.LoadSource) error
	// Slices cuts a table's documents into ranges, always the same ones.
	Slices(ctx context.Context, load, current string, rows int64) ([]change.Slice, error)
	// StagedRows counts imported rows by ledger table id, "" for the quarantine list.
	StagedRows(ctx context.Context, load string) (map[string]int64, error)
	// Published sums what the slices made, by current table.
	Published(ctx context.Context, load string) ([]change.Published, error)
	// Stored reads back the revisions that the slices found, by ledger table id.
	Stored(ctx context.Context, load string) ([]change.Stored, error)
	// Redacted counts what became of redactions, by ledger table id.
	Redacted(ctx context.Context, load string) ([]change.Redacted, error)
	// Times tells when the load began (phase "load") and when each phase ran.
	Times(ctx context.Context, load string) ([]change.PhaseTime, error)
	// Run does a task unless it is done; done is false while an attempt, this
	// one or another, goes on. look asks about an attempt whose end nobody saw.
	Run(ctx context.Context, load string, t change.Task, look bool) (done bool, err error)
}
