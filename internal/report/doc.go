// Package report owns the report that ends every LedgerLoad: report.json for
// programs, report.html for people, and a table for the terminal.
//
// It leaves counting to migrate, comparing to verify and storing to objects. It
// reads no clock, no file and no service; the same Load gives the same bytes.
//
// Promises: the verdict is worked out here from the figures, never taken from
// the caller; figures that do not add up become findings of severity error and
// are never hidden; report.html is one file without scripts and without
// addresses to fetch; names, paths and reasons are escaped; a report holds no
// column values, because no member has room for one.
//
// The members of report.json are the exported fields of Load, in that spelling.
// Members are added, never renamed or given another meaning, while Format says
// "godwit.ledgerload/1". Lists are never null. Times are RFC 3339 in UTC.
package report
