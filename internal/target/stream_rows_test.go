package target_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
)

// rowStream is a bench with tables of an application, and a DMS stream to them.
func rowStream(t testing.TB, ddl ...string) (*bench, change.Stream) {
	t.Helper()
	b := newBench(t, rdsdata.Config{})
	b.exec(`CREATE SCHEMA app`)
	for _, sql := range ddl {
		b.exec(sql)
	}
	b.exec(`GRANT USAGE ON SCHEMA app TO ` + target.Quote(b.db.Loader))
	b.exec(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA app TO ` + target.Quote(b.db.Loader))
	return b, b.enable(change.Stream{Name: "s", Source: change.SourceDMS, Boundary: change.Position{Major: 1000}})
}

// put writes the row of a JSON object to table app.<table>, del deletes one. The
// place is the commit's number behind the boundary and the record's in it.
func put(table string, place, minor int64, key, row string) change.Item {
	return change.Item{
		Mark: change.Mark{Shard: "shard-0", Sequence: fmt.Sprint(10000 + 100*place + minor)},
		Row: &change.RowItem{
			Schema: "app", Table: table, Key: key, Position: change.Position{Major: 1000 + place, Minor: minor},
			At: "2024-01-02T03:04:05.678Z", Row: json.RawMessage(row),
		},
	}
}

func del(table string, place, minor int64, key, row string) change.Item {
	item := put(table, place, minor, key, row)
	item.Row.Deleted = true
	return item
}

const ordersTable = `CREATE TABLE app."Order ""s" (id integer, "select" text, amount numeric(12,2), at timestamptz, doc jsonb, tags text[], big bigint, raw bytea, twice integer GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (id, "select"))`

func TestRowsAreWrittenAsTheyAre(t *testing.T) {
	t.Parallel()
	b, s := rowStream(t, ordersTable)
	row := `{"id":"1","select":"a","amount":"9007199254.10","at":"2024-01-02 03:04:05.123456+02","doc":"{\"x\":[1,\"2\",null]}","tags":"{\"a,b\",NULL}","big":"9223372036854775807","raw":"\\x00ff"}`
	done := b.apply(s, put(`Order "s`, 1, 1, `["1","a"]`, row),
		put(`Order "s`, 1, 2, `["2","a"]`, `{"id":"2","select":"a","amount":null,"at":null,"doc":"\"text\"","tags":null,"big":null,"raw":null}`))
	if done.Rows != 2 || done.Calls != 1 || done.Skipped != 0 {
		t.Errorf("got %+v", done)
	}
	const show = `SELECT concat_ws('|', id, "select", amount, at AT TIME ZONE 'UTC', doc, tags, big, raw, twice) FROM app."Order ""s" ORDER BY id`
	equal(t, "rows", b.list(show), `1|a|9007199254.10|2024-01-02 01:04:05.123456|{"x": [1, "2", null]}|{"a,b",NULL}|9223372036854775807|\x00ff|2 2|a|"text"|4`)
	// Only what a row names is written.
	b.apply(s, put(`Order "s`, 2, 1, `["1","a"]`, `{"id":"1","select":"a","amount":"1"}`))
	equal(t, "rows", b.list(show), `1|a|1.00|2024-01-02 01:04:05.123456|{"x": [1, "2", null]}|{"a,b",NULL}|9223372036854775807|\x00ff|2 2|a|"text"|4`)
	// A key that changed: its old row goes, its new row comes.
	b.apply(s, del(`Order "s`, 3, 1, `["1","a"]`, `{"id":"1","select":"a"}`), put(`Order "s`, 3, 1, `["1","b"]`, `{"id":"1","select":"b","amount":"3"}`))
	equal(t, "rows", b.list(`SELECT id || "select" FROM app."Order ""s" ORDER BY id`), "1b 2a")
	if status := b.status(); status.Last != (change.Position{Major: 1003, Minor: 1}) || status.LastAt != "2024-01-02T03:04:05.678000Z" || len(status.Shards) != 1 || status.Shards[0].Sequence != "10301" {
		t.Errorf("got %+v", status)
	}
}

