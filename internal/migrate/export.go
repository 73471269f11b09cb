package migrate

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode"

	"godwit/internal/journal"
)

// A Ledger is QLDB, as far as reading a ledger goes. Its calls change nothing and
// may be repeated. Addresses, blocks and proofs are Ion text, which journal reads.
type Ledger interface {
	// LedgerState returns CREATING, ACTIVE, DELETING or DELETED.
	LedgerState(ctx context.Context, ledger string) (string, error)
	// Digest returns the ledger's digest, 32 bytes, and the address of the last
	// block that it covers. The ledger grows: each call may give another.
	Digest(ctx context.Context, ledger string) (digest []byte, tip string, err error)
	// Block returns the block at an address and, when tip is not "", its proof
	// against the digest with that tip.
	Block(ctx context.Context, ledger, address, tip string) (block, proof string, err error)
}

// ExportInput is what a person types to start LedgerExport.
type ExportInput struct {
	LedgerName        string
	BucketPrefix      string // in the environment's first archive bucket, or s3://bucket/prefix/
	ExportCount       *int64
	OutputFormat      string `json:",omitempty"` // ION_BINARY (default), ION_TEXT, JSON
	ConcurrentExports *int64 `json:",omitempty"` // 1 to 10; default 2, which is what QLDB allows a ledger
}

const (
	mostExports        = 1000
	mostConcurrent     = 10
	defaultConcurrent  = 2
	longestLedgerName  = 32
	longestQLDBPrefix  = 128 // S3ExportConfiguration.Prefix
	exportInputExample = `{"LedgerName": "vehicle-registration", "BucketPrefix": "exports/", "ExportCount": 10}`
)

// ledgerName is the pattern of QLDB's API, but for what a pattern of Go cannot
// say: no two hyphens in a row, and not digits alone.
var ledgerName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

// ParseExportInput reads the input of an execution of LedgerExport. What is wrong
// is named, with what is allowed.
func ParseExportInput(b []byte) (ExportInput, error) {
	var in ExportInput
	if err := decodeExportInput(b, &in); err != nil {
		return in, fmt.Errorf("read the input: %w", err)
	}
	switch name := in.LedgerName; {
	case name == "":
		return in, fmt.Errorf("the input has no LedgerName: name the ledger, as in %s", exportInputExample)
	case len(name) > longestLedgerName || !ledgerName.MatchString(name) || strings.Contains(name, "--") || strings.Trim(name, "0123456789") == "":
		return in, fmt.Errorf("LedgerName %q is not the name of a ledger: it has 1 to %d letters, digits and single hyphens, not digits alone, and no hyphen at either end", name, longestLedgerName)
	}
	if in.BucketPrefix == "" {
		return in, fmt.Errorf("the input has no BucketPrefix: give a prefix in the environment's archive bucket that is still empty, like \"exports/2024/\", or s3://bucket/prefix/")
	}
	if in.ExportCount == nil {
		return in, fmt.Errorf("the input has no ExportCount: give the number of exports that share the journal, 1 to %d", mostExports)
	}
	if n := *in.ExportCount; n < 1 || n > mostExports {
		return in, fmt.Errorf("ExportCount %d is not allowed: give 1 to %d", n, mostExports)
	}
	if in.ConcurrentExports != nil && (*in.ConcurrentExports < 1 || *in.ConcurrentExports > mostConcurrent) {
		return in, fmt.Errorf("ConcurrentExports %d is not allowed: give 1 to %d; QLDB runs %d of a ledger at a time unless its quota was raised", *in.ConcurrentExports, mostConcurrent, defaultConcurrent)
	}
	if _, err := journal.ParseFormat(in.OutputFormat); err != nil {
		return in, fmt.Errorf("OutputFormat %q is none of ION_BINARY (the default), ION_TEXT and JSON", in.OutputFormat)
	}
	return in, nil
}

// decodeExportInput reads one JSON object and words what the decoder finds.
func decodeExportInput(b []byte, in *ExportInput) error {
	if text := bytes.TrimLeft(b, " \t\r\n"); len(text) > 0 && text[0] != '{' && json.Valid(b) {
		return fmt.Errorf("it is %.40s, not an object: start LedgerExport with an object like %s", text, exportInputExample)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(in)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		want := "a text"
		if kind.Type.Kind().String() == "int64" {
			want = "a whole number"
		}
		return fmt.Errorf("%s is a %s, not %s", kind.Field, kind.Value, want)
	}
	if err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("something follows its closing brace")
	}
	return nil
}

