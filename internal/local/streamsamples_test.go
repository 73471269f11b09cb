package local_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"godwit/internal/local"
	"godwit/internal/local/kinesis"
	"godwit/internal/local/s3"
)

// Every sample input of the stream's functions does, on the stream of a ledger,
// what its name says; those of other producers are refused by name there, and a
// foreign record is set aside.
func TestSampleInputsOfStreamsRun(t *testing.T) {
	const sampleLoad, sampleBucket = "3f9a61c07d52be843f9a61c07d52be84", "godwit-demo-work" // of the samples
	samples := map[string]struct {
		function string
		want     string // that the answer, or the error, says
		refused  bool
	}{
		"stream-apply-dms":          {"StreamApply", `{"batchItemFailures"`, false},
		"stream-apply-dsql":         {"StreamApply", `{"batchItemFailures"`, false},
		"stream-enable-load":        {"StreamEnable", `"Boundary":"`, false},
		"stream-enable-dms":         {"StreamEnable", "the stream of this environment is of qldb", true},
		"stream-enable-dsql":        {"StreamEnable", "the stream of this environment is of qldb", true},
		"stream-replay-minimal":     {"StreamReplay", `"Done":true`, false},
		"stream-replay-prefix":      {"StreamReplay", `"Done":true`, false},
		"stream-resume-minimal":     {"StreamResume", `"Was":""`, false},
		"stream-resume-aside":       {"StreamResume", `"Was":""`, false},
		"stream-resume-mapping":     {"StreamResume", `"Was":""`, false},
		"stream-resume-anew":        {"StreamResume", "leave Anew out", true},
		"stream-status-minimal":     {"StreamStatus", `"Safe":`, false},
		"stream-status-ledger":      {"StreamStatus", `"Tip":"`, false},
		"stream-status-tip":         {"StreamStatus", `"Tip":"1240"`, false},
		"stream-status-nanoseconds": {"StreamStatus", `"Tip":"`, false}, // a number is a block here
		"stream-status-lsn":         {"StreamStatus", "2/7C007328", true},
	}
	files, err := filepath.Glob(filepath.Join("..", "..", "events", "stream-*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d sample inputs, %v", len(files), err)
	}
	v := startLive(t, local.Options{}, liveOptions())
	out := load(t, v.Cloud, object{"Bucket": archiveBucket, "Prefix": "exports/", "EnableStream": true})
	v.stream(v.loaded)
	v.grow(v.loaded + 10)
	mapping, err := os.ReadFile(filepath.Join("..", "mapping", "dmv.json"))
	if err != nil {
		t.Fatal(err)
	}
	work := workBucket(t, v.Cloud)
	if err := v.S3.Put(work, "mappings/dmv.json", mapping, s3.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			sample, ok := samples[name]
			if !ok {
				t.Fatal("no test says what this sample does")
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in := strings.NewReplacer(sampleLoad, out.LoadId, "s3://"+sampleBucket+"/", "s3://"+work+"/").Replace(string(text))
			if sample.function == "StreamApply" {
				in = v.eventOf(in)
			}
			// A mapping that is being changed refuses another change.
			if err := v.drain(); err != nil {
				t.Fatal(err)
			}
			var answer json.RawMessage
			err = again(func() error {
				if err := v.Clock.Sleep(t.Context(), time.Second); err != nil { // a shard takes five reads a second
					return err
				}
				return v.Invoke(t.Context(), sample.function, json.RawMessage(in), &answer)
			})
			said := string(answer)
			if err != nil {
				said = err.Error()
			}
			if (err != nil) != sample.refused || !strings.Contains(said, sample.want) {
				t.Errorf("it says %s, want %q", said, sample.want)
			}
		})
	}
	if err := v.drain(); err != nil {
		t.Fatal(err)
	}
	foreign := 0
	for _, a := range v.aside() {
		if strings.Contains(a.Reason, "the stream is registered for qldb") {
			foreign++
		}
	}
	if foreign < 2 || foreign != len(v.aside()) {
		t.Errorf("%d messages are set aside, %d as another producer's, want those of DMS and DSQL", len(v.aside()), foreign)
	}
	if s := v.status(); s.GapFree != v.loaded+10 {
		t.Errorf("stream-status: %s", s.Line)
	}
	v.same()
}

// eventOf puts the records of a sample event into the stream, and returns the
// event as Lambda delivers them.
func (v *live) eventOf(sample string) string {
	v.t.Helper()
	var event events.KinesisEvent
	if err := json.Unmarshal([]byte(sample), &event); err != nil {
		v.t.Fatal(err)
	}
	for i := range event.Records {
		r := &event.Records[i]
		put, err := v.Kinesis.Put(v.arn(), kinesis.Entry{PartitionKey: r.Kinesis.PartitionKey, Data: r.Kinesis.Data})
		if err != nil || put[0].Code != "" {
			v.t.Fatalf("put: %v %v", put, err)
		}
		r.EventSourceArn, r.Kinesis.SequenceNumber, r.EventID = v.arn(), put[0].Sequence, put[0].ShardID+":"+put[0].Sequence
	}
	b, err := json.Marshal(event)
	if err != nil {
		v.t.Fatal(err)
	}
	return string(b)
}
