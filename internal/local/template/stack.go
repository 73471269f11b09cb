package template

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// document is a CloudFormation template as JSON.
type document struct {
	FormatVersion string                    `json:"AWSTemplateFormatVersion"`
	Description   string                    `json:"Description"`
	Metadata      map[string]any            `json:"Metadata"`
	Parameters    map[string]parameter      `json:"Parameters"`
	Mappings      map[string]map[string]any `json:"Mappings"`
	Conditions    map[string]any            `json:"Conditions"`
	Rules         map[string]any            `json:"Rules"`
	Transform     any                       `json:"Transform"`
	Resources     map[string]*declaration   `json:"Resources"`
	Outputs       map[string]struct {
		Value     any    `json:"Value"`
		Condition string `json:"Condition"`
		Export    struct {
			Name any `json:"Name"`
		} `json:"Export"`
	} `json:"Outputs"`
}

type parameter struct {
	Type    string `json:"Type"`
	Default any    `json:"Default"`
}

type declaration struct {
	Type           string         `json:"Type"`
	Properties     map[string]any `json:"Properties"`
	DeletionPolicy string         `json:"DeletionPolicy"`
	Metadata       map[string]any `json:"Metadata"`
	Condition      string         `json:"Condition"`
	DependsOn      any            `json:"DependsOn"`
	CreationPolicy any            `json:"CreationPolicy"`
}

// stack resolves one template and appends the stack to l.stacks.
func (l *loader) stack(dir, name string, a entry, assets map[string]string) error {
	doc := &document{}
	if err := readJSON(filepath.Join(dir, a.Properties.TemplateFile), doc); err != nil {
		return err
	}
	if doc.Transform != nil {
		return fmt.Errorf("the template has a Transform (%v), which local does not know", doc.Transform)
	}
	for rule := range doc.Rules {
		// CDK's own rule only refuses an old bootstrap stack, and a laptop has none.
		if rule != "CheckBootstrapVersion" {
			return fmt.Errorf("the template has a rule %s, which local does not know", rule)
		}
	}
	s := &Stack{Name: name, Account: l.options.Account, Region: l.options.Region, Resources: map[string]*Resource{}, Outputs: map[string]any{}}
	if account, region, ok := strings.Cut(strings.TrimPrefix(a.Environment, "aws://"), "/"); ok {
		if account != "unknown-account" {
			s.Account = account
		}
		if region != "unknown-region" {
			s.Region = region
		}
	}
	parameters := map[string]string{}
	for k, v := range a.Properties.Parameters {
		parameters[k] = v
	}
	for k, v := range l.options.Parameters {
		parameters[k] = v
	}
	r := &resolver{doc: doc, stack: s, loader: l, parameters: parameters, conditions: map[string]bool{}}
	for id, d := range doc.Resources {
		if d == nil {
			return fmt.Errorf("resource %s is null", id)
		}
		if d.CreationPolicy != nil {
			return fmt.Errorf("resource %s has a CreationPolicy, which local does not know", id)
		}
		if d.Condition != "" {
			if met, err := r.condition(d.Condition); err != nil {
				return fmt.Errorf("resource %s: %w", id, err)
			} else if !met {
				continue
			}
		}
		if _, known := kinds[d.Type]; !known {
			return fmt.Errorf("resource %s has type %s, which local does not know", id, d.Type)
		}
		s.Resources[id] = &Resource{Stack: s, LogicalID: id, Type: d.Type, DeletionPolicy: d.DeletionPolicy, Metadata: d.Metadata}
	}
	edges, err := r.resources(assets)
	if err != nil {
		return err
	}
	if s.Order, err = topological(edges); err != nil {
		return err
	}
	if err := r.outputs(); err != nil {
		return err
	}
	l.stacks = append(l.stacks, s)
	return nil
}

// resources resolves the properties of every resource and returns who refers to
// whom.
func (r *resolver) resources(assets map[string]string) (map[string][]string, error) {
	edges := map[string][]string{}
	ids := make([]string, 0, len(r.stack.Resources))
	for id := range r.stack.Resources {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if err := r.name(r.stack.Resources[id]); err != nil {
			return nil, fmt.Errorf("resource %s: %w", id, err)
		}
	}
	for _, id := range ids {
		res, d := r.stack.Resources[id], r.doc.Resources[id]
		r.references = map[string]bool{}
		properties, err := r.value(d.Properties, "Properties")
		if err != nil {
			return nil, fmt.Errorf("resource %s (%s): %w", id, d.Type, err)
		}
		res.Properties, _ = properties.(map[string]any)
		if res.Properties == nil {
			res.Properties = map[string]any{}
		}
		for _, on := range dependsOn(d.DependsOn) {
			if _, declared := r.doc.Resources[on]; !declared {
				return nil, fmt.Errorf("resource %s depends on %s, which is not in the template", id, on)
			}
			if r.stack.Resources[on] != nil {
				r.references[on] = true
			}
		}
		edges[id] = []string{}
		for ref := range r.references {
			edges[id] = append(edges[id], ref)
		}
		if d.Type == "AWS::Lambda::Function" {
			code, _ := res.Properties["Code"].(map[string]any)
			key, _ := code["S3Key"].(string)
			if res.Asset = assets[key]; res.Asset == "" {
				return nil, fmt.Errorf("resource %s: its code %q is in no asset manifest before the stack", id, key)
			}
		}
	}
	r.references = nil
	return edges, nil
}

func (r *resolver) outputs() error {
	for name, o := range r.doc.Outputs {
		if o.Condition != "" {
			if met, err := r.condition(o.Condition); err != nil {
				return fmt.Errorf("output %s: %w", name, err)
			} else if !met {
				continue
			}
		}
		v, err := r.value(o.Value, "Value")
		if err != nil {
			return fmt.Errorf("output %s: %w", name, err)
		}
		r.stack.Outputs[name] = v
		if o.Export.Name == nil {
			continue
		}
		export, err := r.text(o.Export.Name, "Export.Name")
		if err != nil {
			return fmt.Errorf("output %s: %w", name, err)
		}
		if _, taken := r.loader.exports[export]; taken {
			return fmt.Errorf("output %s: another stack already exports %s", name, export)
		}
		r.loader.exports[export] = v
	}
	return nil
}

func dependsOn(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var ids []string
		for _, id := range v {
			ids = append(ids, fmt.Sprint(id))
		}
		return ids
	}
	return nil
}
