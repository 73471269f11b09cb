package assess_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"godwit/internal/assess"
	"godwit/internal/catalog"
	"godwit/internal/change"
	"godwit/internal/testdb"
)

// A web is tables with foreign keys in all shapes: to keys of one column and of
// several, to the table itself, in circles, by the key itself, in another order,
// to UNIQUE columns, deferrable, through tables whose key is another's, by columns
// that refer to several tables.
type web struct {
	random *rand.Rand
	sql    strings.Builder
	keys   [][]string // of each table: its key's columns
	types  [][]string
	tables int
}

var webTypes = []string{"integer", "bigint", "numeric", "text", "character(6)", "date", "timestamp with time zone", "uuid", "app.mood"}

func webName(i int) string { return fmt.Sprintf(`app."t %d"`, i) }

// makeWeb makes tables 0 to n-1. Each refers to earlier ones, and circles are
// closed behind them.
func makeWeb(seed uint64, n int) *web {
	w := &web{random: rand.New(rand.NewPCG(seed, 1)), tables: n}
	w.sql.WriteString("CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6', 'm7');\n")
	for i := range n {
		var columns, constraints, key, types []string
		add := func(name, typ string) { columns = append(columns, fmt.Sprintf("%q %s", name, typ)) }
		groups := map[string][][2]string{} // columns of one reference, with their types
		refer := func(to int, prefix string, shuffle bool) []string {
			mine := w.shared(groups, w.types[to])
			if mine == nil {
				for j, k := range w.keys[to] {
					mine = append(mine, prefix+k)
					add(prefix+k, w.types[to][j])
					groups[prefix] = append(groups[prefix], [2]string{prefix + k, w.types[to][j]})
				}
			}
			order := w.random.Perm(len(mine))
			if !shuffle {
				slices.Sort(order)
			}
			a, b := make([]string, len(order)), make([]string, len(order))
			for x, o := range order {
				a[x], b[x] = mine[o], w.keys[to][o]
			}
			options := []string{"", " ON DELETE CASCADE", " DEFERRABLE INITIALLY DEFERRED", " MATCH FULL"}[w.random.IntN(4)]
			constraints = append(constraints, fmt.Sprintf("FOREIGN KEY (%s) REFERENCES %s (%s)%s", quoteAll(a), webName(to), quoteAll(b), options))
			return mine
		}
		switch kind := w.random.IntN(4); {
		case i > 0 && kind == 0: // the key is another's
			to := w.random.IntN(i)
			key = refer(to, "k_", w.random.IntN(2) == 0)
			types = slices.Clone(w.types[to])
		case i > 0 && kind == 1: // the key has another's in it
			to := w.random.IntN(i)
			key = append(refer(to, "p_", true), "n")
			types = append(slices.Clone(w.types[to]), "integer")
			add("n", "integer")
		default:
			for j := range 1 + w.random.IntN(2) {
				typ := webTypes[w.random.IntN(len(webTypes))]
				key, types = append(key, fmt.Sprintf("id%d", j)), append(types, typ)
				add(fmt.Sprintf("id%d", j), typ)
			}
		}
		if len(key) > 4 { // webs of keys in keys grow: begin anew
			clear(groups)
			columns, constraints, key, types = []string{`"id" bigint`}, nil, []string{"id"}, []string{"bigint"}
		}
		w.keys, w.types = append(w.keys, key), append(w.types, types)
		for j := range w.random.IntN(3) {
			if i > 0 {
				refer(w.random.IntN(i), fmt.Sprintf("r%d_", j), true)
			}
		}
		refer(i, "self_", false)
		add("u", "text UNIQUE")
		add("v", "text REFERENCES "+webName(i)+" (u)")
		fmt.Fprintf(&w.sql, "CREATE TABLE %s (%s, PRIMARY KEY (%s), %s);\n", webName(i), strings.Join(columns, ", "), quoteAll(key), strings.Join(constraints, ", "))
	}
	for range n / 4 { // back to later ones: circles
		from := w.random.IntN(n)
		to := from + w.random.IntN(n-from)
		var mine []string
		prefix := fmt.Sprintf("c%d_", w.random.IntN(1e6))
		for j, k := range w.keys[to] {
			name := prefix + k
			mine = append(mine, name)
			fmt.Fprintf(&w.sql, "ALTER TABLE %s ADD %q %s;\n", webName(from), name, w.types[to][j])
		}
		fmt.Fprintf(&w.sql, "ALTER TABLE %s ADD FOREIGN KEY (%s) REFERENCES %s (%s) DEFERRABLE;\n", webName(from), quoteAll(mine), webName(to), quoteAll(w.keys[to]))
	}
	return w
}

