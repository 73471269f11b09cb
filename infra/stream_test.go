package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/config"
	"godwit/internal/local/asl"
)

// streams are the environments of the tests that have a stream.
func streams(t *testing.T, test func(t *testing.T, s *synthesis)) {
	t.Helper()
	tested := 0
	each(t, func(t *testing.T, s *synthesis) {
		if s.Environment.Stream != nil {
			tested++
			test(t, s)
		}
	})
	if tested < 5 {
		t.Errorf("%d environments have a stream, want demo, demo-dms, demo-dsql and two with a replication", tested)
	}
}

func TestStreamIsWhereAskedOnly(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		want := 0
		if s.Environment.Stream != nil {
			want = 1
		}
		for _, kind := range []string{"AWS::Kinesis::Stream", "AWS::Lambda::EventSourceMapping"} {
			if got := len(s.resources(kind)); got != want {
				t.Errorf("%d resources %s, want %d", got, kind, want)
			}
		}
		// The evidence outlives the stream, and a year if it is replaced.
		buckets := s.resources("AWS::S3::Bucket")
		i := slices.IndexFunc(buckets, func(r resource) bool { return r.ID == "Failures" && r.Stack == "data" })
		if i < 0 {
			t.Fatal("there is no bucket of failures")
		}
		text, _ := json.Marshal(at(buckets[i].Properties, "LifecycleConfiguration", "Rules"))
		if strings.Contains(string(text), "ExpirationInDays") || !strings.Contains(string(text), `"NoncurrentDays":365}`) {
			t.Errorf("failures expire by %s", text)
		}
	})
}

// A load may take days, and nothing may be lost meanwhile.
func TestStreamKeepsChangesAWeekAndTakesAnyRecord(t *testing.T) {
	streams(t, func(t *testing.T, s *synthesis) {
		k := s.resources("AWS::Kinesis::Stream")[0]
		for member, want := range map[string]any{"RetentionPeriodHours": 168.0, "MaxRecordSizeInKiB": 10240.0} {
			if got := k.Properties[member]; got != want {
				t.Errorf("stream: %s is %v, want %v", member, got, want)
			}
		}
		if at(k.Properties, "StreamModeDetails", "StreamMode") != "ON_DEMAND" || k.Properties["ShardCount"] != nil {
			t.Errorf("stream: mode %v, %v shards", k.Properties["StreamModeDetails"], k.Properties["ShardCount"])
		}
	})
}

func TestMappingLosesNothing(t *testing.T) {
	streams(t, func(t *testing.T, s *synthesis) {
		m := s.resources("AWS::Lambda::EventSourceMapping")[0].Properties
		for member, want := range map[string]any{
			// Only stream-enable begins it, from the oldest record there is.
			"Enabled": false, "StartingPosition": "TRIM_HORIZON",
			"BisectBatchOnFunctionError": true, "MaximumRetryAttempts": -1.0, "ParallelizationFactor": 1.0,
			"BatchSize": 10000.0, "MaximumBatchingWindowInSeconds": 1.0, "MaximumRecordAgeInSeconds": 518400.0,
		} {
			if got := m[member]; got != want {
				t.Errorf("mapping: %s is %v, want %v", member, got, want)
			}
		}
		kept := s.resources("AWS::Kinesis::Stream")[0].Properties["RetentionPeriodHours"].(float64) * 3600
		if age, _ := m["MaximumRecordAgeInSeconds"].(float64); age <= 0 || age > kept-24*3600 {
			t.Errorf("records are given up at %v s, the stream forgets them at %v s", age, kept)
		}
		for path, want := range map[string]string{
			"FunctionResponseTypes": `["ReportBatchItemFailures"]`, "MetricsConfig.Metrics": `["EventCount"]`,
			"DestinationConfig.OnFailure.Destination": "${Failures.Arn}", "EventSourceArn": "${Stream.Arn}", "FunctionName": "${StreamApply.Arn}",
		} {
			if got := s.text(at(m, strings.Split(path, ".")...)); got != want {
				t.Errorf("mapping: %s is %s, want %s", path, got, want)
			}
		}
		for _, other := range []string{"TumblingWindowInSeconds", "FilterCriteria"} {
			if m[other] != nil {
				t.Errorf("mapping: %s is %v", other, m[other])
			}
		}
	})
}

