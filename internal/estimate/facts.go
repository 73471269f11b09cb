package estimate

import "math"

// Facts are what is known of a load before it begins. Zero means unknown where a
// member says so; the estimate then assumes, and says what.
type Facts struct {
	Survey  bool      // the archive was surveyed: Revisions, RowBytes and Tables are counts
	Archive []Content // by format and compression; sizes add up to the archive's
	Largest int64     // bytes of the largest object, as stored, which one child reads alone; 0 is unknown
	Exports int64     // whose manifests are read
	Items   int64     // work items of each pass; 0: worked out of the archive's size
	// Segments and Parts of the load; 0: worked out of the row bytes.
	Segments   int64
	Parts      int64
	Tables     []Table // target tables with staged rows
	Redactions int64   // that the archive asks for and the load applies
	Blocks     int64   // of the archive, of which the survey could not read Unread
	Unread     int64
	Asides     int64 // revisions that would be set aside
	Hashes     int64 // files of block hashes that the load leaves; 0: it verifies nothing
	NoHistory  bool  // current tables only
	Typed      bool  // types that JSON lost are learned before the passes, on a sample
	Place      Place
}

// A Content is the objects of an archive that are alike.
type Content struct {
	Format    string // one of Formats; "" is unknown
	Gzip      bool
	Objects   int64
	Bytes     int64 // as stored
	Inflated  int64 // bytes decompressed; 0 is unknown, and Bytes without gzip
	Revisions int64 // that have data; 0 is unknown
}

// A Table is one target table with its history.
type Table struct {
	Sources   int64 // ledger tables behind it; 0 is one
	Revisions int64 // staged
	RowBytes  int64 // of their rows as COPY text
	Indexes   int64 // that the mapping asks for, of current table and history together
}

// A Place is the environment that the load runs in.
type Place struct {
	Region       string
	Architecture string  // of the functions: arm64 or x86_64; "" is unknown
	MemoryMB     int64   // of a function; 0 is unknown
	Transform    int64   // children that read the archive at once, for each of the two passes; 0 is unknown
	Tasks        int64   // children that work in the database at once; 0 is unknown
	MinACU       float64 // of the cluster
	MaxACU       float64 // 0 is unknown
}

// How the workflow cuts its work. Tests of migrate, and of the synthesized stacks
// for the children, hold these equal to what is done.
const (
	ItemBytes     = 128 << 20 // bytes of objects in a work item
	ItemsPerChild = 4         // of a map's child
	SegmentBytes  = 64 << 20  // of rows written, or of one object read, that end a segment
	SliceRows     = 200_000   // revisions of a publish slice
	LongestWait   = 60        // seconds between two looks at a task
	SampleObjects = 32        // whose JSON types are learned of
	SampleBytes   = 256 << 20 // of them, decompressed

	partsDays = 30 // until the work bucket's lifecycle rule deletes parts

	callSeconds  = 14 * 60 // a function of 15 minutes hands on a minute before its end
	replySeconds = 45      // the Data API's time for a statement
)

// assumed fills in what is not known, and says what it took.
func assumed(f Facts) (Facts, []string) {
	place, said := f.Place.assumed()
	f.Place = place
	f = f.whole()
	unknown := false
	f.Archive = append([]Content{}, f.Archive...)
	for i := range f.Archive {
		if c := &f.Archive[i]; !known(c.Format) {
			c.Format, unknown = "ION_TEXT", true
		}
	}
	if unknown {
		said = append(said, "Objects whose format nobody announced are Ion text, the slowest to read.")
	}
	return f, said
}

// assumed fills in what is not known of a place, and says what it took.
func (p Place) assumed() (Place, []string) {
	var said []string
	if p.Architecture == "" {
		p.Architecture = "arm64"
		said = append(said, "The functions run on arm64.")
	}
	if p.MemoryMB == 0 {
		p.MemoryMB = 1769
		said = append(said, "The functions have 1,769 MB, one core.")
	}
	if p.Transform == 0 {
		p.Transform = 40
		said = append(said, "40 children read the archive at once in each of the two passes.")
	}
	if p.Tasks == 0 {
		p.Tasks = 4
		said = append(said, "4 children work in the database at once.")
	}
	if p.MaxACU == 0 {
		p.MinACU, p.MaxACU = 2, 8
		said = append(said, "The cluster has 2 to 8 ACU: its capacity is not known here.")
	}
	return p, said
}

// whole adds to the tables what blocks that the survey could not read hold, as
// if they were like the others. Where none was read, nothing was surveyed.
func (f Facts) whole() Facts {
	if !f.Survey || f.Unread == 0 {
		return f
	}
	if f.Unread >= f.Blocks {
		f.Survey, f.Tables = false, nil
		return f
	}
	by := float64(f.Blocks) / float64(f.Blocks-f.Unread)
	f.Tables = append([]Table{}, f.Tables...)
	for i := range f.Tables {
		t := &f.Tables[i]
		t.Revisions, t.RowBytes = int64(math.Round(float64(t.Revisions)*by)), int64(math.Round(float64(t.RowBytes)*by))
	}
	f.Asides = int64(math.Round(float64(f.Asides) * by))
	return f
}

func known(format string) bool {
	for _, f := range Formats {
		if f == format {
			return true
		}
	}
	return false
}
