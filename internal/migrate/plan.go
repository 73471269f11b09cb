package migrate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"godwit/internal/journal"
)

// Input is what a person types to start LedgerLoad.
type Input struct {
	Bucket         string   // of the archive
	Prefix         string   `json:",omitempty"` // of the archive's manifests and objects
	ExportIds      []string `json:",omitempty"` // only these exports; default all under Prefix
	Manifests      string   `json:",omitempty"` // "" reads completion manifests, "none" lists the data objects instead
	Mapping        string   `json:",omitempty"` // s3://bucket/key; default the packaged mapping
	Schema         string   `json:",omitempty"` // target schema; default the mapping's
	Tables         []string `json:",omitempty"` // only these ledger tables; default all
	Since          Since    `json:",omitzero"`  // only blocks from this one on
	History        string   `json:",omitempty"` // "all" (default) keeps every revision, "none" only the current ones
	MaxQuarantined int64    `json:",omitempty"` // revisions that may be set aside before the load stops
	AcceptGaps     bool     `json:",omitempty"` // load although blocks are missing
	Abandon        string   `json:",omitempty"` // id of an unfinished load into the same schema, to be removed first
	// ApplyRedactions, unless false, takes data from rows whose revisions the ledger
	// redacted after they were exported, also from rows of earlier loads.
	ApplyRedactions *bool  `json:",omitempty"`
	Mode            string `json:",omitempty"` // "load" (default), or "plan": read, estimate and report; the target is left alone
	// EnableStream turns the environment's stream on at the load's end, to go on
	// behind the load's last block.
	EnableStream bool   `json:",omitempty"`
	Verify       string `json:",omitempty"` // "full" (default) hashes everything again, "chain" blocks only, "off" nothing

	// What LedgerExport gives; its output is an input. An archive that ends before
	// LastBlockNum is cut short.
	LedgerName string `json:",omitempty"`
	Strand     string `json:",omitempty"`
	// Digest is what was kept to prove the archive with: a digest in base64 or hex,
	// the text of the console's digest file, an answer of GetDigest, GetBlock or
	// GetRevision as text or as it is; or a list of these.
	Digest             json.RawMessage `json:",omitempty"`
	DigestTip          *int64          `json:",omitempty"` // block; of a digest that does not say it
	LastBlockNum       *int64          `json:",omitempty"`
	LastBlockTimestamp string          `json:",omitempty"`
}

// applyRedactions tells whether redactions are applied to copies that were
// exported before them.
func (in Input) applyRedactions() bool { return in.ApplyRedactions == nil || *in.ApplyRedactions }

// planOnly tells whether the target is left alone.
func (in Input) planOnly() bool { return in.Mode == "plan" }

// Since is a block number or a time.
type Since struct {
	Block int64
	Time  string // RFC 3339; "" when Block counts
}

// UnmarshalJSON accepts a number (block) or a string (RFC 3339 time).
func (s *Since) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil // as if absent
	}
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil && n >= 0 {
		s.Block = n
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("Since is neither a block number nor a time: %s", b)
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("Since %q is not a time like 2024-05-01T00:00:00Z", text)
	}
	s.Time = t.UTC().Format(time.RFC3339Nano)
	return nil
}

// MarshalJSON is UnmarshalJSON's inverse.
func (s Since) MarshalJSON() ([]byte, error) {
	if s.Time != "" {
		return json.Marshal(s.Time)
	}
	return json.Marshal(s.Block)
}

// ParseInput reads the input of an execution. An unknown member, most often a
// typing error, is refused by name.
func ParseInput(b []byte) (Input, error) {
	var in Input
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return in, fmt.Errorf("read the input: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return in, fmt.Errorf("read the input: something follows its closing brace")
	}
	switch {
	case in.Bucket == "":
		return in, fmt.Errorf("the input has no Bucket: name the bucket that holds the archive")
	case strings.ContainsAny(in.Bucket, ":/"):
		return in, fmt.Errorf("Bucket %q is not the name of a bucket: give the name alone, and what follows it as Prefix", in.Bucket)
	case strings.HasPrefix(in.Prefix, "/"):
		return in, fmt.Errorf("prefix %q begins with a slash, which S3 keys rarely do: leave it out", in.Prefix)
	case in.Manifests != "" && in.Manifests != "none":
		return in, fmt.Errorf("Manifests %q is neither absent nor \"none\"", in.Manifests)
	case in.Manifests == "none" && len(in.ExportIds) > 0:
		return in, fmt.Errorf("ExportIds need manifests, which Manifests \"none\" does not read: give one of the two")
	case in.History != "" && in.History != "all" && in.History != "none":
		return in, fmt.Errorf("History %q is neither \"all\" nor \"none\"", in.History)
	case in.Mode != "" && in.Mode != "load" && in.Mode != "plan":
		return in, fmt.Errorf("Mode %q is neither \"load\" nor \"plan\"", in.Mode)
	case in.Verify != "" && in.Verify != verifyFull && in.Verify != verifyChain && in.Verify != verifyOff:
		return in, fmt.Errorf("Verify %q is neither \"full\", \"chain\" nor \"off\"", in.Verify)
	case in.MaxQuarantined < 0:
		return in, fmt.Errorf("MaxQuarantined %d is negative", in.MaxQuarantined)
	case in.Mapping != "" && !isS3URI(in.Mapping):
		return in, fmt.Errorf("Mapping %q is not an S3 URI like s3://bucket/key", in.Mapping)
	}
	_, err := in.kept()
	return in, err
}

func isS3URI(s string) bool {
	rest, ok := strings.CutPrefix(s, "s3://")
	bucket, key, _ := strings.Cut(rest, "/")
	return ok && bucket != "" && key != ""
}

