package journal

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"godwit/internal/ion"
)

// jsonWalker walks one JSON value. A value that nobody stepped into or read is
// skipped by next.
type jsonWalker struct {
	b     []byte
	base  int64 // offset of b[0] in the object
	arena *[]byte

	pos     int // behind what was read
	val     int // first byte of the current value
	live    bool
	after   int // behind the current value, once known; else 0
	key     []byte
	depth   int
	inside  [maxDepth]byte // '{' or '[' of each container stepped into
	first   bool           // nothing of the container was read yet
	closed  bool           // its closing bracket was
	outer   bool           // the top-level value was read
	problem error
}

// reset makes w walk b, which holds one value.
func (w *jsonWalker) reset(b []byte, base int64) {
	w.b, w.base = b, base
	w.pos, w.val, w.after, w.depth = 0, 0, 0, 0
	w.live, w.first, w.closed, w.outer, w.problem = false, false, false, false, nil
}

func (w *jsonWalker) fail(at int, reason string) bool {
	if w.problem == nil {
		w.problem = &SyntaxError{Format: JSON, Offset: w.base + int64(at), Reason: reason}
	}
	w.live = false
	return false
}

func (w *jsonWalker) err() error { return w.problem }

// finish makes after known and moves behind the current value.
func (w *jsonWalker) finish() bool {
	if w.after == 0 {
		end, reason := skipValue(w.b, w.val)
		if reason != "" {
			return w.fail(end, reason)
		}
		w.after = end
	}
	w.pos, w.live = w.after, false
	return true
}

func (w *jsonWalker) next() bool {
	if w.problem != nil || w.closed || w.live && !w.finish() {
		return false
	}
	pos := skipSpace(w.b, w.pos)
	if w.depth == 0 {
		if pos == len(w.b) {
			if !w.outer {
				return w.fail(pos, "there is no value")
			}
			return false
		}
		if w.outer {
			return w.fail(pos, "something follows the value on its line")
		}
		w.outer = true
		w.val, w.after, w.live = pos, 0, true
		return true
	}
	object := w.inside[w.depth-1] == '{'
	if pos < len(w.b) && (w.b[pos] == '}' && object || w.b[pos] == ']' && !object) {
		w.pos, w.closed = pos+1, true
		return false
	}
	if !w.first {
		if pos >= len(w.b) || w.b[pos] != ',' {
			return w.fail(pos, "no comma between two members")
		}
		pos = skipSpace(w.b, pos+1)
	}
	w.first = false
	if object {
		if pos >= len(w.b) || w.b[pos] != '"' {
			return w.fail(pos, "a member has no quoted name")
		}
		end, escaped, reason := scanString(w.b, pos)
		if reason != "" {
			return w.fail(end, reason)
		}
		w.key = w.b[pos+1 : end-1]
		if escaped {
			from := len(*w.arena)
			out, reason := unescape(*w.arena, w.key)
			if reason != "" {
				return w.fail(pos, reason)
			}
			*w.arena, w.key = out, out[from:len(out):len(out)]
		}
		if pos = skipSpace(w.b, end); pos >= len(w.b) || w.b[pos] != ':' {
			return w.fail(pos, "no colon behind a member's name")
		}
		pos = skipSpace(w.b, pos+1)
	}
	if pos >= len(w.b) {
		return w.fail(pos, "object or array does not end")
	}
	w.val, w.after, w.live = pos, 0, true
	return true
}

func (w *jsonWalker) stepIn() bool {
	if w.depth == maxDepth {
		return w.fail(w.val, tooDeep)
	}
	w.inside[w.depth] = w.b[w.val]
	w.depth++
	w.pos, w.first, w.closed, w.live = w.val+1, true, false, false
	return true
}

func (w *jsonWalker) stepOut() bool {
	for !w.closed {
		if !w.next() && w.problem != nil {
			return false
		}
	}
	w.depth--
	w.closed, w.first, w.live = false, false, false
	return true
}

func (w *jsonWalker) enter(t ion.Type) bool { return w.kind() == t && w.stepIn() }

func (w *jsonWalker) leave() error {
	if w.problem == nil {
		w.stepOut()
	}
	return w.problem
}

