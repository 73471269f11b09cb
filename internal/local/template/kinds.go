package template

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// A kind says what Ref and GetAtt give for one resource type. The texts hold
// placeholders: {name} the physical name, {uuid}, {hex} (17 digits), {id} (a
// generated name), {six} and {dsql} (26 lower-case letters and digits) are made
// from stack and logical id; {account}, {region}, {stack}; {=Property} is the
// resolved property of that name, with {=Property|default} when it may be absent.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/ lists
// the return values of every type.
type kind struct {
	name  string            // the property that holds the physical name, "" for none
	max   int               // longest generated name, in characters; 0 is no limit
	lower bool              // generated names are lower case
	ref   string            // what Ref gives
	attr  map[string]string // what GetAtt gives
}

var kinds = map[string]kind{
	"AWS::CDK::Metadata": {ref: "{id}"},

	"AWS::S3::Bucket": {name: "BucketName", max: 63, lower: true, ref: "{name}", attr: map[string]string{
		"Arn": "arn:aws:s3:::{name}", "DomainName": "{name}.s3.amazonaws.com",
		"RegionalDomainName": "{name}.s3.{region}.amazonaws.com", "DualStackDomainName": "{name}.s3.dualstack.{region}.amazonaws.com",
	}},
	"AWS::S3::BucketPolicy": {ref: "{=Bucket}"},

	"AWS::KMS::Key":   {ref: "{uuid}", attr: map[string]string{"Arn": "arn:aws:kms:{region}:{account}:key/{uuid}", "KeyId": "{uuid}"}},
	"AWS::KMS::Alias": {ref: "{=AliasName}"},

	"AWS::IAM::Role": {name: "RoleName", max: 64, ref: "{name}", attr: map[string]string{
		"Arn": "arn:aws:iam::{account}:role{=Path|/}{name}", "RoleId": "AROA{id}",
	}},
	"AWS::IAM::Policy": {ref: "{id}", attr: map[string]string{"Id": "{id}"}},
	"AWS::IAM::ManagedPolicy": {name: "ManagedPolicyName", max: 128, ref: "arn:aws:iam::{account}:policy{=Path|/}{name}", attr: map[string]string{
		"PolicyArn": "arn:aws:iam::{account}:policy{=Path|/}{name}", "PolicyId": "ANPA{id}",
	}},

	"AWS::Lambda::Function": {name: "FunctionName", max: 64, ref: "{name}", attr: map[string]string{
		"Arn": "arn:aws:lambda:{region}:{account}:function:{name}",
	}},
	"AWS::Lambda::Permission":         {ref: "{id}"},
	"AWS::Lambda::EventInvokeConfig":  {ref: "{id}"},
	"AWS::Lambda::EventSourceMapping": {ref: "{uuid}", attr: map[string]string{"Id": "{uuid}", "EventSourceMappingArn": "arn:aws:lambda:{region}:{account}:event-source-mapping:{uuid}"}},
	"AWS::Lambda::Version": {ref: "arn:aws:lambda:{region}:{account}:function:{=FunctionName}:1", attr: map[string]string{
		"Version": "1", "FunctionArn": "arn:aws:lambda:{region}:{account}:function:{=FunctionName}:1",
	}},
	"AWS::Lambda::Alias": {ref: "arn:aws:lambda:{region}:{account}:function:{=FunctionName}:{=Name}", attr: map[string]string{
		"AliasArn": "arn:aws:lambda:{region}:{account}:function:{=FunctionName}:{=Name}",
	}},

	"AWS::Logs::LogGroup": {name: "LogGroupName", max: 512, ref: "{name}", attr: map[string]string{
		"Arn": "arn:aws:logs:{region}:{account}:log-group:{name}:*",
	}},
	"AWS::Logs::MetricFilter":    {ref: "{id}"},
	"AWS::Logs::ResourcePolicy":  {ref: "{=PolicyName}"},
	"AWS::Logs::QueryDefinition": {ref: "{uuid}", attr: map[string]string{"QueryDefinitionId": "{uuid}"}},

	"AWS::SNS::Topic": {name: "TopicName", max: 256, ref: "arn:aws:sns:{region}:{account}:{name}", attr: map[string]string{
		"TopicArn": "arn:aws:sns:{region}:{account}:{name}", "TopicName": "{name}",
	}},
	"AWS::SNS::TopicPolicy":  {ref: "{id}", attr: map[string]string{"Id": "{id}"}},
	"AWS::SNS::Subscription": {ref: "{=TopicArn}:{uuid}", attr: map[string]string{"Arn": "{=TopicArn}:{uuid}"}},

	"AWS::CloudWatch::Alarm": {name: "AlarmName", max: 255, ref: "{name}", attr: map[string]string{
		"Arn": "arn:aws:cloudwatch:{region}:{account}:alarm:{name}",
	}},
	"AWS::CloudWatch::CompositeAlarm": {name: "AlarmName", max: 255, ref: "{name}", attr: map[string]string{
		"Arn": "arn:aws:cloudwatch:{region}:{account}:alarm:{name}",
	}},
	"AWS::CloudWatch::Dashboard": {name: "DashboardName", max: 255, ref: "{name}"},

	"AWS::Events::Rule": {name: "Name", max: 64, ref: "{name}", attr: map[string]string{
		"Arn": "arn:aws:events:{region}:{account}:rule/{name}",
	}},
	"AWS::Scheduler::Schedule": {name: "Name", max: 64, ref: "{name}", attr: map[string]string{
		"Arn": "arn:aws:scheduler:{region}:{account}:schedule/{=GroupName|default}/{name}",
	}},

	"AWS::SQS::Queue": {name: "QueueName", max: 80, ref: "https://sqs.{region}.amazonaws.com/{account}/{name}", attr: map[string]string{
		"Arn": "arn:aws:sqs:{region}:{account}:{name}", "QueueName": "{name}", "QueueUrl": "https://sqs.{region}.amazonaws.com/{account}/{name}",
	}},
	"AWS::SQS::QueuePolicy": {ref: "{id}", attr: map[string]string{"Id": "{id}"}},

	"AWS::DSQL::Cluster": {ref: "{dsql}", attr: map[string]string{
		"Identifier": "{dsql}", "ResourceArn": "arn:aws:dsql:{region}:{account}:cluster/{dsql}", "Endpoint": "{dsql}.dsql.{region}.on.aws", "Status": "ACTIVE",
		"VpcEndpoint": "{dsql}.dsql-{six}.{region}.on.aws", "VpcEndpointServiceName": "com.amazonaws.{region}.dsql-{six}",
	}},

	"AWS::StepFunctions::StateMachine": {name: "StateMachineName", max: 80, ref: "arn:aws:states:{region}:{account}:stateMachine:{name}", attr: map[string]string{
		"Arn": "arn:aws:states:{region}:{account}:stateMachine:{name}", "Name": "{name}", "StateMachineRevisionId": "INITIAL",
	}},

	"AWS::RDS::DBCluster": {name: "DBClusterIdentifier", max: 63, lower: true, ref: "{name}", attr: map[string]string{
		"DBClusterArn":        "arn:aws:rds:{region}:{account}:cluster:{name}",
		"DBClusterResourceId": "cluster-{id}",
		"Endpoint.Address":    "{name}.cluster-{six}.{region}.rds.amazonaws.com", "Endpoint.Port": "{=Port|5432}", "Endpoint": "{name}.cluster-{six}.{region}.rds.amazonaws.com",
		"ReadEndpoint.Address":       "{name}.cluster-ro-{six}.{region}.rds.amazonaws.com",
		"MasterUserSecret.SecretArn": "arn:aws:secretsmanager:{region}:{account}:secret:rds!cluster-{uuid}-{six}",
	}},
	"AWS::RDS::DBInstance": {name: "DBInstanceIdentifier", max: 63, lower: true, ref: "{name}", attr: map[string]string{
		"DBInstanceArn": "arn:aws:rds:{region}:{account}:db:{name}", "DbiResourceId": "db-{id}",
		"Endpoint.Address": "{name}.{six}.{region}.rds.amazonaws.com", "Endpoint.Port": "{=Port|5432}",
	}},
	"AWS::RDS::DBSubnetGroup":           {name: "DBSubnetGroupName", max: 255, lower: true, ref: "{name}"},
	"AWS::RDS::DBClusterParameterGroup": {name: "DBClusterParameterGroupName", max: 255, lower: true, ref: "{name}"},
	"AWS::RDS::DBParameterGroup":        {name: "DBParameterGroupName", max: 255, lower: true, ref: "{name}", attr: map[string]string{"DBParameterGroupName": "{name}"}},

	"AWS::SecretsManager::Secret": {name: "Name", max: 512, ref: "arn:aws:secretsmanager:{region}:{account}:secret:{name}-{six}", attr: map[string]string{
		"Id": "arn:aws:secretsmanager:{region}:{account}:secret:{name}-{six}",
	}},
	"AWS::SecretsManager::SecretTargetAttachment": {ref: "{=SecretId}", attr: map[string]string{"Id": "{=SecretId}"}},
	"AWS::SecretsManager::ResourcePolicy":         {ref: "{=SecretId}", attr: map[string]string{"Id": "{=SecretId}"}},

	"AWS::SSM::Parameter": {name: "Name", max: 2048, ref: "{name}", attr: map[string]string{"Type": "{=Type}", "Value": "{=Value}"}},

	"AWS::DMS::Endpoint":               {ref: "arn:aws:dms:{region}:{account}:endpoint:{uuid}"},
	"AWS::DMS::ReplicationConfig":      {ref: "arn:aws:dms:{region}:{account}:replication-config:{uuid}"},
	"AWS::DMS::ReplicationSubnetGroup": {name: "ReplicationSubnetGroupIdentifier", max: 255, lower: true, ref: "{name}"},

	"AWS::Kinesis::Stream": {name: "Name", max: 128, ref: "{name}", attr: map[string]string{"Arn": "arn:aws:kinesis:{region}:{account}:stream/{name}"}},

	"AWS::EC2::VPC": {ref: "vpc-{hex}", attr: map[string]string{
		"VpcId": "vpc-{hex}", "CidrBlock": "{=CidrBlock}", "DefaultSecurityGroup": "sg-{hex}", "DefaultNetworkAcl": "acl-{hex}",
	}},
	"AWS::EC2::Subnet": {ref: "subnet-{hex}", attr: map[string]string{
		"SubnetId": "subnet-{hex}", "AvailabilityZone": "{=AvailabilityZone|{region}a}", "CidrBlock": "{=CidrBlock}", "VpcId": "{=VpcId}",
	}},
	"AWS::EC2::RouteTable":                  {ref: "rtb-{hex}", attr: map[string]string{"RouteTableId": "rtb-{hex}"}},
	"AWS::EC2::Route":                       {ref: "{id}"},
	"AWS::EC2::SubnetRouteTableAssociation": {ref: "rtbassoc-{hex}", attr: map[string]string{"Id": "rtbassoc-{hex}"}},
	"AWS::EC2::SecurityGroup":               {ref: "sg-{hex}", attr: map[string]string{"GroupId": "sg-{hex}", "Id": "sg-{hex}", "VpcId": "{=VpcId}"}},
	"AWS::EC2::SecurityGroupIngress":        {ref: "sgr-{hex}", attr: map[string]string{"Id": "sgr-{hex}"}},
	"AWS::EC2::SecurityGroupEgress":         {ref: "sgr-{hex}", attr: map[string]string{"Id": "sgr-{hex}"}},
	"AWS::EC2::VPCEndpoint":                 {ref: "vpce-{hex}", attr: map[string]string{"Id": "vpce-{hex}"}},
	"AWS::EC2::FlowLog":                     {ref: "fl-{hex}", attr: map[string]string{"Id": "fl-{hex}"}},
}

