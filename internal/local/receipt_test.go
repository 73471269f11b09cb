package local_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/s3"
	"godwit/internal/migrate"
)

// A checker is receiptcheck, built and run as a program of its own.
type checker struct{ program, folder string }

func newChecker(t testing.TB) checker {
	t.Helper()
	c := checker{filepath.Join(t.TempDir(), "receiptcheck"), t.TempDir()}
	if out, err := exec.Command("go", "build", "-o", c.program, "../receiptcheck").CombinedOutput(); err != nil {
		t.Fatalf("build receiptcheck: %v\n%s", err, out)
	}
	return c
}

// check runs the program; digest "" is none.
func (c checker) check(t testing.TB, receipt, digest string) (words string, accepted bool) {
	t.Helper()
	file := filepath.Join(c.folder, "receipt.json")
	if err := os.WriteFile(file, []byte(receipt), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(c.program, "-digest", digest, file).CombinedOutput()
	if (err != nil) != strings.HasPrefix(string(out), "REJECTED: ") {
		t.Fatalf("receiptcheck: %v\n%s", err, out)
	}
	return string(out), err == nil
}

// A rowName names a revision of the history, as prove-row takes it.
type rowName struct {
	Table, Document string
	Version         int64
	deleted, gone   bool
}

func (r rowName) input() object {
	return object{"Table": r.Table, "Document": r.Document, "Version": r.Version}
}

// rowsOf lists all rows of the histories of a schema.
func rowsOf(t testing.TB, c *local.Cloud, schema string) (all []rowName) {
	t.Helper()
	db := connect(t, c)
	for _, table := range []string{"person", "vehicle", "vehicle_registration", "drivers_license", "note"} {
		rows, err := db.Query(context.Background(), `SELECT doc_id, version, operation = 'D', (ql_audit->>'ql_redacted')::boolean FROM `+schema+`.`+table+`_audit_log ORDER BY doc_id COLLATE "C", version`)
		if err != nil {
			t.Fatal(err)
		}
		part, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r rowName, err error) {
			r.Table = table
			err = row.Scan(&r.Document, &r.Version, &r.deleted, &r.gone)
			return r, err
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, part...)
	}
	_ = db.Close(context.Background())
	return all
}

// receipt asks prove-row for a receipt.
func receipt(t testing.TB, c *local.Cloud, in object) *migrate.ProveRowOut {
	t.Helper()
	out, err := c.ProveRow(t.Context(), in)
	if err != nil {
		t.Fatalf("%v: %v", in, err)
	}
	return out
}

// chosen are rows of every kind: random ones, deletions, redacted ones, the oldest
// and the newest version of documents.
func chosen(t testing.TB, all []rowName) (out []rowName) {
	t.Helper()
	random := rand.New(rand.NewPCG(20261122, 7))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	want := map[string]int{"deleted": 2, "redacted": 2, "oldest": 2, "newest": 2, "any": 6}
	newest := map[string]int64{}
	for _, r := range all {
		newest[r.Document] = max(newest[r.Document], r.Version)
	}
	for _, r := range all {
		kinds := []string{"any"}
		switch {
		case r.deleted:
			kinds = []string{"deleted"}
		case r.gone:
			kinds = []string{"redacted"}
		case r.Version == 0:
			kinds = append(kinds, "oldest")
		case r.Version == newest[r.Document]:
			kinds = append(kinds, "newest")
		}
		for _, kind := range kinds {
			if want[kind] > 0 {
				want[kind]--
				out = append(out, r)
				break
			}
		}
	}
	for kind, n := range want {
		if n > 0 {
			t.Errorf("%d rows too few are %s", n, kind)
		}
	}
	return out
}

// compress gives the data objects of the archive gzip and another name.
func compress(t *testing.T, c *local.Cloud) {
	t.Helper()
	all, err := c.S3.List(archiveBucket, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if journal.ParseKey("", e.Key).Kind != journal.DataKey {
			continue
		}
		body, _, err := c.S3.Get(archiveBucket, e.Key)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(z.Close(), c.S3.Put(archiveBucket, e.Key+".gz", b.Bytes(), s3.Options{}), c.S3.Delete(archiveBucket, e.Key)); err != nil {
			t.Fatal(err)
		}
	}
}

