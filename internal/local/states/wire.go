package states

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"godwit/internal/local/asl"
	"godwit/internal/local/gateway"
)

var _ gateway.Service = (*Service)(nil)

const targetPrefix = "AWSStepFunctions."

// maxRequest bounds a request's body, in bytes (1 MB in the service's quotas).
const maxRequest = 1 << 20

// request is the union of what the operations take.
type request struct {
	StateMachineArn      string
	ExecutionArn         string
	MapRunArn            string
	Name                 string
	Input                string
	TraceHeader          string
	ClientToken          string
	Error                string
	Cause                string
	StatusFilter         string
	RedriveFilter        string
	IncludedData         string
	NextToken            string
	MaxResults           int
	ReverseOrder         bool
	IncludeExecutionData *bool
}

// operation is one operation: the member that names the resource for IAM, and
// what it does.
type operation struct {
	resource func(request) string
	do       func(*Service, *http.Request, request) (any, error)
}

func executionARN(in request) string { return in.ExecutionArn }
func machineARN(in request) string   { return in.StateMachineArn }
func listed(in request) string {
	if in.MapRunArn != "" {
		return in.MapRunArn
	}
	return in.StateMachineArn
}
func anyResource(request) string { return "*" }

func operations() map[string]operation {
	return map[string]operation{
		"StartExecution":       {machineARN, (*Service).startExecution},
		"DescribeExecution":    {executionARN, (*Service).describeExecution},
		"GetExecutionHistory":  {executionARN, (*Service).history},
		"RedriveExecution":     {executionARN, (*Service).redriveExecution},
		"StopExecution":        {executionARN, (*Service).stopExecution},
		"ListExecutions":       {listed, (*Service).listExecutions},
		"DescribeStateMachine": {machineARN, (*Service).describeStateMachine},
		"ListStateMachines":    {anyResource, (*Service).listStateMachines},
		"ListMapRuns":          {executionARN, (*Service).listMapRuns},
		"DescribeMapRun":       {func(in request) string { return in.MapRunArn }, (*Service).describeMapRun},
	}
}

func decode(r *http.Request, body []byte) (string, operation, request, error) {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	op, known := operations()[name]
	if !ok || !known {
		return "", op, request{}, fmt.Errorf("states: the operation %q is not implemented here", r.Header.Get("X-Amz-Target"))
	}
	if len(body) > maxRequest {
		return "", op, request{}, apiError("ValidationException", "the request has %d bytes, more than %d", len(body), maxRequest)
	}
	var in request
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return "", op, in, apiError("ValidationException", "%s: %v", name, err)
	}
	return name, op, in, nil
}

// Describe names the action and resource of a request.
func (s *Service) Describe(r *http.Request, body []byte) ([]gateway.Call, error) {
	name, op, in, err := decode(r, body)
	if err != nil {
		return nil, err
	}
	return []gateway.Call{{Service: "states", Action: "states:" + name, Resources: []string{op.resource(in)}}}, nil
}

// ServeHTTP answers one request.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	var out any
	if err == nil {
		var op operation
		var in request
		if _, op, in, err = decode(r, body); err == nil {
			out, err = op.do(s, r, in)
		}
	}
	status := http.StatusOK
	if err != nil {
		e := &APIError{Code: "InternalServerException", Message: err.Error()}
		errors.As(err, &e)
		status = http.StatusBadRequest
		if e.Code == "InternalServerException" {
			status = http.StatusInternalServerError
		}
		out = map[string]string{"__type": e.Code, "message": e.Message}
		w.Header().Set("X-Amzn-Errortype", e.Code)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // the caller has gone: nobody to tell
}

// epoch is a timestamp as the protocol writes it: seconds with a fraction.
func epoch(t time.Time) json.Number {
	return json.Number(strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64))
}

var included = map[string]bool{"included": true}

func (s *Service) startExecution(_ *http.Request, in request) (any, error) {
	x, err := s.Start(in.StateMachineArn, in.Name, []byte(in.Input))
	if err != nil {
		return nil, err
	}
	return map[string]any{"executionArn": x.ARN, "startDate": epoch(x.Result().Started)}, nil
}

