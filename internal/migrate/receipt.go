package migrate

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"godwit/internal/change"
	"godwit/internal/journal"
	"godwit/internal/proof"
)

// Rows is where rows are looked up. It changes nothing.
type Rows interface {
	// Row finds one revision by the name of its table, in the target or in the
	// ledger; an empty schema is the one that has the table. The error says what
	// there is.
	Row(ctx context.Context, schema, table, document string, version int64) (*change.StoredRow, error)
}

// ProveRow makes the receipt of one row: it reads the row's block in the archive,
// where the row says that it stands, and the way from there to a digest in what the
// load kept. Nothing else of the archive is read.
type ProveRow struct {
	Objects    Objects
	Rows       Rows
	WorkBucket string
}

// ProveRowIn names a row.
type ProveRowIn struct {
	Schema   string `json:",omitempty"` // "": the one that has the table
	Table    string // in the target, current or history, or in the ledger
	Document string // its id
	Version  *int64
	LoadId   string `json:",omitempty"` // "": the latest that read the row's object
	// Digest is what the receipt shall lead to, in the forms of LedgerLoad's; nil:
	// what the load was held against.
	Digest    json.RawMessage `json:",omitempty"`
	DigestTip *int64          `json:",omitempty"`
}

// ProveRowOut says where the receipt is and what it leads to.
type ProveRowOut struct {
	Receipt    string // S3 URI
	LoadId     string
	Digest     string `json:",omitempty"` // base64; "": the receipt ends with the hash of its block
	DigestFrom string // where that was kept, or why there is none
	// Content is the receipt as text, unless it is too long for an answer. As JSON
	// within JSON its spelling could change, which a checker would refuse.
	Content string `json:",omitempty"`
}

// mostContent is how long a receipt may be, in bytes, to stand in the answer: of 6
// MB at most, with every quote escaped.
const mostContent = 2 << 20

// Handle makes a receipt and writes it below receipts/ of the work bucket. It may
// be repeated.
func (p *ProveRow) Handle(ctx context.Context, in json.RawMessage) (ProveRowOut, error) {
	out, err := p.handle(ctx, in)
	return out, Classify(err)
}

func parseProveRow(b []byte) (in ProveRowIn, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	switch err := d.Decode(&in); {
	case err != nil:
		return in, fmt.Errorf("read the input: %w", err)
	case in.Table == "" || in.Document == "" || in.Version == nil:
		return in, errors.New("the input lacks Table, Document (its id) or Version (from 0 on): they name a row")
	}
	return in, nil
}

func (p *ProveRow) handle(ctx context.Context, input json.RawMessage) (ProveRowOut, error) {
	in, err := parseProveRow(input)
	if err != nil {
		return ProveRowOut{}, &Stop{err}
	}
	row, err := p.Rows.Row(ctx, in.Schema, in.Table, in.Document, *in.Version)
	if err != nil {
		return ProveRowOut{}, err
	}
	name := fmt.Sprintf("version %d of document %s in %s.%s", *in.Version, in.Document, row.Schema, row.Table)
	plan, at, err := p.find(ctx, &in, row)
	if err != nil {
		return ProveRowOut{}, fmt.Errorf("%s: %w", name, err)
	}
	block, err := p.block(ctx, plan, at, row)
	if err != nil {
		return ProveRowOut{}, fmt.Errorf("%s: %w", name, err)
	}
	defer block.close()
	rev, err := block.revision(&in, row)
	if err != nil {
		return ProveRowOut{}, fmt.Errorf("%s: %w", name, err)
	}
	way, err := p.way(ctx, &in, plan, row.Block)
	if err != nil {
		return ProveRowOut{}, fmt.Errorf("%s: %w", name, err)
	}
	types, err := readTypes(ctx, p.Objects, p.WorkBucket, plan)
	if err != nil {
		return ProveRowOut{}, err
	}
	receipts := proof.Receipts{
		Ledger: cmp.Or(way.ledger, plan.Input.LedgerName), Digest: way.digest, Tip: way.tip, From: way.from, Types: types, Withhold: row.Redacted,
	}
	text, err := receipts.Append(nil, block.Block, rev, way.path)
	if err != nil {
		return ProveRowOut{}, &Stop{fmt.Errorf("%s: %w", name, err)}
	}
	key := receiptKey(plan.LoadID, block.Revisions[rev].Table.ID, in.Document, *in.Version)
	if err := p.Objects.Put(ctx, p.WorkBucket, key, text, "application/json", ""); err != nil {
		return ProveRowOut{}, err
	}
	out := ProveRowOut{Receipt: "s3://" + p.WorkBucket + "/" + key, LoadId: plan.LoadID, Digest: way.digest.String(), DigestFrom: way.from}
	if len(text) <= mostContent {
		out.Content = string(text)
	}
	return out, nil
}

// receiptKey is of a receipt. It shows values, and so does not lie among what loads
// leave as evidence.
func receiptKey(load, tableID, document string, version int64) string {
	return fmt.Sprintf("receipts/%s/%s/%s-%d.json", load, folder(tableID), folder(document), version)
}

