package profile

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed aurora-postgresql.json aurora-dsql.json
var files embed.FS

// fileNames are the files of the profiles, in the order of Names.
var fileNames = [...]string{"aurora-postgresql.json", "aurora-dsql.json"}

// A file is the profile of one kind of database, in versions that can do the same.
type file struct {
	Versions []struct {
		Name       string `json:"name"`
		PostgreSQL int    `json:"postgresql"`
	} `json:"versions"`
	Sources map[string]struct {
		AsOf string `json:"as_of"`
		Text string `json:"text"`
	} `json:"sources"`
	Types []struct {
		Names     []string `json:"names"`
		As        string   `json:"as"`
		Index     bool     `json:"index"`
		MaxLength int      `json:"maxLength"`
		Why       string   `json:"why"`
		fileFact
	} `json:"types"`
	Limits map[LimitName]struct {
		Value *int64 `json:"value"`
		fileFact
	} `json:"limits"`
	Features map[FeatureName]struct {
		Has *bool `json:"has"`
		fileFact
	} `json:"features"`
}

// A fileFact is a Fact whose source is one of the file's.
type fileFact struct {
	Source   string `json:"source"`
	Since    string `json:"since"`
	Doubtful bool   `json:"doubtful"`
}

// allLimits and allFeatures are what every profile has to say something about.
var (
	allLimits = [...]LimitName{
		RowsPerTransaction, BytesPerTransaction, SecondsPerTransaction, KeyBytes, KeyDeclared, KeyColumns, TableColumns, TableIndexes, Schemas, Tables, RowBytes,
		ValueBytes, ConnectionMinutes, ConnectionsPerSecond, ConnectionBurst, MessageBytes, SequenceCache, NumericBare, NumericBareScale,
	}
	allFeatures = [...]FeatureName{
		ForeignKeys, DeferrableForeignKeys, PartialIndexes, ExpressionIndexes, IncludeIndexes, IndexMethods, IndexOrder, IndexClasses, Checks, Defaults,
		Identity, SmallIdentity, SequentialKeys, PublicSchema, BareNumeric, Collations, DeferrableUnique,
	}
	anyTypes = [...]string{AnyArray, AnyEnum, AnyComposite, AnyRange, AnyOther}
)

// Names returns the names of the profiles that there are.
func Names() []string {
	var names []string
	for _, name := range fileNames {
		if f, err := readFile(name); err == nil {
			for _, v := range f.Versions {
				names = append(names, v.Name)
			}
		}
	}
	return names
}

// Lookup returns the profile of that name: aurora-dsql, or aurora-postgresql-16.
func Lookup(name string) (*Profile, error) {
	for _, file := range fileNames {
		f, err := readFile(file)
		if err != nil {
			return nil, err
		}
		for _, v := range f.Versions {
			if v.Name != name {
				continue
			}
			p, err := f.profile(name)
			if err != nil {
				return nil, fmt.Errorf("read profile %s: %w", file, err)
			}
			p.PostgreSQL = v.PostgreSQL
			return p, nil
		}
	}
	return nil, fmt.Errorf("there is no profile of a target %q: choose one of %s", name, strings.Join(Names(), ", "))
}

// Of names the profile of a database engine, as RDS and Aurora DSQL spell engines,
// in a version such as 16.4. An engine whose versions are not told apart has none.
func Of(engine, version string) (string, error) {
	if !slices.Contains(fileNames[:], engine+".json") {
		return "", fmt.Errorf("the target's engine is %q, and what it can do is not known: take a cluster of Aurora PostgreSQL or Aurora DSQL", engine)
	}
	f, err := readFile(engine + ".json")
	if err != nil {
		return "", err
	}
	major, _, _ := strings.Cut(version, ".")
	var known []string
	for _, v := range f.Versions {
		if version == "" && len(f.Versions) == 1 || strconv.Itoa(v.PostgreSQL) == major {
			return v.Name, nil
		}
		known = append(known, strconv.Itoa(v.PostgreSQL))
	}
	return "", fmt.Errorf("the target is %s %s, and what that version can do is not known: upgrade it to one of %s (aws rds modify-db-cluster --engine-version …), or name another cluster", engine, version, strings.Join(known, ", "))
}

func readFile(name string) (*file, error) {
	text, err := files.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	f := &file{}
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("read profile %s: %w", name, err)
	}
	return f, nil
}

func (f *file) profile(name string) (*Profile, error) {
	p := &Profile{Name: name, types: map[string]Type{}, limits: map[LimitName]Limit{}, features: map[FeatureName]Feature{}}
	for _, s := range f.Sources {
		p.AsOf = max(p.AsOf, s.AsOf)
	}
	for _, group := range f.Types {
		fact, err := f.fact(group.fileFact)
		if err != nil {
			return nil, fmt.Errorf("types %v: %w", group.Names, err)
		}
		if !slices.Contains([]string{Keep, Text, Never}, group.As) || (group.As == Keep) != (group.Why == "") {
			return nil, fmt.Errorf("types %v: %q is no conversion, or why is missing", group.Names, group.As)
		}
		for _, name := range group.Names {
			if _, twice := p.types[name]; twice {
				return nil, fmt.Errorf("type %s stands twice", name)
			}
			p.types[name] = Type{Name: name, As: group.As, Index: group.Index, MaxLength: group.MaxLength, Why: group.Why, Fact: fact}
		}
	}
	for _, name := range anyTypes {
		if _, ok := p.types[name]; !ok {
			return nil, fmt.Errorf("type %s is missing", name)
		}
	}
	for _, name := range allLimits {
		l := f.Limits[name]
		fact, err := f.fact(l.fileFact)
		if err != nil {
			return nil, fmt.Errorf("limit %s: %w", name, err)
		}
		if l.Value == nil {
			return nil, fmt.Errorf("limit %s has no value", name)
		}
		p.limits[name] = Limit{Value: *l.Value, Fact: fact}
	}
	for _, name := range allFeatures {
		l := f.Features[name]
		fact, err := f.fact(l.fileFact)
		if err != nil {
			return nil, fmt.Errorf("feature %s: %w", name, err)
		}
		if l.Has == nil {
			return nil, fmt.Errorf("feature %s has no value", name)
		}
		p.features[name] = Feature{Has: *l.Has, Fact: fact}
	}
	if len(p.limits) != len(f.Limits) || len(p.features) != len(f.Features) {
		return nil, errors.New("it has limits or features that nobody knows")
	}
	return p, nil
}

func (f *file) fact(x fileFact) (Fact, error) {
	source, ok := f.Sources[x.Source]
	if !ok || source.Text == "" {
		return Fact{}, fmt.Errorf("its source %q is not among the sources", x.Source)
	}
	if err := checkDay(source.AsOf); err != nil {
		return Fact{}, err
	}
	if x.Since != "" {
		if err := checkDay(x.Since); err != nil {
			return Fact{}, err
		}
	}
	return Fact{AsOf: source.AsOf, Source: source.Text, Since: x.Since, Doubtful: x.Doubtful}, nil
}

func checkDay(day string) error {
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return fmt.Errorf("%q is no day such as 2026-09-30", day)
	}
	return nil
}
