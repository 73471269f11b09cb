package template

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// condition evaluates a named condition of the template.
func (r *resolver) condition(name string) (bool, error) {
	if met, ok := r.conditions[name]; ok {
		return met, nil
	}
	expression, ok := r.doc.Conditions[name]
	if !ok {
		return false, fmt.Errorf("condition %s is not in the template", name)
	}
	if slices.Contains(r.evaluating, name) {
		return false, fmt.Errorf("condition %s refers to itself", name)
	}
	r.evaluating = append(r.evaluating, name)
	met, err := r.test(expression)
	r.evaluating = r.evaluating[:len(r.evaluating)-1]
	if err != nil {
		return false, fmt.Errorf("condition %s: %w", name, err)
	}
	r.conditions[name] = met
	return met, nil
}

// test evaluates a condition expression.
func (r *resolver) test(expression any) (bool, error) {
	m, ok := expression.(map[string]any)
	if !ok || len(m) != 1 {
		return false, fmt.Errorf("%v is no condition", expression)
	}
	for name, argument := range m {
		switch name {
		case "Condition":
			named, ok := argument.(string)
			if !ok {
				return false, fmt.Errorf("%v is no condition's name", argument)
			}
			return r.condition(named)
		case "Fn::Equals":
			a, err := r.arguments(name, argument, 2)
			if err != nil {
				return false, err
			}
			return scalar(a[0]) == scalar(a[1]), nil
		case "Fn::Not", "Fn::And", "Fn::Or":
			list, ok := argument.([]any)
			if !ok || len(list) == 0 || name == "Fn::Not" && len(list) != 1 {
				return false, fmt.Errorf("%s takes conditions, not %v", name, argument)
			}
			for _, e := range list {
				met, err := r.test(e)
				if err != nil {
					return false, err
				}
				if name == "Fn::Not" {
					return !met, nil
				}
				if met == (name == "Fn::Or") {
					return met, nil
				}
			}
			return name == "Fn::And", nil
		default:
			return false, fmt.Errorf("condition function %s is not known to local", name)
		}
	}
	return false, nil
}

var dynamicReference = regexp.MustCompile(`\{\{resolve:([a-z-]+):([^}]*)\}\}`)

// dynamic checks the dynamic references of a text. Secrets stay as they are,
// because their values come into being only when the stack runs; SSM parameters
// are resolved from the options; any other service is an error.
func (r *resolver) dynamic(text string) (any, error) {
	if !strings.Contains(text, "{{resolve:") {
		return text, nil
	}
	var failed error
	out := dynamicReference.ReplaceAllStringFunc(text, func(m string) string {
		part := dynamicReference.FindStringSubmatch(m)
		switch part[1] {
		case "secretsmanager":
			return m
		case "ssm":
			v, ok := r.loader.options.SSM[part[2]]
			if !ok && failed == nil {
				failed = fmt.Errorf("%s: give SSM parameter %s in Options.SSM", m, part[2])
			}
			return v
		}
		if failed == nil {
			failed = fmt.Errorf("%s: dynamic references to %s are not known to local", m, part[1])
		}
		return m
	})
	if failed != nil {
		return nil, failed
	}
	return out, nil
}

// ResolveSecrets returns v with every dynamic reference to Secrets Manager
// replaced by what get says: secret is the id or ARN, key the JSON member, ""
// for the whole secret string. v itself stays unchanged.
func ResolveSecrets(v any, get func(secret, key string) (string, error)) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, member := range v {
			resolved, err := ResolveSecrets(member, get)
			if err != nil {
				return nil, err
			}
			out[k] = resolved
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, element := range v {
			resolved, err := ResolveSecrets(element, get)
			if err != nil {
				return nil, err
			}
			out[i] = resolved
		}
		return out, nil
	case string:
		var failed error
		text := dynamicReference.ReplaceAllStringFunc(v, func(m string) string {
			part := dynamicReference.FindStringSubmatch(m)
			secret, rest, ok := strings.Cut(part[2], ":SecretString")
			if part[1] != "secretsmanager" || !ok {
				failed = fmt.Errorf("dynamic reference %s is not known to local", m)
				return m
			}
			key, stage, _ := strings.Cut(strings.TrimPrefix(rest, ":"), ":")
			if strings.Trim(stage, ":") != "" {
				failed = fmt.Errorf("dynamic reference %s names a version, which local does not know", m)
				return m
			}
			value, err := get(secret, key)
			if err != nil {
				failed = fmt.Errorf("dynamic reference %s: %w", m, err)
			}
			return value
		})
		if failed != nil {
			return nil, failed
		}
		return text, nil
	}
	return v, nil
}
