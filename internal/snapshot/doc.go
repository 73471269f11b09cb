// Package snapshot owns the format of what an RDS or Aurora PostgreSQL snapshot
// export leaves on S3: the two kinds of metadata, the folders and the Parquet
// parts in them, and how a part's rows become the text that COPY reads
// (docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-export-snapshot.html).
//
// It does not read S3, choose what becomes of a table (that is a
// change.TablePlan), or write exports.
package snapshot
