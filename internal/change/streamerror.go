package change

import "fmt"

// The states of a stream that are errors. A target answers with them, and whoever
// applies a stream decides by them.

// A StreamStoppedError says that a stream is stopped: nothing of it is applied
// until it is resumed.
type StreamStoppedError struct{ Stream, Reason string }

func (e *StreamStoppedError) Error() string {
	return fmt.Sprintf("stream %s is stopped: %s; when the cause is gone run stream-resume", e.Stream, e.Reason)
}

// A StreamChangedError says that a stream is not registered, or was registered
// anew since it was read: read it again. Nothing of the request was stored.
type StreamChangedError struct {
	Stream     string
	Generation int64 // that is registered; 0: none
}

func (e *StreamChangedError) Error() string {
	if e.Generation == 0 {
		return fmt.Sprintf("stream %s is not registered: run LedgerLoad with \"EnableStream\": true, or stream-enable", e.Stream)
	}
	return fmt.Sprintf("stream %s was registered anew, as generation %d: its registration must be read again", e.Stream, e.Generation)
}

// An IntegrityError says that what a stream brings contradicts itself or what the
// target has: one version with two hashes, a block that does not follow the one
// before it. Nothing of the message that shows it was stored, and none mends it by
// itself. It quotes no value.
type IntegrityError struct {
	// Item is the index of the message's first item: what stands before it was
	// applied. -1 where what is wrong came before this call: Message names its record.
	Item            int
	Stream, Message string
}

func (e *IntegrityError) Error() string { return fmt.Sprintf("stream %s: %s", e.Stream, e.Message) }

// An UnknownTableError says that a ledger table has no tables in the target yet.
// Nothing of the request was stored.
type UnknownTableError struct {
	Stream  string
	Table   SourceTable
	Current string
}

func (e *UnknownTableError) Error() string {
	return fmt.Sprintf("stream %s: ledger table %s (id %s) has no table %s in the target yet", e.Stream, e.Table.Name, e.Table.ID, e.Current)
}

// A RefusedError says that the database refuses a value of one message and always
// will (SQLSTATE 22 or 23): set the message aside. What stands before it was
// applied. It quotes no value.
type RefusedError struct {
	Item          int // index of the message's first item
	State, Detail string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("item %d: %s (SQLSTATE %s)", e.Item, e.Detail, e.State)
}

// A WaitError says that one message violates a foreign key, a unique key or an exclusion that
// other rows, still to come, may satisfy: apply it again later. What stands before
// it was applied, and what stands behind it perhaps. It quotes no value.
type WaitError struct {
	Item          int // index of the message's first item
	State, Detail string
}

func (e *WaitError) Error() string {
	return fmt.Sprintf("item %d waits for other rows: %s (SQLSTATE %s)", e.Item, e.Detail, e.State)
}
