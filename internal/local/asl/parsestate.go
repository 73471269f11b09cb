package asl

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode"
)

// state reads one state of any type.
func (p *parser) state(s *state, f *fields, scope *scopeNames) {
	s.kind = kind(f.text("Type"))
	f.text("Comment")
	inherited := "JSONPath"
	if p.jsonata {
		inherited = "JSONata"
		if f.has("QueryLanguage") && string(f.o.values["QueryLanguage"]) != `"JSONata"` {
			f.fault("QueryLanguage", "a state of a JSONata machine is JSONata")
		}
	}
	p.language(f, inherited)
	sees := 0
	if s.kind == kindTask || s.kind == kindParallel || s.kind == kindMap {
		sees = seesResult
	}
	if s.kind != kindFail {
		s.output = f.value("Output", scope, sees)
	}
	if s.kind != kindFail && s.kind != kindSucceed {
		s.assign = p.assign(f, scope, sees)
	}
	switch s.kind {
	case kindPass, kindSucceed:
	case kindTask:
		p.task(s, f, scope)
	case kindChoice:
		p.choices(s, f, scope)
	case kindWait:
		s.seconds = f.amount("Seconds", scope, 0, 99999999)
		s.timestamp = f.value("Timestamp", scope, 0)
		if (s.seconds == nil) == (s.timestamp == nil) {
			f.fault("Seconds", "a Wait state has either Seconds or Timestamp")
		}
		if s.timestamp != nil && s.timestamp.literal != nil {
			if _, err := parseTimestamp(s.timestamp.literal); err != nil {
				f.fault("Timestamp", "%v", err)
			}
		}
	case kindFail:
		s.failError = f.value("Error", scope, 0)
		s.failCause = f.value("Cause", scope, 0)
	case kindParallel:
		s.arguments = f.value("Arguments", scope, 0)
		for _, b := range f.objects("Branches") {
			b.text("Comment")
			s.branches = append(s.branches, p.processor(b, &scopeNames{outer: scope, names: map[string]bool{}}))
			b.done()
		}
		if len(s.branches) == 0 {
			f.fault("Branches", "a Parallel state needs branches")
		}
	case kindMap:
		s.each = p.mapping(f, scope)
	case "":
		f.fault("Type", "is missing")
	default:
		f.fault("Type", "%q is no type of state", s.kind)
	}
	if sees != 0 {
		s.retry = p.retriers(f)
		s.catch = p.catchers(f, scope)
	}
	if slices.Contains([]kind{kindPass, kindTask, kindWait, kindParallel, kindMap}, s.kind) {
		s.next = f.text("Next")
		if end := f.raw("End"); end != nil {
			if s.end = string(end) == "true"; !s.end {
				f.fault("End", "is not true")
			}
		}
		if (s.next == "") != s.end {
			f.fault("Next", "a %s state has either Next or \"End\": true", s.kind)
		}
	}
	f.done()
}

// assign reads Assign and notes the names for the scope.
func (p *parser) assign(f *fields, scope *scopeNames, sees int) *template {
	raw := f.raw("Assign")
	if raw == nil {
		return nil
	}
	o, err := parseObject(raw)
	if err != nil {
		f.fault("Assign", "%v", err)
		return nil
	}
	for _, name := range o.keys {
		letters := []rune(name)
		switch {
		case name == "states":
			f.fault("Assign", "the name states is reserved")
		case len(letters) == 0 || len(letters) > 80 || !unicode.IsLetter(letters[0]) && letters[0] != '_' ||
			slices.ContainsFunc(letters, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }):
			f.fault("Assign", "%q is no variable name: a letter, then letters, digits and underscores, at most 80", name)
		}
		p.assigns = append(p.assigns, use{variable: name, at: f.path("Assign"), scope: scope})
		scope.names[name] = true
	}
	t := p.template(raw, f.path("Assign"), scope, sees)
	if t.literal != nil { // evaluation wants the members apart
		return &template{keys: o.keys, values: literals(o)}
	}
	return t
}

func literals(o object) []*template {
	list := make([]*template, 0, len(o.keys))
	for _, k := range o.keys {
		v, err := compact(o.values[k])
		if err != nil {
			v = o.values[k]
		}
		list = append(list, &template{literal: v})
	}
	return list
}

