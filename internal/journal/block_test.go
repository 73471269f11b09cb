package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"godwit/internal/change"
	"godwit/internal/journal"
)

// Synthetic hashes of the right length.
var (
	hashA = "{{" + strings.Repeat("A", 43) + "=}}"
	hashB = "{{" + strings.Repeat("Qk", 21) + "Qg==}}"
)

// sample is a block in Ion text: every revision kind, two tables of one name.
var sample = `{
  blockAddress:{strandId:"StrandStrandStrandStra",sequenceNo:9007199254740993}, transactionId:"TxTxTxTxTxTxTxTxTxTxTx",
  blockTimestamp:2019-09-16T19:37:05.360Z, blockHash:HASH, entriesHash:HASH, previousBlockHash:{{}}, entriesHashList:[HASH,{{}},HASH],
  somethingNew:[1,{a:2}],
  transactionInfo:{statements:[{statement:"DROP TABLE T",startTime:2019-09-16T19:37:05.3Z,statementDigest:HASH},{statement:"CREATE TABLE T"}],
    documents:{doc1:{tableName:"T",tableId:"table1",statements:[1,2,2]},doc2:{tableName:"T",tableId:"table2",statements:[]},doc3:{tableName:"U",tableId:"table3",statements:[0]}}},
  redactionInfo:{revisions:[{blockAddress:{strandId:"StrandStrandStrandStra",sequenceNo:7},tableId:"table3",documentId:"doc9",version:4}]},
  revisions:[
    {blockAddress:{strandId:"StrandStrandStrandStra",sequenceNo:9007199254740993},hash:HASH,data:{a:1},metadata:{id:"doc1",version:0,txTime:2019-09-16T19:37:05.344Z,txId:"TxTxTxTxTxTxTxTxTxTxTx"}},
    {hash:HASH},
    {hash:HASH,metadata:{id:"doc2",version:3,txTime:2019-09-16T19:37:05.344Z,txId:"TxTxTxTxTxTxTxTxTxTxTx"}},
    {hash:HASH,dataHash:HASH,metadata:{id:"doc3",version:1,txTime:2019-09-16T19:37:05.344Z,txId:"TxTxTxTxTxTxTxTxTxTxTx"}},
    {hash:HASH,data:[1,2],metadata:{id:"doc3",version:2,txTime:2019-09-16T19:37:05.344Z,txId:"TxTxTxTxTxTxTxTxTxTxTx"}},
    {hash:HASH,data:null,metadata:{id:"doc3",version:3,txTime:2019-09-16T19:37:05.344Z,txId:"TxTxTxTxTxTxTxTxTxTxTx"}}]}`

// edited returns the sample with one text replaced by another.
func edited(t *testing.T, from, to string) string {
	t.Helper()
	if from != "" && !strings.Contains(sample, from) {
		t.Fatalf("the sample has no %q", from)
	}
	return strings.ReplaceAll(strings.Replace(sample, from, to, 1), "HASH", hashA)
}

// first returns the first block of an object.
func first(t *testing.T, object []byte, o journal.Options) (*journal.Block, error) {
	t.Helper()
	r, err := journal.NewReader(bytes.NewReader(object), o)
	if err != nil {
		return nil, err
	}
	return r.Next()
}

