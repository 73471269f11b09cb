package ledgergen_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"godwit/internal/ledgergen"
)

// A jsonBlock is what these tests look at in a block.
type jsonBlock struct {
	TransactionInfo struct {
		Statements []struct{ Statement string }
		Documents  map[string]struct{ TableName, TableID string }
	}
	RedactionInfo struct{ Revisions []json.RawMessage }
	Revisions     []struct {
		Data     json.RawMessage
		DataHash string
		Metadata *struct {
			ID      string
			Version int64
		}
	}
}

func TestLaterChangesFollowTheLedgerWithoutThem(t *testing.T) {
	o := ledgergen.Options{Seed: 4, Documents: 300, Unmappable: 2}
	before := journal(t, o)
	if before.Later() != before.Len() {
		t.Errorf("without later changes they begin at block %d of %d", before.Later(), before.Len())
	}
	o.Later = 120
	j := journal(t, o)
	if j.Later() != before.Len() || j.Len() <= j.Later() {
		t.Fatalf("later changes begin at block %d of %d, the ledger without has %d blocks", j.Later(), j.Len(), before.Len())
	}
	for n := range before.Len() {
		if j.Hash(n) != before.Hash(n) {
			t.Fatalf("block %d is another one", n)
		}
	}
	happened := map[string]int{}
	for n := range j.Len() {
		b, err := j.Block(n)
		if err != nil {
			t.Fatal(err)
		}
		var x jsonBlock
		if err := json.Unmarshal(b.JSON(), &x); err != nil {
			t.Fatalf("block %d: %v", n, err)
		}
		when := "before: "
		if n >= j.Later() {
			when = "later: "
		}
		for _, s := range x.TransactionInfo.Statements {
			for _, said := range []string{"CREATE TABLE Inspection", "DROP TABLE DriversLicense"} {
				if s.Statement == said {
					happened[when+said]++
				}
			}
		}
		happened[when+"redaction"] += len(x.RedactionInfo.Revisions)
		for _, r := range x.Revisions {
			if r.Metadata == nil {
				continue
			}
			table := x.TransactionInfo.Documents[r.Metadata.ID].TableName
			switch {
			case r.DataHash != "":
				happened[when+"without its data"]++
			case r.Data == nil:
				happened[when+"deletion"]++
			case r.Metadata.Version > 0:
				happened[when+"update"]++
			default:
				happened[when+"insertion"]++
			}
			if table == "Inspection" || table == "DriversLicense" && bytes.Contains(r.Data, []byte(`"LicenseNumber"`)) {
				happened[when+table+" of another shape"]++
			}
		}
	}
	for _, want := range []string{
		"before: redaction", "before: without its data", "later: redaction", "later: update", "later: deletion",
		"later: Inspection of another shape", "later: DriversLicense of another shape",
		"later: CREATE TABLE Inspection", "later: DROP TABLE DriversLicense",
	} {
		if happened[want] == 0 {
			t.Errorf("%s: none", want)
		}
	}
	if happened["later: insertion"] != o.Later {
		t.Errorf("%d documents came later, want %d", happened["later: insertion"], o.Later)
	}
	for what, n := range happened {
		if n > 0 && (what == "later: without its data" || strings.HasPrefix(what, "before: ") && strings.Contains(what, "Inspection") || what == "before: DriversLicense of another shape") {
			t.Errorf("%s: %d", what, n)
		}
	}
	t.Log(happened)
}
