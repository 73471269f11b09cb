package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"
)

// ProveFormat is the member "Format" of every report.json of a proof.
const ProveFormat = "godwit.ledgerprove/1"

// A Prove is how far LedgerProve proved an archive. The caller fills in all but
// Format, Verdict, Sentence and Next, which are worked out from the rest, as are
// most findings.
type Prove struct {
	Format   string
	Verdict  Provenness // worked out
	Sentence string     // the verdict in words, worked out
	Next     string     // what to do, worked out

	ProofID   string
	Execution string          `json:",omitempty"`
	Input     json.RawMessage `json:",omitempty"` // of the execution, as it was given
	Finished  time.Time       // when the report was written

	Archive        Archive
	Proof          Proof
	Contradictions []string      // sentences on what is disproven
	Stops          []PlannedStop // where the archive is not what its manifests, names or the input say: the first ones
	MoreStops      int64         // that are not listed
	Unread         int64         // blocks that could not be read for one of Stops
	Findings       []Finding
}

// A Provenness answers "is the archive what QLDB wrote?".
type Provenness string

// The verdicts of a proof, best first. Programs may branch on them.
const (
	Proven       Provenness = "proven"         // level 3
	PartlyProven Provenness = "proven in part" // level 1 or 2, and nothing contradicts it
	NotProven    Provenness = "not proven"     // level 0, or it could not be read as a whole
	Contradicted Provenness = "contradicted"   // tampered with, or of another ledger than what it is held against
)

// Complete returns the proof with its verdict, what to do next and every finding
// that follows, in the order in which they are shown. Lists are not nil, times are
// UTC, and p is not touched. Completing again changes nothing.
func (p Prove) Complete() (Prove, error) {
	p.Format = ProveFormat
	p.Finished = utc(p.Finished)
	if len(p.Input) > 0 {
		var compact bytes.Buffer
		if err := json.Compact(&compact, p.Input); err != nil {
			return Prove{}, fmt.Errorf("report proof %s: read its input: %w", p.ProofID, err)
		}
		p.Input = compact.Bytes()
	}
	p.Archive, p.Proof = p.Archive.whole(), *p.Proof.whole()
	p.Contradictions, p.Stops, p.Findings = list(p.Contradictions), list(p.Stops), list(p.Findings)
	for _, f := range p.follow() {
		if !slices.Contains(p.Findings, f) {
			p.Findings = append(p.Findings, f)
		}
	}
	for _, f := range p.Findings {
		if rank(f.Severity) < 0 {
			return Prove{}, fmt.Errorf("report proof %s: severity %q of finding %q is none of %q, %q, %q", p.ProofID, f.Severity, f.Text, Error, Warning, Note)
		}
	}
	slices.SortStableFunc(p.Findings, func(a, b Finding) int { return cmp.Compare(rank(a.Severity), rank(b.Severity)) })
	p.Verdict = p.verdict()
	p.Sentence, p.Next = p.sentence(), p.next()
	return p, nil
}

func (p Prove) verdict() Provenness {
	switch {
	case len(p.Contradictions) > 0:
		return Contradicted
	case len(p.Stops) > 0 || p.Proof.Level == 0:
		return NotProven
	case p.Proof.Level < 3:
		return PartlyProven
	}
	return Proven
}

func (p Prove) sentence() string {
	switch p.Verdict {
	case Contradicted:
		return "The archive was tampered with, or mixed with another, or what it was held against is of another: " + p.Contradictions[0]
	case NotProven:
		if len(p.Stops) > 0 {
			return "The archive is not what its manifests, its objects' names or the input say, so that it is not proven as a whole: " + p.Stops[0].Text
		}
	case PartlyProven, Proven:
	}
	line := p.Proof.line()
	return strings.ToUpper(line[:1]) + line[1:]
}

func (p Prove) next() string {
	switch {
	case p.Verdict == Contradicted:
		return "Compare what is named here with another copy of the archive, and the digest with where it was kept. Do not load this copy."
	case len(p.Stops) > 0:
		return "Copy what is named here again from where the archive came from, and prove again."
	case p.Verdict == Proven:
		return "Keep this report and the digest with the archive, and the digest in another place too."
	}
	return "What is open says what would prove more. Give it, and prove again."
}

