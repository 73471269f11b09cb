package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"godwit/internal/control"
	"godwit/internal/local/gateway"
	"godwit/internal/local/iam"
	"godwit/internal/local/kinesis"
)

const streamARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/changes"

// service answers calls of Kinesis and Lambda, and notes them.
func service(t *testing.T, answer func(call string, body map[string]any) (status int, text string)) (aws.Config, *[]string) {
	t.Helper()
	calls := &[]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		var body map[string]any
		_ = json.Unmarshal(raw, &body) // none in a GET
		call := r.Header.Get("X-Amz-Target")
		if call == "" {
			call = r.Method + " " + r.URL.RequestURI()
		}
		*calls = append(*calls, call)
		status, text := answer(call, body)
		w.Header().Set("Content-Type", "application/json")
		if status >= 400 {
			w.Header().Set("X-Amzn-Errortype", text)
			text = fmt.Sprintf(`{"__type":%q,"message":"no","Message":"no"}`, text)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}))
	t.Cleanup(s.Close)
	return aws.Config{
		Region: "eu-west-1", BaseEndpoint: &s.URL, Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	}, calls
}

func TestMappingIsFoundAmongPages(t *testing.T) {
	cfg, calls := service(t, func(call string, _ map[string]any) (int, string) {
		if !strings.Contains(call, "FunctionName=stream-apply") || !strings.Contains(call, "EventSourceArn=arn") {
			t.Errorf("called %s", call)
		}
		if !strings.Contains(call, "Marker=") {
			return 200, `{"NextMarker":"m","EventSourceMappings":[]}`
		}
		return 200, `{"EventSourceMappings":[{"UUID":"u1","EventSourceArn":"` + streamARN + `","State":"Enabled"}]}`
	})
	m := control.NewMappings(cfg)
	id, err := m.Find(t.Context(), "stream-apply", streamARN)
	if id != "u1" || err != nil || len(*calls) != 2 {
		t.Errorf("got %q, %v after %v", id, err, *calls)
	}
	if id, err := m.Find(t.Context(), "stream-apply", streamARN+"2"); id != "" || err != nil {
		t.Errorf("of another stream: %q, %v", id, err)
	}
}

