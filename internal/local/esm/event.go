package esm

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"

	"godwit/internal/local/kinesis"
	"godwit/internal/local/lambda"
)

// maxEvent is the longest event, in bytes: base64 and all.
const maxEvent = lambda.MaxPayload

const (
	eventHead = `{"Records":[`
	eventTail = `]}`
)

// event is what the function gets.
// https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
func (m *mapping) event(shard string, items []*item) []byte {
	size := len(eventHead) + len(eventTail)
	for _, it := range items {
		size += it.size + 1
	}
	skew := time.Duration(0)
	if c := m.service.config; c.HostNow != nil {
		skew = c.HostNow().Sub(c.Clock.Now())
	}
	b := append(make([]byte, 0, size), eventHead...)
	for i, it := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = m.record(b, shard, it.Record, skew)
	}
	return append(b, eventTail...)
}

// record appends one record of an event. Its length does not depend on the time.
func (m *mapping) record(b []byte, shard string, r kinesis.Record, skew time.Duration) []byte {
	b = append(b, `{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":`...)
	b = appendText(b, r.PartitionKey)
	b = append(b, `,"sequenceNumber":"`...)
	b = append(b, r.Sequence...)
	b = append(b, `","data":"`...)
	b = base64.StdEncoding.AppendEncode(b, r.Data)
	b = append(b, `","approximateArrivalTimestamp":`...)
	b = strconv.AppendFloat(b, float64(r.Arrival.Add(skew).UnixMilli())/1000, 'f', 3, 64)
	b = append(b, `},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"`...)
	b = append(append(append(b, shard...), ':'), r.Sequence...)
	b = append(b, `","eventName":"aws:kinesis:record","invokeIdentityArn":`...)
	b = appendText(b, m.Role)
	b = append(b, `,"awsRegion":`...)
	b = appendText(b, m.service.config.Region)
	b = append(b, `,"eventSourceARN":`...)
	b = appendText(b, m.StreamARN)
	return append(b, '}')
}

// size is how long a record is in an event.
func (m *mapping) size(shard string, r kinesis.Record) int {
	n := base64.StdEncoding.EncodedLen(len(r.Data))
	r.Data = nil
	return n + len(m.record(nil, shard, r, 0))
}

func appendText(b []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		quoted = []byte(`""`) // a text always is JSON
	}
	return append(b, quoted...)
}

// interpret reads the answer of a function that reports item failures: the lowest
// sequence number that it names is where the batch failed, and an answer that
// names none of the batch's fails all of it.
// https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
func interpret(body []byte, items []*item) outcome {
	all := outcome{n: len(items)}
	if len(body) == 0 {
		return all
	}
	// Maps, because names count by every letter here.
	var answer map[string]json.RawMessage
	var failures []map[string]json.RawMessage
	err := json.Unmarshal(body, &answer)
	if list, ok := answer["batchItemFailures"]; ok && err == nil {
		err = json.Unmarshal(list, &failures)
	}
	if err != nil {
		return outcome{failed: "the function's answer is no list of item failures"}
	}
	if len(failures) == 0 {
		return all
	}
	place := make(map[string]int, len(items))
	for i, it := range items {
		place[it.Sequence] = i
	}
	lowest := len(items)
	for _, failure := range failures {
		var id string
		// What is no text names no record either.
		_ = json.Unmarshal(failure["itemIdentifier"], &id)
		i, ok := place[id]
		if !ok {
			return outcome{failed: "the function's answer names a record that was not in the batch"}
		}
		lowest = min(lowest, i)
	}
	return outcome{n: lowest, failed: "the function failed from record " + strconv.Itoa(lowest) + " of the batch on", answered: true}
}
