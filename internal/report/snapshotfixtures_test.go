package report_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"godwit/internal/estimate"
	"godwit/internal/report"
)

// reckoned is an estimate of the real model over round figures.
func reckoned(tables int) *estimate.Estimate {
	f := estimate.SnapshotFacts{GiB: 100, DSQL: true, Place: estimate.Place{Region: "eu-central-1", Architecture: "arm64"}}
	for range tables {
		f.Tables = append(f.Tables, estimate.SnapshotTable{Rows: 1_000_000, Bytes: 200_000_000, Indexes: 2, Foreign: 1})
	}
	e, err := estimate.MakeSnapshot(f)
	if err != nil {
		panic(err)
	}
	e.LoadID, e.Made = "090637d23d1ccbba8c1e17c180089ecc", began
	return &e
}

// shop is a database of three tables, one of which is left out.
func shop() report.Moved {
	return report.Moved{
		LoadID: "090637d23d1ccbba8c1e17c180089ecc", Execution: "nightly-c1643bcd66833395", Input: json.RawMessage(`{"Snapshot":"arn:aws:rds:eu-central-1:111122223333:cluster-snapshot:nightly"}`),
		Mapping: report.Mapping{From: "s3://godwit-work/mappings/shop.json", SHA256: "5f1d"}, Finished: began.Add(time.Hour),
		Source: report.MovedSource{
			Snapshot: "arn:aws:rds:eu-central-1:111122223333:cluster-snapshot:nightly", Taken: "2026-11-22T19:50:00.000Z", Task: "godwit-090637d23d1ccbba8c1e17c180089ecc",
			Export: "s3://godwit-exports/godwit-090637d23d1ccbba8c1e17c180089ecc/", Database: "shop", Server: "PostgreSQL 16", Catalog: true, GiB: 100,
		},
		Target: report.MovedTarget{Cluster: "arn:aws:dsql:eu-central-1:111122223333:cluster/abc", Profile: "aurora-dsql", AsOf: "2026-11-20", Probed: "2026-11-20"},
		Tables: []report.MovedTable{
			{
				Source: "public.orders", Target: "shop.orders", Key: []string{"id"}, Indexes: 2, Foreign: 1, Rows: 5000, Bytes: 549_000,
				Columns: []report.MovedColumn{
					{Source: "id", SourceType: "bigint", Target: "id", TargetType: "uuid", By: "to a UUID of the key of public.orders"},
					{Source: "customer", SourceType: "bigint", Target: "customer", TargetType: "uuid", By: "to a UUID of the key of public.customers"},
					{Source: "status", SourceType: "public.order_status", Target: "status", TargetType: "text", By: "to text, as PostgreSQL writes it"},
					{Source: "total", SourceType: "numeric(12,2)", Target: "total", TargetType: "numeric(12,2)"},
					{Source: "note", SourceType: "text"},
				},
			},
			{
				Source: "public.customers", Target: "shop.customers", Key: []string{"id"}, Rows: 2000, Bytes: 459_000,
				Columns: []report.MovedColumn{
					{Source: "id", SourceType: "bigint", Target: "id", TargetType: "uuid", By: "to a UUID of the key of public.customers"},
					{Source: "name", SourceType: "text", Target: "name", TargetType: "text"},
				},
			},
			{Source: "public.scratch", Rows: -1, Bytes: -1, Columns: []report.MovedColumn{{Source: "a", SourceType: "integer"}}},
		},
		Decisions: []report.Decision{
			{Kind: "writes", Fate: report.Kept, Why: "What is written to the source after the snapshot is not moved by this route.", Do: "Stop writing before the snapshot is taken."},
			{Table: "public.orders", Column: "status", Kind: "type-text", Fate: report.Converted, Why: "Its type public.order_status becomes text.", Do: "A CHECK constraint keeps the labels."},
			{Table: "public.orders", Column: "id", Kind: "key-uuid", Fate: report.Converted, Why: "It becomes a UUID.", Do: "Give the application the rule."},
			{Table: "public.customers", Column: "id", Kind: "key-uuid", Fate: report.Converted, Why: "It becomes a UUID.", Do: "Give the application the rule."},
			{Table: "public.orders", Column: "total", Kind: "default", Fate: report.Lost, Why: "Its default is not carried over.", Do: "Set it after the load."},
			{Table: "public.orders", Name: "orders_open", Kind: "index", Fate: report.Lost, Why: "It needs what the load does not make."},
			{Kind: "objects", Name: "view", Fate: report.Lost, Why: "An export has no views; the source has 1: public.open.", Do: "Make it again."},
		},
		Keys: []report.KeyRule{{Table: "public.orders", SQL: "(SELECT h::uuid FROM (SELECT 'shop' || id::text AS h) AS k)"}, {Table: "public.customers", SQL: "(SELECT id)"}},
		Known: []report.TargetFact{
			{Name: "rows per transaction", Value: "3000", Source: "Aurora DSQL User Guide", AsOf: "2026-09-30"},
			{Name: "key bytes", Value: "1024", Source: "Aurora DSQL User Guide", AsOf: "2026-09-30", Doubtful: true},
		},
		Estimate: reckoned(2),
	}
}

