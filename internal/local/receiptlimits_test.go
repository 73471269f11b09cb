package local_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/s3"
	"godwit/internal/migrate"
)

// A receipt never shows data that the ledger redacted, though the archive was
// exported before and has it still.
func TestReceiptsOfRedactedRowsShowNoData(t *testing.T) {
	t.Parallel()
	o := ledgergen.Options{Seed: 34, Documents: 1500, BlocksPerObject: 40}
	all := redactedRevisions(t, o)
	var middle int64
	for _, x := range all {
		if len(x.texts) > 0 {
			middle = x.asked
		}
	}
	check := newChecker(t)
	for _, o.Format = range []ledgergen.Format{ledgergen.IonBinary, ledgergen.JSON} {
		c := start(t, local.Options{})
		o := o
		o.Prefix, o.Unredacted, o.UntilBlock = "exports/", true, middle
		archive(t, c, o)
		o.FromBlock, o.UntilBlock, o.Unredacted = middle, 0, false
		l := archive(t, c, o)
		load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/", "Digest": l.Digest.String(), "DigestTip": l.Tip})
		n := 0
		for _, r := range rowsOf(t, c, "dmv") {
			if !r.gone {
				continue
			}
			n++
			out := receipt(t, c, r.input())
			if words, ok := check.check(t, out.Content, l.Digest.String()); !ok || !strings.Contains(words, "was removed or is withheld") || !strings.Contains(out.Content, `"Data": null`) {
				t.Errorf("%+v: %s", r, words)
			}
			for _, x := range all {
				for _, text := range x.texts {
					if strings.Contains(out.Content, text) {
						t.Errorf("%+v shows %q", r, text)
					}
				}
			}
		}
		if n < 3 {
			t.Errorf("%d rows are redacted", n)
		}
	}
}

var blockHash = regexp.MustCompile(`"BlockHash": "([^"]+)"`)

// Where an archive does not begin with block 0 a receipt leads to a digest by a
// proof that was kept, if that covers it, and else ends with its block; where it
// ends before the digest, by the proof of its last block.
func TestReceiptsOfAPartOfALedger(t *testing.T) {
	t.Parallel()
	check := newChecker(t)
	for _, x := range []struct {
		name            string
		layout          ledgergen.Layout
		from, until     int64
		digests, blocks bool // receipts that lead to a digest, and that do not
	}{
		{name: "without a beginning", from: 50, blocks: true},
		{name: "without a beginning, with proofs", layout: ledgergen.AWSSample, from: 50, digests: true, blocks: true},
		{name: "without an end, with proofs", layout: ledgergen.AWSSample, until: 60, digests: true},
		{name: "without an end", until: 60, digests: true},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := start(t, local.Options{})
			l := archive(t, c, ledgergen.Options{Seed: 3, Documents: 200, Prefix: "exports/", Layout: x.layout, FromBlock: x.from, UntilBlock: x.until, BlocksPerObject: 20})
			load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/", "Since": x.from})
			digests, blocks := 0, 0
			all := rowsOf(t, c, "dmv")
			for i := 0; i < len(all); i += 1 + len(all)/16 {
				out := receipt(t, c, all[i].input())
				own := l.Digest.String()
				switch {
				case out.Digest == "":
					blocks++
					if !strings.HasPrefix(out.DigestFrom, "none: the load has no block before 50, and no proof that was kept covers block ") {
						t.Errorf("%+v", out)
					}
					own = blockHash.FindStringSubmatch(out.Content)[1]
				case x.layout == ledgergen.AWSSample:
					digests++
					if !strings.HasSuffix(out.DigestFrom, ".proofs.json") {
						t.Errorf("%+v", out)
					}
				default:
					digests++
					own = out.Digest
					if out.DigestFrom != "computed of the archive itself; nobody kept it" {
						t.Errorf("%+v", out)
					}
				}
				if words, ok := check.check(t, out.Content, own); !ok || !strings.HasPrefix(words, "PROVEN") {
					t.Errorf("%+v: %s\n%s", all[i], words, out.Content)
				}
			}
			if (digests > 0) != x.digests || (blocks > 0) != x.blocks {
				t.Errorf("%d receipts lead to a digest, %d end with their block", digests, blocks)
			}
		})
	}
}

