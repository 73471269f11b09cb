package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/change"
	"godwit/internal/mapping"
)

// StreamEnable registers a stream with its target and turns on what reads it. It is
// the last step of LedgerLoad, where the input asks for it, and nothing else turns
// a new stream on.
type StreamEnable struct {
	Objects    Objects
	Target     StreamTarget
	Mappings   Mappings
	WorkBucket string
	StreamARN  string
	Source     string // change.SourceQLDB, …: who writes to the stream
	Mapping    string // id of the stream's event source mapping
}

// StreamEnableIn names what the stream continues: of QLDB a load, of DMS and DSQL
// a position.
type StreamEnableIn struct {
	LoadId string `json:",omitempty"`

	Source string `json:",omitempty"` // dms or dsql: as the environment is configured
	// Schema is the target's for all tables; default that of each row. Two schemas of
	// the source with a table of one name do not fit into it.
	Schema string `json:",omitempty"`
	// Boundary is the position up to which the rows were copied by other means:
	// DMS a log sequence number, "0/1A2B3C", DSQL nanoseconds since 1970. Default:
	// the beginning.
	Boundary string `json:",omitempty"`
}

// StreamEnableOut is the stream as it is registered.
type StreamEnableOut struct {
	Stream     string
	Generation int64
	Boundary   string // block, log sequence number or nanoseconds; what is at or below it is there
	Mapping    string // id of the event source mapping, which was turned on
}

// Handle registers and turns on. It may be repeated with the same input; a stream
// that is stopped stays so.
func (h *StreamEnable) Handle(ctx context.Context, in json.RawMessage) (StreamEnableOut, error) {
	out, err := h.handle(ctx, in)
	return out, Classify(err)
}

func (h *StreamEnable) handle(ctx context.Context, raw json.RawMessage) (out StreamEnableOut, err error) {
	var in StreamEnableIn
	if err := parseStrict(raw, &in); err != nil {
		return out, err
	}
	s := change.Stream{Source: h.Source}
	if s.Name, err = streamName(h.StreamARN); err != nil {
		return out, err
	}
	if h.Source == change.SourceQLDB {
		err = h.continues(ctx, &in, &s)
	} else {
		err = h.begins(&in, &s)
	}
	if err != nil {
		return out, err
	}
	if s, err = h.Target.EnableStream(ctx, s); err != nil {
		return out, err
	}
	if s.Stopped != "" {
		return out, stoppedError(s.Name, s.Stopped)
	}
	// Registered. A crash from here on leaves a stream that nothing reads; the
	// repeat turns it on.
	if err := h.Mappings.Enable(ctx, h.Mapping, true); err != nil {
		return out, err
	}
	return StreamEnableOut{Stream: s.Name, Generation: s.Generation, Boundary: positionText(s.Source, s.Boundary), Mapping: h.Mapping}, nil
}

// continues fills in what the stream of a ledger takes over from a load.
func (h *StreamEnable) continues(ctx context.Context, in *StreamEnableIn, s *change.Stream) error {
	switch {
	case in.Source != "" && in.Source != h.Source:
		return h.otherSource(in)
	case in.LoadId == "":
		return &Stop{fmt.Errorf("the stream of this environment is of %s, and the input has no LoadId: the stream of a ledger continues a load, and its report names the id", h.Source)}
	case in.Schema != "", in.Boundary != "":
		return &Stop{fmt.Errorf("the stream of this environment is of %s: give LoadId alone, the load has the schema and the boundary", h.Source)}
	case strings.Contains(in.LoadId, "/"):
		return &Stop{fmt.Errorf("LoadId %q is not the id of a load", in.LoadId)}
	}
	l, err := readLoad(ctx, h.Objects, h.WorkBucket, in.LoadId)
	if err != nil {
		return fmt.Errorf("read load %s: %w", in.LoadId, err)
	}
	p := l.plan
	s.Schema, s.Load, s.Strand, s.Boundary.Major = p.Schema, p.LoadID, p.Strand, p.Last
	s.Mapping, s.Tables, s.History, s.ApplyRedactions = string(p.Mapping), p.Input.Tables, p.History, p.Input.applyRedactions()
	if runs := l.proof.chain.Runs; len(runs) > 0 {
		if last := &runs[len(runs)-1]; last.Last == p.Last {
			s.BoundaryHash = last.Hash.Bytes()
		}
	}
	return nil
}

func (h *StreamEnable) otherSource(in *StreamEnableIn) error {
	return &Stop{fmt.Errorf("the stream of this environment is of %s, and Source is %q: set \"source\" of its stream in cdk.json and deploy, or leave Source out", h.Source, in.Source)}
}

// begins fills in what the stream of rows begins with.
func (h *StreamEnable) begins(in *StreamEnableIn, s *change.Stream) error {
	switch {
	case in.LoadId != "":
		return &Stop{fmt.Errorf("the stream of this environment is of %s, and LoadId is of a ledger's load: leave it out", h.Source)}
	case in.Source != "" && in.Source != h.Source:
		return h.otherSource(in)
	}
	s.Schema = in.Schema
	var err error
	s.Boundary, err = parsePosition(h.Source, in.Boundary)
	return err
}

