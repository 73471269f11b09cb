package snapshot

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"godwit/internal/change"
)

// A keyMaker makes the UUIDs of a column that stands for a key.
type keyMaker struct {
	namespace string
	of        change.TableName
	parts     []*converter // canonical texts, in the key's order
	key       [][]byte
	buf       []byte
	cells     []cell
}

func (k *keyMaker) texts() ([]byte, []cell) { return k.buf, k.cells }

// run makes the UUIDs of n rows. A key of which a column is NULL refers to
// nothing, and becomes NULL.
func (k *keyMaker) run(n int) {
	k.buf, k.cells = k.buf[:0], slices.Grow(k.cells[:0], n)[:n]
	for i := range k.cells {
		k.key = k.key[:0]
		whole := cell{}
		for _, part := range k.parts {
			c := part.cells[i]
			if c.end >= isText {
				if whole.end != isNull {
					whole = c
				}
				continue
			}
			k.key = append(k.key, part.buf[c.at:c.end])
		}
		if whole.end == 0 {
			at := len(k.buf)
			k.buf = change.KeyUUID(k.buf, k.namespace, k.of, k.key...)
			whole = cell{uint32(at), uint32(len(k.buf))}
		}
		k.cells[i] = whole
	}
}

// canonical prepares c for the texts that change.KeyUUID is made of: those of
// value::text with the time zone UTC, of a numeric without zeros behind it.
func (c *converter) canonical(sourceType string) {
	c.raw, c.words = true, true
	switch base(sourceType) {
	case "numeric":
		c.trim = trimNumeric
	case "character", "bpchar":
		c.trim = func(text []byte) []byte { return bytes.TrimRight(text, " ") }
	case "timestamp with time zone":
		c.trim = toUTC
	}
}

// toUTC returns the ISO text of a timestamp with time zone in UTC, as PostgreSQL
// writes it; nil when the text is none.
func toUTC(text []byte) []byte {
	switch {
	case bytes.HasSuffix(text, []byte("+00")), string(text) == "infinity", string(text) == "-infinity":
		return text
	}
	rest, bc := bytes.CutSuffix(text, []byte(" BC"))
	day, clock, ok := bytes.Cut(rest, []byte(" "))
	sign := bytes.LastIndexAny(clock, "+-")
	if !ok || sign < 0 {
		return nil
	}
	clock, zone := clock[:sign], clock[sign:]
	clock, fraction, _ := bytes.Cut(clock, []byte("."))
	ymd, okDay := fields(day, '-', 3, 3)
	hms, okClock := fields(clock, ':', 3, 3)
	offset, okZone := fields(zone[1:], ':', 1, 3)
	for _, c := range fraction {
		okClock = okClock && c >= '0' && c <= '9'
	}
	if !okDay || !okClock || !okZone {
		return nil
	}
	if bc {
		ymd[0] = 1 - ymd[0]
	}
	seconds := offset[0]*3600 + offset[1]*60 + offset[2]
	if zone[0] == '+' {
		seconds = -seconds
	}
	at := time.Date(ymd[0], time.Month(ymd[1]), ymd[2], hms[0], hms[1], hms[2]+seconds, 0, time.UTC)
	year := at.Year()
	if bc = year <= 0; bc {
		year = 1 - year
	}
	out := make([]byte, 0, len(text)+8)
	for n := 1000; n > year; n /= 10 {
		out = append(out, '0')
	}
	out = strconv.AppendInt(out, int64(year), 10)
	out = at.AppendFormat(out, "-01-02 15:04:05")
	if len(fraction) > 0 {
		out = append(append(out, '.'), fraction...)
	}
	out = append(out, "+00"...)
	if bc {
		out = append(out, " BC"...)
	}
	return out
}

// fields reads from least to most numbers of at most nine digits with a separator
// between them; those that are missing are 0.
func fields(text []byte, separator byte, least, most int) (numbers [3]int, ok bool) {
	parts := bytes.Split(text, []byte{separator})
	if len(parts) < least || len(parts) > most {
		return numbers, false
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(string(p), 10, 30)
		if err != nil {
			return numbers, false
		}
		numbers[i] = int(n)
	}
	return numbers, true
}
