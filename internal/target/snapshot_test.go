package target_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
	"godwit/internal/testdb"
	"godwit/internal/verify"
)

// A tables is a load of tables, with the rows of each as lines of COPY.
type tables struct {
	change.TableLoad
	plans []change.TablePlan
	lines []string // by plan
}

func shop(schema, name string) change.TableName { return change.TableName{Schema: schema, Name: name} }

func column(name, typ string) change.ColumnPlan {
	return change.ColumnPlan{Name: name, Type: typ, From: []change.SourceColumn{{Name: name, Type: typ}}, As: change.Conversion{Kind: change.AsIs}}
}

// storefront is a load of two schemas, with what a catalog can ask for.
func storefront(id string) *tables {
	p := &tables{TableLoad: change.TableLoad{ID: id, Plan: "plan of " + id}}
	number := column("id", "bigint")
	number.Identity, number.Start, number.NotNull = "ALWAYS", 7, true
	small := column("no", "smallint")
	small.Identity, small.Start, small.NotNull = "BY DEFAULT", 40_000, true
	mail := column("E-mail", "character varying(20)")
	mail.NotNull = true
	made := column("made", "timestamp(3) with time zone")
	made.Default = "now()"
	p.plans = []change.TablePlan{{
		Source: shop("public", "customers"), Target: shop("shop", "customers"), Columns: []change.ColumnPlan{number, mail, column("boss", "bigint"), made, column("tags", "text[]")},
		Key: []string{"id"}, KeyName: "customers_pkey",
		Indexes: []change.IndexPlan{
			{Name: "customers_mail_key", Unique: true, Constraint: true, Keys: []string{"E-mail"}, Include: []string{"boss"}, NullsNotDistinct: true},
			{Name: "customers mail", Unique: true, Keys: []string{"", "id"}, Expressions: []string{`lower(("E-mail")::text)`, ""}, Where: "(id > 0)", Order: []string{`COLLATE "C" DESC NULLS LAST`, ""}},
			{Name: "customers_tags", Keys: []string{"tags"}, Method: "gin"},
		},
		Foreign: []change.Foreign{{Name: "boss", Columns: []string{"boss"}, Table: shop("shop", "customers"), References: []string{"id"}, OnDelete: "SET NULL"}},
		Checks:  []change.Check{{Name: "mail", Expression: `(("E-mail")::text ~~ '%@%'::text)`}},
	}, {
		Source: shop("public", "Orders"), Target: shop("Shop two", "Orders"), Columns: []change.ColumnPlan{small, column("line", "integer"), column("customer", "bigint"), column("price", "numeric(8,2)"), column("last", "integer")},
		Key: []string{"no", "line"},
		Foreign: []change.Foreign{
			{Name: "customer", Columns: []string{"customer"}, Table: shop("shop", "customers"), References: []string{"id"}, OnDelete: "CASCADE", OnUpdate: "RESTRICT", Deferrable: true, Deferred: true},
			{Name: "of", Columns: []string{"no", "last"}, Table: shop("Shop two", "Orders"), References: []string{"no", "line"}, Match: "SIMPLE"},
		},
	}, {
		Source: shop("public", "notes"), Target: shop("shop", "notes"), Columns: []change.ColumnPlan{column("about", "bigint"), column("mail", "character varying(20)"), column("text", "text")},
		Foreign: []change.Foreign{{Name: "mail", Columns: []string{"mail"}, Table: shop("shop", "customers"), References: []string{"E-mail"}, Match: "FULL"}},
	}}
	for _, t := range p.plans {
		p.Tables = append(p.Tables, t.Target)
	}
	p.lines = []string{
		"1\tann@x\t\\N\t2024-01-01 12:00:00.5+02\t{a,b}\n2\tbob@x\t1\t\\N\t\\N\n",
		"9\t1\t1\t1.50\t2\n9\t2\t2\t-0.01\t\\N\n",
		"1\tann@x\ttwo\\nlines\n\\N\t\\N\t\\N\n1\tann@x\ttwo\\nlines\n",
	}
	return p
}