// What cannot be proven says why, and what to do.
func TestReceiptsThatCannotBeMade(t *testing.T) {
	t.Parallel()
	c := start(t, local.Options{})
	l := archive(t, c, ledgergen.Options{Seed: 3, Documents: 100, Prefix: "exports/"})
	out := load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/"})
	off := load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/", "Verify": "off", "Schema": "unproven"})
	row := rowsOf(t, c, "dmv")[0]
	with := func(more object) object {
		in := row.input()
		in["Schema"] = "dmv"
		for name, v := range more {
			in[name] = v
		}
		return in
	}
	refused := func(in object, want ...string) {
		t.Helper()
		out, err := c.ProveRow(t.Context(), in)
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%v: got %+v, %v, want %q", in, out, err, w)
			}
		}
	}
	refused(object{"Table": "person"}, "the input lacks Table, Document (its id) or Version")
	refused(with(object{"Rows": 1}), `unknown field "Rows"`)
	refused(row.input(), "table "+row.Table+" may be any of dmv."+row.Table+", unproven."+row.Table)
	refused(with(object{"Table": "nothing"}), "no load shows a table nothing in schema dmv: there are dmv.drivers_license, ")
	refused(with(object{"Document": "nobody"}), "has no document nobody")
	refused(with(object{"Version": 4711}), "has no version 4711: there are 0")
	refused(with(object{"Schema": "unproven"}), `was loaded with "Verify": "off" (load `+off.LoadId+")", "start LedgerLoad again")
	refused(with(object{"LoadId": off.LoadId}), "load "+off.LoadId+" has not its block", "there are the loads "+out.LoadId)
	refused(with(object{"Digest": "x"}), "read digest or proof")
	refused(with(object{"Digest": base64.StdEncoding.EncodeToString(make([]byte, 32)), "DigestTip": l.Tip}), "the Digest of the input is not reached")

	// A digest that is given leads there, whatever was kept.
	check := newChecker(t)
	got := receipt(t, c, with(object{"Digest": l.Digest.String(), "DigestTip": l.Tip}))
	if words, ok := check.check(t, got.Content, l.Digest.String()); !ok || got.DigestFrom != "Digest of prove-row's input" {
		t.Errorf("%+v: %s", got, words)
	}

	object := query[string](t, c, `SELECT ql_audit->>'ql_object' FROM dmv.`+row.Table+`_audit_log WHERE doc_id = $1 AND version = $2`, row.Document, row.Version)
	body, _, err := c.S3.Get(archiveBucket, object)
	if err != nil {
		t.Fatal(err)
	}
	body = bytes.Clone(body)
	put := func(b []byte) {
		t.Helper()
		if err := c.S3.Put(archiveBucket, object, b, s3.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	put(append(bytes.Clone(body), ' '))
	refused(with(nil), object+" was replaced since it was loaded", "bring that version back")
	put(body)
	if err := c.S3.SetStorageClass(archiveBucket, object, "GLACIER"); err != nil {
		t.Fatal(err)
	}
	refused(with(nil), "lies in an archive tier: restore it (aws s3api restore-object")
	if err := c.S3.Delete(archiveBucket, object); err != nil {
		t.Fatal(err)
	}
	refused(with(nil), object+" is gone, or may not be read any more")
	put(body)
	receipt(t, c, with(nil))
	connectAndExec(t, c, `UPDATE dmv.`+row.Table+`_audit_log SET ql_audit = ql_audit || '{"ql_revision": 4711}'`)
	refused(with(nil), "is another than the row: its ql_audit was changed in the database")
}

// Documents in JSON whose types nothing proves have no receipt, in so many words.
func TestReceiptOfTypeUnprovenJSONIsRefused(t *testing.T) {
	t.Parallel()
	c := start(t, local.Options{})
	name, left := regexp.MustCompile(`"FirstName":"[A-Z]`), 9
	printed(t, c, ledgergen.Options{Seed: 8, Documents: 100, Prefix: "exports/"}, func(body string) string {
		return name.ReplaceAllStringFunc(body, func(s string) string {
			if left--; left == 0 {
				return s + "z"
			}
			return s
		})
	})
	load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/"})
	refused := 0
	for _, r := range rowsOf(t, c, "dmv") {
		if r.Table != "person" {
			continue
		}
		if _, err := c.ProveRow(t.Context(), r.input()); err != nil {
			refused++
			if !strings.Contains(err.Error(), "no Ion types that were tried give the revision's hash: JSON lost them") {
				t.Error(err)
			}
		}
	}
	if refused != 1 {
		t.Errorf("%d persons have no receipt, one was altered", refused)
	}
}

func connectAndExec(t *testing.T, c *local.Cloud, sql string) {
	t.Helper()
	db := connect(t, c)
	if _, err := db.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// proveRowSample loads the ledger that sample inputs of prove-row are made for, and
// runs one.
func proveRowSample(t testing.TB, file string) (*local.Cloud, ledgergen.Ledger, *migrate.ProveRowOut) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, local.Options{})
	l := archive(t, c, ledgergen.Options{Documents: 200, Seed: 1, Exports: 2, Prefix: "exports/dmv/"})
	load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/dmv/"})
	out, err := c.ProveRow(t.Context(), json.RawMessage(text))
	if err != nil {
		t.Fatal(err)
	}
	return c, l, out
}

func proveRowSamples(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "events", "prove-row-*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d sample inputs, %v", len(files), err)
	}
	return files
}

