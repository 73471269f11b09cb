package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// A snapshot is loaded on this tag only, whatever its source: an export bills
	// the whole of it.
	exportTag, exportTagValue = "godwit", "export"
	// Sweeps look no further back. Step Functions knows an execution's name for 90
	// days: a snapshot that is older must not be taken for a new one.
	sweepDays = 30
)

// SnapshotTrigger starts SnapshotLoad for snapshots with the tag godwit=export.
type SnapshotTrigger struct {
	Snapshots Snapshots
	Sources   []SnapshotSource
	// Start starts the execution of a name; false where it was started before.
	Start  func(ctx context.Context, name, input string) (bool, error)
	Target string // ARN of the cluster that snapshots are loaded into
	Now    func() time.Time
}

// TriggerOut says what a call found.
type TriggerOut struct {
	Started []string // ARNs of snapshots whose load this call started
	Known   int      // snapshots whose load was started before
	Untold  int      // snapshots of the sources without the tag, or not to be loaded
}

// Handle takes an event of RDS that tells of a snapshot, or anything else, which
// has it look at the snapshots of all sources. It may be repeated: a snapshot's
// load has one name, and the second start of it is none.
func (t *SnapshotTrigger) Handle(ctx context.Context, event json.RawMessage) (TriggerOut, error) {
	var e struct {
		Source string
		Detail struct{ SourceArn string }
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return TriggerOut{}, &Stop{fmt.Errorf("read the event: %w", err)}
	}
	var out TriggerOut
	var errs []error
	for _, source := range t.Sources {
		// One source that is gone must not keep the others waiting.
		if err := t.look(ctx, source, e.Source == "aws.rds", e.Detail.SourceArn, &out); err != nil {
			errs = append(errs, err)
		}
	}
	return out, Classify(errors.Join(errs...))
}

func (t *SnapshotTrigger) look(ctx context.Context, source SnapshotSource, told bool, arn string, out *TriggerOut) error {
	list, err := t.Snapshots.Snapshots(ctx, source.ARN)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range list {
		if told && s.ARN != arn {
			continue
		}
		// What is still being made is told of again, or found by a sweep.
		if s.Status != "available" || s.Type == "automated" && !source.Automated || t.Now().Sub(s.Created) > sweepDays*24*time.Hour {
			out.Untold++
			continue
		}
		tag, err := t.Snapshots.Tag(ctx, s.ARN, exportTag)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if tag != exportTagValue {
			out.Untold++
			continue
		}
		started, err := t.start(ctx, source, s.ARN)
		switch {
		case err != nil:
			errs = append(errs, err)
		case started:
			out.Started = append(out.Started, s.ARN)
		default:
			out.Known++
		}
	}
	return errors.Join(errs...)
}

// start starts the load of a snapshot, under a name made of the snapshot and the
// target alone, and with an input that is the same each time.
func (t *SnapshotTrigger) start(ctx context.Context, source SnapshotSource, arn string) (bool, error) {
	input, err := json.Marshal(struct {
		Snapshot string
		Mapping  string `json:",omitempty"`
	}{arn, source.Mapping})
	if err != nil {
		return false, err
	}
	sum := sha256.Sum256([]byte(arn + "\n" + t.Target))
	return t.Start(ctx, executionName(arn, hex.EncodeToString(sum[:8])), string(input))
}

// executionName is what people see in the console: the snapshot's name, as far as
// an execution may be named (80 characters of letters, digits, - and _), and a hash.
func executionName(arn, hash string) string {
	name := strings.Map(func(r rune) rune {
		if r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, arn[strings.LastIndexByte(arn, ':')+1:])
	return name[:min(len(name), 80-1-len(hash))] + "-" + hash
}
