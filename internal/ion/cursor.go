package ion

import "fmt"

// MaxDepth is the deepest nesting of containers that a Cursor steps into. QLDB
// names no limit; a document of 128 KB that nests deeper is not read at all, so
// the number is far beyond what people write.
const MaxDepth = 512

// MaxSID is the greatest symbol ID that a Cursor accepts.
const MaxSID = 1<<31 - 1

// A SID is the number of a symbol in the symbol table in force. 0 is the symbol
// without text.
type SID uint32

// A SyntaxError says which byte of binary Ion cannot be read, and why. It is
// never worth a retry.
type SyntaxError struct {
	Offset int64  // of the byte: in the data given to Reset, plus Cursor.Base
	Reason string // what is wrong there
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("binary ion at offset %d: %s", e.Offset, e.Reason)
}

// A Cursor walks binary Ion values that lie complete in memory. It allocates
// nothing, decodes only what is asked for, and steps over a value or a container
// by its length. The zero Cursor is ready for Reset. What its methods return
// borrows from the data.
//
// Next checks a value's descriptor and every length in it against the container
// around it; the accessors check what they decode. A descriptor that Ion 1.0
// reserves is an error. NOP padding is skipped. Version markers and symbol
// tables belong to the stream, so to Reader: a Cursor sees values only.
type Cursor struct {
	Base int64 // added to the offsets in errors: where data[0] lies in its object

	data     []byte
	pos, end int // next value's first byte, end of the container
	inStruct bool
	live     bool // there is a current value

	typ    Type
	null   bool
	code   uint8 // type code, 0 to 13
	field  SID
	start  int // first byte of the value, annotation wrapper included
	head   int // type descriptor of the value itself
	body   int // representation, up to pos
	ann    int // annotation SIDs, up to annEnd
	annEnd int
	err    error
	depth  int
	stack  [MaxDepth]frame
	inside Type // of the container stepped into; NullType at top level
}

type frame struct {
	pos, end int
	inside   Type
}

// Descriptor classes for Next. 0 to 13 is the length of an ordinary value.
const (
	classLong     = 0x20 + iota // a VarUInt length follows
	classNull                   // null of the type
	classBool                   // the value is in the descriptor
	classPad                    // NOP padding, length in the descriptor
	classLongPad                // NOP padding, VarUInt length follows
	classNegInt                 // negative int: its magnitude must not be zero
	classLongNeg                // the same with a VarUInt length
	classOrdered                // struct with sorted fields: VarUInt length follows, not 0
	classWrapper                // annotations
	classReserved               // no value of Ion 1.0
)

// descriptors gives the class of every type descriptor byte.
var descriptors = func() (t [256]uint8) {
	for b := range t {
		code, l := b>>4, b&15
		switch {
		case code == 15:
			t[b] = classReserved
		case code == 14:
			switch {
			case l >= 3 && l <= 14:
				t[b] = classWrapper
			default:
				t[b] = classReserved
			}
		case l == 15:
			t[b] = classNull
		case code == 0:
			t[b] = classPad
			if l == 14 {
				t[b] = classLongPad
			}
		case code == 1:
			t[b] = classBool
			if l > 1 {
				t[b] = classReserved
			}
		case code == 3:
			t[b] = classNegInt
			if l == 14 {
				t[b] = classLongNeg
			}
			if l == 0 {
				t[b] = classReserved
			}
		case code == 4 && l != 0 && l != 4 && l != 8:
			t[b] = classReserved
		case code == 6 && l < 2:
			t[b] = classReserved
		case code == 13 && l == 1:
			t[b] = classOrdered
		case l == 14:
			t[b] = classLong
		default:
			t[b] = uint8(l)
		}
	}
	return t
}()

// typeOf gives the Type of every type code.
var typeOf = [16]Type{
	NullType, BoolType, IntType, IntType, FloatType, DecimalType, TimestampType, SymbolType,
	StringType, ClobType, BlobType, ListType, SexpType, StructType, NullType, NullType,
}

// Reset makes c walk data[off:end], which holds complete values one behind the
// other, as at top level. It forgets an earlier error and keeps Base.
func (c *Cursor) Reset(data []byte, off, end int) {
	c.data, c.pos, c.end = data, off, end
	c.inStruct, c.live, c.depth, c.inside, c.err = false, false, 0, NullType, nil
	if off < 0 || end > len(data) || off > end {
		c.pos, c.end = 0, 0
		c.err = &SyntaxError{Offset: c.Base + int64(off), Reason: fmt.Sprintf("range %d to %d lies outside of the %d bytes given", off, end, len(data))}
	}
}

