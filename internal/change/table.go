package change

// A TableName names a table of the target.
type TableName struct{ Schema, Name string }

// A RowTable is a table of the target as its catalog describes it: what rows
// that carry names and JSON values only are converted by.
type RowTable struct {
	Schema, Name string
	Columns      []RowColumn // in the table's order
	// Key is the columns of the primary key, in its order; those of the replica
	// identity's index where there is no primary key; nil where there is neither.
	Key []string
}

// A RowColumn is one column of a RowTable.
type RowColumn struct {
	Name string
	// Type is as format_type(atttypid, atttypmod) spells it: "numeric(12,2)",
	// "timestamp(3) with time zone", "integer[]"; of a domain, that of its base
	// type, which decides how values are spelt.
	Type      string
	NotNull   bool
	Generated bool // GENERATED ALWAYS AS (…) STORED: computed by the target, never written
	Enum      bool // Type names an enum: its labels are its only spellings
}
