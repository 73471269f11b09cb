package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/esm"
	"godwit/internal/local/kinesis"
	"godwit/internal/local/qldb"
	"godwit/internal/local/s3"
	"godwit/internal/local/template"
	"godwit/internal/migrate"
)

// A live cloud has a ledger that is loaded up to a block, and streams its journal.
type live struct {
	*local.Cloud
	t       testing.TB
	journal *ledgergen.Journal
	loaded  int64 // last block
}

// liveOptions choose the ledger of these tests.
func liveOptions() ledgergen.Options {
	return ledgergen.Options{Seed: 5, Documents: 120, Later: 120, Prefix: "exports/", Format: ledgergen.IonBinary}
}

// startLive starts the stacks with a ledger of which the blocks before those that
// Options.Later adds are visible, and its export is in the archive bucket.
func startLive(t testing.TB, o local.Options, l ledgergen.Options) *live {
	t.Helper()
	o.Ledger = &qldb.Ledger{Options: l}
	return liveOf(t, start(t, o), l)
}

// liveOf puts the export of a cloud's ledger into the archive bucket.
func liveOf(t testing.TB, c *local.Cloud, l ledgergen.Options) *live {
	t.Helper()
	v := &live{Cloud: c, t: t, journal: c.QLDB.Journal(ledgergen.Name)}
	v.loaded = v.journal.Later() - 1
	l.Blocks = v.loaded + 1
	archive(t, c, l)
	return v
}

// load has LedgerLoad load the archive and enable the stream.
func (v *live) load() {
	v.t.Helper()
	load(v.t, v.Cloud, object{"Bucket": archiveBucket, "Prefix": "exports/", "EnableStream": true})
}

// stream begins the journal stream at a block.
func (v *live) stream(from int64) {
	v.t.Helper()
	if err := v.StreamLedger(v.t.Context(), ledgergen.Name, from); err != nil {
		v.t.Fatal(err)
	}
}

// grow shows all blocks of the ledger up to one, and waits until Kinesis has them.
func (v *live) grow(to int64) {
	v.t.Helper()
	l, err := v.QLDB.Oracle(ledgergen.Name)
	if err != nil {
		v.t.Fatal(err)
	}
	if _, err := v.QLDB.Grow(ledgergen.Name, to-l.Tip); err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(v.t.Context(), time.Minute)
	defer cancel()
	if err := v.QLDB.Streamed(ctx, ledgergen.Name); err != nil {
		v.t.Fatal(err)
	}
}

// drain waits until all of the stream is applied. The error is an
// *esm.StalledError where that does not go on.
func (v *live) drain() error {
	ctx, cancel := context.WithTimeout(v.t.Context(), 2*time.Minute)
	defer cancel()
	return v.Mappings.Drain(ctx)
}

// invoke calls a function of the stream and wants it to answer.
func invoke[T any](v *live, function string, in any) (out T) {
	v.t.Helper()
	if err := v.Invoke(v.t.Context(), function, in, &out); err != nil {
		v.t.Fatal(err)
	}
	return out
}

func (v *live) status() migrate.StreamStatusOut {
	v.t.Helper()
	if err := v.Clock.Sleep(v.t.Context(), time.Second); err != nil { // a shard takes five reads a second
		v.t.Fatal(err)
	}
	return invoke[migrate.StreamStatusOut](v, "StreamStatus", object{"Ledger": ledgergen.Name})
}

// safe wants the stream to be safe to cut over, and the target to hold what the
// ledger holds up to its tip.
func (v *live) safe() {
	v.t.Helper()
	s := v.status()
	if !s.Safe || s.Behind != 0 {
		v.t.Errorf("stream-status: %s", s.Line)
		for _, a := range v.aside() {
			v.t.Errorf("set aside: block %d, table %s, document %s: %s", a.Block, a.Table, a.Document, a.Reason)
		}
	}
	v.same()
}

