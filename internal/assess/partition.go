package assess

import (
	"fmt"
	"slices"

	"godwit/internal/catalog"
	"godwit/internal/change"
)

// partitioned says whether an export carries a partitioned table. How exports lay
// one out is not documented: under its own name, under the names of its partitions,
// or with an empty folder for the whole beside those. All of these are taken, and
// the rows come into one table of the target whichever it is. Rows under both names
// would come twice, and are refused.
func (d *decider) partitioned(t *catalog.Table) (from []*Table, ok bool) {
	name := t.TableName()
	if d.in.Export == nil {
		d.add(Finding{Table: name, Kind: KindPartition, Verdict: Convert, Why: "It is partitioned; its rows come into one table of the target, which is not."})
		return nil, true
	}
	refused := len(d.findings)
	from, missing := d.rowsOf(t)
	switch {
	case len(d.findings) > refused:
		return from, true
	case len(from) == 0 && len(missing) == 0:
		d.add(Finding{Table: name, Kind: KindPartition, Verdict: Lost, Why: "It is partitioned and has no partition that is loaded, and so no row; the load does not make it.", Do: "Make it in the target if it is needed there."})
		return nil, false
	case len(from) == 0:
		return nil, !d.absent(t)
	case from[0].Name == name:
		d.add(Finding{Table: name, Kind: KindPartition, Verdict: Convert, Why: "It is partitioned, and the export has its rows under its own name. They come into one table of the target, which is not partitioned."})
	default:
		var names []string
		for _, e := range from {
			names = append(names, spell(e.Name))
		}
		d.add(Finding{Table: name, Kind: KindPartition, Verdict: Convert, Why: fmt.Sprintf("It is partitioned, and the export has its rows under the names of %d partitions: %s. They come into one table of the target, which is not partitioned.", len(names), list(names))})
	}
	for _, p := range missing {
		d.absent(p)
	}
	if own := d.ownConstraints(t, t); len(own) > 0 {
		d.add(Finding{
			Table: name, Name: "partitions", Kind: KindPartition, Verdict: Lost,
			Why: fmt.Sprintf("Partitions have keys, constraints or indexes that the table as a whole does not have: %s. They are not carried over.", list(own)),
			Do:  `Name the key that holds for all rows in the mapping, "primaryKey"; make the others after the load.`,
		})
	}
	return from, true
}

// rowsOf returns the tables of the export that have the rows of a table, and the
// partitions that it lacks, without those that the mapping leaves out.
func (d *decider) rowsOf(t *catalog.Table) (from []*Table, missing []*catalog.Table) {
	own := d.exports[t.TableName()]
	if t.Kind != catalog.Partitioned {
		if own == nil {
			return nil, []*catalog.Table{t}
		}
		return []*Table{own}, nil
	}
	for _, p := range d.partitionsOf(t) {
		if d.skips(p.TableName()) {
			continue
		}
		f, m := d.rowsOf(p)
		from, missing = append(from, f...), append(missing, m...)
	}
	filled := func(e *Table) bool { return !e.Empty }
	switch {
	case own == nil, own.Empty && len(from) > 0:
		return from, missing
	case filled(own) && slices.ContainsFunc(from, filled):
		p := from[slices.IndexFunc(from, filled)]
		d.add(Finding{
			Table: t.TableName(), Kind: KindPartition, Verdict: Refuse, Why: fmt.Sprintf("The export has rows of it and of %s, which is a part of it: they would come twice.", spell(p.Name)),
			Do: `Compare the counts; where the table has all rows, leave its partitions out: "skip": true.`,
		})
	}
	return []*Table{own}, nil
}

// partitionsOf returns the partitions of a table, not those of them.
func (d *decider) partitionsOf(t *catalog.Table) (list []*catalog.Table) {
	for i := range d.in.Catalog.Tables {
		if p := &d.in.Catalog.Tables[i]; p.PartitionOf != nil && *p.PartitionOf == t.TableName() {
			list = append(list, p)
		}
	}
	return list
}

// ownConstraints returns the partitions, at any depth, with a key, a constraint or
// an index that is not of the whole.
func (d *decider) ownConstraints(whole, t *catalog.Table) (names []string) {
	for _, p := range d.partitionsOf(t) {
		if p.Key != nil && whole.Key == nil || len(p.Uniques) > len(whole.Uniques) || len(p.Foreign) > len(whole.Foreign) ||
			len(p.Checks) > len(whole.Checks) || len(p.Indexes) > len(whole.Indexes) || len(p.Exclusions) > len(whole.Exclusions) {
			names = append(names, spell(p.TableName()))
		}
		names = append(names, d.ownConstraints(whole, p)...)
	}
	return names
}

// checkPartitionRule refuses a rule about a partition that says more than to leave
// it out, or whose rows cannot be left out because they stand among the others.
func (d *decider) checkPartitionRule(name change.TableName, skip bool) {
	t := d.in.Catalog.Table(name)
	whole := t
	for whole.PartitionOf != nil {
		up := d.in.Catalog.Table(*whole.PartitionOf)
		if up == nil {
			return
		}
		whole = up
	}
	own := d.exports[whole.TableName()]
	switch {
	case d.skips(whole.TableName()):
	case !skip:
		d.add(Finding{Table: name, Kind: KindRule, Verdict: Refuse, Why: fmt.Sprintf("The mapping has rules for this partition, and its rows come with those of %s into one table.", spell(whole.TableName())), Do: "Give the rules to that table."})
	case own != nil && !own.Empty && d.exports[name] == nil:
		d.add(Finding{
			Table: name, Kind: KindRule, Verdict: Refuse, Why: fmt.Sprintf("The mapping leaves this partition out, and the export has its rows under the name of %s, among the others.", spell(whole.TableName())),
			Do: `Leave its rows out by a "filter" of that table.`,
		})
	}
}
