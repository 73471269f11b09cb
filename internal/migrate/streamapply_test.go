package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"godwit/internal/change"
	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
	"godwit/internal/stream"
)

// small is a ledger whose load took 20 blocks.
var small = ledgergen.Options{Seed: 3, Documents: 60}

const loadedBlocks = 20

func TestStreamEndsInWhatTheExportSays(t *testing.T) {
	for _, each := range []int{1, 40} {
		l := streamLedger(t, small, loadedBlocks)
		r := newStreamRun(t, l.stream)
		records := l.records(each, 3)
		for batch := range slices.Chunk(records, 50) {
			r.must(batch...)
		}
		l.same(t, r.target)
		if got := r.status("{}", shardsOf(records)); !got.Safe || got.GapFree != l.tip {
			t.Errorf("records of %d messages: %+v", each, got)
		}
		if r.metrics[migrate.MetricRows] == 0 || r.metrics[migrate.MetricSkipped] == 0 || r.metrics[migrate.MetricDataAPICalls] == 0 || r.metrics[migrate.MetricQuarantined] != 0 {
			t.Errorf("metrics %v", r.metrics)
		}
		// All of it again, by another process, changes nothing.
		r.restart()
		slices.Reverse(records)
		r.must(records...)
		l.same(t, r.target)
	}
}

// TestLoadStreamBoundary has a load end one block before, at and behind each
// place: load and stream together hold every block once.
func TestLoadStreamBoundary(t *testing.T) {
	for _, loaded := range []int64{0, 1, 2, loadedBlocks - 1, loadedBlocks, loadedBlocks + 1} {
		l := streamLedger(t, small, loaded)
		r := newStreamRun(t, l.stream)
		r.must(l.records(25, 2)...)
		l.same(t, r.target)
		for _, x := range r.target.revisions {
			if x.Block < loaded {
				t.Fatalf("boundary %d: a revision of block %d was applied", loaded-1, x.Block)
			}
		}
	}
}

// What may pass by itself ends the call. What is done is not delivered again, and
// an aggregate of which a part is left is named as a whole.
func TestPassingFaultsAreRetriedFromTheirRecord(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	for _, code := range []string{"ThrottlingException", "StatementTimeoutException", "DatabaseUnavailableException"} {
		r := newStreamRun(t, l.stream)
		r.target.cut = func(int) int { return 7 }
		applies := 0
		r.target.fault = func(call string) (bool, error) {
			if call != "Apply" {
				return false, nil
			}
			if applies++; applies%4 == 0 {
				return applies%8 == 0, &serviceError{code, "later"}
			}
			return false, nil
		}
		records := l.records(5, 1)
		for calls := 0; len(records) > 0; calls++ {
			if calls > 200 {
				t.Fatalf("%s: no end", code)
			}
			out, err := r.handle(records...)
			var again *migrate.Again
			switch {
			case err == nil && len(out.BatchItemFailures) == 0:
				records = nil
			case err == nil:
				from := slices.IndexFunc(records, func(x events.KinesisEventRecord) bool {
					return x.Kinesis.SequenceNumber == out.BatchItemFailures[0].ItemIdentifier
				})
				if from <= 0 || len(out.BatchItemFailures) != 1 {
					t.Fatalf("%s: %+v names record %d", code, out, from)
				}
				records = records[from:]
			case !errors.As(err, &again):
				t.Fatalf("%s: %v", code, err)
			}
		}
		l.same(t, r.target)
		if len(r.mappings.changed) > 0 {
			t.Errorf("%s: the mapping was turned %v", code, r.mappings.changed)
		}
	}
}

// A fault that no repeat mends is an error of the function: nobody takes it for
// progress.
func TestStandingFaultsAreErrors(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	r := newStreamRun(t, l.stream)
	r.target.cut = func(int) int { return 3 }
	applies := 0
	r.target.fault = func(call string) (bool, error) {
		if call == "Apply" {
			if applies++; applies > 2 {
				return false, &serviceError{"AccessDeniedException", "no"}
			}
		}
		return false, nil
	}
	out, err := r.handle(l.records(1, 1)...)
	mustStop(t, err, "AccessDeniedException")
	if len(out.BatchItemFailures) != 0 {
		t.Errorf("%+v beside an error", out)
	}
}

