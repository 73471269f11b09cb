package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"godwit/internal/change"
)

// StreamReplay applies again what was not applied: the failure objects that Lambda
// wrote of batches it gave up, and the messages that were set aside. The guard of
// the target makes it safe at any time, twice, and in any order.
type StreamReplay struct {
	Objects       Objects
	Target        StreamTarget
	FailureBucket string
	StreamARN     string
	Now           func() time.Time
	// Metrics is told what each call did. nil tells nobody.
	Metrics func(...Metric)
}

// StreamReplayIn chooses objects of the failure bucket.
type StreamReplayIn struct {
	// Prefix of their keys, within aws/lambda/ or quarantine/<stream>/; default both.
	Prefix string `json:",omitempty"`
	// Resume is what a call that was not done answered: the key of the last object
	// that it replayed. Giving the key of an object that cannot be read goes on
	// behind it.
	Resume string `json:",omitempty"`
}

// StreamReplayOut counts what a call did.
type StreamReplayOut struct {
	Done    bool
	Resume  string `json:",omitempty"` // where to go on when it is not done
	Objects int64  // that were replayed
	Applied int64  // messages that were applied, or found applied
	Aside   int64  // messages that were set aside, for the first time or again
}

// longestFailure is more than any failure object has: an event of 6 MiB as a JSON
// string within JSON.
const longestFailure = 32 << 20

// Handle replays objects in the order of their keys. It may be repeated with any
// input. Where Done is false, call it again with Resume.
func (h *StreamReplay) Handle(ctx context.Context, in json.RawMessage) (StreamReplayOut, error) {
	out, err := h.handle(ctx, in)
	return out, Classify(err)
}

func (h *StreamReplay) handle(ctx context.Context, raw json.RawMessage) (out StreamReplayOut, err error) {
	var in StreamReplayIn
	if err := parseStrict(raw, &in); err != nil {
		return out, err
	}
	name, err := streamName(h.StreamARN)
	if err != nil {
		return out, err
	}
	keys, err := h.keys(ctx, name, &in)
	if err != nil {
		return out, err
	}
	within, cancel := ctx, context.CancelFunc(func() {})
	if at, ok := handOn(ctx, h.Now()); ok {
		within, cancel = context.WithDeadline(ctx, at)
	}
	defer cancel()
	a := &applier{Objects: h.Objects, Target: h.Target, FailureBucket: h.FailureBucket, Now: h.Now}
	out.Resume = in.Resume
	for _, key := range keys {
		err := h.replay(within, a, name, key, &out)
		if err != nil && out.Objects > 0 && within.Err() != nil {
			return out, nil // the next call does this object anew
		}
		var integrity *change.IntegrityError
		var stopped *change.StreamStoppedError
		switch {
		case errors.As(err, &integrity):
			// The flag alone has nothing more applied; stream-apply, which comes upon
			// it, turns the mapping off.
			if failed := h.Target.StopStream(ctx, name, integrity.Message); failed != nil {
				return out, fmt.Errorf("stop stream %s, because %s: %w", name, integrity.Message, failed)
			}
			err = stoppedError(name, integrity.Message)
		case errors.As(err, &stopped):
			err = stoppedError(name, stopped.Reason)
		}
		if err != nil {
			return out, fmt.Errorf("replay s3://%s/%s: %w", h.FailureBucket, key, err)
		}
		out.Objects++
		out.Resume = key
	}
	out.Done, out.Resume = true, ""
	return out, nil
}