// name gives a resource its id and attributes, once.
func (r *resolver) name(res *Resource) error {
	if res.Attributes != nil {
		return nil
	}
	res.Attributes = map[string]any{} // also ends a cycle of names: the second visitor sees no id
	k, d := kinds[res.Type], r.doc.Resources[res.LogicalID]
	physical := generated(res, k)
	if given, ok := d.Properties[k.name]; ok && k.name != "" {
		text, err := r.quiet(given, k.name)
		if err != nil {
			return err
		}
		physical = text
		if k.lower {
			physical = strings.ToLower(physical)
		}
	}
	fill := func(form string) (string, error) { return r.fill(form, res, physical) }
	var err error
	if res.ID, err = fill(k.ref); err != nil {
		return err
	}
	if res.ID == "" {
		return fmt.Errorf("%s %s: its name refers to itself", res.Type, res.LogicalID)
	}
	for name, form := range k.attr {
		if res.Attributes[name], err = fill(form); err != nil {
			return err
		}
	}
	return nil
}

// quiet resolves a naming property without noting references: the references
// are noted when the properties themselves are resolved.
func (r *resolver) quiet(v any, where string) (string, error) {
	references := r.references
	r.references = nil
	defer func() { r.references = references }()
	return r.text(v, where)
}

var placeholder = regexp.MustCompile(`\{(=?)([A-Za-z]+)(?:\|((?:[^{}]|\{[a-z]+\})*))?\}`)

