package migrate_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"godwit/internal/change"
	"godwit/internal/migrate"
	"godwit/internal/verify"
)

// A memoryCluster is an Aurora DSQL with one table, shop.things, of a key and a
// text, and what loads need of it.
type memoryCluster struct {
	migrate.DSQL // what a test does not ask for is nil
	rows         map[int64]string
	refused      []change.Refusal // of item 0
	published    bool
	done         map[string]bool // repairs
	page         int             // rows; 0 is all
	reads        int
	read         func() // is called behind each page
}

func (m *memoryCluster) Begin(_ context.Context, l change.TableLoad) (*change.TableLoadState, error) {
	return &change.TableLoadState{TableLoad: l, Published: m.published}, nil
}

func (m *memoryCluster) Refused(_ context.Context, _ string, yield func(item string, r change.Refusal) error) error {
	for _, r := range m.refused {
		if err := yield("0", r); err != nil {
			return err
		}
	}
	return nil
}

func (m *memoryCluster) Build(context.Context, string, string, []change.TablePlan) (change.BuildState, error) {
	return change.BuildState{}, nil
}

func (m *memoryCluster) ReadPage(ctx context.Context, _ *change.TablePlan, _ []string, from change.TablePage, yield func(row [][]byte) error) (change.TablePage, error) {
	m.reads++
	ids := make([]int64, 0, len(m.rows))
	for id := range m.rows {
		if len(from.After) == 0 || from.After[0] < fmt.Sprintf("%09d", id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	ids = ids[:min(len(ids), cmp.Or(m.page, len(ids)))]
	at := change.TablePage{End: len(ids) == 0 || m.page == 0}
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return at, err
		}
		if err := yield([][]byte{strconv.AppendInt(nil, id, 10), []byte(m.rows[id])}); err != nil {
			return at, err
		}
		at.After = []string{fmt.Sprintf("%09d", id)}
	}
	if m.read != nil {
		m.read()
	}
	return at, nil
}

func (m *memoryCluster) Repair(ctx context.Context, r change.TableRepair, out, in func(context.Context, change.Range, func(change.Lines) error) error) (bool, error) {
	if m.done[r.ID] {
		return true, nil
	}
	lines := func(n int64, of func(context.Context, change.Range, func(change.Lines) error) error, visit func(line string)) error {
		if n == 0 {
			return nil
		}
		next := int64(0)
		err := of(ctx, change.Range{Last: n - 1}, func(l change.Lines) error {
			if l.First != next {
				return fmt.Errorf("lines from %d on, not %d", l.First, next)
			}
			next += int64(len(l.Ends))
			for line := range strings.Lines(string(l.Data)) {
				visit(strings.TrimSuffix(line, "\n"))
			}
			return nil
		})
		if err == nil && next != n {
			err = fmt.Errorf("%d lines, not %d", next, n)
		}
		return err
	}
	id := func(text string) int64 { n, _ := strconv.ParseInt(text, 10, 64); return n }
	if err := lines(r.Out, out, func(line string) { delete(m.rows, id(line)) }); err != nil {
		return false, err
	}
	err := lines(r.In, in, func(line string) {
		key, text, _ := strings.Cut(line, "\t")
		m.rows[id(key)] = text
	})
	m.done[r.ID] = true
	return true, err
}

// A judged load has its rows in a memoryCluster, and is to be compared.
type judged struct {
	t       *testing.T
	o       *memoryObjects
	now     time.Time
	cluster *memoryCluster
	target  *migrate.DSQLTarget
	phase   *migrate.PhaseSnapshot
	plan    migrate.SnapshotPlan
	rows    int64
}

