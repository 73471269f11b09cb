package local_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/events"
	"godwit/internal/local/s3"
	"godwit/internal/migrate"
)

// The names of the samples' inputs that a cloud has of its own.
const (
	sampleExports  = "godwit-demo-exports"
	sampleSnapshot = "storefront-nightly"
	sampleWork     = "godwit-demo-work"
)

// snapshotSamples are the sample inputs of SnapshotLoad, in an order in which one
// finds what the one before left.
var snapshotSamples = []struct {
	name     string
	replaces bool   // is another load of the same tables: Replace is added
	want     string // that the output says
}{
	{"assess", false, `"Assessment":"s3://`},
	{"minimal", false, `"Equal":true`},
	// The same load, which is reported again.
	{"accept-skipped", false, `"Equal":true`},
	{"max-quarantined", false, `"Equal":true`},
	{"repair", true, `"Equal":true`},
	{"catalog", true, `"Equal":true`},
	{"database", true, `"Equal":true`},
	{"mapping", true, `"Equal":true`},
	{"export", true, `"Equal":true`},
	{"only", true, `"Equal":true`},
	{"replace", false, `"Equal":true`},
	{"full", false, `"Equal":true`},
}

// Every sample input of SnapshotLoad does what its name says, one after the other,
// on one cloud.
func TestSampleLoadsOfSnapshotsRun(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "..", "events", "snapshot-load-*.json"))
	if err != nil || len(files) != len(snapshotSamples) {
		t.Errorf("%d sample inputs, %v; %d are tried", len(files), err, len(snapshotSamples))
	}
	c, s := startStorefront(t, "aurora", local.Options{Buckets: []s3.Bucket{{Name: sampleExports}}})
	work := workBucket(t, c)
	if _, err := s.Snapshot(t.Context(), sampleSnapshot, nil); err != nil {
		t.Fatal(err)
	}
	load := ""
	for _, sample := range snapshotSamples {
		switch sample.name {
		case "catalog":
			copyCatalog(t, c, load)
		case "export":
			copyExport(t, c, load)
		}
		in := readSample(t, "snapshot-load-"+sample.name, work)
		if sample.replaces {
			in["Replace"] = true
		}
		x, err := c.StartExecution(t.Context(), "SnapshotLoad", sample.name, in)
		if err != nil {
			t.Fatal(err)
		}
		r, err := x.Wait(t.Context())
		if err != nil || r.Status != asl.Succeeded || !strings.Contains(string(r.Output), sample.want) {
			t.Fatalf("%s: %v, %s, want %s: %s", sample.name, err, r.Output, sample.want, local.Cause(x))
		}
		var out struct{ LoadId string }
		if err := json.Unmarshal(r.Output, &out); err != nil {
			t.Fatal(err)
		}
		load = out.LoadId
	}
	for _, x := range unusedOf(t, c, "godwit-demo-snapshot-snapshot") {
		if !slices.ContainsFunc(unusedBySamples, func(r struct{ action, reason string }) bool { return like(r.action, x) }) {
			t.Errorf("no sample uses %s: take it away, or say above why it is needed", x)
		}
	}
	if err := c.Gateway.Err(); err != nil {
		t.Error(err)
	}
}

// unusedBySamples are actions of the snapshot stack's policies that no sample input
// uses, and why they are there. An asterisk is any text.
var unusedBySamples = []struct{ action, reason string }{
	{"* logs:*", "Lambda and Step Functions write logs, which go to files here"},
	{"* xray:*", "there is no X-Ray here"},
	{"SnapshotLoadRoleDefaultPolicy s3:*", multipart},
	{"SnapshotLoadRoleDefaultPolicy states:RedriveExecution", "nothing fails"},
	{"SnapshotTaskRoleDefaultPolicy kms:GenerateDataKey", "no row refers to nothing"},
	{"SnapshotTaskRoleDefaultPolicy s3:PutObject", "no row refers to nothing"},
	{"SnapshotTriggerRoleDefaultPolicy *", "people start the samples"},
	{"SnapshotTriggerRole sts:AssumeRole", "people start the samples"},
	{"SnapshotMadeAllowEventRule* lambda:InvokeFunction", "people start the samples"},
	{"SweepAllowEventRule* lambda:InvokeFunction", "people start the samples"},
}

// unusedOf lists the actions of a stack's policies that nobody used so far.
func unusedOf(t *testing.T, c *local.Cloud, stack string) (list []string) {
	t.Helper()
	for _, u := range c.Judge.Uses() {
		_, actions := permission(t, u.Ref, u.Text)
		for _, a := range actions {
			if u.Ref.Stack == stack && !slices.Contains(u.Actions, a) {
				list = append(list, logicalHash.ReplaceAllString(u.Ref.Resource, "")+" "+a)
			}
		}
	}
	return list
}

