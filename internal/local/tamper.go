package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"godwit/internal/change"
	"godwit/internal/journal"
	"godwit/internal/local/s3"
)

// A planted change is one letter of one stored object that is another than QLDB
// wrote.
type planted struct {
	object   string
	block    int64
	revision int    // -1: it is in the block's transactionInfo
	document string // of the revision
}

// tamper changes one letter in one object of the archive, as somebody would who
// wants a document to say something else: the object is as long as before and reads
// as well. In JSON that would be hard to see, because a hash covers Ion types that
// JSON lost: there a statement is changed, which is hashed whole.
func (j *Job) tamper(c *Cloud, bucket string) (*planted, error) {
	entries, err := c.S3.List(bucket, "")
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e s3.Entry) bool { return journal.ParseKey("", e.Key).Kind != journal.DataKey })
	// From the middle on: an archive's ends are looked at first.
	for _, e := range entries[len(entries)/2:] {
		body, _, err := c.S3.Get(bucket, e.Key)
		if err != nil {
			return nil, err
		}
		body = bytes.Clone(body)
		p, at, err := place(e.Key, body)
		if err != nil {
			return nil, err
		}
		if p == nil {
			continue
		}
		if body[at]++; body[at] == 'z'+1 || body[at] == 'Z'+1 {
			body[at] -= 2
		}
		if p.revision >= 0 {
			fmt.Fprintf(j.Out, "TAMPER: one letter of the data of document %s is another now: revision %d of block %d, object %s\n", p.document, p.revision, p.block, e.Key)
		} else {
			fmt.Fprintf(j.Out, "TAMPER: one letter of a statement is another now: transactionInfo of block %d, object %s\n", p.block, e.Key)
			fmt.Fprintln(j.Out, "  (JSON lost Ion types that the hashes of documents cover: a document that was changed cannot be told from one whose types\n  are not found: it is a warning of the report, and stops nothing. What QLDB itself writes, and the chain, are hashed whole in JSON, too.)")
		}
		return p, c.S3.Put(bucket, e.Key, body, s3.Options{})
	}
	return nil, errors.New("no object of the archive has a document with a letter to change: make a greater ledger")
}

// place finds a letter to change, as an index into body; nil when there is none.
func place(key string, body []byte) (*planted, int, error) {
	r, err := journal.NewReader(bytes.NewReader(body), journal.Options{Object: key})
	if err != nil {
		return nil, 0, err
	}
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil, 0, nil
		}
		if err != nil {
			return nil, 0, err
		}
		stored := body[b.Offset:]
		if b.Format == journal.JSON {
			if at := bytes.Index(b.RawTransactionInfo, []byte(`"statement":"`)); at >= 0 && len(b.Revisions) > 0 {
				at += len(`"statement":"`)
				return &planted{key, b.SequenceNo, -1, ""}, int(b.Offset) + bytes.Index(stored, b.RawTransactionInfo) + at, nil
			}
			continue
		}
		for i := range b.Revisions {
			text := word(b, i)
			data := stored
			if b.Format == journal.IonText {
				// Raw parts are of binary Ion: data is found by its field.
				if i > 0 || text == nil {
					break
				}
				_, data, _ = bytes.Cut(stored, []byte("revisions:"))
				_, data, _ = bytes.Cut(data, []byte("data:"))
			} else if text != nil {
				data = stored[bytes.Index(stored, b.Revisions[i].RawData):]
			}
			if at := bytes.Index(data, text); text != nil && at >= 0 {
				return &planted{key, b.SequenceNo, i, string(b.Revisions[i].DocumentID)}, len(body) - len(data) + at, nil
			}
		}
	}
}

// word is a text of several letters in the data of a revision; nil when it has
// none.
func word(b *journal.Block, revision int) []byte {
	record, err := b.Record(revision)
	if err != nil || record == nil || record.Fields == nil {
		return nil
	}
	for i := range record.Fields.Nodes {
		n := &record.Fields.Nodes[i]
		text := record.Fields.Bytes(n)
		other := func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }
		if n.Kind == change.Text && len(text) > 3 && !bytes.ContainsFunc(text, other) {
			return text
		}
	}
	return nil
}

// refused checks that a load found the planted change: that it ended in an error
// that names it, and shows nothing. It returns that error.
func (p *planted) refused(ctx context.Context, c *Cloud, out io.Writer, load error) error {
	if load == nil {
		return fmt.Errorf("the load went through, although block %d of object %s was changed", p.block, p.object)
	}
	names := []string{"tampered", fmt.Sprintf("block %d", p.block), p.object}
	if p.revision >= 0 {
		names = append(names, fmt.Sprintf("revision %d", p.revision), p.document)
	}
	for _, name := range names {
		if !strings.Contains(load.Error(), name) {
			return fmt.Errorf("the load ended without naming %q: %w", name, load)
		}
	}
	conn, err := pgx.Connect(ctx, c.Postgres.AdminDSN(c.Database))
	if err != nil {
		return errors.Join(load, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // read only
	var relations, loads int64
	err = conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'godwit', 'aws_s3', 'aws_commons')), (SELECT count(*) FROM godwit.load)`).Scan(&relations, &loads)
	if err != nil {
		return errors.Join(load, err)
	}
	if relations+loads > 0 {
		return fmt.Errorf("the load ended, and left %d relations and %d loads in the target: %w", relations, loads, load)
	}
	fmt.Fprintln(out, "found; nothing of the load is in the target: no table, and no load in its bookkeeping")
	return load
}