// Lambda reads the stream and writes failures as the function; what it lacks
// shows only once something fails.
func TestApplyMayWhatLambdaDoesInItsName(t *testing.T) {
	streams(t, func(t *testing.T, s *synthesis) {
		got := s.permissions("StreamApplyRole")
		for _, want := range []string{
			"kinesis:DescribeStream ${Stream.Arn}", "kinesis:DescribeStreamSummary ${Stream.Arn}", "kinesis:GetRecords ${Stream.Arn}",
			"kinesis:GetShardIterator ${Stream.Arn}", "kinesis:ListShards ${Stream.Arn}",
			"kms:Decrypt ${DataKey.Arn}", "kms:GenerateDataKey ${DataKey.Arn}",
			"s3:ListBucket ${Failures.Arn}", "s3:PutObject ${Failures.Arn}/aws/lambda/*",
			// Its own.
			"s3:PutObject ${Failures.Arn}/quarantine/*", "rds-data:ExecuteStatement " + s.clusterARN(), "secretsmanager:GetSecretValue ${LoaderSecret}",
			"lambda:UpdateEventSourceMapping ${Mapping.EventSourceMappingArn}",
		} {
			if !slices.Contains(got, want) {
				t.Errorf("stream-apply may not %s; it may %v", want, got)
			}
		}
	})
}

// clusterARN is the target's ARN as templates write it.
func (s *synthesis) clusterARN() string {
	if c := s.Environment.Cluster.Imported; c != nil {
		return c.ARN
	}
	return "arn:aws:rds:" + s.Environment.Region + ":" + s.account() + ":cluster:${Cluster}"
}

// permissions are what the policies of a role allow, an action and a resource each.
func (s *synthesis) permissions(role string) (list []string) {
	for _, p := range s.resources("AWS::IAM::Policy") {
		if !slices.Contains(s.texts(p.Properties["Roles"]), "${"+role+"}") {
			continue
		}
		for _, statement := range statements(p.Properties["PolicyDocument"]) {
			for _, action := range s.texts(statement["Action"]) {
				for _, resource := range s.texts(statement["Resource"]) {
					list = append(list, action+" "+resource)
				}
			}
		}
	}
	return list
}

// Who may have a stream applied, or no longer: by the one mapping's ARN.
func TestOnlyTheStreamsFunctionsTouchItsMapping(t *testing.T) {
	streams(t, func(t *testing.T, s *synthesis) {
		var got []string
		for _, r := range s.resources("AWS::IAM::Role") {
			for _, p := range s.permissions(r.ID) {
				if strings.Contains(p, "EventSourceMapping") {
					got = append(got, r.ID+" "+p)
				}
			}
		}
		slices.Sort(got)
		want := []string{
			"StreamApplyRole lambda:ListEventSourceMappings *",
			"StreamApplyRole lambda:UpdateEventSourceMapping ${Mapping.EventSourceMappingArn}",
			"StreamEnableRole lambda:UpdateEventSourceMapping ${Mapping.EventSourceMappingArn}",
			"StreamResumeRole lambda:UpdateEventSourceMapping ${Mapping.EventSourceMappingArn}",
			"StreamStatusRole lambda:GetEventSourceMapping ${Mapping.EventSourceMappingArn}",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("mappings are touched (-want +got):\n%s", diff)
		}
	})
}

