// Package profile owns what a target database can do, as dated data: the types
// of its columns, its limits and its features, each with the day that it was
// looked up and where. Whoever must decide by what a target can do asks a
// Profile and never the target's name.
package profile

import "fmt"

// A Profile is what one kind and version of a database can do.
type Profile struct {
	Name     string // aurora-dsql, aurora-postgresql-16
	AsOf     string // the newest day of its facts: 2026-11-20
	types    map[string]Type
	limits   map[LimitName]Limit
	features map[FeatureName]Feature
}

// A Fact is where something is known from.
type Fact struct {
	AsOf   string `json:"as_of"`  // day
	Source string `json:"source"` // document or probe
	Since  string `json:"since,omitempty"`
}

// How a type becomes a column of the target: change.Conversion's kinds, or Never.
const (
	Keep  = "keep"
	Text  = "text"
	Fit   = "fit"
	Never = "never" // the export does not carry it, or no column could hold it
)

// A Type is what becomes of a column of one type of PostgreSQL.
type Type struct {
	Name    string `json:"name"` // as format_type spells it without modifiers; or enum, array, composite, range, other
	As      string `json:"as"`   // Keep, Text, Fit, Never
	Becomes string `json:"becomes,omitempty"`
	Index   bool   `json:"index,omitempty"` // may be in a key or an index as what it becomes
	// MaxLength is the greatest modifier of character(n), varchar(n); 0 is none.
	MaxLength int    `json:"maxLength,omitempty"`
	Why       string `json:"why,omitempty"`
	Fact
}

// A LimitName names a limit.
type LimitName string

// A FeatureName names a feature.
type FeatureName string

// A Limit is a number that must not be exceeded; 0 is no limit.
type Limit struct {
	Value int64 `json:"value"`
	Fact
}

// A Feature is something that the target has or has not.
type Feature struct {
	Has bool `json:"has"`
	Fact
}

// Limit returns a limit.
func (p *Profile) Limit(name LimitName) Limit { return p.limits[name] }

// Feature returns a feature.
func (p *Profile) Feature(name FeatureName) Feature { return p.features[name] }

// The limits.
const (
	RowsPerTransaction    LimitName = "rowsPerTransaction"
	BytesPerTransaction   LimitName = "bytesPerTransaction"
	SecondsPerTransaction LimitName = "secondsPerTransaction"
	KeyBytes              LimitName = "keyBytes"   // of the values of one key or index entry
	KeyColumns            LimitName = "keyColumns" // of a key or an index
	TableColumns          LimitName = "tableColumns"
	TableIndexes          LimitName = "tableIndexes" // with those of keys
	Schemas               LimitName = "schemas"
	Tables                LimitName = "tables"
	RowBytes              LimitName = "rowBytes"
	ValueBytes            LimitName = "valueBytes"
	ConnectionMinutes     LimitName = "connectionMinutes"
	ConnectionsPerSecond  LimitName = "connectionsPerSecond"
	ConnectionBurst       LimitName = "connectionBurst"
	MessageBytes          LimitName = "messageBytes"
	SequenceCache         LimitName = "sequenceCache" // a CACHE is 1 or at least this; 0 is any
)

// The features.
const (
	ForeignKeys       FeatureName = "foreignKeys"
	DeferrableForeign FeatureName = "deferrableForeign"
	PartialIndexes    FeatureName = "partialIndexes"
	ExpressionIndexes FeatureName = "expressionIndexes"
	IncludeIndexes    FeatureName = "includeIndexes"
	IndexMethods      FeatureName = "indexMethods" // others than btree
	IndexOrder        FeatureName = "indexOrder"   // DESC
	IndexClasses      FeatureName = "indexClasses" // operator classes and collations
	Checks            FeatureName = "checks"
	Defaults          FeatureName = "defaults"
	Identity          FeatureName = "identity"
	SmallIdentity     FeatureName = "smallIdentity"    // of integer and smallint
	SequentialKeys    FeatureName = "sequentialKeys"   // are as fast as random ones
	PublicSchema      FeatureName = "publicSchema"     // loaders may write to public
	BareNumeric       FeatureName = "bareNumeric"      // numeric without a precision holds every number
	Collations        FeatureName = "collations"       // others than C
	DeferrableUnique  FeatureName = "deferrableUnique" // UNIQUE and PRIMARY KEY
)

// Names are the profiles that Lookup knows.
func Names() []string {
	return []string{"aurora-postgresql-15", "aurora-postgresql-16", "aurora-postgresql-17", "aurora-dsql"}
}

// Lookup returns the profile of that name.
func Lookup(name string) (*Profile, error) {
	for _, n := range Names() {
		if n == name {
			return &Profile{Name: name}, nil
		}
	}
	return nil, fmt.Errorf("there is no profile of a target %q: choose one of %v", name, Names())
}

// Type returns what becomes of a column of a type, named as format_type spells it
// without modifiers.
func (p *Profile) Type(name string) (Type, bool) {
	t, ok := p.types[name]
	return t, ok
}
