package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Complete returns the load with its verdict, its sentence and every finding
// that follows from the figures, in the order in which they are shown. Lists
// are not nil, times are UTC, and l is not touched. Completing again changes
// nothing. An outcome or severity that does not exist is an error.
func (l Load) Complete() (Load, error) {
	switch l.Outcome {
	case Visible, Already, Stopped:
	default:
		return Load{}, fmt.Errorf("report load %s: outcome %q is none of %q, %q, %q", l.LoadID, l.Outcome, Visible, Already, Stopped)
	}
	l.Format = Format
	l.Started, l.Finished = l.Started.UTC(), l.Finished.UTC()
	if len(l.Input) > 0 {
		var compact bytes.Buffer
		if err := json.Compact(&compact, l.Input); err != nil {
			return Load{}, fmt.Errorf("report load %s: read its input: %w", l.LoadID, err)
		}
		l.Input = compact.Bytes()
	}
	l.Archive, l.Proof = l.Archive.whole(), l.Proof.whole()
	l.Quarantine.First = list(l.Quarantine.First)
	l.NeverFound = list(l.NeverFound)
	l.Tables = list(l.Tables)
	for i := range l.Tables {
		l.Tables[i].IDs = list(l.Tables[i].IDs)
	}
	slices.SortStableFunc(l.Tables, func(a, b Table) int { return cmp.Compare(a.Name, b.Name) })
	l.Phases = list(l.Phases)
	for i, p := range l.Phases {
		l.Phases[i].Started, l.Phases[i].Finished = utc(p.Started), utc(p.Finished)
	}
	l.Findings = list(l.Findings)
	for _, f := range l.follow() {
		if !slices.Contains(l.Findings, f) {
			l.Findings = append(l.Findings, f)
		}
	}
	for _, f := range l.Findings {
		if rank(f.Severity) < 0 {
			return Load{}, fmt.Errorf("report load %s: severity %q of finding %q is none of %q, %q, %q", l.LoadID, f.Severity, f.Text, Error, Warning, Note)
		}
	}
	slices.SortStableFunc(l.Findings, func(a, b Finding) int { return cmp.Compare(rank(a.Severity), rank(b.Severity)) })
	l.Verdict = l.verdict()
	l.Sentence = l.sentence()
	return l, nil
}

// whole returns an archive whose lists are not nil.
func (a Archive) whole() Archive {
	a.Exports, a.Gaps, a.Overlaps, a.Unused, a.Kinds = list(a.Exports), list(a.Gaps), list(a.Overlaps), list(a.Unused), list(a.Kinds)
	return a
}

// list copies s, so that sorting touches nobody else's, and is never nil.
func list[T any](s []T) []T { return append(make([]T, 0, len(s)), s...) }

// utc leaves the zero time alone, which means "did not happen".
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

func rank(s Severity) int { return slices.Index([]Severity{Error, Warning, Note}, s) }

// sum adds without wrapping around: a sum that only fits by overflow must not
// look right.
func sum(ns ...int64) *big.Int {
	t := new(big.Int)
	for _, n := range ns {
		t.Add(t, big.NewInt(n))
	}
	return t
}

func adds(whole int64, parts ...int64) bool { return sum(whole).Cmp(sum(parts...)) == 0 }

const again = "Start the load again with the same input. If the figures still differ, keep the load's folder on S3 and do not rely on this load."

