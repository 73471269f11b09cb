package catalog

import (
	"slices"

	"godwit/internal/change"
)

// A Catalog is what a PostgreSQL database consists of, at one moment.
type Catalog struct {
	Version  int    `json:"version"` // of this format: 1
	Server   int    `json:"server"`  // server_version_num: 160004
	Database string `json:"database"`
	Encoding string `json:"encoding"` // UTF8
	Collate  string `json:"collate"`
	Monetary string `json:"monetary"` // lc_monetary, which spells money
	// LargeObjects is the number of them; an export has none.
	LargeObjects int64 `json:"largeObjects,omitempty"`

	Tables    []Table    `json:"tables"` // by schema and name
	Sequences []Sequence `json:"sequences,omitempty"`
	// Objects are what else it holds and rows do not: views, functions, triggers,
	// rules, policies, extensions, types.
	Objects []Object `json:"objects,omitempty"`
}

// The kinds of a Table.
const (
	Ordinary    = "table"
	Partitioned = "partitioned" // its rows are in its partitions
	Foreign     = "foreign"
)

// A Table is one table.
type Table struct {
	Schema   string `json:"schema"`
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Unlogged bool   `json:"unlogged,omitempty"`
	// PartitionOf is the table that this one is a partition of, Inherits are those
	// that it inherits from otherwise.
	PartitionOf *change.TableName  `json:"partitionOf,omitempty"`
	Inherits    []change.TableName `json:"inherits,omitempty"`
	RowSecurity bool               `json:"rowSecurity,omitempty"`
	Extension   string             `json:"extension,omitempty"` // that brought the table

	Columns    []Column     `json:"columns"` // in their order, without dropped ones
	Key        *Key         `json:"key,omitempty"`
	Uniques    []Key        `json:"uniques,omitempty"` // UNIQUE constraints
	Foreign    []ForeignKey `json:"foreign,omitempty"`
	Checks     []Check      `json:"checks,omitempty"`
	Exclusions []string     `json:"exclusions,omitempty"` // names of EXCLUDE constraints
	Indexes    []Index      `json:"indexes,omitempty"`    // those that no constraint owns

	Rows  int64 `json:"rows"`  // estimate of the last ANALYZE; -1 is not known
	Bytes int64 `json:"bytes"` // on disk, with TOAST, without indexes
}

// TableName is the table's name.
func (t *Table) TableName() change.TableName {
	return change.TableName{Schema: t.Schema, Name: t.Name}
}

// Column returns the column of that name, or nil.
func (t *Table) Column(name string) *Column {
	if i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name }); i >= 0 {
		return &t.Columns[i]
	}
	return nil
}

// The classes of a Type.
const (
	Base      = "base"
	Array     = "array"
	Enum      = "enum"
	Composite = "composite"
	Range     = "range" // multiranges, too
)

// A Type is the type of a column, or of the elements of an array.
type Type struct {
	// Name is as format_type spells it, with its modifiers: numeric(12,2),
	// app.mood. Of a domain it is that of its base type.
	Name  string `json:"name"`
	Class string `json:"class"`
	// Builtin says that PostgreSQL itself has the type: it is in pg_catalog.
	Builtin bool     `json:"builtin"`
	Labels  []string `json:"labels,omitempty"` // of an enum, in its order
	Element *Type    `json:"element,omitempty"`
}

// A Column is one column of a Table.
type Column struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
	// Domain is the domain's name where the column has one; its checks are over
	// VALUE.
	Domain       string  `json:"domain,omitempty"`
	DomainChecks []Check `json:"domainChecks,omitempty"`
	NotNull      bool    `json:"notNull,omitempty"` // of the column or its domain
	// Default is an expression, or nil. Generated is "", "stored" or "virtual" and
	// the expression then computes every value.
	Default   *Expression `json:"default,omitempty"`
	Generated string      `json:"generated,omitempty"`
	Identity  string      `json:"identity,omitempty"` // "", "ALWAYS", "BY DEFAULT"
	// Sequence is what the column takes its values from: that of its identity, or
	// the one that a serial column owns.
	Sequence *change.TableName `json:"sequence,omitempty"`
	// Collation is the name where it is not the type's own; Nondeterministic says
	// that two different texts may be equal.
	Collation        string `json:"collation,omitempty"`
	Nondeterministic bool   `json:"nondeterministic,omitempty"`
}

// An Expression is SQL over columns of one table, as the server spells it.
type Expression struct {
	SQL     string   `json:"sql"`
	Columns []string `json:"columns,omitempty"` // that it reads
	// Uses is what it needs and PostgreSQL itself does not have: functions, types,
	// sequences, operators, by kind and name.
	Uses []string `json:"uses,omitempty"`
}

