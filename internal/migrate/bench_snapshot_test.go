package migrate_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"godwit/internal/change"
	"godwit/internal/snapshot"
	"godwit/internal/testdb"
)

// A sale is a row of the table that is measured, as an export writes it: 20
// columns, of which dictionaries hold those that repeat themselves.
type sale struct {
	ID        int64   `parquet:"id"`
	Customer  int64   `parquet:"customer_id"`
	Number    *int32  `parquet:"number,optional"`
	Lines     int32   `parquet:"lines"`
	Paid      bool    `parquet:"paid"`
	Weight    float64 `parquet:"weight"`
	Rate      float32 `parquet:"rate"`
	Total     string  `parquet:"total"`
	Tax       string  `parquet:"tax"`
	Discount  *string `parquet:"discount,optional"`
	Currency  string  `parquet:"currency,dict"`
	Status    string  `parquet:"status,dict"`
	Country   *string `parquet:"country,optional,dict"`
	Email     string  `parquet:"email"`
	Reference string  `parquet:"reference"`
	Ordered   string  `parquet:"ordered_at"`
	Shipped   *string `parquet:"shipped_at,optional"`
	Day       string  `parquet:"day,dict"`
	Note      *string `parquet:"note,optional"`
	Extra     string  `parquet:"extra"`
}

var saleTypes = []change.SourceColumn{
	{Name: "id", Type: "bigint"},
	{Name: "customer_id", Type: "bigint"},
	{Name: "number", Type: "integer"},
	{Name: "lines", Type: "smallint"},
	{Name: "paid", Type: "boolean"},
	{Name: "weight", Type: "double precision"},
	{Name: "rate", Type: "real"},
	{Name: "total", Type: "numeric(12,2)"},
	{Name: "tax", Type: "numeric"},
	{Name: "discount", Type: "numeric(5,2)"},
	{Name: "currency", Type: "character(3)"},
	{Name: "status", Type: "text"},
	{Name: "country", Type: "text"},
	{Name: "email", Type: "character varying(80)"},
	{Name: "reference", Type: "uuid"},
	{Name: "ordered_at", Type: "timestamp with time zone"},
	{Name: "shipped_at", Type: "timestamp with time zone"},
	{Name: "day", Type: "date"},
	{Name: "note", Type: "text"},
	{Name: "extra", Type: "jsonb"},
}

func salesPlan() *change.TablePlan {
	plan := &change.TablePlan{}
	for _, c := range saleTypes {
		plan.Columns = append(plan.Columns, change.ColumnPlan{Name: c.Name, Type: c.Type, From: []change.SourceColumn{c}, As: change.Conversion{Kind: change.AsIs}})
	}
	return plan
}

// sales writes a part of so many rows, compressed as exports are, in groups of
// 100,000.
func sales(b *testing.B, rows int) []byte {
	b.Helper()
	var file bytes.Buffer
	w := parquet.NewGenericWriter[sale](&file, parquet.Compression(&parquet.Gzip), parquet.MaxRowsPerRowGroup(100_000), parquet.PageBufferSize(1<<20))
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	some := func(percent int, s string) *string {
		if r.IntN(100) >= percent {
			return nil
		}
		return &s
	}
	for i := range rows {
		id := sha256.Sum256(strconv.AppendInt(nil, int64(i), 10))
		u := hex.EncodeToString(id[:16])
		number := int32(r.IntN(1 << 20))
		s := sale{
			ID: int64(i) + 1, Customer: r.Int64N(90_000), Number: &number, Lines: int32(r.IntN(30)), Paid: r.IntN(3) > 0,
			Weight: float64(r.IntN(500_000)) / 1000, Rate: float32(r.IntN(1000)) / 8, Total: fmt.Sprintf("%d.%02d", r.IntN(9000), r.IntN(100)),
			Tax: fmt.Sprintf("0.%04d", r.IntN(3000)), Discount: some(30, fmt.Sprintf("%d.50", r.IntN(90))),
			Currency: pick("EUR", "USD", "CHF"), Status: pick("new", "paid", "shipped", "returned"),
			Country: some(90, pick("DE", "FR", "Österreich", "US", "JP", "BR")), Email: fmt.Sprintf("user%d@example.com", r.IntN(90_000)),
			Reference: u[:8] + "-" + u[8:12] + "-" + u[12:16] + "-" + u[16:20] + "-" + u[20:],
			Ordered:   fmt.Sprintf("2026-%02d-%02d %02d:%02d:%02d.%06d+00", 1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1_000_000)),
			Shipped:   some(70, fmt.Sprintf("2026-%02d-%02d %02d:00:00+00", 1+r.IntN(12), 1+r.IntN(28), r.IntN(24))),
			Day:       fmt.Sprintf("2026-%02d-%02d", 1+r.IntN(12), 1+r.IntN(28)), Note: some(20, "left at the door\nrang "+strconv.Itoa(r.IntN(5))+" times"),
			Extra: fmt.Sprintf(`{"source": "web", "session": %d, "tags": ["a", "b"]}`, r.IntN(1<<30)),
		}
		if i%7 == 0 {
			s.Number = nil
		}
		if _, err := w.Write([]sale{s}); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return file.Bytes()
}

