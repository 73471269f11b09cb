package target_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
)

// limit is the Data API's time limit in tests of statements that outlive it.
const limit = 200 * time.Millisecond

func refused(t testing.TB, err error, state string) *target.TaskError {
	t.Helper()
	var e *target.TaskError
	if !errors.As(err, &e) || e.State != state {
		t.Fatalf("got %v, want a task that the database refused with %s", err, state)
	}
	return e
}

// tasksOf counts a load's bookkeeping rows beside the rows that they stand for.
func (b *bench) staged(p *plan) (tasks, rows int) {
	b.t.Helper()
	return get[int](b, `SELECT count(*) FROM godwit.task`), get[int](b, fmt.Sprintf(`SELECT count(*) FROM %s.person_audit_log`, p.Stage()))
}

// Invariant 2.
func TestBookkeepingCommitsWithRows(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	b.begin(p)
	good := b.imports(p)[0]

	// A failing task leaves neither: first where the rows fail, then where the
	// bookkeeping does.
	b.shelf.put(t, "work-bucket", "bad/"+b.db.Name, []byte("a\t0\tAnn\t{}\tI\ttx\nb\tx\tBob\t{}\tI\ttx\n"))
	bad := task("import", "bad", map[string]any{
		"schema": p.Stage(), "relation": "person_audit_log", "table_id": "T1",
		"bucket": "work-bucket", "key": "bad/" + b.db.Name, "region": "us-east-1", "rows": 2,
	})
	refused(t, b.run(p.ID, bad), "22P02")
	b.exec(`ALTER TABLE godwit.task ADD CONSTRAINT broken CHECK (rows IS NULL)`)
	refused(t, b.run(p.ID, good), "23514")
	if tasks, rows := b.staged(p); tasks != 0 || rows != 0 {
		t.Errorf("after two failures: got %d tasks and %d rows, want none", tasks, rows)
	}
	b.exec(`ALTER TABLE godwit.task DROP CONSTRAINT broken`)

	// At no moment does anybody see one without the other.
	open := b.shelf.hold(t, "work-bucket", fmt.Sprintf("parts/%s/%s/T1.copy.gz", b.db.Name, p.ID))
	done := make(chan error)
	go func() { done <- b.run(p.ID, good) }()
	for b.shelf.count("work-bucket", fmt.Sprintf("parts/%s/%s/T1.copy.gz", b.db.Name, p.ID)) < 2 { // the failed attempt was the first
		time.Sleep(5 * time.Millisecond)
	}
	if tasks, rows := b.staged(p); tasks != 0 || rows != 0 {
		t.Errorf("while it runs: got %d tasks and %d rows, want none", tasks, rows)
	}
	open()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if tasks, rows := b.staged(p); tasks != 1 || rows != 5 {
		t.Errorf("at the end: got %d tasks and %d rows, want 1 and 5", tasks, rows)
	}
}

// Invariant 3: the reply of every task of a load is lost once, after it
// committed; the same call again changes nothing.
func TestLostReplyAfterCommit(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	p.aside = []revision{{doc: "b", version: 1, table: "T1"}}

	stubborn := func(name string, do func() error) {
		t.Helper()
		b.loseReplies(1, "")
		var e *target.Error
		err := do()
		if !errors.As(err, &e) || e.ErrorCode() != "NoAnswer" {
			t.Fatalf("%s: got %v, want the error of a lost reply", name, err)
		}
		if err := do(); err != nil {
			t.Fatalf("%s again: %v", name, err)
		}
	}
	begin := func() error { _, err := b.loader.Begin(context.Background(), p.Load); return err }
	stubborn("begin", begin)
	stubborn("stage", func() error { return b.loader.Stage(context.Background(), p.Load, p.tables, p.sources) })
	for n := range 2 { // the replies of Stage's own calls, one after the other
		b.loseReplies(0, "")
		calls := 0
		b.wire.mu.Lock()
		b.wire.lose = func(string) bool { calls++; return calls == n+1 }
		b.wire.mu.Unlock()
		if err := b.loader.Stage(context.Background(), p.Load, p.tables, p.sources); err == nil {
			t.Fatalf("stage: call %d of it was not made", n+1)
		}
	}
	var all []change.Task
	do := func(tasks []change.Task) {
		for _, x := range tasks {
			stubborn(x.Phase+" "+x.Name, func() error { return b.run(p.ID, x) })
		}
		all = append(all, tasks...)
	}
	do(b.imports(p))
	do(b.keys(p))
	do(b.slices(p))
	do(b.indexes(p))
	do([]change.Task{visible})
	b.loseReplies(0, "")

	equal(t, "current", b.current(), "a:1:Anne") // b is withheld
	equal(t, "history", b.history(), "a:0:I a:1:U b:0:I c:0:I c:1:D")
	equal(t, "counts", b.list(`SELECT revision_cnt::text FROM dmv.table_counts`), "5")
	if n := get[int](b, `SELECT count(*) FROM godwit.quarantine`); n != 1 {
		t.Errorf("got %d rows in quarantine, want 1", n)
	}
	// Once more, all of it, long after.
	if err := b.runAll(p.ID, all); err != nil {
		t.Fatal(err)
	}
	if n := get[int](b, `SELECT count(*) FROM godwit.task`); n != len(all) {
		t.Errorf("got %d tasks, want %d", n, len(all))
	}
	equal(t, "history", b.history(), "a:0:I a:1:U b:0:I c:0:I c:1:D")
}

