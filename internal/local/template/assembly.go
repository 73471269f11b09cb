// Package template reads a CDK cloud assembly (cdk.out) and says what the
// deployed stacks would contain: every resource with its properties resolved,
// its physical id and its attributes, as CloudFormation would give them.
//
// It owns the reading of manifest.json, templates and asset manifests, the
// intrinsic functions, and the table of resource types with their Ref and
// GetAtt values. It leaves to others what a resource does: it creates nothing.
//
// It promises that nothing is ignored: a resource type, attribute, pseudo
// parameter, intrinsic function, parameter type or manifest entry that it does not
// know is an error by name, and so are dangling references and circular
// dependencies, which CloudFormation refuses only at deployment. The same
// assembly gives the same ids every time.
package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// Options are what a deployment knows beyond the template.
type Options struct {
	Account    string            // twelve digits; "" is 111122223333 for stacks without an account of their own
	Region     string            // "" is us-east-1 for stacks without a region of their own
	Parameters map[string]string // template parameters by name, over their defaults
	SSM        map[string]string // values of SSM parameters by path
}

// A Stack is one deployed CloudFormation stack.
type Stack struct {
	Name      string // as CloudFormation knows it
	Account   string
	Region    string
	Resources map[string]*Resource // by logical id; resources whose condition is false are absent
	Order     []string             // logical ids in an order in which they can be created
	Outputs   map[string]any
}

// A Resource is one resource of a stack.
type Resource struct {
	Stack          *Stack
	LogicalID      string
	Type           string         // AWS::S3::Bucket
	Properties     map[string]any // resolved; dynamic references to secrets stay as text, see ResolveSecrets
	DeletionPolicy string         // Delete, Retain, Snapshot, ...; "" is the type's default
	Metadata       map[string]any // unresolved: metadata reaches no service
	ID             string         // what Ref gives: a name, an id or an ARN, by type
	Attributes     map[string]any // what GetAtt gives, by attribute name
	Asset          string         // folder or file of the code asset of an AWS::Lambda::Function, else ""
}

// ARN is the resource's ARN, or "" for a type that has none.
func (r *Resource) ARN() string {
	for _, name := range []string{"Arn", "DBClusterArn", "DBInstanceArn", "TopicArn", "PolicyArn", "FunctionArn", "AliasArn", "ResourceArn"} {
		if s, ok := r.Attributes[name].(string); ok {
			return s
		}
	}
	if strings.HasPrefix(r.ID, "arn:") {
		return r.ID
	}
	return ""
}

// Decode stores the resolved properties in the value that into points to, as
// encoding/json would.
func (r *Resource) Decode(into any) error {
	text, err := json.Marshal(r.Properties)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("properties of %s %s in stack %s: %w", r.Type, r.LogicalID, r.Stack.Name, err)
	}
	return nil
}

// ByType lists the stack's resources of one type, ordered by logical id.
func (s *Stack) ByType(resourceType string) []*Resource {
	var found []*Resource
	for _, r := range s.Resources {
		if r.Type == resourceType {
			found = append(found, r)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].LogicalID < found[j].LogicalID })
	return found
}

// ByType lists the resources of one type in all stacks, in stack order.
func ByType(stacks []*Stack, resourceType string) []*Resource {
	lists := make([][]*Resource, len(stacks))
	for i, s := range stacks {
		lists[i] = s.ByType(resourceType)
	}
	return slices.Concat(lists...)
}

// entry is one entry of manifest.json (cloud-assembly-schema, Manifest).
type entry struct {
	Type         string   `json:"type"`
	Environment  string   `json:"environment"`
	Dependencies []string `json:"dependencies"`
	Properties   struct {
		TemplateFile  string            `json:"templateFile"`
		StackName     string            `json:"stackName"`
		File          string            `json:"file"`
		DirectoryName string            `json:"directoryName"`
		Parameters    map[string]string `json:"parameters"`
	} `json:"properties"`
}

