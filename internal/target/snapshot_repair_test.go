package target_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
	"godwit/internal/testdb"
	"godwit/internal/verify"
)

// repairTask puts a repair's files on the shelf: keys that go out and lines that
// come in, by the index of the table.
func (b *bench) repairTask(p *tables, name string, out, in map[int]string) change.Task {
	b.t.Helper()
	part := func(table int, kind, lines string) *target.TablePart {
		if lines == "" {
			return nil
		}
		key := fmt.Sprintf("parts/%s/repair/%s-%d-%s.copy.gz", b.db.Name, name, table, kind)
		b.shelf.put(b.t, "work-bucket", key, []byte(lines))
		return &target.TablePart{Bucket: "work-bucket", Key: key, Region: testdb.Region, Rows: int64(strings.Count(lines, "\n"))}
	}
	var list target.TableRepairs
	for i := range p.plans {
		if out[i]+in[i] != "" {
			list.Repairs = append(list.Repairs, target.TableRepair{Table: i, Keys: part(i, "out", out[i]), Rows: part(i, "in", in[i])})
		}
	}
	args, err := json.Marshal(list)
	if err != nil {
		b.t.Fatal(err)
	}
	return change.Task{Phase: target.PhaseRepair, Name: name, Args: args}
}

// A repair changes rows whatever refers to them, once; behind it foreign keys and
// digests are made anew, and before that nothing is shown.
func TestRepairPutsRowsRight(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := storefront("load1")
	b.beginTables(p)
	if err := b.runPhases(p, target.PhaseVisible); err != nil {
		t.Fatal(err)
	}
	customers, orders := target.Quote(p.Stage("shop"), "customers"), target.Quote(p.Stage("Shop two"), "Orders")
	b.exec(`SET session_replication_role = replica`)
	b.exec(`UPDATE ` + customers + ` SET "E-mail" = 'eve@x' WHERE id = 1`)
	b.exec(`DELETE FROM ` + orders + ` WHERE line = 2`)
	b.exec(`INSERT INTO ` + orders + ` VALUES (8, 1, 99, 1, NULL)`)
	before := b.list(`SELECT name || done_at FROM godwit.task WHERE phase = 'digests' ORDER BY 1`)

	x := b.repairTask(p, "first", map[int]string{0: "1\n", 1: "8\t1\n"}, map[int]string{0: "1\tann@x\t\\N\t2024-01-01 12:00:00.5+02\t{a,b}\n69\tkim@x\t\\N\t\\N\t\\N\n", 1: "9\t2\t2\t-0.01\t\\N\n"})
	b.loseReplies(1, "")
	if err := b.runTable(p, x); err == nil {
		t.Fatal("the reply is not lost")
	}
	for range 2 {
		if err := b.runTable(p, x); err != nil {
			t.Fatal(err)
		}
	}
	if e := refused(t, b.runTable(p, change.Task{Phase: target.PhaseVisible, Name: "load"}), "GW010"); !strings.Contains(e.Message, "load1") {
		t.Errorf("got %q", e.Message)
	}
	if err := b.loader.TableSums(t.Context(), p.ID, p.plans[0].Target, nil); err == nil || !strings.Contains(err.Error(), "were not taken") {
		t.Errorf("digests behind a repair: got %v", err)
	}
	if err := b.runPhases(p, target.PhaseVisible); err != nil {
		t.Fatal(err)
	}
	if after := b.list(`SELECT name || done_at FROM godwit.task WHERE phase = 'digests' ORDER BY 1`); after == before {
		t.Error("the digests are those from before")
	}
	if err := b.runPhases(p, ""); err != nil {
		t.Fatal(err)
	}
	equal(t, "customers", b.list(`SELECT c::text FROM shop.customers c ORDER BY id`), `(1,ann@x,,"2024-01-01 10:00:00.5+00","{a,b}") (2,bob@x,1,,) (69,kim@x,,,)`)
	equal(t, "orders", b.list(`SELECT o::text FROM "Shop two"."Orders" o ORDER BY no, line`), `(9,1,1,1.50,2) (9,2,2,-0.01,)`)
	equal(t, "foreign keys", b.list(`SELECT conname || ':' || convalidated FROM pg_constraint WHERE contype = 'f' AND connamespace IN ('shop'::regnamespace, '"Shop two"'::regnamespace) ORDER BY 1`), "boss:true customer:true mail:true of:true")
	// An identity goes on behind what came in.
	b.exec(`INSERT INTO shop.customers ("E-mail") VALUES ('eve@x')`)
	equal(t, "the next customer", b.list(`SELECT id::text FROM shop.customers WHERE "E-mail" = 'eve@x'`), "70")
	// What is shown is not repaired.
	refused(t, b.runTable(p, b.repairTask(p, "second", map[int]string{0: "1\n"}, nil)), "GW003")
}

