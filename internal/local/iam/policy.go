package iam

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A Ref names one statement.
type Ref struct {
	Stack    string
	Resource string // logical id of the resource that holds the policy
	Policy   string // which policy of it: an inline policy's name, "trust", "key", "bucket", ...; or a managed policy's name
	Index    int    // from 0
	Sid      string // may be ""
}

// String is the form in which a reviewed table names a statement.
func (r Ref) String() string {
	text := fmt.Sprintf("%s/%s/%s#%d", r.Stack, r.Resource, r.Policy, r.Index)
	if r.Sid != "" {
		text += " (" + r.Sid + ")"
	}
	return text
}

// statement is one compiled statement; the judge's mutex guards its counts.
type statement struct {
	ref        Ref
	allow      bool
	actions    map[string]bool // that it was the reason for
	used, sole int
	removed    bool

	action, notAction     []string // lower case
	resource, notResource []string // empty in trust policies, which are about their role
	principals            *principals
	conditions            []condition
	text                  string // JSON, for reports
}

func (s *statement) matches(action, resource string, context map[string]string) bool {
	action = strings.ToLower(action)
	switch {
	case len(s.action) > 0 && !anyLike(s.action, action):
		return false
	case len(s.notAction) > 0 && anyLike(s.notAction, action):
		return false
	case len(s.resource) > 0 && !anyLike(s.resource, resource):
		return false
	case len(s.notResource) > 0 && anyLike(s.notResource, resource):
		return false
	}
	for _, c := range s.conditions {
		if !c.met(context) {
			return false
		}
	}
	return true
}

func anyLike(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return like(p, text) })
}

// like matches IAM's wildcards: * is any text, also empty, ? one character.
func like(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// principals are the Principal element of a resource policy.
type principals struct {
	anyone   bool
	roles    []string
	account  bool // the judge's own account: hands over to identity policies
	services []string
}

// match says whether the statement names the caller itself, or its account.
func (p *principals) match(who principal) (direct, byAccount bool) {
	if p == nil {
		return false, false
	}
	if who.role != "" {
		return p.anyone || slices.Contains(p.roles, who.role), p.account
	}
	return p.anyone || slices.Contains(p.services, who.service), false
}

// compile reads a policy document. resourcePolicy says that it hangs at a
// resource, so that it must have principals; trust policies have no resources.
func (j *Judge) compile(document any, ref Ref, resourcePolicy bool) ([]*statement, error) {
	if text, ok := document.(string); ok {
		if err := json.Unmarshal([]byte(text), &document); err != nil {
			return nil, fmt.Errorf("policy %s: %w", ref, err)
		}
	}
	d, ok := document.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("policy %s: it is no object", ref)
	}
	for name := range d {
		if name != "Version" && name != "Id" && name != "Statement" {
			return nil, fmt.Errorf("policy %s: element %s is not known to local", ref, name)
		}
	}
	list, ok := d["Statement"].([]any)
	if !ok {
		list = []any{d["Statement"]}
	}
	var statements []*statement
	for i, element := range list {
		ref.Index = i
		m, ok := element.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("policy %s: statement is no object", ref)
		}
		ref.Sid, _ = m["Sid"].(string)
		s, err := j.compileStatement(m, ref, resourcePolicy)
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", ref, err)
		}
		statements = append(statements, s)
	}
	j.all = append(j.all, statements...)
	return statements, nil
}

func (j *Judge) compileStatement(m map[string]any, ref Ref, resourcePolicy bool) (*statement, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	s := &statement{ref: ref, actions: map[string]bool{}, text: string(text)}
	for name, v := range m {
		var err error
		switch name {
		case "Sid":
		case "Effect":
			if v != "Allow" && v != "Deny" {
				err = fmt.Errorf("effect %v is neither Allow nor Deny", v)
			}
			s.allow = v == "Allow"
		case "Action":
			s.action, err = actionPatterns(v)
		case "NotAction":
			s.notAction, err = actionPatterns(v)
		case "Resource":
			s.resource, err = texts(v)
		case "NotResource":
			s.notResource, err = texts(v)
		case "Principal":
			s.principals, err = j.compilePrincipals(v)
		case "Condition":
			s.conditions, err = compileConditions(v)
		default:
			err = fmt.Errorf("element %s is not known to local", name)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case m["Effect"] == nil:
		return nil, fmt.Errorf("it has no Effect")
	case len(s.action)+len(s.notAction) == 0:
		return nil, fmt.Errorf("it has no Action")
	case resourcePolicy != (s.principals != nil):
		return nil, fmt.Errorf("a Principal belongs in resource policies, and only there")
	case len(s.resource)+len(s.notResource) == 0 && ref.Policy != "trust":
		return nil, fmt.Errorf("it has no Resource")
	}
	return s, nil
}

// texts reads a string or a list of strings; policy variables are errors.
func texts(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []string
	for _, e := range list {
		var text string
		switch e := e.(type) {
		case string:
			text = e
		case bool, float64:
			text = fmt.Sprint(e)
		default:
			return nil, fmt.Errorf("%v is no string", e)
		}
		if strings.Contains(text, "${") {
			return nil, fmt.Errorf("policy variable in %q is not known to local", text)
		}
		out = append(out, text)
	}
	return out, nil
}

// actionPatterns reads actions, each of which must name or match an action of
// the table.
func actionPatterns(v any) ([]string, error) {
	list, err := texts(v)
	if err != nil {
		return nil, err
	}
	for i, pattern := range list {
		if !knownPattern(pattern) {
			return nil, fmt.Errorf("action %s is not in local's table of actions", pattern)
		}
		list[i] = strings.ToLower(pattern)
	}
	return list, nil
}

// global is a service principal without the region, which means the same.
func (j *Judge) global(service string) string {
	return strings.Replace(service, "."+j.region+".amazonaws.com", ".amazonaws.com", 1)
}

func (j *Judge) compilePrincipals(v any) (*principals, error) {
	if v == "*" {
		return &principals{anyone: true}, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("principal %v is not known to local", v)
	}
	p := &principals{}
	for kind, value := range m {
		names, err := texts(value)
		if err != nil {
			return nil, err
		}
		switch kind {
		case "Service":
			for _, name := range names {
				p.services = append(p.services, j.global(name))
			}
		case "AWS":
			for _, name := range names {
				part := strings.Split(name, ":")
				switch {
				case name == "*":
					p.anyone = true
				case name == j.account || name == "arn:aws:iam::"+j.account+":root":
					p.account = true
				case len(part) == 6 && part[2] == "iam" && strings.HasPrefix(part[5], "role/"):
					p.roles = append(p.roles, name)
				case len(part) == 6 && part[2] == "iam" && part[5] == "root" || len(name) == 12:
					// Another account: nobody here calls from there.
				default:
					return nil, fmt.Errorf("principal %s is not known to local", name)
				}
			}
		default:
			return nil, fmt.Errorf("principals of kind %s are not known to local", kind)
		}
	}
	return p, nil
}
