package ion

import (
	"fmt"
	"math/big"
	"strconv"
)

// maxFractionDigits bounds the fraction of a second, which is otherwise
// unlimited: QLDB writes three digits.
const maxFractionDigits = 100

// AppendTimestamp appends the Ion text of the current value, a timestamp that
// is not null: its own precision (2019T, 2019-09T, 2019-09-16,
// 2019-09-16T19:37Z, ...) and its own offset, -00:00 where it is unknown. The
// text is the only one of its value: no other spelling is ever made.
//
// Binary Ion holds the fields in UTC; the text shows them at the offset.
func (c *Cursor) AppendTimestamp(dst []byte) ([]byte, error) {
	if !c.live || c.typ != TimestampType || c.null {
		return dst, c.want(TimestampType)
	}
	b := c.data[c.body:c.pos]
	if out, ok := appendUsual(dst, b); ok {
		return out, nil
	}
	offset, unknown, n := varInt(b)
	if n == 0 || offset <= -24*60 || offset >= 24*60 {
		return dst, c.wrong("timestamp's offset is not less than a day")
	}
	unknown = unknown && offset == 0
	b = b[n:]
	// year, month, day, hour, minute, second
	f := [6]int64{0, 1, 1, 0, 0, 0}
	low := [6]int64{1, 1, 1, 0, 0, 0}
	high := [6]int64{9999, 12, 31, 23, 59, 59}
	fields := 0
	for fields < 6 && len(b) > 0 {
		v, n := varUint(b)
		if n == 0 {
			return dst, c.wrong("timestamp ends within a field")
		}
		if v < uint64(low[fields]) || v > uint64(high[fields]) {
			return dst, c.wrong("timestamp's " + fieldNames[fields] + " is out of range")
		}
		f[fields] = int64(v)
		b = b[n:]
		fields++
	}
	switch {
	case fields == 0:
		return dst, c.wrong("timestamp has no year")
	case fields == 4:
		return dst, c.wrong("timestamp has an hour and no minute")
	case f[2] > daysIn(f[0], f[1]):
		return dst, c.wrong("timestamp's day is out of range")
	}
	if fields >= 5 && offset != 0 {
		if !shift(&f, offset) {
			return dst, c.wrong("timestamp's year is out of range at its offset")
		}
	}
	dst = append2(append2(dst, f[0]/100), f[0]%100)
	for i, sep := range [...]byte{'-', '-'} {
		if fields < i+2 {
			return append(dst, 'T'), nil
		}
		dst = append2(append(dst, sep), f[i+1])
	}
	if fields == 3 {
		return dst, nil
	}
	dst = append(dst, 'T')
	dst = append2(dst, f[3])
	dst = append2(append(dst, ':'), f[4])
	if fields == 6 {
		dst = append2(append(dst, ':'), f[5])
		var err error
		if dst, err = c.appendFraction(dst, b); err != nil {
			return dst, err
		}
	}
	switch {
	case unknown:
		return append(dst, "-00:00"...), nil
	case offset == 0:
		return append(dst, 'Z'), nil
	case offset < 0:
		dst, offset = append(dst, '-'), -offset
	default:
		dst = append(dst, '+')
	}
	dst = append2(dst, offset/60)
	return append2(append(dst, ':'), offset%60), nil
}

