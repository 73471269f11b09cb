package assess

import (
	"strings"

	"godwit/internal/catalog"
	"godwit/internal/change"
)

// rewrite returns an expression of the source over the target's columns. It is ""
// where a column is not the target's with the same values, or the row as a whole
// is read: such an expression would say something else.
func (t *table) rewrite(e *catalog.Expression) string {
	names := map[string]string{}
	same := true
	for _, name := range e.Columns {
		c := t.target(name)
		if c == nil || c.as.Kind != change.AsIs && c.as.Kind != change.AsFit {
			return ""
		}
		names[name] = quoteName(c.name)
		same = same && c.name == name
	}
	if same {
		return e.SQL
	}
	return rename(e.SQL, names)
}

// rename puts names in place of columns in an expression as the server spells it.
// There, keywords are in upper case and types follow ::, so that a word in lower
// case, or in quotes, is a column unless it is called, qualified, or part of a
// type of several words.
func rename(sql string, names map[string]string) string {
	tokens := tokenize(sql)
	at := func(i int) string {
		if i < 0 || i >= len(tokens) {
			return ""
		}
		return tokens[i].text
	}
	var b strings.Builder
	end := 0
	for i, token := range tokens {
		name := token.name
		to, ok := names[name]
		before, after := at(i-1), at(i+1)
		switch {
		case name == "" || !ok:
		case before == "::" || before == "." || before == "COLLATE" || isWord(before): // a type, or qualified
		case after == "(" || after == "." || after == "=>" || isWord(after) && token.text[0] != '"': // called, qualifies, or a type's first word
		case before == "(" && at(i-2) == "EXTRACT":
		default:
			b.WriteString(sql[end:token.from])
			b.WriteString(to)
			end = token.from + len(token.text)
		}
	}
	b.WriteString(sql[end:])
	return b.String()
}

// isWord says whether a token is a word in lower case.
func isWord(text string) bool {
	return text != "" && (text[0] >= 'a' && text[0] <= 'z' || text[0] == '_')
}

// A token is a piece of an expression: name is set where it may be a column.
type token struct {
	text string
	from int
	name string
}

func tokenize(sql string) (tokens []token) {
	for i := 0; i < len(sql); {
		from := i
		t := token{from: from}
		switch c := sql[i]; {
		case c == ' ' || c == '\n' || c == '\t':
			i++
			continue
		case c == '\'' || c == '"':
			// E'…' has doubled backslashes and quotes, so that a quote ends it alike.
			var inside strings.Builder
			ended := false
			for i++; i < len(sql); i++ {
				if sql[i] == '\\' && c == '\'' && from > 0 && sql[from-1] == 'E' {
					i++
					continue
				}
				if sql[i] == c {
					if ended = i+1 == len(sql) || sql[i+1] != c; ended {
						break
					}
					i++
				}
				inside.WriteByte(sql[i])
			}
			i = min(i+1, len(sql))
			if c == '"' && ended {
				t.name = inside.String()
			}
		case c >= '0' && c <= '9':
			for i < len(sql) && (wordByte(sql[i]) || sql[i] >= '0' && sql[i] <= '9' || sql[i] == '.') {
				i++
			}
		case wordByte(c):
			for i < len(sql) && (wordByte(sql[i]) || sql[i] >= '0' && sql[i] <= '9' || sql[i] == '$') {
				i++
			}
			if word := sql[from:i]; word == strings.ToLower(word) || word == domainValue {
				t.name = word
			}
		case strings.HasPrefix(sql[i:], "::"), strings.HasPrefix(sql[i:], "=>"):
			i += 2
		default:
			i++
		}
		t.text = sql[from:i]
		tokens = append(tokens, t)
	}
	return tokens
}

func wordByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// domainValue stands for the value in a domain's check.
const domainValue = "VALUE"

// quoteName quotes a name for SQL.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteText quotes a text for SQL as the server does without backslashes in it.
func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
