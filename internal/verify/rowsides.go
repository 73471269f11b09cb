package verify

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/change"
)

// SourceRows digests a table's rows as they stand in the source, with the plan's
// conversions applied by code of its own.
type SourceRows struct {
	Sums     RowSums
	plan     *change.TablePlan
	digester *rowDigester
	columns  []string
	from     [][]int // of each loaded column: indexes into columns
	filter   []int   // of each condition: index into columns
	text     []byte
	keys     [][]byte
}

// NewSourceRows prepares for the rows of a table.
func NewSourceRows(plan *change.TablePlan) (*SourceRows, error) {
	d, err := newRowDigester(plan)
	if err != nil {
		return nil, fmt.Errorf("table %s.%s: %w", plan.Source.Schema, plan.Source.Name, err)
	}
	s := &SourceRows{plan: plan, digester: d}
	index := func(name string) int {
		if i := slices.Index(s.columns, name); i >= 0 {
			return i
		}
		s.columns = append(s.columns, name)
		return len(s.columns) - 1
	}
	for _, c := range d.columns {
		from := make([]int, len(c.From))
		for i, f := range c.From {
			from[i] = index(f.Name)
		}
		s.from = append(s.from, from)
	}
	for _, f := range plan.Filter {
		s.filter = append(s.filter, index(f.Column))
	}
	return s, nil
}

// Columns are the source's columns whose values Add takes, in order.
func (s *SourceRows) Columns() []string { return s.columns }

// Add adds a row to the sums, unless the plan's filter leaves it out.
func (s *SourceRows) Add(values []change.Value) error {
	d, kept, err := s.Digest(values)
	switch {
	case err != nil:
		return err
	case !kept:
		s.Sums.Filtered++
	default:
		s.Sums.add(d)
	}
	return nil
}

// Digest is the digest of a row; false where the plan's filter leaves it out.
func (s *SourceRows) Digest(values []change.Value) (RowDigest, bool, error) {
	for i, f := range s.plan.Filter {
		met, err := s.meets(f, values[s.filter[i]])
		if err != nil || !met {
			return RowDigest{}, false, err
		}
	}
	s.digester.begin()
	for i := range s.digester.columns {
		c := &s.digester.columns[i]
		var err error
		if s.text, err = s.value(s.text[:0], c, s.from[i], values); err != nil {
			return RowDigest{}, false, fmt.Errorf("column %s: %w", c.Name, err)
		}
		if s.text == nil {
			s.digester.null()
			s.text = s.keepRoom()
		} else {
			s.digester.text(s.text)
		}
	}
	return s.digester.digest(), true, nil
}

// keepRoom is an empty text that is not nil.
func (s *SourceRows) keepRoom() []byte { return make([]byte, 0, 64) }

// value appends the canonical text of a target's column; nil is NULL.
func (s *SourceRows) value(dst []byte, c *change.ColumnPlan, from []int, values []change.Value) ([]byte, error) {
	if c.As.Kind == change.AsUUID {
		return s.uuid(dst, c, from, values)
	}
	v := values[from[0]]
	if v.Kind == change.Null {
		return nil, nil
	}
	// What is kept as text is PostgreSQL's text of it; anything else is compared as
	// the target's type.
	class := classOf(c.Type)
	if c.As.Kind == change.AsText {
		class = asPrinted
	}
	return class.appendValue(notNil(dst), v)
}

// uuid appends the key that rows become which refer to or have these values; a
// reference with a NULL in it is NULL.
func (s *SourceRows) uuid(dst []byte, c *change.ColumnPlan, from []int, values []change.Value) ([]byte, error) {
	s.keys = s.keys[:0]
	for i, f := range from {
		if values[f].Kind == change.Null {
			return nil, nil
		}
		text, err := appendKey(nil, classOf(c.From[i].Type), values[f])
		if err != nil {
			return nil, err
		}
		s.keys = append(s.keys, text)
	}
	return change.KeyUUID(notNil(dst), c.As.Namespace, c.As.Of, s.keys...), nil
}

