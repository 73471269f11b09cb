package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"godwit/internal/change"
)

// StreamApply applies the records of a Kinesis stream to the target, as Lambda's
// event source mapping delivers them: at least once, in the order of each shard.
//
// What cannot be applied is of three classes. A message that is bad is set aside,
// alone, and its neighbours are applied. What may pass by itself ends the call, and
// the mapping repeats it from the first record on that is not wholly applied. What
// contradicts the ledger stops the stream: a flag in the target, which alone has
// nothing more applied, and the mapping is turned off.
type StreamApply struct {
	Objects       Objects
	Target        StreamTarget
	Mappings      Mappings
	Function      string // own name, to find the own mapping by
	FailureBucket string
	Now           func() time.Time
	// Metrics is told what each call did. nil tells nobody.
	Metrics func(...Metric)

	applier *applier
}

// Handle applies a batch. It may be repeated with any batch, whole or in part.
func (h *StreamApply) Handle(ctx context.Context, event events.KinesisEvent) (events.KinesisEventResponse, error) {
	out, err := h.handle(ctx, event)
	return out, Classify(err)
}

func (h *StreamApply) handle(ctx context.Context, event events.KinesisEvent) (answer events.KinesisEventResponse, err error) {
	if len(event.Records) == 0 {
		return answer, nil
	}
	arn := event.Records[0].EventSourceArn
	name, err := streamName(arn)
	if err != nil {
		return answer, err
	}
	deliveries, err := deliveriesOf(event, arn)
	if err != nil {
		return answer, err
	}
	if h.applier == nil {
		h.applier = &applier{Objects: h.Objects, Target: h.Target, FailureBucket: h.FailureBucket, Now: h.Now, waits: map[string]time.Time{}}
	}
	within, cancel := ctx, context.CancelFunc(func() {})
	if at, ok := handOn(ctx, h.Now()); ok {
		within, cancel = context.WithDeadline(ctx, at)
	}
	defer cancel()
	out, err := h.applier.apply(within, name, deliveries)
	if err != nil {
		err = h.stopped(ctx, name, arn, err)
	}
	h.count(&out, err)
	if err == nil {
		return answer, nil
	}
	if out.done > 0 && out.done < len(deliveries) && passes(err) {
		// The rest is delivered again, from this record on.
		answer.BatchItemFailures = []events.KinesisBatchItemFailure{{ItemIdentifier: deliveries[out.done].sequence}}
		return answer, nil
	}
	return answer, err
}

// deliveriesOf takes the records of an event, which are of one shard.
func deliveriesOf(event events.KinesisEvent, arn string) ([]delivery, error) {
	out := make([]delivery, len(event.Records))
	for i := range event.Records {
		r := &event.Records[i]
		shard, sequence, ok := strings.Cut(r.EventID, ":")
		if !ok || sequence != r.Kinesis.SequenceNumber || r.EventSourceArn != arn {
			return nil, &Stop{fmt.Errorf("record %d of the event (eventID %q) is none of stream %s as Lambda delivers them: invoke stream-apply by its event source mapping alone, and stream-replay by hand", i, r.EventID, arn)}
		}
		out[i] = delivery{shard: shard, sequence: sequence, key: r.Kinesis.PartitionKey, arrived: r.Kinesis.ApproximateArrivalTimestamp.Time, data: r.Kinesis.Data}
	}
	return out, nil
}

// stopped acts on an error that stops the stream.
//
// The flag is set before the mapping is turned off: it alone has nothing more
// applied, and where a crash leaves the mapping on, the next call finds the flag
// and turns it off. Where the flag cannot be set, the batch comes again, and its
// fault with it.
func (h *StreamApply) stopped(ctx context.Context, name, arn string, err error) error {
	var integrity *change.IntegrityError
	var stopped *change.StreamStoppedError
	var changed *change.StreamChangedError
	switch {
	case errors.As(err, &integrity):
		if failed := h.Target.StopStream(ctx, name, integrity.Message); failed != nil {
			return fmt.Errorf("stop stream %s, because %s: %w", name, integrity.Message, failed)
		}
		h.applier.itemizer = nil
		err = stoppedError(name, integrity.Message)
	case errors.As(err, &stopped):
		h.applier.itemizer = nil
		err = stoppedError(name, stopped.Reason)
	case errors.As(err, &changed) && changed.Generation == 0:
		err = &Stop{fmt.Errorf("%w; until then its event source mapping stays off", err)}
	default:
		return err
	}
	id, failed := h.Mappings.Find(ctx, h.Function, arn)
	if failed == nil && id != "" {
		failed = h.Mappings.Enable(ctx, id, false)
	}
	if failed != nil {
		// The flag stands: the next call tries again.
		err = &Stop{fmt.Errorf("%w; its event source mapping could not be turned off yet: %w", err, failed)}
	}
	if integrity != nil && h.Metrics != nil {
		h.Metrics(Metric{MetricStreamStopped, []int64{1}})
	}
	return err
}

// count tells what a call did.
func (h *StreamApply) count(out *outcome, err error) {
	if h.Metrics == nil {
		return
	}
	a := &out.applied
	metrics := []Metric{
		{MetricRows, []int64{a.Rows}},
		{MetricHistory, []int64{a.History}},
		{MetricSkipped, []int64{a.Skipped + out.skipped}},
		{MetricQuarantined, []int64{a.Aside}},
		{MetricDataAPICalls, []int64{a.Calls}},
	}
	if err == nil {
		// It goes on: the alarm ends.
		metrics = append(metrics, Metric{MetricStreamStopped, []int64{0}})
	}
	if err == nil && !out.newest.IsZero() {
		metrics = append(metrics, Metric{MetricLagSeconds, []int64{max(0, int64(h.Now().Sub(out.newest).Seconds()))}})
	}
	if err == nil && out.block >= 0 && a.GapFree > 0 {
		metrics = append(metrics, Metric{MetricLagBlocks, []int64{max(0, out.block-a.GapFree)}})
	}
	h.Metrics(metrics...)
}
