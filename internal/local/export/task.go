package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Task is one export.
type Task struct {
	ID         string
	SourceARN  string
	Only       []string // database, database.schema or database.schema.table; nil is all
	Bucket     string
	Prefix     string // "" is the bucket itself
	RoleARN    string
	KMSKey     string
	Started    time.Time
	Now        func() time.Time
	Style      Style
	Extracting func(percent int) // told how far it is; nil is nobody
}

// A Style is what differs between real exports. The zero value is what most of
// them are like.
type Style struct {
	// PartBytes is how many bytes of values a part has before compression, about; 0
	// is 8 MiB, which makes parts of 1 to 10 MB.
	PartBytes int64
	// RowsPerGroup makes more than one row group of a part; 0 makes one.
	RowsPerGroup int64
	// Flat leaves out the folders of batches, as older exports do.
	Flat bool
	// Letters names batches as exports of living clusters do: 1 to 9, then a, b …
	Letters bool
	// Partitions is in how many batches a table is read whose key is one number; 0
	// is 1.
	Partitions int
	// LongestValue is the longest value in bytes: a longer one fails the export; 0 is
	// 500 MB.
	LongestValue int
	// TablesPerFile is how many tables one file of metadata tells; 0 is 100.
	TablesPerFile int
	// Whole exports a partitioned table under its own name, and not its partitions;
	// which of the two real exports do is not documented.
	Whole bool
	Seed  uint64 // of names and of gaps between the numbers of parts
}

func (s Style) withDefaults() Style {
	if s.PartBytes == 0 {
		s.PartBytes = 8 << 20
	}
	if s.Partitions == 0 {
		s.Partitions = 1
	}
	if s.LongestValue == 0 {
		s.LongestValue = 500_000_000
	}
	if s.TablesPerFile == 0 {
		s.TablesPerFile = 100
	}
	return s
}

// Put stores an object of the export.
type Put func(ctx context.Context, key string, body []byte) error

// A Result is what an export that ended well says of itself.
type Result struct {
	Warning string // WarningMessage, a JSON text; "" is none
	Bytes   int64  // of values
	Tables  int    // those with data, empty ones included
}

// A Failure is why an export failed, in the words of FailureCause.
type Failure struct{ Cause string }

func (f *Failure) Error() string { return f.Cause }

// Write exports what the task asks for. The error is a *Failure where the real
// exporter would say so.
func Write(ctx context.Context, from *Frozen, t Task, put Put) (Result, error) {
	w := &writer{Task: t, put: put, chance: rand.New(rand.NewPCG(t.Style.Seed, 61))}
	w.Style = w.Style.withDefaults()
	var found []*table
	for i := range from.databases {
		d := &from.databases[i]
		err := d.read(ctx, func(conn *pgx.Conn) error {
			all, err := tables(ctx, conn, d.Database, w.Style.Whole)
			if err != nil {
				return err
			}
			all = slices.DeleteFunc(all, func(x *table) bool { return !chosen(t.Only, x) })
			found = append(found, all...)
			for n, x := range all {
				if err := w.table(ctx, conn, x); err != nil {
					return err
				}
				if t.Extracting != nil {
					t.Extracting(100 * (i*len(all) + n + 1) / (len(from.databases)*len(all) + 1))
				}
			}
			return nil
		})
		if err != nil {
			return Result{}, err
		}
	}
	if len(found) == 0 && len(t.Only) > 0 {
		return Result{}, &Failure{"No tables were found for the given filter: " + strings.Join(t.Only, ", ")}
	}
	result := Result{Bytes: w.bytes, Tables: w.done, Warning: w.warning()}
	return result, w.metadata(ctx, from, result)
}

// A writer is one export under way.
type writer struct {
	Task
	put     Put
	chance  *rand.Rand
	bytes   int64
	done    int
	status  []tableStatus
	skipped []skippedTable
}

// root is the folder of the export.
func (w *writer) root() string {
	return path.Join(clean(w.Prefix), w.ID)
}

