package local_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/qldb"
	"godwit/internal/proof"
)

// An exported is the output of LedgerExport.
type exported struct {
	Bucket, Prefix, LedgerName, Strand, Digest, LastBlockTimestamp string
	ExportIds                                                      []string
	DigestTip, LastBlockNum                                        int64
}

// export runs LedgerExport and wants it to succeed. The output is also given as
// it stands.
func export(t testing.TB, c *local.Cloud, input any) (exported, json.RawMessage) {
	t.Helper()
	x, r := execute(t, c, "LedgerExport", input)
	if r.Status != asl.Succeeded {
		t.Fatalf("LedgerExport %s: %s", r.Status, local.Cause(x))
	}
	return parseExported(t, r.Output), r.Output
}

func parseExported(t testing.TB, output json.RawMessage) (out exported) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(output))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil {
		t.Fatalf("the output of LedgerExport is %s: %v", output, err)
	}
	return out
}

// exportedBlocks are the blocks of an archive, in the order in which its
// completion manifests name them, and how often it has each. It wants one started
// and one completed manifest of each export that is named, and no other.
func exportedBlocks(t testing.TB, c *local.Cloud, x exported) map[int64]int {
	t.Helper()
	all, err := c.S3.List(x.Bucket, x.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	started, completed := map[string]int{}, map[string]int{}
	found := map[int64]int{}
	for _, e := range all {
		switch k := journal.ParseKey(x.Prefix, e.Key); k.Kind {
		case journal.StartedKey:
			started[k.ExportID]++
		case journal.CompletedKey:
			completed[k.ExportID]++
			if k.Strand != x.Strand {
				t.Errorf("manifest %s is of strand %s, want %s", e.Key, k.Strand, x.Strand)
			}
			body, _, err := c.S3.Get(x.Bucket, e.Key)
			if err != nil {
				t.Fatal(err)
			}
			m, err := journal.ParseCompletedManifest(body)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range m.Keys {
				for _, b := range blocksOf(t, c, x.Bucket, key) {
					found[b]++
				}
			}
		}
	}
	for _, id := range x.ExportIds {
		if started[id] != 1 || completed[id] != 1 {
			t.Errorf("export %s has %d started and %d completed manifests", id, started[id], completed[id])
		}
	}
	if len(started) != len(x.ExportIds) || len(completed) != len(x.ExportIds) {
		t.Errorf("%d exports were started and %d completed, and the output names %d", len(started), len(completed), len(x.ExportIds))
	}
	return found
}

// blocksOf reads the numbers of an object's blocks.
func blocksOf(t testing.TB, c *local.Cloud, bucket, key string) (blocks []int64) {
	t.Helper()
	body, _, err := c.S3.Get(bucket, key)
	if err != nil {
		t.Fatalf("a manifest names %s: %v", key, err)
	}
	r, err := journal.NewReader(bytes.NewReader(body), journal.Options{Object: key})
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			return blocks
		}
		if err != nil {
			t.Fatalf("read %s: %v", key, err)
		}
		blocks = append(blocks, b.SequenceNo)
	}
}

// checkExport wants an export to have every block of its ledger once, the ledger's
// own digest, and a proof of each export's last block.
func checkExport(t testing.TB, c *local.Cloud, x exported, blocks int64) {
	t.Helper()
	j := c.QLDB.Journal(ledgergen.Name)
	found := exportedBlocks(t, c, x)
	for b := range blocks {
		if found[b] != 1 {
			t.Errorf("block %d of %d is exported %d times", b, blocks, found[b])
		}
	}
	if int64(len(found)) != blocks {
		t.Errorf("%d blocks are exported, the ledger has %d", len(found), blocks)
	}
	if x.LastBlockNum != blocks-1 || x.DigestTip < x.LastBlockNum || x.Digest != j.Digest(x.DigestTip).String() || x.Strand != j.Strand() {
		t.Errorf("the output says %+v; the ledger has %d blocks and digest %s", x, blocks, j.Digest(x.DigestTip))
	}
	for _, id := range x.ExportIds {
		key := fmt.Sprintf("%s%s.%s.proofs.json", x.Prefix, id, x.Strand)
		body, _, err := c.S3.Get(x.Bucket, key)
		if err != nil {
			t.Errorf("proofs of export %s: %v", id, err)
			continue
		}
		var p struct {
			Ledger, Digest, Export, LastBlockTimestamp string
			DigestTipAddress                           struct {
				StrandID   string `json:"strandId"`
				SequenceNo int64  `json:"sequenceNo"`
			}
			LastBlockNum int64
			Proof        [][]byte
		}
		if err := json.Unmarshal(body, &p); err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		leaf := j.Hash(p.LastBlockNum)
		for _, h := range p.Proof {
			sibling, err := proof.ParseHash(h)
			if err != nil {
				t.Fatal(err)
			}
			leaf = proof.Dot(leaf, sibling)
		}
		if leaf != j.Digest(p.DigestTipAddress.SequenceNo) || leaf.String() != p.Digest || p.Export != id || p.DigestTipAddress.StrandID != x.Strand {
			t.Errorf("%s does not lead from block %d to the digest at block %d: %s", key, p.LastBlockNum, p.DigestTipAddress.SequenceNo, body)
		}
	}
	if n := c.QLDB.MostRunning(ledgergen.Name); n > 2 {
		t.Errorf("%d exports ran at once", n)
	}
}

