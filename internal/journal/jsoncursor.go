package journal

// A JSONCursor walks one JSON value in place, as ion.Cursor walks binary Ion:
// for whoever needs the text of a block's raw part, not a tape of it. Names and
// texts are borrowed: they are valid until the next Reset, as long as the bytes
// that it was given are untouched. The zero value is ready for Reset; a cursor
// keeps its buffers and is not safe for concurrent use.
type JSONCursor struct {
	w     jsonWalker
	arena []byte
}

// Reset makes the cursor stand before the one value of raw.
func (c *JSONCursor) Reset(raw []byte) {
	c.arena = c.arena[:0]
	c.w.arena = &c.arena
	c.w.reset(raw, 0)
}

// Next moves to the next value of the container stepped into, or to the value
// itself. It is false at the end, and on an error.
func (c *JSONCursor) Next() bool { return c.w.next() }

// Err returns the *SyntaxError that ended the walk, with its offset in what Reset
// was given. Bytes behind the point where the cursor stands are not judged.
func (c *JSONCursor) Err() error { return c.w.err() }

// First returns the current value's first byte, which tells its kind: { [ " t f n,
// and a digit or - for a number.
func (c *JSONCursor) First() byte { return c.w.b[c.w.val] }

// Name returns the current value's name, escapes resolved, in an object.
func (c *JSONCursor) Name() []byte { return c.w.name() }

// StepIn steps into the current value, an object or array. It is false where
// they nest too deep, which is an error.
func (c *JSONCursor) StepIn() bool { return c.w.stepIn() }

// StepOut steps out behind the container's end, past what was not read of it.
func (c *JSONCursor) StepOut() bool { return c.w.stepOut() }

// Text returns the text of the current value, a string with escapes resolved, or
// a number or literal as it stands. It is nil after an error.
func (c *JSONCursor) Text() []byte {
	if c.First() != '"' {
		return c.w.raw()
	}
	text, err := c.w.text()
	if err != nil {
		return nil
	}
	return text
}
