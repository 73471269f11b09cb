// Package dsql owns what godwit does to an Aurora DSQL cluster: connections and
// their tokens, the bookkeeping schema, tables, rows in transactions of the size
// that DSQL takes, indexes and foreign keys that DSQL builds on its own, and the
// probe of what a cluster can do.
//
// It leaves to others what becomes of a table (assess, in change.TablePlan), the
// making of COPY lines (snapshot), what is compared (verify), and, apart from
// transactions that did not happen, retries (migrate).
//
// Promises: rows and the row of godwit.batch that says so commit together or not
// at all, so that no row is stored twice however often, by however many and with
// whatever outcome an item is tried; a call that ends early leaves what it
// recorded, and the next call does the rest; an error names tables, columns,
// constraints and row numbers, never a value. Rows are in their tables as soon as
// they are stored: what hides them until a load is published is that nobody but
// the loader has been granted the tables.
//
// Limits and errors: docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html.
// Concurrency control: docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html.
package dsql