// follow returns the findings that follow from the figures.
func (l Load) follow() []Finding {
	var out []Finding
	add := func(code string, s Severity, next, format string, args ...any) {
		out = append(out, Finding{Code: code, Severity: s, Text: fmt.Sprintf(format, args...), Next: next})
	}
	// A name that occurs twice, or not at all, would make a table's account
	// ambiguous to the reader.
	seen := map[string]bool{}
	for _, t := range l.Tables {
		if seen[t.Name] {
			add("table-twice", Error, again, "Ledger table %s is in this report twice.", t.Name)
		}
		seen[t.Name] = true
		out = append(out, t.follow()...)
	}
	total := l.total()
	if l.Quarantine.Total != total.Quarantined {
		add("quarantine-differs", Error, again, "The quarantine holds %s, but the tables' accounts name %s.", count(l.Quarantine.Total, "revision"), number(total.Quarantined))
	}
	if n := int64(len(l.Quarantine.First)); n > l.Quarantine.Total {
		add("quarantine-differs", Error, again, "The quarantine holds %s, but %s are listed.", count(l.Quarantine.Total, "revision"), number(n))
	}
	if total.Read == 0 && l.Outcome != Stopped {
		add("nothing-read", Warning, "Check Bucket, Prefix, ExportIds and Since in the input: another archive may have been meant.", "No revision of a ledger table was read.")
	}
	if total.Quarantined > 0 {
		list := ""
		if l.Quarantine.Where != "" {
			list = " (the whole list lies under " + l.Quarantine.Where + ")"
		}
		next := "Read the reasons in this report" + list + ", mend the mapping, and load into a fresh schema; or accept that they are missing: the archive keeps them."
		add("quarantined", Warning, next, "%s of %s did not map exactly and %s set aside.", number(total.Quarantined), count(total.Read, "revision"), was(total.Quarantined))
	}
	if total.Withheld > 0 {
		add("withheld", Warning, "Mend what the quarantine says of them, and load the export with the revision that follows a redacted one: godwit shows no older revision in place of the latest.",
			"%s not in the current tables, because the latest revision is in quarantine, or redacted.", count(total.Withheld, "document", "is", "are"))
	}
	a := l.Archive
	missing, within := new(big.Int), new(big.Int) // blocks; within: between the first and the last that were read
	early := false                                // a gap says already that the first blocks are missing
	for _, g := range a.Gaps {
		missing.Add(missing, sum(g.Last, -g.First, 1))
		early = early || g.First < a.FirstBlock
		if first, last := max(g.First, a.FirstBlock), min(g.Last, a.LastBlock); first <= last {
			within.Add(within, sum(last, -first, 1))
		}
	}
	if len(a.Gaps) > 0 {
		add("gap", Warning, "Look for another copy of the archive that has them, and load it into the same schema: what is already there is not loaded twice.",
			"%s missing in the archive: %s.", plural(group(missing.String()), missing.Cmp(big.NewInt(1)) == 0, "block", "is", "are"), ranges(a.Gaps))
	}
	if want := within.Sub(sum(a.LastBlock, -a.FirstBlock, 1), within); a.Blocks != 0 && l.Outcome != Stopped && want.Cmp(sum(a.Blocks)) != 0 {
		add("blocks-differ", Error, again, "%s read, but block %s to block %s without the missing ones are %s.", count(a.Blocks, "block", "was", "were"),
			number(a.FirstBlock), number(a.LastBlock), group(want.String()))
	}
	if n := int64(len(l.Archive.Unused)); n > 0 {
		add("unused", Warning, "If they belong to the ledger, load them with \"Manifests\": \"none\".",
			"%s in the archive %s not read, because no manifest names %s.", count(n, "data object"), was(n), them(n))
	}
	found := map[string]int64{}
	for _, t := range l.Tables {
		found[t.Name] = t.Staged
	}
	var never int64
	for _, p := range l.NeverFound {
		if found[p.Table] > 0 {
			never++
		}
	}
	if never > 0 {
		add("path-never-found", Warning, "Check their spelling in the mapping: the columns are NULL in every row.",
			"%s matched nothing in any revision.", count(never, "path of the mapping", "paths of the mapping"))
	}
	if l.Outcome == Stopped && !slices.ContainsFunc(l.Findings, func(f Finding) bool { return f.Severity == Error }) && !slices.ContainsFunc(out, func(f Finding) bool { return f.Severity == Error }) {
		add("stopped", Error, "Open the execution in the Step Functions console: its failed step names the cause. After mending it, redrive the execution.", "The load stopped; this report was not told why.")
	}
	if n := int64(len(l.Archive.Overlaps)); n > 0 {
		add("overlap", Note, "", "Exports overlap in %s; each block was read once.", ranges(l.Archive.Overlaps))
	}
	if a.FirstBlock > 0 && !early {
		add("begins-late", Note, "", "What was read begins at block %s, not at the ledger's first block 0.", number(a.FirstBlock))
	}
	if total.Present > 0 {
		add("present", Note, "", "%s already in the target, with the same hashes; nothing was written for %s.", count(total.Present, "revision", "was", "were"), them(total.Present))
	}
	if !l.Target.History && l.Outcome != Stopped {
		add("no-history", Note, "", "The history was not kept, as the input asks: the target holds current documents only.")
	}
	out = append(out, l.redacted()...)
	out = append(out, l.Proof.follow()...)
	if n := l.uncounted(); n > 0 {
		add("not-counted", Warning, "Start the load again: it counts what it did not.", "%s not counted by the independent pass.", count(n, "ledger table", "was", "were"))
	}
	return out
}

