package ion

import (
	"fmt"
	"unicode/utf8"
)

// MaxSymbols and MaxSymbolBytes are the greatest number of symbols that one table
// holds, and of bytes in the lists that brought them; a writer that needs more
// starts a new table. They bound memory.
const (
	MaxSymbols     = 1 << 21
	MaxSymbolBytes = 128 << 20
)

// The system symbols that every table begins with.
var systemSymbols = [...]string{
	"", "$ion", "$ion_1_0", "$ion_symbol_table", "name", "version", "imports", "symbols", "max_id", "$ion_shared_symbol_table",
}

// The ids of the system symbols that a symbol table is written with.
const (
	sidSymbolTable SID = 3
	sidName        SID = 4
	sidVersion     SID = 5
	sidImports     SID = 6
	sidSymbols     SID = 7
	sidMaxID       SID = 8
	firstImported  SID = 10
)

// A SymbolTable is the symbol table in force in a stream. The zero SymbolTable
// holds the system symbols.
//
// Shared tables are not looked up anywhere: the symbols that one would bring
// have ids and no text, which is an error only when somebody asks for the text
// (the specification's rule for a table that a catalogue does not have). An
// import of a shared table without max_id makes ids ambiguous and is refused.
type SymbolTable struct {
	imports []sharedImport
	first   SID // of the local symbols, less firstImported: the imported ones
	local   []string
	known   []bool // nil while all local symbols have text
	bytes   int    // of the lists that brought the local symbols
	epoch   int    // grows when symbols are forgotten
}

type sharedImport struct {
	name    string
	version int64
	end     SID // first id behind it, counted from firstImported
}

// A SymbolError reports a symbol whose text nobody knows.
type SymbolError struct {
	ID    SID
	Table string // shared table that would know it, or ""
}

func (e *SymbolError) Error() string {
	if e.Table != "" {
		return fmt.Sprintf("symbol $%d has no text here: it comes from the shared symbol table %s, which the archive does not hold", e.ID, e.Table)
	}
	return fmt.Sprintf("symbol $%d has no text in the symbol table in force", e.ID)
}

// Reset forgets all but the system symbols, as a version marker demands.
func (t *SymbolTable) Reset() {
	clear(t.local)
	t.imports, t.first, t.local, t.known = t.imports[:0], 0, t.local[:0], nil
	t.bytes = 0
	t.epoch++
}

// Epoch grows whenever symbols are forgotten: while it stays, an id keeps its
// text and only new ids appear.
func (t *SymbolTable) Epoch() int { return t.epoch }

// FirstLocal returns the id of the first symbol behind those of shared tables,
// or behind the system symbols where nothing is imported.
func (t *SymbolTable) FirstLocal() SID { return firstImported + t.first }

// End returns the first id that the table does not hold.
func (t *SymbolTable) End() SID { return t.FirstLocal() + SID(len(t.local)) }

// Text returns the text of symbol id, or a *SymbolError.
func (t *SymbolTable) Text(id SID) (string, error) {
	if n := id - firstImported - t.first; id >= firstImported+t.first && n < SID(len(t.local)) {
		if t.known == nil || t.known[n] {
			return t.local[n], nil
		}
		return "", &SymbolError{ID: id}
	}
	if id > 0 && id < firstImported {
		return systemSymbols[id], nil
	}
	if id >= firstImported && id < t.FirstLocal() {
		for _, im := range t.imports {
			if id-firstImported < im.end {
				return "", &SymbolError{ID: id, Table: im.name}
			}
		}
	}
	return "", &SymbolError{ID: id}
}

// isTable reports whether c stands on a local symbol table: a struct whose first
// annotation is $ion_symbol_table.
func isTable(c *Cursor) bool {
	if c.typ != StructType || c.ann == c.annEnd {
		return false
	}
	v, _ := varUint(c.data[c.ann:c.annEnd])
	return SID(v) == sidSymbolTable
}

