package journal

import (
	"bytes"
	"fmt"

	"godwit/internal/change"
	"godwit/internal/ion"
)

// ionWalker walks a value of binary Ion.
type ionWalker struct {
	ion.Cursor
	value []byte
	names *ionNames
	arena *[]byte // texts that are not bytes of the value itself
	fault error

	lastBody, lastTime []byte // of the timestamp read last in this value
}

// reset makes w walk value, which lies at offset in its object.
func (w *ionWalker) reset(value []byte, offset int64) {
	w.value, w.fault, w.lastTime = value, nil, nil
	w.Base = offset
	w.Reset(value, 0, len(value))
}

func (w *ionWalker) next() bool     { return w.fault == nil && w.Next() }
func (w *ionWalker) kind() ion.Type { return w.Type() }
func (w *ionWalker) isNull() bool   { return w.IsNull() }
func (w *ionWalker) raw() []byte    { return w.Raw() }
func (w *ionWalker) start() int     { return w.Offset() }

func (w *ionWalker) rawFrom(start int) []byte { return w.value[start:w.End():w.End()] }

func (w *ionWalker) enter(t ion.Type) bool { return w.Type() == t && !w.IsNull() && w.StepIn() }

func (w *ionWalker) leave() error {
	if w.fault == nil && w.StepOut() {
		return nil
	}
	return w.err()
}

func (w *ionWalker) err() error {
	if w.fault != nil {
		return w.fault
	}
	return w.Err()
}

func (w *ionWalker) field() word {
	for w.fault == nil && w.Next() {
		if i, ok := w.names.index(w.Field()); ok {
			if field := w.names.words[i]; field != noWord && (!w.IsNull() || field == data) {
				return field
			}
		}
	}
	return noWord
}

func (w *ionWalker) same(raw []byte) bool { return bytes.Equal(w.Raw(), raw) }

func (w *ionWalker) name() []byte {
	i, ok := w.names.index(w.Field())
	if !ok {
		_, w.fault = w.names.symbols.Text(w.Field())
		return nil
	}
	from := len(*w.arena)
	*w.arena = append(*w.arena, w.names.names[i].Text...)
	return (*w.arena)[from:len(*w.arena):len(*w.arena)]
}

func (w *ionWalker) text() ([]byte, error) {
	if w.Type() != ion.SymbolType || w.IsNull() {
		return w.Text()
	}
	id, err := w.Symbol()
	if err != nil {
		return nil, err
	}
	text, err := w.names.symbols.Text(id)
	if err != nil {
		return nil, err
	}
	from := len(*w.arena)
	*w.arena = append(*w.arena, text...)
	return (*w.arena)[from:len(*w.arena):len(*w.arena)], nil
}

func (w *ionWalker) integer() (int64, error) {
	n, ok, err := w.Int64()
	if err == nil && !ok {
		err = fmt.Errorf("number exceeds 64 bits")
	}
	return n, err
}

func (w *ionWalker) instant() ([]byte, error) {
	// The revisions of a block mostly have one time.
	if w.lastTime != nil && w.Type() == ion.TimestampType && bytes.Equal(w.Body(), w.lastBody) && !w.IsNull() {
		return w.lastTime, nil
	}
	from := len(*w.arena)
	b, err := w.AppendTimestamp(*w.arena)
	if err != nil {
		return nil, err
	}
	*w.arena = b
	w.lastBody, w.lastTime = w.Body(), b[from:len(b):len(b)]
	return w.lastTime, nil
}

func (w *ionWalker) lob() ([]byte, error) { return w.Lob() }

// ionNames translates symbol ids into names and words, once for each symbol of
// a symbol table. System symbols and local ones lie without a gap behind one
// another, so that an import of a billion symbols takes no memory.
type ionNames struct {
	symbols *ion.SymbolTable
	fields  *change.Fields
	epoch   int
	first   ion.SID // of the local symbols
	gap     ion.SID // imported symbols, which no place is kept for
	words   []word
	names   []change.Name
	scratch []byte
}

// unknownWord is the word of a symbol that has no text.
const unknownWord word = 255

// systemSymbols is the number of ids below the first imported or local symbol.
const systemSymbols = 10

// sync takes up what the symbol table learnt or forgot since the last call. It
// is called before every value.
func (n *ionNames) sync() {
	if n.epoch != n.symbols.Epoch() || len(n.words) == 0 {
		n.epoch = n.symbols.Epoch()
		n.first = n.symbols.FirstLocal()
		n.gap = n.first - systemSymbols
		for id := ion.SID(len(n.words)); id < systemSymbols; id++ {
			n.add(id) // once: they stay
		}
		clear(n.names[systemSymbols:])
		n.words, n.names = n.words[:systemSymbols], n.names[:systemSymbols]
	}
	for id := n.first + ion.SID(len(n.words)-systemSymbols); id < n.symbols.End(); id++ {
		n.add(id)
	}
}

func (n *ionNames) add(id ion.SID) {
	text, err := n.symbols.Text(id)
	n.scratch = append(n.scratch[:0], text...)
	known := wordOf(n.scratch)
	if err != nil {
		known = unknownWord
	}
	n.words = append(n.words, known)
	n.names = append(n.names, change.Name{Text: text, Field: n.fields.Lookup(n.scratch)})
}

// index returns the place of symbol id in words and names. ok is false when the
// symbol has no text.
func (n *ionNames) index(id ion.SID) (i int, ok bool) {
	if id >= systemSymbols {
		if id < n.first {
			return 0, false
		}
		id -= n.gap
	}
	return int(id), int(id) < len(n.words) && n.words[id] != unknownWord
}