// An ExportOrder is what LedgerExport exports, and where to. It is in the state of
// the execution and in the export's plan.
type ExportOrder struct {
	Ledger            string
	Strand            string
	Tip               int64  // the last block that Digest covers
	Digest            string // base64
	Bucket            string
	Prefix            string // ends in a slash, unless it is empty
	OutputFormat      string
	ExportCount       int
	ConcurrentExports int
	Note              string `json:",omitempty"` // what was made of the input
}

// ReadDigest checks the input of LedgerExport and asks the ledger for its digest.
type ReadDigest struct {
	Ledger   Ledger
	Archives []AllowedArchive
}

// Handle reads an input as a person typed it. It changes nothing and may be
// repeated; the digest of a growing ledger is then another.
func (r *ReadDigest) Handle(ctx context.Context, event json.RawMessage) (ExportOrder, error) {
	out, err := r.handle(ctx, event)
	return out, Classify(err)
}

func (r *ReadDigest) handle(ctx context.Context, event json.RawMessage) (ExportOrder, error) {
	in, err := ParseExportInput(event)
	if err != nil {
		return ExportOrder{}, &Stop{err}
	}
	out := ExportOrder{Ledger: in.LedgerName, OutputFormat: in.OutputFormat, ExportCount: int(*in.ExportCount), ConcurrentExports: defaultConcurrent}
	if out.OutputFormat == "" {
		out.OutputFormat = journal.IonBinary.String()
	}
	if in.ConcurrentExports != nil {
		out.ConcurrentExports = int(*in.ConcurrentExports)
	}
	if err := out.place(in.BucketPrefix, r.Archives); err != nil {
		return out, &Stop{err}
	}
	if err := r.active(ctx, in.LedgerName); err != nil {
		return out, err
	}
	digest, tip, err := readDigest(ctx, r.Ledger, in.LedgerName)
	if err != nil {
		return out, err
	}
	out.Strand, out.Tip, out.Digest = tip.Strand, tip.SequenceNo, base64.StdEncoding.EncodeToString(digest)
	return out, nil
}

// place finds bucket and prefix, and refuses what is no archive.
func (o *ExportOrder) place(bucketPrefix string, archives []AllowedArchive) error {
	if rest, ok := strings.CutPrefix(bucketPrefix, "s3://"); ok {
		o.Bucket, o.Prefix, _ = strings.Cut(rest, "/")
		if o.Bucket == "" {
			return fmt.Errorf("BucketPrefix %q names no bucket: give s3://bucket/prefix/", bucketPrefix)
		}
	} else if len(archives) == 0 {
		return fmt.Errorf("the environment has no archive that BucketPrefix %q could be in: add one to \"archives\" of the environment in cdk.json and run make deploy", bucketPrefix)
	} else {
		o.Bucket, o.Prefix = archives[0].Bucket, bucketPrefix
	}
	if strings.HasPrefix(o.Prefix, "/") {
		return fmt.Errorf("BucketPrefix %q begins its prefix with a slash, which S3 keys rarely do: leave it out", bucketPrefix)
	}
	if strings.Contains(o.Prefix, "//") || strings.ContainsFunc(o.Prefix, unicode.IsControl) {
		return fmt.Errorf("BucketPrefix %q holds two slashes in a row or a control character: leave them out", bucketPrefix)
	}
	if o.Prefix != "" && !strings.HasSuffix(o.Prefix, "/") {
		o.Prefix += "/"
		o.Note = fmt.Sprintf("BucketPrefix has no slash at its end; the exports go to s3://%s/%s", o.Bucket, o.Prefix)
	}
	if len(o.Prefix) > longestQLDBPrefix {
		return fmt.Errorf("BucketPrefix %q is longer than the %d bytes that QLDB takes", bucketPrefix, longestQLDBPrefix)
	}
	return AllowArchive(archives, o.Bucket, o.Prefix)
}

