// Package proof owns QLDB's hash arithmetic: how two hashes become one, Merkle
// trees over them, the hashes of revisions, entries and blocks, the digest of a
// ledger and the proof that a block or revision is under a digest. It is pure:
// hashes in, hashes out.
//
// It leaves the Ion hash of values to ion and reading blocks to journal.
//
// The rules were found by recomputing what the service itself wrote; QLDB's
// developer guide (chapter "Data verification in Amazon QLDB") describes them
// in part.
package proof