// follow returns the findings that follow from the rest.
func (p Prove) follow() []Finding {
	var out []Finding
	add := func(code string, s Severity, next, format string, args ...any) {
		out = append(out, Finding{Code: code, Severity: s, Text: fmt.Sprintf(format, args...), Next: next})
	}
	for _, c := range p.Contradictions {
		add("contradicted", Error, "", "%s", c)
	}
	for _, s := range p.Stops {
		add("unreadable", Error, "", "%s", s.Text)
	}
	if p.MoreStops > 0 {
		add("unreadable", Error, "Mend what is listed first, then prove again.", "%s not listed here.", count(p.MoreStops, "more such object is", "more such objects are"))
	}
	if p.Unread > 0 {
		add("unread", Error, "", "%s not be read, for what is listed here.", count(p.Unread, "block could", "blocks could"))
	}
	if n := int64(len(p.Archive.Unused)); n > 0 {
		add("unused", Warning, "If they belong to the ledger, prove again with \"Manifests\": \"none\".",
			"%s in the archive not read, because no manifest names %s.", count(n, "data object", "was", "were"), them(n))
	}
	if len(p.Contradictions) == 0 {
		out = append(out, p.Proof.follow()...)
	}
	return out
}

// JSON returns report.json, with the verdict and the findings worked out.
func (p Prove) JSON() ([]byte, error) {
	c, err := p.Complete()
	if err != nil {
		return nil, err
	}
	return encode(c, "the report of proof "+p.ProofID)
}

// ParseProve reads report.json of a proof. Members that it does not know are left
// out.
func ParseProve(b []byte) (Prove, error) {
	var p Prove
	err := decode(b, &p, &p.Format, ProveFormat, "report.json")
	return p, err
}

// HTML returns report.html: one file, without scripts and without anything to
// fetch.
func (p Prove) HTML() ([]byte, error) {
	c, err := p.Complete()
	if err != nil {
		return nil, err
	}
	b, err := render("prove.html.tmpl", func(css template.CSS) any { return newProvePage(c, css) })
	if err != nil {
		return nil, fmt.Errorf("write report.html of proof %s: %w", p.ProofID, err)
	}
	return b, nil
}

// A provePage is what the template shows: a complete proof, and what is worked
// out for the eye only.
type provePage struct {
	Prove
	CSS      template.CSS
	Tone     string // ok, warn, bad
	Title    string
	File     string
	Facts    []fact
	Advice   []advice
	Gaps     []Blocks
	Overlaps []Blocks
	Unused   []string
	Asked    string // the input, indented
}

func newProvePage(p Prove, css template.CSS) provePage {
	v := provePage{Prove: p, CSS: css, File: "report.json", Advice: newAdvice(p.Findings), Asked: indent(p.Input)}
	switch p.Verdict {
	case Proven:
		v.Tone = "ok"
	case PartlyProven:
		v.Tone = "warn"
	default:
		v.Tone = "bad"
	}
	v.Title = "LedgerProve: " + plain(p.Archive.Bucket) + "/" + plain(p.Archive.Prefix) + ": " + string(p.Verdict)
	v.Gaps, v.Overlaps, v.Unused = head(p.Archive.Gaps), head(p.Archive.Overlaps), head(p.Archive.Unused)
	again := with("proven", p.Proof.Revisions) + with("redacted", p.Proof.Revisions)
	bad, tampered := "", with("tampered", p.Proof.Revisions)
	if tampered > 0 {
		bad = number(tampered) + " tampered with"
	}
	v.Facts = []fact{
		{"level " + number(int64(p.Proof.Level)), "of 3", ""},
		{number(p.Archive.Blocks), "blocks read", "in " + size(float64(p.Archive.Bytes)) + ", " + count(p.Archive.Objects, "object")},
		{number(again), "revisions hashed again that fit", bad},
		{number(int64(len(p.Proof.Ties))), "ways to a digest", "of " + count(int64(p.Proof.Kept), "digest or proof given", "digests or proofs given")},
	}
	return v
}

