package journal

import (
	"fmt"
	"strconv"
	"strings"
)

// A KeyKind says what an object of an archive is, going by its key.
type KeyKind uint8

// The kinds of objects. OtherKey is none of an export's.
const (
	OtherKey KeyKind = iota
	DataKey
	StartedKey
	CompletedKey
	ProofsKey // <...>.proofs.json, written by AWS's migration sample
)

// A Key is what an object's key tells. Nothing before the name counts: a prefix
// may be empty, hold dots, or end without a slash.
type Key struct {
	Kind        KeyKind
	ExportID    string // of manifests
	Strand      string // of data objects, completed manifests, proofs
	First, Last int64  // sequence numbers of a data object
}

const (
	startedSuffix   = ".started.manifest"
	completedSuffix = ".completed.manifest"
	proofsSuffix    = ".proofs.json"
)

// ParseKey reads the names that exports give to objects:
//
//	<exportId>.started.manifest
//	<exportId>.<strandId>.completed.manifest
//	yyyy/mm/dd/hh/<strandId>.<first>-<last>.ion or .json
//
// with .gz behind them where their owner compressed them, and
//
//	<exportId>.<strandId>.proofs.json
//	<exportId>.<strandId>.completed.manifest<exportId>.<strandId>.proofs.json
//
// the digest and proof beside an export of AWS's migration sample, which put
// the second for the first by mistake. prefix is the export's, as far as it is
// known: it ends where a name begins when it has no slash at its end.
func ParseKey(prefix, key string) Key {
	name := strings.TrimPrefix(key, prefix)
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	name = strings.TrimSuffix(name, ".gz")
	switch {
	case strings.HasSuffix(name, proofsSuffix):
		rest, strand := cutLast(strings.TrimSuffix(name, proofsSuffix))
		_, id := cutLast(rest)
		if _, after, ok := strings.Cut(rest, completedSuffix); ok {
			id = after
		}
		return Key{Kind: ProofsKey, ExportID: id, Strand: strand}
	case strings.HasSuffix(name, startedSuffix):
		_, id := cutLast(strings.TrimSuffix(name, startedSuffix))
		return Key{Kind: StartedKey, ExportID: id}
	case strings.HasSuffix(name, completedSuffix):
		rest, strand := cutLast(strings.TrimSuffix(name, completedSuffix))
		_, id := cutLast(rest)
		return Key{Kind: CompletedKey, ExportID: id, Strand: strand}
	}
	stem, ext := cutLast(name)
	if ext != "ion" && ext != "json" && ext != "10n" {
		return Key{}
	}
	stem, span := cutLast(stem)
	_, strand := cutLast(stem)
	first, last, ok := strings.Cut(span, "-")
	a, errA := parseSequence(first)
	b, errB := parseSequence(last)
	if !ok || errA != nil || errB != nil || b < a || strand == "" {
		return Key{}
	}
	return Key{Kind: DataKey, Strand: strand, First: a, Last: b}
}

// cutLast splits s at its last dot. Without one all of s is the last part.
func cutLast(s string) (before, last string) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", s
	}
	return s[:i], s[i+1:]
}

// parseSequence reads digits only: no sign.
func parseSequence(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}

// A MissingObjectError reports a key of a manifest that no object has.
type MissingObjectError struct{ Key, Prefix string }

func (e *MissingObjectError) Error() string {
	return fmt.Sprintf("manifest names %s, and there is no such object, neither by that key nor below the prefix %q: restore it, or load what there is with \"Manifests\":\"none\"", e.Key, e.Prefix)
}

// ResolveKey finds the object that a completed manifest's key means: by the key
// as it stands first, then relative to prefix, with and without a slash between,
// and then the same with .gz behind. exists tells which keys there are. An
// archive copied elsewhere gives its old prefix as well: what follows it counts
// as relative. The error is a *MissingObjectError.
func ResolveKey(key, prefix, oldPrefix string, exists func(string) bool) (string, error) {
	relative := []string{key}
	if oldPrefix != "" {
		if rest, ok := strings.CutPrefix(key, oldPrefix); ok {
			relative = append(relative, strings.TrimPrefix(rest, "/"))
		}
	}
	candidates := []string{key}
	for _, k := range relative {
		candidates = append(candidates, prefix+k)
		if prefix != "" && !strings.HasSuffix(prefix, "/") {
			candidates = append(candidates, prefix+"/"+k)
		}
	}
	for _, suffix := range [...]string{"", ".gz"} {
		for _, k := range candidates {
			if exists(k + suffix) {
				return k + suffix, nil
			}
		}
	}
	return "", &MissingObjectError{Key: key, Prefix: prefix}
}