func (r *resolver) fill(form string, res *Resource, physical string) (string, error) {
	var failed error
	out := placeholder.ReplaceAllStringFunc(form, func(m string) string {
		part := placeholder.FindStringSubmatch(m)
		if part[1] == "=" {
			v, ok := r.doc.Resources[res.LogicalID].Properties[part[2]]
			if !ok && strings.Contains(m, "|") {
				text, err := r.fill(part[3], res, physical)
				if err != nil && failed == nil {
					failed = err
				}
				return text
			}
			if !ok && failed == nil {
				failed = fmt.Errorf("%s %s needs the property %s", res.Type, res.LogicalID, part[2])
				return ""
			}
			text, err := r.quiet(v, part[2])
			if err != nil && failed == nil {
				failed = err
			}
			return text
		}
		key := res.Type + "/" + res.LogicalID
		switch part[2] {
		case "name":
			return physical
		case "id":
			return generated(res, kind{})
		case "uuid":
			return uuid(res.Stack.Name, key)
		case "hex":
			return digest(res.Stack.Name, key)[:17]
		case "six":
			return suffix(res.Stack.Name, key)[:6]
		case "dsql":
			return strings.ToLower(suffix(res.Stack.Name, key)[:26])
		case "account":
			return res.Stack.Account
		case "region":
			return res.Stack.Region
		}
		if failed == nil {
			failed = fmt.Errorf("kind of %s has an unknown placeholder %s", res.Type, m)
		}
		return ""
	})
	return out, failed
}

// generated is the name that CloudFormation would make: stack, logical id and
// twelve characters, which here depend on both alone.
func generated(res *Resource, k kind) string {
	tail := "-" + suffix(res.Stack.Name, res.LogicalID)[:12]
	head := res.Stack.Name + "-" + res.LogicalID
	if k.max > 0 && len(head)+len(tail) > k.max {
		stack := res.Stack.Name
		room := k.max - len(tail)
		if keep := room/2 - 1; len(stack) > keep {
			stack = stack[:keep]
		}
		head = stack + "-" + res.LogicalID
		if len(head) > room {
			head = head[:room]
		}
	}
	if k.lower {
		return strings.ToLower(head + tail)
	}
	return head + tail
}

func digest(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(h[:])
}

func suffix(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base32.StdEncoding.EncodeToString(h[:])
}

func uuid(parts ...string) string {
	d := digest(parts...)
	return d[:8] + "-" + d[8:12] + "-4" + d[13:16] + "-8" + d[17:20] + "-" + d[20:32]
}
