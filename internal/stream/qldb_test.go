package stream_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
	"godwit/internal/iontest"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/proof"
	"godwit/internal/stream"
)

const arn = "arn:aws:qldb:eu-west-1:123456789012:stream/vehicle-registration/IiPT4brpZCqCq3f4MTHbYy"

// refused decodes a message that is poison, and checks what the error says.
func refused(t *testing.T, d *stream.Decoder, m stream.Message, where string, says string) {
	t.Helper()
	event, err := d.Decode(m)
	var poison *stream.Error
	if !errors.As(err, &poison) || event != nil {
		t.Errorf("got event %v and error %v, want a *stream.Error", event, err)
		return
	}
	if poison.Where != where || !strings.Contains(err.Error(), says) {
		t.Errorf("got %q at %q, want %q at %q", err, poison.Where, says, where)
	}
}

// corpus reads a file of the real data, or skips the test.
func corpus(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("GODWIT_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	b, err := os.ReadFile(filepath.Join(dir, "qldb", "stream-record", name))
	if err != nil {
		t.Skipf("no real data: set GODWIT_CORPUS: %v", err)
	}
	return b
}

func TestTheRealRecordDecodesAndVerifies(t *testing.T) {
	var event struct {
		Records []struct {
			Kinesis struct{ Data []byte }
		}
	}
	if err := json.Unmarshal(corpus(t, "record.json"), &event); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(event.Records[0].Kinesis.Data, corpus(t, "attestation.kpl.bin")) {
		t.Fatal("the event holds another record")
	}
	messages := stream.Split(event.Records[0].Kinesis.Data)
	if len(messages) != 2 {
		t.Fatalf("%d messages, want 2", len(messages))
	}
	for i, m := range messages {
		if want := corpus(t, fmt.Sprintf("attestation.%d.10n", i)); !bytes.Equal(m.Data, want) {
			t.Errorf("message %d has other bytes", i)
		}
	}
	d := stream.NewDecoder(nil)
	var v proof.Verifier

	e, err := d.Decode(messages[0])
	if err != nil {
		t.Fatal(err)
	}
	summary := e.(*stream.Summary)
	if b := summary.Block; b.SequenceNo != 14 || len(b.Revisions) != 1 || len(b.Revisions[0].DocumentID) != 22 {
		t.Errorf("block %d has %d revisions", b.SequenceNo, len(b.Revisions))
	}
	if key := fmt.Sprintf("%x", summary.Block.Hash); key != string(messages[0].PartitionKey) {
		t.Errorf("block hash %s, partition key %s", key, messages[0].PartitionKey)
	}
	if c := v.Verify(summary.Block); c.Verdict != proof.Proven || c.Members != (proof.Members{Revisions: 1, TransactionInfo: 3, RedactionInfo: -1}) {
		t.Errorf("the block is %s: %v", c.Verdict, c.Findings)
	}
	awaited := bytes.Clone(summary.Block.Revisions[0].Hash)

	if e, err = d.Decode(messages[1]); err != nil {
		t.Fatal(err)
	}
	revision := e.(*stream.Revision)
	record, err := revision.Record()
	if err != nil {
		t.Fatal(err)
	}
	if key := fmt.Sprintf("%x", record.Hash); !bytes.Equal(record.Hash, awaited) || key != string(messages[1].PartitionKey) {
		t.Errorf("revision hash %x, the block awaits %x, partition key %s", record.Hash, awaited, messages[1].PartitionKey)
	}
	if c := v.VerifyRevisions(revision.Block); c.Verdict != proof.Proven || c.Revisions[0] != proof.Proven {
		t.Errorf("the revision is %s: %v", c.Verdict, c.Findings)
	}
	if revision.Table().Name != "attestations" || record.Version != 0 || record.Fields == nil || record.Origin.Block != 14 {
		t.Errorf("table %v, record %+v", revision.Table(), record)
	}
}

// ledger makes a ledger with everything in it.
func ledger(t testing.TB, o ledgergen.Options) *ledgergen.Journal {
	t.Helper()
	j, err := ledgergen.NewJournal(o, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// said is what a record tells, apart from where it was found.
func said(t testing.TB, r *change.Record) string {
	t.Helper()
	o := r.Origin
	o.Object, o.Offset, o.Revision = "", 0, 0
	line := fmt.Sprintf("%v %s v%d tx %s at %s hash %x data %x deleted %t redacted %t %+v", r.Table, r.Key, r.Version, r.Tx, r.At, r.Hash, r.DataHash, r.Deleted, r.Redacted, o)
	if r.Fields != nil {
		for i := range r.Fields.Nodes {
			n := &r.Fields.Nodes[i]
			if n.Name >= 0 {
				line += " " + r.Fields.Names[n.Name].Text + "="
			}
			v := r.Fields.Value(n)
			line += fmt.Sprintf(" %s/%d %d %q", v.Kind, n.End, v.Int, v.Bytes)
		}
	}
	return line
}

// exported is what the export of a journal tells: its records by their hash.
func exported(t testing.TB, j *ledgergen.Journal) map[string]string {
	t.Helper()
	records := map[string]string{}
	x := ledgergen.Export{ID: "x", Start: j.At(0), End: j.At(j.Len() - 1).Add(time.Millisecond), Format: ledgergen.IonBinary}
	err := j.Export(x, func(o ledgergen.Object) error {
		if o.First < 0 {
			return nil
		}
		r, err := journal.NewReader(bytes.NewReader(o.Body), journal.Options{})
		if err != nil {
			return err
		}
		for {
			b, err := r.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			for record, err := range b.Records() {
				if err != nil {
					return err
				}
				records[string(record.Hash)] = said(t, record)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// streamed is a journal as its stream tells it, in the order of the blocks.
func streamed(t testing.TB, j *ledgergen.Journal) []ledgergen.StreamMessage {
	t.Helper()
	var all []ledgergen.StreamMessage
	for n := range j.Len() {
		b, err := j.Block(n)
		if err != nil {
			t.Fatal(err)
		}
		messages, err := b.Stream(arn)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, messages...)
	}
	return all
}

func TestAStreamTellsWhatTheExportTells(t *testing.T) {
	j := ledger(t, ledgergen.Options{Seed: 2, Documents: 1500})
	want := exported(t, j)
	messages := streamed(t, j)
	// Summaries come before and after their details, and so does everything else.
	const seed = 9
	r := rand.New(rand.NewPCG(seed, 0))
	r.Shuffle(len(messages), func(a, b int) { messages[a], messages[b] = messages[b], messages[a] })

	d := stream.NewDecoder(nil)
	var v proof.Verifier
	got, blocks, awaited := map[string]string{}, map[int64]proof.Hash{}, map[string]bool{}
	deleted, redacted, own, redactions := 0, 0, 0, 0
	for len(messages) > 0 {
		n := min(1+r.IntN(30), len(messages))
		for _, m := range stream.Split(ledgergen.Aggregate(messages[:n])) {
			event, err := d.Decode(m)
			if err != nil {
				t.Fatal(err)
			}
			switch e := event.(type) {
			case *stream.Summary:
				c := v.Verify(e.Block)
				if c.Verdict != proof.Proven || len(c.Findings) > 0 {
					t.Fatalf("block %d is %s: %v", e.Block.SequenceNo, c.Verdict, c.Findings)
				}
				blocks[e.Block.SequenceNo] = c.Hash
				redactions += len(e.Block.Redactions)
				for i := range e.Block.Revisions {
					if s := &e.Block.Revisions[i]; len(s.DocumentID) > 0 {
						awaited[string(s.Hash)] = true
					} else {
						own++
					}
				}
			case *stream.Revision:
				c := v.VerifyRevisions(e.Block)
				if c.Verdict != proof.Proven || len(c.Findings) > 0 {
					t.Fatalf("revision in block %d is %s: %v", e.Block.SequenceNo, c.Verdict, c.Findings)
				}
				record, err := e.Record()
				if err != nil {
					t.Fatal(err)
				}
				got[string(record.Hash)] = said(t, record)
				if record.Deleted {
					deleted++
				}
				if record.Redacted {
					redacted++
				}
			default:
				t.Fatalf("event %T", event)
			}
		}
		messages = messages[n:]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-export +stream):\n%.2000s", diff)
	}
	for n := range j.Len() {
		if blocks[n] != j.Hash(n) {
			t.Errorf("block %d: hash %v, want %v", n, blocks[n], j.Hash(n))
		}
	}
	for hash := range got {
		if !awaited[hash] {
			t.Errorf("no summary awaits revision %x", hash)
		}
	}
	if len(awaited) != len(got) || deleted == 0 || redacted == 0 || own == 0 || redactions == 0 {
		t.Errorf("%d awaited for %d revisions: %d deletions, %d redacted, %d of QLDB's own, %d redactions", len(awaited), len(got), deleted, redacted, own, redactions)
	}
}

func TestControlMessagesTellBeginAndEnd(t *testing.T) {
	d := stream.NewDecoder(nil)
	for kind, arn := range map[string]string{stream.Created: arn, stream.Completed: arn + "2"} {
		m, err := ledgergen.StreamControl(arn, kind)
		if err != nil {
			t.Fatal(err)
		}
		event, err := d.Decode(stream.Split(ledgergen.Aggregate([]ledgergen.StreamMessage{m}))[0])
		if err != nil {
			t.Fatal(err)
		}
		if want := (&stream.Control{Source: change.SourceQLDB, Type: kind}); !cmp.Equal(want, event) {
			t.Errorf("got %+v, want %+v", event, want)
		}
	}
}

const (
	hash32  = "{{MLpNkjWwnvmmtPF7PtufWSYu4lu9mcnbb27wu4X75fE=}}"
	address = `blockAddress:{strandId:"strand",sequenceNo:7}`
	meta    = `metadata:{id:"document",version:3,txTime:2021-02-09T02:16:06.240Z,txId:"transaction"}`
	table   = `tableInfo:{tableName:"Person",tableId:"table"}`
)

func details(tableInfo, revision string) string {
	return `{qldbStreamArn:"arn",recordType:"REVISION_DETAILS",payload:{` + tableInfo + `,revision:{` + revision + `}}}`
}

func summary(fields string) string {
	return `{qldbStreamArn:"arn",recordType:"BLOCK_SUMMARY",payload:{` + fields + `}}`
}

func TestPoisonSaysWhatIsWrongAndWhere(t *testing.T) {
	d := stream.NewDecoder(nil)
	good := iontest.Binary(t, details(table, address+",hash:"+hash32+",data:{},"+meta))
	if _, err := d.Decode(stream.Message{Data: good}); err != nil {
		t.Fatal(err)
	}
	block := address + `,transactionId:"t",blockTimestamp:2021-02-09T02:16:06.240Z,blockHash:` + hash32
	for name, c := range map[string]struct {
		data        []byte
		where, says string
	}{
		"nothing":                    {nil, "", "empty"},
		"neither Ion nor JSON":       {[]byte("godwit"), "", "neither binary ion"},
		"Ion of another version":     {[]byte{0xE0, 2, 0, 0xEA, 0x0F}, "", "neither binary ion"},
		"marker alone":               {good[:4], "", "no value"},
		"cut off":                    {good[:len(good)-1], "", "does not fit"},
		"length that lies":           {[]byte{0xE0, 1, 0, 0xEA, 0xDE, 0x7F, 0x7F, 0x7F, 0x7F, 0xFF}, "", "does not fit"},
		"two values":                 {append(bytes.Clone(good), 0x0F), "", "another value"},
		"reserved byte":              {[]byte{0xE0, 1, 0, 0xEA, 0xF0}, "", "no value of ion 1.0"},
		"no struct":                  {iontest.Binary(t, `"text"`), "", "string, not a struct"},
		"null":                       {iontest.Binary(t, `null.struct`), "", "not a struct"},
		"another struct":             {iontest.Binary(t, `{a:1}`), "", "no record of a QLDB stream"},
		"no ARN":                     {iontest.Binary(t, `{recordType:"CONTROL",payload:{controlRecordType:"CREATED"}}`), "", "lacks qldbStreamArn"},
		"type is a number":           {iontest.Binary(t, `{qldbStreamArn:"a",recordType:1,payload:{}}`), "", "recordType: "},
		"type twice":                 {iontest.Binary(t, `{qldbStreamArn:"a",recordType:"CONTROL",recordType:"CONTROL",payload:{}}`), "", "recordType: it appears twice"},
		"ARN twice":                  {iontest.Binary(t, `{qldbStreamArn:"a",qldbStreamArn:"a",recordType:"CONTROL",payload:{}}`), "", "qldbStreamArn: it appears twice"},
		"payload twice":              {iontest.Binary(t, `{qldbStreamArn:"a",recordType:"CONTROL",payload:{},payload:{}}`), "", "payload: it appears twice"},
		"payload is null":            {iontest.Binary(t, `{qldbStreamArn:"a",recordType:"CONTROL",payload:null}`), "", "payload: it is no struct"},
		"unknown type":               {iontest.Binary(t, `{qldbStreamArn:"a",recordType:"DIGEST",payload:{}}`), "recordType", `"DIGEST" is none of CONTROL`},
		"unknown control":            {iontest.Binary(t, `{qldbStreamArn:"a",recordType:"CONTROL",payload:{controlRecordType:"PAUSED"}}`), "payload", `"PAUSED"`},
		"control without type":       {iontest.Binary(t, `{qldbStreamArn:"a",recordType:"CONTROL",payload:{}}`), "payload", "no controlRecordType"},
		"control of a number":        {iontest.Binary(t, `{qldbStreamArn:"a",recordType:"CONTROL",payload:{controlRecordType:1}}`), "payload", "controlRecordType: "},
		"details without revision":   {iontest.Binary(t, `{qldbStreamArn:"a",recordType:"REVISION_DETAILS",payload:{`+table+`}}`), "payload", "revision is absent"},
		"details of a hash":          {iontest.Binary(t, details(table, "hash:"+hash32)), "payload", "its hash alone"},
		"details without block":      {iontest.Binary(t, details(table, "hash:"+hash32+","+meta)), "payload", "no blockAddress"},
		"details of a negative one":  {iontest.Binary(t, details(table, `blockAddress:{strandId:"s",sequenceNo:-1}`)), "payload", "negative"},
		"table name is a number":     {iontest.Binary(t, details(`tableInfo:{tableName:1,tableId:"table"}`, address)), "payload", "tableInfo: tableName"},
		"summary without a hash":     {iontest.Binary(t, summary(address+`,transactionId:"t",blockTimestamp:2021-02-09T02:16:06.240Z`)), "payload", "no blockHash"},
		"summary of short hash":      {iontest.Binary(t, summary(block+",revisionSummaries:[{hash:{{AAAA}}}]")), "payload", "revisionSummaries: member 0: hash"},
		"summary of absent hash":     {iontest.Binary(t, summary(block+`,revisionSummaries:[{documentId:"d"}]`)), "payload", "field is absent"},
		"summaries that are no list": {iontest.Binary(t, summary(block+`,revisionSummaries:{}`)), "payload", "revisionSummaries: "},
	} {
		t.Run(name, func(t *testing.T) { refused(t, d, stream.Message{Data: c.data}, c.where, c.says) })
	}
	// Neighbours are read all the same.
	if _, err := d.Decode(stream.Message{Data: good}); err != nil {
		t.Error(err)
	}
}

func TestARevisionThatCannotBeARecordTellsWhichItIs(t *testing.T) {
	d := stream.NewDecoder(nil)
	for name, c := range map[string]struct{ message, says string }{
		"no table":          {details(`tableInfo:{tableName:"Person"}`, address+",hash:"+hash32+",data:{},"+meta), "no tableName or no tableId"},
		"null table":        {details(`tableInfo:null`, address+",hash:"+hash32+",data:{},"+meta), "no tableName or no tableId"},
		"no hash":           {details(table, address+",data:{},"+meta), "hash: field is absent"},
		"short hash":        {details(table, address+",hash:{{AAAA}},data:{},"+meta), "hash has 3 bytes"},
		"data and dataHash": {details(table, address+",hash:"+hash32+",data:{},dataHash:"+hash32+","+meta), "data and dataHash"},
		"no version":        {details(table, address+",hash:"+hash32+`,data:{},metadata:{id:"document",txTime:2021-02-09T02:16:06.240Z,txId:"transaction"}`), "version: field is absent"},
	} {
		event, err := d.Decode(stream.Message{Data: iontest.Binary(t, c.message)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		record, err := event.(*stream.Revision).Record()
		var bad *journal.RecordError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.says)
			continue
		}
		if string(record.Key) != "document" || bad.Origin.Block != 7 || bad.Origin.Strand != "strand" {
			t.Errorf("%s: document %q, %+v", name, record.Key, bad.Origin)
		}
	}
}

func TestARevisionBeforeItsTableInfoIsTheSame(t *testing.T) {
	d := stream.NewDecoder(nil)
	text := `{payload:{unknown:1,revision:{` + meta + `,data:{a:1},hash:` + hash32 + `,` + address + `},` + table + `},other:[],recordType:"REVISION_DETAILS",qldbStreamArn:"arn"}`
	event, err := d.Decode(stream.Message{Data: iontest.Binary(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	record, err := event.(*stream.Revision).Record()
	if err != nil {
		t.Fatal(err)
	}
	if record.Table != (change.SourceTable{ID: "table", Name: "Person"}) || record.Version != 3 || len(record.Fields.Nodes) != 2 {
		t.Errorf("got %+v", record)
	}
}

func TestFieldsThatAMappingAsksForAreMarked(t *testing.T) {
	fields := &change.Fields{}
	asked := fields.ID("VIN")
	d := stream.NewDecoder(fields)
	for i := range 200 { // more symbol tables than are kept
		m := iontest.Binary(t, details(table, address+",hash:"+hash32+fmt.Sprintf(",data:{other%d:1,VIN:2},", i)+meta))
		event, err := d.Decode(stream.Message{Data: m})
		if err != nil {
			t.Fatal(err)
		}
		record, err := event.(*stream.Revision).Record()
		if err != nil {
			t.Fatal(err)
		}
		var marked []string
		for n := range record.Fields.Nodes {
			if at := record.Fields.Nodes[n].Name; at >= 0 && record.Fields.Names[at].Field == asked {
				marked = append(marked, record.Fields.Names[at].Text)
			}
		}
		if len(marked) != 1 || marked[0] != "VIN" {
			t.Fatalf("message %d: marked are %q", i, marked)
		}
	}
}

func TestAMessageOfFiveMegabytesIsRead(t *testing.T) {
	text := strings.Repeat("x", 5<<20)
	message := iontest.Binary(t, details(table, address+",hash:"+hash32+`,data:{a:"`+text+`"},`+meta))
	for _, m := range append(stream.Split(message), stream.Split(ledgergen.Aggregate([]ledgergen.StreamMessage{{PartitionKey: "k", Data: message}}))...) {
		event, err := stream.NewDecoder(nil).Decode(m)
		if err != nil {
			t.Fatal(err)
		}
		record, err := event.(*stream.Revision).Record()
		if err != nil {
			t.Fatal(err)
		}
		if v := record.Fields.Value(&record.Fields.Nodes[1]); string(v.Bytes) != text {
			t.Errorf("the text has %d bytes", len(v.Bytes))
		}
	}
}
