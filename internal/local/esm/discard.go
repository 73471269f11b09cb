package esm

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"godwit/internal/local/gateway"
)

// Why records are discarded, as the object in the destination says it.
const (
	conditionRetries = "RetryAttemptsExhausted"
	conditionAge     = "RecordAgeExceeded"
	conditionSize    = "RecordTooLarge"
)

// storeAttempts are how often an object is tried.
const storeAttempts = 3

// A failureObject is what the destination gets.
// https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
type failureObject struct {
	RequestContext struct {
		RequestID              string `json:"requestId"`
		FunctionARN            string `json:"functionArn"`
		Condition              string `json:"condition"`
		ApproximateInvokeCount int    `json:"approximateInvokeCount"`
	} `json:"requestContext"`
	ResponseContext *responseContext `json:"responseContext"` // null when the function was not invoked
	Version         string           `json:"version"`
	Timestamp       string           `json:"timestamp"`
	Batch           struct {
		ShardID   string `json:"shardId"`
		First     string `json:"startSequenceNumber"`
		Last      string `json:"endSequenceNumber"`
		FirstTime string `json:"approximateArrivalOfFirstRecord"`
		LastTime  string `json:"approximateArrivalOfLastRecord"`
		Size      int    `json:"batchSize"`
		StreamARN string `json:"streamArn"`
	} `json:"KinesisBatchInfo"`
	Payload string `json:"payload"` // the whole event
}

type responseContext struct {
	StatusCode      int    `json:"statusCode"`
	ExecutedVersion string `json:"executedVersion"`
	FunctionError   string `json:"functionError,omitempty"`
}

// discard gives a batch up: it goes to the destination, where there is one, and
// counts as finished whether or not that worked. raised says that its last
// invocation ended in an error, not in an answer.
func (l *lane) discard(b batch, condition string, raised bool) {
	m := l.shard.run.m
	stored := false
	if l.shard.run.settings.Destination != "" {
		stored = l.store(b, condition, raised)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := int64(len(b.items)); stored {
		m.stats.OnFailureDestinationDelivered += n
	} else {
		m.stats.Dropped += n
	}
	l.failing, l.why = 0, ""
	l.shard.finish(b.items)
	m.note()
}

// store puts a batch into the destination as the function's role, and says
// whether it is there.
func (l *lane) store(b batch, condition string, raised bool) bool {
	m, config := l.shard.run.m, l.shard.run.m.service.config
	now := config.Clock.Now().UTC()
	first, last := b.items[0], b.items[len(b.items)-1]
	var o failureObject
	o.RequestContext.RequestID, o.RequestContext.FunctionARN = uuid(), m.FunctionARN
	o.RequestContext.Condition, o.RequestContext.ApproximateInvokeCount = condition, b.invokes
	if b.invokes > 0 {
		o.ResponseContext = &responseContext{StatusCode: 200, ExecutedVersion: "$LATEST"}
		if raised {
			o.ResponseContext.FunctionError = "Unhandled"
		}
	}
	o.Version, o.Timestamp = "1.0", stamp(now)
	o.Batch.ShardID, o.Batch.StreamARN, o.Batch.Size = l.shard.id, m.StreamARN, len(b.items)
	o.Batch.First, o.Batch.Last, o.Batch.FirstTime, o.Batch.LastTime = first.Sequence, last.Sequence, stamp(first.Arrival), stamp(last.Arrival)
	o.Payload = string(m.event(l.shard.id, b.items))
	body, err := json.Marshal(o)
	if err != nil {
		return false // texts and numbers always are JSON
	}
	to := bucket(l.shard.run.settings.Destination)
	key := fmt.Sprintf("aws/lambda/%s/%s/%s/%s-%s", m.UUID, l.shard.id, now.Format("2006/01/02"), now.Format("2006-01-02T15.04.05"), uuid())
	for attempt := 1; ; attempt++ {
		// Lambda looks whether it may see the bucket before it writes to it.
		_, _, err = config.Gateway.Admit(m.Role, gateway.Call{Service: "s3", Action: "s3:ListBucket", Resources: []string{"arn:aws:s3:::" + to}})
		if err == nil {
			err = config.Objects.Put(m.service.ctx, m.Role, to, key, body)
		}
		if err == nil {
			return true
		}
		var denied *gateway.AccessDenied
		if errors.As(err, &denied) || attempt == storeAttempts || config.Clock.Sleep(m.service.ctx, backoff(attempt)) != nil {
			break
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.DestinationFailures++
	m.result = "PROBLEM: Cannot deliver to " + l.shard.run.settings.Destination + ". " + err.Error()
	return false
}

// stamp is a time as these objects have it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func uuid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
