package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// number writes n with a comma between thousands.
func number(n int64) string { return group(strconv.FormatInt(n, 10)) }

func group(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// count writes n and its noun. With one more form it is the plural, with two
// they are the verbs: count(1, "row", "was", "were") is "1 row was".
func count(n int64, noun string, forms ...string) string {
	if len(forms) == 1 {
		if n == 1 {
			return "1 " + noun
		}
		return number(n) + " " + forms[0]
	}
	return plural(number(n), n == 1, noun, forms...)
}

func plural(n string, one bool, noun string, verbs ...string) string {
	if noun != "" {
		n += " " + noun
		if !one {
			n += "s"
		}
	}
	if len(verbs) == 2 {
		if one {
			return n + " " + verbs[0]
		}
		return n + " " + verbs[1]
	}
	return n
}

func was(n int64) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

func them(n int64) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

// size writes bytes in decimal units, to three digits.
func size(n float64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB", "PB", "EB"}
	i := 0
	for n >= 999.5 && i < len(units)-1 {
		n /= 1000
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%.0f bytes", n)
	}
	return digits(n) + " " + units[i]
}

// digits writes x with about three digits that count.
func digits(x float64) string {
	switch {
	case x >= 99.95:
		return group(strconv.FormatFloat(math.Round(x), 'f', 0, 64))
	case x >= 9.995:
		return strconv.FormatFloat(x, 'f', 1, 64)
	default:
		return strconv.FormatFloat(x, 'f', 2, 64)
	}
}

// span writes a duration as a person would say it.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "unknown"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 0, 64) + " s"
	}
	d = d.Round(time.Second)
	h, m, s := int64(d/time.Hour), int64(d/time.Minute)%60, int64(d/time.Second)%60
	switch {
	case h > 0:
		return fmt.Sprintf("%s h %d min", number(h), m)
	case s == 0:
		return fmt.Sprintf("%d min", m)
	default:
		return fmt.Sprintf("%d min %d s", m, s)
	}
}

// rate writes n per second without a unit, or nothing when there is nothing to divide.
func rate(n int64, d time.Duration) string {
	if n <= 0 || d <= 0 {
		return ""
	}
	return digits(float64(n) / d.Seconds())
}

// when writes a time in UTC, to the second.
func when(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
