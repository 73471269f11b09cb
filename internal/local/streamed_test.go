package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/esm"
	"godwit/internal/local/kinesis"
	"godwit/internal/local/qldb"
	"godwit/internal/local/s3"
	"godwit/internal/local/template"
	"godwit/internal/migrate"
)

// A following is a cloud whose stream was enabled by a load, with the ledger that
// writes to it.
type following struct {
	*local.Cloud
	t       *testing.T
	ledger  ledgergen.Options
	journal *ledgergen.Journal
	loaded  int64 // blocks
	mapping string
}

// follow loads all blocks of a ledger but the last ones, and enables the stream.
func follow(t *testing.T, behind int64) *following {
	t.Helper()
	f := &following{t: t, ledger: ledgergen.Options{Seed: 1, Documents: 40, Prefix: "exports/"}}
	f.journal = livingLedger(t, f.ledger)
	f.Cloud = start(t, local.Options{Ledger: &qldb.Ledger{Options: f.ledger, Visible: f.journal.Len()}})
	loaded := f.ledger
	f.loaded = f.journal.Len() - behind
	loaded.Blocks = f.loaded
	archive(t, f.Cloud, loaded)
	text, err := os.ReadFile(filepath.Join("..", "mapping", "dmv.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.S3.Put(workBucket(t, f.Cloud), "mappings/dmv.json", text, s3.Options{}); err != nil {
		t.Fatal(err)
	}
	f.mapping = "s3://" + workBucket(t, f.Cloud) + "/mappings/dmv.json"
	load(t, f.Cloud, object{"Bucket": archiveBucket, "Prefix": "exports/", "EnableStream": true, "Mapping": f.mapping})
	return f
}

// livingLedger is the ledger of o, block by block.
func livingLedger(t *testing.T, o ledgergen.Options) *ledgergen.Journal {
	t.Helper()
	j, err := ledgergen.NewJournal(o, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() }) // read only
	return j
}

// stream puts a block of a journal into the stream, as one aggregate.
func (f *following) stream(j *ledgergen.Journal, n int64) {
	f.t.Helper()
	b, err := j.Block(n)
	if err != nil {
		f.t.Fatal(err)
	}
	messages, err := b.Stream("arn:aws:qldb:us-east-1:111122223333:stream/registry/IiPT4brpZCqCq3f4MTHbYy")
	if err != nil {
		f.t.Fatal(err)
	}
	f.put(ledgergen.Aggregate(messages))
}

func (f *following) put(data []byte) {
	f.t.Helper()
	arn := template.ByType(f.Stacks, "AWS::Kinesis::Stream")[0].ARN()
	r, err := f.Kinesis.Put(arn, kinesis.Entry{PartitionKey: "a", Data: data})
	if err != nil || r[0].Code != "" {
		f.t.Fatalf("put a record of %d bytes: %v %v", len(data), r, err)
	}
}

// drain waits until all of the stream is read, or no more of it is.
func (f *following) drain() error {
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	return f.Mappings.Drain(ctx)
}

// invoke calls a function of the stream stack.
func (f *following) invoke(name string, in, out any) {
	f.t.Helper()
	payload, err := json.Marshal(in)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, x := range f.Functions {
		if !strings.HasPrefix(x.Name, "godwit-demo-stream-"+name) {
			continue
		}
		answer, err := x.Invoke(f.t.Context(), payload)
		if err != nil {
			f.t.Fatalf("%s: %v", name, err)
		}
		if err := json.Unmarshal(answer, out); err != nil {
			f.t.Fatalf("%s answered %s: %v", name, answer, err)
		}
		return
	}
	f.t.Fatalf("the stacks have no function %s", name)
}

// status wants the stream's line to say all of want.
func (f *following) status(want ...string) {
	f.t.Helper()
	var s migrate.StreamStatusOut
	f.invoke("StreamStatus", object{"Ledger": ledgergen.Name}, &s)
	for _, w := range want {
		if !strings.Contains(s.Line, w) {
			f.t.Errorf("the status is %q, want it to say %q", s.Line, w)
		}
	}
}

// followed is a cloud whose ledger went on behind a load, in every way that
// stream-apply and Lambda know, with the permissions that the stacks give and no
// others.
func followed(t *testing.T) *local.Cloud {
	t.Helper()
	f := follow(t, 4)
	for n := f.loaded; n < f.journal.Len(); n++ {
		f.stream(f.journal, n)
	}
	if err := f.drain(); err != nil {
		t.Fatal(err)
	}
	f.status("safe to cut over")

	// One that is no message, and one that no event of Lambda can hold.
	f.put([]byte("not Ion"))
	f.put(make([]byte, 5<<20))
	if err := f.drain(); err != nil {
		t.Fatal(err)
	}
	f.status("not safe", "1 set aside", "1 failure object not replayed")
	var replayed migrate.StreamReplayOut
	f.invoke("StreamReplay", object{}, &replayed)
	if !replayed.Done || replayed.Objects != 2 || replayed.Aside != 2 {
		t.Errorf("replayed is %+v, want two objects, and neither applied", replayed)
	}

	// Of another ledger, and more behind it.
	of := f.ledger
	of.Seed = 2
	other := livingLedger(t, of)
	f.stream(other, other.Len()-1)
	var stalled *esm.StalledError
	if err := f.drain(); !errors.As(err, &stalled) || stalled.State != "Disabled" {
		t.Fatalf("a contradiction: %v, want the mapping to be disabled", err)
	}
	f.status("not safe", "the stream is stopped", "another ledger", "its event source mapping is disabled")
	var resumed migrate.StreamResumeOut
	f.invoke("StreamResume", object{"Because": "the other ledger's stream was cancelled", "Mapping": f.mapping}, &resumed)
	if !strings.Contains(resumed.Was, "another ledger") {
		t.Errorf("resumed from %q", resumed.Was)
	}
	return f.Cloud
}

func TestStreamFollowsALoad(t *testing.T) {
	t.Parallel()
	followed(t)
}
