package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
	"godwit/internal/ledgergen"
	"godwit/internal/mapping"
	"godwit/internal/migrate"
)

// An enabling is stream-enable and stream-resume over fakes.
type enabling struct {
	*machine
	stream   *memoryStream
	mappings *memoryMappings
	source   string
}

func newEnabling(t testing.TB, input, source string) *enabling {
	m := newMachine(t, input)
	return &enabling{m, newStream(t, m.objects, change.Stream{}), &memoryMappings{t: t, state: "Disabled"}, source}
}

func (e *enabling) enable(input string) (migrate.StreamEnableOut, error) {
	h := &migrate.StreamEnable{Objects: e.objects, Target: e.stream, Mappings: e.mappings, WorkBucket: workBucket, StreamARN: streamARN, Source: e.source, Mapping: mappingID}
	return h.Handle(context.Background(), json.RawMessage(input))
}

func (e *enabling) resume(input string) (migrate.StreamResumeOut, error) {
	h := &migrate.StreamResume{Objects: e.objects, Target: e.stream, Mappings: e.mappings, WorkBucket: workBucket, StreamARN: streamARN, Mapping: mappingID}
	return h.Handle(context.Background(), json.RawMessage(input))
}

// A stream takes over from a load what the load knows: where it ended, with the
// hash that its blocks were proven to, and what it was to leave out.
func TestStreamContinuesItsLoad(t *testing.T) {
	for _, verify := range []string{"full", "chain", "off"} {
		e := newEnabling(t, `{"Bucket":"archive","Prefix":"exports/dmv/","Tables":["Person","Vehicle"],"History":"none","ApplyRedactions":false,"EnableStream":true,"Verify":"`+verify+`"}`, change.SourceQLDB)
		l := e.generate(ledgergen.Options{Seed: 7, Documents: 120, Prefix: prefix})
		p := e.begun()
		for _, c := range e.children(p) {
			for !c.done {
				if err := e.turn(c); err != nil {
					t.Fatal(err)
				}
			}
		}
		in := fmt.Sprintf(`{"LoadId":%q}`, p.LoadId)
		out, err := e.enable(in)
		if err != nil {
			t.Fatal(err)
		}
		got := e.stream.stream
		if !json.Valid([]byte(got.Mapping)) || !strings.Contains(got.Mapping, "drivers_license") {
			t.Errorf("the mapping is %.60q", got.Mapping)
		}
		got.Mapping = ""
		want := change.Stream{
			Name: changes, Source: change.SourceQLDB, Schema: "dmv", Load: p.LoadId, Strand: l.Strand, Boundary: change.Position{Major: l.LastBlock},
			Tables: []string{"Person", "Vehicle"}, Generation: 1,
		}
		if verify != "off" {
			want.BoundaryHash = l.LastHash.Bytes()
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("verify %s (-want +got):\n%s", verify, d)
		}
		if want := (migrate.StreamEnableOut{Stream: changes, Generation: 1, Boundary: fmt.Sprint(l.LastBlock), Mapping: mappingID}); out != want || e.mappings.state != "Enabled" {
			t.Errorf("got %+v, mapping %s", out, e.mappings.state)
		}
		// Again, after a crash on the way, too.
		e.mappings.fault = func(string) error { return &serviceError{"TooManyRequestsException", "later"} }
		var again *migrate.Again
		if _, err := e.enable(in); !errors.As(err, &again) {
			t.Errorf("got %v", err)
		}
		e.mappings.fault = nil
		if again, err := e.enable(in); err != nil || again != out {
			t.Errorf("again: %+v, %v", again, err)
		}
		// A stream that is stopped stays so.
		e.stream.stream.Stopped = "block 7 lies"
		e.mappings.changed = nil
		_, err = e.enable(in)
		mustStop(t, err, "block 7 lies", "stream-resume")
		if len(e.mappings.changed) > 0 {
			t.Error("a stream that is stopped was turned on")
		}
	}
}

// EnableStream is no part of a load: with and without it it is the same load.
func TestEnableStreamIsNoPartOfTheLoad(t *testing.T) {
	var plans [2]string
	for i, more := range []string{"", `,"EnableStream":true`} {
		m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/"`+more+`}`)
		m.generate(ledgergen.Options{Seed: 7, Documents: 30, Prefix: prefix})
		p := m.begun()
		body, err := m.objects.read(workBucket, "loads/"+p.LoadId+"/plan.json")
		if err != nil {
			t.Fatal(err)
		}
		plans[i] = string(body)
	}
	if plans[0] != plans[1] {
		t.Error(cmp.Diff(plans[0], plans[1]))
	}
}