// Ledgers of 1 to 500 blocks, exported 1 to 20 at a time, have every block once,
// whatever blocks share their millisecond. What the functions do for each pair of
// the two numbers is tested beside them; here are some, chosen by a seed, on the
// deployed stacks.
func TestExportsHaveEveryBlockOnce(t *testing.T) {
	t.Parallel()
	seed, n := seed(t), 12
	if soak {
		n = 200
	}
	for _, same := range []int{0, 60, 100} {
		t.Run(fmt.Sprintf("%d in a hundred share their time", same), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, uint64(same)))
			c := start(t, local.Options{NoDatabase: true, Ledger: &qldb.Ledger{
				Options: ledgergen.Options{Seed: 1, Documents: 2000, SameTime: same, BlocksPerObject: 7}, Visible: 1,
			}})
			var sizes []int64
			for range n - 4 {
				sizes = append(sizes, 1+random.Int64N(500))
			}
			sizes = append(sizes, 1, 2, 20, 500)
			slices.Sort(sizes)
			visible := int64(1)
			formats := []string{"ION_BINARY", "ION_TEXT", "JSON"}
			for i, size := range sizes {
				if size > visible {
					if _, err := c.QLDB.Grow(ledgergen.Name, size-visible); err != nil {
						t.Fatal(err)
					}
					visible = size
				}
				count := 1 + random.IntN(20)
				x, _ := export(t, c, object{
					"LedgerName": ledgergen.Name, "BucketPrefix": fmt.Sprintf("exports/%d/", i), "ExportCount": count, "OutputFormat": formats[i%len(formats)],
				})
				if want := windowsOf(c, size, count); len(x.ExportIds) != want {
					t.Errorf("%d blocks, ExportCount %d: %d exports, want %d", size, count, len(x.ExportIds), want)
				}
				checkExport(t, c, x, size)
			}
		})
	}
}

// windowsOf is how many windows of equal numbers of blocks a ledger has, where
// those that would begin in the same millisecond are one.
func windowsOf(c *local.Cloud, blocks int64, count int) int {
	begins := map[time.Time]bool{}
	for i := range int64(count) {
		begins[c.QLDB.Journal(ledgergen.Name).At(i*blocks/int64(count))] = true
	}
	return len(begins)
}

// What LedgerExport gives is loaded as it stands, in every format.
func TestExportedLedgersLoadUntouched(t *testing.T) {
	for _, format := range []string{"ION_BINARY", "ION_TEXT", "JSON"} {
		t.Run(format, func(t *testing.T) {
			c := start(t, local.Options{Ledger: &qldb.Ledger{Options: ledgergen.Options{Seed: 7, Documents: 300}}})
			x, raw := export(t, c, object{"LedgerName": ledgergen.Name, "BucketPrefix": "exports/", "ExportCount": 5, "OutputFormat": format})
			l, err := c.QLDB.Oracle(ledgergen.Name)
			if err != nil {
				t.Fatal(err)
			}
			checkExport(t, c, x, l.Tip+1)
			if out := load(t, c, raw); out.Read != l.Revisions() || out.Staged != l.Revisions() {
				t.Errorf("read %d and staged %d of %d revisions", out.Read, out.Staged, l.Revisions())
			}
			check(t, c, l)
		})
	}
}

// A smallExport is LedgerExport of a small ledger, by more exports than may run
// at once.
type smallExport struct{}

const smallExportBlocks = 30

func (smallExport) machine() string { return "LedgerExport" }

func (smallExport) options() local.Options {
	return local.Options{NoDatabase: true, Ledger: &qldb.Ledger{
		Options: ledgergen.Options{Seed: 1, Documents: 100, SameTime: 20, BlocksPerObject: 5}, Visible: smallExportBlocks,
	}}
}