// The rows that DMS copies first are at position zero: older than every change, and
// loaded only where something else loaded them, up to a boundary.
func TestRowsBeforeAllChanges(t *testing.T) {
	t.Parallel()
	b, s := rowStream(t, `CREATE TABLE app.t (id integer PRIMARY KEY, v text)`)
	first := func(id string) change.Item {
		item := put("t", 1, 1, `["`+id+`"]`, `{"id":"`+id+`","v":"first"}`)
		item.Row.Position = change.Position{}
		return item
	}
	if done := b.apply(s, first("1")); done.Skipped != 1 {
		t.Errorf("behind a boundary got %+v", done)
	}
	s = b.enable(change.Stream{Name: "s", Source: change.SourceDMS})
	b.apply(s, put("t", 1, 1, `["2"]`, `{"id":"2","v":"later"}`), del("t", 1, 2, `["3"]`, `{"id":"3"}`))
	b.apply(s, first("1"), first("2"), first("3"))
	equal(t, "rows", b.list(`SELECT id || v FROM app.t ORDER BY id`), "1first 2later")
}

// Identity columns take the source's values; an identity that is not the key stays
// what it was when its row came.
func TestIdentityColumnsTakeTheSourcesValues(t *testing.T) {
	t.Parallel()
	b, s := rowStream(t, `CREATE TABLE app.t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, n integer GENERATED ALWAYS AS IDENTITY)`, `CREATE TABLE app.keys (a integer, b text, PRIMARY KEY (b, a))`)
	for place := range int64(2) {
		b.apply(s, put("t", 1+place, 1, `["7"]`, fmt.Sprintf(`{"id":"7","name":"n%d","n":"3"}`, place)), put("keys", 1+place, 2, `["x","1"]`, `{"a":"1","b":"x"}`))
	}
	equal(t, "rows", b.list(`SELECT concat_ws(':', id, name, n) FROM app.t`), "7:n1:3")
	equal(t, "rows of keys alone", b.list(`SELECT a || b FROM app.keys`), "1x")
	b.apply(s, del("keys", 3, 1, `["x","1"]`, `{"b":"x","a":"1"}`))
	equal(t, "rows of keys alone", b.list(`SELECT a || b FROM app.keys`), "")
}

