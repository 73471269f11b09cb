package dsql

import "github.com/jackc/pgx/v5/pgproto3"

// An output is how a client wants the rows of a statement that the cluster
// carries out itself.
type output struct {
	described bool    // the client knows the columns, or does not want to
	formats   []int16 // of the columns, as Bind says them
}

// table sends at most one row.
func (o output) table(s *session, columns []pgproto3.FieldDescription, row [][]byte) error {
	if !o.described {
		if err := s.send(&pgproto3.RowDescription{Fields: columns}); err != nil {
			return err
		}
	}
	if row == nil {
		return nil
	}
	return s.send(&pgproto3.DataRow{Values: row})
}

// boolean is one in the format of the first column.
func (o output) boolean(b bool) []byte {
	binary := len(o.formats) > 0 && o.formats[0] == pgproto3.BinaryFormat
	switch {
	case binary && b:
		return []byte{1}
	case binary:
		return []byte{0}
	case b:
		return []byte("t")
	}
	return []byte("f")
}
