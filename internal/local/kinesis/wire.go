package kinesis

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"godwit/internal/local/gateway"
)

// target is the prefix of X-Amz-Target.
const target = "Kinesis_20131202."

// An operation answers a request with what becomes the body, or with an *Error.
type operation func(s *Service, in request) (any, error)

// served are the operations that local knows, with how.
var served = map[string]operation{
	"PutRecord":             (*Service).putRecord,
	"PutRecords":            (*Service).putRecords,
	"ListShards":            (*Service).listShards,
	"DescribeStream":        (*Service).describeStream,
	"DescribeStreamSummary": (*Service).describeStream,
	"GetShardIterator":      (*Service).getShardIterator,
	"GetRecords":            (*Service).getRecords,
}

// A request has the members of all operations that are served; a member of
// another operation is refused as one that is not known.
type request struct {
	operation string

	StreamName, StreamARN string

	Data                      []byte
	PartitionKey              string
	ExplicitHashKey           string
	SequenceNumberForOrdering string // numbers always grow here
	Records                   []Entry

	ShardId, ShardIteratorType, StartingSequenceNumber string
	Timestamp                                          float64
	ShardIterator                                      string
	Limit                                              int

	NextToken, ExclusiveStartShardId string
	MaxResults                       int
	ShardFilter                      *struct {
		Type, ShardId string
		Timestamp     float64
	}
}

func parse(r *http.Request, body []byte) (request, error) {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), target)
	if !ok {
		return request{}, fmt.Errorf("no kinesis operation in X-Amz-Target %q", r.Header.Get("X-Amz-Target"))
	}
	if served[name] == nil {
		return request{}, fmt.Errorf("kinesis:%s is not served by the local Kinesis", name)
	}
	in := request{operation: name}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return request{}, fmt.Errorf("parse kinesis:%s: %w", name, err)
	}
	return in, nil
}

// stream is the stream that a request names: by ARN, by name or by iterator.
func (s *Service) stream(in request) string {
	switch {
	case in.StreamARN != "":
		return in.StreamARN
	case in.StreamName != "":
		return in.StreamName
	case in.ShardIterator != "":
		if it, err := parseIterator(in.ShardIterator); err == nil {
			return it.Stream
		}
	case in.NextToken != "":
		if name, _, ok := openToken(in.NextToken); ok {
			return name
		}
	}
	return ""
}

// Describe implements gateway.Service.
func (s *Service) Describe(r *http.Request, body []byte) ([]gateway.Call, error) {
	in, err := parse(r, body)
	if err != nil {
		return nil, err
	}
	return s.Calls(in.operation, s.stream(in)), nil
}

// Calls returns what IAM must allow for an operation on a stream: the action
// and, where the stream has a customer's key, what Kinesis does with that.
// https://docs.aws.amazon.com/streams/latest/dev/permissions-user-key-KMS.html
func (s *Service) Calls(operation, streamID string) []gateway.Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	arn := streamID
	if !strings.HasPrefix(arn, "arn:") {
		arn = s.arn(streamID)
	}
	calls := []gateway.Call{{Service: "kinesis", Action: "kinesis:" + operation, Resources: []string{arn}}}
	st, err := s.find(streamID)
	if err != nil || st.KMSKey == "" {
		return calls
	}
	use := map[string]string{"PutRecord": "kms:GenerateDataKey", "PutRecords": "kms:GenerateDataKey", "GetRecords": "kms:Decrypt"}[operation]
	if use != "" {
		calls = append(calls, gateway.Call{Service: "kinesis", Action: use, Resources: []string{st.KMSKey}, Condition: map[string]string{
			"kms:ViaService": "kinesis." + s.config.Region + ".amazonaws.com", "kms:EncryptionContext:aws:kinesis:arn": arn,
		}})
	}
	return calls
}

// ServeHTTP implements gateway.Service.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := s.serve(r)
	status := http.StatusOK
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{"InternalFailureException", err.Error()}
		}
		status, out = http.StatusBadRequest, map[string]string{"__type": e.Code, "message": e.Message}
		if strings.HasPrefix(e.Code, "InternalFailure") {
			status = http.StatusInternalServerError
		}
		w.Header().Set("X-Amzn-Errortype", e.Code)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // a caller that is gone needs no answer
}

