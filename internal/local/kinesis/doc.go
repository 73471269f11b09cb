// Package kinesis is the Kinesis Data Streams of the local AWS: streams of
// shards that split the keys' MD5 hashes between them, records in the order of
// their sequence numbers, iterators, retention. It speaks awsJson1.1 as the
// SDK's client does, with the limits and errors of the service.
//
// It leaves judging to the gateway, and what happens to records to whoever reads
// them. A stream scales because a test says so (Split, Merge), as an on-demand
// stream does by itself.
//
// Promises: a record stays in its shard, behind those with smaller sequence
// numbers, until it is older than the stream's retention; the children of a
// shard begin behind its last sequence number; data goes out byte for byte as
// it came in, aggregated or not; what is not served is an error by name. All
// methods may be called concurrently.
//
// Not here: throttled writes, unless Refuse says so (an on-demand stream is
// taken to have scaled), consumers of their own (enhanced fan-out), and the
// KMSAccessDeniedException, for which the gateway answers AccessDeniedException.
//
// Limits: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
package kinesis
