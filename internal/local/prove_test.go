package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/s3"
	"godwit/internal/report"
)

// A proved is the output of LedgerProve.
type proved struct {
	ProofId, Verdict, Said, Digest, Report string
	Level                                  int
}

// prove runs LedgerProve and wants it to succeed.
func prove(t testing.TB, c *local.Cloud, input any) proved {
	t.Helper()
	x, r := execute(t, c, "LedgerProve", input)
	if r.Status != asl.Succeeded {
		t.Fatalf("LedgerProve %s: %s", r.Status, local.Cause(x))
	}
	var out proved
	if err := json.Unmarshal(r.Output, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// proveReports are the reports of all proofs.
func proveReports(t testing.TB, c *local.Cloud) (list []report.Prove) {
	t.Helper()
	all, err := c.S3.List(workBucket(t, c), "proofs/")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if !strings.HasSuffix(e.Key, "/report.json") {
			continue
		}
		body, _, err := c.S3.Get(workBucket(t, c), e.Key)
		if err != nil {
			t.Fatal(err)
		}
		p, err := report.ParseProve(body)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// proveSample runs a sample input, as it stands, on the ledger that its digest is
// of.
func proveSample(t testing.TB, file string) (*local.Cloud, proved) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, local.Options{})
	archive(t, c, ledgergen.Options{Documents: 200, Seed: 1, Exports: 2, Prefix: "exports/dmv/"})
	return c, prove(t, c, json.RawMessage(text))
}

// proveSamples are the files of LedgerProve's sample inputs.
func proveSamples(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "events", "ledger-prove-*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d sample inputs, %v", len(files), err)
	}
	return files
}

// Every sample input of LedgerProve does what its name says, and no database is
// touched, nor anything but its own folder.
func TestSampleProofsRun(t *testing.T) {
	levels := map[string]int{"ledger-prove-minimal.json": 1, "ledger-prove-digest.json": 3}
	for _, file := range proveSamples(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, out := proveSample(t, file)
			if want, ok := levels[filepath.Base(file)]; !ok || out.Level != want {
				t.Errorf("it reaches level %d, want %d, named here %t: %s", out.Level, want, ok, out.Said)
			}
			if r := proveReports(t, c); len(r) != 1 || r[0].ProofID != out.ProofId || string(r[0].Verdict) != out.Verdict || !strings.HasSuffix(out.Report, "/proofs/"+out.ProofId+"/report.html") {
				t.Errorf("%d reports for %+v", len(r), out)
			}
			for _, x := range c.Gateway.Calls() {
				if strings.HasPrefix(x.Action, "rds") || strings.HasPrefix(x.Action, "secretsmanager:") {
					t.Errorf("%s calls %s", callerOf(x.Call), x.Action)
				}
				if x.Action == "s3:PutObject" && !strings.Contains(x.Resources[0], "/proofs/"+out.ProofId+"/") {
					t.Errorf("%s writes %s", callerOf(x.Call), x.Resources[0])
				}
			}
		})
	}
}

// What LedgerExport gives is proven as it stands, to the digest and every
// revision, in every format.
func TestExportIsProvenAsItStands(t *testing.T) {
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		t.Run(string(format), func(t *testing.T) {
			out := proveReports(t, provenExport(t, format))
			if len(out) != 1 || out[0].Verdict != report.Proven || out[0].Proof.Level != 3 || len(out[0].Contradictions)+len(out[0].Stops) > 0 {
				t.Errorf("%+v", out)
			}
		})
	}
}

// provenExport is a cloud in which a ledger was exported and proven.
func provenExport(t testing.TB, format ledgergen.Format) *local.Cloud {
	t.Helper()
	c := start(t, smallExport{}.options())
	x, r := execute(t, c, "LedgerExport", object{"LedgerName": ledgergen.Name, "BucketPrefix": "exports/", "ExportCount": 2, "OutputFormat": format})
	if r.Status != asl.Succeeded {
		t.Fatalf("LedgerExport %s: %s", r.Status, local.Cause(x))
	}
	prove(t, c, r.Output)
	return c
}

// A smallProve is LedgerProve on a small ledger, JSON included.
type smallProve struct{}

func (smallProve) machine() string        { return "LedgerProve" }
func (smallProve) options() local.Options { return local.Options{NoDatabase: true} }

func (smallProve) prepare(t testing.TB, c *local.Cloud) any {
	l := archive(t, c, ledgergen.Options{Seed: 1, Documents: 20, Exports: 2, BlocksPerObject: 20, Prefix: "exports/", Format: ledgergen.JSON})
	return object{"Bucket": archiveBucket, "Prefix": "exports/", "Digest": l.Digest.String(), "DigestTip": l.Tip}
}

