package qldb

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"godwit/internal/local/gateway"
)

// A route is one operation of the API. {} stands for a member in the path: the
// ledger's name, or the last one an id.
// https://docs.aws.amazon.com/qldb/latest/developerguide/API_Operations_Amazon_QLDB.html
type route struct{ operation, method, path string }

var routes = []route{
	{"CreateLedger", "POST", "/ledgers"},
	{"ListLedgers", "GET", "/ledgers"},
	{"DescribeLedger", "GET", "/ledgers/{}"},
	{"UpdateLedger", "PATCH", "/ledgers/{}"},
	{"DeleteLedger", "DELETE", "/ledgers/{}"},
	{"UpdateLedgerPermissionsMode", "PATCH", "/ledgers/{}/permissions-mode"},
	{"GetDigest", "POST", "/ledgers/{}/digest"},
	{"GetBlock", "POST", "/ledgers/{}/block"},
	{"GetRevision", "POST", "/ledgers/{}/revision"},
	{"ExportJournalToS3", "POST", "/ledgers/{}/journal-s3-exports"},
	{"ListJournalS3ExportsForLedger", "GET", "/ledgers/{}/journal-s3-exports"},
	{"DescribeJournalS3Export", "GET", "/ledgers/{}/journal-s3-exports/{}"},
	{"ListJournalS3Exports", "GET", "/journal-s3-exports"},
	{"StreamJournalToKinesis", "POST", "/ledgers/{}/journal-kinesis-streams"},
	{"ListJournalKinesisStreamsForLedger", "GET", "/ledgers/{}/journal-kinesis-streams"},
	{"DescribeJournalKinesisStream", "GET", "/ledgers/{}/journal-kinesis-streams/{}"},
	{"CancelJournalKinesisStream", "DELETE", "/ledgers/{}/journal-kinesis-streams/{}"},
	{"ListTagsForResource", "GET", "/tags/{}"},
	{"TagResource", "POST", "/tags/{}"},
	{"UntagResource", "DELETE", "/tags/{}"},
}

// A request is one call, taken apart.
type request struct {
	operation string
	ledger    string // "" where the operation has none
	id        string // of an export
	query     url.Values
}

// An operation answers a request: with what becomes the body, or an error, a
// *failure where the service would refuse.
type operation func(s *Service, r request, body []byte) (any, error)

// served are the operations that local knows, with how.
var served = map[string]operation{
	"ListLedgers":                   (*Service).listLedgers,
	"DescribeLedger":                (*Service).describeLedger,
	"GetDigest":                     (*Service).getDigest,
	"GetBlock":                      (*Service).getBlock,
	"GetRevision":                   (*Service).getRevision,
	"ExportJournalToS3":             (*Service).exportJournal,
	"DescribeJournalS3Export":       (*Service).describeExport,
	"ListJournalS3Exports":          (*Service).listExports,
	"ListJournalS3ExportsForLedger": (*Service).listExports,

	"StreamJournalToKinesis":             (*Service).streamJournal,
	"DescribeJournalKinesisStream":       (*Service).describeStream,
	"ListJournalKinesisStreamsForLedger": (*Service).listStreams,
	"CancelJournalKinesisStream":         (*Service).cancelStream,
}

func parse(r *http.Request) (request, error) {
	for _, route := range routes {
		members, ok := match(route.path, r.URL.EscapedPath())
		if !ok || route.method != r.Method {
			continue
		}
		if served[route.operation] == nil {
			return request{}, fmt.Errorf("qldb:%s is not implemented locally", route.operation)
		}
		req := request{operation: route.operation, query: r.URL.Query()}
		if len(members) > 0 {
			req.ledger = members[0]
		}
		if len(members) > 1 {
			req.id = members[1]
		}
		return req, nil
	}
	return request{}, errors.New("QLDB has no such operation")
}

