package ledgergen

import (
	"fmt"
	"math/big"

	"godwit/internal/ion"
)

// readValue reads the value that c stands on back into memory: the inverse of
// value.write.
func readValue(c *ion.Cursor, symbols ion.Symbols) (v value, err error) {
	v.kind, v.null = c.Type(), c.IsNull()
	if v.null {
		return v, nil
	}
	var b []byte
	switch v.kind {
	case ion.BoolType:
		v.bool, err = c.Bool()
	case ion.IntType:
		var fits bool
		if v.int, fits, err = c.Int64(); err == nil && !fits {
			if b, err = c.AppendInt(nil); err == nil {
				v.big, _ = new(big.Int).SetString(string(b), 10) // AppendInt's own digits
			}
		}
	case ion.FloatType:
		v.float, err = c.Float()
	case ion.DecimalType:
		b, err = c.AppendDecimal(nil)
		v.text = string(b)
	case ion.TimestampType:
		b, err = c.AppendTimestamp(nil)
		v.text = string(b)
	case ion.StringType:
		b, err = c.Text()
		v.text = string(b)
	case ion.BlobType:
		b, err = c.Lob()
		v.bytes = append([]byte(nil), b...)
	case ion.ListType, ion.StructType:
		err = v.readMembers(c, symbols)
	default: // no other kind is ever written
		err = fmt.Errorf("read a value of type %s: ledgers have none", v.kind)
	}
	return v, err
}

// readMembers reads what is inside the list or struct that c stands on.
func (v *value) readMembers(c *ion.Cursor, symbols ion.Symbols) error {
	if !c.StepIn() {
		return c.Err()
	}
	for c.Next() {
		name := ""
		if v.kind == ion.StructType {
			var err error
			if name, err = symbols.Text(c.Field()); err != nil {
				return err
			}
		}
		member, err := readValue(c, symbols)
		if err != nil {
			return err
		}
		if v.kind == ion.StructType {
			v.fields = append(v.fields, field{name, member})
		} else {
			v.items = append(v.items, member)
		}
	}
	if err := c.Err(); err != nil {
		return err
	}
	c.StepOut()
	return c.Err()
}
