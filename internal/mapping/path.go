package mapping

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// A meta is a special path: something about the record, not in its document.
type meta uint8

const (
	inDocument meta = iota // not a special path
	wholeDocument
	docID
	version
	txID
	txTime
	strandID
	sequenceNo
	tableID
	tableName
	revisionHash
)

var metaPaths = map[string]meta{
	"$doc":        wholeDocument,
	"$docId":      docID,
	"$version":    version,
	"$txId":       txID,
	"$txTime":     txTime,
	"$strandId":   strandID,
	"$sequenceNo": sequenceNo,
	"$tableId":    tableID,
	"$tableName":  tableName,
	"$hash":       revisionHash,
}

const metaNames = "$doc, $docId, $version, $txId, $txTime, $strandId, $sequenceNo, $tableId, $tableName, $hash"

// A path leads from a document to a value:
//
//	Owners.PrimaryOwner.PersonId     fields
//	"odd name"."with ""quotes"""     any field name, in double quotes; a quote is doubled
//	Owners.SecondaryOwners[*].PersonId   every element of one list
//	$docId                           a special path
//
// An unquoted field name holds letters, digits, _ and -, and bytes beyond ASCII.
type path struct {
	text string
	meta meta
	head []string // up to the value, or to the list that [*] runs over
	star bool
	tail []string // behind [*], within each element
}

func parsePath(text string) (path, error) {
	p := path{text: text}
	if strings.HasPrefix(text, "$") {
		m, ok := metaPaths[text]
		if !ok {
			return p, fmt.Errorf("unknown special path %q: choose %s, or put a field name in double quotes", text, metaNames)
		}
		p.meta = m
		return p, nil
	}
	rest := text
	for {
		name, after, err := cutName(rest)
		if err != nil {
			return p, fmt.Errorf("path %q, byte %d: %w", text, len(text)-len(rest)+1, err)
		}
		if p.star {
			p.tail = append(p.tail, name)
		} else {
			p.head = append(p.head, name)
		}
		rest = after
		if strings.HasPrefix(rest, "[") {
			at := len(text) - len(rest) + 1
			if !strings.HasPrefix(rest, "[*]") {
				return p, fmt.Errorf("path %q, byte %d: only [*], every element, may stand in brackets", text, at)
			}
			if p.star {
				return p, fmt.Errorf("path %q, byte %d: a second [*]: map the outer list to jsonb instead", text, at)
			}
			p.star = true
			rest = rest[len("[*]"):]
		}
		if rest == "" {
			return p, nil
		}
		if rest[0] != '.' {
			return p, fmt.Errorf("path %q, byte %d: expected a dot: put a field name with other characters than letters, digits, _ and - in double quotes", text, len(text)-len(rest)+1)
		}
		rest = rest[1:]
	}
}

// cutName splits the first field name off s.
func cutName(s string) (name, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		n := 0
		for n < len(s) && plainName(s[n]) {
			n++
		}
		if n == 0 {
			return "", "", errors.New("expected a field name")
		}
		return s[:n], s[n:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '"' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		return b.String(), s[i+1:], nil
	}
	return "", "", errors.New("a quoted field name has no closing quote")
}

func plainName(c byte) bool {
	return c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

// pathName spells a field name as parsePath reads it, but for control
// characters, which a message must not hold.
func pathName(name string) string {
	if strings.ContainsFunc(name, unicode.IsControl) {
		return strconv.Quote(name)
	}
	for i := range len(name) {
		if !plainName(name[i]) {
			return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
	}
	if name == "" {
		return `""`
	}
	return name
}