func TestRowTablesSayWhatTheCatalogSays(t *testing.T) {
	t.Parallel()
	b, _ := rowStream(t, ordersTable, `CREATE TABLE app.bare (a integer)`, `CREATE TABLE app.other (a integer NOT NULL, b varchar(5) NOT NULL)`,
		`CREATE UNIQUE INDEX byb ON app.other (b) INCLUDE (a)`, `ALTER TABLE app.other REPLICA IDENTITY USING INDEX byb`)
	got, err := b.loader.RowTables(t.Context(), []change.TableName{{Schema: "app", Name: "other"}, {Schema: "app", Name: "none"}, {Schema: "app", Name: `Order "s`}, {Schema: "app", Name: "bare"}})
	if err != nil {
		t.Fatal(err)
	}
	column := func(name, typ string, notNull bool) change.RowColumn {
		return change.RowColumn{Name: name, Type: typ, NotNull: notNull, Generated: name == "twice"}
	}
	want := []change.RowTable{
		{Schema: "app", Name: "other", Columns: []change.RowColumn{column("a", "integer", true), column("b", "character varying(5)", true)}, Key: []string{"b"}},
		{Schema: "app", Name: `Order "s`, Columns: []change.RowColumn{
			column("id", "integer", true), column("select", "text", true), column("amount", "numeric(12,2)", false), column("at", "timestamp with time zone", false),
			column("doc", "jsonb", false), column("tags", "text[]", false), column("big", "bigint", false), column("raw", "bytea", false), column("twice", "integer", false),
		}, Key: []string{"id", "select"}},
		{Schema: "app", Name: "bare", Columns: []change.RowColumn{column("a", "integer", false)}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// One table has one source: positions of two are never compared.
func TestTableBelongsToOneStream(t *testing.T) {
	t.Parallel()
	b, s := rowStream(t, `CREATE TABLE app.t (id integer PRIMARY KEY)`)
	b.apply(s, put("t", 1, 1, `["1"]`, `{"id":"1"}`))
	other := b.enable(change.Stream{Name: "other", Source: change.SourceDSQL})
	_, err := b.loader.Apply(t.Context(), other, []change.Item{put("t", 9, 1, `["1"]`, `{"id":"1"}`)})
	if stateOf(err) != "GW008" || !strings.Contains(err.Error(), "app.t is fed by stream s") {
		t.Errorf("got %v", err)
	}
	b.load(ledger("load1", people()...))
	row := put("person", 9, 1, `["1"]`, `{"doc_id":"1"}`)
	row.Row.Schema = "dmv"
	if _, err := b.loader.Apply(t.Context(), other, []change.Item{row}); stateOf(err) != "GW008" || !strings.Contains(err.Error(), "dmv.person is fed by loads") {
		t.Errorf("got %v", err)
	}
}

// Rows of two tables of the source that have one name do not mix in one table,
// within a request nor over several.
func TestTableIsOfOneSchemaOfTheSource(t *testing.T) {
	t.Parallel()
	b, s := rowStream(t, `CREATE TABLE app.t (id integer PRIMARY KEY, v text)`)
	one, two := put("t", 1, 1, `["1"]`, `{"id":"1","v":"one"}`), put("t", 1, 2, `["1"]`, `{"id":"1","v":"two"}`)
	one.Row.From, two.Row.From = "one", "two"
	if _, err := b.loader.Apply(t.Context(), s, []change.Item{one, two}); stateOf(err) != "GW008" {
		t.Errorf("got %v", err)
	}
	b.apply(s, one)
	if _, err := b.loader.Apply(t.Context(), s, []change.Item{two}); stateOf(err) != "GW008" || !strings.Contains(err.Error(), "app.t is fed by schema one of the source, and schema two has") {
		t.Errorf("got %v", err)
	}
	equal(t, "rows", b.list(`SELECT v FROM app.t`), "one")
}

// A table that was dropped and made again lacks what was applied to the old one:
// it is not taken for it, until somebody says that its rows are there again.
func TestTableThatWasMadeAgain(t *testing.T) {
	t.Parallel()
	const ddl = `CREATE TABLE app."T" (id integer PRIMARY KEY, v text)`
	b, s := rowStream(t, ddl, `CREATE TABLE app.other (id integer PRIMARY KEY)`)
	b.apply(s, put("T", 5, 1, `["1"]`, `{"id":"1","v":"old"}`), put("T", 5, 2, `["2"]`, `{"id":"2","v":"old"}`), put("other", 5, 3, `["1"]`, `{"id":"1"}`))
	b.exec(`DROP TABLE app."T"`)
	next := put("T", 6, 1, `["2"]`, `{"id":"2","v":"next"}`)
	if _, err := b.loader.Apply(t.Context(), s, []change.Item{next}); stateOf(err) != "42P01" {
		t.Errorf("got %v, want the table missing", err)
	}
	b.exec(ddl + `; GRANT SELECT, INSERT, UPDATE, DELETE ON app."T" TO ` + target.Quote(b.db.Loader))
	refused := func() {
		t.Helper()
		if _, err := b.loader.Apply(t.Context(), s, []change.Item{next}); stateOf(err) != "GW008" || !strings.Contains(err.Error(), `table app."T" was dropped and made again`) {
			t.Errorf("got %v", err)
		}
	}
	refused()
	if err := b.loader.ReleaseTables(t.Context(), "s", []string{"app.T"}); stateOf(err) != "42P01" || !strings.Contains(err.Error(), "the target has no table app.T") {
		t.Errorf("got %v", err)
	}
	refused()
	for range 2 { // its first rows again, older than what the old one had
		if err := b.loader.ReleaseTables(t.Context(), "s", []string{`app."T"`, "app.other"}); err != nil {
			t.Fatal(err)
		}
		b.apply(s, put("T", 1, 1, `["1"]`, `{"id":"1","v":"again"}`), next, put("other", 1, 1, `["1"]`, `{"id":"1"}`))
	}
	equal(t, "rows", b.list(`SELECT id || v FROM app."T" ORDER BY id`), "1again 2next")
	if done := b.apply(s, put("T", 5, 2, `["2"]`, `{"id":"2","v":"old"}`)); done.Skipped != 1 {
		t.Errorf("an older write: got %+v", done)
	}
	// A stream that is no more leaves its tables.
	other := b.enable(change.Stream{Name: "another", Source: change.SourceDMS})
	if err := b.loader.ReleaseTables(t.Context(), "another", []string{`app."T"`}); err != nil {
		t.Fatal(err)
	}
	b.apply(other, put("T", 1, 1, `["2"]`, `{"id":"2","v":"another"}`))
	equal(t, "rows", b.list(`SELECT id || v FROM app."T" ORDER BY id`), "1again 2another")
}

// A message that the database refuses is found among its neighbours, which are
// applied; so is one that waits for another row. No value leaves the server.
func TestRefusedMessageIsFoundAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, row, state, says string
		wait                   bool
	}{
		{"not a number", `{"id":"v4lue"}`, "22P02", "", false},
		{"too long", `{"id":"5","code":"v4lue v4lue"}`, "22001", "", false},
		{"not null", `{"id":"5","must":null}`, "23502", "column must of table t", false},
		{"check", `{"id":"5","code":"no"}`, "23514", "constraint t_code_check of table t", false},
		{"not JSON", `{"id":"5","doc":v4lue}`, "22P02", "not a JSON object", false},
		{"foreign key", `{"id":"5","parent":"77"}`, "23503", "constraint t_parent_fkey of table t", true},
		{"unique", `{"id":"5","code":"taken"}`, "23505", "constraint t_code_key of table t", true},
		{"too large", `{"id":"5","code":"` + strings.Repeat("v4lue", 5000) + `"}`, "54000", "message needs a request", false},
		{"key too large for an index", `{"id":"5","wide":"` + wide + `"}`, "54000", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, s := rowStream(t, `CREATE TABLE app.t (id integer PRIMARY KEY, code varchar(9) UNIQUE CHECK (code <> 'no'), must integer NOT NULL DEFAULT 1, parent integer REFERENCES app.t, doc jsonb, wide text)`,
				`CREATE INDEX ON app.t (wide)`, `INSERT INTO app.t (id, code) VALUES (1000, 'taken')`)
			b.loader.RequestBytes = 36 << 10
			var items []change.Item
			for i := range int64(21) {
				items = append(items, put("t", 1+i, 1, fmt.Sprintf(`["%d"]`, i), fmt.Sprintf(`{"id":"%d"}`, i)))
			}
			items[5] = put("t", 6, 1, `["5"]`, c.row)
			done, err := b.loader.Apply(t.Context(), s, items)
			var refused *target.RefusedError
			var wait *target.WaitError
			item, state, detail := -1, "", ""
			if errors.As(err, &refused) && !c.wait {
				item, state, detail = refused.Item, refused.State, refused.Detail
			} else if errors.As(err, &wait) && c.wait {
				item, state, detail = wait.Item, wait.State, wait.Detail
			}
			if item != 5 || state != c.state || !strings.Contains(detail, c.says) || done.Items != 5 {
				t.Errorf("got %+v, %v, want item 5 refused with %s", done, err, c.state)
			}
			if strings.Contains(fmt.Sprint(err), "v4lue") {
				t.Errorf("the error holds the value: %.300v", err)
			}
			below := 1000
			if c.wait { // what is behind it might have helped
				below = 6
			}
			equal(t, "rows before it", b.list(fmt.Sprintf(`SELECT id::text FROM app.t WHERE id < %d ORDER BY id`, below)), "0 1 2 3 4")
			if done.Calls > 10 {
				t.Errorf("%d calls", done.Calls)
			}
			// Set aside, it holds nothing up.
			items[5] = change.Item{Mark: items[5].Mark, Aside: &change.AsideItem{Object: "quarantine/5", Reason: "refused", Block: -1}}
			b.apply(s, items[5:]...)
			if n := get[int](b, `SELECT count(*) FROM app.t WHERE id < 1000`); n != 20 {
				t.Errorf("got %d rows, want the neighbours", n)
			}
			status := b.status()
			if status.Aside != 1 || status.AsideFirst != "quarantine/5" {
				t.Errorf("got %+v", status)
			}
			if err := b.loader.Replayed(t.Context(), "s", "quarantine/5"); err != nil {
				t.Fatal(err)
			}
			if status := b.status(); status.Aside != 0 || status.AsideFirst != "" {
				t.Errorf("after its replay got %+v", status)
			}
		})
	}
}

