package migrate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"godwit/internal/change"
	"godwit/internal/journal"
	"godwit/internal/proof"
	"godwit/internal/report"
)

// LearnTypes finds, before the passes over an archive with JSON, the Ion types
// that its JSON lost. One file of them serves all who read the archive, so that
// each hashes a row once, and all read it alike.
type LearnTypes struct {
	Objects    Objects
	WorkBucket string
	// SampleBytes bounds what is read, decompressed; a block more may be. 0 is 256
	// MiB, a few seconds' reading.
	SampleBytes int64
}

const defaultSampleBytes = 256 << 20

// sampledObjects are looked into, the first, the last and others as far from one
// another as can be: what a ledger's programs write changes with time.
const sampledObjects = 32

// TypingIn names a load or, where Mode is "plan", its plan.
type TypingIn struct {
	LoadId string
	Mode   string
}

// TypingOut says what was learned from how much; all zero where nothing is to be.
type TypingOut struct {
	Objects int   // that were looked into
	Bytes   int64 // that were read of them, decompressed
	Tables  int
	Samples int // revisions that were tried
	Proven  int // of those
}

// Handle writes the types of a load. A repeat, and the other mode, write the same
// bytes: what is read, and what is learned of it, depend on the archive alone. An
// object that cannot be read is left out; the passes say what is wrong with it.
func (l *LearnTypes) Handle(ctx context.Context, in TypingIn) (TypingOut, error) {
	out, err := l.handle(ctx, in)
	return out, Classify(err)
}

func (l *LearnTypes) handle(ctx context.Context, in TypingIn) (TypingOut, error) {
	key := planKey(in.LoadId)
	if in.Mode == "plan" {
		key = surveyPlanKey(in.LoadId)
	}
	var plan Plan
	if err := readJSON(ctx, l.Objects, l.WorkBucket, key, &plan); err != nil {
		return TypingOut{}, err
	}
	if !plan.typed() {
		return TypingOut{}, nil
	}
	types, out, err := l.learn(ctx, &plan, itemsKey(plan.LoadID))
	if err != nil {
		return TypingOut{}, err
	}
	return out, putJSON(ctx, l.Objects, l.WorkBucket, typesKey(plan.LoadID), types)
}

// learn learns from the items of a plan, which lie at a key.
func (l *LearnTypes) learn(ctx context.Context, plan *Plan, items string) (*proof.Types, TypingOut, error) {
	ranges, err := l.choose(ctx, plan, items)
	if err != nil {
		return nil, TypingOut{}, err
	}
	left := l.SampleBytes
	if left == 0 {
		left = defaultSampleBytes
	}
	var learner proof.Learner
	out := TypingOut{Objects: len(ranges)}
	for i := range ranges {
		read, err := l.sample(ctx, plan, &ranges[i], left/int64(len(ranges)-i), &learner)
		if err != nil && passes(err) {
			return nil, TypingOut{}, err
		}
		left = max(left-read, 0)
		out.Bytes += read
	}
	types := learner.Learn()
	for _, t := range types.Tables() {
		out.Tables++
		out.Samples += t.Samples
		out.Proven += t.Proven
	}
	return types, out, nil
}

