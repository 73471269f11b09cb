package migrate_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// memoryMappings is one event source mapping.
type memoryMappings struct {
	t        testing.TB
	function string
	state    string
	fault    func(call string) error

	mu      sync.Mutex
	changed []bool
}

const mappingID = "5d0b1cb1-7b0c-4b3c-9a3a-0e6f1c2d3e4f"

func (m *memoryMappings) Find(_ context.Context, function, arn string) (string, error) {
	if m.fault != nil {
		if err := m.fault("Find"); err != nil {
			return "", err
		}
	}
	if function != m.function || arn != streamARN {
		return "", nil
	}
	return mappingID, nil
}

func (m *memoryMappings) State(_ context.Context, id string) (string, error) {
	if id != mappingID {
		m.t.Errorf("state of mapping %q", id)
	}
	return m.state, nil
}

func (m *memoryMappings) Enable(_ context.Context, id string, on bool) error {
	if id != mappingID {
		m.t.Errorf("change of mapping %q", id)
	}
	if m.fault != nil {
		if err := m.fault("Enable"); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed = append(m.changed, on)
	m.state = map[bool]string{true: "Enabled", false: "Disabled"}[on]
	return nil
}

// kinesisRecord is a record as Lambda delivers it.
func kinesisRecord(shard, number int, key string, data []byte, at time.Time) events.KinesisEventRecord {
	id := fmt.Sprintf("shardId-%012d", shard)
	sequence := fmt.Sprintf("495908338118%044d", number)
	return events.KinesisEventRecord{
		AwsRegion: "eu-west-1", EventID: id + ":" + sequence, EventName: "aws:kinesis:record", EventSource: "aws:kinesis", EventVersion: "1.0",
		EventSourceArn: streamARN, InvokeIdentityArn: "arn:aws:iam::123456789012:role/stream-apply",
		Kinesis: events.KinesisRecord{
			ApproximateArrivalTimestamp: events.SecondsEpochTime{Time: at}, Data: data, PartitionKey: key, SequenceNumber: sequence, KinesisSchemaVersion: "1.0",
		},
	}
}

// failureObject is what Lambda writes of a batch that it gives up.
func failureObject(t testing.TB, records []events.KinesisEventRecord, condition string) (key string, body []byte) {
	t.Helper()
	event, err := json.Marshal(events.KinesisEvent{Records: records})
	if err != nil {
		t.Fatal(err)
	}
	first, last := &records[0], &records[len(records)-1]
	shard, _, _ := strings.Cut(first.EventID, ":")
	body, err = json.Marshal(map[string]any{
		"requestContext":  map[string]any{"requestId": "c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5", "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:stream-apply", "condition": condition, "approximateInvokeCount": 3},
		"responseContext": map[string]any{"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
		"version":         "1.0", "timestamp": "2026-11-14T00:38:06.021Z",
		"KinesisBatchInfo": map[string]any{
			"shardId": shard, "startSequenceNumber": first.Kinesis.SequenceNumber, "endSequenceNumber": last.Kinesis.SequenceNumber,
			"approximateArrivalOfFirstRecord": "2026-11-14T00:38:04.835Z", "approximateArrivalOfLastRecord": "2026-11-14T00:38:05.580Z",
			"batchSize": len(records), "streamArn": streamARN,
		},
		"payload": string(event),
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("aws/lambda/%s/%s/2026/11/14/2026-11-14T00.38.06-%s", mappingID, shard, base64.RawURLEncoding.EncodeToString([]byte(first.Kinesis.SequenceNumber)[40:])), body
}

// kinesisRecords makes a record of each message, in one shard.
func kinesisRecords(first int, messages []streamMessage) (out []events.KinesisEventRecord) {
	for i, m := range messages {
		out = append(out, kinesisRecord(0, first+i, m.key, m.data, arrival))
	}
	return out
}
