package migrate

import (
	"context"
	"time"
)

// A PhaseBegan is when a phase of a snapshot's load began for the first time, by
// whichever execution: tasks/<phase>.began.json.
type PhaseBegan struct{ At time.Time }

func phaseBeganKey(load, phase string) string {
	return snapshotKey(load, "tasks/"+phase+beganSuffix)
}

const beganSuffix = ".began.json"

// markBegun keeps when a phase began, unless it began before: the time that a load
// took is that from its first attempt on.
func markBegun(ctx context.Context, o Objects, bucket, load, phase string, now time.Time) error {
	key := phaseBeganKey(load, phase)
	if there, err := exists(ctx, o, bucket, key); err != nil || there {
		return err
	}
	return putJSON(ctx, o, bucket, key, PhaseBegan{now.UTC()})
}
