package esm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit/internal/local/gateway"
)

const path = "/2015-03-31/event-source-mappings"

// A request is one call of the control API, taken apart.
type request struct {
	operation string
	uuid      string // "" of a list
}

// parse refuses what is not served, by name.
// https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
func parse(r *http.Request) (request, error) {
	rest, ok := strings.CutPrefix(r.URL.Path, path)
	uuid := strings.Trim(rest, "/")
	switch {
	case !ok || strings.Contains(uuid, "/"):
		return request{}, fmt.Errorf("lambda %s %s is not served by the local Lambda", r.Method, r.URL.Path)
	case uuid == "" && r.Method == http.MethodGet:
		return request{operation: "ListEventSourceMappings"}, nil
	case uuid != "" && r.Method == http.MethodGet:
		return request{"GetEventSourceMapping", uuid}, nil
	case uuid != "" && r.Method == http.MethodPut:
		return request{"UpdateEventSourceMapping", uuid}, nil
	case uuid == "" && r.Method == http.MethodPost:
		return request{}, errors.New("lambda:CreateEventSourceMapping is not served by the local Lambda: mappings come from templates")
	}
	return request{}, fmt.Errorf("lambda %s of an event source mapping is not served by the local Lambda", r.Method)
}

// Describe implements gateway.Service. Lists know no resource, so that a policy
// must say "*" there.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
func (s *Service) Describe(r *http.Request, _ []byte) ([]gateway.Call, error) {
	in, err := parse(r)
	if err != nil {
		return nil, err
	}
	c := gateway.Call{Action: "lambda:" + in.operation, Resources: []string{"*"}}
	if in.uuid != "" {
		c.Resources = []string{s.arn(in.uuid)}
		if m := s.find(in.uuid); m != nil {
			c.Condition = map[string]string{"lambda:FunctionArn": m.FunctionARN}
		}
	}
	return []gateway.Call{c}, nil
}

func (s *Service) arn(uuid string) string {
	return "arn:aws:lambda:" + s.config.Region + ":" + s.config.Account + ":event-source-mapping:" + uuid
}

// A failure is an error of the service.
type failure struct {
	status        int
	code, message string
}

func (f *failure) Error() string { return f.code + ": " + f.message }

func invalid(format string, a ...any) error {
	return &failure{http.StatusBadRequest, "InvalidParameterValueException", fmt.Sprintf(format, a...)}
}

// ServeHTTP implements gateway.Service.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, status, err := s.serve(r)
	if err != nil {
		var f *failure
		if !errors.As(err, &f) {
			f = &failure{http.StatusInternalServerError, "ServiceException", err.Error()}
		}
		w.Header().Set("X-Amzn-Errortype", f.code)
		status, out = f.status, map[string]string{"Type": "User", "Message": f.message, "message": f.message}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // a caller that is gone needs no answer
}

func (s *Service) serve(r *http.Request) (any, int, error) {
	in, err := parse(r)
	if err != nil {
		return nil, 0, &failure{http.StatusNotImplemented, "NotImplemented", err.Error()}
	}
	if in.operation == "ListEventSourceMappings" {
		out, err := s.list(r)
		return out, http.StatusOK, err
	}
	m := s.find(in.uuid)
	if m == nil {
		return nil, 0, &failure{http.StatusNotFound, "ResourceNotFoundException", "The resource you requested does not exist."}
	}
	if in.operation == "UpdateEventSourceMapping" {
		body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, 1<<20))
		if err != nil {
			return nil, 0, &failure{http.StatusRequestEntityTooLarge, "RequestTooLargeException", err.Error()}
		}
		if err := m.update(body); err != nil {
			return nil, 0, err
		}
		return m.describe(), http.StatusAccepted, nil
	}
	return m.describe(), http.StatusOK, nil
}