// part puts rows of a table on the shelf and returns the task that imports them.
func (b *bench) tablePart(p *tables, table, number int, lines string) change.Task {
	b.t.Helper()
	key := fmt.Sprintf("parts/%s/%s/%d-%d.copy.gz", b.db.Name, p.ID, table, number)
	b.shelf.put(b.t, "work-bucket", key, []byte(lines))
	args, err := json.Marshal(target.TableImport{Table: table, Bucket: "work-bucket", Key: key, Region: testdb.Region, Rows: int64(strings.Count(lines, "\n"))})
	if err != nil {
		b.t.Fatal(err)
	}
	return change.Task{Phase: target.PhaseImport, Name: fmt.Sprintf("%d/%d", table, number), Args: args}
}

var tablePhases = []string{target.PhaseTables, target.PhaseImport, target.PhaseKeys, target.PhaseIndexes, target.PhaseForeign, target.PhaseValidate, target.PhaseDigests, target.PhaseVisible}

// tableTasks are the tasks of a phase of a load.
func (b *bench) tableTasks(p *tables, phase string) (tasks []change.Task) {
	b.t.Helper()
	if phase == target.PhaseImport {
		for i, lines := range p.lines {
			if lines != "" {
				tasks = append(tasks, b.tablePart(p, i, 0, lines))
			}
		}
		return tasks
	}
	tasks, err := b.loader.TableTasks(phase, p.plans)
	if err != nil {
		b.t.Fatal(err)
	}
	if phase != target.PhaseDigests {
		return tasks
	}
	for i := range tasks {
		name := p.plans[i].Target
		sql, err := verify.SumsSQL(&p.plans[i], target.Quote(p.Stage(name.Schema), name.Name), target.Quote)
		if err != nil {
			b.t.Fatal(err)
		}
		if tasks[i].Args, err = json.Marshal(target.TableDigest{SQL: sql}); err != nil {
			b.t.Fatal(err)
		}
	}
	return tasks
}

// runTable does a task to its end, as run does.
func (b *bench) runTable(p *tables, t change.Task) error {
	look := false
	for range 600 {
		done, err := b.loader.RunTables(context.Background(), p.TableLoad, p.plans, t, look)
		if done || err != nil {
			return err
		}
		look = true
		get[string](b, `SELECT pg_sleep(0.02)::text`)
	}
	return fmt.Errorf("%s %s does not end", t.Phase, t.Name)
}

func (b *bench) beginTables(p *tables) {
	b.t.Helper()
	state, err := b.loader.BeginTables(context.Background(), p.TableLoad)
	if err != nil || state.Published {
		b.t.Fatalf("begin %s: got %+v and error %v", p.ID, state, err)
	}
}

