package assess

import (
	"fmt"
	"slices"
	"strings"

	"godwit/internal/profile"
)

// aboutDatabase adds what is to be known of the database as a whole.
func (d *decider) aboutDatabase() {
	d.add(Finding{
		Kind: KindWrites, Verdict: Keep, Why: "What is written to the source after the snapshot is not moved by this route.",
		Do: "Stop writing before the snapshot is taken; the downtime is the time of the snapshot, the export, the load and the verification. Follow the source with a stream where that is too long.",
	})
	d.add(Finding{
		Kind: KindNotCarried, Verdict: Lost, Why: "An export has rows alone: privileges, owners, comments, statistics and storage parameters stay behind.",
		Do: "Grant your readers and writers what they need after the load; pg_dump --schema-only of the source has the statements of comments and privileges.",
	})
	d.aboutSequentialKeys()
	if d.in.Catalog == nil {
		d.add(Finding{
			Kind: KindNoCatalog, Verdict: Lost,
			Why: "There is no catalog: types come from the export's metadata and keys from the mapping; foreign keys, unique constraints, NOT NULL, checks, defaults, identities and indexes are not known.",
			Do:  "If the source lives, read its catalog, or run catalog.sql there with psql and give its JSON as Catalog.",
		})
		return
	}
	d.aboutServer()
	d.aboutObjects()
	d.aboutSequences()
}

// aboutSequentialKeys tells of tables whose key begins with a number.
func (d *decider) aboutSequentialKeys() {
	feature := d.profile.Feature(profile.SequentialKeys)
	var names []string
	for _, t := range d.tables {
		if len(t.plan.Key) == 0 {
			continue
		}
		if c := planned(t, t.plan.Key[0]); c != nil && slices.Contains([]string{"smallint", "integer", "bigint"}, c.Type) {
			names = append(names, spell(t.source))
		}
	}
	if feature.Has || len(names) == 0 {
		return
	}
	d.add(Finding{
		Kind: KindSequentialKey, Verdict: Keep,
		Why: fmt.Sprintf("The keys of %d tables begin with a number: %s. Where numbers grow, all new rows go to one place of the target, which spreads rows by their keys%s.", len(names), list(names), by(feature.Fact)),
		Do:  `Let the keys of tables that are written to often become UUIDs, "key": "uuid"; foreign keys follow.`,
	})
}

func (d *decider) aboutServer() {
	c := d.in.Catalog
	if c.Encoding != "UTF8" {
		d.add(Finding{Kind: KindEncoding, Verdict: Keep, Why: fmt.Sprintf("The source's encoding is %s, and exports and targets are in UTF-8. Rows with a text that is no UTF-8 are refused.", c.Encoding)})
	}
	if feature := d.profile.Feature(profile.Collations); !feature.Has && c.Collate != "C" && c.Collate != "POSIX" {
		d.add(Finding{
			Kind: KindCollation, Verdict: Lost, Why: fmt.Sprintf("The source orders text by %s, and the target by the bytes of UTF-8 alone%s.", c.Collate, by(feature.Fact)),
			Do: "Look at queries that order or compare text: upper case comes before lower case there.",
		})
	}
	if major := c.Server / 10000; major > d.profile.PostgreSQL {
		d.add(Finding{
			Kind: KindVersion, Verdict: Keep, Why: fmt.Sprintf("The source is PostgreSQL %d and the target has what PostgreSQL %d has: defaults, checks and indexes that call newer functions cannot be made there.", major, d.profile.PostgreSQL),
			Do: "Look for uuidv7() and the like, and replace them before the snapshot.",
		})
	}
	if c.LargeObjects > 0 {
		d.add(Finding{Kind: KindLargeObjects, Verdict: Lost, Why: fmt.Sprintf("The database has %d large objects, and an export has none of them.", c.LargeObjects), Do: "Move what you need of them into bytea columns before the snapshot, or copy them apart."})
	}
}

// mostNames is how many names a finding lists.
const mostNames = 20

func list(names []string) string {
	if len(names) <= mostNames {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNames], ", "), len(names)-mostNames)
}

// aboutObjects tells, kind by kind, what else the source has.
func (d *decider) aboutObjects() {
	byKind := map[string][]string{}
	var kinds []string
	for _, o := range d.in.Catalog.Objects {
		name := o.Name
		switch {
		case o.Table != nil:
			name += " of " + spell(*o.Table)
		case o.Schema != "":
			name = o.Schema + "." + name
		}
		if byKind[o.Kind] == nil {
			kinds = append(kinds, o.Kind)
		}
		byKind[o.Kind] = append(byKind[o.Kind], name)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		names := byKind[kind]
		d.add(Finding{
			Kind: KindObjects, Name: kind, Verdict: Lost, Why: fmt.Sprintf("An export has no %s; the source has %d: %s.", plural(kind), len(names), list(names)),
			Do: adviceAbout(kind),
		})
	}
}

// adviceAbout says what to do about objects of a kind.
func adviceAbout(kind string) string {
	const (
		text    = " pg_dump --schema-only of the source has their text; mind the columns whose types change."
		instead = " Otherwise do in the application what they did."
	)
	switch kind {
	case "view":
		return "Make them after the load." + text
	case "materialized view":
		return "Make them after the load where the target has such, and refresh them; or tables, and fill those." + text
	case "function", "procedure":
		return "Make them after the load where the target has their language." + text + instead
	case "trigger", "event trigger", "rule":
		return "Make them after the load where the target has such, and not before: they would fire for the rows that are loaded." + text + instead
	case "policy":
		return "Make them after the load where the target has row security, and before anybody is granted anything: until then every row is seen by whoever may read its table." + text
	case "extension":
		return "Create in the target those that it offers; columns of their types, and what calls their functions, are findings of their own."
	case "type", "domain":
		return "The columns of these types are loaded by findings of their own; make the types again only for what else uses them."
	}
	return "Make in the target what is needed there, as far as it has the like."
}

func plural(kind string) string {
	if kind == "policy" {
		return "policies"
	}
	return kind + "s"
}

// aboutSequences tells of sequences that no column owns.
func (d *decider) aboutSequences() {
	for _, s := range d.in.Catalog.Sequences {
		if s.Table != nil {
			continue
		}
		stands, start := "It was never used.", fmt.Sprint(s.Start)
		switch {
		case s.Hidden:
			stands, start = "Where it stands could not be read.", "…"
		case s.Last != nil:
			stands, start = fmt.Sprintf("It stands at %d.", *s.Last), fmt.Sprint(*s.Last+s.Increment)
		}
		cache := ""
		if limit := d.profile.Limit(profile.SequenceCache); limit.Value > 0 {
			cache = fmt.Sprintf(" CACHE 1, or from %d on where many sessions take numbers of it", limit.Value)
		}
		d.add(Finding{
			Kind: KindSequence, Name: s.Schema + "." + s.Name, Verdict: Lost, Why: "It is a sequence that no column owns, and the load makes none. " + stands,
			Do: fmt.Sprintf("Make it after the load if it is needed: CREATE SEQUENCE %s START WITH %s INCREMENT BY %d%s.", quoteName(s.Name), start, s.Increment, cache),
		})
	}
}
