package assess

import (
	"fmt"
	"slices"
	"strings"

	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/profile"
)

// decideColumns decides what becomes of each column by itself: by its rule, or by
// the profile of the target.
func (d *decider) decideColumns() {
	for _, t := range d.tables {
		for _, c := range t.columns {
			if !c.skipped {
				d.decideColumn(c)
			}
		}
	}
}

func (d *decider) decideColumn(c *column) {
	rule, name := d.ruleOf(c.typ)
	switch {
	case name == "":
		d.about(c.table, Refuse, KindTypeRefused, c.source.Name, "", fmt.Sprintf("Nothing is known of its type %s in the target.", c.typ.Name), `Leave the column out, "skip": true, or give it a type that is known in the source.`)
		return
	case rule.As == profile.Never:
		d.about(c.table, Refuse, KindTypeRefused, c.source.Name, "", fmt.Sprintf("Its type %s cannot be moved, because %s%s.", c.typ.Name, rule.Why, by(rule.Fact)),
			`Leave the column out, "skip": true, or add a column of type text to the source that holds what you need of it, and take another snapshot.`)
		return
	case c.rule.Type != "":
		d.decideByRule(c, rule)
	case rule.As == profile.Text:
		d.becomeText(c, rule)
	default:
		d.decideKept(c, rule)
	}
	if c.catalog != nil {
		d.aboutDomain(c)
		d.aboutCollation(c)
	}
}

// ruleOf returns the profile's rule of a type, and its name there; "" is none.
func (d *decider) ruleOf(t catalog.Type) (profile.Type, string) {
	any := profile.AnyOther
	switch t.Class {
	case catalog.Array:
		if t.Element == nil {
			return profile.Type{}, ""
		}
		rule, _ := d.profile.Type(profile.AnyArray)
		element, name := d.ruleOf(*t.Element)
		switch {
		case name == "" || element.As == profile.Never:
			return element, name
		case rule.As == profile.Keep && element.As != profile.Keep:
			return element, name // an array of what becomes text becomes text
		}
		return rule, profile.AnyArray
	case catalog.Enum:
		any = profile.AnyEnum
	case catalog.Composite:
		any = profile.AnyComposite
	case catalog.Range:
		any = profile.AnyRange
	}
	name := any
	if t.Builtin && t.Class != catalog.Composite {
		name = baseType(t.Name)
	}
	rule, ok := d.profile.Type(name)
	if !ok {
		return profile.Type{}, ""
	}
	return rule, name
}

func (d *decider) becomeText(c *column, rule profile.Type) {
	c.to, c.as = "text", change.Conversion{Kind: change.AsText}
	do := ""
	switch {
	case c.typ.Class == catalog.Enum:
		do = "A CHECK constraint keeps the labels; their order is that of text."
	case c.typ.Class == catalog.Array:
		do = "The text can be cast back where it is queried, or the elements moved to a table of their own."
	case !c.typ.Builtin:
		do = "Comparisons follow the rules of text; what relied on those of the type has to be changed."
	}
	d.about(c.table, Convert, KindTypeText, c.source.Name, "", fmt.Sprintf("Its type %s becomes text, which holds every value as PostgreSQL writes it, because %s%s.", c.typ.Name, rule.Why, by(rule.Fact)), do)
}

// decideKept decides a column whose type the target has, but for its modifiers.
func (d *decider) decideKept(c *column, rule profile.Type) {
	c.to, c.as = c.typ.Name, change.Conversion{Kind: change.AsIs}
	mods := modifiers(c.typ.Name)
	switch base := baseType(c.typ.Name); {
	case c.typ.Class != catalog.Base:
	case base == "numeric" && mods == nil && !d.profile.Feature(profile.BareNumeric).Has:
		c.to = fmt.Sprintf("numeric(%d,%d)", d.profile.Limit(profile.NumericBare).Value, d.profile.Limit(profile.NumericBareScale).Value)
		c.as.Kind = change.AsFit
		d.about(c.table, Convert, KindTypeFit, c.source.Name, "", fmt.Sprintf("It is numeric without precision and becomes %s, because the target takes such a numeric for another%s. Rows whose number does not fit exactly are refused.",
			c.to, by(d.profile.Feature(profile.BareNumeric).Fact)), `Give the column a "type" in the mapping where you know precision and scale.`)
	case rule.MaxLength == 0, base == "bpchar", len(mods) == 1 && mods[0] <= rule.MaxLength:
	case base == "character varying":
		c.to = "text"
		d.about(c.table, Convert, KindTypeWider, c.source.Name, "", fmt.Sprintf("Its type %s becomes text, because the target's character varying ends at %d%s.", c.typ.Name, rule.MaxLength, by(rule.Fact)), "")
	default:
		d.about(c.table, Refuse, KindTypeRefused, c.source.Name, "", fmt.Sprintf("Its type %s is longer than the target's, which ends at %d%s, and padded text becomes no other type without a change.", c.typ.Name, rule.MaxLength, by(rule.Fact)),
			`Make it character varying in the source and take another snapshot, or leave it out: "skip": true.`)
	}
}

