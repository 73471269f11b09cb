package migrate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/klauspost/compress/gzip"

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
	// Narrow hands the target's rows of a table to n, those that it looks for at least.
	Narrow(ctx context.Context, plan *SnapshotPlan, table int, n *verify.Narrowing) error
	// Repairs are the tasks that put rows right before anything is visible. They undo
	// foreign keys, so that Linking and the phases behind it follow. Tasks of another
	// call do the same once more.
	Repairs(plan *SnapshotPlan, repairs []RepairPlan) ([]change.Task, error)
	// Linking is the phase that makes foreign keys.
	Linking() string
	// Refused visits the rows that the load left out, by item and row.
	Refused(ctx context.Context, load string, visit func(item string, r change.Refusal) error) error
}

// The phases that every target has.
const (
	phaseTables  = "tables"
	phaseRows    = "rows"
	phaseDigests = "digests"
	phaseRepair  = "repair" // of tasks alone
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
	ReadPage(ctx context.Context, table *change.TablePlan, columns []string, from change.TablePage, yield func(row [][]byte) error) (change.TablePage, error)
	Repair(ctx context.Context, r change.TableRepair, out, in func(ctx context.Context, r change.Range, yield func(change.Lines) error) error) (done bool, err error)
	Position(ctx context.Context, load string, plans []change.TablePlan) error
	Publish(ctx context.Context, load string) error
}

// A DSQLTarget loads a snapshot into Aurora DSQL. It is the RowWriter of the load
// as well.
type DSQLTarget struct {
	DSQL
	Objects    Objects
	WorkBucket string
	Now        func() time.Time
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
func (t *DSQLTarget) Run(ctx context.Context, plan *SnapshotPlan, task change.Task, look bool) (done bool, err error) {
	switch task.Phase {
	case phaseTables:
		return true, t.DSQL.Tables(ctx, plan.LoadID, plan.Plans)
	case change.BuildIndexes, change.BuildForeignKeys:
		return t.build(ctx, plan, task.Phase)
	case phaseDigests:
		return t.digest(ctx, plan, task, look)
	case phaseRepair:
		return t.repair(ctx, plan, task)
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

// A dsqlDigest is how far the digests of a table are taken.
type dsqlDigest struct {
	Sums verify.RowSums // of the rows up to Page
	Page change.TablePage
}

// digest reads the rows of a table back, page by page, and keeps their sums behind
// each. It leaves the rest to another call before the deadline. The first call of an
// execution begins anew: rows may have been put right since another one took the
// digests.
func (t *DSQLTarget) digest(ctx context.Context, plan *SnapshotPlan, task change.Task, look bool) (bool, error) {
	table, err := t.table(plan, task.Name)
	if err != nil {
		return false, err
	}
	rows, err := verify.NewTargetRows(&plan.Plans[table])
	if err != nil {
		return false, &Stop{err}
	}
	key, at := targetSumsKey(plan.LoadID, table), change.TablePage{}
	if look {
		var d dsqlDigest
		if err := readJSON(ctx, t.Objects, t.WorkBucket, key, &d); err != nil {
			return false, err
		}
		rows.Sums, at = d.Sums, d.Page
	}
	stop, limited := handOn(ctx, t.Now())
	for !at.End {
		if at, err = t.ReadPage(ctx, &plan.Plans[table], rows.Columns(), at, rows.Add); err != nil {
			return false, err
		}
		if err := putJSON(ctx, t.Objects, t.WorkBucket, key, &dsqlDigest{rows.Sums, at}); err != nil {
			return false, err
		}
		if limited && !t.Now().Before(stop) {
			break
		}
	}
	return at.End, nil
}

// table is the index of the plan's table that a task names.
func (t *DSQLTarget) table(plan *SnapshotPlan, name string) (int, error) {
	table, err := strconv.Atoi(name)
	if err != nil || table < 0 || table >= len(plan.Plans) {
		return 0, &Stop{fmt.Errorf("task %q names no table of the plan", name)}
	}
	return table, nil
}

func targetSumsKey(load string, table int) string {
	return snapshotKey(load, fmt.Sprintf("evidence/target/%06d.json", table))
}

// Sums are those that the task of the table kept.
func (t *DSQLTarget) Sums(ctx context.Context, plan *SnapshotPlan, table int) (*verify.RowSums, error) {
	d := &dsqlDigest{}
	if err := readJSON(ctx, t.Objects, t.WorkBucket, targetSumsKey(plan.LoadID, table), d); err != nil {
		return nil, err
	}
	if !d.Page.End {
		return nil, &Again{fmt.Errorf("the digests of table %s.%s are being taken", plan.Plans[table].Target.Schema, plan.Plans[table].Target.Name)}
	}
	return &d.Sums, nil
}

// Narrow reads the rows of a table back.
func (t *DSQLTarget) Narrow(ctx context.Context, plan *SnapshotPlan, table int, n *verify.Narrowing) (err error) {
	for at := (change.TablePage{}); !at.End; {
		if at, err = t.ReadPage(ctx, &plan.Plans[table], n.Target.Columns(), at, n.AddTarget); err != nil {
			return err
		}
	}
	return nil
}

// Linking is the phase that makes foreign keys.
func (t *DSQLTarget) Linking() string { return change.BuildForeignKeys }

// Repairs are one task a table. The moment makes it another than those of repairs
// before.
func (t *DSQLTarget) Repairs(_ *SnapshotPlan, repairs []RepairPlan) ([]change.Task, error) {
	id := t.Now().UTC().Format(time.RFC3339Nano)
	var tasks []change.Task
	for _, r := range repairs {
		args, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, change.Task{Phase: phaseRepair, Name: "repair/" + id + "/" + shortHash(string(args)), Args: args})
	}
	return tasks, nil
}

// repair does the task of a table.
func (t *DSQLTarget) repair(ctx context.Context, plan *SnapshotPlan, task change.Task) (bool, error) {
	var r RepairPlan
	if err := json.Unmarshal(task.Args, &r); err != nil {
		return false, &Stop{fmt.Errorf("task %q: %w", task.Name, err)}
	}
	table, err := t.table(plan, fmt.Sprint(r.Table))
	if err != nil {
		return false, err
	}
	if r.Out.Rows+r.In.Rows == 0 {
		return true, nil
	}
	stop, limited := handOn(ctx, t.Now())
	if limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, stop)
		defer cancel()
	}
	done, err := t.Repair(ctx, change.TableRepair{
		Load: plan.LoadID, ID: task.Name, Table: &plan.Plans[table], Plans: plan.Plans, Out: r.Out.Rows, In: r.In.Rows,
	}, t.lines(&r.Out), t.lines(&r.In))
	if err != nil {
		err = fmt.Errorf("repair table %s.%s: %w", plan.Plans[table].Target.Schema, plan.Plans[table].Target.Name, err)
	}
	return done, err
}

