package change

// A Type is a column's type without a dialect.
type Type struct {
	Kind      Kind
	Bits      int  // Int: 16, 32 or 64; Float: 32 or 64
	Length    int  // Text: greatest number of characters; 0 is unlimited
	Precision int  // Decimal: digits in all; 0 is unlimited
	Scale     int  // Decimal: digits behind the point, with Precision
	Zone      bool // Timestamp: an instant (timestamptz), not a wall clock
	Array     bool // a one-dimensional array of the rest
}

// A Column is one column of a target table.
type Column struct {
	Name    string
	Type    Type
	NotNull bool
}

// An Index is built after a load.
type Index struct {
	Name    string // "" lets the target derive one
	Columns []string
	Unique  bool
}

// A Table is one target table: a current table, or the history beside it.
type Table struct {
	Name    string
	Columns []Column
	Key     []string
	Indexes []Index
}

// A Row is one write to one target table. Values holds one value per column of
// Table, in order. It borrows from the Record and from the mapping plan that
// made it: valid until the plan's next Map call.
type Row struct {
	Table  *Table
	Values []Value
}
