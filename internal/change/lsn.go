package change

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseLSN returns the number that a position in PostgreSQL's log stands for:
// two hexadecimal halves, as in "16/B374D848".
func ParseLSN(text string) (int64, error) {
	high, low, ok := strings.Cut(text, "/")
	h, errH := strconv.ParseUint(high, 16, 31) // a log of 2^63 bytes and more does not exist
	l, errL := strconv.ParseUint(low, 16, 32)
	if !ok || errH != nil || errL != nil {
		return 0, fmt.Errorf("%.40q is no log sequence number of PostgreSQL, as 16/B374D848", text)
	}
	return int64(h<<32 | l), nil
}

// FormatLSN spells a position in PostgreSQL's log as PostgreSQL does.
func FormatLSN(lsn int64) string {
	return fmt.Sprintf("%X/%X", uint32(lsn>>32), uint32(lsn))
}
