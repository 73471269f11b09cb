package rdsdata

import (
	"strconv"
	"strings"
)

// A statement is SQL with the service's :name placeholders turned into
// PostgreSQL's $n.
type statement struct {
	sql   string
	names []string // of $1, $2, ...
}

// parse finds the placeholders, which are not those inside strings, quoted
// identifiers, comments and dollar quotes, nor what follows in ::, := and [1:2].
// Lexical rules: https://www.postgresql.org/docs/17/sql-syntax-lexical.html.
// It refuses a second statement.
func parse(sql string) (statement, error) {
	var (
		st       statement
		out      strings.Builder
		number   = map[string]int{}
		words    []string // the first unquoted ones, upper case
		ended    bool     // a top-level semicolon was seen
		multiple bool
		copied   int // sql[:copied] is in out
	)
	for i := 0; i < len(sql); {
		start := i
		c := sql[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
			i++
			continue
		case strings.HasPrefix(sql[i:], "--"):
			if n := strings.IndexAny(sql[i:], "\r\n"); n >= 0 {
				i += n
			} else {
				i = len(sql)
			}
			continue
		case strings.HasPrefix(sql[i:], "/*"):
			i = comment(sql, i)
			continue
		case c == ';':
			ended = true
			i++
			continue
		case identStart(c):
			for i++; i < len(sql) && (identStart(sql[i]) || digit(sql[i]) || sql[i] == '$'); i++ {
			}
			word := sql[start:i]
			if len(words) < 2000 {
				words = append(words, strings.ToUpper(word))
			}
			if (word == "e" || word == "E") && i < len(sql) && sql[i] == '\'' {
				i = quoted(sql, i, '\'', true)
			}
		case c == '\'' || c == '"':
			i = quoted(sql, i, c, false)
		case c == '$' && i+1 < len(sql) && digit(sql[i+1]):
			return statement{}, &Error{status: 400, code: "DatabaseErrorException", text: "ERROR: there is no parameter " + number1(sql[i:]) + "; Position: " + strconv.Itoa(i+1) + "; SQLState: 42P02"}
		case c == '$':
			i = dollar(sql, i)
		case c == ':' && i+1 < len(sql) && (sql[i+1] == ':' || sql[i+1] == '='):
			i += 2
		case c == ':' && i+1 < len(sql) && identStart(sql[i+1]) && sql[i+1] < 0x80:
			for i++; i < len(sql) && sql[i] < 0x80 && (identStart(sql[i]) || digit(sql[i])); i++ {
			}
			name := sql[start+1 : i]
			n := number[name]
			if n == 0 {
				st.names = append(st.names, name)
				n = len(st.names)
				number[name] = n
			}
			out.WriteString(sql[copied:start])
			if start > 0 && (identStart(sql[start-1]) || digit(sql[start-1])) {
				out.WriteByte(' ') // x:a must not become the identifier x$1
			}
			out.WriteString("$" + strconv.Itoa(n))
			copied = i
		default:
			i++
		}
		multiple = multiple || ended // something stands behind a semicolon
	}
	out.WriteString(sql[copied:])
	st.sql = out.String()
	// A standard SQL function body has semicolons of its own; there the server judges.
	if multiple && !hasSequence(words, "BEGIN", "ATOMIC") {
		return statement{}, validation("Multistatements aren't supported.")
	}
	if len(words) > 0 && words[0] == "COPY" {
		for _, w := range words {
			if w == "STDIN" || w == "STDOUT" {
				return statement{}, &Error{status: 400, code: "DatabaseErrorException", text: "ERROR: COPY " + w + " needs a client that streams, which the Data API is not; SQLState: 0A000"}
			}
		}
	}
	return st, nil
}

func hasSequence(words []string, a, b string) bool {
	for i := 1; i < len(words); i++ {
		if words[i-1] == a && words[i] == b {
			return true
		}
	}
	return false
}

func identStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// number1 returns "$12" from "$12…".
func number1(s string) string {
	i := 1
	for i < len(s) && digit(s[i]) {
		i++
	}
	return s[:i]
}

// quoted returns the end of a string or quoted identifier that begins at i;
// one that does not end takes the rest, and the server complains.
func quoted(sql string, i int, quote byte, escapes bool) int {
	for i++; i < len(sql); i++ {
		switch {
		case escapes && sql[i] == '\\':
			i++
		case sql[i] == quote && i+1 < len(sql) && sql[i+1] == quote:
			i++
		case sql[i] == quote:
			return i + 1
		}
	}
	return len(sql)
}

// comment returns the end of a block comment, which may contain others.
func comment(sql string, i int) int {
	for depth := 0; i < len(sql); {
		switch {
		case strings.HasPrefix(sql[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(sql[i:], "*/"):
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return len(sql)
}

// dollar returns the end of a dollar-quoted string, or just behind the dollar
// if none begins at i.
func dollar(sql string, i int) int {
	j := i + 1
	for j < len(sql) && (identStart(sql[j]) || j > i+1 && digit(sql[j])) {
		j++
	}
	if j == len(sql) || sql[j] != '$' {
		return i + 1
	}
	tag := sql[i : j+1]
	if n := strings.Index(sql[j+1:], tag); n >= 0 {
		return j + 1 + n + len(tag)
	}
	return len(sql)
}
