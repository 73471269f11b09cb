package iam

import (
	"slices"
	"strings"
)

// actions are the IAM actions that local knows, by service: what godwit's stacks
// may grant or local's services may ask. An action of a policy or call that is
// not here stops the run, so that a misspelt one cannot pass for a grant.
// https://docs.aws.amazon.com/service-authorization/latest/reference/
var actions = map[string]string{
	"s3": `AbortMultipartUpload CreateBucket DeleteBucket DeleteObject DeleteObjectTagging DeleteObjectVersion GetAccelerateConfiguration GetBucketAcl
		GetBucketCORS GetBucketLocation GetBucketLogging GetBucketNotification GetBucketObjectLockConfiguration GetBucketOwnershipControls GetBucketPolicy
		GetBucketPolicyStatus GetBucketPublicAccessBlock GetBucketRequestPayment GetBucketTagging GetBucketVersioning GetBucketWebsite GetEncryptionConfiguration
		GetInventoryConfiguration GetLifecycleConfiguration GetObject GetObjectAcl GetObjectAttributes GetObjectLegalHold GetObjectRetention GetObjectTagging
		GetObjectTorrent GetObjectVersion GetObjectVersionAcl GetObjectVersionAttributes GetObjectVersionForReplication GetObjectVersionTagging
		GetReplicationConfiguration ListAllMyBuckets ListBucket ListBucketMultipartUploads ListBucketVersions ListMultipartUploadParts PutBucketPolicy
		PutBucketVersioning PutEncryptionConfiguration PutLifecycleConfiguration PutObject PutObjectAcl PutObjectLegalHold PutObjectRetention PutObjectTagging
		PutObjectVersionAcl PutObjectVersionTagging RestoreObject`,
	"kms": `CancelKeyDeletion CreateAlias CreateGrant CreateKey Decrypt DeleteAlias DescribeKey DisableKey DisableKeyRotation EnableKey EnableKeyRotation
		Encrypt GenerateDataKey GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext GenerateDataKeyWithoutPlaintext GetKeyPolicy GetKeyRotationStatus
		ListAliases ListGrants ListKeyPolicies ListKeys ListResourceTags ListRetirableGrants PutKeyPolicy ReEncryptFrom ReEncryptTo RetireGrant RevokeGrant
		ScheduleKeyDeletion TagResource UntagResource UpdateAlias UpdateKeyDescription`,
	"logs": `CreateLogDelivery CreateLogGroup CreateLogStream DeleteLogDelivery DescribeLogGroups DescribeLogStreams DescribeResourcePolicies GetLogDelivery
		GetLogEvents ListLogDeliveries PutLogEvents PutResourcePolicy PutRetentionPolicy UpdateLogDelivery FilterLogEvents`,
	"xray": `GetSamplingRules GetSamplingStatisticSummaries GetSamplingTargets PutTelemetryRecords PutTraceSegments`,
	"lambda": `GetEventSourceMapping GetFunction GetFunctionConfiguration InvokeAsync InvokeFunction InvokeFunctionUrl ListEventSourceMappings ListFunctions
		UpdateEventSourceMapping`,
	"kinesis": `DescribeStream DescribeStreamConsumer DescribeStreamSummary GetRecords GetShardIterator ListShards ListStreams PutRecord PutRecords
		SubscribeToShard`,
	"states": `DeleteStateMachine DescribeExecution DescribeMapRun DescribeStateMachine DescribeStateMachineForExecution GetExecutionHistory ListExecutions
		ListMapRuns ListStateMachines RedriveExecution SendTaskFailure SendTaskHeartbeat SendTaskSuccess StartExecution StartSyncExecution StopExecution UpdateMapRun`,
	"dsql":           `CreateCluster DbConnect DbConnectAdmin DeleteCluster GetCluster ListClusters ListTagsForResource TagResource UntagResource UpdateCluster`,
	"rds-data":       `BatchExecuteStatement BeginTransaction CommitTransaction ExecuteSql ExecuteStatement RollbackTransaction`,
	"secretsmanager": `DescribeSecret GetRandomPassword GetResourcePolicy GetSecretValue ListSecretVersionIds ListSecrets PutSecretValue RotateSecret UpdateSecret UpdateSecretVersionStage`,
	"sns": `AddPermission DeleteTopic GetSubscriptionAttributes GetTopicAttributes ListSubscriptionsByTopic Publish RemovePermission SetTopicAttributes
		Subscribe Unsubscribe`,
	"sqs":        `ChangeMessageVisibility DeleteMessage GetQueueAttributes GetQueueUrl PurgeQueue ReceiveMessage SendMessage`,
	"cloudwatch": `DescribeAlarms GetMetricData GetMetricStatistics ListMetrics PutMetricData`,
	"events":     `DescribeRule PutEvents PutRule PutTargets RemoveTargets DeleteRule`,
	"scheduler":  `CreateSchedule DeleteSchedule GetSchedule ListSchedules UpdateSchedule`,
	"iam":        `GetRole ListAttachedRolePolicies ListRolePolicies PassRole`,
	"sts":        `AssumeRole GetCallerIdentity TagSession SetSourceIdentity`,
	"rds": `AddRoleToDBCluster CancelExportTask CopyDBClusterSnapshot CopyDBSnapshot CreateDBClusterSnapshot CreateDBSnapshot DescribeDBClusterSnapshots DescribeDBClusters
		DescribeDBInstances DescribeDBSnapshots DescribeExportTasks DisableHttpEndpoint EnableHttpEndpoint ListTagsForResource ModifyDBCluster StartExportTask`,
	"ec2": `AssignPrivateIpAddresses CreateNetworkInterface DeleteNetworkInterface DescribeNetworkInterfaces DescribeSecurityGroups DescribeSubnets
		DescribeVpcs UnassignPrivateIpAddresses DetachNetworkInterface`,
	"qldb": `CancelJournalKinesisStream CreateLedger DeleteLedger DescribeJournalKinesisStream DescribeJournalS3Export DescribeLedger ExportJournalToS3
		GetBlock GetDigest GetRevision ListJournalKinesisStreamsForLedger ListJournalS3Exports ListJournalS3ExportsForLedger ListLedgers ListTagsForResource
		StreamJournalToKinesis TagResource UntagResource UpdateLedger UpdateLedgerPermissionsMode`,
	"ssm": `GetParameter GetParameterHistory GetParameters GetParametersByPath DescribeParameters`,
}