// What a trigger of the application refuses is one message, and its words, which
// may quote the row, stay where they are.
func TestTriggersRefuseMessages(t *testing.T) {
	t.Parallel()
	b, s := rowStream(t, `CREATE TABLE app.t (id integer PRIMARY KEY, v text)`,
		`CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF new.v = ''bad'' THEN RAISE EXCEPTION ''v4lue %'', new.id; END IF; RETURN new; END'`,
		`CREATE TRIGGER refuse BEFORE INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION app.refuse()`)
	done, err := b.loader.Apply(t.Context(), s, []change.Item{put("t", 1, 1, `["1"]`, `{"id":"1","v":"good"}`), put("t", 1, 2, `["2"]`, `{"id":"2","v":"bad"}`)})
	var refused *target.RefusedError
	if !errors.As(err, &refused) || refused.Item != 1 || refused.State != "P0001" || done.Items != 1 || strings.Contains(err.Error(), "v4lue") {
		t.Errorf("got %+v, %v, want item 1 refused", done, err)
	}
}

// Keys that the target's collation takes for equal are written one after the other.
func TestKeysThatACollationTakesForEqual(t *testing.T) {
	t.Parallel()
	b, s := rowStream(t, `CREATE COLLATION app.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`, `CREATE TABLE app.t (id text COLLATE app.loose PRIMARY KEY, v text)`)
	b.apply(s, put("t", 1, 1, `["a"]`, `{"id":"a","v":"1"}`), put("t", 1, 2, `["A"]`, `{"id":"A","v":"2"}`))
	equal(t, "rows", b.list(`SELECT v FROM app.t`), "2")
}