// readSample reads a sample input, with the work bucket of a cloud in the place of
// the sample's.
func readSample(t *testing.T, name, work string) (in object) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "events", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(text), sampleWork, work)), &in); err != nil {
		t.Fatal(err)
	}
	return in
}

// copyCatalog gives the catalog that a load read of the living source as a file.
func copyCatalog(t *testing.T, c *local.Cloud, load string) {
	t.Helper()
	work := workBucket(t, c)
	text, _, err := c.S3.Get(work, "snapshots/"+load+"/catalog.json")
	if err == nil {
		err = c.S3.Put(work, "mappings/catalog.json", text, s3.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// copyExport copies the export of a load to where exports lie that exist already,
// under the name of the sample's.
func copyExport(t *testing.T, c *local.Cloud, load string) {
	t.Helper()
	from := readSnapshot[migrate.SnapshotExport](t, c, load, "export.json").Place
	list, err := c.S3.List(from.Bucket, from.Prefix)
	if err != nil || len(list) == 0 {
		t.Fatalf("%d objects of an export, %v", len(list), err)
	}
	task := strings.TrimSuffix(from.Prefix, "/")
	for _, o := range list {
		body, _, err := c.S3.Get(from.Bucket, o.Key)
		if strings.HasSuffix(o.Key, ".json") {
			body = bytes.ReplaceAll(body, []byte(task), []byte(sampleSnapshot))
		}
		if err == nil {
			err = c.S3.Put(sampleExports, "storefront/"+strings.ReplaceAll(o.Key, task, sampleSnapshot), body, s3.Options{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Every sample event of snapshot-trigger, and the sample of target-probe, does what
// its name says.
func TestSampleEventsOfSnapshotsRun(t *testing.T) {
	t.Parallel()
	c, s := startStorefront(t, "dsql", local.Options{Events: local.EventOptions{Fault: func(events.Event) events.Fault { return events.Drop }}})
	// What Aurora DSQL's documents and measurements tell differently.
	if err := s.Admin(t.Context(), `CREATE TABLE public.counter (id text PRIMARY KEY, n integer GENERATED BY DEFAULT AS IDENTITY); ALTER TABLE public.counter OWNER TO postgres`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Snapshot(t.Context(), sampleSnapshot, exportTag); err != nil {
		t.Fatal(err)
	}
	var probe migrate.ProbeTargetOut
	for _, kept := range []bool{false, true} {
		if err := c.Invoke(t.Context(), "TargetProbe", readSample(t, "target-probe-minimal", ""), &probe); err != nil || probe.Profile != "aurora-dsql" || probe.Probed == "" || probe.Kept != kept {
			t.Errorf("the probe: %+v, %v, want kept %t", probe, err, kept)
		}
	}
	trigger := func(name string, started, known int) {
		t.Helper()
		var out migrate.TriggerOut
		if err := c.Invoke(t.Context(), "SnapshotTrigger", readSample(t, "snapshot-trigger-"+name, ""), &out); err != nil || len(out.Started) != started || out.Known != known {
			t.Errorf("%s: %+v, %v, want %d started and %d known", name, out, err, started, known)
		}
	}
	trigger("db", 0, 0) // the environment's source is a cluster
	trigger("cluster", 1, 0)
	m, err := c.Machine("SnapshotLoad")
	if err != nil {
		t.Fatal(err)
	}
	x := c.States.Executions(m.ARN)
	if len(x) != 1 {
		t.Fatalf("%d executions, want 1", len(x))
	}
	if r, err := x[0].Wait(t.Context()); err != nil || r.Status != asl.Succeeded {
		t.Fatalf("the load: %v, %s", err, local.Cause(x[0]))
	}
	trigger("cluster", 0, 1) // told twice
	trigger("sweep", 0, 1)
	// The assessment quotes the probe where it says what Aurora DSQL cannot do.
	objects, err := c.S3.List(workBucket(t, c), "snapshots/")
	if err != nil {
		t.Fatal(err)
	}
	quoted := false
	for _, o := range objects {
		if strings.HasSuffix(o.Key, "/assessment.json") {
			text, _, err := c.S3.Get(workBucket(t, c), o.Key)
			quoted = err == nil && strings.Contains(string(text), "probe of the target") && strings.Contains(string(text), "as of "+probe.Probed) && !strings.Contains(string(text), "not probed")
		}
	}
	if !quoted {
		t.Error("the assessment does not quote the probe")
	}
	if err := c.Gateway.Err(); err != nil {
		t.Error(err)
	}
}
