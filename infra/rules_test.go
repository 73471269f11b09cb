package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"godwit/internal/config"
)

// What must never change, in any environment.

func TestEveryStoreIsEncryptedAndPrivate(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		for _, b := range s.resources("AWS::S3::Bucket") {
			if b.Type != "AWS::S3::Bucket" {
				continue
			}
			rules, _ := at(b.Properties, "BucketEncryption", "ServerSideEncryptionConfiguration").([]any)
			if len(rules) != 1 {
				t.Errorf("bucket %s has no encryption", b)
				continue
			}
			algorithm := at(rules[0], "ServerSideEncryptionByDefault", "SSEAlgorithm")
			if want := map[string]string{"Work": "aws:kms", "Failures": "aws:kms", "Exports": "aws:kms", "AccessLogs": "AES256"}[b.ID]; algorithm != want {
				t.Errorf("bucket %s is encrypted with %v, want %s", b, algorithm, want)
			}
			for _, block := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
				if at(b.Properties, "PublicAccessBlockConfiguration", block) != true {
					t.Errorf("bucket %s does not set %s", b, block)
				}
			}
			if at(b.Properties, "VersioningConfiguration", "Status") != "Enabled" {
				t.Errorf("bucket %s keeps no versions", b)
			}
			if !s.refusesPlainHTTP(b.ID) {
				t.Errorf("bucket %s has no policy that denies requests without TLS", b)
			}
		}
		for _, k := range s.resources("AWS::Kinesis::Stream") {
			if at(k.Properties, "StreamEncryption", "EncryptionType") != "KMS" || s.text(at(k.Properties, "StreamEncryption", "KeyId")) != "${DataKey.Arn}" {
				t.Errorf("stream %s is not encrypted with the data key", k)
			}
		}
		for _, c := range s.resources("AWS::RDS::DBCluster") {
			if c.Properties["StorageEncrypted"] != true || s.text(c.Properties["KmsKeyId"]) != "${DataKey.Arn}" {
				t.Errorf("cluster %s is not encrypted with the data key", c)
			}
		}
		for _, c := range s.resources("AWS::DSQL::Cluster") {
			if s.text(c.Properties["KmsEncryptionKey"]) != "${DataKey.Arn}" {
				t.Errorf("cluster %s is not encrypted with the data key", c)
			}
		}
		for _, i := range s.resources("AWS::RDS::DBInstance") {
			if i.Properties["PubliclyAccessible"] != false {
				t.Errorf("instance %s may be reached from outside", i)
			}
		}
		for _, secret := range s.resources("AWS::SecretsManager::Secret") {
			if s.text(secret.Properties["KmsKeyId"]) != "${SecretsKey.Arn}" {
				t.Errorf("secret %s is not encrypted with the secrets' key", secret)
			}
		}
		for _, k := range s.resources("AWS::KMS::Key") {
			if k.Properties["EnableKeyRotation"] != true {
				t.Errorf("key %s does not rotate", k)
			}
		}
	})
}

func (s *synthesis) refusesPlainHTTP(bucket string) bool {
	for _, p := range s.resources("AWS::S3::BucketPolicy") {
		if s.text(p.Properties["Bucket"]) != "${"+bucket+"}" {
			continue
		}
		for _, statement := range statements(p.Properties["PolicyDocument"]) {
			if statement["Effect"] == "Deny" && s.text(statement["Action"]) == "s3:*" &&
				at(statement, "Condition", "Bool", "aws:SecureTransport") == "false" &&
				slices.Equal(s.texts(statement["Resource"]), []string{"${" + bucket + ".Arn}", "${" + bucket + ".Arn}/*"}) {
				return true
			}
		}
	}
	return false
}

