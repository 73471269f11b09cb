package stream_test

import (
	"bytes"
	"crypto/md5" // as KPL does
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/awslabs/kinesis-aggregation/go/v2/deaggregator"
	"google.golang.org/protobuf/encoding/protowire"

	"godwit/internal/ledgergen"
	"godwit/internal/stream"
)

var magic = []byte{0xF3, 0x89, 0x9A, 0xC2}

// seal puts the magic before and the MD5 behind the protobuf of an aggregate.
func seal(body []byte) []byte {
	sum := md5.Sum(body)
	return append(append(bytes.Clone(magic), body...), sum[:]...)
}

func bytesField(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func numberField(b []byte, n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

// part is a record of an aggregate.
func part(key uint64, data []byte) []byte {
	return bytesField(numberField(nil, 1, key), 3, data)
}

// randomAggregate writes an aggregate as the format allows it, which is more than
// the library does: keys behind their records, shared keys and keys that nobody
// has, explicit hash keys, tags, fields of later versions, numbers that are
// written twice.
func randomAggregate(r *rand.Rand) []byte {
	var keys, parts []byte
	n := uint64(1 + r.IntN(5))
	for i := range n {
		keys = bytesField(keys, 1, fmt.Appendf(nil, "key %d", i))
		if r.IntN(4) == 0 {
			keys = bytesField(keys, 2, []byte("340282366920938463463374607431768211455"))
		}
	}
	for i := range r.IntN(12) {
		data := bytes.Repeat([]byte{byte(i)}, r.IntN(300))
		var one []byte
		if r.IntN(4) == 0 {
			one = numberField(one, 1, 1<<40) // the last one counts
		}
		one = numberField(one, 1, r.Uint64N(n))
		if r.IntN(4) == 0 {
			one = numberField(one, 2, 0)
		}
		one = bytesField(one, 3, data)
		if r.IntN(4) == 0 {
			one = bytesField(one, 4, bytesField(nil, 1, []byte("tag")))
		}
		if r.IntN(4) == 0 {
			one = protowire.AppendFixed64(protowire.AppendTag(one, 9, protowire.Fixed64Type), 7)
		}
		parts = bytesField(parts, 3, one)
	}
	if r.IntN(3) == 0 {
		return append(parts, keys...)
	}
	return append(keys, parts...)
}

func TestSplitIsWhatTheOracleFinds(t *testing.T) {
	const seed = 5
	r := rand.New(rand.NewPCG(seed, 0))
	parts := 0
	for round := range 3000 {
		record := seal(randomAggregate(r))
		switch round % 4 {
		case 1:
			record = record[4:] // no magic
		case 2:
			record[len(record)-1-r.IntN(16)] ^= 1 // another MD5
		}
		outer := "outer"
		want, err := deaggregator.DeaggregateRecords([]types.Record{{Data: record, PartitionKey: &outer}})
		if err != nil {
			t.Fatalf("seed %d, round %d: the oracle: %v", seed, round, err)
		}
		got := stream.Split(record)
		if len(got) != len(want) {
			t.Fatalf("seed %d, round %d: %d messages, the oracle finds %d", seed, round, len(got), len(want))
		}
		for i, m := range got {
			key := string(m.PartitionKey)
			if m.PartitionKey == nil {
				key = outer
			}
			if !bytes.Equal(m.Data, want[i].Data) || key != *want[i].PartitionKey || m.Sub != i {
				t.Fatalf("seed %d, round %d: message %d is number %d of key %s and %d bytes; the oracle finds key %s and %d bytes",
					seed, round, i, m.Sub, key, len(m.Data), *want[i].PartitionKey, len(want[i].Data))
			}
			if damaged := round%4 == 2; damaged != (m.Damaged != "") {
				t.Fatalf("seed %d, round %d: damaged by %q", seed, round, m.Damaged)
			}
		}
		if round%4 == 0 {
			parts += len(got)
		}
	}
	if parts < 1000 {
		t.Errorf("only %d parts of aggregates were compared", parts)
	}
}

func TestWhatTheGeneratorAggregatesIsWhatTheOracleFinds(t *testing.T) {
	messages := []ledgergen.StreamMessage{{PartitionKey: "a", Data: []byte("one")}, {PartitionKey: "b", Data: nil}, {PartitionKey: "a", Data: []byte("three")}}
	record := ledgergen.Aggregate(messages)
	parts, err := deaggregator.DeaggregateRecords([]types.Record{{Data: record}})
	if err != nil || len(parts) != len(messages) {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	for i, p := range parts {
		if *p.PartitionKey != messages[i].PartitionKey || !bytes.Equal(p.Data, messages[i].Data) {
			t.Errorf("part %d is %s %q", i, *p.PartitionKey, p.Data)
		}
	}
}

func TestDamagedAggregatesAreOneMessageThatSaysSo(t *testing.T) {
	key := bytesField(nil, 1, []byte("key"))
	good := bytesField(key, 3, part(0, []byte("data")))
	wrongSum := seal(good)
	wrongSum[len(wrongSum)-1] ^= 1
	for name, c := range map[string]struct {
		record []byte
		says   string
	}{
		"magic alone":                {magic, "has no room"},
		"magic and a checksum":       {seal(nil), "has no room"},
		"another MD5":                {wrongSum, "MD5"},
		"MD5 is missing":             {append(bytes.Clone(magic), good...), ""},
		"protobuf is cut off":        {seal(good[:len(good)-1]), "unexpected EOF"},
		"record is longer than all":  {seal(protowire.AppendVarint(protowire.AppendTag(bytes.Clone(key), 3, protowire.BytesType), 1<<40)), "unexpected EOF"},
		"length of 64 bits":          {seal(append(protowire.AppendTag(bytes.Clone(key), 3, protowire.BytesType), bytes.Repeat([]byte{0xFF}, 10)...)), "protobuf"},
		"data longer than record":    {seal(bytesField(key, 3, append(numberField(nil, 1, 0), 0x1A, 0x7F, 'x'))), "record 0: protobuf at byte 3"},
		"second record without data": {seal(bytesField(good, 3, numberField(nil, 1, 0))), "record 1: it has no data"},
		"record without a key":       {seal(bytesField(key, 3, bytesField(nil, 3, []byte("data")))), "no partition key index"},
		"key that is not there":      {seal(bytesField(key, 3, part(1, []byte("data")))), "key is number 1 of 1"},
		"field number 0":             {seal([]byte{0x02, 0x00}), "protobuf at byte 0"},
		"group that does not end":    {seal([]byte{0x53}), "protobuf at byte 1"},
	} {
		got := stream.Split(c.record)
		if len(got) != 1 || !bytes.Equal(got[0].Data, c.record) || got[0].Sub != 0 || got[0].PartitionKey != nil {
			t.Errorf("%s: %d messages, want the record itself", name, len(got))
			continue
		}
		if got[0].Damaged == "" || !bytes.Contains([]byte(got[0].Damaged), []byte(c.says)) {
			t.Errorf("%s: damaged by %q, want something with %q", name, got[0].Damaged, c.says)
		}
		refused(t, stream.NewDecoder(nil), got[0], "", got[0].Damaged)
	}
	if got := stream.Split(seal(key)); len(got) != 0 {
		t.Errorf("an aggregate of no records holds %d messages", len(got))
	}
	if got := stream.Split(nil); len(got) != 1 || got[0].Damaged != "" {
		t.Errorf("an empty record is %+v, want an empty message", got)
	}
}

func TestAnAggregatesPartsDoNotReachIntoOneAnother(t *testing.T) {
	body := bytesField(bytesField(bytesField(nil, 1, []byte("key")), 3, part(0, []byte("first"))), 3, part(0, []byte("second")))
	got := stream.Split(seal(body))
	_ = append(got[0].Data, "overwritten"...)
	if string(got[1].Data) != "second" {
		t.Errorf("the second part is %q", got[1].Data)
	}
}
