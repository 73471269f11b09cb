package journal

import (
	"bytes"
	"fmt"
	"io"

	"godwit/internal/ion"
)

// ReadValue returns the one value in b, Ion text or binary, as binary Ion and the
// symbols to read it with. It is for the small answers of QLDB's API: objects
// have a Reader.
func ReadValue(b []byte) (value []byte, symbols *ion.SymbolTable, err error) {
	r := ion.NewReader(bytes.NewReader(b), 0)
	if bytes.HasPrefix(b, []byte{0xE0, 0x01, 0x00, 0xEA}) {
		value, err = r.Next()
	} else {
		value, err = new(textConverter).convert(b, r)
	}
	if err == nil {
		value = bytes.Clone(value)
		if _, err = r.Next(); err == nil {
			err = fmt.Errorf("another value follows it")
		} else if err == io.EOF {
			err = nil
		}
	} else if err == io.EOF {
		err = fmt.Errorf("there is none")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read ion value: %w", err)
	}
	return value, r.Symbols(), nil
}