// decideByRule decides a column that the mapping gives a type.
func (d *decider) decideByRule(c *column, rule profile.Type) {
	to := c.rule.Type
	target, known := d.profile.Type(baseType(to))
	mods := modifiers(to)
	c.to = to
	switch {
	case !known || target.As != profile.Keep, target.MaxLength > 0 && len(mods) == 1 && mods[0] > target.MaxLength,
		baseType(to) == "numeric" && mods == nil && !d.profile.Feature(profile.BareNumeric).Has:
		d.about(c.table, Refuse, KindRule, c.source.Name, "", fmt.Sprintf("The mapping gives it the type %s, which the target does not have%s.", to, by(target.Fact)), "Choose another type, or leave it to the assessment.")
	case rule.As == profile.Keep && c.typ.Class == catalog.Base && wider(c.typ.Name, to) && (to == "real" || !c.domainOver("real")):
		c.as.Kind = change.AsIs
		if to != c.typ.Name {
			d.about(c.table, Convert, KindTypeWider, c.source.Name, "", fmt.Sprintf("The mapping makes %s of its type %s; every value is the same there.", to, c.typ.Name), "")
		}
	case rule.As == profile.Keep && c.typ.Class == catalog.Base && narrower(c.typ.Name, to):
		c.as.Kind = change.AsFit
		d.about(c.table, Convert, KindTypeFit, c.source.Name, "", fmt.Sprintf("The mapping makes %s of its type %s. Rows whose value does not fit exactly are refused.", to, c.typ.Name), "")
	case to == "text" && (hasText(c.typ) || rule.As == profile.Text) && !c.domainOver("boolean"):
		c.as.Kind = change.AsText
		d.about(c.table, Convert, KindTypeText, c.source.Name, "", fmt.Sprintf("The mapping makes text of its type %s, as PostgreSQL writes it.", c.typ.Name), "")
	default:
		c.as.Kind = change.AsIs
		d.about(c.table, Refuse, KindRule, c.source.Name, "", fmt.Sprintf("The mapping makes %s of its type %s, and there is no conversion between them that changes no value.", to, c.typ.Name), "Choose a type that holds every value, or text, or leave it to the assessment.")
	}
}

// domainOver says whether a column's type is a domain over one of PostgreSQL's own.
// The texts that exports write of its values are not documented: t or true of a
// boolean, and of a real the fewest digits that tell it from others, which are not
// those of the same number as a double precision.
func (c *column) domainOver(base string) bool {
	return c.source.Domain && c.typ.Builtin && c.typ.Class == catalog.Base && baseType(c.typ.Name) == base
}

func (d *decider) aboutDomain(c *column) {
	if c.catalog.Domain == "" {
		return
	}
	d.about(c.table, Convert, KindDomain, c.source.Name, c.catalog.Domain, fmt.Sprintf("Its type is the domain %s; the target's column has the domain's base type, with its checks and its NOT NULL in the table.", c.catalog.Domain), "")
}

func (d *decider) aboutCollation(c *column) {
	switch {
	case c.catalog.Nondeterministic:
		d.about(c.table, Lost, KindCollation, c.source.Name, c.catalog.Collation, fmt.Sprintf("Its collation %s takes some different texts for equal; in the target they are different.", c.catalog.Collation), "Change queries and constraints that rely on it.")
	case c.catalog.Collation != "":
		d.about(c.table, Lost, KindCollation, c.source.Name, c.catalog.Collation, fmt.Sprintf("Its collation %s is not carried over; the order of its texts is the target's.", c.catalog.Collation), "")
	}
}