// Next moves to the next value of the container and reports whether there is
// one. It steps over what is left of the current value. It returns false at the
// container's end and on an error: ask Err.
func (c *Cursor) Next() bool {
	pos, end, data := c.pos, c.end, c.data
	c.live = false
	if c.err != nil {
		return false
	}
	for pos < end {
		if c.inStruct {
			if b := data[pos]; b >= 0x80 {
				c.field = SID(b & 0x7f)
				pos++
			} else {
				v, n := varUint(data[pos:end])
				if n <= 0 || v > MaxSID {
					return c.fail(pos, "field name is not a symbol id that ends within its struct")
				}
				c.field = SID(v)
				pos += n
			}
			if pos >= end {
				return c.fail(pos, "struct ends between a field name and its value")
			}
		}
		b := data[pos]
		c.start, c.head = pos, pos
		class := descriptors[b]
		code := b >> 4
		c.ann, c.annEnd = 0, 0
		if class == classWrapper {
			inner, wrapEnd, ok := c.openWrapper(pos)
			if !ok {
				return false
			}
			// The wrapped value has to fill the wrapper: it is read as if the
			// wrapper were its container.
			pos, end = inner, wrapEnd
			b = data[pos]
			c.head = pos
			class = descriptors[b]
			code = b >> 4
			if class == classPad || class == classLongPad || class == classWrapper {
				return c.fail(pos, "annotations wrap padding or another annotation")
			}
		}
		pos++
		null := false
		switch {
		case class < classLong:
			c.body = pos
			pos += int(class)
		case class == classNull:
			null = true
			c.body = pos
		case class == classBool:
			c.body = pos
		case class == classNegInt:
			c.body = pos
			pos += int(b & 15)
		case class == classReserved:
			return c.fail(pos-1, reservedReason(b))
		default: // a VarUInt length, or padding
			n := int(b & 15)
			switch {
			case class == classPad:
			case pos < end && data[pos] >= 0x80: // up to 127, as most are
				n = int(data[pos] & 0x7f)
				pos++
				if n > end-pos {
					return c.fail(pos-1, tooLong(uint64(n), end-pos))
				}
			default:
				v, used := varUint(data[pos:end])
				if used <= 0 {
					return c.fail(pos, "length does not end within its container")
				}
				pos += used
				if v > uint64(end-pos) {
					return c.fail(pos-used, tooLong(v, end-pos))
				}
				n = int(v)
			}
			switch class {
			case classPad, classLongPad:
				if n > end-pos {
					return c.fail(pos-1, tooLong(uint64(n), end-pos))
				}
				pos += n
				continue
			case classOrdered:
				if n == 0 {
					return c.fail(pos-1, "struct with sorted fields has none")
				}
			}
			c.body = pos
			pos += n
		}
		if pos > end {
			return c.fail(c.head, tooLong(uint64(pos-c.body), end-c.body))
		}
		if c.annEnd != 0 && pos != end {
			return c.fail(pos, "annotated value does not fill its wrapper")
		}
		if code == 3 && !null && zeroMagnitude(data[c.body:pos]) {
			return c.fail(c.head, "negative zero is not an int")
		}
		c.typ, c.code, c.null, c.live = typeOf[code], code, null, true
		if code == 0 {
			c.null = true
		}
		c.pos = pos
		return true
	}
	c.pos = end
	return false
}

// openWrapper reads the annotation wrapper at pos: its lengths and symbol ids.
// It returns where the wrapped value begins and the wrapper ends.
func (c *Cursor) openWrapper(pos int) (inner, wrapEnd int, ok bool) {
	data, end := c.data, c.end
	n := uint64(data[pos] & 15)
	at := pos + 1
	if n == 14 {
		v, used := varUint(data[at:end])
		if used <= 0 {
			return 0, 0, c.fail(at, "length does not end within its container")
		}
		n = v
		at += used
	}
	if n > uint64(end-at) {
		return 0, 0, c.fail(pos, tooLong(n, end-at))
	}
	wrapEnd = at + int(n)
	l, used := varUint(data[at:wrapEnd])
	if used <= 0 || l == 0 || l >= uint64(wrapEnd-at-used) {
		return 0, 0, c.fail(at, "annotations are empty or leave no room for the value")
	}
	at += used
	inner = at + int(l)
	c.ann, c.annEnd = at, inner
	for at < inner {
		v, used := varUint(data[at:inner])
		if used <= 0 || v > MaxSID {
			return 0, 0, c.fail(at, "annotation is not a symbol id that ends within its wrapper")
		}
		at += used
	}
	return inner, wrapEnd, true
}

