package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/change"
	"godwit/internal/mapping"
)

// PlanLoad shares an archive out into work items and registers the load.
type PlanLoad struct {
	Objects    Objects
	Target     Target
	WorkBucket string
	Archives   []AllowedArchive
}

// PlanIn is the execution's input and name.
type PlanIn struct {
	Input     json.RawMessage
	Execution string
}

// PlanOut names the load and where its items lie.
type PlanOut struct {
	LoadId    string
	Published bool // the load is visible already
	Items     ObjectRef
	ItemCount int
	Typed     bool // there is JSON, whose types LearnTypes is to find first
}

// packaged names the mapping that comes with godwit.
const packaged = "packaged"

// Handle plans a load. The same input over the same objects is the same load: a
// repeat writes the same plan. In plan mode it leaves the target alone, and what
// would stop the load becomes a finding of the plan.
func (p *PlanLoad) Handle(ctx context.Context, in PlanIn) (PlanOut, error) {
	out, err := p.handle(ctx, in)
	return out, Classify(err)
}

func (p *PlanLoad) handle(ctx context.Context, in PlanIn) (PlanOut, error) {
	input, err := ParseInput(in.Input)
	if err != nil {
		return PlanOut{}, &Stop{err}
	}
	if err := AllowArchive(p.Archives, input.Bucket, input.Prefix); err != nil {
		return PlanOut{}, &Stop{err}
	}
	plan := &Plan{Input: input, History: input.History != "none"}
	plan.Input.EnableStream = false // what follows a load is none of it
	if err := p.readMapping(ctx, plan); err != nil {
		return PlanOut{}, err
	}
	ranges, work, evidence, err := plan.read(ctx, p.Objects)
	if err != nil {
		return PlanOut{}, err
	}
	if len(plan.Gaps) > 0 && !input.AcceptGaps {
		plan.finding(plan.Gaps[0].First, gapError(plan.Gaps, input.Since))
	}
	if len(plan.Findings) > 0 && !input.planOnly() {
		return PlanOut{}, &Stop{stopText(plan.Findings, planLists)}
	}
	if plan.LoadID, err = loadID(plan, ranges, evidence); err != nil {
		return PlanOut{}, err
	}
	key := planKey(plan.LoadID)
	if input.planOnly() {
		key = surveyPlanKey(plan.LoadID)
	} else if input.Abandon != "" && input.Abandon != plan.LoadID {
		if err := p.Target.Abandon(ctx, input.Abandon); err != nil {
			return PlanOut{}, err
		}
	}
	if err := putJSON(ctx, p.Objects, p.WorkBucket, key, plan); err != nil {
		return PlanOut{}, err
	}
	if !input.planOnly() && input.verify() != verifyOff {
		if err := putJSON(ctx, p.Objects, p.WorkBucket, evidenceKey(plan.LoadID), append([]kept{}, evidence...)); err != nil {
			return PlanOut{}, err
		}
	}
	out := PlanOut{LoadId: plan.LoadID, Items: ObjectRef{p.WorkBucket, itemsKey(plan.LoadID)}, ItemCount: len(work), Typed: plan.typed()}
	if err := putLines(ctx, p.Objects, out.Items.Bucket, out.Items.Key, work); err != nil {
		return PlanOut{}, err
	}
	if input.planOnly() {
		return out, nil
	}
	out.Published, err = p.Target.Begin(ctx, plan.load())
	return out, err
}

// read finds out what there is of the archive that the input names, and shares it
// out. What is wrong with it, but for gaps, becomes findings of the plan.
func (p *Plan) read(ctx context.Context, o Objects) (ranges []Range, work []Item, evidence []kept, err error) {
	input := &p.Input
	a, err := readArchive(ctx, o, input)
	if err != nil {
		return nil, nil, nil, err
	}
	if evidence, err = a.evidence(ctx, o, input); err != nil {
		return nil, nil, nil, err
	}
	if err := input.withoutValues(); err != nil {
		return nil, nil, nil, &Stop{err}
	}
	p.Marks = marks(evidence)
	ranges, p.Gaps, p.Overlaps = claim(a.ranges, input.Since.Block)
	if len(ranges) == 0 {
		return nil, nil, nil, &Stop{fmt.Errorf("the archive ends before block %d, which Since asks for", input.Since.Block)}
	}
	p.Exports, p.Unused, p.Strand, p.Findings = a.exports, a.unused, a.strand, a.problems
	p.First, p.Last, p.Objects = ranges[0].Claim.First, ranges[len(ranges)-1].Claim.Last, len(ranges)
	for _, r := range ranges {
		p.Bytes += r.Size
		p.Blocks += r.Claim.Last - r.Claim.First + 1
		p.Largest = max(p.Largest, r.Size)
	}
	p.Kinds = kinds(ranges)
	if input.Strand != "" && input.Strand != p.Strand {
		p.finding(0, fmt.Errorf("the archive is of strand %s, and Strand of the input is %s: it is another ledger's; check Bucket, Prefix and ExportIds, or leave Strand out", p.Strand, input.Strand))
	}
	if input.LastBlockNum != nil && p.Last < *input.LastBlockNum {
		p.finding(p.Last, fmt.Errorf("the archive is cut short: it ends at block %d, and the export ended at block %d (LastBlockNum): add the objects with what is missing, or leave LastBlockNum out to take what there is", p.Last, *input.LastBlockNum))
	}
	work, err = items(ranges)
	p.Items = len(work)
	return ranges, work, evidence, err
}

