// Package export is the exporter of the local RDS: it writes the databases of a
// snapshot as RDS and Aurora PostgreSQL export them to S3, in gzipped Parquet
// with the types, the folders and the metadata of a real export, and leaves out
// what a real one leaves out.
//
// It leaves tasks, their states and their rights to package rds, and storing to
// whoever gives it a Put.
//
// Promises: every table is of one moment, that of Freeze, whatever was written
// since; every value is PostgreSQL's own text (ISO dates, UTC, hexadecimal
// bytes), or the number that this text is, exactly; the same databases, task and
// seed give the same objects.
//
// Layout, types and what is skipped:
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-export-snapshot.html
// What no document says is taken from what readers of real exports expect:
// original types are those of information_schema, a table that was skipped has a
// warning and no columns. Chosen here, because nothing tells: a partitioned table
// comes as its partitions, object identifiers are no columns at all, and the
// times of the metadata are ISO 8601.
package export