func (s *Service) serve(r *http.Request) (any, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, &Error{"SerializationException", err.Error()}
	}
	in, err := parse(r, body)
	if err != nil {
		return nil, &Error{"SerializationException", err.Error()}
	}
	if s.stream(in) == "" && in.operation != "GetRecords" {
		return nil, invalid("Either StreamARN or StreamName must be provided")
	}
	return served[in.operation](s, in)
}

func (s *Service) encryption(streamID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, err := s.find(streamID); err == nil && st.KMSKey != "" {
		return "KMS"
	}
	return "NONE"
}

func (s *Service) putRecord(in request) (any, error) {
	results, err := s.Put(s.stream(in), Entry{PartitionKey: in.PartitionKey, ExplicitHashKey: in.ExplicitHashKey, Data: in.Data})
	if err != nil {
		return nil, err
	}
	if r := results[0]; r.Code != "" {
		return nil, &Error{r.Code, r.Message}
	}
	return map[string]any{"ShardId": results[0].ShardID, "SequenceNumber": results[0].Sequence, "EncryptionType": s.encryption(s.stream(in))}, nil
}

func (s *Service) putRecords(in request) (any, error) {
	results, err := s.Put(s.stream(in), in.Records...)
	if err != nil {
		return nil, err
	}
	failed, list := 0, []map[string]string{}
	for _, r := range results {
		if r.Code != "" {
			failed++
			list = append(list, map[string]string{"ErrorCode": r.Code, "ErrorMessage": r.Message})
			continue
		}
		list = append(list, map[string]string{"ShardId": r.ShardID, "SequenceNumber": r.Sequence})
	}
	return map[string]any{"FailedRecordCount": failed, "Records": list, "EncryptionType": s.encryption(s.stream(in))}, nil
}

func (s *Service) getShardIterator(in request) (any, error) {
	it, err := s.Iterator(s.stream(in), in.ShardId, Start{Type: in.ShardIteratorType, Sequence: in.StartingSequenceNumber, Timestamp: moment(in.Timestamp)})
	return map[string]string{"ShardIterator": it}, err
}

func (s *Service) getRecords(in request) (any, error) {
	read, err := s.Records(in.ShardIterator, in.Limit)
	if err != nil {
		return nil, err
	}
	kind := s.encryption(s.stream(in))
	records := []map[string]any{}
	for _, r := range read.Records {
		records = append(records, map[string]any{
			"SequenceNumber": r.Sequence, "PartitionKey": r.PartitionKey, "Data": r.Data, "ApproximateArrivalTimestamp": seconds(r.Arrival), "EncryptionType": kind,
		})
	}
	out := map[string]any{"Records": records, "MillisBehindLatest": read.Behind.Milliseconds()}
	if read.Next != "" {
		out["NextShardIterator"] = read.Next
		return out, nil
	}
	children := []map[string]any{}
	for _, c := range read.Children {
		children = append(children, map[string]any{"ShardId": c.ID, "ParentShards": c.Parents, "HashKeyRange": hashRange(c)})
	}
	out["ChildShards"] = children
	return out, nil
}

func (s *Service) describeStream(in request) (any, error) {
	shards, err := s.Shards(s.stream(in))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(s.stream(in))
	if err != nil {
		return nil, err
	}
	mode := "PROVISIONED"
	if st.OnDemand {
		mode = "ON_DEMAND"
	}
	d := map[string]any{
		"StreamName": st.Name, "StreamARN": st.arn, "StreamStatus": "ACTIVE", "StreamCreationTimestamp": seconds(st.created),
		"RetentionPeriodHours": int(st.Retention / time.Hour), "StreamModeDetails": map[string]string{"StreamMode": mode},
		"EnhancedMonitoring": []any{map[string]any{"ShardLevelMetrics": []string{}}}, "EncryptionType": "NONE",
	}
	if st.KMSKey != "" {
		d["EncryptionType"], d["KeyId"] = "KMS", st.KMSKey
	}
	if in.operation == "DescribeStreamSummary" {
		open := 0
		for _, sh := range shards {
			if sh.EndNumber == "" {
				open++
			}
		}
		d["OpenShardCount"], d["ConsumerCount"], d["MaxRecordSizeInKiB"] = open, 0, st.MaxRecordKiB
		return map[string]any{"StreamDescriptionSummary": d}, nil
	}
	most := in.Limit
	if most == 0 {
		most = 100
	}
	list := after(shards, in.ExclusiveStartShardId)
	d["HasMoreShards"] = len(list) > most
	d["Shards"] = shapes(list[:min(most, len(list))])
	return map[string]any{"StreamDescription": d}, nil
}

