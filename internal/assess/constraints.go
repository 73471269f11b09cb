package assess

import (
	"fmt"
	"slices"
	"strings"

	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/profile"
)

// planKey plans the primary key.
func (d *decider) planKey(t *table) {
	if len(t.key) == 0 {
		return
	}
	t.plan.KeyName = t.keyName
	if t.catalog != nil && t.catalog.Key != nil && t.catalog.Key.Deferrable {
		d.aboutDeferrable(t, t.keyName)
	}
	if t.uuid != nil {
		t.plan.Key = []string{t.uuid.name}
		if columns, ok := d.indexable(t, sourceNames(t.key)); ok && int64(len(columns)) <= d.profile.Limit(profile.KeyColumns).Value {
			t.plan.Indexes = append(t.plan.Indexes, change.IndexPlan{Name: cut(t.plan.Target.Name + "_" + strings.Join(columns, "_") + "_key"), Unique: true, Keys: columns})
		} else {
			d.about(t, Lost, KindKey, "", t.keyName, fmt.Sprintf("The old key (%s) gets no index of its own in the target, so that its UUID alone keeps it unique.", namesOf(t.key)), "")
		}
		return
	}
	for _, c := range t.key {
		switch {
		case c.skipped:
			d.about(t, Refuse, KindKey, c.source.Name, t.keyName, "The mapping leaves out a column of the primary key.", `Keep the column, or leave the table out: "skip": true.`)
		case c.to == "": // refused already
		case !d.mayIndex(c):
			d.about(t, Refuse, KindKey, c.source.Name, t.keyName, fmt.Sprintf("The target cannot have a column of type %s in a key%s.", c.to, by(d.typeFact(c.to))), `Let the key become a UUID, "key": "uuid", or change its type in the source.`)
		}
		t.plan.Key = append(t.plan.Key, c.name)
	}
	if limit := d.profile.Limit(profile.KeyColumns); int64(len(t.key)) > limit.Value {
		d.about(t, Refuse, KindKey, "", t.keyName, fmt.Sprintf("The primary key has %d columns, and the target takes %d%s.", len(t.key), limit.Value, by(limit.Fact)), `Let it become a UUID: "key": "uuid".`)
	}
	for _, c := range t.key {
		if c.keep != nil {
			t.plan.Indexes = append(t.plan.Indexes, change.IndexPlan{Name: cut(t.plan.Target.Name + "_" + c.keep.name + "_key"), Unique: true, Keys: []string{c.keep.name}})
		}
	}
}

func (d *decider) aboutDeferrable(t *table, name string) {
	d.about(t, Lost, KindUnique, "", name, "The constraint is DEFERRABLE in the source; in the target it is checked at once.", "Change transactions that rely on it.")
}

// mayIndex says whether the target can have a column in a key or an index.
func (d *decider) mayIndex(c *column) bool {
	rule, ok := d.profile.Type(baseType(c.to))
	if strings.HasSuffix(c.to, "[]") {
		rule, ok = d.profile.Type(profile.AnyArray)
	}
	return ok && rule.Index
}

func (d *decider) typeFact(name string) profile.Fact {
	rule, _ := d.profile.Type(baseType(name))
	return rule.Fact
}

// indexable returns the target's names of columns of the source; false where one
// of them is not there or cannot be indexed.
func (d *decider) indexable(t *table, sources []string) (names []string, ok bool) {
	for _, s := range sources {
		c := t.target(s)
		if c == nil || !d.mayIndex(c) {
			return nil, false
		}
		names = append(names, c.name)
	}
	return names, true
}

func sourceNames(columns []*column) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.source.Name
	}
	return names
}