// An exclusion may be met by a row still to come, as a unique key.
func TestExclusionsWait(t *testing.T) {
	t.Parallel()
	b, s := rowStream(t, `CREATE TABLE app.t (id integer PRIMARY KEY, span int4range, EXCLUDE USING gist (span WITH &&))`)
	b.apply(s, put("t", 1, 1, `["1"]`, `{"id":"1","span":"[1,5)"}`))
	second := put("t", 2, 2, `["2"]`, `{"id":"2","span":"[4,9)"}`)
	_, err := b.loader.Apply(t.Context(), s, []change.Item{second})
	var wait *target.WaitError
	if !errors.As(err, &wait) {
		t.Errorf("got %v, want that it waits", err)
	}
	b.apply(s, put("t", 2, 1, `["1"]`, `{"id":"1","span":"[1,4)"}`), second)
}

// A row that waits for a key lets the row by that frees it, also where a request
// writes it first. A crash between the two leaves the waiting one unread.
func TestRowsBehindFreeAKey(t *testing.T) {
	t.Parallel()
	b, s := rowStream(t, `CREATE TABLE app.t (id integer PRIMARY KEY, u integer UNIQUE)`)
	b.apply(s, put("t", 1, 1, `["1"]`, `{"id":"1","u":"5"}`), put("t", 1, 2, `["2"]`, `{"id":"2","u":"3"}`))
	second, first := put("t", 2, 1, `["2"]`, `{"id":"2","u":"5"}`), put("t", 2, 2, `["1"]`, `{"id":"1","u":"7"}`)
	const rows = `SELECT id || ':' || u FROM app.t ORDER BY id`
	calls := 0
	b.wire.lose = func(string) bool { // both at once, the one that waits, what is behind it
		calls++
		return calls == 3
	}
	if done, err := b.loader.Apply(t.Context(), s, []change.Item{second, first}); err == nil || done.Items != 0 {
		t.Errorf("got %+v, %v, want no answer", done, err)
	}
	equal(t, "rows", b.list(rows), "1:7 2:3")
	if at := b.status().Shards[0].Sequence; at != "10102" {
		t.Errorf("the shard is noted up to %s, want the record before", at)
	}
	b.wire.lose = nil
	b.apply(s, second, first)
	equal(t, "rows", b.list(rows), "1:7 2:5")
	back := []change.Item{put("t", 3, 1, `["1"]`, `{"id":"1","u":"5"}`), put("t", 3, 2, `["2"]`, `{"id":"2","u":"9"}`), put("t", 3, 3, `["3"]`, `{"id":"3","u":"1"}`)}
	if done := b.apply(s, back...); done.Items != 3 || done.Rows != 3 {
		t.Errorf("got %+v", done)
	}
	equal(t, "rows", b.list(rows), "1:5 2:9 3:1")
	// Nothing behind it helps: it waits, and what is behind it is not done with.
	taken, other := put("t", 4, 1, `["5"]`, `{"id":"5","u":"9"}`), put("t", 4, 2, `["6"]`, `{"id":"6","u":"8"}`)
	done, err := b.loader.Apply(t.Context(), s, []change.Item{taken, other})
	var wait *target.WaitError
	if !errors.As(err, &wait) || wait.Item != 0 || done.Items != 0 {
		t.Errorf("got %+v, %v, want that item 0 waits", done, err)
	}
	if at := b.status().Shards[0].Sequence; at != back[2].Mark.Sequence {
		t.Errorf("the shard is noted up to %s, want %s", at, back[2].Mark.Sequence)
	}
}

