package report_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"godwit/internal/report"
)

// All that follows is synthetic.

var began = time.Date(2026, 11, 22, 20, 14, 3, 250e6, time.UTC)

func at(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }

// clean returns a load in which everything arrived.
func clean() report.Load {
	table := func(name, target, id string, read, documents, deleted int64) report.Table {
		return report.Table{
			Name: name, Target: target, History: target + "_audit_log",
			IDs:  []report.TableID{{ID: id, Active: true, Revisions: read}},
			Read: read, Staged: read, Documents: documents, Current: documents - deleted, Deleted: deleted,
			Evidence: &report.Evidence{Revisions: read, Checksum: strings.Repeat("5c0ffee1", 4), Loader: strings.Repeat("5c0ffee1", 4)},
		}
	}
	l := report.Load{
		LoadID: "3f9a61c07d52be84", Outcome: report.Visible,
		Execution: "arn:aws:states:eu-west-1:123456789012:execution:LedgerLoad:night-1", Software: "v0.1.0",
		Input:   json.RawMessage(`{"Bucket":"ledger-archive","Prefix":"dmv/"}`),
		Mapping: report.Mapping{From: "packaged", SHA256: strings.Repeat("0a1b2c3d", 8)},
		Started: began, Finished: at(154),
		Archive: report.Archive{
			Bucket: "ledger-archive", Prefix: "dmv/", Strand: "3aIHk6vmvrGKHfOXnE0wqz", FirstBlock: 0, LastBlock: 1873, Blocks: 1874,
			Exports: []report.Export{{ID: "9nMy0o3LfkNDlJ8Ckeqf3X", Objects: 12, Format: "ION_BINARY"}},
			Objects: 12, Bytes: 8_412_377, SystemRevisions: 11,
		},
		Target: report.Target{Cluster: "arn:aws:rds:eu-west-1:123456789012:cluster:godwit", Database: "godwit", Schema: "dmv", History: true},
		Phases: []report.Phase{
			{Name: "plan", Started: at(0), Finished: at(3.1), Tasks: 1},
			{Name: "transform", Started: at(3.1), Finished: at(41), Rows: 5242, Bytes: 8_412_377, Tasks: 4},
			{Name: "count", Started: at(3.1), Finished: at(18.4), Rows: 5242, Bytes: 8_412_377, Tasks: 4},
			{Name: "import", Started: at(43), Finished: at(95.5), Rows: 5242, Bytes: 2_102_934, Tasks: 16},
			{Name: "reconcile", Started: at(97), Finished: at(97.4)},
			{Name: "slices", Started: at(99), Finished: at(131), Rows: 5242, Tasks: 4},
			{Name: "visible", Started: at(150), Finished: at(150.8), Tasks: 1},
		},
	}
	digest, hex := "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	l.Proof = &report.Proof{
		Asked: "full", Level: 3, Kept: 1, Digest: digest, Hex: hex, Tip: 1873,
		Ties:   []report.Tie{{Digest: digest, Hex: hex, Ledger: "vehicle-registration", Tip: 1873, From: 0, To: 1873, How: "all block hashes"}},
		Blocks: []report.Verdicts{{Verdict: "proven", Count: 1874}}, Revisions: []report.Verdicts{{Verdict: "proven", Count: 5240}, {Verdict: "redacted", Count: 2}, {Verdict: "opaque", Count: 11}},
		Holds: []string{"blocks 0 to 1873 of strand 3aIHk6vmvrGKHfOXnE0wqz are an unbroken chain", "5242 of 5242 revisions of documents were hashed again and have the hash that their block holds"},
		Open:  []report.Open{{What: "11 revisions of QLDB's own catalogue", Why: "the journal holds nothing of them but their hashes, which their blocks cover", Lift: "nothing: their content was never exported"}},
		Where: "s3://godwit-work/loads/3f9a61c07d52be84/proof.json",
	}
	l.Tables = []report.Table{
		table("VehicleRegistration", "vehicle_registration", "Iz0Xo4xyqhOJ5EXyLzTmNL", 2310, 512, 0),
		table("Person", "person", "GsYlgUVWJcRLkrXN9kF63A", 1204, 600, 4),
		table("Vehicle", "vehicle", "7S4lzrsQq0QKCwPEqRg2Vb", 1016, 512, 12),
		table("DriversLicense", "drivers_license", "BwHtqKkMVFQ2Xk0Zt7mJ4p", 712, 376, 3),
	}
	return l
}

