package rdsdata

import (
	"slices"
	"strings"
	"testing"
)

func TestPlaceholders(t *testing.T) {
	for _, test := range []struct {
		sql, want string // "" is unchanged
		names     []string
	}{
		{sql: `SELECT :a, :b_2, :a`, want: `SELECT $1, $2, $1`, names: []string{"a", "b_2"}},
		{sql: `SELECT :a::int, ':b', 'it'':c', :d`, want: `SELECT $1::int, ':b', 'it'':c', $2`, names: []string{"a", "d"}},
		{sql: `SELECT E'\':a', e'\\', :b`, want: `SELECT E'\':a', e'\\', $1`, names: []string{"b"}},
		{sql: `SELECT '\', :a`, want: `SELECT '\', $1`, names: []string{"a"}},
		{sql: `SELECT fee'x:a', :b`, want: `SELECT fee'x:a', $1`, names: []string{"b"}},
		{sql: `SELECT ":a"":b", :c`, want: `SELECT ":a"":b", $1`, names: []string{"c"}},
		{sql: "SELECT 1 -- :a ; 'x\n, :b", want: "SELECT 1 -- :a ; 'x\n, $1", names: []string{"b"}},
		{sql: `SELECT 1 /* :a /* :b */ ' :c */ , :d`, want: `SELECT 1 /* :a /* :b */ ' :c */ , $1`, names: []string{"d"}},
		{sql: `SELECT $$:a;$$, $f$:b $$ $ff$ ;$f$, :c`, want: `SELECT $$:a;$$, $f$:b $$ $ff$ ;$f$, $1`, names: []string{"c"}},
		{sql: `SELECT a$b$c, :d`, want: `SELECT a$b$c, $1`, names: []string{"d"}},
		{sql: `SELECT a[1:2], a[:n], a[1:3]`, want: `SELECT a[1:2], a[$1], a[1:3]`, names: []string{"n"}},
		{sql: `CALL p(x := 1, y:=:a)`, want: `CALL p(x := 1, y:=$1)`, names: []string{"a"}},
		{sql: `SELECT x:a`, want: `SELECT x $1`, names: []string{"a"}},
		{sql: `SELECT '1':::a`, want: `SELECT '1'::$1`, names: []string{"a"}},
		{sql: `SELECT : a, :1, :é`},
		{sql: `SELECT 'not ended :a`},
		{sql: `SELECT /* not ended :a`},
		{sql: `SELECT $x$ not ended :a`},
		{sql: `SELECT 1;`},
		{sql: "SELECT 1 ; -- :a\n /* ; x */ ;\n"},
		{sql: `CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END`},
		{sql: `SELECT 'a;b', ";", $$;$$ -- ;`},
		{sql: `SELECT U&'\0041:a', B'1', X'F'`},
	} {
		if test.want == "" {
			test.want = test.sql
		}
		got, err := parse(test.sql)
		if err != nil || got.sql != test.want || !slices.Equal(got.names, test.names) {
			t.Errorf("%s:\n got %s %v %v\nwant %s %v", test.sql, got.sql, got.names, err, test.want, test.names)
		}
	}
	for _, sql := range []string{`SELECT 1; SELECT 2`, `BEGIN; INSERT INTO t VALUES (1); COMMIT`, `SELECT 1;;x`, `SELECT ';'; :a`, "SELECT 1;\n'x'"} {
		if _, err := parse(sql); err == nil || !strings.Contains(err.Error(), "ValidationException: Multistatements aren't supported.") {
			t.Errorf("%s: got %v, want multistatements refused", sql, err)
		}
	}
	for _, sql := range []string{`COPY t FROM STDIN`, `copy (select 1) to stdout`, `SELECT $1`} {
		if _, err := parse(sql); err == nil {
			t.Errorf("%s: got nil, want an error", sql)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`SELECT :a::int[1:2] -- x`, `$a$ :b $a$`, `E'\'' /* /* */`, `"`, `:=`, `a:b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		st, err := parse(sql)
		if err != nil {
			return
		}
		// What has no placeholder is passed on unchanged; what had one parses again to none.
		if len(st.names) == 0 && st.sql != sql {
			t.Errorf("got %q, want %q unchanged", st.sql, sql)
		}
		if again, err := parse(strings.ReplaceAll(st.sql, "$", "S")); err == nil && len(st.names) > 0 && !strings.Contains(sql, "$") && len(again.names) > 0 {
			t.Errorf("%q becomes %q, which still has %v", sql, st.sql, again.names)
		}
	})
}

func FuzzSplitArray(f *testing.F) {
	for _, s := range []string{`{}`, `{1,NULL}`, `{"a\"",b}`, `[0:1]={1,2}`, `{{1}}`, `{`, `{"`, `[`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { splitArray(s) }) // an error, never a panic
}
