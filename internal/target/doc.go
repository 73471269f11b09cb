// Package target owns what godwit does to a target database: identifiers and
// DDL, the bookkeeping schema, claim-first import into hidden staging, publish
// in slices, and showing a load at once; then applying what streams bring. The
// tables of a snapshot take the same way with their own keys, indexes and foreign
// keys, and without slices (snapshot.go).
// Aurora PostgreSQL is reached through the RDS Data API.
//
// It leaves the order of work, accounting and retries to migrate, the meaning of
// columns to mapping, and messages to stream.
//
// Promises: applying items of a stream twice, late, out of order or beside newer
// ones ends in the same state (invariant 1), and what is at or below the boundary
// of its load is not applied (invariant 7); a task and its bookkeeping row commit together or not at all
// (invariant 2); running a task again, after a lost reply or beside a running
// attempt, stores nothing twice (invariant 3); a statement may outlive the call
// that began it (invariant 9); nothing of a load is visible before make_visible
// commits (invariant 11). No value of a column is in an error.
//
// Data API limits: docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/data-api.html.
// aws_s3: docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_PostgreSQL.S3Import.html.
package target
