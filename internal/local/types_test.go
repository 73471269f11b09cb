package local_test

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/local/s3"
	"godwit/internal/report"
)

// printed puts a ledger's JSON into the archive, each block as print has it.
func printed(t *testing.T, c *local.Cloud, o ledgergen.Options, print func(body string) string) {
	t.Helper()
	o.Bucket, o.Format = archiveBucket, ledgergen.JSON
	_, err := ledgergen.Generate(o, func(x ledgergen.Object) error {
		body := string(x.Body)
		if strings.HasSuffix(x.Key, ".json") {
			body = print(body)
		}
		return c.S3.Put(archiveBucket, x.Key, []byte(body), s3.Options{})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// JSON from a program that made doubles of decimals loads as the decimals that
// they were, as they stand in Ion; and a letter that somebody changed is told as
// what it is: not proven, in a table that otherwise is.
func TestJSONLoadsAsWhatWasHashed(t *testing.T) {
	o := ledgergen.Options{Seed: 8, Documents: 300, Prefix: "exports/"}
	ion := start(t, local.Options{})
	archive(t, ion, o)
	load(t, ion, object{"Bucket": archiveBucket, "Prefix": o.Prefix})
	want := state(t, ion, "dmv")

	c := start(t, local.Options{})
	amount, odd := regexp.MustCompile(`("PendingPenaltyTicketAmount":)(-?\d+)e-2`), 0
	printed(t, c, o, func(body string) string {
		return amount.ReplaceAllStringFunc(body, func(s string) string {
			odd++
			x := amount.FindStringSubmatch(s)
			cents, _ := strconv.ParseFloat(x[2], 64)
			return x[1] + strconv.FormatFloat(math.Nextafter(cents/100, math.Inf(1)), 'f', -1, 64)
		})
	})
	load(t, c, object{"Bucket": archiveBucket, "Prefix": o.Prefix})
	if d := cmp.Diff(want, state(t, c, "dmv")); d != "" || odd < 50 {
		t.Errorf("%d numbers were printed oddly; the rows differ from those of Ion (-Ion +JSON):\n%s", odd, d)
	}

	o.Prefix = "altered/"
	name, left, altered := regexp.MustCompile(`("FirstName":")[A-Z](?s:.*?"metadata":\{"id":"(\w+)")`), 9, ""
	printed(t, c, o, func(body string) string {
		return name.ReplaceAllStringFunc(body, func(s string) string {
			if left--; left == 0 {
				altered = name.FindStringSubmatch(s)[2]
				return strings.Replace(s, `"FirstName":"`, `"FirstName":"z`, 1)
			}
			return s
		})
	})
	out := load(t, c, object{"Bucket": archiveBucket, "Prefix": o.Prefix, "Schema": "altered"})
	text, _, err := c.S3.Get(workBucket(t, c), "loads/"+out.LoadId+"/report.json")
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, u := range r.Proof.Untyped {
		found = found || u.Table == "Person" && u.Count == 1 && u.Known && u.Proven > 0 && len(u.First) == 1 &&
			u.First[0].Document == altered && strings.HasPrefix(u.First[0].Object, o.Prefix)
	}
	warned := slices.ContainsFunc(r.Findings, func(f report.Finding) bool {
		return f.Code == "type-unproven" && f.Severity == report.Warning && strings.Contains(f.Text, altered)
	})
	if !found || !warned || len(r.Proof.Untyped) != 1 {
		t.Errorf("document %s was altered; the report tells of %+v and %+v", altered, r.Proof.Untyped, r.Findings)
	}
}