// Invariant 9: a task needs longer than a call may take. Those who ask meanwhile
// hear that it runs and start nothing; in the end it is done once.
func TestStatementOutlivesCall(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	slow := newSlow(t, b)
	p := ledger("load1", people()...)
	b.begin(p)
	x := b.imports(p)[0]
	key := fmt.Sprintf("parts/%s/%s/T1.copy.gz", b.db.Name, p.ID)
	open := b.shelf.hold(t, "work-bucket", key)
	for i := range 3 {
		done, err := slow.Run(context.Background(), p.ID, x, i > 0)
		if done || err != nil {
			t.Fatalf("call %d: got done %v and error %v, want it to be running", i, done, err)
		}
	}
	if tasks, rows := b.staged(p); tasks != 0 || rows != 0 {
		t.Errorf("while it runs: got %d tasks and %d rows, want none", tasks, rows)
	}
	open()
	b.waitIdle()
	done, err := slow.Run(context.Background(), p.ID, x, true)
	if !done || err != nil {
		t.Fatalf("at the end: got done %v and error %v", done, err)
	}
	if tasks, rows := b.staged(p); tasks != 1 || rows != 5 {
		t.Errorf("got %d tasks and %d rows, want 1 and 5", tasks, rows)
	}
	if n := b.shelf.count("work-bucket", key); n != 1 {
		t.Errorf("the part was read %d times, want once", n)
	}
}

// newSlow is the bench's loader behind a Data API that gives a call 200 ms.
func newSlow(t *testing.T, b *bench) *target.DB {
	t.Helper()
	api := b.db.DataAPIWith(t, rdsdata.Config{Timeout: limit})
	slow := *b.loader
	slow.API = client(api.URL)
	return &slow
}

// A failure after the caller stopped waiting reaches the next one that asks,
// once; then, and for a caller that does not ask, the task is tried anew.
func TestFailureReachesTheNextCallerOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	slow := newSlow(t, b)
	p := ledger("load1", people()...)
	b.begin(p)
	key := "bad/" + b.db.Name
	b.shelf.put(t, "work-bucket", key, []byte("a\tnot a number\tAnn\t{}\tI\ttx\n"))
	bad := task("import", "bad", map[string]any{
		"schema": p.Stage(), "relation": "person_audit_log", "table_id": "T1",
		"bucket": "work-bucket", "key": key, "region": "us-east-1", "rows": 1,
	})
	failUnseen := func() {
		t.Helper()
		open := b.shelf.hold(t, "work-bucket", key)
		if done, err := slow.Run(context.Background(), p.ID, bad, false); done || err != nil {
			t.Fatalf("got done %v and error %v, want it to be running", done, err)
		}
		open()
		b.waitIdle()
	}

	// Who does not ask, tries anew.
	failUnseen()
	reads := b.shelf.count("work-bucket", key)
	_, err := b.loader.Run(context.Background(), p.ID, bad, false)
	refused(t, err, "22P02")
	if n := b.shelf.count("work-bucket", key); n != reads+1 {
		t.Error("got an old failure, want the task tried anew")
	}

	failUnseen()
	reads = b.shelf.count("work-bucket", key)
	_, err = b.loader.Run(context.Background(), p.ID, bad, true)
	refused(t, err, "22P02")
	if n := b.shelf.count("work-bucket", key); n != reads {
		t.Error("the task was tried again, want the failure that nobody had heard of")
	}
	// The next one that asks, as a redrive with the same input does, tries.
	b.shelf.put(t, "work-bucket", key, []byte("a\t7\tAnn\t{}\tI\ttx\n"))
	if done, err := b.loader.Run(context.Background(), p.ID, bad, true); !done || err != nil {
		t.Errorf("got done %v and error %v, want the task tried anew", done, err)
	}
}