// newJudged is a load of so many rows, in two items.
func newJudged(t *testing.T, rows int64, with ...func(*migrate.SnapshotPlan)) *judged {
	t.Helper()
	o := newObjects(t)
	o.changing = func(key string) bool { return strings.HasPrefix(key, "snapshots/") }
	j := &judged{t: t, o: o, now: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC), rows: rows}
	keep := change.Conversion{Kind: change.AsIs}
	things := change.TableName{Schema: "shop", Name: "things"}
	j.plan = migrate.SnapshotPlan{LoadID: "load1", Execution: "one", Place: migrate.ExportPlace{Bucket: exportsHere}, Items: 2, Plans: []change.TablePlan{{
		Source: things, Target: things, Key: []string{"id"},
		Columns: []change.ColumnPlan{
			{Name: "id", Type: "bigint", From: []change.SourceColumn{{Name: "id", Type: "bigint"}}, As: keep},
			{Name: "name", Type: "text", From: []change.SourceColumn{{Name: "name", Type: "text"}}, As: keep},
		},
	}}}
	for _, change := range with {
		change(&j.plan)
	}
	j.cluster = &memoryCluster{rows: map[int64]string{}, done: map[string]bool{}}
	clock := func() time.Time { return j.now }
	j.target = &migrate.DSQLTarget{DSQL: j.cluster, Objects: o, WorkBucket: workBucket, Now: clock}
	j.phase = &migrate.PhaseSnapshot{Objects: o, Ranges: o, Target: j.target, WorkBucket: workBucket, Now: clock}
	j.save()
	var items bytes.Buffer
	digest := &migrate.DigestRows{Objects: o, Ranges: o, WorkBucket: workBucket, Now: clock}
	for i := range 2 {
		key := fmt.Sprintf("part-%d.parquet", i)
		var body bytes.Buffer
		type row struct {
			ID   int64  `parquet:"id"`
			Name string `parquet:"name"`
		}
		w := parquet.NewGenericWriter[row](&body)
		for id := int64(i) * rows / 2; id < int64(i+1)*rows/2; id++ {
			r := row{id, fmt.Sprintf("n%d", id)}
			if _, err := w.Write([]row{r}); err != nil {
				t.Fatal(err)
			}
			j.cluster.rows[id] = r.Name
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		o.set(exportsHere, key, body.Bytes())
		item := migrate.SnapshotItem{Item: i, Parts: []migrate.PartRange{{Key: key, Size: int64(body.Len())}}}
		line, err := json.Marshal(item)
		if err != nil {
			t.Fatal(err)
		}
		items.Write(append(line, '\n'))
		if _, err := digest.Handle(t.Context(), migrate.SnapshotWorkIn{LoadId: "load1", Items: []migrate.SnapshotItem{item}}); err != nil {
			t.Fatal(err)
		}
	}
	o.set(workBucket, "snapshots/load1/items.jsonl", items.Bytes())
	return j
}

func (j *judged) save() {
	j.t.Helper()
	text, err := json.Marshal(j.plan)
	if err != nil {
		j.t.Fatal(err)
	}
	j.o.set(workBucket, "snapshots/load1/plan.json", text)
}

// run goes through the phases from one on, as the state machine does, and returns
// those that it went through. again has every call made twice.
func (j *judged) run(phase string, again bool) (gone []string, err error) {
	j.t.Helper()
	task := &migrate.RunSnapshotTask{Objects: j.o, Target: j.target, WorkBucket: workBucket}
	for phase != "" && len(gone) < 20 {
		gone = append(gone, phase)
		out, err := j.phase.Handle(j.t.Context(), migrate.PhaseIn{LoadId: "load1", Phase: phase})
		if again && err == nil || errors.Is(err, errCrash) {
			j.now = j.now.Add(time.Second)
			out, err = j.phase.Handle(j.t.Context(), migrate.PhaseIn{LoadId: "load1", Phase: phase})
		}
		if err != nil {
			return gone, err
		}
		for _, t := range lines[change.Task](j.t, j.o, out.Tasks) {
			if t.Phase == "visible" {
				return append(gone, "published"), nil
			}
			for range 2 {
				done, err := task.Handle(j.t.Context(), migrate.RunTaskIn{LoadId: "load1", Items: []change.Task{t}})
				if errors.Is(err, errCrash) {
					continue
				}
				if err != nil || !done.Done {
					j.t.Fatalf("task %s %s: got %+v and error %v", t.Phase, t.Name, done, err)
				}
			}
		}
		phase = out.Next
	}
	return gone, nil
}

func (j *judged) verdict() (v migrate.SnapshotVerdict) {
	j.t.Helper()
	body, err := j.o.read(workBucket, "snapshots/load1/verdict.json")
	if err == nil {
		err = json.Unmarshal(body, &v)
	}
	if err != nil {
		j.t.Fatal(err)
	}
	return v
}

func (j *judged) damage() {
	j.cluster.rows[3] = "other"
	delete(j.cluster.rows, 70)
	j.cluster.rows[1000] = "extra"
}

func (j *judged) intact() bool {
	for id := range j.rows {
		if j.cluster.rows[id] != fmt.Sprintf("n%d", id) {
			return false
		}
	}
	return len(j.cluster.rows) == int(j.rows)
}

func kinds(list []verify.Difference) (texts []string) {
	for _, d := range list {
		texts = append(texts, d.Kind+" "+strings.Join(d.Key, ","))
	}
	return texts
}

