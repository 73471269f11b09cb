package proof_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"godwit/internal/ledgergen"
	"godwit/internal/proof"
	"godwit/internal/stream"
)

// streamedBlock returns the messages of the first block that has two revisions
// of documents at least, neither of them a deletion.
func streamedBlock(t *testing.T) []ledgergen.StreamMessage {
	t.Helper()
	j, err := ledgergen.NewJournal(ledgergen.Options{Seed: 1, Documents: 60}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	for n := range j.Len() {
		b, err := j.Block(n)
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Revisions) < 2 || bytes.Contains([]byte(b.Text()), []byte("DELETE")) {
			continue
		}
		messages, err := b.Stream("arn:aws:qldb:eu-west-1:123456789012:stream/ledger/id")
		if err != nil {
			t.Fatal(err)
		}
		return messages
	}
	t.Fatal("no block has two revisions")
	return nil
}

// verifyMessage verifies a message of a stream.
func verifyMessage(t *testing.T, data []byte) *proof.Check {
	t.Helper()
	event, err := stream.NewDecoder(nil).Decode(stream.Message{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	var v proof.Verifier
	switch e := event.(type) {
	case *stream.Summary:
		return v.Verify(e.Block)
	case *stream.Revision:
		return v.VerifyRevisions(e.Block)
	}
	t.Fatalf("event %T", event)
	return nil
}

func TestStreamsAreProvenAndChangesFound(t *testing.T) {
	messages := streamedBlock(t)
	summary, details := messages[0].Data, messages[1].Data
	for i, m := range messages {
		if c := verifyMessage(t, m.Data); c.Verdict != proof.Proven || len(c.Findings) > 0 {
			t.Errorf("message %d is %s: %v", i, c.Verdict, c.Findings)
		}
	}
	hash := func(partitionKey string) []byte {
		b, err := hex.DecodeString(partitionKey)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		message, at []byte // the last byte of at, where it stands first, is changed
		want        proof.Verdict
		what        string
	}{
		"block's hash":               {summary, hash(messages[0].PartitionKey), proof.Tampered, "blockHash"},
		"revision's hash in summary": {summary, hash(messages[1].PartitionKey), proof.Tampered, "revisions' root"},
		"a statement":                {summary, []byte("INSERT"), proof.Tampered, "transactionInfo"},
		"summaries left out":         {summary, []byte("revisionSummaries"), proof.Unattested, "revisions"},
		"transactionInfo left out":   {summary, []byte("transactionInfo"), proof.Unattested, "transactionInfo"},
		"entries left out":           {summary, []byte("entriesHashList"), proof.Unattested, "entriesHashList"},
		"revision's hash":            {details, hash(messages[1].PartitionKey), proof.Tampered, "hash"},
		"name of a field":            {details, []byte("FirstName"), proof.Tampered, "hash"},
		"data left out":              {details, []byte("data"), proof.Unattested, "data"},
		"metadata left out":          {details, []byte("metadata"), proof.Unattested, "metadata"},
	} {
		i := bytes.Index(c.message, c.at)
		if i < 0 {
			t.Errorf("%s: not in the message", name)
			continue
		}
		changed := bytes.Clone(c.message)
		changed[i+len(c.at)-1] ^= 1
		found := verifyMessage(t, changed)
		if found.Verdict != c.want || len(found.Findings) == 0 || found.Findings[0].What != c.what {
			t.Errorf("%s: %s, %v, want %s of %s", name, found.Verdict, found.Findings, c.want, c.what)
		}
	}
}
