package main

import (
	"regexp"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"
)

// grants are the permissions of the ledger route's functions, one method a
// function. They are written out and not taken from the constructs' grant
// methods, which grant action patterns such as s3:GetObject*.
type grants struct {
	e         Environment
	data      *DataStack
	target    *TargetStack
	partition string
}

func (g grants) preflight(r awsiam.Role) {
	g.readArchives(r, true)
	allow(r, []string{"rds:DescribeDBClusters"}, g.target.ClusterARN)
}

func (g grants) prepare(r awsiam.Role) {
	g.database(r, g.target.AdminSecret, g.target.LoaderSecret)
}

func (g grants) plan(r awsiam.Role) {
	g.readArchives(r, true)
	g.readWork(r, loadsPrefix+"*", mappingsPrefix+"*")
	g.writeWork(r, loadsPrefix+"*")
	g.database(r, g.target.LoaderSecret)
}

func (g grants) transform(r awsiam.Role) {
	g.readArchives(r, false)
	g.readWork(r, loadsPrefix+"*")
	g.writeWork(r, loadsPrefix+"*/segments/*", loadsPrefix+"*/quarantine/*", partsPrefix+"*")
}

func (g grants) count(r awsiam.Role) {
	g.readArchives(r, false)
	g.readWork(r, loadsPrefix+"*")
	g.writeWork(r, loadsPrefix+"*/counts/*")
}

func (g grants) phase(r awsiam.Role) {
	g.listWork(r)
	g.readWork(r, loadsPrefix+"*")
	g.writeWork(r, loadsPrefix+"*/tasks/*")
	g.database(r, g.target.LoaderSecret)
}

// task reads no object: the cluster reads the parts with its own role.
func (g grants) task(r awsiam.Role) {
	g.database(r, g.target.LoaderSecret)
}

func (g grants) report(r awsiam.Role) {
	g.listWork(r)
	g.readWork(r, loadsPrefix+"*")
	g.writeWork(r, loadsPrefix+"*/report.json", loadsPrefix+"*/report.html")
	g.database(r, g.target.LoaderSecret)
}

// readArchives lets a role read the configured archives, and nothing beside
// them, and list them if it looks for objects.
func (g grants) readArchives(r awsiam.Role, list bool) {
	for _, a := range g.e.Archives {
		bucket := "arn:" + g.partition + ":s3:::" + a.Bucket
		allow(r, []string{"s3:GetObject"}, bucket+"/"+a.Prefix+"*")
		if list && a.Prefix == "" {
			allow(r, []string{"s3:ListBucket"}, bucket)
		} else if list {
			allowIf(r, map[string]any{"StringLike": map[string]any{"s3:prefix": a.Prefix + "*"}}, []string{"s3:ListBucket"}, bucket)
		}
		if a.KMSKeyARN != "" {
			allow(r, []string{"kms:Decrypt"}, a.KMSKeyARN)
		}
		suppress(r, "AwsSolutions-IAM5", "an archive is a prefix: everything below it is read", "/^Resource::arn:.*:s3:::"+regexp.QuoteMeta(a.Bucket+"/"+a.Prefix)+"\\*$/")
	}
}

func (g grants) listWork(r awsiam.Role) {
	allowIf(r, map[string]any{"StringLike": map[string]any{"s3:prefix": loadsPrefix + "*"}}, []string{"s3:ListBucket"}, *g.data.Work.BucketArn())
}

func (g grants) readWork(r awsiam.Role, patterns ...string) {
	allow(r, []string{"s3:GetObject"}, g.workObjects(r, patterns)...)
	allow(r, []string{"kms:Decrypt"}, *g.data.Key.KeyArn())
}

func (g grants) writeWork(r awsiam.Role, patterns ...string) {
	allow(r, []string{"s3:PutObject"}, g.workObjects(r, patterns)...)
	allow(r, []string{"kms:GenerateDataKey"}, *g.data.Key.KeyArn())
}

func (g grants) workObjects(r awsiam.Role, patterns []string) []string {
	arns := make([]string, len(patterns))
	for i, p := range patterns {
		arns[i] = *g.data.Work.ArnForObjects(jsii.String(p))
	}
	suppress(r, "AwsSolutions-IAM5", "names of objects hold the load's id; the folder is named",
		"/^Resource::.*("+loadsPrefix+"|"+partsPrefix+"|"+mappingsPrefix+")[a-z/.*]*$/")
	return arns
}

// database lets a role run statements through the Data API with secrets, which
// the service fetches as the caller. No function opens a transaction that spans
// calls.
func (g grants) database(r awsiam.Role, secrets ...Secret) {
	allow(r, []string{"rds-data:ExecuteStatement"}, g.target.ClusterARN)
	for _, s := range secrets {
		allow(r, []string{"secretsmanager:GetSecretValue"}, s.ARN)
		if s.KeyARN != "" {
			allow(r, []string{"kms:Decrypt"}, s.KeyARN)
		}
	}
}