func TestNothingIsReachableFromOutside(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		for _, kind := range []string{
			"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::SecurityGroupIngress", "AWS::EC2::EIP",
			"AWS::Lambda::Url",
		} {
			for _, r := range s.resources(kind) {
				t.Errorf("%s is a way in", r)
			}
		}
		for _, p := range s.resources("AWS::Lambda::Permission") {
			rule := s.text(p.Properties["SourceArn"])
			if p.Properties["Principal"] != "events.amazonaws.com" || rule != "${SnapshotMade.Arn}" && rule != "${Sweep.Arn}" || s.text(p.Properties["FunctionName"]) != "${SnapshotTrigger.Arn}" {
				t.Errorf("%s is a way in", p)
			}
		}
		for _, g := range s.resources("AWS::EC2::SecurityGroup") {
			if g.Properties["SecurityGroupIngress"] != nil {
				t.Errorf("security group %s admits %v", g, g.Properties["SecurityGroupIngress"])
			}
		}
	})
}

func TestDataIsRetainedWhereAsked(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		want := map[string]string{retain: "Retain", destroy: "Delete"}[s.Environment.Removal]
		for _, kind := range []string{
			"AWS::S3::Bucket", "AWS::KMS::Key", "AWS::Kinesis::Stream", "AWS::SecretsManager::Secret", "AWS::RDS::DBCluster", "AWS::DSQL::Cluster",
			// What the cluster runs in goes or stays with it.
			"AWS::RDS::DBInstance", "AWS::EC2::SecurityGroup", "AWS::EC2::Subnet", "AWS::EC2::VPC", "AWS::EC2::VPCEndpoint",
		} {
			for _, r := range s.resources(kind) {
				if r.Type != kind { // a bucket's policy
					continue
				}
				if r.Whole["DeletionPolicy"] != want || r.Whole["UpdateReplacePolicy"] != want {
					t.Errorf("%s: DeletionPolicy %v, UpdateReplacePolicy %v, want %s", r, r.Whole["DeletionPolicy"], r.Whole["UpdateReplacePolicy"], want)
				}
			}
		}
		for _, c := range s.resources("AWS::RDS::DBCluster") {
			if c.Properties["DeletionProtection"] != (s.Environment.Removal == retain) {
				t.Errorf("cluster %s: DeletionProtection %v with removal %s", c, c.Properties["DeletionProtection"], s.Environment.Removal)
			}
		}
		for _, c := range s.resources("AWS::DSQL::Cluster") {
			if c.Properties["DeletionProtectionEnabled"] != (s.Environment.Removal == retain) {
				t.Errorf("cluster %s: DeletionProtectionEnabled %v with removal %s", c, c.Properties["DeletionProtectionEnabled"], s.Environment.Removal)
			}
		}
	})
	if _, e := environment(t, "prod"); e.Removal != retain {
		t.Errorf("prod's removal is %s, want %s", e.Removal, retain)
	}
}

func TestPartsAndReceiptsExpireAndOldVersionsGo(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		for _, b := range s.resources("AWS::S3::Bucket") {
			if b.ID != "Work" || b.Type != "AWS::S3::Bucket" {
				continue
			}
			text, _ := json.Marshal(at(b.Properties, "LifecycleConfiguration", "Rules"))
			for _, want := range []string{
				`"ExpirationInDays":30`, `"Prefix":"parts/"`, `"Prefix":"receipts/"`, `"NoncurrentDays":1}`, `"NoncurrentDays":14}`, `"DaysAfterInitiation":7`, `"ExpiredObjectDeleteMarker":true`,
			} {
				if !strings.Contains(string(text), want) {
					t.Errorf("bucket %s: no %s among its lifecycle rules %s", b, want, text)
				}
			}
			for _, rule := range at(b.Properties, "LifecycleConfiguration", "Rules").([]any) {
				if at(rule, "ExpirationInDays") != nil && at(rule, "Prefix") != partsPrefix && at(rule, "Prefix") != receiptsPrefix {
					t.Errorf("bucket %s: rule %v removes more than parts and receipts", b, rule)
				}
			}
		}
	})
}

