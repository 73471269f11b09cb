package migrate

import (
	"context"
	"encoding/json"

	"godwit/internal/change"
)

// RunTask does a batch of database tasks, one after the other.
type RunTask struct {
	Target Target
	// Metrics is told, at the end of each call, how many rows it imported and
	// whether it left a task running. nil tells nobody.
	Metrics func(...Metric)
}

// RunTaskIn is a batch of tasks and, when an earlier call could not finish it,
// where that call stood.
type RunTaskIn struct {
	LoadId string
	Items  []change.Task
	Resume *RunTaskResume `json:",omitempty"`
}

// RunTaskResume is where to go on.
type RunTaskResume struct {
	Next  int // index of the first task that is not known to be done
	Waits int // calls that found it running
}

// RunTaskOut says whether the batch is done, or how long to wait before asking
// again.
type RunTaskOut struct {
	Done        bool
	Resume      *RunTaskResume `json:",omitempty"`
	WaitSeconds int
}

// importedRows is how many revisions a task that is done imported: the database
// compared them with the plan.
func importedRows(t change.Task) int64 {
	var args struct {
		TableID *string `json:"table_id"` // the list of redactions has none
		Rows    int64
	}
	if t.Phase != phaseImport || json.Unmarshal(t.Args, &args) != nil || args.TableID == nil {
		return 0
	}
	return args.Rows
}

// longestWait is the longest pause, in seconds, between two looks at a running
// task.
const longestWait = 60

// Handle runs the tasks in order. A task that outlives its call goes on in the
// database; Handle then returns Resume. It may be repeated with any input that it
// was given before: a task that committed is not done again.
func (r *RunTask) Handle(ctx context.Context, in RunTaskIn) (RunTaskOut, error) {
	rows, waits := Metric{Name: MetricRows}, Metric{Name: MetricWaits}
	if r.Metrics != nil {
		defer func() { r.Metrics(rows, waits) }()
	}
	return runTasks(in, func(t change.Task, look bool) (bool, error) {
		done, err := r.Target.Run(ctx, in.LoadId, t, look)
		switch {
		case err != nil:
		case !done:
			waits.Values = append(waits.Values, 1)
		case importedRows(t) > 0:
			rows.Values = append(rows.Values, importedRows(t))
		}
		return done, err
	})
}

// runTasks runs the tasks of a batch from where an earlier call stood. One that
// goes on is asked about after a wait that grows.
func runTasks(in RunTaskIn, run func(t change.Task, look bool) (done bool, err error)) (RunTaskOut, error) {
	at := RunTaskResume{}
	if in.Resume != nil {
		at = *in.Resume
	}
	for ; at.Next < len(in.Items); at = (RunTaskResume{Next: at.Next + 1}) {
		done, err := run(in.Items[at.Next], at.Waits > 0)
		if err != nil {
			return RunTaskOut{}, Classify(err)
		}
		if !done {
			wait := min(longestWait, 1<<min(at.Waits, 10))
			at.Waits++
			return RunTaskOut{Resume: &at, WaitSeconds: wait}, nil
		}
	}
	return RunTaskOut{Done: true}, nil
}