// Every row of a load has a receipt that an independent program accepts under the
// ledger's digest, and that shows what the row may show.
func TestRowsHaveReceipts(t *testing.T) {
	t.Parallel()
	check := newChecker(t)
	for name, o := range map[string]ledgergen.Options{
		"binary Ion":      {Format: ledgergen.IonBinary},
		"Ion text":        {Format: ledgergen.IonText},
		"JSON":            {Format: ledgergen.JSON},
		"JSON in gzip":    {Format: ledgergen.JSON},
		"as AWS's sample": {Layout: ledgergen.AWSSample},
	} {
		t.Run(name, func(t *testing.T) {
			o.Seed, o.Documents, o.Prefix, o.BlocksPerObject, o.Exports = 34, 1500, "exports/", 40, 2
			c := start(t, local.Options{})
			l := archive(t, c, o)
			if strings.HasSuffix(name, "gzip") {
				compress(t, c)
			}
			load(t, c, object{"Bucket": archiveBucket, "Prefix": o.Prefix, "Digest": l.Digest.String(), "DigestTip": l.Tip})
			for _, r := range chosen(t, rowsOf(t, c, "dmv")) {
				out := receipt(t, c, r.input())
				words, ok := check.check(t, out.Content, l.Digest.String())
				says := "its metadata and data are as shown"
				switch {
				case r.deleted:
					says = "it deletes the document"
				case r.gone:
					says = "its data, which was removed or is withheld, has the hash shown"
				}
				if !ok || !strings.HasPrefix(words, "PROVEN under the digest you gave") || !strings.Contains(words, says) ||
					!strings.Contains(words, fmt.Sprintf("document %q, version %d,", r.Document, r.Version)) || out.Digest != l.Digest.String() {
					t.Errorf("%+v: %+v\n%s", r, out, words)
				}
				if r.gone && !strings.Contains(out.Content, `"Data": null`) {
					t.Errorf("%+v shows redacted data", r)
				}
				bucket, key, _ := strings.Cut(strings.TrimPrefix(out.Receipt, "s3://"), "/")
				if body, _, err := c.S3.Get(bucket, key); err != nil || string(body) != out.Content {
					t.Errorf("%s: %v, and is another than the answer", out.Receipt, err)
				}
			}
		})
	}
}

// A receipt that is altered anywhere that a hash covers is refused.
func TestAlteredReceiptsOfRowsAreRejected(t *testing.T) {
	t.Parallel()
	check := newChecker(t)
	c := start(t, local.Options{})
	l := archive(t, c, ledgergen.Options{Seed: 5, Documents: 300, Prefix: "exports/"})
	load(t, c, object{"Bucket": archiveBucket, "Prefix": "exports/", "Digest": l.Digest.String(), "DigestTip": l.Tip})
	all := rowsOf(t, c, "dmv")
	pick := func(want func(rowName) bool) rowName {
		i := slices.IndexFunc(all, want)
		if i < 0 {
			t.Fatal("the ledger lacks a kind of row")
		}
		return all[i]
	}
	for name, r := range map[string]rowName{
		"document": pick(func(r rowName) bool { return r.Table == "vehicle_registration" && !r.deleted && !r.gone }),
		"deletion": pick(func(r rowName) bool { return r.deleted }),
	} {
		t.Run(name, func(t *testing.T) {
			text := receipt(t, c, r.input()).Content
			covered := strings.Index(text, `"NotCovered"`)
			random := rand.New(rand.NewPCG(20261122, uint64(len(name))))
			if words, ok := check.check(t, text, l.Digest.String()); !ok {
				t.Fatal(words)
			}
			folder, files := t.TempDir(), make([]string, 1000)
			for i := range files {
				b := []byte(text)
				for bytes.Equal(b, []byte(text)) || strings.Join(strings.Fields(string(b)), "") == strings.Join(strings.Fields(text), "") {
					b = []byte(text)
					at := random.IntN(covered)
					switch random.IntN(3) {
					case 0:
						b[at] ^= 1 << random.IntN(7)
					case 1:
						b = slices.Delete(b, at, at+1)
					default:
						b = slices.Insert(b, at, b[random.IntN(covered)])
					}
				}
				files[i] = filepath.Join(folder, strconv.Itoa(i))
				if err := os.WriteFile(files[i], b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			parallel(files, func(file string) {
				if out, err := exec.Command(check.program, "-digest", l.Digest.String(), file).CombinedOutput(); err == nil || !strings.HasPrefix(string(out), "REJECTED: ") {
					altered, _ := os.ReadFile(file)
					t.Errorf("%v %s\n%s", err, out, altered)
				}
			})
		})
	}
}
