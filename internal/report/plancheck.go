package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// Complete returns the plan with its verdict, what to do next and every finding
// that follows from the figures, in the order in which they are shown. Lists are
// not nil, times are UTC, and p is not touched. Completing again changes nothing.
func (p Plan) Complete() (Plan, error) {
	p.Format = PlanFormat
	p.Finished = utc(p.Finished)
	if len(p.Input) > 0 {
		var compact bytes.Buffer
		if err := json.Compact(&compact, p.Input); err != nil {
			return Plan{}, fmt.Errorf("report the plan of load %s: read its input: %w", p.LoadID, err)
		}
		p.Input = compact.Bytes()
	}
	var err error
	if p.LoadInput, err = loadInput(p.Input); err != nil {
		return Plan{}, fmt.Errorf("report the plan of load %s: read its input: %w", p.LoadID, err)
	}
	if len(p.Draft.Mapping) > 0 {
		var compact bytes.Buffer
		if err := json.Compact(&compact, p.Draft.Mapping); err != nil {
			return Plan{}, fmt.Errorf("report the plan of load %s: read the drafted mapping: %w", p.LoadID, err)
		}
		p.Draft.Mapping = compact.Bytes()
	}
	p.Archive = p.Archive.whole()
	p.Tables = list(p.Tables)
	for i := range p.Tables {
		t := &p.Tables[i]
		t.IDs, t.Shape, t.Notes = list(t.IDs), list(t.Shape), list(t.Notes)
		for j := range t.Shape {
			t.Shape[j].Types = list(t.Shape[j].Types)
		}
	}
	slices.SortStableFunc(p.Tables, func(a, b PlannedTable) int { return cmp.Compare(a.Name, b.Name) })
	p.Missing, p.Warnings, p.Stops = list(p.Missing), list(p.Warnings), list(p.Stops)
	p.Quarantine.First, p.NeverFound = list(p.Quarantine.First), list(p.NeverFound)
	p.Untyped, p.Findings = untypedList(p.Untyped), list(p.Findings)
	for _, f := range p.follow() {
		if !slices.Contains(p.Findings, f) {
			p.Findings = append(p.Findings, f)
		}
	}
	for _, f := range p.Findings {
		if rank(f.Severity) < 0 {
			return Plan{}, fmt.Errorf("report the plan of load %s: severity %q of finding %q is none of %q, %q, %q", p.LoadID, f.Severity, f.Text, Error, Warning, Note)
		}
	}
	slices.SortStableFunc(p.Findings, func(a, b Finding) int { return cmp.Compare(rank(a.Severity), rank(b.Severity)) })
	p.Verdict = p.verdict()
	p.Sentence, p.Next = p.sentence(), p.next()
	return p, nil
}

// loadInput is the input without its Mode.
func loadInput(input json.RawMessage) (json.RawMessage, error) {
	if len(input) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(input))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("it is no object")
	}
	out := []byte("{")
	for d.More() { // members keep their order
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if name == "Mode" {
			continue
		}
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, key...), ':'), value...)
	}
	return append(out, '}'), nil
}

