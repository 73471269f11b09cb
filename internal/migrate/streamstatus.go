package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"godwit/internal/change"
)

// Shards looks at a Kinesis stream beside those who read it.
type Shards interface {
	// Shards lists the ids of the shards that hold records.
	Shards(ctx context.Context, streamARN string) ([]string, error)
	// Unread counts a shard's records behind a sequence number, "" for all, and
	// stops at most; more tells that there may be others, foreign that the number is
	// not the shard's, and all that it holds was counted.
	Unread(ctx context.Context, streamARN, shard, after string, most int) (n int, more, foreign bool, err error)
}

// StreamStatus says whether everything that a stream brought is applied, so that an
// application may be cut over to the target.
type StreamStatus struct {
	Objects       Objects
	Target        StreamTarget
	Mappings      Mappings
	Shards        Shards
	Ledger        Ledger // asked where the input names a ledger
	FailureBucket string
	StreamARN     string
	Mapping       string // id of the stream's event source mapping
	Now           func() time.Time
}

// StreamStatusIn says how far the source is, where that is known.
type StreamStatusIn struct {
	// Tip is the last position of the source: QLDB a block, DMS a log sequence
	// number ("0/1A2B3C"), DSQL nanoseconds since 1970. A number or a string.
	Tip json.RawMessage `json:",omitempty"`
	// Ledger is the name of the ledger that is asked for its tip.
	Ledger string `json:",omitempty"`
}

// StreamStatusOut is where a stream stands.
type StreamStatusOut struct {
	Safe   bool
	Line   string   // all of it, in a line
	Why    []string // it is not safe
	Stream string
	Source string

	Mapping    string   // state of the event source mapping
	Stopped    string   // why the stream is stopped; "" when it is not
	Applied    string   // greatest position that was applied
	AppliedAt  string   // greatest commit time that was applied, RFC 3339; "" where not known
	LagSeconds int64    // since AppliedAt: not what is unread, when the source is at rest; -1 where not known
	Tip        string   // as given, or as the ledger said
	Behind     int64    // QLDB: blocks from the last complete one to Tip; DMS: bytes of log; DSQL: nanoseconds; -1 without Tip
	GapFree    int64    // QLDB: every block up to it is complete; else -1
	OpenBlocks int64    // QLDB: behind it, not complete
	Open       []int64  `json:",omitempty"` // the first of them
	Unread     int      // records of the stream behind what was applied, as far as they were counted
	Recounted  []string `json:",omitempty"` // shards that do not know what was applied: all that they hold is counted
	Aside      int64    // messages set aside and not replayed
	Failures   int64    // failure objects that were not replayed
}

// mostUnread ends the counting of a shard's records.
const mostUnread = 10_000

// Handle looks at everything once. It changes nothing.
func (h *StreamStatus) Handle(ctx context.Context, in json.RawMessage) (StreamStatusOut, error) {
	out, err := h.handle(ctx, in)
	return out, Classify(err)
}

func (h *StreamStatus) handle(ctx context.Context, raw json.RawMessage) (out StreamStatusOut, err error) {
	var in StreamStatusIn
	if err := parseStrict(raw, &in); err != nil {
		return out, err
	}
	name, err := streamName(h.StreamARN)
	if err != nil {
		return out, err
	}
	// The stream's records behind the target's state: what happens meanwhile makes it
	// look worse, never better.
	if out.Mapping, err = h.Mappings.State(ctx, h.Mapping); err != nil {
		return out, err
	}
	s, err := h.Target.StreamStatus(ctx, name)
	if err != nil {
		return out, err
	}
	out.Stream, out.Source, out.Stopped = name, s.Stream.Source, s.Stream.Stopped
	out.Applied, out.AppliedAt, out.Aside = positionText(out.Source, s.Last), s.LastAt, s.Aside
	out.GapFree, out.Behind, out.LagSeconds = -1, -1, -1
	if at, err := time.Parse(time.RFC3339Nano, s.LastAt); err == nil {
		out.LagSeconds = max(0, int64(h.Now().Sub(at).Seconds()))
	}
	at := s.Last.Major
	if out.Source == change.SourceQLDB {
		out.GapFree, out.OpenBlocks, out.Open = s.GapFree, s.OpenBlocks, s.Open
		at = s.GapFree
	}
	tip, known, err := h.tip(ctx, &in, out.Source)
	if err != nil {
		return out, err
	}
	if known {
		out.Tip, out.Behind = positionText(out.Source, tip), max(0, tip.Major-at)
	}
	unread, err := h.unread(ctx, s.Shards)
	if err != nil {
		return out, err
	}
	for _, u := range unread {
		out.Unread += u.n
		if u.foreign {
			out.Recounted = append(out.Recounted, u.shard)
		}
	}
	unread = slices.DeleteFunc(unread, func(u unreadShard) bool { return u.n == 0 && !u.more })
	if out.Failures, err = h.failures(ctx); err != nil {
		return out, err
	}
	out.Why = out.why(&s, unread, h.FailureBucket)
	out.Safe = len(out.Why) == 0
	out.Line = out.line()
	return out, nil
}

