package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"godwit/internal/journal"
)

// An archive is what a listing and its manifests say of one ledger's exports.
type archive struct {
	exports []Export
	ranges  []Range // of data objects, in no order, each object once
	unused  []string
	strand  string
	proofs  []Range // the files with digests and proofs beside the exports
	// problems are what stops a load and leaves something to plan.
	problems []Finding
}

func (a *archive) problem(object string, err error) {
	a.problems = append(a.problems, Finding{Object: object, Text: err.Error()})
}

// readArchive finds the data objects of an archive: those that the completion
// manifests name, or, with Manifests "none", all that are named like one.
func readArchive(ctx context.Context, o Objects, in *Input) (*archive, error) {
	found := map[string]Range{}
	keys := map[journal.KeyKind][]journal.Key{}
	names := map[journal.KeyKind][]string{}
	err := o.List(ctx, in.Bucket, in.Prefix, func(key, etag string, size int64, class string) error {
		k := journal.ParseKey(in.Prefix, key)
		found[key] = Range{Key: key, ETag: etag, Size: size, Object: Blocks{k.First, k.Last}, class: class}
		keys[k.Kind] = append(keys[k.Kind], k)
		names[k.Kind] = append(names[k.Kind], key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	a := &archive{}
	for i, k := range keys[journal.ProofsKey] {
		if in.chose(k.ExportID) {
			a.proofs = append(a.proofs, found[names[journal.ProofsKey][i]])
		}
	}
	if in.Manifests == "none" {
		a.byName(names[journal.DataKey], found)
		if len(a.ranges) == 0 {
			return nil, &Stop{fmt.Errorf("s3://%s/%s holds no data object named like <strand>.<first>-<last>.ion or .json: check Bucket and Prefix", in.Bucket, in.Prefix)}
		}
	} else if err := a.manifests(ctx, o, in, keys, names, found); err != nil {
		return nil, err
	}
	var strands []string
	for _, r := range a.ranges {
		if s := journal.ParseKey(in.Prefix, r.Key).Strand; !slices.Contains(strands, s) {
			strands = append(strands, s)
		}
	}
	if len(strands) > 1 {
		return nil, &Stop{fmt.Errorf("the archive holds %d ledgers (strands %s): take one at a time, by its Prefix, or by its ExportIds where there are manifests", len(strands), strings.Join(strands, ", "))}
	}
	a.strand = strands[0]
	return a, nil
}

// chose tells whether an export is one of those that the input asks for.
func (in *Input) chose(export string) bool {
	return len(in.ExportIds) == 0 || slices.Contains(in.ExportIds, export)
}

// byName takes all data objects there are.
func (a *archive) byName(keys []string, found map[string]Range) {
	a.exports = []Export{{ID: "(without manifests)", Objects: len(keys)}}
	for _, key := range keys {
		a.ranges = append(a.ranges, found[key])
	}
}

// A manifest is one that was read, or why it was not.
type manifest[T any] struct {
	export string
	key    string
	read   *T
	err    error
}

// readManifests reads those manifests that the input chooses, several at a time.
func readManifests[T any](ctx context.Context, o Objects, in *Input, keys []journal.Key, names []string, parse func([]byte) (*T, error)) ([]manifest[T], error) {
	var out []manifest[T]
	for i, k := range keys {
		if in.chose(k.ExportID) {
			out = append(out, manifest[T]{export: k.ExportID, key: names[i]})
		}
	}
	return out, each(ctx, len(out), func(ctx context.Context, i int) error {
		m := &out[i]
		b, err := readAll(ctx, o, in.Bucket, m.key)
		if err == nil {
			if m.read, err = parse(b); err != nil {
				err = &Stop{fmt.Errorf("read manifest %s: %w", m.key, err)}
			}
		}
		m.err = err
		return nil
	})
}

// repeatable returns an error of reading object that is worth a repeat, and
// makes any other a problem.
func (a *archive) repeatable(object string, err error) error {
	if err == nil {
		return nil
	}
	if passes(err) {
		return err
	}
	a.problem(object, err)
	return nil
}

// manifests reads the completion manifests and resolves the keys they name.
func (a *archive) manifests(ctx context.Context, o Objects, in *Input, keys map[journal.KeyKind][]journal.Key, names map[journal.KeyKind][]string, found map[string]Range) error {
	read, err := readManifests(ctx, o, in, keys[journal.StartedKey], names[journal.StartedKey], journal.ParseStartedManifest)
	if err != nil {
		return err
	}
	started := map[string]*journal.StartedManifest{}
	for _, m := range read {
		if err := a.repeatable(m.key, m.err); err != nil {
			return err
		}
		started[m.export] = m.read
	}
	if len(keys[journal.CompletedKey]) == 0 {
		return &Stop{noManifest(in, len(started), len(names[journal.DataKey]))}
	}
	for _, id := range in.ExportIds {
		if !slices.ContainsFunc(keys[journal.CompletedKey], func(k journal.Key) bool { return k.ExportID == id }) {
			a.problem("", fmt.Errorf("export %s has no completion manifest under s3://%s/%s: check ExportIds and Prefix; an export that never completed is read with \"Manifests\": \"none\"", id, in.Bucket, in.Prefix))
		}
	}
	byName := map[string][]string{} // hour folder and name -> keys
	for _, key := range names[journal.DataKey] {
		byName[tail(key)] = append(byName[tail(key)], key)
	}
	named := map[string]int{} // key -> index into a.ranges
	completed, err := readManifests(ctx, o, in, keys[journal.CompletedKey], names[journal.CompletedKey], journal.ParseCompletedManifest)
	if err != nil {
		return err
	}
	for _, m := range completed {
		if err := a.repeatable(m.key, m.err); err != nil {
			return err
		}
		if m.read == nil {
			continue
		}
		e := Export{ID: m.export, Objects: len(m.read.Keys)}
		oldPrefix := ""
		if s := started[m.export]; s != nil {
			oldPrefix = s.Prefix
			if s.Format != journal.UnknownFormat {
				e.Announced = s.Format.String()
			}
		}
		for _, key := range m.read.Keys {
			at, err := resolve(in, key, oldPrefix, found, byName)
			if err != nil {
				a.problem(key, fmt.Errorf("manifest %s: %w", m.key, err))
				continue
			}
			if i, ok := named[at]; ok {
				// A later export of the same blocks into the same place replaced
				// the object, perhaps by one in another format: its content tells.
				if a.ranges[i].Announced != e.Announced {
					a.ranges[i].Announced = ""
				}
				continue
			}
			if journal.ParseKey(in.Prefix, at).Kind != journal.DataKey {
				a.problem(key, fmt.Errorf("manifest %s names %s, which is not named like <strand>.<first>-<last>.ion or .json", m.key, key))
				continue
			}
			named[at] = len(a.ranges)
			r := found[at]
			r.Announced = e.Announced
			a.ranges = append(a.ranges, r)
		}
		a.exports = append(a.exports, e)
	}
	if len(in.ExportIds) == 0 {
		for _, key := range names[journal.DataKey] {
			if _, ok := named[key]; !ok {
				a.unused = append(a.unused, key)
			}
		}
	}
	if len(a.ranges) == 0 && len(a.problems) > 0 {
		if !in.planOnly() || len(names[journal.DataKey]) == 0 {
			return &Stop{stopText(a.problems, planLists)}
		}
		// An archive in cold storage, say: its size can be planned by names alone.
		a.byName(names[journal.DataKey], found)
		return nil
	}
	if len(a.ranges) == 0 {
		return &Stop{fmt.Errorf("the exports under s3://%s/%s are empty: their manifests name no object, so there is nothing to read", in.Bucket, in.Prefix)}
	}
	return nil
}

// kinds counts the objects that are alike.
func kinds(ranges []Range) []ObjectKind {
	at := map[ObjectKind]int{}
	var out []ObjectKind
	for _, r := range ranges {
		k := ObjectKind{Format: r.format(), Gzip: strings.HasSuffix(r.Key, ".gz"), Class: cmp.Or(r.class, "STANDARD")}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, k)
		}
		out[i].Objects++
		out[i].Bytes += r.Size
	}
	return out
}

func noManifest(in *Input, started, data int) error {
	where := fmt.Sprintf("s3://%s/%s holds no completion manifest (<exportId>.<strandId>.completed.manifest)", in.Bucket, in.Prefix)
	switch {
	case data > 0 && started > 0:
		return fmt.Errorf("%s, only %d of started exports and %d data objects: read them with \"Manifests\": \"none\"; the report then tells which blocks are there", where, started, data)
	case data > 0:
		return fmt.Errorf("%s but %d data objects: read them with \"Manifests\": \"none\"", where, data)
	}
	return fmt.Errorf("%s and no data object: check Bucket and Prefix", where)
}

// tail is the part of a data object's key that a copy to another place keeps:
// yyyy/mm/dd/hh/name.
func tail(key string) string {
	parts := strings.Split(strings.TrimSuffix(key, ".gz"), "/")
	return path.Join(parts[max(0, len(parts)-5):]...)
}

// resolve finds the object that a manifest's key means: the key itself, the key
// below the prefix with or without the export's own prefix, or, in an archive
// that was copied elsewhere, the one object with the same hour folder and name.
func resolve(in *Input, key, oldPrefix string, found map[string]Range, byName map[string][]string) (string, error) {
	at, err := journal.ResolveKey(key, in.Prefix, oldPrefix, func(k string) bool { _, ok := found[k]; return ok })
	if err == nil {
		return at, nil
	}
	switch same := byName[tail(key)]; {
	case len(same) == 1:
		return same[0], nil
	case len(same) > 1:
		return "", fmt.Errorf("it names object %s, which may be s3://%s/%s or %s: give a Prefix below which there is one copy", key, in.Bucket, same[0], same[1])
	}
	var missing *journal.MissingObjectError
	if errors.As(err, &missing) {
		return "", fmt.Errorf("it names object %s, which is not under s3://%s/%s: copy it there from where the archive came from, or go on without it by \"Manifests\": \"none\"", key, in.Bucket, in.Prefix)
	}
	return "", err
}
