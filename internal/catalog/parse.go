package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Parse reads the answer of catalog.sql strictly: an unknown version or member,
// and a name that nothing has, are errors.
func Parse(text []byte) (*Catalog, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	c := &Catalog{}
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	if c.Version != 1 {
		return nil, fmt.Errorf("read catalog: its version is %d, this program knows 1: make it with the catalog.sql of this program", c.Version)
	}
	return c, nil
}
