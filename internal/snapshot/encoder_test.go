package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"godwit/internal/change"
	"godwit/internal/snapshot"
)

func TestRefusesRowsAndSaysWhy(t *testing.T) {
	long := strings.Repeat("ü", 600)
	for _, test := range []struct {
		name    string
		values  []any // of one column, text unless they are something else
		plan    func(*change.TablePlan)
		refused map[int64]string // by row
	}{
		{"bytes that are no UTF-8", []any{"good", "b\xffd", "ö", "ö"[:1], "ö"[1:], nil}, nil, map[int64]string{1: "is not UTF-8", 3: "is not UTF-8", 4: "is not UTF-8"}},
		{"texts that only together are UTF-8", []any{"ö"[:1], "ö"[1:]}, nil, map[int64]string{0: "is not UTF-8", 1: "is not UTF-8"}},
		{"a text that ends in a half character", []any{"a", "ö"[:1]}, nil, map[int64]string{1: "is not UTF-8"}},
		{"NUL", []any{"a", "\x00", "with\x00in", "\\"}, nil, map[int64]string{1: "has a NUL character, which PostgreSQL cannot hold", 2: "has a NUL character, which PostgreSQL cannot hold"}},
		{"NULL", []any{"a", nil}, func(p *change.TablePlan) { p.Columns[1].NotNull = true }, map[int64]string{1: "is NULL, which the target's column does not take"}},
		{"a column's size", []any{long, long[:1000], long[:1002], strings.Repeat("\\\t\n", 333), strings.Repeat("\\\t\n", 334), nil}, func(p *change.TablePlan) {
			p.Sizes = []change.SizeLimit{{Columns: []string{"v"}, Bytes: 1000, What: "a text"}}
		}, map[int64]string{0: "has more bytes than a text may, 1000", 2: "has more bytes than a text may, 1000", 4: "has more bytes than a text may, 1000"}},
		{"a key's size", []any{strings.Repeat("x", 1016), strings.Repeat("x", 1017)}, func(p *change.TablePlan) {
			p.Sizes = []change.SizeLimit{{Columns: []string{"a", "v"}, Bytes: 1024, What: "a primary key"}}
		}, map[int64]string{1: "has more bytes than a primary key may, 1024"}},
		{"a row's size", []any{strings.Repeat("x", 992), strings.Repeat("x", 993)}, func(p *change.TablePlan) {
			p.Sizes = []change.SizeLimit{{Bytes: 1000, What: "a row"}}
		}, map[int64]string{1: "has more bytes than a row may, 1000"}},
		{"a size of bytea", []any{make([]byte, 1000), make([]byte, 1001), []byte{}}, func(p *change.TablePlan) {
			p.Columns[1] = as(change.AsIs, "v", "bytea", "bytea")
			p.Sizes = []change.SizeLimit{{Columns: []string{"v"}, Bytes: 1000, What: "a bytea"}}
		}, map[int64]string{1: "has more bytes than a bytea may, 1000"}},
		{"a length", []any{long, long[:6], long[:8], "\\\\\\", "abcd"}, func(p *change.TablePlan) {
			p.Columns[1] = as(change.AsFit, "v", "text", "character varying(3)")
		}, map[int64]string{0: "does not fit character varying(3)", 2: "does not fit character varying(3)", 4: "does not fit character varying(3)"}},
		{"a numeric with an exponent", []any{"1e5", "12.00", "12.5", "NaN"}, func(p *change.TablePlan) {
			p.Columns[1] = as(change.AsFit, "v", "numeric", "integer")
		}, map[int64]string{0: "is not spelt as its type is", 2: "does not fit integer", 3: "does not fit integer"}},
		{"a part of a key", []any{"2026-01-01 00:00:00+00", "yesterday", nil, "2026-13-01 00:00:00+0x"}, func(p *change.TablePlan) {
			p.Columns[1] = as(change.AsUUID, "v", "timestamp with time zone", "uuid")
		}, map[int64]string{1: "is not spelt as its type is", 3: "is not spelt as its type is"}},
		{"of two reasons the first column's", []any{"a", "\xff"}, func(p *change.TablePlan) {
			p.Columns = append(p.Columns, p.Columns[1])
			p.Columns[1].Name, p.Columns[2].Name = "v", "w"
			p.Sizes = []change.SizeLimit{{Columns: []string{"a"}, Bytes: 7, What: "a key"}}
		}, map[int64]string{0: "has more bytes than a key may, 7", 1: "is not UTF-8"}},
	} {
		for _, dict := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, dictionary %v", test.name, dict), func(t *testing.T) {
				columns := []column{{name: "a", kind: snapshot.Int64, required: true}, {name: "v", kind: snapshot.Text, dict: dict}}
				if _, ok := test.values[0].([]byte); ok {
					columns[1].kind = snapshot.Bytes
				}
				var rows [][]any
				for i, v := range test.values {
					rows = append(rows, []any{int64(i), v})
				}
				plan := keep("a", "bigint", "v", "text")
				if test.plan != nil {
					test.plan(plan)
				}
				p := open(t, write(t, columns, rows))
				got, err := encode(t, encoder(t, plan, p), p, 0, p.Rows())
				if err != nil {
					t.Fatal(err)
				}
				reasons := map[int64]string{}
				for _, r := range got.refused {
					reasons[r.Row] = r.Reason
					if r.Column != "v" && !strings.HasSuffix(r.Reason, "a key may, 7") {
						t.Errorf("row %d is refused for column %s", r.Row, r.Column)
					}
				}
				if diff := cmp.Diff(test.refused, reasons); diff != "" {
					t.Error(diff)
				}
				for i, line := range got.lines {
					if want := fmt.Sprintf("%d\t", got.numbers[i]); !strings.HasPrefix(line, want) || reasons[got.numbers[i]] != "" {
						t.Errorf("line of row %d is %q", got.numbers[i], line)
					}
				}
				if n := len(got.lines) + len(reasons); n != len(rows) {
					t.Errorf("%d rows of %d", n, len(rows))
				}
			})
		}
	}
}