func (smallExport) prepare(testing.TB, *local.Cloud) any {
	return object{"LedgerName": ledgergen.Name, "BucketPrefix": "exports/", "ExportCount": 3}
}

// began is when an export was planned.
var began = regexp.MustCompile(`"Began": "[^"]*"`)

func (smallExport) outcome(t testing.TB, c *local.Cloud, r asl.Result, _ bool) outcome {
	t.Helper()
	x := parseExported(t, r.Output)
	checkExport(t, c, x, smallExportBlocks)
	name := func(s string) string {
		for i, id := range x.ExportIds {
			s = strings.ReplaceAll(s, id, fmt.Sprintf("EXPORT-%d", i))
		}
		return began.ReplaceAllString(s, `"Began": "then"`)
	}
	out := outcome{Output: name(string(r.Output)), Objects: map[string]string{}}
	for key, text := range objects(t, c) {
		out.Objects[name(key)] = name(text)
	}
	all, err := c.S3.List(archiveBucket, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		body, _, err := c.S3.Get(archiveBucket, e.Key)
		if err != nil {
			t.Fatal(err)
		}
		out.Objects[archiveBucket+"/"+name(e.Key)] = name(string(body))
	}
	return out
}

// Every block is exported once, whichever call of LedgerExport takes its caller
// down, before the call or after it took effect, retried or redriven.
func TestExportSurvivesKill(t *testing.T) {
	disturb(t, smallExport{}, kills)
}

// The same when a reply is lost or the service asks to come back later.
func TestExportSurvivesLostReply(t *testing.T) {
	disturb(t, smallExport{}, losses)
}

// Input that cannot be exported is refused in words that say what and what to do,
// and begins no export.
func TestBadExportsAreRefused(t *testing.T) {
	input := func(more object) object {
		in := object{"LedgerName": ledgergen.Name, "BucketPrefix": "exports/", "ExportCount": 2}
		for k, v := range more {
			in[k] = v
		}
		return in
	}
	c := start(t, local.Options{Ledger: &qldb.Ledger{Options: ledgergen.Options{Seed: 1, Documents: 20}}})
	export(t, c, input(object{"BucketPrefix": "used/", "ExportCount": 1}))
	before, err := c.S3.List(archiveBucket, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []struct {
		name  string
		input any
		want  []string
	}{
		{"no exports", input(object{"ExportCount": 0}), []string{"ExportCount 0 is not allowed", "1 to 1000"}},
		{"too many exports", input(object{"ExportCount": 1001}), []string{"ExportCount 1001 is not allowed", "1 to 1000"}},
		{"half an export", input(object{"ExportCount": 1.5}), []string{"ExportCount", "whole number"}},
		{"no ledger named", object{"BucketPrefix": "exports/", "ExportCount": 2}, []string{"no LedgerName"}},
		{"a name with a slash", input(object{"LedgerName": "vehicle/registration"}), []string{`LedgerName "vehicle/registration" is not the name of a ledger`}},
		{"no such ledger", input(object{"LedgerName": "vehicles"}), []string{"vehicles", "ResourceNotFoundException"}},
		{"a format that QLDB does not write", input(object{"OutputFormat": "PARQUET"}), []string{`OutputFormat "PARQUET"`, "ION_BINARY", "ION_TEXT", "JSON"}},
		{"a prefix that holds exports", input(object{"BucketPrefix": "used/"}), []string{"used/", "holds exports already", "redrive", "BucketPrefix below which there is nothing"}},
		{"a bucket that is no archive", input(object{"BucketPrefix": "s3://somebody-elses/exports/"}), []string{"somebody-elses", "is not an archive of this environment"}},
		{"a typing error", input(object{"ExportsCount": 3}), []string{"ExportsCount"}},
		{"a list", []any{input(nil)}, []string{"not an object", "LedgerName"}},
		{"a text", "vehicle-registration", []string{"not an object", "LedgerName"}},
		{"nothing", nil, []string{"not an object", "LedgerName"}},
	} {
		t.Run(b.name, func(t *testing.T) {
			x, r := execute(t, c, "LedgerExport", b.input)
			if r.Status != asl.Failed {
				t.Fatalf("LedgerExport %s with %s, want it to fail saying %q", r.Status, r.Output, b.want)
			}
			for _, w := range b.want {
				if got := local.Cause(x); !strings.Contains(got, w) {
					t.Errorf("the error does not say %q: %s", w, got)
				}
			}
			after, err := c.S3.List(archiveBucket, "")
			if err != nil || len(after) != len(before) {
				t.Errorf("%d objects lie in the archive, %d before: %v", len(after), len(before), err)
			}
		})
	}
}

// A thousand exports of a small ledger are as many as it has blocks, in one
// millisecond they are one.
func TestMoreExportsThanBlocks(t *testing.T) {
	for _, same := range []int{0, 100} {
		c := start(t, local.Options{Ledger: &qldb.Ledger{Options: ledgergen.Options{Seed: 1, Documents: 20, SameTime: same}, Visible: 9}})
		x, _ := export(t, c, object{"LedgerName": ledgergen.Name, "BucketPrefix": "exports/", "ExportCount": 1000, "ConcurrentExports": 1})
		if want := windowsOf(c, 9, 1000); len(x.ExportIds) != want || want > 9 || same == 100 && want != 1 {
			t.Errorf("%d exports, want %d", len(x.ExportIds), want)
		}
		checkExport(t, c, x, 9)
		if n := c.QLDB.MostRunning(ledgergen.Name); n != 1 {
			t.Errorf("%d exports ran at once, and one was asked for", n)
		}
	}
}

// running waits until n exports are in progress, and returns their ids.
func running(t *testing.T, c *local.Cloud, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ids := c.QLDB.Running(ledgergen.Name); len(ids) >= n {
			return ids
		}
	}
	t.Fatalf("%d exports did not begin", n)
	return nil
}

