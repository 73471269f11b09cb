package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"godwit/internal/estimate"
)

// minutes writes minutes as a person would say them: an estimate has no more
// digits than it deserves.
func minutes(m float64) string {
	switch s := m * 60; {
	case s < 1:
		return "under 1 s"
	case s < 99.5:
		return strconv.FormatFloat(s, 'f', 0, 64) + " s"
	case m < 99.5:
		return strconv.FormatFloat(m, 'f', 0, 64) + " min"
	case m < 48*60:
		h := m / 60
		if h < 9.95 {
			return strconv.FormatFloat(h, 'f', 1, 64) + " h"
		}
		return strconv.FormatFloat(h, 'f', 0, 64) + " h"
	default:
		return group(strconv.FormatFloat(m/60/24, 'f', 0, 64)) + " days"
	}
}

// minuteRange writes the low and the high end.
func minuteRange(r estimate.Range) string {
	low, high := minutes(r.Low), minutes(r.High)
	switch {
	case low == high:
		return low
	case r.Low*60 < 1:
		return "up to " + high
	}
	return low + " to " + high
}

// usd writes an amount, with cents where they count.
func usd(x float64) string {
	switch {
	case x <= 0:
		return "0 USD"
	case x < 0.005:
		return "under 0.01 USD"
	case x < 100:
		return strconv.FormatFloat(x, 'f', 2, 64) + " USD"
	}
	return group(strconv.FormatFloat(x, 'f', 0, 64)) + " USD"
}

func usdRange(r estimate.Range) string {
	low, high := usd(r.Low), usd(r.High)
	switch {
	case low == high, r.High < 0.005:
		return high
	case r.Low < 0.005:
		return "up to " + high
	}
	return strings.TrimSuffix(low, " USD") + " to " + high
}

// about says that a figure is one of an estimate, where it does not say so itself.
func about(figure string) string {
	if strings.HasPrefix(figure, "under ") {
		return figure
	}
	return "about " + figure
}

// took writes a measured duration beside an estimate.
func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() || to.Before(from) {
		return ""
	}
	return span(to.Sub(from))
}

// amount writes a count of units that may be a fraction.
func amount(x float64) string {
	if x >= 99.95 || x == float64(int64(x)) {
		return group(strconv.FormatFloat(x, 'f', 0, 64))
	}
	if x < 0.01 && x > 0 {
		return "under 0.01"
	}
	return fmt.Sprintf("%.2f", x)
}
