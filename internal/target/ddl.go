package target

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"godwit/internal/change"
)

// Quote quotes one identifier, or a qualified one.
func Quote(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// sqlType renders a column type as PostgreSQL names it.
func sqlType(t change.Type) (string, error) {
	name := ""
	switch t.Kind {
	case change.Bool:
		name = "boolean"
	case change.Int:
		switch t.Bits {
		case 16:
			name = "smallint"
		case 32:
			name = "integer"
		case 64:
			name = "bigint"
		}
	case change.Decimal:
		name = "numeric"
		if t.Precision > 0 {
			name = fmt.Sprintf("numeric(%d,%d)", t.Precision, t.Scale)
		}
	case change.Float:
		switch t.Bits {
		case 32:
			name = "real"
		case 64:
			name = "double precision"
		}
	case change.Text:
		name = "text"
		if t.Length > 0 {
			name = fmt.Sprintf("varchar(%d)", t.Length)
		}
	case change.Bytes:
		name = "bytea"
	case change.Date:
		name = "date"
	case change.Time:
		name = "time"
	case change.Timestamp:
		name = "timestamp"
		if t.Zone {
			name = "timestamptz"
		}
	case change.JSON:
		name = "jsonb"
	case change.UUID:
		name = "uuid"
	case change.Invalid, change.Null, change.List, change.Struct: // no column holds them
	}
	if name == "" {
		return "", fmt.Errorf("type %v of %d bits has no column type", t.Kind, t.Bits)
	}
	if t.Array {
		name += "[]"
	}
	return name, nil
}

// createTable renders a table without keys, in schema. Document ids compare by
// bytes, so that ranges of them mean the same everywhere.
func createTable(schema string, t change.Table) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (", Quote(schema, t.Name))
	for i, c := range t.Columns {
		ty, err := sqlType(c.Type)
		if err != nil {
			return "", fmt.Errorf("table %s, column %s: %w", t.Name, c.Name, err)
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(Quote(c.Name) + " " + ty)
		if c.Name == "doc_id" {
			b.WriteString(` COLLATE "C"`)
		}
		if c.NotNull {
			b.WriteString(" NOT NULL")
		}
	}
	b.WriteString(")")
	return b.String(), nil
}