// nameColumns names the target's columns, and refuses names that stand twice.
func (d *decider) nameColumns() {
	for _, t := range d.tables {
		taken := map[string]*column{}
		for _, c := range t.targets() {
			if other := taken[c.name]; other != nil {
				d.about(t, Refuse, KindName, c.source.Name, c.name, fmt.Sprintf("Two columns of the target would have the name %q.", c.name), `Give one of them another "name" in the mapping.`)
			}
			taken[c.name] = c
		}
	}
}

// targets returns the columns of the target's table, in its order: a key's UUID
// first, then the source's columns, each with its old values behind it, then
// UUIDs of foreign keys.
func (t *table) targets() []*column {
	var list []*column
	if t.uuid != nil {
		list = append(list, t.uuid)
	}
	for _, c := range t.columns {
		if c.skipped || c.to == "" {
			continue
		}
		list = append(list, c)
		if c.keep != nil {
			list = append(list, c.keep)
		}
	}
	return append(list, t.foreign...)
}

// target returns the column of the target that a column of the source becomes, or
// nil.
func (t *table) target(source string) *column {
	if c := t.column(source); c != nil && !c.skipped && c.to != "" {
		return c
	}
	return nil
}

// planColumns writes the columns into the plan, with NOT NULL, default and identity.
func (d *decider) planColumns(t *table) {
	for _, c := range t.targets() {
		p := change.ColumnPlan{Name: c.name, Type: c.to, As: c.as, From: []change.SourceColumn{c.source}}
		if c.from != nil {
			p.From = nil
			for _, f := range c.from {
				p.From = append(p.From, f.source)
			}
		}
		p.NotNull = c.required()
		if c == t.uuid {
			p.Default = "gen_random_uuid()"
		}
		if c.catalog != nil {
			d.planDefault(t, c, &p)
		}
		t.plan.Columns = append(t.plan.Columns, p)
	}
	for _, f := range t.rule.Filter {
		if t.column(f.Column) == nil {
			d.about(t, Refuse, KindRule, f.Column, "", fmt.Sprintf("The mapping's filter names the column %q, which the table does not have.", f.Column), "Mend the filter.")
			continue
		}
		if t.column(f.Column).domainOver("boolean") && len(f.In) > 0 {
			d.about(t, Refuse, KindRule, f.Column, "", fmt.Sprintf("The mapping's filter compares the column %q, whose type is a domain over boolean: whether an export writes t or true of it is not documented.", f.Column), "Filter by another column.")
			continue
		}
		t.plan.Filter = append(t.plan.Filter, f)
	}
}

// required says whether a column of the target is NOT NULL: where the source's
// is, or it is in the primary key; a UUID of several where all of them are.
func (c *column) required() bool {
	for _, key := range c.table.key {
		if c == key || c == key.keep {
			return true
		}
	}
	if c == c.table.uuid {
		return true
	}
	if c.from != nil {
		return !slices.ContainsFunc(c.from, func(f *column) bool { return !f.required() })
	}
	return c.catalog != nil && c.catalog.NotNull
}

// planDefault carries over a default or an identity, where the target can compute it.
func (d *decider) planDefault(t *table, c *column, p *change.ColumnPlan) {
	cat := c.catalog
	serial := cat.Identity == "" && cat.Sequence != nil && cat.Default != nil && strings.HasPrefix(cat.Default.SQL, "nextval(")
	switch {
	case cat.Generated != "":
		d.about(t, Lost, KindGenerated, cat.Name, "", fmt.Sprintf("The source computes it (%s); the target holds the values that it had, as an ordinary column.", cat.Default.SQL), "They are stale from the first write on: compute it in the application, or make the column again as a generated one after the load, where the target has such.")
	case (serial || cat.Identity != "") && c.as.Kind == change.AsUUID:
		p.Default = "gen_random_uuid()"
		d.about(t, Convert, KindDefault, cat.Name, "", "Its values came from a sequence. As a UUID it gets random ones for new rows: gen_random_uuid().", "")
	case serial || cat.Identity != "":
		d.planIdentity(t, c, p)
	case cat.Default == nil:
	case len(cat.Default.Uses) > 0 && c.typ.Class == catalog.Enum && c.as.Kind == change.AsText && labelOf(cat.Default.SQL, c.typ) != "":
		p.Default = labelOf(cat.Default.SQL, c.typ)
	case len(cat.Default.Uses) > 0:
		d.about(t, Lost, KindDefault, cat.Name, "", fmt.Sprintf("Its default %s needs what the load does not make: %s.", cat.Default.SQL, strings.Join(cat.Default.Uses, ", ")), "Make it in the target, and set the default after the load.")
	case !d.profile.Feature(profile.Defaults).Has, c.as.Kind == change.AsUUID, c.as.Kind == change.AsText && family(c.typ.Name) != "text":
		d.about(t, Lost, KindDefault, cat.Name, "", fmt.Sprintf("Its default %s is not one of the target's type %s.", cat.Default.SQL, c.to), "Set the default that you want after the load.")
	default:
		p.Default = cat.Default.SQL
	}
}

