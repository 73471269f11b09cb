package dsql

import (
	"context"
	"errors"

	"godwit/internal/change"
)

// Prepare makes, as admin, the role that loads, its bookkeeping and the schemas
// that it may fill. Doing it again changes nothing.
func (db *DB) Prepare(ctx context.Context, p Preparation) error { return errors.ErrUnsupported }

// Begin registers a load, or finds it registered. A *LoadedError says that one of
// its tables is another load's, or nobody's; a *PlanChangedError that the load
// began with another plan.
func (db *DB) Begin(ctx context.Context, load change.TableLoad) (*change.TableLoadState, error) {
	return nil, errors.ErrUnsupported
}

// State tells what is recorded of a load; nil where the load is unknown.
func (db *DB) State(ctx context.Context, load string) (*change.TableLoadState, error) {
	return nil, errors.ErrUnsupported
}

// Refused lists rows that were refused, by item and row, at most limit.
func (db *DB) Refused(ctx context.Context, load string, limit int) ([]change.Refusal, error) {
	return nil, errors.ErrUnsupported
}

// Tables makes the tables of a load with their primary keys, checks, defaults and
// identities. Those that it made before are left alone.
func (db *DB) Tables(ctx context.Context, load string, plans []change.TablePlan) error {
	return errors.ErrUnsupported
}

// A Source yields the lines of the rows of a range, in order and without gaps.
type Source = func(ctx context.Context, rows change.Range, yield func(change.Lines) error) error

// Load stores what is missing of an item.
func (db *DB) Load(ctx context.Context, item change.TableItem, rows Source) (change.TableProgress, error) {
	return change.TableProgress{}, errors.ErrUnsupported
}

// Build begins what a phase (change.BuildIndexes, change.BuildForeignKeys) has to
// build, settles what has ended, and builds anew what is invalid.
func (db *DB) Build(ctx context.Context, load, phase string, plans []change.TablePlan) (change.BuildState, error) {
	return change.BuildState{}, errors.ErrUnsupported
}

// Orphans lists rows whose foreign key references no row: the texts of the
// table's key, or of the referencing columns where it has none; at most limit.
func (db *DB) Orphans(ctx context.Context, plan change.TablePlan, foreign change.Foreign, limit int) ([][]string, error) {
	return nil, errors.ErrUnsupported
}

// Publish marks a load as complete. Doing it again changes nothing.
func (db *DB) Publish(ctx context.Context, load string) error { return errors.ErrUnsupported }

// Query runs a statement that reads, and hands each row to yield: the text of
// each value, nil for NULL, valid until yield returns.
func (db *DB) Query(ctx context.Context, yield func(row [][]byte) error, sql string, args ...any) error {
	return errors.ErrUnsupported
}

// Exec runs one statement that may be repeated, and returns how many rows it changed.
func (db *DB) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	return 0, errors.ErrUnsupported
}

// A Fact is what a probe found: the name of a limit or feature, and its value.
type Fact struct {
	Name  string `json:"name"`
	Holds bool   `json:"holds"`
	Note  string `json:"note,omitempty"` // the database's words
}

// Probe tries in a scratch schema what the documentation leaves open.
func (db *DB) Probe(ctx context.Context, schema string) ([]Fact, error) {
	return nil, errors.ErrUnsupported
}