func (smallProve) outcome(t testing.TB, c *local.Cloud, r asl.Result, undisturbed bool) outcome {
	t.Helper()
	if n := len(c.Gateway.Calls()); undisturbed && n < 20 {
		t.Fatalf("a run makes only %d calls", n)
	}
	if out := proveReports(t, c); len(out) != 1 || out[0].Proof.Level < 2 {
		t.Fatalf("%+v", out)
	}
	return outcome{Output: string(r.Output), Objects: objects(t, c)}
}

// A proof ends the same whichever call takes its caller down, before the call or
// after it took effect, retried or redriven.
func TestProofSurvivesKill(t *testing.T) {
	disturb(t, smallProve{}, kills)
}

// The same when a reply is lost or the service asks to come back later.
func TestProofSurvivesLostReply(t *testing.T) {
	disturb(t, smallProve{}, losses)
}

// A proof fails without any one of the statements that it needs, and says who may
// not do what to what.
func TestProofFailsWithoutAStatementThatItNeeds(t *testing.T) {
	failWithout(t, smallProve{}.options(), func(t *testing.T, c *local.Cloud) (*asl.Execution, asl.Result) {
		return execute(t, c, "LedgerProve", smallProve{}.prepare(t, c))
	})
}

// A bad archive, or one that is held against what is not its own, ends the
// execution in words; where a block could be read there is a report of it.
func TestBadArchivesAreNotProven(t *testing.T) {
	const prefix = "exports/"
	whole := ledgergen.Options{Seed: 5, Documents: 60, Prefix: prefix, BlocksPerObject: 8}
	for _, c := range []struct {
		name   string
		spoil  func(t *testing.T, c *local.Cloud, l ledgergen.Ledger)
		input  func(l ledgergen.Ledger) object // further members
		want   []string
		report report.Provenness // "" where there is none
	}{
		{"a block of another ledger", func(t *testing.T, c *local.Cloud, l ledgergen.Ledger) {
			o := whole
			o.Seed++
			var other []byte
			if _, err := ledgergen.Generate(o, func(x ledgergen.Object) error {
				if x.First == 0 {
					other = bytes.Clone(x.Body)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if err := c.S3.Put(archiveBucket, first(t, c, prefix), other, s3.Options{}); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{"is of strand", "report.html tells all"}, report.NotProven},
		{"a digest that is not its own", nil, func(l ledgergen.Ledger) object {
			return object{"Digest": strings.Repeat("7", 64), "DigestTip": l.Tip}
		}, []string{"tampered", "the digest is of another ledger", "contradicted by: Digest of the input"}, report.Contradicted},
		{"an empty prefix", nil, func(ledgergen.Ledger) object { return object{"Prefix": "exports/other/"} }, []string{"holds no object", "check Bucket and Prefix"}, ""},
		{"two ledgers", func(t *testing.T, c *local.Cloud, _ ledgergen.Ledger) {
			archive(t, c, ledgergen.Options{Seed: 6, Documents: 20, Prefix: prefix})
		}, nil, []string{"2 ledgers"}, ""},
		{"cold storage", func(t *testing.T, c *local.Cloud, _ ledgergen.Ledger) {
			if err := c.S3.SetStorageClass(archiveBucket, first(t, c, prefix), "GLACIER"); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{"cold storage (GLACIER)", "restore-object"}, ""},
		{"a member of LedgerLoad", nil, func(ledgergen.Ledger) object { return object{"Schema": "dmv"} }, []string{"Schema is a member of LedgerLoad's input"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := start(t, local.Options{NoDatabase: true})
			l := archive(t, cloud, whole)
			in := object{"Bucket": archiveBucket, "Prefix": prefix}
			if c.input != nil {
				for k, v := range c.input(l) {
					in[k] = v
				}
			}
			if c.spoil != nil {
				c.spoil(t, cloud, l)
			}
			x, r := execute(t, cloud, "LedgerProve", in)
			if r.Status != asl.Failed {
				t.Fatalf("LedgerProve %s with %s", r.Status, r.Output)
			}
			for _, w := range c.want {
				if got := local.Cause(x); !strings.Contains(got, w) {
					t.Errorf("the error does not say %q: %s", w, got)
				}
			}
			var verdict report.Provenness
			for _, p := range proveReports(t, cloud) {
				verdict = p.Verdict
			}
			if verdict != c.report {
				t.Errorf("the report says %q, want %q", verdict, c.report)
			}
		})
	}
}

// make prove takes a folder and a digest as people kept it, and leaves the report;
// a letter that was changed ends it with an error, and the report stays.
func TestMakeProve(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "archive")
	o := ledgergen.Options{Seed: 5, Documents: 60, BlocksPerObject: 8, Bucket: archiveBucket}
	var told bytes.Buffer
	if err := local.WriteArchive(o, folder, &told); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(folder + ".digest.json")
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledgergen.Generate(o, func(ledgergen.Object) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("digest at block %d: %s (hex %x)", l.Tip, l.Digest, l.Digest.Bytes()); !strings.Contains(told.String(), want) {
		t.Errorf("it says %q, want %q", told.String(), want)
	}
	run := func(j local.Job) (said string, p report.Prove, err error) {
		var b bytes.Buffer
		j.Assembly, j.Prove, j.Folder, j.Out = assembly(t), true, t.TempDir(), &b
		err = j.Run(t.Context())
		body, missing := os.ReadFile(filepath.Join(j.Folder, "proof.json"))
		if missing != nil {
			t.Fatalf("%v, %v", missing, err)
		}
		if p, missing = report.ParseProve(body); missing != nil {
			t.Fatal(missing)
		}
		if page, missing := os.ReadFile(filepath.Join(j.Folder, "proof.html")); missing != nil || !bytes.Contains(page, []byte("Level "+fmt.Sprint(p.Proof.Level)+" of 3")) {
			t.Errorf("proof.html: %v", missing)
		}
		return b.String(), p, err
	}
	for name, c := range map[string]struct {
		text  string
		level int
	}{
		"no file":             {"", 1},
		"base64":              {l.Digest.String() + "\n", 3},
		"hex":                 {fmt.Sprintf("%x", l.Digest.Bytes()), 3},
		"the console's file":  {fmt.Sprintf(`{"digest":%q,"digestTipAddress":"{strandId:\"%s\",sequenceNo:%d}","ledger":"dmv","date":"2025-07-01"}`, l.Digest, l.Strand, l.Tip), 3},
		"as it was written":   {string(written), 3},
		"an answer GetDigest": {fmt.Sprintf("{\n \"Digest\": %q,\n \"DigestTipAddress\": {\"IonText\": \"{strandId:\\\"%s\\\",sequenceNo:%d}\"}\n}\n", l.Digest, l.Strand, l.Tip), 3},
	} {
		t.Run(name, func(t *testing.T) {
			j := local.Job{Archive: folder}
			if c.text != "" {
				j.Digest = filepath.Join(t.TempDir(), "digest")
				if err := os.WriteFile(j.Digest, []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			said, p, err := run(j)
			if err != nil || p.Proof.Level != c.level || !strings.Contains(said, "VERDICT: "+string(p.Verdict)) {
				t.Errorf("level %d, %v:\n%s", p.Proof.Level, err, said)
			}
		})
	}
	t.Run("tampered", func(t *testing.T) {
		generate := ledgergen.Options{Seed: 6, Documents: 150, Format: ledgergen.IonBinary}
		said, p, err := run(local.Job{Generate: &generate, Tamper: true})
		if err == nil || p.Verdict != report.Contradicted || !strings.Contains(said, "VERDICT: contradicted") {
			t.Fatalf("%v:\n%s", err, said)
		}
		for _, want := range []string{"tampered: block ", ", revision ", "in object exports/dmv/"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not say %q: %v", want, err)
			}
		}
	})
	t.Run("no digest", func(t *testing.T) {
		j := local.Job{Assembly: assembly(t), Prove: true, Archive: folder, Digest: filepath.Join(folder, "missing"), Folder: t.TempDir(), Out: &bytes.Buffer{}}
		if err := j.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "read the digest") {
			t.Errorf("%v", err)
		}
	})
}

// A proof is of the archive and not of the day: what is kept of it is the same
// when it is made again.
func TestTheSameProofIsTheSame(t *testing.T) {
	c := start(t, local.Options{})
	in := smallProve{}.prepare(t, c)
	one := prove(t, c, in)
	was := objects(t, c)
	if two := prove(t, c, in); one != two {
		t.Errorf("%+v, then %+v", one, two)
	}
	now := objects(t, c)
	for key := range now {
		if strings.HasSuffix(key, "/report.json") { // it names the execution
			delete(now, key)
			delete(was, key)
		}
	}
	if d := cmp.Diff(was, now); d != "" {
		t.Errorf("the second proof left other objects (-first +second):\n%s", d)
	}
}