// shared returns columns of an earlier reference that a new one may have, too, so
// that one column refers to several tables; nil is none. They are of one reference
// alone, whose columns all refer to one row.
func (w *web) shared(groups map[string][][2]string, types []string) []string {
	if w.random.IntN(3) > 0 {
		return nil
	}
	for _, prefix := range slices.Sorted(maps.Keys(groups)) {
		var names []string
		for _, typ := range types {
			i := slices.IndexFunc(groups[prefix], func(c [2]string) bool { return c[1] == typ && !slices.Contains(names, c[0]) })
			if i < 0 {
				break
			}
			names = append(names, groups[prefix][i][0])
		}
		if len(names) == len(types) {
			return names
		}
	}
	return nil
}

// some is rules that make the keys of every third table UUIDs.
func (w *web) some() string {
	var rules []string
	for i := 0; i < w.tables; i += 3 {
		rules = append(rules, fmt.Sprintf(`"app.t %d":{"key":"uuid"}`, i))
	}
	return strings.Join(rules, ",")
}

// fill puts rows into the web, without triggers, whose references all exist: every
// table has the rows 0 to 7, and a reference is to one of them, or NULL.
func (w *web) fill(t *testing.T, c *pgx.Conn, cat *catalog.Catalog) {
	t.Helper()
	var sql strings.Builder
	sql.WriteString("SET session_replication_role = replica; SET TimeZone = 'UTC';\n")
	for i := range w.tables {
		table := cat.Table(change.TableName{Schema: "app", Name: fmt.Sprintf("t %d", i)})
		for row := range 8 {
			// All columns of one reference refer to one row.
			referred := map[string]int{}
			var values []string
			for _, column := range table.Columns {
				name, _, _ := strings.Cut(column.Name, "_")
				n, ok := referred[name]
				if !ok {
					n = w.random.IntN(9)
					referred[name] = n
				}
				switch {
				case slices.Contains(w.keys[i], column.Name), column.Name == "u":
					n = row
				case n == 8:
					values = append(values, "NULL")
					continue
				}
				values = append(values, w.value(column.Type.Name, n))
			}
			fmt.Fprintf(&sql, "INSERT INTO %s VALUES (%s);\n", webName(i), strings.Join(values, ", "))
		}
	}
	exec(t, c, sql.String()+"RESET session_replication_role")
}

// value is the n-th value of a type; one numeric has several spellings.
func (w *web) value(typ string, n int) string {
	switch typ {
	case "numeric":
		return fmt.Sprintf("%d.5%s", n, strings.Repeat("0", w.random.IntN(3)))
	case "text", "character(6)":
		return fmt.Sprintf("'x%d'", n)
	case "date":
		return fmt.Sprintf("'2020-01-0%d'", n+1)
	case "timestamp with time zone":
		return fmt.Sprintf("'2020-01-0%d 00:00:00+0%d'", n+1, n%3)
	case "uuid":
		return fmt.Sprintf("'00000000-0000-0000-0000-00000000000%d'", n)
	case "app.mood":
		return fmt.Sprintf("'m%d'", n)
	}
	return fmt.Sprint(n)
}

