// Package snapshot owns the format of what an RDS or Aurora PostgreSQL snapshot
// export leaves on S3: the two kinds of metadata, the folders and the Parquet
// parts in them, and how a part's rows become the text that COPY reads
// (docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-export-snapshot.html).
// Numbers of fixed size, booleans and bytea are what they are in Parquet; every
// other type is PostgreSQL's text of the value.
//
// List and Tables tell what an export consists of, by names and metadata. OpenPart
// reads a part's footer. An Encoder makes lines of a part's rows by a
// change.TablePlan; Part.Values reads them plainly, for the verifier, by other
// code from the page on.
//
// It does not read S3, choose what becomes of a table, or write exports.
//
// Promises: a value becomes one that the target's type holds as it is, or its row
// is refused with a reason that does not quote it; rows are numbered as the part
// has them, whatever is left out; the same rows make the same bytes in any
// division; bytes that are no Parquet of an export are a *DamagedError that names
// row group and column, and a reader's error stays the reader's; of a row group
// some 32 MiB are held before they are decoded, and a page of each column.
package snapshot
