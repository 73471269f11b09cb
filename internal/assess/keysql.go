package assess

import (
	"fmt"
	"slices"
	"strings"

	"godwit/internal/change"
)

// KeySQL returns the rule that makes the target's key as an SQL expression, of
// type uuid, over the columns of the source's table; "" where the key is not made
// by change.KeyUUID. It is NULL where a column is. It runs on PostgreSQL 11 and
// later, in a database in UTF-8, and on Aurora DSQL: for programs that know an old
// key and want the new one.
func KeySQL(plan *change.TablePlan) string {
	if len(plan.Key) != 1 {
		return ""
	}
	i := slices.IndexFunc(plan.Columns, func(c change.ColumnPlan) bool { return c.Name == plan.Key[0] })
	if i < 0 {
		return ""
	}
	return ColumnSQL(&plan.Columns[i])
}

// ColumnSQL is KeySQL for any column that change.KeyUUID makes: of a foreign key,
// too.
func ColumnSQL(c *change.ColumnPlan) string {
	if c.As.Kind != change.AsUUID {
		return ""
	}
	parts := []string{quoteSQL(c.As.Namespace), counted(quoteSQL(c.As.Of.Schema)), counted(quoteSQL(c.As.Of.Name))}
	for _, from := range c.From {
		parts = append(parts, counted(canonicalSQL(from)))
	}
	// Version 8 and the variant of RFC 9562 take the place of six bits.
	return "(SELECT (substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-8' || substr(h, 14, 3) || '-' || substr('89ab89ab89ab89ab', strpos('0123456789abcdef', substr(h, 17, 1)), 1)" +
		" || substr(h, 18, 3) || '-' || substr(h, 21, 12))::uuid FROM (SELECT encode(sha256(convert_to(" + strings.Join(parts, " || ") + ", 'UTF8')), 'hex') AS h) AS k)"
}

// counted is LF, the length of a text in bytes, a colon and the text.
func counted(text string) string {
	return "chr(10) || octet_length(" + text + ") || ':' || " + text
}

// quoteSQL quotes a text, whatever standard_conforming_strings says.
func quoteSQL(text string) string {
	if strings.Contains(text, `\`) {
		return "E'" + strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), "'", "''") + "'"
	}
	return quoteText(text)
}

// canonicalSQL is a column's canonical text. Dates and times go through to_jsonb,
// which writes them in one way, whatever DateStyle and TimeZone say.
func canonicalSQL(c change.SourceColumn) string {
	name := quoteName(c.Name)
	iso := func(value string) string { return "replace(to_jsonb(" + value + ") #>> '{}', 'T', ' ')" }
	if c.Enum {
		return name + "::text"
	}
	switch baseType(c.Type) {
	case "numeric":
		return fmt.Sprintf("CASE WHEN strpos(%s::text, '.') > 0 THEN rtrim(rtrim(%[1]s::text, '0'), '.') ELSE %[1]s::text END", name)
	case "character", "bpchar":
		return "rtrim(" + name + "::text, ' ')"
	case "date", "timestamp without time zone":
		return iso(name)
	case "timestamp with time zone":
		// The zone stands before BC.
		utc := iso("(" + name + " AT TIME ZONE 'UTC')")
		return fmt.Sprintf("CASE WHEN isfinite(%s) THEN rtrim(replace(%s || '+00', ' BC+00', '+00 BC')) ELSE %[2]s END", name, utc)
	}
	return name + "::text"
}