// tip reads the source's last position, as given, or as its ledger says.
func (h *StreamStatus) tip(ctx context.Context, in *StreamStatusIn, source string) (tip change.Position, known bool, err error) {
	switch {
	case in.Ledger != "" && in.Tip != nil:
		return tip, false, &Stop{fmt.Errorf("the input has Tip and Ledger: give one")}
	case in.Ledger != "" && source != change.SourceQLDB:
		return tip, false, &Stop{fmt.Errorf("the stream is of %s, which is no ledger: give Tip instead of Ledger", source)}
	case in.Ledger != "":
		_, at, err := readDigest(ctx, h.Ledger, in.Ledger)
		return change.Position{Major: at.SequenceNo}, err == nil, err
	case in.Tip == nil || string(in.Tip) == "null":
		return tip, false, nil
	}
	text := string(in.Tip)
	if text[0] == '"' {
		if err := json.Unmarshal(in.Tip, &text); err != nil {
			return tip, false, &Stop{fmt.Errorf("read the input: Tip: %w", err)}
		}
	}
	tip, err = parsePosition(source, text)
	return tip, err == nil, err
}

// unreadShard counts what a shard holds behind what was applied.
type unreadShard struct {
	shard   string
	n       int
	more    bool
	foreign bool // what was applied was of another stream
}

func (h *StreamStatus) unread(ctx context.Context, applied []change.ShardStatus) ([]unreadShard, error) {
	shards, err := h.Shards.Shards(ctx, h.StreamARN)
	if err != nil {
		return nil, err
	}
	all := make([]unreadShard, len(shards))
	err = each(ctx, len(shards), func(ctx context.Context, i int) error {
		after := ""
		if k := slices.IndexFunc(applied, func(s change.ShardStatus) bool { return s.Shard == shards[i] }); k >= 0 {
			after = applied[k].Sequence
		}
		n, more, foreign, err := h.Shards.Unread(ctx, h.StreamARN, shards[i], after, mostUnread)
		all[i] = unreadShard{shards[i], n, more, foreign}
		return err
	})
	return all, err
}

// failures counts the failure objects without the mark of a replay.
func (h *StreamStatus) failures(ctx context.Context) (int64, error) {
	replayed := map[string]bool{}
	err := h.Objects.List(ctx, h.FailureBucket, replayedPrefix, func(key, _ string, _ int64, _ string) error {
		replayed[key] = true
		return nil
	})
	if err != nil {
		return 0, err
	}
	n := int64(0)
	err = h.Objects.List(ctx, h.FailureBucket, failurePrefix, func(key, _ string, _ int64, _ string) error {
		if !replayed[replayedKey(key)] {
			n++
		}
		return nil
	})
	return n, err
}

// why lists what stands in the way of a cut-over.
func (o *StreamStatusOut) why(s *change.StreamStatus, unread []unreadShard, bucket string) (why []string) {
	add := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	if o.Stopped != "" {
		add("the stream is stopped: %s", o.Stopped)
	}
	if o.Mapping != "Enabled" && o.Mapping != "Enabling" {
		add("its event source mapping is %s", strings.ToLower(o.Mapping))
	}
	if len(unread) > 0 {
		least := ""
		if slices.ContainsFunc(unread, func(u unreadShard) bool { return u.more }) {
			least = "at least "
		}
		add("%s%s unread in %s", least, counted(int64(o.Unread), "record"), counted(int64(len(unread)), "shard"))
	}
	if o.Source == change.SourceQLDB && (o.OpenBlocks > 0 || s.Last.Major > o.GapFree) {
		add("%s", incomplete(o, s.Last.Major))
	}
	if o.Aside > 0 {
		add("%d set aside, the first of them s3://%s/%s: mend the cause and invoke stream-replay", o.Aside, bucket, s.AsideFirst)
	}
	if o.Failures > 0 {
		add("%s not replayed: invoke stream-replay", counted(o.Failures, "failure object"))
	}
	if o.Behind > 0 {
		add("the source is at %s, %d %s further", o.Tip, o.Behind, map[string]string{
			change.SourceQLDB: "blocks", change.SourceDMS: "bytes of log", change.SourceDSQL: "nanoseconds",
		}[o.Source])
	}
	return why
}

// incomplete names blocks of which something did not come.
func incomplete(o *StreamStatusOut, last int64) string {
	if len(o.Open) == 0 {
		return fmt.Sprintf("block %d did not come, and there are blocks up to %d", o.GapFree+1, last)
	}
	var names []string
	for _, b := range o.Open[:min(len(o.Open), 5)] {
		names = append(names, fmt.Sprint(b))
	}
	if more := o.OpenBlocks - int64(len(names)); more > 0 {
		return fmt.Sprintf("blocks %s and %d others lack revisions or their summary", strings.Join(names, ", "), more)
	}
	if len(names) == 1 {
		return fmt.Sprintf("block %s lacks revisions or its summary", names[0])
	}
	return fmt.Sprintf("blocks %s lack revisions or their summary", strings.Join(names, ", "))
}

// line says it in one.
func (o *StreamStatusOut) line() string {
	if n := len(o.Recounted); n > 0 {
		return o.verdict() + fmt.Sprintf("; %s counted from the oldest record, because the stream does not know the sequence number that was applied last: a stream of this name was deleted and made again", counted(int64(n), "shard"))
	}
	return o.verdict()
}

func (o *StreamStatusOut) verdict() string {
	if !o.Safe {
		return "not safe: " + strings.Join(o.Why, "; ")
	}
	line := fmt.Sprintf("safe to cut over: %s %s applied, ", map[string]string{
		change.SourceQLDB: "block", change.SourceDMS: "log up to", change.SourceDSQL: "commits up to",
	}[o.Source], o.Applied)
	if o.Source == change.SourceQLDB {
		line += "no gaps, "
	}
	line += "nothing set aside, nothing unread"
	if o.Tip == "" {
		return line + "; compare that with the source's own last position, which was not given (Tip)"
	}
	return line + ", as far as the source is"
}

func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
