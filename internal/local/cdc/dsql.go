package cdc

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxDSQL is the bytes of a record above which Aurora DSQL cuts its image into
// fragments.
const MaxDSQL = 9 << 20

// DSQL returns the records of a change: one, or that which names the fragments of
// its image, and those. An update, too, has the whole row; a deletion the key.
func DSQL(r Row, cluster string) ([][]byte, error) {
	image := []byte{'{'}
	for i, c := range r.Columns {
		v, err := dsqlValue(c)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		if i > 0 {
			image = append(image, ',')
		}
		image = append(append(append(image, quote(c.Name)...), ':'), v...)
	}
	image = append(image, '}')

	op, before, after := "c", "null", string(image)
	switch r.Op {
	case Update:
		op = "u"
	case Delete:
		op, before, after = "d", string(image), "null"
	}
	record := func(kind, before, after, more string) []byte {
		return fmt.Appendf(nil, `{"type":%q,"op":%q,"before":%s,"after":%s,"source":{"version":"1.0","ts_ms":%d,"ts_ns":%d,"txId":%s,"schema":%s,"table":%s,"db":"postgres","cluster":%s}%s,"ts_ms":%d,"ts_ns":%d}`,
			kind, op, before, after, r.Commit.UnixMilli(), r.Commit.UnixNano(), quote(r.Transaction), quote(r.Schema), quote(r.Table), quote(cluster), more,
			r.Built.UnixMilli(), r.Built.UnixNano())
	}
	full := record("full", before, after, "")
	if len(full) <= MaxDSQL {
		return [][]byte{full}, nil
	}

	side := "after"
	if r.Op == Delete {
		side = "before"
	}
	sum := crc32.Checksum(image, crc32.MakeTable(crc32.Castagnoli))
	id := fmt.Sprintf("%s-%08x", r.Transaction, sum)
	const part = 4 << 20
	var fragments [][]byte
	for rest := image; len(rest) > 0; {
		n := min(part, len(rest))
		for n < len(rest) && !utf8.RuneStart(rest[n]) {
			n--
		}
		fragments = append(fragments, fmt.Appendf(nil, `{"type":"fragment","chunk_id":%s,"index":%d,"data":%s}`, quote(id), len(fragments), quote(string(rest[:n]))))
		rest = rest[n:]
	}
	chunked := fmt.Sprintf(`,"chunked":{%q:{"chunk_id":%s,"total_fragments":%d,"crc32c":"%d"}}`, side, quote(id), len(fragments), sum)
	return append([][]byte{record("chunked", "null", "null", chunked)}, fragments...), nil
}

// dsqlValue returns a value's JSON, by the guide's "Data type serialization".
func dsqlValue(c Column) (string, error) {
	if c.Null {
		return "null", nil
	}
	base, rest, _ := strings.Cut(c.Type, "(")
	if _, zone, ok := strings.Cut(rest, ")"); ok {
		base += zone
	}
	switch base {
	case "smallint", "integer", "bigint", "oid":
		return c.Text, nil
	case "real", "double precision":
		if json.Valid([]byte(c.Text)) {
			return c.Text, nil
		}
		return quote(c.Text), nil // NaN, Infinity
	case "boolean":
		return strconv.FormatBool(c.Text == "t" || c.Text == "true"), nil
	case "character", "bpchar":
		return quote(strings.TrimRight(c.Text, " ")), nil
	case "bytea":
		plain, err := hex.DecodeString(strings.TrimPrefix(c.Text, `\x`))
		return quote(base64.StdEncoding.EncodeToString(plain)), err
	case "date":
		switch c.Text {
		case "infinity":
			return strconv.Itoa(math.MaxInt32 + 10_957), nil
		case "-infinity":
			return strconv.Itoa(math.MinInt32 + 10_957), nil
		}
		t, err := parse(c.Text + " 00:00:00")
		return strconv.FormatInt(floorDiv(t.Unix(), 86_400), 10), err
	case "time without time zone":
		t, err := parse("1970-01-01 " + strings.Replace(c.Text, "24:00:00", "00:00:00", 1))
		n := t.UnixMicro()
		if c.Text == "24:00:00" {
			n = 86_400_000_000
		}
		return strconv.FormatInt(n, 10), err
	case "timestamp without time zone", "timestamp with time zone":
		switch c.Text {
		case "infinity":
			return "9223372036825200000", nil
		case "-infinity":
			return "-9223372036832400000", nil
		}
		t, err := parse(strings.Replace(c.Text, "+00", "", 1))
		return strconv.FormatInt(t.UnixMicro(), 10), err
	case "interval", "time with time zone":
		// Approximations of the value, by the guide: what they are of is lost.
		return "2802603000000", nil
	case "numeric", "text", "character varying", "name", "uuid", "json", "jsonb":
		return quote(c.Text), nil
	}
	return "", fmt.Errorf("type %s is not one of Aurora DSQL's", c.Type)
}

// parse reads PostgreSQL's text of a timestamp in ISO style, of any year.
func parse(text string) (time.Time, error) {
	text, bc := strings.CutSuffix(text, " BC")
	if day, rest, ok := strings.Cut(text, " BC "); ok { // of a date
		text, bc = day+" "+rest, true
	}
	year, rest, _ := strings.Cut(text, "-")
	n, err := strconv.Atoi(year)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no timestamp: %w", text, err)
	}
	// The year in which the rest is read only must be a leap year.
	t, err := time.Parse("2006-01-02 15:04:05.999999", "2000-"+rest)
	if err != nil {
		return time.Time{}, err
	}
	if bc {
		n = 1 - n
	}
	return time.Date(n, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC), nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
