package assess

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"godwit/internal/change"
	"godwit/internal/profile"
)

// maxName is the greatest length of a name in PostgreSQL, in bytes.
const maxName = 63

// cut shortens a name to what PostgreSQL takes, between characters.
func cut(name string) string {
	if len(name) <= maxName {
		return name
	}
	n := maxName
	for !utf8.RuneStart(name[n]) {
		n--
	}
	return name[:n]
}

// numbered returns a name with a number behind it that PostgreSQL takes.
func numbered(name string, n int) string {
	suffix := fmt.Sprintf("_%d", n)
	for len(name)+len(suffix) > maxName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name + suffix
}

// checkRules refuses rules about what is not there.
func (d *decider) checkRules() {
	for i := range d.rules.Rules {
		r := &d.rules.Rules[i]
		t := d.byName[r.Source]
		if t == nil {
			if d.in.Catalog != nil {
				if c := d.in.Catalog.Table(r.Source); c != nil && c.PartitionOf != nil {
					d.checkPartitionRule(r.Source, r.Skip)
					continue
				}
			}
			known := d.in.Catalog != nil && d.in.Catalog.Table(r.Source) != nil ||
				slices.ContainsFunc(d.in.Export, func(e Table) bool { return e.Name == r.Source })
			if !known {
				d.add(Finding{Table: r.Source, Kind: KindRule, Verdict: Refuse, Why: "The mapping names this table, and the source does not have it.", Do: "Mend the name, upper and lower case told apart, or leave the table out of the mapping."})
			}
			continue
		}
		for _, c := range r.Columns {
			if t.column(c.Source) == nil && !c.Skip {
				d.about(t, Refuse, KindRule, c.Source, "", "The mapping names this column, and the table does not have it.", "Mend the name, upper and lower case told apart.")
			}
		}
	}
}

// placeTables names the target's tables, and their columns by the rules.
func (d *decider) placeTables() {
	schemas := map[string]bool{}
	taken := map[change.TableName]change.TableName{}
	for _, t := range d.tables {
		target := change.TableName{Schema: d.targetSchema(t), Name: t.rule.Target}
		if target.Name == "" {
			target.Name = t.source.Name
		}
		t.plan.Source, t.plan.Target = t.source, target
		if other, ok := taken[target]; ok {
			d.about(t, Refuse, KindName, "", spell(target), fmt.Sprintf("It and %s would both be %s in the target.", spell(other), spell(target)), `Give one of them a "schema" or a "target" in the mapping.`)
		}
		taken[target] = t.source
		schemas[target.Schema] = true
		switch lower := strings.ToLower(target.Schema); {
		case strings.HasPrefix(lower, "pg_"), lower == "information_schema", lower == "godwit":
			d.about(t, Refuse, KindName, "", target.Schema, fmt.Sprintf("The schema %s of the target belongs to PostgreSQL or to the bookkeeping of loads.", target.Schema), `Give the table another "schema" in the mapping.`)
		}
		for _, c := range t.columns {
			c.name = c.source.Name
			if c.rule.Name != "" {
				c.name = c.rule.Name
			}
		}
	}
	// One schema is the bookkeeping's.
	if limit := d.profile.Limit(profile.Schemas); limit.Value > 0 && int64(len(schemas))+1 > limit.Value {
		d.add(Finding{
			Kind: KindSchemas, Verdict: Refuse, Why: fmt.Sprintf("The tables come into %d schemas, the bookkeeping of loads into one more, and the target has at most %d%s.", len(schemas), limit.Value, by(limit.Fact)),
			Do: `Bring several of them into one: "schemas" in the mapping.`,
		})
	}
	if limit := d.profile.Limit(profile.Tables); limit.Value > 0 && int64(len(d.tables)) > limit.Value {
		d.add(Finding{Kind: KindTables, Verdict: Refuse, Why: fmt.Sprintf("There are %d tables, and the target has at most %d%s.", len(d.tables), limit.Value, by(limit.Fact)), Do: `Leave some of them out: "skip": true.`})
	}
}

// targetSchema returns the schema that a table comes into.
func (d *decider) targetSchema(t *table) string {
	schema := t.rule.Schema
	if schema == "" {
		schema = d.rules.Schema
	}
	if schema == "" {
		schema = d.rules.Schemas[t.source.Schema]
	}
	if schema == "" {
		schema = t.source.Schema
	}
	if schema != publicSchema || d.profile.Feature(profile.PublicSchema).Has {
		return schema
	}
	schema = d.insteadOfPublic()
	if !slices.ContainsFunc(d.findings, func(f Finding) bool { return f.Kind == KindSchemas && f.Name == publicSchema }) {
		d.add(Finding{
			Name: publicSchema, Kind: KindSchemas, Verdict: Convert,
			Why: fmt.Sprintf("Tables of schema public come into schema %s, because the target's public is its administrator's alone%s.", schema, by(d.profile.Feature(profile.PublicSchema).Fact)),
			Do:  `Choose another in the mapping: "schemas": {"public": "…"}.`,
		})
	}
	return schema
}

const publicSchema = "public"

// insteadOfPublic is the database's name, as a schema.
func (d *decider) insteadOfPublic() string {
	switch lower := strings.ToLower(d.database); {
	case lower == publicSchema, lower == "godwit", lower == "information_schema", strings.HasPrefix(lower, "pg_"):
		return "app"
	}
	return d.database
}

// nameIndexes gives indexes names of their own: they share one name space with
// the tables of their schema, and tables of several schemas may come into one.
func (d *decider) nameIndexes() {
	taken := map[change.TableName]bool{}
	for _, t := range d.tables {
		taken[t.plan.Target] = true
	}
	free := func(schema, name string) string {
		wanted := cut(name)
		name = wanted
		for n := 2; taken[change.TableName{Schema: schema, Name: name}]; n++ {
			name = numbered(wanted, n)
		}
		taken[change.TableName{Schema: schema, Name: name}] = true
		return name
	}
	for _, t := range d.tables {
		if t.plan.KeyName != "" {
			t.plan.KeyName = free(t.plan.Target.Schema, t.plan.KeyName)
		}
		for i := range t.plan.Indexes {
			t.plan.Indexes[i].Name = free(t.plan.Target.Schema, t.plan.Indexes[i].Name)
		}
	}
}
