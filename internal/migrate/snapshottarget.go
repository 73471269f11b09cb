package migrate

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"godwit/internal/change"
	"godwit/internal/verify"
)

// A SnapshotTarget is a database that a snapshot is loaded into, as far as all
// kinds of them are alike. Everything may be repeated after any error, and beside
// itself: what committed is not done again.
type SnapshotTarget interface {
	// Begin registers a load, or finds it and says how far it is. It refuses tables
	// that the target has of another load, unless that may be replaced.
	Begin(ctx context.Context, load change.TableLoad) (*change.TableLoadState, error)
	// Phases are what is done before the rows (the first), and behind them, in
	// order; digests and visible follow in every target.
	Phases() []string
	// Tasks are those of a phase, always the same ones.
	Tasks(ctx context.Context, plan *SnapshotPlan, phase string) ([]change.Task, error)
	// Run does a task unless it is done; done is false while it goes on. look asks
	// about an attempt whose end nobody saw.
	Run(ctx context.Context, plan *SnapshotPlan, t change.Task, look bool) (done bool, err error)
	// Sums are the digests of a table's rows in the target, once the tasks of the
	// phase digests are done.
	Sums(ctx context.Context, plan *SnapshotPlan, table int) (*verify.RowSums, error)
	// ReadBack hands each row of a table to yield, as the texts of these columns that
	// a server in UTC with DateStyle ISO prints, nil for NULL.
	ReadBack(ctx context.Context, table *change.TablePlan, columns []string, yield func(row [][]byte) error) error
	// Refused visits the rows that the load left out, by item and row.
	Refused(ctx context.Context, load string, visit func(item string, r change.Refusal) error) error
}

// The phases that every target has.
const (
	phaseTables  = "tables"
	phaseRows    = "rows"
	phaseDigests = "digests"
)

// DSQL is an Aurora DSQL cluster, as far as the load of a snapshot goes. See
// package target/dsql.
type DSQL interface {
	Begin(ctx context.Context, load change.TableLoad) (*change.TableLoadState, error)
	Tables(ctx context.Context, load string, plans []change.TablePlan) error
	Load(ctx context.Context, item change.TableItem, rows func(ctx context.Context, r change.Range, yield func(change.Lines) error) error) (change.TableProgress, error)
	Build(ctx context.Context, load, phase string, plans []change.TablePlan) (change.BuildState, error)
	Orphans(ctx context.Context, plan change.TablePlan, foreign change.Foreign, limit int) ([][]string, error)
	Refused(ctx context.Context, load string, yield func(item string, r change.Refusal) error) error
	ReadBack(ctx context.Context, table *change.TablePlan, columns []string, yield func(row [][]byte) error) error
	Position(ctx context.Context, load string, plans []change.TablePlan) error
	Publish(ctx context.Context, load string) error
}

// A DSQLTarget loads a snapshot into Aurora DSQL. It is the RowWriter of the load
// as well.
type DSQLTarget struct {
	DSQL
	Objects    Objects
	WorkBucket string
}

// Phases are what DSQL builds behind the rows, which are in their tables at once.
func (t *DSQLTarget) Phases() []string {
	return []string{phaseTables, change.BuildIndexes, change.BuildForeignKeys}
}

// Tasks are one for each phase, because DSQL builds many things at a time by
// itself; digests are taken table by table.
func (t *DSQLTarget) Tasks(_ context.Context, plan *SnapshotPlan, phase string) ([]change.Task, error) {
	if phase != phaseDigests {
		return []change.Task{{Phase: phase, Name: phase}}, nil
	}
	var tasks []change.Task
	for i := range plan.Plans {
		tasks = append(tasks, change.Task{Phase: phase, Name: fmt.Sprint(i)})
	}
	return tasks, nil
}

// Run does a task.
func (t *DSQLTarget) Run(ctx context.Context, plan *SnapshotPlan, task change.Task, _ bool) (done bool, err error) {
	switch task.Phase {
	case phaseTables:
		return true, t.DSQL.Tables(ctx, plan.LoadID, plan.Plans)
	case change.BuildIndexes, change.BuildForeignKeys:
		return t.build(ctx, plan, task.Phase)
	case phaseDigests:
		return t.digest(ctx, plan, task)
	case phaseVisible:
		if err := t.Position(ctx, plan.LoadID, plan.Plans); err != nil {
			return false, err
		}
		return true, t.Publish(ctx, plan.LoadID)
	}
	return false, &Stop{fmt.Errorf("no phase is named %q", task.Phase)}
}