// planUniques plans the UNIQUE constraints.
func (d *decider) planUniques(t *table) {
	if t.catalog == nil {
		return
	}
	for _, u := range t.catalog.Uniques {
		names, ok := d.indexable(t, u.Columns)
		include, includeOK := d.included(t, u.Include)
		limit := d.profile.Limit(profile.KeyColumns)
		switch {
		case u.Period:
			d.about(t, Lost, KindUnique, "", u.Name, "The last column of the constraint is WITHOUT OVERLAPS, which the target does not have.", "Check it in the application.")
		case !ok:
			d.about(t, Lost, KindUnique, "", u.Name, fmt.Sprintf("One of its columns (%s) is not in the target, or of a type that cannot be indexed there.", strings.Join(u.Columns, ", ")), "Keep the values unique in the application.")
		case int64(len(names)) > limit.Value:
			d.about(t, Lost, KindUnique, "", u.Name, fmt.Sprintf("It has %d columns, and the target takes %d%s.", len(names), limit.Value, by(limit.Fact)), "Keep the values unique in the application.")
		default:
			if u.Deferrable {
				d.aboutDeferrable(t, u.Name)
			}
			if !includeOK {
				include = nil
				d.about(t, Lost, KindIndex, "", u.Name, "The columns that it includes without being unique are left out, because one of them is not in the target.", "")
			}
			t.plan.Indexes = append(t.plan.Indexes, change.IndexPlan{Name: u.Name, Unique: true, Keys: names, Include: include, NullsNotDistinct: u.NullsNotDistinct, Constraint: true})
		}
	}
	for _, name := range t.catalog.Exclusions {
		d.about(t, Lost, KindExclusion, "", name, "The load makes no EXCLUDE constraints.", "Make it after the load where the target has them, or check it in the application.")
	}
}

func (d *decider) included(t *table, sources []string) (names []string, ok bool) {
	for _, s := range sources {
		c := t.target(s)
		if c == nil {
			return nil, false
		}
		names = append(names, c.name)
	}
	return names, len(names) == 0 || d.profile.Feature(profile.IncludeIndexes).Has
}

// planChecks plans CHECK constraints: the table's, those of its domains, and one
// with the labels of each enum.
func (d *decider) planChecks(t *table) {
	if t.catalog == nil {
		return
	}
	feature := d.profile.Feature(profile.Checks)
	taken := map[string]bool{}
	plan := func(name, expression string) {
		wanted := cut(name)
		name = wanted
		for n := 2; taken[name]; n++ {
			name = numbered(wanted, n)
		}
		taken[name] = true
		t.plan.Checks = append(t.plan.Checks, change.Check{Name: name, Expression: expression})
	}
	lost := func(column, name, why string) {
		d.about(t, Lost, KindCheck, column, name, why, "Check it in the application, or add it after the load: ALTER TABLE … ADD CONSTRAINT … CHECK (…).")
	}
	for _, c := range t.catalog.Checks {
		switch expression := t.rewrite(&c.Expression); {
		case !feature.Has:
			lost("", c.Name, "The target has no CHECK constraints"+by(feature.Fact)+".")
		case c.NotValid:
			lost("", c.Name, fmt.Sprintf("The check %s was never validated, or is not enforced, so that rows may break it.", c.SQL))
		case len(c.Uses) > 0:
			lost("", c.Name, fmt.Sprintf("The check %s needs what the load does not make: %s.", c.SQL, strings.Join(c.Uses, ", ")))
		case expression == "":
			lost("", c.Name, fmt.Sprintf("The check %s reads a column that the target does not have with these values.", c.SQL))
		default:
			plan(c.Name, expression)
		}
	}
	for _, c := range t.targets() {
		if c.catalog == nil || !feature.Has || c.source.Name == "" {
			continue
		}
		for _, check := range c.catalog.DomainChecks {
			switch {
			case check.NotValid, len(check.Uses) > 0, c.as.Kind != change.AsIs && c.as.Kind != change.AsFit:
				lost(c.source.Name, check.Name, fmt.Sprintf("The check %s of its domain cannot be made for the target's type %s, needs what the load does not make, or was never validated.", check.SQL, c.to))
			default:
				plan(t.plan.Target.Name+"_"+c.name+"_check", rename(check.SQL, map[string]string{domainValue: quoteName(c.name)}))
			}
		}
		if c.typ.Class == catalog.Enum && c.as.Kind == change.AsText && len(c.typ.Labels) > 0 {
			labels := make([]string, len(c.typ.Labels))
			for i, l := range c.typ.Labels {
				labels[i] = quoteText(l)
			}
			plan(t.plan.Target.Name+"_"+c.name+"_check", quoteName(c.name)+" IN ("+strings.Join(labels, ", ")+")")
		}
	}
}

