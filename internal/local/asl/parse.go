package asl

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxDefinition bounds a definition's text, in bytes.
const maxDefinition = 1 << 20

// Parse reads a definition. resources tells which task resources exist
// ("lambda:invoke", "aws-sdk:rds:startExportTask"); see Engine.Resources. The
// error joins everything that is wrong, each with the path of its field.
func Parse(definition []byte, resources func(name string) bool) (*Machine, error) {
	if len(definition) > maxDefinition {
		return nil, fmt.Errorf("definition has %d bytes, the service takes %d", len(definition), maxDefinition)
	}
	p := &parser{resources: resources, all: map[string]*state{}}
	o, err := parseObject(definition)
	if err != nil {
		return nil, fmt.Errorf("definition %w", err)
	}
	f := p.fields(o, "")
	m := &Machine{Comment: f.text("Comment")}
	if v := f.text("Version"); v != "" && v != "1.0" {
		f.fault("Version", "%q is not 1.0", v)
	}
	p.language(f, "JSONPath")
	if n, ok := f.integer("TimeoutSeconds", 1, 99999999); ok {
		m.timeout = time.Duration(n) * time.Second
	}
	m.states = p.processor(f, &scopeNames{names: map[string]bool{}})
	f.done()
	for _, u := range p.uses {
		if !u.scope.has(u.variable) {
			p.fault(u.at, "expression '%s' reads $%s, which no state in its scope assigns", u.code, u.variable)
		}
	}
	for _, a := range p.assigns {
		if a.scope.outer.has(a.variable) {
			p.fault(a.at, "%q is a variable of an outer scope, which an inner one cannot assign", a.variable)
		}
	}
	if len(p.faults) > 0 {
		return nil, errors.Join(p.faults...)
	}
	return m, nil
}

type parser struct {
	resources func(string) bool
	all       map[string]*state
	faults    []error
	uses      []use
	assigns   []use
	jsonata   bool // of the machine
}

// use is a variable that an expression reads.
type use struct {
	variable, at, code string
	scope              *scopeNames
}

func (p *parser) fault(at, format string, a ...any) {
	p.faults = append(p.faults, fmt.Errorf("%s: "+format, append([]any{at}, a...)...))
}

// language reads QueryLanguage of a machine (inherited is the language's default)
// or of a state.
func (p *parser) language(f *fields, inherited string) {
	l := f.text("QueryLanguage")
	if l == "" {
		l = inherited
	}
	switch l {
	case "JSONata":
		p.jsonata = p.jsonata || f.at == ""
	case "JSONPath":
		if f.at != "" {
			p.fault(f.at, "the query language JSONPath is not interpreted here; set QueryLanguage to JSONata")
		}
	default:
		f.fault("QueryLanguage", "%q is neither JSONPath nor JSONata", l)
	}
}

// fields reads the members of one object; what nobody reads is unknown.
type fields struct {
	p    *parser
	at   string
	o    object
	read map[string]bool
}

func (p *parser) fields(o object, at string) *fields {
	return &fields{p: p, at: at, o: o, read: map[string]bool{}}
}

func (f *fields) path(name string) string {
	if f.at == "" {
		return name
	}
	return f.at + "." + name
}

func (f *fields) fault(name, format string, a ...any) { f.p.fault(f.path(name), format, a...) }

func (f *fields) has(name string) bool { _, ok := f.o.values[name]; return ok }

func (f *fields) raw(name string) json.RawMessage {
	f.read[name] = true
	return f.o.values[name]
}

func (f *fields) text(name string) string {
	raw := f.raw(name)
	if raw == nil {
		return ""
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		f.fault(name, "is not a string")
	}
	return s
}

func (f *fields) integer(name string, low, high int64) (int64, bool) {
	raw := f.raw(name)
	if raw == nil {
		return 0, false
	}
	var n int64
	if err := json.Unmarshal(raw, &n); err != nil || n < low || n > high {
		f.fault(name, "%s is not an integer from %d to %d", raw, low, high)
		return 0, false
	}
	return n, true
}