func TestStreamOfRowsBeginsAtItsBoundary(t *testing.T) {
	for _, c := range []struct {
		source, input string
		want          change.Position
		schema        string
	}{
		{change.SourceDMS, `{}`, change.Position{}, ""},
		{change.SourceDMS, `{"Source":"dms","Boundary":"2/7C007328"}`, change.Position{Major: 0x2_7C00_7328, Minor: 1<<63 - 1}, ""},
		{change.SourceDSQL, `{"Schema":"app","Boundary":"1705318200000000000"}`, change.Position{Major: 1705318200000000000}, "app"},
	} {
		e := newEnabling(t, "", c.source)
		if _, err := e.enable(c.input); err != nil {
			t.Errorf("%s: %v", c.input, err)
		}
		if got := e.stream.stream; got.Boundary != c.want || got.Schema != c.schema || got.Source != c.source || e.mappings.state != "Enabled" {
			t.Errorf("%s: registered %+v, mapping %s", c.input, got, e.mappings.state)
		}
	}
}

func TestEnableRefusesWhatIsNotOfTheStream(t *testing.T) {
	for _, c := range []struct{ source, input, want string }{
		{change.SourceQLDB, `{}`, "has no LoadId"},
		{change.SourceQLDB, `{"Source":"dms"}`, `of this environment is of qldb, and Source is "dms"`},
		{change.SourceQLDB, `{"LoadId":"x","Boundary":"7"}`, "give LoadId alone"},
		{change.SourceQLDB, `{"LoadId":"../x"}`, "is not the id of a load"},
		{change.SourceQLDB, `{"LoadID":"x","Bound":"7"}`, "Bound"},
		{change.SourceQLDB, `{"LoadId":"x"} {}`, "something follows"},
		{change.SourceQLDB, `{"LoadId":"x"}`, "read load x"},
		{change.SourceDMS, `{"LoadId":"x"}`, "leave it out"},
		{change.SourceDMS, `{"Source":"dsql"}`, "cdk.json"},
		{change.SourceDMS, `{"Boundary":"7"}`, "no log sequence number"},
		{change.SourceDSQL, `{"Boundary":"0/7"}`, "nanoseconds"},
		{change.SourceDSQL, `{"Boundary":"-7"}`, "nanoseconds"},
	} {
		e := newEnabling(t, "", c.source)
		_, err := e.enable(c.input)
		mustStop(t, err, c.want)
		if e.stream.stream.Name != "" || len(e.mappings.changed) > 0 {
			t.Errorf("%s: registered %+v, mapping turned %v", c.input, e.stream.stream, e.mappings.changed)
		}
	}
}

func TestResumeGoesOn(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	e := newEnabling(t, "", change.SourceQLDB)
	_, err := e.resume(`{"Because":"x"}`)
	mustStop(t, err, "is not registered")
	e.stream = newStream(t, e.objects, l.stream)
	e.stream.stream.Stopped = "block 7 lies"
	for _, in := range []string{`{}`, `{"Because":"  "}`} {
		_, err := e.resume(in)
		mustStop(t, err, "has no Because")
	}
	out, err := e.resume(`{"Because":"it was a test"}`)
	if err != nil || out.Was != "block 7 lies" || e.stream.stream.Stopped != "" || e.mappings.state != "Enabled" {
		t.Errorf("got %+v, %v; flag %q, mapping %s", out, err, e.stream.stream.Stopped, e.mappings.state)
	}
	if out, err = e.resume(`{"Because":"again"}`); err != nil || out.Was != "" || out.Generation != 1 {
		t.Errorf("again: %+v, %v", out, err)
	}
}

// Tables that were made again are begun anew before anything is applied to them.
func TestResumeBeginsAnewWithTables(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	e := newEnabling(t, "", change.SourceDMS)
	e.stream = newStream(t, e.objects, change.Stream{Name: l.stream.Name, Source: change.SourceDMS})
	if _, err := e.resume(`{"Because":"copied again","Anew":["shop.seat"]}`); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(e.stream.enabled), fmt.Sprintf("[release %[1]s [\"shop.seat\"] resume %[1]s because copied again]", l.stream.Name); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	e.stream = newStream(t, e.objects, l.stream)
	e.stream.stream.Stopped = "block 7 lies"
	_, err := e.resume(`{"Because":"x","Anew":["dmv.person"]}`)
	mustStop(t, err, "leave Anew out")
	if len(e.stream.enabled) > 0 || e.stream.stream.Stopped == "" {
		t.Errorf("a resume that is refused does %s", e.stream.enabled)
	}
}