// Without Repair rows that differ stop the load. With it they are put right, once,
// whatever call is repeated; all is compared again, and the verdict says both.
func TestRowsThatDifferAreRepairedWhereAsked(t *testing.T) {
	t.Parallel()
	j := newJudged(t, 100)
	j.damage()
	_, err := j.run("digests", true)
	hasTexts(t, err, "table shop.things", "3 rows differ (different, extra, missing; columns name)", `"Repair": true`, `"Replace": true`, "verdict.json")
	want := []string{"extra 1000", "different 3", "missing 70"}
	if v := j.verdict(); v.Equal || !slices.Equal(kinds(v.Tables[0].Listed), want) || v.Repaired != nil {
		t.Errorf("got %+v", v)
	}
	j.plan.Input.Repair, j.plan.Execution = true, "two"
	j.save()
	gone, err := j.run("digests", true)
	if err != nil || strings.Join(gone, " > ") != "digests > visible > foreign keys-again > digests-again > visible-again > published" {
		t.Fatalf("went through %q and error %v", gone, err)
	}
	v := j.verdict()
	if !v.Equal || len(v.Repaired) != 1 || v.Repaired[0].Execution != "two" || v.Repaired[0].Rows != 3 || !slices.Equal(kinds(v.Repaired[0].Listed), want) || !j.intact() {
		t.Errorf("got %+v", v)
	}
	for key, text := range j.o.under(workBucket + "/parts/load1/repair/") {
		if !strings.HasPrefix(text, "\x1f\x8b") {
			t.Errorf("%s is not compressed", key)
		}
	}
	j.cluster.published = true
	_, err = j.run("tables", false)
	hasTexts(t, err, "load1 is visible", "without Repair")
}

// Whatever object a call was writing when it died, stored or not: the call is made
// again, and the load ends the same.
func TestRepairsSurviveCrashes(t *testing.T) {
	t.Parallel()
	for n := 0; ; n++ {
		j := newJudged(t, 100)
		j.plan.Input.Repair = true
		j.save()
		j.damage()
		puts := 0
		j.o.fault = func(string) (bool, error) {
			if puts++; puts == n/2+1 {
				return n%2 == 0, errCrash
			}
			return true, nil
		}
		gone, err := j.run("digests", false)
		if err != nil || gone[len(gone)-1] != "published" || !j.intact() {
			t.Fatalf("put %d: went through %v and error %v", n/2+1, gone, err)
		}
		if v := j.verdict(); !v.Equal || len(v.Repaired) != 1 || v.Repaired[0].Rows != 3 {
			t.Errorf("put %d: got %+v", n/2+1, v)
		}
		if puts <= n/2 {
			break
		}
	}
}

// What differs behind a repair is no second repair: somebody else writes.
func TestRowsThatDifferAgainStopTheLoad(t *testing.T) {
	t.Parallel()
	j := newJudged(t, 100)
	j.plan.Input.Repair = true
	j.save()
	j.damage()
	reads := 0
	j.cluster.read = func() {
		if reads++; len(j.cluster.done) == 1 {
			j.cluster.rows[5] = "again"
		}
	}
	gone, err := j.run("digests", false)
	hasTexts(t, err, "1 rows differ (different; columns name)", "put rows right", "somebody else writes")
	if gone[len(gone)-1] != "visible-again" || len(j.cluster.done) != 1 {
		t.Errorf("went through %v, with %d repairs", gone, len(j.cluster.done))
	}
	j.cluster.read = nil
	j.plan.Execution = "two"
	j.save()
	if _, err = j.run("digests", false); err != nil || !j.intact() {
		t.Errorf("another execution: got %v", err)
	}
	if v := j.verdict(); len(v.Repaired) != 2 || v.Repaired[0].Rows != 3 || v.Repaired[1].Rows != 1 || v.Repaired[1].Execution != "two" {
		t.Errorf("got %+v", v.Repaired)
	}
	if _, err := j.run("indexes-again", false); err == nil {
		t.Error("phases before the foreign keys are gone through again")
	}
}

