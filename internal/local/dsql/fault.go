package dsql

import "time"

// A Moment is when something can go wrong.
type Moment uint8

// The moments: a connection that was admitted, a statement about to run, the
// commit of a transaction that changed something.
const (
	Connect Moment = iota
	Statement
	Commit
)

func (m Moment) String() string { return [...]string{"connect", "statement", "commit"}[m] }

// An Event is one moment of one connection.
type Event struct {
	Moment Moment
	Seq    int    // of this moment's kind in the cluster, from 1
	Conn   int    // number of the connection in the cluster, from 1
	User   string // database role
	Role   string // ARN of the IAM role; "" is the root user
	Verb   string // of a statement, lower case: select, insert, copy, create table, ...
}

// A Fault is what goes wrong.
type Fault uint8

// The faults. A conflict, a change of the schema and a throttled connection are
// answered with their errors, without an effect. Cut ends the connection without
// a word, before the effect or after it. Kill takes the client's process down
// as well.
const (
	None          Fault = iota
	Conflict            // OC000; of statements and commits
	SchemaChanged       // OC001; of statements and commits
	Throttle            // of connections
	CutBefore
	CutAfter
	KillBefore
	KillAfter
	CutWithin // of a COPY: when its first rows have come; of other statements as CutAfter
	KillWithin
)

func (f Fault) String() string {
	return [...]string{"none", "conflict", "schema changed", "throttle", "cut before", "cut after", "kill before", "kill after", "cut within", "kill within"}[f]
}

// An Effect is what happens at a moment: first the delay, then the fault.
type Effect struct {
	Fault Fault
	Delay time.Duration // of the host's clock
}
