package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"godwit/internal/change"
	"godwit/internal/journal"
	"godwit/internal/mapping"
	"godwit/internal/proof"
)

// SurveyArchive finds out what a load would do, revision by revision, by the code that
// the transform uses, and stores no row.
type SurveyArchive struct {
	Objects    Objects
	WorkBucket string
	// StepBytes is how much is read, in decompressed bytes of one object, between
	// two looks at the deadline; 0 is 64 MiB.
	StepBytes int64
	Now       func() time.Time
}

// A Survey is what a load would do with the blocks of one item, found out
// without storing a row. Revisions of a table that would stop the load are read
// alone: neither staged nor quarantined nor filtered.
type Survey struct {
	// Segment is what a transform of the whole item in one would account for; it
	// has no parts.
	Segment
	Unread   int64                     // blocks behind a finding that ends the reading of their object
	Volumes  map[string]*Volume        `json:",omitempty"` // by ledger table id
	Asides   []Aside                   `json:",omitempty"` // the first revisions that do not map exactly
	Findings []Finding                 `json:",omitempty"` // the first things that would stop the load
	Untold   int64                     // findings beyond those
	Untyped  []proof.Finding           `json:",omitempty"` // the first revisions in JSON that no types prove
	Shapes   map[string]*mapping.Shape `json:",omitempty"` // by name of the ledger tables that are loaded
}

// A Volume is how much there is of one ledger table.
type Volume struct {
	RowBytes  int64 // of COPY text, uncompressed, of the revisions that would be staged
	Documents int64 // that begin here: revisions of version 0
	Deletions int64 // revisions that delete a document
}

// A Finding is something that would stop the load. Plan mode lists it and goes
// on.
type Finding struct {
	Object string `json:",omitempty"`
	Block  int64  // where reading stands or ends; 0 where none is meant
	Offset int64  // in the decompressed object, bytes
	Text   string // what a load would say
}

// told is how many findings of an archive, or of an item, are kept with their
// text; the others are counted.
const told = 100

// Handle surveys its items and hands on before the deadline. It may be repeated:
// it writes the same objects again.
func (s *SurveyArchive) Handle(ctx context.Context, in WorkIn) (WorkOut, error) {
	out, err := s.handle(ctx, in)
	return out, Classify(err)
}

func (s *SurveyArchive) handle(ctx context.Context, in WorkIn) (WorkOut, error) {
	stop, limited := handOn(ctx, s.Now())
	var plan Plan
	if err := readJSON(ctx, s.Objects, s.WorkBucket, surveyPlanKey(in.LoadId), &plan); err != nil {
		return WorkOut{}, err
	}
	types, err := readTypes(ctx, s.Objects, s.WorkBucket, &plan)
	if err != nil {
		return WorkOut{}, err
	}
	at := Resume{}
	if in.Resume != nil {
		at = *in.Resume
	}
	late := func() bool { return limited && s.Now().After(stop) }
	for at.Item < len(in.Items) {
		item := &in.Items[at.Item]
		v, err := s.begin(ctx, &plan, types, item, &at)
		if err != nil {
			return WorkOut{}, err
		}
		for at.Range < len(item.Ranges) {
			ended, err := s.read(ctx, v, &item.Ranges[at.Range], &at, late)
			if err != nil {
				return WorkOut{}, err
			}
			if ended {
				at, v.hash = Resume{Item: at.Item, Range: at.Range + 1, Spent: v.types.spent()}, nil
			}
			if !ended || at.Range < len(item.Ranges) && late() {
				turn := surveyTurn{v.survey(), v.hash}
				return WorkOut{Resume: &at}, putJSON(ctx, s.Objects, s.WorkBucket, surveyTurnKey(in.LoadId, item.Number, &at), turn)
			}
		}
		if err := putJSON(ctx, s.Objects, s.WorkBucket, surveyKey(in.LoadId, item.Number), v.survey()); err != nil {
			return WorkOut{}, err
		}
		at = Resume{Item: at.Item + 1}
		if at.Item < len(in.Items) && late() {
			return WorkOut{Resume: &at}, nil
		}
	}
	return WorkOut{Done: true}, nil
}

// A surveyTurn is what is known of an item when a call hands on.
type surveyTurn struct {
	Survey
	Hash []byte // of the last block, when the next one is of the same object
}