// pagesOnly decompresses and decodes every page and does nothing with it.
func pagesOnly(file []byte) error {
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)), parquet.SkipPageIndex(true))
	if err != nil {
		return err
	}
	for _, g := range f.RowGroups() {
		for _, c := range g.ColumnChunks() {
			pages := c.Pages()
			for {
				page, err := pages.ReadPage()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return err
				}
				parquet.Release(page)
			}
			if err := pages.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// salesPlainly reads rows into structs and writes their columns one by one.
func salesPlainly(file []byte, out func([]byte)) error {
	r := parquet.NewGenericReader[sale](bytes.NewReader(file))
	rows := make([]sale, 500)
	var line []byte
	text := func(s string) {
		for i := range len(s) {
			switch c := s[i]; c {
			case '\\':
				line = append(line, `\\`...)
			case '\n':
				line = append(line, `\n`...)
			case '\t':
				line = append(line, `\t`...)
			case '\r':
				line = append(line, `\r`...)
			default:
				line = append(line, c)
			}
		}
		line = append(line, '\t')
	}
	maybe := func(s *string) {
		if s == nil {
			line = append(line, "\\N\t"...)
		} else {
			text(*s)
		}
	}
	integer := func(i int64) { line = append(strconv.AppendInt(line, i, 10), '\t') }
	for {
		n, err := r.Read(rows)
		for i := range rows[:n] {
			s := &rows[i]
			line = line[:0]
			integer(s.ID)
			integer(s.Customer)
			if s.Number == nil {
				maybe(nil)
			} else {
				integer(int64(*s.Number))
			}
			integer(int64(s.Lines))
			text(map[bool]string{false: "f", true: "t"}[s.Paid])
			line = append(strconv.AppendFloat(line, s.Weight, 'f', -1, 64), '\t')
			line = append(strconv.AppendFloat(line, float64(s.Rate), 'f', -1, 32), '\t')
			text(s.Total)
			text(s.Tax)
			maybe(s.Discount)
			text(s.Currency)
			text(s.Status)
			maybe(s.Country)
			text(s.Email)
			text(s.Reference)
			text(s.Ordered)
			maybe(s.Shipped)
			text(s.Day)
			maybe(s.Note)
			text(s.Extra)
			line[len(line)-1] = '\n'
			out(line)
		}
		if errors.Is(err, io.EOF) {
			return r.Close()
		}
		if err != nil {
			return err
		}
	}
}

// What an export's rows cost above the decoding of their pages, which is
// decompressing more than anything else.
func BenchmarkSnapshotToRows(b *testing.B) {
	const rows = 300_000
	file := sales(b, rows)
	part, err := snapshot.OpenPart(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		b.Fatal(err)
	}
	encoder, err := snapshot.NewEncoder(salesPlan(), part.Columns())
	if err != nil {
		b.Fatal(err)
	}
	encode := func(out func([]byte)) error {
		part, err := snapshot.OpenPart(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return err
		}
		return encoder.Encode(b.Context(), part, 0, part.Rows(), func(l change.Lines) error {
			out(l.Data)
			return nil
		})
	}
	ours, plain := sha256.New(), sha256.New()
	size := int64(0)
	if err := errors.Join(encode(func(d []byte) { ours.Write(d); size += int64(len(d)) }), salesPlainly(file, func(d []byte) { plain.Write(d) })); err != nil {
		b.Fatal(err)
	}
	if !bytes.Equal(ours.Sum(nil), plain.Sum(nil)) {
		b.Fatal("the two ways make different lines")
	}
	race(b, fmt.Sprintf("Snapshot: %d rows of 20 columns, gzip, to COPY text: %d MB of Parquet, %d MB of lines", rows, len(file)>>20, size>>20), cpu,
		contestant{name: "godwit", bytes: rows, things: "rows", run: func() error { return encode(func([]byte) {}) }},
		contestant{name: "pages only", bytes: rows, things: "rows", least: 0.6, run: func() error { return pagesOnly(file) }},
		contestant{name: "rows into structs", bytes: rows, things: "rows", least: 1.5, run: func() error { return salesPlainly(file, func([]byte) {}) }})
}

// An export's rows go into a table about as fast as ready lines of them would:
// they are decoded while the server takes in those before.
func BenchmarkSnapshotImport(b *testing.B) {
	const rows = 100_000
	file := sales(b, rows)
	plan := salesPlan()
	conn := testdb.Connect(b, testdb.New(b).AdminDSN)
	definitions := make([]string, len(saleTypes))
	for i, c := range saleTypes {
		definitions[i] = c.Name + " " + c.Type
	}
	exec := func(sql string) error {
		_, err := conn.Exec(b.Context(), sql)
		return err
	}
	if err := exec("CREATE TABLE sales (" + strings.Join(definitions, ", ") + ")"); err != nil {
		b.Fatal(err)
	}
	encode := func(out func([]byte) error) error {
		part, err := snapshot.OpenPart(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return err
		}
		encoder, err := snapshot.NewEncoder(plan, part.Columns())
		if err != nil {
			return err
		}
		return encoder.Encode(b.Context(), part, 0, rows, func(l change.Lines) error { return out(l.Data) })
	}
	var lines []byte
	if err := encode(func(d []byte) error {
		lines = append(lines, d...)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	load := func(lines io.Reader) error {
		tag, err := conn.PgConn().CopyFrom(b.Context(), lines, "COPY sales FROM STDIN")
		if err == nil && tag.RowsAffected() != rows {
			err = fmt.Errorf("%d rows of %d", tag.RowsAffected(), rows)
		}
		return err
	}
	before := func() error { return exec("TRUNCATE sales") }
	race(b, fmt.Sprintf("Snapshot: %d rows of 20 columns, gzip, into a table without keys, over one connection", rows), wall(),
		contestant{name: "godwit", bytes: rows, things: "rows", before: before, run: func() error {
			r, w := io.Pipe()
			go func() {
				w.CloseWithError(encode(func(d []byte) error {
					_, err := w.Write(d)
					return err
				}))
			}()
			return load(r)
		}},
		contestant{name: "COPY of the same lines", bytes: rows, things: "rows", least: 0.85, before: before, run: func() error { return load(bytes.NewReader(lines)) }})
}
