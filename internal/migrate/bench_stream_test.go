package migrate_test

import (
	"bytes"
	"fmt"
	"testing"

	ionlib "github.com/amazon-ion/ion-go/ion"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/awslabs/kinesis-aggregation/go/v2/deaggregator"

	"godwit/internal/copytext"
	"godwit/internal/ledgergen"
	"godwit/internal/stream"
)

// aggregateSize is that of the Kinesis Producer Library unless it is told
// otherwise: AggregationMaxSize, in bytes.
const aggregateSize = 51200

// benchRecords returns a ledger's journal stream as Kinesis delivers it, and how
// many revisions it tells of.
func benchRecords(b *testing.B) (records [][]byte, revisions int64) {
	b.Helper()
	j, err := ledgergen.NewJournal(ledgergen.Options{Seed: 1, Documents: 6000}, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	var waiting []ledgergen.StreamMessage
	size := 0
	flush := func() {
		if len(waiting) > 0 {
			records = append(records, ledgergen.Aggregate(waiting))
			waiting, size = nil, 0
		}
	}
	for n := range j.Len() {
		block, err := j.Block(n)
		if err != nil {
			b.Fatal(err)
		}
		messages, err := block.Stream("arn:aws:qldb:eu-west-1:123456789012:stream/vehicle-registration/IiPT4brpZCqCq3f4MTHbYy")
		if err != nil {
			b.Fatal(err)
		}
		revisions += int64(len(messages) - 1)
		for _, m := range messages {
			if size+len(m.Data) > aggregateSize {
				flush()
			}
			waiting, size = append(waiting, m), size+len(m.Data)
		}
	}
	flush()
	return records, revisions
}

// A streamLiner turns records of a stream into lines of COPY text.
type streamLiner struct {
	*liner
	decoder *stream.Decoder
}

func (l *streamLiner) lines(record []byte, out *bytes.Buffer) error {
	for _, m := range stream.Split(record) {
		event, err := l.decoder.Decode(m)
		if err != nil {
			return err
		}
		revision, ok := event.(*stream.Revision)
		if !ok {
			continue
		}
		plan, err := l.mapping.Plan(revision.Table().Name)
		if err != nil {
			return err
		}
		if plan.Skip {
			continue
		}
		record, err := revision.Record()
		if err != nil {
			return err
		}
		row, err := plan.Map(record)
		if err != nil {
			return err
		}
		if l.line, err = copytext.AppendRow(l.line[:0], row); err != nil {
			return err
		}
		out.Write(l.line)
	}
	return nil
}

// plainIonMessage is a REVISION_DETAILS of a stream.
type plainIonMessage struct {
	StreamARN  string `ion:"qldbStreamArn"`
	RecordType string `ion:"recordType"`
	Payload    struct {
		TableInfo struct {
			TableName string `ion:"tableName"`
			TableID   string `ion:"tableId"`
		} `ion:"tableInfo"`
		Revision struct {
			BlockAddress struct {
				StrandID   string `ion:"strandId"`
				SequenceNo int64  `ion:"sequenceNo"`
			} `ion:"blockAddress"`
			Hash     []byte `ion:"hash"`
			DataHash []byte `ion:"dataHash"`
			Data     any    `ion:"data"`
			Metadata struct {
				ID      string           `ion:"id"`
				Version int64            `ion:"version"`
				TxTime  ionlib.Timestamp `ion:"txTime"`
				TxID    string           `ion:"txId"`
			} `ion:"metadata"`
		} `ion:"revision"`
	} `ion:"payload"`
}

// plainStream writes the rows of a record with AWS's library for aggregates and
// ion-go's decoder.
func plainStream(record []byte, out *bytes.Buffer) error {
	parts, err := deaggregator.DeaggregateRecords([]types.Record{{Data: record}})
	if err != nil {
		return err
	}
	for _, part := range parts {
		var message plainIonMessage
		if err := ionlib.Unmarshal(part.Data, &message); err != nil {
			return err
		}
		if message.RecordType != "REVISION_DETAILS" {
			continue
		}
		table, r := &message.Payload.TableInfo, &message.Payload.Revision
		row := plainRow{
			id: r.Metadata.ID, tx: r.Metadata.TxID, time: r.Metadata.TxTime.String(), strand: r.BlockAddress.StrandID,
			table: table.TableName, tableID: table.TableID, version: r.Metadata.Version, block: r.BlockAddress.SequenceNo,
			hash: r.Hash, dataHash: r.DataHash,
		}
		if err := row.writeIon(out, r.Data); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkStreamDecode races the way from Kinesis records of a QLDB stream to
// COPY-ready rows, de-aggregation, Ion and mapping, against libraries.
func BenchmarkStreamDecode(b *testing.B) {
	oneProcessor(b)
	records, revisions := benchRecords(b)
	l := &streamLiner{liner: newLiner(b, true)}
	l.decoder = stream.NewDecoder(l.fields)
	var got, want bytes.Buffer
	for _, r := range records {
		if err := l.lines(r, &got); err != nil {
			b.Fatal(err)
		}
		if err := plainStream(r, &want); err != nil {
			b.Fatal(err)
		}
	}
	sameRows(b, got.Bytes(), want.Bytes())
	var out bytes.Buffer
	way := func(lines func([]byte, *bytes.Buffer) error) func() error {
		return every(records, func(r []byte) error { out.Reset(); return lines(r, &out) })
	}
	race(b, fmt.Sprintf("QLDB stream to rows: %d aggregates of %d revisions, CPU time of one core", len(records), revisions), cpu,
		contestant{name: "godwit", bytes: revisions, things: "revisions", goal: 100, run: way(l.lines)},
		contestant{name: "kinesis-aggregation and ion-go, same rows", bytes: revisions, things: "revisions", run: way(plainStream)},
	)
}
