package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Redacted counts the revisions of one ledger table whose data the ledger
// removed: those that the archive asks to redact, and those whose redaction the
// load found in another way.
type Redacted struct {
	Table   string // in the ledger; its id where no revision of it is known
	Already int64  // no row held their data
	Loaded  int64  // exported before: their data was taken from rows of this load
	Shown   int64  // exported before: their data was taken from rows of earlier loads
	Unknown int64  // no row that was loaded is theirs
	Kept    int64  // asked for, and not applied, as the input asks
}

// histories names the history tables of which revisions were redacted.
func (l Load) histories() string {
	var names []string
	for _, t := range l.Tables {
		if t.History != "" && slices.ContainsFunc(l.Redacted, func(r Redacted) bool { return r.Table == t.Name && r.Loaded+r.Shown > 0 }) {
			names = append(names, l.Target.Schema+"."+t.History)
		}
	}
	return strings.Join(names, ", ")
}

// redacted returns the findings that follow from redactions.
func (l Load) redacted() []Finding {
	sum := func(of func(Redacted) int64) (total int64, tables string) {
		byTable := map[string]int64{}
		var names []string
		for _, r := range l.Redacted {
			if n := of(r); n > 0 {
				if byTable[r.Table] == 0 {
					names = append(names, r.Table)
				}
				byTable[r.Table] += n
				total += n
			}
		}
		slices.Sort(names)
		for i, name := range names {
			names[i] = name + " " + number(byTable[name])
		}
		return total, strings.Join(names, ", ")
	}
	var out []Finding
	if n, tables := sum(func(r Redacted) int64 { return r.Kept }); n > 0 {
		out = append(out, Finding{
			"redactions-kept", Warning,
			fmt.Sprintf("The archive asks for %s (%s), which %s not applied, as the input asks: rows keep the data that was exported before.", count(n, "redaction"), tables, was(n)),
			"To redact the rows, load the same archive into the same schema without \"ApplyRedactions\": false.",
		})
	}
	if n, tables := sum(func(r Redacted) int64 { return r.Loaded + r.Shown }); n > 0 {
		shown, _ := sum(func(r Redacted) int64 { return r.Shown })
		earlier := ""
		if shown > 0 {
			earlier = fmt.Sprintf("; %s in rows of earlier loads", number(shown))
		}
		out = append(out, Finding{
			"redacted", Warning,
			fmt.Sprintf("%s redacted after the export that the archive has of %s, and the data was taken from the rows (%s%s).", count(n, "revision", "was", "were"), them(n), tables, earlier),
			fmt.Sprintf("It is still in the exports that were made before, in parts/%s/ of the work bucket for 30 days, in backups of the database, and in its tables' free space until VACUUM %s. Delete it where it must not be kept.",
				l.LoadID, cmp.Or(l.histories(), "has run on their history")),
		})
	}
	if n, tables := sum(func(r Redacted) int64 { return r.Already }); n > 0 {
		out = append(out, Finding{"redacted-already", Note, fmt.Sprintf("%s redacted and held no data any more (%s).", count(n, "revision", "was", "were"), tables), ""})
	}
	if n, tables := sum(func(r Redacted) int64 { return r.Unknown }); n > 0 {
		out = append(out, Finding{"redacted-unknown", Note, fmt.Sprintf("The archive asks for %s of revisions that are in no loaded row (%s).", count(n, "redaction"), tables), ""})
	}
	return out
}
