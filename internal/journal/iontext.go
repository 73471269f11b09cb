package journal

import (
	"bytes"
	"fmt"
	"io"

	ionlib "github.com/amazon-ion/ion-go/ion"

	"godwit/internal/ion"
)

// Ion text is read in two steps. This file finds where a block ends, so that
// memory is bounded and a place in the object is known; ion-go then reads the
// block, and what it reads is written as binary Ion. So text and binary meet in
// one decoder, and proofs find the same types.

// value returns the next top-level value, a struct, and where it begins, and
// moves behind it. Version markers and comments before it are skipped.
func (w *window) value(limit int) (value []byte, at int64, err error) {
	for {
		s := textScan{w: w, limit: limit}
		s.space()
		at = w.offset() + int64(s.i)
		c, ok := s.peek(0)
		if !ok {
			if s.err != nil || s.open || s.i > limit {
				return nil, at, s.failure(at)
			}
			w.r = w.w
			return nil, at, io.EOF
		}
		if c == '{' {
			w.r += s.i // what came before is no part of the block
			s.i = 0
			if !s.structure() {
				return nil, at, s.failure(at)
			}
			b := w.buf[w.r : w.r+s.i : w.r+s.i]
			w.r += s.i
			return b, at, nil
		}
		const marker = "$ion_1_0"
		for i := range len(marker) {
			if c, ok := s.peek(i); !ok || c != marker[i] {
				return nil, at, s.stranger(at)
			}
		}
		s.i += len(marker)
		if c, ok := s.peek(0); ok && c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != '{' && c != '/' {
			return nil, at, s.stranger(at)
		}
		w.r += s.i
	}
}

// A textScan steps over Ion text in a window, from w.r on.
type textScan struct {
	w      *window
	i      int // from w.r
	limit  int
	err    error
	open   bool // a comment does not end
	reason string
}

// peek returns the byte n behind the current one, and false at the end.
func (s *textScan) peek(n int) (byte, bool) {
	for s.w.r+s.i+n >= s.w.w {
		if s.err != nil || s.i > s.limit {
			return 0, false
		}
		if err := s.w.more(); err != nil {
			if err != io.EOF {
				s.err = err
			}
			return 0, false
		}
	}
	return s.w.buf[s.w.r+s.i+n], true
}

func (s *textScan) failure(at int64) error {
	switch {
	case s.err != nil:
		return s.err
	case s.reason != "":
		return &SyntaxError{Format: IonText, Offset: at + int64(s.i), Reason: s.reason}
	case s.i > s.limit:
		return tooLong(IonText, at, s.i, s.limit)
	}
	return fmt.Errorf("ION_TEXT at offset %d: %w, after %d of its bytes", at, ion.ErrTruncated, len(s.w.unread()))
}

func (s *textScan) stranger(at int64) error {
	if s.err != nil {
		return s.err
	}
	b := s.w.unread()[s.i:]
	return &SyntaxError{Format: IonText, Offset: at, Reason: fmt.Sprintf("%.24q begins no block: an export holds blocks, one behind the other, and no symbol tables or other values", b)}
}

// space skips white space and comments.
func (s *textScan) space() {
	for {
		c, ok := s.peek(0)
		switch {
		case !ok:
			return
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f':
			s.i++
		case c == '/' && s.comment():
		default:
			return
		}
		if s.i > 64<<10 {
			// Nothing of it is needed any more.
			s.w.r += s.i
			s.i = 0
		}
	}
}

// comment skips the comment that begins here, and reports whether there is one.
func (s *textScan) comment() bool {
	c, _ := s.peek(1)
	switch c {
	case '/':
		for s.i += 2; ; s.i++ {
			if c, ok := s.peek(0); !ok || c == '\n' || c == '\r' {
				return true
			}
		}
	case '*':
		for s.i += 2; ; s.i++ {
			c, ok := s.peek(0)
			if !ok {
				s.open = true
				return true
			}
			if next, _ := s.peek(1); c == '*' && next == '/' {
				s.i += 2
				return true
			}
		}
	}
	return false
}