func (p *Plan) finding(block int64, err error) {
	p.Findings = append(p.Findings, Finding{Block: block, Text: err.Error()})
}

// planLists says where the rest of a ledger's findings are.
const planLists = `"Mode": "plan" lists them`

// stopText is what a load says of findings: all of them, or the first of many and
// where the rest is.
func stopText(findings []Finding, rest string) error {
	const most = 20
	var texts []string
	for i, f := range findings {
		if i == most {
			texts = append(texts, fmt.Sprintf("and %d more: %s", len(findings)-most, rest))
			break
		}
		texts = append(texts, f.Text)
	}
	return errors.New(strings.Join(texts, "\n"))
}

// readMapping reads the mapping file and sets the schema.
func (p *PlanLoad) readMapping(ctx context.Context, plan *Plan) error {
	text := mapping.DMV()
	if uri := plan.Input.Mapping; uri != "" {
		bucket, key, _ := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
		allowed := bucket == p.WorkBucket && strings.HasPrefix(key, "mappings/")
		for _, a := range p.Archives {
			allowed = allowed || bucket == a.Bucket && strings.HasPrefix(key, a.Prefix)
		}
		if !allowed {
			return &Stop{fmt.Errorf("the mapping %s may not be read: put it into the work bucket (aws s3 cp mapping.json s3://%s/mappings/) or beside the archive", uri, p.WorkBucket)}
		}
		var err error
		if text, err = readAll(ctx, p.Objects, bucket, key); err != nil {
			return err
		}
	}
	plan.Mapping = text
	sum := sha256.Sum256(text)
	plan.MappingSHA256 = hex.EncodeToString(sum[:])
	if !json.Valid(text) {
		// Keep the plan writable; the parser words what is wrong, with its line.
		plan.Mapping = nil
		_, err := mapping.Parse(text)
		return &Stop{fmt.Errorf("read the mapping: %w", err)}
	}
	file, err := mapping.Parse(text)
	if err != nil {
		return &Stop{fmt.Errorf("read the mapping: %w", err)}
	}
	plan.Schema = file.Schema
	if plan.Input.Schema != "" {
		plan.Schema = plan.Input.Schema
		file.Schema = plan.Schema
	}
	if _, err := mapping.Compile(file, &change.Fields{}); err != nil {
		return &Stop{fmt.Errorf("compile the mapping: %w", err)}
	}
	for _, t := range plan.Input.Tables {
		if strings.TrimSpace(t) == "" {
			return &Stop{fmt.Errorf("Tables names an empty ledger table")}
		}
	}
	return nil
}

func gapError(gaps []Blocks, since Since) error {
	if len(gaps) == 1 && gaps[0].First == since.Block {
		if since.Time != "" {
			return fmt.Errorf("the archive begins at block %d, and whether the blocks before it are older than %s is not known: add the export that holds %s, or, when they are, start again with \"AcceptGaps\": true", gaps[0].Last+1, since.Time, gaps[0])
		}
		return fmt.Errorf("the archive begins at block %d: add the export that holds %s, or load from there on with \"Since\": %d", gaps[0].Last+1, gaps[0], gaps[0].Last+1)
	}
	are := "are"
	if len(gaps) == 1 && gaps[0].First == gaps[0].Last {
		are = "is"
	}
	return fmt.Errorf("%s %s in no object of the archive: add the exports with what is missing, or load without it with \"AcceptGaps\": true (documents may then miss revisions)", words(gaps), are)
}

// outputVersion changes with a release whose transform would write other objects
// for the same plan, or whose typing would learn other types: parts of two such
// releases are never one load.
const outputVersion = 3

// loadID derives a load's name from its cause alone: the objects, as they are
// now, what is asked of them and what they are held against, the mapping and the
// schema.
func loadID(plan *Plan, ranges []Range, evidence []kept) (string, error) {
	tables := append([]string{}, plan.Input.Tables...)
	slices.Sort(tables)
	tables = slices.Compact(tables)
	proofs, err := contents(evidence)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(struct {
		Output   int
		Ranges   []Range
		Mapping  string
		Schema   string
		Tables   []string
		Since    Since
		History  bool
		Strand   string
		Verify   string
		Redact   bool
		Evidence []json.RawMessage
	}{outputVersion, ranges, string(plan.Mapping), plan.Schema, tables, plan.Input.Since, plan.History, plan.Strand, plan.Input.verify(), plan.Input.applyRedactions(), proofs})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}