// keys lists the objects to replay, behind Resume.
func (h *StreamReplay) keys(ctx context.Context, name string, in *StreamReplayIn) (keys []string, err error) {
	prefixes := []string{failurePrefix, asidePrefix(name)}
	if in.Prefix != "" {
		if !strings.HasPrefix(in.Prefix, prefixes[0]) && !strings.HasPrefix(in.Prefix, prefixes[1]) {
			return nil, &Stop{fmt.Errorf("prefix %q is neither within %s nor within %s: nothing else of the failure bucket can be replayed", in.Prefix, prefixes[0], prefixes[1])}
		}
		prefixes = []string{in.Prefix}
	}
	for _, prefix := range prefixes {
		err := h.Objects.List(ctx, h.FailureBucket, prefix, func(key, _ string, size int64, _ string) error {
			if key <= in.Resume {
				return nil
			}
			if size > longestFailure {
				return &Stop{fmt.Errorf("object %s has %d bytes, more than any failure object: it is none", key, size)}
			}
			keys = append(keys, key)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// replay applies what one object holds.
func (h *StreamReplay) replay(ctx context.Context, a *applier, name, key string, out *StreamReplayOut) error {
	body, err := readAll(ctx, h.Objects, h.FailureBucket, key)
	if err != nil {
		return err
	}
	var deliveries []delivery
	aside := strings.HasPrefix(key, asidePrefix(name))
	if aside {
		deliveries, err = asideDelivery(body, name)
	} else {
		deliveries, err = failedDeliveries(body, h.StreamARN)
	}
	if err != nil {
		return &Stop{fmt.Errorf(`%w. To go on behind it: {"Resume": %q}`, err, key)}
	}
	done, err := a.apply(ctx, name, deliveries)
	h.count(&done)
	if err != nil {
		return err
	}
	out.Applied += done.messages - done.applied.Aside
	out.Aside += done.applied.Aside
	// Applied. A crash from here on leaves an object that counts as not replayed; to
	// replay it again is harmless.
	switch {
	case !aside:
		// What of it was set aside has quarantine objects now.
		return putJSON(ctx, h.Objects, h.FailureBucket, replayedKey(key), map[string]int64{"Messages": done.messages, "Aside": done.applied.Aside})
	case done.applied.Aside == 0:
		return h.Target.Replayed(ctx, name, key)
	}
	return nil
}

func (h *StreamReplay) count(done *outcome) {
	if h.Metrics == nil {
		return
	}
	a := &done.applied
	h.Metrics(Metric{MetricRows, []int64{a.Rows}}, Metric{MetricHistory, []int64{a.History}}, Metric{MetricSkipped, []int64{a.Skipped + done.skipped}}, Metric{MetricDataAPICalls, []int64{a.Calls}})
}

// asideDelivery reads a quarantine object.
func asideDelivery(body []byte, name string) ([]delivery, error) {
	var s setAside
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, fmt.Errorf("decode the quarantine object: %w", err)
	}
	if s.Stream != name || s.Shard == "" || s.Sequence == "" {
		return nil, fmt.Errorf("the object is no message of stream %s that was set aside", name)
	}
	arrived, _ := time.Parse(time.RFC3339Nano, s.Arrived) // one that is lacking is long ago
	return []delivery{{shard: s.Shard, sequence: s.Sequence, key: s.PartitionKey, arrived: arrived, data: s.Message, alone: true, sub: s.Sub}}, nil
}

// failedDeliveries reads a failure object of Lambda: metadata of the batch that
// was given up, and the event as a string, which S3 destinations alone have
// (docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html).
func failedDeliveries(body []byte, arn string) ([]delivery, error) {
	var failed struct {
		KinesisBatchInfo struct {
			StreamArn string `json:"streamArn"`
			BatchSize int    `json:"batchSize"`
		}
		Payload string `json:"payload"`
	}
	if err := json.Unmarshal(body, &failed); err != nil {
		return nil, fmt.Errorf("decode the failure object: %w", err)
	}
	if failed.KinesisBatchInfo.StreamArn != arn {
		return nil, fmt.Errorf("the object is no failure of stream %s", arn)
	}
	var event events.KinesisEvent
	if err := json.Unmarshal([]byte(failed.Payload), &event); err != nil {
		return nil, fmt.Errorf("decode the payload of the failure object: %w", err)
	}
	if n := failed.KinesisBatchInfo.BatchSize; n != len(event.Records) {
		return nil, fmt.Errorf("the failure object tells of %d records and holds %d", n, len(event.Records))
	}
	return deliveriesOf(event, arn)
}