// A service writes to the stream, and does nothing else; nobody else's resource
// of that service can make it.
func TestOneServiceMayWriteToTheStream(t *testing.T) {
	streams(t, func(t *testing.T, s *synthesis) {
		here := s.Environment.Region + ":" + s.account() + ":"
		want := map[string]struct{ role, principal, arn string }{
			sourceQLDB: {"QldbStreamRole", "qldb.amazonaws.com", "arn:aws:qldb:" + here + "stream/*"},
			sourceDMS:  {"WriterRole", "dms.amazonaws.com", "arn:aws:dms:" + here + "*"},
			sourceDSQL: {"WriterRole", "dsql.amazonaws.com", "arn:aws:dsql:" + here + "cluster/*/stream/*"},
		}[s.Environment.Stream.Source]
		var writers []string
		for _, r := range s.resources("AWS::IAM::Role") {
			may := s.permissions(r.ID)
			if !slices.Contains(may, "kinesis:PutRecords ${Stream.Arn}") {
				continue
			}
			writers = append(writers, r.ID)
			slices.Sort(may)
			if diff := cmp.Diff([]string{
				"kinesis:DescribeStream ${Stream.Arn}", "kinesis:DescribeStreamSummary ${Stream.Arn}", "kinesis:ListShards ${Stream.Arn}",
				"kinesis:PutRecord ${Stream.Arn}", "kinesis:PutRecords ${Stream.Arn}", "kms:GenerateDataKey ${DataKey.Arn}",
			}, may); diff != "" {
				t.Errorf("%s may (-want +got):\n%s", r, diff)
			}
			trust := statements(r.Properties["AssumeRolePolicyDocument"])
			if len(trust) != 1 || at(trust[0], "Principal", "Service") != want.principal ||
				s.text(at(trust[0], "Condition", "StringEquals", "aws:SourceAccount")) != s.account() ||
				s.text(at(trust[0], "Condition", "ArnLike", "aws:SourceArn")) != want.arn {
				t.Errorf("%s is trusted to %v", r, trust)
			}
		}
		if !slices.Equal(writers, []string{want.role}) {
			t.Errorf("the stream is written to by %v, want %s", writers, want.role)
		}
		for _, p := range s.resources("AWS::IAM::Policy") {
			for _, statement := range statements(p.Properties["PolicyDocument"]) {
				if p.ID == want.role+"DefaultPolicy" && s.text(statement["Action"]) == "kms:GenerateDataKey" &&
					s.text(at(statement, "Condition", "StringEquals", "kms:EncryptionContext:aws:kinesis:arn")) != "${Stream.Arn}" {
					t.Errorf("%s may use the key for more than the stream", p)
				}
			}
		}
	})
}

// The alarms that say what their metrics are of; that there are all is tested
// with the others.
func TestStreamsAlarmsWatchTheRightThings(t *testing.T) {
	streams(t, func(t *testing.T, s *synthesis) {
		want := map[string]string{
			"StreamStopped":         metricNamespace + " StreamStopped Function=${StreamApply}",
			"StreamLate":            "AWS/Lambda IteratorAge FunctionName=${StreamApply}",
			"FailuresDelivered":     "AWS/Lambda OnFailureDestinationDeliveredEventCount EventSourceMappingUUID=${Mapping.Id}",
			"FailuresDropped":       "AWS/Lambda DroppedEventCount EventSourceMappingUUID=${Mapping.Id}",
			"FailuresUndeliverable": "AWS/Lambda DestinationDeliveryFailures FunctionName=${StreamApply}",
			"Quarantined":           metricNamespace + " Quarantined Function=${StreamApply}",
			"StreamApplyErrors":     "AWS/Lambda Errors FunctionName=${StreamApply}",
		}
		for _, a := range s.resources("AWS::CloudWatch::Alarm") {
			if a.Stack != "stream" || want[a.ID] == "" {
				continue
			}
			dimensions, _ := a.Properties["Dimensions"].([]any)
			got := fmt.Sprint(a.Properties["Namespace"], " ", a.Properties["MetricName"])
			for _, d := range dimensions {
				got += " " + at(d, "Name").(string) + "=" + s.text(at(d, "Value"))
			}
			if got != want[a.ID] {
				t.Errorf("alarm %s watches %s, want %s", a, got, want[a.ID])
			}
			delete(want, a.ID)
		}
		for id := range want {
			t.Errorf("there is no alarm %s", id)
		}
	})
}

func TestDashboardShowsTheStream(t *testing.T) {
	streams(t, func(t *testing.T, s *synthesis) {
		want := []metric{
			{"AWS/Kinesis", "IncomingRecords", "${Stream}"},
			{"AWS/Kinesis", "WriteProvisionedThroughputExceeded", "${Stream}"},
			{"AWS/Lambda", "IteratorAge", "${StreamApply}"},
			{"AWS/RDS", "ServerlessDatabaseCapacity", s.cluster()},
		}
		for _, name := range []string{metricRows, metricHistory, metricSkipped, metricQuarantined, metricCalls, metricLagSeconds, metricLagBlocks, metricStopped} {
			want = append(want, metric{metricNamespace, name, "${StreamApply}"})
		}
		for _, name := range []string{"PolledEventCount", "FailedInvokeEventCount", "DroppedEventCount", "OnFailureDestinationDeliveredEventCount"} {
			want = append(want, metric{"AWS/Lambda", name, "${Mapping.Id}"})
		}
		for _, f := range s.resources("AWS::Lambda::Function") {
			if f.Stack == "stream" {
				want = append(want, metric{"AWS/Lambda", "Errors", "${" + f.ID + "}"}, metric{"AWS/Lambda", "Throttles", "${" + f.ID + "}"})
			}
		}
		s.shows(t, "stream", want)
	})
}

