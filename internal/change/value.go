package change

import "fmt"

// A Kind is the closed set of values that godwit moves.
type Kind uint8

// The kinds. Invalid is the zero Kind; it never leaves a source.
const (
	Invalid   Kind = iota
	Null           // no value; the type of a typed null is not kept
	Bool           // Int is 0 or 1
	Int            // Int if Bytes is nil, else Bytes holds the decimal digits with an optional '-'
	Decimal        // Bytes: exact decimal text, digits of the coefficient kept: 90.25, 9.00, -0.0, 12E+5
	Float          // Int: the IEEE 754 bits of a float64
	Text           // Bytes: UTF-8
	Bytes          // Bytes: raw
	Date           // Bytes: 2006-01-02
	Time           // Bytes: 15:04:05[.fraction]
	Timestamp      // Bytes: Ion timestamp text, precision and offset kept: 2019T, 2019-09T, 2019-09-16, 2019-09-16T19:37Z, 2019-09-16T19:37:05.360-00:00
	JSON           // Bytes: JSON text; in an array column a JSON array: null, bare numbers and booleans, everything else as strings (bytes in hexadecimal), of jsonb[] any JSON
	List           // on a Tape: children follow; as a row value: never
	Struct         // on a Tape: children follow; as a row value: never
	UUID           // Bytes: 8-4-4-4-12 hexadecimal text
)

var kindNames = [...]string{
	"invalid", "null", "bool", "int", "decimal", "float", "text", "bytes",
	"date", "time", "timestamp", "json", "list", "struct", "uuid",
}

// String names the kind as messages do: "int", "timestamp".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// A Value is one scalar on its way into a target column. Bytes is borrowed: it
// is valid as long as the Record that it came from.
type Value struct {
	Kind  Kind
	Int   int64  // Bool, Int (when Bytes is nil), Float (IEEE bits)
	Bytes []byte // everything else: see the kinds
}

// Flags tell what a source type held beyond its Kind.
type Flags uint8

// The flags of a Node.
const (
	Symbol    Flags = 1 << iota // a Text that was an Ion symbol
	Clob                        // a Bytes that was an Ion clob
	Sexp                        // a List that was an Ion s-expression
	Annotated                   // the value had annotations, which a Tape does not carry
	TypedNull                   // a Null that named a type
)
