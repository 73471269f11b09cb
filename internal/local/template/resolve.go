package template

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A resolver evaluates the intrinsic functions of one template.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
type resolver struct {
	doc        *document
	stack      *Stack
	loader     *loader
	parameters map[string]string
	conditions map[string]bool
	evaluating []string        // conditions under evaluation, against cycles
	references map[string]bool // resources that the value under evaluation refers to; nil when nobody asks
}

// none stands for AWS::NoValue: the member or element disappears.
type none struct{}

// value resolves v; where says which member it is, for errors.
func (r *resolver) value(v any, where string) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 1 {
			for name, argument := range v {
				if name == "Ref" || name == "Condition" && isText(argument) && r.doc.Conditions[argument.(string)] != nil || strings.HasPrefix(name, "Fn::") {
					out, err := r.function(name, argument)
					if err != nil {
						return nil, fmt.Errorf("%s: %w", where, err)
					}
					return out, nil
				}
			}
		}
		out := make(map[string]any, len(v))
		for k, member := range v {
			if strings.HasPrefix(k, "Fn::") {
				return nil, fmt.Errorf("%s: function %s stands beside other members", where, k)
			}
			resolved, err := r.value(member, where+"."+k)
			if err != nil {
				return nil, err
			}
			if _, drop := resolved.(none); !drop {
				out[k] = resolved
			}
		}
		return out, nil
	case []any:
		out := make([]any, 0, len(v))
		for i, element := range v {
			resolved, err := r.value(element, where+"["+strconv.Itoa(i)+"]")
			if err != nil {
				return nil, err
			}
			if _, drop := resolved.(none); !drop {
				out = append(out, resolved)
			}
		}
		return out, nil
	case string:
		return r.dynamic(v)
	}
	return v, nil
}

func isText(v any) bool { _, ok := v.(string); return ok }

// function evaluates one intrinsic function.
func (r *resolver) function(name string, argument any) (any, error) {
	switch name {
	case "Ref":
		id, ok := argument.(string)
		if !ok {
			return nil, fmt.Errorf("Ref takes a name, not %v", argument)
		}
		return r.ref(id)
	case "Fn::GetAtt":
		id, attribute, err := r.getAttArguments(argument)
		if err != nil {
			return nil, err
		}
		return r.attribute(id, attribute)
	case "Fn::Join":
		return r.join(argument)
	case "Fn::Sub":
		return r.sub(argument)
	case "Fn::Select":
		return r.choose(argument)
	case "Fn::Split":
		a, err := r.arguments(name, argument, 2)
		if err != nil {
			return nil, err
		}
		separator, text := scalar(a[0]), scalar(a[1])
		var parts []any
		for _, p := range strings.Split(text, separator) {
			parts = append(parts, p)
		}
		return parts, nil
	case "Fn::GetAZs":
		region, err := r.text(argument, name)
		if err != nil {
			return nil, err
		}
		if region == "" {
			region = r.stack.Region
		}
		return []any{region + "a", region + "b", region + "c"}, nil
	case "Fn::FindInMap":
		return r.findInMap(argument)
	case "Fn::ImportValue":
		export, err := r.text(argument, name)
		if err != nil {
			return nil, err
		}
		v, ok := r.loader.exports[export]
		if !ok {
			return nil, fmt.Errorf("Fn::ImportValue %s: no stack before this one exports it", export)
		}
		return v, nil
	case "Fn::If":
		branches, ok := argument.([]any)
		if !ok || len(branches) != 3 || !isText(branches[0]) {
			return nil, fmt.Errorf("Fn::If takes a condition's name and two values, not %v", argument)
		}
		met, err := r.condition(branches[0].(string))
		if err != nil {
			return nil, err
		}
		if met {
			return r.value(branches[1], "Fn::If")
		}
		return r.value(branches[2], "Fn::If")
	case "Condition", "Fn::Equals", "Fn::And", "Fn::Or", "Fn::Not":
		return r.test(map[string]any{name: argument})
	}
	return nil, fmt.Errorf("intrinsic function %s is not known to local", name)
}