// follow returns what is wrong with the account of one table.
func (t Table) follow() []Finding {
	var out []Finding
	add := func(code string, format string, args ...any) {
		out = append(out, Finding{Code: code, Severity: Error, Text: fmt.Sprintf(format, args...), Next: again})
	}
	for _, n := range []int64{t.Read, t.Staged, t.Quarantined, t.Filtered, t.Present, t.Documents, t.Current, t.Deleted, t.Dropped, t.Withheld} {
		if n < 0 {
			add("negative", "Ledger table %s: a count is negative (%s).", t.Name, number(n))
			break
		}
	}
	if !adds(t.Read, t.Staged, t.Quarantined, t.Filtered) {
		add("read-differs", "Ledger table %s: %s read, but loaded + quarantined + filtered = %s + %s + %s = %s.", t.Name, count(t.Read, "revision", "was", "were"),
			number(t.Staged), number(t.Quarantined), number(t.Filtered), group(sum(t.Staged, t.Quarantined, t.Filtered).String()))
	}
	if !adds(t.Documents, t.Current, t.Deleted, t.Dropped, t.Withheld) {
		add("documents-differ", "Ledger table %s: %s loaded, but current + deleted + dropped + withheld = %s + %s + %s + %s = %s.", t.Name, count(t.Documents, "document", "was", "were"),
			number(t.Current), number(t.Deleted), number(t.Dropped), number(t.Withheld), group(sum(t.Current, t.Deleted, t.Dropped, t.Withheld).String()))
	}
	if t.Present > t.Staged {
		add("present-differs", "Ledger table %s: %s said to be in the target already, more than the %s that were loaded.", t.Name, count(t.Present, "revision", "is", "are"), number(t.Staged))
	}
	if len(t.IDs) > 0 {
		var parts []int64
		for _, id := range t.IDs {
			parts = append(parts, id.Revisions)
		}
		if !adds(t.Read, parts...) {
			add("ids-differ", "Ledger table %s: %s read, but its table ids account for %s.", t.Name, count(t.Read, "revision", "was", "were"), group(sum(parts...).String()))
		}
	}
	if e := t.Evidence; e != nil {
		if e.Revisions != t.Read {
			add("count-differs", "Ledger table %s: the loader read %s, the independent pass %s.", t.Name, count(t.Read, "revision"), number(e.Revisions))
		}
		if e.Checksum != "" && e.Loader != "" && e.Checksum != e.Loader {
			add("checksum-differs", "Ledger table %s: the target's checksum is %s, the archive's %s.", t.Name, e.Loader, e.Checksum)
		}
	}
	return out
}

// uncounted returns the number of tables that only the loader counted.
func (l Load) uncounted() (n int64) {
	for _, t := range l.Tables {
		if t.Evidence == nil {
			n++
		}
	}
	return n
}

// capped is n, or the greatest int64 where it is beyond.
func capped(n *big.Int) int64 {
	if n.IsInt64() {
		return n.Int64()
	}
	return math.MaxInt64
}

// total sums the tables' accounts. A sum beyond an int64 stays at its greatest
// value; the tables' own figures are checked one by one without that limit.
func (l Load) total() Table {
	var t Table
	for _, x := range l.Tables {
		for _, p := range []struct {
			to *int64
			n  int64
		}{
			{&t.Read, x.Read},
			{&t.Staged, x.Staged},
			{&t.Quarantined, x.Quarantined},
			{&t.Filtered, x.Filtered},
			{&t.Present, x.Present},
			{&t.Documents, x.Documents},
			{&t.Current, x.Current},
			{&t.Deleted, x.Deleted},
			{&t.Dropped, x.Dropped},
			{&t.Withheld, x.Withheld},
		} {
			*p.to = capped(sum(*p.to, p.n))
		}
	}
	return t
}

