package change

// A FieldID names a struct field that somebody asked for. 0 means nobody did.
type FieldID uint32

// Fields is the dictionary between a mapping, which registers the field names
// of its paths while it compiles, and a source, which looks each field name up
// once a symbol table and marks the nodes. Register everything before reading;
// after that it is safe for concurrent use.
type Fields struct{ ids map[string]FieldID }

// ID returns the id of name and registers it first when it is new.
func (f *Fields) ID(name string) FieldID {
	if id, ok := f.ids[name]; ok {
		return id
	}
	if f.ids == nil {
		f.ids = map[string]FieldID{}
	}
	id := FieldID(len(f.ids) + 1)
	f.ids[name] = id
	return id
}

// Lookup returns the id of name, or 0 when nobody registered it.
func (f *Fields) Lookup(name []byte) FieldID {
	if f == nil {
		return 0
	}
	return f.ids[string(name)]
}

// Len returns the number of registered names; ids run from 1 to Len.
func (f *Fields) Len() int {
	if f == nil {
		return 0
	}
	return len(f.ids)
}

// A Name is a struct field's name as a source met it.
type Name struct {
	Text  string
	Field FieldID // 0: no rule asks for it
}

// A Node is one value on a Tape. A container's children follow it directly; End
// steps over them.
type Node struct {
	Kind  Kind
	Flags Flags
	Name  int32  // index into Tape.Names; -1 for the root and for list elements
	End   int32  // index of the first node behind this value and its children
	Off   uint32 // the value's bytes are Tape.Data[Off:Off+Len] (see Kind for their form)
	Len   uint32 // 0 and Off 0 for an Int within int64, a Bool, a Float: those are in Int
	Int   int64
}

// A Tape holds one document, flat and in document order; Nodes[0] is its root.
// The source owns and reuses all of it. Field order and repeated field names
// are kept.
type Tape struct {
	Nodes []Node
	Data  []byte
	Names []Name
}

// Bytes returns the bytes of n, or nil for a value that lives in n.Int.
func (t *Tape) Bytes(n *Node) []byte {
	if n.Len == 0 && n.Off == 0 {
		if n.Kind == Text || n.Kind == Bytes {
			return []byte{}
		}
		return nil
	}
	return t.Data[n.Off : n.Off+n.Len : n.Off+n.Len]
}

// Value returns n as a scalar value. Containers yield their Kind and no bytes.
func (t *Tape) Value(n *Node) Value {
	return Value{Kind: n.Kind, Int: n.Int, Bytes: t.Bytes(n)}
}

// Clone copies the tape, so that it outlives the next read.
func (t *Tape) Clone() *Tape {
	return &Tape{
		Nodes: append([]Node(nil), t.Nodes...),
		Data:  append([]byte(nil), t.Data...),
		Names: append([]Name(nil), t.Names...),
	}
}