// find finds the load that read the row's object, and the object in its plan.
func (p *ProveRow) find(ctx context.Context, in *ProveRowIn, row *change.StoredRow) (*Plan, *Range, error) {
	loads := row.Loads
	if in.LoadId != "" {
		if loads = []string{in.LoadId}; !slices.Contains(row.Loads, in.LoadId) {
			return nil, nil, &Stop{fmt.Errorf("load %s has not its block %d: %s", in.LoadId, row.Block, cmp.Or(someOf("there are the loads ", row.Loads), "no load has"))}
		}
	}
	switch {
	case len(loads) == 0:
		return nil, nil, &Stop{fmt.Errorf("no load read its block %d from an archive: it came by a stream; load an export that has the block, and ask again", row.Block)}
	case row.Object == "":
		return nil, nil, &Stop{errors.New("the row does not say where in the archive it stands: an earlier release of godwit loaded it; unload it and load it again")}
	}
	unverified := false
	for _, id := range loads {
		plan := &Plan{}
		if err := readJSON(ctx, p.Objects, p.WorkBucket, planKey(id), plan); err != nil {
			return nil, nil, err
		}
		at, err := p.item(ctx, plan, row)
		if err != nil {
			return nil, nil, err
		}
		if at != nil && plan.Input.verify() != verifyOff {
			return plan, at, nil
		}
		unverified = unverified || at != nil
	}
	if unverified {
		return nil, nil, &Stop{fmt.Errorf("its archive was loaded with \"Verify\": \"off\" (%s), which keeps no hashes of blocks: start LedgerLoad again with the same input without that, which verifies the archive and leaves the rows as they are", someOf("load ", loads))}
	}
	return nil, nil, &Stop{fmt.Errorf("object %s, from which it was loaded, is in no plan of %s", row.Object, someOf("load ", loads))}
}

// someOf lists names behind a word; without names it is nothing.
func someOf(word string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	text := word + names[0]
	for i, name := range names[1:] {
		if i == 4 {
			return text + " and others"
		}
		text += ", " + name
	}
	return text
}

// item finds the row's object among the plan's items, of which there may be many;
// nil when it is not there.
func (p *ProveRow) item(ctx context.Context, plan *Plan, row *change.StoredRow) (*Range, error) {
	key := itemsKey(plan.LoadID)
	r, err := p.Objects.Open(ctx, p.WorkBucket, key, "", 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // read only
	items := json.NewDecoder(r)
	for {
		var item Item
		if err := items.Decode(&item); errors.Is(err, io.EOF) {
			return nil, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode s3://%s/%s: %w", p.WorkBucket, key, err)
		}
		for i := range item.Ranges {
			if x := &item.Ranges[i]; x.Key == row.Object && x.Object.First <= row.Block && row.Block <= x.Object.Last {
				return x, nil
			}
		}
	}
}

// A rowBlock is the block of a row. It is borrowed from its reader.
type rowBlock struct {
	*journal.Block
	reader *journal.Reader
}

func (b *rowBlock) close() { _ = b.reader.Close() } // read only

// block reads the row's block from the archive: of text that is not compressed, its
// own bytes alone; otherwise the object from its beginning to the block, because
// gzip has no other way in and the symbols of binary Ion stand anywhere before.
func (p *ProveRow) block(ctx context.Context, plan *Plan, at *Range, row *change.StoredRow) (*rowBlock, error) {
	open := func(offset int64) (io.ReadCloser, error) {
		body, err := p.Objects.Open(ctx, plan.Input.Bucket, at.Key, at.ETag, offset)
		return body, altered(plan, at, err)
	}
	fail := func(err error) (*rowBlock, error) { return nil, fmt.Errorf("object %s: %w", at.Key, err) }
	r, err := journal.Open(open, journal.Options{Object: at.Key})
	if err != nil {
		return fail(err)
	}
	if begun := r.Position(); row.Offset > 0 && !begun.Gzip && r.Format() != journal.IonBinary {
		_ = r.Close() // read only
		r, err = journal.Open(open, journal.Options{Object: at.Key, Resume: &journal.Position{Offset: row.Offset, Format: r.Format()}})
		if err != nil {
			return fail(err)
		}
	}
	for n := 1; ; n++ {
		b, err := r.Next()
		if err == nil && n%64 == 0 {
			err = ctx.Err()
		}
		if err == nil && (b.SequenceNo > row.Block || b.Strand != row.Strand) {
			err = fmt.Errorf("block %d of strand %s stands where block %d of strand %s was read", b.SequenceNo, b.Strand, row.Block, row.Strand)
		}
		if err != nil {
			_ = r.Close() // read only
			return fail(err)
		}
		if b.SequenceNo == row.Block {
			return &rowBlock{b, r}, nil
		}
	}
}

// altered says what to do about an object that is not as it was loaded.
func altered(plan *Plan, at *Range, err error) error {
	var code interface{ ErrorCode() string }
	if err == nil || !errors.As(err, &code) {
		return err
	}
	switch code.ErrorCode() {
	case "PreconditionFailed":
		return &Stop{fmt.Errorf("s3://%s/%s was replaced since it was loaded (then its ETag was %s): bring that version back, or load the archive again", plan.Input.Bucket, at.Key, at.ETag)}
	case "NoSuchKey", "AccessDenied":
		return &Stop{fmt.Errorf("s3://%s/%s is gone, or may not be read any more: bring it back to where it was: %w", plan.Input.Bucket, at.Key, err)}
	}
	return err
}

// revision finds the row's revision in the block, and compares it with the row.
func (b *rowBlock) revision(in *ProveRowIn, row *change.StoredRow) (int, error) {
	if i := row.Revision; i < len(b.Revisions) && i >= 0 {
		r := &b.Revisions[i]
		h, err := proof.ParseHash(r.Hash)
		if err == nil && string(r.DocumentID) == in.Document && int64(r.Version) == *in.Version && h.String() == row.Hash {
			return i, nil
		}
	}
	return 0, &Stop{fmt.Errorf("revision %d of block %d in object %s is another than the row: its ql_audit was changed in the database", row.Revision, row.Block, row.Object)}
}
