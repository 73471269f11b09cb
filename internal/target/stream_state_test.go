package target_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
)

// streaming is a bench with people loaded, and a stream that continues them.
func streaming(t testing.TB) (*bench, change.Stream) {
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	b.load(p)
	return b, b.enable(p.follows())
}

// apply applies items and expects no error.
func (b *bench) apply(s change.Stream, items ...change.Item) change.Applied {
	b.t.Helper()
	done, err := b.loader.Apply(b.t.Context(), s, items)
	if err != nil || done.Items != len(items) {
		b.t.Fatalf("got %+v, %v, want %d items applied", done, err, len(items))
	}
	return done
}

func (b *bench) status() change.StreamStatus {
	b.t.Helper()
	status, err := b.loader.StreamStatus(b.t.Context(), "s")
	if err != nil {
		b.t.Fatal(err)
	}
	return status
}

// What is at the boundary or below it was loaded; what is behind it was not.
func TestLoadStreamBoundary(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	done := b.apply(s,
		revision{doc: "w", op: "I", table: "T1", value: "Wil"}.item(99),
		revision{doc: "x", op: "I", table: "T1", value: "Xi"}.item(100),
		revision{doc: "y", op: "I", table: "T1", value: "Yan"}.item(101), summary(99), summary(100))
	equal(t, "current", b.current(), "a:1:Anne b:0:Bob y:0:Yan")
	if done.Skipped != 4 || done.Rows != 1 {
		t.Errorf("got %+v, want 4 skipped and 1 written", done)
	}
	if s := b.status(); s.Last.Major != 101 || s.GapFree != 100 || s.OpenBlocks != 1 {
		t.Errorf("got %+v, want block 101 open", s)
	}
}

// Rows, history, heads, counts and what is noted of blocks and shards commit
// together or not at all.
func TestStreamBookkeepingCommitsWithRows(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	before := b.everything()
	// The last thing that a request does fails.
	b.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''XX000'', MESSAGE = ''refused''; END'`)
	b.exec(`CREATE TRIGGER refuse BEFORE INSERT ON godwit.stream_block FOR EACH ROW EXECUTE FUNCTION refuse()`)
	item := revision{doc: "a", version: 2, op: "U", table: "T1", value: "Anna"}.item(101)
	done, err := b.loader.Apply(t.Context(), s, []change.Item{item})
	if err == nil || done.Items != 0 {
		t.Errorf("got %+v, %v, want an error", done, err)
	}
	equal(t, "after an error at the end", b.everything(), before)
	b.exec(`DROP TRIGGER refuse ON godwit.stream_block`)
	b.apply(s, item)
	if b.everything() == before {
		t.Error("nothing changed: the comparison is blind")
	}
}

// The transaction commits and its answer is lost: applying again changes nothing.
func TestStreamLostReplyAfterCommit(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	items := []change.Item{
		revision{doc: "a", version: 2, op: "U", table: "T1", value: "Anna"}.item(101), revision{doc: "b", version: 1, op: "D", table: "T1"}.item(102),
		summary(101), summary(102),
	}
	for i, x := range []int{0, 1} {
		items[2+i].Block.Revisions = [][]byte{items[x].Revision.Hash}
	}
	b.loseReplies(1, "godwit.apply(")
	done, err := b.loader.Apply(t.Context(), s, items)
	var e *target.Error
	if !errors.As(err, &e) || e.API != "NoAnswer" || done.Items != 0 {
		t.Fatalf("got %+v, %v, want no answer", done, err)
	}
	equal(t, "current", b.current(), "a:2:Anna")
	counts := `SELECT revision_cnt::text FROM dmv.table_counts`
	before := b.list(counts)
	done = b.apply(s, items...)
	if done.Rows != 0 || done.History != 0 || done.Skipped != 2 || done.GapFree != 102 {
		t.Errorf("got %+v, want nothing new", done)
	}
	equal(t, "current", b.current(), "a:2:Anna")
	equal(t, "counts", b.list(counts), before)
}

