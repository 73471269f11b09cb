package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"godwit/internal/change"
	"godwit/internal/verify"
)

// Aurora is an Aurora PostgreSQL database behind the Data API, as far as the load
// of a snapshot goes. See package target.
type Aurora interface {
	BeginTables(ctx context.Context, load change.TableLoad) (*change.TableLoadState, error)
	TableTasks(phase string, plans []change.TablePlan) ([]change.Task, error)
	RunTables(ctx context.Context, load change.TableLoad, plans []change.TablePlan, t change.Task, look bool) (done bool, err error)
	TableBroken(ctx context.Context, load string) (map[string]int64, error)
	TableOrphans(ctx context.Context, load, task string) ([][]string, error)
	ReadBack(ctx context.Context, table change.TableName, values []string, where string, yield func(row [][]byte) error) error
	TableSums(ctx context.Context, load string, table change.TableName, visit func(bucket int, rows, high, low string) error) error
}

// An AuroraTarget loads a snapshot into Aurora PostgreSQL: rows become parts on
// S3, which the database imports into hidden tables. Keys, indexes and foreign keys
// are built there, and all tables are shown at once. It is the RowWriter of the
// load as well.
type AuroraTarget struct {
	Aurora
	Quote      func(name ...string) string // an identifier, or a qualified one
	Objects    Objects
	WorkBucket string
	Region     string // of the work bucket
	Now        func() time.Time
	// PartBytes is about how large the text of a part is; 0 is 128 MiB.
	PartBytes int64
}

// The phases of Aurora PostgreSQL beside those that every target has.
const (
	phaseForeign  = "foreign"
	phaseValidate = "validate"
)

// Begin registers the load.
func (t *AuroraTarget) Begin(ctx context.Context, load change.TableLoad) (*change.TableLoadState, error) {
	return t.BeginTables(ctx, load)
}

// Phases are what Aurora PostgreSQL builds, in hidden tables.
func (t *AuroraTarget) Phases() []string {
	return []string{phaseTables, phaseImport, phaseKeys, phaseIndexes, phaseForeign, phaseValidate}
}

// Tasks are those of a phase. In front of the digests they are an error where rows
// refer to nothing: by then all foreign keys were held against the rows.
func (t *AuroraTarget) Tasks(ctx context.Context, plan *SnapshotPlan, phase string) ([]change.Task, error) {
	switch phase {
	case phaseImport:
		return t.imports(ctx, plan)
	case phaseDigests:
		if err := t.broken(ctx, plan); err != nil {
			return nil, err
		}
	}
	return t.TableTasks(phase, plan.Plans)
}

