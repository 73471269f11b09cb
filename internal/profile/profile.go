package profile

import (
	"fmt"
	"maps"
	"slices"
)

// A Profile is what one kind and version of a database can do. It does not
// change: Correct returns another.
type Profile struct {
	Name string // aurora-dsql, aurora-postgresql-16
	AsOf string // the newest day of its facts: 2026-09-30
	// PostgreSQL is the major version whose functions it has.
	PostgreSQL int
	types      map[string]Type
	limits     map[LimitName]Limit
	features   map[FeatureName]Feature
}

// A Fact is where something is known from.
type Fact struct {
	AsOf   string // day on which the source said so: 2026-09-30
	Source string // document, or the probe of the target
	Since  string // day from which it holds; "" is always, or not known
	// Doubtful says that sources differ: the value is the careful one.
	Doubtful bool
}

// String names day and source, as findings quote them, and says so where the fact is
// in doubt.
func (f Fact) String() string {
	text := fmt.Sprintf("%s; as of %s", f.Source, f.AsOf)
	if f.Since != "" {
		text += ", since " + f.Since
	}
	if f.Doubtful {
		text += "; other sources differ, and the target was not probed for it"
	}
	return text
}

// What becomes of the values of a type in the target: the kinds of
// change.Conversion that do not depend on more than the type, or Never.
const (
	Keep  = "keep"  // a column of the same type
	Text  = "text"  // a text column with PostgreSQL's text of the value
	Never = "never" // the export does not carry them
)

// The types that stand for those that have no name of their own in a Profile.
const (
	AnyArray     = "array"     // Keep if that is what becomes of the elements' type
	AnyEnum      = "enum"      // made by CREATE TYPE, and so are the others
	AnyComposite = "composite" // rows of tables, too
	AnyRange     = "range"     // multiranges, too
	AnyOther     = "other"     // of extensions
)

// A Type is what becomes of columns of one type of PostgreSQL.
type Type struct {
	Name string // as format_type spells it without modifiers
	As   string // Keep, Text or Never
	// Index says that a key or an index may hold what it becomes.
	Index bool
	// MaxLength is the greatest n of character(n) and character varying(n); 0 is
	// PostgreSQL's own.
	MaxLength int
	Why       string // for what is not kept; reads after "because"
	Fact
}

// A Limit is a number that must not be exceeded; 0 is no limit.
type Limit struct {
	Value int64
	Fact
}

// A Feature is something that the target has or has not.
type Feature struct {
	Has bool
	Fact
}

// A LimitName names a Limit.
type LimitName string

// The limits.
const (
	RowsPerTransaction    LimitName = "rowsPerTransaction"
	BytesPerTransaction   LimitName = "bytesPerTransaction"
	SecondsPerTransaction LimitName = "secondsPerTransaction"
	KeyBytes              LimitName = "keyBytes"    // of the values of one key or index entry
	KeyDeclared           LimitName = "keyDeclared" // sum of the lengths that the columns of a key or an index declare
	KeyColumns            LimitName = "keyColumns"  // of a key or an index
	TableColumns          LimitName = "tableColumns"
	TableIndexes          LimitName = "tableIndexes" // with those of keys
	Schemas               LimitName = "schemas"
	Tables                LimitName = "tables"
	RowBytes              LimitName = "rowBytes"
	ValueBytes            LimitName = "valueBytes"
	ConnectionMinutes     LimitName = "connectionMinutes"
	ConnectionsPerSecond  LimitName = "connectionsPerSecond" // new ones
	ConnectionBurst       LimitName = "connectionBurst"      // new ones at once
	MessageBytes          LimitName = "messageBytes"         // of the wire protocol
	// SequenceCache is the least CACHE of a sequence or an identity, but for 1; 0
	// takes any.
	SequenceCache LimitName = "sequenceCache"
	// NumericBare and NumericBareScale are the precision and scale that numeric
	// without them is loaded as, where the target has no such numeric (BareNumeric).
	// They are a choice, not a limit of the target: values that do not fit are
	// refused.
	NumericBare      LimitName = "numericBare"
	NumericBareScale LimitName = "numericBareScale"
)

// A FeatureName names a Feature.
type FeatureName string

