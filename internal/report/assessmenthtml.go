package report

import (
	"fmt"
	"html/template"
)

// HTML returns assessment.html: one file, without scripts and without anything to
// fetch.
func (a Assessment) HTML() ([]byte, error) {
	c, err := a.Complete()
	if err != nil {
		return nil, err
	}
	v := assessmentPage{Format: c.Format, Verdict: c.Verdict, Sentence: c.Sentence, Next: c.Next}
	if v.movedPage, err = newMovedPage(c.Moved, "assessment.json"); err != nil {
		return nil, err
	}
	v.Tone = "ok"
	if c.Verdict == NotMovable {
		v.Tone = "bad"
	}
	v.Title = "Assessment: " + plain(c.Source.Database) + " into " + plain(c.Target.Profile) + ": " + string(c.Verdict)
	v.Facts = c.facts()
	b, err := render("assessment.html.tmpl", func(css template.CSS) any {
		v.CSS = css
		return v
	})
	if err != nil {
		return nil, fmt.Errorf("write assessment.html of database %s: %w", c.Source.Database, err)
	}
	return b, nil
}

// An assessmentPage is what the template shows.
type assessmentPage struct {
	movedPage
	Format, Sentence, Next string
	Verdict                Movability
}

func (a Assessment) facts() []fact {
	s := a.sizing()
	out := []fact{
		{number(s.Loaded), "tables", rowsAbout(s)},
		{number(s.Kept), "columns as they are", ""},
		{number(s.Converted), "columns converted", ""},
		{number(a.of(Refused)), "refused", ""},
		{number(a.of(Lost)), "lost", ""},
	}
	if e := a.Estimate; e != nil {
		out = append(out,
			fact{minutes(e.Minutes.Likely), "it would take", minuteRange(e.Minutes)},
			fact{usd(e.USD.Likely), "it would cost", usdRange(e.USD)})
	}
	return out
}

func rowsAbout(s sizing) string {
	text := ""
	if s.Rows >= 0 {
		text = "about " + count(s.Rows, "row")
	}
	if s.Bytes >= 0 {
		if text != "" {
			text += ", "
		}
		text += size(float64(s.Bytes))
	}
	return text
}