// choose reads the plan's items, of which there may be many, and keeps the ranges
// to look into.
func (l *LearnTypes) choose(ctx context.Context, plan *Plan, key string) ([]Range, error) {
	r, err := l.Objects.Open(ctx, l.WorkBucket, key, "", 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // read only
	all := plan.json()
	n := min(all, sampledObjects)
	var chosen []Range
	items := json.NewDecoder(r)
	for seen := int64(0); ; {
		var item Item
		if err := items.Decode(&item); errors.Is(err, io.EOF) {
			return chosen, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode s3://%s/%s: %w", l.WorkBucket, key, err)
		}
		for i := range item.Ranges {
			if item.Ranges[i].format() != journal.JSON.String() {
				continue
			}
			if k := int64(len(chosen)); k < n && seen == k*(all-1)/max(n-1, 1) {
				chosen = append(chosen, item.Ranges[i])
			}
			seen++
		}
	}
}

// sample offers the revisions of an object's first blocks, claimed or not, up to
// about limit bytes of them.
func (l *LearnTypes) sample(ctx context.Context, plan *Plan, r *Range, limit int64, to *proof.Learner) (read int64, err error) {
	w, err := openRange(ctx, l.Objects, plan, r, &Resume{}, &change.Fields{})
	if err != nil {
		return 0, err
	}
	defer w.close()
	if w.reader.Format() != journal.JSON {
		return 0, nil
	}
	for read < limit {
		if err := ctx.Err(); err != nil {
			return read, err
		}
		b, err := w.reader.Next()
		if errors.Is(err, io.EOF) {
			return read, nil
		}
		if err != nil {
			return read, err
		}
		for i := range b.Revisions {
			to.Add(&b.Revisions[i])
		}
		read = w.reader.Position().Offset
	}
	return read, nil
}

// typed tells whether there are types to recover: the archive has JSON, and its
// revisions are hashed again.
func (p *Plan) typed() bool { return p.Input.verify() == verifyFull && p.json() > 0 }

// json is the number of the plan's objects in JSON.
func (p *Plan) json() (n int64) {
	for _, k := range p.Kinds {
		if k.Format == journal.JSON.String() {
			n += k.Objects
		}
	}
	return n
}

// format is an object's format as it was announced or as its name tells; "" is
// not known.
func (r *Range) format() string {
	if r.Announced == "" && strings.HasSuffix(strings.TrimSuffix(r.Key, ".gz"), ".json") {
		return journal.JSON.String()
	}
	return r.Announced
}

// typesKey is of the types of load and plan mode alike.
func typesKey(load string) string { return "loads/" + load + "/types.json" }

// readTypes reads what LearnTypes wrote; nil where there is nothing to recover.
func readTypes(ctx context.Context, o Objects, bucket string, plan *Plan) (*proof.Types, error) {
	if !plan.typed() {
		return nil, nil
	}
	types := &proof.Types{}
	return types, readJSON(ctx, o, bucket, typesKey(plan.LoadID), types)
}

// A TypedTable is what types proved of the revisions in JSON of one ledger table.
type TypedTable struct {
	Name     string
	Read     int64         // revisions
	Unproven int64         // of those
	Learned  proof.Learned // of what the types were learned
}

// typed is what types, which may be nil, proved of the load's tables, by id.
func (l *load) typed(types *proof.Types) map[string]*TypedTable {
	if types == nil {
		return nil
	}
	learned, out := types.Tables(), map[string]*TypedTable{}
	for _, t := range l.tables {
		out[t.ID] = &TypedTable{t.Name, t.Read, t.TypeUnproven, learned[t.ID]}
	}
	return out
}

// mostPlaces is how many revisions of one table a report names: one to look at,
// and some to see what they share. proof.json lists more.
const mostPlaces = 5

// untyped tells, table by table, of revisions in JSON that no types prove, and of
// those that findings name the first.
func untyped(tables map[string]*TypedTable, findings []proof.Finding) (out []report.Untyped) {
	for id, t := range tables {
		if t.Unproven == 0 {
			continue
		}
		u := report.Untyped{
			Table: t.Name, Count: t.Unproven, Of: t.Read,
			Samples: int64(t.Learned.Samples), Proven: int64(t.Learned.Proven), Known: t.Learned.Known(),
		}
		for _, f := range findings {
			if f.Verdict == proof.TypeUnproven && f.Revision >= 0 && f.Table == id && len(u.First) < mostPlaces {
				u.First = append(u.First, report.Place{Block: f.Block, Revision: int64(f.Revision), Document: f.Document, Object: f.Object})
			}
		}
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b report.Untyped) int {
		return cmp.Or(strings.Compare(a.Table, b.Table), cmp.Compare(a.Count, b.Count))
	})
	return out
}
