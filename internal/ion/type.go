package ion

import "fmt"

// A Type is an Ion 1.0 type.
type Type uint8

// The types, numbered as the type codes of the binary encoding where one code
// is one type; Annotation never reaches a caller of Cursor.Type.
const (
	NullType Type = iota
	BoolType
	IntType // both signs
	_
	FloatType
	DecimalType
	TimestampType
	SymbolType
	StringType
	ClobType
	BlobType
	ListType
	SexpType
	StructType
)

var typeNames = [...]string{"null", "bool", "int", "int", "float", "decimal", "timestamp", "symbol", "string", "clob", "blob", "list", "sexp", "struct"}

// String names the type as Ion text does.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}