// cancelOne is a cloud in which one of two exports was cancelled in the middle,
// with the execution that failed of it, and the export's id.
func cancelOne(t *testing.T) (*local.Cloud, *asl.Execution, string) {
	t.Helper()
	c := start(t, local.Options{Ledger: &qldb.Ledger{Options: ledgergen.Options{Seed: 1, Documents: 200, BlocksPerObject: 5}, Visible: 60}})
	release := c.QLDB.Hold()
	x, err := c.StartExecution(t.Context(), "LedgerExport", "cancelled", object{"LedgerName": ledgergen.Name, "BucketPrefix": "exports/", "ExportCount": 2})
	if err != nil {
		t.Fatal(err)
	}
	id := running(t, c, 2)[0]
	if err := c.QLDB.Cancel(id); err != nil {
		t.Fatal(err)
	}
	release()
	if r, err := x.Wait(t.Context()); err != nil || r.Status != asl.Failed {
		t.Fatalf("LedgerExport %s: %v", r.Status, err)
	}
	return c, x, id
}

// An export that is cancelled in the middle stops LedgerExport in words; redriven,
// it exports that window again, and the archive has every block once.
func TestCancelledExportIsExportedAgain(t *testing.T) {
	c, x, id := cancelOne(t)
	for _, w := range []string{id, "cancelled", "redrive"} {
		if got := local.Cause(x); !strings.Contains(got, w) {
			t.Errorf("the error does not say %q: %s", w, got)
		}
	}
	if err := x.Redrive(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := x.Wait(t.Context())
	if err != nil || r.Status != asl.Succeeded {
		t.Fatalf("the redriven LedgerExport %s: %v %s", r.Status, err, local.Cause(x))
	}
	out := parseExported(t, r.Output)
	if slices.Contains(out.ExportIds, id) {
		t.Errorf("the output names the cancelled export %s", id)
	}
	found := map[int64]int{}
	for _, e := range out.ExportIds {
		body, _, err := c.S3.Get(archiveBucket, fmt.Sprintf("exports/%s.%s.completed.manifest", e, out.Strand))
		if err != nil {
			t.Fatal(err)
		}
		m, err := journal.ParseCompletedManifest(body)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range m.Keys {
			for _, b := range blocksOf(t, c, archiveBucket, key) {
				found[b]++
			}
		}
	}
	for b := range int64(60) {
		if found[b] != 1 {
			t.Errorf("block %d is exported %d times", b, found[b])
		}
	}
	// What the cancelled export left is in nobody's way.
	l, err := c.QLDB.Oracle(ledgergen.Name)
	if err != nil {
		t.Fatal(err)
	}
	if got := load(t, c, r.Output); got.Read != l.Revisions() {
		t.Errorf("read %d of %d revisions", got.Read, l.Revisions())
	}
}

// Others hold the ledger's two places: LedgerExport waits for them.
func TestExportWaitsForItsPlace(t *testing.T) {
	retried := make(chan struct{}, 1)
	c := start(t, local.Options{
		Ledger: &qldb.Ledger{Options: ledgergen.Options{Seed: 1, Documents: 200, BlocksPerObject: 5}, Visible: 60},
		Progress: func(e asl.Event) {
			if e.Kind == asl.StateRetried && e.Error.Name == "LimitExceeded" {
				select {
				case retried <- struct{}{}:
				default:
				}
			}
		},
	})
	release := c.QLDB.Hold()
	first, err := c.StartExecution(t.Context(), "LedgerExport", "first", object{"LedgerName": ledgergen.Name, "BucketPrefix": "first/", "ExportCount": 2})
	if err != nil {
		t.Fatal(err)
	}
	running(t, c, 2)
	second, err := c.StartExecution(t.Context(), "LedgerExport", "second", object{"LedgerName": ledgergen.Name, "BucketPrefix": "second/", "ExportCount": 2})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-retried:
	case <-time.After(30 * time.Second):
		t.Error("the second LedgerExport did not have to wait")
	}
	release()
	for _, x := range []*asl.Execution{first, second} {
		r, err := x.Wait(t.Context())
		if err != nil || r.Status != asl.Succeeded {
			t.Fatalf("LedgerExport %s: %v %s", r.Status, err, local.Cause(x))
		}
		checkExport(t, c, parseExported(t, r.Output), 60)
	}
}

