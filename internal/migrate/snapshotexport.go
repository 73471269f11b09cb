package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"godwit/internal/change"
	"godwit/internal/snapshot"
)

// ExportSnapshot has RDS export a snapshot, and tells when that is complete.
type ExportSnapshot struct {
	Objects    Objects
	Snapshots  Snapshots
	WorkBucket string
	Bucket     string // that RDS exports to
	Role       string // ARN: RDS writes with it
	Key        string // ARN: RDS encrypts with it
	Exports    []AllowedArchive
}

// ExportSnapshotIn is the load and its input, and where an earlier call stood.
type ExportSnapshotIn struct {
	LoadId string
	Input  SnapshotInput
	Resume *ExportSnapshotResume `json:",omitempty"`
}

// ExportSnapshotResume is where to go on.
type ExportSnapshotResume struct{ Looks int }

// ExportSnapshotOut says whether the export is complete, or how long to wait
// before asking again.
type ExportSnapshotOut struct {
	Done        bool
	Resume      *ExportSnapshotResume `json:",omitempty"`
	WaitSeconds int
}

// A SnapshotExport is the export that a load reads: export.json.
type SnapshotExport struct {
	Place ExportPlace
	Task  string `json:",omitempty"` // that exports; "" where the input named the place
	// Failed are the tasks that ended otherwise than COMPLETE: a redrive begins another.
	Failed  []string `json:",omitempty"`
	Done    bool
	Skipped []string `json:",omitempty"` // what RDS warned of, and the input accepted
}

// exportLimitWait is the pause, in seconds, before an export is asked for again of
// which there are too many at once.
const exportLimitWait = 300

// Handle begins the export, or finds the one that began, and looks how far it is.
// It may be repeated: a load's task has one name.
func (e *ExportSnapshot) Handle(ctx context.Context, in ExportSnapshotIn) (ExportSnapshotOut, error) {
	out, err := e.handle(ctx, in)
	return out, Classify(err)
}

func (e *ExportSnapshot) handle(ctx context.Context, in ExportSnapshotIn) (ExportSnapshotOut, error) {
	record, err := e.record(ctx, in.LoadId)
	if err != nil || record.Done {
		return ExportSnapshotOut{Done: err == nil}, err
	}
	if in.Input.Export != nil {
		if err := AllowExport(e.Exports, *in.Input.Export); err != nil {
			return ExportSnapshotOut{}, &Stop{err}
		}
		record.Place = *in.Input.Export
		return e.complete(ctx, in.LoadId, record)
	}
	record.Task = fmt.Sprintf("godwit-%s", in.LoadId)
	if n := len(record.Failed); n > 0 {
		record.Task += fmt.Sprintf("-%d", n+1)
	}
	task, known, err := e.Snapshots.ExportTask(ctx, record.Task)
	if err != nil {
		return ExportSnapshotOut{}, err
	}
	if !known {
		return e.begin(ctx, in, record)
	}
	switch task.Status {
	case change.ExportComplete:
		if record.Skipped, err = skipped(task.Warning); err != nil {
			return ExportSnapshotOut{}, &Stop{fmt.Errorf("export %s: %w", task.ID, err)}
		}
		if len(record.Skipped) > 0 && !in.Input.AcceptSkipped {
			return ExportSnapshotOut{}, &Stop{fmt.Errorf("export %s is complete but left out:\n- %s\nmend that in the source and take another snapshot, or start again with \"AcceptSkipped\": true to load what there is", task.ID, strings.Join(record.Skipped, "\n- "))}
		}
		record.Place = ExportPlace{e.Bucket, record.Task + "/"}
		return e.complete(ctx, in.LoadId, record)
	case change.ExportFailed, change.ExportCanceled:
		record.Failed = append(record.Failed, task.ID)
		if err := putJSON(ctx, e.Objects, e.WorkBucket, snapshotKey(in.LoadId, exportFile), record); err != nil {
			return ExportSnapshotOut{}, err
		}
		return ExportSnapshotOut{}, &Stop{fmt.Errorf("export %s ended as %s (%s): mend that and redrive the execution, which begins another export", task.ID, task.Status, task.Cause)}
	case change.ExportStarting, change.ExportInProgress, change.ExportCanceling:
		looks := 0
		if in.Resume != nil {
			looks = in.Resume.Looks
		}
		return ExportSnapshotOut{Resume: &ExportSnapshotResume{looks + 1}, WaitSeconds: exportWait(looks)}, nil
	}
	return ExportSnapshotOut{}, &Stop{fmt.Errorf("export %s has the status %q, which no document names", task.ID, task.Status)}
}