// imports are the tasks that import the parts of all items. A set of parts that is
// not complete is an error.
func (t *AuroraTarget) imports(ctx context.Context, plan *SnapshotPlan) ([]change.Task, error) {
	tables := map[change.TableName]int{}
	for i, p := range plan.Plans {
		tables[p.Target] = i
	}
	var keys []string
	err := t.Objects.List(ctx, t.WorkBucket, snapshotPartsPrefix(plan.LoadID), func(key, _ string, _ int64, _ string) error {
		if strings.HasSuffix(key, partRecord) {
			keys = append(keys, key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(keys) // numbers have leading zeros
	tasks := []change.Task{}
	item, number := 0, 0
	err = inOrder(ctx, len(keys), func(ctx context.Context, i int, p *snapshotPart) error {
		return readJSON(ctx, t.Objects, t.WorkBucket, keys[i], p)
	}, func(p *snapshotPart) error {
		if p.Item != item || p.Number != number {
			return missingPart(plan.LoadID, item, number)
		}
		if number++; p.Last {
			item, number = item+1, 0
		}
		if p.Loaded == 0 {
			return nil // and has no object: aws_s3 refuses an empty one
		}
		table, known := tables[p.Table]
		if !known {
			return &Stop{fmt.Errorf("item %d is of table %s.%s, which the plan does not have: please report this", p.Item, p.Table.Schema, p.Table.Name)}
		}
		args, err := json.Marshal(struct {
			Table  int    `json:"table"`
			Bucket string `json:"bucket"`
			Key    string `json:"key"`
			Region string `json:"region"`
			Rows   int64  `json:"rows"`
		}{table, t.WorkBucket, snapshotPartKey(plan.LoadID, p.Item, p.Number), t.Region, p.Loaded})
		tasks = append(tasks, change.Task{Phase: phaseImport, Name: fmt.Sprintf("%d/%d", p.Item, p.Number), Args: args})
		return err
	})
	if err == nil && (item != plan.Items || number != 0) {
		err = missingPart(plan.LoadID, item, number)
	}
	return tasks, err
}

func missingPart(load string, item, number int) error {
	return &Stop{fmt.Errorf("load %s: part %d of item %d is missing under %s, where parts are kept for a while only: start SnapshotLoad again with another mapping or \"Replace\": true", load, number, item, snapshotPartsPrefix(load))}
}

// broken is the error of a load that has rows that refer to nothing.
func (t *AuroraTarget) broken(ctx context.Context, plan *SnapshotPlan) error {
	listed, err := t.TableBroken(ctx, plan.LoadID)
	if err != nil || len(listed) == 0 {
		return err
	}
	var errs []error
	for _, p := range plan.Plans {
		for _, f := range p.Foreign {
			if n, found := listed[t.foreignTask(&p, &f)]; found {
				errs = append(errs, fmt.Errorf("foreign key %s of table %s.%s does not hold: %d rows or more refer to nothing; s3://%s/%s lists them by key",
					f.Name, p.Target.Schema, p.Target.Name, n, t.WorkBucket, orphansKey(plan.LoadID, &p, &f)))
			}
		}
	}
	return &Stop{fmt.Errorf("%w\nmend the source's rows and take another snapshot, or leave the rows out by the rules of Mapping", errors.Join(errs...))}
}

// foreignTask is the name of the task that holds a table's rows against a foreign
// key.
func (t *AuroraTarget) foreignTask(p *change.TablePlan, f *change.Foreign) string {
	return t.Quote(p.Target.Schema, p.Target.Name) + " " + t.Quote(f.Name)
}

// Run does a task.
func (t *AuroraTarget) Run(ctx context.Context, plan *SnapshotPlan, task change.Task, look bool) (done bool, err error) {
	load, err := plan.load()
	if err != nil {
		return false, err
	}
	if task.Phase == phaseDigests {
		if task.Args, err = t.digest(plan, &load, task); err != nil {
			return false, err
		}
	}
	done, err = t.RunTables(ctx, load, plan.Plans, task, look)
	if !done || err != nil || task.Phase != phaseValidate {
		return done, err
	}
	return true, t.orphans(ctx, plan, task)
}

// digest is the arguments of the task that digests a table.
func (t *AuroraTarget) digest(plan *SnapshotPlan, load *change.TableLoad, task change.Task) (json.RawMessage, error) {
	at := slices.IndexFunc(plan.Plans, func(p change.TablePlan) bool { return t.Quote(p.Target.Schema, p.Target.Name) == task.Name })
	if at < 0 {
		return nil, &Stop{fmt.Errorf("task %q names no table of the plan", task.Name)}
	}
	name := plan.Plans[at].Target
	sql, err := verify.SumsSQL(&plan.Plans[at], t.Quote(load.Stage(name.Schema), name.Name), t.Quote)
	if err != nil {
		return nil, &Stop{err}
	}
	return json.Marshal(map[string]string{"sql": sql})
}

// orphans lists the rows that a task found to refer to nothing in a file, because
// their keys are values, and errors are logged.
func (t *AuroraTarget) orphans(ctx context.Context, plan *SnapshotPlan, task change.Task) error {
	keys, err := t.TableOrphans(ctx, plan.LoadID, task.Name)
	if err != nil || len(keys) == 0 {
		return err
	}
	for _, p := range plan.Plans {
		for _, f := range p.Foreign {
			if t.foreignTask(&p, &f) == task.Name {
				return putOrphans(ctx, t.Objects, t.WorkBucket, plan.LoadID, &p, &f, keys)
			}
		}
	}
	return &Stop{fmt.Errorf("task %q names no foreign key of the plan", task.Name)}
}

// Sums are those that the task of the table left.
func (t *AuroraTarget) Sums(ctx context.Context, plan *SnapshotPlan, table int) (*verify.RowSums, error) {
	sums := &verify.RowSums{}
	return sums, t.TableSums(ctx, plan.LoadID, plan.Plans[table].Target, sums.AddAnswer)
}

// Narrow reads digests, and of rows that differ keys and digests of columns: the
// server makes them, so that no wide value comes through the Data API.
func (t *AuroraTarget) Narrow(ctx context.Context, plan *SnapshotPlan, table int, n *verify.Narrowing) error {
	values, where := n.TargetSQL(t.Quote)
	return t.ReadBack(ctx, plan.Plans[table].Target, values, where, n.AddTargetSums)
}

// Linking is the phase that makes foreign keys.
func (t *AuroraTarget) Linking() string { return phaseForeign }

// Repairs are one task, which the database does in one transaction. The moment
// makes it another than those of repairs before.
func (t *AuroraTarget) Repairs(_ *SnapshotPlan, repairs []RepairPlan) ([]change.Task, error) {
	type part struct {
		Bucket string `json:"bucket"`
		Key    string `json:"key"`
		Region string `json:"region"`
		Rows   int64  `json:"rows"`
	}
	type repair struct {
		Table int   `json:"table"`
		Keys  *part `json:"keys,omitempty"`
		Rows  *part `json:"rows,omitempty"`
	}
	of := func(f CopyFile) *part {
		if f.Rows == 0 {
			return nil // and has no object: aws_s3 refuses an empty one
		}
		return &part{t.WorkBucket, f.Key, t.Region, f.Rows}
	}
	list := make([]repair, 0, len(repairs))
	for _, r := range repairs {
		list = append(list, repair{r.Table, of(r.Out), of(r.In)})
	}
	args, err := json.Marshal(map[string]any{"repairs": list})
	if err != nil {
		return nil, err
	}
	return []change.Task{{Phase: phaseRepair, Name: t.Now().UTC().Format(time.RFC3339Nano) + " " + shortHash(string(args)), Args: args}}, nil
}

// Refused visits the rows that the target cannot hold, as the parts' writer listed
// them.
func (t *AuroraTarget) Refused(ctx context.Context, load string, visit func(item string, r change.Refusal) error) error {
	var keys []string
	err := t.Objects.List(ctx, t.WorkBucket, refusedPrefix(load), func(key, _ string, _ int64, _ string) error {
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(keys)
	return inOrder(ctx, len(keys), func(ctx context.Context, i int, r *refusedRows) error {
		return readJSON(ctx, t.Objects, t.WorkBucket, keys[i], r)
	}, func(r *refusedRows) error {
		for _, row := range r.Rows {
			if err := visit(fmt.Sprint(r.Item), row); err != nil {
				return err
			}
		}
		return nil
	})
}
