// Package profile owns what a target database can do, as dated data: what becomes
// of each type of PostgreSQL in a column, the target's limits, and its features,
// each with the day and the document that it is known from. Whoever must decide by
// what a target can do asks a Profile, and never the target's name.
//
// Only documented or probed facts are here. Those that documents and measurements
// tell differently are marked doubtful; Correct replaces facts by what a probe of
// the target found.
package profile
