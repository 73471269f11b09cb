package migrate_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
	"godwit/internal/report"
)

// dataHashes are known of copies that the archive has redacted, and not of those
// that the load redacts.
var dataHashes = regexp.MustCompile(`"ql_data_hash":"[^"]*"`)

// An archive that was exported before its redactions becomes the same rows as one
// that was exported after them, in every format.
func TestRedactionsReachCopiesThatWereExportedBefore(t *testing.T) {
	for _, f := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			options := ledgergen.Options{Seed: 21, Documents: 1200, Format: f, Prefix: prefix, BlocksPerObject: 7}
			after := newMachine(t, whole)
			after.generate(options)
			_, rep := after.mustRun()
			if got := redacted(rep); !strings.HasPrefix(got, "already ") || rep.Verdict != report.Loaded {
				t.Errorf("exported after: %s, %s", rep.Verdict, got)
			}
			options.Unredacted = true
			before := newMachine(t, whole)
			before.segmentBytes = 10_000 // many segments, most without a redaction
			ledger := before.generate(options)
			_, rep = before.mustRun()
			n := int64(0)
			for _, x := range ledger.Tables {
				n += x.Redacted
			}
			if got, want := redacted(rep), fmt.Sprintf("loaded %d", n); n == 0 || got != want {
				t.Errorf("exported before: got %s, want %s", got, want)
			}
			if rep.Verdict != report.LoadedWithFindings || !slices.ContainsFunc(rep.Findings, func(f report.Finding) bool { return f.Code == "redacted" }) {
				t.Errorf("exported before: %s, %+v", rep.Verdict, rep.Findings)
			}
			if _, plan := before.planned(migrate.PreflightOut{}); plan.Redactions != n {
				t.Errorf("the plan tells of %d redactions, want %d", plan.Redactions, n)
			}
			want, got := after.target.lines(), before.target.lines()
			for name := range want {
				same(t, name, plain(got[name]), plain(want[name]))
			}
		})
	}
}

func plain(lines []string) []string {
	var out []string
	for _, line := range lines {
		out = append(out, dataHashes.ReplaceAllString(line, ""))
	}
	slices.Sort(out)
	return out
}

func same(t *testing.T, name string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %d rows\n%.2000s\nwant %d\n%.2000s", name, len(got), got, len(want), want)
	}
}

// redacted sums what a report says of redactions.
func redacted(rep report.Load) string {
	var sum report.Redacted
	for _, x := range rep.Redacted {
		sum.Already += x.Already
		sum.Loaded += x.Loaded
		sum.Shown += x.Shown
		sum.Unknown += x.Unknown
		sum.Kept += x.Kept
	}
	var out []string
	for _, x := range []struct {
		name string
		n    int64
	}{{"already", sum.Already}, {"loaded", sum.Loaded}, {"shown", sum.Shown}, {"unknown", sum.Unknown}, {"kept", sum.Kept}} {
		if x.n != 0 {
			out = append(out, fmt.Sprintf("%s %d", x.name, x.n))
		}
	}
	return strings.Join(out, ", ")
}

// Redactions are counted, and nothing else is done, where the input says so. It is
// another load.
func TestRedactionsAreNotAppliedWhereTheInputSaysSo(t *testing.T) {
	options := ledgergen.Options{Seed: 22, Documents: 1000, Prefix: prefix, Unredacted: true}
	ids := map[string]bool{}
	rows := map[string][]string{}
	for _, apply := range []string{"true", "false", "null"} {
		m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","ApplyRedactions":`+apply+`}`)
		ledger := m.generate(options)
		out, rep := m.mustRun()
		ids[out.LoadId] = true
		n := int64(0)
		for _, x := range ledger.Tables {
			n += x.Redacted
		}
		want := fmt.Sprintf("loaded %d", n)
		if apply == "false" {
			want = fmt.Sprintf("kept %d", n)
		}
		if got := redacted(rep); n == 0 || got != want {
			t.Errorf("ApplyRedactions %s: got %s, want %s", apply, got, want)
		}
		for name, lines := range m.target.lines() {
			rows[apply] = append(rows[apply], name)
			for _, line := range lines {
				if strings.Contains(line, `"ql_redacted":true`) {
					rows[apply] = append(rows[apply], line)
				}
			}
		}
		for name := range m.objects.under(workBucket + "/parts/") {
			if apply == "false" && strings.Contains(name, "/redactions/") {
				t.Errorf("there is a list of redactions: %s", name)
			}
		}
	}
	if len(ids) != 2 || len(rows["false"]) >= len(rows["true"]) || len(rows["null"]) != len(rows["true"]) {
		t.Errorf("got %d load ids, and %d, %d, %d lines", len(ids), len(rows["true"]), len(rows["false"]), len(rows["null"]))
	}
}

// A redaction of what this load leaves out, or never had, is told and changes
// nothing.
func TestRedactionsOfWhatIsNotThere(t *testing.T) {
	for _, input := range []string{`,"Tables":["Note"]`, `,"Since":500`} {
		m := newMachine(t, strings.Replace(whole, "}", input+"}", 1))
		ledger := m.generate(ledgergen.Options{Seed: 21, Documents: 3000, Prefix: prefix, Unredacted: true})
		_, rep := m.mustRun()
		n := int64(0)
		for _, x := range ledger.Tables {
			n += x.Redacted
		}
		sum := int64(0)
		for _, x := range rep.Redacted {
			sum += x.Unknown + x.Loaded
		}
		if got := redacted(rep); !strings.Contains(got, "unknown ") || input[2] == 'T' && sum != n {
			t.Errorf("%s: got %s of %d redactions", input, got, n)
		}
		if !slices.ContainsFunc(rep.Findings, func(f report.Finding) bool { return f.Code == "redacted-unknown" }) {
			t.Errorf("%s: %+v", input, rep.Findings)
		}
	}
}
