package events

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

const sample = `{"version": "0", "id": "1", "detail-type": "RDS DB Cluster Snapshot Event", "source": "aws.rds", "account": "111122223333", "time": "2026-11-23T03:00:00Z", "region": "us-east-1",
"resources": ["arn:aws:rds:us-east-1:111122223333:cluster-snapshot:nightly"],
"detail": {"EventCategories": ["backup"], "SourceType": "CLUSTER_SNAPSHOT", "EventID": "RDS-EVENT-0075", "count": 3, "ok": true, "none": null, "list": [{"a": 1}, {"a": 2}]}}`

func TestPatternsMatchAsEventBridgeHasIt(t *testing.T) {
	var event any
	if err := json.Unmarshal([]byte(sample), &event); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]bool{
		`{"source": ["aws.rds"]}`: true,
		`{"source": ["aws.s3"]}`:  false,
		`{"source": ["aws.s3", "aws.rds"], "detail": {"EventID": ["RDS-EVENT-0075", "RDS-EVENT-0169"]}}`: true,
		`{"source": ["aws.rds"], "detail": {"EventID": ["RDS-EVENT-0164"]}}`:                             false,
		`{"detail": {"EventCategories": ["backup", "x"]}}`:                                               true, // a list has one of them
		`{"resources": [{"prefix": "arn:aws:rds:us-east-1:"}]}`:                                          true,
		`{"resources": [{"prefix": "arn:aws:rds:eu-"}]}`:                                                 false,
		`{"detail": {"SourceType": [{"anything-but": "CLUSTER"}]}}`:                                      true,
		`{"detail": {"SourceType": [{"anything-but": ["CLUSTER", "CLUSTER_SNAPSHOT"]}]}}`:                false,
		`{"detail": {"SourceType": [{"anything-but": {"prefix": "CLUSTER"}}]}}`:                          false,
		`{"detail": {"SourceType": [{"anything-but": {"prefix": "SNAPSHOT"}}]}}`:                         true,
		`{"detail": {"Missing": [{"anything-but": {"prefix": "x"}}]}}`:                                   false,
		`{"detail": {"Missing": [{"anything-but": "x"}]}}`:                                               false,
		`{"detail": {"Missing": [{"exists": false}]}}`:                                                   true,
		`{"detail": {"EventID": [{"exists": true}]}}`:                                                    true,
		`{"detail": {"EventID": [{"exists": false}]}}`:                                                   false,
		`{"detail": [{"exists": true}]}`:                                                                 false, // of leaves only
		`{"detail": {"count": [3], "ok": [true], "none": [null]}}`:                                       true,
		`{"detail": {"count": ["3"]}}`:                                                                   false,
		`{"detail": {"list": {"a": [2]}}}`:                                                               true,
		`{"detail": {"EventID": {"deeper": ["x"]}}}`:                                                     false,
		`{"detail": {"Missing": [null]}}`:                                                                false,
	} {
		var v any
		if err := json.Unmarshal([]byte(pattern), &v); err != nil {
			t.Fatal(err)
		}
		p, err := compile(v, "")
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		if got := p.matches(event, true); got != want {
			t.Errorf("%s: got %v, want %v", pattern, got, want)
		}
	}
}

func TestPatternsThatAreNotKnownAreRefusedByName(t *testing.T) {
	for pattern, want := range map[string]string{
		`{"detail": {"a": [{"suffix": "x"}]}}`:                         `matcher "suffix" of event pattern detail.a`,
		`{"detail": {"a": [{"numeric": [">", 1]}]}}`:                   `matcher "numeric"`,
		`{"detail": {"a": [{"anything-but": {"suffix": "x"}}]}}`:       `matcher anything-but of event pattern detail.a`,
		`{"detail": {"a": [{"prefix": {"equals-ignore-case": "x"}}]}}`: `matcher "prefix"`,
		`{"detail": {"a": [{"exists": "true"}]}}`:                      `matcher "exists"`,
		`{"detail": {"a": [{"prefix": "x", "exists": true}]}}`:         `of event pattern detail.a is not known`,
		`{"$or": [{"source": ["a"]}]}`:                                 `$or of an event pattern`,
		`{"source": "aws.rds"}`:                                        `source. is neither an object nor a list`,
		`{"source": []}`:                                               `source. is empty`,
		`{"detail": {}}`:                                               `detail. is empty`,
		`{"source": [["aws.rds"]]}`:                                    `a list within a list`,
		`{"source": [{}]}`:                                             `an empty matcher`,
	} {
		var v any
		if err := json.Unmarshal([]byte(pattern), &v); err != nil {
			t.Fatal(err)
		}
		if _, err := compile(v, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", pattern, err, want)
		}
	}
}

func TestTransformersMakeInputs(t *testing.T) {
	e := Event{ID: "1", Source: "aws.rds", Time: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC), Detail: json.RawMessage(`{"EventID": "RDS-EVENT-0075", "Message": "said \"so\"", "n": 3, "o": {"a": 1}}`)}
	rule := &Rule{Name: "made", ARN: "arn:rule"}
	paths := map[string]string{"id": "$.detail.EventID", "message": "$.detail.Message", "n": "$.detail.n", "o": "$.detail.o", "gone": "$.detail.gone", "type": "$.detail-type"}
	for template, want := range map[string]string{
		`{"id": <id>, "n": <n>, "o": <o>, "gone": <gone>}`:                      `{"id": "RDS-EVENT-0075", "n": 3, "o": {"a":1}, "gone": null}`,
		`{"text": "event <id> says <message>, <n>, <gone>"}`:                    `{"text": "event RDS-EVENT-0075 says said \"so\", 3, "}`,
		`"<id> of <aws.events.rule-name> at <aws.events.event.ingestion-time>"`: `"RDS-EVENT-0075 of made at 2026-11-23T03:00:00Z"`,
		`{"rule": <aws.events.rule-arn>, "q": "\"<id>\"", "type": <type>}`:      `{"rule": "arn:rule", "q": "\"RDS-EVENT-0075\"", "type": ""}`,
	} {
		tr := transformer{InputPathsMap: paths, InputTemplate: template}
		if err := tr.check(); err != nil {
			t.Errorf("%s: %v", template, err)
		}
		if got, err := tr.apply(rule, e); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", template, got, err, want)
		}
	}
	for _, c := range []struct {
		transformer
		want string
	}{
		{transformer{InputTemplate: `{"a": <b>}`}, "variable <b>"},
		{transformer{InputPathsMap: map[string]string{"a": "$.list[0]"}}, "path $.list[0]"},
		{transformer{InputPathsMap: map[string]string{"awsome": "$.id"}}, "variable awsome"},
	} {
		if err := c.check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	broken := transformer{InputTemplate: `{"a": `}
	if _, err := broken.apply(rule, e); err == nil {
		t.Error("an input that is no JSON is handed on")
	}
}