func (s *Service) describeExecution(_ *http.Request, in request) (any, error) {
	x, err := s.Execution(in.ExecutionArn)
	if err != nil {
		return nil, err
	}
	r := x.Result()
	out := map[string]any{
		"executionArn": x.ARN, "stateMachineArn": x.MachineARN, "name": x.Name, "status": string(r.Status),
		"startDate": epoch(r.Started), "input": string(x.Input), "inputDetails": included, "redriveCount": r.RedriveCount,
	}
	if r.Output != nil {
		out["output"], out["outputDetails"] = string(r.Output), included
	}
	if !r.Stopped.IsZero() {
		out["stopDate"] = epoch(r.Stopped)
	}
	if r.Error != nil && *r.Error != (asl.Error{}) {
		out["error"], out["cause"] = r.Error.Name, r.Error.Cause
	}
	if r.RedriveCount > 0 {
		out["redriveDate"] = epoch(r.Redriven)
	}
	switch why := x.WhyNotRedrivable(); {
	case why != "":
		out["redriveStatus"], out["redriveStatusReason"] = "NOT_REDRIVABLE", why
	case x.Parent != nil:
		out["redriveStatus"] = "REDRIVABLE_BY_MAP_RUN"
	default:
		out["redriveStatus"] = "REDRIVABLE"
	}
	if x.Parent != nil {
		out["mapRunArn"] = x.Parent.ARN
	}
	return out, nil
}

func (s *Service) history(_ *http.Request, in request) (any, error) {
	x, err := s.Execution(in.ExecutionArn)
	if err != nil {
		return nil, err
	}
	events := x.History()
	if in.ReverseOrder {
		slices.Reverse(events)
	}
	page, next, err := paged(events, in, 100)
	if err != nil {
		return nil, err
	}
	list := []map[string]any{}
	for _, e := range page {
		m := map[string]any{"id": e.ID, "previousEventId": e.Previous, "timestamp": epoch(e.Time), "type": e.Type}
		if e.Detail != nil {
			m[detailName(e.Type)] = withoutData(e.Detail, in.IncludeExecutionData)
		}
		list = append(list, m)
	}
	return withNext(map[string]any{"events": list}, next), nil
}

// detailName is the member that holds the details of an event of a type.
func detailName(kind string) string {
	switch {
	case strings.HasSuffix(kind, "StateEntered"):
		return "stateEnteredEventDetails"
	case strings.HasSuffix(kind, "StateExited"):
		return "stateExitedEventDetails"
	}
	r := []rune(kind)
	r[0] = unicode.ToLower(r[0])
	return string(r) + "EventDetails"
}

func withoutData(detail map[string]any, include *bool) map[string]any {
	if include == nil || *include {
		return detail
	}
	out := map[string]any{}
	for k, v := range detail {
		if k != "input" && k != "output" && k != "parameters" {
			out[k] = v
		}
	}
	return out
}

// paged cuts a list by maxResults and nextToken, which is an offset here.
func paged[T any](all []T, in request, size int) ([]T, string, error) {
	from := 0
	if in.NextToken != "" {
		n, err := strconv.Atoi(in.NextToken)
		if err != nil || n < 0 || n > len(all) {
			return nil, "", apiError("InvalidToken", "Invalid Token: '%s'", in.NextToken)
		}
		from = n
	}
	if in.MaxResults < 0 || in.MaxResults > 1000 {
		return nil, "", apiError("ValidationException", "maxResults %d is not within 0 and 1000", in.MaxResults)
	}
	if in.MaxResults > 0 {
		size = in.MaxResults
	}
	to := min(from+size, len(all))
	if to == len(all) {
		return all[from:to], "", nil
	}
	return all[from:to], strconv.Itoa(to), nil
}

func withNext(out map[string]any, next string) map[string]any {
	if next != "" {
		out["nextToken"] = next
	}
	return out
}

func (s *Service) redriveExecution(_ *http.Request, in request) (any, error) {
	x, err := s.Redrive(in.ExecutionArn)
	if err != nil {
		return nil, err
	}
	return map[string]any{"redriveDate": epoch(x.Result().Redriven)}, nil
}

func (s *Service) stopExecution(r *http.Request, in request) (any, error) {
	x, err := s.Execution(in.ExecutionArn)
	if err != nil {
		return nil, err
	}
	if err := x.Stop(r.Context(), &asl.Error{Name: in.Error, Cause: in.Cause}); err != nil {
		return nil, err
	}
	return map[string]any{"stopDate": epoch(x.Result().Stopped)}, nil
}

