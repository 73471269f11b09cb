package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A JournalExport is an export job of QLDB.
type JournalExport struct {
	ID      string    // given by the service
	Ledger  string    // name
	Bucket  string    // where the objects go
	Prefix  string    // of their keys
	KMSKey  string    // ARN of the key that encrypts the objects; "" is S3's own
	Format  string    // ION_BINARY, ION_TEXT, JSON
	Role    string    // ARN of the role that the service writes with
	Start   time.Time // of the first block, inclusive; milliseconds count
	End     time.Time // exclusive; milliseconds count
	Created time.Time // given by the service
	Status  string    // given by the service: IN_PROGRESS, COMPLETED, CANCELLED
}

// Statuses of exports.
const (
	exportInProgress = "IN_PROGRESS"
	exportCompleted  = "COMPLETED"
	exportCancelled  = "CANCELLED"
)

// An Exporter is QLDB, as far as its export jobs go.
type Exporter interface {
	// StartExport begins an export and returns its id. An error does not mean
	// that nothing began. It is never repeated by itself: twice called, it begins
	// two exports.
	StartExport(ctx context.Context, e JournalExport) (id string, err error)
	// ExportStatus returns the status of an export.
	ExportStatus(ctx context.Context, ledger, id string) (string, error)
	// Exports calls visit for each export of a ledger, whoever began it, in no
	// order; those that ended more than a week ago are forgotten.
	Exports(ctx context.Context, ledger string, visit func(JournalExport)) error
}

// ExportWindow has QLDB export a batch of windows, one after the other.
type ExportWindow struct {
	Objects    Objects
	Exporter   Exporter
	WorkBucket string
	ExportRole string // ARN
	Archives   []AllowedArchive
}

// ExportWindowIn is a batch of windows and, when an earlier call could not finish
// it, where that call stood.
type ExportWindowIn struct {
	ExportId string
	Items    []Window
	Resume   *ExportResume `json:",omitempty"`
}

// ExportResume is where to go on.
type ExportResume struct {
	Next   int    // index of the first window that is not known to be exported
	Export string `json:",omitempty"` // its export, once it began
	Looks  int    // that found it under way
}

// ExportWindowOut says whether the batch is done, or how long to wait before
// asking again.
type ExportWindowOut struct {
	Done        bool
	Resume      *ExportResume `json:",omitempty"`
	WaitSeconds int
}

// Waits between two looks at an export, in seconds. They double up to five
// minutes. An export takes from half a minute to days, and a child's calls are
// bounded (maxTurns of the definition): behind looksOften the waits grow with the
// looks, by less than a tenth of what was waited so far, and 400 looks reach as
// far as the two weeks of an execution.
const (
	firstExportWait = 5
	oftenExportWait = 300
	looksOften      = 20
)

// exportWait is how long to wait behind so many looks that found an export under
// way, in seconds.
func exportWait(looks int) int {
	return max(min(oftenExportWait, firstExportWait<<min(looks+1, 10)), oftenExportWait*looks/looksOften)
}

// clockSkew is how far the clocks of QLDB and of a function may differ.
const clockSkew = 5 * time.Second

// A doneWindow is the record of a window that is exported.
type doneWindow struct {
	Number int
	Export string // QLDB's id
}

// Handle begins the next export of the batch, or looks at the one under way. It
// may be repeated with any input that it was given before: an export that began
// is found again, and none begins twice, as long as no two calls run at once.
func (e *ExportWindow) Handle(ctx context.Context, in ExportWindowIn) (ExportWindowOut, error) {
	out, err := e.handle(ctx, in)
	return out, Classify(err)
}

