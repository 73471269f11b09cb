package ion

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
)

// A Writer makes binary Ion. The zero value is ready to use.
//
// Values are added by the methods named after their types; Begin and End nest
// them, Field names the next value of a struct and Annotate puts annotations on
// the next value. AppendTo hands over what was added so far and keeps the
// symbols, so a stream of any length is written piece by piece: each piece
// carries the names that are new in it as a symbol table that extends the one
// before.
//
// The first mistake (a value without a field name, an End too many, text that
// is no decimal) sticks: later calls do nothing, Err and AppendTo report it.
// A Writer is not safe for concurrent use.
type Writer struct {
	body   []byte   // the values, without the headers of containers
	marks  []mark   // containers, in the order of their beginnings
	open   []int    // indexes into marks of the containers that wait for their End
	notes  []uint64 // annotations of the next value
	field  bool     // a field name waits for its value
	begun  bool     // the version marker was handed over
	told   int      // how many of names were handed over in a symbol table
	ids    map[string]uint64
	names  []string // local symbols; names[i] has the id firstImported+i
	numBuf []byte
	err    error
}

// A mark remembers where a container's header belongs. Lengths are known only
// at the end, so headers are put in while copying once in AppendTo: nesting
// costs nothing.
type mark struct {
	at    int  // offset in body
	inner int  // bytes of the headers inside it
	size  int  // length of the content with those headers; set by its end
	code  byte // type code in the high nibble
}

// Reset forgets everything, symbols included, and keeps the memory.
func (w *Writer) Reset() {
	clear(w.ids)
	*w = Writer{body: w.body[:0], marks: w.marks[:0], open: w.open[:0], notes: w.notes[:0], ids: w.ids, names: w.names[:0], numBuf: w.numBuf[:0]}
}

// Err returns the first mistake made since Reset.
func (w *Writer) Err() error { return w.err }

// Len returns the number of bytes that were added since the last AppendTo or
// AppendValues, headers of containers not counted.
func (w *Writer) Len() int { return len(w.body) }

// Text returns the text of a symbol id as this Writer gave it out, which makes
// the Writer a Symbols for hashing what it wrote.
func (w *Writer) Text(id SID) (string, error) {
	if id > 0 && id < firstImported {
		return systemSymbols[id], nil
	}
	if i := id - firstImported; id >= firstImported && i < SID(len(w.names)) {
		return w.names[i], nil
	}
	return "", &SymbolError{ID: id}
}

// AppendTo appends the values added since the last call to dst, as a piece of a
// binary Ion stream: the first piece begins with the version marker, and each
// carries the symbols that are new in it. It fails while a container is open.
func (w *Writer) AppendTo(dst []byte) ([]byte, error) {
	if err := w.complete(); err != nil {
		return dst, err
	}
	if !w.begun {
		dst = append(dst, 0xE0, 0x01, 0x00, 0xEA)
		w.begun = true
	}
	dst = w.appendSymbolTable(dst)
	return w.AppendValues(dst)
}

// AppendValues is AppendTo without version marker and symbol table: the bare
// values, as Hasher takes them.
func (w *Writer) AppendValues(dst []byte) ([]byte, error) {
	if err := w.complete(); err != nil {
		return dst, err
	}
	from := 0
	for _, m := range w.marks {
		dst = append(dst, w.body[from:m.at]...)
		dst = appendHeader(dst, m.code, m.size)
		from = m.at
	}
	dst = append(dst, w.body[from:]...)
	w.body, w.marks = w.body[:0], w.marks[:0]
	return dst, nil
}

func (w *Writer) complete() error {
	switch {
	case w.err != nil:
		return w.err
	case len(w.open) > 0:
		return fmt.Errorf("hand over binary ion: %d containers are not ended", len(w.open))
	case len(w.notes) > 0:
		return errors.New("hand over binary ion: annotations without a value")
	}
	return nil
}

// appendSymbolTable appends the local symbol table for the names not told yet:
// $ion_symbol_table::{imports:$ion_symbol_table, symbols:[…]}. The first table
// imports nothing.
func (w *Writer) appendSymbolTable(dst []byte) []byte {
	if w.told == len(w.names) {
		return dst
	}
	symbols := 0
	for _, name := range w.names[w.told:] {
		symbols += headerLen(len(name)) + len(name)
	}
	size := 1 + headerLen(symbols) + symbols
	if w.told > 0 {
		size += 3
	}
	dst = appendHeader(dst, 0xE0, 2+headerLen(size)+size)
	dst = append(dst, 0x81, 0x83) // one annotation: $ion_symbol_table
	dst = appendHeader(dst, 0xD0, size)
	if w.told > 0 {
		dst = append(dst, 0x86, 0x71, 0x03) // imports: $ion_symbol_table
	}
	dst = append(dst, 0x87) // symbols
	dst = appendHeader(dst, 0xB0, symbols)
	for _, name := range w.names[w.told:] {
		dst = appendHeader(dst, 0x80, len(name))
		dst = append(dst, name...)
	}
	w.told = len(w.names)
	return dst
}

