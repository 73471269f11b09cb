package change

// A TablePlan says what becomes of one table of a PostgreSQL database: the
// target's table, and how each of its columns comes from the source's. It is
// decided once, kept beside the load, and is what the loader, the target and
// the verifier go by, each with code of its own.
type TablePlan struct {
	Source TableName `json:"source"`
	Target TableName `json:"target"`
	// Partitions are the source's partitions of Source under whose names the export
	// has its rows; nil where it has them under Source's own.
	Partitions []TableName  `json:"partitions,omitempty"`
	Columns    []ColumnPlan `json:"columns"` // in the target's order
	// Key is the columns of the target's primary key, in its order; nil where the
	// table has none.
	Key     []string    `json:"key,omitempty"`
	KeyName string      `json:"keyName,omitempty"` // of the constraint; "" lets the target derive one
	Indexes []IndexPlan `json:"indexes,omitempty"`
	Foreign []Foreign   `json:"foreign,omitempty"`
	Checks  []Check     `json:"checks,omitempty"`
	// Sizes is what the target can hold of a row; a row beyond it is refused.
	Sizes []SizeLimit `json:"sizes,omitempty"`
	// Filter leaves rows out; all of its conditions hold for a row that stays.
	Filter []Condition `json:"filter,omitempty"`
}

// A ColumnPlan is one column of a target table.
type ColumnPlan struct {
	Name    string `json:"name"`
	Type    string `json:"type"` // as format_type spells it: numeric(12,2), timestamp(3) with time zone
	NotNull bool   `json:"notNull,omitempty"`
	Default string `json:"default,omitempty"` // an SQL expression of the source's catalog that the target can compute
	// Identity is "", "ALWAYS" or "BY DEFAULT"; Start is where it goes on.
	Identity string `json:"identity,omitempty"`
	Start    int64  `json:"start,omitempty"`
	Cache    int64  `json:"cache,omitempty"` // numbers that a session takes of it at once; 0 is 1
	// From is the source's columns that the value is made of: one, or those of a
	// composite key that As turns into a UUID. nil where the load writes none and
	// the target makes the value.
	From []SourceColumn `json:"from"`
	As   Conversion     `json:"as"`
}

// A SourceColumn is a column as the source's catalog, or the export's metadata,
// describes it.
type SourceColumn struct {
	Name string `json:"name"`
	Type string `json:"type"` // as format_type spells it; of a domain, that of its base type
	Enum bool   `json:"enum,omitempty"`
	// Domain says that the column's type is a domain, whose values exports write as
	// text, whatever its base type is.
	Domain bool `json:"domain,omitempty"`
}

// The conversions: what is done to a value, which otherwise is the same in both
// databases. A value that its conversion does not keep is refused, never changed.
const (
	AsIs   = "keep" // the same type, or one that holds every value: a value is equal in both
	AsText = "text" // PostgreSQL's text of the value: enums, arrays, ranges, inet, composites
	AsFit  = "fit"  // a narrower type: a value that does not fit it exactly is refused
	AsUUID = "uuid" // KeyUUID of the key of the table Of
)

// A Conversion is one of the conversions, and for AsUUID whose key it makes.
type Conversion struct {
	Kind string `json:"kind"`
	// Namespace and Of are the arguments of KeyUUID. Of is the source's table whose
	// key it is: the column's own table for a primary key, the referenced one for a
	// foreign key, so that both are the same UUID.
	Namespace string    `json:"namespace,omitempty"`
	Of        TableName `json:"of,omitzero"`
}

// An IndexPlan is an index that is built after the load.
type IndexPlan struct {
	Name   string   `json:"name"`
	Unique bool     `json:"unique,omitempty"`
	Keys   []string `json:"keys"` // columns, as names; an expression stands in Expressions at the same place, its name here is ""
	// Expressions is nil where no key is an expression.
	Expressions      []string `json:"expressions,omitempty"`
	Include          []string `json:"include,omitempty"`
	Where            string   `json:"where,omitempty"`
	NullsNotDistinct bool     `json:"nullsNotDistinct,omitempty"`
	Constraint       bool     `json:"constraint,omitempty"` // a UNIQUE constraint owns it
	// Method is "" for btree. Order holds "DESC", "NULLS FIRST" and the like by
	// key; nil where every key has the default order.
	Method string   `json:"method,omitempty"`
	Order  []string `json:"order,omitempty"`
}

// A Foreign is a foreign key of a target table.
type Foreign struct {
	Name       string    `json:"name"`
	Columns    []string  `json:"columns"`
	Table      TableName `json:"table"` // referenced, of the target
	References []string  `json:"references"`
	OnUpdate   string    `json:"onUpdate,omitempty"` // "" is NO ACTION
	OnDelete   string    `json:"onDelete,omitempty"`
	Match      string    `json:"match,omitempty"` // "" is SIMPLE; FULL
	Deferrable bool      `json:"deferrable,omitempty"`
	Deferred   bool      `json:"deferred,omitempty"` // INITIALLY DEFERRED
}

// A SizeLimit is the most bytes that the values of some columns of a target's row
// may have together: a column's limit, a key's, or the row's. Text counts as
// UTF-8, bytea as its bytes, a UUID 16, and every other value as its text, but at
// least 8; NULL is nothing.
type SizeLimit struct {
	Columns []string `json:"columns,omitempty"` // nil is all
	Bytes   int64    `json:"bytes"`
	What    string   `json:"what"` // for reasons: "a primary key", "a row"
}

// A Check is a CHECK constraint that the target can hold.
type Check struct {
	Name       string `json:"name"`
	Expression string `json:"expression"`
}

// A Condition compares a source column's PostgreSQL text, as value::text has it:
// of a boolean, true or false. NULL is met by Null alone.
type Condition struct {
	Column string   `json:"column"`
	In     []string `json:"in,omitempty"`   // the text is one of them
	Null   bool     `json:"null,omitempty"` // the value is NULL
	Not    bool     `json:"not,omitempty"`  // the condition must not hold
}
