package change

import "fmt"

// A RefusedError says that the database refuses an item for what it holds
// (SQLSTATE 22 or 23). The items before it are done with, and nothing of it is
// stored. It never quotes a value.
type RefusedError struct {
	Item  int    // index in the items given
	State string // SQLSTATE
	Err   error
}

func (e *RefusedError) Error() string { return fmt.Sprintf("item %d: %v", e.Item, e.Err) }

// Unwrap returns what the database said.
func (e *RefusedError) Unwrap() error { return e.Err }

// A WaitError says that an item breaks a rule between rows, unique or a foreign
// key, that it keeps once others came. The items before it are done with, and
// nothing of it is stored.
type WaitError struct {
	Item  int    // index in the items given
	State string // SQLSTATE
	Err   error
}

func (e *WaitError) Error() string { return fmt.Sprintf("item %d: %v", e.Item, e.Err) }

// Unwrap returns what the database said.
func (e *WaitError) Unwrap() error { return e.Err }

// An IntegrityError says that what a stream brings contradicts what its target
// has or is itself: one version with two hashes, a block that does not follow the
// one before it. Nothing of its request is stored.
type IntegrityError struct{ Reason string }

func (e *IntegrityError) Error() string { return e.Reason }

// A StreamStoppedError says that a stream's stop flag stands: nothing is applied.
type StreamStoppedError struct{ Stream, Reason string }

func (e *StreamStoppedError) Error() string {
	return fmt.Sprintf("stream %s is stopped: %s", e.Stream, e.Reason)
}

// A StreamChangedError says that a stream's registration is not the one that was
// given: read it again. Nothing is stored.
type StreamChangedError struct{ Stream string }

func (e *StreamChangedError) Error() string {
	return fmt.Sprintf("stream %s was registered anew", e.Stream)
}

// A NoStreamError says that a stream is not registered.
type NoStreamError struct{ Stream string }

func (e *NoStreamError) Error() string {
	return fmt.Sprintf("stream %s is not registered in this database", e.Stream)
}