func TestFiltersRows(t *testing.T) {
	columns := []column{{name: "a", kind: snapshot.Int64, required: true}, {name: "b", kind: snapshot.Bool}, {name: "s", kind: snapshot.Text}, {name: "x", kind: snapshot.Text}}
	rows := [][]any{
		{int64(0), true, "new", "\xff"},
		{int64(1), false, "ol\\d", "x"},
		{int64(2), nil, nil, "x"},
		{int64(3), true, "old", nil},
		{int64(4), true, "ol\\d", "\xff"},
	}
	p := open(t, write(t, columns, rows))
	for name, test := range map[string]struct {
		filter  []change.Condition
		kept    []int64
		refused int
	}{
		"none":                     {nil, []int64{1, 2, 3}, 2},
		"in":                       {[]change.Condition{{Column: "s", In: []string{"new", `ol\d`}}}, []int64{1}, 2},
		"not in":                   {[]change.Condition{{Column: "s", In: []string{"old", "new"}, Not: true}}, []int64{1, 2}, 1},
		"null":                     {[]change.Condition{{Column: "s", Null: true}}, []int64{2}, 0},
		"not null":                 {[]change.Condition{{Column: "s", Null: true, Not: true}}, []int64{1, 3}, 2},
		"null or one of":           {[]change.Condition{{Column: "s", In: []string{"old"}, Null: true}}, []int64{2, 3}, 0},
		"a boolean":                {[]change.Condition{{Column: "b", In: []string{"true"}}}, []int64{3}, 2},
		"a number":                 {[]change.Condition{{Column: "a", In: []string{"1", "4"}}}, []int64{1}, 1},
		"all":                      {[]change.Condition{{Column: "s", In: []string{"old", "new"}}, {Column: "b", In: []string{"true"}}, {Column: "a", In: []string{"3"}}}, []int64{3}, 0},
		"a column not kept":        {[]change.Condition{{Column: "b", In: []string{"false"}}}, []int64{1}, 0},
		"what is in no UTF-8":      {[]change.Condition{{Column: "x", In: []string{"\xff"}}}, nil, 0},
		"but for what is no UTF-8": {[]change.Condition{{Column: "x", In: []string{"x"}, Not: true}}, []int64{3}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			plan := keep("a", "bigint", "s", "text", "x", "text")
			plan.Filter = test.filter
			got, err := encode(t, encoder(t, plan, p), p, 0, p.Rows())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.kept, got.numbers); diff != "" {
				t.Error(diff)
			}
			if len(got.refused) != test.refused || got.filtered != p.Rows()-int64(len(got.lines)+test.refused) {
				t.Errorf("%d refused, %d filtered of %d rows", len(got.refused), got.filtered, p.Rows())
			}
		})
	}
}

