package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxFile bounds a mapping file, in bytes. Real ones are a few KB.
const maxFile = 4 << 20

// A syntaxNode is one JSON value of a mapping file with its place in the text,
// which encoding/json does not tell for a member that nobody expects.
type syntaxNode struct {
	offset  int
	value   any // string, json.Number, bool, nil; '{' or '[' for containers
	names   []syntaxName
	members []*syntaxNode // of '{' one per name; of '['
}

type syntaxName struct {
	text   string
	offset int
}

func (n *syntaxNode) kind() string {
	switch n.value.(type) {
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	case json.Delim:
		if n.value == json.Delim('{') {
			return "an object"
		}
		return "a list"
	}
	return "null"
}

func (n *syntaxNode) object() bool { return n.value == json.Delim('{') }
func (n *syntaxNode) list() bool   { return n.value == json.Delim('[') }

// member returns the member called name, or nil.
func (n *syntaxNode) member(name string) *syntaxNode {
	for i := range n.names {
		if n.names[i].text == name {
			return n.members[i]
		}
	}
	return nil
}

// lineColumn turns a byte offset into a line and a column, both from 1.
func lineColumn(src []byte, offset int) (line, column int) {
	before := src[:min(offset, len(src))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}

// parseSyntax reads src as one JSON value without repeated member names.
func parseSyntax(src []byte) (*syntaxNode, error) {
	fail := func(offset int, format string, args ...any) error {
		line, column := lineColumn(src, offset)
		return FileErrors{{Line: line, Column: column, Why: fmt.Sprintf(format, args...)}}
	}
	if len(src) > maxFile {
		return nil, fail(0, "the file has %d bytes, more than %d", len(src), maxFile)
	}
	if !utf8.Valid(src) {
		return nil, fail(invalidUTF8(src), "not UTF-8")
	}
	var any json.RawMessage
	if err := json.Unmarshal(src, &any); err != nil {
		var se *json.SyntaxError
		if errors.As(err, &se) {
			return nil, fail(max(int(se.Offset)-1, 0), "not JSON: %s", se.Error())
		}
		return nil, fail(0, "not JSON: %s", err)
	}
	r := syntaxReader{src: src, dec: json.NewDecoder(bytes.NewReader(src)), fail: fail}
	r.dec.UseNumber()
	return r.value(0)
}

func invalidUTF8(src []byte) int {
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return len(src)
}

type syntaxReader struct {
	src  []byte
	dec  *json.Decoder
	fail func(offset int, format string, args ...any) error
}

// next returns the next token and the offset of its first byte.
func (r *syntaxReader) next() (json.Token, int, error) {
	at := int(r.dec.InputOffset())
	for at < len(r.src) && bytes.IndexByte([]byte(" \t\r\n,:"), r.src[at]) >= 0 {
		at++
	}
	t, err := r.dec.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, at, r.fail(at, "not JSON: %s", err)
	}
	return t, at, nil
}

// maxDepth bounds the nesting of a mapping file, which needs seven levels.
const maxDepth = 32

func (r *syntaxReader) value(depth int) (*syntaxNode, error) {
	t, at, err := r.next()
	if err != nil {
		return nil, err
	}
	n := &syntaxNode{offset: at, value: t}
	if _, container := t.(json.Delim); !container {
		return n, nil
	}
	if depth == maxDepth {
		return nil, r.fail(at, "nested deeper than %d levels", maxDepth)
	}
	for r.dec.More() {
		if n.object() {
			name, at, err := r.next()
			if err != nil {
				return nil, err
			}
			text, ok := name.(string)
			if !ok {
				return nil, r.fail(at, "not JSON: a member has no name")
			}
			if n.member(text) != nil {
				return nil, r.fail(at, "member %q is repeated", text)
			}
			n.names = append(n.names, syntaxName{text, at})
		}
		m, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.members = append(n.members, m)
	}
	if _, _, err := r.next(); err != nil { // the closing delimiter
		return nil, err
	}
	return n, nil
}