// appendKey appends a value of a key as change.KeyUUID is made of it: as PostgreSQL
// prints it in UTC, a number without needless zeros, character(n) without its blanks.
func appendKey(dst []byte, c class, v change.Value) ([]byte, error) {
	switch c {
	case number, padded, hexadecimal:
		return c.appendValue(dst, v)
	case instant:
		text, err := c.appendValue(dst, v)
		if err != nil || bytes.HasSuffix(text, []byte("infinity")) {
			return text, err
		}
		text, era := bytes.CutSuffix(text, []byte(" BC"))
		text = append(text, "+00"...)
		if era {
			text = append(text, " BC"...)
		}
		return text, nil
	default:
		return asPrinted.appendValue(dst, v)
	}
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// meets tells whether a row meets a condition of the plan's filter.
func (s *SourceRows) meets(f change.Condition, v change.Value) (bool, error) {
	met := v.Kind == change.Null && f.Null
	if v.Kind != change.Null && len(f.In) > 0 {
		text, err := asPrinted.appendValue(nil, v)
		if err != nil {
			return false, fmt.Errorf("column %s: %w", f.Column, err)
		}
		met = slices.Contains(f.In, string(text))
	}
	return met != f.Not, nil
}

// TargetRows digests a table's rows as the target prints them.
type TargetRows struct {
	Sums     RowSums
	digester *rowDigester
	classes  []class
	text     []byte
}

// NewTargetRows prepares for the rows of a table.
func NewTargetRows(plan *change.TablePlan) (*TargetRows, error) {
	d, err := newRowDigester(plan)
	if err != nil {
		return nil, fmt.Errorf("table %s.%s: %w", plan.Target.Schema, plan.Target.Name, err)
	}
	t := &TargetRows{digester: d}
	for _, c := range d.columns {
		t.classes = append(t.classes, classOf(c.Type))
	}
	return t, nil
}

// Columns are the target's columns whose texts Add takes, in order.
func (t *TargetRows) Columns() []string {
	names := make([]string, len(t.digester.columns))
	for i, c := range t.digester.columns {
		names[i] = c.Name
	}
	return names
}

// Add adds a row, as the texts that a server in UTC with DateStyle ISO prints; nil
// is NULL.
func (t *TargetRows) Add(texts [][]byte) error {
	d, err := t.Digest(texts)
	if err == nil {
		t.Sums.add(d)
	}
	return err
}

// Digest is the digest of a row.
func (t *TargetRows) Digest(texts [][]byte) (RowDigest, error) {
	t.digester.begin()
	for i, text := range texts {
		if text == nil {
			t.digester.null()
			continue
		}
		var err error
		if t.text, err = t.classes[i].appendText(t.text[:0], text); err != nil {
			return RowDigest{}, fmt.Errorf("column %s: %w", t.digester.columns[i].Name, err)
		}
		t.digester.text(t.text)
	}
	return t.digester.digest(), nil
}

// SumsSQL is a statement over the target's table that answers a row for each
// bucket that has rows: its number, the number of rows and the sums of the digests'
// signed halves, for AddAnswer. It runs where DateStyle is ISO, the time zone UTC,
// bytea_output hex and extra_float_digits 1. relation is quoted already; quote
// quotes the name of a column. PostgreSQL 13 and later.
func SumsSQL(plan *change.TablePlan, relation string, quote func(...string) string) (string, error) {
	d, err := newRowDigester(plan)
	if err != nil {
		return "", fmt.Errorf("table %s.%s: %w", plan.Target.Schema, plan.Target.Name, err)
	}
	_, digest, bucket := d.sql(quote)
	rows, of := digest+" AS h", "r.h"
	if d.key != nil {
		rows, of = rows+", "+bucket+" AS k", "r.k"
	}
	const half = "('x' || substr(r.h, %d, 16))::bit(64)::bigint"
	return fmt.Sprintf("SELECT ('x' || substr(%s, 1, 2))::bit(8)::integer AS bucket, count(*) AS rows, sum("+half+")::text AS high, sum("+half+")::text AS low"+
		" FROM (SELECT %s FROM %s AS x) AS r GROUP BY 1", of, 1, 17, rows, relation), nil
}

// sql is the row that is digested as expressions over the columns of a table, each
// with its length; its digest in hexadecimal; and a text whose first two digits in
// hexadecimal are the number of its bucket.
func (d *rowDigester) sql(quote func(...string) string) (row []string, digest, bucket string) {
	for _, c := range d.columns {
		row = append(row, counted(classOf(c.Type).sql(quote(c.Name))))
	}
	digest = "md5(" + strings.Join(row, " || ") + ")"
	switch {
	case d.byUUID:
		return row, digest, quote(d.columns[d.key[0]].Name) + "::text"
	case d.key == nil:
		return row, digest, digest
	}
	var key []string
	for _, k := range d.key {
		key = append(key, row[k])
	}
	return row, digest, "md5(" + strings.Join(key, " || ") + ")"
}

// counted is the SQL of a text with its length before it.
func counted(text string) string {
	return "coalesce(octet_length(" + text + ") || ':' || " + text + ", 'N')"
}

// sql is the canonical text of a column.
func (c class) sql(column string) string {
	switch c {
	case number:
		return "trim_scale(" + column + "::numeric)::text"
	case single:
		return "CASE WHEN " + column + " = 'NaN' THEN 'NaN' ELSE encode(float4send(" + column + "), 'hex') END"
	case double:
		return "CASE WHEN " + column + " = 'NaN' THEN 'NaN' ELSE encode(float8send(" + column + "), 'hex') END"
	case truth:
		return "CASE " + column + " WHEN true THEN 't' WHEN false THEN 'f' END"
	case raw:
		return "encode(" + column + ", 'hex')"
	case padded:
		return "rtrim(" + column + "::text, ' ')"
	case instant:
		return "(" + column + " AT TIME ZONE 'UTC')::text"
	case output:
		return "CASE WHEN " + column + " IS NOT NULL THEN concat(" + column + ") END"
	default:
		return column + "::text"
	}
}
