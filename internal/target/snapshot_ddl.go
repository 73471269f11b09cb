package target

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"godwit/internal/change"
)

// A tableTask is a task that follows from the plans.
type tableTask struct {
	name string
	args func() (any, error)
}

// tableArgs are the arguments of godwit.run_tables.
type tableArgs struct {
	DDL        []string        `json:"ddl,omitempty"`
	Relation   string          `json:"relation,omitempty"`
	Identities []tableIdentity `json:"identities,omitempty"`
	Validate   string          `json:"validate,omitempty"`
	Orphans    string          `json:"orphans,omitempty"`
}

type tableIdentity struct {
	Name  string `json:"name"`
	Start int64  `json:"start"`
}

// tableTaskName is the name of a task of one table.
func tableTaskName(t change.TableName) string { return Quote(t.Schema, t.Name) }

// tableWork lists what a phase does, in the order of the plans.
func tableWork(l *change.TableLoad, plans []change.TablePlan, phase string) ([]tableTask, error) {
	var list []tableTask
	add := func(name string, args func() (any, error)) { list = append(list, tableTask{name, args}) }
	d := tableDDL{l}
	switch phase {
	case PhaseTables:
		for i := range plans {
			add(tableTaskName(plans[i].Target), func() (any, error) { return one(d.create(&plans[i])) })
		}
	case PhaseKeys:
		for i := range plans {
			add(tableTaskName(plans[i].Target), func() (any, error) { return d.keys(&plans[i]) })
		}
	case PhaseIndexes:
		for i := range plans {
			for j, x := range plans[i].Indexes {
				if !x.Constraint {
					add(tableTaskName(plans[i].Target)+" "+Quote(x.Name), func() (any, error) { return one(d.index(plans[i].Target, &plans[i].Indexes[j])) })
				}
			}
		}
	case PhaseForeign:
		if slices.ContainsFunc(plans, func(p change.TablePlan) bool { return len(p.Foreign) > 0 }) {
			add("load", func() (any, error) { return d.foreign(plans) })
		}
	case PhaseValidate:
		for i := range plans {
			for j, f := range plans[i].Foreign {
				add(ForeignTask(plans[i].Target, f.Name), func() (any, error) { return d.validate(&plans[i], &plans[i].Foreign[j]) })
			}
		}
	case PhaseDigests:
		for i := range plans {
			add(tableTaskName(plans[i].Target), func() (any, error) { return tableArgs{}, nil })
		}
	case PhaseVisible:
		add("load", func() (any, error) { return tableArgs{}, nil })
	default:
		return nil, fmt.Errorf("no phase is named %q", phase)
	}
	return list, nil
}

// ForeignTask is the name of the task of PhaseValidate of a foreign key.
func ForeignTask(t change.TableName, name string) string { return tableTaskName(t) + " " + Quote(name) }

func one(sql string, err error) (any, error) { return tableArgs{DDL: []string{sql}}, err }

// tableDDL renders statements over the hidden tables of a load. Expressions are
// those of the plan; names are quoted.
type tableDDL struct{ load *change.TableLoad }

func (d tableDDL) hidden(t change.TableName) string { return Quote(d.load.Stage(t.Schema), t.Name) }

// A type as format_type spells it, of what PostgreSQL itself has: what a plan may
// name. "bit" in quotes is bit of any length.
var typeName = regexp.MustCompile(`^([a-z][a-z0-9_ ]*|"bit")(\([0-9]+(,-?[0-9]+)?\))?[a-z ]*(\[\])*$`)