func (p *parser) task(s *state, f *fields, scope *scopeNames) {
	s.arguments = f.value("Arguments", scope, 0)
	s.timeout = f.amount("TimeoutSeconds", scope, 1, 99999999)
	if f.raw("HeartbeatSeconds") != nil {
		f.fault("HeartbeatSeconds", "is not interpreted: no resource known here sends heartbeats")
	}
	if f.raw("Credentials") != nil {
		f.fault("Credentials", "is not interpreted: tasks run as the state machine's role")
	}
	arn := f.text("Resource")
	part := strings.SplitN(arn, ":", 6)
	switch {
	case len(part) == 6 && part[0] == "arn" && part[2] == "lambda" && strings.HasPrefix(part[5], "function:"):
		s.resource = arn
	case len(part) == 6 && part[0] == "arn" && part[2] == "states" && part[3] == "" && part[4] == "":
		s.resource = part[5]
		if p.resources == nil || !p.resources(s.resource) {
			f.fault("Resource", "the task resource %q is not implemented here", arn)
		}
	case strings.HasPrefix(arn, "{%"):
		f.fault("Resource", "cannot be an expression")
	default:
		f.fault("Resource", "%q is neither a function nor an integration", arn)
	}
}

func (p *parser) choices(s *state, f *fields, scope *scopeNames) {
	for _, c := range f.objects("Choices") {
		c.text("Comment")
		rule := &choice{
			condition: c.value("Condition", scope, 0), next: c.text("Next"),
			output: c.value("Output", scope, 0), assign: p.assign(c, scope, 0),
		}
		if rule.condition == nil {
			c.fault("Condition", "is missing")
		}
		if rule.next == "" {
			c.fault("Next", "is missing")
		}
		s.choices = append(s.choices, rule)
		c.done()
	}
	if len(s.choices) == 0 {
		f.fault("Choices", "a Choice state needs rules")
	}
	s.fallback = f.text("Default")
}

func (p *parser) errorNames(f *fields, last bool) []string {
	var names []string
	if err := json.Unmarshal(f.raw("ErrorEquals"), &names); err != nil || len(names) == 0 {
		f.fault("ErrorEquals", "is not a list of error names")
	}
	if slices.Contains(names, ErrAll) && (len(names) > 1 || !last) {
		f.fault("ErrorEquals", "%s stands alone and in the last entry", ErrAll)
	}
	known := []string{
		ErrAll, ErrTaskFailed, ErrTimeout, ErrHeartbeatTimeout, ErrPermissions, ErrNoChoiceMatched, ErrQueryEvaluation,
		ErrDataLimitExceeded, ErrRuntime, ErrItemReaderFailed, ErrResultWriterFailed, ErrToleratedFailure,
		"States.BranchFailed", "States.Http.Socket", "States.ResultPathMatchFailure", "States.ParameterPathFailure", "States.IntrinsicFailure",
	}
	for _, n := range names {
		if strings.HasPrefix(n, "States.") && !slices.Contains(known, n) {
			f.fault("ErrorEquals", "%q: the prefix States. is reserved and this name is not defined", n)
		}
	}
	return names
}

func (p *parser) retriers(f *fields) []*retrier {
	all := f.objects("Retry")
	list := make([]*retrier, 0, len(all))
	for i, r := range all {
		r.text("Comment")
		t := &retrier{errors: p.errorNames(r, i == len(all)-1), interval: time.Second, attempts: 3, backoff: 2}
		if n, ok := r.integer("IntervalSeconds", 1, 99999999); ok {
			t.interval = time.Duration(n) * time.Second
		}
		if n, ok := r.integer("MaxAttempts", 0, 99999999); ok {
			t.attempts = int(n)
		}
		if raw := r.raw("BackoffRate"); raw != nil {
			if err := json.Unmarshal(raw, &t.backoff); err != nil || t.backoff < 1 {
				r.fault("BackoffRate", "%s is not a number of at least 1", raw)
			}
		}
		if n, ok := r.integer("MaxDelaySeconds", 1, 31622400); ok {
			t.longest = time.Duration(n) * time.Second
			if t.longest <= t.interval {
				r.fault("MaxDelaySeconds", "is not greater than IntervalSeconds")
			}
		}
		t.jitter = r.oneOf("JitterStrategy", "NONE", "FULL", "NONE") == "FULL"
		r.done()
		list = append(list, t)
	}
	return list
}

func (p *parser) catchers(f *fields, scope *scopeNames) []*catcher {
	all := f.objects("Catch")
	list := make([]*catcher, 0, len(all))
	for i, c := range all {
		c.text("Comment")
		t := &catcher{
			errors: p.errorNames(c, i == len(all)-1), next: c.text("Next"),
			output: c.value("Output", scope, seesError), assign: p.assign(c, scope, seesError),
		}
		if t.next == "" {
			c.fault("Next", "is missing")
		}
		c.done()
		list = append(list, t)
	}
	return list
}

// parseTimestamp reads an RFC 3339 time as the language profiles it: with "T",
// seconds, and "Z" or an offset.
func parseTimestamp(raw json.RawMessage) (time.Time, error) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339Nano, s)
}