// What stream-apply refuses to do without, and what DMS would otherwise lose
// with no more than a line in its log.
func TestReplicationCarriesEverythingOrStops(t *testing.T) {
	for name, endpoint := range map[string]string{"imported": "${DmsSource}", "importedwithrole": "arn:aws:dms:eu-west-1:111122223333:endpoint:EXISTING"} {
		s := synthesize(t, name)
		for _, r := range s.resources("AWS::DMS::Endpoint") {
			if r.Properties["Password"] != nil || r.Properties["Username"] != nil {
				t.Errorf("%s holds a password", r)
			}
			if r.ID != "DmsTarget" {
				p := r.Properties["PostgreSqlSettings"]
				if r.Properties["SslMode"] != "require" || at(p, "PluginName") != "test_decoding" || at(p, "SlotName") != "godwit" || at(p, "SecretsManagerSecretId") == nil {
					t.Errorf("%s: %v", r, r.Properties)
				}
				continue
			}
			k := r.Properties["KinesisSettings"]
			for _, member := range []string{
				"IncludeTransactionDetails", "IncludePartitionValue", "IncludeNullAndEmpty", "IncludeTableAlterOperations", "IncludeControlDetails",
			} {
				if at(k, member) != true {
					t.Errorf("%s: %s is %v", r, member, at(k, member))
				}
			}
			if at(k, "MessageFormat") != "json-unformatted" || s.text(at(k, "StreamArn")) != "${Stream.Arn}" || s.text(at(k, "ServiceAccessRoleArn")) != "${WriterRole.Arn}" {
				t.Errorf("%s: %v", r, k)
			}
		}
		list := s.resources("AWS::DMS::ReplicationConfig")
		if len(list) != 1 {
			t.Fatalf("%s has %d replications, want 1", name, len(list))
		}
		p := list[0].Properties
		if p["ReplicationType"] != "cdc" || s.text(p["SourceEndpointArn"]) != endpoint || s.text(p["TargetEndpointArn"]) != "${DmsTarget}" {
			t.Errorf("%s: the replication is %v from %s to %s", name, p["ReplicationType"], s.text(p["SourceEndpointArn"]), s.text(p["TargetEndpointArn"]))
		}
		if got := s.text(at(p, "ReplicationSettings", "BeforeImageSettings")); got != `{"ColumnFilter":"all","EnableBeforeImage":true,"FieldName":"before-image"}` {
			t.Errorf("%s: before images are %s", name, got)
		}
		for _, policy := range []string{"DataErrorPolicy", "DataTruncationErrorPolicy", "TableErrorPolicy"} {
			if got := at(p, "ReplicationSettings", "ErrorBehavior", policy); got != "STOP_TASK" {
				t.Errorf("%s: %s is %v", name, policy, got)
			}
		}
		var rules struct {
			Rules []struct {
				Type    string            `json:"rule-type"`
				ID      string            `json:"rule-id"`
				Locator map[string]string `json:"object-locator"`
				Mapping map[string]string `json:"mapping-parameters"`
			}
		}
		text, _ := json.Marshal(p["TableMappings"])
		if err := json.Unmarshal(text, &rules); err != nil {
			t.Fatal(err)
		}
		ids, tables := map[string]bool{}, map[string]int{}
		for _, r := range rules.Rules {
			ids[r.ID] = true
			tables[r.Locator["schema-name"]+"."+r.Locator["table-name"]]++
			if r.Type == "object-mapping" && r.Mapping["partition-key-type"] != "primary-key" {
				t.Errorf("%s: rule %+v", name, r)
			}
		}
		want := 2 * len(s.Environment.Stream.DMS.Tables)
		if len(ids) != want || len(rules.Rules) != want || tables["public.%"] != 2 {
			t.Errorf("%s: rules %+v, want %d with ids of their own", name, rules.Rules, want)
		}
	}
	for _, name := range []string{"demo", "demo-dms", "demo-dsql"} {
		for _, r := range synthesize(t, name).resources("AWS::DMS::") {
			t.Errorf("%s has %s", name, r)
		}
	}
}

