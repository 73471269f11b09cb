package assess_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"godwit/internal/assess"
	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/mapping"
	"godwit/internal/profile"
	"godwit/internal/snapshot"
	"godwit/internal/testdb"
)

func lookup(t testing.TB, name string) *profile.Profile {
	t.Helper()
	p, err := profile.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parseRules(t testing.TB, text string) *mapping.Tables {
	t.Helper()
	rules, err := mapping.ParseTables([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// exec runs SQL, several statements too.
func exec(t testing.TB, c *pgx.Conn, sql string) {
	t.Helper()
	if _, err := c.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%v\n%.2000s", err, sql)
	}
}

// readCatalog runs SQL as the administrator whom nobody is on Aurora, and reads
// what it made.
func readCatalog(t testing.TB, db *testdb.DB, source string) *catalog.Catalog {
	t.Helper()
	c := testdb.Connect(t, db.SuperuserDSN)
	exec(t, c, source)
	return catalogOf(t, c)
}

func catalogOf(t testing.TB, c *pgx.Conn) *catalog.Catalog {
	t.Helper()
	var all string
	if err := c.QueryRow(t.Context(), catalog.SQL()).Scan(&all); err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.Parse([]byte(all))
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func quote(names ...string) string { return pgx.Identifier(names).Sanitize() }

func quoteAll(names []string) string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = quote(n)
	}
	return strings.Join(list, ", ")
}

// createTable is a plan's table with its key and its checks.
func createTable(p *change.TablePlan) string {
	var parts []string
	for _, c := range p.Columns {
		s := quote(c.Name) + " " + c.Type
		if c.NotNull {
			s += " NOT NULL"
		}
		if c.Default != "" {
			s += " DEFAULT " + c.Default
		}
		if c.Identity != "" {
			s += " GENERATED " + c.Identity + " AS IDENTITY"
			if c.Start != 0 {
				s += fmt.Sprintf(" (START WITH %d)", c.Start)
			}
		}
		parts = append(parts, s)
	}
	if len(p.Key) > 0 {
		s := "PRIMARY KEY (" + quoteAll(p.Key) + ")"
		if p.KeyName != "" {
			s = "CONSTRAINT " + quote(p.KeyName) + " " + s
		}
		parts = append(parts, s)
	}
	for _, c := range p.Checks {
		parts = append(parts, "CONSTRAINT "+quote(c.Name)+" CHECK ("+c.Expression+")")
	}
	return "CREATE TABLE " + quote(p.Target.Schema, p.Target.Name) + " (" + strings.Join(parts, ", ") + ")"
}

func createIndex(p *change.TablePlan, x *change.IndexPlan) string {
	sql := "CREATE "
	if x.Unique {
		sql += "UNIQUE "
	}
	sql += "INDEX " + quote(x.Name) + " ON " + quote(p.Target.Schema, p.Target.Name)
	if x.Method != "" {
		sql += " USING " + x.Method
	}
	keys := make([]string, len(x.Keys))
	for i, name := range x.Keys {
		if keys[i] = quote(name); name == "" {
			keys[i] = "(" + x.Expressions[i] + ")"
		}
		if x.Order != nil && x.Order[i] != "" {
			keys[i] += " " + x.Order[i]
		}
	}
	sql += " (" + strings.Join(keys, ", ") + ")"
	if x.Include != nil {
		sql += " INCLUDE (" + quoteAll(x.Include) + ")"
	}
	if x.NullsNotDistinct {
		sql += " NULLS NOT DISTINCT"
	}
	if x.Where != "" {
		sql += " WHERE " + x.Where
	}
	return sql
}

func addForeign(p *change.TablePlan, f *change.Foreign) string {
	sql := "ALTER TABLE " + quote(p.Target.Schema, p.Target.Name) + " ADD CONSTRAINT " + quote(f.Name) + " FOREIGN KEY (" + quoteAll(f.Columns) + ") REFERENCES " +
		quote(f.Table.Schema, f.Table.Name) + " (" + quoteAll(f.References) + ")"
	if f.Match != "" {
		sql += " MATCH " + f.Match
	}
	if f.OnDelete != "" {
		sql += " ON DELETE " + f.OnDelete
	}
	if f.OnUpdate != "" {
		sql += " ON UPDATE " + f.OnUpdate
	}
	if f.Deferrable {
		sql += " DEFERRABLE"
	}
	if f.Deferred {
		sql += " INITIALLY DEFERRED"
	}
	return sql
}

// makeTables makes what plans say on a real PostgreSQL, so that every type,
// default, check and expression in them is one that a server takes.
func makeTables(t testing.TB, db *testdb.DB, plans []change.TablePlan) {
	t.Helper()
	c := testdb.Connect(t, db.SuperuserDSN)
	for i := range plans {
		exec(t, c, "CREATE SCHEMA IF NOT EXISTS "+quote(plans[i].Target.Schema))
		exec(t, c, createTable(&plans[i]))
	}
	for i := range plans {
		for j := range plans[i].Indexes {
			exec(t, c, createIndex(&plans[i], &plans[i].Indexes[j]))
		}
	}
	for i := range plans {
		for j := range plans[i].Foreign {
			exec(t, c, addForeign(&plans[i], &plans[i].Foreign[j]))
		}
	}
}

// encode prepares snapshot's encoder for plans, and the parts that an export makes
// of their sources, so that every conversion is one that it takes.
func encode(t testing.TB, plans []change.TablePlan) {
	t.Helper()
	kinds := map[string]snapshot.Kind{
		"smallint": snapshot.Int32, "integer": snapshot.Int32, "bigint": snapshot.Int64, "real": snapshot.Float, "double precision": snapshot.Double,
		"boolean": snapshot.Bool, "bytea": snapshot.Bytes,
	}
	for i := range plans {
		var columns []snapshot.Column
		seen := map[string]bool{}
		for _, c := range plans[i].Columns {
			for _, f := range c.From {
				if kind, ok := kinds[f.Type]; !seen[f.Name] {
					if !ok || f.Domain {
						kind = snapshot.Text
					}
					columns = append(columns, snapshot.Column{Name: f.Name, Kind: kind, Optional: true})
				}
				seen[f.Name] = true
			}
		}
		e, err := snapshot.NewEncoder(&plans[i], columns)
		if err != nil {
			t.Errorf("the encoder refuses the plan: %v", err)
		} else if got := e.Columns(); len(got) != len(plans[i].Columns) {
			t.Errorf("a line has the columns %q, and the table %d", got, len(plans[i].Columns))
		}
	}
}

// showPlan writes a plan for people who review it.
func showPlan(p *change.TablePlan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.%s -> %s.%s\n", p.Source.Schema, p.Source.Name, p.Target.Schema, p.Target.Name)
	for _, name := range p.Partitions {
		fmt.Fprintf(&b, "    of %s.%s\n", name.Schema, name.Name)
	}
	for _, c := range p.Columns {
		fmt.Fprintf(&b, "    %s %s", c.Name, c.Type)
		if c.NotNull {
			b.WriteString(" NOT NULL")
		}
		if c.Default != "" {
			b.WriteString(" DEFAULT " + c.Default)
		}
		if c.Identity != "" {
			fmt.Fprintf(&b, " %s FROM %d", c.Identity, c.Start)
		}
		if c.As.Kind == change.AsUUID {
			fmt.Fprintf(&b, " <- uuid of %s %s.%s (", c.As.Namespace, c.As.Of.Schema, c.As.Of.Name)
			for i, f := range c.From {
				if i > 0 {
					b.WriteString(", ")
				}
				b.WriteString(f.Name + " " + f.Type)
			}
			b.WriteString(")")
		} else if f := c.From[0]; c.As.Kind != change.AsIs || f.Name != c.Name || f.Type != c.Type {
			fmt.Fprintf(&b, " <- %s %s %s", c.As.Kind, f.Name, f.Type)
		}
		b.WriteString("\n")
	}
	if p.Key != nil {
		fmt.Fprintf(&b, "    primary key %s (%s)\n", p.KeyName, strings.Join(p.Key, ", "))
	}
	for i := range p.Indexes {
		kind := "    "
		if p.Indexes[i].Constraint {
			kind += "(constraint) "
		}
		b.WriteString(kind + createIndex(p, &p.Indexes[i]) + "\n")
	}
	for i := range p.Foreign {
		_, sql, _ := strings.Cut(addForeign(p, &p.Foreign[i]), " ADD ")
		b.WriteString("    " + sql + "\n")
	}
	for _, c := range p.Checks {
		fmt.Fprintf(&b, "    check %s %s\n", c.Name, c.Expression)
	}
	for _, s := range p.Sizes {
		fmt.Fprintf(&b, "    size %d of %s (%s)\n", s.Bytes, s.What, strings.Join(s.Columns, ", "))
	}
	for _, f := range p.Filter {
		fmt.Fprintf(&b, "    filter %+v\n", f)
	}
	return b.String()
}

func showFinding(f assess.Finding) string {
	where := "database"
	if f.Table != (change.TableName{}) {
		where = f.Table.Schema + "." + f.Table.Name
	}
	if f.Column != "" {
		where += " column " + f.Column
	}
	if f.Name != "" {
		where += " [" + f.Name + "]"
	}
	s := fmt.Sprintf("%s %s : %s\n    why: %s\n", f.Verdict, f.Kind, where, f.Why)
	if f.Do != "" {
		s += "    do: " + f.Do + "\n"
	}
	return s
}