func TestDeadlineLeavesTheRestToTheNextCall(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	r := newStreamRun(t, l.stream)
	r.target.cut = func(int) int { return 4 }
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(time.Hour))
	defer cancel()
	r.now = time.Now()
	handed, late := context.WithCancelCause(ctx)
	defer late(nil)
	applies := 0
	r.target.fault = func(call string) (bool, error) {
		if call == "Apply" {
			if applies++; applies == 6 {
				late(context.DeadlineExceeded)
			}
		}
		return false, nil
	}
	records := l.records(1, 1)
	out, err := r.apply.Handle(handed, delivered(t, records))
	if err != nil || len(out.BatchItemFailures) != 1 {
		t.Fatalf("got %+v, %v", out, err)
	}
	from := slices.IndexFunc(records, func(x events.KinesisEventRecord) bool {
		return x.Kinesis.SequenceNumber == out.BatchItemFailures[0].ItemIdentifier
	})
	if from != 6*4 {
		t.Errorf("record %d is named, want %d: six requests of four messages were done", from, 6*4)
	}
	r.must(records[from:]...)
	l.same(t, r.target)
}

// Whatever contradicts the ledger stops the stream: flag, mapping, metric, error.
func TestIntegrityFaultsStopTheStream(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	at := func(block int64, n int) int { // index of message n of a block
		return slices.Index(l.blocks, block) + n
	}
	first := int64(loadedBlocks)
	for l.blocks[at(first, 0)] != l.blocks[at(first, 1)] { // that has a revision
		first++
	}
	tests := []struct {
		name, want string
		do         func(r *streamRun, messages []ledgergen.StreamMessage)
	}{
		{"a revision's data", "hash is not that of its metadata and data", func(r *streamRun, m []ledgergen.StreamMessage) {
			tamper(t, &m[at(first, 1)])
		}},
		{"a summary's statement", "transactionInfo is not what entriesHashList has the hash of", func(r *streamRun, m []ledgergen.StreamMessage) {
			i := at(first, 0)
			m[i].Data = bytes.Replace(m[i].Data, []byte("INSERT"), []byte("UPSERT"), 1)
			if bytes.Equal(m[i].Data, l.messages[i].Data) {
				m[i].Data = bytes.Replace(m[i].Data, []byte("UPDATE"), []byte("UPSERT"), 1)
			}
		}},
		{"another ledger", "the journal stream is another ledger's", func(r *streamRun, m []ledgergen.StreamMessage) {
			r.target.stream.Strand = "AnotherStrand000000000"
		}},
		{"a chain that does not go on", "does not follow block", func(r *streamRun, m []ledgergen.StreamMessage) {
			r.target.stream.BoundaryHash = bytes.Repeat([]byte{7}, 32)
		}},
	}
	for _, test := range tests {
		r := newStreamRun(t, l.stream)
		changed := *l
		changed.messages = slices.Clone(l.messages)
		for i := range changed.messages {
			changed.messages[i].Data = bytes.Clone(changed.messages[i].Data)
		}
		test.do(r, changed.messages)
		records := changed.records(1, 1)
		_, err := r.handle(records...)
		mustStop(t, err, "stream changes is stopped", test.want, `{"Because": "…"}`)
		if !strings.Contains(r.target.stream.Stopped, test.want) || !slices.Equal(r.mappings.changed, []bool{false}) || r.metrics[migrate.MetricStreamStopped] != 1 {
			t.Errorf("%s: flag %q, mapping turned %v, metric %d", test.name, r.target.stream.Stopped, r.mappings.changed, r.metrics[migrate.MetricStreamStopped])
		}
		if len(r.target.asides) > 0 {
			t.Errorf("%s: something was set aside", test.name)
		}
		// While the flag stands nothing is applied, by this process and others, and
		// the mapping is turned off again.
		held := len(r.target.revisions)
		for range 2 {
			_, err = r.handle(l.records(1, 1)...)
			mustStop(t, err, "stream changes is stopped", test.want)
			r.restart()
		}
		if len(r.target.revisions) != held || len(r.mappings.changed) != 3 {
			t.Errorf("%s: %d revisions were applied while the stream is stopped; the mapping was turned %v", test.name, len(r.target.revisions)-held, r.mappings.changed)
		}
		if got := r.status("{}", shardsOf(records)); got.Safe || !strings.Contains(got.Line, "the stream is stopped: "+r.target.stream.Stopped) || !strings.Contains(got.Line, "its event source mapping is disabled") {
			t.Errorf("%s: status %q", test.name, got.Line)
		}
	}
}

