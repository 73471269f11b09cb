package migrate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"godwit/internal/change"
	"godwit/internal/verify"
)

// A TableVerdict says whether a table's rows in the target are those of the export.
type TableVerdict struct {
	Source, Target change.TableName
	Rows           int64 // that the target must have
	Found          int64 // that it has
	Differing      []int `json:",omitempty"` // buckets of the key whose rows are not the same
	// Differences is how many rows those are, and Listed the first of them.
	Differences int                 `json:",omitempty"`
	Listed      []verify.Difference `json:",omitempty"`
	Unlisted    string              `json:",omitempty"` // why no row is listed, though some differ
}

// A SnapshotVerdict is the comparison of source and target: verdict.json.
type SnapshotVerdict struct {
	Equal  bool
	Judged time.Time
	Tables []TableVerdict
	// Repaired is what executions with Repair put right before the rows were
	// compared again.
	Repaired []TableRepair `json:",omitempty"`
}

// A TableRepair is what one execution put right in a table.
type TableRepair struct {
	Execution      string
	Source, Target change.TableName
	Rows           int                 // that differed
	Listed         []verify.Difference // the first of them
}

const verdictFile = "verdict.json"

// judge compares the digests of both sides, and stops a load whose target is not
// what the export says. Where the input asks for a repair, and second is false, it
// returns what to repair instead.
func (p *PhaseSnapshot) judge(ctx context.Context, plan *SnapshotPlan, second bool) ([]RepairPlan, error) {
	refused, err := p.refused(ctx, plan)
	if err != nil {
		return nil, err
	}
	want, err := p.wanted(ctx, plan, refused)
	if err != nil {
		return nil, err
	}
	verdict := SnapshotVerdict{Equal: true, Judged: p.Now().UTC()}
	if verdict.Repaired, err = p.repaired(ctx, plan, second); err != nil {
		return nil, err
	}
	repair := plan.Input.Repair && !second
	var repairs []RepairPlan
	var repaired []TableRepair
	var texts []Finding
	var cannot []string
	var differing int64
	for i, t := range plan.Plans {
		got, err := p.Target.Sums(ctx, plan, i)
		if err != nil {
			return nil, err
		}
		v := TableVerdict{Source: t.Source, Target: t.Target, Rows: want[i].Rows, Found: got.Rows, Differing: want[i].Differing(got)}
		if len(v.Differing) > 0 {
			verdict.Equal = false
			found, err := p.narrow(ctx, plan, i, refused, v.Differing, max(want[i].Within(v.Differing), got.Within(v.Differing)))
			if err != nil {
				return nil, err
			}
			v.Differences, v.Listed, v.Unlisted = found.rows, found.list[:min(len(found.list), differencesListed)], found.unlisted
			texts = append(texts, v.finding())
			differing += int64(max(1, v.Differences)) // rows that cannot be listed are not counted, and there are some
			if repair {
				r, why, err := p.repair(ctx, plan, i, found)
				switch {
				case err != nil:
					return nil, err
				case why != "":
					cannot = append(cannot, fmt.Sprintf("table %s.%s: %s", t.Target.Schema, t.Target.Name, why))
				default:
					repairs = append(repairs, r)
					repaired = append(repaired, TableRepair{Execution: plan.Execution, Source: t.Source, Target: t.Target, Rows: v.Differences, Listed: v.Listed})
				}
			}
		}
		verdict.Tables = append(verdict.Tables, v)
	}
	repair = len(repairs) > 0 && len(cannot) == 0 // all of them, or none
	if repair {
		verdict.Repaired = append(verdict.Repaired, repaired...)
	}
	if err := putJSON(ctx, p.Objects, p.WorkBucket, snapshotKey(plan.LoadID, verdictFile), verdict); err != nil {
		return nil, err
	}
	p.tell(MetricDiffering, differing)
	switch {
	case verdict.Equal:
		return nil, nil
	case repair:
		return repairs, nil
	}
	// Whoever has to decide reads the report. Where it cannot be written, the verdict
	// has the rows all the same.
	where := fmt.Sprintf("s3://%s/%s", p.WorkBucket, snapshotKey(plan.LoadID, verdictFile))
	reported, err := reportSnapshot(ctx, p.Objects, p.WorkBucket, plan, ReportSnapshotIn{LoadId: plan.LoadID, Execution: plan.Execution}, p.Now())
	switch {
	case err == nil:
		where = reported.Report
	case passes(err):
		return nil, err
	}
	advice := "Unless somebody else wrote to these tables, please report this; start again with the same input and \"Repair\": true to put the rows right, or with \"Replace\": true to load the tables anew"
	switch {
	case len(cannot) > 0:
		advice = fmt.Sprintf("Nothing was repaired, because of %s. Start again with \"Replace\": true to load the tables anew", strings.Join(cannot, "; "))
	case second:
		advice = "This execution put rows right, and then compared all of them again: somebody else writes to these tables, or the target does not keep what it is given. Find out who, then start again with \"Repair\": true, or with \"Replace\": true to load the tables anew"
	}
	return nil, &Stop{fmt.Errorf("the target is not what the export says, and the load is not complete; %s lists the rows by key. %s:\n%w", where, advice, stopText(texts, "the verdict lists them"))}
}

// wanted are the sums of the export's rows that the target must have.
func (p *PhaseSnapshot) wanted(ctx context.Context, plan *SnapshotPlan, refused refusedRowsOf) ([]verify.RowSums, error) {
	want := make([]verify.RowSums, len(plan.Plans))
	err := eachEvidence(ctx, p.Objects, p.WorkBucket, plan, func(e *SnapshotEvidence) error {
		want[e.Table].Add(e.Sums)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return want, p.withoutRefused(ctx, plan, refused, want)
}

// finding says how a table differs, and names no key: errors are logged.
func (v *TableVerdict) finding() Finding {
	text := fmt.Sprintf("table %s.%s: %d rows are expected and %d there; ", v.Target.Schema, v.Target.Name, v.Rows, v.Found)
	if v.Unlisted != "" {
		return Finding{Text: text + fmt.Sprintf("rows differ in %d of the parts that its keys are shared out into, and are not listed: %s", len(v.Differing), v.Unlisted)}
	}
	return Finding{Text: text + fmt.Sprintf("%d rows differ%s", v.Differences, columnsOf(v.Listed))}
}

// repaired is what the verdict says of earlier repairs; and of this execution's, if
// it has had its repair.
func (p *PhaseSnapshot) repaired(ctx context.Context, plan *SnapshotPlan, second bool) ([]TableRepair, error) {
	key := snapshotKey(plan.LoadID, verdictFile)
	if there, err := exists(ctx, p.Objects, p.WorkBucket, key); err != nil || !there {
		return nil, err
	}
	var before SnapshotVerdict
	if err := readJSON(ctx, p.Objects, p.WorkBucket, key, &before); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(before.Repaired, func(r TableRepair) bool { return !second && r.Execution == plan.Execution }), nil
}

// columnsOf names the kinds of differences and the columns that they are in, and no
// key: errors are logged.
func columnsOf(list []verify.Difference) string {
	kinds, columns := map[string]bool{}, map[string]bool{}
	for _, d := range list {
		kinds[d.Kind] = true
		for _, c := range d.Columns {
			columns[c.Column] = true
		}
	}
	if len(kinds) == 0 {
		return ""
	}
	text := " (" + strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
	if len(columns) > 0 {
		text += "; columns " + strings.Join(slices.Sorted(maps.Keys(columns)), ", ")
	}
	return text + ")"
}
