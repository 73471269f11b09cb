package verify

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// An Account is what the loader says it did.
type Account struct {
	Blocks   int64
	HashOnly int64
	Tables   []TableAccount // one a table id
}

// A TableAccount is the loader's account of one ledger table, in revisions.
type TableAccount struct {
	ID, Name    string
	Read        int64
	Staged      int64 // written for import
	Quarantined int64 // set aside
	Filtered    int64 // left out on purpose
}

// Stored is what the target holds, read back from it.
type Stored struct {
	Tables      map[string]StoredTable // by ledger table id
	Quarantined int64                  // revisions that the target lists as set aside
}

// A StoredTable is what the target holds of one ledger table.
type StoredTable struct {
	Rows int64
	// Checksum is of the rows' revisions; nil if it was not asked for. It is
	// compared where no revision was set aside or left out.
	Checksum *Checksum
}

// ParseSum reads a sum of checksum terms, which PostgreSQL shows as a signed
// number of any size, as Checksum.Sum.
func ParseSum(text string) (uint64, error) {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return 0, fmt.Errorf("read checksum: %q is not a whole number", text)
	}
	modulus := new(big.Int).Lsh(big.NewInt(1), 64)
	return n.Mod(n, modulus).Uint64(), nil // Mod is Euclidean: never negative
}

// A Kind is a way in which a load does not add up.
type Kind string

// The kinds of finding.
const (
	BlocksDiffer      Kind = "blocks differ"              // archive and loader count other blocks
	HashOnlyDiffer    Kind = "hash-only revisions differ" // or revisions of QLDB's own tables
	RevisionsMissing  Kind = "revisions missing"          // the loader read fewer than the archive holds
	RevisionsExtra    Kind = "revisions extraneous"       // it read more
	Unaccounted       Kind = "revisions unaccounted"      // read is not staged + quarantined + filtered
	RowsMissing       Kind = "rows missing"               // the target holds fewer than were staged
	RowsExtra         Kind = "rows extraneous"            // it holds more
	RowsOfNoTable     Kind = "rows of no table"           // it holds rows of a table that the loader does not know
	RevisionsMismatch Kind = "revisions mismatching"      // as many rows as revisions, but not of the same
	QuarantineDiffers Kind = "quarantine differs"         // the target lists other than were set aside
	AccountInvalid    Kind = "account invalid"            // a count below zero, or a table twice
)

// A Finding is one difference.
type Finding struct {
	Kind      Kind
	TableID   string // "" if it is about the whole load
	TableName string
	Want, Got int64  // what the earlier and the later stage count
	Text      string // the sentence for people
}

// Findings are all differences, by table; none is proof of completeness.
type Findings []Finding

// A Verdict says whether a load may be shown.
type Verdict string

// The verdicts.
const (
	Reconciled Verdict = "reconciled" // every revision is accounted for
	Differs    Verdict = "differs"
)

// Verdict returns Reconciled when there is no finding.
func (f Findings) Verdict() Verdict {
	if len(f) == 0 {
		return Reconciled
	}
	return Differs
}

// String lists the findings, one a line.
func (f Findings) String() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = "- " + f[i].Text
	}
	return strings.Join(lines, "\n")
}

// Reconcile compares what the archive holds with what the loader says it did,
// and that with what the target holds: for every ledger table id, read = staged
// + quarantined + filtered and no stage differs from the one before by a single
// revision.
func Reconcile(archive *Evidence, account *Account, stored *Stored) Findings {
	r := reconciler{archive: archive}
	r.whole(BlocksDiffer, archive.Blocks, account.Blocks, "the archive holds %d blocks, the loader read %d")
	r.whole(HashOnlyDiffer, archive.HashOnly, account.HashOnly, "the archive holds %d hash-only revisions of QLDB's own tables, the loader counted %d")
	seen := map[string]bool{}
	quarantined := int64(0)
	for i := range account.Tables {
		t := &account.Tables[i]
		quarantined += t.Quarantined
		if seen[t.ID] {
			r.add(AccountInvalid, t.ID, t.Name, 1, 2, "the loader accounts for it twice")
			continue
		}
		seen[t.ID] = true
		r.table(t, stored.Tables[t.ID])
	}
	for id, t := range archive.Tables {
		if !seen[id] && t.Revisions > 0 {
			r.add(RevisionsMissing, id, t.Name, t.Revisions, 0, fmt.Sprintf("the archive holds %d revisions, the loader read none", t.Revisions))
		}
	}
	for id, t := range stored.Tables {
		if !seen[id] && t.Rows != 0 {
			r.add(RowsOfNoTable, id, r.name(id), 0, t.Rows, fmt.Sprintf("the target holds %d rows, the loader staged none", t.Rows))
		}
	}
	r.whole(QuarantineDiffers, quarantined, stored.Quarantined, "the loader set %d revisions aside, the target lists %d")
	slices.SortStableFunc(r.findings, func(a, b Finding) int { return cmp.Compare(a.TableID, b.TableID) })
	return r.findings
}