// A repair that cannot be done to its end leaves everything as it was.
func TestRepairIsDoneWholeOrNot(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := storefront("load1")
	b.beginTables(p)
	if err := b.runPhases(p, target.PhaseVisible); err != nil {
		t.Fatal(err)
	}
	// The second table's line has a customer's key twice.
	x := b.repairTask(p, "first", map[int]string{0: "1\n"}, map[int]string{0: "2\tann@x\t\\N\t\\N\t\\N\n"})
	refused(t, b.runTable(p, x), "23505")
	if err := b.runPhases(p, ""); err != nil {
		t.Fatal(err)
	}
	equal(t, "customers", b.list(`SELECT id::text FROM shop.customers ORDER BY id`), `1 2`)
	x.Args = []byte(`{"repairs": [{"table": 9}]}`)
	if err := b.runTable(p, x); err == nil || !strings.Contains(err.Error(), "no table 9") {
		t.Errorf("got %v", err)
	}
	x.Args = []byte(`{"repairs": [{"table": 2, "keys": {}}]}`)
	if err := b.runTable(p, x); err == nil || !strings.Contains(err.Error(), "has no key") {
		t.Errorf("got %v", err)
	}
}

// Rows that are wider than a row of the Data API, and more of them than an answer
// takes, are narrowed without any of their values coming through it.
func TestWideRowsAreNarrowed(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := storefront("load1")
	p.plans, p.Tables, p.lines = p.plans[2:], p.Tables[2:], nil
	p.plans[0].Foreign = nil
	p.plans[0].Key = []string{"about"}
	var lines bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&lines, "%d\tx\t%s\n", i, strings.Repeat("wide ", 20+i%50*i%50*10))
	}
	p.lines = []string{lines.String()}
	b.beginTables(p)
	if err := b.runPhases(p, target.PhaseForeign); err != nil {
		t.Fatal(err)
	}
	var want, got verify.RowSums
	sums := func(into *verify.RowSums) {
		rows, err := verify.NewTargetRows(&p.plans[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := b.loader.ReadBack(t.Context(), p.plans[0].Target, texts(rows.Columns()), "true", rows.Add); err != nil {
			t.Fatal(err)
		}
		*into = rows.Sums
	}
	sums(&want)
	b.exec(`UPDATE ` + target.Quote(p.Stage("shop"), "notes") + ` SET text = repeat('other', 100000) WHERE about IN (7, 1234, 2999)`)
	sums(&got)
	n, err := verify.NewNarrowing(&p.plans[0], want.Differing(&got))
	if err != nil {
		t.Fatal(err)
	}
	source := func() {
		for i, line := range strings.Split(strings.TrimSuffix(p.lines[0], "\n"), "\n") {
			var values []change.Value
			for _, text := range strings.Split(line, "\t") {
				values = append(values, change.Value{Kind: change.Text, Bytes: []byte(text)})
			}
			if err := n.AddSource(verify.Place{Row: int64(i)}, values); err != nil {
				t.Fatal(err)
			}
		}
	}
	var largest int
	for range 2 {
		source()
		values, where := n.TargetSQL(target.Quote)
		err := b.loader.ReadBack(t.Context(), p.plans[0].Target, values, where, func(row [][]byte) error {
			for _, v := range row {
				largest = max(largest, len(v))
			}
			return n.AddTargetSums(row)
		})
		if err != nil {
			t.Fatal(err)
		}
		n.Again()
	}
	out, in := n.Repair()
	if fmt.Sprint(out) != "[[1234] [2999] [7]]" || len(in) != 3 || in[0].Row != 7 || in[2].Row != 2999 || largest > 64 {
		t.Errorf("out %v, in %v; the largest value that came has %d bytes", out, in, largest)
	}
	if d := n.Differences(); len(d) != 3 || d[0].Columns[0] != (verify.ColumnDifference{Column: "text", Source: d[0].Columns[0].Source, Target: "500000 bytes"}) {
		t.Errorf("got %+v", d)
	}
}

// A page that is more than the server makes is asked for in smaller ones; one that
// is too large by itself is an error that names it.
func TestReadBackAsksForLess(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := storefront("load1")
	p.plans, p.Tables, p.lines = p.plans[2:], p.Tables[2:], nil
	p.plans[0].Foreign = nil
	p.lines = []string{strings.Repeat("1\tx\t"+strings.Repeat("word ", 300)+"\n", 200)}
	b.beginTables(p)
	if err := b.runPhases(p, target.PhaseKeys); err != nil {
		t.Fatal(err)
	}
	b.exec(`CREATE SEQUENCE public.tries`)
	b.exec(`CREATE FUNCTION public.heavy(fail bigint) RETURNS text SECURITY DEFINER LANGUAGE plpgsql AS
		$$BEGIN IF nextval('public.tries') <= fail THEN RAISE program_limit_exceeded; END IF; RETURN 'x'; END$$`)
	rows := 0
	read := func(fail int) error {
		rows = 0
		b.exec(`ALTER SEQUENCE public.tries RESTART`)
		return b.loader.ReadBack(t.Context(), p.plans[0].Target, []string{fmt.Sprintf("public.heavy(%d)", fail)}, "true", func([][]byte) error {
			rows++
			return nil
		})
	}
	if err := read(3); err != nil || rows != 200 {
		t.Errorf("got %d rows and error %v, want all 200", rows, err)
	}
	if err := read(1000); err == nil || !strings.Contains(err.Error(), "table shop.notes back: blocks 0 to 0") || rows != 0 {
		t.Errorf("got %d rows and error %v, want the block named", rows, err)
	}
}

// Who could read a table, or write to one of its columns, can still do so when
// another load took its place; and nobody else.
func TestReplacedTablesKeepGrants(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.loadTables(storefront("load1"))
	reader, writer, other := b.db.Name+"_reader", b.db.Name+"_writer", b.db.Name+"_other"
	for _, role := range []string{reader, writer, other} {
		b.exec(`CREATE ROLE ` + target.Quote(role))
		t.Cleanup(func() { b.exec(`DROP OWNED BY ` + target.Quote(role)); b.exec(`DROP ROLE ` + target.Quote(role)) })
	}
	b.exec(`GRANT SELECT ON shop.customers TO ` + target.Quote(reader) + ` WITH GRANT OPTION`)
	b.exec(`GRANT SELECT ON shop.notes TO PUBLIC`)
	b.exec(`GRANT UPDATE ("E-mail"), SELECT (id) ON shop.customers TO ` + target.Quote(writer))
	b.exec(`GRANT SELECT (text) ON shop.notes TO ` + target.Quote(writer))
	b.exec(`ALTER DEFAULT PRIVILEGES FOR ROLE ` + target.Quote(b.db.Loader) + ` GRANT DELETE ON TABLES TO ` + target.Quote(other))
	grants := func() string {
		return strings.ReplaceAll(b.list(`SELECT format('%s %s %s', c.relname, c.relacl, (SELECT array_agg(a.attname || ' ' || a.attacl::text ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL))
			FROM pg_class c WHERE c.relnamespace = 'shop'::regnamespace AND c.relkind = 'r' ORDER BY c.relname`), b.db.Name, "")
	}
	before := grants()
	p := storefront("load2")
	p.Replace = true
	p.plans[2].Columns[2].Name = "words" // a column of notes is gone
	b.loadTables(p)
	owner := strings.ReplaceAll(b.db.Loader, b.db.Name, "")
	if after, want := grants(), strings.Replace(before, `{"text {_writer=r/`+owner+`}"}`, "", 1); after != want || want == before {
		t.Errorf("got  %s\nwant %s\nfrom %s", after, want, before)
	}
	equal(t, "owner", get[string](b, `SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = 'shop.customers'::regclass`), b.db.Loader)

	// What cannot be carried over keeps the table.
	b.exec(`CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`)
	b.exec(`CREATE TRIGGER audit BEFORE INSERT ON shop.notes FOR EACH ROW EXECUTE FUNCTION shop.f()`)
	b.exec(`CREATE POLICY mine ON shop.customers USING (true)`)
	b.exec(`ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY`)
	p = storefront("load3")
	p.Replace = true
	b.beginTables(p)
	e := refused(t, b.runPhases(p, ""), "2BP01")
	for _, want := range []string{"trigger audit on table shop.notes", "policy mine on table shop.customers", "row security of table shop.customers"} {
		if !strings.Contains(e.Message, want) {
			t.Errorf("got %q, want %q in it", e.Message, want)
		}
	}
	b.exec(`DROP TRIGGER audit ON shop.notes`)
	b.exec(`DROP POLICY mine ON shop.customers`)
	b.exec(`ALTER TABLE shop.customers DISABLE ROW LEVEL SECURITY`)
	if err := b.runPhases(p, ""); err != nil {
		t.Fatal(err)
	}
}
