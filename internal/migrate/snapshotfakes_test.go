package migrate_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/change"
	"godwit/internal/migrate"
)

const (
	shopARN     = "arn:aws:rds:us-east-1:111122223333:cluster:shop"
	nightlyARN  = "arn:aws:rds:us-east-1:111122223333:cluster-snapshot:nightly"
	exportsHere = "exports"
)

// memoryRDS is RDS as far as snapshots go. It holds callers to what RDS wants of an
// order, and to its limits.
type memoryRDS struct {
	t     testing.TB
	list  map[string][]change.DBSnapshot // by the source's ARN
	tags  map[string]map[string]string   // by the snapshot's ARN
	tasks map[string]*change.ExportTask
	// refuse, if not nil, answers a call, by its name and what it is about.
	refuse func(call, about string) error
	// lost loses the reply of the next order that is taken.
	lost   bool
	orders []change.ExportOrder
}

func newRDS(t testing.TB, snapshots ...change.DBSnapshot) *memoryRDS {
	r := &memoryRDS{t: t, list: map[string][]change.DBSnapshot{}, tags: map[string]map[string]string{}, tasks: map[string]*change.ExportTask{}}
	r.list[shopARN] = snapshots
	for _, s := range snapshots {
		r.tags[s.ARN] = map[string]string{"godwit": "export"}
	}
	return r
}

// nightly is a snapshot that may be loaded.
func nightly() change.DBSnapshot {
	return change.DBSnapshot{
		ARN: nightlyARN, Source: "shop", Cluster: true, Type: "manual", Engine: "aurora-postgresql", Status: "available", GiB: 100, Created: time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC),
	}
}

func (r *memoryRDS) answer(call, about string) error {
	if r.refuse == nil {
		return nil
	}
	return r.refuse(call, about)
}

func (r *memoryRDS) Snapshots(_ context.Context, source string) ([]change.DBSnapshot, error) {
	return r.list[source], r.answer("Snapshots", source)
}

func (r *memoryRDS) Snapshot(_ context.Context, arn string) (change.DBSnapshot, error) {
	for _, list := range r.list {
		for _, s := range list {
			if s.ARN == arn {
				return s, r.answer("Snapshot", arn)
			}
		}
	}
	return change.DBSnapshot{}, &serviceError{"DBClusterSnapshotNotFoundFault", "DBClusterSnapshot not found: " + arn}
}

func (r *memoryRDS) Tag(_ context.Context, arn, name string) (string, error) {
	return r.tags[arn][name], r.answer("Tag", arn)
}

func (r *memoryRDS) StartExport(_ context.Context, o change.ExportOrder) error {
	if o.ID == "" || len(o.ID) > 60 || o.Snapshot == "" || o.Bucket == "" || o.Role == "" || o.Key == "" || strings.ContainsAny(o.Prefix, ":") {
		r.t.Errorf("RDS takes no such order: %+v", o)
	}
	if err := r.answer("StartExport", o.ID); err != nil {
		return err
	}
	running := 0
	for _, task := range r.tasks {
		if slices.Contains([]string{change.ExportStarting, change.ExportInProgress, change.ExportCanceling}, task.Status) {
			running++
		}
	}
	switch {
	case r.tasks[o.ID] != nil:
		return &serviceError{"ExportTaskAlreadyExists", o.ID}
	case running >= 5:
		return &serviceError{"ExportTaskLimitReachedFault", fmt.Sprintf("%d export tasks are in progress", running)}
	}
	r.orders = append(r.orders, o)
	r.tasks[o.ID] = &change.ExportTask{ID: o.ID, Snapshot: o.Snapshot, Status: change.ExportStarting}
	if r.lost {
		r.lost = false
		return &serviceError{"RequestTimeout", "the reply is lost"}
	}
	return nil
}

func (r *memoryRDS) ExportTask(_ context.Context, id string) (change.ExportTask, bool, error) {
	task := r.tasks[id]
	if task == nil {
		return change.ExportTask{}, false, r.answer("ExportTask", id)
	}
	return *task, true, r.answer("ExportTask", id)
}

// A retry is the class of an error, as definitions branch on it.
func retry(err error) string {
	switch err.(type) {
	case nil:
		return ""
	case *migrate.Again:
		return "Again"
	case *migrate.Stop:
		return "Stop"
	}
	return fmt.Sprintf("%T", err)
}

// hasTexts says which of the texts an error lacks.
func hasTexts(t testing.TB, err error, want ...string) {
	t.Helper()
	for _, text := range want {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q: %v", text, err)
		}
	}
}