// Load reads the cloud assembly in dir and resolves its stacks, in the order in
// which they would be deployed.
func Load(dir string, o Options) ([]*Stack, error) {
	if o.Account == "" {
		o.Account = "111122223333"
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	l := &loader{options: o, exports: map[string]any{}}
	if err := l.assembly(dir); err != nil {
		return nil, fmt.Errorf("cloud assembly %s: %w", dir, err)
	}
	if len(l.stacks) == 0 {
		return nil, fmt.Errorf("cloud assembly %s: no stack: run cdk synth first", dir)
	}
	return l.stacks, nil
}

// A loader resolves the stacks of an assembly one after another.
type loader struct {
	options Options
	exports map[string]any // export name to value, of the stacks loaded so far
	stacks  []*Stack
}

func (l *loader) assembly(dir string) error {
	var manifest struct {
		Entries map[string]entry `json:"artifacts"`
		Missing []any            `json:"missing"`
	}
	if err := readJSON(filepath.Join(dir, "manifest.json"), &manifest); err != nil {
		return err
	}
	if len(manifest.Missing) > 0 {
		return errors.New("the assembly asks for lookups: resources must come by attributes")
	}
	order, err := sortEntries(manifest.Entries)
	if err != nil {
		return err
	}
	assets := map[string]string{} // object key to file
	for _, id := range order {
		a := manifest.Entries[id]
		switch a.Type {
		case "cdk:tree", "cdk:feature-flag-report":
		case "cdk:asset-manifest":
			if err := readAssets(dir, a.Properties.File, assets); err != nil {
				return err
			}
		case "cdk:cloud-assembly":
			if err := l.assembly(filepath.Join(dir, a.Properties.DirectoryName)); err != nil {
				return fmt.Errorf("nested assembly %s: %w", id, err)
			}
		case "aws:cloudformation:stack":
			name := a.Properties.StackName
			if name == "" {
				name = id
			}
			if err := l.stack(dir, name, a, assets); err != nil {
				return fmt.Errorf("stack %s: %w", name, err)
			}
		default:
			return fmt.Errorf("manifest entry %s has type %q, which local does not know", id, a.Type)
		}
	}
	return nil
}

// sortEntries orders the ids of entries so that dependencies come first and equals
// stand in the order of their names.
func sortEntries(entries map[string]entry) ([]string, error) {
	edges := map[string][]string{}
	for id, a := range entries {
		edges[id] = a.Dependencies
	}
	return topological(edges)
}

// topological orders the keys of edges so that what a key points to precedes it.
func topological(edges map[string][]string) ([]string, error) {
	keys := make([]string, 0, len(edges))
	for k := range edges {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var order, path []string
	done := map[string]bool{}
	var visit func(string) error
	visit = func(k string) error {
		if done[k] {
			return nil
		}
		if i := slices.Index(path, k); i >= 0 {
			return fmt.Errorf("circular dependency: %s", strings.Join(append(path[i:], k), " -> "))
		}
		path = append(path, k)
		next := slices.Clone(edges[k])
		slices.Sort(next)
		for _, n := range next {
			if _, known := edges[n]; !known {
				return fmt.Errorf("%s depends on %s, which is not there", k, n)
			}
			if err := visit(n); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		done[k] = true
		order = append(order, k)
		return nil
	}
	for _, k := range keys {
		if err := visit(k); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// readAssets adds the file assets of one asset manifest to assets, which maps
// the object key of every destination to the source on disk.
func readAssets(dir, file string, assets map[string]string) error {
	var manifest struct {
		Files map[string]struct {
			Source struct {
				Path       string   `json:"path"`
				Executable []string `json:"executable"`
			} `json:"source"`
			Destinations map[string]struct {
				ObjectKey string `json:"objectKey"`
			} `json:"destinations"`
		} `json:"files"`
		DockerImages map[string]any `json:"dockerImages"`
	}
	if err := readJSON(filepath.Join(dir, file), &manifest); err != nil {
		return err
	}
	for id, f := range manifest.Files {
		if f.Source.Path == "" {
			return fmt.Errorf("asset %s in %s has no path: assets made by an executable are not known to local", id, file)
		}
		for _, d := range f.Destinations {
			assets[d.ObjectKey] = filepath.Join(dir, f.Source.Path)
		}
	}
	for id := range manifest.DockerImages {
		return fmt.Errorf("asset %s in %s is a container image, which local does not know", id, file)
	}
	return nil
}

func readJSON(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}
