package local_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/s3"
	"godwit/internal/report"
)

// demo runs make demo on a small ledger and returns what it prints.
func demo(t *testing.T, o ledgergen.Options, tamper bool) (out string, folder string, err error) {
	t.Helper()
	var b bytes.Buffer
	j := local.Job{Assembly: assembly(t), Generate: &o, Tamper: tamper, Folder: t.TempDir(), Out: &b}
	err = j.Run(t.Context())
	return b.String(), j.Folder, err
}

// make demo TAMPER=1: whatever the format, the load names what was changed, and
// shows nothing.
func TestTamperedDemoEndsWithWhatWasChanged(t *testing.T) {
	for _, o := range []ledgergen.Options{
		{Format: ledgergen.IonBinary}, {Format: ledgergen.IonText}, {Format: ledgergen.JSON}, {Layout: ledgergen.AWSSample},
	} {
		o.Seed, o.Documents = 6, 150
		t.Run(string(o.Format)+string(o.Layout), func(t *testing.T) {
			out, _, err := demo(t, o, true)
			planted := regexp.MustCompile(`(?:revision (\d+)|transactionInfo) of block (\d+), object (\S+)`).FindStringSubmatch(out)
			if err == nil || planted == nil {
				t.Fatalf("error %v, and:\n%s", err, out)
			}
			where := "tampered: block " + planted[2]
			if planted[1] != "" {
				where += ", revision " + planted[1] + " of document "
			} else if o.Format != ledgergen.JSON && o.Layout == "" {
				t.Errorf("no revision was changed:\n%s", out)
			}
			for _, want := range []string{where, "in object " + planted[3], "nothing of the load is visible"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			if !strings.Contains(out, "found; nothing of the load is in the target") || strings.Contains(out, "VERDICT") {
				t.Errorf("printed:\n%s", out)
			}
		})
	}
}

// An untouched demo reaches its digest, and with Ion every revision.
func TestDemoIsProven(t *testing.T) {
	for format, least := range map[ledgergen.Format]int{ledgergen.IonBinary: 3, ledgergen.IonText: 3, ledgergen.JSON: 2} {
		t.Run(string(format), func(t *testing.T) {
			out, folder, err := demo(t, ledgergen.Options{Seed: 6, Documents: 150, Format: format}, false)
			if err != nil {
				t.Fatal(err)
			}
			body, err := os.ReadFile(filepath.Join(folder, "report.json"))
			if err != nil {
				t.Fatal(err)
			}
			l, err := report.Parse(body)
			if err != nil {
				t.Fatal(err)
			}
			p := l.Proof
			if p == nil || p.Level < least || p.Kept == 0 || len(p.Ties) == 0 || p.Digest != p.Ties[0].Digest {
				t.Fatalf("proof %+v", p)
			}
			for _, want := range []string{fmt.Sprintf("Proof: level %d of 3", p.Level), p.Digest, p.Hex} {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not printed:\n%s", want, out)
				}
			}
		})
	}
}

// What was read of a tampered archive is never gone on from: a redrive stops in
// the same words. The mended archive is another load, and nothing stands in its
// way.
func TestTamperedLoadDoesNotGoOn(t *testing.T) {
	c := start(t, local.Options{})
	l := archive(t, c, ledgergen.Options{Seed: 4, Documents: 120, Prefix: "exports/", Format: ledgergen.IonText, BlocksPerObject: 9})
	all, err := c.S3.List(archiveBucket, "exports/")
	if err != nil {
		t.Fatal(err)
	}
	statement := regexp.MustCompile(`data:\{[^{}]*:"[^"]*([a-z])"`)
	key, good := "", []byte(nil)
	for _, e := range all {
		body, _, err := c.S3.Get(archiveBucket, e.Key)
		if err != nil {
			t.Fatal(err)
		}
		if at := statement.FindSubmatchIndex(body); strings.HasSuffix(e.Key, ".ion") && at != nil {
			key, good = e.Key, bytes.Clone(body)
			bad := bytes.Clone(body)
			bad[at[2]] ^= 1
			if err := c.S3.Put(archiveBucket, key, bad, s3.Options{}); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	input := object{"Bucket": archiveBucket, "Prefix": "exports/", "Digest": l.Digest.String(), "DigestTip": l.Tip}
	x, r := run(t, c, input)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for range 2 {
		if got := local.Cause(x); r.Status != asl.Failed || !strings.Contains(got, "tampered: block ") || !strings.Contains(got, "in object "+key) {
			t.Fatalf("%s: %s", r.Status, got)
		}
		if n := query[int64](t, c, `SELECT count(*) FROM godwit.load`); n != 0 {
			t.Errorf("%d loads are registered", n)
		}
		// The good object is no help to a load that read the bad one.
		if err := c.S3.Put(archiveBucket, key, good, s3.Options{}); err != nil {
			t.Fatal(err)
		}
		if err := x.Redrive(ctx); err != nil {
			t.Fatal(err)
		}
		if r, err = x.Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	out := load(t, c, input)
	check(t, c, l)
	if p := loadReport(t, c, out.LoadId).Proof; p == nil || p.Level != 3 {
		t.Errorf("proof of the mended archive: %+v", p)
	}
}