func TestFunctionsAreOursAndGivenExactlyWhatTheyRead(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		logs := map[string]bool{}
		for _, l := range s.resources("AWS::Logs::LogGroup") {
			logs["${"+l.ID+"}"] = l.Properties["RetentionInDays"] == float64(90) && s.text(l.Properties["KmsKeyId"]) == "${OperationsKey.Arn}"
			if !logs["${"+l.ID+"}"] {
				t.Errorf("log group %s is not kept for 90 days under the operations key", l)
			}
		}
		roles := map[string]bool{}
		list := s.resources("AWS::Lambda::Function")
		want := 0
		for _, f := range functions {
			route, _, _ := strings.Cut(f, "-")
			switch route {
			case "snapshot", "stream":
			default:
				route = "ledger"
			}
			if f == config.TargetProbe {
				route = "snapshot"
			}
			if s.Environment.has(route) && (f != config.SnapshotTrigger || len(s.Environment.Snapshot.Sources) > 0) {
				want++
			}
		}
		if len(list) != want {
			t.Errorf("%d functions, want %d", len(list), want)
		}
		for _, f := range list {
			p := f.Properties
			name := s.functionName(f)
			for member, want := range map[string]any{
				"Runtime": "provided.al2023", "Handler": "bootstrap", "MemorySize": float64(1769),
			} {
				if p[member] != want {
					t.Errorf("function %s: %s is %v, want %v", f, member, p[member], want)
				}
			}
			if got := s.text(p["Architectures"]); !strings.HasPrefix(s.Environment.Name, "demo") && got != `["arm64"]` {
				t.Errorf("function %s runs on %s", f, got)
			}
			if at(p, "TracingConfig", "Mode") != "Active" || at(p, "LoggingConfig", "LogFormat") != "JSON" {
				t.Errorf("function %s: tracing %v, log format %v", f, at(p, "TracingConfig", "Mode"), at(p, "LoggingConfig", "LogFormat"))
			}
			if !logs[s.text(at(p, "LoggingConfig", "LogGroup"))] {
				t.Errorf("function %s writes to no log group of ours", f)
			}
			if minutes := p["Timeout"].(float64) / 60; minutes < 1 || minutes > 15 {
				t.Errorf("function %s may run %v minutes", f, minutes)
			}
			role := s.text(p["Role"])
			if roles[role] {
				t.Errorf("function %s shares its role %s", f, role)
			}
			roles[role] = true
			variables, _ := at(p, "Environment", "Variables").(map[string]any)
			want := slices.Sorted(slices.Values(config.Needs(name)))
			if got := sortedKeys(variables); !slices.Contains(functions, name) || !slices.Equal(got, want) {
				t.Errorf("function %s (%s) is given %v, reads %v", f, name, got, want)
			}
			values := map[string]string{}
			for n, v := range variables {
				values[n] = s.text(v)
			}
			lookup := func(n string) (string, bool) { v, ok := values[n]; return v, ok }
			if _, err := config.Read(name, lookup); err != nil {
				t.Errorf("function %s cannot read what it is given: %v", f, err)
			}
		}
	})
}

// functionName is the folder of a function, which its asset was made from: the
// test's binaries hold their own names.
func (s *synthesis) functionName(f resource) string {
	key, _ := at(f.Properties, "Code", "S3Key").(string)
	text, err := os.ReadFile(filepath.Join(s.Dir, "asset."+strings.TrimSuffix(key, ".zip"), "bootstrap"))
	if err != nil {
		return ""
	}
	return string(text)
}

func TestNoCustomResources(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		for _, r := range s.resources("") {
			if strings.HasPrefix(r.Type, "Custom::") || r.Type == "AWS::CloudFormation::CustomResource" {
				t.Errorf("%s is a custom resource", r)
			}
		}
	})
}

func TestStacksReferOneWay(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		for i, stack := range stacks {
			text, _ := json.Marshal(s.Templates[stack])
			for _, later := range stacks[i:] {
				if strings.Contains(string(text), `"Fn::ImportValue":"godwit-`+s.Environment.Name+"-"+later) {
					t.Errorf("stack %s refers to %s", stack, later)
				}
			}
		}
	})
}

// QLDB is gone from AWS: nothing but the export of live ledgers may need it, and
// LedgerLoad and the stream are deployed without that. A ledger's stream may ask
// it, which is an action's name in a policy, and no principal.
func TestOnlyTheExportStackNeedsQLDB(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		for _, stack := range stacks {
			text, _ := json.Marshal(s.Templates[stack])
			if trusts := strings.Contains(string(text), "qldb.amazonaws.com"); trusts != (stack == "export" && s.Environment.has(stack)) {
				t.Errorf("stack %s trusts QLDB: %v", stack, trusts)
			}
			asks := stack == "export" && s.Environment.has(stack) || stack == "stream" && s.Environment.Stream != nil && s.Environment.Stream.Source == sourceQLDB
			if got := strings.Contains(string(text), "qldb:"); got != asks {
				t.Errorf("stack %s asks QLDB: %v", stack, got)
			}
		}
	})
}