// A mended mapping applies what the old one set aside.
func TestResumeWithAMendedMapping(t *testing.T) {
	l := streamLedger(t, ledgergen.Options{Seed: 3, Documents: 60, Unmappable: 6}, loadedBlocks)
	r := newStreamRun(t, l.stream)
	records := l.records(30, 2)
	r.must(records...)
	e := &enabling{&machine{t: t, objects: r.objects}, r.target, r.mappings, change.SourceQLDB}
	wide := bytes.ReplaceAll(mapping.DMV(), []byte("varchar(100)"), []byte("varchar(200)"))
	r.objects.set(workBucket, "mappings/wide.json", wide)
	for uri, want := range map[string]string{
		"s3://elsewhere/mappings/wide.json":          "may not be read",
		"s3://" + workBucket + "/loads/x.json":       "may not be read",
		"s3://" + workBucket + "/mappings/none.json": "NoSuchKey",
	} {
		_, err := e.resume(fmt.Sprintf(`{"Because":"x","Mapping":%q}`, uri))
		mustStop(t, err, want)
	}
	out, err := e.resume(fmt.Sprintf(`{"Because":"names are longer","Mapping":"s3://%s/mappings/wide.json"}`, workBucket))
	if err != nil || out.Generation != 2 || r.target.stream.Mapping != string(wide) {
		t.Fatalf("got %+v, %v", out, err)
	}
	r.objects.changing = func(string) bool { return true }
	if out := r.replay(""); out.Applied != 2 || out.Aside != 4 {
		t.Errorf("replay %+v, want the two persons applied", out)
	}
	got := r.status("{}", shardsOf(records))
	if got.Safe || got.Aside != 4 {
		t.Errorf("status %q", got.Line)
	}
	r.must(kinesisRecord(0, 1_000_000, "k", l.messages[len(l.messages)-1].Data, arrival)) // the running process follows
	if r.target.calls["Stream"] < 2 {
		t.Error("the registration was not read again")
	}
}

// Lambda's failure objects are applied by the same way, once and twice.
func TestFailureObjectsAreReplayed(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	r := newStreamRun(t, l.stream)
	records := l.records(10, 2)
	lost := []int{}
	for i := 0; i < len(records); i += 4 {
		batch := []events.KinesisEventRecord{}
		for _, x := range records[i:min(i+4, len(records))] {
			if strings.HasPrefix(x.EventID, "shardId-000000000001") {
				batch = append(batch, x)
			} else {
				r.must(x)
			}
		}
		if len(batch) > 0 {
			key, body := failureObject(t, batch, "RecordAgeExceeded")
			r.objects.set(failureBucket, key, body)
			lost = append(lost, len(batch))
		}
	}
	status := r.status("{}", shardsOf(records))
	if status.Safe || int(status.Failures) != len(lost) || !strings.Contains(status.Line, fmt.Sprintf("%d failure objects not replayed", len(lost))) || status.Unread == 0 {
		t.Errorf("status %q", status.Line)
	}
	if out := r.replay("aws/lambda/"); !out.Done || int(out.Objects) != len(lost) {
		t.Errorf("replay %+v", out)
	}
	l.same(t, r.target)
	if status := r.status("{}", shardsOf(records)); !status.Safe {
		t.Errorf("status %q", status.Line)
	}
	r.replay("")
	l.same(t, r.target)
}

func TestReplayRefusesWhatIsNoFailure(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	records := l.records(10, 1)[:2]
	key, good := failureObject(t, records, "x")
	for body, want := range map[string]string{
		"{":  "decode the failure object",
		"{}": "no failure of stream",
		strings.Replace(string(good), "stream/changes", "stream/other", 1):      "no failure of stream",
		strings.Replace(string(good), `"batchSize":2`, `"batchSize":3`, 1):      "tells of 3 records and holds 2",
		string(good[:bytes.Index(good, []byte(`"payload"`))]) + `"payload":""}`: "decode the payload",
	} {
		r := newStreamRun(t, l.stream)
		r.objects.set(failureBucket, key, []byte(body))
		_, err := r.replayer().Handle(context.Background(), nil)
		mustStop(t, err, want, `{"Resume": "`+key+`"}`)
		out, err := r.replayer().Handle(context.Background(), []byte(`{"Resume":"`+key+`"}`))
		if err != nil || !out.Done || out.Objects != 0 {
			t.Errorf("behind it: %+v, %v", out, err)
		}
	}
	r := newStreamRun(t, l.stream)
	for _, prefix := range []string{"replayed/", "quarantine/other/", "x"} {
		_, err := r.replayer().Handle(context.Background(), []byte(`{"Prefix":"`+prefix+`"}`))
		mustStop(t, err, "nothing else of the failure bucket can be replayed")
	}
	r.objects.set(failureBucket, "quarantine/changes/shardId-000000000000/1-0.json", []byte(`{"Stream":"other"}`))
	_, err := r.replayer().Handle(context.Background(), nil)
	mustStop(t, err, "no message of stream changes that was set aside")
}