// appendUsual appends the two kinds of timestamp that ledgers are full of, in
// their usual encoding: a day without an offset, and the time of a transaction,
// in UTC with a fraction that is absent or whole milliseconds. Anything else,
// and anything doubtful, is left to AppendTimestamp: ok is false.
func appendUsual(dst, b []byte) (_ []byte, ok bool) {
	// Offset, the year in two bytes, then a byte each; the high bit ends a number.
	if len(b) < 5 || b[0]&^0x40 != 0x80 || b[1] >= 0x80 || b[2] < 0x80 {
		return dst, false
	}
	year, month, day := int64(b[1])<<7|int64(b[2]&0x7f), int64(b[3])-0x80, int64(b[4])-0x80
	if year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 28 && day > daysIn(year, month) {
		return dst, false
	}
	var text [24]byte
	copy(text[:], "0000-00-00T00:00:00.000Z")
	put2(text[0:2], year/100)
	put2(text[2:4], year%100)
	put2(text[5:7], month)
	put2(text[8:10], day)
	if len(b) == 5 {
		return append(dst, text[:10]...), true
	}
	if b[0] != 0x80 || len(b) < 8 {
		return dst, false
	}
	hour, minute, second := int64(b[5])-0x80, int64(b[6])-0x80, int64(b[7])-0x80
	if hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return dst, false
	}
	put2(text[11:13], hour)
	put2(text[14:16], minute)
	put2(text[17:19], second)
	millis := int64(-1)
	switch {
	case len(b) == 8:
		text[19] = 'Z'
		return append(dst, text[:20]...), true
	case b[8] != 0xC3: // exponent -3
	case len(b) == 10 && b[9] < 0x80:
		millis = int64(b[9])
	case len(b) == 11 && b[9] < 0x80:
		millis = int64(b[9])<<8 | int64(b[10])
	}
	if millis < 0 || millis > 999 {
		return dst, false
	}
	text[20] = byte('0' + millis/100)
	put2(text[21:23], millis%100)
	return append(dst, text[:]...), true
}

func put2(dst []byte, v int64) { dst[0], dst[1] = byte('0'+v/10), byte('0'+v%10) }

var fieldNames = [6]string{"year", "month", "day", "hour", "minute", "second"}

// appendFraction appends .fff for the fraction b: VarInt exponent, Int
// coefficient. A fraction without digits behind the point adds nothing.
func (c *Cursor) appendFraction(dst, b []byte) ([]byte, error) {
	if len(b) == 0 {
		return dst, nil
	}
	exp, _, n := varInt(b)
	if n == 0 {
		return dst, c.wrong("timestamp's fraction has no exponent")
	}
	coef := b[n:]
	m, small := signMagnitude(coef)
	switch {
	case exp < -maxFractionDigits:
		return dst, c.wrong(fmt.Sprintf("timestamp's fraction has more than %d digits", maxFractionDigits))
	case len(coef) > 0 && coef[0]&0x80 != 0 && !(small && m == 0):
		return dst, c.wrong("timestamp's fraction is negative")
	case exp >= 0 && small && m == 0:
		return dst, nil
	case exp >= 0:
		return dst, c.wrong("timestamp's fraction is not less than a second")
	case len(coef) > maxFractionDigits:
		return dst, c.wrong("timestamp's fraction is not less than a second")
	}
	if exp == -3 && small && m < 1000 { // as QLDB writes it
		return append2(append(dst, '.', byte('0'+m/100)), int64(m%100)), nil
	}
	var buf [maxFractionDigits]byte
	digits := strconv.AppendUint(buf[:0], m, 10)
	if !small {
		digits = new(big.Int).SetBytes(coef).Append(buf[:0], 10) // not negative: the sign bit is 0
	}
	if int64(len(digits)) > -exp {
		return dst, c.wrong("timestamp's fraction is not less than a second")
	}
	dst = append(dst, '.')
	for i := int64(len(digits)); i < -exp; i++ {
		dst = append(dst, '0')
	}
	return append(dst, digits...), nil
}

// shift adds offset minutes, less than a day either way, to the fields year to
// minute of f. It reports whether the year stays within 1 to 9999.
func shift(f *[6]int64, offset int64) bool {
	minutes := f[3]*60 + f[4] + offset
	days := int64(0)
	switch {
	case minutes < 0:
		minutes, days = minutes+24*60, -1
	case minutes >= 24*60:
		minutes, days = minutes-24*60, 1
	}
	f[3], f[4] = minutes/60, minutes%60
	f[2] += days
	switch {
	case f[2] < 1:
		if f[1]--; f[1] < 1 {
			f[0], f[1] = f[0]-1, 12
		}
		f[2] = daysIn(f[0], f[1])
	case f[2] > daysIn(f[0], f[1]):
		f[2] = 1
		if f[1]++; f[1] > 12 {
			f[0], f[1] = f[0]+1, 1
		}
	}
	return f[0] >= 1 && f[0] <= 9999
}

// daysIn returns the days of a month of the proleptic Gregorian calendar.
func daysIn(year, month int64) int64 {
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

// append2 appends v, 0 to 99, as two digits.
func append2(dst []byte, v int64) []byte {
	return append(dst, byte('0'+v/10), byte('0'+v%10))
}