// Every sample input of prove-row gives a receipt. It reads of the archive one
// object alone, and lists nothing.
func TestSampleReceiptsAreMade(t *testing.T) {
	t.Parallel()
	check := newChecker(t)
	for _, file := range proveRowSamples(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, l, out := proveRowSample(t, file)
			if words, ok := check.check(t, out.Content, out.Digest); !ok || out.Digest == "" || strings.Contains(file, "digest") && out.Digest != l.Digest.String() {
				t.Errorf("%+v: %s", out, words)
			}
			read := map[string]bool{}
			for _, x := range c.Gateway.Calls() {
				if callerOf(x.Call) != "ProveRow" {
					continue
				}
				if x.Action == "s3:ListBucket" {
					t.Errorf("it lists %v", x.Resources)
				}
				if key, ok := strings.CutPrefix(x.Resources[0], "arn:aws:s3:::"+archiveBucket+"/"); ok && x.Action == "s3:GetObject" {
					read[key] = true
					if journal.ParseKey("", key).Kind != journal.DataKey {
						t.Errorf("it reads %s", key)
					}
				}
			}
			if len(read) != 1 {
				t.Errorf("it reads %d objects of the archive", len(read))
			}
		})
	}
}

// What a job that keeps its database keeps is enough for a receipt, written to its
// folder, with words on how to check it.
func TestReceiptFromWhatIsKept(t *testing.T) {
	folder, err := os.MkdirTemp("", "kept") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	var out, said strings.Builder
	version := int64(4)
	row := migrate.ProveRowIn{Table: "person", Document: "0D4IUB3e4WFqhxeR9j4mJi", Version: &version}
	ask := func(row migrate.ProveRowIn, want string) {
		t.Helper()
		if err := local.Receipt(t.Context(), folder, row, &said); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	ask(migrate.ProveRowIn{Table: "person"}, "say which row")
	ask(row, "no stacks are kept on this machine")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	kept := make(chan struct{})
	job := local.Job{
		Assembly: assembly(t), Folder: folder, Keep: true, Out: writerFunc(func(b []byte) (int, error) {
			if strings.Contains(string(b), "until you press Ctrl-C") {
				close(kept)
			}
			return out.Write(b)
		}),
		Generate: &ledgergen.Options{Documents: 200, Seed: 1, Layout: ledgergen.AWSSample},
	}
	ended := make(chan error, 1)
	go func() { ended <- job.Run(ctx) }()
	select {
	case <-kept:
	case err := <-ended:
		t.Fatalf("the job ended: %v", err)
	}
	if err := local.Receipt(t.Context(), folder, row, &said); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "receipt-"+row.Document+"-4.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	digest := regexp.MustCompile(`it leads to the digest (\S+)\n`).FindStringSubmatch(said.String())
	if digest == nil {
		t.Fatal(said.String())
	}
	if words, ok := newChecker(t).check(t, string(text), digest[1]); !ok {
		t.Error(words)
	}
	for _, want := range []string{"receipt: " + file, ".proofs.json\ncheck it", "go run ./internal/receiptcheck -digest DIGEST " + file} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("got %s, want %q in it", said.String(), want)
		}
	}
	row.Document = "nobody"
	ask(row, "has no document nobody")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	ask(row, "no stacks are kept on this machine")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// A row that two loads have is proven from the archive of the one that brought it.
func TestReceiptGoesByTheLoadThatBroughtTheRow(t *testing.T) {
	t.Parallel()
	check := newChecker(t)
	c := start(t, local.Options{})
	o := ledgergen.Options{Seed: 8, Documents: 200, Prefix: "first/", UntilBlock: 45}
	archive(t, c, o)
	first := load(t, c, object{"Bucket": archiveBucket, "Prefix": "first/"})
	o.Prefix, o.UntilBlock = "whole/", 0
	l := archive(t, c, o)
	whole := load(t, c, object{"Bucket": archiveBucket, "Prefix": "whole/", "Digest": l.Digest.String(), "DigestTip": l.Tip})
	loads := map[string]int{}
	all := rowsOf(t, c, "dmv")
	for i := 0; i < len(all); i += 10 {
		out := receipt(t, c, all[i].input())
		loads[out.LoadId]++
		if words, ok := check.check(t, out.Content, out.Digest); !ok || (out.Digest == l.Digest.String()) != (out.LoadId == whole.LoadId) {
			t.Errorf("%+v: %s", out, words)
		}
	}
	if len(loads) != 2 || loads[first.LoadId] == 0 || loads[whole.LoadId] == 0 {
		t.Errorf("receipts by load: %v", loads)
	}
	i := slices.IndexFunc(all, func(r rowName) bool { return receipt(t, c, r.input()).LoadId == first.LoadId })
	in := all[i].input()
	in["LoadId"] = whole.LoadId
	if _, err := c.ProveRow(t.Context(), in); err == nil || !strings.Contains(err.Error(), "is in no plan of load "+whole.LoadId) {
		t.Errorf("by the other load: %v", err)
	}
}
