package verify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"godwit/internal/change"
	"godwit/internal/testdb"
	"godwit/internal/verify"
)

func quoted(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// byServer hands what the server answers of a table's rows to a Narrowing.
func byServer(t *testing.T, conn *pgx.Conn, n *verify.Narrowing, relation string) (answered int) {
	t.Helper()
	values, where := n.TargetSQL(quoted)
	rows, err := conn.Query(t.Context(), "SELECT ARRAY["+strings.Join(values, ", ")+"]::text[] FROM "+relation+" AS x WHERE "+where)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[[]*string])
	if err != nil {
		t.Fatal(err)
	}
	for _, texts := range list {
		row := make([][]byte, len(texts))
		for i, text := range texts {
			if text != nil {
				row[i] = []byte(*text)
			}
		}
		if err := n.AddTargetSums(row); err != nil {
			t.Fatal(err)
		}
	}
	return len(list)
}

// What the server tells of its rows, without their values, leads to the same
// differences and the same repair as its rows themselves, for every type.
func TestServerNarrowsAsWeDo(t *testing.T) {
	for _, key := range []string{"uuid", "bigint"} {
		t.Run(key, func(t *testing.T) {
			conn := testdb.Connect(t, testdb.New(t).AdminDSN)
			plan := fill(t, conn, 3, key)
			var places [][]change.Value
			source, err := verify.NewSourceRows(plan)
			if err != nil {
				t.Fatal(err)
			}
			types := map[string]string{}
			for _, c := range plan.Columns {
				for _, f := range c.From {
					types[f.Name] = f.Type
				}
			}
			printed(t, conn, source.Columns(), "UTC", func(texts []*string) {
				values := make([]change.Value, len(texts))
				for i, text := range texts {
					values[i] = exported(t, types[source.Columns()[i]], text)
				}
				places = append(places, values)
				if err := source.Add(values); err != nil {
					t.Fatal(err)
				}
			})
			exec(t, conn, "SET timezone = 'UTC'")
			for i, c := range typed {
				if len(c.values) > 1 {
					exec(t, conn, fmt.Sprintf("UPDATE all_types SET c%d = NULL WHERE id = (SELECT id FROM all_types ORDER BY id OFFSET %d LIMIT 1)", i, i))
				}
			}
			exec(t, conn, "DELETE FROM all_types WHERE id = (SELECT id FROM all_types ORDER BY id OFFSET 200 LIMIT 1)")
			differing := source.Sums.Differing(targetSums(t, conn, plan))
			if len(differing) == 0 {
				t.Fatal("nothing differs")
			}
			narrow := func(target func(n *verify.Narrowing)) *verify.Narrowing {
				n, err := verify.NewNarrowing(plan, differing)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					for i, values := range places {
						if err := n.AddSource(verify.Place{Item: i % 3, Row: int64(i)}, values); err != nil {
							t.Fatal(err)
						}
					}
					target(n)
					n.Again()
				}
				return n
			}
			want := narrow(func(n *verify.Narrowing) {
				printed(t, conn, n.Target.Columns(), "UTC", func(texts []*string) {
					row := make([][]byte, len(texts))
					for i, text := range texts {
						if text != nil {
							row[i] = []byte(*text)
						}
					}
					if err := n.AddTarget(row); err != nil {
						t.Fatal(err)
					}
				})
			})
			var answers []int
			got := narrow(func(n *verify.Narrowing) { answers = append(answers, byServer(t, conn, n, "all_types")) })
			if diff := cmp.Diff(want.Differences(), got.Differences()); diff != "" {
				t.Errorf("(-rows +server):\n%s", diff)
			}
			out, in := want.Repair()
			serverOut, serverIn := got.Repair()
			if diff := cmp.Diff([]any{out, in}, []any{serverOut, serverIn}); diff != "" || len(in) != len(out)+1 {
				t.Errorf("(-rows +server):\n%s%d rows come in for %d", diff, len(in), len(out))
			}
			if answers[1] != len(out) {
				t.Errorf("the server tells of %d rows, and %d differ", answers[1], len(out))
			}
		})
	}
}

// A table may have columns of the names that statements use themselves.
func TestStatementsTakeAnyColumnName(t *testing.T) {
	conn := testdb.Connect(t, testdb.New(t).AdminDSN)
	plan := &change.TablePlan{Target: change.TableName{Schema: "public", Name: "t"}}
	for _, name := range []string{"h", "k", "r", "t", "x", "bucket", "rows"} {
		plan.Columns = append(plan.Columns, change.ColumnPlan{Name: name, Type: "integer", From: []change.SourceColumn{{Name: name, Type: "integer"}}, As: change.Conversion{Kind: change.AsIs}})
	}
	exec(t, conn, `CREATE TABLE t (h int, k int, r int, t int, x int, bucket int, rows int)`)
	exec(t, conn, `INSERT INTO t VALUES (1, 2, 3, 4, 5, 6, 7), (1, 2, 3, 4, 5, 6, NULL)`)
	for _, key := range [][]string{nil, {"k"}, {"h", "k"}} {
		plan.Key = key
		sums := serverSums(t, conn, plan)
		n, err := verify.NewNarrowing(plan, slices.Collect(func(yield func(int) bool) {
			for i := 0; i < 256 && yield(i); i++ {
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		if first, _ := byServer(t, conn, n, "t"), n.Again(); sums.Rows != 2 || first != 2 || byServer(t, conn, n, "t") != 2 {
			t.Errorf("key %v: %d rows are summed up, %d looked at", key, sums.Rows, first)
		}
	}
}
