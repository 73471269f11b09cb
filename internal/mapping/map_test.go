package mapping_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/mapping"
)

func dmvPlan(t testing.TB, table string) (*mapping.Plan, *change.Fields) {
	t.Helper()
	f, err := mapping.Parse(mapping.DMV())
	if err != nil {
		t.Fatal(err)
	}
	fields := &change.Fields{}
	m, err := mapping.Compile(f, fields)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Plan(table)
	if err != nil {
		t.Fatal(err)
	}
	return p, fields
}

// column returns a row's value by name.
func column(t *testing.T, row change.Row, name string) change.Value {
	t.Helper()
	for i, c := range row.Table.Columns {
		if c.Name == name {
			return row.Values[i]
		}
	}
	t.Fatalf("no column %s", name)
	return change.Value{}
}

func TestHistoryRowCarriesItsOrigin(t *testing.T) {
	p, fields := dmvPlan(t, "Person")
	hash := bytes.Repeat([]byte{0xfb}, 32)
	for _, c := range []struct {
		name      string
		edit      func(*change.Record)
		operation string
		audit     map[string]any // what differs from the base
	}{
		{"insert", func(*change.Record) {}, "I", nil},
		{"update", func(r *change.Record) { r.Version = 3 }, "U", map[string]any{"ql_v": 3.0}},
		{"delete", func(r *change.Record) { r.Version, r.Deleted, r.Fields = 4, true, nil }, "D", map[string]any{"ql_v": 4.0, "ql_deletion": true}},
		{
			"redacted insert", func(r *change.Record) { r.Redacted, r.DataHash, r.Fields = true, hash, nil }, "I",
			map[string]any{"ql_redacted": true, "ql_data_hash": "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s="},
		},
		{"odd names", func(r *change.Record) {
			r.Table.Name, r.Origin.Strand, r.Origin.Object = "a\"b\n", `s\`, `"`
		}, "I", map[string]any{"ql_tablename": "a\"b\n", "ql_strand": `s\`, "ql_object": `"`}},
		{"another place", func(r *change.Record) {
			r.Origin.Object, r.Origin.Offset, r.Origin.Revision = "", 1<<40, 39
		}, "I", map[string]any{"ql_object": "", "ql_offset": float64(1 << 40), "ql_revision": 39.0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := record("Person", 0, ionTape(t, fields, `{FirstName:"Raul"}`))
			c.edit(rec)
			row, err := p.Map(rec)
			if err != nil {
				t.Fatal(err)
			}
			if row.Table != &p.History {
				t.Error("the row is not of the history table")
			}
			want := map[string]any{
				"ql_id": "D1", "ql_v": 0.0, "ql_txid": "tx0", "ql_txtime": "2026-01-02T03:04:05.678Z", "ql_blockseq": 0.0,
				"ql_strand": "strand", "ql_rev_hash": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "ql_tableid": "tableIdPerson",
				"ql_tablename": "Person", "ql_deletion": false, "ql_redacted": false, "ql_data_hash": "",
				"ql_object": "a/b.ion", "ql_offset": 100.0, "ql_revision": 0.0,
			}
			for k, v := range c.audit {
				want[k] = v
			}
			var got map[string]any
			text := column(t, row, "ql_audit").Bytes
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("ql_audit (-got +want):\n%s", diff)
			}
			if got := string(column(t, row, "operation").Bytes); got != c.operation {
				t.Errorf("operation %s, want %s", got, c.operation)
			}
			if v := column(t, row, "version"); v.Int != int64(rec.Version) {
				t.Errorf("version %d", v.Int)
			}
			if got := string(column(t, row, "transaction_id").Bytes); got != "tx0" {
				t.Errorf("transaction_id %s", got)
			}
			first := column(t, row, "first_name")
			if gone := rec.Deleted || rec.Redacted; gone != (first.Kind == change.Null) {
				t.Errorf("first_name is %s", showValue(first))
			}
		})
	}
}

func TestRecordWithoutDocumentIsRefused(t *testing.T) {
	p, fields := dmvPlan(t, "Person")
	for name, edit := range map[string]func(*change.Record){
		"no document":     func(r *change.Record) { r.Fields = nil },
		"empty tape":      func(r *change.Record) { r.Fields = &change.Tape{} },
		"no id":           func(r *change.Record) { r.Key = nil },
		"NUL in the id":   func(r *change.Record) { r.Key = []byte("a\x00") },
		"no transaction":  func(r *change.Record) { r.Tx = nil },
		"id not UTF-8":    func(r *change.Record) { r.Key = []byte{0xff} },
		"time not UTF-8":  func(r *change.Record) { r.At = []byte{0xff} },
		"NUL in a strand": func(r *change.Record) { r.Origin.Strand = "\x00" },
	} {
		rec := record("Person", 0, ionTape(t, fields, `{FirstName:"Raul"}`))
		edit(rec)
		_, err := p.Map(rec)
		var refused *mapping.ValueError
		if !errors.As(err, &refused) || refused.Origin != rec.Origin {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPresenceCountsEveryPath(t *testing.T) {
	p, fields := dmvPlan(t, "DriversLicense")
	for i, doc := range []string{`{PersonId:"a",LicenseNumber:"b"}`, `{LicensePlateNumber:null,LicenseNumber:"b"}`, `{}`} {
		if _, err := p.Map(record("DriversLicense", i, ionTape(t, fields, doc))); err != nil {
			t.Fatal(err)
		}
	}
	deleted := record("DriversLicense", 3, nil)
	deleted.Deleted = true
	if _, err := p.Map(deleted); err != nil {
		t.Fatal(err)
	}
	want := []mapping.Presence{
		{Column: "person_id", Path: "PersonId", Documents: 3, Present: 1},
		{Column: "license_plate_num", Path: "LicensePlateNumber", Documents: 3, Present: 1},
		{Column: "license_plate_num", Path: "LicenseNumber", Documents: 3, Present: 2},
		{Column: "license_type", Path: "LicenseType", Documents: 3},
		{Column: "valid_from_dt", Path: "ValidFromDate", Documents: 3},
		{Column: "valid_to_dt", Path: "ValidToDate", Documents: 3},
	}
	if diff := cmp.Diff(p.Presence(), want); diff != "" {
		t.Errorf("presence (-got +want):\n%s", diff)
	}
}

const registration = `{VIN:"KM8SRDHF6EU074761",LicensePlateNumber:"CA762X",State:"WA",City:"Kent",PendingPenaltyTicketAmount:130.75,` +
	`ValidFromDate:2017-09-14T,ValidToDate:2020-06-25T,Owners:{PrimaryOwner:{PersonId:"IN7MvYtUjkp1GMZu0F6CG9"},SecondaryOwners:[{PersonId:"5Ufgdlnj06gF5CWcOIu64s"}]}}`

func TestMapAllocatesNothingInSteadyState(t *testing.T) {
	for table, doc := range map[string]string{
		"VehicleRegistration": registration,
		"Unmapped": `{a:1,b:90.250,c:12d5,d:2.5e0,e:"text\n",'é':"a text beyond ASCII, longer than 32 bytes: é\U0001F600",f:[{g:{h:{{AAEC}}}}],i:2019-09-16T,` +
			`j1:1,j2:1,j3:1,j4:1,j5:1,j6:1,j7:1,j8:1,j9:1,j10:1,j11:1,j12:1}`,
	} {
		p, fields := dmvPlan(t, table)
		rec := record(table, 0, ionTape(t, fields, doc))
		var line []byte
		once := func() {
			row, err := p.Map(rec)
			if err != nil {
				t.Fatal(err)
			}
			if line, err = copytext.AppendRow(line[:0], row); err != nil {
				t.Fatal(err)
			}
		}
		once()
		if n := testing.AllocsPerRun(100, once); n != 0 {
			t.Errorf("%s: %v allocations a record", table, n)
		}
	}
}

// TestRowsDoNotDependOnTheRecordBefore maps documents in many orders: what a
// plan keeps between records must not show.
func TestRowsDoNotDependOnTheRecordBefore(t *testing.T) {
	docs := []string{registration, `{}`, `{Owners:{SecondaryOwners:[]}}`, `{VIN:null}`, `{Owners:5}`, `{VIN:"` + strings.Repeat("x", 60) + `"}`}
	alone := make([]string, len(docs))
	mapOne := func(p *mapping.Plan, fields *change.Fields, doc string) string {
		row, err := p.Map(record("VehicleRegistration", 0, ionTape(t, fields, doc)))
		if err != nil {
			return err.Error()
		}
		return show(row)
	}
	for i, doc := range docs {
		p, fields := dmvPlan(t, "VehicleRegistration")
		alone[i] = mapOne(p, fields, doc)
	}
	p, fields := dmvPlan(t, "VehicleRegistration")
	for a := range docs {
		for b := range docs {
			mapOne(p, fields, docs[a])
			if got := mapOne(p, fields, docs[b]); got != alone[b] {
				t.Fatalf("behind document %d, document %d maps to\n%s, alone to\n%s", a, b, got, alone[b])
			}
		}
	}
}

// BenchmarkMapAppendRow maps a vehicle registration (14 columns in its history)
// and writes its COPY line.
func BenchmarkMapAppendRow(b *testing.B) {
	for name, table := range map[string]string{"mapped": "VehicleRegistration", "jsonb": "Unmapped"} {
		b.Run(name, func(b *testing.B) {
			p, fields := dmvPlan(b, table)
			rec := record(table, 0, ionTape(b, fields, registration))
			var line []byte
			b.ReportAllocs()
			for b.Loop() {
				row, err := p.Map(rec)
				if err != nil {
					b.Fatal(err)
				}
				if line, err = copytext.AppendRow(line[:0], row); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(line)))
		})
	}
}