// growing is a cloud with a ledger of 20 blocks, which has 25 once exports begin.
// All of them share one millisecond.
func growing(t *testing.T) (c *local.Cloud) {
	t.Helper()
	c = start(t, local.Options{
		Ledger: &qldb.Ledger{Options: ledgergen.Options{Seed: 1, Documents: 200, SameTime: 100}, Visible: 20},
		Progress: func(e asl.Event) {
			if e.Kind == asl.MapRunStarted {
				if _, err := c.QLDB.Grow(ledgergen.Name, 5); err != nil {
					t.Error(err)
				}
			}
		},
	})
	return c
}

// The ledger lives on while it is exported: blocks of the tip's own millisecond
// are exported too, and proven by a digest that covers them.
func TestExportIsProvenByADigestThatCoversIt(t *testing.T) {
	c := growing(t)
	x, _ := export(t, c, object{"LedgerName": ledgergen.Name, "BucketPrefix": "exports/", "ExportCount": 2})
	checkExport(t, c, x, 25)
	if x.DigestTip != 24 {
		t.Errorf("the digest covers blocks to %d, exported are those to 24", x.DigestTip)
	}
}

// On AWS there is no QLDB any more: LedgerExport says so at once.
func TestQldbServiceEnded(t *testing.T) {
	c := start(t, local.Options{})
	x, r := execute(t, c, "LedgerExport", object{"LedgerName": ledgergen.Name, "BucketPrefix": "exports/", "ExportCount": 2})
	if r.Status != asl.Failed || r.Error == nil || r.Error.Name != "QldbServiceEnded" || !strings.Contains(r.Error.Cause, "start LedgerLoad with an archive") {
		t.Errorf("LedgerExport %s: %s", r.Status, local.Cause(x))
	}
}

// Every sample input of LedgerExport does what its name says.
func TestSampleExportsRun(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "events", "ledger-export-*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d sample inputs, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var in struct{ ExportCount int }
			if err := json.Unmarshal(text, &in); err != nil {
				t.Fatal(err)
			}
			c := start(t, local.Options{Ledger: &qldb.Ledger{Options: ledgergen.Options{Seed: 1, Documents: 100}}})
			x, raw := export(t, c, json.RawMessage(text))
			if len(x.ExportIds) != in.ExportCount {
				t.Errorf("%d exports, want %d", len(x.ExportIds), in.ExportCount)
			}
			l, err := c.QLDB.Oracle(ledgergen.Name)
			if err != nil {
				t.Fatal(err)
			}
			checkExport(t, c, x, l.Tip+1)
			if out := load(t, c, raw); out.Read != l.Revisions() {
				t.Errorf("read %d of %d revisions", out.Read, l.Revisions())
			}
		})
	}
}

// Every sample of the events folder is run by a test: those of streams by migrate's,
// all others here.
func TestEverySampleIsRun(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "events", "*"))
	if err != nil {
		t.Fatal(err)
	}
	tried := regexp.MustCompile(`^(ledger-(load|prove|export)|prove-row|stream|snapshot-(load|trigger)|target-probe)-.+\.json$`)
	for _, file := range files {
		if name := filepath.Base(file); !tried.MatchString(name) {
			t.Errorf("no test runs events/%s", name)
		}
	}
}
