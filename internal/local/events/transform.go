package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// A transformer makes a target's input of an event.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
type transformer struct {
	InputPathsMap map[string]string
	InputTemplate string
}

var (
	pathRule        = regexp.MustCompile(`^\$(\.[A-Za-z0-9_-]+)*$`)
	placeholderRule = regexp.MustCompile(`<([A-Za-z0-9_.-]+)>`)
)

// The variables that every template has.
const (
	ruleARN       = "aws.events.rule-arn"
	ruleName      = "aws.events.rule-name"
	ingestionTime = "aws.events.event.ingestion-time"
	wholeEvent    = "aws.events.event"
	wholeJSON     = "aws.events.event.json"
)

func (t *transformer) check() error {
	for name, path := range t.InputPathsMap {
		if !pathRule.MatchString(path) {
			return fmt.Errorf("path %s of an input transformer is not known to local: members with dots are", path)
		}
		if strings.HasPrefix(strings.ToLower(name), "aws") {
			return fmt.Errorf("variable %s of an input transformer: names that begin with AWS are EventBridge's", name)
		}
	}
	for _, m := range placeholderRule.FindAllStringSubmatch(t.InputTemplate, -1) {
		_, own := t.InputPathsMap[m[1]]
		switch m[1] {
		case ruleARN, ruleName, ingestionTime, wholeEvent, wholeJSON:
		default:
			if !own {
				return fmt.Errorf("variable <%s> of an input template is not defined", m[1])
			}
		}
	}
	return nil
}

// apply returns the input, a JSON text. A variable is a JSON value, or within a
// text its characters; one without a value is null, or no characters.
func (t *transformer) apply(r *Rule, e Event) ([]byte, error) {
	event, err := e.value()
	if err != nil {
		return nil, err
	}
	values := map[string]any{
		ruleARN: r.ARN, ruleName: r.Name, ingestionTime: e.Time.UTC().Format("2006-01-02T15:04:05Z"), wholeEvent: event, wholeJSON: event,
	}
	for name, path := range t.InputPathsMap {
		var v any = event
		for _, member := range strings.Split(strings.TrimPrefix(path, "$"), ".")[1:] {
			object, _ := v.(map[string]any)
			v = object[member]
		}
		values[name] = v
	}
	var out bytes.Buffer
	quoted, last := false, 0
	for _, at := range placeholderRule.FindAllStringSubmatchIndex(t.InputTemplate, -1) {
		text := t.InputTemplate[last:at[0]]
		for i := range len(text) {
			if text[i] == '"' && (i == 0 || text[i-1] != '\\') {
				quoted = !quoted
			}
		}
		out.WriteString(text)
		last = at[1]
		v := values[t.InputTemplate[at[2]:at[3]]]
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		if s, isText := v.(string); quoted && isText {
			if b, err = json.Marshal(s); err != nil {
				return nil, err
			}
			b = b[1 : len(b)-1]
		} else if quoted && v == nil {
			b = nil
		}
		out.Write(b)
	}
	out.WriteString(t.InputTemplate[last:])
	if !json.Valid(out.Bytes()) {
		return nil, fmt.Errorf("the input template of rule %s makes no JSON: %s", r.Name, out.String())
	}
	return out.Bytes(), nil
}