// linesYielded is about how many bytes of lines are yielded at a time.
const linesYielded = 1 << 20

// lines yields the lines of a file.
func (t *DSQLTarget) lines(f *CopyFile) func(ctx context.Context, r change.Range, yield func(change.Lines) error) error {
	return func(ctx context.Context, r change.Range, yield func(change.Lines) error) error {
		body, err := t.Objects.Open(ctx, t.WorkBucket, f.Key, "", 0)
		if err != nil {
			return err
		}
		defer func() { _ = body.Close() }() // read only
		unzip, err := gzip.NewReader(body)
		if err != nil {
			return fmt.Errorf("read s3://%s/%s: %w", t.WorkBucket, f.Key, err)
		}
		text := bufio.NewReaderSize(unzip, linesYielded)
		lines := change.Lines{First: r.First}
		flush := func() error {
			err := yield(lines)
			lines = change.Lines{First: lines.First + int64(len(lines.Ends)), Data: lines.Data[:0], Ends: lines.Ends[:0]}
			return err
		}
		for row := int64(0); row <= r.Last; {
			// A line may be longer than what is read at a time.
			piece, err := text.ReadSlice('\n')
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return fmt.Errorf("read row %d of s3://%s/%s: %w", row, t.WorkBucket, f.Key, err)
			}
			if row >= r.First {
				lines.Data = append(lines.Data, piece...)
			}
			if err != nil {
				continue
			}
			if row >= r.First {
				lines.Ends = append(lines.Ends, len(lines.Data))
			}
			row++
			if len(lines.Ends) > 0 && len(lines.Data) >= linesYielded {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if len(lines.Ends) == 0 {
			return nil
		}
		return flush()
	}
}
