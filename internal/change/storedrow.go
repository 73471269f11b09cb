package change

// A StoredRow is what a target keeps of one revision beside its values: what the
// revision is, where in the source it stood, and which loads cover its block.
type StoredRow struct {
	Schema   string // of the table that has it
	Table    string // the history; the current table where no history is kept
	Strand   string
	Block    int64
	Hash     string // of the revision, in base64
	Redacted bool   // its data is to be shown no more
	Object   string // of the archive, where the block begins at Offset; "" is not known
	Offset   int64
	Revision int      // number in the block, from 0
	Loads    []string // published loads of the schema that hold the block, the latest first
}