// Two requests write one document. The first is held open between its two
// statements; the other waits for the head, in either order of versions. In one
// statement the second would decide by what it saw before it waited, and an
// older revision would come back.
func TestSecondStatementSeesWhatTheFirstWaitedFor(t *testing.T) {
	t.Parallel()
	older := revision{doc: "n", version: 0, op: "I", table: "T1", value: "Nan"}
	for _, c := range []struct {
		name          string
		first, second revision
		current       string
	}{
		{"the older first", older, revision{doc: "n", version: 1, op: "D", table: "T1"}, ""},
		{"the newer first", revision{doc: "n", version: 1, op: "D", table: "T1"}, older, ""},
		{"the older first, no deletion", older, revision{doc: "n", version: 1, op: "U", table: "T1", value: "Nana"}, " n:1:Nana"},
		{"the newer first, no deletion", revision{doc: "n", version: 1, op: "U", table: "T1", value: "Nana"}, older, " n:1:Nana"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, s := streaming(t)
			tx, err := b.look.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// Readers pass, writers of history wait: heads are not held up.
			if _, err := tx.Exec(t.Context(), `LOCK TABLE dmv.person_audit_log IN SHARE MODE`); err != nil {
				t.Fatal(err)
			}
			errs := make(chan error, 2)
			for i, r := range []revision{c.first, c.second} {
				go func() {
					_, err := b.loader.Apply(t.Context(), s, []change.Item{r.item(101 + r.version)})
					errs <- err
				}()
				b.waitLocked(i + 1)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			equal(t, "current", b.current(), "a:1:Anne b:0:Bob"+c.current)
			equal(t, "history", b.history(), "a:0:I a:1:U b:0:I c:0:I c:1:D n:0:I n:1:"+map[bool]string{true: "D", false: "U"}[c.current == ""])
		})
	}
}

// A hundred revisions of one document in a request, in any order, and as often as
// it pleases: the newest is current, each is history once.
func TestManyRevisionsOfOneDocumentInARequest(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	var items []change.Item
	for v := range int64(100) {
		items = append(items, revision{doc: "n", version: (v * 37) % 100, op: "U", table: "T1", value: fmt.Sprint("v", (v*37)%100)}.item(101))
	}
	done := b.apply(s, append(items, items...)...)
	if done.Calls != 1 || done.Rows != 1 || done.History != 100 || done.Skipped != 100 {
		t.Errorf("got %+v", done)
	}
	equal(t, "current", b.current(), "a:1:Anne b:0:Bob n:99:v99")
	// A deletion before what it deletes.
	b.apply(s, revision{doc: "m", version: 1, op: "D", table: "T1"}.item(102))
	b.apply(s, revision{doc: "m", version: 0, op: "I", table: "T1", value: "Mo"}.item(101))
	equal(t, "current after a deletion", b.current(), "a:1:Anne b:0:Bob n:99:v99")
}