// troubled returns a load with a finding of most kinds, and no error.
func troubled() report.Load {
	l := clean()
	l.Input = json.RawMessage(`{"Bucket":"ledger-archive","Prefix":"dmv/","MaxQuarantined":1000,"AcceptGaps":true}`)
	l.Archive.FirstBlock, l.Archive.Blocks = 118, 1874-118-112
	l.Archive.Exports = append(l.Archive.Exports, report.Export{ID: "2pT1qkzL0Y8Ez5uKbn6WmA", Objects: 3})
	l.Archive.Gaps = []report.Blocks{{First: 401, Last: 401}, {First: 1200, Last: 1310}}
	l.Archive.Overlaps = []report.Blocks{{First: 700, Last: 820}}
	l.Archive.Unused = []string{"dmv/2024/05/01/09/3aIHk6vmvrGKHfOXnE0wqz.1874-1903.ion"}
	r := &l.Tables[0] // VehicleRegistration
	r.IDs[0].Revisions = 2200
	r.IDs = append(r.IDs, report.TableID{ID: "4L2nKx0p9TQAb3mRs8VwYe", Revisions: 110})
	r.Staged, r.Quarantined, r.Filtered, r.Present = 2148, 41, 121, 80
	r.Documents, r.Current, r.Deleted, r.Dropped, r.Withheld = 500, 440, 10, 29, 21
	p := &l.Tables[1] // Person
	p.Staged, p.Quarantined, p.Current, p.Withheld = 1203, 1, 595, 1
	l.Quarantine = report.Quarantine{Total: 42, Where: "s3://godwit-work/loads/3f9a61c07d52be84/quarantine/"}
	reasons := []struct{ path, reason string }{
		{"Owners.SecondaryOwners[2].PersonId", "is a struct where the column holds text"},
		{"PendingPenaltyTicketAmount", "has more than 2 digits behind the point"},
		{"", "the revision repeats a member's name"},
		{"LicensePlateNumber", "has more than 8 characters"},
	}
	for i := range 42 {
		q := report.Quarantined{
			Table: "VehicleRegistration", Document: fmt.Sprintf("8F0TPCmdNQ6JTRpiLj%04d", i*37), Version: int64(i % 5),
			Object: "dmv/2024/05/01/08/3aIHk6vmvrGKHfOXnE0wqz.118-1873.ion", Block: int64(130 + i*17), Revision: int64(i % 3),
			Path: reasons[i%4].path, Reason: reasons[i%4].reason,
		}
		if i == 20 {
			q.Table = "Person"
		}
		l.Quarantine.First = append(l.Quarantine.First, q)
	}
	l.NeverFound = []report.MappingPath{
		{Table: "Person", Column: "middle_name", Path: "MiddelName"},
		{Table: "Vehicle", Column: "colour", Path: "Colour"},
	}
	l.Proof.Level, l.Proof.Digest, l.Proof.Hex, l.Proof.Ties = 0, "", "", nil
	l.Proof.Blocks = []report.Verdicts{{Verdict: "proven", Count: 1600}, {Verdict: "type-unproven", Count: 43}, {Verdict: "unattested", Count: 1}}
	l.Proof.Revisions = append(l.Proof.Revisions, report.Verdicts{Verdict: "type-unproven", Count: 90}, report.Verdicts{Verdict: "unattested", Count: 1})
	l.Proof.Open = append(l.Proof.Open,
		report.Open{What: "blocks 0 to 117", Why: "the archive begins with block 118: a digest over all blocks cannot be computed", Lift: "add the exports from block 0 on"},
		report.Open{What: "90 revisions from JSON", Why: "JSON lost Ion types that their hashes cover", Lift: "an export of the same blocks in Ion"})
	l.Proof.Findings = []string{"unattested: block 130 in object dmv/2024/05/01/08/3aIHk6vmvrGKHfOXnE0wqz.118-1873.ion: transactionInfo is absent, and entriesHashList has its hash"}
	l.Proof.Unlisted = 90
	l.Proof.Untyped = []report.Untyped{
		{Table: "Person", Count: 2, Of: 1204, Samples: 200, Proven: 199, Known: true, First: []report.Place{
			{Block: 1130, Revision: 2, Document: "8F0TPCmdNQ6JTRpiLj0037", Object: "dmv/2024/05/01/08/3aIHk6vmvrGKHfOXnE0wqz.118-1873.json"},
		}},
		{Table: "Vehicle", Count: 88, Of: 1018, Samples: 200, Proven: 120},
	}
	l.Findings = []report.Finding{{Code: "cold-start", Severity: report.Note, Text: "The cluster was paused; resuming it took 24 s."}}
	return l
}

// broken returns a visible load whose figures contradict each other.
func broken() report.Load {
	l := clean()
	l.Tables[1].Staged -= 2
	l.Tables[1].Current -= 3
	l.Tables[2].Evidence = &report.Evidence{Revisions: 1017, Checksum: "aa", Loader: "bb"}
	l.Quarantine.Total = 5
	return l
}

// stopped returns a load that ended before anything was visible.
func stopped() report.Load {
	l := clean()
	l.Outcome = report.Stopped
	for i := range l.Tables {
		t := &l.Tables[i]
		t.Documents, t.Current, t.Deleted = 0, 0, 0
	}
	l.Phases = l.Phases[:4]
	l.Phases[3].Finished = time.Time{}
	l.Phases = append(l.Phases, report.Phase{Name: "slices"}, report.Phase{Name: "visible"})
	l.Findings = []report.Finding{{
		Code: "import-failed", Severity: report.Error, Text: "Phase import stopped: aws_s3 may not read s3://godwit-work/parts/: AccessDenied.",
		Next: "Attach the import role to the cluster (aws rds add-role-to-db-cluster …), then redrive the execution.",
	}}
	return l
}