// follow returns the findings that follow from the figures.
func (p Plan) follow() []Finding {
	var out []Finding
	add := func(code string, s Severity, next, format string, args ...any) {
		out = append(out, Finding{Code: code, Severity: s, Text: fmt.Sprintf(format, args...), Next: next})
	}
	for _, m := range p.Missing {
		add("missing", Error, "", "%s", m)
	}
	for _, s := range p.Stops {
		add("would-stop", Error, "", "%s", s.Text)
	}
	if p.MoreStops > 0 {
		add("would-stop", Error, "Mend what is listed first, then plan again.", "%s not listed here.", count(p.MoreStops, "more thing that would stop the load is", "more things that would stop the load are"))
	}
	if p.Unread > 0 {
		add("unread", Error, "Mend it, then plan again: the counts here lack these blocks.", "%s not be read, for what is listed here.", count(p.Unread, "block could", "blocks could"))
	}
	for _, w := range p.Warnings {
		add("preflight", Warning, "", "%s", w)
	}
	total := p.total()
	if total.Read == 0 {
		add("nothing-read", Warning, "Check Bucket, Prefix, ExportIds and Since in the input: another archive may have been meant.", "No revision of a ledger table was read.")
	}
	if total.Quarantined > 0 {
		add("quarantined", Warning, "Read the reasons in this report and mend the mapping; or let them be set aside: the archive keeps them.",
			"%s of %s not map exactly and would be set aside.", number(total.Quarantined), count(total.Read, "revision does", "revisions do"))
	}
	if len(p.Archive.Gaps) > 0 {
		add("gap", Warning, "Look for another copy of the archive that has them.", "Blocks are missing in the archive: %s.", ranges(p.Archive.Gaps))
	}
	if n := int64(len(p.Archive.Unused)); n > 0 {
		add("unused", Warning, "If they belong to the ledger, plan again with \"Manifests\": \"none\".",
			"%s in the archive would not be read, because no manifest names %s.", count(n, "data object"), them(n))
	}
	found := map[string]int64{}
	var plain []string
	for _, t := range p.Tables {
		found[t.Name] = t.Staged
		if t.Target != "" && !t.Mapped && t.Staged > 0 {
			plain = append(plain, t.Name)
		}
	}
	var never int64
	for _, m := range p.NeverFound {
		if found[m.Table] > 0 {
			never++
		}
	}
	if never > 0 {
		add("path-never-found", Warning, "Check their spelling in the mapping: the columns would be NULL in every row.",
			"%s nothing in any revision.", count(never, "path of the mapping matches", "paths of the mapping match"))
	}
	for _, u := range p.Untyped {
		out = append(out, u.finding())
	}
	if n := p.Redactions; n > 0 {
		if p.KeepRedacted {
			add("redactions-kept", Warning, "To apply them, leave \"ApplyRedactions\": false out.", "The archive asks for %s, which would not be applied, as the input asks: rows keep data that was exported before.", count(n, "redaction"))
		} else {
			add("redactions", Note, "", "The archive asks for %s: the load applies %s to data that was exported before.", count(n, "redaction"), them(n))
		}
	}
	if n := int64(len(p.Archive.Overlaps)); n > 0 {
		add("overlap", Note, "", "Exports overlap in %s; each block is read once.", ranges(p.Archive.Overlaps))
	}
	if len(plain) > 0 {
		add("unmapped", Note, "", "%s no rules in the mapping and %s documents (doc jsonb): this report drafts columns.",
			count(int64(len(plain)), "ledger table has", "ledger tables have"), map[bool]string{true: "becomes", false: "become"}[len(plain) == 1])
	}
	if !p.Target.History {
		add("no-history", Note, "", "The history is not kept, as the input asks: the target would hold current documents only.")
	}
	return out
}

// total sums the tables. A sum beyond an int64 stays at its greatest value.
func (p Plan) total() PlannedTable {
	var t PlannedTable
	for _, x := range p.Tables {
		for _, s := range []struct {
			to *int64
			n  int64
		}{
			{&t.Read, x.Read},
			{&t.Staged, x.Staged},
			{&t.Quarantined, x.Quarantined},
			{&t.Filtered, x.Filtered},
			{&t.Documents, x.Documents},
			{&t.Deletions, x.Deletions},
			{&t.RowBytes, x.RowBytes},
		} {
			*s.to = capped(sum(*s.to, s.n))
		}
	}
	return t
}

// verdict needs the findings complete.
func (p Plan) verdict() Readiness {
	if len(p.Findings) > 0 { // sorted, worst first
		switch p.Findings[0].Severity {
		case Error:
			return NotReady
		case Warning:
			return ReadyWithFindings
		case Note:
		}
	}
	return Ready
}

func (p Plan) sentence() string {
	t := p.total()
	takes := ""
	if e := p.Estimate; e != nil {
		takes = fmt.Sprintf(" It would take %s (%s) and %s (%s).", about(minutes(e.Minutes.Likely)), minuteRange(e.Minutes), about(usd(e.USD.Likely)), usdRange(e.USD))
	}
	what := fmt.Sprintf("all %s of %s", count(t.Staged, "revision"), count(int64(len(p.Tables)), "ledger table"))
	if t.Quarantined+t.Filtered > 0 {
		what = fmt.Sprintf("%s of %s", number(t.Staged), count(t.Read, "revision"))
	}
	switch p.Verdict {
	case NotReady:
		n := int64(len(p.Missing)+len(p.Stops)) + p.MoreStops
		for _, f := range p.Findings {
			if f.Severity == Error && f.Code != "missing" && f.Code != "would-stop" && f.Code != "unread" {
				n++ // the caller's
			}
		}
		n = max(n, 1)
		return "A load with this input would stop: " + count(n, "thing", "has", "have") + " to be mended first." + takes
	case ReadyWithFindings:
		return "A load with this input would go through and bring " + what + "; a person should read the findings first." + takes
	case Ready:
	}
	return "A load with this input would go through and bring " + what + "." + takes
}

func (p Plan) next() string {
	switch p.Verdict {
	case NotReady:
		return "Mend what is listed, then plan again with the same input."
	case ReadyWithFindings:
		return "Read the findings. Then start LedgerLoad with the same input without \"Mode\"."
	case Ready:
	}
	return "Start LedgerLoad with the same input without \"Mode\"."
}
