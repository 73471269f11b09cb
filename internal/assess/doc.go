// Package assess owns the decision what becomes of every table and column of a
// PostgreSQL database in a target: kept, converted by a stated rule, or refused;
// and of its keys, foreign keys, indexes, checks and defaults.
//
// It knows the source by its catalog (catalog) or by the export's metadata, the
// target by its profile (profile), and what the user wants by the rules (mapping).
// It leaves reading to snapshot, writing to target, and words around the findings
// to report.
//
// Promises. No decision changes a value without a finding that says so, and a
// value that its conversion does not keep is refused when it is met. The same
// input makes the same decision. All columns of a foreign key and the key that
// it refers to are converted alike, or the foreign key is given up by name.
package assess