func TestBlockHoldsWhatTheJournalSays(t *testing.T) {
	for _, f := range formats {
		b, err := first(t, encode(t, f, edited(t, "", "")), journal.Options{Object: "k"})
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case b.Strand != "StrandStrandStrandStra" || b.SequenceNo != 9007199254740993 || string(b.TransactionID) != "TxTxTxTxTxTxTxTxTxTxTx":
			t.Errorf("%s: address %s %d %s", f, b.Strand, b.SequenceNo, b.TransactionID)
		case string(b.Timestamp) != "2019-09-16T19:37:05.360Z" || len(b.Hash) != 32 || len(b.EntriesHash) != 32 || len(b.PreviousHash) != 0:
			t.Errorf("%s: %s %x %x %x", f, b.Timestamp, b.Hash, b.EntriesHash, b.PreviousHash)
		case len(b.EntriesHashList) != 3 || len(b.EntriesHashList[1]) != 0 || len(b.EntriesHashList[2]) != 32:
			t.Errorf("%s: entries %x", f, b.EntriesHashList)
		case !b.HasTransactionInfo || len(b.Statements) != 2 || string(b.Statements[0].StartTime) != "2019-09-16T19:37:05.3Z" || b.Statements[1].Digest != nil:
			t.Errorf("%s: statements %q", f, b.Statements)
		case len(b.Documents) != 3 || fmt.Sprint(b.Documents[0].Statements) != "[1 2 2]" || b.Documents[1].Table != (change.SourceTable{ID: "table2", Name: "T"}):
			t.Errorf("%s: documents %v", f, b.Documents)
		case len(b.Redactions) != 1 || b.Redactions[0].SequenceNo != 7 || string(b.Redactions[0].DocumentID) != "doc9" || b.Redactions[0].Version != 4 || b.Redactions[0].TableID != "table3":
			t.Errorf("%s: redactions %v", f, b.Redactions)
		case b.HashOnly != 1 || len(b.Revisions) != 6 || b.Object != "k" || b.Format != f || len(b.RawTransactionInfo) == 0 || len(b.RawRedactionInfo) == 0 || (b.Symbols == nil) != (f == journal.JSON):
			t.Errorf("%s: %d hash-only, %d revisions", f, b.HashOnly, len(b.Revisions))
		}
		var got []string
		for rec, err := range b.Records() {
			kind := "row"
			switch {
			case rec.Deleted:
				kind = "deleted"
			case rec.Redacted:
				kind = "redacted"
			}
			if (rec.Fields == nil) != (rec.Deleted || rec.Redacted) {
				t.Errorf("%s: %s record with fields %v", f, kind, rec.Fields)
			}
			if rec.Fields != nil {
				kind += " " + rec.Fields.Nodes[0].Kind.String()
			}
			got = append(got, fmt.Sprintf("%d %s %s v%d %v", rec.Origin.Revision, rec.Table.ID, kind, rec.Version, err))
		}
		want := "0 table1 row struct v0 <nil>; 2 table2 deleted v3 <nil>; 3 table3 redacted v1 <nil>; 4 table3 row list v2 <nil>; 5 table3 row null v3 <nil>"
		if g := strings.Join(got, "; "); g != want {
			t.Errorf("%s: got records %s\nwant %s", f, g, want)
		}
	}
}

// TestRevisionThatIsNoRecordSaysWhy plants one fault a time in one revision. The
// others stay records, the faulty one keeps its origin.
func TestRevisionThatIsNoRecordSaysWhy(t *testing.T) {
	for _, c := range []struct {
		name, from, to, want string
		revision             int
	}{
		{"not listed", `doc1:{tableName`, `docX:{tableName`, "table of document doc1 is not known: transactionInfo.documents does not list it", 0},
		{"table without id", `tableName:"T",tableId:"table1",`, `tableName:"T",`, "table of document doc1 is not known: transactionInfo.documents gives no tableName or no tableId", 0},
		{"table without name", `tableName:"T",tableId:"table1",`, `tableId:"table1",`, "gives no tableName", 0},
		{"another block's", `revisions:[
    {blockAddress:{strandId:"StrandStrandStrandStra",sequenceNo:9007199254740993}`, `revisions:[
    {blockAddress:{strandId:"StrandStrandStrandStra",sequenceNo:9007199254740992}`, "says that it is in strand StrandStrandStrandStra, block 9007199254740992", 0},
		{"another strand's", `revisions:[
    {blockAddress:{strandId:"StrandStrandStrandStra"`, `revisions:[
    {blockAddress:{strandId:"X"`, "strand X, block", 0},
		{"another transaction's", `version:0,txTime:2019-09-16T19:37:05.344Z,txId:"Tx`, `version:0,txTime:2019-09-16T19:37:05.344Z,txId:"YY`, "belongs to transaction YYTx", 0},
		{"without metadata", `data:{a:1},metadata:{`, `data:{a:1},other:{`, "no metadata", 0},
		{"without a document id", `metadata:{id:"doc1",`, `metadata:{`, "id: field is absent", 0},
		{"empty document id", `metadata:{id:"doc1",`, `metadata:{id:"",`, "no document id", 0},
		{"without a version", `id:"doc1",version:0`, `id:"doc1"`, "version: field is absent", 0},
		{"negative version", `version:0`, `version:-1`, "version: version -1 is negative", 0},
		{"version of another type", `version:0`, `version:"0"`, "version:", 0},
		{"version beyond int64", `version:0`, `version:9223372036854775808`, "version:", 0},
		{"time of another type", `version:0,txTime:2019-09-16T19:37:05.344Z`, `version:0,txTime:"x"`, "txTime:", 0},
		{"without a hash", `hash:HASH,data:{a:1}`, `data:{a:1}`, "hash: field is absent", 0},
		{"short hash", `hash:HASH,data:{a:1}`, `hash:{{QUJD}},data:{a:1}`, "hash: hash has 3 bytes, not 32", 0},
		{"short data hash", `dataHash:HASH`, `dataHash:{{QUJD}}`, "dataHash: hash has 3 bytes, not 32", 3},
		{"data and its hash", `data:[1,2]`, `data:[1,2],dataHash:HASH`, "either redacted or not", 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, f := range formats {
				b, err := first(t, encode(t, f, edited(t, c.from, c.to)), journal.Options{Object: "k"})
				if err != nil {
					t.Fatalf("%s: %v", f, err)
				}
				records := 0
				for rec, err := range b.Records() {
					records++
					if rec.Origin.Revision != c.revision {
						if err != nil && c.name != "not listed" {
							t.Errorf("%s: revision %d: %v", f, rec.Origin.Revision, err)
						}
						continue
					}
					var bad *journal.RecordError
					if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || bad.Origin.Block != 9007199254740993 || bad.Origin.Object != "k" || bad.Origin.Revision != c.revision {
						t.Errorf("%s: got %v, want an error with %q", f, err, c.want)
					}
				}
				if records != 5 || b.HashOnly != 1 {
					t.Errorf("%s: %d records, %d hash-only", f, records, b.HashOnly)
				}
			}
		})
	}
}