// Field names the next value, which must be a struct's.
func (w *Writer) Field(name string) {
	switch {
	case w.err != nil:
	case len(w.open) == 0 || w.marks[w.open[len(w.open)-1]].code != 0xD0:
		w.err = fmt.Errorf("write field %q: not in a struct", name)
	case w.field || len(w.notes) > 0:
		w.err = fmt.Errorf("write field %q: the field before it has no value", name)
	default:
		w.body = appendVarUint(w.body, w.intern(name))
		w.field = true
	}
}

// Annotate puts annotations on the next value, after those already put there.
func (w *Writer) Annotate(names ...string) {
	for _, name := range names {
		w.notes = append(w.notes, w.intern(name))
	}
}

// BeginList opens a list; End closes it.
func (w *Writer) BeginList() { w.begin(0xB0) }

// BeginSexp opens an s-expression; End closes it.
func (w *Writer) BeginSexp() { w.begin(0xC0) }

// BeginStruct opens a struct; End closes it.
func (w *Writer) BeginStruct() { w.begin(0xD0) }

// End closes the innermost open container.
func (w *Writer) End() {
	switch {
	case w.err != nil:
		return
	case len(w.open) == 0:
		w.err = errors.New("end a container: none is open")
		return
	case w.field || len(w.notes) > 0:
		w.err = errors.New("end a container: a field name or annotation waits for its value")
		return
	}
	w.close()
	w.unwrap()
}

// Null writes null.<t>; NullType is null itself.
func (w *Writer) Null(t Type) {
	if t == 3 || t > StructType {
		w.fail(fmt.Errorf("write null: no such type %d", uint8(t)))
		return
	}
	w.scalar(byte(t)<<4 | 0x0F)
}

// Bool writes a bool.
func (w *Writer) Bool(v bool) {
	if v {
		w.scalar(0x11)
		return
	}
	w.scalar(0x10)
}

// Int writes an int of 64 bits.
func (w *Writer) Int(v int64) {
	if v < 0 {
		w.magnitude(0x30, uint64(-v)) // also right for the least int64
		return
	}
	w.magnitude(0x20, uint64(v))
}

// Uint writes an int that is not negative.
func (w *Writer) Uint(v uint64) { w.magnitude(0x20, v) }

// BigInt writes an int of any size.
func (w *Writer) BigInt(v *big.Int) {
	code := byte(0x20)
	if v.Sign() < 0 {
		code = 0x30
	}
	w.scalar(code, v.Bytes()...)
}

// Float writes a 64-bit float; positive zero takes no bytes.
func (w *Writer) Float(v float64) {
	if v == 0 && !math.Signbit(v) {
		w.scalar(0x40)
		return
	}
	w.numBuf = binary.BigEndian.AppendUint64(w.numBuf[:0], math.Float64bits(v))
	w.scalar(0x40, w.numBuf...)
}

// Float32 writes a 32-bit float, which denotes the same Ion value as the 64-bit
// float of the same number.
func (w *Writer) Float32(v float32) {
	w.numBuf = binary.BigEndian.AppendUint32(w.numBuf[:0], math.Float32bits(v))
	w.scalar(0x40, w.numBuf...)
}

// Decimal writes a decimal from its Ion text, such as 90.25, -0., 5d-2 or 5E-2.
// The digits after the point are its scale: 9, 9.0 and 9.00 differ.
func (w *Writer) Decimal(text string) {
	body, err := appendDecimal(w.numBuf[:0], text)
	w.numBuf = body
	if err != nil {
		w.fail(err)
		return
	}
	w.scalar(0x50, body...)
}

// DecimalOf writes the decimal coefficient * 10^exponent.
func (w *Writer) DecimalOf(coefficient *big.Int, exponent int32) {
	w.numBuf = appendDecimalParts(w.numBuf[:0], coefficient.Sign() < 0, coefficient.Bytes(), int64(exponent))
	w.scalar(0x50, w.numBuf...)
}

// Timestamp writes a timestamp from its Ion text, keeping precision and offset:
// 2021T, 2021-08T, 2021-08-03, 2021-08-03T17:04Z, 2021-08-03T17:04:05.120-00:00.
func (w *Writer) Timestamp(text string) {
	body, err := appendTimestamp(w.numBuf[:0], text)
	w.numBuf = body
	if err != nil {
		w.fail(err)
		return
	}
	w.scalar(0x60, body...)
}

// Symbol writes a symbol by its text.
func (w *Writer) Symbol(text string) { w.magnitude(0x70, w.intern(text)) }

// String writes a string. The text is not checked to be UTF-8.
func (w *Writer) String(text string) { w.bytes(0x80, text) }

// Clob writes a clob.
func (w *Writer) Clob(b []byte) { w.scalar(0x90, b...) }

// Blob writes a blob.
func (w *Writer) Blob(b []byte) { w.scalar(0xA0, b...) }