// verdict needs the findings complete.
func (l Load) verdict() Verdict {
	worst := Note
	if len(l.Findings) > 0 {
		worst = l.Findings[0].Severity // sorted, worst first
	}
	switch {
	case l.Outcome == Stopped:
		return NotLoaded
	case worst == Error:
		return DoesNotAddUp
	case worst == Warning:
		return LoadedWithFindings
	case l.Outcome == Already:
		return AlreadyLoaded
	}
	return Loaded
}

// sentence says the verdict to a person.
func (l Load) sentence() string {
	t := l.total()
	schema := "schema " + l.Target.Schema
	before := ""
	if l.Outcome == Already {
		before = " An earlier execution with the same input had loaded it; nothing was changed now."
	}
	switch l.Verdict {
	case NotLoaded:
		return "Nothing of this load is visible: it stopped before it was published, and the tables of " + schema + " are as they were."
	case DoesNotAddUp:
		return "The load is visible in " + schema + ", but its account does not add up: do not rely on it until every error below is explained." + before
	case LoadedWithFindings:
		if t.Read == 0 {
			return "The load finished, but no revision of a ledger table was read; " + schema + " has nothing new. Read the findings." + before
		}
		s := "The load is visible in " + schema + "; "
		if t.Quarantined > 0 {
			s += number(t.Quarantined) + " of " + count(t.Read, "revision") + " " + was(t.Quarantined) + " set aside. "
		} else {
			s += "every revision read is accounted for. "
		}
		return s + "Something may be missing or altered: read the findings." + before
	case Loaded, AlreadyLoaded:
	}
	var s string
	switch {
	case t.Filtered > 0:
		s = fmt.Sprintf("Everything that was asked for arrived: of %s read, %s in %s and %s left out on request.",
			count(t.Read, "revision"), plural(number(t.Staged), t.Staged == 1, "", "is", "are"), schema, number(t.Filtered))
	case !l.Target.History:
		s = fmt.Sprintf("Everything that was asked for arrived: of %s read, %s in %s; older ones were not asked for.",
			count(t.Read, "revision"), count(t.Current, "current document", "is", "are"), schema)
	default:
		s = fmt.Sprintf("Everything arrived: all %s of %s, %s, are in %s.", count(t.Read, "revision"), count(int64(len(l.Tables)), "ledger table"),
			Blocks{l.Archive.FirstBlock, l.Archive.LastBlock}, schema)
		if t.Read == 1 {
			s = "Everything arrived: the one revision read is in " + schema + "."
		}
	}
	return s + before
}

// word says what became of the staged revisions.
func (l Load) word() string {
	if l.Outcome == Stopped {
		return "staged"
	}
	return "loaded"
}

// counted says what a load's figures show, and what they do not.
func (l Load) counted() string {
	hashed, shown := "; it did not recompute hashes", " Whether the archive is what QLDB wrote is not shown here."
	if l.Proof.made() {
		hashed, shown = "", " How far the archive is what QLDB wrote is told under Proof."
	}
	switch n := l.uncounted(); {
	case len(l.Tables) == 0:
		return "This load read no revision of a table" + hashed + "."
	case n == 0:
		return "This load counted every revision twice" + hashed + ". The first count was made by the loader, the second by an independent pass over the archive." + shown
	case n == int64(len(l.Tables)):
		return "This load's revisions were counted by the loader alone" + hashed + "." + shown
	default:
		return fmt.Sprintf("This load counted the revisions of all but %s twice%s.%s", count(n, "table"), hashed, shown)
	}
}

// ranges lists a few block ranges for a sentence.
func ranges(bs []Blocks) string {
	const most = 5
	var parts []string
	for i, b := range bs {
		if i == most {
			parts = append(parts, "and "+count(int64(len(bs)-most), "more range"))
			break
		}
		parts = append(parts, b.String())
	}
	return strings.Join(parts, ", ")
}