// A replay of a stream that is stopped applies nothing; one that comes upon a
// contradiction stops the stream.
func TestReplayStopsAsTheStreamDoes(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	r := newStreamRun(t, l.stream)
	key, body := failureObject(t, l.records(1000, 1)[:1], "x")
	r.objects.set(failureBucket, key, body)
	r.target.stream.Stopped = "block 7 lies"
	_, err := r.replayer().Handle(context.Background(), nil)
	mustStop(t, err, "block 7 lies", "stream-resume")
	r.target.stream.Stopped, r.target.stream.Strand = "", "AnotherStrand000000000"
	_, err = r.replayer().Handle(context.Background(), nil)
	mustStop(t, err, "another ledger's", "stream-resume")
	if r.target.stream.Stopped == "" || len(r.target.revisions) > 0 {
		t.Errorf("flag %q, %d revisions", r.target.stream.Stopped, len(r.target.revisions))
	}
}

// A ledger is an answer to GetDigest.
type tipLedger int64

func (l tipLedger) Digest(context.Context, string) ([]byte, string, error) {
	return bytes.Repeat([]byte{1}, 32), fmt.Sprintf(`{strandId:"S",sequenceNo:%d}`, l), nil
}

func (l tipLedger) Block(context.Context, string, string, string) (string, string, error) {
	return "", "", errors.New("not asked")
}

func (l tipLedger) LedgerState(context.Context, string) (string, error) { return "ACTIVE", nil }

// Each thing that stands in the way of a cut-over is named, and nothing else.
func TestStatusNamesWhatIsNotSafe(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	records := l.records(1, 2)
	tests := []struct {
		name, input, want string
		do                func(r *streamRun)
		shards            memoryShards
	}{
		{"all applied", `{}`, fmt.Sprintf("safe to cut over: block %d applied, no gaps, nothing set aside, nothing unread; compare that with the source's own last position, which was not given (Tip)", l.tip), nil, nil},
		{"at the tip", fmt.Sprintf(`{"Tip":%d}`, l.tip), fmt.Sprintf("safe to cut over: block %d applied, no gaps, nothing set aside, nothing unread, as far as the source is", l.tip), nil, nil},
		{"at the tip, as text", fmt.Sprintf(`{"Tip":"%d"}`, l.tip), "safe to cut over", nil, nil},
		{"at the ledger's tip", `{"Ledger":"dmv"}`, "safe to cut over", nil, nil},
		{"before the tip", fmt.Sprintf(`{"Tip":%d}`, l.tip+3), fmt.Sprintf("not safe: the source is at %d, 3 blocks further", l.tip+3), nil, nil},
		{"turned off", `{}`, "not safe: its event source mapping is disabled", func(r *streamRun) { r.mappings.state = "Disabled" }, nil},
		{"being turned on", `{}`, "safe to cut over", func(r *streamRun) { r.mappings.state = "Enabling" }, nil},
		{"a record unread", `{}`, "not safe: 1 record unread in 1 shard", nil, memoryShards{"shardId-000000000000": {strings.Repeat("9", 56)}}},
		{"a new shard", `{}`, "not safe: 2 records unread in 1 shard", nil, memoryShards{"shardId-000000000007": {"1", "2"}}},
		{"made again", `{}`, "not safe: 1 record unread in 1 shard; 1 shard counted from the oldest record, because", nil, memoryShards{"shardId-000000000000": {"1"}}},
		{
			"made again, at rest", `{}`, fmt.Sprintf("safe to cut over: block %d applied, no gaps, nothing set aside, nothing unread; compare that with the source's own last position, which was not given (Tip); 1 shard counted", l.tip),
			nil,
			memoryShards{"shardId-000000000000": {}},
		},
		{"stopped", `{}`, "not safe: the stream is stopped: block 7 lies", func(r *streamRun) { r.target.stream.Stopped = "block 7 lies" }, nil},
		{"a revision lacks", `{}`, fmt.Sprintf("not safe: block %d lacks revisions or its summary", l.tip), func(r *streamRun) {
			for h := range r.target.seen[l.tip] {
				delete(r.target.seen[l.tip], h)
			}
			delete(r.target.blocks, l.tip)
		}, nil},
		{"a block lacks", `{}`, fmt.Sprintf("not safe: block %d did not come, and there are blocks up to %d", l.tip-1, l.tip), func(r *streamRun) {
			delete(r.target.blocks, l.tip-1)
			delete(r.target.seen, l.tip-1)
		}, nil},
	}
	for _, c := range tests {
		r := newStreamRun(t, l.stream)
		r.must(records...)
		if c.do != nil {
			c.do(r)
		}
		shards := c.shards
		if shards == nil {
			shards = shardsOf(records)
		}
		h := &migrate.StreamStatus{
			Objects: r.objects, Target: r.target, Mappings: r.mappings, Shards: shards, Ledger: tipLedger(l.tip), FailureBucket: failureBucket,
			StreamARN: streamARN, Mapping: mappingID, Now: func() time.Time { return r.now },
		}
		got, err := h.Handle(context.Background(), []byte(c.input))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !strings.HasPrefix(got.Line, c.want) || got.Safe != strings.HasPrefix(c.want, "safe") || got.Safe == (len(got.Why) > 0) {
			t.Errorf("%s: %+v, want %q", c.name, got, c.want)
		}
	}
}