// huge returns 40 tables with names of 120 characters and up to 10^12 revisions.
func huge() report.Load {
	l := clean()
	l.Tables = nil
	l.Quarantine = report.Quarantine{Total: 40 * 7, Where: "s3://godwit-work/loads/3f9a61c07d52be84/quarantine/"}
	read := int64(1_000_000_000_000)
	for i := range 40 {
		name := fmt.Sprintf("Ledger_table_%02d_", i)
		name += strings.Repeat("abcdefghij", 12)[:120-len(name)]
		t := report.Table{
			Name: name, Target: strings.ToLower(name)[:63], History: strings.ToLower(name)[:53] + "_audit_log",
			IDs:  []report.TableID{{ID: fmt.Sprintf("GsYlgUVWJcRLkrXN9kF6%02d", i), Active: true, Revisions: read}},
			Read: read, Staged: read - 7 - read/9, Quarantined: 7, Filtered: read / 9, Documents: read / 3, Current: read/3 - 5, Deleted: 5,
			Evidence: &report.Evidence{Revisions: read, Checksum: strings.Repeat("ab", 32), Loader: strings.Repeat("ab", 32)},
		}
		l.Tables = append(l.Tables, t)
		read = read/2 + 11
		for j := range 7 {
			l.Quarantine.First = append(l.Quarantine.First, report.Quarantined{
				Table: name, Document: fmt.Sprintf("8F0TPCmdNQ6JTRpiLj%02d%02d", i, j), Version: 999_999_999_999, Block: 999_999_999_999, Revision: 39,
				Object: "a-prefix/" + strings.Repeat("deep/", 30) + "3aIHk6vmvrGKHfOXnE0wqz.0-999999999999.ion",
				Path:   strings.Repeat("Member.", 40) + "End", Reason: "is a list where the column holds numeric(38,9)",
			})
		}
	}
	l.Archive.LastBlock, l.Archive.Blocks = 999_999_999_999, 1_000_000_000_000-16_000
	for i := range 4000 {
		l.Archive.Gaps = append(l.Archive.Gaps, report.Blocks{First: int64(i * 10), Last: int64(i*10 + 3)})
		l.Archive.Unused = append(l.Archive.Unused, fmt.Sprintf("dmv/unused-%d.ion", i))
	}
	return l
}

// hostile returns a load in which every name tries to get out of its place.
func hostile() report.Load {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>'--></style></svg>{{.}}` + "\x1b[31m\u202e\x00"
	l := troubled()
	l.LoadID, l.Execution, l.Software = evil, evil, evil
	l.Mapping = report.Mapping{From: evil, SHA256: evil}
	l.Input = json.RawMessage(`{"Bucket":"</pre><script>alert(3)</script>"}`)
	l.Archive.Bucket, l.Archive.Prefix, l.Archive.Strand = evil, evil, evil
	l.Archive.Exports = []report.Export{{ID: evil, Format: evil}}
	l.Archive.Unused = []string{evil}
	l.Target = report.Target{Cluster: evil, Database: evil, Schema: evil, History: true}
	t := &l.Tables[0]
	t.Name, t.Target, t.History, t.IDs[0].ID = evil, evil, evil, evil
	t.Evidence = &report.Evidence{Revisions: 9, Checksum: evil, Loader: evil + "x"}
	l.Proof = &report.Proof{
		Asked: evil, Level: 1, Digest: evil, Hex: evil, Ties: []report.Tie{{Digest: evil, Hex: evil, Ledger: evil, How: evil}}, Blocks: []report.Verdicts{{Verdict: evil, Count: 1}},
		Revisions: []report.Verdicts{{Verdict: evil, Count: 1}}, Holds: []string{evil}, Open: []report.Open{{What: evil, Why: evil, Lift: evil}}, Findings: []string{evil}, Where: evil,
	}
	l.Quarantine.Where = evil
	l.Quarantine.First = []report.Quarantined{{Table: evil, Document: evil, Object: evil, Path: evil, Reason: evil}}
	l.NeverFound = []report.MappingPath{{Table: evil, Column: evil, Path: evil}}
	l.Phases = []report.Phase{{Name: evil, Started: at(0), Finished: at(1)}}
	l.Findings = []report.Finding{{Code: evil, Severity: report.Warning, Text: evil, Next: evil}}
	return l
}

// empty returns a load of an archive without tables.
func empty() report.Load {
	l := clean()
	l.Tables, l.Phases, l.Archive.Exports, l.Input = nil, nil, nil, nil
	return l
}

// loads are all of the above by name.
func loads() map[string]report.Load {
	return map[string]report.Load{
		"clean": clean(), "troubled": troubled(), "broken": broken(), "stopped": stopped(),
		"huge": huge(), "hostile": hostile(), "empty": empty(), "zero": {Outcome: report.Visible},
	}
}
