package migrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"godwit/internal/change"
	"godwit/internal/migrate"
	"godwit/internal/verify"
)

// An aurora is a database that found rows that refer to nothing.
type aurora struct {
	migrate.Aurora // what a test does not ask for is nil
	orphans        map[string][][]string
	ran            []change.Task
}

func (a *aurora) TableTasks(phase string, plans []change.TablePlan) ([]change.Task, error) {
	return []change.Task{{Phase: phase, Name: "shop.things"}}, nil
}

func (a *aurora) RunTables(_ context.Context, _ change.TableLoad, _ []change.TablePlan, t change.Task, _ bool) (bool, error) {
	a.ran = append(a.ran, t)
	return true, nil
}

func (a *aurora) TableBroken(context.Context, string) (map[string]int64, error) {
	broken := map[string]int64{}
	for name, keys := range a.orphans {
		broken[name] = int64(len(keys))
	}
	return broken, nil
}

func (a *aurora) TableOrphans(_ context.Context, _, task string) ([][]string, error) {
	return a.orphans[task], nil
}

func (a *aurora) TableSums(_ context.Context, _ string, _ change.TableName, visit func(bucket int, rows, high, low string) error) error {
	return errors.Join(visit(7, "2", "-1", "5"), visit(255, "1", "9223372036854775808", "0"))
}

func webPlan() *migrate.SnapshotPlan {
	things := change.TableName{Schema: "shop", Name: "things"}
	return &migrate.SnapshotPlan{LoadID: "load1", Plans: []change.TablePlan{{
		Target: things, Key: []string{"id"},
		Columns: []change.ColumnPlan{{Name: "id", Type: "uuid", From: []change.SourceColumn{{Name: "id", Type: "uuid"}}}},
		Foreign: []change.Foreign{{Name: "of", Columns: []string{"of"}, Table: things, References: []string{"id"}}, {Name: "in", Columns: []string{"in"}, Table: things, References: []string{"id"}}, {Name: "by"}},
	}}}
}

// Keys of orphans are values: they are in files, and all foreign keys that do not
// hold are named at once, without them, before anything is digested or shown.
func TestOrphansStopTheLoadWithoutTheirKeys(t *testing.T) {
	t.Parallel()
	o := newObjects(t)
	target := auroraTarget(o, time.Now)
	target.Aurora = &aurora{orphans: map[string][][]string{"shop.things of": {{"secret1"}, {"secret2"}}, "shop.things in": {{"secret3"}}}}
	for _, name := range []string{"shop.things of", "shop.things in", "shop.things by", "shop.things of"} {
		if done, err := target.Run(t.Context(), webPlan(), change.Task{Phase: "validate", Name: name}, false); !done || err != nil {
			t.Fatalf("%s: got done %v and error %v", name, done, err)
		}
	}
	_, err := target.Tasks(t.Context(), webPlan(), "digests")
	var stop *migrate.Stop
	if !errors.As(err, &stop) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "key by") {
		t.Fatalf("got %v, want what does not hold, without keys", err)
	}
	files := o.under(workBucket + "/snapshots/load1/quarantine/orphans-")
	if len(files) != 2 {
		t.Errorf("got %d files of orphans, want 2", len(files))
	}
	for name, body := range files {
		var list struct {
			ForeignKey string
			Key        []string
			Rows       [][]string
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatal(err)
		}
		if list.Key[0] != "id" || len(list.Rows) != map[string]int{"of": 2, "in": 1}[list.ForeignKey] || !strings.Contains(err.Error(), "s3://"+name) {
			t.Errorf("%s is not what the error %v names: %+v", name, err, list)
		}
	}
	target.Aurora = &aurora{}
	if _, err := target.Tasks(t.Context(), webPlan(), "digests"); err != nil {
		t.Errorf("without orphans: %v", err)
	}
}

// The digests of a table are taken of the hidden one, by the verifier's statement.
func TestDigestsAreOfTheHiddenTable(t *testing.T) {
	t.Parallel()
	target, a, plan := auroraTarget(newObjects(t), time.Now), &aurora{}, webPlan()
	target.Aurora = a
	if _, err := target.Run(t.Context(), plan, change.Task{Phase: "digests", Name: "shop.things"}, false); err != nil {
		t.Fatal(err)
	}
	want, err := verify.SumsSQL(&plan.Plans[0], "godwit_load_load1_0.things", target.Quote)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ SQL string }
	if err := json.Unmarshal(a.ran[0].Args, &got); err != nil || got.SQL != want {
		t.Errorf("got %q and error %v, want %q", got.SQL, err, want)
	}
	sums, err := target.Sums(t.Context(), plan, 0)
	if err != nil {
		t.Fatal(err)
	}
	if sums.Rows != 3 || sums.Buckets[7] != (verify.RowSum{Rows: 2, High: 1<<64 - 1, Low: 5}) || sums.Buckets[255] != (verify.RowSum{Rows: 1, High: 1 << 63}) {
		t.Errorf("got %+v", sums)
	}
	if _, err := target.Run(t.Context(), plan, change.Task{Phase: "digests", Name: "other"}, false); err == nil {
		t.Error("a table that the plan does not have is digested")
	}
}
