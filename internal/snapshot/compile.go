package snapshot

import (
	"fmt"
	"slices"
	"strings"

	"godwit/internal/change"
)

// compile prepares the plan's columns, filters and limits.
func (e *Encoder) compile(plan *change.TablePlan) error {
	e.reasons = slices.Clone(commonReasons)
	for i := range plan.Columns {
		c := &plan.Columns[i]
		if len(c.From) == 0 {
			continue
		}
		if err := e.compileColumn(c); err != nil {
			return fmt.Errorf("column %s: %w", c.Name, err)
		}
		e.names = append(e.names, c.Name)
	}
	for _, condition := range plan.Filter {
		if err := e.compileFilter(plan, condition); err != nil {
			return fmt.Errorf("filter by column %s: %w", condition.Column, err)
		}
	}
	for _, limit := range plan.Sizes {
		if err := e.compileSize(limit); err != nil {
			return fmt.Errorf("size of %s: %w", limit.What, err)
		}
	}
	if len(e.outs) == 0 || len(e.outs) > 1600 {
		return fmt.Errorf("a line would have %d columns; PostgreSQL takes 1 to 1600", len(e.outs))
	}
	return nil
}

func (e *Encoder) compileColumn(c *change.ColumnPlan) error {
	o := out{name: c.Name, notNull: c.NotNull}
	if c.As.Kind == change.AsUUID {
		k := &keyMaker{namespace: c.As.Namespace, of: c.As.Of}
		for _, from := range c.From {
			part, err := e.converter(from)
			if err != nil {
				return err
			}
			part.canonical(from.Type)
			k.parts = append(k.parts, part)
		}
		e.keys = append(e.keys, k)
		o.from, o.uuid = k, true
		e.outs = append(e.outs, o)
		return nil
	}
	if len(c.From) != 1 {
		return fmt.Errorf("it is made of %d columns, which only a UUID can be", len(c.From))
	}
	from := c.From[0]
	part, err := e.converter(from)
	if err != nil {
		return err
	}
	switch c.As.Kind {
	case change.AsIs:
		part.double = base(c.Type) == "double precision"
	case change.AsText:
		part.words = true
	case change.AsFit:
		if err := part.narrow(from, c.Type); err != nil {
			return err
		}
		part.unfit = e.reason("does not fit " + c.Type)
	default:
		return fmt.Errorf("the conversion %q is none", c.As.Kind)
	}
	o.from, o.bytea, o.uuid = part, base(from.Type) == "bytea", base(c.Type) == "uuid"
	e.outs = append(e.outs, o)
	return nil
}

// reason returns the number of a reason's text.
func (e *Encoder) reason(text string) uint32 {
	if i := slices.Index(e.reasons, text); i >= 0 {
		return uint32(i)
	}
	e.reasons = append(e.reasons, text)
	return uint32(len(e.reasons) - 1)
}

// converter returns a new converter of a source's column.
func (e *Encoder) converter(from change.SourceColumn) (*converter, error) {
	i := slices.IndexFunc(e.columns, func(c Column) bool { return c.Name == from.Name })
	if i < 0 {
		return nil, fmt.Errorf("the parts have no column %s", from.Name)
	}
	column := &e.columns[i]
	want := kindOfType(from)
	switch {
	case column.Kind == want:
	case from.Domain && (column.Kind == Text || column.Kind == Bytes):
	case want == Int64 && column.Kind == Int32, want == Int32 && column.Kind == Int64:
	case want == Text && column.Kind == Bytes: // writers may leave out that it is text
	default:
		return nil, fmt.Errorf("%s of type %s is %s in the parts, where an export of PostgreSQL writes %s", from.Name, from.Type, column.Spelt, want)
	}
	c := &converter{bits: 64}
	switch column.Kind {
	case Bool:
		c.write = writeBools
	case Int32:
		c.write = writeInts(func(v *values) []int32 { return v.int32s })
	case Int64:
		c.write = writeInts(func(v *values) []int64 { return v.int64s })
	case Float:
		c.write = writeFloats
	case Double:
		c.write = writeDoubles
	case Bytes, Text:
		c.write, c.text = writeTexts, true
		if want == Bytes && !(from.Domain && column.Kind == Text) {
			c.write, c.text = writeBytes, false
		}
	case Other: // no type wants it
	}
	if c.read = slices.Index(e.reads, i); c.read < 0 {
		c.read = len(e.reads)
		e.reads = append(e.reads, i)
	}
	e.converters = append(e.converters, c)
	return c, nil
}

// kindOfType returns how an export writes a type of PostgreSQL.
func kindOfType(c change.SourceColumn) Kind {
	if c.Enum {
		return Text
	}
	switch base(c.Type) {
	case "smallint", "integer":
		return Int32
	case "bigint":
		return Int64
	case "real":
		return Float
	case "double precision":
		return Double
	case "boolean":
		return Bool
	case "bytea":
		return Bytes
	}
	return Text
}

// base returns a type's name as format_type spells it, without its modifiers:
// timestamp with time zone of timestamp(3) with time zone. An array's brackets
// stay.
func base(t string) string {
	from := strings.IndexByte(t, '(')
	if from < 0 {
		return t
	}
	to := strings.IndexByte(t[from:], ')')
	if to < 0 {
		return t
	}
	return t[:from] + t[from+to+1:]
}

// A filter is one condition that rows have to meet.
type filter struct {
	from *converter
	in   map[string]bool
	null bool
	not  bool
}

func (e *Encoder) compileFilter(plan *change.TablePlan, condition change.Condition) error {
	from := change.SourceColumn{Name: condition.Column}
	for _, c := range plan.Columns {
		for _, f := range c.From {
			if f.Name == condition.Column {
				from = f
			}
		}
	}
	if from.Type == "" { // of no column of the target: as the parts have it
		i := slices.IndexFunc(e.columns, func(c Column) bool { return c.Name == condition.Column })
		if i < 0 {
			return fmt.Errorf("the parts have no such column")
		}
		from.Type = typeOfKind[e.columns[i].Kind]
	}
	c, err := e.converter(from)
	if err != nil {
		return err
	}
	c.raw, c.words = true, true
	f := filter{from: c, in: map[string]bool{}, null: condition.Null, not: condition.Not}
	for _, text := range condition.In {
		f.in[text] = true
	}
	e.filters = append(e.filters, f)
	return nil
}

var typeOfKind = [...]string{
	Other: "", Bool: "boolean", Int32: "integer", Int64: "bigint", Float: "real", Double: "double precision", Bytes: "bytea", Text: "text",
}

// run takes the rows that do not meet the condition out. A value that is no text
// meets none.
func (f *filter) run(states []cell) {
	buf, cells := f.from.texts()
	for i, c := range cells[:len(states)] {
		var met bool
		switch {
		case c.end == isNull:
			met = f.null
		case c.end < isText:
			met = f.in[string(buf[c.at:c.end])]
		}
		if met == f.not {
			states[i].end = isOut
		}
	}
}