// tamper changes a letter of a revision's data.
func tamper(t testing.TB, m *ledgergen.StreamMessage) {
	t.Helper()
	event, err := stream.NewDecoder(nil).Decode(stream.Message{Data: m.Data})
	if err != nil {
		t.Fatal(err)
	}
	data := event.(*stream.Revision).Block.Revisions[0].RawData
	at := bytes.Index(m.Data, data)
	for k := len(data) - 1; at >= 0 && k > 0; k-- {
		if 'a' <= data[k] && data[k] <= 'y' && 'a' <= data[k-1] && data[k-1] <= 'y' {
			m.Data[at+k]++
			return
		}
	}
	t.Fatal("the revision has no text to change")
}

// The flag is set first: a crash before the mapping is off leaves it, and it alone
// has nothing more applied.
func TestStopSurvivesFaultsOfItsOwn(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	r := newStreamRun(t, l.stream)
	r.target.stream.Strand = "AnotherStrand000000000"
	records := l.records(1, 1)
	r.target.fault = func(call string) (bool, error) {
		if call == "StopStream" {
			return false, &serviceError{"ThrottlingException", "later"}
		}
		return false, nil
	}
	_, err := r.handle(records...)
	var again *migrate.Again
	if !errors.As(err, &again) || len(r.mappings.changed) > 0 {
		t.Fatalf("without a flag: %v, the mapping was turned %v", err, r.mappings.changed)
	}
	r.target.fault = nil
	r.mappings.fault = func(string) error { return &serviceError{"ResourceInUseException", "it is being changed"} }
	_, err = r.handle(records...)
	mustStop(t, err, "another ledger's", "could not be turned off yet")
	r.mappings.fault = nil
	_, err = r.handle(records...)
	mustStop(t, err, "another ledger's")
	if !slices.Equal(r.mappings.changed, []bool{false}) {
		t.Errorf("the mapping was turned %v", r.mappings.changed)
	}
}

// A stream that nobody registered is turned off: its records wait in Kinesis
// instead of growing too old for Lambda.
func TestUnregisteredStreamIsTurnedOff(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	r := newStreamRun(t, change.Stream{})
	_, err := r.handle(l.records(1, 1)[0])
	mustStop(t, err, "is not registered", "stream-enable", "stays off")
	if !slices.Equal(r.mappings.changed, []bool{false}) {
		t.Errorf("the mapping was turned %v", r.mappings.changed)
	}
}

// A registration is read once, and again where the target says that it changed.
func TestRegistrationIsFollowed(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	r := newStreamRun(t, l.stream)
	records := l.records(1, 1)
	half := len(records) / 2
	r.must(records[:half/2]...)
	r.must(records[half/2 : half]...)
	if n := r.target.calls["Stream"]; n != 1 {
		t.Errorf("the registration was read %d times", n)
	}
	r.target.stream.Generation++
	r.target.stream.Tables = []string{"Person"}
	r.must(records[half:]...)
	if n := r.target.calls["Stream"]; n != 2 {
		t.Errorf("the registration was read %d times, want once more", n)
	}
	for _, x := range r.target.revisions {
		if x.Block > l.blocks[half] && x.Current != "person" {
			t.Fatalf("block %d brought a revision of %s", x.Block, x.Current)
		}
	}
}