// runPhases does the phases of a load up to one, which is left out.
func (b *bench) runPhases(p *tables, before string) error {
	for _, phase := range tablePhases {
		if phase == before {
			return nil
		}
		for _, t := range b.tableTasks(p, phase) {
			if err := b.runTable(p, t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) loadTables(p *tables) {
	b.t.Helper()
	b.beginTables(p)
	if err := b.runPhases(p, ""); err != nil {
		b.t.Fatal(err)
	}
}

// shown describes what the schemas of the storefront show.
func (b *bench) shown() string {
	b.t.Helper()
	return b.list(`SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('shop', 'Shop two') AND c.relkind = 'r' ORDER BY 1`)
}

const allShown = `"Shop two"."Orders" shop.customers shop.notes`

func TestTablesHaveEverythingOfTheirPlans(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := storefront("load1")
	b.loadTables(p)
	equal(t, "tables", b.shown(), allShown)
	equal(t, "rows", b.list(`SELECT c::text FROM shop.customers c ORDER BY id`), `(1,ann@x,,"2024-01-01 10:00:00.5+00","{a,b}") (2,bob@x,1,,)`)
	equal(t, "columns", b.list(`SELECT attname || ':' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN '!' ELSE '' END || attidentity::text FROM pg_attribute
		WHERE attrelid = 'shop.customers'::regclass AND attnum > 0 ORDER BY attnum`), `id:bigint!a E-mail:character varying(20)! boss:bigint made:timestamp(3) with time zone tags:text[]`)
	equal(t, "constraints", strings.Join(strings.Fields(b.list(`SELECT c.conrelid::regclass || ' ' || conname || ': ' || pg_get_constraintdef(c.oid) || CASE WHEN convalidated THEN '' ELSE '?' END || E'\n' FROM pg_constraint c
		WHERE contype <> 'n' AND conrelid IN (SELECT oid FROM pg_class WHERE relnamespace IN ('shop'::regnamespace, '"Shop two"'::regnamespace)) ORDER BY conrelid::regclass::text COLLATE "C", conname COLLATE "C"`)), " "), strings.Join(strings.Fields(`
		"Shop two"."Orders" Orders_pkey: PRIMARY KEY (no, line)
		"Shop two"."Orders" customer: FOREIGN KEY (customer) REFERENCES shop.customers(id) ON UPDATE RESTRICT ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
		"Shop two"."Orders" of: FOREIGN KEY (no, last) REFERENCES "Shop two"."Orders"(no, line)
		shop.customers boss: FOREIGN KEY (boss) REFERENCES shop.customers(id) ON DELETE SET NULL
		shop.customers customers_mail_key: UNIQUE NULLS NOT DISTINCT ("E-mail") INCLUDE (boss)
		shop.customers customers_pkey: PRIMARY KEY (id)
		shop.customers mail: CHECK ((("E-mail")::text ~~ '%@%'::text))
		shop.notes mail: FOREIGN KEY (mail) REFERENCES shop.customers("E-mail") MATCH FULL`), " "))
	equal(t, "indexes", b.list(`SELECT replace(indexdef, ' ', '_') FROM pg_indexes WHERE indexname IN ('customers mail', 'customers_tags') ORDER BY 1`),
		`CREATE_INDEX_customers_tags_ON_shop.customers_USING_gin_(tags) `+
			`CREATE_UNIQUE_INDEX_"customers_mail"_ON_shop.customers_USING_btree_(lower(("E-mail")::text)_COLLATE_"C"_DESC_NULLS_LAST,_id)_WHERE_(id_>_0)`)
	if n := get[int64](b, `INSERT INTO shop.customers ("E-mail") VALUES ('x@x') RETURNING id`); n != 7 {
		t.Errorf("the next id is %d, want 7, where the source goes on", n)
	}
	if at := get[int64](b, `SELECT last_value FROM "Shop two"."Orders_no_seq"`); at != 32767 {
		t.Errorf("the identity of a smallint stands at %d, want its last value", at)
	}
	if n := get[int](b, `SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'godwit\_load%'`); n != 0 {
		t.Errorf("%d hidden schemas are left", n)
	}
}

func TestDigestsOfTablesAreThoseOfTheirRows(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := storefront("load1")
	b.beginTables(p)
	if err := b.runPhases(p, target.PhaseVisible); err != nil {
		t.Fatal(err)
	}
	// Whatever a session is set to.
	b.exec(`SET datestyle = 'German'; SET timezone = 'Asia/Kolkata'; SET extra_float_digits = -5`)
	for i, x := range b.tableTasks(p, target.PhaseDigests) {
		if !get[bool](b, `SELECT k.counts = (godwit.run_tables($1, 'digests', $2::jsonb)).counts FROM godwit.task k WHERE k.load_id = $1 AND k.phase = 'digests' AND k.name = $3`, p.ID, string(x.Args), x.Name) {
			t.Errorf("%s: other digests in another session", x.Name)
		}
		rows, err := verify.NewTargetRows(&p.plans[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := b.loader.ReadBack(t.Context(), p.plans[i].Target, texts(rows.Columns()), "true", rows.Add); err != nil {
			t.Fatal(err)
		}
		var sums verify.RowSums
		if err := b.loader.TableSums(t.Context(), p.ID, p.plans[i].Target, sums.AddAnswer); err != nil {
			t.Fatal(err)
		}
		if d := sums.Differing(&rows.Sums); len(d) > 0 || sums.Rows != int64(strings.Count(p.lines[i], "\n")) {
			t.Errorf("%v: the server's digests of %d rows and those of the %d that were read back differ in %v", p.plans[i].Target, sums.Rows, rows.Sums.Rows, d)
		}
	}
}

// texts are columns as texts.
func texts(columns []string) (values []string) {
	for _, c := range columns {
		values = append(values, target.Quote(c)+"::text")
	}
	return values
}

// Rows that need many pages, and values that need many answers.
func TestReadBackReadsEveryRow(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := storefront("load1")
	p.plans, p.Tables, p.lines = p.plans[2:], p.Tables[2:], nil
	p.plans[0].Foreign = nil
	var lines bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&lines, "%d\tx\t%s\n", i, strings.Repeat("ä\\\\", i%500))
	}
	fmt.Fprintf(&lines, "-1\t\\N\t%s\n", strings.Repeat("long ", 100_000))
	p.lines = []string{lines.String()}
	b.beginTables(p)
	if err := b.runPhases(p, target.PhaseKeys); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	err := b.loader.ReadBack(t.Context(), p.plans[0].Target, texts([]string{"about", "mail", "text"}), "true", func(row [][]byte) error {
		if row[1] == nil {
			row[1] = []byte(`\N`)
		}
		row[2] = bytes.ReplaceAll(row[2], []byte(`\`), []byte(`\\`))
		got[string(bytes.Join(row, []byte("\t")))]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{}
	for _, line := range strings.Split(strings.TrimSuffix(p.lines[0], "\n"), "\n") {
		want[line]++
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %d different rows, which are not the %d that were loaded", len(got), len(want))
	}
}

// Invariant 3: the reply of every call of a load is lost once, after it committed.
func TestTablesSurviveLostReplies(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := storefront("load1")
	stubborn := func(name string, do func() error) {
		t.Helper()
		b.loseReplies(1, "")
		var e *target.Error
		if err := do(); !errors.As(err, &e) || e.ErrorCode() != "NoAnswer" {
			t.Fatalf("%s: got %v, want the error of a lost reply", name, err)
		}
		if err := do(); err != nil {
			t.Fatalf("%s again: %v", name, err)
		}
	}
	begin := func() error { _, err := b.loader.BeginTables(context.Background(), p.TableLoad); return err }
	stubborn("begin", begin)
	all := 0
	for _, phase := range tablePhases {
		for _, x := range b.tableTasks(p, phase) {
			if phase == target.PhaseVisible {
				equal(t, "before it is shown", b.shown(), "")
			}
			stubborn(x.Phase+" "+x.Name, func() error { return b.runTable(p, x) })
			all++
		}
	}
	b.loseReplies(0, "")
	equal(t, "tables", b.shown(), allShown)
	if n := get[int](b, `SELECT count(*) FROM shop.notes`); n != 3 {
		t.Errorf("got %d notes, want 3", n)
	}
	// Once more, all of it, long after.
	if err := b.runPhases(p, ""); err != nil {
		t.Fatal(err)
	}
	if n := get[int](b, `SELECT count(*) FROM godwit.task`); n != all {
		t.Errorf("got %d tasks, want %d", n, all)
	}
	state, err := b.loader.BeginTables(t.Context(), p.TableLoad)
	if err != nil || !state.Published {
		t.Errorf("begin again: got %+v and error %v, want a load that is shown", state, err)
	}
}