// parsePosition reads a position as people write it; "" is the beginning.
func parsePosition(source, text string) (p change.Position, err error) {
	switch {
	case text == "":
	case source == change.SourceDMS:
		p.Major, err = change.ParseLSN(text)
		// All of a transaction that commits there.
		p.Minor = 1<<63 - 1
	default:
		what := map[string]string{change.SourceQLDB: "the number of a block", change.SourceDSQL: "a time in nanoseconds since 1970"}[source]
		if p.Major, err = strconv.ParseInt(text, 10, 64); err != nil || p.Major < 0 {
			err = fmt.Errorf("%.40q is not %s", text, what)
		}
	}
	if err != nil {
		return p, &Stop{fmt.Errorf("read the input: %w", err)}
	}
	return p, nil
}

// positionText is parsePosition's inverse.
func positionText(source string, p change.Position) string {
	if source == change.SourceDMS {
		return change.FormatLSN(p.Major)
	}
	return strconv.FormatInt(p.Major, 10)
}

// StreamResume goes on with a stream that was stopped.
type StreamResume struct {
	Objects    Objects
	Target     StreamTarget
	Mappings   Mappings
	WorkBucket string
	StreamARN  string
	Mapping    string // id of the stream's event source mapping
}

// StreamResumeIn says why the stream may go on.
type StreamResumeIn struct {
	// Because is kept in the target: what was found and mended. No values.
	Because string
	// Mapping is the S3 URI of a mapping file in mappings/ of the work bucket,
	// which counts from now on; default the one that is registered. Tables that
	// exist are not altered: give them the columns before.
	Mapping string `json:",omitempty"`
	// Aside names records as the reason of the stop does, shard:sequence. What
	// contradicts in them is set aside from now on, and all else goes on: of a QLDB
	// stream the block that it is of stays open until a mended copy comes, or is
	// replayed.
	Aside []string `json:",omitempty"`
	// Anew names tables of the target, of a DMS or DSQL stream, as errors name them:
	// "shop.seat". They were dropped and made again, and have their rows again, or
	// another stream wrote to them, which is no more: this one begins with them as
	// with tables that it meets first. Replay what is set aside of them before.
	Anew []string `json:",omitempty"`
}

// StreamResumeOut is the stream as it goes on.
type StreamResumeOut struct {
	Stream     string
	Was        string // why it was stopped; "" when it was not
	Generation int64
}

// Handle takes the stop flag away and turns the event source mapping on. A stream
// that is not stopped goes on as well: so it may be repeated.
func (h *StreamResume) Handle(ctx context.Context, in json.RawMessage) (StreamResumeOut, error) {
	out, err := h.handle(ctx, in)
	return out, Classify(err)
}

func (h *StreamResume) handle(ctx context.Context, raw json.RawMessage) (out StreamResumeOut, err error) {
	var in StreamResumeIn
	if err := parseStrict(raw, &in); err != nil {
		return out, err
	}
	if strings.TrimSpace(in.Because) == "" {
		return out, &Stop{fmt.Errorf(`the input has no Because: say what was found and mended, as {"Because": "…"}`)}
	}
	if out.Stream, err = streamName(h.StreamARN); err != nil {
		return out, err
	}
	s, err := h.Target.Stream(ctx, out.Stream)
	if err != nil {
		return out, err
	}
	out.Was, out.Generation = s.Stopped, s.Generation
	if in.Anew != nil && s.Source == change.SourceQLDB {
		return out, &Stop{fmt.Errorf("stream %s is of a ledger, whose tables are loaded: leave Anew out, and load the archive again", s.Name)}
	}
	next := s
	if in.Mapping != "" {
		if next.Mapping, err = h.mapping(ctx, in.Mapping, &s); err != nil {
			return out, err
		}
	}
	for _, record := range in.Aside {
		if !recordName.MatchString(record) {
			return out, &Stop{fmt.Errorf("Aside has %q, which names no record: take shard:sequence from the reason of the stop", record)}
		}
		if !slices.Contains(next.Aside, record) {
			next.Aside = append(slices.Clip(next.Aside), record)
		}
	}
	if in.Mapping != "" || in.Aside != nil {
		if next, err = h.Target.EnableStream(ctx, next); err != nil {
			return out, err
		}
		out.Generation = next.Generation
	}
	if in.Anew != nil {
		if err := h.Target.ReleaseTables(ctx, out.Stream, in.Anew); err != nil {
			return out, err
		}
	}
	if err := h.Target.ResumeStream(ctx, out.Stream, in.Because); err != nil {
		return out, err
	}
	return out, h.Mappings.Enable(ctx, h.Mapping, true)
}

var recordName = regexp.MustCompile(`^shardId-[0-9]+:[0-9]+$`)

// mapping reads another mapping file for the stream, and checks it.
func (h *StreamResume) mapping(ctx context.Context, uri string, s *change.Stream) (string, error) {
	if s.Source != change.SourceQLDB {
		return "", &Stop{fmt.Errorf("stream %s is of %s, whose rows need no mapping: leave Mapping out", s.Name, s.Source)}
	}
	key, ok := strings.CutPrefix(uri, "s3://"+h.WorkBucket+"/")
	if !ok || !strings.HasPrefix(key, "mappings/") {
		return "", &Stop{fmt.Errorf("the mapping %s may not be read: put it into the work bucket (aws s3 cp mapping.json s3://%s/mappings/)", uri, h.WorkBucket)}
	}
	text, err := readAll(ctx, h.Objects, h.WorkBucket, key)
	if err != nil {
		return "", err
	}
	file, err := mapping.Parse(text)
	if err != nil {
		return "", &Stop{fmt.Errorf("read the mapping: %w", err)}
	}
	file.Schema = s.Schema
	if _, err := mapping.Compile(file, &change.Fields{}); err != nil {
		return "", &Stop{fmt.Errorf("compile the mapping: %w", err)}
	}
	return string(text), nil
}
