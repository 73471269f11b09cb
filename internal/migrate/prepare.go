package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Prepare makes the target ready.
type Prepare struct {
	// Target prepares extension, role, grants and bookkeeping; repeating it is harmless.
	Target func(ctx context.Context) error
}

// PrepareIn is the execution's input and what Preflight found.
type PrepareIn struct {
	Input     json.RawMessage
	Preflight PreflightOut
}

// Handle prepares the database, or stops the load with everything that is
// missing.
func (p *Prepare) Handle(ctx context.Context, in PrepareIn) (struct{}, error) {
	missing := in.Preflight.Missing
	err := p.Target(ctx)
	if len(missing) > 0 {
		if err != nil {
			missing = append(missing, "the database could not be prepared: "+err.Error())
		}
		things := "1 thing is"
		if len(missing) > 1 {
			things = fmt.Sprintf("%d things are", len(missing))
		}
		return struct{}{}, &Stop{fmt.Errorf("%s missing:\n- %s", things, strings.Join(missing, "\n- "))}
	}
	if err != nil {
		return struct{}{}, Classify(fmt.Errorf("prepare the target: %w", err))
	}
	return struct{}{}, nil
}
