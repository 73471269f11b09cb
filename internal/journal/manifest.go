package journal

import (
	"bytes"
	"fmt"
	"io"

	"godwit/internal/change"
	"godwit/internal/ion"
)

// A StartedManifest is what QLDB wrote when an export began.
type StartedManifest struct {
	Ledger     string // ledgerName
	ExportID   string
	Start, End string // inclusiveStartTime, exclusiveEndTime: Ion timestamp text
	Bucket     string
	Prefix     string
	Encryption string // objectEncryptionType: SSE_KMS, SSE_S3, NO_ENCRYPTION
	Format     Format // outputFormat; UnknownFormat where it is not given
}

// A CompletedManifest lists the data objects of one strand of an export.
type CompletedManifest struct {
	Keys []string // in the order of the journal; may be empty
}

// maxManifestBytes bounds a manifest, decompressed: a million keys.
const maxManifestBytes = 128 << 20

// ParseStartedManifest reads a started manifest in any format of exports, plain
// or gzip; its own format is found by its content.
func ParseStartedManifest(b []byte) (*StartedManifest, error) {
	t, err := parseManifest(b)
	if err != nil {
		return nil, fmt.Errorf("read started manifest: %w", err)
	}
	m := &StartedManifest{}
	var format string
	for name, to := range map[string]*string{
		"ledgerName": &m.Ledger, "exportId": &m.ExportID, "inclusiveStartTime": &m.Start, "exclusiveEndTime": &m.End,
		"bucket": &m.Bucket, "prefix": &m.Prefix, "objectEncryptionType": &m.Encryption, "outputFormat": &format,
	} {
		n := member(t, name)
		switch {
		case n == nil || n.Kind == change.Null:
		case n.Kind == change.Text || n.Kind == change.Timestamp:
			*to = string(t.Bytes(n))
		default:
			return nil, fmt.Errorf("read started manifest: %s is a %s, not a text", name, n.Kind)
		}
	}
	if m.ExportID == "" {
		return nil, fmt.Errorf("read started manifest: it has no exportId")
	}
	if m.Format, err = ParseFormat(format); err != nil {
		return nil, fmt.Errorf("read started manifest: %w", err)
	}
	return m, nil
}

// ParseCompletedManifest reads a completed manifest in any format of exports,
// plain or gzip; its own format is found by its content.
func ParseCompletedManifest(b []byte) (*CompletedManifest, error) {
	t, err := parseManifest(b)
	if err != nil {
		return nil, fmt.Errorf("read completed manifest: %w", err)
	}
	list := member(t, "keys")
	if list == nil || list.Kind != change.List {
		return nil, fmt.Errorf("read completed manifest: it has no list of keys")
	}
	m := &CompletedManifest{Keys: []string{}}
	for i := nodeIndex(t, list) + 1; i < list.End; i = t.Nodes[i].End {
		n := &t.Nodes[i]
		if n.Kind != change.Text {
			return nil, fmt.Errorf("read completed manifest: key %d is a %s, not a text", len(m.Keys), n.Kind)
		}
		m.Keys = append(m.Keys, string(t.Bytes(n)))
	}
	return m, nil
}

// parseManifest lays a manifest, one struct in any format, on a tape.
func parseManifest(b []byte) (*change.Tape, error) {
	if bytes.HasPrefix(b, []byte{0x1F, 0x8B}) {
		z, err := unzip(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		if b, err = io.ReadAll(io.LimitReader(z, maxManifestBytes+1)); err != nil {
			return nil, fmt.Errorf("read gzip: %w", err)
		}
	}
	if len(b) > maxManifestBytes {
		return nil, fmt.Errorf("it is longer than %d bytes", maxManifestBytes)
	}
	f, err := detect(b)
	if err != nil {
		return nil, err
	}
	t := &change.Tape{}
	switch f {
	case UnknownFormat:
		return nil, fmt.Errorf("it is empty")
	case JSON:
		var v jsonValues
		err = v.tape(t, b)
	default:
		r := ion.NewReader(bytes.NewReader(b), 0)
		r.MaxValueBytes = maxManifestBytes
		var raw []byte
		if f == IonText {
			w := window{src: bytes.NewReader(b)}
			if raw, _, err = w.value(maxManifestBytes); err == nil {
				raw, err = new(textConverter).convert(raw, r)
			}
		} else {
			raw, err = r.Next()
		}
		if err == io.EOF {
			err = fmt.Errorf("it is empty")
		}
		if err != nil {
			return nil, err
		}
		names := &ionNames{symbols: r.Symbols()}
		names.sync()
		err = (&ionValues{names: names}).tape(t, raw)
	}
	if err != nil {
		return nil, err
	}
	if t.Nodes[0].Kind != change.Struct {
		return nil, fmt.Errorf("it is a %s, not a struct", t.Nodes[0].Kind)
	}
	return t, nil
}

// member returns the first member of the root with the given name, or nil.
func member(t *change.Tape, name string) *change.Node {
	for i := int32(1); i < t.Nodes[0].End; i = t.Nodes[i].End {
		if t.Names[t.Nodes[i].Name].Text == name {
			return &t.Nodes[i]
		}
	}
	return nil
}

// nodeIndex returns the index of n, a member of the root.
func nodeIndex(t *change.Tape, n *change.Node) int32 {
	for i := int32(1); i < t.Nodes[0].End; i = t.Nodes[i].End {
		if &t.Nodes[i] == n {
			return i
		}
	}
	return -1
}
