// Package proof owns QLDB's hash arithmetic and what it proves: how two hashes
// become one, Merkle trees over them, the hashes of revisions, entries and blocks,
// the digest of a ledger, verifying blocks against all of these, and saying how
// far an archive is proven. It is pure: blocks and hashes in, verdicts out.
//
// It leaves the Ion hash of values to ion and reading blocks to journal.
//
// The way through it:
//
//	Verifier.Verify   a journal.Block is hashed again: Check, with a Verdict on the
//	                  block and on each revision, and a Finding for what does not hold
//	Recorder.Add      contiguous verified blocks become a Run: boundary hashes, the
//	                  roots of their part of the tree (Range), counts, findings; JSON
//	Chain.Add         the Runs of all who read become a Chain, or an error names the
//	                  broken link, the overlap, the second strand
//	ParseEvidence     digests and proofs as people kept them; Evidence.Marks goes to
//	                  every Recorder before the pass
//	Chain.Conclude    Chain and Evidence become a Conclusion: level, ties to digests,
//	                  what holds, what is open and what would lift it
//	Receipts.Append   one revision's proof, by itself; the program receiptcheck checks it
//	HashWriter        block hashes in a file; HashFiles makes any path of such files
//
// A Learner finds the Ion types that JSON exports lost, as Types; a Typist is the
// Verifier's Typing under them.
//
// # What is covered
//
// A revision's hash covers its metadata and data; a block's covers the root of its
// revisions, transactionInfo and redactionInfo, QLDB's own entries and the hash of
// the block before; a digest covers all block hashes up to its tip. No hash covers
// a block's own address, time and transactionId, a revision's blockAddress, and
// which table a revision is of, but for transactionInfo.documents: these are
// compared with what hashes cover, and a contradiction is the verdict Inconsistent.
// That a document's versions follow one another is not looked at here, since it
// needs all blocks at once: the target's keys do it.
//
// # Trust
//
// A chain alone proves that an archive agrees with itself. Whoever can rewrite all
// of it can make another chain: only a digest that was kept elsewhere ties it.
// JSON is proven value by value: types are taken only when they give the stored
// hash, so a wrong guess cannot pass.
//
// Promises: no input makes it panic; memory is bounded by the longest block, and
// by the logarithm of the blocks; Verify of Ion allocates nothing for a block
// without findings; findings hold names, ids and hashes, never values.
//
// The rules were found by recomputing what the service itself wrote; QLDB's
// developer guide (chapter "Data verification in Amazon QLDB") describes them
// in part. The shape of the tree, and the proofs of inclusion and consistency, are
// those of RFC 6962 and RFC 9162, with Dot for their hash of a node.
package proof
