package assess

// The kinds of findings: what they are about, under names that stay.
const (
	KindCollation      = "collation"       // a collation, or an order, that the target does not have
	KindCheck          = "check"           // a CHECK constraint
	KindColumns        = "columns"         // more columns than the target takes
	KindDefault        = "default"         // a default
	KindDomain         = "domain"          // a domain
	KindEncoding       = "encoding"        // the database's encoding
	KindExclusion      = "exclusion"       // an EXCLUDE constraint
	KindExtensionTable = "extension-table" // a table of an extension
	KindForeignKey     = "foreign-key"     // a foreign key
	KindForeignTable   = "foreign-table"   // a foreign table
	KindGenerated      = "generated"       // a generated column
	KindIdentity       = "identity"        // an identity or a serial column
	KindIndex          = "index"           // an index
	KindIndexes        = "indexes"         // more indexes than the target takes
	KindInherited      = "inherited"       // inheritance
	KindKey            = "key"             // a primary key
	KindKeySize        = "key-size"        // keys that may be too long
	KindKeyUUID        = "key-uuid"        // a key, or a foreign key's column, that becomes a UUID
	KindLargeObjects   = "large-objects"   // large objects
	KindName           = "name"            // a name of the target
	KindNoCatalog      = "no-catalog"      // there is no catalog
	KindNoKey          = "no-key"          // a table without a key
	KindNotCarried     = "not-carried"     // what an export never carries
	KindNotExported    = "not-exported"    // what the catalog has and the export does not
	KindNotInCatalog   = "not-in-catalog"  // what the export has and the catalog does not
	KindObjects        = "objects"         // views, functions and the like
	KindOddName        = "odd-name"        // names that exports skip
	KindOrphans        = "orphans"         // rows that may refer to nothing
	KindPartition      = "partition"       // partitions
	KindRule           = "rule"            // a rule of the mapping that does not fit
	KindSchemas        = "schemas"         // schemas of the target
	KindSequence       = "sequence"        // a sequence of its own
	KindSequentialKey  = "sequential-key"  // a key that grows
	KindTables         = "tables"          // more tables than the target takes
	KindTypeChanged    = "type-changed"    // a type that catalog and export tell differently
	KindTypeFit        = "type-fit"        // a narrower type
	KindTypeRefused    = "type-refused"    // a type without a conversion
	KindTypeText       = "type-text"       // a type that becomes text
	KindTypeWider      = "type-wider"      // another type that holds every value
	KindUnique         = "unique"          // a UNIQUE constraint
	KindUnlogged       = "unlogged"        // an unlogged table
	KindValueSize      = "value-size"      // values that may be too long
	KindVersion        = "version"         // a source that is newer than the target
	KindWrites         = "writes"          // what is written after the snapshot
)