// begin begins an item, or goes on where another call handed on within it. The
// mapping is compiled for each item anew: which tables the items before it had
// must not show.
func (s *SurveyArchive) begin(ctx context.Context, plan *Plan, types *proof.Types, item *Item, at *Resume) (*surveyor, error) {
	v := &surveyor{fields: &change.Fields{}}
	rules, err := compileMapping(plan, v.fields)
	if err != nil {
		return nil, err
	}
	v.mapper = newMapper(plan, rules, v)
	if v.types = newRetyper(types); v.types != nil {
		v.verifier = proof.Verifier{Typing: v.types}
	}
	v.types.goOn(at)
	v.out.Item, v.out.Last = item.Number, true
	v.Volumes, v.Shapes = map[string]*Volume{}, map[string]*mapping.Shape{}
	if at.Range == 0 && at.Next == 0 {
		return v, nil
	}
	var turn surveyTurn
	if err := readJSON(ctx, s.Objects, s.WorkBucket, surveyTurnKey(plan.LoadID, item.Number, at), &turn); err != nil {
		return nil, err
	}
	v.found, v.hash = turn.Found, turn.Hash
	v.resume(turn.Segment)
	turn.Segment = Segment{}
	if turn.Volumes == nil {
		turn.Volumes = v.Volumes
	}
	if turn.Shapes == nil {
		turn.Shapes = v.Shapes
	}
	v.Survey = turn.Survey
	return v, nil
}

// read surveys one range, or as much of it as there is time for.
func (s *SurveyArchive) read(ctx context.Context, v *surveyor, r *Range, at *Resume, late func() bool) (ended bool, err error) {
	step := s.StepBytes
	if step == 0 {
		step = defaultSegmentBytes
	}
	w, err := openRange(ctx, s.Objects, v.plan, r, at, v.fields)
	if err != nil {
		return true, v.ends(r, max(at.Next, r.Claim.First), at.Position.Offset, err)
	}
	defer w.close()
	w.hash, w.broken = v.hash, func(b *journal.Block, err error) error {
		v.tell(Finding{Object: b.Object, Block: b.SequenceNo, Offset: b.Offset, Text: err.Error()})
		return nil
	}
	began := at.Position.Offset
	for {
		b, err := w.next(ctx)
		if err != nil {
			return true, v.ends(r, max(w.due, r.Claim.First), w.reader.Position().Offset, err)
		}
		if v.types != nil && b.Format == journal.JSON {
			v.untyped(v.verifier.Verify(b)) // for the types alone: a plan proves nothing
		}
		if err := v.block(b); err != nil { // of this block alone
			v.tell(Finding{Object: r.Key, Block: b.SequenceNo, Offset: b.Offset, Text: err.Error()})
			v.Unread++
		}
		if w.due > r.Claim.Last {
			return true, v.ends(r, w.due, w.reader.Position().Offset, w.end())
		}
		at.Position, at.Next, at.Spent, v.hash = w.reader.Position(), w.due, v.types.spent(), w.hash
		if at.Position.Offset-began >= step {
			if late() {
				return false, nil
			}
			began = at.Position.Offset
		}
	}
}

// A surveyor collects the survey of one item.
type surveyor struct {
	mapper
	Survey   // but for the mapper's Segment
	fields   *change.Fields
	verifier proof.Verifier     // of JSON alone
	found    map[string][]int64 // by earlier calls: see Segment.Found
	hash     []byte             // see surveyTurn
}

// survey returns what is known so far.
func (v *surveyor) survey() Survey {
	out := v.Survey
	out.Segment = v.segment(v.found)
	return out
}

// ends notes why a range ends before its last block is read, if it does, and
// returns what is worth a repeat instead.
func (v *surveyor) ends(r *Range, due, offset int64, err error) error {
	if err == nil {
		return nil
	}
	if passes(err) {
		return err
	}
	v.tell(Finding{Object: r.Key, Block: due, Offset: offset, Text: err.Error()})
	v.Unread += r.Claim.Last + 1 - due
	return nil
}

func (v *surveyor) tell(f Finding) {
	if len(v.Findings) < told {
		v.Findings = append(v.Findings, f)
		return
	}
	v.Untold++
}

// untyped notes the revisions of a block that no types prove.
func (v *surveyor) untyped(c *proof.Check) {
	for _, f := range c.Findings {
		if f.Verdict == proof.TypeUnproven && f.Revision >= 0 && len(v.Untyped) < told {
			v.Untyped = append(v.Untyped, f)
		}
	}
}

