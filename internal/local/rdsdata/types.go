package rdsdata

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// A kind is how a value travels.
type kind uint8

const (
	kindText kind = iota + 1
	kindBool
	kindLong
	kindDouble
	kindDecimal
	kindBlob
	kindTimestampTZ
)

// A pgType is a type that the service can return.
type pgType struct {
	name  string // typeName of the metadata; of an array's elements
	jdbc  int    // java.sql.Types
	kind  kind
	array bool
}

// The numbers of java.sql.Types that occur.
const (
	jdbcBit, jdbcBigint, jdbcBinary, jdbcChar, jdbcNumeric, jdbcInteger, jdbcSmallint = -7, -5, -2, 1, 2, 4, 5

	jdbcReal, jdbcDouble, jdbcVarchar, jdbcDate, jdbcTime, jdbcTimestamp, jdbcOther, jdbcArray = 7, 8, 12, 91, 92, 93, 1111, 2003
)

// builtin are the types of the User Guide's list by their fixed OIDs
// (pg_type.dat); enums and vector are looked up.
var builtin = map[uint32]pgType{
	16:   {name: "bool", jdbc: jdbcBit, kind: kindBool},
	17:   {name: "bytea", jdbc: jdbcBinary, kind: kindBlob},
	18:   {name: "char", jdbc: jdbcChar, kind: kindText},
	19:   {name: "name", jdbc: jdbcVarchar, kind: kindText},
	20:   {name: "int8", jdbc: jdbcBigint, kind: kindLong},
	21:   {name: "int2", jdbc: jdbcSmallint, kind: kindLong},
	23:   {name: "int4", jdbc: jdbcInteger, kind: kindLong},
	25:   {name: "text", jdbc: jdbcVarchar, kind: kindText},
	114:  {name: "json", jdbc: jdbcOther, kind: kindText},
	650:  {name: "cidr", jdbc: jdbcOther, kind: kindText},
	700:  {name: "float4", jdbc: jdbcReal, kind: kindDouble},
	701:  {name: "float8", jdbc: jdbcDouble, kind: kindDouble},
	869:  {name: "inet", jdbc: jdbcOther, kind: kindText},
	1042: {name: "bpchar", jdbc: jdbcChar, kind: kindText},
	1043: {name: "varchar", jdbc: jdbcVarchar, kind: kindText},
	1082: {name: "date", jdbc: jdbcDate, kind: kindText},
	1083: {name: "time", jdbc: jdbcTime, kind: kindText},
	1114: {name: "timestamp", jdbc: jdbcTimestamp, kind: kindText},
	1184: {name: "timestamptz", jdbc: jdbcTimestamp, kind: kindTimestampTZ},
	1700: {name: "numeric", jdbc: jdbcNumeric, kind: kindDecimal},
	2950: {name: "uuid", jdbc: jdbcOther, kind: kindText},
	3802: {name: "jsonb", jdbc: jdbcOther, kind: kindText},

	1000: {name: "bool", jdbc: jdbcBit, kind: kindBool, array: true},
	1561: {name: "bit", jdbc: jdbcBit, kind: kindText, array: true},
	1182: {name: "date", jdbc: jdbcDate, kind: kindText, array: true},
	1231: {name: "numeric", jdbc: jdbcNumeric, kind: kindDecimal, array: true},
	1022: {name: "float8", jdbc: jdbcDouble, kind: kindDouble, array: true},
	1021: {name: "float4", jdbc: jdbcReal, kind: kindDouble, array: true},
	1005: {name: "int2", jdbc: jdbcSmallint, kind: kindLong, array: true},
	1007: {name: "int4", jdbc: jdbcInteger, kind: kindLong, array: true},
	1016: {name: "int8", jdbc: jdbcBigint, kind: kindLong, array: true},
	199:  {name: "json", jdbc: jdbcOther, kind: kindText, array: true},
	1009: {name: "text", jdbc: jdbcVarchar, kind: kindText, array: true},
	1014: {name: "bpchar", jdbc: jdbcChar, kind: kindText, array: true},
	1015: {name: "varchar", jdbc: jdbcVarchar, kind: kindText, array: true},
	1003: {name: "name", jdbc: jdbcVarchar, kind: kindText, array: true},
	1183: {name: "time", jdbc: jdbcTime, kind: kindText, array: true},
	1115: {name: "timestamp", jdbc: jdbcTimestamp, kind: kindText, array: true},
	2951: {name: "uuid", jdbc: jdbcOther, kind: kindText, array: true},
}

const oidBit = 1560

func asPg(err error, pg **pgconn.PgError) bool { return errors.As(err, pg) }

// types finds the type of every column; an unknown one is asked from the
// database on the same connection.
func (s *Server) types(c *pgconn.PgConn, l login, fields []pgconn.FieldDescription) ([]pgType, error) {
	out := make([]pgType, len(fields))
	for i, f := range fields {
		t, ok := builtin[f.DataTypeOID]
		switch {
		case ok:
		case f.DataTypeOID == oidBit && f.TypeModifier == 1: // bit(1) is JDBC's boolean
			t = pgType{name: "bit", jdbc: jdbcBit, kind: kindBool}
		default:
			var err error
			if t, err = s.lookup(c, l, f.DataTypeOID); err != nil {
				return nil, err
			}
		}
		out[i] = t
	}
	return out, nil
}