// clean replaces what a path of an export cannot have.
func clean(s string) string {
	return strings.NewReplacer(`\`, "_", "`", "_", `"`, "_", " ", "_").Replace(s)
}

// table exports one table.
func (w *writer) table(ctx context.Context, conn *pgx.Conn, t *table) error {
	started := w.Now()
	if !t.readable {
		w.skipped = append(w.skipped, skippedTable{t.target(), "PERMISSIONS_DO_NOT_EXIST"})
		w.status = append(w.status, tableStatus{
			Statistics: statistics{Start: stamp(started), End: stamp(w.Now())}, Status: "SKIPPED", Target: t.target(), Warning: "PERMISSIONS_DO_NOT_EXIST",
		})
		return nil
	}
	b := batches{writer: w, folder: path.Join(w.root(), clean(t.database), clean(t.schema+"."+t.name)), table: t, count: 1}
	if t.numeric && !w.Style.Flat {
		b.count = w.Style.Partitions
	}
	b.next = make([]int, b.count)
	var names []string
	for _, c := range t.columns {
		names = append(names, pgx.Identifier{c.name}.Sanitize())
	}
	// The simple protocol gives every value as its text.
	results := conn.PgConn().Exec(ctx, `SELECT `+strings.Join(names, ", ")+` FROM `+t.from())
	err := b.write(ctx, func(row func([][]byte) error) error {
		for results.NextResult() {
			rows := results.ResultReader()
			for rows.NextRow() {
				if err := row(rows.Values()); err != nil {
					return err
				}
			}
			if _, err := rows.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, results.Close()); err != nil {
		var cause *Failure
		if errors.As(err, &cause) {
			return cause
		}
		return fmt.Errorf("export table %s: %w", t.target(), err)
	}
	w.done++
	w.bytes += b.bytes
	w.status = append(w.status, tableStatus{
		Statistics: statistics{Start: stamp(started), End: stamp(w.Now()), Partitioning: &partitioning{b.count, b.count}},
		Metadata:   &schemaMetadata{mappings(t.columns)}, Status: "COMPLETE", Size: gigabytes(b.bytes), Target: t.target(),
	})
	return nil
}

// batches are the folders of one table, which its parts go round.
type batches struct {
	writer *writer
	table  *table
	folder string
	count  int
	next   []int // number of the next part, by batch
	turn   int
	bytes  int64
}

// write writes a table's rows, and at last the mark of each batch, which an empty
// table has as well.
func (b *batches) write(ctx context.Context, rows func(row func([][]byte) error) error) error {
	style := b.writer.Style
	var current *part
	end := func() error {
		if current == nil {
			return nil
		}
		body, err := current.close()
		if err != nil {
			return err
		}
		b.bytes += current.bytes
		current = nil
		return b.writer.put(ctx, b.key(), body)
	}
	err := rows(func(values [][]byte) error {
		for i, v := range values {
			if len(v) > style.LongestValue {
				return &Failure{fmt.Sprintf("A value in column %s of table %s is larger than the supported size of 500 MB", b.table.columns[i].name, b.table.target())}
			}
		}
		if current == nil {
			current = newPart(b.table.columns, style.RowsPerGroup)
		}
		if err := current.add(values); err != nil {
			return err
		}
		if current.bytes+current.count < style.PartBytes {
			return nil
		}
		return end()
	})
	if err == nil {
		err = end()
	}
	if err != nil {
		return err
	}
	for i := range b.count {
		if err := b.writer.put(ctx, path.Join(b.batch(i), "_SUCCESS"), nil); err != nil {
			return err
		}
	}
	return nil
}

func (b *batches) batch(i int) string {
	style := b.writer.Style
	switch {
	case style.Flat:
		return b.folder
	case style.Letters:
		return path.Join(b.folder, strconv.FormatInt(int64(i+1), 36))
	}
	return path.Join(b.folder, strconv.Itoa(i+1))
}

// key names the next part. Numbers have gaps: Spark counts its tasks, and one
// without rows writes no file.
func (b *batches) key() string {
	i := b.turn % b.count
	b.turn++
	c := b.writer.chance
	if c.IntN(3) == 0 {
		b.next[i] += 1 + c.IntN(4)
	}
	number := b.next[i]
	b.next[i]++
	id := fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", c.Uint32(), c.IntN(1<<16), c.IntN(1<<12), c.IntN(1<<12), c.Uint64()>>16)
	return path.Join(b.batch(i), fmt.Sprintf("part-%05d-%s-c000.gz.parquet", number, id))
}

// gigabytes is how the API and the metadata tell sizes.
func gigabytes(n int64) float64 { return float64(n) / (1 << 30) }

// stamp is a time in the metadata.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// warning is WarningMessage, "" where nothing was skipped.
func (w *writer) warning() string {
	if len(w.skipped) == 0 {
		return ""
	}
	b, err := json.Marshal(struct {
		Tables     []skippedTable `json:"skippedTables"`
		Objectives []string       `json:"skippedObjectives"`
		General    []string       `json:"general"`
	}{w.skipped, []string{}, []string{}})
	if err != nil {
		return "" // texts are always JSON
	}
	return string(b)
}

// A skippedTable is a table that the export could not read.
type skippedTable struct {
	Table  string `json:"table"` // database.schema.table
	Reason string `json:"reason"`
}
