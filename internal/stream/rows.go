package stream

import (
	"bytes"
	"errors"
	"fmt"

	"godwit/internal/change"
)

// A Table converts the changes of one table of the source to rows of the target.
// It is never changed: any number of callers may use it at once.
type Table struct {
	schema, name string
	columns      []column
	index        map[string]int // of a column, by name
	key          []int          // of the key's columns, in its order
}

// NewTable prepares a table for Change.Rows. A table whose rows cannot be told
// apart by key is refused, with what to do.
func NewTable(t change.RowTable) (*Table, error) {
	table := &Table{schema: t.Schema, name: t.Name, index: make(map[string]int, len(t.Columns))}
	for i, c := range t.Columns {
		table.columns = append(table.columns, newColumn(c))
		table.index[c.Name] = i
	}
	if len(t.Key) == 0 {
		return nil, fmt.Errorf("%s.%s has no key, so which row a change is of cannot be told: "+
			"add a primary key, or a unique index over NOT NULL columns and ALTER TABLE … REPLICA IDENTITY USING INDEX, in source and target", t.Schema, t.Name)
	}
	for _, name := range t.Key {
		i, ok := table.index[name]
		if !ok {
			return nil, fmt.Errorf("%s.%s has the key column %q, but not among its columns", t.Schema, t.Name, name)
		}
		if c := &table.columns[i]; !c.canKey() {
			return nil, fmt.Errorf("%s.%s has the key column %q of type %s, whose equal values may be spelt differently: "+
				"give it a primary key of numbers, text, uuid, boolean, bytea, an enum, dates or timestamps", t.Schema, t.Name, name, c.Type)
		}
		table.key = append(table.key, i)
	}
	return table, nil
}

// Rows converts the change to what it writes to the target's table: one row, or,
// where an update changed the key, the deletion of the old one and the new one.
// Every column of the table is in the row, generated ones apart: null, or a string
// for its type's input function, documents (json, jsonb) too.
// A value that the column cannot hold exactly is refused, never rounded.
//
// An error is a *Error, and poison: it names the column and the type, never the
// value. What Rows returns borrows nothing.
func (c *Change) Rows(t *Table) ([]change.RowItem, error) {
	var (
		roomAfter, roomBefore [48][]byte
		items                 []change.RowItem
	)
	after, err := t.place(c, c.After, roomAfter[:0])
	if err != nil {
		return nil, err
	}
	before, err := t.place(c, c.Before, roomBefore[:0])
	if err != nil {
		return nil, err
	}
	if c.Op == Delete {
		// The deleted row, or its key, is in After; DMS has it in Before as well.
		for _, k := range t.key {
			if after[k] == nil {
				after[k] = before[k]
			}
		}
		item, err := t.deletion(c, after)
		if err != nil {
			return nil, err
		}
		return []change.RowItem{item}, nil
	}

	// What an update did not change and is stored apart (TOAST) is not in the log:
	// only the whole row before it has it.
	for i := range after {
		if after[i] == nil && before[i] != nil {
			after[i] = before[i]
		}
	}
	item, err := t.write(c, after)
	if err != nil {
		return nil, err
	}
	moved := false
	for _, k := range t.key {
		if before[k] == nil || isNull(before[k]) {
			before[k] = after[k]
		} else if !bytes.Equal(before[k], after[k]) {
			moved = true
		}
	}
	if moved {
		old, err := t.deletion(c, before)
		if err != nil {
			return nil, err
		}
		if old.Key != item.Key {
			items = append(items, old)
		}
	}
	return append(items, item), nil
}

// place returns the fields' values by column; nil where there is none. A field
// that the table has no column for is refused.
func (t *Table) place(c *Change, fields []Field, room [][]byte) ([][]byte, error) {
	if len(t.columns) > cap(room) {
		room = make([][]byte, len(t.columns))
	}
	values := room[:len(t.columns)]
	next := 0
	for i := range fields {
		f := &fields[i]
		// Records have columns mostly in the table's order.
		if next >= len(t.columns) || t.columns[next].Name != string(f.Name) {
			at, ok := t.index[string(f.Name)]
			if !ok {
				return nil, t.unknown(c, f.Name)
			}
			next = at
		}
		values[next] = f.Value
		next++
	}
	return values, nil
}