func TestMappingIsTurnedOnAndOff(t *testing.T) {
	var told []any
	busy := false
	cfg, _ := service(t, func(call string, body map[string]any) (int, string) {
		switch {
		case busy:
			return 400, "ResourceInUseException"
		case strings.HasPrefix(call, "PUT /2015-03-31/event-source-mappings/u1"):
			told = append(told, body["Enabled"])
			return 202, `{"UUID":"u1","State":"Disabling"}`
		case strings.HasPrefix(call, "GET /2015-03-31/event-source-mappings/u1"):
			return 200, `{"UUID":"u1","State":"Disabling"}`
		}
		return 404, "ResourceNotFoundException"
	})
	m := control.NewMappings(cfg)
	for _, on := range []bool{true, false} {
		if err := m.Enable(t.Context(), "u1", on); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(told, []any{true, false}) {
		t.Errorf("told %v", told)
	}
	if state, err := m.State(t.Context(), "u1"); state != "Disabling" || err != nil {
		t.Errorf("state %q, %v", state, err)
	}
	if _, err := m.State(t.Context(), "u2"); err == nil || !strings.Contains(err.Error(), "get event source mapping u2") {
		t.Errorf("of none: %v", err)
	}
	busy = true
	if err := m.Enable(t.Context(), "u1", false); err == nil || !strings.Contains(err.Error(), "disable event source mapping u1") {
		t.Errorf("while it is changed: %v", err)
	}
}

// A shard is looked through to where nothing is behind, past reads that find
// nothing and such that come too often.
func TestUnreadCountsToTheEnd(t *testing.T) {
	reads, start := 0, ""
	answers := []string{
		`{"Records":[],"NextShardIterator":"i","MillisBehindLatest":9000}`,
		"busy",
		`{"Records":[{"SequenceNumber":"1","Data":"","PartitionKey":"k"},{"SequenceNumber":"2","Data":"","PartitionKey":"k"}],"NextShardIterator":"i","MillisBehindLatest":10}`,
		`{"Records":[{"SequenceNumber":"3","Data":"","PartitionKey":"k"}],"NextShardIterator":"i","MillisBehindLatest":0}`,
	}
	cfg, _ := service(t, func(call string, body map[string]any) (int, string) {
		switch call {
		case "Kinesis_20131202.ListShards":
			if body["NextToken"] == nil {
				return 200, `{"NextToken":"n","Shards":[{"ShardId":"s1","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"},"SequenceNumberRange":{"StartingSequenceNumber":"0"}}]}`
			}
			return 200, `{"Shards":[{"ShardId":"s2","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"},"SequenceNumberRange":{"StartingSequenceNumber":"0"}}]}`
		case "Kinesis_20131202.GetShardIterator":
			start = fmt.Sprint(body["ShardIteratorType"], " ", body["StartingSequenceNumber"])
			return 200, `{"ShardIterator":"i"}`
		case "Kinesis_20131202.GetRecords":
			a := answers[min(reads, len(answers)-1)]
			reads++
			if a == "busy" {
				return 400, "ProvisionedThroughputExceededException"
			}
			return 200, a
		}
		return 400, "InvalidArgumentException"
	})
	k := control.NewKinesis(cfg)
	k.Sleep = func(context.Context, time.Duration) error { return nil }
	if ids, err := k.Shards(t.Context(), streamARN); err != nil || !slices.Equal(ids, []string{"s1", "s2"}) {
		t.Errorf("shards %v, %v", ids, err)
	}
	n, more, _, err := k.Unread(t.Context(), streamARN, "s1", "77", 100)
	if n != 3 || more || err != nil || start != "AFTER_SEQUENCE_NUMBER 77" {
		t.Errorf("%d unread, more %t, %v; began at %s", n, more, err, start)
	}
	reads = 0
	if n, more, _, err = k.Unread(t.Context(), streamARN, "s1", "", 2); n != 2 || !more || err != nil || start != "TRIM_HORIZON <nil>" {
		t.Errorf("of two at most: %d unread, more %t, %v; began at %s", n, more, err, start)
	}
	answers = []string{`{"Records":[],"NextShardIterator":"i","MillisBehindLatest":9000}`}
	if n, more, _, err = k.Unread(t.Context(), streamARN, "s1", "", 2); n != 0 || !more || err != nil {
		t.Errorf("of a long shard: %d unread, more %t, %v", n, more, err)
	}
	answers = []string{`{"Records":[],"MillisBehindLatest":0}`} // closed
	if n, more, _, err = k.Unread(t.Context(), streamARN, "s1", "", 2); n != 0 || more || err != nil {
		t.Errorf("of a closed shard: %d unread, more %t, %v", n, more, err)
	}
}

// A stream that was made again does not know the sequence numbers of the one before:
// all that it holds is unread, and that is said.
func TestUnreadOfAStreamThatWasMadeAgainBeginsAtItsOldestRecord(t *testing.T) {
	last := ""
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for life := range 2 {
		s, err := kinesis.New(kinesis.Config{Account: "123456789012", Region: "eu-west-1", Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Create(kinesis.Stream{Name: "changes", Shards: 1}); err != nil {
			t.Fatal(err)
		}
		g, err := gateway.New(gateway.Config{Authorizer: iam.New("123456789012", "eu-west-1")})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		g.Register("kinesis", s)
		root, url := g.Root(), g.URL()
		k := control.NewKinesis(aws.Config{
			Region: "eu-west-1", BaseEndpoint: &url, Retryer: func() aws.Retryer { return aws.NopRetryer{} },
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: root.AccessKeyID, SecretAccessKey: root.SecretAccessKey, SessionToken: root.SessionToken}, nil
			}),
		})
		k.Sleep = func(context.Context, time.Duration) error { now = now.Add(time.Second); return nil }
		out, err := s.Put("changes", kinesis.Entry{PartitionKey: "k"}, kinesis.Entry{PartitionKey: "k"}, kinesis.Entry{PartitionKey: "k"})
		if err != nil {
			t.Fatal(err)
		}
		if life == 1 {
			n, more, foreign, err := k.Unread(t.Context(), streamARN, "shardId-000000000000", last, 100)
			if n != 3 || more || !foreign || err != nil {
				t.Errorf("of the stream before: %d unread, more %t, foreign %t, %v", n, more, foreign, err)
			}
		}
		last = out[1].Sequence
		n, more, foreign, err := k.Unread(t.Context(), streamARN, "shardId-000000000000", last, 100)
		if n != 1 || more || foreign || err != nil {
			t.Errorf("of this stream: %d unread, more %t, foreign %t, %v", n, more, foreign, err)
		}
		now = now.Add(time.Hour)
	}
}
