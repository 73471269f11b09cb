package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// The file of Types. It holds names, ids, types and counts, no value.
type typesFile struct {
	Format  string                `json:"format"`
	Version int                   `json:"version"`
	Tables  map[string]*tableFile `json:"tables"` // by table id
}

type tableFile struct {
	Samples  int       `json:"samples"` // revisions of the sample
	Proven   int       `json:"proven"`  // of them
	Typings  []int     `json:"typings,omitempty"`
	Effort   int64     `json:"effort"`
	Document *pathFile `json:"document"`
}

type pathFile struct {
	Values   map[string]*slotFile `json:"values,omitempty"` // by class
	Members  map[string]*pathFile `json:"members,omitempty"`
	Elements *pathFile            `json:"elements,omitempty"`
}

type slotFile struct {
	Count int            `json:"count"`
	Rules map[string]int `json:"rules"`        // how many of the values each rule reads
	As    []string       `json:"as,omitempty"` // the rule of each typing; "": none
}

const (
	typesFormat  = "godwit.types"
	typesVersion = 1

	// maxTypesBytes bounds the file: 40 tables of some hundred paths are less
	// than 1 MB.
	maxTypesBytes = 64 << 20
	maxCount      = 1 << 40
)

// MarshalJSON writes the types: equal ones as equal bytes.
func (t *Types) MarshalJSON() ([]byte, error) {
	f := typesFile{Format: typesFormat, Version: typesVersion, Tables: map[string]*tableFile{}}
	for id, tb := range t.tables {
		f.Tables[id] = &tableFile{Samples: tb.samples, Proven: tb.proven, Typings: tb.typings, Effort: tb.effort, Document: tb.file(0)}
	}
	return json.Marshal(f)
}

// file is path p and what is below it.
func (t *table) file(p int32) *pathFile {
	at := &t.paths[p]
	f := &pathFile{}
	for c, s := range at.slots {
		if s == nil {
			continue
		}
		sf := &slotFile{Count: s.values, Rules: map[string]int{}}
		for _, v := range s.votes {
			sf.Rules[v.rule.String()] = v.count
		}
		for _, r := range s.as[:len(t.typings)] {
			name := ""
			if r != noRule {
				name = r.String()
			}
			sf.As = append(sf.As, name)
		}
		if f.Values == nil {
			f.Values = map[string]*slotFile{}
		}
		f.Values[classNames[c]] = sf
	}
	for name, m := range at.members {
		if f.Members == nil {
			f.Members = map[string]*pathFile{}
		}
		f.Members[name] = t.file(m)
	}
	if at.elements != 0 {
		f.Elements = t.file(at.elements)
	}
	return f
}

// UnmarshalJSON reads what MarshalJSON wrote. It refuses another format or
// version, members that it does not know, and types that could not have been
// learned; t is then as it was.
func (t *Types) UnmarshalJSON(b []byte) error {
	if err := t.unmarshal(b); err != nil {
		return fmt.Errorf("read the types of a ledger's JSON: %w", err)
	}
	return nil
}

func (t *Types) unmarshal(b []byte) error {
	if len(b) > maxTypesBytes {
		return fmt.Errorf("%d bytes, at most %d are read", len(b), maxTypesBytes)
	}
	var f typesFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows them")
	}
	switch {
	case f.Format != typesFormat:
		return fmt.Errorf("format is %.40q, want %q", f.Format, typesFormat)
	case f.Version != typesVersion:
		return fmt.Errorf("version %d, this program reads %d", f.Version, typesVersion)
	case len(f.Tables) > maxTables:
		return fmt.Errorf("%d tables, at most %d are read", len(f.Tables), maxTables)
	}
	types := Types{tables: map[string]*table{}}
	for id, tf := range f.Tables {
		tb, err := tf.table()
		if err != nil {
			return fmt.Errorf("table %.40q: %w", id, err)
		}
		types.tables[id] = tb
	}
	*t = types
	return nil
}

func (f *tableFile) table() (*table, error) {
	t := newTable()
	if f == nil || f.Document == nil {
		return nil, errors.New("it has no document")
	}
	sum := 0
	for _, n := range f.Typings {
		if n < 0 || n > f.Proven {
			return nil, fmt.Errorf("a typing proves %d of %d revisions", n, f.Proven)
		}
		sum += n
	}
	switch {
	case f.Samples < 0 || f.Samples > maxCount || f.Proven < 0 || f.Proven > f.Samples || sum > f.Proven:
		return nil, fmt.Errorf("%d of %d revisions are proven, and %d by typings", f.Proven, f.Samples, sum)
	case len(f.Typings) > maxTypings:
		return nil, fmt.Errorf("%d typings, at most %d are read", len(f.Typings), maxTypings)
	case f.Effort < leastEffort || f.Effort > mostEffort:
		return nil, fmt.Errorf("effort %d is not from %d to %d", f.Effort, leastEffort, mostEffort)
	}
	t.samples, t.proven, t.typings, t.effort = f.Samples, f.Proven, f.Typings, f.Effort
	if err := t.load(0, f.Document); err != nil {
		return nil, err
	}
	t.compile()
	return t, nil
}

// load makes path p and what is below it of f.
func (t *table) load(p int32, f *pathFile) error {
	for name, sf := range f.Values {
		c := class(slices.Index(classNames[:], name))
		if c >= classCount || len(choices[c]) == 0 {
			return fmt.Errorf("values of class %.40q are not known", name)
		}
		s, err := sf.slot(c, len(t.typings))
		if err != nil {
			return fmt.Errorf("values of class %s: %w", name, err)
		}
		t.paths[p].slots[c] = s
	}
	next := func(below *pathFile, name string) (int32, error) {
		t.pathBytes += len(name)
		if below == nil || len(t.paths) == maxPaths || t.pathBytes > maxPathBytes {
			return 0, fmt.Errorf("a path is null, or there are more than %d, or they are longer than %d bytes", maxPaths, maxPathBytes)
		}
		t.paths = append(t.paths, path{})
		return int32(len(t.paths) - 1), t.load(int32(len(t.paths)-1), below)
	}
	for name, below := range f.Members {
		m, err := next(below, name)
		if err != nil {
			return err
		}
		if t.paths[p].members == nil {
			t.paths[p].members = map[string]int32{}
		}
		t.paths[p].members[name] = m
	}
	if f.Elements == nil {
		return nil
	}
	e, err := next(f.Elements, "")
	t.paths[p].elements = e
	return err
}

func (f *slotFile) slot(c class, typings int) (*slot, error) {
	if f == nil || f.Count < 0 || f.Count > maxCount || len(f.As) > typings {
		return nil, errors.New("their count is wrong, or there are more rules than typings")
	}
	find := func(name string) rule {
		for _, r := range choices[c] {
			if r.rule.String() == name {
				return r.rule
			}
		}
		return noRule
	}
	s := &slot{values: f.Count}
	for _, r := range choices[c] { // in one order, whatever a map's
		if n, ok := f.Rules[r.rule.String()]; ok {
			s.votes = append(s.votes, vote{r.rule, n})
		}
	}
	if len(s.votes) < len(f.Rules) {
		return nil, errors.New("a rule is not one of theirs")
	}
	for _, v := range s.votes {
		if v.count < 0 || v.count > f.Count {
			return nil, fmt.Errorf("rule %s reads %d of %d", v.rule, v.count, f.Count)
		}
	}
	for k, name := range f.As {
		if name == "" {
			continue
		}
		if s.as[k] = find(name); s.as[k] == noRule {
			return nil, fmt.Errorf("rule %.40q is not one of theirs", name)
		}
	}
	return s, nil
}
