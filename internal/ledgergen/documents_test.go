package ledgergen_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"godwit/internal/ledgergen"
)

const colour = "Color" //nolint:misspell // the tutorial spells it so

// The columns of the public sample's tables, and what is unique in them.
func TestDocumentsFitThePublicSampleTables(t *testing.T) {
	limits := map[string]map[string]int{
		"Person":              {"FirstName": 100, "LastName": 100, "GovId": 50, "GovIdType": 50, "Address": 100},
		"Vehicle":             {"VIN": 50, "Type": 25, "Make": 50, "Model": 50, colour: 25},
		"VehicleRegistration": {"VIN": 50, "LicensePlateNumber": 25, "State": 10, "City": 25},
		"DriversLicense":      {"PersonId": 25, "LicensePlateNumber": 25, "LicenseType": 25},
	}
	unique := map[string]string{"Vehicle": "VIN", "VehicleRegistration": "VIN", "DriversLicense": "PersonId"}
	shapes := map[string]map[string]bool{}
	check := func(t *testing.T, table, id string, data *node, held map[string]string) {
		shape := ""
		for _, c := range data.children {
			shape += c.name + " "
			if limit := limits[table][c.name]; limit > 0 && utf8.RuneCountInString(c.node.text) > limit {
				t.Errorf("%s.%s is %q: longer than %d", table, c.name, c.node.text, limit)
			}
		}
		if shapes[table] == nil {
			shapes[table] = map[string]bool{}
		}
		shapes[table][shape] = true
		if key := unique[table]; key != "" {
			k := table + " " + data.at(t, key).text
			if held[k] != "" && held[k] != id {
				t.Errorf("documents %s and %s share the %s of %s", held[k], id, key, k)
			}
			held[k] = id
		}
		if table == "VehicleRegistration" && data.find("Owners") != nil {
			if data.at(t, "Owners", "PrimaryOwner", "PersonId").text == "" {
				t.Errorf("document %s has a nameless owner", id)
			}
			if seconds := data.find("Owners", "SecondaryOwners"); seconds != nil {
				if len(seconds.children) > 8 {
					t.Errorf("document %s has %d secondary owners: over 200 characters", id, len(seconds.children))
				}
				for i := range seconds.children {
					if seconds.children[i].node.at(t, "PersonId").text == "" {
						t.Errorf("document %s has a nameless secondary owner", id)
					}
				}
			}
		}
	}
	for seed := range uint64(30) {
		held := map[string]string{} // table and key -> document
		documents := 100
		if seed == 0 {
			documents = 3000
		}
		for _, b := range generate(t, ledgergen.Options{Seed: seed, Documents: documents, Format: ledgergen.IonText}).blocks(t) {
			revisions := b.find("revisions")
			if revisions == nil {
				continue
			}
			for i := range revisions.children {
				r := &revisions.children[i].node
				if data := r.find("data"); data != nil {
					id := r.at(t, "metadata", "id").text
					check(t, b.at(t, "transactionInfo", "documents", id, "tableName").text, id, data, held)
				}
			}
		}
	}
	for table, want := range map[string]int{"Person": 4, "Vehicle": 4, "VehicleRegistration": 3, "DriversLicense": 2, "Note": 50} {
		if len(shapes[table]) < want {
			t.Errorf("%s has %d shapes, want %d at least", table, len(shapes[table]), want)
		}
	}
}

func TestUnmappableRevisionsAreTheLastOfTheirDocuments(t *testing.T) {
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		a := generate(t, ledgergen.Options{Seed: 13, Documents: 100, Unmappable: 8, Format: format})
		refused := map[string]int64{} // table id -> count
		last := map[string]bool{}     // document -> its last revision is refused
		for _, b := range a.blocks(t) {
			revisions := b.find("revisions")
			if revisions == nil {
				continue
			}
			for i := range revisions.children {
				r := &revisions.children[i].node
				if r.find("metadata") == nil {
					continue
				}
				id := r.at(t, "metadata", "id").text
				body, name, paint := r.find("data", "body"), r.find("data", "LastName"), r.find("data", colour)
				bad := body != nil && strings.Contains(body.text, "\x00") || name != nil && len(name.text) > 100 || paint != nil && utf8.RuneCountInString(paint.text) > 25
				if bad {
					refused[b.at(t, "transactionInfo", "documents", id, "tableId").text]++
				}
				last[id] = bad
			}
		}
		documents := 0
		for _, bad := range last {
			if bad {
				documents++
			}
		}
		if documents != 8 {
			t.Errorf("%s: %d documents end with an unmappable revision, want 8", format, documents)
		}
		for _, table := range a.ledger.Tables {
			if refused[table.ID] != table.Refused {
				t.Errorf("%s: %s has %d unmappable revisions, the oracle says %d", format, table.Name, refused[table.ID], table.Refused)
			}
		}
		if len(refused) != 3 {
			t.Errorf("%s: unmappable revisions in %d tables, want 3", format, len(refused))
		}
	}
}