func (s *Server) lookup(c *pgconn.PgConn, l login, oid uint32) (pgType, error) {
	key := typeKey{l.addr, l.database, oid}
	s.pool.mu.Lock()
	t, ok := s.pool.types[key]
	s.pool.mu.Unlock()
	if ok {
		return t, nil
	}
	r, err := run(c, `SELECT typname, typtype::text, format_type(oid, NULL) FROM pg_catalog.pg_type WHERE oid = `+strconv.FormatUint(uint64(oid), 10), arguments{})
	if err != nil {
		return t, fmt.Errorf("look up type %d: %w", oid, err)
	}
	if len(r.values) != 1 {
		return t, unsupported("with OID " + strconv.FormatUint(uint64(oid), 10))
	}
	name := string(r.values[0][0])
	if string(r.values[0][1]) != "e" && name != "vector" {
		return t, unsupported(string(r.values[0][2]))
	}
	t = pgType{name: name, jdbc: jdbcVarchar, kind: kindText}
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if s.pool.types == nil {
		s.pool.types = map[typeKey]pgType{}
	}
	s.pool.types[key] = t
	return t, nil
}

// A column is one element of columnMetadata.
type column struct {
	ArrayBaseColumnType int    `json:"arrayBaseColumnType"`
	IsAutoIncrement     bool   `json:"isAutoIncrement"`
	IsCaseSensitive     bool   `json:"isCaseSensitive"`
	IsCurrency          bool   `json:"isCurrency"`
	IsSigned            bool   `json:"isSigned"`
	Label               string `json:"label"`
	Name                string `json:"name"`
	Nullable            int    `json:"nullable"`
	Precision           int    `json:"precision"`
	Scale               int    `json:"scale"`
	SchemaName          string `json:"schemaName"`
	TableName           string `json:"tableName"`
	Type                int    `json:"type"`
	TypeName            string `json:"typeName"`
}

// The values of nullable, as JDBC has them.
const (
	noNulls = iota
	nullable
	nullableUnknown
)

// metadata describes the columns, those of tables by the catalogue.
func metadata(c *pgconn.PgConn, fields []pgconn.FieldDescription, types []pgType) ([]column, error) {
	type origin struct {
		schema, table, name string
		notNull, generated  bool
	}
	known := map[[2]uint32]origin{}
	var list []string
	for _, f := range fields {
		if f.TableOID != 0 {
			list = append(list, fmt.Sprintf("(%d,%d)", f.TableOID, f.TableAttributeNumber))
		}
	}
	if len(list) > 0 {
		r, err := run(c, `SELECT n.nspname, c.relname, a.attname, a.attnotnull,
			a.attidentity <> '' OR coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false), c.oid::int8, a.attnum
			FROM (VALUES `+strings.Join(list, ",")+`) AS f (tab, num)
			JOIN pg_catalog.pg_attribute a ON a.attrelid = f.tab AND a.attnum = f.num
			JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
			JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum`, arguments{})
		if err != nil {
			return nil, fmt.Errorf("look up the columns of the result: %w", err)
		}
		for _, v := range r.values {
			table, err := strconv.ParseUint(string(v[5]), 10, 32)
			if err != nil {
				return nil, fmt.Errorf("read a table's OID: %w", err)
			}
			num, err := strconv.ParseUint(string(v[6]), 10, 16)
			if err != nil {
				continue // a system column has a negative number and is unknown to RowDescription's reader
			}
			known[[2]uint32{uint32(table), uint32(num)}] = origin{string(v[0]), string(v[1]), string(v[2]), string(v[3]) == "t", string(v[4]) == "t"}
		}
	}
	out := make([]column, len(fields))
	for i, f := range fields {
		t := types[i]
		m := column{Label: f.Name, Name: f.Name, Type: t.jdbc, TypeName: t.name, Nullable: nullableUnknown}
		m.IsSigned = t.kind == kindLong || t.kind == kindDouble || t.kind == kindDecimal
		m.IsCaseSensitive = t.kind == kindText && t.jdbc != jdbcDate && t.jdbc != jdbcTime && t.jdbc != jdbcTimestamp
		m.Precision, m.Scale = precision(t, f.TypeModifier)
		if t.array {
			m.ArrayBaseColumnType, m.Type, m.TypeName = t.jdbc, jdbcArray, "_"+t.name
		}
		if o, ok := known[[2]uint32{f.TableOID, uint32(f.TableAttributeNumber)}]; ok {
			m.SchemaName, m.TableName, m.Name, m.IsAutoIncrement = o.schema, o.table, o.name, o.generated
			m.Nullable = nullable
			if o.notNull {
				m.Nullable = noNulls
			}
			if serial := map[string]string{"int2": "smallserial", "int4": "serial", "int8": "bigserial"}[t.name]; o.generated && serial != "" {
				m.TypeName = serial
			}
		}
		out[i] = m
	}
	return out, nil
}

// precision returns precision and scale as the JDBC driver derives them from a
// type and its modifier.
func precision(t pgType, mod int32) (int, int) {
	switch t.name {
	case "bool", "bit", "char":
		return 1, 0
	case "int2":
		return 5, 0
	case "int4":
		return 10, 0
	case "int8":
		return 19, 0
	case "float4":
		return 8, 8
	case "float8":
		return 17, 17
	case "numeric":
		if mod < 4 {
			return 0, 0
		}
		return int(mod-4) >> 16 & 0xffff, int(mod-4) & 0xffff
	case "date":
		return 13, 0
	case "time":
		return 15, 6
	case "timestamp":
		return 29, 6
	case "timestamptz":
		return 35, 6
	case "bpchar", "varchar":
		if mod >= 4 {
			return int(mod) - 4, 0
		}
	}
	return 1<<31 - 1, 0
}