// labelOf returns a default that is a label of an enum as a text; "" where it is
// something else.
func labelOf(sql string, t catalog.Type) string {
	for _, label := range t.Labels {
		if literal := quoteText(label); strings.HasPrefix(sql, literal+"::") {
			return literal + "::text"
		}
	}
	return ""
}

// planCache carries over how many numbers a session takes at once. A target that
// wants one or very many gets one, which keeps numbers dense and in order as they
// were, unless the source's sessions took several already.
func (d *decider) planCache(t *table, c *column, p *change.ColumnPlan, cache int64) {
	limit := d.profile.Limit(profile.SequenceCache)
	if cache > 1 {
		p.Cache = max(cache, limit.Value)
	}
	switch {
	case limit.Value == 0:
	case cache > 1:
		d.about(t, Convert, KindIdentity, c.source.Name, "cache", fmt.Sprintf("Sessions took %d numbers at once from its sequence; in the target they take %d, because it takes 1 or from %d on%s. There are larger gaps, and numbers of several sessions are not in the order of their rows.", cache, p.Cache, limit.Value, by(limit.Fact)), "")
	default:
		d.about(t, Keep, KindIdentity, c.source.Name, "cache", fmt.Sprintf("Its identity has CACHE 1, as in the source: numbers are in order and have few gaps, and each of them is agreed upon by the whole cluster, which is slow where many sessions insert%s.", by(limit.Fact)),
			fmt.Sprintf("Where they do, and gaps do no harm: ALTER TABLE … ALTER COLUMN %s SET CACHE %d after the load.", quoteName(p.Name), limit.Value))
	}
}

// planIdentity carries over what a sequence gives a column; serial columns become
// identities, which is the same without a sequence of its own to own.
func (d *decider) planIdentity(t *table, c *column, p *change.ColumnPlan) {
	feature := d.profile.Feature(profile.Identity)
	ints := slices.Contains([]string{"smallint", "integer", "bigint"}, c.to)
	if !feature.Has || !ints || c.as.Kind != change.AsIs {
		d.about(t, Lost, KindIdentity, c.source.Name, "", fmt.Sprintf("Its values came from a sequence, and the target's column of type %s cannot be an identity%s.", c.to, by(feature.Fact)), "Give new rows their values in the application.")
		return
	}
	p.Identity = c.catalog.Identity
	if p.Identity == "" {
		p.Identity = "BY DEFAULT"
		d.about(t, Convert, KindIdentity, c.source.Name, "", "It takes its values from a sequence that it owns, as serial makes it; in the target it is GENERATED BY DEFAULT AS IDENTITY.", "")
	}
	if c.catalog.Sequence == nil {
		return
	}
	s := d.in.Catalog.Sequence(*c.catalog.Sequence)
	switch {
	case s == nil || s.Hidden:
		d.about(t, Lost, KindIdentity, c.source.Name, "", "Where its sequence stands could not be read.", "Read the catalog as a user who may, or set the identity after the load: ALTER TABLE … ALTER COLUMN … RESTART WITH the greatest value and one.")
	case s.Increment < 1:
		p.Identity = ""
		d.about(t, Lost, KindIdentity, c.source.Name, spell(*c.catalog.Sequence), "Its sequence counts down, and the target's would count up.", "Make the identity by hand after the load.")
	default:
		p.Start = s.Start
		d.planCache(t, c, p, s.Cache)
		if s.Last != nil {
			p.Start = *s.Last + s.Increment
		}
		if s.Increment != 1 {
			d.about(t, Lost, KindIdentity, c.source.Name, spell(*c.catalog.Sequence), fmt.Sprintf("Its sequence counts by %d, and the target's counts by 1, from where the source's stands.", s.Increment), "Set INCREMENT BY after the load if it matters.")
		}
	}
}
