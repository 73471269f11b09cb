package migrate

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"godwit/internal/change"
	"godwit/internal/verify"
)

// A RepairPlan says how to put the rows of a table right: those of some keys go
// out, then others come in. Both lie as COPY text beside the parts of the load,
// and expire as they do.
type RepairPlan struct {
	Table int      // index into the plan's Plans
	Out   CopyFile // of the columns of the table's key
	In    CopyFile // of the columns that the load writes
}

// A CopyFile is COPY text in the work bucket, compressed.
type CopyFile struct {
	Key  string // "" where there is no row
	Rows int64
}

// maxRepair is how many bytes of text a repair of a table writes at most.
const maxRepair = 256 << 20

// repair writes what puts the rows of a table right that differ, or says why that
// cannot be. Files are named by what they hold: another call that comes to another
// result leaves these alone.
func (p *PhaseSnapshot) repair(ctx context.Context, plan *SnapshotPlan, table int, found *narrowed) (r RepairPlan, why string, err error) {
	r.Table = table
	switch {
	case found.unlisted != "":
		return r, found.unlisted, nil
	case found.rows > 0 && len(plan.Plans[table].Key) == 0:
		return r, "it has no key, by which rows could be put right", nil
	}
	keys, rows := found.by.Repair()
	var out, in bytes.Buffer
	for _, key := range keys {
		for i, text := range key {
			out.WriteString([]string{"", "\t"}[min(i, 1)] + escape.Replace(text))
		}
		out.WriteByte('\n')
	}
	zip, err := gzip.NewWriterLevel(&in, gzip.BestSpeed)
	if err != nil {
		return r, "", err
	}
	size := 0
	late, err := p.inTime(ctx, func(ctx context.Context) error {
		return p.eachLine(ctx, plan, table, rows, func(line []byte) error {
			if size += len(line); size > maxRepair {
				return nil
			}
			_, err := zip.Write(line)
			return err
		})
	})
	if err == nil {
		err = zip.Close()
	}
	switch {
	case err != nil:
		return r, "", err
	case late:
		return r, tooLarge, nil
	case size > maxRepair || out.Len() > maxRepair:
		return r, fmt.Sprintf("the rows that differ have more than %d MiB", maxRepair>>20), nil
	}
	if r.In, err = p.putCopy(ctx, plan, in.Bytes(), len(rows)); err != nil {
		return r, "", err
	}
	var packed bytes.Buffer
	zip.Reset(&packed)
	if _, err = zip.Write(out.Bytes()); err == nil {
		err = zip.Close()
	}
	if err == nil {
		r.Out, err = p.putCopy(ctx, plan, packed.Bytes(), len(keys))
	}
	return r, "", err
}

// escape spells a text as COPY reads it.
var escape = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)

func (p *PhaseSnapshot) putCopy(ctx context.Context, plan *SnapshotPlan, body []byte, rows int) (CopyFile, error) {
	if rows == 0 {
		return CopyFile{}, nil
	}
	f := CopyFile{Key: snapshotPartsPrefix(plan.LoadID) + "repair/" + shortHash(string(body)) + partObject, Rows: int64(rows)}
	return f, p.Objects.Put(ctx, p.WorkBucket, f.Key, body, "text/plain", "gzip")
}

// eachLine visits the lines of COPY of some rows of a table, which are in order.
func (p *PhaseSnapshot) eachLine(ctx context.Context, plan *SnapshotPlan, table int, rows []verify.Place, visit func(line []byte) error) error {
	return eachItemOf(ctx, p.Objects, p.WorkBucket, plan.LoadID, func(item *SnapshotItem) error {
		from, found := slices.BinarySearchFunc(rows, item.Item, func(r verify.Place, item int) int { return r.Item - item })
		if !found {
			return nil
		}
		to := from
		for ; to < len(rows) && rows[to].Item == item.Item; to++ {
		}
		of := rows[from:to]
		parts, err := openItem(ctx, p.Ranges, plan.Place.Bucket, item)
		if err != nil {
			return err
		}
		stretch := change.Range{First: of[0].Row, Last: of[len(of)-1].Row}
		return encode(ctx, &plan.Plans[table], parts, stretch, func(lines change.Lines) error {
			before := 0
			for i, end := range lines.Ends {
				if len(of) > 0 && of[0].Row == lines.First+int64(i) {
					if end == before {
						return &Stop{fmt.Errorf("item %d, row %d: the row is to be put right, and the load does not write it: please report this", item.Item, of[0].Row)}
					}
					if err := visit(lines.Data[before:end]); err != nil {
						return err
					}
					of = of[1:]
				}
				before = end
			}
			return nil
		})
	})
}