func TestStatusOfRowsMeasuresTheLog(t *testing.T) {
	d := streamDatabase(change.SourceDMS, 1, 20)
	r := newStreamRun(t, d.stream)
	r.target.catalog = d.catalog
	r.mustMessages(0, d.messages)
	at := int64(2<<32 + 20*16)
	for tip, want := range map[string]int64{change.FormatLSN(at): 0, change.FormatLSN(at + 100): 100, change.FormatLSN(at - 5): 0} {
		got := r.status(fmt.Sprintf(`{"Tip":%q}`, tip), nil)
		if got.Behind != want || got.Safe != (want == 0) || got.Applied != change.FormatLSN(at) || got.GapFree != -1 {
			t.Errorf("tip %s: %+v", tip, got)
		}
	}
	if got := r.status(`{"Tip":"2/150"}`, nil); got.LagSeconds <= 0 || got.AppliedAt == "" {
		t.Errorf("%+v", got)
	}
	for in, want := range map[string]string{`{"Tip":7}`: "no log sequence number", `{"Ledger":"x"}`: "no ledger", `{"Tip":"1/2","Ledger":"x"}`: "give one", `{"Tipp":7}`: "Tipp"} {
		h := &migrate.StreamStatus{Objects: r.objects, Target: r.target, Mappings: r.mappings, Shards: memoryShards{}, FailureBucket: failureBucket, StreamARN: streamARN, Mapping: mappingID, Now: time.Now}
		_, err := h.Handle(context.Background(), []byte(in))
		mustStop(t, err, want)
	}
}

// Every sample input is read to its end; what it does is tried on the stacks.
func TestStreamSamplesAreInputs(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "events", "stream-*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d samples, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		parts := strings.SplitN(filepath.Base(file), "-", 3)
		switch parts[1] {
		case "enable":
			err = d.Decode(&migrate.StreamEnableIn{})
		case "resume":
			err = d.Decode(&migrate.StreamResumeIn{})
		case "replay":
			err = d.Decode(&migrate.StreamReplayIn{})
		case "status":
			err = d.Decode(&migrate.StreamStatusIn{})
		case "apply":
			var e events.KinesisEvent
			if err = json.Unmarshal(text, &e); err == nil {
				r := newStreamRun(t, change.Stream{Name: changes, Source: strings.TrimSuffix(parts[2], ".json")})
				r.target.catalog = relational
				r.must(e.Records...)
				if len(r.target.rows) != 1 || len(r.target.asides) != 0 {
					err = fmt.Errorf("%d rows, %d set aside", len(r.target.rows), len(r.target.asides))
				}
			}
		default:
			err = errors.New("no function has it for an input")
		}
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
	if !slices.ContainsFunc(files, func(f string) bool { return strings.Contains(f, "stream-apply-") }) {
		t.Error("no sample of stream-apply")
	}
}