// A web of 60 tables, filled and then brought over by the plans alone: each column
// is made by the conversion that its plan says, of its own row. All foreign keys
// hold afterwards, so that every column that refers to a key and the key itself
// became the same; and as many references are there as in the source.
func TestTheWholeWebOfForeignKeysFollowsItsKeys(t *testing.T) {
	for i, target := range targets {
		for _, seed := range []uint64{uint64(i), uint64(i) + 10} {
			t.Run(fmt.Sprintf("%s seed %d", target, seed), func(t *testing.T) {
				t.Parallel()
				db := testdb.New(t)
				c := testdb.Connect(t, db.SuperuserDSN)
				w := makeWeb(seed, 60)
				exec(t, c, w.sql.String())
				cat := catalogOf(t, c)
				w.fill(t, c, cat)
				foreign := 0
				for _, table := range cat.Tables {
					foreign += len(table.Foreign)
				}
				rules := `{"version":1,"from":"postgresql","schema":"to","keys":"uuid","namespace":"web"}`
				if seed >= 10 { // some keys only, and what foreign keys make of the others
					rules = fmt.Sprintf(`{"version":1,"from":"postgresql","schema":"to","namespace":"web","tables":{%s}}`, w.some())
				}
				d := decide(t, target, cat, rules)
				if len(d.Refused()) > 0 {
					t.Fatalf("got refused: %+v", d.Refused())
				}
				var sql strings.Builder
				sql.WriteString(`CREATE SCHEMA "to";`)
				planned, uuids := 0, 0
				for i := range d.Plans {
					p := &d.Plans[i]
					planned += len(p.Foreign)
					for _, x := range p.Columns {
						if x.As.Kind == change.AsUUID {
							uuids++
						}
					}
					sql.WriteString(createTable(p) + ";\n" + copyTable(p) + ";\n")
					for j := range p.Indexes {
						sql.WriteString(createIndex(p, &p.Indexes[j]) + ";\n")
					}
				}
				if planned != foreign || foreign < 150 {
					t.Errorf("got %d foreign keys of the source's %d", planned, foreign)
				}
				for i := range d.Plans {
					for j := range d.Plans[i].Foreign {
						sql.WriteString(addForeign(&d.Plans[i], &d.Plans[i].Foreign[j]) + ";\n") // which validates it
					}
				}
				exec(t, c, sql.String())
				sameReferences(t, c, cat, d.Plans)
				t.Logf("%d foreign keys, %d columns of UUIDs", foreign, uuids)
			})
		}
	}
}

// copyTable is the load of a table as its plan says, by the server.
func copyTable(p *change.TablePlan) string {
	var names, values []string
	for i := range p.Columns {
		c := &p.Columns[i]
		names = append(names, quote(c.Name))
		if value := assess.ColumnSQL(c); value != "" {
			values = append(values, value)
			continue
		}
		values = append(values, quote(c.From[0].Name)+"::text::"+c.Type)
	}
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s", quote(p.Target.Schema, p.Target.Name), strings.Join(names, ", "), strings.Join(values, ", "), quote(p.Source.Schema, p.Source.Name))
}

// sameReferences compares how many rows join over each foreign key, in the source
// and in the target.
func sameReferences(t *testing.T, c *pgx.Conn, cat *catalog.Catalog, plans []change.TablePlan) {
	t.Helper()
	count := func(from, to change.TableName, columns, references []string) string {
		var on []string
		for i := range columns {
			on = append(on, "a."+quote(columns[i])+" = b."+quote(references[i]))
		}
		return fmt.Sprintf("(SELECT count(*) FROM %s a JOIN %s b ON %s)", quote(from.Schema, from.Name), quote(to.Schema, to.Name), strings.Join(on, " AND "))
	}
	var pairs []string
	for _, p := range plans {
		for _, old := range cat.Table(p.Source).Foreign {
			for _, f := range p.Foreign {
				if f.Name == old.Name {
					pairs = append(pairs, fmt.Sprintf("SELECT '%s', %s, %s", f.Name, count(p.Source, old.Table, old.Columns, old.References), count(p.Target, f.Table, f.Columns, f.References)))
				}
			}
		}
	}
	rows, err := c.Query(t.Context(), strings.Join(pairs, " UNION ALL "))
	if err != nil {
		t.Fatal(err)
	}
	var name string
	var want, got, all int
	_, err = pgx.ForEachRow(rows, []any{&name, &want, &got}, func() error {
		if all += want; got != want {
			t.Errorf("%d rows join over %s, want %d", got, name, want)
		}
		return nil
	})
	if err != nil || all < 1000 {
		t.Errorf("got %d rows that refer to others, %v", all, err)
	}
}