// A failure that its caller received is not told again.
func TestFailureThatWasReceivedIsNotToldAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	b.begin(p)
	x := b.imports(p)[0]
	missing := strings.Replace(string(x.Args), "T1.copy.gz", "none.copy.gz", 1)
	gone := change.Task{Phase: x.Phase, Name: x.Name, Args: []byte(missing)}
	for _, look := range []bool{false, true, true} {
		if _, err := b.loader.Run(context.Background(), p.ID, gone, look); err == nil {
			t.Fatal("got no error, want a missing object")
		}
	}
	if done, err := b.loader.Run(context.Background(), p.ID, x, true); !done || err != nil {
		t.Errorf("got done %v and error %v, want the task tried anew", done, err)
	}
	// A caller whose reply is lost hears it at the next look.
	q := ledger("load1", people()...)
	y := change.Task{Phase: "import", Name: "other", Args: gone.Args}
	b.loseReplies(1, "godwit.run")
	if _, err := b.loader.Run(context.Background(), q.ID, y, false); err == nil {
		t.Fatal("got no error, want a lost reply")
	}
	reads := get[int](b, `SELECT count(*) FROM godwit.failure WHERE name = 'other'`)
	if _, err := b.loader.Run(context.Background(), q.ID, y, true); err == nil || reads != 1 {
		t.Errorf("got %v and %d failures kept, want the failure that was lost", err, reads)
	}
	if n := get[int](b, `SELECT count(*) FROM godwit.failure`); n != 0 {
		t.Errorf("got %d failures kept, want none", n)
	}
}

// A row is done once however many ask at once.
func TestManyCallersDoATaskOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	b.begin(p)
	x := b.imports(p)[0]
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if err := b.run(p.ID, x); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if tasks, rows := b.staged(p); tasks != 1 || rows != 5 {
		t.Errorf("got %d tasks and %d rows, want 1 and 5", tasks, rows)
	}
}

func TestImportComparesTheCountWithThePlan(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	b.begin(p)
	x := b.imports(p)[0]
	for _, args := range []string{strings.Replace(string(x.Args), `"rows":5`, `"rows":6`, 1), strings.Replace(string(x.Args), `"rows":5`, `"rows":null`, 1)} {
		wrong := change.Task{Phase: x.Phase, Name: x.Name, Args: []byte(args)}
		e := refused(t, b.run(p.ID, wrong), "GW001")
		if !strings.Contains(e.Message, "holds 5 rows") {
			t.Errorf("got %q, want the two counts", e.Message)
		}
		if tasks, rows := b.staged(p); tasks != 0 || rows != 0 {
			t.Errorf("got %d tasks and %d rows, want none", tasks, rows)
		}
	}
	if err := b.run(p.ID, x); err != nil {
		t.Fatal(err)
	}
	staged, err := b.loader.StagedRows(t.Context(), p.ID)
	if err != nil || staged["T1"] != 5 || len(staged) != 1 {
		t.Errorf("got %v, %v, want 5 rows of T1", staged, err)
	}
}