// A Check is a CHECK constraint; SQL is its condition alone.
type Check struct {
	Name string `json:"name"`
	Expression
	NotValid bool `json:"notValid,omitempty"` // or not enforced: rows may break it
}

// A Key is a primary key or a UNIQUE constraint.
type Key struct {
	Name             string   `json:"name"`
	Columns          []string `json:"columns"`
	Include          []string `json:"include,omitempty"`
	Deferrable       bool     `json:"deferrable,omitempty"`
	NullsNotDistinct bool     `json:"nullsNotDistinct,omitempty"`
	// Period says that the last column is WITHOUT OVERLAPS.
	Period bool `json:"period,omitempty"`
}

// A ForeignKey is a FOREIGN KEY constraint.
type ForeignKey struct {
	Name       string           `json:"name"`
	Columns    []string         `json:"columns"`
	Table      change.TableName `json:"table"` // referenced
	References []string         `json:"references"`
	OnUpdate   string           `json:"onUpdate"` // NO ACTION, RESTRICT, CASCADE, SET NULL, SET DEFAULT
	OnDelete   string           `json:"onDelete"`
	// DeleteColumns are those that SET NULL or SET DEFAULT is limited to.
	DeleteColumns []string `json:"deleteColumns,omitempty"`
	Match         string   `json:"match"` // SIMPLE, FULL
	Deferrable    bool     `json:"deferrable,omitempty"`
	Deferred      bool     `json:"deferred,omitempty"`
	NotValid      bool     `json:"notValid,omitempty"` // or not enforced: orphans may exist
	Period        bool     `json:"period,omitempty"`
}

// An Index is an index that no constraint owns.
type Index struct {
	Name             string      `json:"name"`
	Method           string      `json:"method"`
	Unique           bool        `json:"unique,omitempty"`
	Keys             []IndexKey  `json:"keys"`
	Include          []string    `json:"include,omitempty"`
	Where            *Expression `json:"where,omitempty"`
	NullsNotDistinct bool        `json:"nullsNotDistinct,omitempty"`
	Invalid          bool        `json:"invalid,omitempty"` // a build failed, or goes on
	// Uses is what its keys and its predicate need and PostgreSQL itself does not
	// have, operator classes too; an Expression of an index has no Uses.
	Uses []string `json:"uses,omitempty"`
}

// An IndexKey is one key of an Index: a column or an expression.
type IndexKey struct {
	Column     string      `json:"column,omitempty"`
	Expression *Expression `json:"expression,omitempty"`
	Collation  string      `json:"collation,omitempty"` // where it is not the column's
	OpClass    string      `json:"opClass,omitempty"`   // where it is not the type's default
	Order      string      `json:"order,omitempty"`     // DESC, NULLS FIRST and the like; "" is the default
}

// A Sequence is a sequence.
type Sequence struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	Type   string `json:"type"`
	// Last is the last value that was given out; nil where there was none, or the
	// reader may not see it (Hidden).
	Last      *int64            `json:"last,omitempty"`
	Hidden    bool              `json:"hidden,omitempty"`
	Start     int64             `json:"start"`
	Increment int64             `json:"increment"`
	Min       int64             `json:"min"`
	Max       int64             `json:"max"`
	Cache     int64             `json:"cache"`
	Cycle     bool              `json:"cycle,omitempty"`
	Table     *change.TableName `json:"table,omitempty"`  // that owns it
	Column    string            `json:"column,omitempty"` // of Table
}

// An Object is something that a snapshot's rows do not carry.
type Object struct {
	Kind   string            `json:"kind"` // view, materialized view, function, procedure, trigger, rule, policy, extension, type, domain, event trigger
	Schema string            `json:"schema,omitempty"`
	Name   string            `json:"name"`
	Table  *change.TableName `json:"table,omitempty"` // of a trigger, rule or policy
}

// Table returns the table of that name, or nil.
func (c *Catalog) Table(name change.TableName) *Table {
	if i := slices.IndexFunc(c.Tables, func(t Table) bool { return t.TableName() == name }); i >= 0 {
		return &c.Tables[i]
	}
	return nil
}

// Sequence returns the sequence of that name, or nil.
func (c *Catalog) Sequence(name change.TableName) *Sequence {
	if i := slices.IndexFunc(c.Sequences, func(s Sequence) bool {
		return s.Schema == name.Schema && s.Name == name.Name
	}); i >= 0 {
		return &c.Sequences[i]
	}
	return nil
}