func movable() report.Assessment {
	m := shop()
	m.Findings = []report.Finding{{Code: "preflight", Severity: report.Note, Text: "RDS bills the export of the whole snapshot."}}
	return report.Assessment{Moved: m}
}

func refused() report.Assessment {
	m := shop()
	m.Source.Catalog, m.Mapping = false, report.Mapping{}
	m.Tables[0].Columns[3].Target, m.Tables[0].Columns[3].TargetType = "", ""
	m.Tables = append(m.Tables, report.MovedTable{Source: "public.fast", Rows: 10, Bytes: 8192})
	m.Decisions = append(m.Decisions,
		report.Decision{Table: "public.orders", Column: "total", Kind: "type-refused", Fate: report.Refused, Why: "Its type cannot be moved.", Do: `Leave the column out, "skip": true.`},
		report.Decision{Table: "public.orders", Column: "gone", Kind: "not-exported", Fate: report.Refused, Why: "The catalog has this column and the export does not.", Do: `Leave the column out, "skip": true.`},
		report.Decision{Table: "public.fast", Kind: "unlogged", Fate: report.Refused, Why: "It is an unlogged table.", Do: "Set it logged."})
	m.Findings = []report.Finding{{Code: "gap", Severity: report.Error, Text: "The export: numbers of tables are in no file of the metadata.", Next: "Take the export again."}}
	return report.Assessment{Moved: m}
}

// web is a database of many tables with many columns.
func web() report.Moved {
	m := shop()
	m.Tables, m.Decisions, m.Keys = nil, nil, nil
	for i := range 60 {
		t := report.MovedTable{Source: fmt.Sprintf("app.table_of_the_web_%02d", i), Target: fmt.Sprintf("app.table_of_the_web_%02d", i), Key: []string{"id"}, Indexes: i % 4, Foreign: 2, Rows: int64(i) * 123_456, Bytes: int64(i) * 98_765_432}
		for j := range 20 {
			c := report.MovedColumn{Source: fmt.Sprintf("column_%02d", j), SourceType: "timestamp(3) without time zone", Target: fmt.Sprintf("column_%02d", j), TargetType: "timestamp(3) without time zone"}
			if j == 7 {
				c.SourceType, c.TargetType, c.By = "text[]", "text", "to text, as PostgreSQL writes it"
				m.Decisions = append(m.Decisions, report.Decision{Table: t.Source, Column: c.Source, Kind: "type-text", Fate: report.Converted, Why: "Its type text[] becomes text, because it is no type of a column there.", Do: "Cast it back."})
			}
			t.Columns = append(t.Columns, c)
		}
		m.Decisions = append(m.Decisions, report.Decision{Table: t.Source, Kind: "sequential-key", Fate: report.Kept, Why: fmt.Sprintf("Its key grows, number %d.", i), Do: "Make it a UUID."})
		m.Keys = append(m.Keys, report.KeyRule{Table: t.Source, SQL: strings.Repeat("chr(10) || ", 40) + "id"})
		m.Tables = append(m.Tables, t)
	}
	m.Estimate = reckoned(60)
	return m
}

const wicked = `"><script>alert(1)</script>'--></style></svg>{{.}}` + "\x1b[31m\u202e\x00"

// hostileMoved has a name that would leave its place wherever there is one.
func hostileMoved() report.Moved {
	m := shop()
	m.LoadID, m.Execution, m.Mapping.From, m.Mapping.SHA256 = wicked, wicked, wicked, wicked
	m.Input = json.RawMessage(`{"Snapshot":"</pre><script>alert(3)</script>"}`)
	m.Source = report.MovedSource{Snapshot: wicked, Taken: wicked, Export: wicked, Task: wicked, Database: wicked, Server: wicked}
	m.Target = report.MovedTarget{Cluster: wicked, Profile: wicked, AsOf: wicked, Probed: wicked}
	m.Tables[0] = report.MovedTable{Source: wicked, Target: wicked, Key: []string{wicked}, Columns: []report.MovedColumn{{Source: wicked, SourceType: wicked, Target: wicked, TargetType: wicked, By: wicked}}}
	for i := range m.Decisions {
		d := &m.Decisions[i]
		d.Table, d.Column, d.Name, d.Kind, d.Why, d.Do = wicked, wicked, wicked, wicked, wicked, wicked
	}
	m.Decisions = append(m.Decisions, report.Decision{Table: wicked, Column: wicked, Kind: wicked, Fate: report.Refused, Why: wicked, Do: wicked})
	m.Keys = []report.KeyRule{{Table: wicked, SQL: wicked}}
	m.Known = []report.TargetFact{{Name: wicked, Value: wicked, Source: wicked, AsOf: wicked}}
	m.Findings = []report.Finding{{Code: wicked, Severity: report.Warning, Text: wicked, Next: wicked}}
	return m
}