// Rows that the load refused are no difference, and no repair brings them.
func TestRefusedRowsAreNotRepaired(t *testing.T) {
	t.Parallel()
	j := newJudged(t, 100)
	j.cluster.refused = []change.Refusal{{Row: 20, Column: "name"}, {Row: 7, Column: "name"}, {Row: 20, Column: "id"}}
	delete(j.cluster.rows, 7)
	delete(j.cluster.rows, 20)
	if gone, err := j.run("digests", false); err != nil || gone[len(gone)-1] != "published" {
		t.Fatalf("went through %v and error %v", gone, err)
	}
	j.plan.Input.Repair = true
	j.save()
	for id := range j.rows {
		j.cluster.rows[id] = "other"
	}
	delete(j.cluster.rows, 7)
	delete(j.cluster.rows, 20)
	if _, err := j.run("digests", false); err != nil {
		t.Fatal(err)
	}
	if v := j.verdict(); !v.Equal || v.Repaired[0].Rows != 98 || len(j.cluster.rows) != 98 || j.cluster.rows[7] != "" {
		t.Errorf("got %+v of %d rows", v, len(j.cluster.rows))
	}
}

// What cannot be repaired is said, and nothing is.
func TestRepairsHaveBounds(t *testing.T) {
	t.Parallel()
	bounded := func(j *judged, ctx context.Context, want ...string) {
		t.Helper()
		j.plan.Input.Repair = true
		j.save()
		if _, err := j.target.Run(t.Context(), &j.plan, change.Task{Phase: "digests", Name: "0"}, false); err != nil {
			t.Fatal(err)
		}
		_, err := j.phase.Handle(ctx, migrate.PhaseIn{LoadId: "load1", Phase: "visible"})
		hasTexts(t, err, append(want, `"Replace": true`, "Nothing was repaired")...)
		if len(j.o.under(workBucket+"/parts/")) > 0 || j.verdict().Repaired != nil {
			t.Error("rows were written")
		}
	}
	j := newJudged(t, 100, func(p *migrate.SnapshotPlan) { p.Plans[0].Key = nil })
	j.damage()
	bounded(j, t.Context(), "it has no key", "4 rows differ (extra, missing)")
	j = newJudged(t, 10_100)
	clear(j.cluster.rows)
	bounded(j, t.Context(), "10100 rows differ, more than are looked at one by one (10000)", "are not listed")
	// A minute before the end of a call there is no time left for rows.
	j = newJudged(t, 100)
	j.damage()
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(50*time.Second))
	defer cancel()
	bounded(j, ctx, "too large to be read row by row within one call")
	if v := j.verdict().Tables[0]; v.Listed != nil || v.Unlisted == "" || len(v.Differing) == 0 {
		t.Errorf("got %+v", v)
	}
}

// The digests of a large table are taken by several calls, and are those of one; a
// call that is repeated goes on behind what was kept; the next time they are taken
// anew.
func TestDigestsAreHandedOn(t *testing.T) {
	t.Parallel()
	j := newJudged(t, 100)
	task := change.Task{Phase: "digests", Name: "0"}
	sums := func() *verify.RowSums {
		t.Helper()
		s, err := j.target.Sums(t.Context(), &j.plan, 0)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if done, err := j.target.Run(t.Context(), &j.plan, task, false); !done || err != nil {
		t.Fatalf("got done %v and error %v", done, err)
	}
	want := sums()
	j.cluster.page, j.cluster.reads = 7, 0
	j.cluster.read = func() { j.now = j.now.Add(time.Minute) }
	calls := 0
	for look := false; ; look = true {
		done, err := j.target.Run(clocked{t.Context(), j.now.Add(5 * time.Minute)}, &j.plan, task, look)
		if err != nil {
			t.Fatal(err)
		}
		if calls++; done {
			break
		}
		if _, err := j.target.Sums(t.Context(), &j.plan, 0); retry(err) != "Again" {
			t.Errorf("before they are whole: got %v", err)
		}
	}
	if *sums() != *want || calls != 4 || j.cluster.reads != 16 {
		t.Errorf("%d calls read %d pages; the sums are the same: %v", calls, j.cluster.reads, *sums() == *want)
	}
	if done, err := j.target.Run(t.Context(), &j.plan, task, true); !done || err != nil || j.cluster.reads != 16 {
		t.Errorf("a call behind the last: done %v and error %v after %d pages", done, err, j.cluster.reads)
	}
	j.damage()
	if done, err := j.target.Run(t.Context(), &j.plan, task, false); !done || err != nil || *sums() == *want {
		t.Errorf("anew: got done %v and error %v, and other sums: %v", done, err, *sums() != *want)
	}
}

// clocked has the deadline of a test's clock, and is never over.
type clocked struct {
	context.Context
	deadline time.Time
}

func (c clocked) Deadline() (time.Time, bool) { return c.deadline, true }
