package rds

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit/internal/local/gateway"
)

// maxRequest bounds a request's body, in bytes: ExportOnly may have 200 KB, which
// are longer as a form.
const maxRequest = 1 << 20

// An operation is one operation of the API: its parameters, with .N. for the
// members of lists, what IAM is asked about, and what it does.
type operation struct {
	parameters []string
	calls      func(*Service, request) []gateway.Call
	do         func(*Service, request) (any, error)
}

const filters = "Filters.Filter.N.Name Filters.Filter.N.Values.Value.N"

// operations are all that local serves.
func operations() map[string]operation {
	list := func(s string) []string { return strings.Fields(s + " MaxRecords Marker " + filters) }
	return map[string]operation{
		"DescribeDBClusters": {[]string{"DBClusterIdentifier"}, (*Service).callsOfCluster, (*Service).describeClusters},
		"DescribeDBClusterSnapshots": {
			list("DBClusterSnapshotIdentifier DBClusterIdentifier SnapshotType IncludeShared"), (*Service).callsOfSnapshots, (*Service).describeClusterSnapshots,
		},
		"DescribeDBSnapshots": {
			list("DBSnapshotIdentifier DBInstanceIdentifier SnapshotType IncludeShared"), (*Service).callsOfSnapshots, (*Service).describeDBSnapshots,
		},
		"ListTagsForResource": {[]string{"ResourceName"}, func(_ *Service, in request) []gateway.Call { return in.call(in.get("ResourceName")) }, (*Service).listTags},
		"StartExportTask": {
			strings.Fields("ExportTaskIdentifier SourceArn S3BucketName S3Prefix IamRoleArn KmsKeyId ExportOnly.member.N"), (*Service).callsOfStart, (*Service).startExport,
		},
		"DescribeExportTasks": {list("ExportTaskIdentifier SourceArn SourceType"), anything, (*Service).describeExports},
		"CancelExportTask":    {[]string{"ExportTaskIdentifier"}, anything, (*Service).cancelExport},
	}
}

// A request is one call, taken apart.
type request struct {
	ctx    context.Context
	action string
	caller string // ARN of the role; "" is the operator
	form   url.Values
}

func (r request) get(name string) string { return r.form.Get(name) }

// call is the one action that a request needs on a resource.
func (r request) call(resource string) []gateway.Call {
	return []gateway.Call{{Action: "rds:" + r.action, Resources: []string{resource}}}
}

func anything(_ *Service, in request) []gateway.Call { return in.call("*") }

// list returns the members of a list, in their order.
func (r request) list(prefix string) []string {
	var all []string
	for i := 1; r.form.Has(prefix + "." + strconv.Itoa(i)); i++ {
		all = append(all, r.form.Get(prefix+"."+strconv.Itoa(i)))
	}
	return all
}

// filter returns the values of a filter by name; ok tells whether it is given.
func (r request) filter(name string) (values []string, ok bool) {
	for i := 1; r.form.Has(fmt.Sprintf("Filters.Filter.%d.Name", i)); i++ {
		if r.form.Get(fmt.Sprintf("Filters.Filter.%d.Name", i)) == name {
			return r.list(fmt.Sprintf("Filters.Filter.%d.Values.Value", i)), true
		}
	}
	return nil, false
}

// known refuses filters that an operation has not.
func (r request) known(names ...string) error {
	for i := 1; r.form.Has(fmt.Sprintf("Filters.Filter.%d.Name", i)); i++ {
		if name := r.form.Get(fmt.Sprintf("Filters.Filter.%d.Name", i)); !slices.Contains(names, name) {
			return fail("InvalidParameterValue", "Unrecognized filter name: %s", name)
		}
	}
	return nil
}

var listNumber = regexp.MustCompile(`\.[1-9][0-9]*(\.|$)`)