func (w *Writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// value checks that a value may stand here and opens the annotation wrapper.
func (w *Writer) value() bool {
	if w.err != nil {
		return false
	}
	if len(w.open) > 0 && w.marks[w.open[len(w.open)-1]].code == 0xD0 && !w.field {
		w.err = errors.New("write a value of a struct: it has no field name")
		return false
	}
	w.field = false
	if len(w.notes) == 0 {
		return true
	}
	w.push(0xE0)
	n := 0
	for _, sid := range w.notes {
		n += varUintLen(sid)
	}
	w.body = appendVarUint(w.body, uint64(n))
	for _, sid := range w.notes {
		w.body = appendVarUint(w.body, sid)
	}
	w.notes = w.notes[:0]
	return true
}

// scalar writes a whole value: its type code (or, without content, its first
// byte) and content.
func (w *Writer) scalar(code byte, content ...byte) {
	if !w.value() {
		return
	}
	if len(content) == 0 {
		w.body = append(w.body, code)
	} else {
		w.body = appendHeader(w.body, code, len(content))
		w.body = append(w.body, content...)
	}
	w.unwrap()
}

func (w *Writer) bytes(code byte, content string) {
	if !w.value() {
		return
	}
	w.body = appendHeader(w.body, code, len(content))
	w.body = append(w.body, content...)
	w.unwrap()
}

func (w *Writer) magnitude(code byte, v uint64) {
	w.numBuf = appendMagnitude(w.numBuf[:0], v)
	w.scalar(code, w.numBuf...)
}

func (w *Writer) begin(code byte) {
	if w.value() {
		w.push(code)
	}
}

func (w *Writer) push(code byte) {
	w.open = append(w.open, len(w.marks))
	w.marks = append(w.marks, mark{at: len(w.body), code: code})
}

func (w *Writer) close() {
	m := &w.marks[w.open[len(w.open)-1]]
	w.open = w.open[:len(w.open)-1]
	m.size = len(w.body) - m.at + m.inner
	if len(w.open) > 0 {
		w.marks[w.open[len(w.open)-1]].inner += m.inner + headerLen(m.size)
	}
}

// unwrap closes the annotation wrapper around the value that just ended.
func (w *Writer) unwrap() {
	if n := len(w.open); n > 0 && w.marks[w.open[n-1]].code == 0xE0 {
		w.close()
	}
}

func (w *Writer) intern(name string) uint64 {
	if sid, ok := w.ids[name]; ok {
		return sid
	}
	if w.ids == nil {
		w.ids = map[string]uint64{}
	}
	if len(w.ids) == 0 {
		for sid := SID(1); sid < firstImported; sid++ {
			w.ids[systemSymbols[sid]] = uint64(sid)
		}
		if sid, ok := w.ids[name]; ok {
			return sid
		}
	}
	if len(w.names) == MaxSymbols {
		w.fail(fmt.Errorf("write a symbol of %d bytes: %d symbols are in use: start a new stream with Reset", len(name), MaxSymbols))
		return 0
	}
	sid := uint64(firstImported) + uint64(len(w.names))
	w.ids[name] = sid
	w.names = append(w.names, name)
	return sid
}

func headerLen(size int) int {
	if size < 14 {
		return 1
	}
	return 1 + varUintLen(uint64(size))
}

func appendHeader(dst []byte, code byte, size int) []byte {
	if size < 14 {
		return append(dst, code|byte(size))
	}
	return appendVarUint(append(dst, code|14), uint64(size))
}

func varUintLen(v uint64) int {
	n := 1
	for v >>= 7; v > 0; v >>= 7 {
		n++
	}
	return n
}

// appendVarUint appends Ion's VarUInt: 7 bits a byte, big end first, the last
// byte marked by its high bit.
func appendVarUint(dst []byte, v uint64) []byte {
	for shift := 7 * (varUintLen(v) - 1); shift > 0; shift -= 7 {
		dst = append(dst, byte(v>>shift)&0x7F)
	}
	return append(dst, byte(v)|0x80)
}

// appendVarInt appends Ion's VarInt, whose first byte has the sign in bit 6.
// Negative zero, which says "unknown" in a timestamp's offset, is 0xC0.
func appendVarInt(dst []byte, v int64) []byte {
	sign, m := byte(0), uint64(v)
	if v < 0 {
		sign, m = 0x40, uint64(-v)
	}
	n := 1
	for rest := m >> 6; rest > 0; rest >>= 7 {
		n++
	}
	for i := n - 1; i > 0; i-- {
		b := byte(m>>(7*i)) & 0x7F
		if i == n-1 {
			b |= sign
		}
		dst = append(dst, b)
	}
	last := byte(m)&0x7F | 0x80
	if n == 1 {
		last |= sign
	}
	return append(dst, last)
}

// appendMagnitude appends v big end first, without leading zeros: 0 is nothing.
func appendMagnitude(dst []byte, v uint64) []byte {
	for shift := 56; shift >= 0; shift -= 8 {
		if v>>shift > 0 {
			dst = append(dst, byte(v>>shift))
		}
	}
	return dst
}
