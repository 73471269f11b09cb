package assess

import (
	"fmt"
	"strings"

	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/profile"
)

// planIndexes plans the indexes that no constraint owns.
func (d *decider) planIndexes(t *table) {
	if t.catalog == nil {
		return
	}
	for i := range t.catalog.Indexes {
		x := &t.catalog.Indexes[i]
		p, why := d.planIndex(t, x)
		if why == "" {
			t.plan.Indexes = append(t.plan.Indexes, p)
			continue
		}
		kind, do := KindIndex, "Make another index after the load if queries need it."
		if x.Unique {
			kind, do = KindUnique, "Keep the values unique in the application."
		}
		d.about(t, Lost, kind, "", x.Name, why, do)
	}
}

// planIndex plans an index, or says why the target cannot have it.
func (d *decider) planIndex(t *table, x *catalog.Index) (p change.IndexPlan, why string) {
	p = change.IndexPlan{Name: x.Name, Unique: x.Unique, NullsNotDistinct: x.NullsNotDistinct}
	if x.Invalid {
		return p, "It is invalid in the source."
	}
	if why := d.indexNeeds(x); why != "" {
		return p, why
	}
	if feature := d.profile.Feature(profile.IndexMethods); x.Method != "btree" {
		switch {
		case feature.Has:
			p.Method = x.Method
		case x.Method == "hash":
			d.about(t, Convert, KindIndex, "", x.Name, "It is a hash index and becomes a btree index, which the target has alone"+by(feature.Fact)+".", "")
		default:
			return p, fmt.Sprintf("Its method is %s, and the target has btree alone%s.", x.Method, by(feature.Fact))
		}
	}
	if limit := d.profile.Limit(profile.KeyColumns); int64(len(x.Keys)) > limit.Value {
		return p, fmt.Sprintf("It has %d keys, and the target takes %d%s.", len(x.Keys), limit.Value, by(limit.Fact))
	}
	order := make([]string, len(x.Keys))
	ordered := false
	for i := range x.Keys {
		if why := d.indexKey(t, x, i, &p); why != "" {
			return p, why
		}
		order[i] = d.indexOrder(t, x, i)
		ordered = ordered || order[i] != ""
	}
	if ordered {
		p.Order = order
	}
	include, ok := d.included(t, x.Include)
	if !ok {
		d.about(t, Lost, KindIndex, "", x.Name, "The columns that it includes beside its keys are left out, because one of them is not in the target.", "")
		include = nil
	}
	p.Include = include
	if x.Where == nil {
		return p, ""
	}
	if feature := d.profile.Feature(profile.PartialIndexes); !feature.Has {
		return p, "It is partial, which the target's cannot be" + by(feature.Fact) + "."
	}
	if p.Where = t.rewrite(x.Where); p.Where == "" {
		return p, fmt.Sprintf("Its condition %s reads a column that the target does not have with these values.", x.Where.SQL)
	}
	return p, ""
}

// indexNeeds says what an index needs that the target does not have.
func (d *decider) indexNeeds(x *catalog.Index) string {
	var missing []string
	for _, use := range x.Uses {
		// Collations that the system brought are in every PostgreSQL.
		if strings.HasPrefix(use, "collation pg_catalog.") {
			continue
		}
		missing = append(missing, use)
	}
	if len(missing) > 0 {
		return "It needs what the load does not make: " + strings.Join(missing, ", ") + "."
	}
	return ""
}

// indexKey plans one key of an index, or says why the target cannot have it.
func (d *decider) indexKey(t *table, x *catalog.Index, i int, p *change.IndexPlan) string {
	key := &x.Keys[i]
	if key.Expression == nil {
		c := t.target(key.Column)
		switch {
		case c == nil:
			return fmt.Sprintf("Its column %s is not in the target.", key.Column)
		case p.Method == "" && !d.mayIndex(c):
			return fmt.Sprintf("Its column %s is of type %s, which the target does not index%s.", key.Column, c.to, by(d.typeFact(c.to)))
		case p.Method != "" && c.to != c.typ.Name:
			return fmt.Sprintf("Its column %s becomes %s, for which its method %s may have no operators.", key.Column, c.to, p.Method)
		case key.OpClass != "" && c.to != c.typ.Name:
			return fmt.Sprintf("Its column %s becomes %s, to which the operator class %s does not belong.", key.Column, c.to, key.OpClass)
		}
		p.Keys = append(p.Keys, c.name)
		if p.Expressions != nil {
			p.Expressions = append(p.Expressions, "")
		}
		return ""
	}
	if feature := d.profile.Feature(profile.ExpressionIndexes); !feature.Has {
		return "One of its keys is an expression, which the target's cannot be" + by(feature.Fact) + "."
	}
	sql := t.rewrite(key.Expression)
	if sql == "" {
		return fmt.Sprintf("Its expression %s reads a column that the target does not have with these values.", key.Expression.SQL)
	}
	if p.Expressions == nil {
		p.Expressions = make([]string, len(p.Keys), len(x.Keys))
	}
	p.Keys, p.Expressions = append(p.Keys, ""), append(p.Expressions, sql)
	return ""
}

// indexOrder returns what stands behind a key: collation, operator class, order.
// Those that the target does not have are left out by name; the index then serves
// other queries, or the same ones more slowly.
func (d *decider) indexOrder(t *table, x *catalog.Index, i int) string {
	key := &x.Keys[i]
	var parts []string
	lost := func(what, name string, feature profile.Feature) {
		d.about(t, Convert, KindIndex, "", x.Name, fmt.Sprintf("Its key %d has the %s %s, which the target's indexes do not have%s; the index is made without it.", i+1, what, name, by(feature.Fact)), "Look at the plans of queries that rely on it.")
	}
	classes := d.profile.Feature(profile.IndexClasses)
	if key.Collation != "" {
		if classes.Has && d.profile.Feature(profile.Collations).Has {
			parts = append(parts, "COLLATE "+key.Collation)
		} else {
			lost("collation", key.Collation, classes)
		}
	}
	if key.OpClass != "" {
		if classes.Has {
			parts = append(parts, key.OpClass)
		} else {
			lost("operator class", key.OpClass, classes)
		}
	}
	switch order := d.profile.Feature(profile.IndexOrder); {
	case key.Order == "":
	case order.Has || key.Order == "NULLS FIRST":
		parts = append(parts, key.Order)
	default:
		lost("order", key.Order, order)
	}
	return strings.Join(parts, " ")
}