// match compares an escaped path with a route's, part by part.
func match(route, path string) (members []string, ok bool) {
	want, have := strings.Split(route, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	for i := range want {
		part, err := url.PathUnescape(have[i])
		switch {
		case err != nil || want[i] != "{}" && want[i] != part:
			return nil, false
		case want[i] == "{}":
			members = append(members, part)
		}
	}
	return members, true
}

func (s *Service) arn(ledger string) string {
	return "arn:aws:qldb:" + s.config.Region + ":" + s.config.Account + ":ledger/" + ledger
}

// Describe implements gateway.Service.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonqldb.html
func (s *Service) Describe(r *http.Request, body []byte) ([]gateway.Call, error) {
	req, err := parse(r)
	if err != nil {
		return nil, err
	}
	resource := "*"
	if req.ledger != "" {
		resource = s.arn(req.ledger)
	}
	calls := []gateway.Call{{Action: "qldb:" + req.operation, Resources: []string{resource}}}
	switch req.operation {
	case "StreamJournalToKinesis":
		calls[0].Resources[0] = s.streamARN(req.ledger, "*")
	case "DescribeJournalKinesisStream", "CancelJournalKinesisStream":
		calls[0].Resources[0] = s.streamARN(req.ledger, req.id)
	}
	if req.operation == "ExportJournalToS3" || req.operation == "StreamJournalToKinesis" {
		var in struct{ RoleArn string }
		// A body that is no JSON is refused later, in the service's words.
		if json.Unmarshal(body, &in) == nil && in.RoleArn != "" {
			calls = append(calls, gateway.Call{Action: "iam:PassRole", Resources: []string{in.RoleArn}, Condition: map[string]string{"iam:PassedToService": principal}})
		}
	}
	return calls, nil
}

// principal is who QLDB is when it assumes a role.
const principal = "qldb.amazonaws.com"

// A failure is an error of the service.
type failure struct {
	status  int
	code    string
	Message string
	// Which members a code has says its shape in the API.
	ParameterName string `json:",omitempty"`
	ResourceType  string `json:",omitempty"`
	ResourceName  string `json:",omitempty"`
}

func (f *failure) Error() string { return f.code + ": " + f.Message }

func invalid(parameter, message string) error {
	return &failure{status: http.StatusBadRequest, code: "InvalidParameterException", Message: message, ParameterName: parameter}
}

func notFound(kind, name string) error {
	return &failure{status: http.StatusNotFound, code: "ResourceNotFoundException", Message: "The specified resource was not found: " + kind + " " + name, ResourceType: kind, ResourceName: name}
}

// ServeHTTP implements gateway.Service.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := s.serve(r)
	status := http.StatusOK
	if err != nil {
		var f *failure
		if !errors.As(err, &f) {
			f = &failure{status: http.StatusInternalServerError, code: "InternalFailure", Message: err.Error()}
		}
		status, out = f.status, f
		w.Header().Set("X-Amzn-Errortype", f.code)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // a caller that is gone needs no answer
}

func (s *Service) serve(r *http.Request) (any, error) {
	req, err := parse(r)
	if err != nil {
		return nil, &failure{status: http.StatusNotImplemented, code: "NotImplemented", Message: err.Error()}
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, 1<<20))
	if err != nil {
		return nil, &failure{status: http.StatusRequestEntityTooLarge, code: "RequestEntityTooLarge", Message: err.Error()}
	}
	if strings.Contains(routePath(req.operation), "{}") && !validName(req.ledger) {
		return nil, invalid("Name", "The provided ledger name is not valid: "+strconv.Quote(req.ledger))
	}
	return served[req.operation](s, req, body)
}

func routePath(operation string) string {
	for _, route := range routes {
		if route.operation == operation {
			return route.path
		}
	}
	return ""
}

// decode reads a request's body and refuses members that the API has not.
func decode(body []byte, into any) error {
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &failure{status: http.StatusBadRequest, code: "SerializationException", Message: err.Error()}
	}
	return nil
}

// find returns a ledger; s.mu is held.
func (s *Service) find(name string) (*ledger, error) {
	if l := s.ledgers[name]; l != nil {
		return l, nil
	}
	return nil, notFound("Ledger", name)
}

// page cuts a list to what max_results and next_token ask for. key is an item's
// place in the list, which stays when others are forgotten.
func page[T any](r request, items []T, key func(T) string) (some []T, next *string, err error) {
	most := 100
	if text := r.query.Get("max_results"); text != "" {
		if most, err = strconv.Atoi(text); err != nil || most < 1 || most > 100 {
			return nil, nil, invalid("MaxResults", "MaxResults is a number from 1 to 100, not "+text)
		}
	}
	after := r.query.Get("next_token")
	some = []T{}
	for _, item := range items {
		switch {
		case after != "" && key(item) <= after:
		case len(some) == most:
			last := key(some[most-1])
			return some, &last, nil
		default:
			some = append(some, item)
		}
	}
	return some, nil, nil
}

// seconds is a time as restJson1 writes it, to the millisecond.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