// A Plan is what a load will do; it lies on S3 and never changes.
type Plan struct {
	LoadID  string
	Input   Input
	Schema  string
	History bool
	Mapping json.RawMessage // the mapping file; as JSON within JSON its white space differs from the file's
	// MappingSHA256 is of the file as read, in hex.
	MappingSHA256 string
	Strand        string
	First         int64 // block
	Last          int64 // block
	Objects       int
	Bytes         int64
	Blocks        int64 // in the objects, by their names, each counted once
	Items         int
	Gaps          []Blocks // missing between First and Last
	Overlaps      []Blocks // in more than one object; the first one counts
	Unused        []string // data objects that no manifest names
	Exports       []Export
	Kinds         []ObjectKind // of the objects, in no order
	Largest       int64        // bytes of the largest object
	Findings      []Finding    `json:",omitempty"` // plan mode: what would stop the load here
	Marks         []int64      `json:",omitempty"` // blocks that digests and proofs need; ascending
}

// early tells whether a block was committed before the input's Since time.
func (p *Plan) early(b *journal.Block) (bool, error) {
	if p.Input.Since.Time == "" {
		return false, nil
	}
	since, err := time.Parse(time.RFC3339Nano, p.Input.Since.Time)
	if err != nil {
		return false, err
	}
	at, err := time.Parse(time.RFC3339Nano, string(b.Timestamp))
	if err != nil {
		return false, &Stop{fmt.Errorf("object %s, offset %d: block %d has timestamp %q, which is not a time", b.Object, b.Offset, b.SequenceNo, b.Timestamp)}
	}
	return at.Before(since), nil
}

// Blocks is a closed range of block numbers.
type Blocks struct{ First, Last int64 }

func (b Blocks) String() string {
	if b.First == b.Last {
		return fmt.Sprintf("block %d", b.First)
	}
	return fmt.Sprintf("blocks %d to %d", b.First, b.Last)
}

// An Export is one export of the archive.
type Export struct {
	ID        string
	Objects   int
	Announced string // outputFormat of the started manifest, if any
}

// An ObjectKind counts data objects that are alike.
type ObjectKind struct {
	Format  string // ION_BINARY, ION_TEXT or JSON, as announced or as the names say; "" is not known
	Gzip    bool   // by their names
	Class   string // storage class
	Objects int64
	Bytes   int64 // as stored
}

// An Item is one child's work.
type Item struct {
	Number int
	Ranges []Range
}

// A Range is the blocks that one object contributes.
type Range struct {
	Key       string
	ETag      string
	Size      int64 // bytes
	Announced string
	Object    Blocks // what the object's name says it holds
	Claim     Blocks // what this load takes from it
	class     string // storage class; of a plan in the making only
}

// Keys of a load in the work bucket. Parts lie apart: a lifecycle rule removes
// them, and with them the plain values.
func planKey(load string) string  { return "loads/" + load + "/plan.json" }
func itemsKey(load string) string { return "loads/" + load + "/items.jsonl" }
func tasksKey(load, phase string) string {
	return "loads/" + load + "/tasks/" + phase + ".jsonl"
}
func segmentPrefix(load string) string { return "loads/" + load + "/segments/" }
func segmentKey(load string, item, segment int) string {
	return fmt.Sprintf("%s%06d-%06d.json", segmentPrefix(load), item, segment)
}

// evidenceKey is of the digests and proofs that the archive is held against, and
// proofKey of what came of it.
func evidenceKey(load string) string { return "loads/" + load + "/evidence.json" }
func proofKey(load string) string    { return "loads/" + load + "/proof.json" }

func countPrefix(load string) string { return "loads/" + load + "/counts/" }
func countKey(load string, item int) string {
	return fmt.Sprintf("%s%06d.json", countPrefix(load), item)
}

// What plan mode leaves lies apart from what a load works on: they may run at the
// same time, with inputs that differ in what is not part of a load's id.
func surveyPlanKey(load string) string { return "loads/" + load + "/survey/plan.json" }

func surveyKey(load string, item int) string {
	return fmt.Sprintf("loads/%s/survey/%06d.json", load, item)
}

// surveyTurnKey is of what a survey knew when a call handed on at a place within
// an item. It is the same whenever and however often that place is reached.
func surveyTurnKey(load string, item int, at *Resume) string {
	return fmt.Sprintf("loads/%s/survey/turns/%06d-%06d-%d.json", load, item, at.Range, at.Position.Offset)
}

func quarantineKey(load string, item, segment int) string {
	return fmt.Sprintf("loads/%s/quarantine/%06d-%06d.jsonl", load, item, segment)
}

func partKey(load, folder string, item, segment int) string {
	return fmt.Sprintf("parts/%s/%s/%06d-%06d.copy.gz", load, folder, item, segment)
}

// Folders of the COPY parts of a load's lists.
const (
	quarantineFolder = "quarantine"
	redactionFolder  = "redactions"
)

// folder is a table id as a part of keys. QLDB's ids are 22 letters and digits;
// what is not like one may not be valid in a key, and is replaced by its hash.
func folder(tableID string) string {
	odd := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	if tableID == "" || len(tableID) > 64 || strings.ContainsFunc(tableID, odd) || tableID == quarantineFolder || tableID == redactionFolder || tableID == hashesFolder {
		sum := sha256.Sum256([]byte(tableID))
		return "id-" + hex.EncodeToString(sum[:16])
	}
	return tableID
}

// reportKey is of a report, named report or plan-report.
func reportKey(load, name, ext string) string { return "loads/" + load + "/" + name + "." + ext }
func estimateKey(load string) string          { return "loads/" + load + "/estimate.json" }
func draftKey(load string) string             { return "loads/" + load + "/mapping-draft.json" }