// The last thing that a load does, and only where it is asked for.
func TestLoadEnablesTheStreamLast(t *testing.T) {
	for _, c := range []struct {
		name  string
		input object
		want  bool
	}{
		{"asked for", object{"Bucket": "b", "EnableStream": true}, true},
		{"not asked for", object{"Bucket": "b"}, false},
		{"refused", object{"Bucket": "b", "EnableStream": false}, false},
		{"a plan", object{"Bucket": "b", "Mode": "plan", "EnableStream": true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := loading(t, 6)
			s.functions[config.StreamEnable] = answers(object{"Boundary": "block 7"})
			_, r := s.run(LedgerLoadDefinition, c.input)
			if r.Status != asl.Succeeded || !strings.Contains(string(r.Output), "as told") {
				t.Fatalf("the load %s: %v %s", r.Status, r.Error, r.Output)
			}
			order, times := s.called()
			if enabled := times[config.StreamEnable] == 1; enabled != c.want || enabled && order[len(order)-1] != config.StreamEnable {
				t.Errorf("called are %v", order)
			}
			if strings.Contains(string(r.Output), `"Stream":{"Boundary":"block 7"}`) != c.want {
				t.Errorf("the output is %s", r.Output)
			}
			if c.want {
				if p := s.payloads(config.StreamEnable)[0]; len(p) != 1 || p["LoadId"] != "l1" {
					t.Errorf("stream-enable is given %v", p)
				}
			}
		})
	}
}

// Not after hours of loading, and by the setting that is missing.
func TestLoadWithoutAStreamRefusesEnableStreamAtOnce(t *testing.T) {
	without := func(p DefinitionProps) (string, error) {
		delete(p.Functions, config.StreamEnable)
		return LedgerLoadDefinition(p)
	}
	s := loading(t, 6)
	_, r := s.run(without, object{"Bucket": "b", "EnableStream": true})
	if r.Status != asl.Failed || r.Error == nil || r.Error.Name != "StopNoStream" || !strings.Contains(r.Error.Cause, `"stream"`) {
		t.Errorf("the load %s: %v", r.Status, r.Error)
	}
	if order, _ := s.called(); len(order) > 0 {
		t.Errorf("called are %v", order)
	}
	s = loading(t, 6)
	if _, r := s.run(without, object{"Bucket": "b", "EnableStream": false}); r.Status != asl.Succeeded || !strings.Contains(string(r.Output), "as told") {
		t.Errorf("the load %s: %v %s", r.Status, r.Error, r.Output)
	}
	// A stream of DMS or Aurora DSQL continues no ledger.
	for name, want := range map[string]string{"demo": "Preflight", "demo-dms": "StreamWanted", "demo-dsql": "StreamWanted", "dev": "StreamWanted"} {
		if got := synthesize(t, name).definitions(t)["LedgerLoad"]["StartAt"]; got != want {
			t.Errorf("%s: LedgerLoad begins at %v, want %s", name, got, want)
		}
	}
}

// What CloudFormation has no resource for is printed, ready to run.
func TestStreamPrintsWhatAStackCannotDo(t *testing.T) {
	for name, want := range map[string]map[string]string{
		"demo-dsql": {"CreateStream": `aws dsql create-stream --region us-east-1 --cluster-identifier <cluster> --ordering UNORDERED --format JSON ` +
			`--target-definition '{"kinesis":{"streamArn":"${Stream.Arn}","roleArn":"${WriterRole.Arn}"}}'`},
		"demo-dms": {"WriterRoleArn": "${WriterRole.Arn}", "StreamStatusName": "${StreamStatus}"},
		"imported": {"StartReplication": "aws dms start-replication --region eu-west-1 --replication-config-arn ${Replication} " +
			"--start-replication-type start-replication --cdc-start-position <LSN>"},
	} {
		s := synthesize(t, name)
		for id, command := range want {
			if got := s.text(at(s.Templates["stream"]["Outputs"], id, "Value")); got != command {
				t.Errorf("%s: output %s is %s, want %s", name, id, got, command)
			}
		}
	}
}
