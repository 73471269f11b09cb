// Package report owns the report that ends every LedgerLoad, of a load or of a
// plan, every LedgerProve, and every SnapshotLoad, with the assessment before it:
// one file for programs, one for people, and tables for the terminal.
//
// It leaves counting to migrate, comparing to verify, predicting to estimate and
// storing to objects; what becomes of a database assess decides. It reads no clock,
// no file and no service; the same Load, Plan, Prove, Snapshot or Assessment gives the
// same bytes.
//
// Promises: the verdict is worked out here from the figures, never taken from
// the caller; figures that do not add up become findings of severity error and
// are never hidden; a page is one file without scripts and without
// addresses to fetch; names, paths and reasons are escaped; a report holds no
// column values, because no member has room for one: of rows that differ it has the
// key, and of their values what the verifier shows, a length.
//
// The members of report.json are the exported fields of Load, those of
// plan-report.json the fields of Plan, those of a proof's report.json the fields of
// Prove, those of a snapshot's the fields of Snapshot, those of assessment.json the
// fields of Assessment, in that spelling. Members are added, never renamed or given
// another meaning, while Format says "godwit.ledgerload/1", "godwit.ledgerplan/1",
// "godwit.ledgerprove/1", "godwit.snapshotload/1" or "godwit.snapshotassess/1". Lists are never null. Times are RFC 3339 in UTC.
package report
