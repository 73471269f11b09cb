package asl

import "time"

// A HistoryEvent is one entry of an execution's history. Detail holds the members
// of the event's detail object, as GetExecutionHistory names them; nil has none.
type HistoryEvent struct {
	ID, Previous int64
	Time         time.Time
	Type         string
	Detail       map[string]any
}

var notTruncated = map[string]any{"truncated": false}

func failureDetail(e *Error) map[string]any {
	d := map[string]any{}
	if e != nil && e.Name != "" {
		d["error"] = e.Name
	}
	if e != nil && e.Cause != "" {
		d["cause"] = e.Cause
	}
	return d
}

// History returns the events until now, in order.
func (x *Execution) History() []HistoryEvent {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]HistoryEvent(nil), x.history...)
}

// record appends an event that follows the last one of f. The last place is kept
// for the event that ends the execution: when only it is left the execution ends.
func (x *Execution) record(f *frame, kind string, detail map[string]any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.full {
		return
	}
	id := int64(len(x.history)) + 1
	x.history = append(x.history, HistoryEvent{ID: id, Previous: f.previous, Time: x.engine.Clock.Now(), Type: kind, Detail: detail})
	f.previous = id
	if len(x.history) >= MaxEvents-1 && x.status == Running {
		x.full = true
		x.cancel(errFull)
	}
}