// update takes what a request changes.
func (m *mapping) update(body []byte) error {
	var p struct {
		properties
		FunctionName *string
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return invalid("Could not parse request body into json, or it has a member that local does not know: %v", err)
	}
	if p.FunctionName != nil && !m.isOf(*p.FunctionName) {
		return invalid("local does not change the function of a mapping")
	}
	m.mu.Lock()
	from := m.Settings
	m.mu.Unlock()
	to, err := p.over(from)
	if err != nil {
		return invalid("%v", err)
	}
	state := "Updating"
	switch {
	case to.Enabled && !from.Enabled:
		state = "Enabling"
	case !to.Enabled && from.Enabled:
		state = "Disabling"
	}
	if m.change(state, to) != nil {
		return &failure{http.StatusBadRequest, "ResourceInUseException", "Cannot update the event source mapping because it is in use."}
	}
	return nil
}

// isOf says whether a function is the mapping's: by ARN, name or account:name.
func (m *mapping) isOf(function string) bool {
	name := m.FunctionARN[strings.LastIndexByte(m.FunctionARN, ':')+1:]
	account := strings.Split(m.FunctionARN, ":")[4]
	return slices.Contains([]string{m.FunctionARN, name, account + ":function:" + name}, function)
}

// list answers in the order of the mappings' making; a marker is how many went
// before.
func (s *Service) list(r *http.Request) (any, error) {
	q := r.URL.Query()
	number := func(name string, otherwise int) (int, error) {
		text := q.Get(name)
		if text == "" {
			return otherwise, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return 0, invalid("%s %q is not a number", name, text)
		}
		return n, nil
	}
	most, err := number("MaxItems", 100)
	if err != nil {
		return nil, err
	}
	from, err := number("Marker", 0)
	if err != nil {
		return nil, err
	}
	most = max(1, min(most, 100))
	found := []*mapping{}
	for _, m := range s.all() {
		if f := q.Get("FunctionName"); f != "" && !m.isOf(f) {
			continue
		}
		if a := q.Get("EventSourceArn"); a != "" && a != m.StreamARN {
			continue
		}
		found = append(found, m)
	}
	page := []any{}
	for _, m := range found[min(from, len(found)):min(from+most, len(found))] {
		page = append(page, m.describe())
	}
	out := map[string]any{"EventSourceMappings": page}
	if from+most < len(found) {
		out["NextMarker"] = strconv.Itoa(from + most)
	}
	return out, nil
}

// describe is a mapping as the API shows it.
func (m *mapping) describe() map[string]any {
	m.mu.Lock()
	defer m.mu.Unlock()
	age := -1
	if m.MaxAge > 0 {
		age = int(m.MaxAge / time.Second)
	}
	out := map[string]any{
		"UUID": m.UUID, "EventSourceMappingArn": m.service.arn(m.UUID), "EventSourceArn": m.StreamARN, "FunctionArn": m.FunctionARN,
		"State": m.state, "StateTransitionReason": m.reason, "LastProcessingResult": m.result, "LastModified": seconds(m.modified),
		"StartingPosition": m.Position, "BatchSize": m.BatchSize, "MaximumBatchingWindowInSeconds": int(m.Window / time.Second),
		"ParallelizationFactor": m.Parallel, "BisectBatchOnFunctionError": m.Bisect, "MaximumRetryAttempts": m.Retries,
		"MaximumRecordAgeInSeconds": age, "TumblingWindowInSeconds": 0, "FunctionResponseTypes": []string{}, "DestinationConfig": map[string]any{"OnFailure": map[string]any{}},
	}
	if !m.Timestamp.IsZero() {
		out["StartingPositionTimestamp"] = seconds(m.Timestamp)
	}
	if m.ItemFailures {
		out["FunctionResponseTypes"] = []string{"ReportBatchItemFailures"}
	}
	if m.Destination != "" {
		out["DestinationConfig"] = map[string]any{"OnFailure": map[string]string{"Destination": m.Destination}}
	}
	return out
}

// seconds is a time as restJson1 writes it, to the millisecond.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
