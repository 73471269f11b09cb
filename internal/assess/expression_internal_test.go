package assess

import "testing"

// Only columns get other names: not types, functions, collations, fields, texts or
// names of arguments that are spelt like them.
func TestRenameChangesColumnsOnly(t *testing.T) {
	for _, c := range []struct{ sql, from, want string }{
		{`((text)::text = 'text'::text)`, "text", `(("new")::text = 'text'::text)`},
		{`(lower(lower) = ANY (ARRAY['lower'::text]))`, "lower", `(lower("new") = ANY (ARRAY['lower'::text]))`},
		{`((zone)::timestamp without time zone > '2020-01-01 00:00:00'::timestamp without time zone)`, "zone", `(("new")::timestamp without time zone > '2020-01-01 00:00:00'::timestamp without time zone)`},
		{`((a)::character varying = varying)`, "varying", `((a)::character varying = "new")`},
		{`((precision)::double precision > (0)::double precision)`, "precision", `(("new")::double precision > (0)::double precision)`},
		{`("C" = (x COLLATE "C"))`, "C", `("new" = (x COLLATE "C"))`},
		{`("a ""b""" <> 'a "b"'::text)`, `a "b"`, `("new" <> 'a "b"'::text)`},
		{`(x <> E'it\\''s x'::text)`, "x", `("new" <> E'it\\''s x'::text)`},
		{`(x <> 'it''s x'::text)`, "x", `("new" <> 'it''s x'::text)`},
		{`CASE WHEN (a > 0) THEN b ELSE a END`, "a", `CASE WHEN ("new" > 0) THEN b ELSE "new" END`},
		{`(make_interval(days => days) > '1 day'::interval)`, "days", `(make_interval(days => "new") > '1 day'::interval)`},
		{`((a).b > b)`, "b", `((a).b > "new")`},
		{`app.a(a, a)`, "a", `app.a("new", "new")`},
		{`(EXTRACT(epoch FROM epoch) > 1e5)`, "epoch", `(EXTRACT(epoch FROM "new") > 1e5)`},
		{`(e5 > 1e5)`, "e5", `("new" > 1e5)`},
		{`(NOT a)`, "a", `(NOT "new")`},
		{`((x AT TIME ZONE 'x'::text) IS NOT NULL)`, "x", `(("new" AT TIME ZONE 'x'::text) IS NOT NULL)`},
		{`(größe > 0)`, "größe", `("new" > 0)`},
		{`(a[a] > 0)`, "a", `("new"["new"] > 0)`},
		{`((VALUE)::text <> 'VALUE'::text)`, "VALUE", `(("new")::text <> 'VALUE'::text)`},
		{`(x`, "x", `("new"`},
		{`"x`, "x", `"x`},
		{``, "x", ``},
	} {
		if got := rename(c.sql, map[string]string{c.from: `"new"`}); got != c.want {
			t.Errorf("%s with another name for %s:\n got %s\nwant %s", c.sql, c.from, got, c.want)
		}
	}
}

// FuzzRename: an expression without the names stays as it is, to the byte.
func FuzzRename(f *testing.F) {
	f.Add(`((lower(a))::text ~ E'\\d'::text) AND ("B" = 1e5)`)
	f.Add(`'`)
	f.Fuzz(func(t *testing.T, sql string) {
		if got := rename(sql, map[string]string{"a name that is nowhere": "x"}); got != sql {
			t.Errorf("%q becomes %q", sql, got)
		}
	})
}
