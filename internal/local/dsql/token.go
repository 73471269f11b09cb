package dsql

import (
	"strings"
	"unicode/utf8"
)

// tokenKind is what a token is.
type tokenKind uint8

const (
	word        tokenKind = iota // unquoted, text in lower case
	quoted                       // "identifier", text without its quotes
	literal                      // 'text', E'text', $$text$$; text without its quotes
	number                       // 1, 1.5e3
	parameter                    // $1
	punctuation                  // one character
)

// A token is one piece of a statement, and where it stands.
type token struct {
	kind     tokenKind
	text     string
	from, to int // bytes of the whole
}

// is says whether a token is a keyword or a punctuation character.
func (t token) is(text string) bool {
	return (t.kind == word || t.kind == punctuation) && t.text == text
}

// name is the identifier that a token spells; "" is none.
func (t token) name() string {
	if t.kind == word || t.kind == quoted {
		return t.text
	}
	return ""
}

// tokens cuts SQL as PostgreSQL's scanner does, with standard_conforming_strings
// on. Comments and spaces are left out.
// https://www.postgresql.org/docs/16/sql-syntax-lexical.html
func tokens(sql string) ([]token, *Error) {
	var list []token
	for i := 0; i < len(sql); {
		from, c := i, sql[i]
		t := token{from: from}
		ended := true
		switch {
		case strings.IndexByte(" \t\r\n\f\v", c) >= 0:
			i++
			continue
		case strings.HasPrefix(sql[i:], "--"):
			if end := strings.IndexByte(sql[i:], '\n'); end >= 0 {
				i += end + 1
			} else {
				i = len(sql)
			}
			continue
		case strings.HasPrefix(sql[i:], "/*"):
			i, ended = comment(sql, i)
			if !ended {
				return nil, &Error{Code: "42601", Message: "unterminated /* comment"}
			}
			continue
		case c == '\'':
			t.kind = literal
			t.text, i, ended = text(sql, i+1, false)
		case (c == 'e' || c == 'E') && strings.HasPrefix(sql[i+1:], "'"):
			t.kind = literal
			t.text, i, ended = text(sql, i+2, true)
		case c == '"':
			t.kind = quoted
			t.text, i, ended = between(sql, i+1, '"')
			if ended && t.text == "" {
				return nil, &Error{Code: "42601", Message: "zero-length delimited identifier"}
			}
		case c == '$':
			t.kind = literal
			t.text, i, ended = dollar(sql, i)
			if i == from { // no quote
				t.kind, i, ended = parameter, i+1, true
				for i < len(sql) && isDigit(sql[i]) {
					i++
				}
				t.text = sql[from+1 : i]
			}
		case isDigit(c) || c == '.' && i+1 < len(sql) && isDigit(sql[i+1]):
			t.kind = number
			for i < len(sql) && (isWord(sql[i]) || sql[i] == '.' || (sql[i] == '+' || sql[i] == '-') && (sql[i-1] == 'e' || sql[i-1] == 'E')) {
				i++
			}
			t.text = sql[from:i]
		case isWord(c):
			t.kind = word
			for i < len(sql) && (isWord(sql[i]) || sql[i] == '$') {
				i++
			}
			t.text = strings.ToLower(sql[from:i])
		default:
			t.kind, i = punctuation, i+1
			t.text = sql[from:i]
		}
		if !ended {
			return nil, &Error{Code: "42601", Message: "unterminated quoted " + map[tokenKind]string{literal: "string", quoted: "identifier"}[t.kind]}
		}
		t.to = i
		list = append(list, t)
	}
	return list, nil
}

// comment finds the end of a comment, which may hold others.
func comment(sql string, i int) (int, bool) {
	depth := 0
	for i < len(sql) {
		switch {
		case strings.HasPrefix(sql[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(sql[i:], "*/"):
			depth--
			i += 2
			if depth == 0 {
				return i, true
			}
		default:
			i++
		}
	}
	return i, false
}

// text reads a literal from behind its quote on.
func text(sql string, i int, escapes bool) (string, int, bool) {
	if !escapes {
		return between(sql, i, '\'')
	}
	var b strings.Builder
	for i < len(sql) {
		switch {
		case sql[i] == '\\' && i+1 < len(sql):
			b.WriteByte(sql[i+1]) // what it stands for does not matter here
			i += 2
		case strings.HasPrefix(sql[i:], "''"):
			b.WriteByte('\'')
			i += 2
		case sql[i] == '\'':
			return b.String(), i + 1, true
		default:
			b.WriteByte(sql[i])
			i++
		}
	}
	return "", i, false
}

// between reads up to a quote that is not doubled.
func between(sql string, i int, quote byte) (string, int, bool) {
	from := i
	for {
		end := strings.IndexByte(sql[i:], quote)
		if end < 0 {
			return "", len(sql), false
		}
		i += end + 1
		if i < len(sql) && sql[i] == quote {
			i++
			continue
		}
		q := string(quote)
		return strings.ReplaceAll(sql[from:i-1], q+q, q), i, true
	}
}

// dollar reads a dollar-quoted text; where none begins it returns i itself.
func dollar(sql string, i int) (string, int, bool) {
	end := i + 1
	for end < len(sql) && isWord(sql[end]) && (end > i+1 || !isDigit(sql[end])) {
		end++
	}
	if end >= len(sql) || sql[end] != '$' {
		return "", i, true
	}
	tag := sql[i : end+1]
	rest := sql[end+1:]
	at := strings.Index(rest, tag)
	if at < 0 {
		return "", len(sql), false
	}
	return rest[:at], end + 1 + at + len(tag), true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isWord says whether a byte may be part of an unquoted identifier.
func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c) || c >= utf8.RuneSelf
}

// closing is the index of the parenthesis that closes the one at i, or -1.
func closing(list []token, i int) int {
	depth := 0
	for ; i < len(list); i++ {
		switch {
		case list[i].is("("):
			depth++
		case list[i].is(")"):
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// parts splits a list at the commas that stand in no parentheses.
func parts(list []token) [][]token {
	var all [][]token
	depth, from := 0, 0
	for i, t := range list {
		switch {
		case t.is("(") || t.is("["):
			depth++
		case t.is(")") || t.is("]"):
			depth--
		case t.is(",") && depth == 0:
			all = append(all, list[from:i])
			from = i + 1
		}
	}
	return append(all, list[from:])
}

// find is the index of the first of the words outside of parentheses, or -1.
func find(list []token, words ...string) int {
	depth := 0
	for i, t := range list {
		switch {
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		case depth == 0 && t.kind == word:
			for _, w := range words {
				if t.text == w {
					return i
				}
			}
		}
	}
	return -1
}

// begins says whether a list begins with words, in which ? stands for any token.
func begins(list []token, words ...string) bool {
	if len(list) < len(words) {
		return false
	}
	for i, w := range words {
		if w != "?" && !list[i].is(w) {
			return false
		}
	}
	return true
}
