package source

import (
	"slices"
	"strconv"
	"time"

	"godwit/internal/local/cdc"
)

// task names the DMS task in control records.
const task = "godwit"

// dms renders as an AWS DMS task whose endpoint has the given settings and
// PartitionIncludeSchemaTable.
type dms struct {
	settings cdc.DMS
	tables   map[string][]string // columns of those that were announced
	built    func() time.Time
}

func (d *dms) render(l *changeLog, t *transaction) (out []record, err error) {
	for i, c := range t.changes {
		x := c.relation
		row := cdc.Row{
			Op: map[operation]string{inserted: cdc.Insert, updated: cdc.Update, deleted: cdc.Delete}[c.op], Schema: x.schema, Table: x.name,
			Position: t.end, Record: i + 1, Transaction: strconv.FormatUint(uint64(t.id), 10), Commit: t.commit, Built: d.built(),
		}
		out = append(out, d.announce(x, row)...)
		// By default the log has the old row only where its key changed: else the key is
		// as it was.
		before := images(x, c.before, c.keyOnly)
		whole := c.after
		switch {
		case c.op == deleted:
			row.Columns, whole = before, c.before
		case c.op == updated && c.before == nil:
			row.Columns, row.Before = images(x, c.after, false), images(x, c.after, true)
		default:
			row.Columns, row.Before = images(x, c.after, false), before
		}
		settings := d.settings
		settings.PartitionKeyType, settings.PartitionKeyValue = "primary-key", plain(x, l.key(x, whole))
		out = append(out, record{key: settings.PartitionKeyValue, data: cdc.AppendDMS(nil, settings, row)})
	}
	return out, nil
}

// announce tells of a table when it is first met, and of columns that came or went
// since. A column that was renamed went and came.
func (d *dms) announce(x *relation, row cdc.Row) (out []record) {
	settings := d.settings
	settings.PartitionKeyValue = task
	control := func(operation string) {
		out = append(out, record{key: task, data: cdc.AppendDMSControl(nil, settings, operation, row)})
	}
	var columns []string
	for _, c := range x.columns {
		columns = append(columns, c.name)
	}
	id := quoted(x.schema, x.name)
	known, ok := d.tables[id]
	d.tables[id] = columns
	if !ok {
		control("create-table")
		return out
	}
	for _, c := range known {
		if !slices.Contains(columns, c) {
			control("drop-column")
		}
	}
	for _, c := range columns {
		if !slices.Contains(known, c) {
			control("add-column")
		}
	}
	return out
}

// images returns a row, or only what of it belongs to the replica identity.
func images(x *relation, row []value, identity bool) (out []cdc.Column) {
	for i, v := range row {
		c := &x.columns[i]
		if !identity || c.identity {
			out = append(out, cdc.Column{Name: c.name, Type: c.typ, Text: v.text, Null: v.null, Unchanged: v.unchanged})
		}
	}
	return out
}