func knownAction(action string) bool {
	return !strings.ContainsAny(action, "*?") && knownPattern(action)
}

// knownPattern says whether the pattern names or matches an action of the table.
func knownPattern(pattern string) bool {
	if pattern == "*" {
		return true
	}
	service, name, ok := strings.Cut(strings.ToLower(pattern), ":")
	names, known := actions[service]
	return ok && known && slices.ContainsFunc(strings.Fields(strings.ToLower(names)), func(n string) bool { return like(name, n) })
}

// managed are the AWS managed policies that local knows, by the end of their
// ARN, with AWS's statements.
// https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
var managed = map[string]string{
	"service-role/AWSLambdaBasicExecutionRole": `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}]}`,
	"service-role/AWSLambdaVPCAccessExecutionRole": `{"Version": "2012-10-17", "Statement": [
		{"Sid": "AWSLambdaVPCAccessExecutionPermissions", "Effect": "Allow", "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents",
		"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses",
		"ec2:UnassignPrivateIpAddresses"], "Resource": "*"}]}`,
	"AWSXRayDaemonWriteAccess": `{"Version": "2012-10-17", "Statement": [
		{"Sid": "AWSXRayDaemonWriteAccess", "Effect": "Allow", "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules",
		"xray:GetSamplingTargets", "xray:GetSamplingStatisticSummaries"], "Resource": ["*"]}]}`,
}
