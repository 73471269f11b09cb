// Package esm is Lambda's event source mappings from Kinesis, in the local AWS:
// it reads streams, invokes functions with batches of their records, and keeps
// how far each shard got. It answers the part of Lambda's control API that
// mappings have.
//
// It leaves the streams to package kinesis, running functions to package lambda,
// judging to the gateway, and storing failed batches to S3; all of these it calls
// as the function's role, as Lambda does.
//
// Promises: a shard is read by one reader, and its records go to as many lanes as
// ParallelizationFactor says, one batch at a time each, so that records of one
// partition key stay in order; the shards that a shard was made of are finished
// before it; a record is passed only when the function succeeded with it, or when
// it was discarded; a mapping that was disabled goes on where it stopped, at the
// first record not finished, so that what other lanes finished behind it is
// delivered again; records reach the function byte for byte, KPL aggregates
// included. Nothing here asks in a loop: what is idle waits for a record.
//
// What AWS's guide does not say is chosen here: a partial failure counts as an
// attempt unless the mapping bisects and the failure is not at the batch's first
// record; an answer that is no JSON object fails the batch where item failures
// are reported; between attempts pass 1 s, 2 s, 4 s, ... 60 s of the clock; a
// record that no event can hold is discarded with the condition RecordTooLarge.
//
// https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
package esm