func TestRecordsOfABlockWithoutTransactionInfoNameTheReason(t *testing.T) {
	text := edited(t, "transactionInfo:{", "otherInfo:{")
	for _, f := range formats {
		b, err := first(t, encode(t, f, text), journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for rec, err := range b.Records() {
			if err == nil || !strings.Contains(err.Error(), "the block has no transactionInfo") || len(rec.Key) == 0 {
				t.Errorf("%s: revision %d: %v", f, rec.Origin.Revision, err)
			}
		}
	}
}

// TestBlockThatCannotBeReadSaysWhy plants one fault a time in what the whole
// block depends on.
func TestBlockThatCannotBeReadSaysWhy(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"no address", `blockAddress:{strandId:"StrandStrandStrandStra",sequenceNo:9007199254740993}, tr`, `tr`, "no journal block: it has no blockAddress"},
		{"address without strand", `{
  blockAddress:{strandId:"StrandStrandStrandStra",`, `{
  blockAddress:{`, "block address has no strandId"},
		{"address without number", `,sequenceNo:9007199254740993}`, `}`, "block address has no sequenceNo"},
		{"negative number", `sequenceNo:9007199254740993`, `sequenceNo:-1`, "sequence number -1 is negative"},
		{"number beyond int64", `sequenceNo:9007199254740993`, `sequenceNo:9223372036854775808`, "blockAddress: sequenceNo:"},
		{"no transaction", `transactionId:`, `other:`, "no transactionId"},
		{"null transaction", `transactionId:"TxTxTxTxTxTxTxTxTxTxTx"`, `transactionId:null`, "no transactionId"},
		{"no time", `blockTimestamp:`, `other:`, "no blockTimestamp"},
		{"time that is none", `blockTimestamp:2019-09-16T19:37:05.360Z`, `blockTimestamp:"yesterday"`, "blockTimestamp:"},
		{"no hash", `blockHash:`, `other:`, "no blockHash"},
		{"short hash", `blockHash:HASH`, `blockHash:{{QUJD}}`, "blockHash: hash has 3 bytes, not 32"},
		{"short previous hash", `previousBlockHash:{{}}`, `previousBlockHash:{{QUJD}}`, "previousBlockHash: hash has 3 bytes"},
		{"short entry", `entriesHashList:[HASH`, `entriesHashList:[{{QUJD}}`, "entriesHashList: member 0: hash has 3 bytes"},
		{"hash of another type", `entriesHash:HASH`, `entriesHash:7`, "entriesHash:"},
		{"repeated field", `somethingNew:[1,{a:2}]`, `transactionId:"x"`, "field transactionId appears twice"},
		{"repeated field of a revision", `hash:HASH,data:{a:1}`, `hash:HASH,hash:HASH,data:{a:1}`, "field hash appears twice"},
		{"revisions of another type", `revisions:[
`, `revisions:7, other:[
`, "revisions: value is a"},
		{"revision of another type", `    {hash:HASH},`, `    7,`, "revisions: member 1: value is a"},
		{"empty revision", `    {hash:HASH},`, `    {},`, "neither a hash nor metadata"},
		{"short hash of a system revision", `    {hash:HASH},`, `    {hash:{{QUJD}}},`, "member 1: hash: hash has 3 bytes"},
		{"statement number out of range", `statements:[1,2,2]`, `statements:[-1]`, "statement number -1 is out of range"},
		{"document listed twice", `doc2:{`, `doc1:{`, `document "doc1" appears twice`},
		{"documents of another type", `documents:{doc1`, `documents:[1],other:{doc1`, "documents: value is a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, f := range formats {
				if _, err := first(t, encode(t, f, edited(t, c.from, c.to)), journal.Options{Object: "k"}); err == nil || err == io.EOF || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "object k, block at offset") {
					t.Errorf("%s: got %v, want an error with %q", f, err, c.want)
				}
			}
		})
	}
}