// planForeign plans the foreign keys.
func (d *decider) planForeign(t *table) {
	if t.catalog == nil {
		return
	}
	for i := range t.catalog.Foreign {
		f := &t.catalog.Foreign[i]
		lost := func(why, do string) { d.about(t, Lost, KindForeignKey, "", f.Name, why, do) }
		feature := d.profile.Feature(profile.ForeignKeys)
		to := d.byName[f.Table]
		switch {
		case !feature.Has:
			lost("The target has no foreign keys"+by(feature.Fact)+".", "Check references in the application.")
			continue
		case f.Period:
			lost("It is a foreign key over a PERIOD, which the target does not have.", "Check references in the application.")
			continue
		case to == nil:
			lost(fmt.Sprintf("It refers to %s, which is not loaded.", spell(f.Table)), "Load that table, too, or check references in the application.")
			continue
		}
		p := change.Foreign{Name: f.Name, Table: to.plan.Target, Match: notDefault(f.Match, "SIMPLE"), OnUpdate: notDefault(f.OnUpdate, "NO ACTION"), OnDelete: notDefault(f.OnDelete, "NO ACTION")}
		if t.uuidOf(f, to) != nil {
			j := slices.IndexFunc(t.foreign, func(c *column) bool { return c.of == f.Name })
			if j < 0 {
				continue // refused
			}
			p.Columns, p.References = []string{t.foreign[j].name}, []string{to.uuid.name}
			p.Match = ""
			t.plan.Indexes = append(t.plan.Indexes, change.IndexPlan{Name: cut(t.plan.Target.Name + "_" + p.Columns[0] + "_idx"), Keys: p.Columns})
			if strings.HasPrefix(f.OnDelete, "SET") || strings.HasPrefix(f.OnUpdate, "SET") {
				lost(fmt.Sprintf("Its action sets %s alone; the columns (%s) of the old foreign key keep their values then.", p.Columns[0], strings.Join(f.Columns, ", ")), "Clear them in the application, or leave them out of the target.")
			}
		} else if why := d.pair(t, f, to, &p); why != "" {
			lost(why, "Check references in the application, or make the foreign key by hand after the load.")
			continue
		}
		if len(f.DeleteColumns) > 0 {
			lost(fmt.Sprintf("ON DELETE %s of some of its columns only (%s) is not carried over: deleting what is referred to is refused instead.", f.OnDelete, strings.Join(f.DeleteColumns, ", ")), "Change it by hand after the load.")
			p.OnDelete = ""
		}
		if f.Deferrable && d.profile.Feature(profile.DeferrableForeignKeys).Has {
			p.Deferrable, p.Deferred = f.Deferrable, f.Deferred
		} else if f.Deferrable {
			lost("It is DEFERRABLE in the source; in the target it is checked at once.", "Change transactions that rely on it.")
		}
		if f.NotValid {
			d.about(t, Keep, KindOrphans, "", f.Name, "The source never validated this foreign key, or does not enforce it, so that rows may refer to nothing. The target validates it after the load.", "Look for such rows in the source before the snapshot; those that are left are listed by key, and the foreign key stays invalid.")
		}
		if len(to.plan.Filter) > 0 {
			d.about(t, Keep, KindOrphans, "", f.Name, fmt.Sprintf("The mapping's filter leaves rows of %s out, and rows that refer to them would refer to nothing.", spell(f.Table)), "Give this table a filter that leaves those rows out, too.")
		}
		t.plan.Foreign = append(t.plan.Foreign, p)
	}
}

// notDefault is "" for a word that is understood.
func notDefault(word, usual string) string {
	if word == usual {
		return ""
	}
	return word
}

// pair fills in the columns of a foreign key, each with the one that it refers
// to, or says why the target cannot have it.
func (d *decider) pair(t *table, f *catalog.ForeignKey, to *table, p *change.Foreign) string {
	for i := range f.Columns {
		a, b := t.target(f.Columns[i]), to.target(f.References[i])
		switch {
		case a == nil:
			return fmt.Sprintf("Its column %s is not in the target.", f.Columns[i])
		case b == nil:
			return fmt.Sprintf("The column %s of %s that it refers to is not in the target.", f.References[i], spell(f.Table))
		case a.as.Kind == change.AsUUID && b.as.Kind == change.AsUUID && a.as == b.as:
		case a.as.Kind == change.AsUUID || b.as.Kind == change.AsUUID, family(a.to) != family(b.to):
			return fmt.Sprintf("Its column %s becomes %s, and the column %s that it refers to becomes %s, which cannot be compared.", f.Columns[i], a.to, f.References[i], b.to)
		}
		p.Columns, p.References = append(p.Columns, a.name), append(p.References, b.name)
	}
	unique := sameSet(p.References, to.plan.Key) || slices.ContainsFunc(to.plan.Indexes, func(x change.IndexPlan) bool {
		return x.Unique && x.Where == "" && x.Expressions == nil && sameSet(x.Keys, p.References)
	})
	if !unique {
		return fmt.Sprintf("The columns (%s) of %s that it refers to are not unique in the target.", strings.Join(f.References, ", "), spell(f.Table))
	}
	return ""
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
