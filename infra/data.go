package main

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/jsii-runtime-go"
)

const (
	// Parts are read once, by the import, receipts by who asked for them. A failed execution can be redriven for
	// 14 days and a person may start the load again after that: twice as long.
	partsDays = 30
	// Parts hold plain values and can be made again: once expired or overwritten
	// they go at once, and not a fortnight later as old versions.
	partsNoncurrentDays = 1
	// Versions that were overwritten or deleted by mistake can be fetched back
	// for a fortnight.
	noncurrentDays = 14
	accessLogDays  = 365
	// What was replaced in the bucket of failures is evidence, like what is there.
	evidenceDays = 365
	uploadDays   = 7
)

// The places in the work bucket that policies name. loads/<load id>/ and exports/<export id>/ are kept as
// evidence, parts/<load id>/ expires, mappings/ is where people put mapping files.
const (
	loadsPrefix    = "loads/"
	partsPrefix    = "parts/"
	mappingsPrefix = "mappings/"
	exportsPrefix  = "exports/"
	proofsPrefix   = "proofs/"
	receiptsPrefix = "receipts/"
	// snapshots/<load id>/ is kept as evidence.
	snapshotsPrefix = "snapshots/"
	profilesPrefix  = "profiles/"
)

// A DataStack holds what outlives everything else, and what all stacks share: the
// keys, the buckets, the topic of alarms.
type DataStack struct {
	awscdk.Stack
	Key        awskms.Key // encrypts the work bucket, the failures, the stream and the cluster's storage
	Operations awskms.Key // encrypts logs and the alarm topic
	Work       awss3.Bucket
	Failures   awss3.Bucket // records of a stream that could not be applied; outlives the stream
	Exports    awss3.Bucket // what RDS exports of snapshots; nil where none are loaded
	Alarms     awssns.Topic
}

// NewDataStack makes the stack of keys and buckets.
func NewDataStack(app awscdk.App, id string, e Environment) *DataStack {
	s := &DataStack{Stack: newStack(app, id, e, "godwit: keys, buckets, alarm topic")}

	s.Key = awskms.NewKey(s.Stack, jsii.String("DataKey"), &awskms.KeyProps{
		Description:       jsii.String("godwit " + e.Name + ": work bucket, failures, stream and cluster storage"),
		EnableKeyRotation: jsii.Bool(true),
		RemovalPolicy:     removalPolicy(e),
	})
	if e.Snapshot != nil && e.Snapshot.DSQL != nil && e.Snapshot.DSQL.New != nil {
		s.admitDSQL()
	}
	s.Operations = awskms.NewKey(s.Stack, jsii.String("OperationsKey"), &awskms.KeyProps{
		Description:       jsii.String("godwit " + e.Name + ": logs and alarms"),
		EnableKeyRotation: jsii.Bool(true),
		RemovalPolicy:     removalPolicy(e),
	})
	// CloudWatch Logs encrypts with the key itself, for log groups of this
	// account and region only.
	s.Operations.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("Logs"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("logs."+e.Region+".amazonaws.com"), nil)},
		Actions: jsii.Strings("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey",
			"kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"),
		Resources: jsii.Strings("*"), // in a key policy: this key
		Conditions: &map[string]any{"ArnLike": map[string]any{
			"kms:EncryptionContext:aws:logs:arn": fmt.Sprintf("arn:%s:logs:%s:%s:log-group:*", *s.Partition(), *s.Region(), *s.Account()),
		}},
	}), jsii.Bool(false))
	// Alarms publish to an encrypted topic with the caller's identity, a service:
	// without this statement an alarm changes its state and nobody hears of it.
	s.Operations.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("Alarms"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Actions:    jsii.Strings("kms:Decrypt", "kms:GenerateDataKey"),
		Resources:  jsii.Strings("*"), // in a key policy: this key
	}), jsii.Bool(false))

	access := awss3.NewBucket(s.Stack, jsii.String("AccessLogs"), &awss3.BucketProps{
		// Server access logs are delivered to SSE-S3 buckets only.
		Encryption:        awss3.BucketEncryption_S3_MANAGED,
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		EnforceSSL:        jsii.Bool(true),
		ObjectOwnership:   awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED,
		Versioned:         jsii.Bool(true),
		RemovalPolicy:     removalPolicy(e),
		LifecycleRules: &[]*awss3.LifecycleRule{{
			Id:                          jsii.String("expire"),
			Expiration:                  awscdk.Duration_Days(jsii.Number(accessLogDays)),
			NoncurrentVersionExpiration: awscdk.Duration_Days(jsii.Number(noncurrentDays)),
		}},
	})
	s.Work = s.bucket("Work", "work/", e, access, leftovers(noncurrentDays), values("parts", partsPrefix), values("receipts", receiptsPrefix))
	s.Failures = s.bucket("Failures", "failures/", e, access, leftovers(evidenceDays))
	if e.Snapshot != nil {
		// A copy of a production database: it goes like the parts made of it.
		s.Exports = s.bucket("Exports", "exports/", e, access, leftovers(noncurrentDays), values("exports", ""))
		output(s.Stack, "ExportBucket", *s.Exports.BucketName(), "Exports of snapshots; they expire after "+number(partsDays)+" days")
	}
	s.Alarms = newAlarmTopic(s.Stack, e, s.Operations)
	if c := e.Cluster.Imported; c != nil && c.ImportRoleARN != "" {
		s.admitImportRole(c.ImportRoleARN)
	}
	output(s.Stack, "FailureBucket", *s.Failures.BucketName(), "What of a stream could not be applied: quarantine/ and aws/lambda/")
	output(s.Stack, "WorkBucket", *s.Work.BucketName(), "Plans, parts, quarantine and reports; mapping files go under "+mappingsPrefix)
	return s
}

