package proof_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"godwit/internal/ion"
	"godwit/internal/journal"
	"godwit/internal/proof"
)

// A typedRow is a document as it was and as JSON shows it. Its hash is made of
// binary Ion, not of what is tested.
type typedRow struct {
	table string
	json  string
	value func(w *ion.Writer)
}

func ionSum(t testing.TB, write func(w *ion.Writer)) proof.Hash {
	t.Helper()
	var w ion.Writer
	write(&w)
	value, err := w.AppendValues(nil)
	if err != nil {
		t.Fatal(err)
	}
	var h ion.Hasher
	sum, err := h.Sum(nil, value, &w)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := proof.ParseHash(sum)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// typedLedger is a JSON export with true hashes, one block a row.
func typedLedger(t testing.TB, rows []typedRow) [][]byte {
	t.Helper()
	var object bytes.Buffer
	var previous proof.Hash
	for i, row := range rows {
		doc, tx, at := fmt.Sprintf("doc%d", i), fmt.Sprintf("tx%d", i), "2021-08-03T17:04:05.120Z"
		data := ionSum(t, row.value)
		metadata := ionSum(t, func(w *ion.Writer) {
			w.BeginStruct()
			w.Field("id")
			w.String(doc)
			w.Field("version")
			w.Int(0)
			w.Field("txTime")
			w.Timestamp(at)
			w.Field("txId")
			w.String(tx)
			w.End()
		})
		info := ionSum(t, func(w *ion.Writer) {
			w.BeginStruct()
			w.Field("documents")
			w.BeginStruct()
			w.Field(doc)
			w.BeginStruct()
			w.Field("tableName")
			w.String(row.table)
			w.Field("tableId")
			w.String(row.table)
			w.End()
			w.End()
			w.End()
		})
		revision := proof.RevisionHash(metadata, data)
		list := []proof.Hash{number(3 * i), proof.Merkle([]proof.Hash{revision}), number(3*i + 1), info}
		block := proof.BlockHash(proof.EntriesHash(list), previous)
		fmt.Fprintf(&object, `{"blockAddress":{"strandId":"s","sequenceNo":%d},"transactionId":"%s","blockTimestamp":"%s",`+
			`"blockHash":"%s","entriesHash":"%s","previousBlockHash":"%s","entriesHashList":["%s","%s","%s","%s"],`+
			`"transactionInfo":{"documents":{"%s":{"tableName":"%s","tableId":"%[12]s"}}},`+
			`"revisions":[{"blockAddress":{"strandId":"s","sequenceNo":%[1]d},"hash":"%[13]s","data":%[14]s,`+
			`"metadata":{"id":"%[11]s","version":0,"txTime":"%[3]s","txId":"%[2]s"}}]}`+"\n",
			i, tx, at, block, proof.EntriesHash(list), previous, list[0], list[1], list[2], list[3], doc, row.table, revision, row.json)
		previous = block
	}
	return [][]byte{object.Bytes()}
}

// proveAll verifies each revision and returns what was recovered of it, or
// "type-unproven" and the like.
func proveAll(t testing.TB, objects [][]byte, types *proof.Types) []string {
	t.Helper()
	typist := &proof.Typist{Types: types}
	v := proof.Verifier{Typing: typist}
	var all []string
	eachBlock(t, objects, func(b *journal.Block) {
		for _, verdict := range v.Verify(b).Revisions {
			if verdict != proof.Proven {
				all = append(all, verdict.String())
				continue
			}
			all = append(all, showRecovered(typist))
		}
	})
	return all
}

func showRecovered(typist *proof.Typist) string {
	var parts []string
	for v := range typist.Recovered() {
		switch {
		case v.Null:
			parts = append(parts, fmt.Sprintf("%d=null.%s", v.Node, v.Type))
		case v.Type == ion.FloatType:
			parts = append(parts, fmt.Sprintf("%d=float %v", v.Node, v.Float))
		case v.Type == ion.SexpType:
			parts = append(parts, fmt.Sprintf("%d=sexp", v.Node))
		default:
			parts = append(parts, fmt.Sprintf("%d=%s %q", v.Node, v.Type, v.Text))
		}
	}
	return strings.Join(parts, ", ")
}

// oneField makes a document {"f": value}.
func oneField(write func(w *ion.Writer)) func(w *ion.Writer) {
	return func(w *ion.Writer) {
		w.BeginStruct()
		w.Field("f")
		write(w)
		w.End()
	}
}

func TestEveryLostTypeIsRecovered(t *testing.T) {
	huge, _ := new(big.Int).SetString("-1234567890123456789012345678901234567890", 10)
	for _, c := range []struct {
		json  string
		value func(w *ion.Writer)
		want  string
	}{
		{`true`, func(w *ion.Writer) { w.Bool(true) }, ""},
		{`"plain"`, func(w *ion.Writer) { w.String("plain") }, ""},
		{`"\u00e9\n\ud83d\ude97\"\/"`, func(w *ion.Writer) { w.String("é\n🚗\"/") }, ""},
		{`"a symbol"`, func(w *ion.Writer) { w.Symbol("a symbol") }, `1=symbol "a symbol"`},
		{`""`, func(w *ion.Writer) { w.String("") }, ""},
		{`""`, func(w *ion.Writer) { w.Symbol("") }, `1=symbol ""`},
		{`""`, func(w *ion.Writer) { w.Blob(nil) }, `1=blob ""`},
		{`""`, func(w *ion.Writer) { w.Clob(nil) }, `1=clob ""`},
		{`"AQIDDA=="`, func(w *ion.Writer) { w.Blob([]byte{1, 2, 3, 12}) }, `1=blob "\x01\x02\x03\f"`},
		{`"AQIDDA=="`, func(w *ion.Writer) { w.String("AQIDDA==") }, ""},
		{`"aGVsbG8h"`, func(w *ion.Writer) { w.Blob([]byte("hello!")) }, `1=blob "hello!"`},
		{`"clob \u00ff\u0000"`, func(w *ion.Writer) { w.Clob([]byte("clob \xff\x00")) }, `1=clob "clob \xff\x00"`},
		{`"2021-08-03"`, func(w *ion.Writer) { w.String("2021-08-03") }, ""},
		{`"2021-08-03"`, func(w *ion.Writer) { w.Timestamp("2021-08-03") }, `1=timestamp "2021-08-03"`},
		{`"2021T"`, func(w *ion.Writer) { w.Timestamp("2021T") }, `1=timestamp "2021T"`},
		{`"2021-08-03T17:04-00:00"`, func(w *ion.Writer) { w.Timestamp("2021-08-03T17:04-00:00") }, `1=timestamp "2021-08-03T17:04-00:00"`},
		{`"2021-08-03T17:04:05.1200+02:00"`, func(w *ion.Writer) { w.Timestamp("2021-08-03T17:04:05.1200+02:00") }, `1=timestamp "2021-08-03T17:04:05.1200+02:00"`},
		{`"2021-02-30"`, func(w *ion.Writer) { w.String("2021-02-30") }, ""}, // no day
		{`-1234567890123456789012345678901234567890`, func(w *ion.Writer) { w.BigInt(huge) }, ""},
		{`0`, func(w *ion.Writer) { w.Int(0) }, ""},
		{`9`, func(w *ion.Writer) { w.Decimal("9.") }, `1=decimal "9"`},
		{`9`, func(w *ion.Writer) { w.Decimal("9.0") }, `1=decimal "9.0"`},
		{`9`, func(w *ion.Writer) { w.Decimal("9.00") }, `1=decimal "9.00"`},
		{`9`, func(w *ion.Writer) { w.Float(9) }, `1=float 9`},
		{`90.25`, func(w *ion.Writer) { w.Decimal("90.25") }, ""},
		{`9025e-2`, func(w *ion.Writer) { w.Decimal("90.25") }, ""},
		{`90e-1`, func(w *ion.Writer) { w.Decimal("9.0") }, ""},
		{`9.0`, func(w *ion.Writer) { w.Decimal("9.0") }, ""},
		{`0e-2`, func(w *ion.Writer) { w.Decimal("0.00") }, ""},
		{`-0e-1`, func(w *ion.Writer) { w.Decimal("-0.0") }, ""},
		{`-0`, func(w *ion.Writer) { w.Decimal("-0.") }, ""},
		{`-0`, func(w *ion.Writer) { w.Float(math.Copysign(0, -1)) }, `1=float -0`},
		{`5e0`, func(w *ion.Writer) { w.Decimal("5.") }, ""},
		{`5e0`, func(w *ion.Writer) { w.Float(5) }, `1=float 5`},
		{`2.5e0`, func(w *ion.Writer) { w.Float(2.5) }, `1=float 2.5`},
		{`2.5`, func(w *ion.Writer) { w.Float(2.5) }, `1=float 2.5`},
		{`1e999`, func(w *ion.Writer) { w.Decimal("1e999") }, ""}, // no double
		{`6.02214076e23`, func(w *ion.Writer) { w.Float(6.02214076e23) }, `1=float 6.02214076e+23`},
		{`8.700000000000001`, func(w *ion.Writer) { w.Decimal("8.7") }, `1=decimal "8.7"`},
		{`8.700000000000001`, func(w *ion.Writer) { w.Decimal("8.700000000000001") }, ""},
		{`8.700000000000001`, func(w *ion.Writer) { w.Decimal("8.70") }, `1=decimal "8.70"`},
		{`8.700000000000001`, func(w *ion.Writer) { w.Float(8.700000000000001) }, `1=float 8.700000000000001`},
		{`0.30000000000000004`, func(w *ion.Writer) { w.Decimal("0.3") }, `1=decimal "0.3"`},
		{`0.1`, func(w *ion.Writer) { w.Decimal("0.1000") }, `1=decimal "0.1000"`},
		{`null`, func(w *ion.Writer) { w.Null(ion.NullType) }, ""},
		{`null`, func(w *ion.Writer) { w.Null(ion.IntType) }, "1=null.int"},
		{`null`, func(w *ion.Writer) { w.Null(ion.StringType) }, "1=null.string"},
		{`null`, func(w *ion.Writer) { w.Null(ion.TimestampType) }, "1=null.timestamp"},
		{`null`, func(w *ion.Writer) { w.Null(ion.BoolType) }, "1=null.bool"},
		{`null`, func(w *ion.Writer) { w.Null(ion.FloatType) }, "1=null.float"},
		{`null`, func(w *ion.Writer) { w.Null(ion.DecimalType) }, "1=null.decimal"},
		{`null`, func(w *ion.Writer) { w.Null(ion.SymbolType) }, "1=null.symbol"},
		{`null`, func(w *ion.Writer) { w.Null(ion.BlobType) }, "1=null.blob"},
		{`null`, func(w *ion.Writer) { w.Null(ion.ClobType) }, "1=null.clob"},
		{`null`, func(w *ion.Writer) { w.Null(ion.ListType) }, "1=null.list"},
		{`null`, func(w *ion.Writer) { w.Null(ion.SexpType) }, "1=null.sexp"},
		{`null`, func(w *ion.Writer) { w.Null(ion.StructType) }, "1=null.struct"},
		{`null`, func(w *ion.Writer) { w.Float(math.NaN()) }, "1=float NaN"},
		{`null`, func(w *ion.Writer) { w.Float(math.Inf(1)) }, "1=float +Inf"},
		{`null`, func(w *ion.Writer) { w.Float(math.Inf(-1)) }, "1=float -Inf"},
		{`[1,"x"]`, func(w *ion.Writer) { w.BeginList(); w.Int(1); w.String("x"); w.End() }, ""},
		{`[1,"x"]`, func(w *ion.Writer) { w.BeginSexp(); w.Int(1); w.Symbol("x"); w.End() }, `1=sexp, 3=symbol "x"`},
		{`[]`, func(w *ion.Writer) { w.BeginSexp(); w.End() }, "1=sexp"},
		{`[null,null,null]`, func(w *ion.Writer) {
			w.BeginList()
			w.Null(ion.IntType)
			w.Null(ion.NullType)
			w.Null(ion.StringType)
			w.End()
		}, "2=null.int, 4=null.string"},
		{`{"a":1,"b":[{"c":90.25}],"a":2}`, func(w *ion.Writer) {
			w.BeginStruct()
			w.Field("a")
			w.Int(2)
			w.Field("b")
			w.BeginList()
			w.BeginStruct()
			w.Field("c")
			w.Float(90.25)
			w.End()
			w.End()
			w.Field("a")
			w.Int(1)
			w.End()
		}, "5=float 90.25"},
	} {
		objects := typedLedger(t, []typedRow{{"T", `{"f":` + c.json + `}`, oneField(c.value)}})
		// By what is usual, and by types learned of this row.
		for name, types := range map[string]*proof.Types{"unlearned": nil, "learned": learn(t, objects)} {
			if got := proveAll(t, objects, types); got[0] != c.want {
				t.Errorf("%s, %s: got %q, want %q", c.json, name, got[0], c.want)
			}
		}
	}
}

func TestWhatIsLostForEverIsTypeUnproven(t *testing.T) {
	for json, value := range map[string]func(w *ion.Writer){
		`"x"`:   func(w *ion.Writer) { w.Annotate("a"); w.String("x") },
		`8.7`:   func(w *ion.Writer) { w.Decimal("8.71") },
		`8.75`:  func(w *ion.Writer) { w.Decimal("8.8") }, // nothing is rounded but what a double rounds
		`"y"`:   func(w *ion.Writer) { w.String("x") },
		`1`:     func(w *ion.Writer) { w.Int(-1) },
		`[1]`:   func(w *ion.Writer) { w.Int(1) },
		`"A=="`: func(w *ion.Writer) { w.Blob([]byte{0}) },
	} {
		objects := typedLedger(t, []typedRow{{"T", `{"f":` + json + `}`, oneField(value)}})
		for _, types := range []*proof.Types{nil, learn(t, objects)} {
			if got := proveAll(t, objects, types); got[0] != "type-unproven" {
				t.Errorf("%s: got %q", json, got[0])
			}
		}
	}
}

// movie is a document whose numbers a program printed as doubles.
func movie(rating, printed string) typedRow {
	return typedRow{"Movie", fmt.Sprintf(`{"title":"T%s","rating":%s,"year":2013}`, rating, printed), func(w *ion.Writer) {
		w.BeginStruct()
		w.Field("title")
		w.String("T" + rating)
		w.Field("rating")
		w.Decimal(rating)
		w.Field("year")
		w.Int(2013)
		w.End()
	}}
}

func TestDoublesOfDecimalsFindTheirScale(t *testing.T) {
	rows := []typedRow{movie("8.7", "8.700000000000001"), movie("9.0", "9"), movie("8.3", "8.3"), movie("10.0", "10"), movie("7.9", "7.9")}
	objects := typedLedger(t, rows)
	types := learn(t, objects)
	want := `[2=decimal "8.7" 2=decimal "9.0"  2=decimal "10.0" ]`
	if got := fmt.Sprint(proveAll(t, objects, types)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := types.Tables()["Movie"]; got.Samples != 5 || got.Proven != 5 || len(got.Typings) != 1 || got.Typings[0] != 5 {
		t.Errorf("learned %+v: want one typing of all five", got)
	}
	// One hash a row for rows that nobody learned from.
	more := typedLedger(t, []typedRow{movie("6.1", "6.1000000000000005"), movie("6.0", "6")})
	if got := fmt.Sprint(proveAll(t, more, types)); got != `[2=decimal "6.1" 2=decimal "6.0"]` {
		t.Errorf("got %s", got)
	}
}

// release is a document of an application whose first version wrote its many
// times as strings, and its second as timestamps.
func release(i int, timestamps bool) typedRow {
	var text strings.Builder
	for k := range 20 {
		fmt.Fprintf(&text, `"t%d":"20%02d-01-%02d",`, k, i%100, k+1)
	}
	return typedRow{"Release", "{" + text.String() + fmt.Sprintf(`"n":%d}`, i), func(w *ion.Writer) {
		w.BeginStruct()
		for k := range 20 {
			w.Field(fmt.Sprint("t", k))
			if day := fmt.Sprintf("20%02d-01-%02d", i%100, k+1); timestamps && k%3 > 0 {
				w.Timestamp(day)
			} else {
				w.String(day)
			}
		}
		w.Field("n")
		w.Int(int64(i))
		w.End()
	}}
}

func TestRowsOfOneTableMayNeedDifferentTypings(t *testing.T) {
	var rows []typedRow
	for i := range 60 {
		rows = append(rows, release(i, i%3 == 0))
	}
	// Where timestamps and strings are mixed within a row, they are found one by
	// one: rows with fewer of them tell about rows with more.
	for k := range 20 {
		day := fmt.Sprintf("2001-02-%02d", k+1)
		rows = append(rows, typedRow{"Release", fmt.Sprintf(`{"t%d":"%s"}`, k, day), func(w *ion.Writer) {
			w.BeginStruct()
			w.Field(fmt.Sprint("t", k))
			if k%3 > 0 {
				w.Timestamp(day)
			} else {
				w.String(day)
			}
			w.End()
		}})
	}
	objects := typedLedger(t, rows)
	types := learn(t, objects)
	got := types.Tables()["Release"]
	if got.Samples != 80 || got.Proven != 80 || len(got.Typings) != 2 || got.Typings[0]+got.Typings[1] != 80 {
		t.Errorf("learned %+v: want two typings that prove all 80", got)
	}
	for i, s := range proveAll(t, objects, types) {
		if s == "type-unproven" {
			t.Errorf("row %d: %s", i, s)
		}
	}
}

// TestNullsHaveTheTypeOfTheirColumn learns from rows that all have many nulls,
// each of the type of its column.
func TestNullsHaveTheTypeOfTheirColumn(t *testing.T) {
	columns := []struct {
		json  string
		typ   ion.Type
		write func(w *ion.Writer)
	}{
		{`1`, ion.IntType, func(w *ion.Writer) { w.Int(1) }},
		{`"s s"`, ion.StringType, func(w *ion.Writer) { w.String("s s") }},
		{`15e-1`, ion.DecimalType, func(w *ion.Writer) { w.Decimal("1.5") }},
		{`"2021-08-03"`, ion.TimestampType, func(w *ion.Writer) { w.Timestamp("2021-08-03") }},
		{`true`, ion.BoolType, func(w *ion.Writer) { w.Bool(true) }},
		{`[1]`, ion.ListType, func(w *ion.Writer) { w.BeginList(); w.Int(1); w.End() }},
		{`{"a":1}`, ion.StructType, func(w *ion.Writer) { w.BeginStruct(); w.Field("a"); w.Int(1); w.End() }},
	}
	var rows []typedRow
	row := func(null func(i int) bool) {
		var text strings.Builder
		for i := range 14 {
			value := columns[i%len(columns)].json
			if null(i) {
				value = "null"
			}
			fmt.Fprintf(&text, `,"c%d":%s`, i, value)
		}
		rows = append(rows, typedRow{"T", "{" + text.String()[1:] + "}", func(w *ion.Writer) {
			w.BeginStruct()
			for i := range 14 {
				w.Field(fmt.Sprint("c", i))
				if c := columns[i%len(columns)]; null(i) {
					w.Null(c.typ)
				} else {
					c.write(w)
				}
			}
			w.End()
		}})
	}
	row(func(int) bool { return false })
	for k := range 20 {
		row(func(i int) bool { return (i+k)%3 > 0 })
	}
	objects := typedLedger(t, rows)
	if got := learn(t, objects).Tables()["T"]; got.Proven != 21 {
		t.Errorf("learned %+v: want 21 proven", got)
	}
}

func TestTypesDoNotDependOnTheOrderOfTheSample(t *testing.T) {
	var rows []typedRow
	for i := range 300 {
		pad := strings.Repeat("x", i*389%2000)
		rows = append(rows, typedRow{"T", fmt.Sprintf(`{"n":%d,"pad":"%s"}`, i, pad), func(w *ion.Writer) {
			w.BeginStruct()
			w.Field("n")
			w.Int(int64(i))
			w.Field("pad")
			w.Symbol(pad)
			w.End()
		}})
	}
	objects := typedLedger(t, rows)
	var revisions []journal.Revision
	eachBlock(t, objects, func(b *journal.Block) {
		r := b.Revisions[0]
		r.RawData, r.RawMetadata, r.Hash = bytes.Clone(r.RawData), bytes.Clone(r.RawMetadata), bytes.Clone(r.Hash)
		revisions = append(revisions, r)
	})
	var texts [2][]byte
	for k := range texts {
		l := proof.Learner{Rows: 50, Bytes: 20 << 10}
		for i := range revisions {
			at := i
			if k == 1 {
				at = len(revisions) - 1 - i
			}
			l.Add(&revisions[at])
			l.Add(&revisions[at]) // of an export that overlaps
		}
		var err error
		if texts[k], err = json.Marshal(l.Learn()); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(texts[0], texts[1]) || !bytes.Contains(texts[0], []byte(`"symbol":1`)) {
		t.Errorf("got %.300s\nand %.300s", texts[0], texts[1])
	}
}