// The features.
const (
	ForeignKeys           FeatureName = "foreignKeys"
	DeferrableForeignKeys FeatureName = "deferrableForeignKeys"
	PartialIndexes        FeatureName = "partialIndexes"
	ExpressionIndexes     FeatureName = "expressionIndexes"
	IncludeIndexes        FeatureName = "includeIndexes"
	IndexMethods          FeatureName = "indexMethods" // others than btree
	IndexOrder            FeatureName = "indexOrder"   // DESC; NULLS FIRST alone is everywhere
	IndexClasses          FeatureName = "indexClasses" // operator classes and collations of index keys
	Checks                FeatureName = "checks"
	Defaults              FeatureName = "defaults"
	Identity              FeatureName = "identity"
	SmallIdentity         FeatureName = "smallIdentity"    // identity of integer and smallint columns
	SequentialKeys        FeatureName = "sequentialKeys"   // that grow are as good as random ones
	PublicSchema          FeatureName = "publicSchema"     // a role that is no administrator may fill it
	BareNumeric           FeatureName = "bareNumeric"      // numeric without precision holds every number
	Collations            FeatureName = "collations"       // others than C
	DeferrableUnique      FeatureName = "deferrableUnique" // UNIQUE and PRIMARY KEY constraints
)

// Type returns what becomes of columns of a type, named as format_type spells it
// without modifiers, or by one of the Any names.
func (p *Profile) Type(name string) (Type, bool) {
	t, ok := p.types[name]
	return t, ok
}

// Types returns the names of all types, sorted.
func (p *Profile) Types() []string { return slices.Sorted(maps.Keys(p.types)) }

// Limits returns the names of all limits, sorted.
func (p *Profile) Limits() []LimitName { return slices.Sorted(maps.Keys(p.limits)) }

// Features returns the names of all features, sorted.
func (p *Profile) Features() []FeatureName { return slices.Sorted(maps.Keys(p.features)) }

// Limit returns a limit.
func (p *Profile) Limit(name LimitName) Limit { return p.limits[name] }

// Feature returns a feature.
func (p *Profile) Feature(name FeatureName) Feature { return p.features[name] }

// Doubtful returns the names of the limits and features that a probe of the
// target should try, sorted.
func (p *Profile) Doubtful() []string {
	var names []string
	for name, l := range p.limits {
		if l.Doubtful {
			names = append(names, string(name))
		}
	}
	for name, f := range p.features {
		if f.Doubtful {
			names = append(names, string(name))
		}
	}
	slices.Sort(names)
	return names
}

// A Probed is what a probe of the target found about one limit or feature.
type Probed struct {
	Name  string // of a limit or a feature
	Value int64  // of a limit; of a feature 1 or 0
	Note  string // what was tried, or the target's words
}

// Correct returns the profile with what a probe found on a day (2026-11-23) in
// place of what was known. A name that the profile does not know is an error.
func (p *Profile) Correct(day string, found []Probed) (*Profile, error) {
	if err := checkDay(day); err != nil {
		return nil, fmt.Errorf("correct profile %s: %w", p.Name, err)
	}
	q := &Profile{Name: p.Name, AsOf: max(p.AsOf, day), PostgreSQL: p.PostgreSQL, types: p.types, limits: maps.Clone(p.limits), features: maps.Clone(p.features)}
	for _, f := range found {
		fact := Fact{AsOf: day, Source: "probe of the target"}
		if f.Note != "" {
			fact.Source += ": " + f.Note
		}
		_, limit := q.limits[LimitName(f.Name)]
		_, feature := q.features[FeatureName(f.Name)]
		switch {
		case limit && f.Value >= 0:
			q.limits[LimitName(f.Name)] = Limit{Value: f.Value, Fact: fact}
		case feature && (f.Value == 0 || f.Value == 1):
			q.features[FeatureName(f.Name)] = Feature{Has: f.Value == 1, Fact: fact}
		case limit || feature:
			return nil, fmt.Errorf("correct profile %s: %s cannot be %d", p.Name, f.Name, f.Value)
		default:
			return nil, fmt.Errorf("correct profile %s: it knows no %q", p.Name, f.Name)
		}
	}
	return q, nil
}
