package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"godwit/internal/change"
	"godwit/internal/ion"
)

// Options say how to read an object. The zero Options read any format from the
// start.
type Options struct {
	// Object is the S3 key, for origins and messages.
	Object string
	// Fields are the field names that a mapping asks for; nil: none.
	Fields *change.Fields
	// Announced is the format that a manifest gives; an object in another is a
	// *FormatError. UnknownFormat announces none.
	Announced Format
	// MaxBlockBytes is the longest block read, in bytes of its own format; 0 is
	// ion.DefaultMaxValueBytes.
	MaxBlockBytes int
	// Resume is where to go on: a Position of an earlier Reader of the same
	// object. nil reads from the start.
	Resume *Position
}

// A Position is a place between two blocks of one object, from which another
// Reader can go on. As JSON it is two kilobytes at most, whatever the object's
// size. The zero Position is the start.
type Position struct {
	// Offset is where the next block begins, in decompressed bytes.
	Offset int64 `json:"offset"`
	// Symbols are the bytes that define the symbols in force (binary Ion only).
	Symbols []ion.Range `json:"symbols,omitempty"`
	// Format and Gzip say what the object is: it is not looked at again.
	Format Format `json:"format,omitempty"`
	Gzip   bool   `json:"gzip,omitempty"`
}

// An Opener opens an object's stored bytes from offset on: an S3 range request.
type Opener func(offset int64) (io.ReadCloser, error)

// ErrTruncated is in the error of an object that ends within a block.
var ErrTruncated = ion.ErrTruncated

// A Reader reads the blocks of one object, in order. It is not safe for
// concurrent use.
type Reader struct {
	options Options
	closer  io.Closer
	format  Format
	gzip    bool

	text window      // Ion text and JSON
	ion  *ion.Reader // binary Ion, of the object or made from text
	conv *textConverter

	names ionNames
	iw    ionWalker
	iv    ionValues
	jw    jsonWalker
	jv    jsonValues
	dec   decoder
	arena []byte
	block Block
	err   error
}

// NewReader reads an object from src, which yields the object's stored bytes
// from the first on. With Options.Resume it reads over what lies before. The
// error is a *FormatError, a *SyntaxError or src's.
func NewReader(src io.Reader, o Options) (*Reader, error) {
	r := newReader(o)
	if err := r.start(src); err != nil {
		return nil, r.wrap(0, err)
	}
	return r, nil
}

// Open is NewReader for an object that can be opened anywhere: with
// Options.Resume, of an object that is not compressed only the symbol tables are
// read again. Close closes what open opened.
func Open(open Opener, o Options) (*Reader, error) {
	r := newReader(o)
	p := o.Resume
	if p == nil || p.Offset == 0 || p.Gzip {
		src, err := open(0)
		if err != nil {
			return nil, r.wrap(0, err)
		}
		r.closer = src
		if err := r.start(src); err != nil {
			_ = r.Close() // nothing was written: err says more
			return nil, r.wrap(0, err)
		}
		return r, nil
	}
	if err := p.validate(); err != nil {
		return nil, r.wrap(p.Offset, err)
	}
	if err := r.announced(p.Format); err != nil {
		return nil, r.wrap(p.Offset, err)
	}
	for _, rg := range p.Symbols {
		src, err := open(rg.Offset)
		if err != nil {
			return nil, r.wrap(rg.Offset, err)
		}
		err = errors.Join(r.symbols().LoadSymbols(src, rg), src.Close())
		if err != nil {
			return nil, r.wrap(rg.Offset, err)
		}
	}
	src, err := open(p.Offset)
	if err != nil {
		return nil, r.wrap(p.Offset, err)
	}
	r.closer = src
	r.goOn(src, p.Offset)
	return r, nil
}

func newReader(o Options) *Reader {
	if o.MaxBlockBytes <= 0 {
		o.MaxBlockBytes = ion.DefaultMaxValueBytes
	}
	r := &Reader{options: o}
	r.names.fields = o.Fields
	r.iw.names, r.iw.arena = &r.names, &r.arena
	r.iv.names = &r.names
	r.jw.arena = &r.arena
	r.jv.names.fields = o.Fields
	return r
}

// Close closes what Open opened. Blocks must not be used any more.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	c := r.closer
	r.closer = nil
	return c.Close()
}

// Format returns the object's format; UnknownFormat for an empty object.
func (r *Reader) Format() Format { return r.format }

// Position returns the place behind the block that Next returned last.
func (r *Reader) Position() Position {
	p := Position{Format: r.format, Gzip: r.gzip}
	switch r.format {
	case IonBinary:
		at := r.ion.Position()
		p.Offset, p.Symbols = at.Offset, at.Symbols
	default:
		p.Offset = r.text.offset()
	}
	return p
}

// validate checks a Position that came from outside.
func (p *Position) validate() error {
	end := int64(0)
	for _, rg := range p.Symbols {
		if rg.Offset < end || rg.Length < 0 || rg.Offset+rg.Length < rg.Offset {
			return fmt.Errorf("resume at offset %d: symbol tables are out of order", p.Offset)
		}
		end = rg.Offset + rg.Length
	}
	if end > p.Offset {
		return fmt.Errorf("resume at offset %d: symbol tables lie behind it", p.Offset)
	}
	if p.Format != IonBinary && p.Format != IonText && p.Format != JSON {
		return fmt.Errorf("resume at offset %d: %s", p.Offset, p.Format)
	}
	return nil
}

