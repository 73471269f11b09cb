package ledgergen

import (
	"crypto/md5" //nolint:gosec // the format's checksum, not a defence
	"encoding/hex"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"godwit/internal/ion"
)

// A StreamMessage is one message of a journal stream, as QLDB hands it to the
// Kinesis Producer Library.
type StreamMessage struct {
	PartitionKey string
	Data         []byte // binary Ion with a symbol table of its own
}

// StreamControl is the message that a journal stream begins with, of type
// CREATED, or that its end was reached, COMPLETED. Its partition key, of which
// nothing is known, is the stream's id.
func StreamControl(arn, kind string) (StreamMessage, error) {
	data, err := streamRecord(arn, "CONTROL", structure(field{"controlRecordType", text(kind)}))
	return StreamMessage{arn[strings.LastIndexByte(arn, '/')+1:], data}, err
}

// Stream is the block as the journal stream with the given ARN tells of it: its
// summary, and the details of each revision of a document, in the block's order.
// The service promised no order, not even within a block, and each message at
// least once.
func (b *Block) Stream(arn string) ([]StreamMessage, error) {
	summaries := list()
	var details []StreamMessage
	if revisions := b.value.get("revisions"); revisions != nil {
		for i := range revisions.items {
			r := &revisions.items[i]
			summary := structure(field{"hash", *r.get("hash")})
			if metadata := r.get("metadata"); metadata != nil {
				id := metadata.get("id")
				summary.fields = append(summary.fields, field{"documentId", *id})
				m, err := b.streamDetails(arn, id.text, r)
				if err != nil {
					return nil, err
				}
				details = append(details, m)
			}
			summaries.items = append(summaries.items, summary)
		}
	}
	payload := b.value.without("revisions")
	payload.fields = append(payload.fields, field{"revisionSummaries", summaries})
	data, err := streamRecord(arn, "BLOCK_SUMMARY", payload)
	if err != nil {
		return nil, fmt.Errorf("write summary of block %d: %w", b.Sequence, err)
	}
	return append([]StreamMessage{{hex.EncodeToString(b.Hash.Bytes()), data}}, details...), nil
}

func (b *Block) streamDetails(arn, document string, revision *value) (StreamMessage, error) {
	said := b.value.get("transactionInfo").get("documents").get(document)
	data, err := streamRecord(arn, "REVISION_DETAILS", structure(
		field{"tableInfo", structure(field{"tableName", *said.get("tableName")}, field{"tableId", *said.get("tableId")})},
		field{"revision", *revision}))
	if err != nil {
		return StreamMessage{}, fmt.Errorf("write details of document %s in block %d: %w", document, b.Sequence, err)
	}
	return StreamMessage{hex.EncodeToString(revision.get("hash").bytes), data}, nil
}

func streamRecord(arn, kind string, payload value) ([]byte, error) {
	var w ion.Writer
	record := structure(field{"qldbStreamArn", text(arn)}, field{"recordType", text(kind)}, field{"payload", payload})
	record.write(&w)
	return w.AppendTo(nil)
}

// Aggregate is the data of the one Kinesis record that the Kinesis Producer
// Library makes of messages:
//
//	F3 89 9A C2 | {1: partition key, …, 3: {1: index of its key, 3: data}, …} | MD5 of the protobuf
func Aggregate(messages []StreamMessage) []byte {
	const (
		keyTable, records = 1, 3 // fields of AggregatedRecord
		keyIndex, data    = 1, 3 // fields of Record
	)
	record := []byte{0xF3, 0x89, 0x9A, 0xC2}
	magic := len(record)
	indexes := map[string]uint64{}
	for _, m := range messages {
		if _, ok := indexes[m.PartitionKey]; !ok {
			indexes[m.PartitionKey] = uint64(len(indexes))
			record = protowire.AppendTag(record, keyTable, protowire.BytesType)
			record = protowire.AppendString(record, m.PartitionKey)
		}
	}
	for _, m := range messages {
		var one []byte
		one = protowire.AppendTag(one, keyIndex, protowire.VarintType)
		one = protowire.AppendVarint(one, indexes[m.PartitionKey])
		one = protowire.AppendTag(one, data, protowire.BytesType)
		one = protowire.AppendBytes(one, m.Data)
		record = protowire.AppendTag(record, records, protowire.BytesType)
		record = protowire.AppendBytes(record, one)
	}
	sum := md5.Sum(record[magic:]) //nolint:gosec // see its import
	return append(record, sum[:]...)
}