// create renders a table without what is built behind its rows. Where an identity
// goes on is set behind them, too.
func (d tableDDL) create(p *change.TablePlan) (string, error) {
	var parts []string
	for _, c := range p.Columns {
		if !typeName.MatchString(c.Type) {
			return "", fmt.Errorf("column %s: %q is no type", c.Name, c.Type)
		}
		part := Quote(c.Name) + " " + c.Type
		switch c.Identity {
		case "":
			if c.Default != "" {
				part += " DEFAULT " + c.Default
			}
		case "ALWAYS", "BY DEFAULT":
			part += " GENERATED " + c.Identity + " AS IDENTITY"
			if c.Cache > 1 {
				part += fmt.Sprintf(" (CACHE %d)", c.Cache)
			}
		default:
			return "", fmt.Errorf("column %s: %q is no kind of identity", c.Name, c.Identity)
		}
		if c.NotNull {
			part += " NOT NULL"
		}
		parts = append(parts, part)
	}
	for _, c := range p.Checks {
		parts = append(parts, named(c.Name)+"CHECK ("+c.Expression+")")
	}
	return "CREATE TABLE " + d.hidden(p.Target) + " (" + strings.Join(parts, ", ") + ")", nil
}

// named begins a constraint; one without a name is named by the server.
func named(name string) string {
	if name == "" {
		return ""
	}
	return "CONSTRAINT " + Quote(name) + " "
}

// keys renders what makes rows of a table unique, has its identities go on behind
// them, and takes the statistics that foreign keys and digests are planned with.
func (d tableDDL) keys(p *change.TablePlan) (any, error) {
	args := tableArgs{Relation: d.hidden(p.Target)}
	alter := "ALTER TABLE " + args.Relation + " ADD "
	if len(p.Key) > 0 {
		args.DDL = append(args.DDL, alter+named(p.KeyName)+"PRIMARY KEY ("+quoteAll(p.Key)+")")
	}
	for _, x := range p.Indexes {
		if !x.Constraint {
			continue
		}
		if !x.Unique || x.Expressions != nil || x.Order != nil || x.Where != "" || x.Method != "" {
			return nil, fmt.Errorf("unique constraint %s is not of plain columns", x.Name)
		}
		sql := alter + named(x.Name) + "UNIQUE"
		if x.NullsNotDistinct {
			sql += " NULLS NOT DISTINCT"
		}
		sql += " (" + quoteAll(x.Keys) + ")"
		if len(x.Include) > 0 {
			sql += " INCLUDE (" + quoteAll(x.Include) + ")"
		}
		args.DDL = append(args.DDL, sql)
	}
	args.DDL = append(args.DDL, "ANALYZE "+args.Relation)
	args.Identities = identities(p)
	return args, nil
}

func identities(p *change.TablePlan) (list []tableIdentity) {
	for _, c := range p.Columns {
		if c.Identity != "" {
			list = append(list, tableIdentity{c.Name, c.Start})
		}
	}
	return list
}

// A method of an index, as pg_am names it.
var methodName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// index renders an index that no constraint owns.
func (d tableDDL) index(t change.TableName, x *change.IndexPlan) (string, error) {
	var b strings.Builder
	b.WriteString("CREATE ")
	if x.Unique {
		b.WriteString("UNIQUE ")
	}
	b.WriteString("INDEX " + Quote(x.Name) + " ON " + d.hidden(t))
	if x.Method != "" {
		if !methodName.MatchString(x.Method) {
			return "", fmt.Errorf("%q is no method of an index", x.Method)
		}
		b.WriteString(" USING " + x.Method)
	}
	b.WriteString(" (")
	for i, name := range x.Keys {
		if i > 0 {
			b.WriteString(", ")
		}
		switch {
		case name != "":
			b.WriteString(Quote(name))
		case i < len(x.Expressions) && x.Expressions[i] != "":
			b.WriteString("(" + x.Expressions[i] + ")")
		default:
			return "", fmt.Errorf("its key %d is neither a column nor an expression", i+1)
		}
		if i < len(x.Order) && x.Order[i] != "" {
			b.WriteString(" " + x.Order[i])
		}
	}
	b.WriteString(")")
	if len(x.Include) > 0 {
		b.WriteString(" INCLUDE (" + quoteAll(x.Include) + ")")
	}
	if x.NullsNotDistinct {
		b.WriteString(" NULLS NOT DISTINCT")
	}
	if x.Where != "" {
		b.WriteString(" WHERE " + x.Where)
	}
	return b.String(), nil
}

