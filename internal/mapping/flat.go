package mapping

import "godwit/internal/change"

// Tables is the rules for flat rows: those of a PostgreSQL database, whose tables
// have columns already.
type Tables struct {
	Schema    string            // target schema of every table; "" keeps the source's
	Schemas   map[string]string // target schema by source schema
	Keys      bool              // every primary key becomes a UUID
	Namespace string            // of KeyUUID; "" is the database's name
	Replace   bool              // tables that the target has are replaced
	Rules     []TableRule       // in file order
}

// A TableRule is the rules of one table.
type TableRule struct {
	Source    change.TableName
	Skip      bool
	Schema    string   // of the target; "" is the file's
	Target    string   // name; "" keeps the source's
	Key       string   // "", "uuid", "keep"
	KeyColumn string   // name of the column that a composite key becomes
	KeepKey   string   // name that the old key is kept under
	Primary   []string // key columns, where the catalogue has no key
	Columns   []ColumnRule
	Filter    []change.Condition
}

// A ColumnRule is the rule of one column.
type ColumnRule struct {
	Source string
	Name   string // of the target; "" keeps it
	Type   string // "" lets the profile decide
	Skip   bool
}