// begin asks RDS for the export. RDS checks key, role and bucket first, and bills
// nothing that it refuses.
func (e *ExportSnapshot) begin(ctx context.Context, in ExportSnapshotIn, record SnapshotExport) (ExportSnapshotOut, error) {
	wait := func(seconds int) (ExportSnapshotOut, error) {
		return ExportSnapshotOut{Resume: &ExportSnapshotResume{}, WaitSeconds: seconds}, nil
	}
	err := e.Snapshots.StartExport(ctx, change.ExportOrder{
		ID: record.Task, Snapshot: in.Input.Snapshot, Bucket: e.Bucket, Role: e.Role, Key: e.Key, Only: in.Input.Only,
	})
	if err == nil {
		return wait(exportWait(0))
	}
	var code interface{ ErrorCode() string }
	if !errors.As(err, &code) {
		return ExportSnapshotOut{}, err
	}
	switch code.ErrorCode() {
	case "ExportTaskAlreadyExists":
		return wait(exportWait(0)) // a call whose reply was lost began it
	case "ExportTaskLimitReachedFault":
		return wait(exportLimitWait)
	case "IamRoleMissingPermissions", "IamRoleNotFound":
		err = fmt.Errorf("%w: the role %s must trust export.rds.amazonaws.com and may s3:PutObject, s3:GetObject, s3:DeleteObject, s3:ListBucket and s3:GetBucketLocation on %s: run make deploy, and undo what was changed by hand", err, e.Role, e.Bucket)
	case "KMSKeyNotAccessibleFault":
		err = fmt.Errorf(`%w: the policy of key %s must let this function's role kms:DescribeKey, and kms:CreateGrant under {"Bool": {"kms:GrantIsForAWSResource": "true"}}, and both it and the key that the snapshot is encrypted with must be enabled: run make deploy, and undo what was changed by hand`, err, e.Key)
	case "AccessDenied", "AccessDeniedException":
		err = fmt.Errorf("%w: this function's role must be allowed rds:StartExportTask on the snapshot, and iam:PassRole of %s to export.rds.amazonaws.com: run make deploy, and undo what was changed by hand", err, e.Role)
	case "InvalidS3BucketFault":
		err = fmt.Errorf("%w: the bucket %s must be there and in the snapshot's region: run make deploy, and undo what was changed by hand", err, e.Bucket)
	case "InvalidExportOnly":
		err = fmt.Errorf("%w: RDS takes database, database.schema and database.schema.table, whose names are of A-Z, a-z, 0-9, $ and _ alone: mend Only of the input", err)
	case "DBClusterSnapshotNotFoundFault", "DBSnapshotNotFound", "DBSnapshotNotFoundFault":
		err = fmt.Errorf("%w: the snapshot was deleted since the load began: start SnapshotLoad with another", err)
	case "InvalidExportSourceState":
		err = fmt.Errorf("%w: a snapshot is exported once at a time: wait for the export that goes on, or load it by its place on S3 (Export)", err)
	}
	return ExportSnapshotOut{}, err
}

// complete records an export that is whole.
func (e *ExportSnapshot) complete(ctx context.Context, load string, record SnapshotExport) (ExportSnapshotOut, error) {
	name := path.Base(record.Place.Prefix)
	key := record.Place.Prefix + "export_info_" + name + ".json"
	there, err := exists(ctx, e.Objects, record.Place.Bucket, key)
	if err != nil {
		return ExportSnapshotOut{}, err
	}
	if !there {
		return ExportSnapshotOut{}, &Stop{fmt.Errorf("there is no s3://%s/%s, which RDS writes last: the export is not complete, or this is not the folder that its task made: take the export again, or mend Export of the input", record.Place.Bucket, key)}
	}
	text, err := readAll(ctx, e.Objects, record.Place.Bucket, key)
	if err != nil {
		return ExportSnapshotOut{}, fmt.Errorf("read what RDS says of the export: %w", err)
	}
	info, err := snapshot.ParseInfo(text)
	switch {
	case err != nil:
		return ExportSnapshotOut{}, &Stop{fmt.Errorf("read s3://%s/%s: %w", record.Place.Bucket, key, err)}
	case info.Task != name:
		return ExportSnapshotOut{}, &Stop{fmt.Errorf("s3://%s/%s is of the export %s: two exports were mixed in this folder: take the export again", record.Place.Bucket, key, info.Task)}
	case info.Status != snapshot.Complete:
		return ExportSnapshotOut{}, &Stop{fmt.Errorf("the export s3://%s/%s is %s: only one that is COMPLETE can be loaded", record.Place.Bucket, record.Place.Prefix, info.Status)}
	}
	record.Done = true
	return ExportSnapshotOut{Done: true}, putJSON(ctx, e.Objects, e.WorkBucket, snapshotKey(load, exportFile), record)
}

// record reads export.json; a load that has none yet has an empty one.
func (e *ExportSnapshot) record(ctx context.Context, load string) (SnapshotExport, error) {
	var r SnapshotExport
	key := snapshotKey(load, exportFile)
	if there, err := exists(ctx, e.Objects, e.WorkBucket, key); err != nil || !there {
		return r, err
	}
	return r, readJSON(ctx, e.Objects, e.WorkBucket, key, &r)
}

// skipped lists what the warning of a complete export says was left out (Aurora
// User Guide, monitoring snapshot exports). What cannot be understood is an error:
// data may be missing.
func skipped(warning string) ([]string, error) {
	if warning == "" {
		return nil, nil
	}
	var w map[string]json.RawMessage
	if err := json.Unmarshal([]byte(warning), &w); err != nil {
		return nil, fmt.Errorf("its warning is not JSON: %w", err)
	}
	var list []string
	for _, kind := range []string{"skippedTables", "skippedObjectives", "general"} {
		var entries []json.RawMessage
		if w[kind] != nil {
			if err := json.Unmarshal(w[kind], &entries); err != nil {
				return nil, fmt.Errorf("%s of its warning is no list: %w", kind, err)
			}
		}
		for _, entry := range entries {
			list = append(list, kind+": "+string(entry))
		}
		delete(w, kind)
	}
	for _, kind := range slices.Sorted(maps.Keys(w)) {
		list = append(list, kind+": "+string(w[kind]))
	}
	return list, nil
}
