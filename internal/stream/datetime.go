package stream

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

const (
	secondMicros = 1_000_000
	dayMicros    = 86_400 * secondMicros

	// Days from 1970-01-01. PostgreSQL's first day is 24 November 4714 BC; its
	// last year of a timestamp is 294276, of a date 5874897.
	firstDay      = -2_440_588
	lastTimestamp = 106_751_991 // 294247-01-10, the last whole day of 2^63 µs: no source has later ones
	lastDate      = 2_145_042_905
)

// Aurora DSQL's spellings of infinity; see "Data type serialization" in its
// guide. Of dates it says that they follow from arithmetic with the epochs:
// PostgreSQL's date holds them as the ends of 32 bits, from 2000 on.
const (
	dsqlFuture     = 9_223_372_036_825_200_000
	dsqlPast       = -9_223_372_036_832_400_000
	dsqlFutureDate = 1<<31 - 1 + 10_957
	dsqlPastDate   = -1<<31 + 10_957
)

// fromEpoch adds the text of Aurora DSQL's dates (days since 1970), times
// (microseconds since midnight) and timestamps (microseconds since 1970).
func (c *column) fromEpoch(dst, v []byte) ([]byte, error) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		if err := c.wants(v, isNumber(v)); err != nil {
			return nil, err
		}
		return nil, errors.New("is no whole number")
	}
	if c.kind == date {
		switch n {
		case dsqlFutureDate:
			return append(dst, "infinity"...), nil
		case dsqlPastDate:
			return append(dst, "-infinity"...), nil
		}
		return c.appendTime(dst, n, 0)
	}
	switch {
	case c.kind == daytime && (n < 0 || n > dayMicros):
		return nil, errors.New("is no time of day")
	case c.kind == daytime:
		return c.appendTime(dst, 0, n)
	case n == dsqlFuture:
		return append(dst, "infinity"...), nil
	case n == dsqlPast:
		return append(dst, "-infinity"...), nil
	}
	day, micro := n/dayMicros, n%dayMicros
	if micro < 0 {
		day, micro = day-1, micro+dayMicros
	}
	return c.appendTime(dst, day, micro)
}

// appendTime adds a day and a time of it as the column's type has it. The
// spelling is always the same: 2024-01-31, 23:59:59.5, both, +00 behind an
// instant, " BC" where it takes it.
func (c *column) appendTime(dst []byte, day, micro int64) ([]byte, error) {
	last := int64(lastTimestamp)
	if c.kind == date {
		last = lastDate
	}
	if day < firstDay || day > last {
		return nil, c.outside()
	}
	if c.kind != date {
		unit := int64(secondMicros)
		for range c.scale {
			unit /= 10
		}
		if unit > 1 && micro%unit != 0 {
			return nil, fmt.Errorf("has a finer fraction of a second than %s holds", c.Type)
		}
	}
	year, month, dayOfMonth := civil(day)
	if c.kind != daytime {
		shown := year
		if year <= 0 {
			shown = 1 - year
		}
		dst = appendPadded(dst, shown, 4)
		dst = appendPadded(append(dst, '-'), month, 2)
		dst = appendPadded(append(dst, '-'), dayOfMonth, 2)
	}
	if c.kind == moment || c.kind == instant {
		dst = append(dst, ' ')
	}
	if c.kind != date {
		dst = appendPadded(dst, micro/(3600*secondMicros), 2)
		dst = appendPadded(append(dst, ':'), micro/(60*secondMicros)%60, 2)
		dst = appendPadded(append(dst, ':'), micro/secondMicros%60, 2)
		if fraction := micro % secondMicros; fraction != 0 {
			dst = bytes.TrimRight(appendPadded(append(dst, '.'), fraction, 6), "0")
		}
	}
	if c.kind == instant {
		dst = append(dst, "+00"...)
	}
	if c.kind != daytime && year <= 0 {
		dst = append(dst, " BC"...)
	}
	return dst, nil
}

func appendPadded(dst []byte, n int64, width int) []byte {
	for limit := int64(10); width > 1; width-- {
		if n < limit {
			dst = append(dst, '0')
		}
		limit *= 10
	}
	return strconv.AppendInt(dst, n, 10)
}

