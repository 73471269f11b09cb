package verify_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/testdb"
	"godwit/internal/verify"
)

// evidence reads the data objects of a synthetic export.
func evidence(t testing.TB, o ledgergen.Options) ([]*verify.Evidence, ledgergen.Ledger) {
	t.Helper()
	var parts []*verify.Evidence
	ledger, err := ledgergen.Generate(o, func(obj ledgergen.Object) error {
		if obj.First < 0 {
			return nil
		}
		r, err := journal.NewReader(bytes.NewReader(obj.Body), journal.Options{Object: obj.Key})
		if err != nil {
			return err
		}
		e := &verify.Evidence{}
		for {
			b, err := r.Next()
			if errors.Is(err, io.EOF) {
				parts = append(parts, e)
				return nil
			}
			if err != nil {
				return err
			}
			e.Add(b)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return parts, ledger
}

func whole(parts []*verify.Evidence) *verify.Evidence {
	e := &verify.Evidence{}
	for _, p := range parts {
		e.Merge(p)
	}
	return e
}

// TestEvidenceCountsWhatTheLedgerHolds compares with the generator's own counts.
func TestEvidenceCountsWhatTheLedgerHolds(t *testing.T) {
	parts, ledger := evidence(t, ledgergen.Options{Seed: 5, Documents: 1500, BlocksPerObject: 20})
	e := whole(parts)
	if len(parts) < 3 {
		t.Fatalf("only %d parts", len(parts))
	}
	if e.Blocks != ledger.Blocks || e.HashOnly == 0 {
		t.Errorf("%d blocks and %d hash-only revisions, want %d blocks", e.Blocks, e.HashOnly, ledger.Blocks)
	}
	deletions := int64(0)
	for _, want := range ledger.Tables {
		got := e.Tables[want.ID]
		if got == nil {
			if want.Revisions > 0 {
				t.Errorf("table %s (%s) is missing", want.Name, want.ID)
			}
			continue
		}
		deletions += got.Deletions
		if got.Name != want.Name || got.Revisions != want.Revisions || got.Redactions != want.Redacted || got.Deletions != want.Deleted {
			t.Errorf("table %s: %+v, want %+v", want.ID, *got, want)
		}
	}
	if deletions == 0 {
		t.Error("the ledger deletes nothing: the test shows too little")
	}
}

// TestEvidenceIsTheSameFromEveryFormat: also the checksums.
func TestEvidenceIsTheSameFromEveryFormat(t *testing.T) {
	var first *verify.Evidence
	for _, f := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.IonText, ledgergen.JSON} {
		parts, _ := evidence(t, ledgergen.Options{Seed: 6, Documents: 300, Format: f})
		e := whole(parts)
		if first == nil {
			first = e
		} else if diff := cmp.Diff(e, first); diff != "" {
			t.Errorf("%s differs from %s (-got +want):\n%s", f, ledgergen.IonBinary, diff)
		}
	}
}

// TestEvidenceSurvivesJSON: counts lie on S3 between the pass and the judgement.
func TestEvidenceSurvivesJSON(t *testing.T) {
	parts, _ := evidence(t, ledgergen.Options{Seed: 7, Documents: 100})
	want := whole(parts)
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := &verify.Evidence{}
	if err := json.Unmarshal(text, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

func TestChecksumTellsRevisionsApart(t *testing.T) {
	hash := bytes.Repeat([]byte{1}, 32)
	other := append(bytes.Repeat([]byte{1}, 31), 2)
	sum := func(list ...any) verify.Checksum {
		var c verify.Checksum
		for i := 0; i < len(list); i += 3 {
			c.Add([]byte(list[i].(string)), change.Version(list[i+1].(int)), list[i+2].([]byte))
		}
		return c
	}
	base := sum("a", 0, hash, "b", 1, hash)
	if got := sum("b", 1, hash, "a", 0, hash); got != base {
		t.Error("order shows")
	}
	for name, got := range map[string]verify.Checksum{
		"another hash":     sum("a", 0, other, "b", 1, hash),
		"another version":  sum("a", 2, hash, "b", 1, hash),
		"another document": sum("c", 0, hash, "b", 1, hash),
		"versions swapped": sum("a", 1, hash, "b", 0, hash),
		"one fewer":        sum("a", 0, hash),
		"one twice":        sum("a", 0, hash, "b", 1, hash, "b", 1, hash),
		"both one":         sum("a", 0, hash, "a", 0, hash),
		"digits move":      sum("a1", 0, hash, "b", 1, hash),
	} {
		if got == base {
			t.Errorf("%s does not show", name)
		}
	}
}

// TestServerComputesTheSameChecksum runs the SQL of Checksum's comment.
func TestServerComputesTheSameChecksum(t *testing.T) {
	conn := testdb.Connect(t, testdb.New(t).AdminDSN)
	ctx := context.Background()
	if _, err := conn.Exec(ctx, `CREATE TABLE history (doc_id text, version bigint, ql_audit jsonb)`); err != nil {
		t.Fatal(err)
	}
	var want verify.Checksum
	for i := range 50 {
		hash := sha256.Sum256([]byte{byte(i)})
		id, version := fmt.Sprintf("document%d", i%7), int64(i/7)
		want.Add([]byte(id), change.Version(version), hash[:])
		if _, err := conn.Exec(ctx, `INSERT INTO history VALUES ($1, $2, jsonb_build_object('ql_rev_hash', $3::text))`,
			id, version, base64.StdEncoding.EncodeToString(hash[:])); err != nil {
			t.Fatal(err)
		}
	}
	var xor int64
	var sum string
	err := conn.QueryRow(ctx, `SELECT bit_xor(term), sum(term::numeric)::text FROM (SELECT ('x' || encode(substr(sha256(
		convert_to(doc_id || ':' || version || ':', 'UTF8') || decode(ql_audit->>'ql_rev_hash', 'base64')
		), 1, 8), 'hex'))::bit(64)::bigint AS term FROM history) AS terms`).Scan(&xor, &sum)
	if err != nil {
		t.Fatal(err)
	}
	total, err := verify.ParseSum(sum)
	if err != nil {
		t.Fatal(err)
	}
	if got := (verify.Checksum{Xor: uint64(xor), Sum: total}); got != want {
		t.Errorf("server computes %+v, want %+v", got, want)
	}
}

func TestParseSumRefusesOtherThanWholeNumbers(t *testing.T) {
	for text, want := range map[string]uint64{"0": 0, "-1": 1<<64 - 1, "18446744073709551617": 1, "-18446744073709551616": 0} {
		if got, err := verify.ParseSum(text); err != nil || got != want {
			t.Errorf("ParseSum(%s) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1.5", "NaN"} {
		if _, err := verify.ParseSum(text); err == nil {
			t.Errorf("ParseSum(%q) is no error", text)
		}
	}
}

// A load is what a test damages.
type load struct {
	archive *verify.Evidence
	account *verify.Account
	stored  *verify.Stored
}

// soundLoad adds up: of t1 all is staged, of t2 something is set aside and left
// out, t3 is left out whole, "" could not be told a table.
func soundLoad() load {
	tally := func(name string, n int64) *verify.Tally {
		t := &verify.Tally{Name: name}
		for i := range n {
			t.Revisions++
			t.Checksum.Add([]byte(name), change.Version(i), []byte("hash"))
		}
		return t
	}
	archive := &verify.Evidence{Blocks: 10, HashOnly: 3, Tables: map[string]*verify.Tally{
		"t1": tally("Person", 5), "t2": tally("Vehicle", 9), "t3": tally("Note", 4), "": tally("", 1),
	}}
	one, two := archive.Tables["t1"].Checksum, verify.Checksum{Xor: 1, Sum: 1} // t2's rows are not all revisions
	return load{
		archive: archive,
		account: &verify.Account{Blocks: 10, HashOnly: 3, Tables: []verify.TableAccount{
			{ID: "t1", Name: "Person", Read: 5, Staged: 5},
			{ID: "t2", Name: "Vehicle", Read: 9, Staged: 6, Quarantined: 2, Filtered: 1},
			{ID: "t3", Name: "Note", Read: 4, Filtered: 4},
			{ID: "", Read: 1, Quarantined: 1},
		}},
		stored: &verify.Stored{Quarantined: 3, Tables: map[string]verify.StoredTable{
			"t1": {Rows: 5, Checksum: &one}, "t2": {Rows: 6, Checksum: &two},
		}},
	}
}

// TestEachDamageIsFoundAndNothingElse plants one damage of every kind.
func TestEachDamageIsFoundAndNothingElse(t *testing.T) {
	if f := verify.Reconcile(soundLoad().archive, soundLoad().account, soundLoad().stored); f.Verdict() != verify.Reconciled || len(f) != 0 {
		t.Fatalf("a sound load has findings:\n%s", f)
	}
	for _, c := range []struct {
		name   string
		damage func(*load)
		want   verify.Finding // without Text
		says   []string
	}{
		{
			"a block not read", func(l *load) { l.account.Blocks-- },
			verify.Finding{Kind: verify.BlocksDiffer, Want: 10, Got: 9},
			[]string{"10 blocks", "read 9"},
		},
		{
			"a hash-only revision taken for a record", func(l *load) { l.account.HashOnly-- },
			verify.Finding{Kind: verify.HashOnlyDiffer, Want: 3, Got: 2},
			[]string{"3 hash-only", "counted 2"},
		},
		{"a revision not read", func(l *load) {
			l.account.Tables[1].Read--
			l.account.Tables[1].Filtered--
		}, verify.Finding{Kind: verify.RevisionsMissing, TableID: "t2", TableName: "Vehicle", Want: 9, Got: 8}, []string{"Vehicle (id t2)", "holds 9", "read 8", "1 are missing"}},
		{"a table not read", func(l *load) {
			l.account.Tables = append(l.account.Tables[:2:2], l.account.Tables[3])
		}, verify.Finding{Kind: verify.RevisionsMissing, TableID: "t3", TableName: "Note", Want: 4}, []string{"Note (id t3)", "holds 4", "read none"}},
		{"a revision read twice", func(l *load) {
			l.account.Tables[1].Read++
			l.account.Tables[1].Filtered++
		}, verify.Finding{Kind: verify.RevisionsExtra, TableID: "t2", TableName: "Vehicle", Want: 9, Got: 10}, []string{"Vehicle (id t2)", "read 10", "1 too many"}},
		{"a table that the archive does not hold", func(l *load) {
			l.account.Tables = append(l.account.Tables, verify.TableAccount{ID: "t4", Name: "Ghost", Read: 2, Filtered: 2})
		}, verify.Finding{Kind: verify.RevisionsExtra, TableID: "t4", TableName: "Ghost", Got: 2}, []string{"Ghost (id t4)", "holds 0"}},
		{
			"a revision dropped on the way", func(l *load) { l.account.Tables[1].Filtered-- },
			verify.Finding{Kind: verify.Unaccounted, TableID: "t2", TableName: "Vehicle", Want: 9, Got: 8},
			[]string{"read 9", "6 staged + 2 quarantined + 0 filtered are 8"},
		},
		{
			"a revision counted twice", func(l *load) { l.account.Tables[2].Filtered++ },
			verify.Finding{Kind: verify.Unaccounted, TableID: "t3", TableName: "Note", Want: 4, Got: 5},
			[]string{"5 filtered are 5"},
		},
		{
			"a row lost in the target", func(l *load) { l.stored.Tables["t2"] = verify.StoredTable{Rows: 5} },
			verify.Finding{Kind: verify.RowsMissing, TableID: "t2", TableName: "Vehicle", Want: 6, Got: 5},
			[]string{"staged 6", "holds 5", "1 are missing"},
		},
		{
			"a table lost in the target", func(l *load) { delete(l.stored.Tables, "t1") },
			verify.Finding{Kind: verify.RowsMissing, TableID: "t1", TableName: "Person", Want: 5},
			[]string{"Person (id t1)", "5 are missing"},
		},
		{
			"a part imported twice", func(l *load) { l.stored.Tables["t2"] = verify.StoredTable{Rows: 12} },
			verify.Finding{Kind: verify.RowsExtra, TableID: "t2", TableName: "Vehicle", Want: 6, Got: 12},
			[]string{"holds 12", "6 too many"},
		},
		{
			"rows of a table that is left out", func(l *load) { l.stored.Tables["t3"] = verify.StoredTable{Rows: 4} },
			verify.Finding{Kind: verify.RowsExtra, TableID: "t3", TableName: "Note", Got: 4},
			[]string{"Note (id t3)", "staged 0"},
		},
		{
			"rows of another load", func(l *load) { l.stored.Tables["t9"] = verify.StoredTable{Rows: 7} },
			verify.Finding{Kind: verify.RowsOfNoTable, TableID: "t9", Got: 7},
			[]string{"id t9", "7 rows", "staged none"},
		},
		{"a row exchanged for another", func(l *load) {
			l.stored.Tables["t1"].Checksum.Add([]byte("x"), 0, nil)
		}, verify.Finding{Kind: verify.RevisionsMismatch, TableID: "t1", TableName: "Person", Want: 5, Got: 5}, []string{"Person (id t1)", "checksums differ"}},
		{
			"a quarantined revision not listed", func(l *load) { l.stored.Quarantined-- },
			verify.Finding{Kind: verify.QuarantineDiffers, Want: 3, Got: 2},
			[]string{"3 revisions aside", "lists 2"},
		},
		{"a negative count", func(l *load) {
			l.account.Tables[2].Filtered, l.account.Tables[2].Staged = 5, -1
		}, verify.Finding{Kind: verify.AccountInvalid, TableID: "t3", TableName: "Note", Got: -1}, []string{"counts -1 staged"}},
		{"a table accounted for twice", func(l *load) {
			l.account.Tables = append(l.account.Tables, verify.TableAccount{ID: "t3", Name: "Note"})
		}, verify.Finding{Kind: verify.AccountInvalid, TableID: "t3", TableName: "Note", Want: 1, Got: 2}, []string{"Note (id t3)", "twice"}},
		{"a revision of no table not read", func(l *load) {
			l.account.Tables = l.account.Tables[:3]
			l.stored.Quarantined--
		}, verify.Finding{Kind: verify.RevisionsMissing, Want: 1}, []string{"whose table is not known", "read none"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := soundLoad()
			c.damage(&l)
			f := verify.Reconcile(l.archive, l.account, l.stored)
			if f.Verdict() != verify.Differs || len(f) != 1 {
				t.Fatalf("%d findings, verdict %s, want one:\n%s", len(f), f.Verdict(), f)
			}
			got := f[0]
			for _, s := range c.says {
				if !strings.Contains(got.Text, s) {
					t.Errorf("%q does not say %q", got.Text, s)
				}
			}
			got.Text = ""
			if diff := cmp.Diff(got, c.want); diff != "" {
				t.Errorf("finding (-got +want):\n%s", diff)
			}
		})
	}
}

// TestAllDifferencesAreReported, not the first.
func TestAllDifferencesAreReported(t *testing.T) {
	l := soundLoad()
	l.account.Blocks--
	l.stored.Tables["t1"] = verify.StoredTable{Rows: 4}
	l.account.Tables[1].Read--
	f := verify.Reconcile(l.archive, l.account, l.stored)
	var kinds []verify.Kind
	for _, x := range f {
		kinds = append(kinds, x.Kind)
	}
	want := []verify.Kind{verify.BlocksDiffer, verify.RowsMissing, verify.RevisionsMissing, verify.Unaccounted}
	if diff := cmp.Diff(kinds, want); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
	if n := strings.Count(f.String(), "\n") + 1; n != len(f) {
		t.Errorf("%d lines for %d findings", n, len(f))
	}
}

// BenchmarkAdd measures the pass over one object, reading of blocks included.
func BenchmarkAdd(b *testing.B) {
	for _, format := range []ledgergen.Format{ledgergen.IonBinary, ledgergen.JSON} {
		b.Run(string(format), func(b *testing.B) {
			var objects [][]byte
			ledger, err := ledgergen.Generate(ledgergen.Options{Seed: 1, Documents: 3000, Format: format}, func(o ledgergen.Object) error {
				if o.First >= 0 {
					objects = append(objects, bytes.Clone(o.Body))
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(ledger.Bytes)
			b.ReportAllocs()
			for b.Loop() {
				e := &verify.Evidence{}
				for _, body := range objects {
					r, err := journal.NewReader(bytes.NewReader(body), journal.Options{})
					if err != nil {
						b.Fatal(err)
					}
					for {
						blk, err := r.Next()
						if errors.Is(err, io.EOF) {
							break
						}
						if err != nil {
							b.Fatal(err)
						}
						e.Add(blk)
					}
				}
			}
			b.ReportMetric(float64(ledger.Revisions())*float64(b.N)/b.Elapsed().Seconds(), "revisions/s")
		})
	}
}