func (w *jsonWalker) field() word {
	for w.next() {
		if field := wordOf(w.key); field != noWord && (!w.isNull() || field == data) {
			return field
		}
	}
	return noWord
}

func (w *jsonWalker) same(raw []byte) bool {
	if !bytes.HasPrefix(w.b[w.val:], raw) {
		return false
	}
	w.after = w.val + len(raw)
	return true
}

func (w *jsonWalker) name() []byte { return w.key }
func (w *jsonWalker) isNull() bool { return w.b[w.val] == 'n' }
func (w *jsonWalker) start() int   { return w.val }

func (w *jsonWalker) rawFrom(start int) []byte { return w.b[start:w.pos:w.pos] }

func (w *jsonWalker) raw() []byte {
	if !w.finish() {
		return nil
	}
	return w.b[w.val:w.after:w.after]
}

func (w *jsonWalker) kind() ion.Type {
	switch w.b[w.val] {
	case '{':
		return ion.StructType
	case '[':
		return ion.ListType
	case '"':
		return ion.StringType
	case 't', 'f':
		return ion.BoolType
	case 'n':
		return ion.NullType
	}
	return ion.DecimalType
}

func (w *jsonWalker) text() ([]byte, error) {
	if w.b[w.val] != '"' {
		return nil, fmt.Errorf("value is a %s, not a string", w.kind())
	}
	end, escaped, reason := scanString(w.b, w.val)
	if reason != "" {
		w.fail(end, reason)
		return nil, w.problem
	}
	w.after = end
	text := w.b[w.val+1 : end-1 : end-1]
	if escaped {
		from := len(*w.arena)
		out, reason := unescape(*w.arena, text)
		if reason != "" {
			w.fail(w.val, reason)
			return nil, w.problem
		}
		*w.arena, text = out, out[from:len(out):len(out)]
	}
	return text, nil
}

func (w *jsonWalker) integer() (int64, error) {
	end, integer, reason := scanNumber(w.b, w.val)
	if reason != "" {
		return 0, fmt.Errorf("value is a %s, not an int", w.kind())
	}
	w.after = end
	text := w.b[w.val:end]
	if integer {
		if v, ok := parseInt(text); ok {
			return v, nil
		}
	}
	return 0, fmt.Errorf("number %.40s is not an int of 64 bits", text)
}

func (w *jsonWalker) instant() ([]byte, error) {
	text, err := w.text()
	if err == nil && !isTimestamp(text) {
		err = fmt.Errorf("%.40q is not a timestamp", text)
	}
	return text, err
}

func (w *jsonWalker) lob() ([]byte, error) {
	text, err := w.text()
	if err != nil {
		return nil, err
	}
	from := len(*w.arena)
	out, err := base64.StdEncoding.Strict().AppendDecode(*w.arena, text)
	if err != nil {
		return nil, fmt.Errorf("%.60q is not base64: %w", text, err)
	}
	*w.arena = out
	return out[from:len(out):len(out)], nil
}

// isTimestamp reports whether s has the form of Ion's timestamps: a date that
// ends where its precision does, and from the minute on an offset. Numbers are
// checked for their width only.
func isTimestamp(s []byte) bool {
	i := 0
	digits := func(n int) bool {
		for ; n > 0; n-- {
			if i == len(s) || s[i]-'0' > 9 {
				return false
			}
			i++
		}
		return true
	}
	next := func(c byte) bool {
		if i < len(s) && s[i] == c {
			i++
			return true
		}
		return false
	}
	if !digits(4) {
		return false
	}
	day := false
	if next('-') {
		if !digits(2) {
			return false
		}
		if next('-') {
			if day = true; !digits(2) {
				return false
			}
		}
	}
	if !next('T') {
		return day && i == len(s)
	}
	if i == len(s) {
		return true
	}
	if !day || !digits(2) || !next(':') || !digits(2) {
		return false
	}
	if next(':') {
		if !digits(2) {
			return false
		}
		if next('.') {
			if !digits(1) {
				return false
			}
			for i < len(s) && s[i]-'0' <= 9 {
				i++
			}
		}
	}
	if next('Z') {
		return i == len(s)
	}
	return (next('+') || next('-')) && digits(2) && next(':') && digits(2) && i == len(s)
}