func (e *ExportWindow) handle(ctx context.Context, in ExportWindowIn) (ExportWindowOut, error) {
	var plan ExportPlan
	if err := readJSON(ctx, e.Objects, e.WorkBucket, exportPlanKey(in.ExportId), &plan); err != nil {
		return ExportWindowOut{}, err
	}
	at := ExportResume{}
	if in.Resume != nil {
		at = *in.Resume
	}
	for at.Next < len(in.Items) {
		w := in.Items[at.Next]
		if at.Export == "" {
			done, err := exists(ctx, e.Objects, e.WorkBucket, exportDoneKey(in.ExportId, w.Number))
			if err != nil {
				return ExportWindowOut{}, err
			}
			if done {
				at = ExportResume{Next: at.Next + 1}
				continue
			}
			if at.Export, err = e.begin(ctx, &plan, w); err != nil {
				return ExportWindowOut{}, err
			}
			return ExportWindowOut{Resume: &at, WaitSeconds: firstExportWait}, nil
		}
		status, err := e.Exporter.ExportStatus(ctx, plan.Order.Ledger, at.Export)
		var code interface{ ErrorCode() string }
		if errors.As(err, &code) && code.ErrorCode() == "ResourceNotFoundException" {
			err = &Stop{fmt.Errorf("QLDB does not know export %s (blocks %d to %d) any more: it forgets an export a week after its end; redrive the execution, which exports these blocks again: %w", at.Export, w.First, w.Last, err)}
			if err := e.once(ctx, &plan, w, at.Export, err); err != nil {
				return ExportWindowOut{}, err
			}
			at = ExportResume{Next: at.Next}
			continue
		}
		if err != nil {
			return ExportWindowOut{}, err
		}
		switch status {
		case exportInProgress:
			wait := exportWait(at.Looks)
			at.Looks++
			return ExportWindowOut{Resume: &at, WaitSeconds: wait}, nil
		case exportCompleted:
			done := doneWindow{Number: w.Number, Export: at.Export}
			if err := putJSON(ctx, e.Objects, e.WorkBucket, exportDoneKey(in.ExportId, w.Number), done); err != nil {
				return ExportWindowOut{}, err
			}
			at = ExportResume{Next: at.Next + 1}
		case exportCancelled:
			err := &StopCancelledExport{fmt.Errorf("QLDB cancelled export %s (blocks %d to %d, %s to %s): see whether role %s may write to s3://%s/%s and use the bucket's key; then redrive the execution, which exports these blocks again",
				at.Export, w.First, w.Last, w.Start.Format(time.RFC3339Nano), w.End.Format(time.RFC3339Nano), e.ExportRole, plan.Order.Bucket, plan.Order.Prefix)}
			if err := e.once(ctx, &plan, w, at.Export, err); err != nil {
				return ExportWindowOut{}, err
			}
			at = ExportResume{Next: at.Next}
		default:
			return ExportWindowOut{}, &Stop{fmt.Errorf("export %s (blocks %d to %d) has status %q, which is none of %s, %s and %s", at.Export, w.First, w.Last, status, exportInProgress, exportCompleted, exportCancelled)}
		}
	}
	return ExportWindowOut{Done: true}, nil
}

// begin returns the export of a window: one that an earlier call began, whose
// answer was lost, or a new one. SplitJournal refused a prefix in use, so that an
// export of this window to this place, begun since, is one of this execution.
func (e *ExportWindow) begin(ctx context.Context, plan *ExportPlan, w Window) (string, error) {
	if err := AllowArchive(e.Archives, plan.Order.Bucket, plan.Order.Prefix); err != nil {
		return "", &Stop{err}
	}
	want := JournalExport{
		Ledger: plan.Order.Ledger, Bucket: plan.Order.Bucket, Prefix: plan.Order.Prefix, Format: plan.Order.OutputFormat,
		Role: e.ExportRole, Start: w.Start, End: w.End, KMSKey: ArchiveKey(e.Archives, plan.Order.Bucket, plan.Order.Prefix),
	}
	var found JournalExport
	err := e.Exporter.Exports(ctx, want.Ledger, func(x JournalExport) {
		switch {
		case x.Status != exportInProgress && x.Status != exportCompleted:
		case x.Bucket != want.Bucket || x.Prefix != want.Prefix || x.Format != want.Format || x.Role != want.Role:
		case !sameMillisecond(x.End, want.End):
		case !sameMillisecond(x.Start, want.Start) && (w.First > 0 || x.Start.Before(want.Start)):
			// QLDB moves a start before the ledger's creation to that time.
		case x.Created.Before(plan.Began.Add(-clockSkew)):
		case found.ID == "" || x.Created.Before(found.Created):
			found = x
		}
	})
	if err != nil {
		return "", err
	}
	if found.ID != "" {
		return found.ID, nil
	}
	id, err := e.Exporter.StartExport(ctx, want)
	var code interface{ ErrorCode() string }
	if errors.As(err, &code) && code.ErrorCode() == "LimitExceededException" {
		return "", fmt.Errorf("blocks %d to %d: ledger %s has as many exports under way as QLDB lets it have; if the execution fails of that, redrive it when some have ended: %w", w.First, w.Last, want.Ledger, err)
	}
	if err != nil {
		return "", fmt.Errorf("blocks %d to %d: %w", w.First, w.Last, err)
	}
	if id == "" {
		return "", fmt.Errorf("blocks %d to %d: QLDB gave the export no id", w.First, w.Last)
	}
	// Begun. A crash here loses the id; the next call finds it in the list. A call
	// beside one that still runs, whose reply was lost or whose execution was
	// redriven at once, may find nothing there yet and begin the window again: one
	// of the two counts, and the other takes a place and is named nowhere.
	return id, nil
}

// The API gives times in milliseconds.
func sameMillisecond(a, b time.Time) bool { return a.UnixMilli() == b.UnixMilli() }

// once reports what ended an export without its blocks, one time: a redrive
// repeats the very call that failed, and is to begin another. The record tells the
// two apart; when the reply with the error is lost, the repeat begins another at
// once, which is as good.
func (e *ExportWindow) once(ctx context.Context, plan *ExportPlan, w Window, export string, report error) error {
	key := exportCancelledKey(plan.ExportId, export)
	told, err := exists(ctx, e.Objects, e.WorkBucket, key)
	if err != nil || told {
		return err
	}
	if err := putJSON(ctx, e.Objects, e.WorkBucket, key, doneWindow{Number: w.Number, Export: export}); err != nil {
		return err
	}
	return report
}