func TestTapeKeepsEveryIonValue(t *testing.T) {
	data := `{i:-7,big:123456789012345678901234567890,f:2.5e0,no:nan,d:9.00,neg:-0.0,t:2019-09-16T19:37:05.360-00:00,day:2017-08-21,` +
		`s:"añ\0b",e:"",y:red,n:null,tn:null.int,c:{{"clob"}},b:{{AP8=}},l:[1,[]],x:(a 1),note::annotated:note::true,i:2}`
	want := `0 - struct flags 0 end 23 0 ""
1 "i"#1 int flags 0 end 2 -7 ""
2 "big"#0 int flags 0 end 3 0 "123456789012345678901234567890"
3 "f"#0 float flags 0 end 4 4612811918334230528 ""
4 "no"#0 float flags 0 end 5 9221120237041090560 ""
5 "d"#0 decimal flags 0 end 6 0 "9.00"
6 "neg"#0 decimal flags 0 end 7 0 "-0.0"
7 "t"#0 timestamp flags 0 end 8 0 "2019-09-16T19:37:05.360-00:00"
8 "day"#0 timestamp flags 0 end 9 0 "2017-08-21"
9 "s"#0 text flags 0 end 10 0 "añ\x00b"
10 "e"#0 text flags 0 end 11 0 ""
11 "y"#0 text flags 1 end 12 0 "red"
12 "n"#0 null flags 0 end 13 0 ""
13 "tn"#0 null flags 16 end 14 0 ""
14 "c"#0 bytes flags 2 end 15 0 "clob"
15 "b"#0 bytes flags 0 end 16 0 "\x00\xff"
16 "l"#0 list flags 0 end 19 0 ""
17 - int flags 0 end 18 1 ""
18 - list flags 0 end 19 0 ""
19 "x"#0 list flags 4 end 22 0 ""
20 - text flags 1 end 21 0 "a"
21 - int flags 0 end 22 1 ""
22 "annotated"#2 bool flags 8 end 23 1 ""
`
	data = strings.Replace(data, "note::annotated:", "annotated:", 1)
	want = strings.Replace(want, "end 23 0", "end 24 0", 1) + `23 "i"#1 int flags 0 end 24 2 ""` + "\n"
	for _, f := range []journal.Format{journal.IonBinary, journal.IonText} {
		fields := &change.Fields{}
		fields.ID("i")
		fields.ID("annotated")
		b, err := first(t, encode(t, f, edited(t, "data:{a:1}", "data:"+data)), journal.Options{Fields: fields})
		if err != nil {
			t.Fatal(err)
		}
		rec, err := b.Record(0)
		if err != nil {
			t.Fatal(err)
		}
		var s strings.Builder
		dumpTape(&s, rec.Fields)
		if got := strings.ReplaceAll(s.String(), "  ", ""); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", f, got, want)
		}
	}
}

func TestClonedTapeOutlivesItsBlock(t *testing.T) {
	object := encode(t, journal.JSON, newSynthetic(8).blocks(4))
	r, err := journal.NewReader(bytes.NewReader(object), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	rec, err := b.Record(0)
	if err != nil {
		t.Fatal(err)
	}
	kept := rec.Fields.Clone()
	var before, after strings.Builder
	dumpTape(&before, kept)
	for err == nil {
		if b, err = r.Next(); err == nil {
			for range b.Records() {
				continue
			}
		}
	}
	dumpTape(&after, kept)
	if before.String() != after.String() {
		t.Errorf("the clone changed:\n%s\n%s", before.String(), after.String())
	}
}

func TestManyDocumentsFindTheirTables(t *testing.T) {
	var docs, revs strings.Builder
	for i := range 500 {
		fmt.Fprintf(&docs, ",doc%d:{tableName:\"T\",tableId:\"t%d\",statements:[0]}", i, i)
		fmt.Fprintf(&revs, `,{hash:HASH,data:{},metadata:{id:"doc%d",version:0,txTime:2019-09-16T19:37:05.344Z,txId:"TxTxTxTxTxTxTxTxTxTxTx"}}`, 499-i)
	}
	text := edited(t, `documents:{doc1`, `documents:{`+docs.String()[1:]+`},other:{doc1`)
	i := strings.LastIndex(text, "revisions:[")
	text = text[:i] + strings.ReplaceAll("revisions:["+revs.String()[1:]+"]}", "HASH", hashB)
	text = strings.ReplaceAll(text, hashB, hashA)
	for _, f := range formats {
		b, err := first(t, encode(t, f, text), journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rec, err := range b.Records() {
			if err != nil || rec.Table.ID != fmt.Sprintf("t%d", 499-n) {
				t.Fatalf("%s: record %d: %v, %v", f, n, rec.Table, err)
			}
			n++
		}
		if n != 500 {
			t.Errorf("%s: %d records", f, n)
		}
	}
}