// Errors tell where, never what: not in the answer, not in a later one, not in
// the bookkeeping.
func TestErrorsHoldNoValues(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	const secret = "s3cret, line 9, column x: y; SQLState: 40001"
	p := ledger("load1",
		revision{doc: "a", version: 0, op: "I", value: secret}, revision{doc: "b", version: 0, op: "I", value: secret})
	p.tables[0].Current.Indexes = []change.Index{{Name: "by name", Columns: []string{"name"}, Unique: true}}
	b.begin(p)
	key := "secret/" + b.db.Name
	check := func(name string, err error, state string, where ...string) {
		t.Helper()
		e := refused(t, err, state)
		for chain := err; chain != nil; chain = errors.Unwrap(chain) {
			if text := fmt.Sprintf("%v %#v", chain, chain); strings.Contains(text, "s3cret") || strings.Contains(text, "line 9") {
				t.Errorf("%s: the error holds the value: %s", name, text)
			}
		}
		for _, w := range where {
			if !strings.Contains(e.Message, w) {
				t.Errorf("%s: got %q, want where: %q", name, e.Message, w)
			}
		}
	}
	for _, test := range []struct {
		name, line, state string
		where             []string
	}{
		{"type", "a\t" + secret + "\tAnn\t{}\tI\ttx\n", "22P02", []string{"line 2, column version"}},
		{"extra column", "a\t0\tAnn\t{}\tI\ttx\t" + secret + "\n", "22P04", []string{"line 2;"}},
		{"json", "a\t0\tAnn\t{" + secret + "\tI\ttx\n", "22P02", []string{"line 2;"}},
		{"too long", "a\t0\tAnn\t{}\t" + secret + "\ttx\n", "22001", []string{"line 2, column operation"}},
		{"null", "a\t\\N\t" + secret + "\t{}\tI\ttx\n", "23502", nil},
	} {
		b.shelf.put(t, "work-bucket", key, []byte("z\t0\tZoe\t{}\tI\ttx\n"+test.line))
		bad := task("import", test.name, map[string]any{
			"schema": p.Stage(), "relation": "person_audit_log", "table_id": "T1",
			"bucket": "work-bucket", "key": key, "region": "us-east-1", "rows": 2,
		})
		check(test.name, b.run(p.ID, bad), test.state, test.where...)
	}
	if err := b.runAll(p.ID, append(b.imports(p), b.keys(p)...)); err != nil {
		t.Fatal(err)
	}
	if err := b.runAll(p.ID, b.slices(p)); err != nil {
		t.Fatal(err)
	}
	check("unique index", b.runAll(p.ID, b.indexes(p)), "23505", "by name", "person")
	if n := get[int](b, `SELECT count(*) FROM godwit.failure`); n != 0 {
		t.Errorf("got %d failures kept, want none", n)
	}

	// Calls that are no tasks, too.
	for _, sql := range []string{`SELECT '` + secret + `'::int`, `INSERT INTO godwit.failure SELECT NULL, '` + secret + `', '', '', ''`} {
		err := b.loader.Exec(t.Context(), sql)
		var e *target.Error
		if !errors.As(err, &e) || (e.State != "22P02" && e.State != "23502") {
			t.Errorf("got %v, want the database's own SQLSTATE", err)
		}
		for chain := err; chain != nil; chain = errors.Unwrap(chain) {
			if strings.Contains(chain.Error(), "s3cret") {
				t.Errorf("the error holds the value: %v", chain)
			}
		}
	}
}

func TestRevisionsStagedTwiceAreNamed(t *testing.T) {
	t.Parallel()
	for copies, want := range map[int]string{
		1: "document b version 0 (blocks 8 and 9): a version was altered",
		7: "document b version 0 (blocks 8 and 9), document c0 version 3 (blocks 8 and 9), document c1 version 3 (blocks 8 and 9), " +
			"document c2 version 3 (blocks 8 and 9), document c3 version 3 (blocks 8 and 9) and 2 others: a version was altered",
	} {
		b := newBench(t, rdsdata.Config{})
		twice := []revision{{doc: "b", version: 0, op: "I", value: "Bob"}}
		for i := range copies - 1 {
			r := revision{doc: fmt.Sprintf("c%d", i), version: 3, op: "U", value: "Bob"}
			twice = append(twice, r, r)
		}
		p := ledger("load1", append(people(), twice...)...)
		b.begin(p)
		if err := b.runAll(p.ID, b.imports(p)); err != nil {
			t.Fatal(err)
		}
		b.exec(fmt.Sprintf(`UPDATE %[1]s.person_audit_log h SET ql_audit = ql_audit || jsonb_build_object('ql_blockseq',
  CASE WHEN ctid = (SELECT min(o.ctid) FROM %[1]s.person_audit_log o WHERE o.doc_id = h.doc_id AND o.version = h.version) THEN 8 ELSE 9 END)`, target.Quote(p.Stage())))
		e := refused(t, b.runAll(p.ID, b.keys(p)), "GW006")
		for _, want := range []string{"for table person_audit_log more than one revision of " + want, "copy the objects of these blocks again", "proof of load load1"} {
			if !strings.Contains(e.Message, want) {
				t.Errorf("no %q in %q", want, e.Message)
			}
		}
		if strings.Contains(e.Message, "Bob") {
			t.Errorf("a value is told: %s", e.Message)
		}
	}
}

func TestTaskOfALoadThatIsNotUnderWayIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	b.load(p)
	for load, want := range map[string]string{p.ID: "published", "other": "not registered"} {
		e := refused(t, b.run(load, task("indexes", "new", map[string]any{"relation": "person", "columns": []string{"name"}, "index": "x"})), "GW003")
		if !strings.Contains(e.Message, want) {
			t.Errorf("got %q, want %q in it", e.Message, want)
		}
	}
	q := ledger("load2", people()...)
	b.begin(q)
	e := refused(t, b.run(q.ID, task("nonsense", "x", nil)), "GW000")
	if !strings.Contains(e.Error(), "nonsense") {
		t.Errorf("got %q, want the phase's name", e)
	}
}