type reconciler struct {
	archive  *Evidence
	findings Findings
}

func (r *reconciler) name(id string) string {
	if t := r.archive.Tables[id]; t != nil {
		return t.Name
	}
	return ""
}

func (r *reconciler) whole(k Kind, want, got int64, format string) {
	if want != got {
		r.findings = append(r.findings, Finding{Kind: k, Want: want, Got: got, Text: fmt.Sprintf(format, want, got)})
	}
}

func (r *reconciler) add(k Kind, id, name string, want, got int64, text string) {
	if name == "" {
		name = r.name(id)
	}
	which := "table " + name + " (id " + id + ")"
	switch {
	case id == "":
		which = "revisions whose table is not known"
	case name == "":
		which = "table with id " + id
	}
	r.findings = append(r.findings, Finding{Kind: k, TableID: id, TableName: name, Want: want, Got: got, Text: which + ": " + text})
}

// table compares the stages of one ledger table.
func (r *reconciler) table(t *TableAccount, s StoredTable) {
	held := Tally{}
	if a := r.archive.Tables[t.ID]; a != nil {
		held = *a
	}
	counts := map[string]int64{"read": t.Read, "staged": t.Staged, "quarantined": t.Quarantined, "filtered": t.Filtered}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] < 0 {
			r.add(AccountInvalid, t.ID, t.Name, 0, counts[name], fmt.Sprintf("the loader counts %d %s", counts[name], name))
			return
		}
	}
	switch {
	case t.Read < held.Revisions:
		r.add(RevisionsMissing, t.ID, t.Name, held.Revisions, t.Read,
			fmt.Sprintf("the archive holds %d revisions, the loader read %d: %d are missing", held.Revisions, t.Read, held.Revisions-t.Read))
	case t.Read > held.Revisions:
		r.add(RevisionsExtra, t.ID, t.Name, held.Revisions, t.Read,
			fmt.Sprintf("the archive holds %d revisions, the loader read %d: %d too many", held.Revisions, t.Read, t.Read-held.Revisions))
	}
	if sum := t.Staged + t.Quarantined + t.Filtered; sum != t.Read {
		r.add(Unaccounted, t.ID, t.Name, t.Read, sum,
			fmt.Sprintf("the loader read %d revisions, but %d staged + %d quarantined + %d filtered are %d", t.Read, t.Staged, t.Quarantined, t.Filtered, sum))
	}
	switch {
	case s.Rows < t.Staged:
		r.add(RowsMissing, t.ID, t.Name, t.Staged, s.Rows,
			fmt.Sprintf("the loader staged %d rows, the target holds %d: %d are missing", t.Staged, s.Rows, t.Staged-s.Rows))
	case s.Rows > t.Staged:
		r.add(RowsExtra, t.ID, t.Name, t.Staged, s.Rows,
			fmt.Sprintf("the loader staged %d rows, the target holds %d: %d too many", t.Staged, s.Rows, s.Rows-t.Staged))
	case s.Checksum != nil && s.Rows == held.Revisions && *s.Checksum != held.Checksum:
		r.add(RevisionsMismatch, t.ID, t.Name, held.Revisions, s.Rows,
			fmt.Sprintf("the target holds as many rows as the archive holds revisions, %d, but their checksums differ: some row is of another revision", s.Rows))
	}
}