func (t *Table) unknown(c *Change, name []byte) error {
	what := "add it to the target, or leave it out of the stream (DMS: a transformation rule remove-column)"
	if c.Source == change.SourceDSQL {
		what = "add it to the target"
	}
	if bytes.HasPrefix(name, []byte("BI_")) {
		what = "if a transformation rule add-before-image-columns made it, remove the rule and set BeforeImageSettings of the DMS task"
	}
	return t.refuse(c, string(name), fmt.Errorf("is not in the target's table: %s, and replay", what))
}

// refuse says what is wrong with a column of a change.
func (t *Table) refuse(c *Change, name string, err error) error {
	return &Error{Source: c.Source, Where: fmt.Sprintf("%s of %s.%s, column %.100q", c.Op, t.schema, t.name, name), Err: err}
}

// write converts a whole row.
func (t *Table) write(c *Change, values [][]byte) (change.RowItem, error) {
	size := 2
	for i := range values {
		size += len(t.columns[i].label) + len(values[i]) + 8
	}
	row := append(make([]byte, 0, size), '{')
	for i := range values {
		column := &t.columns[i]
		switch {
		case column.Generated:
			continue
		case values[i] == nil:
			return change.RowItem{}, t.refuse(c, column.Name, absent(c))
		case isNull(values[i]) && column.NotNull:
			return change.RowItem{}, t.refuse(c, column.Name, errors.New("is null, and NOT NULL in the target"))
		}
		if len(row) > 1 {
			row = append(row, ',')
		}
		var err error
		if row, err = column.append(append(row, column.label...), values[i], c.Source); err != nil {
			return change.RowItem{}, t.refuse(c, column.Name, err)
		}
	}
	item := t.item(c, append(row, '}'))
	var err error
	item.Key, err = t.keyText(c, values)
	return item, err
}

// absent says why a column is not in a record, as far as can be known.
func absent(c *Change) error {
	switch {
	case c.Source == change.SourceDSQL:
		return errors.New("is not in the record: if the source has it since a later ALTER TABLE, update the row there once more")
	case c.Op == Update:
		return errors.New("is not in the record: set IncludeNullAndEmpty in the KinesisSettings of the DMS target endpoint (without it, null is left out); " +
			"or, where it is a large value that the update did not change, ALTER TABLE … REPLICA IDENTITY FULL in the source")
	}
	return errors.New("is not in the record: set IncludeNullAndEmpty in the KinesisSettings of the DMS target endpoint (without it, null is left out); " +
		"or the source has no such column: drop it in the target, or make it GENERATED there")
}

// deletion converts the key of a row that is gone.
func (t *Table) deletion(c *Change, values [][]byte) (change.RowItem, error) {
	row := []byte{'{'}
	for n, k := range t.key {
		column := &t.columns[k]
		if values[k] == nil {
			return change.RowItem{}, t.refuse(c, column.Name, errors.New("is of the key, and not in the record: is the source's key the same?"))
		}
		if n > 0 {
			row = append(row, ',')
		}
		var err error
		if row, err = column.append(append(row, column.label...), values[k], c.Source); err != nil {
			return change.RowItem{}, t.refuse(c, column.Name, err)
		}
	}
	item := t.item(c, append(row, '}'))
	item.Deleted = true
	var err error
	item.Key, err = t.keyText(c, values)
	return item, err
}

func (t *Table) item(c *Change, row []byte) change.RowItem {
	return change.RowItem{Schema: t.schema, Table: t.name, From: c.Schema, Position: c.Position, At: c.At, Row: row}
}

// keyText returns the key's values as the text that any equal key has: see
// column.appendKey.
func (t *Table) keyText(c *Change, values [][]byte) (string, error) {
	var room [96]byte
	key := append(room[:0], '[')
	for n, k := range t.key {
		column := &t.columns[k]
		if isNull(values[k]) {
			return "", t.refuse(c, column.Name, errors.New("is null, and of the key"))
		}
		if n > 0 {
			key = append(key, ',')
		}
		var err error
		if key, err = column.appendKey(key, values[k], c.Source); err != nil {
			return "", t.refuse(c, column.Name, err)
		}
	}
	return string(append(key, ']')), nil
}
