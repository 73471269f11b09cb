package journal

import (
	"bytes"
	"fmt"
)

// A Format is an output format of a journal export.
type Format uint8

// The formats. UnknownFormat announces nothing.
const (
	UnknownFormat Format = iota
	IonBinary
	IonText
	JSON
)

var formatNames = [...]string{"unknown format", "ION_BINARY", "ION_TEXT", "JSON"}

// String returns the name that the export API uses: ION_BINARY, ION_TEXT, JSON.
func (f Format) String() string {
	if int(f) < len(formatNames) {
		return formatNames[f]
	}
	return fmt.Sprintf("format(%d)", uint8(f))
}

// MarshalText writes the format's name, for Position.
func (f Format) MarshalText() ([]byte, error) {
	if f == UnknownFormat {
		return nil, nil
	}
	return []byte(f.String()), nil
}

// UnmarshalText reads what MarshalText wrote.
func (f *Format) UnmarshalText(text []byte) (err error) {
	*f, err = ParseFormat(string(text))
	return err
}

// ParseFormat reads the export API's name of a format. An empty name is
// UnknownFormat: manifests give the format only when it was asked for.
func ParseFormat(name string) (Format, error) {
	switch name {
	case "":
		return UnknownFormat, nil
	case "ION_BINARY":
		return IonBinary, nil
	case "ION_TEXT":
		return IonText, nil
	case "JSON":
		return JSON, nil
	}
	return UnknownFormat, fmt.Errorf("output format %.40q is none of ION_BINARY, ION_TEXT, JSON", name)
}

// A FormatError reports an object in another format than was announced.
type FormatError struct{ Announced, Found Format }

func (e *FormatError) Error() string {
	return fmt.Sprintf("content is %s where %s was announced", e.Found, e.Announced)
}

// binaryMarker opens every stream of binary Ion 1.0.
var binaryMarker = []byte{0xE0, 0x01, 0x00, 0xEA}

// detect finds the format of the journal or manifest that begins with head,
// after white space: binary Ion by its version marker, JSON by the quoted name
// of an object's first member, which Ion's writers do not quote that way, and
// Ion text by what else may begin a struct. UnknownFormat and no error means
// that head holds nothing but white space.
func detect(head []byte) (Format, error) {
	if bytes.HasPrefix(head, binaryMarker) {
		return IonBinary, nil
	}
	text := bytes.TrimLeft(head, " \t\r\n")
	if len(text) == 0 {
		return UnknownFormat, nil
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return UnknownFormat, fmt.Errorf("content is a zip archive: unpack it and store its members as objects")
	case bytes.HasPrefix(head, []byte{0x28, 0xB5, 0x2F, 0xFD}):
		return UnknownFormat, fmt.Errorf("content is compressed with zstd: only gzip is read, decompress it")
	case bytes.HasPrefix(head, []byte{0xEF, 0xBB, 0xBF}):
		return UnknownFormat, fmt.Errorf("content begins with a UTF-8 byte order mark, which no export has: remove its three bytes")
	case head[0] == 0xE0:
		return UnknownFormat, fmt.Errorf("content begins with % X, not the version marker of ion 1.0", head[:min(len(head), 4)])
	}
	switch c := text[0]; {
	case c == '{' && bytes.HasPrefix(bytes.TrimLeft(text[1:], " \t\r\n"), []byte(`"`)):
		return JSON, nil
	case c == '{', c == '$', c == '/', c == '\'', c == '_', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		return IonText, nil
	}
	return UnknownFormat, fmt.Errorf("content begins with %.12q, which is neither ion nor JSON of a journal export", text)
}