// listShards pages by the last shard of a page: a later one sorts behind it.
func (s *Service) listShards(in request) (any, error) {
	if in.NextToken != "" {
		if in.StreamName != "" || in.StreamARN != "" || in.ExclusiveStartShardId != "" {
			return nil, invalid("NextToken and StreamName cannot be provided together.")
		}
		name, last, ok := openToken(in.NextToken)
		if !ok {
			return nil, invalid("NextToken is invalid.")
		}
		in.StreamName, in.ExclusiveStartShardId = name, last
	}
	shards, err := s.Shards(s.stream(in))
	if err != nil {
		return nil, err
	}
	if f := in.ShardFilter; f != nil {
		at := moment(f.Timestamp)
		switch f.Type {
		case "FROM_TRIM_HORIZON":
		case "AT_TRIM_HORIZON": // those that had no parent then
			kept := slices.Clone(shards)
			shards = slices.DeleteFunc(shards, func(sh Shard) bool {
				return slices.ContainsFunc(kept, func(parent Shard) bool { return slices.Contains(sh.Parents, parent.ID) })
			})
		case "AFTER_SHARD_ID":
			shards = after(shards, f.ShardId)
		case "AT_LATEST":
			shards = slices.DeleteFunc(shards, func(sh Shard) bool { return sh.EndNumber != "" })
		case "AT_TIMESTAMP", "FROM_TIMESTAMP":
			shards = slices.DeleteFunc(shards, func(sh Shard) bool {
				return sh.EndNumber != "" && sh.Closed.Before(at) || f.Type == "AT_TIMESTAMP" && sh.Created.After(at)
			})
		default:
			return nil, invalid("ShardFilter type %s is not one that there is.", f.Type)
		}
	}
	most := in.MaxResults
	if most == 0 {
		most = 1000
	}
	list := after(shards, in.ExclusiveStartShardId)
	out := map[string]any{"Shards": shapes(list[:min(most, len(list))])}
	if len(list) > most {
		out["NextToken"] = token(s.stream(in), list[most-1].ID)
	}
	return out, nil
}

func after(shards []Shard, id string) []Shard {
	return slices.DeleteFunc(slices.Clone(shards), func(sh Shard) bool { return sh.ID <= id })
}

func token(stream, shard string) string {
	return base64.StdEncoding.EncodeToString([]byte(stream + "\n" + shard))
}

func openToken(text string) (stream, shard string, ok bool) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(b), "\n")
}

func hashRange(sh Shard) map[string]string {
	return map[string]string{"StartingHashKey": sh.FirstHash, "EndingHashKey": sh.LastHash}
}

func shapes(shards []Shard) []map[string]any {
	list := []map[string]any{}
	for _, sh := range shards {
		numbers := map[string]string{"StartingSequenceNumber": sh.StartNumber}
		if sh.EndNumber != "" {
			numbers["EndingSequenceNumber"] = sh.EndNumber
		}
		shape := map[string]any{"ShardId": sh.ID, "HashKeyRange": hashRange(sh), "SequenceNumberRange": numbers}
		if len(sh.Parents) > 0 {
			shape["ParentShardId"] = sh.Parents[0]
		}
		if len(sh.Parents) > 1 {
			shape["AdjacentParentShardId"] = sh.Parents[1]
		}
		list = append(list, shape)
	}
	return list
}

// seconds is a time as awsJson1.1 writes it, to the millisecond.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// moment is a time as awsJson1.1 writes it.
func moment(seconds float64) time.Time { return time.UnixMilli(int64(math.Round(seconds * 1000))) }
