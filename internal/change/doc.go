// Package change owns the values that flow from a source to a target: a Record
// (one version of one source record), its Fields as a flat Tape, the Row that a
// mapping makes of it, and the Table that the Row belongs to.
//
// It leaves reading to the sources (journal, stream, snapshot), rules to
// mapping, bytes to copytext and SQL to target. It knows no dialect, no clock
// and no service.
//
// Promises: a Value holds the source's value exactly, or the source refused it;
// nothing here rounds, truncates or re-encodes. A Record and everything that it
// points to is borrowed from the source: valid until the source is asked for
// the next one. Clone copies.
package change
