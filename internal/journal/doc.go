// Package journal owns the journal format of Amazon QLDB: blocks, revisions and
// export manifests, in the three formats that ExportJournalToS3 wrote (Ion
// binary, Ion text, JSON Lines), plain or gzip, read block by block into one
// type; and the payloads of journal streams, read into the same. It yields
// change.Records.
//
// It leaves hashes and proofs to proof (a Block keeps the raw parts that they
// need), listing and opening objects to its callers, rules to mapping.
//
// Promises. Memory is bounded by the longest block, whatever the object's size.
// A value is carried exactly or its revision is refused with its origin; bad
// input is an error, never a panic. Nothing is skipped silently: a revision
// without metadata is counted, and one that cannot become a record is yielded
// with its reason. What a Reader returns is borrowed until its next call.
//
// The format is described in the QLDB developer guide, "Journal contents in
// Amazon QLDB" and "Journal export output"; the guide is gone with the service.
// JSON exports follow the Ion cookbook's down-conversion
// (amazon-ion.github.io/ion-docs/guides/cookbook.html).
package journal
