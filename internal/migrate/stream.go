package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"godwit/internal/change"
)

// StreamTarget is a stream's view of the target database. Everything may be
// repeated after any error, beside itself and out of order: a guard in the
// database keeps, of every document or row, what is newest.
//
// The errors that are states have types: *change.StreamStoppedError,
// *change.StreamChangedError, *change.IntegrityError, *change.UnknownTableError,
// *change.RefusedError, *change.WaitError.
type StreamTarget interface {
	// EnableStream registers a stream and returns it as it stands then, with its
	// generation and, where one is set, its stop flag. It refuses a Load that is not
	// visible, and tables that another stream writes to. What is registered like
	// this already stays as it is.
	EnableStream(ctx context.Context, s change.Stream) (change.Stream, error)
	// Stream reads a registration; without one the error is a *change.StreamChangedError.
	Stream(ctx context.Context, name string) (change.Stream, error)
	// StopStream sets the stop flag with its reason. The first reason stays.
	StopStream(ctx context.Context, name, reason string) error
	// ResumeStream takes the stop flag away and notes why.
	ResumeStream(ctx context.Context, name, because string) error
	// ReleaseTables has a stream of rows begin anew with tables that were made again,
	// or that another stream wrote to.
	ReleaseTables(ctx context.Context, name string, tables []string) error
	// Apply applies items in order. Applied.Items tells how many of them, from the
	// first on, are done with, also beside an error; an error does not mean that
	// nothing was stored of the others. Items with one Mark are stored together.
	Apply(ctx context.Context, s change.Stream, items []change.Item) (change.Applied, error)
	// StreamStatus tells where a stream stands.
	StreamStatus(ctx context.Context, name string) (change.StreamStatus, error)
	// RowTables describes those of the tables that there are.
	RowTables(ctx context.Context, names []change.TableName) ([]change.RowTable, error)
	// EnsureTables makes what is missing of the tables of a ledger.
	EnsureTables(ctx context.Context, s change.Stream, tables []change.LoadTable, sources []change.LoadSource) error
	// Replayed notes that what a quarantine object holds was applied.
	Replayed(ctx context.Context, name, object string) error
}

// Mappings are Lambda's event source mappings: what reads a stream and calls a
// function with its records.
type Mappings interface {
	// Find returns the id of the mapping from a stream to a function, or "".
	Find(ctx context.Context, function, streamARN string) (id string, err error)
	// State is Enabled, Disabled, or what it is about to be: Enabling, Disabling, ….
	State(ctx context.Context, id string) (string, error)
	// Enable turns a mapping on or off. It may be repeated; the state follows
	// within a minute.
	Enable(ctx context.Context, id string, on bool) error
}

// streamName is the name of the Kinesis stream of an ARN.
func streamName(arn string) (string, error) {
	_, name, ok := strings.Cut(arn, ":stream/")
	if !ok || name == "" || strings.Contains(name, "/") {
		return "", &Stop{fmt.Errorf("%q is not the ARN of a Kinesis stream", arn)}
	}
	return name, nil
}

// parseStrict reads an input. An unknown member, most often a typing error, is
// refused by name; no input is an empty one.
func parseStrict(b []byte, into any) error {
	if b = bytes.TrimSpace(b); len(b) == 0 || string(b) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &Stop{fmt.Errorf("read the input: %w", err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &Stop{fmt.Errorf("read the input: something follows its closing brace")}
	}
	return nil
}

// howToResume ends the messages of a stream that is stopped.
const howToResume = `nothing is applied. Mend the cause, then invoke stream-resume with {"Because": "…"}`

// stoppedError words a stop flag that stands.
func stoppedError(name, reason string) error {
	return &Stop{fmt.Errorf("stream %s is stopped, and %s. It was stopped because: %s", name, howToResume, reason)}
}

// Keys in the failure bucket. Lambda chooses those of its own failure objects;
// see "Capturing discarded batches" in the Lambda developer guide.
const failurePrefix = "aws/lambda/"

func asidePrefix(stream string) string { return "quarantine/" + stream + "/" }

// asideKey is the same whenever a message is set aside.
func asideKey(stream string, m change.Mark) string {
	return fmt.Sprintf("%s%s/%s-%d.json", asidePrefix(stream), m.Shard, m.Sequence, m.Sub)
}

// replayedKey is of the mark that a failure object was replayed.
func replayedKey(key string) string { return replayedPrefix + key }

const replayedPrefix = "replayed/"