// Text returns the proof for a terminal that is width columns wide, the last line
// ended. Control characters in names are replaced.
func (p Prove) Text(width int) string {
	p, err := p.Complete()
	if err != nil {
		return "no report: " + plain(err.Error()) + "\n"
	}
	var b strings.Builder
	rows := [][]string{{"verdict", "blocks", "revisions"}}
	var blocks, revisions int64
	for _, v := range verdictsOf(&p.Proof) {
		rows = append(rows, []string{v.name, number(v.blocks), number(v.revisions)})
		blocks, revisions = blocks+v.blocks, revisions+v.revisions
	}
	b.WriteString(columns(append(rows, []string{"total", number(blocks), number(revisions)}), width) + "\n")
	if p.Proof.Digest != "" {
		b.WriteString(wrap("Digest at block "+number(p.Proof.Tip)+", computed: "+p.Proof.Digest+" (hex "+p.Proof.Hex+")", width, ""))
	}
	for _, t := range widest(p.Proof.Ties) {
		of, at := "", ""
		if t.Ledger != "" {
			of = " of ledger " + plain(t.Ledger)
		}
		if t.Tip >= 0 {
			at = " at block " + number(t.Tip)
		}
		b.WriteString(wrap(fmt.Sprintf("Reached: the digest%s%s that was kept, %s (hex %s), which covers %s, by %s", of, at, t.Digest, t.Hex, Blocks{t.From, t.To}, plain(t.How)), width, ""))
	}
	const most = 8 // of each list; the report has them whole
	section := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		b.WriteString("\n" + title + "\n")
		for _, l := range lines[:min(len(lines), most)] {
			b.WriteString(wrap(plain(l), width, "  "))
		}
		if n := int64(len(lines) - most); n > 0 {
			b.WriteString("  and " + number(n) + " more in the report\n")
		}
	}
	section("What holds:", p.Proof.Holds)
	var open []string
	for _, o := range p.Proof.Open {
		line := o.What + ": " + o.Why + "."
		if !strings.HasPrefix(o.Lift, "nothing") {
			line += " What would prove it: " + o.Lift + "."
		}
		open = append(open, line)
	}
	section("What is open:", open)
	section("Findings:", p.Proof.Findings)
	var look, wrong []string
	for _, f := range p.Findings {
		switch f.Severity {
		case Error:
			wrong = append(wrong, "ERROR: "+f.Text)
		case Warning:
			look = append(look, strings.TrimSpace("WARNING: "+f.Text+" "+f.Next))
		case Note:
		}
	}
	section("What needs a look:", look)
	section("What is wrong:", wrong)
	b.WriteString("\n" + wrap("VERDICT: "+string(p.Verdict)+". "+plain(p.Sentence), width, ""))
	b.WriteString(wrap("Next: "+plain(p.Next), width, ""))
	return b.String()
}

// widest keeps of the ties to each digest the one that covers most.
func widest(ties []Tie) []Tie {
	var out []Tie
	for _, t := range ties {
		i := slices.IndexFunc(out, func(o Tie) bool { return o.Digest == t.Digest && o.From == t.From })
		switch {
		case i < 0:
			out = append(out, t)
		case t.To > out[i].To:
			out[i] = t
		}
	}
	return out
}

// A verdictRow counts the blocks and revisions of one verdict.
type verdictRow struct {
	name              string
	blocks, revisions int64
}

// verdictsOf joins the verdicts of blocks and of revisions, those of blocks first.
func verdictsOf(p *Proof) []verdictRow {
	var out []verdictRow
	at := func(name string) *verdictRow {
		i := slices.IndexFunc(out, func(v verdictRow) bool { return v.name == name })
		if i < 0 {
			i = len(out)
			out = append(out, verdictRow{name: name})
		}
		return &out[i]
	}
	for _, v := range p.Blocks {
		at(v.Verdict).blocks = v.Count
	}
	for _, v := range p.Revisions {
		at(v.Verdict).revisions = v.Count
	}
	return out
}