func (f *fields) oneOf(name, otherwise string, values ...string) string {
	s := f.text(name)
	if s == "" {
		return otherwise
	}
	if !slices.Contains(values, s) {
		f.fault(name, "%q is none of %s", s, strings.Join(values, ", "))
	}
	return s
}

func (f *fields) object(name string) *fields {
	raw := f.raw(name)
	if raw == nil {
		return nil
	}
	o, err := parseObject(raw)
	if err != nil {
		f.fault(name, "%v", err)
	}
	return f.p.fields(o, f.path(name))
}

func (f *fields) objects(name string) []*fields {
	raw := f.raw(name)
	if raw == nil {
		return nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		f.fault(name, "is not a list")
		return nil
	}
	var all []*fields
	for i, e := range list {
		o, err := parseObject(e)
		if err != nil {
			f.fault(fmt.Sprintf("%s[%d]", name, i), "%v", err)
			continue
		}
		all = append(all, f.p.fields(o, fmt.Sprintf("%s[%d]", f.path(name), i)))
	}
	return all
}

// value compiles a field that may hold expressions.
func (f *fields) value(name string, scope *scopeNames, sees int) *template {
	return f.p.template(f.raw(name), f.path(name), scope, sees)
}

// amount compiles a field that holds an integer within bounds or an expression.
func (f *fields) amount(name string, scope *scopeNames, low, high int64) *template {
	raw := f.raw(name)
	if raw == nil {
		return nil
	}
	if first(raw) != '"' {
		f.integer(name, low, high)
	}
	return f.value(name, scope, 0)
}

// done complains about every member that nobody has read.
func (f *fields) done() {
	for _, k := range f.o.keys {
		if !f.read[k] {
			f.fault(k, "is not a field of this object, or not one that is known here")
		}
	}
}

// processor reads StartAt and States and checks the transitions between them.
func (p *parser) processor(f *fields, scope *scopeNames) *processor {
	pr := &processor{startAt: f.text("StartAt"), states: map[string]*state{}}
	list := f.object("States")
	if list == nil || len(list.o.keys) == 0 {
		f.fault("States", "holds no state")
		return pr
	}
	for _, name := range list.o.keys {
		at := list.path(name)
		if n := len([]rune(name)); n == 0 || n > 80 {
			p.fault(at, "a state's name has 1 to 80 characters, this has %d", n)
		}
		if p.all[name] != nil {
			p.fault(at, "another state has this name; names are unique in the whole machine")
		}
		sf := list.object(name)
		s := &state{name: name}
		p.all[name] = s
		pr.states[name] = s
		p.state(s, sf, scope)
	}
	p.transitions(f, pr)
	return pr
}

// transitions checks that every target exists and every state can be reached.
func (p *parser) transitions(f *fields, pr *processor) {
	reached := map[string]bool{}
	terminal := false
	var visit func(name, from string)
	visit = func(name, from string) {
		s := pr.states[name]
		if s == nil {
			f.fault(from, "leads to %q, which is no state of the same list", name)
			return
		}
		if reached[name] {
			return
		}
		reached[name] = true
		terminal = terminal || s.end || s.kind == kindSucceed || s.kind == kindFail
		at := "States." + name
		if s.next != "" {
			visit(s.next, at+".Next")
		}
		for _, c := range s.choices {
			visit(c.next, at+".Choices")
		}
		if s.fallback != "" {
			visit(s.fallback, at+".Default")
		}
		for _, c := range s.catch {
			visit(c.next, at+".Catch")
		}
	}
	if pr.startAt == "" {
		f.fault("StartAt", "is missing")
		return
	}
	visit(pr.startAt, "StartAt")
	for name := range pr.states {
		if !reached[name] {
			f.fault("States."+name, "cannot be reached")
		}
	}
	if !terminal {
		f.fault("States", "no state ends the execution")
	}
}
