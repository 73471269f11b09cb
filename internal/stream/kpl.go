package stream

import (
	"bytes"
	"crypto/md5" //nolint:gosec // the format's checksum, not a defence
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// aggregateMagic begins what the Kinesis Producer Library aggregated:
//
//	F3 89 9A C2 | AggregatedRecord, protobuf | MD5 of the protobuf, 16 bytes
var aggregateMagic = []byte{0xF3, 0x89, 0x9A, 0xC2}

// The fields of the format's protobuf messages.
const (
	aggregateKeys    protowire.Number = 1 // repeated string
	aggregateRecords protowire.Number = 3 // repeated Record

	recordKey  protowire.Number = 1 // uint64, index into aggregateKeys, required
	recordData protowire.Number = 3 // bytes, required
)

// Split returns the messages in the data of one Kinesis record, in their order:
// the parts of an aggregate, of which there may be none, or the record as the one
// message that it is. What begins like an aggregate and is none, by its MD5 or
// its protobuf, is one message, as in every library that takes them apart; it
// says so in Damaged.
func Split(record []byte) []Message {
	if !bytes.HasPrefix(record, aggregateMagic) {
		return []Message{{Data: record}}
	}
	messages, err := splitAggregate(record[len(aggregateMagic):])
	if err != nil {
		return []Message{{Data: record, Damaged: err.Error()}}
	}
	return messages
}

// splitAggregate takes apart what follows the magic.
func splitAggregate(b []byte) ([]Message, error) {
	if len(b) <= md5.Size {
		return nil, fmt.Errorf("aggregate of %d bytes has no room for records and their MD5", len(b)+len(aggregateMagic))
	}
	body, want := b[:len(b)-md5.Size], b[len(b)-md5.Size:]
	if got := md5.Sum(body); !bytes.Equal(got[:], want) { //nolint:gosec // see its import
		return nil, fmt.Errorf("aggregate's MD5 is %x, and its %d bytes have %x", want, len(body), got)
	}
	// Keys may stand behind the records that use them: count first.
	var keys [][]byte
	records := 0
	err := eachField(body, func(n protowire.Number, value protoValue) error {
		switch {
		case n == aggregateKeys && value.bytes != nil:
			keys = append(keys, value.bytes)
		case n == aggregateRecords && value.bytes != nil:
			records++
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("aggregate: %w", err)
	}
	messages := make([]Message, 0, records)
	err = eachField(body, func(n protowire.Number, value protoValue) error {
		if n != aggregateRecords || value.bytes == nil {
			return nil
		}
		m, err := splitRecord(value.bytes, keys)
		m.Sub = len(messages)
		messages = append(messages, m)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("aggregate's record %d: %w", len(messages)-1, err)
	}
	return messages, nil
}

func splitRecord(b []byte, keys [][]byte) (m Message, err error) {
	keyed := false
	index := uint64(0)
	err = eachField(b, func(n protowire.Number, value protoValue) error {
		switch {
		case n == recordKey && value.bytes == nil:
			keyed, index = true, value.number
		case n == recordData && value.bytes != nil:
			m.Data = value.bytes
		}
		return nil
	})
	switch {
	case err != nil:
		return m, err
	case !keyed:
		return m, errors.New("it has no partition key index")
	case m.Data == nil:
		return m, errors.New("it has no data")
	case index >= uint64(len(keys)):
		return m, fmt.Errorf("its partition key is number %d of %d", index, len(keys))
	}
	m.PartitionKey = keys[index]
	return m, nil
}

// A protoValue is a field's: bytes, not nil, where it has a length, else number where it is
// a varint. The format has no others.
type protoValue struct {
	bytes  []byte
	number uint64
}

// eachField calls do for every field of a protobuf message that has a length or
// is a varint, and steps over others.
func eachField(b []byte, do func(protowire.Number, protoValue) error) error {
	for at := 0; at < len(b); {
		number, kind, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return fmt.Errorf("protobuf at byte %d: %w", at, protowire.ParseError(n))
		}
		at += n
		var value protoValue
		switch kind {
		case protowire.BytesType:
			if value.bytes, n = protowire.ConsumeBytes(b[at:]); n >= 0 {
				value.bytes = value.bytes[:len(value.bytes):len(value.bytes)]
			}
		case protowire.VarintType:
			value.number, n = protowire.ConsumeVarint(b[at:])
		default:
			n = protowire.ConsumeFieldValue(number, kind, b[at:])
		}
		if n < 0 {
			return fmt.Errorf("protobuf at byte %d: %w", at, protowire.ParseError(n))
		}
		at += n
		if kind != protowire.BytesType && kind != protowire.VarintType {
			continue
		}
		if err := do(number, value); err != nil {
			return err
		}
	}
	return nil
}