// What deploy is given has no stream and no export unless the environment asks
// for them, and is otherwise the same.
func TestStacksAreDeployedWhereAskedOnly(t *testing.T) {
	for name, want := range map[string]struct{ stream, export bool }{
		"dev": {}, "prod": {}, "demo": {true, true}, "demo-dms": {stream: true}, "demo-dsql": {stream: true}, "demo-snapshot": {}, "demo-snapshot-dsql": {},
	} {
		t.Run(name, func(t *testing.T) {
			whole := synthesize(t, name)
			project, e := environment(t, name)
			dir := filepath.Join(scratch, name+"-deployed")
			app := NewApp(project.Context, filepath.Join(dir, "cdk.out"))
			if _, err := NewStacks(app, e, assets(t, dir)); err != nil {
				t.Fatal(err)
			}
			if err := Synth(app); err != nil {
				t.Fatal(err)
			}
			got, err := filepath.Glob(filepath.Join(dir, "cdk.out", "*.template.json"))
			if err != nil {
				t.Fatal(err)
			}
			deployed := 0
			for _, stack := range stacks {
				file := "godwit-" + name + "-" + stack + ".template.json"
				if stack == "export" && !want.export || stack == "stream" && !want.stream || !e.has(stack) {
					continue
				}
				deployed++
				text, err := os.ReadFile(filepath.Join(dir, "cdk.out", file))
				if err != nil {
					t.Fatal(err)
				}
				var template map[string]any
				if err := json.Unmarshal(text, &template); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(template, whole.Templates[stack]) {
					t.Errorf("stack %s is not deployed as it is reviewed", stack)
				}
			}
			if len(got) != deployed {
				t.Errorf("deployed are %v, want %d stacks", got, deployed)
			}
		})
	}
}

// A lookup would need credentials at synth, and would store what it found in a file.
func TestSynthLooksNothingUp(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		var manifest struct{ Missing []any }
		text, err := os.ReadFile(filepath.Join(s.Dir, "manifest.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &manifest); err != nil {
			t.Fatal(err)
		}
		if len(manifest.Missing) > 0 {
			t.Errorf("synth wants to look up %v", manifest.Missing)
		}
		if strings.Contains(string(text), "dummy") {
			t.Error("synth made values up that a lookup would have found")
		}
	})
}