// StepIn enters the current list, sexp or struct; Next then yields its first
// child. Stepping into a null container finds no children. It reports whether
// it could.
func (c *Cursor) StepIn() bool {
	if !c.live || c.typ < ListType {
		if c.err == nil {
			c.fail(c.pos, "step into something that is not a container")
		}
		return false
	}
	if c.depth == MaxDepth {
		return c.fail(c.head, fmt.Sprintf("containers nest deeper than %d", MaxDepth))
	}
	c.stack[c.depth] = frame{pos: c.pos, end: c.end, inside: c.inside}
	c.depth++
	c.end, c.pos = c.pos, c.body
	c.inside, c.inStruct, c.live = c.typ, c.typ == StructType, false
	return true
}

// StepOut leaves the container, whatever of it was not read; Next then yields
// the value behind it. It reports whether there was a container to leave.
func (c *Cursor) StepOut() bool {
	if c.err != nil {
		return false
	}
	if c.depth == 0 {
		return c.fail(c.pos, "step out of the top level")
	}
	c.depth--
	f := &c.stack[c.depth]
	c.pos, c.end, c.inside = f.pos, f.end, f.inside
	c.inStruct, c.live = f.inside == StructType, false
	return true
}

// Live reports whether there is a current value: after a Next that found one,
// until StepIn or StepOut.
func (c *Cursor) Live() bool { return c.live }

// Type returns the type of the current value. A null has the type that it names.
func (c *Cursor) Type() Type { return c.typ }

// IsNull reports whether the current value is null or a typed null.
func (c *Cursor) IsNull() bool { return c.null }

// Field returns the symbol id of the current value's field name; it means
// nothing outside of a struct.
func (c *Cursor) Field() SID { return c.field }

// InStruct reports whether the current container is a struct.
func (c *Cursor) InStruct() bool { return c.inStruct }

// Depth returns the number of containers stepped into.
func (c *Cursor) Depth() int { return c.depth }

// Annotated reports whether the current value has annotations.
func (c *Cursor) Annotated() bool { return c.annEnd > c.ann }

// AppendAnnotations appends the symbol ids of the current value's annotations
// to dst, in their order.
func (c *Cursor) AppendAnnotations(dst []SID) []SID {
	for at := c.ann; at < c.annEnd; {
		v, n := varUint(c.data[at:c.annEnd]) // checked by Next
		dst = append(dst, SID(v))
		at += n
	}
	return dst
}

// Offset returns where the current value begins, its annotations included, in
// the data given to Reset.
func (c *Cursor) Offset() int { return c.start }

// End returns the offset of the first byte behind the current value.
func (c *Cursor) End() int { return c.pos }

// Raw returns the current value's bytes, annotations and descriptor included:
// a complete value that another Cursor can walk with the same symbols.
func (c *Cursor) Raw() []byte { return c.data[c.start:c.pos:c.pos] }

// Bare returns the current value's bytes without annotations.
func (c *Cursor) Bare() []byte { return c.data[c.head:c.pos:c.pos] }

// Body returns the representation behind the descriptor and length: empty for
// null and bool.
func (c *Cursor) Body() []byte { return c.data[c.body:c.pos:c.pos] }

// Code returns the type code of the current value, 0 to 13: an int's tells its
// sign, 2 or 3.
func (c *Cursor) Code() uint8 { return c.code }

// Err returns the first error that Next, StepIn or StepOut met.
func (c *Cursor) Err() error { return c.err }

func (c *Cursor) fail(at int, reason string) bool {
	c.err = &SyntaxError{Offset: c.Base + int64(at), Reason: reason}
	c.live = false
	return false
}

// wrong makes the error of an accessor about the current value.
func (c *Cursor) wrong(reason string) error {
	return &SyntaxError{Offset: c.Base + int64(c.head), Reason: reason}
}

// varUint decodes a VarUInt: seven bits a byte, the high bit ends it. n is the
// number of bytes read; 0 when b ends first or the number exceeds 63 bits.
func varUint(b []byte) (v uint64, n int) {
	for i, x := range b {
		if v >= 1<<56 {
			return 0, 0
		}
		v = v<<7 | uint64(x&0x7f)
		if x >= 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

func zeroMagnitude(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

func reservedReason(b byte) string {
	if b == 0xE0 {
		return "a version marker stands inside a value"
	}
	return fmt.Sprintf("0x%02X describes no value of ion 1.0", b)
}

func tooLong(n uint64, room int) string {
	return fmt.Sprintf("value of %d bytes does not fit into the %d bytes left of its container", n, max(room, 0))
}
