package events

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A pattern tells which events a rule is for. Every field of it must match, by
// one of its matchers.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html
type pattern struct {
	fields   map[string]pattern // nil where matchers tell
	matchers []matcher
}

// A matcher is one alternative for a value.
type matcher struct {
	exact   any      // of a JSON value, when kind is ""
	kind    string   // "", prefix, exists, anything-but or anything-but prefix
	texts   []string // prefixes
	values  []any    // of anything-but
	present bool     // of exists
}

// compile reads a pattern as JSON has it.
func compile(v any, path string) (pattern, error) {
	switch v := v.(type) {
	case map[string]any:
		p := pattern{fields: map[string]pattern{}}
		for name, member := range v {
			if strings.HasPrefix(name, "$") {
				return p, fmt.Errorf("%s of an event pattern is not known to local", path+name)
			}
			var err error
			if p.fields[name], err = compile(member, path+name+"."); err != nil {
				return p, err
			}
		}
		if len(v) == 0 {
			return p, fmt.Errorf("event pattern %s is empty", path)
		}
		return p, nil
	case []any:
		p := pattern{}
		for _, element := range v {
			m, err := compileMatcher(element, strings.TrimSuffix(path, "."))
			if err != nil {
				return p, err
			}
			p.matchers = append(p.matchers, m)
		}
		if len(v) == 0 {
			return p, fmt.Errorf("event pattern %s is empty", path)
		}
		return p, nil
	}
	return pattern{}, fmt.Errorf("event pattern %s is neither an object nor a list", path)
}

func compileMatcher(v any, path string) (matcher, error) {
	object, ok := v.(map[string]any)
	if !ok {
		if _, list := v.([]any); list {
			return matcher{}, fmt.Errorf("event pattern %s has a list within a list", path)
		}
		return matcher{exact: v}, nil
	}
	for kind, argument := range object {
		text, isText := argument.(string)
		present, isBool := argument.(bool)
		switch {
		case len(object) > 1:
		case kind == "prefix" && isText:
			return matcher{kind: kind, texts: []string{text}}, nil
		case kind == "exists" && isBool:
			return matcher{kind: kind, present: present}, nil
		case kind == "anything-but":
			return anythingBut(argument, path)
		}
		return matcher{}, fmt.Errorf("matcher %q of event pattern %s is not known to local", kind, path)
	}
	return matcher{}, fmt.Errorf("event pattern %s has an empty matcher", path)
}

func anythingBut(argument any, path string) (matcher, error) {
	switch v := argument.(type) {
	case map[string]any:
		text, ok := v["prefix"].(string)
		if !ok || len(v) != 1 {
			return matcher{}, fmt.Errorf("matcher anything-but of event pattern %s has an argument that is not known to local", path)
		}
		return matcher{kind: "anything-but prefix", texts: []string{text}}, nil
	case []any:
		return matcher{kind: "anything-but", values: v}, nil
	}
	return matcher{kind: "anything-but", values: []any{argument}}, nil
}

// matches says whether an event, or a member of one, fits. there tells whether
// the member exists.
func (p pattern) matches(v any, there bool) bool {
	if p.fields == nil {
		return slices.ContainsFunc(p.matchers, func(m matcher) bool { return m.matches(v, there) })
	}
	if list, ok := v.([]any); ok { // one of its objects is enough
		return slices.ContainsFunc(list, func(e any) bool { return p.matches(e, true) })
	}
	object, _ := v.(map[string]any)
	for name, member := range p.fields {
		value, there := object[name]
		if !member.matches(value, there) {
			return false
		}
	}
	return true
}

func (m matcher) matches(v any, there bool) bool {
	if m.kind == "exists" {
		// Of leaves only: an object is no value.
		_, object := v.(map[string]any)
		return m.present == (there && !object)
	}
	if !there {
		return false
	}
	if list, ok := v.([]any); ok { // one of its elements is enough
		return slices.ContainsFunc(list, func(e any) bool { return m.matches(e, true) })
	}
	text, isText := v.(string)
	prefixed := isText && slices.ContainsFunc(m.texts, func(p string) bool { return strings.HasPrefix(text, p) })
	switch m.kind {
	case "prefix":
		return prefixed
	case "anything-but prefix":
		return isText && !prefixed
	case "anything-but":
		_, object := v.(map[string]any)
		return !object && !slices.Contains(m.values, v)
	}
	_, object := v.(map[string]any)
	return !object && v == m.exact
}

// value is an event as patterns and paths see it.
func (e Event) value() (map[string]any, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("write the event: %w", err)
	}
	var v map[string]any
	return v, json.Unmarshal(text, &v)
}