// Two rows that change values which must be unique are written in any order, where the
// rule is checked at the end. Otherwise neither can be the first.
func TestRowsThatSwapUniqueValues(t *testing.T) {
	t.Parallel()
	for _, deferrable := range []bool{true, false} {
		rule := ""
		if deferrable {
			rule = " DEFERRABLE"
		}
		b, s := rowStream(t, `CREATE TABLE app.t (id integer PRIMARY KEY, u integer, v integer, CONSTRAINT one UNIQUE (u)`+rule+`)`)
		b.apply(s, put("t", 1, 1, `["1"]`, `{"id":"1","u":"5"}`), put("t", 1, 2, `["2"]`, `{"id":"2","u":"3"}`))
		done, err := b.loader.Apply(t.Context(), s, []change.Item{
			put("t", 2, 1, `["1"]`, `{"id":"1","u":"3"}`), put("t", 2, 2, `["2"]`, `{"id":"2","u":"5","v":"1"}`), put("t", 3, 1, `["3"]`, `{"id":"3","u":"1"}`),
		})
		rows := b.list(`SELECT id || ':' || u FROM app.t ORDER BY id`)
		var wait *target.WaitError
		if deferrable {
			equal(t, "rows", rows, "1:3 2:5 3:1")
			if err != nil || done.Calls != 1 {
				t.Errorf("got %+v, %v", done, err)
			}
		} else if !errors.As(err, &wait) || wait.Item != 0 || done.Items != 0 {
			t.Errorf("got %+v, %v, want that the first waits", done, err)
		}
	}
}

// A rule that is checked when the transaction ends is one message's fault, too.
func TestDeferredRulesNameTheirMessage(t *testing.T) {
	t.Parallel()
	b, s := rowStream(t, `CREATE TABLE app.t (id integer PRIMARY KEY, parent integer REFERENCES app.t DEFERRABLE INITIALLY DEFERRED)`)
	child := put("t", 1, 2, `["2"]`, `{"id":"2","parent":"7"}`)
	done, err := b.loader.Apply(t.Context(), s, []change.Item{put("t", 1, 1, `["1"]`, `{"id":"1","parent":null}`), child})
	var wait *target.WaitError
	if !errors.As(err, &wait) || wait.Item != 1 || wait.State != "23503" || done.Items != 1 {
		t.Errorf("got %+v, %v, want that item 1 waits", done, err)
	}
	if done := b.apply(s, child, put("t", 1, 3, `["7"]`, `{"id":"7","parent":null}`)); done.Calls != 1 {
		t.Errorf("got %+v, want one call", done)
	}
}

// wide does not compress below what an index holds.
var wide = func() string {
	r := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	for range 12000 {
		b.WriteByte(byte('a' + r.IntN(26)))
	}
	return b.String()
}()

// Items of one message are applied together or not at all.
func TestMessageIsNeverCut(t *testing.T) {
	t.Parallel()
	b, s := rowStream(t, `CREATE TABLE app.t (id integer PRIMARY KEY)`)
	items := []change.Item{put("t", 1, 1, `["1"]`, `{"id":"1"}`), put("t", 2, 1, `["2"]`, `{"id":"2"}`), put("t", 2, 1, `["3"]`, `{"id":"x"}`), put("t", 3, 1, `["4"]`, `{"id":"4"}`)}
	done, err := b.loader.Apply(t.Context(), s, items)
	var refused *target.RefusedError
	if !errors.As(err, &refused) || refused.Item != 1 || done.Items != 1 {
		t.Errorf("got %+v, %v, want the message of items 1 and 2 refused", done, err)
	}
	equal(t, "rows", b.list(`SELECT id::text FROM app.t ORDER BY id`), "1")
}

