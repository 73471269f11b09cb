package report_test

import (
	"encoding/json"
	"fmt"
	"strings"

	"godwit/internal/estimate"
	"godwit/internal/report"
)

// prediction is an estimate of round figures.
func prediction(basis estimate.Basis) *estimate.Estimate {
	at := func(name, beside string, minutes, usd float64) estimate.Step {
		r := func(x float64) estimate.Range { return estimate.Range{Low: x / 2, Likely: x, High: x * 4} }
		return estimate.Step{
			Name: name, Beside: beside, Minutes: r(minutes), USD: r(usd), Assumptions: []string{},
			Units: []estimate.Unit{{Name: "lambda-requests", Unit: "request", Count: r(usd * 100), USD: r(usd)}},
		}
	}
	e := &estimate.Estimate{
		LoadID: "3f9a61c07d52be84", Made: began, Basis: basis, Region: "eu-west-1", PriceRegion: "us-east-1", PricesAsOf: "2026-11-22",
		Planning: at(estimate.StepSurvey, "", 2, 0.25),
		Steps: []estimate.Step{
			at(estimate.StepPlan, "", 0.1, 0.001), at(estimate.StepRead, "", 1.5, 0.5), at(estimate.StepCount, estimate.StepRead, 1, 0.25),
			at(estimate.StepImport, "", 4, 1.5), at(estimate.StepKeys, "", 1, 0.1), at(estimate.StepSlices, "", 2, 0.2),
			at(estimate.StepIndexes, "", 130, 0.3), at(estimate.StepVisible, "", 0.1, 0.01), at(estimate.StepReport, "", 0.05, 0),
		},
		Minutes:     estimate.Range{Low: 60, Likely: 139, High: 560},
		USD:         estimate.Range{Low: 1.43, Likely: 2.861, High: 11.44},
		Monthly:     []estimate.Holding{{Name: "rows in the database", GB: estimate.Range{Low: 1, Likely: 2.5, High: 7}, USD: estimate.Range{Low: 0.1, Likely: 0.25, High: 0.7}}, {Name: "parts in the work bucket", Months: 1, GB: estimate.Range{Likely: 0.004, High: 0.01}, USD: estimate.Range{Likely: 0.0001, High: 0.0002}}},
		Assumptions: []string{"Functions of 1,769 MB on arm64."},
		NotCovered:  []string{"taxes"},
	}
	return e
}

// ready returns a plan of a load that would go through as it is.
func ready() report.Plan {
	l := clean()
	p := report.Plan{
		LoadID: l.LoadID, Execution: l.Execution, Software: l.Software, Input: json.RawMessage(`{"Bucket":"ledger-archive","Mode":"plan","Prefix":"dmv/"}`),
		Mapping: l.Mapping, Finished: l.Finished, Archive: l.Archive, Target: l.Target, Estimate: prediction(estimate.Surveyed),
	}
	p.Archive.Kinds = []report.Kind{{Format: "ION_BINARY", Class: "STANDARD", Objects: 11, Bytes: 8_000_000}, {Gzip: true, Class: "GLACIER_IR", Objects: 1, Bytes: 412_377}}
	for _, t := range l.Tables {
		p.Tables = append(p.Tables, report.PlannedTable{
			Name: t.Name, IDs: t.IDs, Target: t.Target, History: t.History, Read: t.Read, Staged: t.Staged,
			Documents: t.Documents, Deletions: t.Deleted, RowBytes: t.Staged * 495, Mapped: true,
		})
	}
	return p
}