func (s *Service) listExecutions(_ *http.Request, in request) (any, error) {
	var all []*asl.Execution
	switch {
	case in.MapRunArn != "":
		r, err := s.run(in.MapRunArn)
		if err != nil {
			return nil, err
		}
		all = r.Children()
	default:
		s.mu.Lock()
		known := s.machines[in.StateMachineArn] != nil
		for _, x := range slices.Backward(s.order) {
			if x.MachineARN == in.StateMachineArn {
				all = append(all, x)
			}
		}
		s.mu.Unlock()
		if !known {
			return nil, apiError("StateMachineDoesNotExist", "State Machine Does Not Exist: '%s'", in.StateMachineArn)
		}
	}
	all = slices.DeleteFunc(all, func(x *asl.Execution) bool {
		status := x.Result().Status
		return status == asl.Pending || in.StatusFilter != "" && in.StatusFilter != string(status)
	})
	page, next, err := paged(all, in, 100)
	if err != nil {
		return nil, err
	}
	list := []map[string]any{}
	for _, x := range page {
		r := x.Result()
		m := map[string]any{
			"executionArn": x.ARN, "stateMachineArn": x.MachineARN, "name": x.Name, "status": string(r.Status),
			"startDate": epoch(r.Started), "redriveCount": r.RedriveCount,
		}
		if !r.Stopped.IsZero() {
			m["stopDate"] = epoch(r.Stopped)
		}
		if x.Parent != nil {
			m["mapRunArn"] = x.Parent.ARN
		}
		list = append(list, m)
	}
	return withNext(map[string]any{"executions": list}, next), nil
}

func (s *Service) describeStateMachine(_ *http.Request, in request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.machines[in.StateMachineArn]
	if m == nil {
		return nil, apiError("StateMachineDoesNotExist", "State Machine Does Not Exist: '%s'", in.StateMachineArn)
	}
	return map[string]any{
		"stateMachineArn": m.ARN, "name": m.Name, "status": "ACTIVE", "definition": m.Definition, "roleArn": m.Role,
		"type": "STANDARD", "creationDate": epoch(m.Created),
	}, nil
}

func (s *Service) listStateMachines(_ *http.Request, in request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]map[string]any, 0, len(s.machines))
	for _, m := range s.machines {
		list = append(list, map[string]any{"stateMachineArn": m.ARN, "name": m.Name, "type": "STANDARD", "creationDate": epoch(m.Created)})
	}
	slices.SortFunc(list, func(a, b map[string]any) int { return strings.Compare(a["name"].(string), b["name"].(string)) })
	page, next, err := paged(list, in, 100)
	if err != nil {
		return nil, err
	}
	return withNext(map[string]any{"stateMachines": page}, next), nil
}

func (s *Service) listMapRuns(_ *http.Request, in request) (any, error) {
	x, err := s.Execution(in.ExecutionArn)
	if err != nil {
		return nil, err
	}
	page, next, err := paged(x.Runs(), in, 100)
	if err != nil {
		return nil, err
	}
	list := []map[string]any{}
	for _, r := range page {
		res := r.Result()
		m := map[string]any{"executionArn": x.ARN, "mapRunArn": r.ARN, "stateMachineArn": x.MachineARN, "startDate": epoch(res.Started)}
		if !res.Stopped.IsZero() {
			m["stopDate"] = epoch(res.Stopped)
		}
		list = append(list, m)
	}
	return withNext(map[string]any{"mapRuns": list}, next), nil
}

func (s *Service) describeMapRun(_ *http.Request, in request) (any, error) {
	r, err := s.run(in.MapRunArn)
	if err != nil {
		return nil, err
	}
	res := r.Result()
	out := map[string]any{
		"mapRunArn": r.ARN, "executionArn": r.Parent.ARN, "status": string(res.Status), "startDate": epoch(res.Started),
		"maxConcurrency": res.MaxConcurrency, "toleratedFailurePercentage": res.ToleratedPercentage,
		"toleratedFailureCount": res.ToleratedCount, "redriveCount": res.RedriveCount,
		"itemCounts": counts(res.Items), "executionCounts": counts(res.Executions),
	}
	if !res.Stopped.IsZero() {
		out["stopDate"] = epoch(res.Stopped)
	}
	if res.RedriveCount > 0 {
		out["redriveDate"] = epoch(res.Redriven)
	}
	return out, nil
}

func counts(c asl.Counts) map[string]int {
	return map[string]int{
		"pending": c.Pending, "running": c.Running, "succeeded": c.Succeeded, "failed": c.Failed,
		"timedOut": c.TimedOut, "aborted": c.Aborted, "total": c.Total, "resultsWritten": 0,
	}
}