// arguments resolves a list of exactly n arguments.
func (r *resolver) arguments(name string, argument any, n int) ([]any, error) {
	list, ok := argument.([]any)
	if !ok || len(list) != n {
		return nil, fmt.Errorf("%s takes %d arguments, not %v", name, n, argument)
	}
	out := make([]any, n)
	for i, a := range list {
		v, err := r.value(a, name)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// text resolves v to a string.
func (r *resolver) text(v any, where string) (string, error) {
	resolved, err := r.value(v, where)
	if err != nil {
		return "", err
	}
	switch resolved.(type) {
	case string, float64, bool:
		return scalar(resolved), nil
	}
	return "", fmt.Errorf("%s: %v is not a string", where, resolved)
}

// scalar is the text that CloudFormation makes of a scalar.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return fmt.Sprint(v)
}

func (r *resolver) getAttArguments(argument any) (id, attribute string, err error) {
	switch a := argument.(type) {
	case string:
		id, attribute, _ = strings.Cut(a, ".")
	case []any:
		if len(a) == 2 && isText(a[0]) {
			id = a[0].(string)
			attribute, err = r.text(a[1], "Fn::GetAtt")
		}
	}
	if err == nil && (id == "" || attribute == "") {
		err = fmt.Errorf("Fn::GetAtt takes a resource and an attribute, not %v", argument)
	}
	return id, attribute, err
}

func (r *resolver) join(argument any) (any, error) {
	a, err := r.arguments("Fn::Join", argument, 2)
	if err != nil {
		return nil, err
	}
	elements, ok := a[1].([]any)
	if !ok {
		return nil, fmt.Errorf("Fn::Join takes a list, not %v", a[1])
	}
	parts := make([]string, len(elements))
	for i, e := range elements {
		switch e.(type) {
		case string, float64, bool:
			parts[i] = scalar(e)
		default:
			return nil, fmt.Errorf("Fn::Join element %d is no string: %v", i, e)
		}
	}
	// Only the joined text is a whole dynamic reference or definition.
	return r.dynamic(strings.Join(parts, scalar(a[0])))
}

func (r *resolver) choose(argument any) (any, error) {
	a, err := r.arguments("Fn::Select", argument, 2)
	if err != nil {
		return nil, err
	}
	i, err := strconv.Atoi(scalar(a[0]))
	list, ok := a[1].([]any)
	if err != nil || !ok || i < 0 || i >= len(list) {
		return nil, fmt.Errorf("Fn::Select %v is outside %v", a[0], a[1])
	}
	return list[i], nil
}

func (r *resolver) findInMap(argument any) (any, error) {
	a, err := r.arguments("Fn::FindInMap", argument, 3)
	if err != nil {
		return nil, err
	}
	top, _ := r.doc.Mappings[scalar(a[0])][scalar(a[1])].(map[string]any)
	v, ok := top[scalar(a[2])]
	if !ok {
		return nil, fmt.Errorf("Fn::FindInMap %v: no such entry", a)
	}
	return v, nil
}

var substitution = regexp.MustCompile(`\$\{([^}]*)\}`)

// sub evaluates both forms of Fn::Sub: text, or text with a map of variables.
func (r *resolver) sub(argument any) (any, error) {
	text, ok := argument.(string)
	variables := map[string]any{}
	if list, isList := argument.([]any); isList && len(list) == 2 {
		text, ok = list[0].(string)
		resolved, err := r.value(list[1], "Fn::Sub")
		if err != nil {
			return nil, err
		}
		variables, _ = resolved.(map[string]any)
	}
	if !ok {
		return nil, fmt.Errorf("Fn::Sub takes a text, or a text and variables, not %v", argument)
	}
	var failed error
	out := substitution.ReplaceAllStringFunc(text, func(m string) string {
		name := m[2 : len(m)-1]
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			return "${" + literal + "}"
		}
		var v any
		var err error
		if given, ok := variables[name]; ok {
			v = given
		} else if id, attribute, ok := strings.Cut(name, "."); ok {
			v, err = r.attribute(id, attribute)
		} else {
			v, err = r.ref(name)
		}
		if err != nil && failed == nil {
			failed = fmt.Errorf("Fn::Sub: %w", err)
		}
		return scalar(v)
	})
	if failed != nil {
		return nil, failed
	}
	return r.dynamic(out)
}