// load applies the local symbol table that c stands on: it replaces the symbols,
// or adds to them when it imports $ion_symbol_table. kept reports the latter.
// After an error the table is not to be used. c is elsewhere afterwards.
func (t *SymbolTable) load(c *Cursor) (kept bool, err error) {
	if c.IsNull() {
		t.Reset()
		return false, nil
	}
	// imports and symbols come in either order, and imports count first.
	body := c.Bare()
	c.Base += int64(c.head)
	find := func(want SID) (bool, error) {
		c.Reset(body, 0, len(body))
		c.Next()
		c.StepIn()
		found := false
		for c.Next() {
			if c.Field() != want {
				continue
			}
			if found {
				return false, c.wrong("symbol table has two lists of " + systemSymbols[want])
			}
			found = true
		}
		if !found || c.Err() != nil {
			return false, c.Err()
		}
		c.Reset(body, 0, len(body))
		c.Next()
		c.StepIn()
		for c.Next() && c.Field() != want {
		}
		return true, c.Err()
	}
	has, err := find(sidImports)
	if err != nil {
		return false, err
	}
	if has && c.Type() == SymbolType && !c.IsNull() {
		id, err := c.Symbol()
		if err != nil {
			return false, err
		}
		kept = id == sidSymbolTable
	}
	if !kept {
		t.Reset()
		if has && c.Type() == ListType && !c.IsNull() {
			if err := t.loadImports(c); err != nil {
				return false, err
			}
		}
	}
	has, err = find(sidSymbols)
	if err != nil || !has || c.Type() != ListType || c.IsNull() {
		return kept, err
	}
	return kept, t.loadSymbols(c)
}

// loadImports reads the list of imports that c stands on.
func (t *SymbolTable) loadImports(c *Cursor) error {
	c.StepIn()
	for c.Next() {
		if c.Type() != StructType || c.IsNull() {
			continue // the specification ignores it
		}
		im, maxID := sharedImport{version: 1}, int64(-1)
		at := c.head
		c.StepIn()
		for c.Next() {
			switch {
			case c.IsNull():
			case c.Field() == sidName && c.Type() == StringType:
				b, err := c.Text()
				if err != nil {
					return err
				}
				im.name = string(b)
			case c.Field() == sidVersion && c.Type() == IntType:
				if v, ok, _ := c.Int64(); ok && v > 1 {
					im.version = v
				}
			case c.Field() == sidMaxID && c.Type() == IntType:
				if v, ok, _ := c.Int64(); ok {
					maxID = v
				} else {
					maxID = MaxSID
				}
			}
		}
		if !c.StepOut() {
			return c.Err()
		}
		switch {
		case im.name == "" || im.name == "$ion":
			continue // as the specification says
		case maxID < 0:
			return &SyntaxError{Offset: c.Base + int64(at), Reason: fmt.Sprintf("import of the shared symbol table %s, version %d, gives no max_id: its symbols cannot be numbered", im.name, im.version)}
		case maxID > int64(MaxSID-firstImported-t.first):
			return &SyntaxError{Offset: c.Base + int64(at), Reason: fmt.Sprintf("import of the shared symbol table %s leaves no symbol ids", im.name)}
		}
		t.first += SID(maxID)
		im.end = t.first
		t.imports = append(t.imports, im)
	}
	c.StepOut()
	return c.Err()
}

// loadSymbols adds the list of symbols that c stands on.
func (t *SymbolTable) loadSymbols(c *Cursor) error {
	// One string holds all texts of the list, so that a table costs a few
	// allocations, however many symbols it has.
	list := c.Body()
	if t.bytes += len(list); t.bytes > MaxSymbolBytes {
		return c.wrong(fmt.Sprintf("symbol table holds more than %d bytes", MaxSymbolBytes))
	}
	all := string(list)
	base := c.body
	c.StepIn()
	for c.Next() {
		if len(t.local) >= MaxSymbols || t.FirstLocal() > MaxSID-MaxSymbols {
			return c.wrong(fmt.Sprintf("symbol table holds more than %d symbols", MaxSymbols))
		}
		ok := c.Type() == StringType && !c.IsNull()
		if !ok && t.known == nil {
			t.known = make([]bool, len(t.local))
			for i := range t.known {
				t.known[i] = true
			}
		}
		text := ""
		if ok {
			text = all[c.body-base : c.pos-base]
			if !utf8.ValidString(text) {
				return c.wrong("symbol is not UTF-8")
			}
		}
		t.local = append(t.local, text)
		if t.known != nil {
			t.known = append(t.known, ok)
		}
	}
	c.StepOut()
	return c.Err()
}