// A composite key, and what refers to it from another table, become one UUID.
func TestKeysAreUUIDsOfTheirCanonicalTexts(t *testing.T) {
	orders := change.TableName{Schema: "shop", Name: "orders"}
	columns := []column{{name: "amount", kind: snapshot.Text}, {name: "code", kind: snapshot.Text, dict: true}, {name: "id", kind: snapshot.Int64}}
	rows := [][]any{{"1.50", "a\\b  ", int64(7)}, {"0.00", "", int64(-7)}, {"-100", nil, int64(1)}, {nil, "x", nil}, {"NaN", "x", int64(2)}}
	p := open(t, write(t, columns, rows))
	plan := keep("amount", "numeric")
	plan.Columns = append(plan.Columns, change.ColumnPlan{
		Name: "order", Type: "uuid", As: change.Conversion{Kind: change.AsUUID, Namespace: "n", Of: orders},
		From: []change.SourceColumn{{Name: "code", Type: "character(6)"}, {Name: "id", Type: "bigint"}, {Name: "amount", Type: "numeric(5,2)"}},
	}, change.ColumnPlan{Name: "made", Type: "uuid", Default: "gen_random_uuid()"})
	e := encoder(t, plan, p)
	if diff := cmp.Diff([]string{"amount", "order"}, e.Columns()); diff != "" {
		t.Errorf("columns: %s", diff)
	}
	got, err := encode(t, e, p, 0, p.Rows())
	if err != nil {
		t.Fatal(err)
	}
	key := func(texts ...string) string {
		var parts [][]byte
		for _, text := range texts {
			parts = append(parts, []byte(text))
		}
		return string(change.KeyUUID(nil, "n", orders, parts...))
	}
	want := []string{
		"1.50\t" + key(`a\b`, "7", "1.5") + "\n",
		"0.00\t" + key("", "-7", "0") + "\n",
		"-100\t\\N\n",
		"\\N\t\\N\n",
		"NaN\t" + key("x", "2", "NaN") + "\n",
	}
	if diff := cmp.Diff(want, got.lines); diff != "" {
		t.Error(diff)
	}
}

func TestRefusesPlansThatThePartsDoNotHave(t *testing.T) {
	columns := []snapshot.Column{{Name: "n", Kind: snapshot.Int64, Spelt: "INT(64,true)"}, {Name: "t", Kind: snapshot.Text, Spelt: "STRING"}, {Name: "o", Kind: snapshot.Other, Spelt: "TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)"}}
	for name, test := range map[string]struct {
		plan  *change.TablePlan
		wants string
	}{
		"a column that is not there": {keep("m", "bigint"), "table public.t: column m: the parts have no column m"},
		"text where a number is":     {keep("n", "text"), "column n: n of type text is INT(64,true) in the parts, where an export of PostgreSQL writes binary (UTF8)"},
		"a number where text is":     {keep("t", "integer"), "t of type integer is STRING in the parts"},
		"another engine's":           {keep("o", "timestamp without time zone"), "o of type timestamp without time zone is TIMESTAMP(isAdjustedToUTC=true,unit=MICROS) in the parts, where"},
		"no column":                  {keep(), "a line would have 0 columns"},
		"what cannot be fitted":      {&change.TablePlan{Columns: []change.ColumnPlan{as(change.AsFit, "t", "text", "uuid")}}, "column t: text cannot be fitted into uuid"},
		"a type that is none":        {&change.TablePlan{Columns: []change.ColumnPlan{as(change.AsFit, "t", "numeric", "numeric(a)")}}, "the modifier \"a\" of type numeric(a) is no number"},
		"no conversion":              {&change.TablePlan{Columns: []change.ColumnPlan{as("guess", "t", "text", "text")}}, "column t: the conversion \"guess\" is none"},
		"two columns for one": {&change.TablePlan{Columns: []change.ColumnPlan{{
			Name: "t", Type: "text", As: change.Conversion{Kind: change.AsIs},
			From: []change.SourceColumn{{Name: "t", Type: "text"}, {Name: "n", Type: "bigint"}},
		}}}, "it is made of 2 columns"},
		"a filter's column": {&change.TablePlan{Columns: keep("t", "text").Columns, Filter: []change.Condition{{Column: "z", Null: true}}}, "filter by column z: the parts have no such column"},
		"a limit's column":  {&change.TablePlan{Columns: keep("t", "text").Columns, Sizes: []change.SizeLimit{{Columns: []string{"z"}, What: "a key"}}}, "size of a key: the lines do not have all of the columns [z]"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := snapshot.NewEncoder(test.plan, columns); err == nil || !strings.Contains(err.Error(), test.wants) {
				t.Errorf("error %v, want %s", err, test.wants)
			}
		})
	}
}