// Rows that refer to one another need no more requests than others: what a request
// brings is written parents first and deleted children first, however it mixes them.
func TestParentsComeFirst(t *testing.T) {
	t.Parallel()
	b, s := rowStream(t, `CREATE TABLE app.z (id integer PRIMARY KEY, next integer REFERENCES app.z)`, `CREATE TABLE app.m (id integer PRIMARY KEY, z integer REFERENCES app.z)`,
		`CREATE TABLE app.a (id integer PRIMARY KEY, m integer REFERENCES app.m, z integer REFERENCES app.z)`)
	const n = 40
	var writes, deletions []change.Item
	for i := range int64(n) {
		key, id := fmt.Sprintf(`["%d"]`, i), fmt.Sprintf(`{"id":"%d"}`, i)
		a, m := fmt.Sprintf(`{"id":"%d","m":"%d","z":"%d"}`, i, i/2, i), fmt.Sprintf(`{"id":"%d","z":"%d"}`, i, i)
		writes = append(writes, put("z", 1+i, 1, key, id), put("m", 1+i, 2, key, m), put("a", 1+i, 3, key, a))
		deletions = append(deletions, del("a", 200-i, 1, key, id), del("m", 200-i, 2, key, id), del("z", 200-i, 3, key, id))
	}
	// The first is of a table that refers to the others.
	b.apply(s, writes[:2]...)
	if done := b.apply(s, writes[2:]...); done.Calls != 1 {
		t.Errorf("%d calls to write", done.Calls)
	}
	slices.Reverse(deletions)
	if done := b.apply(s, deletions...); done.Calls != 1 || done.Rows != 3*n {
		t.Errorf("got %+v", done)
	}
}

// A key that is checked at the end of transactions decides no conflict, so its table
// has none; one that lost its key since it was described is described again.
func TestKeysThatDecideNothing(t *testing.T) {
	t.Parallel()
	b, s := rowStream(t, `CREATE TABLE app.t (id integer PRIMARY KEY DEFERRABLE)`, `CREATE TABLE app.u (id integer)`)
	got, err := b.loader.RowTables(t.Context(), []change.TableName{{Schema: "app", Name: "t"}})
	if err != nil || len(got) != 1 || len(got[0].Key) != 0 {
		t.Errorf("got %+v, %v, want no key", got, err)
	}
	if _, err := b.loader.Apply(t.Context(), s, []change.Item{put("u", 1, 1, `["1"]`, `{"id":"1"}`)}); stateOf(err) != "42703" {
		t.Errorf("got %v, want it described again", err)
	}
}

// TestRowsAreOrderFree applies random writes to rows twice, late, in any order, by
// three callers at once. The newest write to each row is what the target holds.
func TestRowsAreOrderFree(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 3))
			b, s := rowStream(t, `CREATE TABLE app.t (id integer PRIMARY KEY, v text)`, `CREATE TABLE app.u (id integer PRIMARY KEY, v text)`)
			long := strings.Repeat("long ", 200) // a key that heads keep a hash of
			newest := map[string]*change.RowItem{}
			var items []change.Item
			for n := range int64(300) {
				table, id := []string{"t", "u"}[r.IntN(2)], r.IntN(20)
				key := fmt.Sprintf(`["%d%s"]`, id, long[:len(long)*(id%2)])
				item := put(table, n/3, n%3, key, fmt.Sprintf(`{"id":"%d","v":"%d"}`, id, n))
				if r.IntN(3) == 0 {
					item = del(table, n/3, n%3, key, fmt.Sprintf(`{"id":"%d"}`, id))
				}
				items = append(items, item)
				if item.Row.Position.Major > 1000 {
					newest[table+fmt.Sprint(id)] = item.Row
				}
			}
			items = append(items, items[100:200]...)
			r.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
			var pieces [][]change.Item
			for len(items) > 0 {
				n := min(len(items), 1+r.IntN(40))
				pieces, items = append(pieces, items[:n]), items[n:]
			}
			var callers sync.WaitGroup
			for c := range 3 {
				callers.Go(func() {
					for i := c; i < len(pieces); i += 3 {
						if err := b.applyAll(s, pieces[i]); err != nil {
							t.Error(err)
						}
					}
				})
			}
			callers.Wait()
			for _, table := range []string{"t", "u"} {
				var want []string
				for id := range 20 {
					if x := newest[table+fmt.Sprint(id)]; x != nil && !x.Deleted {
						var row struct{ ID, V string }
						if err := json.Unmarshal(x.Row, &row); err != nil {
							t.Fatal(err)
						}
						want = append(want, row.ID+":"+row.V)
					}
				}
				equal(t, table, b.list(`SELECT id || ':' || v FROM app.`+table+` ORDER BY id`), strings.Join(want, " "))
			}
		})
	}
}