// start finds out what src holds and goes to where reading begins.
func (r *Reader) start(src io.Reader) error {
	r.text = window{src: src}
	for len(r.text.unread()) < 2 {
		if err := r.text.more(); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	if bytes.HasPrefix(r.text.unread(), []byte{0x1F, 0x8B}) {
		z, err := unzip(io.MultiReader(bytes.NewReader(r.text.unread()), src))
		if err != nil {
			return err
		}
		r.gzip = true
		r.text = window{src: z}
	}
	if p := r.options.Resume; p != nil && p.Offset > 0 {
		return r.skipTo(p)
	}
	for {
		head := bytes.TrimLeft(r.text.unread(), " \t\r\n")
		if len(head) > 64 {
			break
		}
		if err := r.text.more(); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if len(r.text.unread()) > r.options.MaxBlockBytes {
			return fmt.Errorf("object begins with more than %d bytes of white space", r.options.MaxBlockBytes)
		}
	}
	found, err := detect(r.text.unread())
	if err != nil {
		return err
	}
	if found == UnknownFormat {
		return nil // empty: Next says so
	}
	if err := r.announced(found); err != nil {
		return err
	}
	if found == IonBinary {
		r.goOn(io.MultiReader(bytes.NewReader(r.text.unread()), r.text.src), r.text.offset())
		r.text.buf = nil
	}
	return nil
}

// announced sets the format, if it may be the object's.
func (r *Reader) announced(found Format) error {
	if a := r.options.Announced; a != UnknownFormat && a != found {
		return &FormatError{Announced: a, Found: found}
	}
	r.format = found
	return nil
}

// skipTo reads up to p, symbol tables included.
func (r *Reader) skipTo(p *Position) error {
	if err := p.validate(); err != nil {
		return err
	}
	if err := r.announced(p.Format); err != nil {
		return err
	}
	src := io.MultiReader(bytes.NewReader(r.text.unread()), r.text.src)
	at := int64(0)
	skip := func(to int64) error {
		n, err := io.CopyN(io.Discard, src, to-at)
		at += n
		if err == io.EOF {
			return fmt.Errorf("resume at offset %d: object ends at %d: is it the same object?", p.Offset, at)
		}
		return err
	}
	for _, rg := range p.Symbols {
		if err := skip(rg.Offset); err != nil {
			return err
		}
		if err := r.symbols().LoadSymbols(src, rg); err != nil {
			return err
		}
		at += rg.Length
	}
	if err := skip(p.Offset); err != nil {
		return err
	}
	r.goOn(src, p.Offset)
	return nil
}

// symbols returns the reader of binary Ion.
func (r *Reader) symbols() *ion.Reader {
	if r.ion == nil {
		r.ion = ion.NewReader(nil, 0)
		r.ion.MaxValueBytes = r.options.MaxBlockBytes
	}
	return r.ion
}

// goOn makes src, which begins at offset, what blocks are read from.
func (r *Reader) goOn(src io.Reader, offset int64) {
	if r.format == IonBinary {
		r.symbols().Continue(src, offset)
		return
	}
	r.text = window{src: src, base: offset}
}

// Next returns the next block, or io.EOF behind the last one. The block is valid
// until the next call. An error stays: what follows a block that cannot be read
// is not read.
func (r *Reader) Next() (*Block, error) {
	if r.err != nil {
		return nil, r.err
	}
	at, err := r.read()
	if err != nil {
		if err != io.EOF {
			err = r.wrap(at, err)
		}
		r.err = err
		return nil, err
	}
	return &r.block, nil
}

// read reads one block into r.block. at is where it begins, or would.
func (r *Reader) read() (at int64, err error) {
	b := &r.block
	b.reset()
	r.arena = r.arena[:0]
	var raw []byte
	switch r.format {
	case UnknownFormat:
		return r.text.offset(), io.EOF
	case JSON:
		if raw, at, err = r.text.line(r.options.MaxBlockBytes); err != nil {
			return at, err
		}
		r.jw.reset(raw, at)
		r.dec.w, b.values = &r.jw, &r.jv
	case IonText:
		if raw, at, err = r.text.value(r.options.MaxBlockBytes); err != nil {
			return at, err
		}
		if r.conv == nil {
			r.conv = &textConverter{}
		}
		if raw, err = r.conv.convert(raw, r.symbols()); err != nil {
			return at, err
		}
	default:
		if raw, err = r.ion.Next(); err != nil {
			var long *ion.TooLongError
			if errors.As(err, &long) {
				err = tooLong(IonBinary, long.Offset, int(long.Size), long.Limit)
			}
			return r.ion.Position().Offset, err
		}
		at = r.ion.Offset()
	}
	if r.format != JSON {
		r.names.symbols = r.ion.Symbols()
		r.names.sync()
		r.iw.reset(raw, at)
		r.dec.w, b.values, b.Symbols = &r.iw, &r.iv, r.names.symbols
	}
	b.Object, b.Offset, b.Format, b.Raw = r.options.Object, at, r.format, raw
	if err := r.dec.block(b); err != nil {
		if b.Strand != "" {
			err = fmt.Errorf("block %d: %w", b.SequenceNo, err)
		}
		return at, err
	}
	return at, nil
}

// wrap says where an error belongs. Errors of syntax know their offset.
func (r *Reader) wrap(at int64, err error) error {
	if r.options.Object == "" {
		return fmt.Errorf("block at offset %d: %w", at, err)
	}
	return fmt.Errorf("object %s, block at offset %d: %w", r.options.Object, at, err)
}