// structure steps over the struct that begins here.
func (s *textScan) structure() bool {
	depth := 0
	for {
		if s.i > s.limit {
			return false
		}
		c, ok := s.peek(0)
		if !ok {
			return false
		}
		switch c {
		case '{':
			if next, _ := s.peek(1); next == '{' {
				if !s.lob() {
					return false
				}
				continue
			}
			depth++
		case '[', '(':
			depth++
		case '}', ']', ')':
			depth--
		case '"':
			if !s.quoted('"') {
				return false
			}
			continue
		case '\'':
			if !s.quotes() {
				return false
			}
			continue
		case '/':
			if s.comment() {
				continue // one that does not end: the block does not, either
			}
		case '.':
			if s.longFraction() {
				s.reason = "timestamp has more than nine digits of a second's fraction, which cannot be read exactly"
				return false
			}
		}
		s.i++
		if depth == 0 {
			return true
		}
		if depth > maxDepth {
			s.reason = fmt.Sprintf("values nest deeper than %d", maxDepth)
			return false
		}
	}
}

// quoted steps over a string or symbol that the byte q ends.
func (s *textScan) quoted(q byte) bool {
	for s.i++; ; s.i++ {
		c, ok := s.peek(0)
		switch {
		case !ok:
			return false
		case c == q:
			s.i++
			return true
		case c == '\\':
			s.i++
		}
	}
}

// quotes steps over a quoted symbol or a segment of a long string.
func (s *textScan) quotes() bool {
	a, _ := s.peek(1)
	b, _ := s.peek(2)
	if a != '\'' || b != '\'' {
		return s.quoted('\'')
	}
	for s.i += 3; ; s.i++ {
		c, ok := s.peek(0)
		if !ok {
			return false
		}
		if c == '\\' {
			s.i++
			continue
		}
		a, _ := s.peek(1)
		b, _ := s.peek(2)
		if c == '\'' && a == '\'' && b == '\'' {
			s.i += 3
			return true
		}
	}
}

// lob steps over {{ and its }}. Base64 may hold what elsewhere begins a comment.
func (s *textScan) lob() bool {
	for s.i += 2; ; {
		c, ok := s.peek(0)
		switch {
		case !ok:
			return false
		case c == '"':
			if !s.quoted('"') {
				return false
			}
		case c == '\'':
			if !s.quotes() {
				return false
			}
		case c == '}':
			next, ok := s.peek(1)
			if next == '}' {
				s.i += 2
				return true
			}
			if !ok {
				return false
			}
			s.reason = "blob or clob ends with one brace only"
			return false
		default:
			s.i++
		}
	}
}

