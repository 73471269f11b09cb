// Package stream owns the messages that a Kinesis stream carries to a target:
// the records that the Kinesis Producer Library aggregates, and the envelopes of
// three producers, told apart by content: Amazon QLDB's journal streams (binary
// Ion), AWS DMS and Aurora DSQL's change streams (JSON).
//
// It leaves the journal format to journal, hashes to proof, rules to mapping,
// and what a message does to a database to target. It knows no AWS client: a
// record is the bytes that Kinesis delivered.
//
// Promises. Bad input is an error with its place and reason, never a panic, and
// concerns one message: its neighbours are read. Memory is bounded by the record,
// whatever lengths it claims. A value is carried exactly, or refused. What Split
// and Decode return borrows from the record, an Event also from the Decoder:
// valid until its next call.
//
// Delivery is at least once and in no order that could be relied upon: nothing
// here remembers a message.
//
// The formats: "KPL aggregated record format" in the Kinesis developer guide's
// repository (awslabs/amazon-kinesis-producer, aggregation-format.md); "Amazon
// QLDB stream records" in the QLDB developer guide; "Using Amazon Kinesis Data
// Streams as a target" in the DMS user guide; "CDC record format" in the Aurora
// DSQL user guide.
package stream