func TestStoppedStreamAppliesNothing(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	item := revision{doc: "a", version: 2, op: "U", table: "T1", value: "Anna"}.item(101)
	ctx := t.Context()
	for range 2 {
		if err := b.loader.StopStream(ctx, "s", "a fault"); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.loader.StopStream(ctx, "s", "another"); err != nil {
		t.Fatal(err)
	}
	_, err := b.loader.Apply(ctx, s, []change.Item{item})
	var stopped *target.StreamStoppedError
	if !errors.As(err, &stopped) || stopped.Reason != "a fault" {
		t.Errorf("got %v, want the first reason", err)
	}
	if again := b.enable(s); again.Stopped != "a fault" || again.Generation != s.Generation {
		t.Errorf("registering it again made %+v of it", again)
	}
	if err := b.loader.ResumeStream(ctx, "s", "the cause is gone"); err != nil {
		t.Fatal(err)
	}
	// Stopped while a request is under way: it is undone.
	tx, err := b.look.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, `LOCK TABLE dmv.person_audit_log IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	go func() {
		_, err := b.loader.Apply(ctx, s, []change.Item{item})
		errs <- err
	}()
	b.waitLocked(1)
	if err := b.loader.StopStream(ctx, "s", "meanwhile"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; !errors.As(err, &stopped) || stopped.Reason != "meanwhile" {
		t.Errorf("got %v, want the stream stopped meanwhile", err)
	}
	equal(t, "current", b.current(), "a:1:Anne b:0:Bob")
	if err := b.loader.ResumeStream(ctx, "s", "again"); err != nil {
		t.Fatal(err)
	}
	b.apply(s, item)
	equal(t, "current", b.current(), "a:2:Anna b:0:Bob")
}

func TestStreamRegisteredAnew(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	b.apply(s, revision{doc: "a", version: 2, op: "U", table: "T1", value: "Anna"}.item(105), summary(101))
	next := s
	next.Boundary.Major = 103
	next = b.enable(next)
	if next.Generation <= s.Generation {
		t.Errorf("got generation %d after %d", next.Generation, s.Generation)
	}
	_, err := b.loader.Apply(t.Context(), s, []change.Item{summary(104)})
	var changed *target.StreamChangedError
	if !errors.As(err, &changed) || changed.Generation != next.Generation {
		t.Errorf("got %v, want the new generation", err)
	}
	read, err := b.loader.Stream(t.Context(), "s")
	if err != nil || read.Generation != next.Generation || read.Boundary != next.Boundary {
		t.Errorf("got %+v, %v", read, err)
	}
	if s := b.status(); s.GapFree != 103 || s.OpenBlocks != 1 || s.Last.Major != 105 {
		t.Errorf("got %+v, want block 105 open behind 103", s)
	}
	if _, err := b.loader.Stream(t.Context(), "other"); !errors.As(err, &changed) || changed.Generation != 0 {
		t.Errorf("got %v for a stream that is not registered", err)
	}
	_, err = b.loader.EnableStream(t.Context(), change.Stream{Name: "t", Source: change.SourceQLDB, Load: "load9", Schema: "dmv"})
	if got := stateOf(err); got != "GW003" {
		t.Errorf("a stream without its load: got %v", err)
	}
}

func stateOf(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

// What contradicts itself or the target is refused, alone, in whatever order it
// comes; its neighbours can be applied without it.
func TestContradictionsAreIntegrityErrors(t *testing.T) {
	t.Parallel()
	forged := revision{doc: "b", version: 0, op: "I", table: "T1", value: "Robert"}
	n := revision{doc: "n", version: 0, op: "I", table: "T1", value: "Nan"}
	other := n
	other.value = "Nancy"
	wrongHash, wrongPrevious, lists := summary(101), summary(102), summary(101)
	wrongHash.Block.Hash, wrongHash.Mark.Sequence = blockHash(7), "1199"
	wrongPrevious.Block.PreviousHash = blockHash(7)
	lists.Block.Revisions = [][]byte{n.item(101).Revision.Hash}
	closed := summary(101)
	for _, c := range []struct {
		name  string
		items []change.Item // the last one contradicts
		says  string
	}{
		{"a revision that was loaded", []change.Item{forged.item(101)}, "document b version 0"},
		{"a revision that was applied", []change.Item{n.item(101), other.item(102)}, "document n version 0"},
		{"two summaries of a block", []change.Item{lists, wrongHash}, "block 101"},
		{"a block's revision that it does not list", []change.Item{n.item(101), closed}, "block 101"},
		{"a block that does not list a revision", []change.Item{lists, other.item(101)}, "block 101"},
		{"a chain that breaks", []change.Item{wrongPrevious, closed}, "block 102 names another block hash before it than block 101 has (record shard-0:1102)"},
		{"a chain that breaks later", []change.Item{closed, wrongPrevious}, "block 102"},
	} {
		for _, one := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, one request %v", c.name, one), func(t *testing.T) {
				t.Parallel()
				b, s := streaming(t)
				items := slices.Clone(c.items)
				last := len(items) - 1
				behind := revision{doc: "z", op: "I", table: "T1", value: "Zoe"}.item(104)
				if one {
					items = append(items, behind)
				} else {
					b.apply(s, items[:last]...)
					items, last = items[last:], 0
				}
				before := b.everything()
				done, err := b.loader.Apply(t.Context(), s, items)
				item := last
				if strings.Contains(c.says, "record") { // the other one is wrong
					item = -1
				}
				var e *target.IntegrityError
				if !errors.As(err, &e) || !strings.Contains(e.Message, c.says) || e.Item != item || done.Items != last {
					t.Fatalf("got %+v, %v, want an integrity error of %s, item %d", done, err, c.says, item)
				}
				if !one {
					equal(t, "after it", b.everything(), before)
				}
				if item < 0 {
					return
				}
				aside := change.Item{Mark: items[last].Mark, Aside: &change.AsideItem{Object: "quarantine/1", Reason: e.Message, Block: -1}}
				b.apply(s, aside, behind)
				if b.status().Aside != 1 || !strings.Contains(b.current(), "z:0:Zoe") {
					t.Errorf("got %+v and %s, want it set aside and what is behind it", b.status(), b.current())
				}
			})
		}
	}
}

// A summary that is wrong may come before the one that it does not follow. Where
// its record is to be set aside it is taken back: its block stays open, and what
// others bring is applied.
func TestSummariesThatDoNotFollowAreTakenBack(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	wrong := summary(102)
	wrong.Block.PreviousHash = blockHash(7)
	b.apply(s, wrong, summary(103))
	if _, err := b.loader.Apply(t.Context(), s, []change.Item{summary(101)}); err == nil || !strings.Contains(err.Error(), wrong.Mark.Record()) {
		t.Fatalf("got %v, want record %s named", err, wrong.Mark.Record())
	}
	s.Aside = []string{wrong.Mark.Record()}
	s = b.enable(s)
	b.apply(s, summary(101))
	if s := b.status(); s.GapFree != 101 || s.OpenBlocks != 1 || s.Open[0] != 102 {
		t.Errorf("got %+v, want block 102 open", s)
	}
	right := summary(102)
	right.Mark.Sequence = "5000"
	if done := b.apply(s, right); done.GapFree != 103 {
		t.Errorf("got %+v, want all complete once its right summary comes", done)
	}
}

// An UNDROP that the target cannot follow is one message.
func TestUndropsWithoutHistoryNameTheirMessage(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	p.History = false
	b.load(p)
	s := b.enable(p.follows())
	drop, undrop := summary(101), summary(102)
	drop.Block.Events = []change.TableDrop{{Name: "Person"}}
	undrop.Block.Events = []change.TableDrop{{TableID: "T1", Undrop: true}}
	b.apply(s, drop)
	done, err := b.loader.Apply(t.Context(), s, []change.Item{summary(103), undrop, summary(104)})
	var e *target.IntegrityError
	if !errors.As(err, &e) || !strings.Contains(e.Message, "undropped") || e.Item != 1 || done.Items != 1 {
		t.Errorf("got %+v, %v, want item 1 named", done, err)
	}
}

// Whichever request takes heads first, the other waits and none is the other's
// victim.
func TestHeadsAreLockedInOneOrder(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	began := get[int64](b, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`)
	errs := make(chan error)
	const callers, rounds = 4, 6
	for c := range callers {
		go func() {
			var err error
			for round := range rounds {
				var items []change.Item
				for i := range 60 {
					doc := (i*7 + c*13 + round) % 60
					items = append(items, revision{doc: fmt.Sprintf("d%02d", doc), version: int64(round*callers + c), op: "U", table: "T1", value: "v"}.item(101))
				}
				if _, e := b.loader.Apply(t.Context(), s, items); e != nil {
					err = e
				}
			}
			errs <- err
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	b.exec(`SELECT pg_stat_clear_snapshot()`)
	if n := get[int64](b, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); n != began {
		t.Errorf("%d deadlocks", n-began)
	}
	if n := get[int](b, `SELECT count(*) FROM dmv.person WHERE doc_id LIKE 'd%' AND version <> $1`, callers*rounds-1); n != 0 {
		t.Errorf("%d documents do not show their newest revision", n)
	}
}

// Statements of the Data API must not look as if they had parameters of their
// own, and every function must be there after a second Prepare.
func TestPrepareAgainKeepsStreams(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	b.apply(s, revision{doc: "a", version: 2, op: "U", table: "T1", value: "Anna"}.item(101))
	before := b.everything()
	if err := target.Prepare(t.Context(), b.admin, b.loader, b.db.Loader, b.db.LoaderPassword); err != nil {
		t.Fatal(err)
	}
	equal(t, "after preparing again", b.everything(), before)
}

// A load that a stream has written to since cannot be unloaded, and unload says
// so; one that it has not takes the registration with it.
func TestUnloadAndStreams(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	b.apply(s, revision{doc: "a", version: 2, op: "U", table: "T1", value: "Anna"}.item(101))
	b.keeps("load1", "GW005", "stream s was applied to the tables of load load1")
	c, s := streaming(t)
	c.unloads("load1")
	_, err := c.loader.Apply(t.Context(), s, []change.Item{summary(101)})
	var changed *target.StreamChangedError
	if !errors.As(err, &changed) || changed.Generation != 0 {
		t.Errorf("got %v, want no registration", err)
	}
}

// A later load counts what the stream applied as there: it leaves no gap behind
// it, and does not bring back what the stream was told is dropped.
func TestLoadBehindAStream(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	drop := summary(105)
	drop.Block.Events = []change.TableDrop{{Name: "Person"}}
	for n := range int64(4) {
		b.apply(s, summary(101+n))
	}
	b.apply(s, drop)
	equal(t, "dropped", b.current(), "")
	p := ledger("load2", revision{doc: "d", version: 1, op: "U", value: "Di"})
	p.First, p.Last = 107, 108
	var gap *target.GapError
	if _, err := b.loader.Begin(t.Context(), p.Load); !errors.As(err, &gap) || !strings.Contains(gap.Have, "blocks 0 to 105") {
		t.Errorf("got %v, want the gap behind block 105", err)
	}
	p = ledger("load2", append(people(), revision{doc: "d", version: 0, op: "I", value: "Di"})...)
	p.First, p.Last = 90, 104 // before the DROP
	b.load(p)
	equal(t, "after a load that ends before the DROP", b.current(), "")
	equal(t, "history", b.history(), "a:0:I a:1:U b:0:I c:0:I c:1:D d:0:I")
}

// A stream that goes on behind a later load follows the tables of earlier ones too,
// of which the later archive says nothing.
func TestTablesOfEarlierLoadsAreFollowed(t *testing.T) {
	t.Parallel()
	b, _ := streaming(t)
	p := ledger("load2", revision{doc: "z", op: "I", table: "T2", value: "Zoe"})
	p.First, p.Last, p.tables, p.sources = 101, 200, []change.LoadTable{pair("car", nameColumn)}, []change.LoadSource{car}
	b.load(p)
	s := b.enable(p.follows())
	drop, undrop := summary(205), summary(206)
	drop.Block.Events = []change.TableDrop{{Name: "Person"}}
	undrop.Block.Events = []change.TableDrop{{TableID: "T1", Undrop: true}}
	b.apply(s, drop)
	equal(t, "dropped", b.current(), "")
	b.apply(s, undrop)
	equal(t, "undropped", b.current(), "a:1:Anne b:0:Bob")
	b.apply(s, revision{doc: "a", version: 2, op: "U", table: "T1", value: "Anna"}.item(207))
	equal(t, "current", b.current(), "a:2:Anna b:0:Bob")
}

// What the bookkeeping itself refuses is no message's fault: none is set aside.
func TestFaultsOfTheBookkeepingAreNoRefusals(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	b.exec(`ALTER TABLE godwit.stream_block ADD CHECK (block < 200)`)
	_, err := b.loader.Apply(t.Context(), s, []change.Item{summary(201)})
	var refused *target.RefusedError
	if stateOf(err) != "GW000" || errors.As(err, &refused) || !strings.Contains(err.Error(), "23514") {
		t.Errorf("got %v", err)
	}
}

// What a later load brings may close a gap: its stream is at rest, and complete.
func TestStatusSettlesWhatALoadCloses(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	b.apply(s, summary(150), summary(151))
	p := ledger("load2", revision{doc: "z", op: "I", value: "Zoe"})
	p.First, p.Last = 101, 149
	b.load(p)
	b.enable(p.follows())
	if s := b.status(); s.GapFree != 151 || s.OpenBlocks != 0 {
		t.Errorf("got %+v, want all complete", s)
	}
}

// A stream goes on while a later load is made: what it brings and sets aside in
// between is counted once, and hides what is older.
func TestStreamWhileALoadIsMade(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	p := ledger("load2", append(people(),
		revision{doc: "a", version: 2, op: "U", value: "Anna"}, revision{doc: "b", version: 1, op: "U", value: "Bobby"}, revision{doc: "d", op: "I", value: "Di"})...)
	p.First, p.Last = 90, 110
	if err := b.hidden(p); err != nil {
		t.Fatal(err)
	}
	bad := revision{doc: "b", version: 2, op: "U", table: "T1", value: "?"}.item(106)
	b.apply(s, revision{doc: "a", version: 2, op: "U", table: "T1", value: "Anna"}.item(105),
		change.Item{Mark: bad.Mark, Aside: &change.AsideItem{
			Object: "quarantine/1", Reason: "no reason", Table: bad.Revision.Table, Current: "person", Document: "b", Version: 2, Block: 106, Hash: bad.Revision.Hash,
		}})
	if err := b.run(p.ID, visible); err != nil {
		t.Fatal(err)
	}
	equal(t, "current", b.current(), "a:2:Anna d:0:Di")
	equal(t, "history", b.history(), "a:0:I a:1:U a:2:U b:0:I b:1:U c:0:I c:1:D d:0:I")
	equal(t, "counts", b.list(`SELECT revision_cnt::text FROM dmv.table_counts`), "8")
}

// A request that a lock holds up ends before its caller gives up.
func TestHeldUpRequestsDoNotPileUp(t *testing.T) {
	t.Parallel()
	b, s := streaming(t)
	// As if its twenty seconds were short.
	b.exec(`ALTER FUNCTION godwit.apply(text, bigint, text) SET lock_timeout = '200ms'`)
	tx, err := b.look.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), `SELECT FROM godwit.head WHERE doc_id = 'a' FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	_, err = b.loader.Apply(t.Context(), s, []change.Item{revision{doc: "a", version: 2, op: "U", table: "T1", value: "Anna"}.item(101)})
	if stateOf(err) != "55P03" {
		t.Errorf("got %v, want that the lock is not available", err)
	}
}
