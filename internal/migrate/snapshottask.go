package migrate

import (
	"context"

	"godwit/internal/change"
)

// RunSnapshotTask does a batch of database tasks of a snapshot's load, one after
// the other.
type RunSnapshotTask struct {
	Objects    Objects
	Target     SnapshotTarget
	WorkBucket string
}

// Handle runs the tasks in order. A task that outlives its call goes on in the
// database; Handle then returns Resume. It may be repeated with any input that it
// was given before: a task that committed is not done again.
func (r *RunSnapshotTask) Handle(ctx context.Context, in RunTaskIn) (RunTaskOut, error) {
	plan, err := readSnapshotPlan(ctx, r.Objects, r.WorkBucket, in.LoadId)
	if err != nil {
		return RunTaskOut{}, Classify(err)
	}
	return runTasks(in, func(t change.Task, look bool) (bool, error) { return r.Target.Run(ctx, plan, t, look) })
}
