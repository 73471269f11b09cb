// Package ledgergen makes synthetic QLDB ledgers of any size from a seed and
// exports them as ExportJournalToS3 did: the vehicle-registration ledger of
// QLDB's tutorial, with everything that a real ledger's journal may hold. Tests
// and the local demo use it; nothing that is deployed does.
//
// A Journal's blocks can also be had as the messages of a journal stream, and
// those as the Kinesis Producer Library aggregated them.
//
// It leaves the hash arithmetic to proof, the Ion hash and binary Ion to ion.
//
// Promises: the same options give the same bytes. Every hash is true: revision,
// entries and block hashes chain by the algorithm that real blocks follow, and
// the digest is the Merkle root over all block hashes. The three formats of one
// seed describe the same ledger with the same hashes. Generate's memory does not
// grow with the number of documents, only with BlocksPerObject; a Journal, which
// answers for every block, keeps the blocks in a file.
//
// What no public real data shows is chosen here, and readers must accept the
// other variants too: a deletion's revision hash is dot(H(metadata), H(null));
// the first block's previousBlockHash is an empty blob; a block without
// transactionInfo or revisions has an empty blob in that place of its
// entriesHashList; a block with redactionInfo has H(redactionInfo) as a fifth
// member; members 0 and 2, whose content is unknown, are seeded bytes.
//
// JSON is written as ion-java down-converts Ion: decimals as
// <unscaled>e<exponent> (90.25 is 9025e-2, which keeps the scale), floats with
// the shortest digits and an exponent (2.5e0). JSON cannot tell the two apart,
// so floats stand only in the free-form parts of Note and Inspection, where jsonb holds the same
// number whichever it was. Values that jsonb cannot hold (annotations, symbols,
// NUL, nan, repeated names) are not generated.
package ledgergen
