// Package dsql owns the local Aurora DSQL: an endpoint that speaks PostgreSQL's
// protocol over TLS, takes tokens for passwords, and stands with the limits,
// refusals and errors of the service in front of a real PostgreSQL, so that code
// does not pass on a laptop and fail on AWS.
//
// It leaves the server to postgres, credentials and IAM to the gateway, and SQL,
// where both databases have it, to PostgreSQL. A statement's words are judged
// here (statement.go, ddl.go); what only the catalog or the rows tell (types,
// sizes, numbers, rows of cascades) is judged in the database, by triggers that
// install.sql puts there.
//
// Promises: no statement runs outside of a transaction that the session began,
// so that age, size and faults are judged at one commit, whichever way of the
// protocol a client chose; what is not on the list of statements that DSQL has
// is refused, with DSQL's SQLSTATE and words where it is known to refuse it, and
// else by name as an internal error (XX000, "is not known to local"); a Cluster may
// be used concurrently.
//
// Where it differs from the service:
//
//   - PostgreSQL has locks. A writer of a row that another open transaction
//     wrote waits for it, Limits.LockWait at most, and is then the one with the
//     conflict; on the service nobody waits, and the second to commit has it.
//     Conflicts at a commit come by Config.Fault. An index is built only when
//     the transactions that read its table before have ended.
//   - An index that is still to be built is not in the catalog before its job
//     begins.
//   - Values are counted as they are, where the service counts what they are
//     compressed to; a key may have the documented 1 KiB, where about 1,981
//     bytes were measured. The size of a transaction is a model made after two
//     measurements (see sys.sized and sys.account).
//   - The clock of a test moves connections, transactions, jobs and throttling;
//     now() in SQL is the host's.
//   - Memory and storage are not limited, and CDC is not here.
//   - A statement that mentions the name of a table that another session has
//     changed meets OC001, even if it means a column by it.
//
// Sources: the Aurora DSQL User Guide as of autumn 2026, and what users measured
// of errors and sizes on live clusters. Words that nobody was seen to quote
// follow from the pattern of those that were: see nodes.
package dsql