// same wants the target to hold what the ledger holds up to its tip.
func (v *live) same() {
	v.t.Helper()
	l, err := v.QLDB.Oracle(ledgergen.Name)
	if err != nil {
		v.t.Fatal(err)
	}
	all, err := local.CompareLedger(v.t.Context(), connect(v.t, v.Cloud), "dmv", v.journal, l.Blocks)
	if err != nil {
		v.t.Fatal(err)
	}
	rows := int64(0)
	for _, d := range all {
		if rows += d.Rows; !d.Same() {
			v.t.Errorf("%s", &d)
		}
	}
	if rows == 0 {
		v.t.Error("nothing was compared")
	}
}

// aside are the messages that stream-apply set aside, in the order of their keys.
func (v *live) aside() (all []asideMessage) {
	v.t.Helper()
	bucket := v.failures()
	objects, err := v.S3.List(bucket, "quarantine/")
	if err != nil {
		v.t.Fatal(err)
	}
	for _, o := range objects {
		body, _, err := v.S3.Get(bucket, o.Key)
		if err != nil {
			v.t.Fatal(err)
		}
		a := asideMessage{Key: o.Key}
		if err := json.Unmarshal(body, &a); err != nil {
			v.t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// An asideMessage is a quarantine object.
type asideMessage struct {
	Key             string
	Shard, Sequence string
	PartitionKey    string
	Table, Document string
	Block           int64
	Reason          string
	Message         []byte
}

// failures is the bucket of failures.
func (v *live) failures() string {
	v.t.Helper()
	for _, f := range v.Functions {
		if b := f.Env["GODWIT_FAILURE_BUCKET"]; b != "" {
			return b
		}
	}
	v.t.Fatal("no function has a bucket of failures")
	return ""
}

// The demo's flow: what is written while a ledger is exported and loaded, and
// behind that, arrives by itself, whatever order and repetition QLDB chooses.
func TestTheTargetFollowsTheLedger(t *testing.T) {
	t.Parallel()
	for _, disorder := range []uint64{0, 1, 2} {
		t.Run(fmt.Sprintf("disorder %d", disorder), func(t *testing.T) {
			v := startLive(t, local.Options{Stream: local.StreamOptions{Disorder: disorder}}, liveOptions())
			v.stream(v.loaded - 20)
			v.load()
			for to := v.loaded; to < v.journal.Len()-1; {
				to = min(to+17, v.journal.Len()-1)
				v.grow(to)
			}
			if err := v.drain(); err != nil {
				t.Fatal(err)
			}
			v.safe()
		})
	}
}

// The oracle sees one wrong value, one row too many and one too few, in every table.
func TestTheOracleSeesOneWrongValue(t *testing.T) {
	t.Parallel()
	v := startLive(t, local.Options{}, liveOptions())
	v.stream(v.loaded)
	v.load()
	v.grow(v.journal.Len() - 1)
	if err := v.drain(); err != nil {
		t.Fatal(err)
	}
	v.safe()
	db := connect(t, v.Cloud)
	for _, c := range []struct{ damage, table, want string }{
		{`UPDATE dmv.person SET address = NULL WHERE doc_id = (SELECT min(doc_id) FROM dmv.person WHERE address IS NOT NULL)`, "person", "1 differ"},
		{`UPDATE dmv.note_audit_log SET doc = doc || '{"x": 1}' WHERE (doc_id, version) = (SELECT doc_id, version FROM dmv.note_audit_log WHERE operation = 'I' LIMIT 1)`, "note_audit_log", "1 differ"},
		{`UPDATE dmv.vehicle_audit_log SET ql_audit = jsonb_set(ql_audit, '{ql_rev_hash}', '""') WHERE (doc_id, version) = (SELECT doc_id, version FROM dmv.vehicle_audit_log LIMIT 1)`, "vehicle_audit_log", "1 differ"},
		{`DELETE FROM dmv.inspection WHERE doc_id = (SELECT min(doc_id) FROM dmv.inspection)`, "inspection", "1 are missing"},
		{`INSERT INTO dmv.vehicle SELECT (jsonb_populate_record(v, '{"doc_id": "resurrected"}')).* FROM dmv.vehicle v LIMIT 1`, "vehicle", "1 are too many"},
		{`UPDATE dmv.table_counts SET revision_cnt = revision_cnt + 1 WHERE table_name = 'Inspection'`, "table_counts", "1 differ"},
		{`CREATE TABLE dmv.other ()`, "other", "1 are too many"},
		{`DROP TABLE dmv.note`, "note", "are missing"},
	} {
		tx, err := db.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tag, err := tx.Exec(t.Context(), c.damage)
		if err != nil || tag.RowsAffected() != 1 && !strings.Contains(c.damage, "TABLE dmv") {
			t.Fatalf("%s: %v %v", c.damage, tag, err)
		}
		all, err := local.CompareLedger(t.Context(), db, "dmv", v.journal, v.journal.Len())
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, d := range all {
			if !d.Same() {
				if found++; d.Table != c.table || !strings.Contains(d.String(), c.want) {
					t.Errorf("%s: the oracle says %s", c.damage, &d)
				}
			}
		}
		if found != 1 {
			t.Errorf("%s: the oracle finds %d tables that differ", c.damage, found)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// mapping is the event source mapping of the stacks.
func (v *live) mapping() esm.Stats {
	return v.Mappings.Stats(template.ByType(v.Stacks, "AWS::Lambda::EventSourceMapping")[0].ID)
}

// Only the last step of a load that asks for it begins a stream: until then what
// comes is kept, and nothing reads it.
func TestOnlyALoadThatAsksEnablesTheStream(t *testing.T) {
	t.Parallel()
	v := startLive(t, local.Options{}, liveOptions())
	v.stream(0)
	off := func(when string) {
		t.Helper()
		var stalled *esm.StalledError
		if err := v.drain(); !errors.As(err, &stalled) || stalled.State != "Disabled" || v.mapping().Polled != 0 {
			t.Errorf("%s: %v, %d records read", when, err, v.mapping().Polled)
		}
		var status migrate.StreamStatusOut
		if err := v.Invoke(t.Context(), "StreamStatus", object{}, &status); err == nil {
			t.Errorf("%s: stream-status says %q", when, status.Line)
		}
	}
	off("before any load")
	input := object{"Bucket": archiveBucket, "Prefix": "exports/"}
	load(t, v.Cloud, input)
	off("behind a load that does not ask")
	input["Mode"], input["EnableStream"] = "plan", true
	load(t, v.Cloud, input)
	off("behind a plan")
	delete(input, "Mode")
	load(t, v.Cloud, input) // the same load, which is visible already
	v.grow(v.loaded + 30)
	if err := v.drain(); err != nil {
		t.Fatal(err)
	}
	v.safe()
	if n := v.mapping().Polled; n == 0 {
		t.Error("nothing was read")
	}
}

// A stream that begins at the load's last block or just behind it is whole; one
// that begins a block later leaves a gap, which status names, and which closes
// when the block comes after all.
func TestLoadAndStreamMeetAtTheBoundary(t *testing.T) {
	t.Parallel()
	o := liveOptions()
	for _, behind := range []int64{0, 1, 2} { // block where the stream begins, from the load's last on
		t.Run(fmt.Sprintf("%+d", behind-1), func(t *testing.T) {
			v := startLive(t, local.Options{}, o)
			// A stream begins at a time: the blocks around must have their own.
			at := v.loaded
			for ; v.journal.First(v.journal.At(at)) != at || v.journal.First(v.journal.At(at+1)) != at+1 || v.journal.First(v.journal.At(at+2)) != at+2; at++ {
				if at > v.journal.Len()-10 {
					t.Fatal("no three blocks of the ledger have times of their own")
				}
			}
			o := o
			o.Blocks = at + 1
			if at > v.loaded {
				archive(t, v.Cloud, o) // the same keys, or one object more
				v.grow(at)
			}
			v.loaded = at
			v.grow(at + 8)
			v.stream(at + behind)
			load(t, v.Cloud, object{"Bucket": archiveBucket, "Prefix": "exports/", "EnableStream": true, "Manifests": "none"})
			if err := v.QLDB.Streamed(t.Context(), ledgergen.Name); err != nil {
				t.Fatal(err)
			}
			if err := v.drain(); err != nil {
				t.Fatal(err)
			}
			if behind == 2 {
				s := v.status()
				if want := fmt.Sprintf("block %d did not come", at+1); s.Safe || s.GapFree != at || !strings.Contains(s.Line, want) {
					t.Fatalf("with a gap: %q, want %q", s.Line, want)
				}
				v.stream(at + 1) // a second journal stream, beside the first
				if err := v.QLDB.Streamed(t.Context(), ledgergen.Name); err != nil {
					t.Fatal(err)
				}
				if err := v.drain(); err != nil {
					t.Fatal(err)
				}
			}
			v.safe()
		})
	}
}

// arn is the stream of the stacks.
func (v *live) arn() string { return template.ByType(v.Stacks, "AWS::Kinesis::Stream")[0].ARN() }

// put writes records into the stream of the stacks, as its producer does.
func (v *live) put(records ...kinesis.Entry) {
	v.t.Helper()
	for some := range slices.Chunk(records, 500) {
		results, err := v.Kinesis.Put(v.arn(), some...)
		if err != nil {
			v.t.Fatal(err)
		}
		for _, r := range results {
			if r.Code != "" {
				v.t.Fatalf("put: %s", r.Code)
			}
		}
	}
}

// messages are those of a block.
func (v *live) messages(n int64) []ledgergen.StreamMessage {
	v.t.Helper()
	b, err := v.journal.Block(n)
	if err != nil {
		v.t.Fatal(err)
	}
	messages, err := b.Stream("arn:aws:qldb:us-east-1:111122223333:stream/registry/IiPT4brpZCqCq3f4MTHbYy")
	if err != nil {
		v.t.Fatal(err)
	}
	return messages
}

// show makes blocks of the ledger visible that no journal stream brings.
func (v *live) show(to int64) {
	v.t.Helper()
	l, err := v.QLDB.Oracle(ledgergen.Name)
	if err != nil {
		v.t.Fatal(err)
	}
	if _, err := v.QLDB.Grow(ledgergen.Name, to-l.Tip); err != nil {
		v.t.Fatal(err)
	}
}

// enable turns the mapping on, as an operator may.
func (v *live) enable() {
	v.t.Helper()
	k := v.Gateway.Root()
	api := lambda.New(lambda.Options{
		Region: v.Stacks[0].Region, BaseEndpoint: aws.String(v.Gateway.URL()),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, nil
		}),
	})
	id := template.ByType(v.Stacks, "AWS::Lambda::EventSourceMapping")[0].ID
	if _, err := api.UpdateEventSourceMapping(v.t.Context(), &lambda.UpdateEventSourceMappingInput{UUID: &id, Enabled: aws.Bool(true)}); err != nil {
		v.t.Fatal(err)
	}
}

// mend replaces the message of a quarantine object.
func (v *live) mend(key string, message []byte) {
	v.t.Helper()
	body, _, err := v.S3.Get(v.failures(), key)
	if err != nil {
		v.t.Fatal(err)
	}
	var a map[string]any
	if err := json.Unmarshal(body, &a); err != nil {
		v.t.Fatal(err)
	}
	a["Message"] = message
	if body, err = json.Marshal(a); err != nil {
		v.t.Fatal(err)
	}
	if err := v.S3.Put(v.failures(), key, body, s3.Options{}); err != nil {
		v.t.Fatal(err)
	}
}

// replay replays all that was set aside or given up.
func (v *live) replay() (out migrate.StreamReplayOut) {
	v.t.Helper()
	for !out.Done {
		next := invoke[migrate.StreamReplayOut](v, "StreamReplay", migrate.StreamReplayIn{Resume: out.Resume})
		next.Objects, next.Applied, next.Aside = next.Objects+out.Objects, next.Applied+out.Applied, next.Aside+out.Aside
		out = next
	}
	return out
}