// ref is the value of a parameter, pseudo parameter or resource.
func (r *resolver) ref(id string) (any, error) {
	switch id {
	case "AWS::AccountId":
		return r.stack.Account, nil
	case "AWS::Region":
		return r.stack.Region, nil
	case "AWS::Partition":
		return "aws", nil
	case "AWS::URLSuffix":
		return "amazonaws.com", nil
	case "AWS::StackName":
		return r.stack.Name, nil
	case "AWS::StackId":
		return "arn:aws:cloudformation:" + r.stack.Region + ":" + r.stack.Account + ":stack/" + r.stack.Name + "/" + uuid(r.stack.Name, "stack"), nil
	case "AWS::NotificationARNs":
		return []any{}, nil
	case "AWS::NoValue":
		return none{}, nil
	}
	if strings.HasPrefix(id, "AWS::") {
		return nil, fmt.Errorf("pseudo parameter %s is not known to local", id)
	}
	if p, ok := r.doc.Parameters[id]; ok {
		return r.parameter(id, p)
	}
	res := r.stack.Resources[id]
	if res == nil {
		return nil, fmt.Errorf("Ref %s: the stack has no such resource or parameter", id)
	}
	r.note(id)
	if err := r.name(res); err != nil {
		return nil, err
	}
	if res.ID == "" {
		return nil, fmt.Errorf("Ref %s: the name of %s refers to itself", id, id)
	}
	return res.ID, nil
}

func (r *resolver) attribute(id, name string) (any, error) {
	res := r.stack.Resources[id]
	if res == nil {
		return nil, fmt.Errorf("Fn::GetAtt %s.%s: the stack has no such resource", id, name)
	}
	r.note(id)
	if err := r.name(res); err != nil {
		return nil, err
	}
	v, ok := res.Attributes[name]
	if !ok {
		return nil, fmt.Errorf("Fn::GetAtt %s.%s: attribute %s of %s is not known to local", id, name, name, res.Type)
	}
	return v, nil
}

func (r *resolver) note(id string) {
	if r.references != nil {
		r.references[id] = true
	}
}

// parameter is the value of a template parameter, by its type.
func (r *resolver) parameter(id string, p parameter) (any, error) {
	value, given := r.parameters[id]
	if !given {
		if p.Default == nil {
			return nil, fmt.Errorf("parameter %s has no value: give it in Options.Parameters", id)
		}
		value = scalar(p.Default)
	}
	switch p.Type {
	case "String":
		return value, nil
	case "Number":
		return value, nil
	case "CommaDelimitedList":
		var list []any
		for _, e := range strings.Split(value, ",") {
			list = append(list, strings.TrimSpace(e))
		}
		return list, nil
	case "AWS::SSM::Parameter::Value<String>":
		if v, ok := r.loader.options.SSM[value]; ok {
			return v, nil
		}
		// The bootstrap stack's version is checked by CDK's own rule only.
		if strings.HasPrefix(value, "/cdk-bootstrap/") {
			return "30", nil
		}
		return nil, fmt.Errorf("parameter %s reads SSM parameter %s: give it in Options.SSM", id, value)
	}
	return nil, fmt.Errorf("parameter %s has type %s, which local does not know", id, p.Type)
}
