package asl

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/recolabs/gnata"
)

// template is a JSON value of a definition in which strings of the form {% … %}
// are expressions. Exactly one of its members is set.
type template struct {
	literal json.RawMessage
	expr    *expression
	list    []*template
	keys    []string // with values: an object
	values  []*template
}

func (t *template) json(ctx context.Context, vars map[string]any, now time.Time) (json.RawMessage, *Error) {
	switch {
	case t.expr != nil:
		return t.expr.json(ctx, vars, now)
	case t.literal != nil:
		return t.literal, nil
	case t.keys != nil:
		pairs := make([]any, 0, 2*len(t.keys))
		for i, k := range t.keys {
			v, err := t.values[i].json(ctx, vars, now)
			if err != nil {
				return nil, err
			}
			pairs = append(pairs, k, v)
		}
		return encodeObject(pairs...), nil
	}
	items := make([]json.RawMessage, 0, len(t.list))
	for _, e := range t.list {
		v, err := e.json(ctx, vars, now)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	return encodeList(items), nil
}

// members of $states by where they exist.
const (
	seesResult = 1 << iota
	seesError
)

// scopeNames are the variables that a list of states assigns, within those of
// the lists around it.
type scopeNames struct {
	outer *scopeNames
	names map[string]bool
}

func (s *scopeNames) has(name string) bool {
	for ; s != nil; s = s.outer {
		if s.names[name] {
			return true
		}
	}
	return false
}

// isExpression tells expressions from text; one that begins or ends like an
// expression only by half is an error.
func isExpression(s string) (string, bool, error) {
	begins, ends := strings.HasPrefix(s, "{%"), strings.HasSuffix(s, "%}")
	switch {
	case begins && ends && len(s) >= 4:
		return strings.TrimSpace(s[2 : len(s)-2]), true, nil
	case begins:
		return "", false, fmt.Errorf("%q begins an expression, which must end with %%}", s)
	case ends:
		return "", false, fmt.Errorf("%q ends an expression, which must begin with {%%", s)
	}
	return "", false, nil
}

// template compiles a value; sees tells which members of $states exist for it.
func (p *parser) template(raw json.RawMessage, at string, scope *scopeNames, sees int) *template {
	if raw == nil {
		return nil
	}
	switch first(raw) {
	case '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			p.fault(at, "%v", err)
			return &template{literal: json.RawMessage("null")}
		}
		code, is, err := isExpression(s)
		if err != nil {
			p.fault(at, "%v", err)
		}
		if is {
			return &template{expr: p.expression(code, at, scope, sees)}
		}
		return &template{literal: text(s)}
	case '{':
		o, err := parseObject(raw)
		if err != nil {
			p.fault(at, "%v", err)
		}
		t := &template{keys: []string{}}
		fixed := true
		for _, k := range o.keys {
			v := p.template(o.values[k], at+"/"+k, scope, sees)
			fixed = fixed && v.literal != nil
			t.keys, t.values = append(t.keys, k), append(t.values, v)
		}
		return t.fold(fixed)
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			p.fault(at, "%v", err)
		}
		t := &template{list: []*template{}}
		fixed := true
		for i, e := range list {
			v := p.template(e, fmt.Sprintf("%s[%d]", at, i), scope, sees)
			fixed = fixed && v.literal != nil
			t.list = append(t.list, v)
		}
		return t.fold(fixed)
	}
	lit, err := compact(raw)
	if err != nil {
		p.fault(at, "%v", err)
	}
	return &template{literal: lit}
}

// fold turns a template without expressions into its text.
func (t *template) fold(fixed bool) *template {
	if !fixed {
		return t
	}
	raw, err := t.json(context.Background(), nil, time.Time{})
	if err != nil {
		return t // cannot be: nothing in it is evaluated
	}
	return &template{literal: raw}
}

func (p *parser) expression(code, at string, scope *scopeNames, sees int) *expression {
	e := &expression{at: at, text: code}
	compiled, err := gnata.Compile(code)
	if err != nil {
		p.fault(at, "expression '%s' does not compile: %v", code, err)
		return e
	}
	e.code = compiled
	refs := references(code)
	for _, r := range refs.states {
		member := strings.SplitN(r, ".", 2)[0]
		switch {
		case member == "input" || member == "context":
		case member == "result" && sees&seesResult != 0:
		case member == "errorOutput" && sees&seesError != 0:
		case member == "":
			p.fault(at, "expression '%s' uses $states as a whole; name a member of it", code)
		default:
			p.fault(at, "expression '%s' uses $states.%s, which does not exist here", code, member)
		}
	}
	for _, f := range refs.calls {
		if !slices.Contains(jsonataFunctions, f) && !slices.Contains(refs.bound, f) {
			p.fault(at, "expression '%s' calls $%s, which Step Functions does not have", code, f)
		}
	}
	for _, v := range refs.variables {
		if !slices.Contains(refs.bound, v) && !slices.Contains(jsonataFunctions, v) {
			// Known only when the whole machine is read.
			p.uses = append(p.uses, use{variable: v, at: at, code: code, scope: scope})
		}
	}
	if refs.root {
		p.fault(at, "expression '%s' uses $$, which has no value in Step Functions", code)
	}
	return e
}

// refs are the $-names of an expression.
type refs struct {
	states    []string // what follows "$states."
	calls     []string // names called
	variables []string // names read
	bound     []string // parameters and variables that the expression itself makes
	root      bool     // $$ occurs
}

// references finds the names in an expression by its words, outside strings and
// comments. It needs no grammar: what binds a name in JSONata is visible beside
// it ("$x :=", "function($x, …)", "@$x", "#$x").
func references(code string) refs {
	var r refs
	s := []rune(code)
	word := func(i int) (string, int) {
		j := i
		for j < len(s) && (unicode.IsLetter(s[j]) || unicode.IsDigit(s[j]) || s[j] == '_') {
			j++
		}
		return string(s[i:j]), j
	}
	space := func(i int) int {
		for i < len(s) && unicode.IsSpace(s[i]) {
			i++
		}
		return i
	}
	params := 0 // > 0: within the parameter list of a function
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '"' || c == '\'' || c == '`':
			for i++; i < len(s) && s[i] != c; i++ {
				if s[i] == '\\' && c != '`' {
					i++
				}
			}
			i++
		case c == '/' && i+1 < len(s) && s[i+1] == '*':
			for i += 2; i+1 < len(s) && (s[i] != '*' || s[i+1] != '/'); i++ {
			}
			i += 2
		case c == 'λ' || unicode.IsLetter(c):
			w, j := word(i)
			if k := space(j); (w == "function" || w == "λ") && k < len(s) && s[k] == '(' {
				params = 1
				j = k + 1
			}
			i = max(j, i+1)
		case c == ')':
			params = 0
			i++
		case c == '$' && i+1 < len(s) && s[i+1] == '$':
			r.root = true
			i += 2
		case c == '$':
			name, j := word(i + 1)
			k := space(j)
			switch {
			case name == "": // the context item
			case params > 0,
				k+1 < len(s) && s[k] == ':' && s[k+1] == '=',
				i > 0 && (s[i-1] == '@' || s[i-1] == '#'):
				r.bound = append(r.bound, name)
			case name == "states":
				member := ""
				if k < len(s) && s[k] == '.' {
					member, _ = word(space(k + 1))
				}
				r.states = append(r.states, member)
			case k < len(s) && s[k] == '(':
				r.calls = append(r.calls, name)
			default:
				r.variables = append(r.variables, name)
			}
			i = j
		default:
			i++
		}
	}
	return r
}
