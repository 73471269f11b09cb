package journal

import (
	"fmt"
	"math"

	"godwit/internal/change"
	"godwit/internal/ion"
)

// maxNodes is the greatest number of values in one document. A QLDB document
// has 128 KB, so fewer values than that; the bound keeps a hostile one from
// taking many times its size in memory.
const maxNodes = 1 << 20

var errTooManyNodes = fmt.Errorf("document holds more than %d values", maxNodes)

// ionValues makes tapes of values of binary Ion.
type ionValues struct {
	names *ionNames
	cur   ion.Cursor
	open  [ion.MaxDepth]int32 // nodes of the containers stepped into
}

// tape lays raw, one value, on t: Data is raw with the texts behind it that raw
// does not hold.
func (v *ionValues) tape(t *change.Tape, raw []byte) error {
	t.Nodes, t.Data, t.Names = t.Nodes[:0], append(t.Data[:0], raw...), v.names.names
	c := &v.cur
	c.Base = 0
	c.Reset(raw, 0, len(raw))
	for depth := 0; ; {
		if !c.Next() {
			if err := c.Err(); err != nil {
				return err
			}
			if depth == 0 {
				break
			}
			depth--
			c.StepOut()
			t.Nodes[v.open[depth]].End = int32(len(t.Nodes))
			continue
		}
		if len(t.Nodes) == maxNodes {
			return errTooManyNodes
		}
		t.Nodes = append(t.Nodes, change.Node{Name: -1, End: int32(len(t.Nodes) + 1)})
		n := &t.Nodes[len(t.Nodes)-1]
		if c.InStruct() {
			i, ok := v.names.index(c.Field())
			if !ok {
				_, err := v.names.symbols.Text(c.Field())
				return fmt.Errorf("field name: %w", err)
			}
			n.Name = int32(i)
		}
		if c.Annotated() {
			n.Flags = change.Annotated
		}
		if err := v.fill(n, t, c); err != nil {
			return err
		}
		if n.Kind >= change.List && n.Kind <= change.Struct {
			if !c.StepIn() {
				return c.Err()
			}
			v.open[depth] = int32(len(t.Nodes) - 1)
			depth++
		}
	}
	if len(t.Nodes) == 0 {
		return fmt.Errorf("value is empty")
	}
	if len(t.Data) > math.MaxUint32 {
		return fmt.Errorf("document of %d bytes is too large", len(t.Data))
	}
	return nil
}

// fill gives n the kind and the value that c stands on.
func (v *ionValues) fill(n *change.Node, t *change.Tape, c *ion.Cursor) (err error) {
	if c.IsNull() {
		n.Kind = change.Null
		if c.Type() != ion.NullType {
			n.Flags |= change.TypedNull
		}
		return nil
	}
	from := len(t.Data)
	switch c.Type() {
	case ion.BoolType:
		n.Kind = change.Bool
		b, err := c.Bool()
		if b {
			n.Int = 1
		}
		return err
	case ion.IntType:
		n.Kind = change.Int
		i, ok, err := c.Int64()
		if ok || err != nil {
			n.Int = i
			return err
		}
		t.Data, err = c.AppendInt(t.Data)
		if err != nil {
			return err
		}
	case ion.FloatType:
		n.Kind = change.Float
		f, err := c.Float()
		n.Int = int64(math.Float64bits(f))
		if f != f {
			n.Int = 0x7FF8 << 48 // Ion has one nan, whatever bits hold it
		}
		return err
	case ion.DecimalType:
		n.Kind = change.Decimal
		if t.Data, err = c.AppendDecimal(t.Data); err != nil {
			return err
		}
	case ion.TimestampType:
		n.Kind = change.Timestamp
		if t.Data, err = c.AppendTimestamp(t.Data); err != nil {
			return err
		}
	case ion.SymbolType:
		n.Kind = change.Text
		n.Flags |= change.Symbol
		id, err := c.Symbol()
		if err != nil {
			return err
		}
		i, ok := v.names.index(id)
		if !ok {
			_, err := v.names.symbols.Text(id)
			return err
		}
		t.Data = append(t.Data, v.names.names[i].Text...)
	case ion.StringType:
		n.Kind = change.Text
		b, err := c.Text()
		n.Off, n.Len = uint32(c.End()-len(b)), uint32(len(b))
		return err
	case ion.ClobType, ion.BlobType:
		n.Kind = change.Bytes
		if c.Type() == ion.ClobType {
			n.Flags |= change.Clob
		}
		b, err := c.Lob()
		n.Off, n.Len = uint32(c.End()-len(b)), uint32(len(b))
		return err
	case ion.ListType:
		n.Kind = change.List
		return nil
	case ion.SexpType:
		n.Kind = change.List
		n.Flags |= change.Sexp
		return nil
	case ion.StructType:
		n.Kind = change.Struct
		return nil
	default:
		return fmt.Errorf("value of unknown type %s", c.Type())
	}
	n.Off, n.Len = uint32(from), uint32(len(t.Data)-from)
	return nil
}