// A record that contradicts the ledger stops the stream until an operator has it
// set aside: it alone, and its block stays open.
func TestResumeSetsAContradictingRecordAside(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	i := slices.Index(l.blocks, l.tip-5) + 1
	for l.blocks[i-1] != l.blocks[i] {
		i++
	}
	l.messages[i].Data = bytes.Clone(l.messages[i].Data)
	tamper(t, &l.messages[i])
	r := newStreamRun(t, l.stream)
	records := l.records(1, 1)
	_, err := r.handle(records...)
	mustStop(t, err, "message 0 of record "+records[i].EventID)
	if len(r.target.revisions) > 0 {
		t.Error("something of the batch was applied")
	}
	e := &enabling{&machine{t: t, objects: r.objects}, r.target, r.mappings, change.SourceQLDB}
	for _, name := range []string{"7", "shardId-000000000000", "shardId-x:7", ""} {
		_, err := e.resume(fmt.Sprintf(`{"Because":"x","Aside":[%q]}`, name))
		mustStop(t, err, "names no record")
	}
	if r.target.stream.Stopped == "" {
		t.Error("a resume that is refused takes the flag away")
	}
	out, err := e.resume(fmt.Sprintf(`{"Because":"it was cut on its way","Aside":[%q]}`, records[i].EventID))
	if err != nil || out.Generation != 2 || !strings.Contains(out.Was, records[i].EventID) {
		t.Fatalf("got %+v, %v", out, err)
	}
	r.must(records...)
	if len(r.target.asides) != 1 || r.target.gapFree() != l.blocks[i]-1 {
		t.Errorf("%d messages are set aside; all up to block %d is complete, want %d", len(r.target.asides), r.target.gapFree(), l.blocks[i]-1)
	}
	if got := r.status("{}", shardsOf(records)); got.Safe || !strings.Contains(got.Line, fmt.Sprintf("block %d lacks", l.blocks[i])) {
		t.Errorf("status %q", got.Line)
	}
}

// So it does with a message that contradicts what the target has. What came before
// the call is no fault of the message that shows it.
func TestResumeSetsAsideWhatContradictsTheTarget(t *testing.T) {
	l := streamLedger(t, small, loadedBlocks)
	i := slices.Index(l.blocks, l.tip-5) + 1
	for l.blocks[i-1] != l.blocks[i] {
		i++
	}
	r := newStreamRun(t, l.stream)
	records := l.records(1, 1)
	fault := &change.IntegrityError{Stream: changes, Message: "document x version 3 stands in dmv.person with another revision hash"}
	r.target.refuse = func(items []change.Item) error {
		if items[0].Mark.Record() == records[i].EventID {
			return fault
		}
		return nil
	}
	_, err := r.handle(records...)
	mustStop(t, err, fault.Message+" (message 0 of record "+records[i].EventID+")")
	if want := fault.Message + " (message 0 of record " + records[i].EventID + ")"; r.target.stream.Stopped != want || len(r.target.asides) != 0 {
		t.Errorf("stopped because %q, want %q; %d messages are set aside", r.target.stream.Stopped, want, len(r.target.asides))
	}
	e := &enabling{&machine{t: t, objects: r.objects}, r.target, r.mappings, change.SourceQLDB}
	resume := fmt.Sprintf(`{"Because":"it was forged","Aside":[%q]}`, records[i].EventID)
	if _, err := e.resume(resume); err != nil {
		t.Fatal(err)
	}
	r.must(records...)
	for _, a := range r.target.asides {
		if a.Reason != fault.Message || a.Document != "" || a.Block != -1 || a.Hash != nil {
			t.Errorf("set aside as %+v, want nothing of it noted but why", a)
		}
	}
	if len(r.target.asides) != 1 || r.target.gapFree() != l.blocks[i]-1 {
		t.Errorf("%d messages are set aside; all up to block %d is complete, want %d", len(r.target.asides), r.target.gapFree(), l.blocks[i]-1)
	}
	if out := r.replay(""); out.Aside != 1 || r.target.stream.Stopped != "" {
		t.Errorf("replay %+v, stopped because %q", out, r.target.stream.Stopped)
	}
	fault = &change.IntegrityError{Item: -1, Stream: changes, Message: "block 7 does not follow (record shardId-0:1)"}
	_, err = r.handle(records...)
	mustStop(t, err, fault.Message)
	if r.target.stream.Stopped != fault.Message {
		t.Errorf("stopped because %q, want %q", r.target.stream.Stopped, fault.Message)
	}
}