func TestEncoderGoesFromPartToPart(t *testing.T) {
	columns := []column{{name: "a", kind: snapshot.Int64}, {name: "t", kind: snapshot.Text, dict: true}}
	first := open(t, write(t, columns, [][]any{{int64(1), "one"}, {int64(2), "t\two"}}))
	second := open(t, write(t, columns, [][]any{{int64(3), "three"}, {nil, nil}}, parquet.DataPageVersion(1)))
	empty := open(t, write(t, columns, nil))
	e := encoder(t, keep("a", "bigint", "t", "text"), first)
	for i, test := range []struct {
		part *snapshot.Part
		want []string
	}{{first, []string{"1\tone\n", "2\tt\\two\n"}}, {second, []string{"3\tthree\n", "\\N\t\\N\n"}}, {empty, nil}, {first, []string{"1\tone\n", "2\tt\\two\n"}}} {
		got, err := encode(t, e, test.part, 0, test.part.Rows())
		if diff := cmp.Diff(test.want, got.lines); diff != "" || err != nil {
			t.Errorf("part %d: %v %s", i, err, diff)
		}
	}
	for name, other := range map[string][]column{
		"it has no column t, which other parts of its table have":                           {{name: "a", kind: snapshot.Int64}},
		"its column a is STRING, in other parts of its table INT(64,true)":                  {{name: "a", kind: snapshot.Text}, {name: "t", kind: snapshot.Text}},
		"it has 3 columns, or in another order than other parts of its table, which have 2": {{name: "a", kind: snapshot.Int64}, {name: "t", kind: snapshot.Text}, {name: "u", kind: snapshot.Text}},
	} {
		_, err := encode(t, e, open(t, write(t, other, nil)), 0, 0)
		if damaged := (*snapshot.DamagedError)(nil); !errors.As(err, &damaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want %s", err, name)
		}
	}
	if _, err := encode(t, e, first, 1, 3); err == nil {
		t.Error("rows beyond the part's end have no error")
	}
}

func TestEncodeEndsWithItsContextAndItsCaller(t *testing.T) {
	p := open(t, sample(t, 100, false))
	e := encoder(t, samplePlan, p)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Encode(ctx, p, 0, 100, func(change.Lines) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after the context's end", err)
	}
	if err := p.Values(ctx, 0, 100, []string{"a"}, func(int64, []change.Value) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v of values after the context's end", err)
	}
	e.Limit(10, 1<<20)
	stop := errors.New("stop")
	calls := 0
	err := e.Encode(t.Context(), p, 0, 100, func(change.Lines) error {
		if calls++; calls == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || calls != 3 {
		t.Errorf("error %v after %d calls", err, calls)
	}
	// The next one has nothing left of it.
	got, err := encode(t, e, p, 20, 22)
	if err != nil || !bytes.Equal([]byte(strings.Join(got.lines, "")), []byte(sampleLine(20)+sampleLine(21))) {
		t.Errorf("lines %q, error %v", got.lines, err)
	}
	if err := p.Values(t.Context(), 0, 100, []string{"a"}, func(int64, []change.Value) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v of values", err)
	}
}

// Rows without lines are told of, too, before there are too many of them.
func TestRowsWithoutLinesAreYielded(t *testing.T) {
	var rows [][]any
	for range 200_000 {
		rows = append(rows, []any{true})
	}
	p := open(t, write(t, []column{{name: "b", kind: snapshot.Bool}}, rows))
	plan := keep("b", "boolean")
	plan.Filter = []change.Condition{{Column: "b", Null: true}}
	got, err := encode(t, encoder(t, plan, p), p, 0, p.Rows())
	if err != nil || got.filtered != p.Rows() || got.calls < 3 {
		t.Errorf("%d filtered in %d calls: %v", got.filtered, got.calls, err)
	}
}
