package mapping

import "bytes"

// A precision is how much of a timestamp its text gives.
type precision uint8

const (
	toYear precision = iota
	toMonth
	toDay
	toMinute
	toSecond
)

// A timestamp is Ion timestamp text taken apart
// (amazon-ion.github.io/ion-docs/docs/spec.html#timestamp).
type timestamp struct {
	text      []byte // as given
	precision precision
	midnight  bool   // to minute or second: 00:00[:00[.000]]
	fraction  []byte // digits behind the second's point
	offset    int    // minutes east of UTC
	known     bool   // false: -00:00, or to day precision or less
	offsetLen int    // of Z, -00:00, +01:00 at the end of text
}

// parseTimestamp reads a whole Ion timestamp. A day may end with T or not.
func parseTimestamp(s []byte) (t timestamp, ok bool) {
	t.text = s
	year, ok := number(s, 4)
	if !ok || year == 0 || len(s) < 5 {
		return t, false
	}
	if string(s[4:]) == "T" {
		return t, true
	}
	month, ok := number(s[5:], 2)
	if s[4] != '-' || !ok || month < 1 || month > 12 || len(s) < 8 {
		return t, false
	}
	if t.precision = toMonth; string(s[7:]) == "T" {
		return t, true
	}
	day, ok := number(s[8:], 2)
	if s[7] != '-' || !ok || day < 1 || day > daysIn(year, month) {
		return t, false
	}
	if t.precision = toDay; len(s) == 10 || string(s[10:]) == "T" {
		return t, true
	}
	clock := s[11:]
	hour, okHour := number(clock, 2)
	if s[10] != 'T' || !okHour || hour > 23 || len(clock) < 6 || clock[2] != ':' {
		return t, false
	}
	minute, ok := number(clock[3:], 2)
	if !ok || minute > 59 {
		return t, false
	}
	t.precision = toMinute
	rest := clock[5:]
	second := 0
	if rest[0] == ':' {
		if second, ok = number(rest[1:], 2); !ok || second > 59 {
			return t, false
		}
		t.precision = toSecond
		if rest = rest[3:]; len(rest) > 0 && rest[0] == '.' {
			n := digits(rest[1:])
			if n == 0 {
				return t, false
			}
			t.fraction = rest[1 : 1+n]
			rest = rest[1+n:]
		}
	}
	t.midnight = hour == 0 && minute == 0 && second == 0 && zeros(t.fraction) == len(t.fraction)
	t.offsetLen = len(rest)
	if string(rest) == "Z" {
		t.known = true
		return t, true
	}
	if len(rest) != 6 || rest[3] != ':' || rest[0] != '+' && rest[0] != '-' {
		return t, false
	}
	h, okHour := number(rest[1:], 2)
	m, ok := number(rest[4:], 2)
	if !okHour || !ok || h > 23 || m > 59 {
		return t, false
	}
	t.offset = h*60 + m
	t.known = rest[0] == '+' || t.offset != 0
	if rest[0] == '-' {
		t.offset = -t.offset
	}
	return t, true
}

// timestampText returns Ion timestamp text as a string column or jsonb holds it:
// a day as 2019-09-16, not 2019-09-16T. Both are Ion; the first is what JSON
// exports hold.
func timestampText(s []byte) []byte {
	if len(s) == len("2019-09-16T") {
		return s[:len(s)-1]
	}
	return s
}

// number reads n digits at the start of s.
func number(s []byte, n int) (int, bool) {
	if len(s) < n {
		return 0, false
	}
	v := 0
	for _, c := range s[:n] {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// date returns the day, or why t is not exactly one.
func (t *timestamp) date() (day []byte, why string) {
	switch {
	case t.precision < toDay:
		return nil, "has no day"
	case t.precision == toDay:
	case !t.midnight:
		return nil, "has a time of day: map it to timestamptz or text"
	case t.offset != 0:
		return nil, "is midnight at another offset than Z: map it to timestamptz or text"
	}
	return t.text[:10], ""
}

// fine reports a fraction that microseconds do not hold.
func (t *timestamp) fine() bool { return len(bytes.TrimRight(t.fraction, "0")) > 6 }

// far reports an offset that PostgreSQL refuses (MAX_TZDISP_HOUR is 15).
func (t *timestamp) far() bool { return t.offset <= -16*60 || t.offset >= 16*60 }

// clock returns t as text for a timestamp column, with its offset when zone is
// set, or why the column cannot hold it. The text is t's own unless zeros beyond
// microseconds had to go; then it is behind buf.
func (t *timestamp) clock(buf []byte, zone bool) (text, _ []byte, why string) {
	switch {
	case t.precision <= toDay:
		return nil, buf, "has no time of day: map it to date or text"
	case zone && !t.known:
		return nil, buf, "has an unknown offset: map it to timestamp, without zone, or text"
	case !zone && t.offset != 0:
		return nil, buf, "has another offset than Z: map it to timestamptz or text"
	case t.far():
		return nil, buf, "has an offset of 16 hours or more, which timestamptz cannot hold: map it to text"
	}
	end := len(t.text) - t.offsetLen
	excess := max(len(t.fraction)-6, 0)
	if t.fine() {
		return nil, buf, "is finer than a microsecond: map it to text"
	}
	if excess == 0 {
		if zone {
			return t.text, buf, ""
		}
		return t.text[:end], buf, ""
	}
	at := len(buf)
	buf = append(buf, t.text[:end-excess]...)
	if zone {
		buf = append(buf, t.text[end:]...)
	}
	return buf[at:], buf, ""
}

// timeOfDay reports whether s is HH:MM[:SS[.fraction]] with at most microseconds.
func timeOfDay(s []byte) bool {
	h, okHour := number(s, 2)
	if !okHour || h > 23 || len(s) < 5 || s[2] != ':' {
		return false
	}
	if m, ok := number(s[3:], 2); !ok || m > 59 {
		return false
	}
	if len(s) == 5 {
		return true
	}
	if sec, ok := number(s[6:], 2); s[5] != ':' || !ok || sec > 59 {
		return false
	}
	if len(s) == 8 {
		return true
	}
	n := digits(s[9:])
	return s[8] == '.' && n > 0 && n <= 6 && 9+n == len(s)
}
