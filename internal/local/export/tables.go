package export

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// A table is one table of a database, as the exporter finds it.
type table struct {
	database, schema, name string
	readable               bool // by the master user
	numeric                bool // its key is one number: it is read in partitions
	partitioned            bool // and exported with the rows of its partitions
	columns                []column
}

// from is what its rows are read from.
func (t *table) from() string {
	name := pgx.Identifier{t.schema, t.name}.Sanitize()
	if t.partitioned {
		return name
	}
	return "ONLY " + name // tables that inherit from it are tables of their own
}

func (t *table) target() string { return t.database + "." + t.schema + "." + t.name }

// A column is one column that is exported.
type column struct {
	name     string
	kind     kind
	original string // as information_schema.columns says data_type
	length   *int   // character_maximum_length
	digits   *int   // numeric_precision
	fraction *int   // datetime_precision
}

// listTables lists what a master user would find: ordinary tables that a snapshot
// holds, and the partitions of others, or those as a whole. Temporary and unlogged ones, views and foreign tables are
// not in it.
const listTables = `SELECT c.oid, n.nspname::text, c.relname::text,
  has_schema_privilege($1, n.oid, 'USAGE') AND has_table_privilege($1, c.oid, 'SELECT'),
  EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = c.oid AND i.indisprimary AND i.indnkeyatts = 1 AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)), c.relkind = 'p'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (CASE WHEN $2 THEN c.relkind IN ('r', 'p') AND NOT c.relispartition ELSE c.relkind = 'r' END) AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_toast%'
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`

// listColumns says data_type and the precisions as information_schema.columns
// does, which shows a reader the tables only that are his.
const listColumns = `SELECT a.attname::text, t.typname::text, t.typtype::text, n.nspname = 'pg_catalog',
  CASE WHEN b.typelem <> 0 AND b.typlen = -1 THEN 'ARRAY' WHEN bn.nspname = 'pg_catalog' THEN format_type(b.oid, NULL) ELSE 'USER-DEFINED' END,
  information_schema._pg_char_max_length(information_schema._pg_truetypid(a, t), information_schema._pg_truetypmod(a, t))::int,
  information_schema._pg_numeric_precision(information_schema._pg_truetypid(a, t), information_schema._pg_truetypmod(a, t))::int,
  information_schema._pg_datetime_precision(information_schema._pg_truetypid(a, t), information_schema._pg_truetypmod(a, t))::int
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace
JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END JOIN pg_namespace bn ON bn.oid = b.typnamespace
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`

// tables lists the tables of a database that the exporter takes, and those that
// it may not read. What it skips without a word is not among them: tables with a
// slash in the name, and those with a character in a column's name that Parquet's
// writers refuse.
func tables(ctx context.Context, conn *pgx.Conn, d Database, whole bool) ([]*table, error) {
	type found struct {
		oid uint32
		*table
	}
	rows, err := conn.Query(ctx, listTables, d.Master, whole)
	if err != nil {
		return nil, fmt.Errorf("list the tables of database %s: %w", d.Name, err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (found, error) {
		f := found{table: &table{database: d.Name}}
		return f, row.Scan(&f.oid, &f.schema, &f.name, &f.readable, &f.numeric, &f.partitioned)
	})
	if err != nil {
		return nil, fmt.Errorf("list the tables of database %s: %w", d.Name, err)
	}
	var kept []*table
	for _, f := range all {
		rows, err := conn.Query(ctx, listColumns, f.oid)
		if err != nil {
			return nil, fmt.Errorf("list the columns of table %s: %w", f.target(), err)
		}
		odd := strings.Contains(f.name, "/")
		var name, typ, typtype string
		var builtin bool
		var c column
		_, err = pgx.ForEachRow(rows, []any{&name, &typ, &typtype, &builtin, &c.original, &c.length, &c.digits, &c.fraction}, func() error {
			odd = odd || strings.ContainsAny(name, ",;{}()\n\t= ")
			if c.name, c.kind = name, kindOf(typ, typtype, builtin); c.kind != omitted {
				f.columns = append(f.columns, c)
			}
			c.length, c.digits, c.fraction = nil, nil, nil
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list the columns of table %s: %w", f.target(), err)
		}
		if !odd && len(f.columns) > 0 {
			kept = append(kept, f.table)
		}
	}
	return kept, nil
}

// chosen says whether a table is asked for: database, database.schema or
// database.schema.table; nothing asks for all.
func chosen(only []string, t *table) bool {
	return len(only) == 0 || slices.ContainsFunc(only, func(o string) bool {
		return o == t.database || o == t.database+"."+t.schema || o == t.target()
	})
}

// A kind is how a column is stored.
type kind uint8

const (
	omitted kind = iota
	text
	int64s
	int32s
	int16s
	doubles
	floats
	booleans
	binaries
)

// kindOf is the table of the guide's section "Data conversion": numbers of fixed
// size, truth values and bytes are what they are, object identifiers are left
// out, and everything else is text, domains included.
func kindOf(typ, typtype string, builtin bool) kind {
	if !builtin || typtype != "b" {
		return text
	}
	switch typ {
	case "int8":
		return int64s
	case "int4":
		return int32s
	case "int2":
		return int16s
	case "float8":
		return doubles
	case "float4":
		return floats
	case "bool":
		return booleans
	case "bytea":
		return binaries
	case "oid", "regclass", "regcollation", "regconfig", "regdictionary", "regnamespace", "regoper", "regoperator", "regproc", "regprocedure", "regrole", "regtype":
		return omitted
	}
	return text
}

// exported is how the metadata spell the type in Parquet.
func (k kind) exported() string {
	return map[kind]string{
		text: "binary (UTF8)", int64s: "int64", int32s: "int32", int16s: "int32 (INT_16)", doubles: "double", floats: "float", booleans: "boolean", binaries: "binary",
	}[k]
}

// node is the column in Parquet's schema: every one may be null.
func (k kind) node() parquet.Node {
	leaf := map[kind]func() parquet.Node{
		text: parquet.String, int64s: plain(parquet.Int64Type), int32s: plain(parquet.Int32Type), int16s: func() parquet.Node { return parquet.Int(16) },
		doubles: plain(parquet.DoubleType), floats: plain(parquet.FloatType), booleans: plain(parquet.BooleanType), binaries: plain(parquet.ByteArrayType),
	}[k]()
	if k != booleans {
		leaf = parquet.Encoded(leaf, &parquet.PlainDictionary)
	}
	return parquet.Optional(leaf)
}

func plain(t parquet.Type) func() parquet.Node {
	return func() parquet.Node { return parquet.Leaf(bare{t}) }
}

// bare is a type without a logical one, which parquet-go gives to every integer,
// and real exports to smallint alone.
type bare struct{ parquet.Type }

func (bare) LogicalType() *format.LogicalType { return nil }