// active refuses a ledger that cannot be exported.
func (r *ReadDigest) active(ctx context.Context, ledger string) error {
	state, err := r.Ledger.LedgerState(ctx, ledger)
	var code interface{ ErrorCode() string }
	switch {
	case errors.As(err, &code) && code.ErrorCode() == "ResourceNotFoundException":
		return &Stop{fmt.Errorf("there is no ledger %s in this region: check LedgerName, and that the environment is in the ledger's region: %w", ledger, err)}
	case err != nil:
		return err
	case state == "CREATING":
		return &Again{fmt.Errorf("ledger %s is still being created", ledger)}
	case state != "ACTIVE":
		return &Stop{fmt.Errorf("ledger %s is %s: only an ACTIVE ledger can be exported", ledger, state)}
	}
	return nil
}

// readDigest asks for a digest and checks that it is one.
func readDigest(ctx context.Context, l Ledger, ledger string) (digest []byte, tip journal.Address, err error) {
	digest, text, err := l.Digest(ctx, ledger)
	if err != nil {
		return nil, tip, err
	}
	if len(digest) != journal.HashSize {
		return nil, tip, fmt.Errorf("the digest of ledger %s has %d bytes, not %d", ledger, len(digest), journal.HashSize)
	}
	if tip, err = journal.ParseAddress(text); err != nil {
		return nil, tip, fmt.Errorf("the digest of ledger %s: %w", ledger, err)
	}
	return digest, tip, nil
}

// readBlock asks for a block, and a proof when tip is not nil, and checks that it
// is the block that was asked for.
func readBlock(ctx context.Context, l Ledger, ledger string, at journal.Address, tip *journal.Address) (*journal.Block, string, error) {
	under := ""
	if tip != nil {
		under = tip.String()
	}
	text, proof, err := l.Block(ctx, ledger, at.String(), under)
	if err != nil {
		return nil, "", err
	}
	b, err := journal.ParseBlock(text)
	if err != nil {
		return nil, "", fmt.Errorf("block %d of ledger %s: %w", at.SequenceNo, ledger, err)
	}
	if b.Strand != at.Strand || b.SequenceNo != at.SequenceNo {
		return nil, "", fmt.Errorf("block %d of ledger %s was asked for, and block %d of strand %s answered", at.SequenceNo, ledger, b.SequenceNo, b.Strand)
	}
	return b, proof, nil
}

// blockTimes are the forms of an Ion timestamp, the most exact first. Digits
// behind the ninth of a second's fraction do not count.
var blockTimes = []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01-02T", "2006-01T", "2006T"}

// blockTime is the time of a block; a timestamp that leaves parts out means their
// first moment.
func blockTime(b *journal.Block) (time.Time, error) {
	for _, form := range blockTimes {
		if at, err := time.Parse(form, string(b.Timestamp)); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("block %d has timestamp %q, which is not a time", b.SequenceNo, b.Timestamp)
}

// An ExportPlan is what one execution of LedgerExport does; it lies on S3 and
// never changes.
type ExportPlan struct {
	ExportId  string
	Execution string
	Order     ExportOrder
	Began     time.Time // no export of this execution is older
	Windows   int
}

// Keys of a LedgerExport in the work bucket.
func exportPlanKey(id string) string    { return "exports/" + id + "/plan.json" }
func exportWindowsKey(id string) string { return "exports/" + id + "/windows.jsonl" }
func exportDonePrefix(id string) string { return "exports/" + id + "/done/" }
func exportDoneKey(id string, window int) string {
	return fmt.Sprintf("%s%06d.json", exportDonePrefix(id), window)
}

func exportCancelledKey(id, export string) string {
	return "exports/" + id + "/cancelled/" + export + ".json"
}

// ArchiveKey is the ARN of the KMS key that new objects of a place, which a prefix
// or a key names, are encrypted with; "" leaves that to the bucket. Of archives
// within each other the narrowest says it.
func ArchiveKey(archives []AllowedArchive, bucket, prefix string) string {
	narrowest := AllowedArchive{}
	for _, a := range archives {
		if AllowArchive([]AllowedArchive{a}, bucket, prefix) == nil && len(a.Prefix) >= len(narrowest.Prefix) {
			narrowest = a
		}
	}
	return narrowest.KMSKeyARN
}

// exists tells whether there is an object of a key.
func exists(ctx context.Context, o Objects, bucket, key string) (bool, error) {
	found := false
	err := o.List(ctx, bucket, key, func(k, _ string, _ int64, _ string) error {
		found = found || k == key
		return nil
	})
	return found, err
}