// foreign renders all foreign keys of a load, in one transaction: each locks two
// tables, and two transactions would lock those of a cycle the wrong way round.
// They do not look at the rows, which takes no time.
func (d tableDDL) foreign(plans []change.TablePlan) (any, error) {
	var args tableArgs
	for i := range plans {
		for j := range plans[i].Foreign {
			f := &plans[i].Foreign[j]
			if !slices.ContainsFunc(plans, func(p change.TablePlan) bool { return p.Target == f.Table }) {
				return nil, fmt.Errorf("foreign key %s of table %s.%s refers to table %s.%s, which is not of the load", f.Name, plans[i].Target.Schema, plans[i].Target.Name, f.Table.Schema, f.Table.Name)
			}
			sql, err := d.addForeign(plans[i].Target, f)
			if err != nil {
				return nil, fmt.Errorf("foreign key %s of table %s.%s: %w", f.Name, plans[i].Target.Schema, plans[i].Target.Name, err)
			}
			args.DDL = append(args.DDL, sql)
		}
	}
	return args, nil
}

func (d tableDDL) addForeign(t change.TableName, f *change.Foreign) (string, error) {
	if len(f.Columns) == 0 || len(f.Columns) != len(f.References) {
		return "", errors.New("it has no columns, or refers to more or fewer than it has")
	}
	sql := "ALTER TABLE " + d.hidden(t) + " ADD " + named(f.Name) + "FOREIGN KEY (" + quoteAll(f.Columns) + ") REFERENCES " + d.hidden(f.Table) + " (" + quoteAll(f.References) + ")"
	switch f.Match {
	case "", "SIMPLE":
	case "FULL":
		sql += " MATCH FULL"
	default:
		return "", fmt.Errorf("PostgreSQL has no MATCH %s", f.Match)
	}
	for _, x := range [][2]string{{"DELETE", f.OnDelete}, {"UPDATE", f.OnUpdate}} {
		switch x[1] {
		case "":
		case "NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT":
			sql += " ON " + x[0] + " " + x[1]
		default:
			return "", fmt.Errorf("%q is no action of a foreign key", x[1])
		}
	}
	if f.Deferrable {
		sql += " DEFERRABLE"
		if f.Deferred {
			sql += " INITIALLY DEFERRED"
		}
	}
	return sql + " NOT VALID", nil
}

const (
	orphansListed = 1000 // of a foreign key
	orphanText    = 256  // characters of a key's column
)

// validate renders how the rows of a table are held against a foreign key, and
// what lists those that refer to nothing.
func (d tableDDL) validate(p *change.TablePlan, f *change.Foreign) (any, error) {
	show := p.Key
	if len(show) == 0 {
		show = f.Columns
	}
	var keys, all, some, same []string
	for _, name := range show {
		keys = append(keys, fmt.Sprintf("left(c.%s::text, %d)", Quote(name), orphanText))
	}
	for i, name := range f.Columns {
		c := "c." + Quote(name)
		all = append(all, c+" IS NOT NULL")
		some = append(some, c+" IS NULL")
		same = append(same, "p."+Quote(f.References[i])+" = "+c)
	}
	orphan := fmt.Sprintf("%s AND NOT EXISTS (SELECT FROM %s p WHERE %s)", strings.Join(all, " AND "), d.hidden(f.Table), strings.Join(same, " AND "))
	if f.Match == "FULL" && len(f.Columns) > 1 {
		// NULL in some of its columns, but not in all of them.
		orphan = fmt.Sprintf("(%s) OR ((%s) AND NOT (%s))", orphan, strings.Join(some, " OR "), strings.Join(some, " AND "))
	}
	return tableArgs{
		Validate: "ALTER TABLE " + d.hidden(p.Target) + " VALIDATE CONSTRAINT " + Quote(f.Name),
		Orphans:  fmt.Sprintf("SELECT jsonb_build_array(%s) AS keys FROM %s c WHERE %s ORDER BY 1 LIMIT %d", strings.Join(keys, ", "), d.hidden(p.Target), orphan, orphansListed),
	}, nil
}