// parse takes a request apart; the error names what local does not serve.
func parse(body []byte) (request, operation, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return request{}, operation{}, fmt.Errorf("rds: read the request: %w", err)
	}
	in := request{action: form.Get("Action"), form: form}
	op, ok := operations()[in.action]
	if !ok {
		return in, op, fmt.Errorf("rds: operation %q is not implemented locally", in.action)
	}
	for name := range form {
		if name != "Action" && name != "Version" && !slices.Contains(op.parameters, listNumber.ReplaceAllString(name, ".N$1")) {
			return in, op, fmt.Errorf("rds: parameter %q of %s is not implemented locally", name, in.action)
		}
	}
	return in, op, nil
}

// Describe implements gateway.Service.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonrds.html
func (s *Service) Describe(_ *http.Request, body []byte) ([]gateway.Call, error) {
	in, op, err := parse(body)
	if err != nil {
		return nil, err
	}
	return op.calls(s, in), nil
}

func (s *Service) callsOfCluster(in request) []gateway.Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.find(in.get("DBClusterIdentifier")); ok {
		return in.call(c.ARN)
	}
	return in.call("*")
}

// A failure is an error of the service.
type failure struct{ Code, Message string }

func (f *failure) Error() string { return f.Code + ": " + f.Message }

func fail(code, format string, a ...any) error {
	return &failure{code, fmt.Sprintf(format, a...)}
}

// status is the HTTP status of an error, as the API's model has it.
func (f *failure) status() int {
	switch {
	case strings.Contains(f.Code, "NotFound"):
		return http.StatusNotFound
	case f.Code == "InternalFailure":
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

const namespace = "http://rds.amazonaws.com/doc/2014-10-31/"

// ServeHTTP implements gateway.Service.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := s.serve(w, r)
	status := http.StatusOK
	if err != nil {
		f := &failure{"InternalFailure", err.Error()}
		errors.As(err, &f)
		status, out = f.status(), struct {
			XMLName xml.Name `xml:"http://rds.amazonaws.com/doc/2014-10-31/ ErrorResponse"`
			Type    string   `xml:"Error>Type"`
			Code    string   `xml:"Error>Code"`
			Message string   `xml:"Error>Message"`
		}{Type: "Sender", Code: f.Code, Message: f.Message}
	}
	b, err := xml.Marshal(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the caller that went away asks again
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request) (any, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return nil, fail("RequestEntityTooLarge", "%v", err)
	}
	in, op, err := parse(body)
	if err != nil {
		return nil, fail("InvalidAction", "%v", err)
	}
	in.ctx, in.caller = r.Context(), gateway.CallerRole(r.Context())
	out, err := op.do(s, in)
	if err != nil {
		return nil, err
	}
	return response{in.action, out}, nil
}

// A response is an operation's answer around what it returned.
type response struct {
	action string
	result any
}

// MarshalXML implements xml.Marshaler.
func (r response) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	outer := xml.StartElement{Name: xml.Name{Space: namespace, Local: r.action + "Response"}}
	if err := e.EncodeToken(outer); err != nil {
		return err
	}
	if err := e.EncodeElement(r.result, xml.StartElement{Name: xml.Name{Local: r.action + "Result"}}); err != nil {
		return err
	}
	return e.EncodeToken(outer.End())
}

// page cuts a list to what MaxRecords and Marker ask for.
func page[T any](in request, all []T) (some []T, next string, err error) {
	most, from := 100, 0
	if text := in.get("MaxRecords"); text != "" {
		if most, err = strconv.Atoi(text); err != nil || most < 20 || most > 100 {
			return nil, "", fail("InvalidParameterValue", "Invalid value %s for MaxRecords. Must be between 20 and 100", text)
		}
	}
	if text := in.get("Marker"); text != "" {
		if from, err = strconv.Atoi(text); err != nil || from < 0 || from > len(all) {
			return nil, "", fail("InvalidParameterValue", "The marker %s is not valid", text)
		}
	}
	if end := from + most; end < len(all) {
		return all[from:end], strconv.Itoa(end), nil
	}
	return all[from:], "", nil
}

// stamp is a time of the API, to the millisecond; "" is none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