// hesitant returns a plan with a finding of every kind that is no error.
func hesitant() report.Plan {
	p := ready()
	l := troubled()
	p.Input = json.RawMessage(`{"Mode":"plan","Bucket":"ledger-archive","Prefix":"dmv/","MaxQuarantined":50,"AcceptGaps":true,"History":"none"}`)
	p.Archive, p.NeverFound = l.Archive, l.NeverFound
	p.Target.History = false
	p.Quarantine = report.Quarantine{Total: 42, First: l.Quarantine.First[:20]}
	p.Tables[0].Staged, p.Tables[0].Quarantined, p.Tables[0].Filtered = 2148, 41, 121
	p.Tables[1].Staged, p.Tables[1].Quarantined = 1203, 1
	p.Untyped = append(l.Proof.Untyped, report.Untyped{Table: "Note", Count: 1, Of: 30})
	p.Redactions = 3
	p.Warnings = []string{"cluster godwit scales down to 0.5 ACU: a load is steadier from 2 on"}
	p.Tables = append(p.Tables, report.PlannedTable{
		Name: "Note", IDs: []report.TableID{{ID: "1", Revisions: 10}, {ID: "2", Revisions: 20}}, Target: "note", Read: 30, Staged: 30, Documents: 28, RowBytes: 9000,
		Shape: []report.ShapePath{
			{Path: "Text", Types: []report.TypeCount{{Type: "text", Values: 28}, {Type: "null", Values: 2}}, Column: "text", Type: "text"},
			{Path: "Tags[*]", Types: []report.TypeCount{{Type: "text", Values: 77}}},
		},
		Notes: []string{"Text: always null in 2 documents"},
	}, report.PlannedTable{Name: "Scratch", IDs: []report.TableID{{ID: "3", Revisions: 5}}, Read: 5, Filtered: 5})
	p.Draft = report.Draft{Where: "s3://godwit-work/loads/3f9a61c07d52be84/mapping-draft.json", Mapping: json.RawMessage(`{"version": 1, "tables": {"Note": {"target": "note"}}}`)}
	return p
}

// hindered returns a plan of a load that would stop, of an environment that is
// not ready.
func hindered() report.Plan {
	p := hesitant()
	p.Missing = []string{"the Data API of cluster godwit is off: aws rds enable-http-endpoint --resource-arn arn:aws:rds:eu-west-1:123456789012:cluster:godwit"}
	p.Stops = []report.PlannedStop{{Object: "dmv/2024/05/01/08/x.118-1873.ion", Block: 900, Text: "object dmv/2024/05/01/08/x.118-1873.ion ends before block 901 where its name says that it holds blocks 118 to 1873: the object is cut short; copy it again from where the archive came from"}}
	p.MoreStops, p.Unread = 3, 973
	p.KeepRedacted = true
	return p
}

// plans are fixtures by name.
func plans() map[string]report.Plan {
	evil := `"><script>alert(1)</script>'--></style></svg>{{.}}` + "\x1b[31m\u202e\x00"
	hostile := hindered()
	hostile.LoadID, hostile.Archive.Bucket, hostile.Archive.Prefix, hostile.Target.Schema = evil, evil, evil, evil
	hostile.Input = json.RawMessage(`{"Bucket":"</pre><script>alert(3)</script>","Mode":"plan"}`)
	hostile.Missing, hostile.Warnings = []string{evil}, []string{evil}
	hostile.Stops[0].Text, hostile.Stops[0].Object = evil, evil
	hostile.Tables[5].Name, hostile.Tables[4].Shape[0].Path, hostile.Tables[4].Shape[0].Column, hostile.Tables[4].Shape[0].Type = evil, evil, evil, evil
	hostile.Archive.Kinds = []report.Kind{{Format: evil, Class: evil}}
	hostile.Draft.Where = evil
	hostile.Draft.Mapping = json.RawMessage(`{"tables":{"</pre><script>alert(4)</script>":{}}}`)
	hostile.Estimate.Region, hostile.Estimate.Assumptions, hostile.Estimate.NotCovered = evil, []string{evil}, []string{evil}
	huge := ready()
	huge.Tables = nil
	for i := range 40 {
		t := report.PlannedTable{Name: fmt.Sprintf("Ledger_table_%02d_%s", i, strings.Repeat("abcdefghij", 10)), Target: "t", Read: 1e15, Staged: 1e15, RowBytes: 1e18}
		for j := range 300 {
			t.Shape = append(t.Shape, report.ShapePath{Path: fmt.Sprintf("%sEnd%d", strings.Repeat("Member.", 30), j), Types: []report.TypeCount{{Type: "decimal", Values: 1e15}}})
		}
		huge.Tables = append(huge.Tables, t)
	}
	bare := ready()
	bare.Estimate, bare.Input, bare.Tables, bare.Archive = nil, nil, nil, report.Archive{}
	return map[string]report.Plan{"ready": ready(), "hesitant": hesitant(), "hindered": hindered(), "hostile": hostile, "huge": huge, "bare": bare, "zero": {}}
}