// build has DSQL build what a phase has, and looks how far it is.
func (t *DSQLTarget) build(ctx context.Context, plan *SnapshotPlan, phase string) (bool, error) {
	state, err := t.DSQL.Build(ctx, plan.LoadID, phase, plan.Plans)
	if err != nil || state.Running > 0 {
		return false, err
	}
	var errs []error
	for _, f := range state.Failed {
		text := fmt.Sprintf("%s of table %s.%s cannot be built: %s", f.Name, f.Table.Schema, f.Table.Name, f.Reason)
		if phase == change.BuildForeignKeys {
			where, err := t.orphans(ctx, plan, f)
			if err != nil {
				return false, err
			}
			text += where
		}
		errs = append(errs, errors.New(text))
	}
	if len(errs) > 0 {
		return false, &Stop{fmt.Errorf("%w\nmend the source's rows and take another snapshot, or leave it out by the rules of Mapping", errors.Join(errs...))}
	}
	return true, nil
}

// orphansListed is how many rows that refer to nothing are listed of a foreign key.
const orphansListed = 1000

// orphans lists the rows that refer to nothing in a file, because their keys are
// values, and errors are logged.
func (t *DSQLTarget) orphans(ctx context.Context, plan *SnapshotPlan, failed change.BuildResult) (string, error) {
	for _, p := range plan.Plans {
		for _, f := range p.Foreign {
			if p.Target != failed.Table || f.Name != failed.Name {
				continue
			}
			keys, err := t.Orphans(ctx, p, f, orphansListed)
			if err != nil || len(keys) == 0 {
				return "", err
			}
			return fmt.Sprintf("; %d rows or more refer to nothing: s3://%s/%s lists them by key", len(keys), t.WorkBucket, orphansKey(plan.LoadID, &p, &f)), putOrphans(ctx, t.Objects, t.WorkBucket, plan.LoadID, &p, &f, keys)
		}
	}
	return "", nil
}

func orphansKey(load string, p *change.TablePlan, f *change.Foreign) string {
	return snapshotKey(load, "quarantine/orphans-"+shortHash(p.Target.Schema+"."+p.Target.Name+"."+f.Name)+".json")
}

// putOrphans writes the file of a foreign key's orphans; keys are the texts of the
// table's key, or of the columns of the foreign key where there is no key.
func putOrphans(ctx context.Context, o Objects, bucket, load string, p *change.TablePlan, f *change.Foreign, keys [][]string) error {
	columns := p.Key
	if len(columns) == 0 {
		columns = f.Columns
	}
	return putJSON(ctx, o, bucket, orphansKey(load, p, f), struct {
		Table      change.TableName
		ForeignKey string
		Key        []string
		Rows       [][]string // texts of Key
	}{p.Target, f.Name, columns, keys})
}

// digest reads the rows of a table back and keeps their sums.
func (t *DSQLTarget) digest(ctx context.Context, plan *SnapshotPlan, task change.Task) (bool, error) {
	table, err := strconv.Atoi(task.Name)
	if err != nil || table < 0 || table >= len(plan.Plans) {
		return false, &Stop{fmt.Errorf("task %q names no table of the plan", task.Name)}
	}
	rows, err := verify.NewTargetRows(&plan.Plans[table])
	if err != nil {
		return false, &Stop{err}
	}
	if err := t.ReadBack(ctx, &plan.Plans[table], rows.Columns(), rows.Add); err != nil {
		return false, err
	}
	return true, putJSON(ctx, t.Objects, t.WorkBucket, targetSumsKey(plan.LoadID, table), &rows.Sums)
}

func targetSumsKey(load string, table int) string {
	return snapshotKey(load, fmt.Sprintf("evidence/target/%06d.json", table))
}

// Sums are those that the task of the table kept.
func (t *DSQLTarget) Sums(ctx context.Context, plan *SnapshotPlan, table int) (*verify.RowSums, error) {
	sums := &verify.RowSums{}
	return sums, readJSON(ctx, t.Objects, t.WorkBucket, targetSumsKey(plan.LoadID, table), sums)
}