// fromText reads the dates and times of DMS: as PostgreSQL writes them (ISO), or
// with T in between and Z behind, which DMS also writes behind a timestamp
// without time zone.
func (c *column) fromText(dst, s []byte) ([]byte, error) {
	if string(s) == "infinity" || string(s) == "-infinity" {
		if c.kind == daytime {
			return nil, c.noTime()
		}
		return s, nil
	}
	s, bc := bytes.CutSuffix(s, []byte(" BC"))
	var (
		p   = timeParser{rest: s, ok: true}
		day int64
	)
	if c.kind != daytime {
		year := p.number(4, 7)
		p.byte('-')
		month := p.number(2, 2)
		p.byte('-')
		dayOfMonth := p.number(2, 2)
		if bc {
			year = 1 - year
		}
		if !p.ok || month < 1 || month > 12 || dayOfMonth < 1 || bc && year > 0 || !bc && year < 1 {
			return nil, c.noTime()
		}
		day = days(year, month, dayOfMonth)
		if _, m, d := civil(day); m != month || d != dayOfMonth {
			return nil, c.noTime() // 31 February
		}
		if len(p.rest) > 0 {
			if p.rest[0] != 'T' && p.rest[0] != ' ' {
				return nil, c.noTime()
			}
			p.rest = p.rest[1:]
		} else if c.kind != date {
			return nil, c.noTime()
		}
	}
	var micro, offset int64
	zoned := false
	if c.kind != date || len(p.rest) > 0 {
		micro = p.timeOfDay()
		offset, zoned = p.zone()
		if !p.ok || len(p.rest) > 0 || micro == dayMicros && c.kind != daytime {
			return nil, c.noTime()
		}
		if p.finer {
			return nil, errors.New("has a finer fraction of a second than microseconds")
		}
	}
	switch {
	case c.kind == date && micro != 0:
		return nil, errors.New("has a time of day, which date has not")
	case c.kind == instant && !zoned:
		return nil, errors.New("has no time zone, so which instant it is cannot be told: make it UTC in the source, or use timestamp")
	case c.kind != instant && offset != 0:
		return nil, fmt.Errorf("has an offset from UTC, which %s has not", c.Type)
	}
	if micro -= offset * secondMicros; c.kind == instant {
		for micro < 0 {
			day, micro = day-1, micro+dayMicros
		}
		for micro >= dayMicros {
			day, micro = day+1, micro-dayMicros
		}
	}
	return c.appendTime(dst, day, micro)
}

func (c *column) noTime() error {
	return fmt.Errorf("is no %s as DMS writes it", c.Type)
}

// A timeParser reads digits; ok falls at the first that is missing.
type timeParser struct {
	rest  []byte
	ok    bool
	finer bool // than microseconds
}

// number reads so many digits.
func (p *timeParser) number(least, most int) int64 {
	var n int64
	i := 0
	for ; i < most && i < len(p.rest) && p.rest[i] >= '0' && p.rest[i] <= '9'; i++ {
		n = n*10 + int64(p.rest[i]-'0')
	}
	if i < least {
		p.ok = false
	}
	p.rest = p.rest[i:]
	return n
}

func (p *timeParser) byte(b byte) {
	if len(p.rest) == 0 || p.rest[0] != b {
		p.ok = false
		return
	}
	p.rest = p.rest[1:]
}

// timeOfDay reads 15:04, 15:04:05 or 15:04:05.999999 as microseconds.
func (p *timeParser) timeOfDay() int64 {
	hour := p.number(2, 2)
	p.byte(':')
	minute := p.number(2, 2)
	var second, fraction int64
	if len(p.rest) > 0 && p.rest[0] == ':' {
		p.rest = p.rest[1:]
		second = p.number(2, 2)
		if len(p.rest) > 0 && p.rest[0] == '.' {
			p.rest = p.rest[1:]
			unit := int64(secondMicros / 10)
			if len(p.rest) == 0 || p.rest[0] < '0' || p.rest[0] > '9' {
				p.ok = false
			}
			for len(p.rest) > 0 && p.rest[0] >= '0' && p.rest[0] <= '9' {
				d := int64(p.rest[0] - '0')
				p.finer = p.finer || unit == 0 && d != 0
				fraction += d * unit
				unit /= 10
				p.rest = p.rest[1:]
			}
		}
	}
	micro := ((hour*60+minute)*60+second)*secondMicros + fraction
	if hour > 24 || minute > 59 || second > 59 || micro > dayMicros {
		p.ok = false
	}
	return micro
}

// zone reads Z, +02, -0330 or +05:30:15 as seconds east of UTC.
func (p *timeParser) zone() (seconds int64, zoned bool) {
	if len(p.rest) == 0 {
		return 0, false
	}
	sign := int64(1)
	switch p.rest[0] {
	case 'Z':
		p.rest = p.rest[1:]
		return 0, true
	case '-':
		sign = -1
	case '+':
	default:
		p.ok = false
		return 0, false
	}
	p.rest = p.rest[1:]
	seconds = p.number(2, 2) * 3600
	for _, unit := range [2]int64{60, 1} {
		if len(p.rest) == 0 {
			break
		}
		if p.rest[0] == ':' {
			p.rest = p.rest[1:]
		}
		n := p.number(2, 2)
		if n > 59 {
			p.ok = false
		}
		seconds += n * unit
	}
	return sign * seconds, true
}

// days returns the days from 1970-01-01 to a date of the Gregorian calendar;
// the year 0 is 1 BC. The count is by years that begin in March, so that the
// leap day is the last.
func days(year, month, day int64) int64 {
	if month <= 2 {
		year--
	}
	era := floor(year, 400)
	ofEra := year - era*400
	ofYear := (153*((month+9)%12)+2)/5 + day - 1
	return era*146_097 + ofEra*365 + ofEra/4 - ofEra/100 + ofYear - 719_468
}

// civil is the inverse of days.
func civil(day int64) (year, month, dayOfMonth int64) {
	day += 719_468
	era := floor(day, 146_097)
	ofEra := day - era*146_097
	yearOfEra := (ofEra - ofEra/1460 + ofEra/36_524 - ofEra/146_096) / 365
	ofYear := ofEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	shifted := (5*ofYear + 2) / 153
	dayOfMonth = ofYear - (153*shifted+2)/5 + 1
	if month = shifted + 3; month > 12 {
		month -= 12
	}
	year = yearOfEra + era*400
	if month <= 2 {
		year++
	}
	return year, month, dayOfMonth
}

// floor divides, rounding down.
func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