// Tables that were dropped behind the back of a running process are made again.
func TestTablesThatVanishAreMadeAgain(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	r := newStreamRun(t, l.stream)
	records := l.records(1, 1)
	half := len(records) / 2
	r.must(records[:half]...)
	made := r.target.calls["EnsureTables"]
	clear(r.target.sources)
	r.must(records...)
	if n := r.target.calls["EnsureTables"]; n != made+1 && n != made+2 {
		t.Errorf("tables were made %d times more", n-made)
	}
	l.same(t, r.target)
}

// A table that is altered while the stream runs is described again: a process that
// remembers a column that it lost does not stand until it ends.
func TestTablesThatAreAlteredAreDescribedAgain(t *testing.T) {
	d := streamDatabase(change.SourceDMS, 5, 60)
	r := newStreamRun(t, d.stream)
	wide := slices.Clone(relational)
	wide[1].Columns = append(slices.Clone(wide[1].Columns), change.RowColumn{Name: "twice", Type: "bigint", Generated: true})
	r.target.catalog = wide
	half := len(d.messages) / 2
	r.mustMessages(0, d.messages[:half])
	asked, failed := r.target.calls["RowTables"], false
	r.target.refuse = func([]change.Item) error {
		if r.target.calls["RowTables"] > asked {
			return nil
		}
		failed = true
		return fmt.Errorf("apply: %w", missingColumn{})
	}
	r.mustMessages(half, d.messages[half:])
	if !failed {
		t.Error("the fault never occurred")
	}
	d.same(t, r.target)
}

type missingColumn struct{}

func (missingColumn) Error() string    { return "column twice does not exist (SQLSTATE 42703)" }
func (missingColumn) SQLState() string { return "42703" }

// Tables that the load left out stay out, and count for their blocks.
func TestTablesThatAreLeftOut(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	l.stream.Tables = []string{"Person", "Vehicle"}
	r := newStreamRun(t, l.stream)
	r.must(l.records(20, 2)...)
	for key := range l.history {
		if !strings.HasPrefix(key, "person/") && !strings.HasPrefix(key, "vehicle/") {
			delete(l.history, key)
		}
	}
	for key := range l.current {
		if !strings.HasPrefix(key, "person/") && !strings.HasPrefix(key, "vehicle/") {
			delete(l.current, key)
		}
	}
	l.same(t, r.target)
	for table := range r.target.tables {
		if table != "person" && table != "vehicle" {
			t.Errorf("table %s was made", table)
		}
	}
}

func TestEventsOfElsewhereAreRefused(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	r := newStreamRun(t, l.stream)
	good := l.records(1, 1)[0]
	for name, change := range map[string]func(*events.KinesisEventRecord){
		"no stream":        func(x *events.KinesisEventRecord) { x.EventSourceArn = "arn:aws:sqs:eu-west-1:1:q" },
		"another sequence": func(x *events.KinesisEventRecord) { x.Kinesis.SequenceNumber = "5" },
		"no shard":         func(x *events.KinesisEventRecord) { x.EventID = "5" },
	} {
		bad := good
		change(&bad)
		if _, err := r.handle(bad); err == nil {
			t.Errorf("%s is applied", name)
		}
	}
	if out, err := r.handle(); err != nil || out.BatchItemFailures != nil {
		t.Errorf("no records: %+v, %v", out, err)
	}
}

// Nothing of a row's values is in errors or in what the target notes of a message
// that is set aside.
func TestReasonsQuoteNoValues(t *testing.T) {
	l := streamLedger(t, ledgergen.Options{Seed: 3, Documents: 60, Unmappable: 6}, loadedBlocks)
	r := newStreamRun(t, l.stream)
	r.must(l.records(1, 1)...)
	for _, a := range r.target.asides {
		body, err := r.objects.read(failureBucket, a.Object)
		if err != nil {
			t.Fatal(err)
		}
		var o map[string]json.RawMessage
		if err := json.Unmarshal(body, &o); err != nil {
			t.Fatal(err)
		}
		delete(o, "Message")
		rest, _ := json.Marshal(o)
		if long := strings.Repeat("x", 20); strings.Contains(string(rest), long) || strings.Contains(a.Reason, long) {
			t.Errorf("a value is quoted: %s", rest)
		}
	}
}