// bucket makes a bucket that is encrypted with the data key, keeps versions and
// logs who reads it.
func (s *DataStack) bucket(id, logs string, e Environment, access awss3.IBucket, rules ...*awss3.LifecycleRule) awss3.Bucket {
	return awss3.NewBucket(s.Stack, jsii.String(id), &awss3.BucketProps{
		Encryption:             awss3.BucketEncryption_KMS,
		EncryptionKey:          s.Key,
		BucketKeyEnabled:       jsii.Bool(true),
		BlockPublicAccess:      awss3.BlockPublicAccess_BLOCK_ALL(),
		EnforceSSL:             jsii.Bool(true),
		ObjectOwnership:        awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED,
		Versioned:              jsii.Bool(true),
		RemovalPolicy:          removalPolicy(e),
		ServerAccessLogsBucket: access,
		ServerAccessLogsPrefix: jsii.String(logs),
		LifecycleRules:         &rules,
	})
}

// values removes objects below a prefix, "" is all, that show values, which the
// source may take back later, and which can be made again.
func values(id, prefix string) *awss3.LifecycleRule {
	rule := &awss3.LifecycleRule{
		Id:                          jsii.String(id),
		Expiration:                  awscdk.Duration_Days(jsii.Number(partsDays)),
		NoncurrentVersionExpiration: awscdk.Duration_Days(jsii.Number(partsNoncurrentDays)),
	}
	if prefix != "" {
		rule.Prefix = jsii.String(prefix)
	}
	return rule
}

// leftovers removes versions that were replaced or deleted so many days ago, and
// what ended uploads and expiries leave.
func leftovers(days float64) *awss3.LifecycleRule {
	return &awss3.LifecycleRule{
		Id:                                  jsii.String("leftovers"),
		NoncurrentVersionExpiration:         awscdk.Duration_Days(jsii.Number(days)),
		ExpiredObjectDeleteMarker:           jsii.Bool(true),
		AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(uploadDays)),
	}
}

// admitDSQL lets Aurora DSQL encrypt clusters of this account and region with the
// key, as the service itself (Aurora DSQL User Guide, data encryption, key policy);
// the cluster is of a stack that comes later, so its id is not known here.
func (s *DataStack) admitDSQL() {
	from := map[string]any{"aws:SourceArn": fmt.Sprintf("arn:%s:dsql:%s:%s:cluster/*", *s.Partition(), *s.Region(), *s.Account())}
	allow := func(sid string, conditions map[string]any, actions ...string) {
		s.Key.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Sid:        jsii.String(sid),
			Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("dsql.amazonaws.com"), nil)},
			Actions:    jsii.Strings(actions...),
			Resources:  jsii.Strings("*"), // in a key policy: this key
			Conditions: &conditions,
		}), jsii.Bool(false))
	}
	allow("ClusterKey", map[string]any{"ArnLike": from, "StringLike": map[string]any{"kms:EncryptionContext:aws:dsql:ClusterId": "*"}},
		"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo")
	allow("ClusterKeyState", map[string]any{"ArnLike": from}, "kms:DescribeKey")
}

// admitImportRole lets the role that an imported cluster already has read the
// parts. The role's own policies are not ours to change, so that the bucket and
// the key say it; within one account that is enough.
func (s *DataStack) admitImportRole(arn string) {
	role := awsiam.NewArnPrincipal(jsii.String(arn))
	s.Work.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("ImportRole"),
		Principals: &[]awsiam.IPrincipal{role},
		Actions:    jsii.Strings("s3:GetObject"),
		Resources:  jsii.Strings(*s.Work.ArnForObjects(jsii.String(partsPrefix + "*"))),
	}))
	s.Key.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("ImportRole"),
		Principals: &[]awsiam.IPrincipal{role},
		Actions:    jsii.Strings("kms:Decrypt"),
		Resources:  jsii.Strings("*"), // in a key policy: this key
	}), jsii.Bool(false))
}

// output prints a value after a deployment.
func output(s awscdk.Stack, id, value, description string) {
	awscdk.NewCfnOutput(s, jsii.String(id), &awscdk.CfnOutputProps{Value: jsii.String(value), Description: jsii.String(description)})
}