func assessments() map[string]report.Assessment {
	many := refused()
	for i := range 300 {
		many.Decisions = append(many.Decisions, report.Decision{Table: fmt.Sprintf("public.t%d", i), Kind: "odd-name", Fate: report.Refused, Why: fmt.Sprintf("Exports leave it out, reason %d.", i), Do: "Rename it."})
	}
	return map[string]report.Assessment{"movable": movable(), "refused": refused(), "web": {Moved: web()}, "hostile": {Moved: hostileMoved()}, "many": many, "zero": {}}
}

// arrived is a load that brought everything.
func arrived() report.Snapshot {
	s := report.Snapshot{Moved: shop()}
	s.Tables[0].Account = &report.RowAccount{Exported: 5000, Loaded: 5000, Compared: true, Expected: 5000, Found: 5000}
	s.Tables[1].Account = &report.RowAccount{Exported: 2000, Loaded: 2000, Compared: true, Expected: 2000, Found: 2000}
	s.Times = report.SnapshotTimes{ExportBegan: at(-3000), ExportEnded: at(-600), LoadBegan: at(-500), VerifyBegan: at(100), VerifyEnded: at(160)}
	s.Phases = []report.Phase{
		{Name: "tables and rows", Started: at(-500), Finished: at(-100), Rows: 7000},
		{Name: "indexes", Started: at(-100), Finished: at(100)},
		{Name: "digests of the target", Started: at(100), Finished: at(150)},
		{Name: "comparison", Started: at(150), Finished: at(160)},
	}
	return s
}

// laden is a load with a finding of every kind that is no error.
func laden() report.Snapshot {
	s := arrived()
	*s.Tables[0].Account = report.RowAccount{
		Exported: 5000, Loaded: 4900, Quarantined: 10, Filtered: 90, Compared: true, Expected: 4900, Found: 4900, RepairedAll: 3,
		Repaired: []report.RowDifference{
			{Kind: "missing", Key: []string{"0f6a"}},
			{Kind: "different", Key: []string{"1a2b"}, Columns: []report.ValueDifference{{Column: "total", Source: "5 bytes", Target: "NULL"}}},
		},
	}
	s.Times.ExportBegan, s.Times.ExportEnded = time.Time{}, time.Time{}
	s.Findings = []report.Finding{
		{Code: "skipped", Severity: report.Warning, Text: "RDS left this out of the export, as the input accepts: public.big.", Next: "Move it by other means."},
		{Code: "preflight", Severity: report.Note, Text: "RDS bills the export of the whole snapshot."},
	}
	return s
}

// differing is a load that stopped because the target is not what the export says.
func differing() report.Snapshot {
	s := arrived()
	*s.Tables[0].Account = report.RowAccount{
		Exported: 5000, Loaded: 5000, Compared: true, Expected: 5000, Found: 4999, Differing: 2, Differences: 150,
		Listed: []report.RowDifference{
			{Kind: "missing", Key: []string{"0f6a", "7"}},
			{Kind: "extra", Key: []string{"1a2b", "8"}},
			{Kind: "different", Key: nil, Columns: []report.ValueDifference{{Column: "total", Source: "5 bytes", Target: "6 bytes"}}},
		},
	}
	return s
}

func snapshots() map[string]report.Snapshot {
	hostile := report.Snapshot{Moved: hostileMoved()}
	hostile.Tables[0].Account = &report.RowAccount{
		Exported: 1, Compared: true, Differing: 1, Differences: 1, RepairedAll: 1, Unlisted: wicked,
		Listed:   []report.RowDifference{{Kind: wicked, Key: []string{wicked}, Columns: []report.ValueDifference{{Column: wicked, Source: wicked, Target: wicked}}}},
		Repaired: []report.RowDifference{{Kind: wicked, Key: []string{wicked}}},
	}
	hostile.Phases = []report.Phase{{Name: wicked, Started: at(0), Finished: at(1)}}
	huge := report.Snapshot{Moved: web()}
	for i := range huge.Tables {
		huge.Tables[i].Account = &report.RowAccount{Exported: 1e12, Loaded: 1e12, Compared: true, Expected: 1e12, Found: 1e12}
	}
	return map[string]report.Snapshot{"arrived": arrived(), "laden": laden(), "differing": differing(), "hostile": hostile, "huge": huge, "zero": {}}
}
