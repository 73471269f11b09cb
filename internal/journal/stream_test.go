package journal_test

import (
	"testing"

	"godwit/internal/journal"
)

// An export has revisions. Summaries in their place would be counted as QLDB's
// own, and the documents be missed by nobody.
func TestSummariesOfRevisionsAreNoneOfABlock(t *testing.T) {
	b, err := journal.ParseBlock(`{blockAddress:{strandId:"s",sequenceNo:1},transactionId:"t",blockTimestamp:2019-09-16T19:37:05.360Z,
		blockHash:` + hashA + `,revisionSummaries:[{hash:` + hashA + `,documentId:"d"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if b.HasRevisions || len(b.Revisions) != 0 || b.HashOnly != 0 {
		t.Errorf("%d revisions, %d of a hash alone", len(b.Revisions), b.HashOnly)
	}
}
