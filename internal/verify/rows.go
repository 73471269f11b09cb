package verify

import (
	"crypto/md5" //nolint:gosec // a checksum that servers compute as well, against mistakes and not against forgers
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"math/bits"
	"slices"
	"strconv"

	"godwit/internal/change"
)

// buckets is how many a table's rows are shared out into, by their key.
const buckets = 256

// RowSums are sums over the digests of a table's rows, by bucket of their key. Rows
// may be added in any order, and sums of parts add up to the sums of the whole.
type RowSums struct {
	Rows     int64
	Filtered int64 // rows of the source that the plan's filter leaves out, in no bucket
	Buckets  [buckets]RowSum
}

// A RowSum is of one bucket: how many rows, and the two halves of their 128-bit
// digests, each added up modulo 2^64. Two different sets of rows that have equal
// sums by accident are one in 2^128; the sums are no proof against whoever chooses
// rows to that end.
type RowSum struct{ Rows, High, Low uint64 }

// MarshalJSON writes the buckets that have rows.
func (s *RowSums) MarshalJSON() ([]byte, error) {
	some := map[string][3]string{}
	for i, b := range s.Buckets {
		if b.Rows != 0 {
			some[strconv.Itoa(i)] = [3]string{strconv.FormatUint(b.Rows, 10), strconv.FormatUint(b.High, 16), strconv.FormatUint(b.Low, 16)}
		}
	}
	return json.Marshal(struct {
		Rows, Filtered int64
		Buckets        map[string][3]string
	}{s.Rows, s.Filtered, some})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *RowSums) UnmarshalJSON(b []byte) error {
	var in struct {
		Rows, Filtered int64
		Buckets        map[string][3]string
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*s = RowSums{Rows: in.Rows, Filtered: in.Filtered}
	for name, texts := range in.Buckets {
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= buckets {
			return fmt.Errorf("there is no bucket %q", name)
		}
		for j, into := range []*uint64{&s.Buckets[i].Rows, &s.Buckets[i].High, &s.Buckets[i].Low} {
			base := 16
			if j == 0 {
				base = 10
			}
			if *into, err = strconv.ParseUint(texts[j], base, 64); err != nil {
				return fmt.Errorf("bucket %d: %w", i, err)
			}
		}
	}
	return nil
}

// Add adds the sums of other rows.
func (s *RowSums) Add(o *RowSums) {
	s.Rows += o.Rows
	s.Filtered += o.Filtered
	for i, b := range o.Buckets {
		s.Buckets[i].Rows += b.Rows
		s.Buckets[i].High, _ = bits.Add64(s.Buckets[i].High, b.High, 0)
		s.Buckets[i].Low, _ = bits.Add64(s.Buckets[i].Low, b.Low, 0)
	}
}

// Remove takes a row out that was added.
func (s *RowSums) Remove(d RowDigest) {
	s.Rows--
	b := &s.Buckets[d.Bucket]
	b.Rows--
	b.High -= binary.BigEndian.Uint64(d.Sum[:8])
	b.Low -= binary.BigEndian.Uint64(d.Sum[8:])
}

func (s *RowSums) add(d RowDigest) {
	s.Rows++
	b := &s.Buckets[d.Bucket]
	b.Rows++
	b.High += binary.BigEndian.Uint64(d.Sum[:8])
	b.Low += binary.BigEndian.Uint64(d.Sum[8:])
}

// Differing are the buckets whose rows are not the same on both sides.
func (s *RowSums) Differing(target *RowSums) []int {
	var list []int
	for i := range s.Buckets {
		if s.Buckets[i] != target.Buckets[i] {
			list = append(list, i)
		}
	}
	return list
}

// Within is how many rows some buckets have.
func (s *RowSums) Within(some []int) (rows uint64) {
	for _, b := range some {
		rows += s.Buckets[b].Rows
	}
	return rows
}

// AddAnswer adds what a server answered to SumsSQL for one bucket: its number, and
// in decimal, the number of rows and the two sums of signed halves.
func (s *RowSums) AddAnswer(bucket int, rows, high, low string) error {
	if bucket < 0 || bucket >= buckets {
		return fmt.Errorf("there is no bucket %d", bucket)
	}
	n, err := strconv.ParseInt(rows, 10, 64)
	if err != nil {
		return err
	}
	var halves [2]uint64
	for i, text := range []string{high, low} {
		sum, ok := new(big.Int).SetString(text, 10)
		if !ok {
			return fmt.Errorf("a sum is no number")
		}
		halves[i] = sum.And(sum, new(big.Int).SetUint64(^uint64(0))).Uint64() // of two's complement
	}
	s.Rows += n
	b := &s.Buckets[bucket]
	b.Rows += uint64(n)
	b.High += halves[0]
	b.Low += halves[1]
	return nil
}

// A RowDigest is of one row: the MD5 of its canonical texts, and the bucket of its
// key.
type RowDigest struct {
	Bucket int
	Sum    [16]byte
}

// A rowDigester digests canonical texts in the order of a plan's columns.
type rowDigester struct {
	columns []change.ColumnPlan // that the load writes
	key     []int               // indexes into columns; nil where there is no key
	byUUID  bool                // the key is one UUID
	row     []byte
	ends    [][2]int // of each column's text in row; -1 is NULL
	keyRow  []byte
}

func newRowDigester(plan *change.TablePlan) (*rowDigester, error) {
	d := &rowDigester{}
	for _, c := range plan.Columns {
		if len(c.From) > 0 {
			d.columns = append(d.columns, c)
		}
	}
	for _, k := range plan.Key {
		i := slices.IndexFunc(d.columns, func(c change.ColumnPlan) bool { return c.Name == k })
		if i < 0 {
			return nil, fmt.Errorf("column %s of the key is not loaded: it cannot be verified", k)
		}
		d.key = append(d.key, i)
	}
	d.byUUID = len(d.key) == 1 && d.columns[d.key[0]].Type == "uuid"
	return d, nil
}

// begin forgets the row before.
func (d *rowDigester) begin() { d.row, d.ends = d.row[:0], d.ends[:0] }

// null adds a NULL, text the canonical text that write appends.
func (d *rowDigester) null() {
	d.row = append(d.row, 'N')
	d.ends = append(d.ends, [2]int{-1, -1})
}

func (d *rowDigester) text(text []byte) {
	d.row = strconv.AppendInt(d.row, int64(len(text)), 10)
	d.row = append(d.row, ':')
	d.ends = append(d.ends, [2]int{len(d.row), len(d.row) + len(text)})
	d.row = append(d.row, text...)
}

func (d *rowDigester) digest() RowDigest {
	out := RowDigest{Sum: md5.Sum(d.row)} //nolint:gosec // see the import
	switch {
	case d.byUUID:
		at := d.ends[d.key[0]]
		b, _ := strconv.ParseUint(string(d.row[at[0]:min(at[0]+2, at[1])]), 16, 8) // canonical: two hexadecimal digits
		out.Bucket = int(b)
	case d.key == nil:
		out.Bucket = int(out.Sum[0])
	default:
		d.keyRow = d.keyRow[:0]
		for _, k := range d.key {
			if at := d.ends[k]; at[0] < 0 {
				d.keyRow = append(d.keyRow, 'N')
			} else {
				d.keyRow = strconv.AppendInt(d.keyRow, int64(at[1]-at[0]), 10)
				d.keyRow = append(d.keyRow, ':')
				d.keyRow = append(d.keyRow, d.row[at[0]:at[1]]...)
			}
		}
		out.Bucket = int(md5.Sum(d.keyRow)[0]) //nolint:gosec // see the import
	}
	return out
}