func TestEverythingThatGoesWrongRaisesAnAlarmThatIsHeard(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		alarms := map[string]bool{}
		for _, a := range s.resources("AWS::CloudWatch::Alarm") {
			alarms[a.ID] = true
			if got := s.texts(a.Properties["AlarmActions"]); !slices.Equal(got, []string{"${Alarms}"}) {
				t.Errorf("alarm %s tells %v", a, got)
			}
			statistic := a.Properties["Statistic"]
			switch a.ID {
			case "StreamLate":
				statistic = map[any]any{"Maximum": "Sum"}[statistic]
			case "StreamUnread": // of two metrics
				statistic = "Sum"
			}
			missing := "notBreaching"
			if a.ID == "StreamStopped" { // nothing is applied, and nothing says so again
				missing = "ignore"
			}
			if statistic != "Sum" || a.Properties["TreatMissingData"] != missing {
				t.Errorf("alarm %s: statistic %v, missing data %v", a, a.Properties["Statistic"], a.Properties["TreatMissingData"])
			}
		}
		var wanted []string
		for stack, machine := range machines {
			if s.Environment.has(stack) {
				wanted = append(wanted, machine+"Failed", machine+"TimedOut", machine+"Aborted")
			}
		}
		if s.Environment.has("ledger") {
			wanted = append(wanted, "Quarantined")
		}
		if s.Environment.has("snapshot") {
			wanted = append(wanted, "Refused", "Differing")
		}
		for _, r := range s.resources("AWS::Events::Rule") {
			wanted = append(wanted, r.ID+"Undelivered")
		}
		if s.Environment.Stream != nil {
			wanted = append(wanted, "StreamStopped", "StreamLate", "StreamUnread", "FailuresDelivered", "FailuresDropped", "FailuresUndeliverable")
		}
		for _, f := range s.resources("AWS::Lambda::Function") {
			wanted = append(wanted, f.ID+"Errors", f.ID+"Throttles")
		}
		for _, w := range wanted {
			if !alarms[w] {
				t.Errorf("there is no alarm %s", w)
			}
		}
		for _, topic := range s.resources("AWS::SNS::Topic") {
			if topic.Type == "AWS::SNS::Topic" && s.text(topic.Properties["KmsMasterKeyId"]) != "${OperationsKey.Arn}" {
				t.Errorf("topic %s is not encrypted with the operations key", topic)
			}
		}
		if !s.admits("AWS::SNS::TopicPolicy", "AlarmsPolicy", "sns:Publish") {
			t.Error("the topic does not admit CloudWatch")
		}
		if !s.admits("AWS::KMS::Key", "OperationsKey", "kms:GenerateDataKey") || !s.admits("AWS::KMS::Key", "OperationsKey", "kms:Decrypt") {
			t.Error("the topic's key does not admit CloudWatch")
		}
		subscriptions := s.resources("AWS::SNS::Subscription")
		if (s.Environment.AlarmEmail != "") != (len(subscriptions) == 1) {
			t.Errorf("%d subscriptions for the address %q", len(subscriptions), s.Environment.AlarmEmail)
		}
	})
}

// admits reports whether the policy of a resource lets CloudWatch do something.
func (s *synthesis) admits(kind, id, action string) bool {
	for _, r := range s.resources(kind) {
		if r.ID != id {
			continue
		}
		document := r.Properties["PolicyDocument"]
		if document == nil {
			document = r.Properties["KeyPolicy"]
		}
		for _, statement := range statements(document) {
			if statement["Effect"] == "Allow" && slices.Contains(s.texts(at(statement, "Principal", "Service")), "cloudwatch.amazonaws.com") &&
				slices.Contains(s.texts(statement["Action"]), action) {
				return true
			}
		}
	}
	return false
}

func TestImportedClusterPrintsWhatAStackCannotDo(t *testing.T) {
	outputs := func(name string) map[string]string {
		s := synthesize(t, name)
		list := map[string]string{}
		for stack, template := range s.Templates {
			for id, o := range template["Outputs"].(map[string]any) {
				list[stack+"."+id] = s.text(o.(map[string]any)["Value"])
			}
		}
		return list
	}
	got := outputs("imported")
	for id, want := range map[string]string{
		"target.AttachImportRole": "aws rds add-role-to-db-cluster --region eu-west-1 --db-cluster-identifier existing --feature-name s3Import --role-arn ${ImportRole.Arn}",
		"target.EnableDataAPI":    "aws rds enable-http-endpoint --region eu-west-1 --resource-arn arn:aws:rds:eu-west-1:111122223333:cluster:existing",
		"target.ClusterArn":       "arn:aws:rds:eu-west-1:111122223333:cluster:existing",
		"data.WorkBucket":         "${Work}",
		"ledger.LedgerLoadArn":    "${LedgerLoad}",
		"prove.LedgerProveArn":    "${LedgerProve}",
		"export.LedgerExportArn":  "${LedgerExport}",
	} {
		if got[id] != want {
			t.Errorf("output %s is %q, want %q", id, got[id], want)
		}
	}
	if got := outputs("importedwithrole")["target.AttachImportRole"]; got != "" {
		t.Errorf("a role that is attached already is to be attached: %s", got)
	}
	s := synthesize(t, "importedwithrole")
	role := "arn:aws:iam::111122223333:role/existing-import"
	for _, kind := range []string{"AWS::S3::BucketPolicy", "AWS::KMS::Key"} {
		admitted := false
		for _, r := range s.resources(kind) {
			text, _ := json.Marshal(r.Properties)
			admitted = admitted || strings.Contains(string(text), role)
		}
		if !admitted {
			t.Errorf("no %s admits the role %s", kind, role)
		}
	}
}
