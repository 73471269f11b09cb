package migrate_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/migrate"
)

func TestParseExportInput(t *testing.T) {
	with := func(more string) string { return strings.TrimSuffix(exportWhole, "}") + "," + more + "}" }
	name := func(s string) string { return strings.Replace(exportWhole, "vehicle-registration", s, 1) }
	count := func(s string) string { return strings.Replace(exportWhole, ":3", ":"+s, 1) }
	for _, c := range []struct {
		name, input string
		refused     []string // what the error says; nil: accepted
	}{
		{"least", exportWhole, nil},
		{"everything", with(`"OutputFormat":"JSON","ConcurrentExports":10`), nil},
		{"null is absent", with(`"OutputFormat":null,"ConcurrentExports":null`), nil},
		{"one export", count("1"), nil},
		{"a thousand exports", count("1000"), nil},
		{"the longest name", name(strings.Repeat("a", 32)), nil},
		{"the shortest name", name("L"), nil},

		{"nothing", ``, []string{"read the input"}},
		{"null", `null`, []string{"null, not an object", `"ExportCount": 10`}},
		{"a list", ` [{"LedgerName":"x"}]`, []string{`[{"LedgerName":"x"}], not an object`}},
		{"a text", `"vehicle-registration"`, []string{`"vehicle-registration", not an object`}},
		{"a number", `7`, []string{"7, not an object"}},
		{"no JSON", `{"LedgerName":`, []string{"read the input"}},
		{"more behind it", exportWhole + "{}", []string{"closing brace"}},
		{"typing error", with(`"OutputFromat":"JSON"`), []string{`"OutputFromat"`}},
		{"no ledger", `{"BucketPrefix":"p/","ExportCount":1}`, []string{"no LedgerName"}},
		{"a slash", name("vehicle/registration"), []string{`"vehicle/registration"`, "1 to 32 letters, digits and single hyphens"}},
		{"a long name", name(strings.Repeat("a", 33)), []string{"1 to 32"}},
		{"a hyphen in front", name("-a"), []string{"no hyphen at either end"}},
		{"a hyphen behind", name("a-"), []string{"no hyphen at either end"}},
		{"two hyphens", name("a--b"), []string{"single hyphens"}},
		{"digits alone", name("2024"), []string{"not digits alone"}},
		{"another alphabet", name("häuser"), []string{"häuser"}},
		{"no place", `{"LedgerName":"l","ExportCount":1}`, []string{"no BucketPrefix", "s3://bucket/prefix/"}},
		{"no count", `{"LedgerName":"l","BucketPrefix":"p/"}`, []string{"no ExportCount", "1 to 1000"}},
		{"no export", count("0"), []string{"ExportCount 0", "1 to 1000"}},
		{"fewer than none", count("-1"), []string{"ExportCount -1", "1 to 1000"}},
		{"too many", count("1001"), []string{"ExportCount 1001", "1 to 1000"}},
		{"half an export", count("1.5"), []string{"ExportCount is a number 1.5, not a whole number"}},
		{"a text for a number", count(`"3"`), []string{"ExportCount is a string, not a whole number"}},
		{"a number for a text", with(`"OutputFormat":7`), []string{"OutputFormat is a number, not a text"}},
		{"none at a time", with(`"ConcurrentExports":0`), []string{"ConcurrentExports 0", "1 to 10"}},
		{"too many at a time", with(`"ConcurrentExports":11`), []string{"ConcurrentExports 11", "1 to 10"}},
		{"another format", with(`"OutputFormat":"PARQUET"`), []string{`"PARQUET"`, "ION_BINARY", "ION_TEXT", "JSON"}},
		{"a format in small letters", with(`"OutputFormat":"json"`), []string{`"json"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := migrate.ParseExportInput([]byte(c.input))
			if c.refused == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatalf("accepted: %+v", in)
			}
			for _, w := range c.refused {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("got %q without %q", err, w)
				}
			}
		})
	}
}

// Every sample is an input, and the first step takes it.
func TestSampleExportsAreInputs(t *testing.T) {
	files, err := filepath.Glob("../../events/ledger-export-*.json")
	if err != nil || len(files) < 4 {
		t.Fatalf("samples %v, %v", files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		e := newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC))
		if err := e.digest(string(b)); err != nil || e.order.Prefix != "exports/dmv/" || e.order.ExportCount < 1 || e.order.OutputFormat == "" {
			t.Errorf("%s: %+v, %v", name, e.order, err)
		}
	}
}

func TestExportGoesToAnArchive(t *testing.T) {
	archives := []migrate.AllowedArchive{{Bucket: archiveBucket, Prefix: "exports/"}, {Bucket: "second", Prefix: ""}}
	for _, c := range []struct {
		name, place    string
		bucket, prefix string
		noted          bool
		refused        []string
	}{
		{name: "a prefix", place: "exports/dmv/", bucket: archiveBucket, prefix: "exports/dmv/"},
		{name: "without the slash", place: "exports/dmv", bucket: archiveBucket, prefix: "exports/dmv/", noted: true},
		{name: "the archive itself", place: "exports", bucket: archiveBucket, prefix: "exports/", noted: true},
		{name: "a URI", place: "s3://second/x/y/", bucket: "second", prefix: "x/y/"},
		{name: "a URI without the slash", place: "s3://second/x/y", bucket: "second", prefix: "x/y/", noted: true},
		{name: "a whole bucket", place: "s3://second", bucket: "second"},
		{name: "a leading slash", place: "/exports/", refused: []string{`"/exports/"`, "leave it out"}},
		{name: "a leading slash in a URI", place: "s3://archive//exports/", refused: []string{"leave it out"}},
		{name: "two slashes", place: "exports//dmv/", refused: []string{"two slashes"}},
		{name: "a line", place: `exports/\n/`, refused: []string{"control character"}},
		{name: "no bucket", place: "s3:///exports/", refused: []string{"names no bucket"}},
		{name: "another prefix", place: "other/", refused: []string{"s3://archive/other/", "cdk.json"}},
		{name: "another bucket", place: "s3://third/exports/", refused: []string{"s3://third/exports/", `{"bucket":"third","prefix":"exports/"}`}},
		{name: "too long", place: "exports/" + strings.Repeat("x", 120) + "/", refused: []string{"128 bytes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC))
			e.archives = archives
			err := e.digest(strings.Replace(exportWhole, "exports/dmv/", c.place, 1))
			if c.refused != nil {
				mustStop(t, err, c.refused...)
				return
			}
			if err != nil || e.order.Bucket != c.bucket || e.order.Prefix != c.prefix || c.noted != strings.Contains(e.order.Note, "s3://"+c.bucket+"/"+c.prefix) {
				t.Errorf("got %+v, %v", e.order, err)
			}
		})
	}
	e := newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC))
	e.archives = nil
	mustStop(t, e.digest(exportWhole), "no archive", "cdk.json")
}

func TestDigestIsWhatIsExported(t *testing.T) {
	at := time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC)
	e := newExporting(t, at, at.Add(time.Second))
	if err := e.digest(exportWhole); err != nil {
		t.Fatal(err)
	}
	digest, _, err := e.ledger.Digest(t.Context(), exportLedger)
	if err != nil {
		t.Fatal(err)
	}
	want := migrate.ExportOrder{
		Ledger: exportLedger, Strand: exportStrand, Tip: 1, Digest: base64.StdEncoding.EncodeToString(digest), Bucket: archiveBucket, Prefix: "exports/dmv/",
		OutputFormat: "ION_BINARY", ExportCount: 3, ConcurrentExports: 2,
	}
	if diff := cmp.Diff(want, e.order); diff != "" {
		t.Error(diff)
	}
}

// The narrowest archive says with which key.
func TestArchiveKeyIsThatOfTheNarrowestArchive(t *testing.T) {
	archives := []migrate.AllowedArchive{{Bucket: "a", KMSKeyARN: "arn:wide"}, {Bucket: "a", Prefix: "secret/", KMSKeyARN: "arn:secret"}, {Bucket: "a", Prefix: "secret/plain/"}, {Bucket: "b"}}
	for _, c := range []struct{ bucket, key, want string }{
		{"a", "x", "arn:wide"}, {"a", "secret/x", "arn:secret"}, {"a", "secret/plain/x", ""}, {"b", "secret/x", ""}, {"work", "x", ""},
	} {
		if got := migrate.ArchiveKey(archives, c.bucket, c.key); got != c.want {
			t.Errorf("s3://%s/%s: got %q, want %q", c.bucket, c.key, got, c.want)
		}
	}
}

// A window takes the archive's key along.
func TestExportIsEncryptedAsTheArchive(t *testing.T) {
	e := newExporting(t, time.Date(2021, 8, 3, 17, 4, 5, 0, time.UTC))
	e.archives = []migrate.AllowedArchive{{Bucket: archiveBucket, Prefix: "other/", KMSKeyARN: "arn:other"}, {Bucket: archiveBucket, Prefix: "exports/", KMSKeyARN: "arn:key"}}
	if err := e.digest(exportWhole); err != nil {
		t.Fatal(err)
	}
	if err := e.doSplit(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.turn(e.windows()[0], nil); err != nil {
		t.Fatal(err)
	}
	if got := e.ledger.jobs[0].KMSKey; got != "arn:key" {
		t.Errorf("encrypted with %q", got)
	}
}