// longFraction reports whether the point here stands in a timestamp and has more
// than nine digits behind it: ion-go would round them.
func (s *textScan) longFraction() bool {
	const form = "T00:00:00"
	if s.i < len(form) {
		return false
	}
	before := s.w.buf[s.w.r+s.i-len(form) : s.w.r+s.i]
	for i, c := range before {
		if f := form[i]; f == '0' && (c < '0' || c > '9') || f != '0' && c != f {
			return false
		}
	}
	for n := 1; n <= 10; n++ {
		if c, ok := s.peek(n); !ok || c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// maxTextSymbols is the number of symbols from which the converter begins anew:
// document ids are field names, so that a long object has many.
const maxTextSymbols = 64 << 10

// A textConverter turns one block of Ion text into binary Ion.
type textConverter struct {
	w   ion.Writer
	out []byte
}

// convert returns the binary Ion of text, which is one value, as r reads it.
func (t *textConverter) convert(text []byte, r *ion.Reader) (value []byte, err error) {
	defer func() {
		// ion-go indexes into what it reads: a fault in it must not end the process.
		if p := recover(); p != nil {
			value, err = nil, fmt.Errorf("read ion text: ion-go: %v", p)
		}
	}()
	if r.Symbols().End() > maxTextSymbols {
		t.w.Reset()
	}
	src := ionlib.NewReaderBytes(text)
	if err := t.values(src, 0); err != nil {
		return nil, fmt.Errorf("read ion text: %w", err)
	}
	if t.out, err = t.w.AppendTo(t.out[:0]); err != nil {
		return nil, err
	}
	r.Continue(bytes.NewReader(t.out), 0)
	value, err = r.Next()
	if err == io.EOF {
		err = fmt.Errorf("read ion text: there is no value")
	}
	return value, err
}

var typeOf = map[ionlib.Type]ion.Type{
	ionlib.NullType: ion.NullType, ionlib.BoolType: ion.BoolType, ionlib.IntType: ion.IntType,
	ionlib.FloatType: ion.FloatType, ionlib.DecimalType: ion.DecimalType, ionlib.TimestampType: ion.TimestampType,
	ionlib.SymbolType: ion.SymbolType, ionlib.StringType: ion.StringType, ionlib.ClobType: ion.ClobType,
	ionlib.BlobType: ion.BlobType, ionlib.ListType: ion.ListType, ionlib.SexpType: ion.SexpType, ionlib.StructType: ion.StructType,
}

// values writes what r yields, up to the container's end.
func (t *textConverter) values(r ionlib.Reader, depth int) error {
	for r.Next() {
		if r.IsInStruct() {
			name, err := r.FieldName()
			if err != nil {
				return err
			}
			text, err := symbolText(name)
			if err != nil {
				return err
			}
			t.w.Field(text)
		}
		notes, err := r.Annotations()
		if err != nil {
			return err
		}
		for i := range notes {
			text, err := symbolText(&notes[i])
			if err != nil {
				return err
			}
			t.w.Annotate(text)
		}
		if err := t.value(r, depth); err != nil {
			return err
		}
	}
	return r.Err()
}

// value writes the value that r stands on.
func (t *textConverter) value(r ionlib.Reader, depth int) error {
	w := &t.w
	if r.IsNull() {
		w.Null(typeOf[r.Type()])
		return w.Err()
	}
	switch r.Type() {
	case ionlib.BoolType:
		v, err := r.BoolValue()
		if err != nil {
			return err
		}
		w.Bool(*v)
	case ionlib.IntType:
		v, err := r.BigIntValue()
		if err != nil {
			return err
		}
		w.BigInt(v)
	case ionlib.FloatType:
		v, err := r.FloatValue()
		if err != nil {
			return err
		}
		w.Float(*v)
	case ionlib.DecimalType:
		v, err := r.DecimalValue()
		if err != nil {
			return err
		}
		w.Decimal(v.String())
	case ionlib.TimestampType:
		v, err := r.TimestampValue()
		if err != nil {
			return err
		}
		w.Timestamp(v.String())
	case ionlib.SymbolType:
		v, err := r.SymbolValue()
		if err != nil {
			return err
		}
		text, err := symbolText(v)
		if err != nil {
			return err
		}
		w.Symbol(text)
	case ionlib.StringType:
		v, err := r.StringValue()
		if err != nil {
			return err
		}
		w.String(*v)
	case ionlib.ClobType, ionlib.BlobType:
		v, err := r.ByteValue()
		if err != nil {
			return err
		}
		if r.Type() == ionlib.ClobType {
			w.Clob(v)
		} else {
			w.Blob(v)
		}
	case ionlib.ListType, ionlib.SexpType, ionlib.StructType:
		if depth == maxDepth {
			return fmt.Errorf("values nest deeper than %d", maxDepth)
		}
		switch r.Type() {
		case ionlib.ListType:
			w.BeginList()
		case ionlib.SexpType:
			w.BeginSexp()
		default:
			w.BeginStruct()
		}
		if err := r.StepIn(); err != nil {
			return err
		}
		if err := t.values(r, depth+1); err != nil {
			return err
		}
		if err := r.StepOut(); err != nil {
			return err
		}
		w.End()
	default:
		return fmt.Errorf("value of unknown type %s", r.Type())
	}
	return w.Err()
}

func symbolText(s *ionlib.SymbolToken) (string, error) {
	if s == nil || s.Text == nil {
		return "", fmt.Errorf("symbol has no text")
	}
	return *s.Text, nil
}