func (v *surveyor) volume(t *tally, rec *change.Record) *Volume {
	if t.want {
		shape := v.Shapes[t.count.Name]
		if shape == nil {
			shape = &mapping.Shape{}
			v.Shapes[t.count.Name] = shape
		}
		shape.Observe(rec)
	}
	n := v.Volumes[t.count.ID]
	if n == nil {
		n = &Volume{}
		v.Volumes[t.count.ID] = n
	}
	if rec.Version == 0 {
		n.Documents++
	}
	if rec.Deleted {
		n.Deletions++
	}
	return n
}

func (v *surveyor) staged(t *tally, rec *change.Record, row []byte) error {
	v.volume(t, rec).RowBytes += int64(len(row))
	return nil
}

func (v *surveyor) setAside(t *tally, rec *change.Record, a Aside) error {
	v.volume(t, rec)
	if len(v.Asides) < listed {
		v.Asides = append(v.Asides, a)
	}
	return nil
}

// stopped leaves the table to readSurvey, which knows all tables.
func (v *surveyor) stopped(*tally) error { return nil }

// A survey is a whole archive surveyed: the load as it would be, and what else
// plan mode tells.
type survey struct {
	*load                                 // as readLoad finds it after a transform
	volumes     map[string]*Volume        // by ledger table id
	quarantined []Aside                   // the first ones, as many as a report lists
	findings    []Finding                 // what would stop the load: the plan's first, then in the order of blocks
	untold      int64                     // findings beyond those
	unread      int64                     // blocks behind findings
	untyped     []proof.Finding           // the first revisions in JSON that no types prove
	shapes      map[string]*mapping.Shape // by ledger table name
}

// readSurvey reads the plan of plan mode and what the survey found, and refuses
// one that is not complete.
func readSurvey(ctx context.Context, o Objects, bucket, id string) (*survey, error) {
	s := &survey{load: newLoad(), volumes: map[string]*Volume{}, shapes: map[string]*mapping.Shape{}}
	if err := readJSON(ctx, o, bucket, surveyPlanKey(id), s.plan); err != nil {
		return nil, err
	}
	for _, f := range s.plan.Findings {
		s.tell(f)
	}
	byID := map[string]*SegmentTable{}
	err := inOrder(ctx, s.plan.Items, func(ctx context.Context, i int, part *Survey) error {
		return readJSON(ctx, o, bucket, surveyKey(id, i), part)
	}, func(part *Survey) error {
		s.merge(part, byID)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the survey: %w", err)
	}
	s.sum(byID)
	rules, err := compileMapping(s.plan, &change.Fields{})
	if err != nil {
		return nil, err
	}
	s.stops(s.resolve(rules))
	if s.total.Quarantined > s.plan.Input.MaxQuarantined {
		s.stops(errors.New(s.tooMany(bucket)))
	}
	return s, nil
}

// merge adds what the survey of the next item found.
func (s *survey) merge(part *Survey, byID map[string]*SegmentTable) {
	s.stops(s.add(&part.Segment, byID))
	s.unread += part.Unread
	s.untold += part.Untold
	for id, v := range part.Volumes {
		sum := s.volumes[id]
		if sum == nil {
			sum = &Volume{}
			s.volumes[id] = sum
		}
		sum.RowBytes += v.RowBytes
		sum.Documents += v.Documents
		sum.Deletions += v.Deletions
	}
	s.quarantined = append(s.quarantined, part.Asides[:min(len(part.Asides), listed-len(s.quarantined))]...)
	for _, f := range part.Findings {
		s.tell(f)
	}
	s.untyped = append(s.untyped, part.Untyped[:min(len(part.Untyped), told-len(s.untyped))]...)
	for name, shape := range part.Shapes {
		if s.shapes[name] == nil {
			s.shapes[name] = &mapping.Shape{}
		}
		s.shapes[name].Merge(shape)
	}
}

// stops adds each thing that err joins to the findings.
func (s *survey) stops(err error) {
	var joined interface{ Unwrap() []error }
	switch {
	case err == nil:
	case errors.As(err, &joined):
		for _, err := range joined.Unwrap() {
			s.tell(Finding{Text: err.Error()})
		}
	default:
		s.tell(Finding{Text: err.Error()})
	}
}

func (s *survey) tell(f Finding) {
	if len(s.findings) < told {
		s.findings = append(s.findings, f)
		return
	}
	s.untold++
}
